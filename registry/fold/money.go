package fold

import (
	"math/big"
	"slices"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// overflow is the limit that a period's amounts in fine units stay below.
var overflow = new(big.Int).Lsh(big.NewInt(1), 127)

// amount reads an amount that the grammar has checked; "" is 0.
func amount(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return new(big.Int)
	}
	return n
}

// byGroup checks that a threshold of a group signed, and nobody else.
func (j *judge) byGroup(group manifests.Authority) (Code, error) {
	members, threshold := j.inForce.Operators, j.inForce.OperatorThreshold
	if group == manifests.Arbiters {
		members, threshold = j.inForce.Arbiters, j.inForce.ArbiterThreshold
	}
	if code := j.keysAmong(members); code != "" {
		return code, nil
	}
	if len(j.entry.signers) < max(1, threshold) {
		return Threshold, nil
	}
	return j.anchor(), nil
}

// period judges a period/v1: it closes the open period, and no other.
func (j *judge) period(p *manifests.PeriodStatement) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Operators); code != "" || err != nil {
		return nil, code, err
	}
	c, _, err := j.Calendar()
	if err != nil {
		return nil, "", err
	}
	if p.Closes != c.Open || c.Next() == "" {
		return nil, WrongPeriod, nil
	}
	return []Effect{ClosePeriod{Statement: j.stmt(), Closes: c.Open, Opens: c.Next()}}, "", nil
}

// currency judges a currency/v1: the first accepted code wins.
func (j *judge) currency(p *manifests.CurrencyStatement) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Operators); code != "" || err != nil {
		return nil, code, err
	}
	switch _, ok, err := j.Currency(p.Code); {
	case err != nil:
		return nil, "", err
	case ok:
		return nil, CurrencyTaken, nil
	}
	return []Effect{AddCurrency{Statement: j.stmt(), Currency: currencyOf(p.Currency)}}, "", nil
}

func currencyOf(c manifests.Currency) Currency {
	return Currency{Code: c.Code, MinorDigits: c.MinorDigits, FineDigits: c.FineDigits}
}

// repeats reports whether the statement says what one with the same key said
// before, and KeyTaken when that one said something else.
func (j *judge) repeats(key, body string) (bool, Code, error) {
	first, ok, err := j.Payment(string(j.entry.Statement.Kind), key)
	if err != nil || !ok {
		return false, "", err
	}
	if first.Body != body {
		return false, KeyTaken, nil
	}
	return true, "", nil
}

// revenue judges a revenue/v1. No effects and no code mean a repetition.
func (j *judge) revenue(p *manifests.Revenue) ([]Effect, Code, error) {
	code, err := Code(""), error(nil)
	if p.Issuer == "" {
		code, err = j.byGroup(manifests.Operators)
	} else {
		code, err = j.signedBy(p.Issuer, []sign.KeyID{p.Issuer})
	}
	if code != "" || err != nil {
		return nil, code, err
	}
	of, code, err := j.paymentOf(p)
	if code != "" || err != nil {
		return nil, code, err
	}
	calendar, _, err := j.Calendar()
	if err != nil {
		return nil, "", err
	}
	if p.Period < calendar.First || p.Period > calendar.Open {
		return nil, WrongPeriod, nil
	}
	unit, ok, err := j.Currency(p.Currency)
	if err != nil || !ok {
		return nil, UnknownCurrency, err
	}
	if of != nil && (of.About != p.Statement || of.Currency != p.Currency || of.Period != p.Period || of.Settlement != p.Settlement) {
		return nil, Mismatch, nil
	}
	body, err := j.entry.Statement.Body()
	if err != nil {
		return nil, "", err
	}
	if again, code, err := j.repeats(p.Key, body); again || code != "" || err != nil {
		return nil, code, err
	}
	effects, sum := []Effect{newRevenue(p, j.stmt(), body)}, amount(p.NetMinor)
	switch count, code, err := j.counted(p, of, unit); {
	case code != "" || err != nil:
		return nil, code, err
	case count != nil:
		count.In = calendar.Open
		effects = append(effects, *count)
		turnover, err := j.Turnover(count.In, count.Currency)
		if err != nil {
			return nil, "", err
		}
		sum.Add(amount(turnover), amount(count.NetMinor))
	}
	fine := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(unit.FineDigits-unit.MinorDigits)), nil)
	if fine.Mul(fine, sum).Cmp(overflow) >= 0 {
		return nil, Overflow, nil
	}
	return effects, "", nil
}

