package credit_test

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

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
