package credit_test

import (
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// credits returns the credit of each payee of a run as whole minor units.
func credits(t testing.TB, run *credit.Run) map[string]string {
	t.Helper()
	out := map[string]string{}
	for i := range run.Len() {
		if s := run.Statement(i); !s.Credit.IsZero() {
			q, r, err := s.Credit.Unscale(10)
			must(t, err)
			if !r.IsZero() {
				t.Fatalf("%s is credited %s: choose rounder figures", s.Payee, s.Credit)
			}
			out[s.Payee] = q.String()
		}
	}
	return out
}

func wantCredits(t testing.TB, what string, run *credit.Run, want map[string]string) {
	t.Helper()
	if got := credits(t, run); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: credits %v, want %v", what, got, want)
	}
}

func agree(t testing.TB, l *credit.Ledger, id, supersedes string, effective credit.Period, required []string, shares ...credit.Weight) {
	t.Helper()
	a := credit.Agreement{Statement: id, Work: "wk:n", Effective: effective, Supersedes: supersedes, Shares: shares, Required: required}
	for _, s := range shares {
		a.Total += s.Weight
	}
	must(t, l.AddAgreement(a))
}

func TestAgreementTakesEffect(t *testing.T) {
	l := newLedger(t)
	addNode(t, l, "n", nil, "ana")
	agree(t, l, "a1", "", l.Open()+1, []string{"ana", "ben"}, credit.Weight{Key: "ana", Weight: 1}, credit.Weight{Key: "ben", Weight: 1})
	must(t, l.AddSigner("a1", "ana"))
	income(t, l, "e1", "n", 100)
	wantCredits(t, "pending", closing(t, l), map[string]string{"ana": "100"})
	income(t, l, "e2", "n", 100)
	must(t, l.AddSigner("a1", "ben"))
	if done, from, err := l.AgreementState("a1"); !done || from != l.Open()+1 || err != nil {
		t.Errorf("complete %v from %s, %v", done, from, err)
	}
	wantCredits(t, "complete, before the next period", closing(t, l), map[string]string{"ana": "100"})
	// An agreement that replaces what is not the newest never takes effect.
	agree(t, l, "stale", "", l.Open()+1, nil, credit.Weight{Key: "eve", Weight: 1})
	// A version that comes after the agreement has its own contributors, unless it names it.
	n := base0("later")
	n.Work, n.Signers = "wk:n", []string{"a"}
	must(t, l.AddNode(n))
	n = base0("named")
	n.Work, n.Agreement = "wk:n", "a1"
	must(t, l.AddNode(n))
	income(t, l, "e3", "n", 100)
	income(t, l, "e4", "later", 10)
	income(t, l, "e5", "named", 40)
	wantCredits(t, "in effect", closing(t, l), map[string]string{"ana": "70", "ben": "70", "a": "10"})
	if done, from, err := l.AgreementState("stale"); !done || from != 0 || err != nil {
		t.Errorf("a stale agreement: complete %v from %d, %v", done, from, err)
	}
	agree(t, l, "a2", "a1", l.Open()+2, nil, credit.Weight{Key: "ben", Weight: 1})
	closing(t, l)
	income(t, l, "e6", "n", 100)
	wantCredits(t, "before its effective period", closing(t, l), map[string]string{"ana": "50", "ben": "50"})
	// A late event is divided as in its own period.
	must(t, l.AddEvent(credit.Event{Statement: "late", Node: "n", Kind: credit.Income, Period: l.First(), Currency: "USD", NetMinor: credit.FromUint64(7), Operator: true}))
	income(t, l, "e7", "n", 100)
	wantCredits(t, "superseded", closing(t, l), map[string]string{"ana": "7", "ben": "100"})
}

