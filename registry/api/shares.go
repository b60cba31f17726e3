package api

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// maxEntries bounds the entries that one page of a list of all reads: most of
// them may be of other kinds.
const maxEntries = 20 * index.MaxLimit

// registerShares adds the routes that tell what the log says about shares and
// money. Nothing here is computed: that is credit's.
func (a *API) registerShares(mux *http.ServeMux) {
	a.get(mux, "/v1/registry", a.registry)
	a.get(mux, "/v1/nodes/{cid}", a.node)
	a.get(mux, "/v1/nodes/{publisher}/{name}", a.namedNode)
	a.get(mux, "/v1/nodes/{publisher}/{name}/{version}", a.namedNode)
	a.get(mux, "/v1/works/{work}/agreements", a.agreements)
	a.get(mux, "/v1/agreements/{cid}", a.agreement)
	a.get(mux, "/v1/periods", a.periods)
	a.get(mux, "/v1/currencies", a.currencies)
	a.get(mux, "/v1/revenue", a.revenue)
	a.get(mux, "/v1/usages", a.usages)
	a.get(mux, "/v1/disputes", a.disputes)
	a.get(mux, "/v1/payees/{did}", a.payees)
}

func (a *API) registry(*http.Request) (any, error) {
	var out wire.Registry
	err := a.reg.View(func(s *index.Snapshot) error {
		r, err := s.Registry()
		out = wire.Registry{
			Size: s.Applied(), Index: r.Index, Statement: r.Statement,
			Operators: r.Operators, OperatorThreshold: r.OperatorThreshold, Arbiters: r.Arbiters, ArbiterThreshold: r.ArbiterThreshold,
			GatewayKeys: r.GatewayKeys, PayeeRecipient: r.PayeeRecipient, FirstPeriod: r.FirstPeriod,
		}
		return err
	})
	return out, err
}

func (a *API) node(r *http.Request) (any, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	var out wire.Node
	err = a.reg.View(func(s *index.Snapshot) error {
		d, err := s.Version(c)
		if err == nil {
			out, err = wireNode(s, d)
		}
		return err
	})
	return out, err
}

func (a *API) namedNode(r *http.Request) (any, error) {
	var out wire.Node
	err := a.reg.View(func(s *index.Snapshot) error {
		id, err := s.Who(r.PathValue("publisher"))
		if err != nil {
			return err
		}
		d, err := s.Newest(id, r.PathValue("name"))
		if err != nil {
			return err
		}
		if v := r.PathValue("version"); v != "" && v != d.Version {
			if d, err = s.VersionNamed(id, d.Name, v); err != nil {
				return err
			}
		}
		out, err = wireNode(s, d)
		return err
	})
	return out, err
}

func wireNode(s *index.Snapshot, d index.Dataset) (wire.Node, error) {
	v, err := s.Fold()
	if err != nil {
		return wire.Node{}, err
	}
	n, ok, err := v.Node(d.Statement.Cid)
	if err == nil && !ok {
		err = fault.New(fault.Internal, "the version %s is no node", d.Statement)
	}
	if err != nil {
		return wire.Node{}, err
	}
	w := wireDataset(d)
	out := wire.Node{
		Size: s.Applied(), Index: d.Index, Statement: d.Statement, Kind: d.Kind, Work: d.Work, Seq: d.Seq,
		Publisher: d.Publisher, Name: d.Name, Version: d.Version, Terms: d.Terms,
		Contributors: w.Contributors, Total: d.Total, Edges: w.Edges, SelfWeight: d.SelfWeight, EdgeTotal: d.EdgeTotal,
		Supersedes: d.Supersedes, Agreement: d.Agreement, Attribution: d.Attribution, Rules: d.Rules,
		Depth: n.Depth, Artifact: d.Artifact, Usages: d.Usages, Sources: w.Sources,
	}
	for _, f := range n.Floors {
		out.Floors = append(out.Floors, wire.Floor(f))
	}
	return out, nil
}

