package attribution

import (
	"encoding/binary"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxFooter bounds the footer of a Parquet file. Its size is columns times row
// groups times some 100 bytes; 16 MiB are 1,000 columns in 160 groups.
const maxFooter = 16 << 20

// parquetTail keeps the first 4 bytes of a file and enough of its end to hold
// the largest footer that is read.
type parquetTail struct {
	head [4]byte
	size uint64
	tail []byte
}

const (
	parquetMagic = "PAR1"
	// parquetTrailer stands at the end of the file: the footer's length,
	// little-endian, and the magic.
	parquetTrailer = 8
	keepTail       = maxFooter + parquetTrailer
)

func (t *parquetTail) write(p []byte) {
	if t.size < 4 {
		copy(t.head[t.size:], p)
	}
	t.size += uint64(len(p))
	if len(p) > keepTail {
		p = p[len(p)-keepTail:]
	}
	if len(t.tail)+len(p) > 2*keepTail {
		t.tail = t.tail[:copy(t.tail, t.tail[len(t.tail)-keepTail:])]
	}
	t.tail = append(t.tail, p...)
}

func (t *parquetTail) rows() (uint64, error) {
	b := t.tail
	if t.size < 4+parquetTrailer || string(t.head[:]) != parquetMagic || string(b[len(b)-4:]) != parquetMagic {
		return 0, fault.New(fault.Invalid, "no Parquet file with a readable footer: it begins or ends without %s", parquetMagic)
	}
	b = b[:len(b)-4]
	n := uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > maxFooter {
		return 0, fault.New(fault.TooLarge, "a Parquet footer may have %d bytes, this one has %d", maxFooter, n)
	}
	if n > t.size-4-parquetTrailer {
		return 0, fault.New(fault.Invalid, "the Parquet footer is longer than the file")
	}
	c := &compact{b: b[uint64(len(b))-n:]}
	rows, groups := int64(-1), int64(0)
	c.structure(0, func(id int64, typ byte) bool {
		switch {
		case id == 3 && typ == thriftI64: // FileMetaData.num_rows
			rows = c.zigzag()
		case id == 4 && typ == thriftList: // FileMetaData.row_groups
			elem, count := c.list()
			if elem != thriftStruct {
				c.bad = true
			}
			for ; count > 0 && !c.bad; count-- {
				c.structure(1, func(id int64, typ byte) bool {
					if id != 3 || typ != thriftI64 { // RowGroup.num_rows
						return false
					}
					k := c.zigzag()
					if groups += k; k < 0 || groups < 0 {
						c.bad = true
					}
					return true
				})
			}
		default:
			return false
		}
		return true
	})
	if c.bad || rows < 0 || len(c.b) > 0 {
		return 0, fault.New(fault.Invalid, "the Parquet footer is malformed")
	}
	if rows != groups {
		return 0, fault.New(fault.Invalid, "the Parquet footer claims %d rows, and its row groups %d", rows, groups)
	}
	return uint64(rows), nil
}

// Types of the Thrift compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13

	// maxThriftDepth bounds nesting: Parquet's footer has 6 levels.
	maxThriftDepth = 32
)

// compact reads the Thrift compact protocol, as much of it as finding a field
// needs. After malformed bytes bad is true, and every read gives zeros. Each
// element of a list takes a byte at least, so the work is linear.
type compact struct {
	b   []byte
	bad bool
}

func (c *compact) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *compact) octet() byte {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *compact) varint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *compact) zigzag() int64 {
	v := c.varint()
	return int64(v>>1) ^ -int64(v&1)
}

func (c *compact) list() (elem byte, n uint64) {
	h := c.octet()
	if n = uint64(h >> 4); n == 15 {
		n = c.varint()
	}
	return h & 15, n
}

// structure goes through the fields of a struct. field reads the field's value
// and returns true, or leaves it and returns false.
func (c *compact) structure(depth int, field func(id int64, typ byte) bool) {
	for id := int64(0); !c.bad; {
		h := c.octet()
		if h == 0 {
			return
		}
		if delta := int64(h >> 4); delta > 0 {
			id += delta
		} else {
			id = c.zigzag()
		}
		if typ := h & 15; !field(id, typ) && typ != thriftTrue && typ != thriftFalse {
			c.skip(typ, depth+1)
		}
	}
}

// skip passes over a value. A boolean is a byte here: only in a field's header
// it takes no room of its own.
func (c *compact) skip(typ byte, depth int) {
	if depth > maxThriftDepth {
		c.bad = true
	}
	switch typ {
	case thriftTrue, thriftFalse, thriftByte:
		c.take(1)
	case thriftI16, thriftI32, thriftI64:
		c.varint()
	case thriftDouble:
		c.take(8)
	case thriftUUID:
		c.take(16)
	case thriftBinary:
		c.take(c.varint())
	case thriftList, thriftSet:
		elem, n := c.list()
		for ; n > 0 && !c.bad; n-- {
			c.skip(elem, depth+1)
		}
	case thriftMap:
		n := c.varint()
		if n == 0 {
			return
		}
		types := c.octet()
		for ; n > 0 && !c.bad; n-- {
			c.skip(types>>4, depth+1)
			c.skip(types&15, depth+1)
		}
	case thriftStruct:
		c.structure(depth, func(int64, byte) bool { return false })
	default:
		c.bad = true
	}
}
