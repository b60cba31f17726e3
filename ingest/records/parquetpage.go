package records

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/cairn-registry/cairn/manifests/thrift"
)

// A parquetColumn reads the values of a leaf column, a page at a time.
type parquetColumn struct {
	drop           bool
	kind           int64
	width          int // bytes of a value; 0 for kindBytes
	maxRep, maxDef uint32
	text           func(dst, raw []byte) []byte

	codec   int64
	at, end int64 // in the file
	dict    []byte
	spans   []span // of the dictionary's values, where they have no width

	page     []byte
	left     int64 // entries of the page
	rep, def levels
	values   []byte // plain ones
	encoding int64
	index    levels
	numbers  deltas // integers, or lengths
	prefixes deltas // of encDeltaBytes
	before   []byte // the value before, of encDeltaBytes
	bits     uint   // of booleans: read so far
	stream   int    // of encStreamSplit: values read so far
	streams  int    // and how many there are
	joined   []byte // the value
	peeked   bool
	nextRep  uint32
	scratch  []byte
	raw      [8]byte // of a value that is not in the page as it is
}

type span struct{ from, to uint32 }

// The encodings that are read.
const (
	encPlain          = 0
	encPlainDict      = 2
	encRLE            = 3
	encDelta          = 5 // DELTA_BINARY_PACKED
	encDeltaLength    = 6 // DELTA_LENGTH_BYTE_ARRAY
	encDeltaBytes     = 7 // DELTA_BYTE_ARRAY
	encRLEDict        = 8
	encStreamSplit    = 9 // BYTE_STREAM_SPLIT
	pageData          = 0
	pageDict          = 2
	pageDataV2        = 3
	codecPlain        = 0
	codecSnappy       = 1
	codecGzip         = 2
	codecZstd         = 6
	lengthPrefix      = 4
	maxBitsOfIndex    = 32
	pageHeaderAtFirst = 512
)

// begin turns to another chunk.
func (c *parquetColumn) begin(k chunk) error {
	from := k.data
	if k.dict > 0 && k.dict < from {
		from = k.dict
	}
	if k.elsewhere || from < 4 || k.size < 0 {
		return errParquet
	}
	c.codec, c.at, c.end = k.codec, from, from+k.size
	c.left, c.dict, c.spans, c.peeked = 0, c.dict[:0], c.spans[:0], false
	return nil
}

// row hands out the values of one row.
func (c *parquetColumn) row(p *parquetReader, x *run) error {
	for first := true; ; first = false {
		if !first {
			if c.maxRep == 0 {
				return nil
			}
			if c.left == 0 && c.at >= c.end {
				return nil // the chunk ends with the row
			}
		}
		if !c.peeked {
			if c.left == 0 {
				if err := c.load(p); err != nil {
					return err
				}
			}
			c.nextRep = 0
			if c.maxRep > 0 {
				r, ok := c.rep.next()
				if !ok || r > c.maxRep {
					return errParquet
				}
				c.nextRep = r
			}
			c.peeked = true
		}
		if (c.nextRep == 0) != first {
			if first {
				return errParquet
			}
			return nil
		}
		c.peeked = false
		c.left--
		if p.left -= valueCost; p.left < 0 {
			return fmt.Errorf("%w: too many values come out of it", errLimit)
		}
		if c.maxDef > 0 {
			d, ok := c.def.next()
			if !ok || d > c.maxDef {
				return errParquet
			}
			if d < c.maxDef {
				continue // null, or an empty list
			}
		}
		raw, ok := c.value()
		if !ok {
			return errParquet
		}
		if p.row += int64(len(raw)) + spanCost; p.row > MaxRow {
			return fmt.Errorf("%w: a row of more than %d bytes", errLimit, MaxRow)
		}
		if c.drop || x.o.NoSketch {
			continue
		}
		if p.left -= int64(len(raw)); p.left < 0 {
			return fmt.Errorf("%w: too many bytes come out of it", errLimit)
		}
		c.scratch = c.text(c.scratch[:0], raw)
		x.rec.Add(c.scratch)
	}
}

