package fold_test

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// judged returns the results of the scenario's entries so far.
func (s *scenario) judged() []fold.Result {
	state := fold.NewState(foldtest.Origin)
	var out []fold.Result
	for _, b := range s.bodies {
		out = append(out, state.Apply(fold.Read(b.Leaf, b.Envelope)))
	}
	return out
}

// standing goes on with a log that knows op3 as its only operator: acceptances,
// withdrawals, tombstones, and what follows from them.
func (s *scenario) standing() {
	none := cid.Undef
	nothing := foldtest.RawCID("nothing")

	gated := s.contribution("mia", "fenced", "1.0.0", none)
	gated.Terms = foldtest.JSONCID("gated terms")
	gated.Rules = &manifests.Rules{Accept: "bytes", OnWithdraw: "hold", Revocable: true}
	share(gated, "noa")
	g1 := s.version(ok, gated, "mia")

	// Acceptances: the party's word, which its fetchers share until a newer one.
	s.predicate(code(fold.UnexpectedSigner), s.Accept("ted", "gated terms"), "ted", "uma")
	s.predicate(code(fold.UnexpectedSigner), s.Accept("ted", "gated terms"), "uma")
	s.predicate(ok, s.Usage("ted", g1), "ted") // unaccepted
	s.predicate(ok, s.Accept("ted", "gated terms", "uma", "vic"), "ted")
	s.predicate(ok, s.Usage("ted", g1), "ted")
	s.predicate(ok, s.Metered("uma", g1), "uma")
	s.predicate(ok, s.Accept("ted", "gated terms", "vic"), "ted")
	s.predicate(ok, s.Metered("uma", g1), "uma") // unaccepted again
	s.predicate(ok, s.Accept("ted", "terms that nobody has"), "ted")

	// Withdrawals: the publisher's ends the offer, a contributor's is a flag.
	s.predicate(code(fold.Reference), s.Withdraw("mia", nothing), "mia")
	s.predicate(code(fold.Reference), s.Withdraw("mia", foldtest.CID(manifests.New(s.early))), "mia")
	s.predicate(code(fold.NotPublisher), s.Withdraw("ted", g1), "ted")
	s.predicate(code(fold.UnexpectedSigner), s.Withdraw("mia", g1), "noa")
	s.predicate(ok, s.Withdraw("noa", g1), "noa")
	s.predicate(ok, s.Usage("ted", g1), "ted") // flagged is not withdrawn
	s.predicate(ok, s.Withdraw("mia", g1), "mia")
	s.predicate(ok, s.Withdraw("mia", g1), "mia")
	s.predicate(ok, s.Usage("ted", g1), "ted") // after the withdrawal
	derived := s.contribution("noa", "drawn", "1.0.0", none)
	derived.Sources = []manifests.Source{{Rel: manifests.FilteredFrom, Statement: cjson.CID{Cid: g1}}}
	d1 := s.version(ok, edged(derived, map[cid.Cid]int{g1: 100_000}), "noa")

	// A pool is a version.
	pooled := s.contribution("mia", "pooled", "1.0.0", none)
	pooled.Rules = pays(0, 0, 0)
	pooled.Rules.OnWithdraw, pooled.Rules.Payment.Pool, pooled.Rules.Payment.PoolPpm = "pool", cjson.CID{Cid: nothing}, 1
	s.version(code(fold.Reference), pooled, "mia")
	pooled = s.contribution("mia", "pooled", "1.0.0", none)
	pooled.Rules = pays(0, 0, 0)
	pooled.Rules.OnWithdraw, pooled.Rules.Payment.Pool, pooled.Rules.Payment.PoolPpm = "pool", cjson.CID{Cid: d1}, 1
	p1 := s.version(ok, pooled, "mia")
	s.predicate(ok, s.Withdraw("mia", p1), "mia")

	// Tombstones: the operators', and true.
	at := len(s.bodies) - 1
	results := s.judged()
	tomb := func(i int, change func(*manifests.Tombstone)) *manifests.Tombstone {
		t := s.Tombstone(i, s.bodies[i], results[i])
		if change != nil {
			change(t)
		}
		return t
	}
	s.predicate(code(fold.UnexpectedSigner), tomb(at, nil), "mia")
	s.predicate(code(fold.Reference), tomb(at, func(t *manifests.Tombstone) { t.Index = 1_000_000 }), "op3")
	s.predicate(code(fold.Reference), tomb(at, func(t *manifests.Tombstone) { t.Index-- }), "op3")
	s.predicate(code(fold.Reference), tomb(at, func(t *manifests.Tombstone) { t.Statement = cjson.CID{Cid: nothing} }), "op3")
	s.predicate(code(fold.Mismatch), tomb(at, func(t *manifests.Tombstone) { t.Leaf = proofHash("another leaf") }), "op3")
	s.predicate(code(fold.Mismatch), tomb(at, func(t *manifests.Tombstone) { t.Effects = t.Effects[:min(1, len(t.Effects))] }), "op3")
	s.predicate(code(fold.Mismatch), tomb(at, func(t *manifests.Tombstone) { t.Effects = append(t.Effects, json.RawMessage(`{"op":"unheardOf"}`)) }), "op3")
	s.predicate(code(fold.Mismatch), tomb(at, func(t *manifests.Tombstone) {
		t.Verdict, t.Code, t.Effects = "rejected", string(fold.Malformed), nil
	}), "op3")
	s.predicate(ok, tomb(at, func(t *manifests.Tombstone) { t.Reason = manifests.ErasePersonalData }), "op3")
	s.predicate(ok, tomb(at, nil), "op3")
	for i, r := range results { // a rejection and a duplicate can be erased too
		if r.Verdict != fold.Accepted && r.Code != fold.NoRegistry && r.Code != fold.MalformedLeaf && len(s.bodies[i].Leaf) > 0 {
			s.predicate(ok, tomb(i, nil), "op3")
			if r.Verdict == fold.Duplicate {
				break
			}
		}
	}
	registry := &manifests.Tombstone{Common: s.Common(), Statement: cjson.CID{Cid: nothing}, Index: 5, Leaf: proofHash("x"), Verdict: "accepted",
		Effects: []json.RawMessage{json.RawMessage(`{"op":"setRegistry"}`)}}
	s.predicate(code(fold.Reference), registry, "op3")
}

