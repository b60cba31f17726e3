package index_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

func view(t testing.TB, x *index.Index, fn func(s *index.Snapshot)) {
	t.Helper()
	if err := x.View(func(s *index.Snapshot) error { fn(s); return nil }); err != nil {
		t.Fatal(err)
	}
}

// all reads a query page by page.
func all(t testing.TB, s *index.Snapshot, q index.Query) []index.Dataset {
	t.Helper()
	out := []index.Dataset{}
	for {
		p, err := s.List(q)
		if err != nil {
			t.Fatal(err)
		}
		if p.Applied != s.Applied() {
			t.Fatalf("a page of %d applied in a snapshot of %d", p.Applied, s.Applied())
		}
		out = append(out, p.Datasets...)
		if p.Next == 0 {
			return out
		}
		q.After = p.Next
	}
}

func indexes(ds []index.Dataset) []uint64 {
	out := make([]uint64, len(ds))
	for i, d := range ds {
		out[i] = d.Index
	}
	return out
}

// TestListIsAFilter holds every query against a filter over all versions.
func TestListIsAFilter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := history(rapid.Uint64().Draw(rt, "seed"), 60)
		x, err := index.Open("", index.Options{Origin: foldtest.Origin, InMemory: true})
		if err != nil {
			rt.Fatal(err)
		}
		defer x.Close()
		out, err := x.Apply(t.Context(), 0, entries)
		if err != nil {
			rt.Fatal(err)
		}
		var want []uint64
		newest := make(map[string]uint64)
		for _, o := range out {
			for _, e := range o.Result.Effects {
				if v, ok := e.(fold.AddVersion); ok {
					want = append(want, o.Index)
					newest[string(v.Publisher)+"/"+v.Name] = o.Index
				}
			}
		}
		slices.Reverse(want)
		limit := rapid.IntRange(1, 5).Draw(rt, "limit")
		view(t, x, func(s *index.Snapshot) {
			every := all(t, s, index.Query{Limit: limit})
			if got := indexes(every); !slices.Equal(got, want) {
				t.Fatalf("all versions are %v, want %v", got, want)
			}
			hold := func(q index.Query, keep func(index.Dataset) bool) {
				t.Helper()
				var want []uint64
				for _, d := range every {
					if keep(d) {
						want = append(want, d.Index)
					}
				}
				q.Limit = limit
				if got := indexes(all(t, s, q)); !slices.Equal(got, want) {
					t.Errorf("%+v gives %v, want %v", q, got, want)
				}
			}
			hold(index.Query{Latest: true}, func(d index.Dataset) bool { return newest[string(d.Publisher)+"/"+d.Name] == d.Index })
			hold(index.Query{License: "mit"}, func(d index.Dataset) bool { return d.License == "MIT OR Apache-2.0" })
			hold(index.Query{License: "MIT OR Apache-2.0"}, func(d index.Dataset) bool { return d.License == "MIT OR Apache-2.0" })
			hold(index.Query{Keyword: "Set"}, func(d index.Dataset) bool { return len(d.Keywords) > 0 })
			hold(index.Query{Keyword: "nowhere"}, func(index.Dataset) bool { return false })
			for _, who := range []string{"ana", "ben", "cem"} {
				id := foldtest.ID(who)
				listed := func(d index.Dataset) bool {
					return slices.ContainsFunc(d.Contributors, func(c index.Contributor) bool { return c.ID == id })
				}
				hold(index.Query{Contributor: id}, listed)
				hold(index.Query{Publisher: id}, func(d index.Dataset) bool { return d.Publisher == id })
				hold(index.Query{Publisher: id, Name: "set-1"}, func(d index.Dataset) bool { return d.Publisher == id && d.Name == "set-1" })
				hold(index.Query{Contributor: id, License: "CC-BY-4.0", Name: "set-2"}, func(d index.Dataset) bool {
					return listed(d) && d.License == "CC-BY-4.0" && d.Name == "set-2"
				})
			}
			for _, d := range every {
				sameRoot := func(o index.Dataset) bool { return o.Root == d.Root }
				hold(index.Query{Root: cid.NewCidV1(cid.DagProtobuf, d.Root.Hash())}, sameRoot)
				hold(index.Query{Manifest: d.Manifest.Cid}, func(o index.Dataset) bool { return o.Manifest == d.Manifest })
				for _, src := range d.Sources {
					name := src.URL
					if src.Statement.Defined() {
						name = src.Statement.String()
					} else if src.CID.Defined() {
						name = src.CID.String()
					}
					hold(index.Query{Source: name}, func(o index.Dataset) bool { return slices.Contains(o.Sources, src) || named(o, src) })
				}
				lineage(t, s, every, d)
			}
		})
	})
}

