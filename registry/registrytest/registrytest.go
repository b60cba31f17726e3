// Package registrytest makes registries and what is put into them, for the tests
// of the registry and of the parts that stand before it. Keys are those of
// package foldtest: "operator" is the operator. How blocks are stored is the
// caller's: some tests want spaces, some a single store.
package registrytest

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/translog"
)

// Origin is the origin of the logs of this package.
const Origin = foldtest.Origin

const day = "2026-11-22T08:00:00Z"

// Config returns the configuration of a registry in a new folder, with a new log
// key. Its blocks are the caller's to set.
func Config(t testing.TB) registry.Config {
	t.Helper()
	skey, vkey, err := translog.NewLogKey(Origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, _, err := translog.LoadKey(skey)
	if err != nil {
		t.Fatal(err)
	}
	cfg := registry.Config{Dir: t.TempDir(), VKey: vkey, Signer: signer}
	if err := os.Mkdir(filepath.Join(cfg.Dir, "trust"), 0o700); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Create makes the registry of cfg, with its entry 0. The caller closes it, or
// [CloseAfter] does.
func Create(t testing.TB, cfg registry.Config) *registry.Registry {
	t.Helper()
	p := &manifests.Registry{
		Common: Common(t), Origin: Origin, LogKeys: []string{cfg.VKey}, Operators: []sign.KeyID{foldtest.ID("operator")},
		OperatorThreshold: 1, FirstPeriod: "2026-11",
	}
	reg, err := registry.Create(t.Context(), cfg, Seal(t, manifests.New(p), "operator"))
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// CloseAfter closes a registry and then its store when the test ends.
func CloseAfter(t testing.TB, reg *registry.Registry, store interface{ Close() error }) {
	t.Cleanup(func() {
		if err := reg.Close(context.Background()); err != nil {
			t.Errorf("closing the registry: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
}

// Common returns what every statement says, with a nonce of its own.
func Common(t testing.TB) manifests.Common {
	t.Helper()
	nonce, err := manifests.NewNonce(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return manifests.Common{Registry: Origin, Nonce: nonce, IssuedAt: day}
}

// Seal returns the envelope of a statement, signed by people.
func Seal(t testing.TB, s *manifests.Statement, signers ...string) []byte {
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

// Folder writes files, by path with slashes, into a new folder.
func Folder(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for path, text := range files {
		full := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A Records keeps documents.
type Records interface {
	PutRecords(ctx context.Context, blocks ...block.Block) error
}

// Record stores a document.
func Record(t testing.TB, store Records, c cid.Cid, b []byte) {
	t.Helper()
	blk, err := block.NewBlockWithCid(b, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutRecords(t.Context(), blk); err != nil {
		t.Fatal(err)
	}
}

// Version describes what was added as a version of a dataset of one person, under
// the document terms, whose base licence is license. Both may be changed before
// they are encoded; the contribution's dataset then lacks its manifest, and what
// it repeats from the manifest is bytes, fileCount and mediaTypes.
func Version(t testing.TB, publisher, name, version string, r *ingest.Result, terms cid.Cid, license string) (*manifests.Manifest, *manifests.Contribution) {
	t.Helper()
	chunking, err := manifests.ParseChunking(r.Chunker)
	if err != nil {
		t.Fatal(err)
	}
	id := foldtest.ID(publisher)
	m := &manifests.Manifest{
		Schema: manifests.ManifestSchema, Name: name, Version: version, CreatedAt: day, Publisher: id,
		Contributors: []manifests.Contributor{{ID: id}}, Terms: cjson.Link{Cid: terms}, RecordSchema: r.Schemas,
		Data: manifests.Data{
			Root: cjson.Link{Cid: cjson.V1(r.Root)}, Bytes: r.Bytes, FileCount: r.FileCount, Profile: "unixfs-v1-2025", Chunking: chunking,
			FileList: cjson.Link{Cid: r.FileList},
		},
	}
	for _, f := range r.Files {
		m.Files = append(m.Files, ingest.ManifestFile(f))
	}
	return m, &manifests.Contribution{
		Common: Common(t), Publisher: id, Terms: cjson.CID{Cid: terms},
		Dataset: manifests.Dataset{
			Name: name, Version: version, License: license,
			Bytes: r.Bytes, FileCount: r.FileCount, MediaTypes: m.MediaTypes(),
		},
		Contributors: []manifests.Share{{ID: id, Weight: "1"}}, Total: "1",
	}
}
