package fold_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// rotation adds the life of two identities whose keys change.
func (s *scenario) rotation() {
	none := cid.Undef
	v1 := s.version(ok, s.contribution("kim", "sand", "1.0.0", none), "kim")
	s.predicate(ok, s.Profile("kim", "kim"), "kim")
	team := s.contribution("ana", "crew", "1.0.0", none)
	share(team, "kim")
	s.version(ok, team, "ana")

	// Both keys sign, and nobody else.
	turn := s.Rotate("kim", "kim2")
	s.predicate(code(fold.MissingSignature), turn, "kim")
	s.predicate(code(fold.MissingSignature), turn, "kim2")
	s.predicate(code(fold.UnexpectedSigner), turn, "kim", "kim2", "ana")
	s.predicate(code(fold.UnexpectedSigner), turn, "ana", "kim2")
	s.predicate(code(fold.KeyExists), s.Rotate("kim", "ana"), "ana", "kim")    // an identity
	s.predicate(code(fold.KeyExists), s.Rotate("kim", "eve"), "eve", "kim")    // a revoked one
	s.predicate(code(fold.KeyRevoked), s.Rotate("eve", "eve2"), "eve", "eve2") // of a revoked one
	turn.Next = manifests.KeyDigest(foldtest.ID("kim3"))
	s.predicate(ok, turn, "kim", "kim2")
	s.predicate(dup, turn, "kim", "kim2")

	// The old key signs nothing more, the new one everything.
	s.version(code(fold.KeyReplaced), s.contribution("kim", "sand", "1.1.0", v1), "kim")
	s.predicate(code(fold.KeyReplaced), s.Profile("kim", "other"), "kim")
	s.predicate(code(fold.KeyReplaced), s.Rotate("kim", "kim9"), "kim", "kim9")
	s.predicate(code(fold.KeyReplaced), s.Revoke("kim"), "kim")
	s.predicate(code(fold.KeyExists), s.FirstKey("kim"), "kim2")
	s.version(code(fold.KeyReplaced), team, "ana", "kim")
	s.version(ok, team, "ana", "kim2")
	s.version(dup, team, "kim2")
	s.version(dup, team, "kim") // kim has signed: nothing is added, whatever the key
	v2 := s.version(ok, s.contribution("kim", "sand", "1.1.0", v1), "kim2")
	s.predicate(ok, s.Profile("kim", "kim"), "kim2")
	s.predicate(code(fold.HandleTaken), s.Profile("ana", "kim"), "ana")

	// A later key is nobody's name.
	s.version(code(fold.UnexpectedSigner), s.contribution("kim2", "set", "1.0.0", none), "kim2")
	s.predicate(code(fold.UnexpectedSigner), s.FirstKey("kim2"), "kim2")
	wrong := s.contribution("ana", "wrong", "1.0.0", none)
	share(wrong, "kim2")
	s.version(code(fold.LaterKey), wrong, "ana")
	s.version(dup, wrong, "ana")
	s.predicate(code(fold.LaterKey), s.Accept("ana", "terms", "kim2"), "ana")

	// Whom others named first, and who then became a key of kim, is kept by the work
	// that has had her, and taken into no other; she cannot sign for her old name.
	listed := s.contribution("ana", "listed", "1.0.0", none)
	share(listed, "kim3")
	l1 := s.version(ok, listed, "ana")
	s.predicate(ok, s.Accept("ben", "terms", "kim3"), "ben")

	// The announced key follows, and no other; none comes back.
	s.predicate(code(fold.NextKey), s.Rotate("kim", "kim4"), "kim2", "kim4")
	back := s.Revoke("kim")
	back.Op, back.Key = manifests.KeyRotate, foldtest.ID("kim2")
	s.predicate(code(fold.MissingSignature), back, "kim2") // to itself
	s.predicate(ok, s.Rotate("kim", "kim3"), "kim2", "kim3")
	s.predicate(code(fold.KeyExists), back, "kim2", "kim3") // back to the one before
	s.predicate(code(fold.KeyReplaced), s.Rotate("kim", "kim5"), "kim2", "kim5")

	s.version(code(fold.UnexpectedSigner), listed, "ana", "kim3")
	again := s.contribution("ana", "listed", "1.1.0", l1)
	share(again, "kim3")
	l2 := s.version(ok, again, "ana")
	s.version(code(fold.Consent), s.contribution("ana", "listed", "1.2.0", l2), "ana")
	a1 := s.made(ok, s.Agreement(foldtest.Work(l1), "2027-06", none, "ana", 1, "kim3", 1), "ana")
	s.predicate(code(fold.LaterKey), s.Agreement(foldtest.Work(l1), "2027-06", a1, "ana", 1, "kim3", 1, "kim2", 1), "ana")
	other := s.contribution("ana", "other-list", "1.0.0", none)
	share(other, "kim3")
	s.version(code(fold.LaterKey), other, "ana")

	// The current key revokes, the old ones too, each once.
	since := uint64(3)
	old := s.Revoke("kim")
	old.CompromisedSince = &since
	s.predicate(code(fold.UnexpectedSigner), old, "ana")
	s.predicate(ok, old, "kim3")
	s.predicate(code(fold.KeyRevoked), s.Revoke("kim"), "kim3")
	s.version(code(fold.KeyRevoked), s.contribution("kim", "sand", "1.2.0", v2), "kim")
	s.version(ok, s.contribution("kim", "sand", "1.2.0", v2), "kim3")
	last := s.Revoke("kim")
	last.Key = foldtest.ID("kim3")
	s.predicate(ok, last, "kim3")
	s.predicate(code(fold.KeyRevoked), s.Rotate("kim", "kim6"), "kim3", "kim6")

	// A place in a group is a key's: it stays with it until a registry/v1 says otherwise.
	s.predicate(ok, s.Rotate("op3", "op4"), "op3", "op4")
	s.predicate(code(fold.UnexpectedSigner), s.Registry(1, "op3"), "op4")
	s.predicate(ok, s.Registry(1, "op4"), "op3", "op4")
	s.predicate(code(fold.Threshold), s.Registry(1, "op3"), "op3")
	s.predicate(ok, s.Registry(1, "op3"), "op4")
}

