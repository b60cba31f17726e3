package dag_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// kept are blocks by their multihash.
type kept map[string][]byte

func (k kept) Append(_ context.Context, c cid.Cid, data []byte) (bool, error) {
	k[string(c.Hash())] = bytes.Clone(data)
	return true, nil
}

func (k kept) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	if b, ok := k[string(c.Hash())]; ok {
		return b, nil
	}
	return nil, fault.New(fault.NotFound, "no block %s", c)
}

func (k kept) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	b, err := k.Block(ctx, c)
	return uint64(len(b)), err
}

// foldedDir is a directory of names that are one name to some systems, each with
// a text of its own.
func foldedDir(t testing.TB, k kept, names ...string) cid.Cid {
	t.Helper()
	d := dag.NewDir(small[0], k)
	for _, name := range names {
		text := []byte("this is " + name)
		k.Append(t.Context(), cjson.RawCID(text), text)
		if err := d.Add(name, cjson.RawCID(text), uint64(len(text))); err != nil {
			t.Fatal(err)
		}
	}
	l, _, err := d.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l.CID
}

// TestGetNamesThatFold: names that differ in case, or in how a letter is written,
// are different files. On a file system that keeps them apart, a Get writes each
// under its own name, byte for byte, and nothing beside dst.
func TestGetNamesThatFold(t *testing.T) {
	names := []string{"README", "Readme", "readme", "e\u0301", "é", "ſ", "s"}
	k := make(kept)
	root := foldedDir(t, k, names...)
	above := t.TempDir()
	if err := os.WriteFile(filepath.Join(above, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(above, "A")); err == nil {
		t.Skip("NOT RUN: the file system of the test takes a and A for one name")
	}
	dst := filepath.Join(above, "out")
	for range 2 { // the second finds everything
		r, err := ingest.Get(t.Context(), k, root, dst, ingest.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Files != int64(len(names)) {
			t.Errorf("%d files, want %d", r.Files, len(names))
		}
	}
	entries, err := os.ReadDir(dst)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(names) {
		t.Errorf("%d names in the folder, want %d", len(entries), len(names))
	}
	for _, name := range names {
		if b, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(b) != "this is "+name {
			t.Errorf("%q holds %q, %v", name, b, err)
		}
	}
	if entries, err := os.ReadDir(above); err != nil || len(entries) != 2 {
		t.Errorf("%d names in the folder above, %v", len(entries), err)
	}
}
