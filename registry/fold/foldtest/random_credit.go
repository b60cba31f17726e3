package foldtest

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/fold"
)

// credit is what a generator remembers of the statements that credit is made
// of, most of them accepted.
type credit struct {
	period      string // the open one
	closed      string // the one before; "" for none
	usages      []cid.Cid
	incomes     []income
	agreements  map[string]cid.Cid // the newest complete one of a publisher's name
	pending     []logged           // agreements
	allocations []cid.Cid
	payouts     []cid.Cid
	disputes    []dispute
}

type income struct {
	statement, version cid.Cid
	declared           bool
}

type dispute struct{ statement, target cid.Cid }

func newCredit() credit {
	return credit{period: FirstPeriod, agreements: make(map[string]cid.Cid)}
}

// pick returns one of list, or nothing that was ever logged.
func pick[T any](g *generator, list []T, nothing T) T {
	if len(list) == 0 || g.one(12) {
		return nothing
	}
	return list[g.r.IntN(len(list))]
}

// signed logs p with the signer who has to, or once in a while another.
func (g *generator) signed(p manifests.Predicate, signers ...string) (Body, cid.Cid) {
	st := manifests.New(p)
	if g.one(14) {
		signers = []string{g.person()}
	}
	return g.log(st, signers...), CID(st)
}

// money returns an entry of one of the kinds that credit is made of.
func (g *generator) money(i int) (b Body) {
	var id cid.Cid
	nothing := RawCID("nothing")
	version := g.statements[g.r.IntN(len(g.statements))]
	switch g.r.IntN(22) {
	case 0:
		p := g.Period(g.period)
		if g.one(4) {
			p.Closes = "2027-06"
		}
		if next, err := manifests.NextPeriod(p.Closes); err == nil {
			g.remember = func() { g.closed, g.period = p.Closes, next }
		}
		b, _ = g.signed(p, "op")
	case 1:
		b, _ = g.signed(g.Currency([]string{"EUR", "USD", Currency}[g.r.IntN(3)], g.r.IntN(3), 12), "op")
	case 2:
		b, id = g.signed(g.Usage(version.publisher, version.cid, g.reference()), version.publisher)
		g.remember = func() { g.usages = append(g.usages, id) }
	case 3:
		who := g.person()
		b, _ = g.signed(g.Metered(who, version.cid), who)
	case 4, 5:
		return g.model()
	case 6, 7, 8:
		return g.agreement()
	case 9:
		if len(g.pending) == 0 {
			return g.agreement()
		}
		p := g.pending[g.r.IntN(len(g.pending))]
		g.remember = func() {
			if a, ok, _ := g.state.Agreement(p.cid); ok && a.Complete {
				g.agreements[p.publisher] = p.cid
			}
		}
		b = g.log(p.statement, g.person())
	case 10, 11, 12:
		r := g.Income(fmt.Sprint("k", g.r.IntN(40)), version.cid, fmt.Sprint(100*(1+g.r.IntN(9))))
		r.Period = []string{FirstPeriod, FirstPeriod, "2026-12", "2027-01"}[g.r.IntN(4)]
		if g.one(8) {
			r.Currency = "EUR"
		}
		signer := "op"
		if g.one(2) {
			if signer = version.publisher; g.one(6) {
				signer = g.person()
			}
			r.Issuer = ID(signer)
		}
		if g.one(4) {
			r.Settlement = manifests.SettlementUpstream
		}
		b, id = g.signed(r, signer)
		g.remember = func() { g.incomes = append(g.incomes, income{id, version.cid, r.Issuer != ""}) }
	case 13, 14:
		of := pick(g, g.incomes, income{nothing, version.cid, true})
		r := g.Refund(fmt.Sprint("r", g.r.IntN(40)), of.version, of.statement, fmt.Sprint(50*(1+g.r.IntN(6))))
		if of.declared && !g.one(3) {
			r = g.Receipt(fmt.Sprint("q", g.r.IntN(40)), of.version, of.statement, fmt.Sprint(100*(1+g.r.IntN(9))))
		}
		b, _ = g.signed(r, "op")
	case 15:
		a := g.Allocation(g.period, cid.Undef)
		if g.closed != "" {
			a.Period = g.closed
		}
		if g.one(2) {
			a.Supersedes = cjson.CID{Cid: pick(g, g.allocations, nothing)}
		}
		b, id = g.signed(a, "op")
		g.remember = func() { g.allocations = append(g.allocations, id) }
	case 16, 17:
		if len(g.payouts) > 0 && !g.one(3) {
			status := []string{manifests.PayoutPaid, manifests.PayoutReturned}[g.r.IntN(2)]
			b, _ = g.signed(g.PayoutResult(pick(g, g.payouts, nothing), int64(g.r.IntN(3)), status), "op")
			break
		}
		b, id = g.signed(g.Payout(fmt.Sprint("p", g.r.IntN(8)), pick(g, g.allocations, nothing)), "op")
		g.remember = func() { g.payouts = append(g.payouts, id) }
	case 18:
		b, _ = g.signed(g.Adjustment(pick(g, g.allocations, nothing), manifests.AdjustInput, cid.Undef), "op")
	case 19:
		who := g.person()
		target := g.reference()
		b, id = g.signed(g.Dispute(who, target), who)
		g.remember = func() { g.disputes = append(g.disputes, dispute{id, target}) }
	case 20:
		d := pick(g, g.disputes, dispute{nothing, version.cid})
		r := g.Resolution(d.statement, d.target, []string{manifests.RulingHold, manifests.RulingRelease, manifests.RulingDismiss}[g.r.IntN(3)])
		if g.one(3) {
			r.Ruling = manifests.RulingReallocate
			r.Shares, r.Total = Shares(g.person(), 1+g.r.IntN(3))
		}
		b, _ = g.signed(r, "arb")
	default:
		who := g.person()
		switch g.r.IntN(3) {
		case 0:
			b, _ = g.signed(g.Payee(who), who)
		case 1:
			b, _ = g.signed(g.Commit(who), who)
		default:
			b, _ = g.signed(g.Attribution(who, RawCID("data of set-1 1.0.0"), 1+g.r.IntN(i+2), version.cid), who)
		}
	}
	return b
}