// TestKeysOfIdentities holds the state's invariants over random logs: a key is of
// one identity; whoever signed is no later key; of the keys of an identity at most one
// signs, the newest; nobody is put on a list by a later key.
func TestKeysOfIdentities(t *testing.T) {
	rotations := 0
	for seed := range uint64(8) {
		s := fold.NewState(foldtest.Origin)
		owner, keys := make(map[sign.KeyID]sign.KeyID), make(map[sign.KeyID][]sign.KeyID)
		named := make(map[sign.KeyID]bool)
		for i, b := range foldtest.Random(rand.New(rand.NewPCG(seed, 2)), 200) {
			e := fold.Read(b.Leaf, b.Envelope)
			before := make(map[sign.KeyID]bool) // who signs now
			for _, k := range e.Leaf.Keys {
				_, not, err := fold.PartyOf(s, k)
				before[k] = not == "" && err == nil
			}
			r := s.Apply(e)
			for _, effect := range r.Effects {
				if a, ok := effect.(fold.AddSigners); ok && e.Statement.Authority() == "" {
					for _, id := range a.Signers {
						named[id] = true
					}
				}
				if v, ok := effect.(fold.AddVersion); ok && v.Seq == 1 {
					for _, c := range v.Contributors {
						if o, later := owner[c.ID]; later {
							t.Fatalf("seed %d, entry %d: %s is listed, a later key of %s", seed, i, c.ID, o)
						}
					}
				}
				rot, ok := effect.(fold.RotateKey)
				if !ok {
					continue
				}
				rotations++
				if o, taken := owner[rot.Key]; taken || rot.Key == rot.Identity {
					t.Fatalf("seed %d, entry %d: %s is a key of %s already", seed, i, rot.Key, o)
				}
				owner[rot.Key] = rot.Identity
				keys[rot.Identity] = append(keys[rot.Identity], rot.Key)
			}
			if r.Verdict == fold.Accepted && e.Statement.Authority() == "" {
				for _, effect := range r.Effects {
					if a, ok := effect.(fold.AddSigners); ok {
						for _, k := range e.Leaf.Keys {
							party, _, _ := fold.PartyOf(s, k)
							if slices.Contains(a.Signers, party) && !before[k] {
								t.Fatalf("seed %d, entry %d: %s signed, and did not sign for anybody", seed, i, k)
							}
						}
					}
				}
			}
		}
		for id := range named {
			if o, later := owner[id]; later {
				t.Errorf("seed %d: the identity %s is a later key of %s", seed, id, o)
			}
			current, live, err := fold.CurrentKey(s, id)
			if err != nil {
				t.Fatal(err)
			}
			newest := id
			if k := keys[id]; len(k) > 0 {
				newest = k[len(k)-1]
			}
			if current != newest {
				t.Errorf("seed %d: the current key of %s is %s, want %s", seed, id, current, newest)
			}
			for _, k := range append([]sign.KeyID{id}, keys[id]...) {
				party, not, err := fold.PartyOf(s, k)
				if err != nil || party != id || (not == "") != (live && k == newest) {
					t.Errorf("seed %d: %s is of %s (%q), %v; the newest is %s", seed, k, party, not, err, newest)
				}
			}
		}
	}
	if rotations < 6 {
		t.Errorf("%d rotations in all random logs", rotations)
	}
}

