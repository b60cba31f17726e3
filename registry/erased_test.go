package registry_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry"
)

// TestErasedBody: an entry whose body is gone is replayed by its tombstone, to
// the digest and the rows that were there before; its body is answered 410.
func TestErasedBody(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	first := h.add("ana", "iris", "1.0.0", nil)
	second := h.add("ana", "iris", "1.1.0", func(d *dataset) { d.Supersedes = cjson.CID{Cid: first} })
	envelope, err := h.reg.Envelope(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	stone, err := h.reg.TombstoneOf(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if stone.Statement.Cid != first {
		t.Fatalf("entry 1 has the statement %s, want %s", stone.Statement, first)
	}
	for i, want := range map[uint64]fault.Code{0: fault.Invalid, 9: fault.NotFound} {
		if _, err := h.reg.TombstoneOf(t.Context(), i); fault.Of(err) != want {
			t.Errorf("the tombstone of entry %d: %v, want %s", i, err, want)
		}
	}
	stone.Common, stone.Reason = common(t), manifests.ErasePersonalData

	wrong := *stone
	wrong.Common = common(t)
	wrong.Verdict, wrong.Code, wrong.Effects = "rejected", "malformed", nil
	if _, err := h.reg.Submit(t.Context(), seal(t, manifests.New(&wrong), "operator")); !errors.Is(err, fault.Conflict) {
		t.Errorf("a wrong tombstone: %v", err)
	}
	stranger := *stone
	stranger.Common = common(t)
	if _, err := h.reg.Submit(t.Context(), seal(t, manifests.New(&stranger), "ana")); err == nil {
		t.Error("a stranger erases")
	}
	h.submit(seal(t, manifests.New(stone), "operator"))

	if _, err := h.reg.Envelope(t.Context(), first); !errors.Is(err, fault.Gone) {
		t.Errorf("the envelope of an erased statement: %v", err)
	}
	if _, err := h.reg.Bundle(t.Context(), first); !errors.Is(err, fault.Gone) {
		t.Errorf("the bundle of an erased statement: %v", err)
	}
	if _, err := h.reg.Bundle(t.Context(), second); err != nil {
		t.Error(err)
	}
	rows, before := h.dump()

	h.close()
	removeAll(t, filepath.Join(h.cfg.Dir, "index"))
	h.openStore()
	h.cfg.Blocks = &without{Blocks: h.store, missing: cjson.RawCID(envelope)}
	if h.reg, err = registry.Open(t.Context(), h.cfg); err != nil {
		t.Fatal(err)
	}
	again, after := h.dump()
	if !after.Ready || after.Applied != 4 || after.Digest != before.Digest || again != rows {
		t.Errorf("without the body: %+v, %s; want %s", after, after.DigestText(), before.DigestText())
	}
	c, err := h.reg.Check(t.Context(), nil)
	if err != nil || len(c.Findings) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
	h.close()
}