func TestRequiredSigners(t *testing.T) {
	w := func(kv ...any) (ws []credit.Weight) {
		for i := 0; i < len(kv); i += 2 {
			ws = append(ws, credit.Weight{Key: kv[i].(string), Weight: uint64(kv[i+1].(int))})
		}
		return ws
	}
	for _, c := range []struct {
		before [][]credit.Weight
		after  []credit.Weight
		want   []string
	}{
		{[][]credit.Weight{w("a", 1, "b", 1)}, w("a", 2, "b", 2), nil},
		{[][]credit.Weight{w("a", 1, "b", 1)}, w("a", 1, "b", 2), []string{"a"}},
		{[][]credit.Weight{w("a", 1, "b", 1)}, w("a", 1), []string{"b"}},
		{[][]credit.Weight{w("a", 2, "b", 1)}, w("a", 2, "b", 1, "c", 1), []string{"a", "b", "c"}},
		{[][]credit.Weight{w("a", 1), w("b", 1)}, w("b", 1), []string{"a"}},
		{[][]credit.Weight{w("a", 1<<62, "b", 1)}, w("a", 1<<61, "b", 1), []string{"a"}},
	} {
		got, err := credit.RequiredSigners(c.before, c.after)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v to %v: %v, %v, want %v", c.before, c.after, got, err, c.want)
		}
	}
	if _, err := credit.RequiredSigners(nil, nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("no shares: %v, want fault.Invalid", err)
	}
}

func TestUnsignedCreditIsHeldUntilAnAgreementDecides(t *testing.T) {
	l := newLedger(t)
	n := base0("n")
	n.Contributors, n.Total, n.Signers = []credit.Weight{{Key: "ana", Weight: 1}, {Key: "ben", Weight: 1}}, 2, []string{"ana"}
	must(t, l.AddNode(n))
	income(t, l, "e", "n", 100)
	run := closing(t, l)
	wantCredits(t, "unsigned", run, map[string]string{"ana": "50"})
	agree(t, l, "a", "", l.Open()+1, nil, credit.Weight{Key: "ben", Weight: 1})
	wantCredits(t, "decided, not yet in effect", closing(t, l), map[string]string{})
	wantCredits(t, "in effect", closing(t, l), map[string]string{"ben": "50"})
}

func TestHoldLapsesUnlessRenewed(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		l := newLedger(t)
		addNode(t, l, "n", nil, "ana")
		must(t, l.AddResolution(credit.Resolution{Statement: "h", Node: "n", Ruling: credit.Hold}))
		income(t, l, "e0", "n", 1)
		wantCredits(t, "the period of the ruling", closing(t, l), map[string]string{"ana": "1"})
		income(t, l, "e1", "n", 100)
		for i := range credit.HoldPeriods {
			if renewed && i == credit.HoldPeriods-1 {
				must(t, l.AddResolution(credit.Resolution{Statement: "h2", Node: "n", Ruling: credit.Hold}))
			}
			if run := closing(t, l); run.HeldTotal() != amount(t, "1000000000000") {
				t.Errorf("period %d: %s held", i, run.HeldTotal())
			}
		}
		want := map[string]string{"ana": "100"}
		if renewed {
			want = map[string]string{}
		}
		wantCredits(t, fmt.Sprint("after 12 periods, renewed ", renewed), closing(t, l), want)
	}
}

func TestRulings(t *testing.T) {
	for ruling, want := range map[credit.Ruling]map[string]string{
		credit.Release:    {"ana": "100"},
		credit.Dismiss:    {"ana": "100"},
		credit.Reallocate: {"eve": "25", "fay": "75"},
	} {
		l := newLedger(t)
		addNode(t, l, "n", nil, "ana")
		must(t, l.AddResolution(credit.Resolution{Statement: "h", Node: "n", Ruling: credit.Hold}))
		closing(t, l)
		income(t, l, "e", "n", 100)
		r := credit.Resolution{Statement: "r", Node: "n", Ruling: ruling}
		if ruling == credit.Reallocate {
			r.Shares, r.Total = []credit.Weight{{Key: "eve", Weight: 1}, {Key: "fay", Weight: 3}}, 4
		}
		must(t, l.AddResolution(r))
		wantCredits(t, "held", closing(t, l), map[string]string{})
		wantCredits(t, string(ruling), closing(t, l), want)
		income(t, l, "e2", "n", 8)
		wantCredits(t, "afterwards the shares are as before", closing(t, l), map[string]string{"ana": "8"})
	}
}