// TestCandidatesAreCurrent: an envelope without key names is tried against the
// keys that sign now.
func TestCandidatesAreCurrent(t *testing.T) {
	s := newScenario()
	s.predicate(ok, s.Registry(1, "op1"), "op1")
	c := s.contribution("kim", "sand", "1.0.0", cid.Undef)
	share(c, "ana")
	s.predicate(ok, s.Rotate("kim", "kim2"), "kim", "kim2")
	for _, b := range s.bodies {
		s.state.Apply(fold.Read(b.Leaf, b.Envelope))
	}
	got, err := fold.Candidates(s.state, foldtest.Version(c))
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"kim", "kim2", "ana"} {
		if !slices.Contains(got, foldtest.ID(who)) {
			t.Errorf("%s is no candidate", who)
		}
	}
}

// TestManyRotations rotates one identity often: each costs the same, and the name
// and the credit stay with it.
func TestManyRotations(t *testing.T) {
	const n = 500
	s := newScenario()
	s.predicate(ok, s.Registry(1, "op1"), "op1")
	v := s.version(ok, s.contribution("kim", "sand", "1.0.0", cid.Undef), "kim")
	key := func(i int) string {
		if i == 0 {
			return "kim"
		}
		return fmt.Sprint("kim ", i)
	}
	for i := range n {
		s.predicate(ok, s.Rotate("kim", key(i+1)), key(i), key(i+1))
	}
	s.version(ok, s.contribution("kim", "sand", "1.1.0", v), key(n))
	s.version(code(fold.KeyReplaced), s.contribution("kim", "sand", "1.2.0", v), key(n/2))
	for i, b := range s.bodies {
		r := s.state.Apply(fold.Read(b.Leaf, b.Envelope))
		got := string(r.Verdict)
		if r.Verdict == fold.Rejected {
			got = string(r.Code)
		}
		if got != s.want[i] {
			t.Fatalf("entry %d: %s, want %s", i, got, s.want[i])
		}
	}
	c, _, err := s.state.Chain(foldtest.ID("kim"))
	if err != nil || c.Key != foldtest.ID(key(n)) || c.Events != n {
		t.Errorf("the chain is %+v, %v", c, err)
	}
}

// reads is a View that counts how often the lists of a version are read.
type reads struct {
	fold.View
	versions *int
}

func (r reads) Version(c cid.Cid) (fold.Node, bool, error) {
	*r.versions++
	return r.View.Version(c)
}

// TestManyLaterKeys judges versions, and agreements, of a work whose people became
// later keys of one identity: how many there are does not change what is read.
func TestManyLaterKeys(t *testing.T) {
	read := func(n int) (version, agreement int) {
		s := newScenario()
		s.predicate(ok, s.Registry(1, "op1"), "op1")
		var people []string
		shares := []any{"ana", 1}
		for i := range n {
			people = append(people, fmt.Sprint("kim ", i+1))
			shares = append(shares, people[i], 1)
		}
		c := s.contribution("ana", "crowd", "1.0.0", cid.Undef)
		share(c, people...)
		v1 := s.version(ok, c, "ana")
		for i, who := range people {
			before := "kim"
			if i > 0 {
				before = people[i-1]
			}
			s.predicate(ok, s.Rotate("kim", who), before, who)
		}
		s.check(t, s.state, 0)
		judged := func(b foldtest.Body) (count int) {
			r, err := fold.Read(b.Leaf, b.Envelope).Judge(reads{s.state, &count}, foldtest.Origin, s.state.Size())
			if err != nil || r.Verdict != fold.Accepted {
				t.Fatalf("%d people: %+v, %v", n, r, err)
			}
			return count
		}
		next := s.contribution("ana", "crowd", "1.1.0", v1)
		share(next, people...)
		return judged(foldtest.Log(foldtest.Version(next), "ana")),
			judged(foldtest.Log(manifests.New(s.Agreement(foldtest.Work(v1), "2027-06", cid.Undef, shares...)), "ana"))
	}
	v, a := read(1)
	if version, agreement := read(20); version != v || agreement != a {
		t.Errorf("20 later keys: %d and %d lists are read, %d and %d for one", version, agreement, v, a)
	}
}
