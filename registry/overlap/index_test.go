package overlap

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/sketch"
)

// world is what an index should know, kept simply.
type world struct {
	x      *Index
	hashes map[uint64][]uint64 // by dataset
	works  map[uint64]string
}

func newWorld(dir string, stop int) *world {
	x := New(nil, Config{Dir: dir, Stop: stop})
	x.state, x.datasets = &state{Origin: "o"}, make(map[uint64]dataset)
	return &world{x, make(map[uint64][]uint64), make(map[uint64]string)}
}

// want counts as owners does, from what is kept.
func (w *world) want(s sketch.Sketch, before uint64) (shared map[uint64]int, counted int) {
	shared = make(map[uint64]int)
	for _, h := range s.Hashes {
		works := make(map[string]bool)
		for i, list := range w.hashes {
			if slices.Contains(list, h) {
				works[w.works[i]] = true
			}
		}
		if len(works) > w.x.cfg.Stop {
			continue
		}
		counted++
		for i, list := range w.hashes {
			if i < before && slices.Contains(list, h) {
				shared[i]++
			}
		}
	}
	return shared, counted
}

// TestOwners: whatever the batches, and after the files are read again, the
// index knows what was put in; a hash of many works does not count; what is a
// record is no chunk.
func TestOwners(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "overlap")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		w := newWorld(dir, rapid.IntRange(1, 3).Draw(t, "stop"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		at := uint64(1)
		for range rapid.IntRange(1, 9).Draw(t, "batches") {
			var rows []dataset
			var list []posting
			for range rapid.IntRange(0, 3).Draw(t, "datasets") {
				work := fmt.Sprintf("wk:%d", r.IntN(5))
				set := make(map[uint64]bool)
				for range r.IntN(600) {
					set[uint64(r.IntN(900))<<53] = true
				}
				for h := range set {
					list = append(list, posting{h, at}, posting{h + 1, at | ofChunk})
				}
				w.hashes[at], w.works[at] = slices.Collect(maps.Keys(set)), work
				rows = append(rows, dataset{Index: at, Statement: fmt.Sprint(at), Work: work, Records: &sample{0, len(set)}})
				at += uint64(1 + r.IntN(3))
			}
			if err := w.x.commit(at, rows, list); err != nil {
				t.Fatal(err)
			}
		}
		n := len(w.x.segments)
		for i := 1; i < n; i++ {
			if w.x.segments[i-1].n < 2*w.x.segments[i].n {
				t.Fatalf("segment %d has %d postings, the next %d", i-1, w.x.segments[i-1].n, w.x.segments[i].n)
			}
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(files) != n {
			t.Fatalf("%d files for %d segments", len(files), n)
		}
		var b sketch.Builder
		for range 300 {
			b.Add(uint64(r.IntN(900)) << 53)
		}
		ask := b.Sketch()
		for _, reload := range []bool{false, true} {
			if reload {
				if err := w.x.shut(); err != nil {
					t.Fatal(err)
				}
				if err := w.x.load(); err != nil {
					t.Fatal(err)
				}
			}
			before := uint64(r.IntN(int(at) + 1))
			got, counted, err := w.x.owners(context.Background(), ask, ofRecord, before)
			if err != nil {
				t.Fatal(err)
			}
			want, n := w.want(ask, before)
			if !maps.Equal(got, want) || len(counted) != n {
				t.Fatalf("reloaded %t, before %d: %v of %d, want %v of %d", reload, before, got, len(counted), want, n)
			}
			if got, _, err := w.x.owners(context.Background(), ask, ofChunk, before); err != nil || len(got) > 0 {
				t.Fatalf("records are found among the chunks: %v, %v", got, err)
			}
		}
		w.x.shut()
	})
}

// TestDamage flips each byte of a segment: it is not opened.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeSegment(dir, "a", sortedPostings([]posting{{5, 1}, {3, 2}, {5, 7 | ofChunk}})); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1
		if err := os.WriteFile(filepath.Join(dir, "b"), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := openSegment(dir, "b"); err == nil {
			s.close()
			t.Errorf("byte %d flipped, and it is opened", i)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "b"), good[:len(good)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSegment(dir, "b"); err == nil {
		t.Error("a segment that is cut off is opened")
	}
}

// TestFinding: one hash of a small sample is none, many are.
func TestFinding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    sketch.Estimate
		want bool
	}{
		{sketch.Estimate{}, false},
		{sketch.Estimate{Shared: 1, Of: 20, K: 5}, false},
		{sketch.Estimate{Shared: 1, Of: 20}, true}, // not sampled: it is so
		{sketch.Estimate{Shared: 1, Of: 101}, false},
		{sketch.Estimate{Shared: 164, Of: 16384, K: 4}, true},
		{sketch.Estimate{Shared: 100, Of: 16384, K: 4}, false},
		{sketch.Estimate{Shared: 10, Of: 10, K: 9}, true},
		{sketch.Estimate{Shared: 1, Of: 1, K: 6}, false}, // one of some 64 records
		{sketch.Estimate{Shared: 1, Of: 1}, true},
		{sketch.Estimate{Shared: 2, Of: 2, K: 6}, true},
	} {
		if got := finding(c.e); got != c.want {
			t.Errorf("finding(%+v) = %t", c.e, got)
		}
	}
}
