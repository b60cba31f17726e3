package credit

import (
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxHops bounds a page of an explanation.
const MaxHops = 10_000

// A Hop is one node that an event's money passed through on its way to a party,
// with the integers at that place: no path is listed, however many there are.
type Hop struct {
	Statement string
	Inflow    Amount
	Kept      Amount // 0 when a pool got it
	Edges     []HopEdge
	// Weight of Total is the party's share of Kept, and Amount what it brings;
	// 0 when the party shares nothing here.
	Weight, Total uint64
	Amount        Amount
	// Retained tells that Kept stays with the licensee: Amount is shown, never payable.
	Retained bool
}

// A HopEdge is a part of a node's inflow that flows on towards the party. A
// pool that takes the kept part of a withdrawn node has Weight 0.
type HopEdge struct {
	Statement     string
	Weight, Total uint64
	Amount        Amount
}

// An Explanation is a page of hops, children before parents.
type Explanation struct {
	Event  string
	Fine   Amount // of the event
	Amount Amount // Σ over all hops that are not Retained, also those behind the page
	Hops   []Hop
	More   bool // there are hops behind this page
}

// Explain tells by which nodes an event's money reached a party, as if the
// event were the only one of its run: a run adds events up before it divides,
// so its lines can differ from the sum of explanations by a few fine units. It
// returns at most limit hops from number offset on; limit 0 means [MaxHops].
// An event or party that is not there is fault.NotFound, a negative offset or
// limit, or one above MaxHops, fault.Invalid.
func (l *Ledger) Explain(party, eventStatement string, offset, limit int) (Explanation, error) {
	if limit == 0 {
		limit = MaxHops
	}
	if offset < 0 || limit < 0 || limit > MaxHops {
		return Explanation{}, fault.New(fault.Invalid, "hops %d to %d+%d: want at most %d", offset, offset, limit, MaxHops)
	}
	id, ok := l.eventIDs[eventStatement]
	p := l.parties.find(party)
	if !ok || p == none || l.events[id].Kind == Receipt {
		return Explanation{}, fault.New(fault.NotFound, "no event %s or no party %s", fault.Quote(eventStatement), fault.Quote(party))
	}
	e := &l.events[id]
	s := source{gross: narrow(e.fine)}
	if e.Settlement == UpstreamOnly {
		s = source{upstream: narrow(e.fine)}
	}
	x := explainer{l: l, party: p, period: e.Period, root: e.node, source: s}
	x.flow = l.pass(map[uint32]source{e.node: s}, e.Period)
	x.mark()
	out := Explanation{Event: e.Statement, Fine: e.fine}
	seen := 0
	var sum int128
	for i := len(x.leads) - 1; i >= 0; i-- {
		for _, h := range x.hops(uint32(i)) {
			if !h.Retained {
				sum = sum.plus(narrow(h.Amount))
			}
			if seen >= offset && len(out.Hops) < limit {
				out.Hops = append(out.Hops, h)
			}
			seen++
		}
	}
	out.Amount = sum.amount()
	out.More = seen > offset+len(out.Hops)
	return out, nil
}

type explainer struct {
	l      *Ledger
	party  uint32
	period Period
	root   uint32
	source source
	flow   flow
	leads  []bool // by node, up to root: the money here leads to the party
	s      nodeSplitter
}

// mark finds, parents first, the nodes from which money leads to the party.
func (x *explainer) mark() {
	x.leads = make([]bool, x.root+1)
	for n := range x.leads {
		id := uint32(n)
		if !x.flow.kept[n].isZero() || !x.flow.retained[id].isZero() {
			s, _ := x.l.sharesAt(id, x.period, nil)
			x.leads[n] = slices.Contains(x.l.partiesOf(s), x.party)
		}
		x.leads[n] = x.leads[n] || x.sends(id, x.flow.in[n], false) || id == x.root && x.sends(id, x.source.upstream, true)
	}
}

// sends reports whether a part of a, at node n, goes to a node that leads to the
// party.
func (x *explainer) sends(n uint32, a int128, retained bool) bool {
	if a.isZero() {
		return false
	}
	v := &x.l.nodes[n]
	to := x.l.edgeTo[v.edge0 : v.edge0+v.edges]
	pool := !retained && v.pooled(x.period) && x.leads[v.pool]
	if !pool && !slices.ContainsFunc(to, func(p uint32) bool { return x.leads[p] }) {
		return false
	}
	up, kept := x.l.splitNode(&x.s, n, a.amount())
	for i, part := range up {
		if x.leads[to[i]] && !part.IsZero() {
			return true
		}
	}
	return pool && !kept.IsZero()
}

// hops returns what happened at node n: one hop, or two where revenue arrived
// upstream-only beside revenue that flowed in.
func (x *explainer) hops(n uint32) []Hop {
	if !x.leads[n] {
		return nil
	}
	var out []Hop
	if in := x.flow.in[n]; !in.isZero() {
		out = append(out, x.hop(n, in, false))
	}
	if n == x.root && !x.source.upstream.isZero() {
		out = append(out, x.hop(n, x.source.upstream, true))
	}
	return out
}

func (x *explainer) hop(n uint32, in int128, retained bool) Hop {
	l, v := x.l, &x.l.nodes[n]
	h := Hop{Statement: l.ids.str(n), Inflow: in.amount(), Retained: retained}
	up, kept := l.splitNode(&x.s, n, in.amount())
	for i, a := range up {
		if to := l.edgeTo[int(v.edge0)+i]; x.leads[to] && !a.IsZero() {
			h.Edges = append(h.Edges, HopEdge{l.ids.str(to), l.edgeWeight[int(v.edge0)+i], v.total, a})
		}
	}
	if !retained && v.pooled(x.period) {
		if x.leads[v.pool] && !kept.IsZero() {
			h.Edges = append(h.Edges, HopEdge{Statement: l.ids.str(v.pool), Total: v.total, Amount: kept})
		}
		return h
	}
	h.Kept = kept
	s, _ := l.sharesAt(n, x.period, nil)
	if i := l.slot(s, x.party); i >= 0 {
		h.Weight, h.Total = l.shareWeight[i], s.total
		h.Amount = x.s.split(kept, l.weights(s), s.total)[i-int(s.first)]
	}
	return h
}

// A Simulated share is what a party would get.
type SimulatedShare struct {
	Payee    string
	Amount   Amount
	Retained Amount // of an upstream-only event, what stays with the licensee
}

// Simulate divides an amount of fine units that would arrive at a node that the
// log does not have, under the snapshot of period p, and returns who would get
// what, sorted by payee. Holds and signatures are left out: it answers what the
// shares are. The Ledger stays as it is. A node that [Ledger.AddNode] would
// refuse is fault.Invalid, and so is an amount of 2^127 or more.
func (l *Ledger) Simulate(n Node, p Period, fine Amount, settlement Settlement) ([]SimulatedShare, error) {
	if !fine.InLimit() || settlement != Gross && settlement != UpstreamOnly {
		return nil, fault.New(fault.Invalid, "simulate: an amount of 2^127 or more, or no settlement %s", fault.Quote(string(settlement)))
	}
	v := node{self: n.SelfWeight, total: n.EdgeTotal, depth: 1}
	if len(n.Edges) == 0 && v.self == 0 && v.total == 0 {
		v.self, v.total = 1, 1
	}
	to, weights, err := l.edges(n, &v)
	if err != nil {
		return nil, err
	}
	contributors, err := checkShares(n.Statement, n.Contributors, n.Total)
	if err != nil {
		return nil, err
	}
	var s splitter
	kept := fine
	direct := map[uint32]source{}
	if len(to) > 0 {
		parts := s.split(fine, append(slices.Clone(weights), v.self), v.total)
		for i, id := range to {
			direct[id] = source{gross: narrow(parts[i])}
		}
		kept = parts[len(to)]
	}
	got := map[string]SimulatedShare{}
	ws := make([]uint64, len(contributors))
	for i, w := range contributors {
		ws[i] = w.Weight
	}
	for i, a := range s.split(kept, ws, n.Total) {
		share := SimulatedShare{Payee: contributors[i].Key, Amount: a}
		if settlement == UpstreamOnly {
			share.Amount, share.Retained = Amount{}, a
		}
		got[share.Payee] = share
	}
	f := l.pass(direct, p)
	sums := map[uint32]int128{}
	for id := range f.kept {
		if f.kept[id].isZero() {
			continue
		}
		list, _ := l.sharesAt(uint32(id), p, nil)
		for i, a := range s.split(f.kept[id].amount(), l.weights(list), list.total) {
			party := l.partiesOf(list)[i]
			sums[party] = sums[party].plus(narrow(a))
		}
	}
	for party, a := range sums {
		share := got[l.parties.str(party)]
		sum, err := share.Amount.Add(a.amount())
		if err != nil {
			return nil, err
		}
		share.Payee, share.Amount = l.parties.str(party), sum
		got[share.Payee] = share
	}
	out := make([]SimulatedShare, 0, len(got))
	for _, share := range got {
		if !share.Amount.IsZero() || !share.Retained.IsZero() {
			out = append(out, share)
		}
	}
	slices.SortFunc(out, func(a, b SimulatedShare) int {
		if a.Payee < b.Payee {
			return -1
		}
		return 1
	})
	return out, nil
}
