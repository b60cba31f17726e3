package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/lineage"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// defaultDepth is how far a graph reaches when nobody says.
	defaultDepth = 3
	// maxManifests bounds the bytes of manifests that one answer reads: a thousand
	// of the ordinary ones.
	maxManifests = 32 << 20
	// maxGraphs is how many graphs are made, and mixtures judged, at once, each in up
	// to some 200 MiB and a few seconds when whoever made the versions meant it so, and
	// graphWait how long a question waits for its turn.
	maxGraphs = 2
	graphWait = 10 * time.Second
)

// turn waits for a place among the graphs that are made and the mixtures that are judged.
func (a *API) turn(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, graphWait)
	defer cancel()
	select {
	case a.graphs <- struct{}{}:
		return func() { <-a.graphs }, nil
	case <-ctx.Done():
		return nil, fault.New(fault.Busy, "too many questions about lineage and terms at once")
	}
}

// registerLineage adds the routes that tell what comes from what, and what is
// offered no more.
func (a *API) registerLineage(mux *http.ServeMux) {
	a.get(mux, "/v1/lineage/{cid}", a.graph)
	a.get(mux, "/v1/impact/{cid}", a.impact)
	a.get(mux, "/v1/acceptances", a.acceptances)
	a.get(mux, "/v1/withdrawals", a.withdrawals)
}

// only refuses parameters that a route does not know, and repeated ones.
func only(r *http.Request, known ...string) (url.Values, error) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	names := make(map[string]bool, len(known))
	for _, k := range known {
		names[k] = true
	}
	for k, values := range v {
		if !names[k] {
			return nil, fault.New(fault.Invalid, "there is no parameter %s", fault.Quote(k))
		}
		if len(values) != 1 || len(values[0]) > maxParam {
			return nil, fault.New(fault.Invalid, "the parameter %s is given more than once, or longer than %d bytes", k, maxParam)
		}
	}
	return v, nil
}

// number reads a parameter from 1 to limit.
func number(v url.Values, name string, missing, limit int) (int, error) {
	text := v.Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > limit {
		return 0, fault.New(fault.Invalid, "%s is %s, not 1 to %d", name, fault.Quote(text), limit)
	}
	return n, nil
}