func (a *API) agreements(r *http.Request) (any, error) {
	work := r.PathValue("work")
	out := wire.Agreements{Work: work, Agreements: []wire.Agreement{}}
	err := a.reg.View(func(s *index.Snapshot) error {
		v, err := s.Fold()
		if err != nil {
			return err
		}
		if len(work) > maxParam {
			return fault.New(fault.Invalid, "the name of a work is wk: and a CID")
		}
		w, ok, err := v.Work(work)
		if err == nil && !ok {
			err = fault.New(fault.NotFound, "no work %s", fault.Quote(work))
		}
		if err != nil {
			return err
		}
		list, err := s.Agreements(work)
		out.Size, out.Newest = s.Applied(), cjson.CID{Cid: w.Agreement}
		for _, g := range list {
			out.Agreements = append(out.Agreements, wireAgreement(g))
		}
		return err
	})
	return out, err
}

func (a *API) agreement(r *http.Request) (any, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	var out wire.Agreement
	err = a.reg.View(func(s *index.Snapshot) error {
		g, err := s.Agreement(c)
		out = wireAgreement(g)
		out.Size = s.Applied()
		return err
	})
	return out, err
}

func wireAgreement(g index.Agreement) wire.Agreement {
	out := wire.Agreement{
		Index: g.Index, Statement: g.Statement, Work: g.Work, EffectivePeriod: g.EffectivePeriod, Retroactive: g.Retroactive,
		Supersedes: g.Supersedes, Attribution: g.Attribution, Total: g.Total,
		Complete: g.Complete, From: g.From, Missing: g.Missing, Stale: g.Stale, Full: g.Full,
	}
	if g.Complete {
		out.Completed = &g.Completed
	}
	for _, c := range g.Shares {
		out.Shares = append(out.Shares, wire.Contributor(c))
	}
	return out
}

// parties answers whom an agreement would concern that is not logged yet. The
// fold asks the same question when it is.
func (a *API) parties(_ *http.Request, payload []byte) (any, error) {
	st, err := manifests.Decode(payload)
	if err != nil {
		return nil, err
	}
	p, ok := st.Predicate.(*manifests.Agreement)
	if !ok {
		return nil, fault.New(fault.Invalid, "a statement of kind %s has no parties", st.Kind)
	}
	ask := fold.AddAgreement{
		Work: p.Work, EffectivePeriod: p.EffectivePeriod, Retroactive: p.Retroactive, Supersedes: p.Supersedes, Total: p.Total,
	}
	for _, sh := range p.Shares {
		ask.Shares = append(ask.Shares, fold.Share{ID: sh.ID, Weight: sh.Weight})
	}
	var out wire.Parties
	err = a.reg.View(func(s *index.Snapshot) error {
		v, err := s.Fold()
		if err != nil {
			return err
		}
		who, err := fold.PartiesTo(v, ask)
		out = wire.Parties{Size: s.Applied(), All: who.All, Must: who.Must, Full: who.Full}
		return err
	})
	return out, err
}

func (a *API) periods(*http.Request) (any, error) {
	out := wire.Calendar{Periods: []wire.Period{}}
	err := a.reg.View(func(s *index.Snapshot) error {
		v, err := s.Fold()
		if err != nil {
			return err
		}
		c, _, err := v.Calendar()
		if err != nil {
			return err
		}
		list, err := s.Periods()
		out.Size, out.First, out.Open, out.Next = s.Applied(), c.First, c.Open, c.Next()
		for _, p := range list {
			out.Periods = append(out.Periods, wire.Period{Period: p.Period, Opened: p.Opened, Closed: p.Closed})
		}
		return err
	})
	return out, err
}

func (a *API) currencies(*http.Request) (any, error) {
	out := wire.Currencies{Currencies: []wire.Currency{}}
	err := a.reg.View(func(s *index.Snapshot) error {
		list, err := s.Currencies()
		out.Size = s.Applied()
		for _, c := range list {
			out.Currencies = append(out.Currencies, wire.Currency(c.Currency))
		}
		return err
	})
	return out, err
}

// An about is what a list of statements about others is selected by.
type about struct {
	statement   cid.Cid
	key, period string
	after       uint64
	limit       int
}