func TestDeclaredIncomeCountsWhenSettled(t *testing.T) {
	for _, c := range []struct {
		settlement    credit.Settlement
		due           string
		lab, up, kept string
	}{
		{credit.Gross, "1000", "900", "100", "0"},
		{credit.UpstreamOnly, "100", "", "100", "9000000000000"},
	} {
		l := newLedger(t)
		addNode(t, l, "a", nil, "ana")
		addNode(t, l, "m", map[string]uint64{"a": 100_000}, "lab")
		must(t, l.AddEvent(credit.Event{Statement: "i", Node: "m", Kind: credit.Income, Period: l.Open(), Currency: "USD", NetMinor: credit.FromUint64(1000), Settlement: c.settlement}))
		due, err := l.Due("i")
		must(t, err)
		if due.String() != c.due {
			t.Errorf("%s: due %s, want %s", c.settlement, due, c.due)
		}
		receipt := func(id string, minor credit.Amount) {
			must(t, l.AddEvent(credit.Event{Statement: id, Node: "m", Kind: credit.Receipt, Of: "i", Currency: "USD", NetMinor: minor, Operator: true}))
		}
		part, _ := due.Sub(credit.FromUint64(1))
		receipt("r1", part)
		wantCredits(t, "a part is received", closing(t, l), map[string]string{})
		receipt("r2", credit.FromUint64(1))
		if p, counts, err := l.Counts("i"); p != l.Open() || !counts || err != nil {
			t.Errorf("the income counts in %s, %v, %v", p, counts, err)
		}
		run := closing(t, l)
		want := map[string]string{"ana": c.up}
		if c.lab != "" {
			want["lab"] = c.lab
		}
		wantCredits(t, string(c.settlement), run, want)
		var retained total
		for n := range run.Nodes() {
			retained.add(n.Retained)
		}
		if !retained.is(amount(t, c.kept)) {
			t.Errorf("%s: retained %s, want %s", c.settlement, &retained.v, c.kept)
		}
		// What the licensee must remit is what flows upstream, less what came in.
		receivable := new(big.Int)
		for p := l.First(); p < l.Open(); p++ {
			run, err := l.Run(p, "USD")
			must(t, err)
			for e := range run.Entries() {
				for _, p := range e.Postings {
					if p.Account == "receivable:pub" {
						receivable.Add(receivable, toBig(p.Amount))
					}
				}
			}
		}
		if receivable.Sign() != 0 {
			t.Errorf("%s: %s are receivable after all was received", c.settlement, receivable)
		}
	}
}

func TestWithdrawalMovesTheKeptPart(t *testing.T) {
	for onWithdraw, want := range map[string]map[string]string{
		"keep": {"ana": "90", "top": "10"}, "pool": {"pol": "90", "top": "10"}, "hold": {"top": "10"},
	} {
		l := newLedger(t)
		addNode(t, l, "pool", nil, "pol")
		addNode(t, l, "top", nil, "top")
		n := credit.Node{Statement: "n", Work: "wk:n", Publisher: "ana", Contributors: []credit.Weight{{Key: "ana", Weight: 1}}, Total: 1, Signers: []string{"ana"},
			Edges: []credit.Weight{{Key: "top", Weight: 1}}, SelfWeight: 9, EdgeTotal: 10, OnWithdraw: onWithdraw, Pool: "pool"}
		must(t, l.AddNode(n))
		must(t, l.AddWithdrawal("n"))
		income(t, l, "e1", "n", 100)
		wantCredits(t, onWithdraw+" in the period of the withdrawal", closing(t, l), map[string]string{"ana": "90", "top": "10"})
		income(t, l, "e2", "n", 100)
		wantCredits(t, onWithdraw, closing(t, l), want)
	}
}

