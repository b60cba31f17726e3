// Package ledger fills the credit engine's Ledger with the fold's effects, in
// the order of the log. The registry does it with the effects that its index
// keeps, an auditor with those of a replay: the same function, and so the same
// bytes.
package ledger

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
)

// Lines returns the bytes of a payout's lines by their CID, checked against it.
type Lines func(ctx context.Context, lines cid.Cid) ([]byte, error)

// A Builder makes a [credit.Ledger] out of effects. It is for one goroutine.
//
// Where the fold has decided something that the engine could decide too, the
// Builder hands over the fold's decision: an agreement enters the Ledger with
// the entry that completes it.
type Builder struct {
	lines  Lines
	ledger *credit.Ledger
	next   uint64

	nodes   map[cid.Cid]bool              // of entries before
	waiting map[cid.Cid]fold.AddAgreement // agreements that are not complete
	void    map[cid.Cid]error             // payouts without effect, and why
	runs    map[cid.Cid]run               // what allocations are about
}

type run struct{ period, currency string }

// NewBuilder returns a Builder before the first entry. lines is asked once for
// each payout.
func NewBuilder(lines Lines) *Builder {
	return &Builder{
		lines: lines, nodes: make(map[cid.Cid]bool), waiting: make(map[cid.Cid]fold.AddAgreement),
		void: make(map[cid.Cid]error), runs: make(map[cid.Cid]run),
	}
}

// Ledger returns the Ledger after the entries applied so far; nil before a
// registry/v1. It is the Builder's own: nobody may read it while Apply runs.
func (b *Builder) Ledger() *credit.Ledger { return b.ledger }

// Next returns the index above that of the last entry applied.
func (b *Builder) Next() uint64 { return b.next }

// Void returns the payouts that move nothing, and why: the fold accepts a payout
// without reading its lines, and those of these are none, or do not come to
// what the payout says.
func (b *Builder) Void() map[cid.Cid]error { return maps.Clone(b.void) }

// Apply adds the effects of the entry at an index. Entries come in the order of
// the log; those without effects may be left out. Effects that the engine
// refuses are fault.Internal: the fold accepted what it should not have. A
// payout whose lines are not to be had gives the error of [Lines], and Apply may
// be called again with the same entry.
func (b *Builder) Apply(ctx context.Context, index uint64, effects []fold.Effect) error {
	if index < b.next {
		return fault.New(fault.Internal, "ledger: entry %d comes after entry %d", index, b.next)
	}
	// What can fail for reasons of its own comes first.
	lines, err := b.payoutLines(ctx, effects)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	for i, e := range effects {
		if err := b.effect(e, effects[i+1:], lines); err != nil {
			return fault.New(fault.Internal, "ledger: entry %d: %s: %w", index, e.Op(), err)
		}
	}
	for _, e := range effects {
		switch e := e.(type) {
		case fold.AddVersion:
			b.nodes[e.Statement.Cid] = true
		case fold.AddModel:
			b.nodes[e.Statement.Cid] = true
		}
	}
	b.next = index + 1
	return nil
}

// payoutLines returns the lines of the payout in an entry, nil for one whose
// lines are not what it says.
func (b *Builder) payoutLines(ctx context.Context, effects []fold.Effect) ([]credit.PayoutLine, error) {
	for _, e := range effects {
		p, ok := e.(fold.AddPayout)
		if !ok {
			continue
		}
		csv, err := b.lines(ctx, p.Lines.Cid)
		var lines []credit.PayoutLine
		if err == nil {
			lines, err = PayoutLines(csv, p.N, p.TotalMinor)
		}
		switch fault.Of(err) {
		case fault.Invalid, fault.TooLarge:
			b.void[p.Statement.Cid] = err
			return nil, nil
		}
		return lines, err
	}
	return nil, nil
}

// PayoutLines reads the public lines of a payout, which must be n and sum to
// total, in minor units. Anything else is fault.Invalid.
func PayoutLines(csv []byte, n int64, total string) ([]credit.PayoutLine, error) {
	read, err := payfile.LoadPublicCSV(bytes.NewReader(csv))
	if err != nil {
		return nil, err
	}
	out := make([]credit.PayoutLine, len(read.Lines()))
	var sum credit.Amount
	for i, l := range read.Lines() {
		out[i] = credit.PayoutLine{Payee: l.Payee, AmountMinor: l.Amount}
		if sum, err = sum.Add(l.Amount); err != nil {
			return nil, err
		}
	}
	if int64(len(out)) != n || sum.String() != total {
		return nil, fault.New(fault.Invalid, "there are %d lines of %s minor units, the payout says %d of %s", len(out), sum, n, fault.Quote(total))
	}
	return out, nil
}