// aboutOf reads the parameters of a list. Those that the list does not know are
// refused: ignored, they would select more than was asked for.
func aboutOf(r *http.Request, known ...string) (q about, err error) {
	v, err := parametersOf(r, append(known, "after", "limit"))
	if err != nil {
		return q, err
	}
	q.key, q.period = v.Get("key"), v.Get("period")
	if q.after, q.limit, err = paging(v); err != nil {
		return q, err
	}
	if text := v.Get("statement"); text != "" {
		if q.statement, err = cjson.ParseCID(text); err != nil {
			return q, fault.New(fault.Invalid, "statement is %s, not a CID", fault.Quote(text))
		}
	}
	return q, nil
}

func parametersOf(r *http.Request, known []string) (url.Values, error) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	for k, values := range v {
		there := false
		for _, n := range known {
			there = there || n == k
		}
		if !there {
			return nil, fault.New(fault.Invalid, "there is no parameter %s", fault.Quote(k))
		}
		if len(values) != 1 || len(values[0]) > maxParam {
			return nil, fault.New(fault.Invalid, "the parameter %s is given more than once, or longer than %d bytes", k, maxParam)
		}
	}
	return v, nil
}

// scan calls fn for the first effect of the entries from q.after on, in the
// order of the log, until fn has taken q.limit of them or enough were read. It
// returns where to go on, 0 for nowhere.
func (q about) scan(s *index.Snapshot, fn func(i uint64, e fold.Effect) (bool, error)) (next uint64, err error) {
	taken, read := 0, 0
	for e, err := range s.Effects(q.after) {
		if err != nil {
			return 0, err
		}
		if taken == q.limit || read == maxEntries {
			return e.Index, nil
		}
		read++
		if len(e.Effects) == 0 {
			continue
		}
		ok, err := fn(e.Index, e.Effects[0])
		if err != nil {
			return 0, err
		}
		if ok {
			taken++
		}
	}
	return 0, nil
}

