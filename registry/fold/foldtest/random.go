package foldtest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

// Random returns n entries of a random history. It follows the names that it
// has used, so that most contributions could be accepted, and breaks rules on
// purpose: old and repeated statements, wrong signers, keys that were revoked or replaced, taken
// versions and handles, foreign origins, damaged bytes. Half of the entries are
// of the kinds that credit is made of, about the versions before them.
func Random(r *rand.Rand, n int) []Body {
	g := &generator{r: r, state: fold.NewState(Origin), heads: make(map[string]head), credit: newCredit(), rotations: newRotations(), people: []string{"ana", "ben", "cem", "dua", "eve"}}
	bodies := make([]Body, 0, n)
	for len(bodies) < n {
		bodies = append(bodies, g.next(len(bodies)))
	}
	return bodies
}

type generator struct {
	World
	r          *rand.Rand
	people     []string
	heads      map[string]head
	state      *fold.State // of the bodies so far
	remember   func()      // what to do when the entry in the making is accepted
	statements []logged    // versions made so far, most of them accepted
	bodies     []Body
	results    []fold.Result // of the bodies
	credit
	rotations
}

type head struct {
	statement cid.Cid
	version   int
}

type logged struct {
	statement *manifests.Statement
	cid       cid.Cid
	signers   []string
	publisher string
}

func (g *generator) next(i int) Body {
	g.remember, g.rotated = nil, nil
	b := g.entry(i)
	switch g.r.IntN(40) {
	case 0:
		b.Leaf = g.damage(b.Leaf)
	case 1:
		b.Envelope = g.damage(b.Envelope)
	}
	r := g.state.Apply(fold.Read(b.Leaf, b.Envelope))
	if g.remember != nil && (r.Verdict == fold.Accepted || g.one(20)) {
		g.remember()
	}
	if g.rotated != nil && r.Verdict == fold.Accepted {
		g.rotated()
	}
	g.bodies = append(g.bodies, b)
	g.results = append(g.results, r)
	return b
}

func (g *generator) person() string { return g.people[g.r.IntN(len(g.people))] }

// one is true once in n.
func (g *generator) one(n int) bool { return g.r.IntN(n) == 0 }

func (g *generator) entry(i int) Body {
	if i == 0 && !g.one(4) {
		return g.log(manifests.New(g.constitution(1, "op")), "op")
	}
	if len(g.statements) > 0 && g.one(10) {
		return g.standing(i)
	}
	if len(g.statements) > 0 && g.one(2) {
		return g.money(i)
	}
	switch g.r.IntN(16) {
	case 0:
		if g.one(4) {
			return g.log(manifests.New(g.constitution(1+g.r.IntN(2), "op", "op2")), "op")
		}
		if g.one(2) {
			return g.log(manifests.New(g.constitution(1, "op")), "op")
		}
		return g.log(manifests.New(g.constitution(1, "op")), "op", g.person())
	case 1:
		who := g.person()
		if g.one(8) {
			return g.log(manifests.New(g.Profile(who, g.handle())), g.person())
		}
		return g.log(manifests.New(g.Profile(who, g.handle())), who)
	case 2:
		who := g.person()
		if g.one(2) {
			return g.rotation(who)
		}
		if g.one(3) && len(g.people) > 3 {
			g.people = slices.DeleteFunc(g.people, func(p string) bool { return p == who && !g.one(2) })
			k := g.Revoke(who)
			if !g.one(4) {
				since := uint64(g.r.IntN(3*i + 1))
				k.CompromisedSince = &since
			}
			switch g.r.IntN(6) {
			case 0:
				k.Identity = ID(g.person())
			case 1:
				k.Key = ID(g.person())
			case 2:
				k.Key = ID(g.key(who))
			}
			return g.log(manifests.New(k), who)
		}
		return g.log(manifests.New(g.FirstKey(who)), who)
	case 3:
		who := g.person()
		return g.log(manifests.New(g.Attestation(who, g.reference())), who)
	case 4, 5:
		return g.again()
	case 6:
		if len(g.bodies) > 0 {
			return g.bodies[g.r.IntN(len(g.bodies))]
		}
	case 7:
		return LogPayload([]byte(fmt.Sprintf(`{"n":%d}`, g.r.IntN(3))), manifests.KindContribution, RawCID("x"), g.person())
	}
	return g.version(i)
}

// constitution is a registry/v1 that has an arbiter most of the time.
func (g *generator) constitution(threshold int, operators ...string) *manifests.Registry {
	r := g.Registry(threshold, operators...)
	if !g.one(4) {
		r.Arbiters, r.ArbiterThreshold = []sign.KeyID{ID("arb")}, 1
	}
	return r
}

func (g *generator) handle() string { return fmt.Sprintf("handle-%d", g.r.IntN(4)) }

// reference is a contribution made so far, or nothing that was ever logged.
func (g *generator) reference() cid.Cid {
	if len(g.statements) == 0 || g.one(10) {
		return RawCID(fmt.Sprint("nothing ", g.r.IntN(100)))
	}
	return g.statements[g.r.IntN(len(g.statements))].cid
}

