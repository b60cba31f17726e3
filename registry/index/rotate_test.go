package index_test

import (
	"fmt"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

// TestManyRotations rotates one identity more often than a page holds: every question
// about it is answered by a bounded read, and the pages together are all events.
func TestManyRotations(t *testing.T) {
	const n = index.MaxLimit + 200
	var w foldtest.World
	bodies := []foldtest.Body{foldtest.Log(manifests.New(w.Registry(1, "op")), "op")}
	key := func(i int) string {
		if i == 0 {
			return "kim"
		}
		return fmt.Sprint("kim ", i)
	}
	for i := range n {
		bodies = append(bodies, foldtest.Log(manifests.New(w.Rotate("kim", key(i+1))), key(i), key(i+1)))
	}
	x := inMemory(t)
	apply(t, x, fold.NewState(foldtest.Origin), read(bodies))
	check(t, x)
	kim := foldtest.ID("kim")
	err := x.View(func(s *index.Snapshot) error {
		for _, limit := range []int{0, 7, index.MaxLimit, index.MaxLimit + 1} {
			seen, pages := 0, 0
			for after := (*uint64)(nil); ; {
				events, next, err := s.KeyEvents(kim, after, limit)
				if err != nil {
					return err
				}
				if most := min(max(limit, 7), index.MaxLimit); limit > 0 && len(events) > most {
					t.Errorf("a page of %d, the limit is %d", len(events), limit)
				}
				for _, e := range events {
					if e.Key != foldtest.ID(key(seen+1)) || e.Replaces != foldtest.ID(key(seen)) || e.Identity != kim {
						t.Fatalf("event %d is %+v", seen, e)
					}
					seen++
				}
				pages++
				if after = next; after == nil {
					break
				}
			}
			if seen != n || pages < 2 {
				t.Errorf("limit %d: %d events on %d pages, want %d", limit, seen, pages, n)
			}
		}
		for i, signs := range map[int]bool{0: false, 1: false, n / 2: false, n - 1: false, n: true} {
			id, now, err := s.Party(foldtest.ID(key(i)))
			if err != nil || id != kim || now != signs {
				t.Errorf("key %d is of %s and signs: %t, %v", i, id, now, err)
			}
			if who, err := s.Who(string(foldtest.ID(key(i)))); err != nil || who != kim {
				t.Errorf("key %d names %s, %v", i, who, err)
			}
			k, err := s.Key(foldtest.ID(key(i)))
			if err != nil || k.Signs() != signs || (k.From == nil) != (i == 0) || (k.Replaced == nil) != (i == n) {
				t.Errorf("key %d: %+v, %v", i, k, err)
			}
		}
		if now, live, err := s.CurrentKey(kim); err != nil || !live || now != foldtest.ID(key(n)) {
			t.Errorf("the current key is %s, %t, %v", now, live, err)
		}
		if id, signs, err := s.Party(sign.KeyID("no\x00key")); signs || err != nil {
			t.Errorf("a text that is no key is of %q and signs: %t, %v", id, signs, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSignersOfAGroup: in a group a key signs for its own place. That another of the
// signers is a later key of the same identity changes nothing.
func TestSignersOfAGroup(t *testing.T) {
	var w foldtest.World
	both := manifests.New(w.Registry(2, "kim", "kim2"))
	bodies := []foldtest.Body{
		foldtest.Log(manifests.New(w.Registry(1, "kim")), "kim"),
		foldtest.Log(manifests.New(w.Rotate("kim", "kim2")), "kim", "kim2"),
		foldtest.Log(both, "kim", "kim2"),
	}
	x := inMemory(t)
	apply(t, x, fold.NewState(foldtest.Origin), read(bodies))
	view(t, x, func(s *index.Snapshot) {
		st, err := s.Statement(foldtest.CID(both))
		if err != nil || st.Verdict != fold.Accepted || len(st.Signers) != 2 {
			t.Fatalf("%+v, %v", st, err)
		}
		for _, g := range st.Signers {
			if g.Key != "" {
				t.Errorf("%s is said to have signed by %s", g.ID, g.Key)
			}
		}
	})
}
