package registry

import (
	"context"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

// TestManyKeyEventsOfOthers: a contributor who rotates more often than a bundle holds,
// and signs then, or has signed before, takes nobody's bundle away. What was signed
// after so many rotations has none.
func TestManyKeyEventsOfOthers(t *testing.T) {
	var w foldtest.World
	version := func(name string) *manifests.Statement {
		c := w.Contribution("ana", name, "1.0.0")
		c.Contributors = append(c.Contributors, manifests.Share{ID: foldtest.ID("eve"), Weight: "1"})
		c.Total = fmt.Sprint(len(c.Contributors))
		return foldtest.Version(c)
	}
	key := func(i int) string {
		if i == 0 {
			return "eve"
		}
		return fmt.Sprint("eve ", i)
	}
	const n = proof.MaxKeyEvents + 1
	before, after, own := version("before"), version("after"), manifests.New(w.Profile("eve", "eve"))
	bodies := []foldtest.Body{
		foldtest.Log(manifests.New(w.Registry(1, "op")), "op"),
		foldtest.Log(manifests.New(w.Rotate("ana", "ana 1")), "ana", "ana 1"),
		foldtest.Log(before, "ana 1", "eve"),
		foldtest.Log(after, "ana 1"),
	}
	for i := range n {
		bodies = append(bodies, foldtest.Log(manifests.New(w.Rotate("eve", key(i+1))), key(i), key(i+1)))
	}
	bodies = append(bodies, foldtest.Log(after, key(n)), foldtest.Log(own, key(n)))
	x, err := index.Open("", index.Options{Origin: foldtest.Origin, InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var entries []*fold.Entry
	for _, b := range bodies {
		entries = append(entries, fold.Read(b.Leaf, b.Envelope))
	}
	out, err := x.Apply(context.Background(), 0, entries)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if o.Result.Verdict != fold.Accepted {
			t.Fatalf("entry %d: %+v", i, o.Result)
		}
	}
	events := func(s *index.Snapshot, id cid.Cid) ([]index.KeyEvent, error) {
		st, err := s.Statement(id)
		if err != nil {
			return nil, err
		}
		e, err := s.Entry(st.Index)
		if err != nil {
			return nil, err
		}
		return keyEvents(s, st.Index, e.Keys, st.Signers)
	}
	err = x.View(func(s *index.Snapshot) error {
		for name, st := range map[string]*manifests.Statement{"signed before": before, "signed after": after} {
			list, err := events(s, foldtest.CID(st))
			if err != nil || len(list) != 1 || list[0].Key != sign.KeyID(foldtest.ID("ana 1")) {
				t.Errorf("%s: %d key events, %v; want the rotation of the publisher", name, len(list), err)
			}
		}
		if _, err := events(s, foldtest.CID(own)); fault.Of(err) != fault.TooLarge {
			t.Errorf("what she signed herself: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
