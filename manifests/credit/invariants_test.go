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

// amounts returns Σ amount of each payee's lines, whatever their state.
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

// I14: reversing every event gives back every unit; reversing one gives back
// all but a few.
func TestI14RefundsGiveBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		one := rapid.Bool().Draw(t, "only one")
		l := g.ledger(t, nil)
		first := closeRun(t, l)
		refunded := g.events
		if one {
			refunded = refunded[:1]
		}
		for _, e := range refunded {
			e.Kind, e.Of, e.Statement = credit.Refund, e.Statement, "r"+e.Statement
			if err := l.AddEvent(e); err != nil {
				t.Fatal(err)
			}
		}
		rest := closeRun(t, l)
		got := lineSums(first)
		for p, v := range lineSums(rest) {
			plus(got, p, v)
		}
		// What the payees would have had without the refunded events.
		h := &graph{nodes: g.nodes, events: g.events[len(refunded):]}
		want := map[string]*big.Int{}
		edges := 0
		for _, n := range g.nodes {
			edges += len(n.Edges)
		}
		if len(h.events) > 0 {
			want = lineSums(h.run(t, nil))
		}
		sum := new(big.Int)
		for p, v := range got {
			w := want[p]
			if w == nil {
				w = new(big.Int)
			}
			d := new(big.Int).Sub(v, w)
			sum.Add(sum, d)
			if !one && d.Sign() != 0 {
				t.Fatalf("%s keeps %s of what was reversed", p, d)
			}
			// A unit for each division on both sides that touches the payee.
			if bound := big.NewInt(int64(3 * (edges + len(g.nodes)))); d.CmpAbs(bound) > 0 {
				t.Fatalf("%s is off by %s", p, d)
			}
		}
		if sum.Sign() != 0 {
			t.Fatalf("the differences sum to %s", sum)
		}
	})
}

func TestI15RefundsStayWithinIncome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := (&graph{nodes: []credit.Node{base0("n")}}).ledger(t, nil)
		net := rapid.Uint64Range(0, 100).Draw(t, "net")
		e := credit.Event{Statement: "i", Node: "n", Kind: credit.Income, Period: l.Open(), Currency: "USD", NetMinor: credit.FromUint64(net), Operator: rapid.Bool().Draw(t, "counts")}
		if err := l.AddEvent(e); err != nil {
			t.Fatal(err)
		}
		left := net
		for i := range 8 {
			v := rapid.Uint64Range(0, 60).Draw(t, "refund")
			e := credit.Event{Statement: fmt.Sprint("r", i), Node: "n", Kind: credit.Refund, Of: "i", Currency: "USD", NetMinor: credit.FromUint64(v), Operator: true}
			err := l.AddEvent(e)
			if ok := err == nil; ok != (v <= left) || !ok && !errors.Is(err, fault.Invalid) {
				t.Fatalf("reversing %d of %d left: %v", v, left, err)
			}
			if v <= left {
				left -= v
			}
		}
	})
}

func TestI16BalancesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := ledgerOf(t, drawWorld(t))
		closes := map[string]map[string]credit.Amount{} // by currency
		eachRun(t, l, func(run *credit.Run) {
			cur := run.Currency()
			before := closes[cur.Code]
			now := map[string]credit.Amount{}
			seen := map[string]bool{}
			for i := range run.Len() {
				s := run.Statement(i)
				seen[s.Payee] = true
				if s.Open != before[s.Payee] {
					t.Fatalf("%s opens with %s after closing with %s", s.Payee, s.Open, before[s.Payee])
				}
				var c, credits, debits total
				c.add(s.Open, s.Credit)
				c.sub(s.Debit, s.Paid)
				book := func(a credit.Amount) {
					if a.Sign() < 0 {
						debits.sub(a)
					} else {
						credits.add(a)
					}
				}
				for _, line := range s.Lines {
					if line.State == credit.Credited {
						book(line.Amount)
					}
				}
				for _, m := range s.Moves {
					if m.Kind != credit.Forfeited {
						book(m.Amount)
					}
				}
				if !c.is(s.Close) || !credits.is(s.Credit) || !debits.is(s.Debit) {
					t.Fatalf("the statement does not add up: %s", run.Append(nil, i))
				}
				min := credit.FromUint64(rapid.Uint64Range(0, 2000).Draw(t, "min"))
				minor, carry, err := cur.Payable(s.Close, min)
				if err != nil {
					t.Fatal(err)
				}
				fine, _ := cur.Fine(minor)
				one, _ := cur.Fine(credit.FromUint64(1))
				var back total
				back.add(fine, carry)
				if !back.is(s.Close) || minor.Sign() < 0 {
					t.Fatalf("%s is %s payable and %s carried", s.Close, minor, carry)
				}
				if minor.Sign() > 0 && (minor.Cmp(min) < 0 || carry.Sign() < 0 || carry.Cmp(one) >= 0) {
					t.Fatalf("%s is %s payable and %s carried, at least %s", s.Close, minor, carry, min)
				}
				if minor.IsZero() && s.Close.Cmp(one) >= 0 {
					if q, _, _ := s.Close.Unscale(cur.FineDigits - cur.MinorDigits); q.Cmp(min) >= 0 {
						t.Fatalf("%s is not payable although it is at least %s", s.Close, min)
					}
				}
				now[s.Payee] = s.Close
			}
			for p, v := range before {
				if !v.IsZero() && !seen[p] {
					t.Fatalf("%s had %s and has no statement", p, v)
				}
			}
			closes[cur.Code] = now
		})
	})
}

