package registry_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/translog"
)

const origin = "cairn.example/log"

// A home is a registry with its store, in a folder of its own.
type home struct {
	t     testing.TB
	store *pack.Store
	cfg   registry.Config
	reg   *registry.Registry
}

func newHome(t testing.TB) *home {
	t.Helper()
	skey, vkey, err := translog.NewLogKey(origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, _, err := translog.LoadKey(skey)
	if err != nil {
		t.Fatal(err)
	}
	h := &home{t: t, cfg: registry.Config{Dir: t.TempDir(), VKey: vkey, Signer: signer}}
	if err := os.Mkdir(filepath.Join(h.cfg.Dir, "trust"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.openStore()
	p := &manifests.Registry{
		Common: common(t), Origin: origin, LogKeys: []string{vkey}, Operators: []sign.KeyID{foldtest.ID("operator")},
		OperatorThreshold: 1, FirstPeriod: "2026-11",
	}
	if h.reg, err = registry.Create(t.Context(), h.cfg, seal(t, manifests.New(p), "operator")); err != nil {
		t.Fatal(err)
	}
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

func common(t testing.TB) manifests.Common {
	t.Helper()
	nonce, err := manifests.NewNonce(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return manifests.Common{Registry: origin, Nonce: nonce, IssuedAt: "2026-11-22T08:00:00Z"}
}

func seal(t testing.TB, s *manifests.Statement, signers ...string) []byte {
	t.Helper()
	payload, err := manifests.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	var keys []sign.Signer
	for _, name := range signers {
		keys = append(keys, foldtest.Key(name))
	}
	e, err := sign.Seal(payload, keys...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A dataset is a contribution before it is signed, to be broken on purpose.
type dataset struct {
	*manifests.Contribution
	manifest manifests.Manifest
	root     cid.Cid
}

// put stores files and documents and returns the contribution about them.
func (h *home) put(publisher, name, version string, files map[string]string, change func(*dataset)) *dataset {
	h.t.Helper()
	dir := h.t.TempDir()
	for path, text := range files {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o666); err != nil {
			h.t.Fatal(err)
		}
	}
	r, err := ingest.Add(h.t.Context(), dir, ingest.PackStore(h.store), ingest.AddOptions{NoSketch: true})
	if err != nil {
		h.t.Fatal(err)
	}
	tb, err := terms.Minimal("CC0-1.0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.record(cjson.JSONCID(tb), tb)
	chunking, err := manifests.ParseChunking(r.Chunker)
	if err != nil {
		h.t.Fatal(err)
	}
	id := foldtest.ID(publisher)
	d := &dataset{root: r.Root, manifest: manifests.Manifest{
		Schema: manifests.ManifestSchema, Name: name, Version: version, CreatedAt: "2026-11-22T08:00:00Z", Publisher: id,
		Contributors: []manifests.Contributor{{ID: id}}, Terms: cjson.Link{Cid: cjson.JSONCID(tb)},
		Data: manifests.Data{Root: cjson.Link{Cid: r.Root}, Bytes: r.Bytes, FileCount: r.FileCount, Profile: "unixfs-v1-2025", Chunking: chunking},
	}}
	for _, f := range r.Files {
		d.manifest.Files = append(d.manifest.Files, ingest.ManifestFile(f))
	}
	d.Contribution = &manifests.Contribution{
		Common: common(h.t), Publisher: id, Terms: cjson.CID{Cid: cjson.JSONCID(tb)},
		Dataset:      manifests.Dataset{Name: name, Version: version, License: "CC0-1.0"},
		Contributors: []manifests.Share{{ID: id, Weight: "1"}}, Total: "1",
	}
	if change != nil {
		change(d)
	}
	m := &d.manifest
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
	blk, err := block.NewBlockWithCid(b, c)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.store.PutRecords(h.t.Context(), blk); err != nil {
		h.t.Fatal(err)
	}
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
