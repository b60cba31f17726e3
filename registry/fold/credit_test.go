package fold_test

import (
	"bytes"
	"fmt"
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

// made logs the statement of p and returns it.
func (s *scenario) made(want string, p manifests.Predicate, signers ...string) cid.Cid {
	st := manifests.New(p)
	s.log(want, foldtest.Log(st, signers...))
	return foldtest.CID(st)
}

// repeated logs p once more, with other signers.
func (s *scenario) repeated(want string, p manifests.Predicate, signers ...string) {
	s.log(want, foldtest.Log(manifests.New(p), signers...))
}

func edged(c *manifests.Contribution, ppm map[cid.Cid]int) *manifests.Contribution {
	foldtest.SetEdges(&c.Edges, &c.SelfWeight, &c.EdgeTotal, ppm)
	return c
}

func pays(ratePpm, floorPpm, capPpm int64) *manifests.Rules {
	return &manifests.Rules{Payment: &manifests.PaymentRules{RatePpm: ratePpm, Stacking: "sum", FloorPpm: floorPpm, CapPpm: capPpm, ToDerived: true}}
}

func code(c fold.Code) string { return string(c) }

const (
	ok  = "accepted"
	dup = "duplicate"
)

// credit goes on with a log that knows op3 as its only operator: every kind that
// credit is made of, with what is refused beside what is not.
func (s *scenario) credit() {
	none := cid.Undef
	nothing := foldtest.RawCID("nothing")

	// Arbiters; a registry/v1 that gives a currency another meaning.
	r := s.Registry(1, "op3")
	r.Currencies[0].MinorDigits = 3
	s.predicate(code(fold.CurrencyTaken), r, "op3")
	dispute := s.made(ok, s.Dispute("mia", foldtest.CID(manifests.New(s.early))), "mia")
	s.predicate(code(fold.UnexpectedSigner), s.Resolution(dispute, nothing, manifests.RulingHold), "op3") // there are no arbiters
	r = s.Registry(1, "op3")
	r.Arbiters, r.ArbiterThreshold = []sign.KeyID{foldtest.ID("arb1"), foldtest.ID("arb2")}, 2
	r.Currencies = append(r.Currencies, manifests.Currency{Code: "eip155:1/erc20:0xa0b8", MinorDigits: 24, FineDigits: 24})
	s.predicate(ok, r, "op3")

	// Currencies and the calendar are the operators'.
	s.predicate(code(fold.UnexpectedSigner), s.Currency("EUR", 2, 12), "mia")
	s.predicate(ok, s.Currency("EUR", 2, 12), "op3")
	s.predicate(code(fold.CurrencyTaken), s.Currency("EUR", 2, 12), "op3")
	s.predicate(code(fold.CurrencyTaken), s.Currency("CHF", 2, 12), "op3")
	s.predicate(code(fold.WrongPeriod), s.Period("2026-12"), "op3")
	s.predicate(code(fold.WrongPeriod), s.Period("2026-10"), "op3")
	s.predicate(code(fold.UnexpectedSigner), s.Period("2026-11"), "op3", "mia")

	// Edges keep the rules of the parents.
	base := s.contribution("mia", "base", "1.0.0", none)
	base.Rules = pays(50_000, 20_000, 300_000)
	b1 := s.version(ok, base, "mia")
	s.version(code(fold.Underpaid), edged(s.contribution("noa", "sub", "1.0.0", none), map[cid.Cid]int{b1: 49_999}), "noa")
	silent := s.contribution("noa", "sub", "1.0.0", none)
	silent.Sources = []manifests.Source{{Rel: manifests.DerivedFrom, Statement: cjson.CID{Cid: b1}}}
	s.version(code(fold.Underpaid), silent, "noa")
	compared := s.contribution("noa", "compared", "1.0.0", none)
	compared.Sources = []manifests.Source{{Rel: manifests.DeduplicatedAgainst, Statement: cjson.CID{Cid: b1}}}
	s.version(ok, compared, "noa")
	s.version(code(fold.Cap), edged(s.contribution("noa", "sub", "1.0.0", none), map[cid.Cid]int{b1: 300_001}), "noa")
	d1 := s.version(ok, edged(s.contribution("noa", "sub", "1.0.0", none), map[cid.Cid]int{b1: 50_000}), "noa")
	s.version(code(fold.Floor), edged(s.contribution("oto", "subsub", "1.0.0", none), map[cid.Cid]int{d1: 100_000}), "oto")
	dd := edged(s.contribution("oto", "subsub", "1.0.0", none), map[cid.Cid]int{d1: 100_000, b1: 50_000})
	dd1 := s.version(ok, dd, "oto")

	// Weighted rates need an attribution of this data, which knows the parent.
	weighted := s.contribution("mia", "weighted", "1.0.0", none)
	weighted.Rules = pays(100_000, 0, 0)
	weighted.Rules.Payment.Stacking = "weighted"
	w1 := s.version(ok, weighted, "mia")
	s.version(code(fold.Underpaid), edged(s.contribution("noa", "part", "1.0.0", none), map[cid.Cid]int{w1: 900_000}), "noa")
	part := edged(s.contribution("noa", "part", "1.0.0", none), map[cid.Cid]int{w1: 100_000})
	data := foldtest.RawCID("data of part 1.0.0")
	s.predicate(code(fold.Reference), s.Attribution("mia", data, len(s.bodies), nothing), "mia")
	s.predicate(code(fold.Anchor), s.Attribution("mia", data, 1<<40, w1), "mia")
	s.predicate(code(fold.Reference), s.Attribution("mia", data, 3, w1), "mia") // it did not look at that entry
	of := s.made(ok, s.Attribution("mia", data, len(s.bodies), w1), "mia")
	ofOther := s.made(ok, s.Attribution("mia", foldtest.RawCID("other data"), len(s.bodies), w1), "mia")
	part.Attribution, part.Edges[0].Share = cjson.CID{Cid: ofOther}, "1"
	s.version(code(fold.Reference), part, "noa")
	part.Common, part.Attribution = s.Common(), cjson.CID{Cid: of}
	s.version(ok, part, "noa")

	// Models share the namespace of datasets, and pay for what their runs read.
	m := s.Model("noa", "sub", "2.0.0")
	s.predicate(code(fold.Stale), m, "noa") // there is a dataset of that name
	m = s.Model("noa", "sub", "2.0.0")
	m.Supersedes = cjson.CID{Cid: d1}
	s.predicate(code(fold.Reference), m, "noa") // which is no model
	s.predicate(code(fold.Reference), s.Usage("lab", nothing), "lab")
	s.predicate(code(fold.UnexpectedSigner), s.Usage("lab", b1), "noa")
	run := s.made(ok, s.Usage("lab", b1, d1), "lab")
	s.predicate(ok, s.Metered("lab", b1), "lab")
	gated := s.contribution("mia", "gated", "1.0.0", none)
	gated.Rules = &manifests.Rules{Accept: "use"}
	s.predicate(ok, s.Usage("lab", s.version(ok, gated, "mia")), "lab") // unaccepted, and recorded
	m = s.Model("lab", "net", "1.0.0")
	m.Usages = foldtest.Sorted(run, b1)
	s.predicate(code(fold.Reference), m, "lab")
	m = s.Model("lab", "net", "1.0.0")
	m.Usages = foldtest.Sorted(run)
	s.predicate(code(fold.Underpaid), m, "lab")
	// What a model names without a run counts as what a run read.
	for _, rel := range []manifests.Rel{manifests.TrainedOn, manifests.DerivedFrom} {
		m = s.Model("lab", "bare", "1.0.0")
		m.Sources = []manifests.Source{{Rel: rel, Statement: cjson.CID{Cid: nothing}}}
		s.predicate(code(fold.Reference), m, "lab")
		m = s.Model("lab", "bare", "1.0.0")
		m.Sources = []manifests.Source{{Rel: rel, Statement: cjson.CID{Cid: run}}}
		s.predicate(code(fold.Reference), m, "lab") // which is no version
		m = s.Model("lab", "bare", "1.0.0")
		m.Sources = []manifests.Source{{Rel: rel, Statement: cjson.CID{Cid: b1}}}
		s.predicate(code(fold.Underpaid), m, "lab")
	}
	m = s.Model("lab", "net", "1.0.0")
	m.Usages = foldtest.Sorted(run)
	m.Sources = []manifests.Source{{Rel: manifests.TrainedOn, Statement: cjson.CID{Cid: b1}}, {Rel: manifests.DerivedFrom, URL: "https://models.example/base"},
		{Rel: manifests.TrainedOn, CID: cjson.CID{Cid: foldtest.RawCID("data elsewhere")}}}
	m.Contributors, m.Total = foldtest.Shares("lab", 3, "mia", 1)
	foldtest.SetEdges(&m.Edges, &m.SelfWeight, &m.EdgeTotal, map[cid.Cid]int{b1: 50_000, d1: 10_000})
	m1 := s.made(ok, m, "lab")
	s.repeated(dup, m, "lab")
	s.repeated(code(fold.UnexpectedSigner), m, "noa")
	s.repeated(ok, m, "mia")
	m = s.Model("lab", "net", "2.0.0")
	m.Supersedes = cjson.CID{Cid: m1}
	s.predicate(code(fold.Consent), m, "lab") // mia has 1 of 4
	m = s.Model("lab", "net", "2.0.0")
	m.Supersedes = cjson.CID{Cid: m1}
	m.Contributors, m.Total = foldtest.Shares("lab", 3, "mia", 1)
	m2 := s.made(ok, m, "lab")
	c := s.contribution("lab", "net", "3.0.0", m2)
	s.version(code(fold.Reference), c, "lab") // supersedes a model

	// Agreements: whose fraction falls, and who is new, has to sign.
	work := foldtest.Work(m1)
	s.predicate(code(fold.Reference), s.Agreement(foldtest.Work(nothing), "2026-12", none, "lab", 1), "lab")
	s.predicate(code(fold.UnexpectedSigner), s.Agreement(work, "2026-12", none, "lab", 1), "eve2")
	s.predicate(code(fold.Reference), s.Agreement(work, "2026-12", nothing, "lab", 1), "lab")
	s.predicate(code(fold.WrongPeriod), s.Agreement(work, "2026-10", none, "lab", 1), "lab")
	s.predicate(code(fold.PastPeriod), s.Agreement(work, "2026-11", none, "lab", 1), "lab")
	attributed := s.Agreement(work, "2026-12", none, "lab", 1, "mia", 1)
	attributed.Attribution = cjson.CID{Cid: nothing}
	s.predicate(code(fold.Reference), attributed, "lab")
	s.predicate(ok, s.Agreement(work, "2026-12", none, "lab", 1), "lab") // pending for ever: mia does not sign
	g := s.Agreement(work, "2026-12", none, "lab", 2, "mia", 1, "pia", 1)
	s.predicate(ok, g, "mia") // she had 1 of 4 and keeps it, so this is not enough
	g1 := s.made(ok, s.Agreement(work, "2027-02", none, "lab", 2, "mia", 1, "pia", 1), "lab", "pia")
	s.repeated(ok, g, "lab", "pia") // signed by all, but another was first
	s.predicate(code(fold.Stale), s.Agreement(work, "2026-12", none, "lab", 1, "pia", 1), "lab")
	s.predicate(code(fold.Stale), s.Agreement(work, "2026-12", foldtest.CID(manifests.New(g)), "lab", 1, "pia", 1), "lab")
	g = s.Agreement(work, "2026-12", g1, "lab", 4, "mia", 1)
	g.Attribution = cjson.CID{Cid: of}
	s.predicate(ok, g, "mia") // hers falls from 1/4 to 1/5; pia leaves
	s.repeated(ok, g, "lab")  // may sign, need not
	s.repeated(dup, g, "lab") //
	s.repeated(ok, g, "pia")  // complete
	s.repeated(dup, g, "mia") //
	s.repeated(dup, g, "mia", "pia", "lab")
	g2 := foldtest.CID(manifests.New(g))

	// A version names the agreement, or has shares of its own until the next one.
	named := s.Model("lab", "net", "3.0.0")
	named.Supersedes, named.Agreement = cjson.CID{Cid: m2}, cjson.CID{Cid: g1}
	s.predicate(code(fold.Stale), named, "lab")
	named = s.Model("lab", "net", "3.0.0")
	named.Supersedes, named.Agreement = cjson.CID{Cid: m2}, cjson.CID{Cid: g2}
	s.predicate(code(fold.Consent), named, "lab") // it begins later, and until then mia has 1 of 4
	named = s.Model("lab", "net", "3.0.0")
	named.Supersedes, named.Agreement = cjson.CID{Cid: m2}, cjson.CID{Cid: g2}
	named.Contributors, named.Total = foldtest.Shares("lab", 3, "mia", 1)
	m3 := s.made(ok, named, "lab")
	own := s.Model("lab", "net", "4.0.0")
	own.Supersedes = cjson.CID{Cid: m3}
	own.Contributors, own.Total = foldtest.Shares("lab", 1, "mia", 1, "ria", 1)
	m4 := s.made(ok, own, "lab")
	g = s.Agreement(work, "2026-12", g2, "lab", 8, "mia", 2)
	s.predicate(ok, g, "lab", "mia") // ria falls from 1/3 to nothing, by the newest version
	s.repeated(ok, g, "ria")
	g3 := foldtest.CID(manifests.New(g))

	// Retroactive: everybody since has to sign.
	retro := s.Agreement(work, "2026-11", g3, "lab", 8, "mia", 2)
	retro.Retroactive = true
	s.predicate(ok, retro, "lab", "mia")                  // nothing falls, but ria has had shares since
	s.repeated(code(fold.UnexpectedSigner), retro, "pia") // pia not: g1 would have begun after g2
	s.repeated(ok, retro, "ria")

	// Revenue: the operators' counts, the publisher's waits for receipts.
	s.predicate(code(fold.UnexpectedSigner), s.Income("a", m1, "100"), "lab")
	s.predicate(code(fold.Reference), s.Income("a", nothing, "100"), "op3")
	s.predicate(code(fold.Reference), s.Income("a", dispute, "100"), "op3")
	s.predicate(code(fold.NotPublisher), s.Declared("mia", "a", m1, "100"), "mia")
	late := s.Income("a", m1, "100")
	late.Period = "2026-12"
	s.predicate(code(fold.WrongPeriod), late, "op3")
	late = s.Income("a", m1, "100")
	late.Period = "2026-10"
	s.predicate(code(fold.WrongPeriod), late, "op3")
	odd := s.Income("a", m1, "100")
	odd.Currency = "USD"
	s.predicate(code(fold.UnknownCurrency), odd, "op3")
	income := s.made(ok, s.Income("a", m1, "100"), "op3")
	s.predicate(dup, s.Income("a", m1, "100"), "op3") // the same words, signed again
	s.predicate(code(fold.KeyTaken), s.Income("a", m1, "101"), "op3")
	s.predicate(code(fold.KeyTaken), s.Income("a", m2, "100"), "op3")
	declared := s.made(ok, s.Declared("lab", "b", m1, "1000"), "lab")
	s.predicate(code(fold.Reference), s.Receipt("c", m1, income, "100"), "op3") // nobody declared it
	s.predicate(code(fold.Mismatch), s.Receipt("c", m2, declared, "100"), "op3")
	s.predicate(ok, s.Receipt("c", m1, declared, "400"), "op3") // partial: stays declared
	s.predicate(dup, s.Receipt("c", m1, declared, "400"), "op3")
	s.predicate(code(fold.Reference), s.Refund("d", m1, declared, "1"), "op3")
	s.predicate(code(fold.OverClaim), s.Receipt("d", m1, declared, "601"), "op3")
	s.predicate(ok, s.Receipt("d", m1, declared, "600"), "op3")
	s.predicate(code(fold.OverClaim), s.Receipt("e", m1, declared, "1"), "op3")
	upstream := s.Declared("lab", "f", m1, "1000")
	upstream.Settlement = manifests.SettlementUpstream
	up := s.made(ok, upstream, "lab")
	s.predicate(code(fold.Mismatch), s.Receipt("g", m1, up, "60"), "op3")
	receipt := s.Receipt("g", m1, up, "59") // of 1000, 60,000 ppm flow on
	receipt.Settlement = manifests.SettlementUpstream
	s.predicate(ok, receipt, "op3")
	s.predicate(code(fold.Reference), s.Refund("g2", m1, up, "1"), "op3")
	receipt = s.Receipt("g3", m1, up, "1")
	receipt.Settlement = manifests.SettlementUpstream
	s.predicate(ok, receipt, "op3")

	// Refunds and chargebacks: the operators', and at most the income.
	s.predicate(code(fold.UnexpectedSigner), s.Refund("h", m1, income, "40"), "lab")
	s.predicate(code(fold.Mismatch), s.Refund("h", m2, income, "40"), "op3")
	s.predicate(ok, s.Refund("h", m1, income, "40"), "op3")
	back := s.Refund("i", m1, income, "60")
	back.Type = manifests.RevenueChargeback
	s.predicate(ok, back, "op3")
	s.predicate(code(fold.OverClaim), s.Refund("j", m1, income, "1"), "op3")
	s.predicate(dup, s.Refund("h", m1, income, "40"), "op3")

	// Amounts stay below 2^127 fine units, one by one and together.
	s.predicate(code(fold.Overflow), s.Income("k", m1, "17014118346046923173168730372"), "op3")
	s.predicate(ok, s.Income("k", m1, "17014118346046923173168728100"), "op3")
	s.predicate(code(fold.Overflow), s.Income("l", m1, "1000"), "op3")
	s.predicate(ok, s.Declared("lab", "l", m1, "17014118346046923173168729000"), "lab") // enters no run

	// Results wait for the end of the period.
	s.predicate(code(fold.WrongPeriod), s.Allocation("2026-11", none), "op3")
	s.predicate(ok, s.Period("2026-11"), "op3")
	s.predicate(code(fold.WrongPeriod), s.Period("2026-11"), "op3")
	s.predicate(code(fold.UnexpectedSigner), s.Allocation("2026-11", none), "mia")
	s.predicate(code(fold.WrongPeriod), s.Allocation("2026-10", none), "op3")
	unknown := s.Allocation("2026-11", none)
	unknown.Currency = "USD"
	s.predicate(code(fold.UnknownCurrency), unknown, "op3")
	s.predicate(code(fold.Reference), s.Allocation("2026-11", nothing), "op3")
	a1 := s.made(ok, s.Allocation("2026-11", none), "op3")
	s.predicate(code(fold.Stale), s.Allocation("2026-11", none), "op3")
	a2 := s.made(ok, s.Allocation("2026-11", a1), "op3")
	euro := s.Allocation("2026-11", none)
	euro.Currency = "EUR"
	e1 := s.made(ok, euro, "op3")
	s.predicate(ok, s.Income("after", m1, "5"), "op3") // late: counted in 2026-12 by the shares of 2026-11
	s.predicate(code(fold.PastPeriod), s.Agreement(work, "2026-12", foldtest.CID(manifests.New(retro)), "lab", 9, "mia", 1), "mia")

	s.predicate(code(fold.Reference), s.Payout("p", nothing), "op3")
	s.predicate(code(fold.Mismatch), s.Payout("p", a2, e1), "op3")
	s.predicate(code(fold.UnexpectedSigner), s.Payout("p", a2), "lab")
	payout := s.made(ok, s.Payout("p", a2), "op3")
	s.predicate(dup, s.Payout("p", a2), "op3")
	s.predicate(code(fold.KeyTaken), s.Payout("p", a1), "op3")
	s.predicate(ok, s.Payout("a", a1), "op3") // another kind's key
	s.predicate(code(fold.Reference), s.PayoutResult(payout, 2, manifests.PayoutPaid), "op3")
	s.predicate(code(fold.Reference), s.PayoutResult(a1, 0, manifests.PayoutPaid), "op3")
	s.predicate(ok, s.PayoutResult(payout, 0, manifests.PayoutPaid), "op3")
	s.predicate(code(fold.ResultTaken), s.PayoutResult(payout, 0, manifests.PayoutPaid), "op3")
	s.predicate(ok, s.PayoutResult(payout, 0, manifests.PayoutReturned), "op3")
	s.predicate(code(fold.ResultTaken), s.PayoutResult(payout, 0, manifests.PayoutReturned), "op3")
	s.predicate(ok, s.PayoutResult(payout, 1, manifests.PayoutReturned), "op3")

	s.predicate(code(fold.Reference), s.Adjustment(payout, manifests.AdjustInput, none), "op3")
	s.predicate(code(fold.Reference), s.Adjustment(a1, manifests.AdjustShares, g3), "op3") // not retroactive
	s.predicate(ok, s.Adjustment(a1, manifests.AdjustShares, foldtest.CID(manifests.New(retro))), "op3")
	s.predicate(code(fold.Reference), s.Adjustment(a1, manifests.AdjustInput, nothing), "op3")
	s.predicate(ok, s.Adjustment(a1, manifests.AdjustInput, none), "op3")
	s.predicate(ok, s.Payee("mia"), "mia")
	s.predicate(code(fold.UnexpectedSigner), s.Payee("mia"), "op3")
	s.predicate(ok, s.Commit("mia"), "mia")

	// Disputes flag, the arbiters rule.
	s.predicate(code(fold.Reference), s.Dispute("mia", nothing), "mia")
	about := s.made(ok, s.Dispute("mia", d1), "mia")
	s.predicate(code(fold.UnexpectedSigner), s.Resolution(about, d1, manifests.RulingHold), "arb1", "mia")
	s.predicate(code(fold.Threshold), s.Resolution(about, d1, manifests.RulingHold), "arb1")
	s.predicate(code(fold.Reference), s.Resolution(nothing, d1, manifests.RulingHold), "arb1", "arb2")
	s.predicate(code(fold.Reference), s.Resolution(about, dispute, manifests.RulingHold), "arb1", "arb2")
	s.predicate(code(fold.Mismatch), s.Resolution(about, dd1, manifests.RulingHold), "arb1", "arb2")
	hold := s.made(ok, s.Resolution(about, d1, manifests.RulingHold), "arb1", "arb2")
	s.predicate(ok, s.Resolution(dispute, m4, manifests.RulingDismiss), "arb1", "arb2") // a dispute about no version
	move := s.Resolution(about, d1, manifests.RulingReallocate)
	move.Shares, move.Total = foldtest.Shares("mia", 1)
	s.predicate(ok, move, "arb1", "arb2")
	s.predicate(code(fold.Reference), s.Adjustment(a1, manifests.AdjustRuling, about), "op3")
	s.predicate(ok, s.Adjustment(a1, manifests.AdjustRuling, hold), "op3")
}

// check judges the scenario's entries from n on and compares the verdicts.
func (s *scenario) check(t *testing.T, state *fold.State, n int) {
	t.Helper()
	for i := n; i < len(s.bodies); i++ {
		r := state.Apply(fold.Read(s.bodies[i].Leaf, s.bodies[i].Envelope))
		got := string(r.Verdict)
		if r.Verdict == fold.Rejected {
			got = string(r.Code)
		}
		if got != s.want[i] {
			t.Errorf("entry %d: %s, want %s", i, got, s.want[i])
		}
	}
}

// limitCodes are the codes that only long logs reach; [TestLimits] has them.
var limitCodes = []fold.Code{fold.Edges, fold.Depth, fold.Ancestors, fold.TooManyParties}

// TestLimits reaches each limit and goes one beyond it.
func TestLimits(t *testing.T) {
	none := cid.Undef
	s := newScenario()
	s.predicate(ok, s.Registry(1, "op"), "op")

	// 1,025 versions that set a floor and a rate.
	var roots []cid.Cid
	for i := range 1025 {
		c := s.contribution("ana", fmt.Sprint("root-", i), "1.0.0", none)
		c.Rules = pays(1, 1, 0)
		roots = append(roots, s.version(ok, c, "ana"))
	}
	ppm := make(map[cid.Cid]int)
	for _, c := range roots[:1024] {
		ppm[c] = 1
	}
	wide := s.version(ok, edged(s.contribution("ben", "wide", "1.0.0", none), ppm), "ben")
	s.version(code(fold.Ancestors), edged(s.contribution("ben", "wider", "1.0.0", none), map[cid.Cid]int{wide: 500_000, roots[1024]: 1}), "ben")
	s.version(ok, edged(s.contribution("ben", "again", "1.0.0", none), map[cid.Cid]int{wide: 1_000_000}), "ben")

	// A model whose runs read more than can be looked at.
	m := s.Model("lab", "net", "1.0.0")
	for range 17 {
		m.Usages = append(m.Usages, cjson.CID{Cid: s.made(ok, s.Usage("lab", roots[:1024]...), "lab")})
	}
	few, many := *m, *m
	many.Usages = foldtest.Sorted(cids(m.Usages)...)
	s.predicate(code(fold.Edges), &many, "lab")
	few.Common, few.Usages = s.Common(), foldtest.Sorted(cids(m.Usages[:3])...)
	s.predicate(code(fold.Underpaid), &few, "lab")

	// A chain of 64 versions, and one more.
	last := s.version(ok, s.contribution("cem", "link-1", "1.0.0", none), "cem")
	for i := 2; i <= 64; i++ {
		last = s.version(ok, edged(s.contribution("cem", fmt.Sprint("link-", i), "1.0.0", none), map[cid.Cid]int{last: 10}), "cem")
	}
	s.version(code(fold.Depth), edged(s.contribution("cem", "link-65", "1.0.0", none), map[cid.Cid]int{last: 10}), "cem")

	// A work of which too many people had a share.
	people, twice := make([]manifests.Share, manifests.MaxContributors), make([]manifests.Share, manifests.MaxContributors)
	for i := range people {
		id := foldtest.ID(fmt.Sprint("many ", i))
		people[i], twice[i] = manifests.Share{ID: id, Weight: "1"}, manifests.Share{ID: id, Weight: "2"}
	}
	first, before := none, none
	for i := range 17 {
		c := s.contribution("dua", "crowd", fmt.Sprintf("1.%d.0", i), before)
		c.Contributors, c.Total = people, fmt.Sprint(len(people))
		if i%2 == 1 {
			c.Contributors, c.Total = twice, fmt.Sprint(2*len(people))
		}
		before = s.version(ok, c, "dua")
		if first == none {
			first = before
		}
		if i == 15 {
			// Still few enough.
			s.predicate(ok, s.Agreement(foldtest.Work(first), "2026-12", none, "many 7", 1), "many 7")
		}
	}
	s.predicate(code(fold.TooManyParties), s.Agreement(foldtest.Work(first), "2026-12", none, "many 7", 1), "many 7")

	// A version that owes something to more versions of its work than are followed:
	// the next one has to owe it to that one.
	var owed []cid.Cid
	for i := range 1025 {
		before = none
		if i > 0 {
			before = owed[i-1]
		}
		owed = append(owed, s.version(ok, s.contribution("fay", "debts", fmt.Sprintf("1.%d.0", i), before), "fay"))
	}
	owing := func(v string, before cid.Cid, to ...cid.Cid) *manifests.Contribution {
		c := s.contribution("fay", "debts", v, before)
		a := s.Attribution("fay", foldtest.RawCID("data of debts "+v), len(s.bodies), to...)
		c.Attribution = cjson.CID{Cid: s.made(ok, a, "fay")}
		for _, to := range a.Parents {
			c.Edges = append(c.Edges, manifests.Edge{Statement: to, Weight: "1000000", Share: "1"})
		}
		c.SelfWeight, c.EdgeTotal = "1000000", fmt.Sprint(1_000_000*(1+len(to)))
		return c
	}
	most := s.version(ok, owing("2.0.0", owed[1024], owed[:1023]...), "fay")
	all := s.version(ok, s.contribution("fay", "debts", "2.1.0", most), "fay")
	more := s.version(ok, owing("2.2.0", all, owed[:1024]...), "fay")
	s.version(code(fold.Consent), s.contribution("fay", "debts", "2.3.0", more), "fay")
	s.version(ok, owing("2.3.0", more, more), "fay")

	// Agreements that are complete and have not begun: 64, and one more. The next
	// period makes room.
	work, newest := foldtest.Work(s.version(ok, s.contribution("eve", "agreed", "1.0.0", none), "eve")), none
	for range 64 {
		newest = s.made(ok, s.Agreement(work, "2026-12", newest, "eve", 1), "eve")
	}
	s.predicate(code(fold.TooManyParties), s.Agreement(work, "2026-12", newest, "eve", 1), "eve")
	s.predicate(ok, s.Period("2026-11"), "op")
	s.predicate(ok, s.Agreement(work, "2027-01", newest, "eve", 1), "eve")

	s.check(t, s.state, 0)
	seen := make(map[string]bool)
	for _, w := range s.want {
		seen[w] = true
	}
	for _, c := range limitCodes {
		if !seen[string(c)] {
			t.Errorf("no entry is rejected: %s", c)
		}
	}
}

func cids(list []cjson.CID) []cid.Cid {
	out := make([]cid.Cid, len(list))
	for i, c := range list {
		out[i] = c.Cid
	}
	return out
}

// TestPartiesTo asks the state whose signatures are missing.
func TestPartiesTo(t *testing.T) {
	s := newScenario()
	s.predicate(ok, s.Registry(1, "op"), "op")
	c := s.contribution("ana", "set", "1.0.0", cid.Undef)
	c.Contributors, c.Total = foldtest.Shares("ana", 2, "ben", 2, "cem", 1)
	first := s.version(ok, c, "ana")
	g := s.Agreement(foldtest.Work(first), "2026-12", cid.Undef, "ana", 2, "ben", 1, "cem", 1, "dua", 1)
	st := foldtest.CID(manifests.New(g))
	s.predicate(ok, g, "dua")
	s.check(t, s.state, 0)
	state, found, err := s.state.Agreement(st)
	if err != nil || !found || state.Complete {
		t.Fatalf("%+v, %v, %v", state, found, err)
	}
	p, err := fold.PartiesTo(s.state, state.AddAgreement)
	if err != nil {
		t.Fatal(err)
	}
	// ana keeps 2/5, ben falls from 2/5 to 1/5, cem keeps 1/5, dua is new.
	for who, must := range map[string]bool{"ana": false, "ben": true, "cem": false, "dua": true} {
		if got := slices.Contains(p.Must, foldtest.ID(who)); got != must {
			t.Errorf("%s must sign: %v, want %v", who, got, must)
		}
		if !slices.Contains(p.All, foldtest.ID(who)) {
			t.Errorf("%s may not sign", who)
		}
	}
}

// TestEffectsComeBack reads the effects of the world as they are stored.
func TestEffectsComeBack(t *testing.T) {
	s := world()
	ops := make(map[fold.Op]bool)
	for _, body := range s.bodies {
		r := s.state.Apply(fold.Read(body.Leaf, body.Envelope))
		again, err := fold.DecodeEffects(fold.EncodeEffects(r.Effects))
		if err != nil {
			t.Fatal(err)
		}
		want := r.Encode()
		if got := (fold.Result{Verdict: r.Verdict, Code: r.Code, Effects: again}).Encode(); !bytes.Equal(got, want) {
			t.Errorf("%s comes back as %s", want, got)
		}
		for _, e := range r.Effects {
			ops[e.Op()] = true
		}
	}
	for _, op := range fold.Ops() {
		if !ops[op] {
			t.Errorf("the world has no effect %s", op)
		}
	}
}

// TestRandomReachesAll keeps the random logs from becoming logs in which
// nothing happens: over some of them every op and most codes occur.
func TestRandomReachesAll(t *testing.T) {
	ops, codes := make(map[fold.Op]int), make(map[fold.Code]int)
	for seed := range uint64(16) {
		s := fold.NewState(foldtest.Origin)
		for _, b := range foldtest.Random(rand.New(rand.NewPCG(seed, 2)), 200) {
			r := s.Apply(fold.Read(b.Leaf, b.Envelope))
			codes[r.Code]++
			for _, e := range r.Effects {
				ops[e.Op()]++
			}
		}
	}
	for _, op := range fold.Ops() {
		if ops[op] == 0 {
			t.Errorf("no random log has the effect %s", op)
		}
	}
	rare := append(slices.Clone(limitCodes), fold.Overflow, fold.Subject, fold.Cap, fold.ResultTaken,
		fold.MalformedEnvelope, fold.BadSignature, fold.UnknownKind)
	for _, c := range fold.Codes() {
		if codes[c] == 0 && !slices.Contains(rare, c) {
			t.Errorf("no random log has the code %s", c)
		}
	}
}
