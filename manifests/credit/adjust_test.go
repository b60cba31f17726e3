package credit_test

import (
	"errors"
	"testing"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// adjusted is a ledger of one work whose maker got everything of 9.00 in the
// first period, and of two agreements, made later, that go back to it: half to
// ben, then a third each to ben and cho.
func adjusted(t *testing.T) (l *credit.Ledger, first credit.Period) {
	t.Helper()
	first, err := credit.ParsePeriod("2026-01")
	if err != nil {
		t.Fatal(err)
	}
	if l, err = credit.NewLedger(first); err != nil {
		t.Fatal(err)
	}
	one := func(parties ...string) (ws []credit.Weight) {
		for _, p := range parties {
			ws = append(ws, credit.Weight{Key: p, Weight: 1})
		}
		return ws
	}
	deal := func(id, supersedes string, parties ...string) error {
		return l.AddAgreement(credit.Agreement{
			Statement: id, Work: "work", Effective: first, Retroactive: true, Supersedes: supersedes,
			Shares: one(parties...), Total: uint64(len(parties)),
		})
	}
	for _, err := range []error{
		l.AddCurrency(credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}),
		l.AddNode(credit.Node{Statement: "node", Work: "work", Publisher: "ana", Contributors: one("ana"), Total: 1, Signers: []string{"ana"}}),
		l.AddEvent(credit.Event{Statement: "in", Node: "node", Kind: credit.Income, Period: first, Currency: "USD", NetMinor: credit.FromUint64(900), Settlement: credit.Gross, Operator: true}),
		l.ClosePeriod(first),
		deal("deal-1", "", "ana", "ben"),
		l.ClosePeriod(first + 1),
		deal("deal-2", "deal-1", "ana", "ben", "cho"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return l, first
}

// closes returns the closing balances of a period in cents, by payee.
func closes(t *testing.T, l *credit.Ledger, p credit.Period) map[string]string {
	t.Helper()
	run, err := l.Run(p, "USD")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i := range run.Len() {
		s := run.Statement(i)
		out[s.Payee] = s.Close.Decimal(10) // cents
	}
	var sum credit.Amount
	for e := range run.Entries() {
		var zero credit.Amount
		for _, p := range e.Postings {
			if zero, err = zero.Add(p.Amount); err != nil {
				t.Fatal(err)
			}
		}
		if !zero.IsZero() {
			t.Errorf("entry %s %s is off by %s", e.ID, e.Kind, zero)
		}
		if e.Kind == "adjustment" {
			sum = credit.FromUint64(uint64(len(e.Postings)))
		}
	}
	out["adjusted"] = sum.String()
	return out
}

// TestAdjustmentsReachTheOtherRun posts both agreements, one after the other:
// everybody ends with what the last one would have given, and closed periods
// stay as they are.
func TestAdjustmentsReachTheOtherRun(t *testing.T) {
	l, first := adjusted(t)
	before := closes(t, l, first)
	add := func(id, agreement string) {
		t.Helper()
		if err := l.AddAdjustment(credit.Adjustment{Statement: id, Period: first, Currency: "USD", Agreement: agreement}); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := l.Adjust(first, "USD", "deal-2"); err != nil || len(d) != 3 {
		t.Fatalf("Adjust: %d deltas, %v", len(d), err)
	}
	add("adj-1", "deal-1")
	add("adj-1-again", "deal-1") // nothing more
	if err := l.ClosePeriod(first + 2); err != nil {
		t.Fatal(err)
	}
	add("adj-2", "deal-2")
	if err := l.ClosePeriod(first + 3); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[credit.Period]map[string]string{
		first:     {"ana": "900.0000000000", "adjusted": "0"},
		first + 1: {"ana": "900.0000000000", "adjusted": "0"},
		first + 2: {"ana": "450.0000000000", "ben": "450.0000000000", "adjusted": "2"},
		first + 3: {"ana": "300.0000000000", "ben": "300.0000000000", "cho": "300.0000000000", "adjusted": "3"},
	} {
		got := closes(t, l, p)
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
		for payee, w := range want {
			if got[payee] != w {
				t.Errorf("%s: %s has %s cents, want %s", p, payee, got[payee], w)
			}
		}
	}
	if now := closes(t, l, first); len(now) != len(before) || now["ana"] != before["ana"] {
		t.Errorf("the closed period was %v, is %v", before, now)
	}
	// What an adjustment said can be computed again after it was posted.
	if d, err := l.Adjust(first, "USD", "deal-1"); err != nil || len(d) != 2 || d[1].New.Decimal(12) != "4.500000000000" {
		t.Errorf("the first adjustment, again: %v, %v", d, err)
	}
}

func TestAddAdjustmentRefuses(t *testing.T) {
	l, first := adjusted(t)
	for name, c := range map[string]struct {
		a    credit.Adjustment
		want fault.Code
	}{
		"no agreement":     {credit.Adjustment{Statement: "x", Period: first, Currency: "USD", Agreement: "none"}, fault.NotFound},
		"no currency":      {credit.Adjustment{Statement: "x", Period: first, Currency: "EUR", Agreement: "deal-1"}, fault.NotFound},
		"an open period":   {credit.Adjustment{Statement: "x", Period: first + 2, Currency: "USD", Agreement: "deal-1"}, fault.NotFound},
		"before the first": {credit.Adjustment{Statement: "x", Period: first - 1, Currency: "USD", Agreement: "deal-1"}, fault.NotFound},
		"no statement":     {credit.Adjustment{Period: first, Currency: "USD", Agreement: "deal-1"}, fault.Invalid},
	} {
		if err := l.AddAdjustment(c.a); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if err := l.ClosePeriod(first + 2); err != nil {
		t.Fatal(err)
	}
	if got := closes(t, l, first+2); got["ana"] != "900.0000000000" {
		t.Errorf("a refused adjustment moved something: %v", got)
	}
}
