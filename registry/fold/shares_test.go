package fold_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// fractions are the parts of a whole that parties have.
func fractions(list []fold.Share, total string) map[sign.KeyID]*big.Rat {
	m := make(map[sign.KeyID]*big.Rat)
	for _, s := range list {
		r, ok := new(big.Rat).SetString(s.Weight + "/" + total)
		if !ok {
			panic(s.Weight + "/" + total)
		}
		m[s.ID] = r
	}
	return m
}

// A past is what the shares of a work's versions were, followed by themselves
// and without the fold's bookkeeping.
type past struct {
	versions []pastVersion
	complete []pastAgreement // in the order of completion
}

type pastVersion struct {
	fold.Node
	index int
}

type pastAgreement struct {
	fold.AddAgreement
	index int
	from  string
}

// at returns the shares of a version in a period, as FORMAT.md says.
func (w *past) at(v pastVersion, period string) map[sign.KeyID]*big.Rat {
	for _, a := range slices.Backward(w.complete) {
		if (a.index > v.index || a.Statement == v.Agreement) && a.from <= period {
			return fractions(a.Shares, a.Total)
		}
	}
	return fractions(v.Contributors, v.Total)
}

// TestNobodyLosesAShareUnasked looks at every version in every period: whoever
// has less of it after an agreement is complete than before has signed the
// agreement, and whoever is new has too. Of a retroactive one, everybody has who
// had a share since its period. Whoever has less of a version than of the one
// before has signed that version.
func TestNobodyLosesAShareUnasked(t *testing.T) {
	var months []string
	for m := foldtest.FirstPeriod; len(months) < 15; {
		months = append(months, m)
		m, _ = manifests.NextPeriod(m)
	}
	completed, later, took := 0, 0, 0
	for seed := range uint64(25) {
		s := fold.NewState(foldtest.Origin)
		works, agreements := make(map[string]*past), make(map[cid.Cid]fold.AddAgreement)
		g := haggler{r: rand.New(rand.NewPCG(seed, 4)), state: s}
		version := func(n fold.Node, i int) {
			if works[n.Work] == nil {
				works[n.Work] = new(past)
			}
			w := works[n.Work]
			if len(w.versions) > 0 {
				later++
				before, now := w.versions[len(w.versions)-1], pastVersion{n, i}
				for _, m := range months {
					if m < g.open {
						continue
					}
					after := w.at(now, m)
					for id, r := range w.at(before, m) {
						if part := after[id]; part != nil && part.Cmp(r) >= 0 {
							continue
						}
						if ok, _ := s.Signed(n.Statement.Cid, id); !ok {
							t.Errorf("seed %d, entry %d: %s loses in %s by %s, and did not sign", seed, i, id, m, n.Version)
						}
						took++
					}
				}
			}
			w.versions = append(w.versions, pastVersion{n, i})
		}
		for i := range 80 {
			b := g.next(i)
			for _, effect := range s.Apply(fold.Read(b.Leaf, b.Envelope)).Effects {
				g.saw(effect)
				switch e := effect.(type) {
				case fold.AddVersion:
					version(e.Node, i)
				case fold.AddModel:
					version(e.Node, i)
				case fold.AddAgreement:
					agreements[e.Statement.Cid] = e
				case fold.CompleteAgreement:
					completed++
					a, w := agreements[e.Statement.Cid], works[e.Work]
					after, since := fractions(a.Shares, a.Total), e.From
					if a.Retroactive {
						since = a.EffectivePeriod
					}
					had := make(map[sign.KeyID]bool)
					must := make(map[sign.KeyID]string)
					for _, v := range w.versions {
						for _, m := range months {
							if m < since {
								continue
							}
							for id, r := range w.at(v, m) {
								had[id] = true
								if now := after[id]; a.Retroactive || now == nil || now.Cmp(r) < 0 {
									must[id] = fmt.Sprintf("loses in %s of %s", m, v.Version)
								}
							}
						}
					}
					for id := range after {
						if !had[id] {
							must[id] = "is new"
						}
					}
					for id, why := range must {
						if ok, _ := s.Signed(e.Statement.Cid, id); !ok {
							t.Errorf("seed %d, entry %d: %s %s by %s, and did not sign", seed, i, id, why, e.Statement)
						}
					}
					w.complete = append(w.complete, pastAgreement{a, i, e.From})
				}
			}
		}
	}
	if completed < 200 || later < 100 || took < 100 {
		t.Errorf("only %d agreements were completed, %d later versions accepted, with %d parts that fall", completed, later, took)
	}
}

