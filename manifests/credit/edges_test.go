package credit_test

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// child makes a version with share total 1 and the weights of its parents.
func child(parents ...credit.Parent) credit.Child {
	c := credit.Child{Work: "wk:child", Parents: parents, EdgeTotal: credit.PPM, ShareTotal: 1}
	c.SelfWeight = c.EdgeTotal
	for i := range parents {
		c.SelfWeight -= parents[i].Weight
		parents[i].Depth = max(parents[i].Depth, 1)
		if parents[i].Work == "" {
			parents[i].Work = "wk:" + parents[i].Statement
		}
	}
	return c
}

func TestCheckEdges(t *testing.T) {
	sum := func(rate uint64) *credit.EdgeRules { return &credit.EdgeRules{RatePpm: rate} }
	pool := &credit.EdgeRules{Stacking: credit.StackPool, Pool: "p", PoolPpm: 30_000}
	many := make([]credit.Parent, credit.MaxEdges+1)
	for i := range many {
		many[i] = credit.Parent{Statement: strconv.Itoa(i), Weight: 1}
	}
	weighted := child(credit.Parent{Statement: "a", Weight: 200_000, Share: 2, Rules: &credit.EdgeRules{RatePpm: 100_000, Stacking: credit.StackWeighted}})
	weighted.ShareTotal, weighted.EdgeTotal, weighted.SelfWeight = 3, 3_000_000, 2_800_000
	short := weighted
	short.Parents = slices.Clone(weighted.Parents)
	short.Parents[0].Weight--
	short.SelfWeight++

	for _, c := range []struct {
		name  string
		child credit.Child
		want  credit.EdgeCode
	}{
		{"no parents", credit.Child{}, ""},
		{"sum met", child(credit.Parent{Statement: "a", Weight: 50_000, Rules: sum(50_000)}), ""},
		{"sum missed", child(credit.Parent{Statement: "a", Weight: 49_999, Rules: sum(50_000)}), credit.Underpaid},
		{"sum of a source without an edge", child(credit.Parent{Statement: "a", Rules: sum(1)}), credit.Underpaid},
		{"own work pays no rate", child(credit.Parent{Statement: "a", Work: "wk:child", Weight: 1, Rules: sum(50_000)}), ""},
		{"weighted met", weighted, ""},
		{"weighted missed", short, credit.Underpaid},
		{"pool once for two", child(credit.Parent{Statement: "a", Weight: 1, Rules: pool}, credit.Parent{Statement: "b", Weight: 1, Rules: pool},
			credit.Parent{Statement: "p", Weight: 30_000}), ""},
		{"pool missed", child(credit.Parent{Statement: "a", Weight: 1, Rules: pool}, credit.Parent{Statement: "p", Weight: 29_999}), credit.Underpaid},
		{"pool without an edge", child(credit.Parent{Statement: "a", Weight: 30_000, Rules: pool}), credit.Underpaid},
		{"cap met", child(credit.Parent{Statement: "a", Weight: 60_000, Rules: &credit.EdgeRules{CapPpm: 100_000}}, credit.Parent{Statement: "b", Weight: 40_000}), ""},
		{"cap missed", child(credit.Parent{Statement: "a", Weight: 60_000, Rules: &credit.EdgeRules{CapPpm: 100_000}}, credit.Parent{Statement: "b", Weight: 40_001}), credit.OverCap},
		{"own work is outside the cap", child(credit.Parent{Statement: "a", Weight: 60_000, Rules: &credit.EdgeRules{CapPpm: 100_000}},
			credit.Parent{Statement: "b", Work: "wk:child", Weight: 900_000}), ""},
		{"floor of a parent", child(credit.Parent{Statement: "a", Weight: 9, Rules: &credit.EdgeRules{FloorPpm: 10}}), credit.UnderFloor},
		{"floor of an ancestor", child(credit.Parent{Statement: "b", Weight: 100_000, Ancestors: []credit.Ancestor{{"a", "wk:a", 20_000, credit.EffOne / 10}}}), credit.UnderFloor},
		{"own work is outside the floor", child(credit.Parent{Statement: "a", Work: "wk:child", Weight: 9, Rules: &credit.EdgeRules{FloorPpm: 10}}), ""},
		{"floor met by an edge of its own", child(
			credit.Parent{Statement: "a", Weight: 10_000, Rules: &credit.EdgeRules{FloorPpm: 20_000}},
			credit.Parent{Statement: "b", Weight: 100_000, Ancestors: []credit.Ancestor{{"a", "wk:a", 20_000, credit.EffOne / 10}}}), ""},
		{"depth met", child(credit.Parent{Statement: "a", Weight: 1, Depth: credit.MaxDepth - 1}), ""},
		{"too deep", child(credit.Parent{Statement: "a", Weight: 1, Depth: credit.MaxDepth}), credit.TooDeep},
		{"edges met", child(many[1:]...), ""},
		{"too many edges", child(many...), credit.TooManyEdges},
	} {
		e, code, err := credit.CheckEdges(c.child)
		if err != nil || code != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, code, err, c.want)
		}
		if code == "" && e.Depth < 1 {
			t.Errorf("%s: depth %d", c.name, e.Depth)
		}
	}
}

