package attribution

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/twin"
)

// The sizes of chunks. They are part of [ChunkFirstSeenV1] and have nothing to
// do with how a dataset is stored.
const (
	MinChunk = 16 << 10
	AvgChunk = 64 << 10
	MaxChunk = 256 << 10
)

// The masks of normalised chunking at level 2, an average of 2^16 bytes, have two
// bits more before the average is reached and two bits less after. They are
// the top bits, because bit 63 of the gear hash knows the last 64 bytes and
// bit i only the last i+1: every bit of the masks looks back 47 bytes or more.
// So a hash that the mask turns to 0 is one below a limit.
const (
	belowBefore = 1 << (64 - 18)
	belowAfter  = 1 << (64 - 14)
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
	var s search
	n, _ := s.end(b, 0, nil)
	return n
}

// A search is where the search for the end of one chunk stands: behind n bytes,
// with the gear hash h.
type search struct {
	n int
	h uint64
}

// end looks at p[from:], the next bytes. It returns the index in p behind those
// that belong to the chunk, and whether it ends there; then the search is one for
// the next chunk. hints are those of p.
func (s *search) end(p []byte, from int, hints []byte) (to int, ok bool) {
	begin := from - s.n                         // of the chunk
	i := min(max(begin+MinChunk, from), len(p)) // what comes before is in no hash
	normal := min(max(begin+AvgChunk, i), len(p))
	last := min(begin+MaxChunk, len(p))
	whole := begin + MinChunk + window - 1 // from here on the hash is that of the last bytes alone
	j, h := find(p, i, normal, whole, s.h, belowBefore, hints)
	if j == normal {
		j, h = find(p, normal, last, whole, h, belowAfter, hints)
	}
	if j < last || j-begin == MaxChunk {
		*s = search{}
		return j, true
	}
	s.n, s.h = j-begin, h
	return j, false
}

// window is how many bytes the gear hash knows, one for each of its bits.
const window = 64

// find rolls the gear hash h over p[i:to] until it is below a limit, and returns
// the index of the byte after which it is, or to. From the index whole on it leaves
// out blocks of which the hints say that there is nothing.
func find(p []byte, i, to, whole int, h, below uint64, hints []byte) (int, uint64) {
	for i < to {
		end, block := to, i/window
		if block < len(hints) {
			if i >= whole && block > 0 && hints[block] == 0 {
				n := bytes.IndexByte(hints[block:], 1)
				if n < 0 {
					n = len(hints) - block
				}
				i = min((block+n)*window, to)
				_, h = scan(p[i-window:i], 0, 0)
				continue
			}
			end = min((block+1)*window, to)
		}
		n, x := scan(p[i:end], h, below)
		if i, h = i+n, x; i < end {
			break
		}
	}
	return i, h
}

// scan rolls the gear hash h over b until it is below a limit, and returns how
// many bytes come before that: all, when it never is.
func scan(b []byte, h, below uint64) (int, uint64) {
	g := &gear
	i := 0
	// Four bytes at a time, and in a way in which the hash after two bytes does not
	// wait for the hash after one: h<<1 + a, then (h<<1 + a)<<1 + b = h<<2 + (a<<1 + b).
	for ; i <= len(b)-4; i += 4 {
		a, c := g[b[i]], g[b[i+1]]
		h1, h2 := h*2+a, h*4+(a*2+c)
		a, c = g[b[i+2]], g[b[i+3]]
		h3, h4 := h2*2+a, h2*4+(a*2+c)
		if h1 < below || h2 < below || h3 < below || h4 < below {
			break
		}
		h = h4
	}
	for ; i < len(b); i++ {
		if h = h<<1 + g[b[i]]; h < below {
			break
		}
	}
	return i, h
}

// gatherSize is how many bytes of small pieces are gathered before they are cut,
// so that there are several chunks at a time.
const gatherSize = 2 * MaxChunk

// A Chunker cuts one file, written to it in pieces of any size, into chunks.
// The cuts depend on the file's bytes only, not on the pieces. Of pieces of
// MaxChunk bytes or more it copies only what begins or ends a chunk. It holds at
// most 768 KiB.
type Chunker struct {
	emit   func(chunks [][]byte) error
	search search
	begun  []byte   // the bytes of the chunk that has begun
	small  []byte   // pieces that are not cut yet; they come behind begun
	chunks [][]byte // for emit
	err    error
	closed bool
}

// NewChunker returns a chunker of one file that hands each chunk to emit, in
// order. A chunk is valid during the call. An error of emit ends the work: it
// is what Write and Close return from then on.
func NewChunker(emit func(chunk []byte) error) *Chunker {
	return newChunker(func(chunks [][]byte) error {
		for _, b := range chunks {
			if err := emit(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// newChunker returns a chunker that hands over the chunks that it has found, some
// at a time.
func newChunker(emit func(chunks [][]byte) error) *Chunker { return &Chunker{emit: emit} }

// Reset begins another file.
func (c *Chunker) Reset() {
	c.search, c.begun, c.small = search{}, c.begun[:0], c.small[:0]
	c.err, c.closed = nil, false
}

// Roll is what finds the places where a chunk may end.
var Roll = &twin.Roll{Gear: &gear, Below: belowAfter}

// Write takes the next bytes of the file.
func (c *Chunker) Write(p []byte) (int, error) { return c.WriteHinted(p, nil) }

// WriteHinted is Write with the hints of p by [Roll], as [twin.Stream] gives them:
// it looks for the ends of chunks only where they may be. With other hints the cuts
// are others.
func (c *Chunker) WriteHinted(p, hints []byte) (int, error) {
	if c.closed && c.err == nil {
		c.err = fault.New(fault.Internal, "a chunker was written to after its end")
	}
	n := 0
	for c.err == nil && n < len(p) {
		if len(c.small) == 0 && len(p)-n >= MaxChunk {
			if n > 0 {
				hints = nil
			}
			c.cut(p[n:], hints)
			return len(p), c.err
		}
		if c.small == nil {
			c.small = make([]byte, 0, gatherSize)
		}
		k := min(gatherSize-len(c.small), len(p)-n)
		c.small = append(c.small, p[n:n+k]...)
		n += k
		if len(c.small) == gatherSize {
			c.cut(c.small, nil)
			c.small = c.small[:0]
		}
	}
	return n, c.err
}

// Close hands out what is left, as one chunk or more. An empty file has no
// chunks. Closing again does nothing.
func (c *Chunker) Close() error {
	if c.err == nil && !c.closed {
		c.cut(c.small, nil)
		if c.err == nil && len(c.begun) > 0 {
			c.err = c.emit(append(c.chunks[:0], c.begun))
		}
	}
	c.closed = true
	return c.err
}

// cut hands out the chunks that end in p, and keeps the bytes behind them.
func (c *Chunker) cut(p, hints []byte) {
	c.chunks = c.chunks[:0]
	begun := len(c.begun) > 0
	from := 0
	for from < len(p) {
		to, ok := c.search.end(p, from, hints)
		if !ok {
			break
		}
		b := p[from:to:to]
		if begun {
			c.keep(b)
			b, begun = c.begun, false
		}
		c.chunks = append(c.chunks, b)
		from = to
	}
	if len(c.chunks) > 0 {
		if c.err = c.emit(c.chunks); c.err != nil {
			return
		}
		c.begun = c.begun[:0]
	}
	c.keep(p[from:])
}

// keep adds to the chunk that has begun.
func (c *Chunker) keep(p []byte) {
	if c.begun == nil && len(p) > 0 {
		c.begun = make([]byte, 0, MaxChunk)
	}
	c.begun = append(c.begun, p...)
}
