package credit

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxID bounds the text of a party, statement or work. The longest did:key that
// cairn knows has 140 bytes.
const maxID = 255

// checkID accepts what stands in JSON without an escape and sorts before
// SelfKey.
func checkID(what, s string) error {
	if len(s) == 0 || len(s) > maxID {
		return fault.New(fault.Invalid, "%s %s: want 1 to %d bytes", what, fault.Quote(s), maxID)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= '~' || c == '"' || c == '\\' {
			return fault.New(fault.Invalid, "%s %s: want printable ASCII without spaces, quotes, \\ and ~", what, fault.Quote(s))
		}
	}
	return nil
}

// none is an id that no text has.
const none = math.MaxUint32

// chunkSize is the unit in which an interner's memory grows.
const chunkSize = 1 << 18

// An interner gives each text a number, from 0 in the order of arrival. Beside
// the bytes of the text it takes 17 to 25 bytes each, which is why it is not a
// map of strings. Reading is safe for concurrent use.
type interner struct {
	seed   maphash.Seed
	chunks [][]byte // each text with its length before it
	at     []uint64 // id to chunk·chunkSize + offset
	table  []uint32 // id+1 by hash, open addressing; a power of two
}

func (in *interner) len() int { return len(in.at) }

func (in *interner) text(id uint32) []byte {
	c, o := in.chunks[in.at[id]/chunkSize], in.at[id]%chunkSize
	return c[o+1 : o+1+uint64(c[o])]
}

func (in *interner) str(id uint32) string { return string(in.text(id)) }

// find returns the number of s, or none.
func (in *interner) find(s string) uint32 {
	if len(in.table) == 0 {
		return none
	}
	id, _ := in.slot(s)
	return id
}

func (in *interner) slot(s string) (id uint32, at int) {
	mask := len(in.table) - 1
	for i := int(maphash.String(in.seed, s)) & mask; ; i = (i + 1) & mask {
		switch e := in.table[i]; {
		case e == 0:
			return none, i
		case string(in.text(e-1)) == s:
			return e - 1, i
		}
	}
}

// add returns the number of s, which checkID has accepted, and whether it is new.
func (in *interner) add(s string) (id uint32, isNew bool) {
	if 4*(len(in.at)+1) > 3*len(in.table) {
		in.grow()
	}
	id, slot := in.slot(s)
	if id != none {
		return id, false
	}
	last := len(in.chunks) - 1
	if last < 0 || len(in.chunks[last])+1+len(s) > chunkSize {
		in.chunks = append(in.chunks, make([]byte, 0, chunkSize))
		last++
	}
	c := in.chunks[last]
	id = uint32(len(in.at))
	in.at = append(in.at, uint64(last)*chunkSize+uint64(len(c)))
	in.chunks[last] = append(append(c, byte(len(s))), s...)
	in.table[slot] = id + 1
	return id, true
}

func (in *interner) grow() {
	if in.table == nil {
		in.seed = maphash.MakeSeed()
	}
	in.table = make([]uint32, max(16, 2*len(in.table)))
	mask := len(in.table) - 1
	for id := range in.at {
		i := int(maphash.Bytes(in.seed, in.text(uint32(id)))) & mask
		for in.table[i] != 0 {
			i = (i + 1) & mask
		}
		in.table[i] = uint32(id) + 1
	}
}

// sort orders ids by the bytes of their texts.
func (in *interner) sort(ids []uint32) {
	if len(ids) < 2 {
		return
	}
	// Texts share a long prefix (did:key:z6Mk…): the eight bytes behind it
	// decide nearly always, and are compared as one number.
	prefix := in.text(ids[0])
	for _, id := range ids[1:] {
		t := in.text(id)
		n := 0
		for n < len(prefix) && n < len(t) && prefix[n] == t[n] {
			n++
		}
		prefix = prefix[:n]
	}
	type keyed struct {
		key uint64
		id  uint32
	}
	keys := make([]keyed, len(ids))
	for i, id := range ids {
		var b [8]byte
		copy(b[:], in.text(id)[len(prefix):])
		keys[i] = keyed{binary.BigEndian.Uint64(b[:]), id}
	}
	slices.SortFunc(keys, func(a, b keyed) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return bytes.Compare(in.text(a.id), in.text(b.id))
	})
	for i, k := range keys {
		ids[i] = k.id
	}
}
