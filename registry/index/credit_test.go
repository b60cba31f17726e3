package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

// applied is one accepted effect with its entry.
type applied struct {
	index  uint64
	effect fold.Effect
}

// ofCredit reports whether an entry's effects are kept for the ledger.
func ofCredit(effects []fold.Effect) bool {
	if len(effects) == 0 {
		return false
	}
	switch effects[0].(type) {
	case fold.SetProfile, fold.AddKey, fold.RotateKey, fold.RevokeKey, fold.AddAttestation:
		return false
	}
	return true
}

// TestEffectsAreTheFolds holds what the index gives a ledger against what the
// fold said, over random logs, and every lookup against a search through it.
func TestEffectsAreTheFolds(t *testing.T) {
	for seed := range uint64(6) {
		entries := history(seed+100, 250)
		x := inMemory(t)
		s := fold.NewState(foldtest.Origin)
		out, err := x.Apply(t.Context(), 0, entries)
		if err != nil {
			t.Fatal(err)
		}
		var want []index.Effects
		var all []applied
		for i, e := range entries {
			s.Apply(e)
			if ofCredit(out[i].Result.Effects) {
				want = append(want, index.Effects{Index: uint64(i), Effects: out[i].Result.Effects})
			}
			for _, f := range out[i].Result.Effects {
				all = append(all, applied{uint64(i), f})
			}
		}
		err = x.View(func(v *index.Snapshot) error {
			for _, from := range []uint64{0, 1, 77, 1000} {
				var got []index.Effects
				for e, err := range v.Effects(from) {
					if err != nil {
						return err
					}
					got = append(got, e)
				}
				rest := want[slices.IndexFunc(append(want, index.Effects{Index: 1 << 60}), func(e index.Effects) bool { return e.Index >= from }):]
				if len(got) != len(rest) {
					t.Fatalf("seed %d: %d entries from %d on, want %d", seed, len(got), from, len(rest))
				}
				for i, g := range got {
					if g.Index != rest[i].Index || !bytes.Equal(fold.EncodeEffects(g.Effects), fold.EncodeEffects(rest[i].Effects)) {
						t.Errorf("seed %d: entry %d has the effects %s, want entry %d with %s", seed, g.Index,
							fold.EncodeEffects(g.Effects), rest[i].Index, fold.EncodeEffects(rest[i].Effects))
					}
				}
			}
			for e, err := range v.Effects(0) { // leaving early is no error
				if err != nil || e.Index > 1<<40 {
					t.Error(e, err)
				}
				break
			}
			lookups(t, v, s, all)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// find returns the effects of a type that keep allows, newest first.
func find[E fold.Effect](all []applied, keep func(E) bool) (list []index.Logged[E]) {
	for _, a := range slices.Backward(all) {
		if e, ok := a.effect.(E); ok && keep(e) {
			list = append(list, index.Logged[E]{Index: a.index, Effect: e})
		}
	}
	return list
}

// same compares a lookup with the effects that it should give.
func same[E fold.Effect](t *testing.T, what string, got []index.Logged[E], err error, want []index.Logged[E]) {
	t.Helper()
	if err != nil || len(got) != len(want) {
		t.Errorf("%s: %d, %v, want %d", what, len(got), err, len(want))
		return
	}
	for i := range got {
		a, b := fold.EncodeEffects([]fold.Effect{got[i].Effect}), fold.EncodeEffects([]fold.Effect{want[i].Effect})
		if got[i].Index != want[i].Index || !bytes.Equal(a, b) {
			t.Errorf("%s: entry %d %s, want %d %s", what, got[i].Index, a, want[i].Index, b)
		}
	}
}

func lookups(t *testing.T, v *index.Snapshot, s *fold.State, all []applied) {
	t.Helper()
	versions := make(map[cid.Cid]bool)
	works := make(map[string]bool)
	node := func(n fold.Node) { versions[n.Statement.Cid], works[n.Work] = true, true }
	for _, a := range all {
		switch e := a.effect.(type) {
		case fold.AddVersion:
			node(e.Node)
		case fold.AddModel:
			node(e.Node)
			m, err := v.Version(e.Statement.Cid)
			if err != nil || m.Kind != "model/v1" || m.Artifact != e.Artifact || m.Index != a.index || len(m.Contributors) != len(e.Contributors) {
				t.Errorf("model %s: %+v, %v", e.Statement, m, err)
			}
			if _, err := v.Dataset(e.Statement.Cid); !errors.Is(err, fault.NotFound) {
				t.Errorf("the model %s is a dataset: %v", e.Statement, err)
			}
			if n, err := v.Newest(e.Publisher, e.Name); err != nil || n.Kind != "model/v1" {
				t.Errorf("newest %s: %+v, %v", e.Name, n, err)
			}
			if _, err := v.Parents(e.Statement.Cid); err != nil {
				t.Errorf("parents of %s: %v", e.Statement, err)
			}
		case fold.AddRevenue:
			r, err := v.Revenue(e.Statement.Cid)
			want, _, _ := s.Revenue(e.Statement.Cid)
			if err != nil || r.Index != a.index || (r.Counted != nil) != want.Counted || r.Received != want.Received || r.Reversed != want.Reversed || r.Key != e.Key {
				t.Errorf("revenue %s: %+v, %v, want %+v", e.Statement, r, err, want)
			}
			if c, err := v.ByKey(manifests.KindRevenue, e.Key); err != nil || c != e.Statement.Cid {
				t.Errorf("revenue %s by key %s: %s, %v", e.Statement, e.Key, c, err)
			}
		case fold.AddAgreement:
			g, err := v.Agreement(e.Statement.Cid)
			want, _, _ := s.Agreement(e.Statement.Cid)
			w, _, _ := s.Work(e.Work)
			if err != nil || g.Index != a.index || g.Complete != want.Complete || g.From != want.From || g.Stale != (!g.Complete && w.Agreement != e.Supersedes.Cid) {
				t.Errorf("agreement %s: %+v, %v, want %+v", e.Statement, g, err, want)
			}
			if p, err := fold.PartiesTo(s, e); err == nil && !g.Complete && !g.Stale {
				missing := slices.DeleteFunc(p.Must, func(id sign.KeyID) bool { ok, _ := s.Signed(e.Statement.Cid, id); return ok })
				if !slices.Equal(g.Missing, missing) || len(missing) == 0 {
					t.Errorf("agreement %s lacks %v, want %v", e.Statement, g.Missing, missing)
				}
			}
		case fold.SetPayee:
			p, err := v.Payee(e.Identity, "9999-12")
			if err != nil || p.Effect.Identity != e.Identity || p.Index < a.index {
				t.Errorf("payee %s: %+v, %v", e.Identity, p, err)
			}
			if _, err := v.Payee(e.Identity, "2026-11"); !errors.Is(err, fault.NotFound) {
				t.Errorf("payee %s in the first period: %v", e.Identity, err)
			}
		case fold.AddPayoutResult:
			status, _, _ := s.PayoutResult(e.Payout.Cid, e.Index)
			rs, err := v.PayoutResults(e.Payout.Cid, uint64(e.Index))
			if err != nil || len(rs) == 0 || rs[0].Line != uint64(e.Index) || rs[0].Status != status {
				t.Errorf("line %d of payout %s: %+v, %v, want %s", e.Index, e.Payout, rs, err, status)
			}
		}
	}
	for c := range versions {
		is := func(o cjson.CID) bool { return o.Cid == c }
		d, err := v.Disputes(c)
		same(t, "disputes", d, err, find(all, func(e fold.AddDispute) bool { return is(e.Target) }))
		h, err := v.Resolutions(c)
		same(t, "resolutions", h, err, find(all, func(e fold.AddResolution) bool { return is(e.About) }))
		u, err := v.Usages(c)
		same(t, "usages", u, err, find(all, func(e fold.AddUsage) bool {
			return is(e.About) || slices.ContainsFunc(e.Inputs, func(in fold.Input) bool { return is(in.Statement) })
		}))
		want := find(all, func(e fold.AddRevenue) bool { return is(e.About) })
		var got []index.Revenue
		for after := uint64(0); ; {
			page, next, err := v.RevenueOf(c, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if after = next; next == 0 {
				break
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d payments of %s, want %d", len(got), c, len(want))
		}
		for i := range min(len(got), len(want)) {
			if got[i].Index != want[i].Index {
				t.Errorf("payment %d of %s is entry %d, want %d", i, c, got[i].Index, want[i].Index)
			}
		}
		if sh, err := v.SharesOf(c, "2027-02"); err != nil || len(sh.Shares) == 0 {
			t.Errorf("shares of %s: %+v, %v", c, sh, err)
		}
	}
	for w := range works {
		got, err := v.Agreements(w)
		want := find(all, func(e fold.AddAgreement) bool { return e.Work == w })
		if err != nil || len(got) != len(want) {
			t.Errorf("%d agreements on %s, %v, want %d", len(got), w, err, len(want))
		}
		for i := range min(len(got), len(want)) {
			if got[i].Index != want[i].Index || got[i].Statement != want[i].Effect.Statement {
				t.Errorf("agreement %d on %s: %+v, want %+v", i, w, got[i], want[i])
			}
		}
	}
	for _, p := range []string{"2026-11", "2026-12", "2027-01"} {
		a, err := v.Allocations(p, foldtest.Currency)
		same(t, "allocations", a, err, find(all, func(e fold.AddAllocation) bool { return e.Period == p && e.Currency == foldtest.Currency }))
	}
	o, err := v.Payouts()
	same(t, "payouts", o, err, find(all, func(fold.AddPayout) bool { return true }))
	for _, a := range find(all, func(fold.AddAllocation) bool { return true }) {
		c := a.Effect.Statement
		j, err := v.Adjustments(c.Cid)
		same(t, "adjustments", j, err, find(all, func(e fold.AddAdjustment) bool { return e.Allocation == c }))
	}
	g, err := v.Commits(foldtest.ID("ana"))
	same(t, "commits", g, err, find(all, func(e fold.AddCommit) bool { return e.Identity == foldtest.ID("ana") }))
	data := foldtest.RawCID("data of set-1 1.0.0")
	b, err := v.Attributions(data)
	same(t, "attributions", b, err, find(all, func(e fold.AddAttribution) bool { return e.Data.Cid == data }))

	periods, err := v.Periods()
	closings := find(all, func(fold.ClosePeriod) bool { return true })
	calendar, begun, _ := s.Calendar()
	if err != nil || begun && (len(periods) != len(closings)+1 || periods[len(periods)-1].Period != calendar.Open || periods[len(periods)-1].Closed != nil) {
		t.Errorf("periods %+v, %v, want %d and %s open", periods, err, len(closings)+1, calendar.Open)
	}
	for i, p := range periods[:max(0, len(periods)-1)] {
		if p.Closed == nil || *p.Closed != periods[i+1].Opened {
			t.Errorf("period %+v is followed by %+v", p, periods[i+1])
		}
	}
	cs, err := v.Currencies()
	if err != nil || begun && len(cs) == 0 {
		t.Errorf("currencies %+v, %v", cs, err)
	}
	for _, c := range cs {
		if want, ok, _ := s.Currency(c.Code); !ok || c.Currency != want {
			t.Errorf("currency %+v, want %+v", c, want)
		}
	}
}

// TestSharesOf follows the shares of versions through agreements.
func TestSharesOf(t *testing.T) {
	var w foldtest.World
	x, s := inMemory(t), fold.NewState(foldtest.Origin)
	add := func(b foldtest.Body) { apply(t, x, s, read([]foldtest.Body{b})) }
	add(foldtest.Log(manifests.New(w.Registry(1, "op")), "op"))
	version := func(v string, before, agreement cid.Cid, shares ...any) cid.Cid {
		c := w.Contribution("ana", "set", v)
		c.Contributors, c.Total = foldtest.Shares(shares...)
		c.Supersedes, c.Agreement = cjson.CID{Cid: before}, cjson.CID{Cid: agreement}
		st := foldtest.Version(c)
		add(foldtest.Log(st, "ana"))
		return foldtest.CID(st)
	}
	v1 := version("1.0.0", cid.Undef, cid.Undef, "ana", 1, "ben", 1)
	v2 := version("2.0.0", v1, cid.Undef, "ana", 3, "ben", 3)
	g := manifests.New(w.Agreement(foldtest.Work(v1), "2027-02", cid.Undef, "ana", 1, "ben", 3))
	add(foldtest.Log(g, "ben"))
	g1 := foldtest.CID(g)
	missing := func(want ...string) {
		t.Helper()
		err := x.View(func(v *index.Snapshot) error {
			a, err := v.Agreement(g1)
			var ids []sign.KeyID
			for _, n := range want {
				ids = append(ids, foldtest.ID(n))
			}
			if err != nil || !slices.Equal(a.Missing, ids) || a.Complete != (len(want) == 0) {
				t.Errorf("%+v, %v, want %v missing", a, err, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	missing("ana")
	add(foldtest.Log(g, "ana"))
	missing()
	v3 := version("3.0.0", v2, g1, "ana", 3, "ben", 3)
	v4 := version("4.0.0", v3, cid.Undef, "ana", 1, "ben", 18, "cem", 5)
	err := x.View(func(v *index.Snapshot) error {
		for _, c := range []struct {
			version cid.Cid
			period  string
			agreed  bool
			total   string
		}{
			{v1, "2027-01", false, "2"}, {v1, "2027-02", true, "4"}, {v2, "2027-01", false, "6"}, {v2, "2030-01", true, "4"},
			{v3, "2027-01", false, "6"}, {v3, "2027-02", true, "4"}, {v4, "2027-02", false, "24"},
		} {
			got, err := v.SharesOf(c.version, c.period)
			if err != nil || got.Total != c.total || got.Agreement.Defined() != c.agreed {
				t.Errorf("shares of %s in %s: %+v, %v, want %+v", c.version, c.period, got, err, c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLargestOfCredit: the largest version with edges and the largest agreement
// are one transaction each.
func TestLargestOfCredit(t *testing.T) {
	var w foldtest.World
	x, s := inMemory(t), fold.NewState(foldtest.Origin)
	bodies := []foldtest.Body{foldtest.Log(manifests.New(w.Registry(1, "op")), "op")}

	// 1,024 parents with a floor.
	ppm := make(map[cid.Cid]int)
	for i := range manifests.MaxReferences {
		c := w.Contribution("ana", fmt.Sprint("root-", i), "1.0.0")
		c.Rules = &manifests.Rules{Payment: &manifests.PaymentRules{RatePpm: 1, Stacking: "sum", FloorPpm: 1, ToDerived: true}}
		st := foldtest.Version(c)
		ppm[foldtest.CID(st)] = 1
		bodies = append(bodies, foldtest.Log(st, "ana"))
	}
	c := w.Contribution("ana", "wide", "1.0.0")
	foldtest.SetEdges(&c.Edges, &c.SelfWeight, &c.EdgeTotal, ppm)
	c.Contributors = nil
	for i := range manifests.MaxContributors {
		c.Contributors = append(c.Contributors, manifests.Share{ID: foldtest.ID(fmt.Sprint("p", i)), Weight: "1000000000000000"})
	}
	c.Total = "4096000000000000000"
	st := foldtest.Version(c)
	bodies = append(bodies, foldtest.Log(st, "ana"))

	// An agreement of as many as there may be, half of them new.
	a := w.Agreement(foldtest.Work(foldtest.CID(st)), "2027-01", cid.Undef)
	for i := range manifests.MaxShares {
		a.Shares = append(a.Shares, manifests.Share{ID: foldtest.ID(fmt.Sprint("p", i)), Weight: "1"})
	}
	a.Total = fmt.Sprint(len(a.Shares))
	agreement := manifests.New(a)
	bodies = append(bodies, foldtest.Log(agreement, "p0"))
	apply(t, x, s, read(bodies))
	check(t, x)
	err := x.View(func(v *index.Snapshot) error {
		g, err := v.Agreement(foldtest.CID(agreement))
		if err != nil || len(g.Shares) != manifests.MaxShares || len(g.Missing) != manifests.MaxShares-1 {
			t.Errorf("%d shares, %d missing, %v", len(g.Shares), len(g.Missing), err)
		}
		n, err := v.Version(foldtest.CID(st))
		if err != nil || len(n.Edges) != manifests.MaxReferences {
			t.Errorf("%d edges, %v", len(n.Edges), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