// paymentOf checks what a revenue names: the version, that the issuer is its
// publisher, and the income that it settles or reverses, which is returned.
func (j *judge) paymentOf(p *manifests.Revenue) (*RevenueState, Code, error) {
	n, ok, err := j.Node(p.Statement.Cid)
	if err != nil || !ok {
		return nil, Reference, err
	}
	var of *RevenueState
	if p.Type != manifests.RevenueIncome {
		name := p.Settles
		if p.Type != manifests.RevenueReceipt {
			name = p.Reverses
		}
		r, ok, err := j.Revenue(name.Cid)
		if err != nil {
			return nil, "", err
		}
		// A receipt settles what was declared; a refund reverses what counts.
		if !ok || r.Kind != manifests.RevenueIncome ||
			p.Type == manifests.RevenueReceipt && r.Issuer == "" || p.Type != manifests.RevenueReceipt && !r.Counted {
			return nil, Reference, nil
		}
		of = &r
	}
	if p.Issuer != "" && p.Issuer != n.Publisher {
		return nil, NotPublisher, nil
	}
	return of, "", nil
}

// counted returns what a revenue lets into the run of the open period; nil for
// nothing. A declared income counts when its receipts come to what is due.
func (j *judge) counted(p *manifests.Revenue, of *RevenueState, unit Currency) (*CountRevenue, Code, error) {
	self := &CountRevenue{Statement: j.stmt(), Currency: p.Currency, NetMinor: p.NetMinor}
	switch p.Type {
	case manifests.RevenueIncome:
		if p.Issuer != "" {
			return nil, "", nil
		}
		return self, "", nil
	case manifests.RevenueReceipt:
		received := new(big.Int).Add(amount(of.Received), amount(p.NetMinor))
		if of.Counted || received.Cmp(amount(of.NetMinor)) > 0 {
			return nil, OverClaim, nil
		}
		due, err := j.due(of, unit)
		if err != nil || received.Cmp(due) < 0 {
			return nil, "", err
		}
		return &CountRevenue{Statement: of.Statement, Receipt: j.stmt(), Currency: of.Currency, NetMinor: of.NetMinor}, "", nil
	}
	if reversed := new(big.Int).Add(amount(of.Reversed), amount(p.NetMinor)); reversed.Cmp(amount(of.NetMinor)) > 0 {
		return nil, OverClaim, nil
	}
	return self, "", nil
}

// due returns what the receipts of a declared income have to come to, in minor
// units: all of it, or for upstream-only what flows on from its version,
// rounded down. It is what the engine's Ledger.Due says.
func (j *judge) due(of *RevenueState, unit Currency) (*big.Int, error) {
	whole := amount(of.NetMinor)
	if of.Settlement == manifests.SettlementGross {
		return whole, nil
	}
	n, ok, err := j.Version(of.About.Cid)
	if err != nil || !ok {
		return whole, err
	}
	weights := []credit.Weight{{Key: credit.SelfKey, Weight: number(n.SelfWeight)}}
	for _, e := range n.Edges {
		weights = append(weights, credit.Weight{Key: e.Statement.String(), Weight: number(e.Weight)})
	}
	upstream, err := func() (q credit.Amount, err error) {
		fine, err := credit.ParseAmount(of.NetMinor)
		if err == nil {
			fine, err = fine.Scale(unit.FineDigits - unit.MinorDigits)
		}
		if err != nil {
			return q, err
		}
		parts, err := credit.Apportion(fine, weights)
		if err != nil {
			return q, err
		}
		for _, p := range parts {
			if p.Key == credit.SelfKey {
				fine, err = fine.Sub(p.Amount)
			}
		}
		if err != nil {
			return q, err
		}
		q, _, err = fine.Unscale(unit.FineDigits - unit.MinorDigits)
		return q, err
	}()
	if err != nil {
		// The income was within the limits when it was declared.
		return nil, fault.New(fault.Internal, "judging a receipt: %w", err)
	}
	return amount(upstream.String()), nil
}

func newRevenue(p *manifests.Revenue, stmt cjson.CID, body string) AddRevenue {
	r := AddRevenue{
		Statement:  stmt,
		Key:        p.Key,
		Body:       body,
		Issuer:     p.Issuer,
		About:      p.Statement,
		Kind:       p.Type,
		Settlement: p.Settlement,
		Period:     p.Period,
		Currency:   p.Currency,
		GrossMinor: p.GrossMinor,
		NetMinor:   p.NetMinor,
		Settles:    p.Settles,
		Reverses:   p.Reverses,
	}
	for _, d := range p.Deductions {
		r.Deductions = append(r.Deductions, Deduction{Code: d.Code, AmountMinor: d.AmountMinor})
	}
	return r
}