// I17: every entry sums to 0, and the accounts say what the statements say.
func TestI17EntriesBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := ledgerOf(t, drawWorld(t))
		accounts := map[string]map[string]*big.Int{}
		eachRun(t, l, func(run *credit.Run) {
			code := run.Currency().Code
			if accounts[code] == nil {
				accounts[code] = map[string]*big.Int{}
			}
			for e := range run.Entries() {
				var sum total
				for _, p := range e.Postings {
					sum.add(p.Amount)
					plus(accounts[code], p.Account, toBig(p.Amount))
				}
				if sum.v.Sign() != 0 || e.Currency.Code != code || e.Period != run.Period() || e.ID == "" || e.Kind == "" {
					t.Fatalf("entry %+v sums to %s", e, &sum.v)
				}
			}
			var held big.Int
			payable := map[string]*big.Int{}
			for k, v := range accounts[code] {
				kind, name, _ := strings.Cut(k, ":")
				switch kind {
				case "held":
					held.Sub(&held, v)
				case "payable":
					payable[name] = v
				case "revenue", "retained":
					if v.Sign() != 0 {
						t.Fatalf("%s is left with %s", k, v)
					}
				case "clearing", "receivable", "fees":
				default:
					t.Fatalf("account %s", k)
				}
			}
			if held.Cmp(toBig(run.HeldTotal())) != 0 {
				t.Fatalf("held accounts have %s, want %s", &held, run.HeldTotal())
			}
			for i := range run.Len() {
				s := run.Statement(i)
				have := payable[s.Payee]
				if have == nil {
					have = new(big.Int)
				}
				if new(big.Int).Neg(have).Cmp(toBig(s.Close)) != 0 {
					t.Fatalf("payable:%s has %s, want -%s", s.Payee, have, s.Close)
				}
				delete(payable, s.Payee)
			}
			for p, v := range payable {
				if v.Sign() != 0 {
					t.Fatalf("payable:%s has %s and no statement", p, v)
				}
			}
		})
	})
}

// I18: an effect that was there is refused, and refusing has no effect.
func TestI18EffectsCountOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		want, err := w.Digest()
		if err != nil {
			t.Fatal(err)
		}
		l, err := credit.NewLedger(w.FirstPeriod)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range w.Log {
			if err := op.Apply(l); err != nil {
				t.Fatal(err)
			}
			switch op.Op {
			case "sign", "withdraw":
				if err := op.Apply(l); err != nil {
					t.Fatalf("%s again: %v", op.Op, err)
				}
			case "payoutResult":
				if !op.Returned {
					break // whether a payment that arrived comes back later is open
				}
				fallthrough
			default:
				if err := op.Apply(l); !errors.Is(err, fault.Invalid) {
					t.Fatalf("%s again: %v, want fault.Invalid", op.Op, err)
				}
			}
		}
		if got, err := l.Digest(); err != nil || got != want {
			t.Fatalf("digest %x, %v, want %x", got, err, want)
		}
	})
}

