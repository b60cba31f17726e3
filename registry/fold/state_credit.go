package fold

import (
	"math/big"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
)

// creditState is the part of a [State] that shares and money need.
type creditState struct {
	nodes        map[cid.Cid]NodeState
	versions     map[cid.Cid]Node
	works        map[string]Work
	agreements   map[cid.Cid]AgreementState
	usages       map[cid.Cid]AddUsage
	attributions map[cid.Cid]AddAttribution

	calendar    Calendar
	currencies  map[string]Currency
	payments    map[paymentKey]Payment
	revenue     map[cid.Cid]RevenueState
	turnover    map[periodCurrency]string
	allocations map[cid.Cid]AddAllocation
	newest      map[periodCurrency]cid.Cid
	payouts     map[cid.Cid]AddPayout
	results     map[payoutLine]string
	disputes    map[cid.Cid]AddDispute
}

type (
	paymentKey     struct{ kind, key string }
	periodCurrency struct{ period, currency string }
	payoutLine     struct {
		payout cid.Cid
		line   int64
	}
)

func newCreditState() creditState {
	return creditState{
		nodes:        make(map[cid.Cid]NodeState),
		versions:     make(map[cid.Cid]Node),
		works:        make(map[string]Work),
		agreements:   make(map[cid.Cid]AgreementState),
		usages:       make(map[cid.Cid]AddUsage),
		attributions: make(map[cid.Cid]AddAttribution),
		currencies:   make(map[string]Currency),
		payments:     make(map[paymentKey]Payment),
		revenue:      make(map[cid.Cid]RevenueState),
		turnover:     make(map[periodCurrency]string),
		allocations:  make(map[cid.Cid]AddAllocation),
		newest:       make(map[periodCurrency]cid.Cid),
		payouts:      make(map[cid.Cid]AddPayout),
		results:      make(map[payoutLine]string),
		disputes:     make(map[cid.Cid]AddDispute),
	}
}

// apply applies an effect of the entry at index i.
func (s *creditState) apply(effect Effect, i uint64) {
	switch e := effect.(type) {
	case SetRegistry:
		if s.calendar.First == "" {
			s.calendar = Calendar{First: e.FirstPeriod, Open: e.FirstPeriod}
		}
		for _, c := range e.Currencies {
			s.currencies[c.Code] = c
		}
	case AddVersion:
		s.node(e.Node, string(manifests.KindContribution), i)
	case AddModel:
		s.node(e.Node, string(manifests.KindModel), i)
	case AddUsage:
		s.usages[e.Statement.Cid] = e
	case AddAttribution:
		s.attributions[e.Statement.Cid] = e
	case AddAgreement:
		s.agreements[e.Statement.Cid] = AgreementState{AddAgreement: e}
	case CompleteAgreement:
		a := s.agreements[e.Statement.Cid]
		a.Complete, a.Completed, a.From = true, i, e.From
		s.agreements[e.Statement.Cid] = a
		w := s.works[e.Work]
		w.Agreement, w.Completed = e.Statement.Cid, i
		s.works[e.Work] = w
	case ClosePeriod:
		s.calendar.Open = e.Opens
	case AddCurrency:
		s.currencies[e.Code] = e.Currency
	case AddRevenue:
		s.payments[paymentKey{string(manifests.KindRevenue), e.Key}] = Payment{Statement: e.Statement.Cid, Body: e.Body}
		s.revenue[e.Statement.Cid] = RevenueState{AddRevenue: e, Received: "0", Reversed: "0"}
		if of, ok := s.revenue[e.Settles.Cid]; ok {
			of.Received = AddMinor(of.Received, e.NetMinor)
			s.revenue[e.Settles.Cid] = of
		}
		if of, ok := s.revenue[e.Reverses.Cid]; ok {
			of.Reversed = AddMinor(of.Reversed, e.NetMinor)
			s.revenue[e.Reverses.Cid] = of
		}
	case CountRevenue:
		r := s.revenue[e.Statement.Cid]
		r.Counted = true
		s.revenue[e.Statement.Cid] = r
		k := periodCurrency{e.In, e.Currency}
		s.turnover[k] = AddMinor(s.turnover[k], e.NetMinor)
	case AddAllocation:
		s.allocations[e.Statement.Cid] = e
		s.newest[periodCurrency{e.Period, e.Currency}] = e.Statement.Cid
	case AddPayout:
		s.payments[paymentKey{string(manifests.KindPayout), e.Key}] = Payment{Statement: e.Statement.Cid, Body: e.Body}
		s.payouts[e.Statement.Cid] = e
	case AddPayoutResult:
		s.results[payoutLine{e.Payout.Cid, e.Index}] = e.Status
	case AddDispute:
		s.disputes[e.Statement.Cid] = e
	}
}