func (a *API) revenue(r *http.Request) (any, error) {
	q, err := aboutOf(r, "statement", "key", "period")
	if err != nil {
		return nil, err
	}
	out := wire.RevenuePage{Revenue: []wire.Revenue{}}
	take := func(p index.Revenue) bool {
		if q.period != "" && p.Period != q.period {
			return false
		}
		out.Revenue = append(out.Revenue, wireRevenue(p))
		return true
	}
	err = a.reg.View(func(s *index.Snapshot) (err error) {
		out.Size = s.Applied()
		switch {
		case q.key != "":
			c, err := s.ByKey(manifests.KindRevenue, q.key)
			if errors.Is(err, fault.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			p, err := s.Revenue(c)
			if err == nil && (!q.statement.Defined() || p.About.Cid == q.statement) {
				take(p)
			}
			return err
		case q.statement.Defined():
			list, next, err := s.RevenueOf(q.statement, q.after, q.limit)
			out.Next = next
			for _, p := range list {
				take(p)
			}
			return err
		}
		out.Next, err = q.scan(s, func(_ uint64, e fold.Effect) (bool, error) {
			added, ok := e.(fold.AddRevenue)
			if !ok {
				return false, nil
			}
			p, err := s.Revenue(added.Statement.Cid)
			return err == nil && take(p), err
		})
		return err
	})
	return out, err
}

func wireRevenue(p index.Revenue) wire.Revenue {
	out := wire.Revenue{
		Index: p.Index, Statement: p.Statement, Key: p.Key, Body: p.Body, Issuer: p.Issuer, About: p.About, Kind: p.Kind,
		Settlement: p.Settlement, Period: p.Period, Currency: p.Currency, GrossMinor: p.GrossMinor, NetMinor: p.NetMinor,
		Settles: p.Settles, Reverses: p.Reverses, Counted: p.Counted, Received: p.Received, Reversed: p.Reversed,
	}
	for _, d := range p.Deductions {
		out.Deductions = append(out.Deductions, wire.Deduction(d))
	}
	return out
}

func (a *API) usages(r *http.Request) (any, error) {
	q, err := aboutOf(r, "statement")
	if err != nil {
		return nil, err
	}
	out := wire.UsagePage{Usages: []wire.Usage{}}
	take := func(i uint64, e fold.Effect) (bool, error) {
		u, ok := e.(fold.AddUsage)
		if ok {
			out.Usages = append(out.Usages, wireUsage(i, u))
		}
		return ok, nil
	}
	err = a.reg.View(func(s *index.Snapshot) (err error) {
		out.Size = s.Applied()
		if q.statement.Defined() {
			list, err := s.Usages(q.statement)
			for _, u := range list {
				take(u.Index, u.Effect)
			}
			return err
		}
		out.Next, err = q.scan(s, take)
		return err
	})
	return out, err
}

func wireUsage(i uint64, u fold.AddUsage) wire.Usage {
	out := wire.Usage{
		Index: i, Statement: u.Statement, Run: u.Run, Kind: u.Kind, Trainer: u.Trainer, Lock: u.Lock, Private: u.Private,
		Payer: u.Payer, About: u.About, Meter: u.Meter, Qty: u.Qty, From: u.From, To: u.To, Unaccepted: u.Unaccepted, AfterWithdrawal: u.AfterWithdrawal,
	}
	for _, in := range u.Inputs {
		out.Inputs = append(out.Inputs, wire.UsageInput(in))
	}
	return out
}

func (a *API) disputes(r *http.Request) (any, error) {
	q, err := aboutOf(r, "statement")
	if err != nil {
		return nil, err
	}
	out := wire.DisputePage{Disputes: []wire.Dispute{}}
	err = a.reg.View(func(s *index.Snapshot) (err error) {
		out.Size = s.Applied()
		take := func(i uint64, e fold.Effect) (bool, error) {
			d, ok := e.(fold.AddDispute)
			if !ok {
				return false, nil
			}
			w, err := wireDispute(s, i, d)
			out.Disputes = append(out.Disputes, w)
			return true, err
		}
		if q.statement.Defined() {
			list, err := s.Disputes(q.statement)
			for _, d := range list {
				if _, err := take(d.Index, d.Effect); err != nil {
					return err
				}
			}
			return err
		}
		out.Next, err = q.scan(s, take)
		return err
	})
	return out, err
}

// wireDispute is a dispute with the rulings on it.
func wireDispute(s *index.Snapshot, i uint64, d fold.AddDispute) (wire.Dispute, error) {
	out := wire.Dispute{Index: i, Statement: d.Statement, Disputant: d.Disputant, Target: d.Target, Kind: d.Kind}
	list, err := s.Resolutions(d.Target.Cid)
	for _, l := range list {
		if l.Effect.Dispute != d.Statement {
			continue
		}
		r := wire.Ruling{Index: l.Index, Statement: l.Effect.Statement, About: l.Effect.About, Ruling: l.Effect.Ruling, Total: l.Effect.Total, From: l.Effect.From}
		for _, sh := range l.Effect.Shares {
			r.Shares = append(r.Shares, manifests.Share{ID: sh.ID, Weight: sh.Weight})
		}
		out.Rulings = append(out.Rulings, r)
	}
	return out, err
}

func (a *API) payees(r *http.Request) (any, error) {
	out := wire.Payees{Payees: []wire.Payee{}}
	err := a.reg.View(func(s *index.Snapshot) error {
		id, err := s.Who(r.PathValue("did"))
		if err != nil {
			return err
		}
		v, err := s.Fold()
		if err != nil {
			return err
		}
		c, _, err := v.Calendar()
		if err != nil {
			return err
		}
		out.Size, out.Identity = s.Applied(), id
		for _, period := range []string{c.Next(), c.Open} {
			p, err := s.Payee(id, period)
			if errors.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if len(out.Payees) > 0 && out.Payees[0].Index == p.Index {
				continue
			}
			e := p.Effect
			out.Payees = append(out.Payees, wire.Payee{
				Index: p.Index, Statement: e.Statement, Identity: e.Identity, Rail: e.Rail, Commitment: e.Commitment, From: e.From,
			})
		}
		return nil
	})
	return out, err
}
