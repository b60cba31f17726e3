package fetches

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"math/bits"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// maxPaths bounds the paths in one record, in bytes, so that it stays far below
// the size of an envelope.
const maxPaths = 256 << 10

// A counted is what of a version was sent.
type counted struct {
	total   uint64 // bytes of its files, each path counted
	covered uint64 // of these, sent at least once
	bytes   int64  // sent, as often as they were
	ranges  []manifests.FetchRange
	// from and to are the first and last second, extents how many were looked at.
	from, to int64
	extents  int
}

// coveragePpm is 1,000,000 only when nothing is missing.
func (c counted) coveragePpm() int64 {
	if c.total == c.covered {
		return 1_000_000
	}
	hi, lo := bits.Mul64(c.covered, 1_000_000)
	ppm, _ := bits.Div64(hi, lo, c.total)
	return int64(ppm)
}

const (
	// maxSteps bounds what a record costs: it is signed while others wait. A leaf is a
	// step: 8 TiB in leaves of a MiB. One whose length the index of blocks has to tell
	// takes some 10 µs, so that all is done within the two minutes that a client waits.
	maxSteps = 1 << 23
	// entrySteps are those of a path beside its leaves: its directory is read, and its
	// file measured.
	entrySteps = 2
)

// errEndless says that a tree has too many paths or leaves. It is said again whenever
// it is asked for.
var errEndless = fault.New(fault.TooLarge, "the data has too many files or leaves for a fetch record")

// cover holds extents against the tree below root. Files that keep bytes in inner
// nodes are not made of leaves alone, and count as not sent. A tree that cannot be
// held against anything in most steps is errEndless.
func cover(ctx context.Context, b unixfs.Blocks, root cid.Cid, extents []extent, most int) (counted, error) {
	v := newCovering(extents)
	v.most = most
	sum, err := unixfs.Walk(ctx, b, root, unixfs.Limits{}, func(e unixfs.Entry) error {
		if err := v.step(entrySteps); err != nil {
			return err
		}
		if e.Kind != unixfs.File || e.Size == 0 || len(v.groups) == 0 {
			return nil
		}
		v.begin(e.Path)
		_, err := unixfs.Plan(ctx, b, e.CID, func(l unixfs.Leaf) error {
			size := l.Size
			if !l.Known {
				size = e.Size
			}
			return v.leaf(l.CID, l.Off, size)
		})
		v.flush()
		v.file++
		return err
	})
	if err != nil {
		return counted{}, err
	}
	c := counted{total: uint64(sum.Bytes), covered: v.covered, bytes: int64(v.bytes)}
	if c.covered < c.total {
		c.ranges = v.longest()
	}
	return c, nil
}

// A covering is the state of cover.
type covering struct {
	extents []extent // in groups of one leaf, each by offset, apart from each other
	groups  []group  // by key
	bytes   uint64   // sent, of the leaves that were met
	steps   int
	most    int // of them

	covered  uint64
	path     string
	named    naming
	file     int
	from, to uint64 // the run of bytes that is being put together
	best     runs
	paths    int // bytes of those in best
}

// A naming is whether a record can name the file of a covering.
type naming byte

const (
	unasked naming = iota
	yes
	no
)

// A group is what was sent of one leaf.
type group struct {
	first, end uint32 // of its extents
	met        bool   // the tree holds the leaf
	bytes      uint64 // sent, as often as they were
}

// newCovering sorts extents, and joins those that touch or overlap: a leaf may stand
// at as many places as it was sent in parts.
func newCovering(extents []extent) *covering {
	slices.SortFunc(extents, func(a, b extent) int {
		return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.off, b.off))
	})
	v := &covering{most: maxSteps}
	out := extents[:0]
	for _, e := range extents {
		if len(out) == 0 || out[len(out)-1].key != e.key {
			v.groups = append(v.groups, group{first: uint32(len(out))})
			out = append(out, e)
		} else if last := &out[len(out)-1]; e.off <= last.off+last.n {
			last.n = max(last.off+last.n, e.off+e.n) - last.off
		} else {
			out = append(out, e)
		}
		g := &v.groups[len(v.groups)-1]
		g.end = uint32(len(out))
		g.bytes += uint64(e.n)
	}
	v.extents = out
	return v
}

func (v *covering) step(n int) error {
	if v.steps += n; v.steps > v.most {
		return errEndless
	}
	return nil
}

func (v *covering) begin(path string) { v.path, v.named, v.from, v.to = path, unasked, 0, 0 }

// leaf takes the extents of a leaf that stands at pos of the file.
func (v *covering) leaf(c cid.Cid, pos, size uint64) error {
	key := keyOf(c)
	i, ok := slices.BinarySearchFunc(v.groups, key, func(g group, k [16]byte) int { return bytes.Compare(v.extents[g.first].key[:], k[:]) })
	if !ok {
		return v.step(1)
	}
	g := &v.groups[i]
	if !g.met {
		g.met = true
		v.bytes += g.bytes
	}
	for _, e := range v.extents[g.first:g.end] {
		from, to := pos+min(uint64(e.off), size), pos+min(uint64(e.off)+uint64(e.n), size)
		if from > v.to || v.to == v.from {
			v.flush()
			v.from, v.to = from, from
		}
		v.to = max(v.to, to)
	}
	return v.step(1 + int(g.end-g.first))
}

// flush ends the run.
func (v *covering) flush() {
	if v.to == v.from {
		return
	}
	n := v.to - v.from
	v.covered += n
	r := run{v.file, manifests.FetchRange{Path: v.path, Offset: int64(v.from), Length: int64(n)}}
	v.from, v.to = 0, 0
	if len(v.best) == manifests.MaxFetchRanges && r.Length <= v.best[0].Length {
		return // there are as many that are as long, and come before
	}
	if v.named == unasked {
		if v.named = yes; r.Validate() != nil {
			v.named = no
		}
	}
	if v.named == no {
		return
	}
	heap.Push(&v.best, r)
	v.paths += len(r.Path)
	for len(v.best) > manifests.MaxFetchRanges || v.paths > maxPaths {
		v.paths -= len(heap.Pop(&v.best).(run).Path)
	}
}

// longest are the longest runs, in the order of the tree.
func (v *covering) longest() []manifests.FetchRange {
	slices.SortFunc(v.best, func(a, b run) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.Offset, b.Offset)) })
	out := make([]manifests.FetchRange, len(v.best))
	for i, r := range v.best {
		out[i] = r.FetchRange
	}
	return out
}

type run struct {
	file int // its place in the tree
	manifests.FetchRange
}

// runs are a heap with the shortest on top: of two that are as long, the later.
type runs []run

func (r runs) Len() int      { return len(r) }
func (r runs) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *runs) Push(x any)   { *r = append(*r, x.(run)) }
func (r *runs) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}
func (r runs) Less(i, j int) bool {
	if r[i].Length != r[j].Length {
		return r[i].Length < r[j].Length
	}
	return cmp.Or(cmp.Compare(r[i].file, r[j].file), cmp.Compare(r[i].Offset, r[j].Offset)) > 0
}
