package fold

import (
	"math/bits"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// maxChain bounds how many agreements back the shares of a work are followed,
// and how many of a work may be complete without having begun.
const maxChain = 64

// Parties are the people whom an agreement concerns.
type Parties struct {
	// All may sign: those with a share now or then.
	All []sign.KeyID
	// Must have to sign: those whose fraction falls, and those who are new; for a
	// retroactive agreement everybody in All.
	Must []sign.KeyID
	// Full says that there are more than one agreement can ask, or that too many
	// agreements have not begun. Must is then empty, and the agreement cannot become
	// complete.
	Full bool
}

// PartiesTo returns whom an agreement concerns, as the state v stands. Both
// lists are sorted.
func PartiesTo(v View, a AddAgreement) (Parties, error) {
	before, full, err := distributions(v, a)
	if err != nil {
		return Parties{}, err
	}
	after := partsOf(a.Shares, a.Total)
	known, must := make(map[sign.KeyID]bool), make(map[sign.KeyID]bool)
	for _, d := range before {
		of := number(d.Total)
		for _, s := range d.Shares {
			known[s.ID] = true
			if a.Retroactive || less(after.weights[s.ID], after.total, number(s.Weight), of) {
				must[s.ID] = true
			}
		}
	}
	for id := range after.weights {
		if a.Retroactive || !known[id] {
			must[id] = true
		}
		known[id] = true
	}
	p := Parties{All: keysOf(known), Full: full}
	if !full {
		p.Must = keysOf(must)
	}
	return p, nil
}

// Candidates returns the keys that may have signed a statement, as the state v
// stands: those of the identities that it names, its group, and the parties to an
// agreement. An envelope whose signatures do not say who made them is tried
// against these.
func Candidates(v View, s *manifests.Statement) ([]sign.KeyID, error) {
	ids, err := mayHaveSigned(v, s)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(ids)
	for _, id := range ids {
		c, ok, err := v.Chain(id)
		if err != nil {
			return nil, err
		}
		if ok && c.Key != id {
			all = append(all, c.Key)
		}
	}
	return all, nil
}

// mayHaveSigned returns the identities that may sign a statement, or the keys of
// its group.
func mayHaveSigned(v View, s *manifests.Statement) ([]sign.KeyID, error) {
	_, ids := s.Signers()
	if group := s.Authority(); group != "" {
		r, ok, err := v.Registry()
		if err != nil || !ok {
			return ids, err
		}
		if group == manifests.Arbiters {
			return append(ids, r.Arbiters...), nil
		}
		return append(ids, r.Operators...), nil
	}
	if p, ok := s.Predicate.(*manifests.Agreement); ok {
		parties, err := PartiesTo(v, AddAgreement{
			Work: p.Work, EffectivePeriod: p.EffectivePeriod, Retroactive: p.Retroactive, Shares: shares(p.Shares), Total: p.Total,
		})
		return parties.All, err
	}
	return ids, nil
}

func keysOf(m map[sign.KeyID]bool) []sign.KeyID {
	list := make([]sign.KeyID, 0, len(m))
	for id := range m {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// less reports whether a/b < c/d.
func less(a, b, c, d uint64) bool {
	hi1, lo1 := bits.Mul64(a, d)
	hi2, lo2 := bits.Mul64(c, b)
	return hi1 < hi2 || hi1 == hi2 && lo1 < lo2
}

// distributions returns every list of shares that the agreement would replace
// in some period: those of the complete agreements of the work, from the newest
// back to the one that is in force when this one begins, and those of the
// versions that no agreement has taken in by then.
func distributions(v View, a AddAgreement) (list []Shares, full bool, err error) {
	w, ok, err := v.Work(a.Work)
	if err != nil || !ok {
		return nil, false, err
	}
	c, _, err := v.Calendar()
	if err != nil {
		return nil, false, err
	}
	begins := a.EffectivePeriod
	if !a.Retroactive {
		begins = max(begins, c.Next())
	}
	if full, err = crowded(v, w, c.Open); err != nil {
		return nil, false, err
	}
	full = full || w.Full
	since, listed := uint64(0), 0
	from := make(map[cid.Cid]string) // where agreements begin
	first := ""                      // where the earliest so far does
	for next := w.Agreement; next.Defined(); {
		if len(from) == maxChain {
			full = true
			break
		}
		g, ok, err := v.Agreement(next)
		if err != nil || !ok {
			return nil, false, err
		}
		// One that begins no earlier than a newer one is never in force.
		if first == "" || g.From < first {
			list = append(list, Shares{Shares: g.Shares, Total: g.Total})
			listed += len(g.Shares)
			first = g.From
		}
		from[next] = g.From
		if g.From <= begins {
			since = g.Completed
			break
		}
		next = g.Supersedes.Cid
	}
	for _, l := range w.Lists {
		if l.Index < since {
			continue // taken in by an agreement that is in force
		}
		// What a version names is complete before it: in the chain, or older than
		// the one that is in force, and then begun as that is.
		if begun, known := from[l.Agreement]; known && begun <= begins {
			continue
		}
		n, ok, err := v.Version(l.Statement)
		if err != nil || !ok {
			return nil, false, err
		}
		list = append(list, Shares{Shares: n.Contributors, Total: n.Total})
		listed += len(n.Contributors)
	}
	return list, full || listed > maxListed+manifests.MaxShares, nil
}

// agreement judges the first entry of an agreement/v1.
func (j *judge) agreement(p *manifests.Agreement) ([]Effect, Code, error) {
	a := AddAgreement{
		Statement:       j.stmt(),
		Work:            p.Work,
		EffectivePeriod: p.EffectivePeriod,
		Retroactive:     p.Retroactive,
		Supersedes:      p.Supersedes,
		Attribution:     p.Attribution,
		Shares:          shares(p.Shares),
		Total:           p.Total,
	}
	parties, err := PartiesTo(j, a)
	if err != nil {
		return nil, "", err
	}
	if code := j.mayAll(parties.All); code != "" {
		return nil, code, nil
	}
	if code := j.anchor(); code != "" {
		return nil, code, nil
	}
	w, ok, err := j.Work(p.Work)
	if err != nil || !ok {
		return nil, Reference, err
	}
	if p.Supersedes.Defined() {
		if ok, err := j.accepted(p.Supersedes.Cid, manifests.KindAgreement); !ok || err != nil {
			return nil, Reference, err
		}
	}
	if p.Attribution.Defined() {
		if ok, err := j.accepted(p.Attribution.Cid, manifests.KindAttribution); !ok || err != nil {
			return nil, Reference, err
		}
	}
	calendar, _, err := j.Calendar()
	switch {
	case err != nil:
		return nil, "", err
	case p.Supersedes.Cid != w.Agreement:
		return nil, Stale, nil
	case parties.Full:
		return nil, TooManyParties, nil
	case p.EffectivePeriod < calendar.First:
		return nil, WrongPeriod, nil
	case p.EffectivePeriod <= calendar.Open && !p.Retroactive:
		return nil, PastPeriod, nil
	}
	missing, err := j.missing(parties)
	if err != nil {
		return nil, "", err
	}
	if missing > 0 {
		return []Effect{a, PendingAgreement{Statement: a.Statement, Missing: missing}}, "", nil
	}
	return []Effect{a, complete(a, calendar)}, "", nil
}

// missing counts the parties who have signed neither before nor now.
func (j *judge) missing(p Parties) (n int, err error) {
	for _, id := range p.Must {
		if slices.Contains(j.parties(), id) {
			continue
		}
		signed, err := j.Signed(j.stmt().Cid, id)
		if err != nil {
			return 0, err
		}
		if !signed {
			n++
		}
	}
	return n, nil
}

// complete is the effect of an agreement that everybody has signed. It begins
// with the later of its own period and the one after the open one.
func complete(a AddAgreement, c Calendar) CompleteAgreement {
	return CompleteAgreement{Statement: a.Statement, Work: a.Work, From: max(a.EffectivePeriod, c.Next())}
}

// completes returns the effect of an accepted agreement to which this entry
// adds signatures: none when some are missing still, when it is complete
// already, or when another agreement came first.
func (j *judge) completes(g AgreementState, p Parties) ([]Effect, error) {
	if g.Complete || p.Full {
		return nil, nil
	}
	w, _, err := j.Work(g.Work)
	if err != nil || w.Agreement != g.Supersedes.Cid {
		return nil, err
	}
	if n, err := j.missing(p); n > 0 || err != nil {
		return nil, err
	}
	calendar, _, err := j.Calendar()
	if err != nil {
		return nil, err
	}
	return []Effect{complete(g.AddAgreement, calendar)}, nil
}
