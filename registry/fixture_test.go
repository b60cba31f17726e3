package registry_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/registrytest"
)

const origin = registrytest.Origin

// A home is a registry with its store, in a folder of its own.
type home struct {
	t     testing.TB
	store *pack.Store
	cfg   registry.Config
	reg   *registry.Registry
}

func newHome(t testing.TB) *home {
	t.Helper()
	h := &home{t: t, cfg: registrytest.Config(t)}
	h.openStore()
	h.reg = registrytest.Create(t, h.cfg)
	t.Cleanup(h.close)
	return h
}

func (h *home) openStore() {
	h.t.Helper()
	var err error
	if h.store, err = pack.Open(filepath.Join(h.cfg.Dir, "blocks"), pack.Options{}); err != nil {
		h.t.Fatal(err)
	}
	h.cfg.Blocks = h.store
}

func (h *home) close() {
	if h.reg != nil {
		if err := h.reg.Close(context.Background()); err != nil {
			h.t.Errorf("closing the registry: %v", err)
		}
		h.reg = nil
	}
	if h.store != nil {
		if err := h.store.Close(); err != nil {
			h.t.Errorf("closing the store: %v", err)
		}
		h.store = nil
	}
}

// reopen closes what is open and opens it again; between, do may change the
// folder.
func (h *home) reopen(do func()) {
	h.t.Helper()
	h.close()
	if do != nil {
		do()
	}
	h.openStore()
	var err error
	if h.reg, err = registry.Open(h.t.Context(), h.cfg); err != nil {
		h.t.Fatal(err)
	}
}

// What the tests write often.
var (
	common = registrytest.Common
	seal   = registrytest.Seal
)

// A dataset is a contribution before it is signed, to be broken on purpose.
type dataset struct {
	*manifests.Contribution
	manifest manifests.Manifest
	root     cid.Cid
}

// put stores files and documents and returns the contribution about them.
func (h *home) put(publisher, name, version string, files map[string]string, change func(*dataset)) *dataset {
	h.t.Helper()
	r, err := ingest.Add(h.t.Context(), registrytest.Folder(h.t, files), ingest.PackStore(h.store), ingest.AddOptions{NoSketch: true})
	if err != nil {
		h.t.Fatal(err)
	}
	tb, err := terms.Minimal("CC0-1.0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.record(cjson.JSONCID(tb), tb)
	m, c := registrytest.Version(h.t, publisher, name, version, r, cjson.JSONCID(tb), "CC0-1.0")
	d := &dataset{c, *m, r.Root}
	if change != nil {
		change(d)
	}
	m = &d.manifest
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		h.t.Fatal(err)
	}
	h.record(cjson.JSONCID(mb), mb)
	d.Dataset.Manifest = cjson.CID{Cid: cjson.JSONCID(mb)}
	d.Dataset.Bytes, d.Dataset.FileCount, d.Dataset.Title = m.Data.Bytes, m.Data.FileCount, m.Title
	d.Dataset.Keywords, d.Dataset.MediaTypes, d.Sources = m.Keywords, m.MediaTypes(), m.Sources()
	return d
}

func (h *home) record(c cid.Cid, b []byte) {
	h.t.Helper()
	registrytest.Record(h.t, h.store, c, b)
}

func (d *dataset) seal(t testing.TB, signers ...string) []byte {
	t.Helper()
	return seal(t, manifests.NewContribution(d.Contribution, d.root), signers...)
}

// add registers a dataset and returns its statement.
func (h *home) add(publisher, name, version string, change func(*dataset)) cid.Cid {
	h.t.Helper()
	d := h.put(publisher, name, version, map[string]string{"a.csv": name + version}, change)
	s, err := h.reg.Submit(h.t.Context(), d.seal(h.t, publisher))
	if err != nil {
		h.t.Fatalf("%s@%s: %v", name, version, err)
	}
	if s.Verdict != registry.Accepted {
		h.t.Fatalf("%s@%s is %s: %s", name, version, s.Verdict, s.Code)
	}
	return s.Statement
}

func (h *home) size() uint64 { return h.reg.Status().Size }

func versionText(i int) string { return fmt.Sprintf("1.%d.0", i) }
