package api

import (
	"net/http"
	"strconv"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// registerPayouts adds the look-ups of payouts.
func (a *API) registerPayouts(mux *http.ServeMux) {
	a.get(mux, "/v1/payouts", a.payouts)
	a.get(mux, "/v1/payouts/{cid}/results", a.payoutResults)
}

// payouts lists the newest payouts, or the one that has a key.
func (a *API) payouts(r *http.Request) (any, error) {
	out := wire.Payouts{Payouts: []wire.Payout{}}
	key := r.URL.Query().Get("key")
	err := a.reg.View(func(s *index.Snapshot) error {
		out.Size = s.Applied()
		list, err := s.Payouts()
		if err != nil {
			return err
		}
		for _, l := range list {
			if key != "" && l.Effect.Key != key {
				continue
			}
			e := l.Effect
			out.Payouts = append(out.Payouts, wire.Payout{
				Index: l.Index, Statement: e.Statement, Key: e.Key, Allocations: e.Allocations, Rail: e.Rail, Currency: e.Currency,
				MinMinor: e.MinMinor, Lines: e.Lines, N: e.N, TotalMinor: e.TotalMinor,
			})
		}
		if key == "" || len(out.Payouts) > 0 {
			return nil
		}
		// It may be behind the newest.
		if _, err := s.ByKey(manifests.KindPayout, key); fault.Of(err) != fault.NotFound {
			return fault.New(fault.TooLarge, "the payout %s is behind the newest %d", fault.Quote(key), index.MaxLimit)
		}
		return nil
	})
	return out, err
}

// payoutResults lists what became of the lines of a payout, a page at a time.
func (a *API) payoutResults(r *http.Request) (any, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	var from uint64
	if text := r.URL.Query().Get("from"); text != "" {
		if from, err = strconv.ParseUint(text, 10, 63); err != nil {
			return nil, fault.New(fault.Invalid, "from is %s, not the number of a line", fault.Quote(text))
		}
	}
	out := wire.PayoutResults{Results: []wire.PayoutResult{}}
	err = a.reg.View(func(s *index.Snapshot) error {
		out.Size = s.Applied()
		list, err := s.PayoutResults(c, from)
		for _, x := range list {
			out.Results = append(out.Results, wire.PayoutResult{Line: x.Line, Index: x.Index, Statement: x.Statement, Status: x.Status})
		}
		if len(list) == index.MaxLimit {
			out.Next = list[len(list)-1].Line + 1
		}
		return err
	})
	return out, err
}
