// Package thrift reads the Thrift compact protocol, as much of it as finding
// fields in the footers and page headers of Parquet needs. It is for foreign
// bytes: it makes no room that a length asks for, and its work is linear.
package thrift

import "encoding/binary"

// Types of the Thrift compact protocol.
const (
	True   = 1
	False  = 2
	Byte   = 3
	I16    = 4
	I32    = 5
	I64    = 6
	Double = 7
	Binary = 8
	List   = 9
	Set    = 10
	Map    = 11
	Struct = 12
	UUID   = 13

	// maxDepth bounds nesting: Parquet's footer has 6 levels.
	maxDepth = 32
)

// A Reader reads the compact protocol. After malformed bytes Bad is true, and every read gives zeros. Each
// element of a list takes a byte at least, so the work is linear.
type Reader struct {
	B   []byte // what is left
	Bad bool   // something malformed was read
}

// Take returns the next n bytes, which stay part of B's memory.
func (r *Reader) Take(n uint64) []byte {
	if r.Bad || n > uint64(len(r.B)) {
		r.Bad, r.B = true, nil
		return nil
	}
	p := r.B[:n]
	r.B = r.B[n:]
	return p
}

// Octet returns the next byte.
func (r *Reader) Octet() byte {
	if p := r.Take(1); p != nil {
		return p[0]
	}
	return 0
}

// Varint reads an unsigned number.
func (r *Reader) Varint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.Bad, r.B = true, nil
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Zigzag reads a signed number: an I16, I32 or I64.
func (r *Reader) Zigzag() int64 {
	v := r.Varint()
	return int64(v>>1) ^ -int64(v&1)
}

// List reads the head of a list: the type of its elements, and how many there are.
func (r *Reader) List() (elem byte, n uint64) {
	h := r.Octet()
	if n = uint64(h >> 4); n == 15 {
		n = r.Varint()
	}
	return h & 15, n
}

// Structure goes through the fields of a struct. field reads the field's value
// and returns true, or leaves it and returns false.
func (r *Reader) Structure(depth int, field func(id int64, typ byte) bool) {
	for id := int64(0); !r.Bad; {
		h := r.Octet()
		if h == 0 {
			return
		}
		if delta := int64(h >> 4); delta > 0 {
			id += delta
		} else {
			id = r.Zigzag()
		}
		if typ := h & 15; !field(id, typ) && typ != True && typ != False {
			r.Skip(typ, depth+1)
		}
	}
}

// Skip passes over a value. A boolean is a byte here: only in a field's header
// it takes no room of its own.
func (r *Reader) Skip(typ byte, depth int) {
	if depth > maxDepth {
		r.Bad = true
	}
	switch typ {
	case True, False, Byte:
		r.Take(1)
	case I16, I32, I64:
		r.Varint()
	case Double:
		r.Take(8)
	case UUID:
		r.Take(16)
	case Binary:
		r.Take(r.Varint())
	case List, Set:
		elem, n := r.List()
		for ; n > 0 && !r.Bad; n-- {
			r.Skip(elem, depth+1)
		}
	case Map:
		n := r.Varint()
		if n == 0 {
			return
		}
		types := r.Octet()
		for ; n > 0 && !r.Bad; n-- {
			r.Skip(types>>4, depth+1)
			r.Skip(types&15, depth+1)
		}
	case Struct:
		r.Structure(depth, func(int64, byte) bool { return false })
	default:
		r.Bad = true
	}
}