func (s *creditState) node(n Node, kind string, i uint64) {
	c := n.Statement.Cid
	s.nodes[c] = NodeState{Kind: kind, Index: i, Work: n.Work, Publisher: n.Publisher, Rules: n.Rules, Depth: n.Depth, Floors: n.Floors}
	s.versions[c] = n
	w := s.works[n.Work]
	var last Node
	if l, ok := w.Last(); ok {
		last = s.versions[l]
	}
	s.works[n.Work] = w.With(n, i, last)
}

// AddMinor adds two amounts of the state, decimal strings that the fold wrote;
// "" counts as 0.
func AddMinor(a, b string) string { return new(big.Int).Add(amount(a), amount(b)).String() }

func lookup[K comparable, V any](m map[K]V, k K) (V, bool, error) {
	v, ok := m[k]
	return v, ok, nil
}

// Node implements [View].
func (s *creditState) Node(c cid.Cid) (NodeState, bool, error) { return lookup(s.nodes, c) }

// Version implements [View].
func (s *creditState) Version(c cid.Cid) (Node, bool, error) { return lookup(s.versions, c) }

// Work implements [View].
func (s *creditState) Work(work string) (Work, bool, error) { return lookup(s.works, work) }

// Agreement implements [View].
func (s *creditState) Agreement(c cid.Cid) (AgreementState, bool, error) {
	return lookup(s.agreements, c)
}

// Usage implements [View].
func (s *creditState) Usage(c cid.Cid) (AddUsage, bool, error) { return lookup(s.usages, c) }

// Attribution implements [View].
func (s *creditState) Attribution(c cid.Cid) (AddAttribution, bool, error) {
	return lookup(s.attributions, c)
}

// Calendar implements [View].
func (s *creditState) Calendar() (Calendar, bool, error) {
	return s.calendar, s.calendar.First != "", nil
}

// Currency implements [View].
func (s *creditState) Currency(code string) (Currency, bool, error) {
	return lookup(s.currencies, code)
}

// Payment implements [View].
func (s *creditState) Payment(kind, key string) (Payment, bool, error) {
	return lookup(s.payments, paymentKey{kind, key})
}

// Revenue implements [View].
func (s *creditState) Revenue(c cid.Cid) (RevenueState, bool, error) { return lookup(s.revenue, c) }

// Turnover implements [View].
func (s *creditState) Turnover(period, currency string) (string, error) {
	return AddMinor(s.turnover[periodCurrency{period, currency}], "0"), nil
}

// Allocation implements [View].
func (s *creditState) Allocation(c cid.Cid) (AddAllocation, bool, error) {
	return lookup(s.allocations, c)
}

// NewestAllocation implements [View].
func (s *creditState) NewestAllocation(period, currency string) (cid.Cid, bool, error) {
	return lookup(s.newest, periodCurrency{period, currency})
}

// Payout implements [View].
func (s *creditState) Payout(c cid.Cid) (AddPayout, bool, error) { return lookup(s.payouts, c) }

// PayoutResult implements [View].
func (s *creditState) PayoutResult(payout cid.Cid, line int64) (string, bool, error) {
	return lookup(s.results, payoutLine{payout, line})
}

// Dispute implements [View].
func (s *creditState) Dispute(c cid.Cid) (AddDispute, bool, error) { return lookup(s.disputes, c) }
