package unixfs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// keeping is Blocks that keeps what it decoded.
type keeping struct {
	unixfs.Blocks
	kept map[cid.Cid]*unixfs.Node
	read int
}

func (k *keeping) Node(ctx context.Context, c cid.Cid) (*unixfs.Node, error) {
	if n, ok := k.kept[c]; ok {
		return n, nil
	}
	b, err := k.Block(ctx, c)
	if err != nil {
		return nil, err
	}
	k.read++
	n, err := unixfs.DecodeNode(c, b)
	if err == nil {
		k.kept[c] = n
	}
	return n, err
}

// TestTrace: a path traced through kept nodes is the path resolved by blocks.
func TestTrace(t *testing.T) {
	m := newMemory()
	x := m.file(t, []byte("x"), 256, 4, true, false)
	many := make(map[string]ipld.Node)
	for i := range 3000 {
		many[fmt.Sprint(i)] = x
	}
	inner := m.dir(t, many, true)
	root := m.dir(t, map[string]ipld.Node{"many": inner, "x": x}, false)
	k := &keeping{Blocks: m, kept: make(map[cid.Cid]*unixfs.Node)}
	for range 2 {
		k.read = 0
		for i := range 3000 {
			got, err := unixfs.Trace(t.Context(), k, root.Cid(), []string{"many", fmt.Sprint(i)})
			if err != nil || len(got) != 3 || got[0] != root.Cid() || got[1] != inner.Cid() || got[2] != x.Cid() {
				t.Fatalf("%d: %v, %v", i, got, err)
			}
		}
	}
	if k.read != 0 {
		t.Errorf("%d nodes were read again", k.read)
	}
	for _, names := range [][]string{{"nothing"}, {"x", "below"}, {"many", "3000"}, {""}, {"many", "1", "2"}} {
		if _, err := unixfs.Trace(t.Context(), k, root.Cid(), names); !errors.Is(err, fault.NotFound) {
			t.Errorf("%q: %v", names, err)
		}
	}
	shards := 0
	for c := range k.kept[inner.Cid()].Children() {
		if c.Shard {
			shards++
		}
	}
	if shards == 0 {
		t.Error("a directory of 3,000 names has no shards below the first")
	}
	if entries, err := unixfs.ReadDirAtMost(t.Context(), k, inner.Cid(), 3000); err != nil || len(entries) != 3000 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	for _, c := range []cid.Cid{inner.Cid(), root.Cid()} {
		if _, err := unixfs.ReadDirAtMost(t.Context(), k, c, 1); !errors.Is(err, fault.TooLarge) {
			t.Errorf("more entries than one: %v", err)
		}
	}
}

// TestPlanRange: the leaves of a range are those of the whole plan that touch it.
func TestPlanRange(t *testing.T) {
	m := newMemory()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(0, 3000).Draw(rt, "size")
		n := m.file(t, random(uint64(size), size), rapid.SampledFrom([]int64{64, 100, 256}).Draw(rt, "chunk"), 3, rapid.Bool().Draw(rt, "raw"), false)
		off := rapid.Uint64Range(0, 3200).Draw(rt, "off")
		end := off + rapid.Uint64Range(1, 3200).Draw(rt, "n")
		var want, got []unixfs.Leaf
		if _, err := unixfs.Plan(t.Context(), m, n.Cid(), func(l unixfs.Leaf) error {
			if !l.Known || l.Off < end && l.Off+l.Size > off || n.Cid() == l.CID {
				want = append(want, l)
			}
			return nil
		}); err != nil {
			rt.Fatal(err)
		}
		if _, err := unixfs.PlanRange(t.Context(), m, n.Cid(), off, end, func(l unixfs.Leaf) error { got = append(got, l); return nil }); err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("%d-%d of %d: %v, want %v", off, end, size, got, want)
		}
	})
}
