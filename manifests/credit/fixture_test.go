package credit_test

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func drawWorld(t *rapid.T) *credittest.World {
	return credittest.Random(rapid.Uint64().Draw(t, "seed"), credittest.Options{})
}

func ledgerOf(t *rapid.T, w *credittest.World) *credit.Ledger {
	t.Helper()
	l, err := w.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eachRun calls do for every run of l, period after period.
func eachRun(t *rapid.T, l *credit.Ledger, do func(*credit.Run)) {
	t.Helper()
	for _, c := range l.Currencies() {
		r, err := l.Runner(c.Code)
		if err != nil {
			t.Fatal(err)
		}
		for range l.Open() - l.First() {
			run, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			do(run)
		}
		if _, err := r.Next(); !errors.Is(err, fault.NotFound) {
			t.Fatalf("a run of the open period: %v, want fault.NotFound", err)
		}
	}
}

// statements returns the bytes of a run, and its root.
func statements(run *credit.Run) []byte {
	var b []byte
	for i := range run.Len() {
		b = append(run.Append(b, i), '\n')
	}
	root := run.Root()
	return append(b, root[:]...)
}

// total sums amounts as integers.
type total struct{ v big.Int }

func (s *total) add(as ...credit.Amount) {
	for _, a := range as {
		s.v.Add(&s.v, toBig(a))
	}
}

func (s *total) sub(as ...credit.Amount) {
	for _, a := range as {
		s.v.Sub(&s.v, toBig(a))
	}
}

func (s *total) is(a credit.Amount) bool { return s.v.Cmp(toBig(a)) == 0 }

func base0(id string) credit.Node {
	return credit.Node{Statement: id, Work: "wk:" + id, Publisher: "p", Contributors: []credit.Weight{{Key: "a", Weight: 1}}, Total: 1}
}

func newLedger(t testing.TB) *credit.Ledger {
	t.Helper()
	l, err := credit.NewLedger(period(t, "2026-01"))
	must(t, err)
	must(t, l.AddCurrency(credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}))
	return l
}

// addNode adds a node with edges in ppm and equal shares, all signed.
func addNode(t testing.TB, l *credit.Ledger, id string, edges map[string]uint64, parties ...string) {
	t.Helper()
	n := credit.Node{Statement: id, Work: "wk:" + id, Publisher: "pub", Signers: parties, Total: uint64(len(parties)), SelfWeight: credit.PPM, EdgeTotal: credit.PPM}
	for _, p := range parties {
		n.Contributors = append(n.Contributors, credit.Weight{Key: p, Weight: 1})
	}
	for e, w := range edges {
		n.Edges = append(n.Edges, credit.Weight{Key: e, Weight: w})
		n.SelfWeight -= w
	}
	must(t, l.AddNode(n))
}

func income(t testing.TB, l *credit.Ledger, id, node string, minor uint64) {
	t.Helper()
	must(t, l.AddEvent(credit.Event{Statement: id, Node: node, Kind: credit.Income, Period: l.Open(), Currency: "USD", NetMinor: credit.FromUint64(minor), Operator: true}))
}

// closing closes the open period and returns its run.
func closing(t testing.TB, l *credit.Ledger) *credit.Run {
	t.Helper()
	p := l.Open()
	must(t, l.ClosePeriod(p))
	run, err := l.Run(p, "USD")
	must(t, err)
	return run
}

// lineSums returns Σ amount of each payee's lines, whatever their state.
func lineSums(run *credit.Run) map[string]*big.Int {
	out := map[string]*big.Int{}
	for i := range run.Len() {
		s := run.Statement(i)
		for _, line := range s.Lines {
			plus(out, s.Payee, toBig(line.Amount))
		}
	}
	return out
}

func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// A graph is nodes and one event at each of some of them.
type graph struct {
	nodes  []credit.Node
	events []credit.Event
}

func drawGraph(t *rapid.T) *graph {
	g := &graph{}
	for i := range rapid.IntRange(1, 25).Draw(t, "nodes") {
		n := credit.Node{Statement: fmt.Sprintf("n%02d", i), Publisher: "pub", SelfWeight: credit.PPM, EdgeTotal: credit.PPM}
		n.Work = "wk:" + n.Statement
		for j := range rapid.IntRange(1, 4).Draw(t, "parties") {
			w := rapid.Uint64Range(1, 1000).Draw(t, "share")
			n.Contributors = append(n.Contributors, credit.Weight{Key: fmt.Sprintf("p%d", (i*j+j)%9), Weight: w})
			if slices.ContainsFunc(n.Contributors[:j], func(x credit.Weight) bool { return x.Key == n.Contributors[j].Key }) {
				n.Contributors[j].Key = fmt.Sprintf("q%d.%d", i, j)
			}
			n.Total += w
			n.Signers = append(n.Signers, n.Contributors[j].Key)
		}
		if i > 0 {
			for _, p := range rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, min(i, 4), rapid.ID[int]).Draw(t, "parents") {
				w := rapid.Uint64Range(1, 250_000).Draw(t, "weight")
				n.SelfWeight -= w
				n.Edges = append(n.Edges, credit.Weight{Key: g.nodes[p].Statement, Weight: w})
			}
		}
		g.nodes = append(g.nodes, n)
	}
	for i := range rapid.IntRange(1, 10).Draw(t, "events") {
		g.events = append(g.events, credit.Event{
			Statement: fmt.Sprintf("e%d", i), Node: g.nodes[rapid.IntRange(0, len(g.nodes)-1).Draw(t, "at")].Statement, Kind: credit.Income, Currency: "USD",
			NetMinor: credit.FromUint64(rapid.Uint64Range(0, 1_000_000).Draw(t, "minor")), Operator: true,
		})
	}
	return g
}

// ledger returns the graph as a Ledger. order, unless nil, ranks the nodes; each
// is added as soon as its parents are there.
func (g *graph) ledger(t *rapid.T, order []int) *credit.Ledger {
	t.Helper()
	l, err := credit.NewLedger(24312)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AddCurrency(credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}); err != nil {
		t.Fatal(err)
	}
	events := slices.Clone(g.events)
	if order == nil {
		order = slices.Collect(seq(len(g.nodes)))
	} else {
		slices.Reverse(events)
	}
	added := map[string]bool{}
	for len(added) < len(g.nodes) {
		for _, i := range order {
			n := g.nodes[i]
			ready := !added[n.Statement]
			for _, e := range n.Edges {
				ready = ready && added[e.Key]
			}
			if !ready {
				continue
			}
			if err := l.AddNode(n); err != nil {
				t.Fatal(err)
			}
			added[n.Statement] = true
		}
	}
	for _, e := range events {
		e.Period = l.Open()
		if err := l.AddEvent(e); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (g *graph) run(t *rapid.T, order []int) *credit.Run {
	t.Helper()
	l := g.ledger(t, order)
	return closeRun(t, l)
}

func closeRun(t *rapid.T, l *credit.Ledger) *credit.Run {
	t.Helper()
	p := l.Open()
	if err := l.ClosePeriod(p); err != nil {
		t.Fatal(err)
	}
	run, err := l.Run(p, "USD")
	if err != nil {
		t.Fatal(err)
	}
	return run
}
