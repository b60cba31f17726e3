package credit_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestI7LedgerRefusesForm(t *testing.T) {
	base := func() credit.Node {
		return credit.Node{
			Statement: "n", Work: "wk:n", Publisher: "p", Contributors: []credit.Weight{{Key: "a", Weight: 1}, {Key: "b", Weight: 2}}, Total: 3,
			Edges: []credit.Weight{{Key: "x", Weight: 4}, {Key: "y", Weight: 5}}, SelfWeight: 1, EdgeTotal: 10,
		}
	}
	for name, change := range map[string]func(*credit.Node){
		"":                  func(*credit.Node) {},
		"total":             func(n *credit.Node) { n.Total++ },
		"no contributors":   func(n *credit.Node) { n.Contributors, n.Total = nil, 0 },
		"contributor twice": func(n *credit.Node) { n.Contributors[1].Key = "a" },
		"zero share":        func(n *credit.Node) { n.Contributors[0].Weight, n.Total = 0, 2 },
		"share wraps":       func(n *credit.Node) { n.Contributors[0].Weight, n.Total = ^uint64(0), 1 },
		"edge total":        func(n *credit.Node) { n.EdgeTotal++ },
		"edge twice":        func(n *credit.Node) { n.Edges[1].Key = "x" },
		"edge unknown":      func(n *credit.Node) { n.Edges[1].Key = "z" },
		"edge to itself":    func(n *credit.Node) { n.Edges[1].Key = "n" },
		"zero edge":         func(n *credit.Node) { n.Edges[0].Weight, n.SelfWeight = 0, 5 },
		"edge wraps":        func(n *credit.Node) { n.Edges[0].Weight, n.SelfWeight = ^uint64(0)-4, 10 },
		"zero total":        func(n *credit.Node) { n.Edges, n.SelfWeight, n.EdgeTotal = nil, 0, 0; n.SelfWeight = 1 },
		"space":             func(n *credit.Node) { n.Work = "wk: n" },
		"quote":             func(n *credit.Node) { n.Publisher = `"` },
		"tilde":             func(n *credit.Node) { n.Statement = "~n" },
		"empty":             func(n *credit.Node) { n.Statement = "" },
		"long":              func(n *credit.Node) { n.Statement = strings.Repeat("n", 256) },
		"known":             func(n *credit.Node) { n.Statement = "x" },
		"agreement":         func(n *credit.Node) { n.Agreement = "none" },
		"on withdraw":       func(n *credit.Node) { n.OnWithdraw = "burn" },
		"pool":              func(n *credit.Node) { n.OnWithdraw = credit.OnWithdrawPool },
		"signer":            func(n *credit.Node) { n.Signers = []string{"c"} },
	} {
		l := newLedger(t)
		addNode(t, l, "x", nil, "a")
		addNode(t, l, "y", nil, "a")
		n := base()
		change(&n)
		err := l.AddNode(n)
		if name == "" {
			must(t, err)
			continue
		}
		if !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
		// It is as if nothing had been tried.
		must(t, l.AddNode(base0("again")))
	}
}

func TestI8RunsConserve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		eachRun(t, ledgerOf(t, drawWorld(t)), func(run *credit.Run) {
			var direct, kept, events, lines total
			for n := range run.Nodes() {
				var parts total
				parts.add(n.Up, n.Kept, n.Retained)
				if !parts.is(n.Inflow) {
					t.Fatalf("%s: %s in, %s up, %s kept, %s retained", n.Statement, n.Inflow, n.Up, n.Kept, n.Retained)
				}
				direct.add(n.Direct)
				kept.add(n.Kept, n.Retained)
			}
			for e := range run.Events() {
				events.add(e.Fine)
			}
			for _, v := range lineSums(run) {
				lines.v.Add(&lines.v, v)
			}
			in := run.In()
			if !direct.is(in) || !kept.is(in) || !events.is(in) || !lines.is(in) {
				t.Fatalf("in %s: direct %s, kept %s, events %s, lines %s", in, &direct.v, &kept.v, &events.v, &lines.v)
			}
		})
	})
}

// I9: neither the number of processors nor the order of events, nor that of
// nodes as far as the log allows it, changes a byte.
func TestI9RunsAreDeterministic(t *testing.T) {
	w := credittest.Random(9, credittest.Options{Parties: 400, Entries: 3000, Months: 4})
	want, err := w.Digest()
	must(t, err)
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs)
	for _, n := range []int{1, 2, 7} {
		runtime.GOMAXPROCS(n)
		if got, err := w.Digest(); err != nil || got != want {
			t.Errorf("GOMAXPROCS %d: digest %x, %v, want %x", n, got, err, want)
		}
	}
	runtime.GOMAXPROCS(procs)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		want := statements(g.run(t, nil))
		order := rapid.Permutation(slices.Collect(seq(len(g.nodes)))).Draw(t, "order")
		if got := statements(g.run(t, order)); !bytes.Equal(got, want) {
			t.Fatalf("in another order: got\n%s\nwant\n%s", got, want)
		}
	})
}