// effect adds one effect; rest are those after it in the entry.
func (b *Builder) effect(e fold.Effect, rest []fold.Effect, lines []credit.PayoutLine) error {
	switch e := e.(type) {
	case fold.SetRegistry:
		return b.registry(e)
	case fold.AddCurrency:
		return b.currency(e.Currency)
	case fold.ClosePeriod:
		p, err := credit.ParsePeriod(e.Closes)
		if err != nil {
			return err
		}
		return b.ledger.ClosePeriod(p)
	case fold.AddVersion:
		return b.node(e.Node, rest)
	case fold.AddModel:
		return b.node(e.Node, rest)
	case fold.AddSigners:
		return b.signers(e)
	case fold.AddAgreement:
		b.waiting[e.Statement.Cid] = e
	case fold.CompleteAgreement:
		return b.agreement(e)
	case fold.AddRevenue:
		return b.revenue(e, rest)
	case fold.AddResolution:
		r := credit.Resolution{Statement: e.Statement.String(), Node: e.About.String(), Ruling: credit.Ruling(e.Ruling)}
		var err error
		if r.Shares, r.Total, err = shares(e.Shares, e.Total); err != nil {
			return err
		}
		return b.ledger.AddResolution(r)
	case fold.AddWithdrawal:
		if e.Flag {
			return nil
		}
		// A second one changes nothing; the first begins with the next period.
		return b.ledger.AddWithdrawal(e.About.String())
	case fold.AddAllocation:
		b.runs[e.Statement.Cid] = run{e.Period, e.Currency}
	case fold.AddAdjustment:
		return b.adjustment(e)
	case fold.AddPayout:
		if b.void[e.Statement.Cid] != nil {
			return nil
		}
		return b.payout(e, lines)
	case fold.AddPayoutResult:
		if b.void[e.Payout.Cid] != nil {
			return nil
		}
		return b.ledger.AddPayoutResult(e.Payout.String(), int(e.Index), e.Status == manifests.PayoutReturned)
	}
	return nil
}

// adjustment posts what a retroactive agreement changes. Other reasons are
// recorded, and move nothing: what they change is not a function of the log.
func (b *Builder) adjustment(e fold.AddAdjustment) error {
	if e.Reason != manifests.AdjustShares {
		return nil
	}
	of, ok := b.runs[e.Allocation.Cid]
	if !ok {
		return fault.New(fault.Invalid, "no allocation %s", e.Allocation)
	}
	p, err := credit.ParsePeriod(of.period)
	if err != nil {
		return err
	}
	return b.ledger.AddAdjustment(credit.Adjustment{
		Statement: e.Statement.String(), Period: p, Currency: of.currency, Agreement: e.Cause.String(),
	})
}

// payout adds a payout; amounts that the engine cannot hold make it void.
func (b *Builder) payout(e fold.AddPayout, lines []credit.PayoutLine) error {
	err := b.ledger.AddPayout(credit.Payout{Statement: e.Statement.String(), Currency: e.Currency, Rail: e.Rail, Lines: lines})
	if code := fault.Of(err); code == fault.Invalid || code == fault.TooLarge {
		b.void[e.Statement.Cid] = err
		return nil
	}
	return err
}

func (b *Builder) registry(e fold.SetRegistry) error {
	if b.ledger == nil {
		first, err := credit.ParsePeriod(e.FirstPeriod)
		if err != nil {
			return err
		}
		if b.ledger, err = credit.NewLedger(first); err != nil {
			return err
		}
	}
	for _, c := range e.Currencies {
		if err := b.currency(c); err != nil {
			return err
		}
	}
	return nil
}

// currency adds a currency, unless a registry/v1 repeats it.
func (b *Builder) currency(c fold.Currency) error {
	want := credit.Currency{Code: c.Code, MinorDigits: c.MinorDigits, FineDigits: c.FineDigits}
	if have, err := b.ledger.Currency(c.Code); err == nil && have == want {
		return nil
	}
	return b.ledger.AddCurrency(want)
}

