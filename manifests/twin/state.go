package twin

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
)

// A state is that of SHA-256 between two blocks (FIPS 180-4, 6.2), in the order
// that the instructions want its words A to H: F E B A, H G D C.
type state [8]uint32

var order = [8]int{5, 4, 1, 0, 7, 6, 3, 2}

var initial = func() (s state) {
	s.decode(save(sha256.New(), nil))
	return s
}()

// How crypto/sha256 writes what it has taken in: a mark, the words, the bytes
// that are no block yet, and how many bytes there were. It keeps to that, so that
// a hash can be carried on by another version.
const (
	mark      = "sha\x03"
	savedSize = len(mark) + 8*4 + blockSize + 8
)

// save appends what h has taken in.
func save(h hash.Hash, b []byte) []byte {
	b, err := h.(encoding.BinaryAppender).AppendBinary(b)
	if err != nil {
		panic("twin: " + err.Error()) // it has no reason to
	}
	return b
}

// load turns h to what was saved.
func load(h hash.Hash, b []byte) {
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(b); err != nil {
		panic("twin: " + err.Error())
	}
}

// decode reads the words of what save wrote.
func (s *state) decode(b []byte) {
	for i, w := range order {
		s[i] = binary.BigEndian.Uint32(b[len(mark)+4*w:])
	}
}

// encode appends what save writes after n bytes, which are whole blocks.
func (s *state) encode(b []byte, n uint64) []byte {
	b = append(b, make([]byte, savedSize)...)
	at := b[len(b)-savedSize:]
	copy(at, mark)
	for i, w := range order {
		binary.BigEndian.PutUint32(at[len(mark)+4*w:], s[i])
	}
	binary.BigEndian.PutUint64(at[savedSize-8:], n)
	return b
}

// A resumer carries on with crypto/sha256 where two at once have ended.
type resumer struct {
	h   hash.Hash
	buf [savedSize]byte
	sum [sha256.Size]byte
}

func newResumer() *resumer { return &resumer{h: sha256.New()} }

// finish returns the hash of a message of which s has taken in n bytes, whole
// blocks, and rest is left.
func (r *resumer) finish(s *state, n uint64, rest []byte) [sha256.Size]byte {
	load(r.h, s.encode(r.buf[:0], n))
	r.h.Write(rest)
	r.h.Sum(r.sum[:0])
	return r.sum
}