func (g *generator) model() Body {
	who, name := g.person(), fmt.Sprintf("net-%d", g.r.IntN(2))
	h := g.heads[who+"/"+name]
	m := g.Model(who, name, fmt.Sprintf("%d.0.0", 1+h.version))
	m.Supersedes = cjson.CID{Cid: h.statement}
	m.Contributors, m.Total = Shares(who, 2)
	signers := []string{who}
	for _, p := range g.people {
		if p != who && g.one(3) {
			m.Contributors = append(m.Contributors, manifests.Share{ID: ID(p), Weight: "1"})
			if g.one(2) {
				signers = append(signers, p)
			}
		}
	}
	m.Total = fmt.Sprint(1 + len(m.Contributors))
	g.repeat(h, &m.Contributors, &m.Total)
	if len(g.usages) > 0 && g.one(2) {
		m.Usages = Sorted(pick(g, g.usages, RawCID("nothing")))
	}
	if g.one(5) {
		m.Sources = []manifests.Source{{Rel: manifests.TrainedOn, Statement: cjson.CID{Cid: g.reference()}}, {Rel: manifests.DerivedFrom, URL: "https://models.example/base"}}
	}
	if !g.one(3) {
		SetEdges(&m.Edges, &m.SelfWeight, &m.EdgeTotal, map[cid.Cid]int{g.reference(): 200_000, g.reference(): 100_000})
	}
	st := manifests.New(m)
	id := CID(st)
	g.remember = func() {
		g.heads[who+"/"+name] = head{statement: id, version: h.version + 1}
		g.statements = append(g.statements, logged{st, id, signers, who})
	}
	return g.log(st, signers...)
}

// agreement is one on a work that may exist, with a random part of the people
// who would have to sign.
func (g *generator) agreement() Body {
	var v logged
	name := ""
	for range 6 { // a first version, most of the time
		v = g.statements[g.r.IntN(len(g.statements))]
		first := false
		switch p := v.statement.Predicate.(type) {
		case *manifests.Contribution:
			name, first = v.publisher+"/"+p.Dataset.Name, !p.Supersedes.Defined()
		case *manifests.Model:
			name, first = v.publisher+"/"+p.Model.Name, !p.Supersedes.Defined()
		}
		if first {
			break
		}
	}
	work := Work(v.cid)
	a := g.Agreement(work, []string{"2026-12", "2027-01", "2027-05"}[g.r.IntN(3)], cid.Undef, g.person(), 1+g.r.IntN(4))
	for _, p := range g.people {
		if ID(p) != a.Shares[0].ID && g.one(2) {
			a.Shares = append(a.Shares, manifests.Share{ID: ID(p), Weight: "1"})
		}
	}
	sum := 0
	for _, s := range a.Shares {
		n := 0
		fmt.Sscan(s.Weight, &n)
		sum += n
	}
	a.Total = fmt.Sprint(sum)
	a.Retroactive = g.one(5)
	if !g.one(3) {
		a.Supersedes = cjson.CID{Cid: g.agreements[name]}
	}
	// Everybody who may, of whom somebody may be missing.
	p, _ := fold.PartiesTo(g.state, fold.AddAgreement{Work: work, EffectivePeriod: a.EffectivePeriod, Retroactive: a.Retroactive, Shares: foldShares(a.Shares), Total: a.Total})
	signers := slices.DeleteFunc(slices.Clone(g.people), func(who string) bool { return !slices.Contains(p.All, ID(who)) })
	if len(signers) == 0 {
		signers = []string{g.person()}
	}
	if g.one(3) {
		signers = signers[:1+g.r.IntN(len(signers))]
	}
	st := manifests.New(a)
	id := CID(st)
	g.remember = func() {
		if a, ok, _ := g.state.Agreement(id); ok && a.Complete {
			g.agreements[name] = id
		}
		g.pending = append(g.pending, logged{st, id, signers, name})
	}
	return g.log(st, signers...)
}

func foldShares(list []manifests.Share) []fold.Share {
	var out []fold.Share
	for _, s := range list {
		out = append(out, fold.Share{ID: s.ID, Weight: s.Weight})
	}
	return out
}
