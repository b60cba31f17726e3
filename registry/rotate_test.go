package registry_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

func rotation(t testing.TB, who, to string) *manifests.Statement {
	return manifests.New(&manifests.Key{Common: common(t), Identity: foldtest.ID(who), Key: foldtest.ID(to), Op: manifests.KeyRotate})
}

// TestRotation: the door takes a rotation once, however often it is handed in, and
// with foreign key names; the name goes on under the new key; the bundle of what it
// signed holds; and a rebuilt index is the same.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	first := h.add("ana", "iris", "1.0.0", nil)
	turn := rotation(t, "ana", "ana2")
	for _, signers := range [][]string{{"ana"}, {"ana2"}} {
		if _, err := h.reg.Submit(t.Context(), seal(t, turn, signers...)); !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), string(fold.MissingSignature)) {
			t.Errorf("signed by %v alone: %v", signers, err)
		}
	}
	both := seal(t, turn, "ana", "ana2")
	once := h.submit(both)
	if again := h.submit(both); again.Index != once.Index || h.size() != once.Index+1 {
		t.Errorf("handed in again: entry %d, first it was %d", again.Index, once.Index)
	}
	next := func(version string) *dataset {
		return h.put("ana", "iris", version, map[string]string{"a": version}, func(d *dataset) { d.Supersedes = cjson.CID{Cid: first} })
	}
	if _, err := h.reg.Submit(t.Context(), next("1.1.0").seal(t, "ana")); !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), string(fold.KeyReplaced)) {
		t.Errorf("signed by the key before: %v", err)
	}
	// A tool that does not say whose signature it is: the key is found.
	nameless := []byte(strings.ReplaceAll(string(next("1.1.0").seal(t, "ana2")), string(foldtest.ID("ana2")), "laptop"))
	second := h.submit(nameless)
	if second.Verdict != registry.Accepted {
		t.Fatalf("%+v", second)
	}
	policy, err := proof.ParsePolicy([]byte(h.cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.reg.Bundle(t.Context(), second.Statement)
	if err != nil {
		t.Fatal(err)
	}
	r, err := proof.VerifyBundle(b, policy)
	if err != nil || !r.Holds() || len(r.Parties) != 1 || r.Parties[0] != foldtest.ID("ana") {
		t.Errorf("the bundle: %+v, %v", r, err)
	}
	// What was signed before holds as before, and the bundle says until when.
	if b, err = h.reg.Bundle(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if r, err := proof.VerifyBundle(b, policy); err != nil || !r.Holds() {
		t.Errorf("the bundle of the first: %+v, %v", r, err)
	}
	err = h.reg.View(func(s *index.Snapshot) error {
		st, err := s.Statement(second.Statement)
		if err != nil || len(st.Signers) != 1 || st.Signers[0].ID != foldtest.ID("ana") || st.Signers[0].Key != foldtest.ID("ana2") {
			t.Errorf("signers %+v, %v", st.Signers, err)
		}
		d, err := s.Version(second.Statement)
		if err != nil || !d.Contributors[0].Signed || d.Contributors[0].Key != foldtest.ID("ana2") {
			t.Errorf("contributors %+v, %v", d.Contributors, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := h.dump()
	h.reopen(func() { removeAll(t, h.cfg.Dir+"/index") })
	if after, _ := h.dump(); after != before {
		t.Error("the rebuilt index differs")
	}
}

// TestRotationsAtOnce: of several rotations of one key, logged at the same time, one
// counts; whatever order they come in, one key signs in the end.
func TestRotationsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	const n = 8
	var wg sync.WaitGroup
	accepted := make([]bool, n)
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			to := fmt.Sprint("ana ", i)
			out, err := h.reg.Submit(t.Context(), seal(t, rotation(t, "ana", to), "ana", to))
			accepted[i] = err == nil && out.Verdict == registry.Accepted
			if err != nil && !errors.Is(err, fault.Conflict) {
				t.Errorf("%d: %v", i, err)
			}
		}()
	}
	wg.Wait()
	won := 0
	for i, yes := range accepted {
		id, signs, err := h.reg.Party(foldtest.ID(fmt.Sprint("ana ", i)))
		if err != nil {
			t.Fatal(err)
		}
		if yes {
			won++
		}
		want := foldtest.ID(fmt.Sprint("ana ", i)) // a key that lost is its own
		if yes {
			want = foldtest.ID("ana")
		}
		if id != want || !signs {
			t.Errorf("key %d, accepted %t, is of %s and signs: %t", i, yes, id, signs)
		}
	}
	if won != 1 {
		t.Errorf("%d rotations were accepted", won)
	}
	if id, signs, err := h.reg.Party(foldtest.ID("ana")); id != foldtest.ID("ana") || signs || err != nil {
		t.Errorf("the key before: %s, %t, %v", id, signs, err)
	}
	if c, err := h.reg.Check(t.Context(), nil); err != nil || len(c.Findings) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestE2EManyKeyEvents: a bundle holds as many key events as its format allows; one that
// would hold more is refused, and it is said where they are.
func TestE2EManyKeyEvents(t *testing.T) {
	if os.Getenv("CAIRN_BIG") == "" {
		t.Skip("NOT RUN: 257 rotations, each with a checkpoint of its own (set CAIRN_BIG=1; the gate does)")
	}
	t.Parallel()
	h := newHome(t)
	key := func(i int) string {
		if i == 0 {
			return "ana"
		}
		return fmt.Sprint("ana ", i)
	}
	policy, err := proof.ParsePolicy([]byte(h.cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	for i := range proof.MaxKeyEvents + 1 {
		h.submit(seal(t, rotation(t, "ana", key(i+1)), key(i), key(i+1)))
		if n := i + 1; n < proof.MaxKeyEvents {
			continue
		}
		said := h.submit(seal(t, manifests.New(&manifests.Profile{Common: common(t), Identity: foldtest.ID("ana"), Name: fmt.Sprint(i)}), key(i+1)))
		b, err := h.reg.Bundle(t.Context(), said.Statement)
		if i+1 > proof.MaxKeyEvents {
			if !errors.Is(err, fault.TooLarge) {
				t.Errorf("%d key events: %v", i+1, err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r, err := proof.VerifyBundle(b, policy); err != nil || !r.Holds() || len(b) > proof.MaxBundle/2 {
			t.Errorf("%d key events in %d bytes: %+v, %v", i+1, len(b), r, err)
		}
	}
}
