package fold_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// A filler fills a ledger with effects in log order, and holds what the fold
// says of counting and completing against what the ledger does.
type filler struct {
	ledger       *credit.Ledger
	contributors map[string][]fold.Share
	payee        string
}

func weight(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		panic(err)
	}
	return n
}

func weights(list []fold.Share) (out []credit.Weight) {
	for _, s := range list {
		out = append(out, credit.Weight{Key: string(s.ID), Weight: weight(s.Weight)})
	}
	return out
}

func period(s string) credit.Period {
	p, err := credit.ParsePeriod(s)
	if err != nil {
		panic(err)
	}
	return p
}

func minor(s string) credit.Amount {
	a, err := credit.ParseAmount(s)
	if err != nil {
		panic(err)
	}
	return a
}

func currency(c fold.Currency) credit.Currency {
	return credit.Currency{Code: c.Code, MinorDigits: c.MinorDigits, FineDigits: c.FineDigits}
}

func (f *filler) node(n fold.Node) error {
	v := credit.Node{
		Statement: n.Statement.String(), Work: n.Work, Publisher: string(n.Publisher), Contributors: weights(n.Contributors), Total: weight(n.Total),
		SelfWeight: weight(n.SelfWeight), EdgeTotal: weight(n.EdgeTotal),
	}
	for _, e := range n.Edges {
		v.Edges = append(v.Edges, credit.Weight{Key: e.Statement.String(), Weight: weight(e.Weight)})
	}
	if n.Agreement.Defined() {
		v.Agreement = n.Agreement.String()
	}
	if n.Rules != nil {
		if v.OnWithdraw = n.Rules.OnWithdraw; v.OnWithdraw == credit.OnWithdrawPool {
			v.Pool = n.Rules.Payment.Pool.String()
		}
	}
	f.contributors[v.Statement], f.payee = n.Contributors, string(n.Contributors[0].ID)
	return f.ledger.AddNode(v)
}

// pending stands in an agreement's list of missing signatures: the fold says
// when it is complete.
const pending = "complete"

func (f *filler) add(effect fold.Effect) (err error) {
	switch e := effect.(type) {
	case fold.SetRegistry:
		if f.ledger == nil {
			f.ledger, err = credit.NewLedger(period(e.FirstPeriod))
			if err != nil {
				return err
			}
		}
		for _, c := range e.Currencies {
			if _, known := f.ledger.Currency(c.Code); known != nil {
				if err := f.ledger.AddCurrency(currency(c)); err != nil {
					return err
				}
			}
		}
	case fold.AddCurrency:
		return f.ledger.AddCurrency(currency(e.Currency))
	case fold.ClosePeriod:
		return f.ledger.ClosePeriod(period(e.Closes))
	case fold.AddVersion:
		return f.node(e.Node)
	case fold.AddModel:
		return f.node(e.Node)
	case fold.AddSigners:
		for _, id := range e.Signers {
			if slices.ContainsFunc(f.contributors[e.Statement.String()], func(s fold.Share) bool { return s.ID == id }) {
				if err := f.ledger.AddSigner(e.Statement.String(), string(id)); err != nil {
					return err
				}
			}
		}
	case fold.AddAgreement:
		a := credit.Agreement{
			Statement: e.Statement.String(), Work: e.Work, Effective: period(e.EffectivePeriod), Retroactive: e.Retroactive,
			Shares: weights(e.Shares), Total: weight(e.Total), Required: []string{pending},
		}
		if e.Supersedes.Defined() {
			a.Supersedes = e.Supersedes.String()
		}
		return f.ledger.AddAgreement(a)
	case fold.CompleteAgreement:
		if err := f.ledger.AddSigner(e.Statement.String(), pending); err != nil {
			return err
		}
		if done, from, err := f.ledger.AgreementState(e.Statement.String()); err != nil || !done || from.String() != e.From {
			return fmt.Errorf("the ledger begins %s in %s, the fold in %s: %v, %v", e.Statement, from, e.From, done, err)
		}
	case fold.AddRevenue:
		v := credit.Event{
			Statement: e.Statement.String(), Node: e.About.String(), Kind: credit.EventKind(e.Kind), Period: period(e.Period), Currency: e.Currency,
			NetMinor: minor(e.NetMinor), Settlement: credit.Settlement(e.Settlement), Operator: e.Issuer == "",
		}
		if e.Settles.Defined() {
			v.Of = e.Settles.String()
		}
		if e.Reverses.Defined() {
			v.Of = e.Reverses.String()
		}
		for _, d := range e.Deductions {
			v.Deductions = append(v.Deductions, credit.Deduction{Code: d.Code, AmountMinor: minor(d.AmountMinor)})
		}
		return f.ledger.AddEvent(v)
	case fold.AddPayout:
		o := credit.Payout{Statement: e.Statement.String(), Currency: e.Currency, Rail: e.Rail}
		for range e.N {
			o.Lines = append(o.Lines, credit.PayoutLine{Payee: f.payee, AmountMinor: minor("1")})
		}
		return f.ledger.AddPayout(o)
	case fold.AddPayoutResult:
		return f.ledger.AddPayoutResult(e.Payout.String(), int(e.Index), e.Status == manifests.PayoutReturned)
	case fold.AddWithdrawal:
		if !e.Flag {
			return f.ledger.AddWithdrawal(e.About.String())
		}
	case fold.AddResolution:
		r := credit.Resolution{Statement: e.Statement.String(), Node: e.About.String(), Ruling: credit.Ruling(e.Ruling), Shares: weights(e.Shares)}
		if e.Total != "" {
			r.Total = weight(e.Total)
		}
		return f.ledger.AddResolution(r)
	}
	return nil
}

