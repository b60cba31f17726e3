// Package twin computes SHA-256 of two things at once. The instructions that
// processors have for SHA-256 wait for each other: one processor that takes in
// two messages side by side hashes about 1.4 times as many bytes as one that
// takes them in one after the other. Where there are no such instructions it is
// crypto/sha256, which also does all that is no whole block.
package twin

import (
	"crypto/sha256"
	"hash"
	"slices"
)

const (
	blockSize = 64
	// maxBlocks bounds how long one call of blocks2 takes, which the runtime
	// cannot interrupt: some 60 µs.
	maxBlocks = 1024
)

// Fast reports whether two at once are faster here than one after the other.
func Fast() bool { return fast }

// Sum256 sets sums[i] to the SHA-256 of msgs[i]. There must be at least as many
// sums as msgs.
func Sum256(sums [][sha256.Size]byte, msgs [][]byte) {
	if !fast || len(msgs) < 2 {
		for i, m := range msgs {
			sums[i] = sha256.Sum256(m)
		}
		return
	}
	r := newResumer()
	type lane struct {
		state
		i    int // of the message; -1 for none
		done uint64
		rest []byte
	}
	lanes := [2]lane{{i: -1}, {i: -1}}
	for next := 0; ; {
		for j := range lanes {
			l := &lanes[j]
			if l.i >= 0 && len(l.rest) >= blockSize {
				continue
			}
			if l.i >= 0 {
				sums[l.i] = r.finish(&l.state, l.done, l.rest)
				l.i = -1
			}
			if next < len(msgs) {
				*l = lane{state: initial, i: next, rest: msgs[next]}
				next++
			}
		}
		a, b := &lanes[0], &lanes[1]
		n := min(len(a.rest), len(b.rest)) / blockSize
		if a.i >= 0 && b.i >= 0 && n > 0 {
			both(&a.state, &b.state, a.rest, b.rest, n, nil, nil)
			for j := range lanes {
				lanes[j].done += uint64(n) * blockSize
				lanes[j].rest = lanes[j].rest[n*blockSize:]
			}
			continue
		}
		if next < len(msgs) {
			continue // a message that is shorter than a block
		}
		for j := range lanes {
			if l := &lanes[j]; l.i >= 0 {
				sums[l.i] = r.finish(&l.state, l.done, l.rest)
			}
		}
		return
	}
}

// both takes n blocks of p into a, and as many of q into b. With a roll it appends
// a hint for each block of p; there must be room for them.
func both(a, b *state, p, q []byte, n int, r *Roll, hints []byte) []byte {
	var h uint64
	for n > 0 {
		k := min(n, maxBlocks)
		if r == nil {
			blocks2(a, b, &p[0], &q[0], k)
		} else {
			at := len(hints)
			hints = hints[:at+k]
			h = rollBlocks2(a, b, &p[0], &q[0], k, r.Gear, r.Below, h, &hints[at])
		}
		p, q, n = p[k*blockSize:], q[k*blockSize:], n-k
	}
	return hints
}

// A Roll looks for the places where a gear hash is below a limit. The gear hash
// rolls over bytes, h<<1 + Gear[byte] after each, and so knows the last 64.
type Roll struct {
	Gear  *[256]uint64
	Below uint64
}

// A Stream is the SHA-256 of bytes that come one after another. It is used by one
// goroutine.
type Stream struct {
	h   hash.Hash // holds the truth between calls
	n   uint64
	r   *resumer
	buf []byte
}

// NewStream returns the Stream of no bytes yet.
func NewStream() *Stream { return &Stream{h: sha256.New(), r: newResumer()} }

// Reset begins anew.
func (s *Stream) Reset() {
	s.h.Reset()
	s.n = 0
}

// Write takes the next bytes. It does not fail.
func (s *Stream) Write(p []byte) (int, error) {
	s.n += uint64(len(p))
	return s.h.Write(p)
}

// Sum returns the SHA-256 of what came so far.
func (s *Stream) Sum() (sum [sha256.Size]byte) {
	s.h.Sum(sum[:0])
	return sum
}

// WriteSum is Write(p) and sha256.Sum256(q) at once. p and q may share memory.
func (s *Stream) WriteSum(p, q []byte) [sha256.Size]byte {
	sum, _ := s.WriteSumRoll(p, q, nil, nil)
	return sum
}

// WriteSumRoll is WriteSum, and beside it looks for places in p, which costs
// nothing: the hashes leave room for it. It appends to hints, for each 64 bytes of
// p from its beginning, 1 or 0; 0 says that after none of those bytes the hash is
// below the limit. The first is always 1, because the hash knows of bytes before
// p. There may be fewer hints than p is long, or none. They are exact otherwise.
func (s *Stream) WriteSumRoll(p, q []byte, r *Roll, hints []byte) ([sha256.Size]byte, []byte) {
	head := int(-s.n % blockSize) // what completes a block
	n := min(len(p)-head, len(q)) / blockSize
	if !fast || n <= 0 {
		s.Write(p)
		return sha256.Sum256(q), hints
	}
	if head > 0 {
		s.Write(p[:head])
		p, r = p[head:], nil // its blocks are not those of p
	}
	s.buf = save(s.h, s.buf[:0])
	var a state
	a.decode(s.buf)
	b := initial
	if r != nil {
		hints = slices.Grow(hints, n)
	}
	first := len(hints)
	if hints = both(&a, &b, p, q, n, r, hints); r != nil {
		hints[first] = 1
	}
	s.n += uint64(n) * blockSize
	s.buf = a.encode(s.buf[:0], s.n)
	load(s.h, s.buf)
	s.Write(p[n*blockSize:])
	return s.r.finish(&b, uint64(n)*blockSize, q[n*blockSize:]), hints
}
