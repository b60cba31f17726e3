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

// cover holds extents against the tree below root. Files that keep bytes in inner
// nodes are not made of leaves alone, and count as not sent.
func cover(ctx context.Context, b unixfs.Blocks, root cid.Cid, extents []extent) (counted, error) {
	slices.SortFunc(extents, func(a, b extent) int {
		return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.off, b.off))
	})
	v := &covering{extents: extents, used: make([]bool, len(extents))}
	sum, err := unixfs.Walk(ctx, b, root, unixfs.Limits{}, func(e unixfs.Entry) error {
		if e.Kind != unixfs.File || e.Size == 0 || len(extents) == 0 {
			return nil
		}
		v.begin(e.Path)
		_, err := unixfs.Plan(ctx, b, e.CID, func(l unixfs.Leaf) error {
			size := l.Size
			if !l.Known {
				size = e.Size
			}
			v.leaf(l.CID, l.Off, size)
			return nil
		})
		v.flush()
		v.file++
		return err
	})
	if err != nil {
		return counted{}, err
	}
	c := counted{total: uint64(sum.Bytes), covered: v.covered}
	for i, used := range v.used {
		if used {
			c.bytes += int64(extents[i].n)
		}
	}
	if c.covered < c.total {
		c.ranges = v.longest()
	}
	return c, nil
}

// A covering is the state of cover.
type covering struct {
	extents []extent // sorted by key and offset
	used    []bool
	covered uint64

	path     string
	file     int
	from, to uint64 // the run of bytes that is being put together
	best     runs
	paths    int // bytes of those in best
}

func (v *covering) begin(path string) { v.path, v.from, v.to = path, 0, 0 }

// leaf takes the extents of a leaf that stands at pos of the file.
func (v *covering) leaf(c cid.Cid, pos, size uint64) {
	key := keyOf(c)
	i, ok := slices.BinarySearchFunc(v.extents, key, func(e extent, k [16]byte) int { return bytes.Compare(e.key[:], k[:]) })
	if !ok {
		return
	}
	for ; i < len(v.extents) && v.extents[i].key == key; i++ {
		e := v.extents[i]
		v.used[i] = true
		from, to := pos+min(uint64(e.off), size), pos+min(uint64(e.off)+uint64(e.n), size)
		if from > v.to || v.to == v.from {
			v.flush()
			v.from, v.to = from, from
		}
		v.to = max(v.to, to)
	}
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
	if r.Validate() != nil {
		return // no record can name it
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