func TestReturnedPaymentIsOwedAgain(t *testing.T) {
	l := newLedger(t)
	addNode(t, l, "n", nil, "ana")
	income(t, l, "e", "n", 100)
	closing(t, l)
	must(t, l.AddPayout(credit.Payout{Statement: "p", Currency: "USD", Lines: []credit.PayoutLine{{Payee: "ana", AmountMinor: credit.FromUint64(60)}}}))
	if s := closing(t, l).Statement(0); s.Paid != amount(t, "600000000000") || s.Close != amount(t, "400000000000") {
		t.Errorf("after the payment: %+v", s)
	}
	must(t, l.AddPayoutResult("p", 0, false))
	must(t, l.AddPayoutResult("p", 0, true))
	if err := l.AddPayoutResult("p", 0, true); !errors.Is(err, fault.Invalid) {
		t.Errorf("a second return: %v", err)
	}
	if s := closing(t, l).Statement(0); s.Paid != amount(t, "-600000000000") || s.Close != amount(t, "1000000000000") {
		t.Errorf("after the return: %+v", s)
	}
}

// A simulated node gives what adding it would give, and changes nothing.
func TestSimulateIsTheRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		l := g.ledger(t, nil)
		n := g.nodes[len(g.nodes)-1]
		n.Statement, n.Work = "sim", "wk:sim"
		settlement := rapid.SampledFrom([]credit.Settlement{credit.Gross, credit.UpstreamOnly}).Draw(t, "settlement")
		minor := credit.FromUint64(rapid.Uint64Range(0, 1e9).Draw(t, "minor"))
		fine, _ := minor.Scale(10)
		shares, err := l.Simulate(n, l.Open(), fine, settlement)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.ClosePeriod(l.Open()); err != nil {
			t.Fatal(err)
		}
		if err := l.AddNode(n); err != nil {
			t.Fatal(err)
		}
		e := credit.Event{Statement: "e", Node: "sim", Kind: credit.Income, Period: l.Open(), Currency: "USD", NetMinor: minor, Operator: true, Settlement: settlement}
		if err := l.AddEvent(e); err != nil {
			t.Fatal(err)
		}
		run := closeRun(t, l)
		want := map[string][2]credit.Amount{}
		for i := range run.Len() {
			s := run.Statement(i)
			var retained total
			for _, line := range s.Lines {
				if line.State == credit.Retained {
					retained.add(line.Amount)
				}
			}
			r, _ := fromBig(&retained.v)
			if !s.Credit.IsZero() || !r.IsZero() {
				want[s.Payee] = [2]credit.Amount{s.Credit, r}
			}
		}
		for _, s := range shares {
			if want[s.Payee] != [2]credit.Amount{s.Amount, s.Retained} {
				t.Fatalf("%+v, want %v", s, want[s.Payee])
			}
			delete(want, s.Payee)
		}
		if len(want) > 0 {
			t.Fatalf("without %v", want)
		}
	})
}

// For every event and party, the hops of an explanation add up at each node.
func TestExplanationsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		l := ledgerOf(t, w)
		for _, op := range w.Log {
			if op.Op != "event" || op.Kind != "income" {
				continue
			}
			party := credittest.PartyID(rapid.IntRange(0, 11).Draw(t, "party"))
			x, err := l.Explain(party, op.Statement, 0, 0)
			if errors.Is(err, fault.NotFound) {
				continue // the party stands nowhere
			}
			if err != nil {
				t.Fatal(err)
			}
			var sum total
			in := map[string]*big.Int{op.Node: toBig(x.Fine)}
			passed := map[string]bool{}
			for _, h := range x.Hops {
				passed[h.Statement] = true
			}
			for _, h := range x.Hops {
				if !h.Retained {
					sum.add(h.Amount)
				}
				// Each hop has what the hops before sent; the node of the event, what it brought.
				if in[h.Statement] == nil || in[h.Statement].Cmp(toBig(h.Inflow)) < 0 {
					t.Fatalf("%s has %s of %v", h.Statement, h.Inflow, in[h.Statement])
				}
				for _, e := range h.Edges {
					plus(in, e.Statement, toBig(e.Amount))
					if !passed[e.Statement] {
						t.Fatalf("%s sends to %s, which does not lead to %s", h.Statement, e.Statement, party)
					}
				}
				if len(h.Edges) == 0 && h.Amount.IsZero() && h.Weight == 0 {
					t.Fatalf("%+v does not lead to %s", h, party)
				}
			}
			if !sum.is(x.Amount) || x.More {
				t.Fatalf("hops sum to %s, want %s", &sum.v, x.Amount)
			}
			for i := range x.Hops {
				page, err := l.Explain(party, op.Statement, i, 1)
				if err != nil || len(page.Hops) != 1 || fmt.Sprint(page.Hops[0]) != fmt.Sprint(x.Hops[i]) || page.More != (i < len(x.Hops)-1) || page.Amount != x.Amount {
					t.Fatalf("page %d: %+v, %v", i, page, err)
				}
			}
		}
	})
}

