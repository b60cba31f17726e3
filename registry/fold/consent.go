package fold

import (
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// maxDebts bounds the edges of earlier versions that a version is held against.
const maxDebts = credit.MaxEdges

// consent checks that nobody's part of a work falls with a new version behind
// their back: revenue of the new version is shared by its own contributors, or
// by the agreement that it names once that has begun. In the open period and in
// every later one, as the log stands, whoever would have a smaller part of it
// than of the version before must have signed.
//
// Nobody is asked when part of the revenue flows on to the version before: by an
// edge with a share of the attribution that the new version names, and of at
// least that share. Such an edge is a debt that the next version takes over:
// what the version before owes to earlier ones of the work, the new one must owe
// too, or must keep the parts of those as well. Else two versions in a row would
// do what one cannot.
func (j *judge) consent(b *nodeBody, work string) (Code, error) {
	if !b.supersedes.Defined() {
		return "", nil
	}
	o, err := j.offer(b, work)
	if err != nil {
		return "", err
	}
	edges, debts := edgesOf(b), []cid.Cid{b.supersedes.Cid}
	for i := 0; i < len(debts); i++ {
		if attributes(edges, debts[i]) {
			continue
		}
		n, ok, err := j.Node(debts[i])
		if err != nil || !ok {
			return Reference, err
		}
		v, ok, err := j.Version(debts[i])
		if err != nil || !ok {
			return Reference, err
		}
		if n.Work != work {
			continue
		}
		if o.takes(v, n.Index) {
			return Consent, nil
		}
		for _, e := range v.Edges {
			if to := e.Statement.Cid; attributes(v.Edges, to) && !slices.Contains(debts, to) {
				debts = append(debts, to)
			}
		}
		if len(debts) > maxDebts {
			return Consent, nil
		}
	}
	return "", nil
}

// An offer is by what a new version shares its revenue, to be held against
// earlier versions of its work.
type offer struct {
	signers []sign.KeyID
	open    string
	chain   []AgreementState // of [coming]
	own     parts
	// named are the parts by the agreement that the version names, which is the
	// newest of chain; nil without one.
	named *parts

	compared int // so many of chain have been
}

func (j *judge) offer(b *nodeBody, work string) (*offer, error) {
	w, _, err := j.Work(work)
	if err != nil {
		return nil, err
	}
	calendar, _, err := j.Calendar()
	if err != nil {
		return nil, err
	}
	o := &offer{signers: j.parties(), open: calendar.Open, own: partsOf(shares(b.contributors), b.total)}
	if o.chain, err = coming(j, w, calendar.Open); err != nil {
		return nil, err
	}
	if b.deal.Defined() && len(o.chain) > 0 {
		p := partsOf(o.chain[0].Shares, o.chain[0].Total)
		o.named = &p
	}
	return o, nil
}

// begun reports whether one of the n newest agreements has begun.
func (o *offer) begun(n int) bool { return n > 0 && o.chain[n-1].From <= o.open }

// takes reports whether somebody who has not signed has less by the offer than
// by v, a version at index i, in some period from the open one on.
func (o *offer) takes(v Node, i uint64) bool {
	// The agreements of a version are those completed after it and the one that it
	// names: the newest.
	has := 0
	for has < len(o.chain) && (o.chain[has].Completed > i || o.chain[has].Statement == v.Agreement) {
		has++
	}
	for ; o.compared < has; o.compared++ {
		a := o.chain[o.compared]
		if o.compared == 0 && o.named != nil {
			continue // the offer has the same
		}
		if o.own.less(a.Shares, a.Total, o.signers) {
			return true
		}
	}
	switch {
	case o.begun(has):
		return false // its contributors count no more
	case (o.named == nil || !o.begun(1)) && o.own.less(v.Contributors, v.Total, o.signers):
		return true
	}
	return has == 0 && o.named != nil && o.named.less(v.Contributors, v.Total, o.signers)
}

// coming returns the complete agreements of a work by which versions share
// revenue in the open period or a later one, from the newest back to the one
// that has begun, which is the last if there is one. The earlier in the list,
// the later they begin. [crowded] bounds how many are read.
func coming(v View, w Work, open string) (list []AgreementState, err error) {
	for next := w.Agreement; next.Defined(); {
		a, ok, err := v.Agreement(next)
		if err != nil || !ok {
			return list, err
		}
		// One that begins no earlier than a newer one is never in force.
		if n := len(list); n == 0 || a.From < list[n-1].From {
			list = append(list, a)
		}
		if a.From <= open {
			break
		}
		next = a.Supersedes.Cid
	}
	return list, nil
}

// crowded reports whether maxChain agreements of a work are complete and have
// not begun: no further one is then complete before one begins.
func crowded(v View, w Work, open string) (bool, error) {
	next := w.Agreement
	for range maxChain {
		if !next.Defined() {
			return false, nil
		}
		a, ok, err := v.Agreement(next)
		if err != nil || !ok || a.From <= open {
			return false, err
		}
		next = a.Supersedes.Cid
	}
	return true, nil
}

// attributes reports whether one of edges leads to a version with a share by an
// attribution, and is of at least that share.
func attributes(edges []Edge, to cid.Cid) bool {
	return slices.ContainsFunc(edges, func(e Edge) bool {
		return e.Statement.Cid == to && e.Share != "" && number(e.Weight)/credit.PPM >= number(e.Share)
	})
}

func edgesOf(b *nodeBody) []Edge {
	out := make([]Edge, len(b.edges))
	for i, e := range b.edges {
		out[i] = Edge{Statement: e.Statement, Weight: e.Weight, Share: e.Share}
	}
	return out
}

// parts are weights by person, and their total.
type parts struct {
	weights map[sign.KeyID]uint64
	total   uint64
}

func partsOf(list []Share, total string) parts {
	p := parts{weights: make(map[sign.KeyID]uint64, len(list)), total: number(total)}
	for _, s := range list {
		p.weights[s.ID] = number(s.Weight)
	}
	return p
}

// less reports whether somebody who is not among signers has a smaller part in
// p than in the list.
func (p parts) less(list []Share, total string, signers []sign.KeyID) bool {
	of := number(total)
	return slices.ContainsFunc(list, func(s Share) bool {
		return less(p.weights[s.ID], p.total, number(s.Weight), of) && !slices.Contains(signers, s.ID)
	})
}