func (b *Builder) node(e fold.Node, rest []fold.Effect) error {
	n := credit.Node{Statement: e.Statement.String(), Work: e.Work, Publisher: string(e.Publisher)}
	var err error
	if n.Contributors, n.Total, err = shares(e.Contributors, e.Total); err != nil {
		return err
	}
	for _, x := range e.Edges {
		w, err := number(x.Weight)
		if err != nil {
			return err
		}
		n.Edges = append(n.Edges, credit.Weight{Key: x.Statement.String(), Weight: w})
	}
	if n.SelfWeight, err = number(e.SelfWeight); err != nil {
		return err
	}
	if n.EdgeTotal, err = number(e.EdgeTotal); err != nil {
		return err
	}
	if e.Agreement.Defined() {
		n.Agreement = e.Agreement.String()
	}
	if e.Rules != nil {
		if n.OnWithdraw = e.Rules.OnWithdraw; n.OnWithdraw == credit.OnWithdrawPool {
			n.Pool = e.Rules.Payment.Pool.String() // the grammar and the fold see to it
		}
	}
	for _, later := range rest {
		if s, ok := later.(fold.AddSigners); ok && s.Statement == e.Statement {
			for _, id := range s.Signers { // the publisher need not be a contributor
				if slices.ContainsFunc(e.Contributors, func(c fold.Share) bool { return c.ID == id }) {
					n.Signers = append(n.Signers, string(id))
				}
			}
		}
	}
	return b.ledger.AddNode(n)
}

// signers adds contributors who signed a node in a later entry; those of its own
// entry are with it.
func (b *Builder) signers(e fold.AddSigners) error {
	if !b.nodes[e.Statement.Cid] {
		return nil
	}
	for _, id := range e.Signers {
		if err := b.ledger.AddSigner(e.Statement.String(), string(id)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) agreement(e fold.CompleteAgreement) error {
	a, ok := b.waiting[e.Statement.Cid]
	if !ok {
		return fault.New(fault.Invalid, "no agreement %s waits to be complete", e.Statement)
	}
	delete(b.waiting, e.Statement.Cid)
	in := credit.Agreement{Statement: e.Statement.String(), Work: a.Work, Retroactive: a.Retroactive}
	effective := e.From
	if a.Retroactive {
		effective = a.EffectivePeriod
	}
	var err error
	if in.Effective, err = credit.ParsePeriod(effective); err != nil {
		return err
	}
	if a.Supersedes.Defined() {
		in.Supersedes = a.Supersedes.String()
	}
	if in.Shares, in.Total, err = shares(a.Shares, a.Total); err != nil {
		return err
	}
	if err := b.ledger.AddAgreement(in); err != nil {
		return err
	}
	complete, from, err := b.ledger.AgreementState(in.Statement)
	if err == nil && (!complete || from.String() != e.From) {
		err = fault.New(fault.Invalid, "%s holds from %s, the fold says %s", in.Statement, from, e.From)
	}
	return err
}

func (b *Builder) revenue(e fold.AddRevenue, rest []fold.Effect) error {
	in := credit.Event{
		Statement: e.Statement.String(), Node: e.About.String(), Kind: credit.EventKind(e.Kind), Currency: e.Currency,
		Settlement: credit.Settlement(e.Settlement), Operator: e.Issuer == "",
	}
	var err error
	if in.Period, err = credit.ParsePeriod(e.Period); err != nil {
		return err
	}
	if in.NetMinor, err = credit.ParseAmount(e.NetMinor); err != nil {
		return err
	}
	for _, d := range e.Deductions {
		a, err := credit.ParseAmount(d.AmountMinor)
		if err != nil {
			return err
		}
		in.Deductions = append(in.Deductions, credit.Deduction{Code: d.Code, AmountMinor: a})
	}
	income := e.Statement
	switch {
	case e.Settles.Defined():
		in.Of, income = e.Settles.String(), e.Settles
	case e.Reverses.Defined():
		in.Of = e.Reverses.String()
	}
	if err := b.ledger.AddEvent(in); err != nil {
		return err
	}
	// Fold and engine must let the same payments into the same run.
	var counted string
	for _, later := range rest {
		if c, ok := later.(fold.CountRevenue); ok && c.Statement == income {
			counted = c.In
		}
	}
	period, counts, err := b.ledger.Counts(income.String())
	switch {
	case err != nil:
		return err
	case counts != (counted != "") || counts && period.String() != counted:
		return fault.New(fault.Invalid, "%s counts in period %q for the fold, and %t, %s for the engine", income, counted, counts, period)
	}
	return nil
}

// shares reads a list of shares and their total; both may be absent.
func shares(list []fold.Share, total string) ([]credit.Weight, uint64, error) {
	if len(list) == 0 && total == "" {
		return nil, 0, nil
	}
	out := make([]credit.Weight, len(list))
	for i, s := range list {
		w, err := number(s.Weight)
		if err != nil {
			return nil, 0, err
		}
		out[i] = credit.Weight{Key: string(s.ID), Weight: w}
	}
	n, err := number(total)
	return out, n, err
}

func number(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fault.New(fault.Invalid, "%s is no weight", fault.Quote(s))
	}
	return n, nil
}