// named reports whether o has the target of src, under any relation.
func named(o index.Dataset, src index.Source) bool {
	return slices.ContainsFunc(o.Sources, func(s index.Source) bool {
		return s.Statement == src.Statement && s.CID == src.CID && s.URL == src.URL
	})
}

// lineage checks that parents and children are each other's inverse.
func lineage(t testing.TB, s *index.Snapshot, every []index.Dataset, d index.Dataset) {
	t.Helper()
	parents, err := s.Parents(d.Statement.Cid)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parents {
		if p.Dataset.Index >= d.Index {
			t.Errorf("a parent of %d is %d", d.Index, p.Dataset.Index)
		}
		var found []string
		after := uint64(0)
		for {
			children, next, err := s.Children(p.Dataset.Statement.Cid, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range children {
				if c.Dataset.Index == d.Index {
					found = append(found, c.Rel)
				}
			}
			if after = next; next == 0 {
				break
			}
		}
		if !slices.Contains(found, p.Rel) {
			t.Errorf("%d has the parent %d as %s, which has the child as %v", d.Index, p.Dataset.Index, p.Rel, found)
		}
	}
}

func TestLookups(t *testing.T) {
	var w foldtest.World
	var bodies []foldtest.Body
	log := func(b foldtest.Body) uint64 { bodies = append(bodies, b); return uint64(len(bodies) - 1) }
	registry := manifests.New(w.Registry(1, "op"))
	log(foldtest.Log(registry, "op"))
	c1 := w.Contribution("ana", "iris", "1.0.0")
	c1.Contributors = append(c1.Contributors, manifests.Share{ID: foldtest.ID("ben"), Weight: "2"})
	c1.Total = "3"
	v1 := foldtest.Version(c1)
	i1 := log(foldtest.Log(v1, "ana"))
	c2 := w.Contribution("ana", "iris", "1.1.0")
	c2.Supersedes = cjson.CID{Cid: foldtest.CID(v1)}
	c2.Contributors, c2.Total = c1.Contributors, c1.Total
	v2 := foldtest.Version(c2)
	i2 := log(foldtest.Log(v2, "ana"))
	i3 := log(foldtest.Log(v1, "ben"))
	iHandle := log(foldtest.Log(manifests.New(w.Profile("ana", "ana")), "ana"))
	log(foldtest.Log(manifests.New(w.Profile("ana", "ana-b")), "ana"))
	stale := foldtest.Version(w.Contribution("ana", "iris", "1.2.0"))
	iStale := log(foldtest.Log(stale, "ana"))
	iAtt := log(foldtest.Log(manifests.New(w.Attestation("eve", foldtest.CID(v1))), "eve"))
	iFirst := log(foldtest.Log(manifests.New(w.FirstKey("eve")), "eve"))
	iRevoke := log(foldtest.Log(manifests.New(w.Revoke("eve")), "eve"))

	x := inMemory(t)
	apply(t, x, fold.NewState(foldtest.Origin), read(bodies))
	view(t, x, func(s *index.Snapshot) {
		st, err := s.Statement(foldtest.CID(v1))
		if err != nil || st.Index != i1 || st.Verdict != fold.Accepted || st.Kind != "contribution/v1" {
			t.Errorf("statement: %+v, %v", st, err)
		}
		signers := []index.Signer{{ID: foldtest.ID("ana"), Index: i1}, {ID: foldtest.ID("ben"), Index: i3}}
		slices.SortFunc(signers, func(a, b index.Signer) int { return compare(a.ID, b.ID) })
		if !slices.Equal(st.Signers, signers) {
			t.Errorf("signers %v, want %v", st.Signers, signers)
		}
		d, err := s.Dataset(foldtest.CID(v1))
		if err != nil || d.Seq != 1 || d.Work != "wk:"+foldtest.CID(v1).String() || !d.Contributors[0].Signed || !d.Contributors[1].Signed || d.Title != "The iris" || d.Bytes != 1234 {
			t.Errorf("dataset: %+v, %v", d, err)
		}
		d, err = s.ByName(foldtest.ID("ana"), "iris")
		if err != nil || d.Index != i2 || d.Seq != 2 || d.Work != "wk:"+foldtest.CID(v1).String() {
			t.Errorf("newest: %+v, %v", d, err)
		}
		d, err = s.ByVersion(foldtest.ID("ana"), "iris", "1.0.0")
		if err != nil || d.Index != i1 {
			t.Errorf("version: %+v, %v", d, err)
		}
		h, err := s.History(foldtest.ID("ana"), "iris", 0, 0)
		if err != nil || !slices.Equal(indexes(h.Datasets), []uint64{i2, i1}) {
			t.Errorf("history: %v, %v", indexes(h.Datasets), err)
		}
		h, err = s.History(foldtest.ID("ana"), "iris", i2, 1)
		if err != nil || !slices.Equal(indexes(h.Datasets), []uint64{i1}) {
			t.Errorf("older history: %v, %v", indexes(h.Datasets), err)
		}
		roots, err := s.ByRoot(d.Root.Cid)
		if err != nil || !slices.Equal(indexes(roots), []uint64{i1}) {
			t.Errorf("by root: %v, %v", indexes(roots), err)
		}
		e, err := s.Envelope(st.Envelope.Cid)
		if err != nil || e.Index != i1 || e.Verdict != fold.Accepted {
			t.Errorf("envelope: %+v, %v", e, err)
		}
		e, err = s.Entry(iStale)
		if err != nil || e.Verdict != fold.Rejected || e.Code != fold.Stale || e.Statement.Cid != foldtest.CID(stale) {
			t.Errorf("entry: %+v, %v", e, err)
		}
		if st, err := s.Statement(foldtest.CID(stale)); err != nil || st.Code != fold.Stale || len(st.Signers) != 0 {
			t.Errorf("rejected statement: %+v, %v", st, err)
		}
		for _, handle := range []string{"ana", "ana-b"} {
			p, err := s.ByHandle(handle)
			if err != nil || p.Identity != foldtest.ID("ana") || p.Handle != "ana-b" || p.Name != "Name of ana" || p.Index != iHandle+1 {
				t.Errorf("handle %s: %+v, %v", handle, p, err)
			}
		}
		atts, err := s.Attestations(foldtest.CID(v1))
		if err != nil || len(atts) != 1 || atts[0].Index != iAtt || atts[0].Result != "holds" {
			t.Errorf("attestations: %+v, %v", atts, err)
		}
		keys, _, err := s.KeyEvents(foldtest.ID("eve"), nil, 0)
		if err != nil || len(keys) != 2 || keys[0].Index != iFirst || keys[0].Op != "first" || keys[1].Index != iRevoke || keys[1].Op != "revoke" {
			t.Errorf("key events: %+v, %v", keys, err)
		}
		reg, err := s.Registry()
		if err != nil || reg.Index != 0 || reg.Statement.Cid != foldtest.CID(registry) || reg.OperatorThreshold != 1 {
			t.Errorf("registry: %+v, %v", reg, err)
		}
		v, err := s.Fold()
		if err != nil {
			t.Fatal(err)
		}
		late := foldtest.Log(foldtest.Version(w.Contribution("eve", "late", "1.0.0")), "eve")
		if r, err := fold.Apply(v, foldtest.Origin, s.Applied(), late.Leaf, late.Envelope); err != nil || r.Code != fold.KeyRevoked {
			t.Errorf("before it is logged: %+v, %v", r, err)
		}

		nothing := foldtest.RawCID("nothing")
		for name, ask := range map[string]func() error{
			"entry":            func() error { _, err := s.Entry(1000); return err },
			"statement":        func() error { _, err := s.Statement(nothing); return err },
			"envelope":         func() error { _, err := s.Envelope(nothing); return err },
			"dataset":          func() error { _, err := s.Dataset(nothing); return err },
			"rejected dataset": func() error { _, err := s.Dataset(foldtest.CID(stale)); return err },
			"no dataset":       func() error { _, err := s.Dataset(foldtest.CID(registry)); return err },
			"name":             func() error { _, err := s.ByName(foldtest.ID("ben"), "iris"); return err },
			"odd name":         func() error { _, err := s.ByName(foldtest.ID("ben"), "a\x00b"); return err },
			"version":          func() error { _, err := s.ByVersion(foldtest.ID("ana"), "iris", "9.9.9"); return err },
			"odd version":      func() error { _, err := s.ByVersion("\x00", "\x00", "\x00"); return err },
			"history":          func() error { _, err := s.History(foldtest.ID("ana"), "other", 0, 0); return err },
			"handle":           func() error { _, err := s.ByHandle("\x00"); return err },
			"profile":          func() error { _, err := s.Profile(foldtest.ID("ben")); return err },
			"parents":          func() error { _, err := s.Parents(nothing); return err },
			"children":         func() error { _, _, err := s.Children(nothing, 0, 0); return err },
		} {
			if err := ask(); !errors.Is(err, fault.NotFound) {
				t.Errorf("%s: %v, want not-found", name, err)
			}
		}
		for _, n := range []int{-1, index.MaxLimit + 1} {
			if _, err := s.List(index.Query{Limit: n}); !errors.Is(err, fault.Invalid) {
				t.Errorf("limit %d: %v", n, err)
			}
		}
	})
	view(t, inMemory(t), func(s *index.Snapshot) {
		if _, err := s.Registry(); !errors.Is(err, fault.NotFound) {
			t.Errorf("the registry of an empty log: %v", err)
		}
		if p, err := s.List(index.Query{}); err != nil || len(p.Datasets) != 0 {
			t.Errorf("the list of an empty log: %v, %v", p, err)
		}
	})
}

func compare(a, b sign.KeyID) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}
