package upload_test

import (
	"context"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// The new key of an identity uploads on top of what the one before sent, and signs
// for it; the one before does nothing more, not even with the statement signed well.
func TestUploadAfterRotation(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	d := newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a.bin": text(1<<20, "a"), "b": "b"}, nil)
	first := s.push("ana", d)
	turn := manifests.New(&manifests.Key{Common: common(t), Identity: foldtest.ID("ana"), Key: foldtest.ID("ana2"), Op: manifests.KeyRotate})
	// It comes in over the network, in a request of the key before.
	if a := s.do("ben", "POST", "/v1/entries", seal(t, turn, "ana", "ana2"), nil); a.status != 403 {
		t.Fatalf("sent by a stranger: %d %s", a.status, a.body)
	}
	if a := s.do("ana", "POST", "/v1/entries", seal(t, turn, "ana", "ana2"), nil); a.status != 200 {
		t.Fatalf("the rotation: %d %s", a.status, a.body)
	}
	next := newDataset(t, mine, "ana", "iris", "1.1.0", map[string]string{"a.bin": text(1<<20, "a"), "b": "c"}, func(c *manifests.Contribution, _ *manifests.Manifest) {
		c.Supersedes = first.Statement
	})
	o := next.options()
	o.Bases = map[cid.Cid][]cid.Cid{first.Statement.Cid: d.statement.Content()}
	if _, err := s.client("ana").Push(t.Context(), o); err == nil {
		t.Error("the key before pushes")
	}
	if _, err := s.client("ana2").Push(t.Context(), o); err == nil {
		t.Error("what the key before signed is taken")
	}
	o.Policy = s.policy()
	o.Seal = func(context.Context) ([]byte, error) { return seal(t, next.statement, "ana2"), nil }
	second, err := s.client("ana2").Push(t.Context(), o)
	if err != nil || second.Verdict != "accepted" || second.Sent >= 1<<20 {
		t.Fatalf("the new key: %+v, %v", second, err)
	}
	// Sent again, it is the same.
	if again, err := s.client("ana2").Push(t.Context(), o); err != nil || again.Index != second.Index {
		t.Errorf("again: %+v, %v", again, err)
	}
}