// allocation judges an allocation/v1: whether its period is closed. Its
// arithmetic is for whoever computes the run again.
func (j *judge) allocation(p *manifests.Allocation) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Operators); code != "" || err != nil {
		return nil, code, err
	}
	if p.Supersedes.Defined() {
		if ok, err := j.accepted(p.Supersedes.Cid, manifests.KindAllocation); !ok || err != nil {
			return nil, Reference, err
		}
	}
	newest, _, err := j.NewestAllocation(p.Period, p.Currency)
	if err != nil {
		return nil, "", err
	}
	if p.Supersedes.Cid != newest {
		return nil, Stale, nil
	}
	calendar, _, err := j.Calendar()
	if err != nil {
		return nil, "", err
	}
	if p.Period < calendar.First || p.Period >= calendar.Open {
		return nil, WrongPeriod, nil
	}
	if _, ok, err := j.Currency(p.Currency); !ok || err != nil {
		return nil, UnknownCurrency, err
	}
	return []Effect{AddAllocation{
		Statement:  j.stmt(),
		Engine:     p.Engine,
		Period:     p.Period,
		Currency:   p.Currency,
		Events:     Tree(p.Events),
		Nodes:      Tree(p.Nodes),
		Payees:     Tree(p.Payees),
		InFine:     p.InFine,
		HeldFine:   p.HeldFine,
		Supersedes: p.Supersedes,
	}}, "", nil
}

// adjustment judges an adjustment/v1: that there is an allocation, and a reason
// to adjust it.
func (j *judge) adjustment(p *manifests.Adjustment) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Operators); code != "" || err != nil {
		return nil, code, err
	}
	if ok, err := j.accepted(p.Allocation.Cid, manifests.KindAllocation); !ok || err != nil {
		return nil, Reference, err
	}
	switch p.Reason {
	case manifests.AdjustShares:
		a, _, err := j.Agreement(p.Cause.Cid)
		if err != nil || !a.Complete || !a.Retroactive {
			return nil, Reference, err
		}
	case manifests.AdjustRuling:
		if ok, err := j.accepted(p.Cause.Cid, manifests.KindResolution); !ok || err != nil {
			return nil, Reference, err
		}
	default:
		if p.Cause.Defined() {
			if ok, err := j.accepted(p.Cause.Cid); !ok || err != nil {
				return nil, Reference, err
			}
		}
	}
	return []Effect{AddAdjustment{Statement: j.stmt(), Allocation: p.Allocation, Reason: p.Reason, Cause: p.Cause, Deltas: Tree(p.Deltas)}}, "", nil
}

// payout judges a payout/v1. No effects and no code mean a repetition.
func (j *judge) payout(p *manifests.Payout) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Operators); code != "" || err != nil {
		return nil, code, err
	}
	mismatch := false
	for _, c := range p.Allocations {
		a, ok, err := j.Allocation(c.Cid)
		if err != nil || !ok {
			return nil, Reference, err
		}
		mismatch = mismatch || a.Currency != p.Currency
	}
	if _, ok, err := j.Currency(p.Currency); !ok || err != nil {
		return nil, UnknownCurrency, err
	}
	if mismatch {
		return nil, Mismatch, nil
	}
	body, err := j.entry.Statement.Body()
	if err != nil {
		return nil, "", err
	}
	if again, code, err := j.repeats(p.Key, body); again || code != "" || err != nil {
		return nil, code, err
	}
	return []Effect{AddPayout{
		Statement:   j.stmt(),
		Key:         p.Key,
		Body:        body,
		Allocations: slices.Clone(p.Allocations),
		Rail:        p.Rail,
		Currency:    p.Currency,
		MinMinor:    p.MinMinor,
		Lines:       p.Lines,
		N:           p.N,
		TotalMinor:  p.TotalMinor,
	}}, "", nil
}

// payoutResult judges a payoutResult/v1: a line is paid or returned once, and
// returned after it was paid.
func (j *judge) payoutResult(p *manifests.PayoutResult) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Operators); code != "" || err != nil {
		return nil, code, err
	}
	o, ok, err := j.Payout(p.Payout.Cid)
	if err != nil || !ok || p.Index >= o.N {
		return nil, Reference, err
	}
	status, ok, err := j.PayoutResult(p.Payout.Cid, p.Index)
	if err != nil {
		return nil, "", err
	}
	if ok && (status != manifests.PayoutPaid || p.Status != manifests.PayoutReturned) {
		return nil, ResultTaken, nil
	}
	return []Effect{AddPayoutResult{Statement: j.stmt(), Payout: p.Payout, Index: p.Index, Status: p.Status}}, "", nil
}

// payee judges a payee/v1.
func (j *judge) payee(p *manifests.Payee) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Identity, []sign.KeyID{p.Identity}); code != "" || err != nil {
		return nil, code, err
	}
	c, _, err := j.Calendar()
	if err != nil {
		return nil, "", err
	}
	if c.Next() == "" {
		return nil, WrongPeriod, nil
	}
	return []Effect{SetPayee{Statement: j.stmt(), Identity: p.Identity, Rail: p.Rail, Commitment: p.Commitment, From: c.Next()}}, "", nil
}