// fill folds a log and fills a ledger with it.
func fill(t *testing.T, bodies []foldtest.Body) (*credit.Ledger, *fold.State) {
	t.Helper()
	f := filler{contributors: make(map[string][]fold.Share)}
	s := fold.NewState(foldtest.Origin)
	counted := make(map[string]bool)
	var revenue []string
	for i, b := range bodies {
		r := s.Apply(fold.Read(b.Leaf, b.Envelope))
		for _, e := range r.Effects {
			if err := f.add(e); err != nil {
				t.Fatalf("entry %d: the ledger refuses what the fold accepted: %v\n%s", i, err, r.Encode())
			}
			if a, ok := e.(fold.AddRevenue); ok {
				revenue = append(revenue, a.Statement.String())
			}
			if c, ok := e.(fold.CountRevenue); ok {
				counted[c.Statement.String()] = true
				if in, is, err := f.ledger.Counts(c.Statement.String()); err != nil || !is || in.String() != c.In {
					t.Fatalf("entry %d: the fold counts %s in %s, the ledger says %s, %v, %v", i, c.Statement, c.In, in, is, err)
				}
			}
		}
	}
	for _, c := range revenue {
		if _, is, err := f.ledger.Counts(c); err != nil || is != counted[c] {
			t.Errorf("payment %s counts: the ledger says %v, the fold %v, %v", c, is, counted[c], err)
		}
	}
	return f.ledger, s
}

// TestLedgerTakesEveryEffect fills the credit engine with the effects of logs:
// it refuses nothing that the fold accepted, and the two agree on what counts
// when. Every closed period can be run.
func TestLedgerTakesEveryEffect(t *testing.T) {
	run := func(l *credit.Ledger) {
		if l == nil {
			return // no registry/v1 was accepted
		}
		for p := l.First(); p < l.Open(); p++ {
			for _, c := range l.Currencies() {
				if _, err := l.Run(p, c.Code); err != nil {
					t.Errorf("running %s in %s: %v", p, c.Code, err)
				}
			}
		}
	}
	l, _ := fill(t, world().bodies)
	run(l)
	for seed := range uint64(10) {
		l, _ := fill(t, foldtest.Random(rand.New(rand.NewPCG(seed, 3)), 200))
		run(l)
	}
}
