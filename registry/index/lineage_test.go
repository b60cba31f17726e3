package index_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	graph "github.com/cairn-registry/cairn/manifests/lineage"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

// TestLineageIsTheEffects holds graphs of random logs against what the effects
// say: the nodes are those within the depth, no more and no fewer, each link is
// there once, and everything below what is withdrawn is marked.
func TestLineageIsTheEffects(t *testing.T) {
	nodes, links, marked := 0, 0, 0
	for seed := range uint64(10) {
		entries := history(100+seed, 250)
		x, s := inMemory(t), fold.NewState(foldtest.Origin)
		apply(t, x, s, entries)
		parents := make(map[cid.Cid]map[cid.Cid]bool) // by version or usage
		gone := make(map[cid.Cid]bool)
		join := func(from, to cid.Cid) {
			if parents[from] == nil {
				parents[from] = make(map[cid.Cid]bool)
			}
			if to.Defined() {
				parents[from][to] = true
			}
		}
		versions := []cid.Cid{}
		node := func(n fold.Node) {
			versions = append(versions, n.Statement.Cid)
			join(n.Statement.Cid, cid.Undef)
			for _, e := range n.Edges {
				join(n.Statement.Cid, e.Statement.Cid)
			}
		}
		again := fold.NewState(foldtest.Origin)
		erased := make(map[uint64]bool)
		at := make(map[cid.Cid]uint64)
		for i, e := range entries {
			for _, effect := range again.Apply(e).Effects {
				switch e := effect.(type) {
				case fold.AddVersion:
					node(e.Node)
					at[e.Statement.Cid] = uint64(i)
					for _, src := range e.Sources {
						join(e.Statement.Cid, src.Statement.Cid)
					}
				case fold.AddModel:
					node(e.Node)
					at[e.Statement.Cid] = uint64(i)
					for _, u := range e.Usages {
						join(e.Statement.Cid, u.Cid)
					}
					for _, src := range e.Sources {
						join(e.Statement.Cid, src.Statement.Cid)
					}
				case fold.AddUsage:
					at[e.Statement.Cid] = uint64(i)
					for _, in := range e.Inputs {
						join(e.Statement.Cid, in.Statement.Cid)
					}
					join(e.Statement.Cid, e.About.Cid)
				case fold.AddWithdrawal:
					gone[e.About.Cid] = gone[e.About.Cid] || !e.Flag
				case fold.AddTombstone:
					erased[e.Index] = true
				}
			}
		}
		for c, i := range at {
			gone[c] = gone[c] || erased[i]
		}
		children := make(map[cid.Cid]map[cid.Cid]bool)
		for from, list := range parents {
			for to := range list {
				if children[to] == nil {
					children[to] = make(map[cid.Cid]bool)
				}
				children[to][from] = true
			}
		}
		reach := func(root cid.Cid, next map[cid.Cid]map[cid.Cid]bool, depth int) map[cid.Cid]bool {
			seen, ring := map[cid.Cid]bool{root: true}, []cid.Cid{root}
			for range depth {
				var outer []cid.Cid
				for _, c := range ring {
					for o := range next[c] {
						if !seen[o] {
							seen[o] = true
							outer = append(outer, o)
						}
					}
				}
				ring = outer
			}
			return seen
		}
		err := x.View(func(v *index.Snapshot) error {
			for i, root := range versions {
				direction, depth := []string{graph.Up, graph.Down, graph.Both}[i%3], 1+i%5
				g, err := v.Lineage(root, index.LineageQuery{Direction: direction, Depth: depth})
				if err != nil {
					return err
				}
				want := map[cid.Cid]bool{root: true}
				if direction != graph.Down {
					for c := range reach(root, parents, depth) {
						want[c] = true
					}
				}
				if direction != graph.Up {
					for c := range reach(root, children, depth) {
						want[c] = true
					}
				}
				if len(g.Nodes) != len(want) || g.Truncated {
					t.Fatalf("seed %d: %s of %s to depth %d has %d nodes, want %d", seed, direction, root, depth, len(g.Nodes), len(want))
				}
				joined := make(map[[2]cid.Cid]bool)
				for _, l := range g.Links {
					if l.To.Defined() {
						joined[[2]cid.Cid{l.From.Cid, l.To.Cid}] = true
						if !parents[l.From.Cid][l.To.Cid] {
							t.Errorf("a link that nobody declared: %+v", l)
						}
					}
				}
				shown := 0
				for from, list := range parents {
					for to := range list {
						if want[from] && want[to] {
							shown++
						}
					}
				}
				if len(joined) != shown {
					t.Errorf("seed %d: %d pairs are joined, want %d", seed, len(joined), shown)
				}
				for _, n := range g.Nodes {
					if !want[n.Statement.Cid] {
						t.Errorf("%s is not within reach", n.Statement)
					}
					if (n.Withdrawn != nil || n.Erased != nil) != gone[n.Statement.Cid] {
						t.Errorf("%s: gone is %v, %v, want %t", n.Statement, n.Withdrawn, n.Erased, gone[n.Statement.Cid])
					}
					above := false
					for c := range reach(n.Statement.Cid, parents, 100) {
						above = above || c != n.Statement.Cid && gone[c] && want[c] && within(n.Statement.Cid, c, parents, want)
					}
					if above != (len(n.WithdrawnUpstream) > 0) {
						t.Errorf("%s: marked %v, want %t", n.Statement, n.WithdrawnUpstream, above)
					}
					if above {
						marked++
					}
				}
				nodes, links = nodes+len(g.Nodes), links+len(joined)

				if small, err := v.Lineage(root, index.LineageQuery{Direction: direction, Depth: depth, Limit: 1}); err != nil || len(small.Nodes) != 1 || small.Truncated != (len(want) > 1) {
					t.Errorf("a graph of one node: %+v, %v", small, err)
				}
			}
			for _, q := range []index.LineageQuery{{Direction: "sideways", Depth: 1}, {Direction: graph.Up}, {Direction: graph.Up, Depth: 65}, {Direction: graph.Up, Depth: 1, Limit: 1001}} {
				if _, err := v.Lineage(versions[0], q); !errors.Is(err, fault.Invalid) {
					t.Errorf("%+v: %v", q, err)
				}
			}
			if _, err := v.Lineage(foldtest.RawCID("nothing"), index.LineageQuery{Direction: graph.Up, Depth: 1}); !errors.Is(err, fault.NotFound) {
				t.Errorf("the lineage of nothing: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if nodes < 400 || links < 250 || marked < 20 {
		t.Errorf("%d nodes, %d links, %d marked: the logs are too thin to show anything", nodes, links, marked)
	}
}

// within reports whether a path leads from one node to another inside a set.
func within(from, to cid.Cid, parents map[cid.Cid]map[cid.Cid]bool, set map[cid.Cid]bool) bool {
	seen, stack := map[cid.Cid]bool{}, []cid.Cid{from}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if c == to && c != from {
			return true
		}
		if seen[c] || !set[c] {
			continue
		}
		seen[c] = true
		for p := range parents[c] {
			if set[p] {
				stack = append(stack, p)
			}
		}
	}
	return false
}

// BenchmarkLineage asks for the widest graph there can be: one version, and a
// thousand that come from it.
func BenchmarkLineage(b *testing.B) {
	var w foldtest.World
	bodies := []foldtest.Body{foldtest.Log(manifests.New(w.Registry(1, "op")), "op")}
	root := foldtest.Version(w.Contribution("ana", "root", "1.0.0"))
	bodies = append(bodies, foldtest.Log(root, "ana"))
	for i := range 1500 {
		c := w.Contribution("ben", fmt.Sprint("set-", i), "1.0.0")
		c.Sources = []manifests.Source{{Rel: manifests.DerivedFrom, Statement: cjson.CID{Cid: foldtest.CID(root)}}}
		bodies = append(bodies, foldtest.Log(foldtest.Version(c), "ben"))
	}
	x := inMemory(b)
	if _, err := x.Apply(b.Context(), 0, read(bodies)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		err := x.View(func(s *index.Snapshot) error {
			g, err := s.Lineage(foldtest.CID(root), index.LineageQuery{Direction: graph.Both, Depth: 64})
			if err == nil && (len(g.Nodes) != index.MaxLineageNodes || !g.Truncated) {
				b.Fatalf("%d nodes", len(g.Nodes))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
