package attribution

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// The sizes of chunks. They are part of [ChunkFirstSeenV1] and have nothing to
// do with how a dataset is stored.
const (
	MinChunk = 16 << 10
	AvgChunk = 64 << 10
	MaxChunk = 256 << 10
)

// The masks of normalised chunking at level 2: an average of 2^16 bytes, two
// bits more before the average is reached and two bits less after. They are
// the top bits, because bit 63 of the gear hash knows the last 64 bytes and
// bit i only the last i+1: every bit of the masks looks back 47 bytes or more.
const (
	maskBefore = 0xffff_c000_0000_0000 // 18 bits
	maskAfter  = 0xfffc_0000_0000_0000 // 14 bits
)

// gear is the table of the gear hash. FORMAT.md prints it.
var gear = makeGear()

func makeGear() (g [256]uint64) {
	for i := range g {
		h := sha256.Sum256(append([]byte("cairn-gear/1"), byte(i)))
		g[i] = binary.BigEndian.Uint64(h[:])
	}
	return g
}

// Cut returns the length of the first chunk of b by FastCDC with normalised
// chunking (Xia et al., USENIX ATC 2016, algorithm 2). b must hold MaxChunk
// bytes, or all that is left of the file. The result is 0 only for an empty b,
// at most MaxChunk, and below MinChunk only where the file ends.
func Cut(b []byte) int {
	if len(b) <= MinChunk {
		return len(b)
	}
	b = b[:min(len(b), MaxChunk)]
	normal := min(len(b), AvgChunk)
	var h uint64
	for i, c := range b[MinChunk:normal] {
		if h = h<<1 + gear[c]; h&maskBefore == 0 {
			return MinChunk + i
		}
	}
	for i, c := range b[normal:] {
		if h = h<<1 + gear[c]; h&maskAfter == 0 {
			return normal + i
		}
	}
	return len(b)
}

// chunkBuffer is the room of a Chunker: three chunks of the greatest size are
// cut before what is left over is moved to the front.
const chunkBuffer = 4 * MaxChunk

// A Chunker cuts one file, written to it in pieces of any size, into chunks.
// The cuts depend on the file's bytes only, not on the pieces. It holds 1 MiB.
type Chunker struct {
	emit   func(chunk []byte) error
	buf    []byte
	err    error
	closed bool
}

// NewChunker returns a chunker of one file that hands each chunk to emit, in
// order. A chunk is valid during the call. An error of emit ends the work: it
// is what Write and Close return from then on.
func NewChunker(emit func(chunk []byte) error) *Chunker {
	return &Chunker{emit: emit, buf: make([]byte, 0, chunkBuffer)}
}

// Reset begins another file.
func (c *Chunker) Reset() { c.buf, c.err, c.closed = c.buf[:0], nil, false }

// Write takes the next bytes of the file.
func (c *Chunker) Write(p []byte) (int, error) {
	if c.closed && c.err == nil {
		c.err = fault.New(fault.Internal, "a chunker was written to after its end")
	}
	n := 0
	for c.err == nil && n < len(p) {
		k := copy(c.buf[len(c.buf):cap(c.buf)], p[n:])
		c.buf = c.buf[:len(c.buf)+k]
		n += k
		if len(c.buf) == cap(c.buf) {
			c.cut(MaxChunk)
		}
	}
	return n, c.err
}

// Close hands out what is left, as one chunk or more. An empty file has no
// chunks. Closing again does nothing.
func (c *Chunker) Close() error {
	if c.err == nil && !c.closed {
		c.cut(1)
	}
	c.closed = true
	return c.err
}

// cut hands out chunks for as long as least bytes are in the buffer.
func (c *Chunker) cut(least int) {
	used := 0
	for len(c.buf)-used >= least {
		n := Cut(c.buf[used:])
		if c.err = c.emit(c.buf[used : used+n : used+n]); c.err != nil {
			return
		}
		used += n
	}
	c.buf = c.buf[:copy(c.buf, c.buf[used:])]
}
