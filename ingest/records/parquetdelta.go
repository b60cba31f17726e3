package records

import "encoding/binary"

// deltas unpacks DELTA_BINARY_PACKED, a number at a time.
type deltas struct {
	b      []byte // behind what was read of it
	size   uint64 // numbers in a miniblock
	minis  uint64 // miniblocks in a block
	left   uint64 // numbers
	value  int64
	first  bool
	min    int64
	widths []byte // of the miniblocks that are left of the block
	run    uint64 // numbers left of the miniblock
	width  uint
	bits   []byte
	at     uint
}

// maxDeltaBlock bounds a block. Writers make them of 128.
const maxDeltaBlock = 1 << 16

// newDeltas reads the head. There may be no more than most numbers.
func newDeltas(b []byte, most int64) (d deltas, ok bool) {
	var head [3]uint64
	for i := range head {
		n := 0
		if head[i], n = binary.Uvarint(b); n <= 0 {
			return d, false
		}
		b = b[n:]
	}
	first, n := binary.Varint(b)
	block, minis, total := head[0], head[1], head[2]
	if n <= 0 || block == 0 || block > maxDeltaBlock || minis == 0 || minis > block || block%minis != 0 || block/minis%8 != 0 || total > uint64(most) {
		return d, false
	}
	return deltas{b: b[n:], size: block / minis, minis: minis, left: total, value: first, first: true}, true
}

func (d *deltas) next() (int64, bool) {
	if d.left == 0 {
		return 0, false
	}
	d.left--
	if d.first {
		d.first = false
		return d.value, true
	}
	if d.run == 0 {
		if len(d.widths) == 0 {
			min, n := binary.Varint(d.b)
			if n <= 0 || uint64(len(d.b)-n) < d.minis {
				return 0, false
			}
			d.min, d.widths, d.b = min, d.b[n:uint64(n)+d.minis], d.b[uint64(n)+d.minis:]
		}
		d.run, d.width, d.at, d.widths = d.size, uint(d.widths[0]), 0, d.widths[1:]
		k := d.size / 8 * uint64(d.width)
		if d.width > 64 {
			return 0, false
		}
		k = min(k, uint64(len(d.b)))
		d.bits, d.b = d.b[:k], d.b[k:]
	}
	d.run--
	if d.at+d.width > uint(len(d.bits))*8 {
		return 0, false
	}
	var delta uint64
	for got := uint(0); got < d.width; {
		c := uint64(d.bits[d.at/8] >> (d.at % 8))
		n := min(8-d.at%8, d.width-got)
		delta |= c & (1<<n - 1) << got
		got += n
		d.at += n
	}
	d.value += d.min + int64(delta)
	return d.value, true
}

// rest returns what stands behind the numbers, which are read to their end.
func (d deltas) rest() ([]byte, bool) {
	for d.left > 0 {
		if _, ok := d.next(); !ok {
			return nil, false
		}
	}
	return d.b, true
}