func (a *API) graph(r *http.Request) (any, error) {
	v, err := only(r, "direction", "depth", "limit", "manifests")
	if err != nil {
		return nil, err
	}
	q := index.LineageQuery{Direction: v.Get("direction")}
	if q.Direction == "" {
		q.Direction = lineage.Both
	}
	if q.Depth, err = number(v, "depth", defaultDepth, index.MaxLineageDepth); err != nil {
		return nil, err
	}
	if q.Limit, err = number(v, "limit", index.MaxLineageNodes, index.MaxLineageNodes); err != nil {
		return nil, err
	}
	read := true
	if text := v.Get("manifests"); text != "" {
		if read, err = strconv.ParseBool(text); err != nil {
			return nil, fault.New(fault.Invalid, "manifests is %s, not true or false", fault.Quote(text))
		}
	}
	done, err := a.turn(r.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	out, err := a.lineageOf(r, q)
	if err != nil || !read {
		return out, err
	}
	return out, a.declare(r.Context(), &out.Graph)
}

func (a *API) lineageOf(r *http.Request, q index.LineageQuery) (*wire.LineageGraph, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	out := new(wire.LineageGraph)
	err = a.reg.View(func(s *index.Snapshot) error {
		g, err := s.Lineage(c, q)
		if err != nil {
			return err
		}
		out.Size, out.Graph = s.Applied(), *g
		return nil
	})
	return out, err
}

// declare adds what manifests say: activities, and shares, periods and external
// sources of links. A manifest that is not here, or would be too much, is
// passed over: its version is in the graph with what its statement says. With
// [index.MaxLineageLinks] links no further manifest is read.
func (a *API) declare(ctx context.Context, g *lineage.Graph) error {
	read := 0
	for i := range g.Nodes {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := &g.Nodes[i]
		if !n.Manifest.Defined() || n.Side == lineage.Down && n.Distance > 1 || n.Erased != nil {
			continue
		}
		b, err := a.reg.Document(ctx, n.Manifest.Cid)
		switch {
		case errors.Is(err, fault.NotFound):
			continue
		case err != nil:
			return err
		}
		if read += len(b); read > maxManifests || len(g.Links) > index.MaxLineageLinks {
			g.Truncated = true
			break
		}
		m, err := manifests.DecodeManifest(b)
		if err != nil {
			continue // one of a later schema
		}
		n.Activities = m.Activities
		g.Merge(n.Statement.Cid, lineage.FromManifest(n.Statement.Cid, m))
	}
	return nil
}

func (a *API) impact(r *http.Request) (any, error) {
	v, err := only(r, "depth", "limit")
	if err != nil {
		return nil, err
	}
	q := index.LineageQuery{Direction: lineage.Down}
	if q.Depth, err = number(v, "depth", index.MaxLineageDepth, index.MaxLineageDepth); err != nil {
		return nil, err
	}
	if q.Limit, err = number(v, "limit", index.MaxLineageNodes, index.MaxLineageNodes); err != nil {
		return nil, err
	}
	done, err := a.turn(r.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	g, err := a.lineageOf(r, q)
	if err != nil {
		return nil, err
	}
	out := wire.Impact{
		Size: g.Size, Derived: []lineage.Node{}, Models: []lineage.Node{}, Usages: []lineage.Node{}, Links: []lineage.Link{}, Truncated: g.Truncated,
	}
	for i, n := range g.Nodes {
		switch {
		case i == 0:
			out.Version = n
		case n.Use != "":
			out.Usages = append(out.Usages, n)
		case n.Kind == string(manifests.KindModel):
			out.Models = append(out.Models, n)
		default:
			out.Derived = append(out.Derived, n)
		}
	}
	for _, l := range g.Links {
		if l.To.Defined() {
			out.Links = append(out.Links, l)
		}
	}
	return out, nil
}

func (a *API) acceptances(r *http.Request) (any, error) {
	v, err := only(r, "terms", "party", "after", "limit")
	if err != nil {
		return nil, err
	}
	limit, err := number(v, "limit", index.DefaultLimit, index.MaxLimit)
	if err != nil {
		return nil, err
	}
	out := wire.AcceptancePage{Acceptances: []wire.Acceptance{}}
	err = a.reg.View(func(s *index.Snapshot) error {
		out.Size = s.Applied()
		var who sign.KeyID
		var err error
		if text := v.Get("party"); text != "" {
			if who, err = s.Who(text); err != nil {
				return err
			}
		}
		var list []index.Acceptance
		switch terms := v.Get("terms"); {
		case terms == "" && who == "":
			return fault.New(fault.Invalid, "neither terms nor party is given")
		case terms == "":
			list, err = s.AcceptancesBy(who)
		default:
			c, parsed := cjson.ParseCID(terms)
			if parsed != nil {
				return fault.New(fault.Invalid, "terms is %s, not a CID", fault.Quote(terms))
			}
			if who == "" {
				list, out.Next, err = s.Acceptances(c, sign.KeyID(v.Get("after")), limit)
				break
			}
			var one index.Acceptance
			if one, err = s.Acceptance(c, who); err == nil {
				list = []index.Acceptance{one}
			} else if errors.Is(err, fault.NotFound) {
				err = nil
			}
		}
		for _, l := range list {
			out.Acceptances = append(out.Acceptances, wire.Acceptance(l))
		}
		return err
	})
	return out, err
}

func (a *API) withdrawals(r *http.Request) (any, error) {
	v, err := only(r, "statement", "root")
	if err != nil {
		return nil, err
	}
	text := v.Get("statement") + v.Get("root")
	if (v.Get("statement") == "") == (v.Get("root") == "") {
		return nil, fault.New(fault.Invalid, "either statement or root has to be given")
	}
	c, err := cjson.ParseCID(text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s is not a CID", fault.Quote(text))
	}
	out := wire.Withdrawals{Withdrawals: []wire.Withdrawal{}}
	err = a.reg.View(func(s *index.Snapshot) error {
		out.Size = s.Applied()
		gone := s.Gone
		if v.Get("root") != "" {
			gone = s.GoneRoot
		} else {
			list, err := s.Withdrawals(c)
			if err != nil {
				return err
			}
			for _, l := range list {
				e := l.Effect
				out.Withdrawals = append(out.Withdrawals, wire.Withdrawal{
					Index: l.Index, Statement: e.Statement, About: e.About, Party: e.Party, Flag: e.Flag, From: e.From,
				})
			}
		}
		g, ok, err := gone(c)
		if ok {
			out.Gone = (*wire.Gone)(&g)
		}
		return err
	})
	return out, err
}

// tombstone says what a tombstone of an entry would have to say.
func (p private) tombstone(r *http.Request) (any, error) {
	i, err := strconv.ParseUint(r.PathValue("index"), 10, 63)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s is not the index of an entry", fault.Quote(r.PathValue("index")))
	}
	t, err := p.reg.TombstoneOf(r.Context(), i)
	if err != nil {
		return nil, err
	}
	return wire.Tombstone{Statement: t.Statement, Index: t.Index, Leaf: t.Leaf, Verdict: t.Verdict, Code: t.Code, Effects: t.Effects}, nil
}
