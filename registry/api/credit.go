package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/ledger"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// maxSimulation bounds the body of a simulation: 4,096 contributors.
	maxSimulation = 1 << 20
	// maxExplained is the page of an explanation.
	maxExplained = 200
)

// registerCredit adds what follows from the log about money. Everything is
// computed by the engine from the log, nothing is taken from what an operator
// published.
func (a *API) registerCredit(mux *http.ServeMux) {
	a.get(mux, "/v1/credit", a.creditStatus)
	a.get(mux, "/v1/credit/runs/{period}/{currency}", a.creditRun)
	a.get(mux, "/v1/credit/runs/{period}/{currency}/payees", a.creditPayees)
	a.get(mux, "/v1/credit/runs/{period}/{currency}/statements/{party}", a.creditStatement)
	a.get(mux, "/v1/credit/runs/{period}/{currency}/adjustment", a.creditAdjustment)
	a.get(mux, "/v1/credit/balances/{party}", a.creditBalances)
	a.get(mux, "/v1/credit/explain", a.creditExplain)
}

func (a *API) creditStatus(r *http.Request) (any, error) {
	var out wire.CreditStatus
	err := a.reg.Credit(r.Context(), func(v *ledger.View, size uint64) error {
		out = wire.CreditStatus{Size: size, Engine: credit.Engine, First: v.First(), Open: v.Open(), Currencies: v.Currencies()}
		return nil
	})
	return out, err
}

// run hands fn the run that a path names.
func (a *API) run(r *http.Request, fn func(v *ledger.View, size uint64, run *credit.Run) error) error {
	p, err := credit.ParsePeriod(r.PathValue("period"))
	if err != nil {
		return err
	}
	return a.reg.Credit(r.Context(), func(v *ledger.View, size uint64) error {
		run, err := v.Run(r.Context(), p, r.PathValue("currency"))
		if err != nil {
			return err
		}
		return fn(v, size, run)
	})
}

func wireTree(t credit.Tree) wire.Tree {
	return wire.Tree{N: int64(t.N), Root: base64.StdEncoding.EncodeToString(t.Root[:])}
}

func (a *API) creditRun(r *http.Request) (any, error) {
	var out wire.CreditRun
	err := a.run(r, func(v *ledger.View, size uint64, run *credit.Run) error {
		c := run.Allocation()
		out = wire.CreditRun{
			Size: size, Engine: c.Engine, Period: c.Period, Currency: run.Currency(), In: c.InFine, Held: c.HeldFine,
			Events: wireTree(c.Events), Nodes: wireTree(c.Nodes), Payees: wireTree(c.PayeeStatements),
		}
		var err error
		out.Allocations, err = a.allocations(out)
		return err
	})
	return out, err
}

// allocations returns the published allocations of a run, newest first.
func (a *API) allocations(run wire.CreditRun) (out []wire.Allocation, err error) {
	err = a.reg.View(func(s *index.Snapshot) error {
		logged, err := s.Allocations(run.Period.String(), run.Currency.Code)
		for _, l := range logged {
			e := l.Effect
			out = append(out, wire.Allocation{
				Index: l.Index, Statement: e.Statement,
				Matches: e.Engine == run.Engine && wire.Tree(e.Events) == run.Events && wire.Tree(e.Nodes) == run.Nodes &&
					wire.Tree(e.Payees) == run.Payees && e.InFine == run.In.String() && e.HeldFine == run.Held.String(),
			})
		}
		return err
	})
	return out, err
}

func (a *API) creditPayees(r *http.Request) (any, error) {
	after, limit, err := paging(r.URL.Query())
	if err != nil {
		return nil, err
	}
	least, err := minimum(r.URL.Query().Get("min"))
	if err != nil {
		return nil, err
	}
	out := wire.PayeeLines{Payees: []wire.PayeeLine{}}
	err = a.run(r, func(v *ledger.View, size uint64, run *credit.Run) error {
		out.Size = size
		payable, err := ledger.PayableAfter(v.Ledger, run)
		if err != nil {
			return err
		}
		for i := int(min(after, uint64(run.Len()))); i < run.Len(); i++ {
			if len(out.Payees) == limit {
				out.Next = uint64(i)
				return nil
			}
			line, err := payeeLine(run.Statement(i), payable, least)
			if err != nil {
				return err
			}
			out.Payees = append(out.Payees, line)
		}
		return nil
	})
	return out, err
}