func TestI19AdjustmentsSumToZero(t *testing.T) {
	seen := 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		l := ledgerOf(t, w)
		for _, op := range w.Log {
			if op.Op != "agreement" {
				continue
			}
			_, from, err := l.AgreementState(op.Statement)
			if err != nil {
				t.Fatal(err)
			}
			for p := l.First(); p < l.Open(); p++ {
				deltas, err := l.Adjust(p, "USD", op.Statement)
				if !op.Retroactive || from == 0 {
					if !errors.Is(err, fault.Conflict) {
						t.Fatalf("adjusting by an agreement from %d on, retroactive %v: %v", from, op.Retroactive, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				// Recomputed for real: a log in which the agreement held at once.
				run, err := l.Run(p, "USD")
				if err != nil {
					t.Fatal(err)
				}
				old := map[string]*big.Int{}
				for i := range run.Len() {
					s := run.Statement(i)
					for _, line := range s.Lines {
						if line.State != credit.Retained {
							plus(old, s.Payee, toBig(line.Amount))
						}
					}
				}
				var sum total
				for _, d := range deltas {
					a, err := d.Amount()
					if err != nil {
						t.Fatal(err)
					}
					sum.add(a)
					have := old[d.Payee]
					if have == nil {
						have = new(big.Int)
					}
					if have.Cmp(toBig(d.Old)) != 0 || a.IsZero() {
						t.Fatalf("%+v, want the old amount %s and a change", d, have)
					}
				}
				if sum.v.Sign() != 0 {
					t.Fatalf("deltas sum to %s: %v", &sum.v, deltas)
				}
				seen += len(deltas)
			}
		}
	})
	if seen == 0 {
		t.Error("no world had an adjustment: the test shows nothing")
	}
}

// I19: an adjustment is what the run would have been.
func TestI19AdjustmentIsTheOtherRun(t *testing.T) {
	l := newLedger(t)
	addNode(t, l, "n", nil, "ana")
	income(t, l, "e", "n", 1000)
	first := l.Open()
	closing(t, l)
	must(t, l.AddAgreement(credit.Agreement{
		Statement: "a", Work: "wk:n", Effective: first, Retroactive: true, Shares: []credit.Weight{{Key: "ana", Weight: 2}, {Key: "ben", Weight: 1}}, Total: 3,
		Required: []string{"ana", "ben"}, Signers: []string{"ana", "ben"},
	}))
	deltas, err := l.Adjust(first, "USD", "a")
	must(t, err)
	want := []credit.Delta{
		{Payee: "ana", Old: amount(t, "10000000000000"), New: amount(t, "6666666666667")},
		{Payee: "ben", New: amount(t, "3333333333333")},
	}
	if !slices.Equal(deltas, want) {
		t.Errorf("got %v, want %v", deltas, want)
	}
}

// I20: what is held is released, reallocated, or still held.
func TestI20HeldCreditIsAccountedFor(t *testing.T) {
	kinds := map[credit.MoveKind]int{}
	rapid.Check(t, func(t *rapid.T) {
		held := map[string]*big.Int{} // currency and payee
		eachRun(t, ledgerOf(t, drawWorld(t)), func(run *credit.Run) {
			code := run.Currency().Code
			var sum, forfeited, reallocated total
			seen := map[string]bool{}
			for i := range run.Len() {
				s := run.Statement(i)
				k := code + " " + s.Payee
				seen[k] = true
				for _, line := range s.Lines {
					if line.State == credit.Held {
						plus(held, k, toBig(line.Amount))
					}
				}
				for _, m := range s.Moves {
					kinds[m.Kind]++
					switch m.Kind {
					case credit.Reallocated:
						reallocated.add(m.Amount)
						continue
					case credit.Forfeited:
						forfeited.add(m.Amount)
					}
					plus(held, k, new(big.Int).Neg(toBig(m.Amount)))
				}
				plus(held, k, new(big.Int))
				if held[k].Cmp(toBig(s.Held)) != 0 {
					t.Fatalf("%s is held %s, want %s: %s", s.Payee, s.Held, held[k], run.Append(nil, i))
				}
				sum.add(s.Held)
			}
			for k, v := range held {
				if strings.HasPrefix(k, code+" ") && v.Sign() != 0 && !seen[k] {
					t.Fatalf("%s is held %s and has no statement", k, v)
				}
			}
			if !sum.is(run.HeldTotal()) || forfeited.v.Cmp(&reallocated.v) != 0 {
				t.Fatalf("held %s, want %s; reallocated %s of %s", &sum.v, run.HeldTotal(), &reallocated.v, &forfeited.v)
			}
		})
	})
	if kinds[credit.Released] == 0 || kinds[credit.Reallocated] == 0 || kinds[credit.Forfeited] == 0 {
		t.Errorf("moves %v: the test shows nothing about some", kinds)
	}
}

func TestI22InclusionProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := ledgerOf(t, drawWorld(t))
		eachRun(t, l, func(run *credit.Run) {
			root, n := run.Root(), run.Len()
			if a := run.Allocation(); a.PayeeStatements != (credit.Tree{N: n, Root: root}) {
				t.Fatalf("the allocation says %v, want %d and %x", a.PayeeStatements, n, root)
			}
			for i := range n {
				b := run.Append(nil, i)
				proof, err := run.Prove(i)
				if err != nil {
					t.Fatal(err)
				}
				if err := credit.VerifyStatement(root, n, i, b, proof); err != nil {
					t.Fatal(err)
				}
				if j, err := run.Find(run.Statement(i).Payee); err != nil || j != i {
					t.Fatalf("statement %d is found as %d, %v", i, j, err)
				}
				bad := slices.Clone(b)
				bad[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				if err := credit.VerifyStatement(root, n, i, bad, proof); !errors.Is(err, fault.Unverified) {
					t.Fatalf("a changed statement verifies: %v", err)
				}
				if err := credit.VerifyStatement(root, n, i+1, b, proof); !errors.Is(err, fault.Unverified) {
					t.Fatalf("a statement verifies at another place: %v", err)
				}
			}
			if _, err := run.Prove(n); !errors.Is(err, fault.NotFound) {
				t.Fatalf("a proof behind the end: %v", err)
			}
		})
	})
}

// A tree of more than one tile: the proofs of the engine's own reader.
func TestI22InclusionProofsOfALargeTree(t *testing.T) {
	l := newLedger(t)
	var parties []string
	for i := range 5000 {
		parties = append(parties, credittest.PartyID(i))
	}
	addNode(t, l, "n", nil, parties...)
	income(t, l, "e", "n", 100_000)
	run := closing(t, l)
	for i := 0; i < run.Len(); i += 97 {
		proof, err := run.Prove(i)
		must(t, err)
		must(t, credit.VerifyStatement(run.Root(), run.Len(), i, run.Append(nil, i), proof))
	}
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
