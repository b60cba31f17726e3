package registry_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/audit"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
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
