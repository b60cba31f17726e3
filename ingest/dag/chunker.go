package dag

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	chunk "github.com/ipfs/boxo/chunker"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxChunk is the longest chunk a Chunker may give: a block less the frame of
// a dag-pb leaf.
const MaxChunk = chunk.ChunkSizeLimit

// A Chunker says where a file is cut into leaves.
type Chunker struct {
	spec string
	// size is the length of every chunk but the last; 0 when the content
	// decides.
	size int
	// min and max bound a content-defined chunk: every file shorter than min
	// is one chunk.
	min, max int
}

// Bounds of boxo's buzhash chunker, which has no parameters.
const (
	buzMin = 128 << 10
	buzMax = 512 << 10
)

// ParseChunker reads a chunker as Kubo writes them: "size-N", "buzhash",
// "rabin-MIN-AVG-MAX" (or "rabin-AVG", which is AVG/3 to 3·AVG/2), all in
// bytes. "" is the profile's own. It returns [fault.Invalid] for anything
// else and for chunks of more than [MaxChunk].
func ParseChunker(spec string, p Profile) (Chunker, error) {
	bad := func(format string, args ...any) (Chunker, error) {
		return Chunker{}, fault.WithHint(
			fault.New(fault.Invalid, "chunker %s: %s", fault.Quote(spec), fmt.Sprintf(format, args...)),
			"use size-N, buzhash, or rabin-MIN-AVG-MAX")
	}
	name, rest, _ := strings.Cut(spec, "-")
	switch name {
	case "":
		if spec == "" {
			return Chunker{spec: "size-" + strconv.Itoa(p.ChunkSize), size: p.ChunkSize, min: p.ChunkSize, max: p.ChunkSize}, nil
		}
	case "size":
		n, err := positive(rest)
		if err != nil {
			return bad("%v", err)
		}
		return Chunker{spec: "size-" + strconv.Itoa(n), size: n, min: n, max: n}, nil
	case "buzhash":
		if spec == name {
			return Chunker{spec: spec, min: buzMin, max: buzMax}, nil
		}
	case "rabin":
		if spec == name {
			rest = "262144" // as Kubo does
		}
		var v []int
		for part := range strings.SplitSeq(rest, "-") {
			n, err := positive(part)
			if err != nil {
				return bad("%v", err)
			}
			v = append(v, n)
		}
		if len(v) == 1 {
			v = []int{v[0] / 3, v[0], v[0] + v[0]/2}
		}
		if len(v) != 3 {
			return bad("rabin takes one number or three")
		}
		if v[0] < 16 || v[0] >= v[1] || v[1] >= v[2] || v[2] > MaxChunk {
			return bad("rabin needs 16 ≤ MIN < AVG < MAX ≤ %d", MaxChunk)
		}
		return Chunker{spec: fmt.Sprintf("rabin-%d-%d-%d", v[0], v[1], v[2]), min: v[0], max: v[2]}, nil
	}
	return bad("unknown")
}

func positive(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("%s is not a number", fault.Quote(s))
	}
	if n < 1 || n > MaxChunk {
		return 0, fmt.Errorf("%d is not between 1 and %d", n, MaxChunk)
	}
	return n, nil
}

// String returns the chunker in the one form in which it is recorded.
func (c Chunker) String() string { return c.spec }

// Fixed returns the length of every chunk but the last, or 0 when the content
// decides where to cut.
func (c Chunker) Fixed() int { return c.size }

// Max is the length no chunk exceeds.
func (c Chunker) Max() int { return c.max }

// Single reports whether a file of n bytes is certain to be one chunk, so that
// it need not be cut to be hashed.
func (c Chunker) Single(n int64) bool {
	if c.size > 0 {
		return n <= int64(c.size)
	}
	return n < int64(c.min)
}

// A Splitter gives the chunks of a stream in order, and io.EOF behind the last.
// A chunk is the caller's to keep. An empty stream has no chunk; its file has
// one empty leaf.
type Splitter interface{ NextBytes() ([]byte, error) }

// Split cuts r. Content-defined cutting is boxo's.
func (c Chunker) Split(r io.Reader) Splitter {
	switch {
	case c.size > 0:
		return chunk.NewSizeSplitter(r, int64(c.size))
	case c.spec == "buzhash":
		return chunk.NewBuzhash(r)
	}
	var lo, avg, hi uint64
	if _, err := fmt.Sscanf(c.spec, "rabin-%d-%d-%d", &lo, &avg, &hi); err != nil {
		panic("dag: Split of a zero Chunker")
	}
	return chunk.NewRabinMinMax(r, lo, avg, hi)
}