// value returns the bytes of the next value.
func (c *parquetColumn) value() ([]byte, bool) {
	switch c.encoding {
	case encStreamSplit: // first the first bytes of all values, then the second ones
		if c.stream >= c.streams {
			return nil, false
		}
		c.joined = c.joined[:0]
		for at := c.stream; at < c.streams*c.width; at += c.streams {
			c.joined = append(c.joined, c.values[at])
		}
		c.stream++
		return c.joined, true
	case encDelta:
		n, ok := c.numbers.next()
		binary.LittleEndian.PutUint64(c.raw[:], uint64(n))
		return c.raw[:c.width], ok
	case encDeltaLength, encDeltaBytes:
		n, ok := c.numbers.next()
		if !ok || n < 0 || n > int64(len(c.values)) {
			return nil, false
		}
		v := c.values[:n]
		c.values = c.values[n:]
		if c.encoding == encDeltaLength {
			return v, true
		}
		n, ok = c.prefixes.next()
		if !ok || n < 0 || n > int64(len(c.before)) || n+int64(len(v)) > MaxPage {
			return nil, false
		}
		c.before = append(c.before[:n], v...)
		return c.before, c.width == 0 || len(c.before) == c.width
	case encRLE, encRLEDict, encPlainDict:
		i, ok := c.index.next()
		switch {
		case !ok:
			return nil, false
		case c.kind == kindBoolean:
			c.raw[0] = byte(i)
			return c.raw[:1], true
		case c.width > 0:
			from := uint64(i) * uint64(c.width)
			if from+uint64(c.width) > uint64(len(c.dict)) {
				return nil, false
			}
			return c.dict[from : from+uint64(c.width)], true
		case int64(i) >= int64(len(c.spans)):
			return nil, false
		}
		s := c.spans[i]
		return c.dict[s.from:s.to], true
	}
	if c.kind == kindBoolean {
		if c.bits >= uint(len(c.values))*8 {
			return nil, false
		}
		c.raw[0] = c.values[c.bits/8] >> (c.bits % 8) & 1
		c.bits++
		return c.raw[:1], true
	}
	n := c.width
	if n == 0 {
		if len(c.values) < lengthPrefix {
			return nil, false
		}
		k := binary.LittleEndian.Uint32(c.values)
		c.values = c.values[lengthPrefix:]
		if uint64(k) > uint64(len(c.values)) {
			return nil, false
		}
		n = int(k)
	}
	if n > len(c.values) {
		return nil, false
	}
	v := c.values[:n]
	c.values = c.values[n:]
	return v, true
}

// A pageHeader is what stands before a page.
type pageHeader struct {
	kind, unpacked, packed int64
	values, encoding       int64
	defLevels              int64 // encoding of the first version, bytes of the second
	repLevels              int64
	plain                  bool // not compressed, in the second version
}