// Abuse: splitting a share among a hundred identities gains at most one unit.
func TestAbuseSybilSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := credit.FromUint64(rapid.Uint64().Draw(t, "amount"))
		mine, other := 100*rapid.Uint64Range(1, 1e9).Draw(t, "mine"), rapid.Uint64Range(0, 1e12).Draw(t, "other")
		whole := apportion(t, a, []credit.Weight{{Key: "me", Weight: mine}, {Key: "you", Weight: other}})
		split := []credit.Weight{{Key: "you", Weight: other}}
		for i := range 100 {
			split = append(split, credit.Weight{Key: fmt.Sprintf("me%02d", i), Weight: mine / 100})
		}
		got := new(big.Int)
		for _, p := range apportion(t, a, split) {
			if p.Key != "you" {
				got.Add(got, toBig(p.Amount))
			}
		}
		if gain := got.Sub(got, toBig(whole[0].Amount)); gain.Cmp(big.NewInt(1)) > 0 {
			t.Fatalf("a hundred identities gain %s units", gain)
		}
	})
}

// Abuse: no choice of key gains more than one unit.
func TestAbuseKeyGrinding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ws := amounts(t, "a").Abs(), drawWeights(t, credit.MaxWeight)
		for i := range ws {
			ws[i].Key = "k" + ws[i].Key
		}
		ws[0].Key = "a"
		low := apportion(t, a, ws)[0].Amount
		ws[0].Key = "z"
		parts := apportion(t, a, ws)
		if d := new(big.Int).Sub(toBig(low), toBig(parts[len(parts)-1].Amount)); d.Sign() < 0 || d.Cmp(big.NewInt(1)) > 0 {
			t.Fatalf("the smallest key gets %s more than the largest", d)
		}
	})
}

// Abuse: 16 by 16 derivatives between a work and its user multiply the ways to
// it by 256 and its royalty by less than 1.
func TestAbusePathInflation(t *testing.T) {
	l := newLedger(t)
	addNode(t, l, "work", nil, "ana")
	layer := []string{"work"}
	for k := range 2 {
		var next []string
		for i := range 16 {
			id := fmt.Sprintf("copy%d.%02d", k, i)
			edges := map[string]uint64{}
			for _, p := range layer {
				edges[p] = 10_000
			}
			addNode(t, l, id, edges, "eve")
			next = append(next, id)
		}
		layer = next
	}
	edges := map[string]uint64{}
	for _, p := range layer {
		edges[p] = 10_000
	}
	addNode(t, l, "model", edges, "lab")
	income(t, l, "e", "model", 1_000_000)
	run := closing(t, l)
	i, err := run.Find("ana")
	must(t, err)
	// 16 % of 16 % of 1 %.
	if got := run.Statement(i).Credit; got != amount(t, "2560000000000") {
		t.Errorf("ana gets %s of 10^16", got)
	}
}