// I10: a node's inflow is off by less than the edges on the ways to it.
func TestI10InflowIsNearTheRational(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		run := g.run(t, nil)
		in, ways := map[string]*big.Rat{}, map[string]map[string]bool{}
		for _, e := range g.events {
			fine, _ := run.Currency().Fine(e.NetMinor)
			v := new(big.Rat).SetInt(toBig(fine))
			if in[e.Node] != nil {
				v.Add(v, in[e.Node])
			}
			in[e.Node] = v
		}
		for _, n := range slices.Backward(g.nodes) {
			if in[n.Statement] == nil {
				continue
			}
			for _, e := range n.Edges {
				part := new(big.Rat).Mul(in[n.Statement], big.NewRat(int64(e.Weight), credit.PPM))
				if in[e.Key] != nil {
					part.Add(part, in[e.Key])
				}
				in[e.Key] = part
				if ways[e.Key] == nil {
					ways[e.Key] = map[string]bool{}
				}
				ways[e.Key][n.Statement+" "+e.Key] = true
				for w := range ways[n.Statement] {
					ways[e.Key][w] = true
				}
			}
		}
		for n := range run.Nodes() {
			diff := new(big.Rat).Sub(new(big.Rat).SetInt(toBig(n.Inflow)), in[n.Statement])
			edges := big.NewRat(int64(len(ways[n.Statement])), 1)
			if diff.Sign() != 0 && diff.Abs(diff).Cmp(edges) >= 0 {
				t.Fatalf("%s is off by %s with %s edges before it", n.Statement, diff.FloatString(3), edges)
			}
		}
	})
}

// I11: both arms of a diamond meet before the node at its foot is divided, and
// a way of weight 0 is no way.
func TestI11DiamondIsVisitedOnce(t *testing.T) {
	build := func(arms bool) *credit.Run {
		l := newLedger(t)
		addNode(t, l, "a", nil, "ana")
		addNode(t, l, "b", map[string]uint64{"a": 333_333}, "ben")
		addNode(t, l, "c", map[string]uint64{"a": 333_333}, "cat")
		top := map[string]uint64{"b": 500_000, "c": 500_000}
		if !arms {
			top = map[string]uint64{"b": 1_000_000}
		}
		addNode(t, l, "d", top, "dan")
		income(t, l, "e", "d", 1001)
		return closing(t, l)
	}
	run := build(true)
	visits := map[string]int{}
	var nodes []credit.NodeResult
	for n := range run.Nodes() {
		visits[n.Statement]++
		nodes = append(nodes, n)
	}
	if len(visits) != 4 || visits["a"] != 1 || len(nodes) != 4 {
		t.Fatalf("visits %v, want 4 nodes once", visits)
	}
	var arms total
	arms.add(nodes[1].Up, nodes[2].Up)
	if !arms.is(nodes[0].Inflow) {
		t.Errorf("a: %s in, %s from its arms", nodes[0].Inflow, &arms.v)
	}
	for n := range build(false).Nodes() {
		if n.Statement == "c" {
			t.Errorf("c is reached without an edge: %+v", n)
		}
	}
}

// I12: no later entry changes a run.
func TestI12RunsAreTheSameAtEverySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		l, err := credit.NewLedger(w.FirstPeriod)
		if err != nil {
			t.Fatal(err)
		}
		type key struct {
			p   credit.Period
			cur string
		}
		early := map[key][]byte{}
		for _, op := range w.Log {
			if err := op.Apply(l); err != nil {
				t.Fatal(err)
			}
			if op.Op == "close" {
				for _, c := range l.Currencies() {
					run, err := l.Run(*op.Period, c.Code)
					if err != nil {
						t.Fatal(err)
					}
					early[key{*op.Period, c.Code}] = statements(run)
				}
			}
		}
		if len(early) == 0 {
			t.Fatal("no runs")
		}
		eachRun(t, l, func(run *credit.Run) {
			if got := statements(run); !bytes.Equal(got, early[key{run.Period(), run.Currency().Code}]) {
				t.Fatalf("%s %s: at the end\n%s\nat its closing\n%s", run.Period(), run.Currency().Code, got, early[key{run.Period(), run.Currency().Code}])
			}
		})
	})
}