// load reads pages up to one with entries.
func (c *parquetColumn) load(p *parquetReader) error {
	for c.left == 0 {
		h, err := c.header(p)
		if err != nil {
			return err
		}
		if h.packed < 0 || h.unpacked < 0 || h.packed > c.end-c.at || h.values < 0 {
			return errParquet
		}
		if max(h.packed, h.unpacked) > MaxPage {
			return fmt.Errorf("%w: a page of %d bytes", errLimit, max(h.packed, h.unpacked))
		}
		at := c.at
		c.at += h.packed
		switch h.kind {
		case pageDict:
			err = c.loadDict(p, h, at)
		case pageData, pageDataV2:
			err = c.loadData(p, h, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *parquetColumn) header(p *parquetReader) (h pageHeader, err error) {
	for room := int64(pageHeaderAtFirst); ; room = maxPageHeader {
		n := min(room, c.end-c.at)
		if n <= 0 {
			return h, errParquet
		}
		p.packed = grow(p.packed, int(n))
		if err := p.in.read(p.packed[:n], c.at); err != nil {
			return h, err
		}
		r := &thrift.Reader{B: p.packed[:n]}
		if h = readPageHeader(r); !r.Bad {
			c.at += n - int64(len(r.B))
			return h, nil
		}
		if n < room || room == maxPageHeader {
			return h, errParquet
		}
	}
}

func readPageHeader(r *thrift.Reader) (h pageHeader) {
	members := func(into ...*int64) {
		r.Structure(1, func(id int64, typ byte) bool {
			if id == 7 {
				h.plain = typ == thrift.False
			}
			return id >= 1 && id <= int64(len(into)) && into[id-1] != nil && number(r, typ, into[id-1])
		})
	}
	r.Structure(0, func(id int64, typ byte) bool {
		switch {
		case id == 1:
			return number(r, typ, &h.kind)
		case id == 2:
			return number(r, typ, &h.unpacked)
		case id == 3:
			return number(r, typ, &h.packed)
		case typ != thrift.Struct:
			return false
		case id == 5:
			members(&h.values, &h.encoding, &h.defLevels, &h.repLevels)
		case id == 7:
			members(&h.values, &h.encoding)
		case id == 8:
			members(&h.values, nil, nil, &h.encoding, &h.defLevels, &h.repLevels)
		default:
			return false
		}
		return true
	})
	return h
}

// read reads the bytes of a page: skip of them as they are, the rest decoded.
func (c *parquetColumn) read(p *parquetReader, dst []byte, h pageHeader, at, skip int64, packed bool) ([]byte, error) {
	p.held -= int64(cap(dst))
	if p.held+h.unpacked > MaxPages {
		return nil, fmt.Errorf("%w: the pages of all columns take more than %d bytes", errLimit, MaxPages)
	}
	dst = grow(dst, int(h.unpacked))
	p.held += int64(cap(dst))
	if !packed || c.codec == codecPlain {
		if h.packed != h.unpacked {
			return dst, errParquet
		}
		return dst, p.in.read(dst, at)
	}
	p.packed = grow(p.packed, int(h.packed))
	if err := p.in.read(p.packed, at); err != nil {
		return dst, err
	}
	copy(dst, p.packed[:skip])
	if h.unpacked == skip {
		return dst, nil
	}
	return dst, p.codecs.decode(c.codec, dst[skip:], p.packed[skip:])
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

func (c *parquetColumn) loadDict(p *parquetReader, h pageHeader, at int64) (err error) {
	if h.encoding != encPlain && h.encoding != encPlainDict || c.kind == kindBoolean {
		return errParquet
	}
	if c.dict, err = c.read(p, c.dict, h, at, 0, true); err != nil || c.width > 0 {
		return err
	}
	c.spans = c.spans[:0]
	for i := int64(0); i < int64(len(c.dict)); {
		if i+lengthPrefix > int64(len(c.dict)) {
			return errParquet
		}
		n := int64(binary.LittleEndian.Uint32(c.dict[i:]))
		if i += lengthPrefix; n > int64(len(c.dict))-i {
			return errParquet
		}
		c.spans = append(c.spans, span{uint32(i), uint32(i + n)})
		i += n
	}
	return nil
}

func (c *parquetColumn) loadData(p *parquetReader, h pageHeader, at int64) (err error) {
	v2 := h.kind == pageDataV2
	skip := int64(0)
	if v2 {
		if h.defLevels < 0 || h.repLevels < 0 || h.defLevels > h.packed || h.repLevels > h.packed-h.defLevels {
			return errParquet
		}
		if skip = h.defLevels + h.repLevels; skip > h.unpacked {
			return errParquet
		}
	}
	if c.page, err = c.read(p, c.page, h, at, skip, !h.plain); err != nil {
		return err
	}
	b := c.page
	level := func(most uint32, length, encoding int64) (l levels, err error) {
		if !v2 {
			if most == 0 {
				return l, nil
			}
			if encoding != encRLE {
				return l, fmt.Errorf("levels in the encoding %d are not read", encoding)
			}
			if len(b) < lengthPrefix {
				return l, errParquet
			}
			length = int64(binary.LittleEndian.Uint32(b))
			b = b[lengthPrefix:]
		}
		if length > int64(len(b)) {
			return l, errParquet
		}
		l = levels{b: b[:length], width: uint(bits.Len32(most))}
		b = b[length:]
		return l, nil
	}
	if c.rep, err = level(c.maxRep, h.repLevels, h.repLevels); err != nil {
		return err
	}
	if c.def, err = level(c.maxDef, h.defLevels, h.defLevels); err != nil {
		return err
	}
	c.left, c.encoding, c.bits, c.values = h.values, h.encoding, 0, b
	ok := true
	switch {
	case h.encoding == encPlain:
	case h.encoding == encRLE && c.kind == kindBoolean:
		if len(b) < lengthPrefix {
			return errParquet
		}
		c.index = levels{b: b[lengthPrefix:], width: 1}
	case h.encoding == encStreamSplit && c.width > 0 && c.kind != kindBoolean:
		// There are as many values as there are bytes for; nulls have none.
		c.stream, c.streams = 0, len(b)/c.width
		ok = len(b)%c.width == 0
	case h.encoding == encDelta && (c.kind == kindInt32 || c.kind == kindInt64):
		c.numbers, ok = newDeltas(b, h.values)
	case h.encoding == encDeltaBytes && (c.kind == kindBytes || c.kind == kindFixed):
		c.before = c.before[:0]
		if c.prefixes, ok = newDeltas(b, h.values); ok {
			if b, ok = c.prefixes.rest(); ok {
				c.numbers, c.values, ok = lengths(b, h.values)
			}
		}
	case h.encoding == encDeltaLength && c.kind == kindBytes:
		c.numbers, c.values, ok = lengths(b, h.values)
	case h.encoding == encRLEDict || h.encoding == encPlainDict:
		if c.index = (levels{}); len(b) > 0 {
			if c.index = (levels{b: b[1:], width: uint(b[0])}); b[0] > maxBitsOfIndex {
				return errParquet
			}
		}
	default:
		return fmt.Errorf("values in the encoding %d are not read", h.encoding)
	}
	if !ok {
		return errParquet
	}
	return nil
}

// lengths reads the lengths of values, and finds the values behind them.
func lengths(b []byte, most int64) (d deltas, values []byte, ok bool) {
	if d, ok = newDeltas(b, most); ok {
		values, ok = d.rest()
	}
	return d, values, ok
}

// levels unpacks the hybrid of run lengths and bit packing, a number at a time.
type levels struct {
	b     []byte
	width uint
	run   uint64 // numbers left of the run
	value uint32 // of a run of equal numbers
	bits  []byte // of a run of packed numbers
	at    uint   // bits read of it
}

func (l *levels) next() (uint32, bool) {
	for l.run == 0 {
		u, n := binary.Uvarint(l.b)
		if n <= 0 {
			return 0, false
		}
		l.b = l.b[n:]
		l.run, l.bits, l.at = u>>1, nil, 0
		if u&1 == 1 {
			if l.run > 1<<40 {
				return 0, false
			}
			// The last run may be cut off behind the last number that counts.
			k := min(l.run*uint64(l.width), uint64(len(l.b)))
			l.run *= 8
			l.bits, l.b = l.b[:k], l.b[k:]
			if l.width > 0 && l.bits == nil {
				l.bits = []byte{}
			}
			continue
		}
		k := int(l.width+7) / 8
		if k > len(l.b) {
			return 0, false
		}
		l.value = 0
		for i := range k {
			l.value |= uint32(l.b[i]) << (8 * i)
		}
		l.b = l.b[k:]
	}
	l.run--
	if l.bits == nil {
		return l.value, true
	}
	if l.width == 0 {
		return 0, true
	}
	first := l.at / 8
	if l.at+l.width > uint(len(l.bits))*8 {
		return 0, false
	}
	var w uint64
	if rest := l.bits[first:]; len(rest) >= 8 {
		w = binary.LittleEndian.Uint64(rest)
	} else {
		for i, c := range rest {
			w |= uint64(c) << (8 * i)
		}
	}
	v := uint32(w >> (l.at % 8) & (1<<l.width - 1))
	l.at += l.width
	return v, true
}

// codecs decode pages, to exactly the length that is expected.
type codecs struct {
	zstd *zstd.Decoder
	gzip *gzip.Reader
}

func (k *codecs) decode(codec int64, dst, src []byte) error {
	switch codec {
	case codecSnappy:
		if n, err := snappy.DecodedLen(src); err != nil || n != len(dst) {
			return errParquet
		}
		_, err := snappy.Decode(dst, src)
		return err
	case codecGzip:
		r := bytes.NewReader(src)
		var err error
		if k.gzip == nil {
			k.gzip, err = gzip.NewReader(r)
		} else {
			err = k.gzip.Reset(r)
		}
		if err != nil {
			return err
		}
		return exactly(k.gzip, dst)
	case codecZstd:
		var err error
		if k.zstd == nil {
			k.zstd, err = zstd.NewReader(bytes.NewReader(src), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxWindow))
		} else {
			err = k.zstd.Reset(bytes.NewReader(src))
		}
		if err != nil {
			return err
		}
		return exactly(k.zstd, dst)
	}
	return fmt.Errorf("pages compressed with codec %d are not read", codec)
}

func exactly(r io.Reader, dst []byte) error {
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	var more [1]byte
	if n, err := r.Read(more[:]); n > 0 || err != io.EOF {
		return errParquet
	}
	return nil
}

func (k *codecs) close() {
	if k.zstd != nil {
		k.zstd.Close()
	}
}