// minimum reads the smallest sum that is paid out, in minor units.
func minimum(text string) (credit.Amount, error) {
	if text == "" {
		return credit.Amount{}, nil
	}
	a, err := credit.ParseAmount(text)
	if err == nil && a.Sign() < 0 {
		err = fault.New(fault.Invalid, "min is %s, below 0", fault.Quote(text))
	}
	return a, err
}

func payeeLine(s credit.Statement, payable ledger.Payable, least credit.Amount) (wire.PayeeLine, error) {
	minor, _, err := payable.Minor(s.Payee, s.Close, least)
	return wire.PayeeLine{Payee: s.Payee, Credit: s.Credit, Debit: s.Debit, Paid: s.Paid, Close: s.Close, Held: s.Held, Payable: minor}, err
}

func (a *API) creditStatement(r *http.Request) (any, error) {
	var out wire.PayeeStatement
	err := a.run(r, func(v *ledger.View, size uint64, run *credit.Run) error {
		party, err := a.party(r.PathValue("party"))
		if err != nil {
			return err
		}
		i, err := run.Find(party)
		if err != nil {
			return err
		}
		proof, err := run.Prove(i)
		if err != nil {
			return err
		}
		c := run.Allocation()
		out = wire.PayeeStatement{Size: size, Statement: json.RawMessage(run.Append(nil, i)), Index: i, Tree: wireTree(c.PayeeStatements), Proof: []string{}}
		for _, h := range proof {
			out.Proof = append(out.Proof, base64.StdEncoding.EncodeToString(h[:]))
		}
		all, err := a.allocations(wire.CreditRun{
			Engine: c.Engine, Period: c.Period, Currency: run.Currency(), In: c.InFine, Held: c.HeldFine,
			Events: wireTree(c.Events), Nodes: wireTree(c.Nodes), Payees: wireTree(c.PayeeStatements),
		})
		if err != nil {
			return err
		}
		for _, x := range all {
			if x.Matches {
				out.Allocations = append(out.Allocations, x)
			}
		}
		out.Nodes = make(map[string]string)
		for _, l := range run.Statement(i).Lines {
			if out.Nodes[l.Statement], err = a.nameOf(l.Statement); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// party returns the identity of a did, or of a handle.
func (a *API) party(text string) (string, error) {
	var id string
	err := a.reg.View(func(s *index.Snapshot) error {
		p, err := s.Who(text)
		id = string(p)
		return err
	})
	return id, err
}

// nameOf names the version that a statement made.
func (a *API) nameOf(statement string) (name string, err error) {
	c, err := cjson.ParseCID(statement)
	if err != nil {
		return "", err
	}
	err = a.reg.View(func(s *index.Snapshot) error {
		d, err := s.Version(c)
		name = d.Name + "@" + d.Version
		return err
	})
	return name, err
}

func (a *API) creditBalances(r *http.Request) (any, error) {
	var out wire.Balances
	err := a.reg.Credit(r.Context(), func(v *ledger.View, size uint64) error {
		party, err := a.party(r.PathValue("party"))
		if err != nil {
			return err
		}
		out = wire.Balances{Size: size, Party: party, Balances: []wire.Balance{}}
		if v.Open() == v.First() {
			return nil
		}
		for _, c := range v.Currencies() {
			run, err := v.Run(r.Context(), v.Open()-1, c.Code)
			if err != nil {
				return err
			}
			i, err := run.Find(party)
			if fault.Of(err) == fault.NotFound {
				continue
			}
			payable, err := ledger.PayableAfter(v.Ledger, run)
			if err != nil {
				return err
			}
			line, err := payeeLine(run.Statement(i), payable, credit.Amount{})
			if err != nil {
				return err
			}
			out.Balances = append(out.Balances, wire.Balance{Currency: c, Period: run.Period(), PayeeLine: line})
		}
		return nil
	})
	return out, err
}

func (a *API) creditExplain(r *http.Request) (any, error) {
	q := r.URL.Query()
	event, err := cjson.ParseCID(q.Get("event"))
	if err != nil {
		return nil, fault.New(fault.Invalid, "event is %s, not the CID of a revenue statement", fault.Quote(q.Get("event")))
	}
	offset := 0
	if text := q.Get("offset"); text != "" {
		if offset, err = strconv.Atoi(text); err != nil || offset < 0 {
			return nil, fault.New(fault.Invalid, "offset is %s", fault.Quote(text))
		}
	}
	var out wire.Explanation
	err = a.reg.Credit(r.Context(), func(v *ledger.View, size uint64) error {
		party, err := a.party(q.Get("party"))
		if err != nil {
			return err
		}
		x, err := v.Explain(party, event.String(), offset, maxExplained)
		if err != nil {
			return err
		}
		out = wire.Explanation{Size: size, Party: party, Event: cjson.CID{Cid: event}, Fine: x.Fine, Amount: x.Amount, Hops: []wire.Hop{}}
		if x.More {
			out.Next = offset + len(x.Hops)
		}
		if err := a.reg.View(func(s *index.Snapshot) error {
			p, err := s.Revenue(event)
			if err != nil {
				return err
			}
			out.Currency, err = v.Currency(p.Currency)
			return err
		}); err != nil {
			return err
		}
		for _, h := range x.Hops {
			w := wire.Hop{Statement: h.Statement, Inflow: h.Inflow, Kept: h.Kept, Amount: h.Amount, Retained: h.Retained}
			if w.Name, err = a.nameOf(h.Statement); err != nil {
				return err
			}
			if h.Weight > 0 {
				w.Weight, w.Total = decimal(h.Weight), decimal(h.Total)
			}
			for _, e := range h.Edges {
				w.Edges = append(w.Edges, wire.HopEdge{Statement: e.Statement, Weight: decimal(e.Weight), Total: decimal(e.Total), Amount: e.Amount})
			}
			out.Hops = append(out.Hops, w)
		}
		return nil
	})
	return out, err
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func (a *API) creditAdjustment(r *http.Request) (any, error) {
	c, err := cjson.ParseCID(r.URL.Query().Get("agreement"))
	if err != nil {
		return nil, fault.New(fault.Invalid, "agreement is %s, not the CID of an agreement", fault.Quote(r.URL.Query().Get("agreement")))
	}
	p, err := credit.ParsePeriod(r.PathValue("period"))
	if err != nil {
		return nil, err
	}
	out := wire.Deltas{Deltas: []wire.Delta{}}
	err = a.reg.Credit(r.Context(), func(v *ledger.View, size uint64) error {
		deltas, err := v.Adjust(p, r.PathValue("currency"), c.String())
		if err != nil {
			return err
		}
		out.Size = size
		for _, d := range deltas {
			out.Deltas = append(out.Deltas, wire.Delta{Payee: d.Payee, Old: d.Old, New: d.New})
		}
		out.Tree = wireTree(credit.DeltaTree(deltas))
		return nil
	})
	return out, err
}

// simulate answers who would get what of revenue of a work that is not logged.
// It is for the owner of the home: whoever may ask for any graph may ask for
// much work.
func (a *API) simulate(r *http.Request, body []byte) (any, error) {
	var in wire.Simulation
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	n := credit.Node{Statement: "simulated", Work: "simulated", Publisher: in.Publisher}
	var err error
	add := func(to *[]credit.Weight, total *uint64, key, weight string) {
		w, e := strconv.ParseUint(weight, 10, 63)
		if e != nil || w == 0 || *total > credit.MaxWeight-w {
			err = fault.New(fault.Invalid, "the weight %s of %s is none, or the total too large", fault.Quote(weight), fault.Quote(key))
			return
		}
		if to != nil {
			*to = append(*to, credit.Weight{Key: key, Weight: w})
		}
		*total += w
	}
	for _, s := range in.Contributors {
		add(&n.Contributors, &n.Total, s.ID, s.Weight)
	}
	for _, e := range in.Edges {
		add(&n.Edges, &n.EdgeTotal, e.Statement.String(), e.Weight)
	}
	if len(n.Edges) > 0 && in.SelfWeight != "0" {
		before := n.EdgeTotal
		add(nil, &n.EdgeTotal, credit.SelfKey, in.SelfWeight)
		n.SelfWeight = n.EdgeTotal - before
	}
	if err != nil {
		return nil, err
	}
	var out wire.Simulated
	err = a.reg.Credit(r.Context(), func(v *ledger.View, size uint64) error {
		c, err := v.Currency(in.Currency)
		if err != nil {
			return err
		}
		fine, err := c.Fine(in.AmountMinor)
		if err != nil {
			return err
		}
		shares, err := v.Simulate(n, v.Open(), fine, credit.Settlement(in.Settlement))
		if err != nil {
			return err
		}
		out = wire.Simulated{Size: size, Currency: c, Fine: fine, Shares: []wire.SimulatedShare{}}
		for _, s := range shares {
			out.Shares = append(out.Shares, wire.SimulatedShare(s))
		}
		return nil
	})
	return out, err
}