// I13: an agreement changes no run before the period from which it holds.
func TestI13AgreementChangesNoEarlierRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		at := rapid.IntRange(len(w.Log)/3, len(w.Log)-1).Draw(t, "at")
		open, work := w.FirstPeriod, ""
		for _, op := range w.Log[:at] {
			if op.Op == "close" {
				open++
			}
			if op.Op == "node" && (work == "" || rapid.Bool().Draw(t, "take")) {
				work = op.Work
			}
		}
		// Other agreements of the work would turn stale: they are left out of both.
		plain := &credittest.World{FirstPeriod: w.FirstPeriod}
		gone := map[string]bool{}
		for _, op := range w.Log {
			if op.Op == "agreement" && op.Work == work {
				gone[op.Statement] = true
			}
		}
		p := open + credit.Period(rapid.IntRange(1, 3).Draw(t, "ahead"))
		with := &credittest.World{FirstPeriod: w.FirstPeriod}
		for i, op := range w.Log {
			if i == at && work != "" {
				with.Log = append(with.Log, credittest.Op{
					Op: "agreement", Statement: "agreed", Work: work, EffectivePeriod: &p, Shares: []credittest.Share{{ID: "did:new", Weight: 1}}, Total: 1,
				})
			}
			if gone[op.Statement] || strings.HasPrefix(op.Op, "payout") {
				continue // a payment may name a party of an agreement that is left out
			}
			if gone[op.Agreement] {
				op.Agreement = ""
			}
			with.Log, plain.Log = append(with.Log, op), append(plain.Log, op)
		}
		before := map[string][]byte{}
		eachRun(t, ledgerOf(t, plain), func(run *credit.Run) {
			before[run.Period().String()+run.Currency().Code] = statements(run)
		})
		eachRun(t, ledgerOf(t, with), func(run *credit.Run) {
			if got, want := statements(run), before[run.Period().String()+run.Currency().Code]; run.Period() < p && !bytes.Equal(got, want) {
				t.Fatalf("an agreement from %s on changes %s", p, run.Period())
			}
		})
	})
}

// I24: a graph at all limits runs, and one over is refused. Abuse: fan-out and
// depth bombs.
func TestI24GraphAtItsLimits(t *testing.T) {
	l := newLedger(t)
	var parties []string
	for i := range credit.MaxShares + 1 {
		parties = append(parties, fmt.Sprintf("p%05d", i))
	}
	wide := map[string]uint64{}
	for i := range credit.MaxEdges + 1 {
		id := fmt.Sprintf("root%04d", i)
		addNode(t, l, id, nil, "ana")
		wide[id] = 400
	}
	over := credit.Node{Statement: "over", Work: "wk", Publisher: "p", Contributors: []credit.Weight{{Key: "a", Weight: 1}}, Total: 1, EdgeTotal: credit.PPM, SelfWeight: credit.PPM - 400*(credit.MaxEdges+1)}
	for id, w := range wide {
		over.Edges = append(over.Edges, credit.Weight{Key: id, Weight: w})
	}
	if err := l.AddNode(over); !errors.Is(err, fault.Invalid) {
		t.Errorf("%d edges: %v, want fault.Invalid", len(over.Edges), err)
	}
	delete(wide, "root0000")
	last := ""
	for i := range credit.MaxDepth - 1 {
		id := fmt.Sprintf("deep%02d", i)
		edges := wide
		if last != "" {
			edges = map[string]uint64{last: 500_000}
			for k := range credit.MaxEdges - 1 {
				edges[fmt.Sprintf("root%04d", k+1)] = 400
			}
		}
		addNode(t, l, id, edges, parties[:credit.MaxShares]...)
		last = id
	}
	deeper := base0("deeper")
	deeper.Edges, deeper.EdgeTotal = []credit.Weight{{Key: last, Weight: 1}}, 1
	if err := l.AddNode(deeper); !errors.Is(err, fault.Invalid) {
		t.Errorf("a depth of %d: %v, want fault.Invalid", credit.MaxDepth+1, err)
	}
	crowd := base0("crowd")
	crowd.Contributors, crowd.Total = nil, credit.MaxShares+1
	for _, p := range parties {
		crowd.Contributors = append(crowd.Contributors, credit.Weight{Key: p, Weight: 1})
	}
	if err := l.AddNode(crowd); !errors.Is(err, fault.Invalid) {
		t.Errorf("%d parties: %v, want fault.Invalid", len(parties), err)
	}
	income(t, l, "e", last, 1<<40)
	run := closing(t, l)
	var sum total
	for i := range run.Len() {
		sum.add(run.Statement(i).Credit)
	}
	if !sum.is(run.In()) || run.In().IsZero() {
		t.Errorf("credits of %s, want %s", &sum.v, run.In())
	}
	x, err := l.Explain(parties[0], "e", 0, 10)
	must(t, err)
	if len(x.Hops) != 10 || !x.More {
		t.Errorf("a page of 10 has %d hops, more: %v", len(x.Hops), x.More)
	}
	s, err := run.Find(parties[0])
	must(t, err)
	if got := run.Statement(s).Credit; got != x.Amount {
		t.Errorf("explained %s, want %s", x.Amount, got)
	}
}