// again logs a contribution once more, with another set of signers.
func (g *generator) again() Body {
	if len(g.statements) == 0 {
		return g.version(0)
	}
	l := g.statements[g.r.IntN(len(g.statements))]
	signers := []string{g.person()}
	if g.one(2) {
		signers = append(slices.Clone(l.signers), signers...)
		slices.Sort(signers)
		signers = slices.Compact(signers)
	}
	return g.log(l.statement, signers...)
}

// repeat gives a next version the contributors of the one before, most of the
// time: others are often not signed by all who lose.
func (g *generator) repeat(h head, list *[]manifests.Share, total *string) {
	n, ok, _ := g.state.Version(h.statement)
	if !ok || g.one(5) {
		return
	}
	*list, *total = nil, n.Total
	for _, s := range n.Contributors {
		*list = append(*list, manifests.Share{ID: s.ID, Weight: s.Weight})
	}
}

func (g *generator) version(i int) Body {
	who, name := g.person(), fmt.Sprintf("set-%d", g.r.IntN(4))
	h := g.heads[who+"/"+name]
	c := g.Contribution(who, name, fmt.Sprintf("1.%d.0", h.version))
	c.Supersedes = cjson.CID{Cid: h.statement}
	for _, p := range g.people {
		if p != who && g.one(3) {
			id := ID(p)
			if g.one(8) {
				id = ID(g.key(p)) // which may be a later key
			}
			if !slices.ContainsFunc(c.Contributors, func(s manifests.Share) bool { return s.ID == id }) {
				c.Contributors = append(c.Contributors, manifests.Share{ID: id, Weight: "2"})
			}
		}
	}
	c.Total = fmt.Sprint(1 + 2*(len(c.Contributors)-1))
	g.repeat(h, &c.Contributors, &c.Total)
	for range g.r.IntN(3) {
		switch g.r.IntN(3) {
		case 0:
			c.Sources = append(c.Sources, manifests.Source{Rel: "derivedFrom", Statement: cjson.CID{Cid: g.reference()}})
		case 1:
			c.Sources = append(c.Sources, manifests.Source{Rel: "collectedFrom", URL: "https://example.org/" + name})
		case 2:
			c.Sources = append(c.Sources, manifests.Source{Rel: "mirrors", CID: cjson.CID{Cid: RawCID("elsewhere " + name)}})
		}
	}
	if g.one(4) {
		SetEdges(&c.Edges, &c.SelfWeight, &c.EdgeTotal, map[cid.Cid]int{g.reference(): 300_000})
	}
	if g.one(4) {
		c.Rules = &manifests.Rules{Payment: &manifests.PaymentRules{
			RatePpm: int64(50_000 * g.r.IntN(8)), Stacking: "sum", FloorPpm: int64(10_000 * g.r.IntN(12)), ToDerived: g.one(2),
		}}
	}
	if g.one(5) {
		if c.Rules == nil {
			c.Rules = new(manifests.Rules)
		}
		c.Rules.Accept = []string{"use", "bytes"}[g.r.IntN(2)]
		c.Rules.OnWithdraw = []string{"keep", "hold"}[g.r.IntN(2)]
		if pool := g.reference(); c.Rules.Payment != nil && g.one(2) {
			c.Rules.OnWithdraw, c.Rules.Payment.Pool, c.Rules.Payment.PoolPpm = "pool", cjson.CID{Cid: pool}, 1
		}
	}
	if a := g.agreements[who+"/"+name]; c.Supersedes.Defined() && a.Defined() && g.one(3) {
		c.Agreement = cjson.CID{Cid: a}
	}
	if g.one(3) {
		c.Dataset.License = "MIT OR Apache-2.0"
		c.Dataset.Keywords = nil
	}
	if g.one(12) {
		c.Anchor = &manifests.Anchor{Size: uint64(1 + g.r.IntN(2*i+1)), Root: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
	}
	signers := []string{who}
	switch g.r.IntN(14) {
	case 0:
		c.Registry = "elsewhere.example/log"
	case 1:
		c.Supersedes = cjson.CID{Cid: g.reference()}
	case 2:
		signers = []string{g.person()}
	case 3:
		signers = append(signers, "mallory")
	case 4:
		c.Dataset.Version = "1.0.0"
	}
	for _, s := range c.Contributors[1:] {
		for _, p := range g.people {
			if s.ID == ID(p) && !slices.Contains(signers, p) && g.one(2) {
				signers = append(signers, p)
			}
		}
	}
	st := Version(c)
	id := CID(st)
	g.remember = func() {
		g.heads[who+"/"+name] = head{statement: id, version: h.version + 1}
		g.statements = append(g.statements, logged{st, id, signers, who})
	}
	return g.log(st, signers...)
}

// damage changes one bit, or cuts the end off.
func (g *generator) damage(b []byte) []byte {
	b = slices.Clone(b)
	if g.one(4) {
		return b[:g.r.IntN(len(b))]
	}
	b[g.r.IntN(len(b))] ^= 1 << g.r.IntN(8)
	return b
}