func TestCheckEdgesBoundsAncestors(t *testing.T) {
	carried := func(from, n int) []credit.Ancestor {
		var as []credit.Ancestor
		for i := range n {
			as = append(as, credit.Ancestor{fmt.Sprint("a", from+i), "wk:a", 0, credit.EffOne})
		}
		return as
	}
	p, q := credit.Parent{Statement: "p", Weight: 1, Ancestors: carried(0, credit.MaxAncestors)}, credit.Parent{Statement: "q", Weight: 1, Ancestors: carried(1, credit.MaxAncestors)}
	if e, code, err := credit.CheckEdges(child(p)); err != nil || code != "" || len(e.Ancestors) != credit.MaxAncestors {
		t.Errorf("at the limit: %d ancestors, %q, %v", len(e.Ancestors), code, err)
	}
	if _, code, err := credit.CheckEdges(child(p, q)); err != nil || code != credit.TooManyFloors {
		t.Errorf("one over: %q, %v, want %q", code, err, credit.TooManyFloors)
	}
}

// I7: the weights of a version and its own part make the total, each parent
// stands once. What breaks that is no verdict but a statement of a wrong form.
func TestI7CheckEdgesRefusesForm(t *testing.T) {
	for name, change := range map[string]func(*credit.Child){
		"self weight":   func(c *credit.Child) { c.SelfWeight-- },
		"edge total":    func(c *credit.Child) { c.EdgeTotal++; c.SelfWeight++ },
		"share total":   func(c *credit.Child) { c.ShareTotal = 0; c.EdgeTotal = 0 },
		"twice":         func(c *credit.Child) { c.Parents = append(c.Parents, c.Parents[0]); c.SelfWeight -= 5 },
		"share":         func(c *credit.Child) { c.Parents[0].Share = 2 },
		"rate":          func(c *credit.Child) { c.Parents[0].Rules = &credit.EdgeRules{RatePpm: credit.PPM + 1} },
		"stacking":      func(c *credit.Child) { c.Parents[0].Rules = &credit.EdgeRules{Stacking: "product"} },
		"depth":         func(c *credit.Child) { c.Parents[0].Depth = 0 },
		"eff":           func(c *credit.Child) { c.Parents[0].Ancestors = []credit.Ancestor{{Eff: credit.EffOne + 1}} },
		"wrap of total": func(c *credit.Child) { c.ShareTotal = 1 << 60; c.EdgeTotal = c.ShareTotal * credit.PPM },
	} {
		c := child(credit.Parent{Statement: "a", Weight: 5})
		change(&c)
		if _, code, err := credit.CheckEdges(c); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: got %q, %v, want fault.Invalid", name, code, err)
		}
	}
}

// Dilution by intermediates: however many versions stand between, each pays the
// ancestor its floor or is refused, and the stored rates add up as big
// rationals do, less a unit for each division.
func TestAbuseDilutionStopsAtFloor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		floor := rapid.Uint64Range(0, 100_000).Draw(t, "floor")
		type node struct {
			parent credit.Parent
			eff    *big.Rat // what reaches the root
			way    int64    // divisions on the way
		}
		nodes := []node{{credit.Parent{Statement: "n0", Work: "wk:n0", Depth: 1, Rules: &credit.EdgeRules{FloorPpm: floor}}, big.NewRat(1, 1), 0}}
		for i := 1; i < 12; i++ {
			c := credit.Child{Work: fmt.Sprint("wk:n", i), EdgeTotal: credit.PPM, ShareTotal: 1, SelfWeight: credit.PPM}
			eff, way := new(big.Rat), int64(0)
			from := rapid.SliceOfNDistinct(rapid.IntRange(0, len(nodes)-1), 1, len(nodes), rapid.ID[int]).Draw(t, "parents")
			for _, j := range from {
				p := nodes[j].parent
				p.Weight = rapid.Uint64Range(1, max(1, c.SelfWeight/2)).Draw(t, "weight")
				if p.Weight > c.SelfWeight {
					continue
				}
				c.SelfWeight -= p.Weight
				c.Parents = append(c.Parents, p)
				eff.Add(eff, new(big.Rat).Mul(nodes[j].eff, big.NewRat(int64(p.Weight), credit.PPM)))
				way += nodes[j].way + 1
			}
			e, code, err := credit.CheckEdges(c)
			if err != nil {
				t.Fatal(err)
			}
			floorRat := big.NewRat(int64(floor), credit.PPM)
			slack := big.NewRat(way, credit.EffOne)
			if code == "" && eff.Sign() > 0 && eff.Cmp(floorRat) < 0 {
				t.Fatalf("accepted %v of the revenue for a floor of %d ppm", eff, floor)
			}
			if code != "" && (code != credit.UnderFloor || new(big.Rat).Sub(eff, slack).Cmp(floorRat) >= 0) {
				t.Fatalf("refused as %q with %v of the revenue for a floor of %d ppm", code, eff, floor)
			}
			if code != "" {
				continue
			}
			if floor > 0 {
				if len(e.Ancestors) != 1 {
					t.Fatalf("ancestors %v, want the one with a floor", e.Ancestors)
				}
				got := big.NewRat(int64(e.Ancestors[0].Eff), credit.EffOne)
				if got.Cmp(eff) > 0 || new(big.Rat).Sub(eff, slack).Cmp(got) > 0 {
					t.Fatalf("eff %v, want %v less at most %v", got, eff, slack)
				}
			}
			nodes = append(nodes, node{credit.Parent{Statement: fmt.Sprint("n", i), Work: c.Work, Depth: e.Depth, Ancestors: e.Ancestors}, eff, way})
		}
	})
}
