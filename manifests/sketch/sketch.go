// Package sketch makes and compares record sketches: small, deterministic
// samples of the records of a dataset, by which reuse is found that reorders,
// filters or re-encodes them. A sketch depends on the set of records alone, not
// on their order, the names of their fields, or the format of their files.
//
// FORMAT.md is normative for the values, the hashes and the bytes. What a
// sketch proves is small: whoever made it may have left records out. It is a
// claim that anyone who has the data can compute again.
package sketch

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// The names of this format in a manifest.
const (
	Algo  = "frac-minhash-v1"
	Canon = "values-v1"
)

const (
	// MaxHashes bounds a sketch: 128 KiB, one block, and a standard error of
	// 0.6 points at most where a share is estimated from all of them.
	MaxHashes = 16384
	// MaxK bounds the sampling: 2^52 is the largest scale that JSON keeps
	// exactly and a power of two.
	MaxK = 52
	// header begins the bytes of a sketch.
	header = "cairn-sketch/1\n"
	// MaxBytes is the size of the largest sketch.
	MaxBytes = len(header) + 1 + 4 + 8*MaxHashes
)

// A Sketch is a sample of a set of hashes: those below 2^64/2^K. The zero value
// is the sketch of nothing.
type Sketch struct {
	K      uint8    // at most MaxK
	Hashes []uint64 // ascending, each once, at most MaxHashes
}

// Scale is how many hashes one of the sample stands for: 2^K.
func (s Sketch) Scale() int64 { return 1 << s.K }

// within reports whether h belongs to a sketch of the sampling k.
func within(h uint64, k uint8) bool { return k == 0 || h>>(64-k) == 0 }

// At returns the sketch that the same set has at the sampling k, which must not
// be below s.K. It shares the memory of s.
func (s Sketch) At(k uint8) Sketch {
	n := len(s.Hashes)
	if k > s.K {
		n, _ = slices.BinarySearch(s.Hashes, 1<<(64-k))
	}
	return Sketch{max(k, s.K), s.Hashes[:n:n]}
}

// Merge returns the sketch of the union of the sets that the sketches are of:
// the same as if one Builder had seen them all.
func Merge(list ...Sketch) Sketch {
	var b Builder
	for _, s := range list {
		b.AddSketch(s)
	}
	return b.Sketch()
}

// Encode returns the bytes of s, the only ones that [Decode] reads as s.
func (s Sketch) Encode() []byte {
	b := make([]byte, 0, len(header)+5+8*len(s.Hashes))
	b = append(append(b, header...), s.K)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Hashes)))
	for _, h := range s.Hashes {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

// Decode reads a sketch. It accepts exactly what [Sketch.Encode] returns;
// everything else is fault.Invalid.
func Decode(b []byte) (Sketch, error) {
	const fixed = len(header) + 5
	if len(b) < fixed || string(b[:len(header)]) != header {
		return Sketch{}, fault.New(fault.Invalid, "a sketch begins with the line %q", header)
	}
	k, n := b[len(header)], binary.BigEndian.Uint32(b[len(header)+1:])
	if k > MaxK || n > MaxHashes || len(b) != fixed+8*int(n) {
		return Sketch{}, fault.New(fault.Invalid, "a sketch of %d bytes claims %d hashes at the sampling %d", len(b), n, k)
	}
	s := Sketch{K: k}
	if n > 0 {
		s.Hashes = make([]uint64, n)
	}
	for i := range s.Hashes {
		h := binary.BigEndian.Uint64(b[fixed+8*i:])
		if !within(h, k) {
			return Sketch{}, fault.New(fault.Invalid, "hash %d of a sketch is not in its sample", i)
		}
		if i > 0 && s.Hashes[i-1] >= h {
			return Sketch{}, fault.New(fault.Invalid, "the hashes of a sketch must ascend")
		}
		s.Hashes[i] = h
	}
	return s, nil
}

// A Builder makes a sketch of hashes that come in any order, any number of
// times. The zero value is ready. It holds at most 256 KiB.
type Builder struct {
	k      uint8
	hashes []uint64 // the first sorted ones ascend, each once; the rest as it came
	sorted int
}

// Add takes a hash.
func (b *Builder) Add(h uint64) {
	if !within(h, b.k) {
		return
	}
	if len(b.hashes) == 2*MaxHashes {
		b.settle()
		if !within(h, b.k) {
			return
		}
	}
	b.hashes = append(b.hashes, h)
}

// AddSketch takes the set that s is a sketch of.
func (b *Builder) AddSketch(s Sketch) {
	if s.K > b.k {
		b.k = s.K
		b.sorted = 0
		b.hashes = slices.DeleteFunc(b.hashes, func(h uint64) bool { return !within(h, b.k) })
	}
	for _, h := range s.Hashes {
		b.Add(h)
	}
}

// settle sorts what came, and raises k until no more than MaxHashes are left.
func (b *Builder) settle() {
	if b.sorted < len(b.hashes) {
		slices.Sort(b.hashes)
		b.hashes = slices.Compact(b.hashes)
	}
	for len(b.hashes) > MaxHashes && b.k < MaxK {
		b.k++
		n, _ := slices.BinarySearch(b.hashes, 1<<(64-b.k))
		b.hashes = b.hashes[:n]
	}
	// At MaxK 2^66 records fill a sketch: only made-up hashes get here.
	b.hashes = b.hashes[:min(len(b.hashes), MaxHashes)]
	b.sorted = len(b.hashes)
}

// Sketch returns the sketch of what came so far: the one with the smallest K
// that keeps at most [MaxHashes].
func (b *Builder) Sketch() Sketch {
	b.settle()
	s := Sketch{K: b.k}
	if len(b.hashes) > 0 {
		s.Hashes = slices.Clone(b.hashes)
	}
	return s
}

// Reset forgets what came.
func (b *Builder) Reset() { b.k, b.sorted, b.hashes = 0, 0, b.hashes[:0] }

// An Estimate says which part of a set is in another.
type Estimate struct {
	Shared int // hashes of the sample that both have
	Of     int // hashes of the sample; 0 when the samples are too small to compare
	K      uint8
}

// Containment estimates which part of the records of b are in a too. The two
// are compared at the larger of their samplings.
func Containment(a, b Sketch) Estimate {
	k := max(a.K, b.K)
	x, y := a.At(k).Hashes, b.At(k).Hashes
	e := Estimate{Of: len(y), K: k}
	for i := 0; i < len(x) && len(y) > 0; {
		switch {
		case x[i] < y[0]:
			i++
		case x[i] > y[0]:
			y = y[1:]
		default:
			e.Shared++
			i++
			y = y[1:]
		}
	}
	return e
}

// Share is the estimated part, 0 to 1.
func (e Estimate) Share() float64 {
	if e.Of == 0 {
		return 0
	}
	return float64(e.Shared) / float64(e.Of)
}

// StdErr is the standard error of Share. It is 0 only when everything was
// compared. The sample has each record with the probability f = 2^-K, so the
// variance of the quotient is (1-f)·p(1-p)/n; p is taken no nearer to 0 and to 1
// than half a hash, since a sample of one hash is certain of nothing.
func (e Estimate) StdErr() float64 {
	if e.Of == 0 {
		return 1
	}
	n := float64(e.Of)
	p, f := min(max(e.Share(), 0.5/n), 1-0.5/n), math.Pow(2, -float64(e.K))
	return math.Sqrt((1 - f) * p * (1 - p) / n)
}
