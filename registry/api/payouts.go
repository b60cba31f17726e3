package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/ledger"
	"github.com/cairn-registry/cairn/registry/wire"
)

// registerPayouts adds what the log says about payouts. Their lines are public:
// who was paid how much. Where to is nowhere in the registry.
func (a *API) registerPayouts(mux *http.ServeMux) {
	a.get(mux, "/v1/payouts", a.payouts)
	a.get(mux, "/v1/payouts/{cid}", a.payout)
	a.get(mux, "/v1/payouts/{cid}/lines", a.payoutLines)
}

func (a *API) payouts(r *http.Request) (any, error) {
	out := wire.Payouts{Payouts: []wire.Payout{}}
	k := r.URL.Query().Get("key")
	err := a.reg.View(func(s *index.Snapshot) error {
		out.Size = s.Applied()
		if k != "" {
			c, err := s.ByKey(manifests.KindPayout, k)
			if errors.Is(err, fault.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			p, err := loggedPayout(s, c)
			if err == nil {
				out.Payouts = append(out.Payouts, p)
			}
			return err
		}
		all, err := s.Payouts()
		if err != nil {
			return err
		}
		for _, l := range all {
			p, err := wirePayout(l.Index, l.Effect)
			if err != nil {
				return err
			}
			out.Payouts = append(out.Payouts, p)
		}
		return nil
	})
	return out, err
}

func (a *API) payout(r *http.Request) (any, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	var out wire.Payout
	err = a.reg.View(func(s *index.Snapshot) (err error) {
		out, err = loggedPayout(s, c)
		out.Size = s.Applied()
		return err
	})
	return out, err
}

// loggedPayout returns an accepted payout, fault.NotFound for none.
func loggedPayout(s *index.Snapshot, c cid.Cid) (wire.Payout, error) {
	v, err := s.Fold()
	if err != nil {
		return wire.Payout{}, err
	}
	e, ok, err := v.Payout(c)
	if err != nil {
		return wire.Payout{}, err
	}
	if !ok {
		return wire.Payout{}, fault.New(fault.NotFound, "%s is no payout", c)
	}
	st, err := s.Statement(c)
	if err != nil {
		return wire.Payout{}, err
	}
	return wirePayout(st.Index, e)
}

func wirePayout(i uint64, e fold.AddPayout) (wire.Payout, error) {
	least, err := credit.ParseAmount(e.MinMinor)
	if err != nil {
		return wire.Payout{}, err
	}
	total, err := credit.ParseAmount(e.TotalMinor)
	return wire.Payout{
		Index: i, Statement: e.Statement, Key: e.Key, Rail: e.Rail, Currency: e.Currency, Min: least,
		Allocations: e.Allocations, Lines: e.Lines, N: e.N, Total: total,
	}, err
}

func (a *API) payoutLines(r *http.Request) (any, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	after, limit, err := paging(r.URL.Query())
	if err != nil {
		return nil, err
	}
	out := wire.PayoutLines{Lines: []wire.PayoutLine{}}
	var p wire.Payout
	status := make(map[uint64]index.PayoutResult)
	err = a.reg.View(func(s *index.Snapshot) error {
		out.Size = s.Applied()
		if p, err = loggedPayout(s, c); err != nil {
			return err
		}
		results, err := s.PayoutResults(c, after)
		for _, x := range results {
			status[x.Line] = x
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	lines, err := a.linesOf(r.Context(), p)
	if err != nil {
		return nil, err
	}
	for i := after; i < uint64(len(lines)); i++ {
		if len(out.Lines) == limit {
			out.Next = i
			break
		}
		x := status[i]
		out.Lines = append(out.Lines, wire.PayoutLine{Line: int64(i), Payee: lines[i].Payee, Amount: lines[i].AmountMinor, Status: x.Status, Result: x.Statement})
	}
	return out, nil
}

// linesOf reads the public lines of a payout.
func (a *API) linesOf(ctx context.Context, p wire.Payout) ([]credit.PayoutLine, error) {
	csv, err := a.reg.PayoutLines(ctx, p.Lines.Cid)
	if err != nil {
		return nil, err
	}
	return ledger.PayoutLines(csv, p.N, p.Total.String())
}
