package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// someLines gives every payout two lines of ten minor units together, whatever
// CID it names: what foldtest's payouts say.
func someLines(context.Context, cid.Cid) ([]byte, error) {
	p, err := payfile.NewPublicCSV([]payfile.Line{
		{Payee: string(foldtest.ID("mia")), Amount: credit.FromUint64(7)},
		{Payee: string(foldtest.ID("nobody")), Amount: credit.FromUint64(3)},
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = p.WriteTo(&b)
	return b.Bytes(), err
}

// TestRandomLogs feeds what the fold accepts of random logs to the engine. The
// engine must take all of it, agree with the fold on what counts and from when,
// and come to the same bytes whether it reads the log in one go or in pieces.
func TestRandomLogs(t *testing.T) {
	runs, revenue, void := 0, 0, 0
	for seed := range uint64(24) {
		state := fold.NewState(foldtest.Origin)
		b := ledger.NewBuilder(someLines)
		var log [][]fold.Effect
		for i, body := range foldtest.Random(rand.New(rand.NewPCG(seed, 3)), 250) {
			r := state.Apply(fold.Read(body.Leaf, body.Envelope))
			log = append(log, r.Effects)
			if err := b.Apply(t.Context(), uint64(i), r.Effects); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for _, e := range r.Effects {
				if _, ok := e.(fold.CountRevenue); ok {
					revenue++
				}
			}
		}
		void += len(b.Void())
		l := b.Ledger()
		if l == nil {
			continue
		}
		fresh := ledger.NewBuilder(someLines)
		for i, effects := range log {
			if len(effects) == 0 {
				continue // may be left out
			}
			if err := fresh.Apply(t.Context(), uint64(i), effects); err != nil {
				t.Fatal(err)
			}
		}
		a, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if z, err := fresh.Ledger().Digest(); err != nil || a != z {
			t.Errorf("seed %d: the digest is %x, then %x, %v", seed, a, z, err)
		}
		for p := l.First(); p < l.Open(); p++ {
			for _, c := range l.Currencies() {
				run, err := l.Run(p, c.Code)
				if err != nil {
					t.Fatal(err)
				}
				if err := conserves(run); err != nil {
					t.Errorf("seed %d, %s %s: %v", seed, p, c.Code, err)
				}
				runs++
			}
		}
	}
	if void > 0 {
		t.Errorf("%d payouts moved nothing", void)
	}
	if runs < 50 || revenue < 50 {
		t.Errorf("%d runs and %d payments: the logs are too thin to show anything", runs, revenue)
	}
}

// conserves checks that what came in is what nodes kept, retained and no more.
func conserves(run *credit.Run) error {
	var sum credit.Amount
	var err error
	for n := range run.Nodes() {
		if sum, err = sum.Add(n.Kept); err != nil {
			return err
		}
		if sum, err = sum.Add(n.Retained); err != nil {
			return err
		}
	}
	if sum != run.In() {
		return fmt.Errorf("%s came in, %s was kept", run.In(), sum)
	}
	return nil
}

// TestBooks asks for runs in every order, more of them than are kept.
func TestBooks(t *testing.T) {
	const periods = 40
	mia := foldtest.ID("mia")
	books := ledger.NewBooks(someLines)
	next := uint64(0)
	log := func(effects ...fold.Effect) {
		t.Helper()
		err := books.View(func(b *ledger.Builder) error { return b.Apply(t.Context(), next, effects) }, func(*ledger.View) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		next++
	}
	if err := books.View(func(*ledger.Builder) error { return nil }, func(*ledger.View) error { return nil }); !errors.Is(err, fault.NotFound) {
		t.Errorf("before a registry/v1: %v, want not-found", err)
	}
	log(fold.SetRegistry{FirstPeriod: "2026-11", Currencies: []fold.Currency{{Code: "USD", MinorDigits: 2, FineDigits: 12}}})
	work := cjson.CID{Cid: foldtest.RawCID("work")}
	log(fold.AddVersion{Node: fold.Node{
		Statement: work, Work: "wk:" + work.String(), Publisher: mia, Contributors: []fold.Share{{ID: mia, Weight: "1"}},
		Total: "1", SelfWeight: "1", EdgeTotal: "1",
	}}, fold.AddSigners{Statement: work, Signers: []sign.KeyID{mia}})
	first, err := credit.ParsePeriod("2026-11")
	if err != nil {
		t.Fatal(err)
	}
	for i := range credit.Period(periods) {
		p, cents := (first + i).String(), fmt.Sprint(int(i)+1)
		income := cjson.CID{Cid: foldtest.RawCID(p)}
		log(fold.AddRevenue{
			Statement: income, About: work, Kind: "income", Settlement: "gross", Period: p, Currency: "USD",
			GrossMinor: cents, NetMinor: cents,
		}, fold.CountRevenue{Statement: income, In: p, Currency: "USD", NetMinor: cents})
		log(fold.ClosePeriod{Closes: p, Opens: (first + i + 1).String()})
	}
	err = books.View(func(*ledger.Builder) error { return nil }, func(v *ledger.View) error {
		for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(periods) {
			run, err := v.Run(t.Context(), first+credit.Period(i), "USD")
			if err != nil {
				return err
			}
			// 1 + 2 + … cents so far.
			want, err := run.Currency().Fine(credit.FromUint64(uint64((i + 1) * (i + 2) / 2)))
			if err != nil {
				return err
			}
			if s := run.Statement(0); run.Period() != first+credit.Period(i) || s.Close != want {
				t.Errorf("period %d is answered with %s: %s, want %s", i, run.Period(), s.Close, want)
			}
		}
		if _, err := v.Run(t.Context(), first+periods, "USD"); !errors.Is(err, fault.NotFound) {
			t.Errorf("the open period: %v, want not-found", err)
		}
		if _, err := v.Run(t.Context(), first, "XXX"); !errors.Is(err, fault.NotFound) {
			t.Errorf("a currency that is not there: %v, want not-found", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestVoidPayout logs payouts whose lines are not what they say, which the fold
// cannot see: they move nothing, and neither does what became of them.
func TestVoidPayout(t *testing.T) {
	good, err := someLines(t.Context(), cid.Undef)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		csv   []byte
		n     int64
		total string
	}{
		"no table":      {[]byte("hello"), 2, "10"},
		"another count": {good, 3, "10"},
		"another total": {good, 2, "11"},
		"too much":      {[]byte("payee,amountMinor\n" + string(foldtest.ID("mia")) + ",340282366920938463463374607431768211455\n"), 1, "340282366920938463463374607431768211455"},
	} {
		b := ledger.NewBuilder(func(context.Context, cid.Cid) ([]byte, error) { return c.csv, nil })
		payout := cjson.CID{Cid: foldtest.RawCID(name)}
		entries := [][]fold.Effect{
			{fold.SetRegistry{FirstPeriod: "2026-11", Currencies: []fold.Currency{{Code: "USD", MinorDigits: 2, FineDigits: 12}}}},
			{fold.AddPayout{Statement: payout, Rail: "csv", Currency: "USD", Lines: payout, N: c.n, TotalMinor: c.total}},
			{fold.AddPayoutResult{Payout: payout, Index: 0, Status: "returned"}},
		}
		for i, e := range entries {
			if err := b.Apply(t.Context(), uint64(i), e); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		moved, err := b.Ledger().Payments(b.Ledger().Open(), "USD")
		if why := b.Void()[payout.Cid]; why == nil || err != nil || len(moved) != 0 {
			t.Errorf("%s: void because of %v, %d payees moved, %v", name, why, len(moved), err)
		}
	}
	// Lines that are not to be had say nothing: the same entry is tried again.
	missing := true
	b := ledger.NewBuilder(func(ctx context.Context, c cid.Cid) ([]byte, error) {
		if missing {
			return nil, fault.New(fault.NotFound, "not here yet")
		}
		return good, nil
	})
	set := []fold.Effect{fold.SetRegistry{FirstPeriod: "2026-11", Currencies: []fold.Currency{{Code: "USD", MinorDigits: 2, FineDigits: 12}}}}
	pay := []fold.Effect{fold.AddPayout{Statement: cjson.CID{Cid: foldtest.RawCID("p")}, Rail: "csv", Currency: "USD", N: 2, TotalMinor: "10"}}
	if err := b.Apply(t.Context(), 0, set); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(t.Context(), 1, pay); !errors.Is(err, fault.NotFound) || b.Next() != 1 {
		t.Errorf("missing lines: %v, next is %d", err, b.Next())
	}
	missing = false
	if err := b.Apply(t.Context(), 1, pay); err != nil {
		t.Error(err)
	}
	if moved, err := b.Ledger().Payments(b.Ledger().Open(), "USD"); err != nil || len(moved) != 2 {
		t.Errorf("%d payees moved, %v, want 2", len(moved), err)
	}
}