// Abuse: dust. A thousand events of one unit are divided as their sum.
func TestAbuseDust(t *testing.T) {
	build := func(events int, minor uint64) *credit.Run {
		l := newLedger(t)
		addNode(t, l, "a", nil, "ana", "ben", "cat")
		addNode(t, l, "m", map[string]uint64{"a": 333_333}, "lab")
		for i := range events {
			income(t, l, fmt.Sprint("e", i), "m", minor)
		}
		return closing(t, l)
	}
	if a, b := statements(build(1000, 1)), statements(build(1, 1000)); string(a) != string(b) {
		t.Errorf("dust gives\n%s\ntheir sum\n%s", a, b)
	}
}

func TestEventsOfAPeriodStayBelowTheLimit(t *testing.T) {
	l := newLedger(t)
	addNode(t, l, "n", nil, "ana")
	half := amount(t, "8507059173023461586584365185") // ⌊2^126 / 10^10⌋, just below
	e := credit.Event{Node: "n", Kind: credit.Income, Period: l.Open(), Currency: "USD", NetMinor: half, Operator: true}
	for i, want := range []error{nil, nil, fault.TooLarge} {
		e.Statement = fmt.Sprint("e", i)
		if err := l.AddEvent(e); !errors.Is(err, want) {
			t.Errorf("event %d: %v, want %v", i, err, want)
		}
	}
	e.Statement, e.NetMinor = "whole", amount(t, "17014118346046923173168730372")
	if err := l.AddEvent(e); !errors.Is(err, fault.Invalid) {
		t.Errorf("2^127 in one event: %v, want fault.Invalid", err)
	}
	run := closing(t, l)
	if s := run.Statement(0); s.Credit != run.In() || s.Credit.IsZero() {
		t.Errorf("credit %s of %s", s.Credit, run.In())
	}
}

// Whatever a world says, the engine answers or refuses; what it answers is what
// the second engine answers is for TestRunsAreTheReference.
func FuzzWorld(f *testing.F) {
	b, err := os.ReadFile("testdata/world-7.json")
	must(f, err)
	f.Add(b)
	f.Add([]byte(`{"format":"cairn.credit.world/1","firstPeriod":"0001-01","log":[{"op":"close","period":"0001-01"}]}`))
	f.Add([]byte(`{"format":"cairn.credit.world/1","firstPeriod":"2026-01","log":[{"op":"node","statement":"a","work":"w","publisher":"p","contributors":[{"id":"p","weight":"1"}],"total":"1"},{"op":"agreement","statement":"g","work":"w","effectivePeriod":"2026-02","shares":[{"id":"p","weight":"1"}],"total":"1"},{"op":"sign","statement":"g","party":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := credittest.Read(b)
		if err != nil {
			if !errors.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		l, err := credit.NewLedger(w.FirstPeriod)
		if err != nil {
			return
		}
		for _, op := range w.Log {
			if err := op.Apply(l); err != nil && !errors.Is(err, fault.Invalid) && !errors.Is(err, fault.TooLarge) {
				t.Fatalf("%s: %v", op.Op, err)
			}
		}
		if _, err := l.Digest(); err != nil && !errors.Is(err, fault.TooLarge) {
			t.Fatal(err)
		}
	})
}

// A Run may be read from several goroutines, and runs may be made meanwhile.
// The race detector is what makes this test worth something.
func TestReadingIsConcurrent(t *testing.T) {
	l, err := credittest.Random(3, credittest.Options{}).Ledger()
	must(t, err)
	run, err := l.Run(l.Open()-1, "USD")
	must(t, err)
	want := make(chan [32]byte, 8)
	for range cap(want) {
		go func() {
			other, err := l.Run(l.Open()-1, "USD")
			if err != nil || other.Root() != run.Root() {
				t.Error("another goroutine gets another root")
			}
			if _, err := run.Prove(0); err != nil {
				t.Error(err)
			}
			want <- run.Allocation().PayeeStatements.Root
		}()
	}
	for range cap(want) {
		if got := <-want; got != run.Root() {
			t.Errorf("root %x, want %x", got, run.Root())
		}
	}
}