// A haggler makes logs about one work: versions, agreements signed by no more
// people than the fold asks, and closings.
type haggler struct {
	foldtest.World
	r          *rand.Rand
	state      *fold.State
	head       fold.Node
	agreements []cid.Cid // complete
	open       string
}

func (g *haggler) saw(effect fold.Effect) {
	switch e := effect.(type) {
	case fold.SetRegistry:
		g.open = e.FirstPeriod
	case fold.AddVersion:
		g.head = e.Node
	case fold.CompleteAgreement:
		g.agreements = append(g.agreements, e.Statement.Cid)
	case fold.ClosePeriod:
		g.open = e.Opens
	}
}

var hagglers = []string{"ana", "ben", "cem", "dua"}

// shares are of n people or more.
func (g *haggler) shares(n int) (list []manifests.Share, total string) {
	var all []any
	for _, who := range g.r.Perm(len(hagglers))[:n+g.r.IntN(len(hagglers)+1-n)] {
		all = append(all, hagglers[who], 1+g.r.IntN(3))
	}
	return foldtest.Shares(all...)
}

func (g *haggler) newest() (c cjson.CID) {
	if n := len(g.agreements); n > 0 {
		c.Cid = g.agreements[n-1]
	}
	return c
}

// signers are ana, who publishes, and as often as not everybody else who may.
func (g *haggler) signers(c *manifests.Contribution) []string {
	list, all := []string{"ana"}, g.r.IntN(2) == 0
	for _, who := range hagglers[1:] {
		if slices.ContainsFunc(c.Contributors, func(s manifests.Share) bool { return s.ID == foldtest.ID(who) }) && all {
			list = append(list, who)
		}
	}
	return list
}

func (g *haggler) next(i int) foldtest.Body {
	switch {
	case i == 0:
		return foldtest.Log(manifests.New(g.Registry(1, "op")), "op")
	case i == 1 || g.r.IntN(3) == 0:
		c := g.Contribution("ana", "set", fmt.Sprintf("1.%d.0", i))
		c.Supersedes = g.head.Statement
		c.Contributors, c.Total = g.shares(1)
		if g.r.IntN(3) > 0 {
			c.Contributors, c.Total = g.shares(len(hagglers)) // who is left out could not sign
		}
		if i > 1 && g.r.IntN(2) == 0 {
			c.Agreement = g.newest()
		}
		return foldtest.Log(foldtest.Version(c), g.signers(c)...)
	case g.r.IntN(8) == 0:
		return foldtest.Log(manifests.New(g.Period(g.open)), "op")
	}
	a := &manifests.Agreement{Common: g.Common(), Work: g.head.Work, Supersedes: g.newest(), Retroactive: g.r.IntN(5) == 0}
	a.EffectivePeriod = g.open
	for range g.r.IntN(6) {
		a.EffectivePeriod, _ = manifests.NextPeriod(a.EffectivePeriod)
	}
	a.Shares, a.Total = g.shares(1)
	p, err := fold.PartiesTo(g.state, fold.AddAgreement{
		Work: a.Work, EffectivePeriod: a.EffectivePeriod, Retroactive: a.Retroactive, Total: a.Total,
		Shares: foldShares(a.Shares),
	})
	if err != nil {
		panic(err)
	}
	var signers []string
	for _, who := range hagglers {
		if slices.Contains(p.Must, foldtest.ID(who)) || len(p.Must) == 0 && slices.Contains(p.All, foldtest.ID(who)) && len(signers) == 0 {
			signers = append(signers, who)
		}
	}
	return foldtest.Log(manifests.New(a), signers...)
}

func foldShares(list []manifests.Share) (out []fold.Share) {
	for _, s := range list {
		out = append(out, fold.Share{ID: s.ID, Weight: s.Weight})
	}
	return out
}
