package registry_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/audit"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/translog"
)

// pruned is a registry's evidence, whose bundles lack some of their key events.
type pruned struct {
	*home
	keep func(i int) bool
}

func (p pruned) Checkpoint(context.Context) ([]byte, error)           { return p.reg.Log().Published().Note, nil }
func (p pruned) Tile(_ context.Context, path string) ([]byte, error)  { return p.reg.Log().Tile(path) }
func (p pruned) Block(ctx context.Context, c cid.Cid) ([]byte, error) { return p.store.Block(ctx, c) }
func (p pruned) Size(ctx context.Context, c cid.Cid) (uint64, error)  { return p.store.Size(ctx, c) }

func (p pruned) Bundle(ctx context.Context, statement cid.Cid) ([]byte, error) {
	raw, err := p.reg.Bundle(ctx, statement)
	if err != nil {
		return nil, err
	}
	b, err := proof.ParseBundle(raw)
	if err != nil {
		return nil, err
	}
	i := -1
	b.KeyEvents = slices.DeleteFunc(b.KeyEvents, func(proof.Entry) bool { i++; return !p.keep(i) })
	return b.Encode()
}

// TestAuditOfRotatedKeys: an audit finds the key events that a bundle leaves out, and
// says what it cannot know without a replay.
func TestAuditOfRotatedKeys(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	first := h.add("ana", "iris", "1.0.0", nil)
	h.submit(seal(t, rotation(t, "ana", "ana2"), "ana", "ana2"))
	next := func(version string, of cid.Cid, key string) cid.Cid {
		d := h.put("ana", "iris", version, map[string]string{"a": version}, func(d *dataset) { d.Supersedes = cjson.CID{Cid: of} })
		return h.submit(d.seal(t, key)).Statement
	}
	second := next("1.1.0", first, "ana2")
	h.submit(seal(t, rotation(t, "ana", "ana3"), "ana2", "ana3"))
	third := next("1.2.0", second, "ana3")
	policy, err := proof.ParsePolicy([]byte(h.cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	all := func(int) bool { return true }
	for name, c := range map[string]struct {
		statement cid.Cid
		keep      func(int) bool
		want      string
		mention   string
	}{
		"the first key":              {first, all, audit.Holds, "2 in the log"},
		"the second":                 {second, all, audit.Holds, "was the key of " + string(foldtest.ID("ana"))},
		"the third":                  {third, all, audit.Holds, "was the key of " + string(foldtest.ID("ana"))},
		"without any":                {third, func(int) bool { return false }, audit.DoesNotHold, "signed and is not a party"},
		"half of the chain":          {third, func(i int) bool { return i == 1 }, audit.DoesNotHold, "does not follow"},
		"without a later rotation":   {second, func(i int) bool { return i == 0 }, audit.Holds, "2 in the log"},
		"the first key, without any": {first, func(int) bool { return false }, audit.Holds, "2 in the log"},
	} {
		r, err := audit.Dataset(t.Context(), pruned{h, c.keep}, c.statement, audit.Options{Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, f := range r.Findings {
			said += string(f.Status) + " " + f.Check + ": " + f.Detail + "\n"
		}
		if r.Result != c.want || !strings.Contains(said, c.mention) {
			t.Errorf("%s: %s, want %s and %q:\n%s", name, r.Result, c.want, c.mention, said)
		}
	}

	h.submit(seal(t, manifests.New(&manifests.Key{Common: common(t), Identity: foldtest.ID("ana"), Key: foldtest.ID("ana3"), Op: manifests.KeyRevoke}), "ana3"))
	r, err := audit.Dataset(t.Context(), pruned{h, all}, third, audit.Options{Policy: policy})
	if err != nil || r.Result != audit.Holds {
		t.Errorf("what was signed before the revocation: %+v, %v", r, err)
	}
}

// forged is evidence whose bundle a liar made.
type forged struct {
	pruned
	bundle []byte
}

func (f forged) Bundle(context.Context, cid.Cid) ([]byte, error) { return f.bundle, nil }

// TestErasedRotation: what a rotation did outlives its body, which no bundle hands out
// any more; and a replay without it comes to the same rows.
func TestErasedRotation(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	first := h.add("ana", "iris", "1.0.0", nil)
	turn := h.submit(seal(t, rotation(t, "ana", "ana2"), "ana", "ana2"))
	d := h.put("ana", "iris", "1.1.0", map[string]string{"a": "b"}, func(d *dataset) { d.Supersedes = cjson.CID{Cid: first} })
	second := h.submit(d.seal(t, "ana2")).Statement
	if _, err := h.reg.Bundle(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	stone, err := h.reg.TombstoneOf(t.Context(), turn.Index)
	if err != nil {
		t.Fatal(err)
	}
	stone.Common, stone.Reason = common(t), manifests.ErasePersonalData
	h.submit(seal(t, manifests.New(stone), "operator"))
	if _, err := h.reg.Bundle(t.Context(), second); !errors.Is(err, fault.Gone) || !strings.Contains(err.Error(), "a key event of the signers") {
		t.Errorf("a bundle with an erased rotation: %v", err)
	}
	if _, err := h.reg.Bundle(t.Context(), first); err != nil {
		t.Errorf("what was signed before the rotation needs it not: %v", err)
	}
	rows, before := h.dump()

	h.close()
	removeAll(t, filepath.Join(h.cfg.Dir, "index"))
	h.openStore()
	h.cfg.Blocks = &without{Blocks: h.store, missing: turn.Envelope}
	if h.reg, err = registry.Open(t.Context(), h.cfg); err != nil {
		t.Fatal(err)
	}
	again, after := h.dump()
	if !after.Ready || after.Applied != before.Applied || after.Digest != before.Digest || again != rows {
		t.Errorf("without the body: %+v, %s; want %s", after, after.DigestText(), before.DigestText())
	}
	for key, signs := range map[string]bool{"ana": false, "ana2": true} {
		if id, now, err := h.reg.Party(foldtest.ID(key)); err != nil || id != foldtest.ID("ana") || now != signs {
			t.Errorf("without the body %s is a key of %s and signs: %t, %v", key, id, now, err)
		}
	}
	h.close()
}

// TestAuditOfTooManyKeyEvents: somebody logs more key events about a signer than an
// audit looks at, and behind them the key is revoked. The audit does not say that none
// that counts is missing.
func TestAuditOfTooManyKeyEvents(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	cfg := h.cfg
	h.close()
	l, err := translog.Open(t.Context(), translog.Config{
		Dir: filepath.Join(cfg.Dir, "log"), TrustDir: filepath.Join(cfg.Dir, "trust"), VKey: cfg.VKey, Signer: cfg.Signer,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.openStore()
	put := func(s *manifests.Statement, signer string) (envelope, leaf []byte) {
		envelope = seal(t, s, signer)
		e, err := sign.Decode(envelope)
		if err != nil {
			t.Fatal(err)
		}
		nl, err := proof.NewLeaf(e, envelope)
		if err != nil {
			t.Fatal(err)
		}
		body, err := block.NewBlockWithCid(envelope, cjson.RawCID(envelope))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.PutRecords(t.Context(), body); err != nil {
			t.Fatal(err)
		}
		return envelope, foldtest.EncodeLeaf(nl)
	}
	revoke := func() *manifests.Statement {
		return manifests.New(&manifests.Key{Common: common(t), Identity: foldtest.ID("ana"), Key: foldtest.ID("ana"), Op: manifests.KeyRevoke})
	}
	var all sync.WaitGroup
	for range 2 * proof.MaxKeyEvents {
		_, leaf := put(revoke(), "eve")
		all.Go(func() {
			if _, err := l.Append(context.Background(), leaf); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	_, leaf := put(revoke(), "ana")
	if _, err := l.Append(t.Context(), leaf); err != nil {
		t.Fatal(err)
	}
	stolen := manifests.New(&manifests.Profile{Common: common(t), Identity: foldtest.ID("ana"), Name: "not Ana"})
	envelope, leaf := put(stolen, "ana")
	i, err := l.Append(t.Context(), leaf)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := l.Receipt(i)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.reopen(nil)
	b, err := (&proof.Bundle{Entry: proof.Entry{Envelope: envelope, Leaf: leaf, Receipt: rec.Encode()}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := proof.ParsePolicy([]byte(h.cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Dataset(t.Context(), forged{pruned{h, nil}, b}, foldtest.CID(stolen), audit.Options{Policy: policy})
	if err != nil || r.Result != audit.Incomplete {
		t.Fatalf("%+v, %v", r, err)
	}
	found := slices.ContainsFunc(r.Findings, func(f proof.Finding) bool {
		return f.Check == audit.CheckKeyEvents && f.Status == proof.NotChecked && strings.Contains(f.Detail, "has 1 more key events")
	})
	if !found {
		t.Errorf("no finding about what was not looked at: %+v", r.Findings)
	}
}

// TestAuditFindsALeftOutRotation: the key before signs after the rotation, the log has
// the entry and rejects it, and a bundle without the rotation holds. An audit that has
// read the log does not say so.
func TestAuditFindsALeftOutRotation(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.submit(seal(t, rotation(t, "ana", "ana2"), "ana", "ana2"))
	cfg := h.cfg
	h.close()
	l, err := translog.Open(t.Context(), translog.Config{
		Dir: filepath.Join(cfg.Dir, "log"), TrustDir: filepath.Join(cfg.Dir, "trust"), VKey: cfg.VKey, Signer: cfg.Signer,
	})
	if err != nil {
		t.Fatal(err)
	}
	stolen := manifests.New(&manifests.Profile{Common: common(t), Identity: foldtest.ID("ana"), Name: "not Ana"})
	envelope := seal(t, stolen, "ana")
	e, err := sign.Decode(envelope)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := proof.NewLeaf(e, envelope)
	if err != nil {
		t.Fatal(err)
	}
	entry := foldtest.EncodeLeaf(leaf)
	if _, err := l.Append(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	rec, err := l.Receipt(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.openStore()
	body, err := block.NewBlockWithCid(envelope, cjson.RawCID(envelope))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.PutRecords(t.Context(), body); err != nil {
		t.Fatal(err)
	}
	h.reopen(nil)
	b, err := (&proof.Bundle{Entry: proof.Entry{Envelope: envelope, Leaf: entry, Receipt: rec.Encode()}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := proof.ParsePolicy([]byte(h.cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := proof.VerifyBundle(b, policy); err != nil || !r.Holds() {
		t.Fatalf("offline nothing tells: %+v, %v", r, err)
	}
	r, err := audit.Dataset(t.Context(), forged{pruned{h, nil}, b}, foldtest.CID(stolen), audit.Options{Policy: policy})
	if err != nil || r.Result != audit.Incomplete {
		t.Errorf("%+v, %v", r, err)
	}
	found := slices.ContainsFunc(r.Findings, func(f proof.Finding) bool {
		return f.Check == audit.CheckKeyEvents && f.Status == proof.NotChecked && strings.Contains(f.Detail, "leaves out a rotation")
	})
	if !found {
		t.Errorf("no finding about the rotation: %+v", r.Findings)
	}
}