// proofHash is 64 hex digits of a text.
func proofHash(text string) string { return hex.EncodeToString(foldtest.RawCID(text).Hash()[2:]) }

// TestMarks holds what uses and versions say of acceptance and withdrawal.
func TestMarks(t *testing.T) {
	s := newScenario()
	s.predicate(ok, s.Registry(1, "op3"), "op3")
	s.early = s.Profile("ana", "")
	s.predicate(ok, s.early, "ana")
	s.standing()
	s.check(t, s.state, 0)
	var unaccepted, after []bool
	var nodes int
	for _, r := range s.judged() {
		for _, e := range r.Effects {
			switch e := e.(type) {
			case fold.AddUsage:
				unaccepted = append(unaccepted, len(e.Unaccepted) == 1)
				after = append(after, len(e.AfterWithdrawal) == 1)
			case fold.AddVersion:
				if len(e.AfterWithdrawal) > 0 {
					nodes++
				}
			case fold.AddWithdrawal:
				if e.Flag == (e.From != "") {
					t.Errorf("withdrawal %+v", e)
				}
			}
		}
	}
	if want := []bool{true, false, false, true, false, false}; !slices.Equal(unaccepted, want) {
		t.Errorf("unaccepted: %v, want %v", unaccepted, want)
	}
	if want := []bool{false, false, false, false, false, true}; !slices.Equal(after, want) {
		t.Errorf("after a withdrawal: %v, want %v", after, want)
	}
	if nodes != 1 {
		t.Errorf("%d versions are after a withdrawal, want 1", nodes)
	}
}

// TestReplayWithoutBodies takes bodies away for which there is a tombstone, and
// reaches the same digest at every size.
func TestReplayWithoutBodies(t *testing.T) {
	erased := make(map[fold.Verdict]int)
	for seed := range uint64(8) {
		w := &foldtest.World{}
		bodies := foldtest.Random(rand.New(rand.NewPCG(seed, 3)), 120)
		state := fold.NewState(foldtest.Origin)
		var results []fold.Result
		for _, b := range bodies {
			results = append(results, state.Apply(fold.Read(b.Leaf, b.Envelope)))
		}
		for range 400 { // nonces that no other statement has
			w.Common()
		}
		stones := make(map[int]*manifests.Tombstone)
		for i, r := range results {
			stone, err := fold.NewTombstone(uint64(i), bodies[i].Leaf, r)
			if i == 0 || err != nil {
				continue
			}
			stone.Common = w.Common()
			b := foldtest.Log(manifests.New(stone), "op")
			if state.Apply(fold.Read(b.Leaf, b.Envelope)).Verdict == fold.Accepted {
				stones[i] = stone
				erased[r.Verdict]++
			}
			bodies = append(bodies, b)
		}
		with, without := fold.NewState(foldtest.Origin), fold.NewState(foldtest.Origin)
		for i, b := range bodies {
			want := with.Apply(fold.Read(b.Leaf, b.Envelope))
			e := fold.Read(b.Leaf, b.Envelope)
			if stone := stones[i]; stone != nil {
				var err error
				if e, err = fold.Erased(uint64(i), b.Leaf, foldtest.CID(manifests.New(stone)), stone); err != nil {
					t.Fatalf("seed %d: entry %d: %v", seed, i, err)
				}
				if _, err := fold.Erased(uint64(i+1), b.Leaf, cid.Undef, stone); fault.Of(err) != fault.Unverified {
					t.Fatalf("a tombstone stands for another entry: %v", err)
				}
			}
			got := without.Apply(e)
			if string(got.Encode()) != string(want.Encode()) || with.Digest() != without.Digest() {
				t.Fatalf("seed %d: entry %d: %s without its body, %s with it", seed, i, got.Encode(), want.Encode())
			}
			if kind := fold.Read(b.Leaf, b.Envelope).Kind(); e.Kind() != kind && want.Decides() {
				t.Fatalf("seed %d: entry %d is of kind %q without its body, %q with it", seed, i, e.Kind(), kind)
			}
		}
	}
	for _, v := range []fold.Verdict{fold.Accepted, fold.Rejected, fold.Duplicate} {
		if erased[v] == 0 {
			t.Errorf("no %s entry was erased", v)
		}
	}
}
