package index_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
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

// TestErasedRows: a replay without the bodies that have a tombstone ends with
// the same rows and digest as one with them, and nothing of their text is left.
func TestErasedRows(t *testing.T) {
	erased := 0
	for seed := range uint64(8) {
		bodies := foldtest.Random(rand.New(rand.NewPCG(seed, 4)), 120)
		state := fold.NewState(foldtest.Origin)
		var results []fold.Result
		for _, b := range bodies {
			results = append(results, state.Apply(fold.Read(b.Leaf, b.Envelope)))
		}
		w := &foldtest.World{}
		for range 400 {
			w.Common()
		}
		entries := read(bodies)
		without := slices.Clone(entries)
		var stones []*fold.Entry
		before := erased
		for i, r := range results {
			stone, err := fold.NewTombstone(uint64(i), bodies[i].Leaf, r)
			if i == 0 || err != nil {
				continue
			}
			stone.Common = w.Common()
			st := manifests.New(stone)
			b := foldtest.Log(st, "op")
			e := fold.Read(b.Leaf, b.Envelope)
			if state.Apply(e).Verdict == fold.Accepted {
				if without[i], err = fold.Erased(uint64(i), bodies[i].Leaf, foldtest.CID(st), stone); err != nil {
					t.Fatal(err)
				}
				erased++
			}
			stones = append(stones, e)
		}
		x, y := inMemory(t), inMemory(t)
		apply(t, x, fold.NewState(foldtest.Origin), append(entries, stones...))
		s := fold.NewState(foldtest.Origin)
		apply(t, y, s, without)
		waiting := func() (n int) {
			if err := y.View(func(v *index.Snapshot) error {
				list, err := v.StandIns()
				n = len(list)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if erased > before && waiting() == 0 {
			t.Error("nothing waits for its tombstone")
		}
		apply(t, y, s, stones)
		check(t, x)
		check(t, y)
		if n := waiting(); n != 0 {
			t.Errorf("%d entries wait for tombstones that are applied", n)
		}
		got, want := dump(t, y), dump(t, x)
		if got != want {
			a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Fatalf("seed %d: row %d\n%s\nwith the bodies\n%s", seed, i, a[i], b[i])
				}
			}
			t.Fatalf("seed %d: %d rows, and %d with the bodies", seed, len(a), len(b))
		}
	}
	if erased < 50 {
		t.Errorf("only %d entries were erased", erased)
	}
}

// TestWrongStandIn: a replay that took the word of a tombstone that the log then
// rejects ends there, and a lie is rejected by whoever has the body.
func TestWrongStandIn(t *testing.T) {
	var w foldtest.World
	reg := foldtest.Log(manifests.New(w.Registry(1, "op")), "op")
	lost := foldtest.Log(foldtest.Version(w.Contribution("ana", "iris", "1.0.0")), "ana")
	lie := w.Tombstone(1, lost, fold.Result{Verdict: fold.Rejected, Code: fold.Malformed})
	body := foldtest.Log(manifests.New(lie), "op")
	s := fold.NewState(foldtest.Origin)
	for _, b := range []foldtest.Body{reg, lost} {
		s.Apply(fold.Read(b.Leaf, b.Envelope))
	}
	if r := s.Apply(fold.Read(body.Leaf, body.Envelope)); r.Code != fold.Mismatch {
		t.Fatalf("the lie is %v", r)
	}

	foreign := *lie
	foreign.Registry = "elsewhere.example/log" // the log rejects it
	st := manifests.New(&foreign)
	e, err := fold.Erased(1, lost.Leaf, foldtest.CID(st), &foreign)
	if err != nil {
		t.Fatal(err)
	}
	body = foldtest.Log(st, "op")
	x := inMemory(t)
	out, err := x.Apply(context.Background(), 0, []*fold.Entry{read([]foldtest.Body{reg})[0], e, fold.Read(body.Leaf, body.Envelope)})
	if !errors.Is(err, fault.Unverified) || len(out) != 0 {
		t.Errorf("%d entries are applied, %v; want the end of the replay", len(out), err)
	}
}

// TestStanding asks what acceptances, withdrawals and tombstones say.
func TestStanding(t *testing.T) {
	var w foldtest.World
	var bodies []foldtest.Body
	log := func(p manifests.Predicate, signers ...string) cid.Cid {
		st := manifests.New(p)
		bodies = append(bodies, foldtest.Log(st, signers...))
		return foldtest.CID(st)
	}
	version := func(who, name string) (cid.Cid, cid.Cid) {
		st := foldtest.Version(w.Contribution(who, name, "1.0.0"))
		bodies = append(bodies, foldtest.Log(st, who))
		root, err := st.SubjectCID()
		if err != nil {
			t.Fatal(err)
		}
		return foldtest.CID(st), root
	}
	log(w.Registry(1, "op"), "op")
	first, root := version("ana", "iris") // its root follows from the name
	second, _ := version("ben", "iris")
	log(w.Accept("cem", "terms", "dua"), "cem")
	log(w.Accept("eve", "terms"), "eve")
	newest := log(w.Accept("cem", "terms", "fox"), "cem")
	log(w.Accept("cem", "others"), "cem")
	withdrawal := log(w.Withdraw("ana", first), "ana")

	x := inMemory(t)
	s := fold.NewState(foldtest.Origin)
	apply(t, x, s, read(bodies))
	view := func(fn func(v *index.Snapshot) error) {
		t.Helper()
		if err := x.View(fn); err != nil {
			t.Fatal(err)
		}
	}
	view(func(v *index.Snapshot) error {
		for who, want := range map[string]bool{"cem": true, "eve": true, "fox": true, "dua": false, "ana": false} {
			a, err := v.Acceptance(foldtest.JSONCID("terms").Cid, foldtest.ID(who))
			if (err == nil) != want || err != nil && !errors.Is(err, fault.NotFound) {
				t.Errorf("%s: %+v, %v", who, a, err)
			}
			if who == "fox" && (a.Statement.Cid != newest || a.Party != foldtest.ID("cem")) {
				t.Errorf("fox fetches by %+v", a)
			}
		}
		var parties []sign.KeyID
		for after, n := sign.KeyID(""), 0; n < 5; n++ {
			page, next, err := v.Acceptances(foldtest.JSONCID("terms").Cid, after, 1)
			if err != nil || len(page) != 1 {
				t.Fatalf("a page of %d, %v", len(page), err)
			}
			parties = append(parties, page[0].Party)
			if after = next; next == "" {
				break
			}
		}
		if want := slices.Sorted(slices.Values([]sign.KeyID{foldtest.ID("cem"), foldtest.ID("eve")})); !slices.Equal(parties, want) {
			t.Errorf("parties %v, want %v", parties, want)
		}
		by, err := v.AcceptancesBy(foldtest.ID("cem"))
		if err != nil || len(by) != 2 || by[1].Statement.Cid != newest {
			t.Errorf("cem has accepted %+v, %v", by, err)
		}
		g, gone, err := v.Gone(first)
		if err != nil || !gone || g.Statement.Cid != withdrawal || g.Erased {
			t.Errorf("the first is %+v, %t, %v", g, gone, err)
		}
		if _, gone, err := v.Gone(second); gone || err != nil {
			t.Errorf("the second is gone: %v", err)
		}
		if _, gone, err := v.GoneRoot(root); gone || err != nil {
			t.Errorf("a root that somebody offers is gone: %v", err)
		}
		if _, gone, err := v.GoneRoot(foldtest.RawCID("never")); gone || err != nil {
			t.Errorf("a root that nobody offered is gone: %v", err)
		}
		return nil
	})

	// Erase the second.
	state := fold.NewState(foldtest.Origin)
	var results []fold.Result
	for _, e := range read(bodies) {
		results = append(results, state.Apply(e))
	}
	stone := w.Tombstone(2, bodies[2], results[2])
	stone.Reason = manifests.EraseLegalOrder
	n := len(bodies)
	tomb := log(stone, "op")
	apply(t, x, s, read(bodies[n:]))
	view(func(v *index.Snapshot) error {
		g, gone, err := v.Gone(second)
		if err != nil || !gone || !g.Erased || g.Statement.Cid != tomb || g.Reason != manifests.EraseLegalOrder {
			t.Errorf("the second is %+v, %t, %v", g, gone, err)
		}
		if g, gone, err := v.GoneRoot(root); !gone || err != nil || g.Statement.Cid != tomb {
			t.Errorf("the root is %+v, %t, %v", g, gone, err)
		}
		for _, c := range []struct {
			what string
			cid  cid.Cid
			gone bool
		}{
			{"an erased statement", second, true}, {"a withdrawn statement", first, false}, {"data that nobody offers", root, true},
			{"an erased envelope", cjson.RawCID(bodies[2].Envelope), true}, {"a withdrawn envelope", cjson.RawCID(bodies[1].Envelope), false},
			{"a manifest of a version that is withdrawn and one that is erased", foldtest.JSONCID("manifest of iris 1.0.0").Cid, false},
			{"nothing", foldtest.RawCID("nothing"), false},
		} {
			g, gone, err := v.GoneCID(c.cid)
			if err != nil || gone != c.gone || gone && g.Statement.Cid != tomb {
				t.Errorf("%s: %+v, %t, %v", c.what, g, gone, err)
			}
		}
		d, err := v.Dataset(second)
		if err != nil || d.Title != "" || d.License != "" || d.Name != "iris" {
			t.Errorf("an erased version: %+v, %v", d, err)
		}
		for _, q := range []index.Query{{License: "CC-BY-4.0"}, {Keyword: "weather"}} {
			p, err := v.List(q)
			if err != nil || len(p.Datasets) != 1 {
				t.Errorf("%+v finds %d, %v", q, len(p.Datasets), err)
			}
		}
		return nil
	})
	check(t, x)
}
