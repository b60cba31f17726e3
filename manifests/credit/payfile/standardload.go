package payfile

import (
	"bufio"
	"encoding/hex"
	"errors"
	"io"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// LoadStandardTree reads a dump back. It accepts exactly the bytes that
// [StandardTree.WriteTo] writes: it builds the tree again from the values and
// compares every node. What is malformed is fault.Invalid; a dump in form whose
// nodes or indexes are not those of its values is fault.Unverified. An error of
// r is returned as it is. It reads at most MaxLines values, and needs the memory
// of two trees.
func LoadStandardTree(r io.Reader) (*StandardTree, error) {
	d := &dumpReader{r: bufio.NewReaderSize(r, outputSize)}
	d.want(dumpHead)
	var nodes []eth.Hash
	for d.err == nil {
		nodes = append(nodes, d.hash())
		if len(nodes) > 2*MaxLines {
			return nil, fault.New(fault.Invalid, "the dump has more than %d values", MaxLines)
		}
		if !d.more() {
			break
		}
	}
	d.want(dumpMiddle[1:])
	var b batch
	var values []standardValue
	once := newOnce[eth.Address](len(nodes) / 2)
	for d.err == nil {
		v := d.value()
		if d.err != nil {
			break
		}
		if first, again := once.seen(v.address, len(values)); again {
			d.fail("values %d and %d are of one address", first, len(values))
			break
		}
		total, err := b.total.Add(v.amount)
		if err != nil || !total.InLimit() {
			d.fail("the sum of the values is 2^127 or more")
			break
		}
		values = append(values, v)
		b.n, b.total = len(values), total
		if 2*len(values)-1 > len(nodes) {
			d.fail("%d nodes are not a tree of %d values or more", len(nodes), len(values))
		}
		if !d.more() {
			break
		}
	}
	d.want(dumpTail[1:])
	d.end()
	if d.err != nil {
		return nil, d.err
	}
	if len(nodes) != 2*len(values)-1 {
		return nil, fault.New(fault.Invalid, "%d nodes are not a tree of %d values", len(nodes), len(values))
	}
	claimed := make([]int32, len(values))
	for i, v := range values {
		claimed[i] = v.index
	}
	t := newStandardTree(b, values)
	for i, index := range claimed {
		if index != t.values[i].index {
			return nil, fault.New(fault.Unverified, "value %d stands at node %d, not %d", i, t.values[i].index, index)
		}
	}
	for i := range nodes {
		if nodes[i] != t.nodes[i] {
			return nil, fault.New(fault.Unverified, "node %d is not that of the values", i)
		}
	}
	return t, nil
}

// A dumpReader reads the one form a dump may have. After the first error its
// methods do nothing.
type dumpReader struct {
	r   *bufio.Reader
	at  int64
	err error
}

func (d *dumpReader) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fault.New(fault.Invalid, format, args...)
	}
}

func (d *dumpReader) malformed() { d.fail("the dump is malformed at byte %d", d.at) }

// next returns the next byte, 0 after an error.
func (d *dumpReader) next() byte {
	if d.err != nil {
		return 0
	}
	c, err := d.r.ReadByte()
	switch {
	case errors.Is(err, io.EOF):
		d.fail("the dump ends at byte %d", d.at)
		return 0
	case err != nil:
		d.err = err
		return 0
	}
	d.at++
	return c
}

// want reads s.
func (d *dumpReader) want(s string) {
	for i := range len(s) {
		if d.next() != s[i] {
			d.malformed()
			return
		}
	}
}

// more reads what follows an entry of a list: a comma, or the closing bracket.
func (d *dumpReader) more() bool {
	switch d.next() {
	case ',':
		return true
	case ']':
		return false
	}
	d.malformed()
	return false
}

func (d *dumpReader) end() {
	if d.err != nil {
		return
	}
	if _, err := d.r.ReadByte(); err == nil {
		d.malformed()
	} else if !errors.Is(err, io.EOF) {
		d.err = err
	}
}

func (d *dumpReader) hash() (h eth.Hash) {
	var text [2 * len(h)]byte
	d.want(`"0x`)
	for i := range text {
		text[i] = d.next()
		if text[i] >= 'A' && text[i] <= 'F' {
			d.malformed()
		}
	}
	d.want(`"`)
	if _, err := hex.Decode(h[:], text[:]); err != nil {
		d.malformed()
	}
	return h
}

// until returns the bytes before stop, at most limit of them.
func (d *dumpReader) until(stop byte, limit int) string {
	b := make([]byte, 0, limit)
	for {
		switch c := d.next(); {
		case d.err != nil:
			return ""
		case c == stop:
			return string(b)
		case len(b) == limit:
			d.malformed()
			return ""
		default:
			b = append(b, c)
		}
	}
}

func (d *dumpReader) value() (v standardValue) {
	d.want(dumpValue)
	text := d.until('"', len("0x")+2*len(v.address))
	d.want(dumpAmount[1:])
	digits := d.until('"', maxWordDigits)
	d.want(dumpIndex[1:])
	index := d.until('}', len("8388607"))
	if d.err != nil {
		return v
	}
	a, err := eth.ParseAddress(text)
	if err != nil || a.String() != text || a == (eth.Address{}) {
		d.malformed()
	}
	amount, err := credit.ParseAmount(digits)
	if err != nil || amount.Sign() <= 0 {
		d.malformed()
	}
	n, err := strconv.ParseUint(index, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != index {
		d.malformed()
	}
	return standardValue{address: a, amount: amount, index: int32(n)}
}
