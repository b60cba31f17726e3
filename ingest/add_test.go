package ingest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// old makes a file's times old enough that the stat cache may believe them.
func old(t *testing.T, path string) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
}

// TestStatCache adds a tree again and again: an unchanged file is not read, a
// changed one is, and a cache that does not fit counts as none. What a file
// system calls ctime cannot be set back, so files are young to the cache for
// two seconds after they were made, and the test waits for that once.
func TestStatCache(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i)}, 1000), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	m := newMemory()
	o := ingest.AddOptions{CacheDir: cache}
	first := add(t, m, dir, o)
	if again := add(t, m, dir, o); again.Reused != 0 || !again.Root.Equals(first.Root) {
		t.Errorf("files of this very moment: %d were not read", again.Reused)
	}
	time.Sleep(2100 * time.Millisecond)
	add(t, m, dir, o)
	again := add(t, m, dir, o)
	if again.Reused != 5 || !again.Root.Equals(first.Root) || again.Bytes != first.Bytes || !slices.EqualFunc(again.Files, first.Files, sameFile) {
		t.Errorf("nothing changed: %d of 5 files were not read, %+v", again.Reused, again)
	}

	// The same size and an old mtime: ctime tells.
	if err := os.WriteFile(filepath.Join(dir, "2"), bytes.Repeat([]byte{99}, 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	old(t, filepath.Join(dir, "2"))
	changed := add(t, m, dir, o)
	if changed.Root.Equals(first.Root) || changed.Reused != 4 {
		t.Errorf("a changed file of the same size: root %s, %d not read", changed.Root, changed.Reused)
	}
	if want := add(t, newMemory(), dir, ingest.AddOptions{}); !want.Root.Equals(changed.Root) {
		t.Errorf("with the cache %s, without %s", changed.Root, want.Root)
	}

	// A store that lacks the root, other options, a damaged cache: all is read.
	if r := add(t, newMemory(), dir, o); r.Reused != 0 {
		t.Errorf("a store without the data: %d files were not read", r.Reused)
	}
	if r := add(t, m, dir, ingest.AddOptions{CacheDir: cache, Profile: dag.ProfileV0_2015}); r.Reused != 0 {
		t.Errorf("another profile: %d files were not read", r.Reused)
	}
	names, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cache: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := add(t, m, dir, o); r.Reused != 0 || !r.Root.Equals(changed.Root) {
		t.Errorf("a damaged cache: %d files were not read, root %s", r.Reused, r.Root)
	}

	// A file that goes or comes shifts nothing else.
	time.Sleep(2100 * time.Millisecond)
	add(t, m, dir, o)
	if err := os.Remove(filepath.Join(dir, "0")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "9"), []byte("new"), 0o666); err != nil {
		t.Fatal(err)
	}
	r := add(t, m, dir, o)
	if want := add(t, newMemory(), dir, ingest.AddOptions{}); r.Reused != 4 || !r.Root.Equals(want.Root) {
		t.Errorf("one gone, one new: %d not read, root %s, want %s", r.Reused, r.Root, want.Root)
	}
}

func sameFile(a, b ingest.File) bool {
	return a.Path == b.Path && a.CID.Equals(b.CID) && a.Size == b.Size && a.SHA256 == b.SHA256 && a.MediaType == b.MediaType
}

// growing is a store that lets a file grow with each block that comes in.
type growing struct {
	*memory
	file *os.File
}

func (g growing) Batch(context.Context) (ingest.Batch, error) { return g, nil }

func (g growing) Append(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	if _, err := g.file.WriteString("x"); err != nil {
		return false, err
	}
	return g.memory.Append(ctx, c, data)
}

// TestChangedWhileRead has a file grow for as long as it is read: it has more
// chunks than may be in flight, so blocks come in before it is at its end.
func TestChangedWhileRead(t *testing.T) { processors(t, testChangedWhileRead) }

func testChangedWhileRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log.txt")
	if err := os.WriteFile(path, make([]byte, 40<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = ingest.Add(t.Context(), dir, growing{newMemory(), f}, ingest.AddOptions{})
	if !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "log.txt") || fault.Hint(err) == "" {
		t.Errorf("%v, want a conflict that names the file, and a hint", err)
	}
	if _, err := ingest.Add(t.Context(), dir, newMemory(), ingest.AddOptions{}); err != nil {
		t.Errorf("once it is quiet: %v", err)
	}
}

// TestFileList holds the two ways of listing files to each other, around the
// count where one takes over.
func TestFileList(t *testing.T) {
	for _, count := range []int{0, 1, 999, 1000, 1001, 2500} {
		dir := t.TempDir()
		for i := range count {
			sub := filepath.Join(dir, fmt.Sprintf("%02d", i%40))
			if i < 40 {
				if err := os.Mkdir(sub, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("%d.csv", i)), fmt.Append(nil, i), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		m := newMemory()
		r := add(t, m, dir, ingest.AddOptions{})
		if r.FileList.Defined() != (count > ingest.DefaultInlineFiles) || r.FileList.Defined() == (len(r.Files) > 0) && count > 0 {
			t.Fatalf("%d files: %d inline, list %s", count, len(r.Files), r.FileList)
		}
		doc := &manifests.Manifest{Data: manifests.Data{FileList: cjson.Link{Cid: r.FileList}}}
		for _, f := range r.Files {
			doc.Files = append(doc.Files, ingest.ManifestFile(f))
		}
		n, bytes := int64(0), int64(0)
		last := ""
		for f, err := range doc.ListedFiles(t.Context(), m) {
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 && manifests.ComparePaths(last, f.Path) >= 0 {
				t.Fatalf("%s comes after %s", f.Path, last)
			}
			b, err := os.ReadFile(filepath.Join(dir, f.Path))
			if err != nil || f.Size != int64(len(b)) || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(b)) || f.MediaType != "text/csv" {
				t.Fatalf("%+v is not what is on disk (%v)", f, err)
			}
			last = f.Path
			n++
			bytes += f.Size
		}
		if n != r.FileCount || bytes != r.Bytes || n != int64(count) {
			t.Errorf("%d files listed of %d, %d bytes of %d", n, r.FileCount, bytes, r.Bytes)
		}
	}
}

// TestWholeFileHash compares the SHA-256 of files that end around chunks, in
// every shape a leaf can have.
func TestWholeFileHash(t *testing.T) {
	for _, p := range []dag.Profile{dag.ProfileV1_2025, dag.ProfileV0_2015} {
		for _, chunker := range []string{"size-1000", "buzhash", "rabin-256-512-1024"} {
			dir := t.TempDir()
			for _, n := range []int{0, 1, 999, 1000, 1001, 2000, 40_001, 700_000} {
				b := make([]byte, n)
				for i := range b {
					b[i] = byte(i * i >> 3)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), b, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			m := newMemory()
			r := add(t, m, dir, ingest.AddOptions{Profile: p, Chunker: chunker})
			for _, f := range r.Files {
				b, err := os.ReadFile(filepath.Join(dir, f.Path))
				if err != nil {
					t.Fatal(err)
				}
				if f.SHA256 != sha256.Sum256(b) {
					t.Errorf("%s %s, %s bytes: another SHA-256", p.Name, chunker, f.Path)
				}
				var got []byte
				if err := unixfs.ReadFile(t.Context(), m, f.CID, func(p []byte) error { got = append(got, p...); return nil }); err != nil || !bytes.Equal(got, b) {
					t.Errorf("%s %s, %s bytes: not read back (%v)", p.Name, chunker, f.Path, err)
				}
			}
		}
	}
}

// TestSameTreeSamePacks adds one tree to two stores: the packs are equal to the
// last byte, and adding it again writes nothing.
func TestSameTreeSamePacks(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat(fmt.Append(nil, i%100), 1+i*40), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var packs [2][]byte
	for i := range packs {
		home := t.TempDir()
		s, err := pack.Open(home, pack.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := ingest.Add(t.Context(), dir, ingest.PackStore(s), ingest.AddOptions{})
		if err != nil {
			t.Fatal(err)
		}
		again, err := ingest.Add(t.Context(), dir, ingest.PackStore(s), ingest.AddOptions{})
		if err != nil || again.NewBlocks != 0 || again.NewBytes != 0 || again.Blocks != r.Blocks {
			t.Errorf("the same again: %d new blocks of %d, %v", again.NewBlocks, again.Blocks, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if packs[i], err = os.ReadFile(filepath.Join(home, "packs", "data-00000001.car")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packs[0], packs[1]) {
		t.Error("the same tree gives two packs")
	}
}

// TestStoreThatFails has the store fail at each block in turn: Add says so, and
// nothing hangs.
func TestStoreThatFails(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat(fmt.Append(nil, i), 3000), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	whole := add(t, newMemory(), dir, ingest.AddOptions{Chunker: "size-1000"})
	for n := int64(0); n < whole.Blocks; n += 7 {
		s := &failing{memory: newMemory(), left: n}
		if _, err := ingest.Add(t.Context(), dir, s, ingest.AddOptions{Chunker: "size-1000"}); !errors.Is(err, fault.NoSpace) {
			t.Errorf("a store that is full after %d blocks: %v", n, err)
		}
	}
}

// failing is a store that is full after some blocks.
type failing struct {
	*memory
	left int64
}

func (f *failing) Batch(context.Context) (ingest.Batch, error) { return f, nil }

func (f *failing) Append(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	if f.left--; f.left < 0 {
		return false, fault.New(fault.NoSpace, "the disk is full")
	}
	return f.memory.Append(ctx, c, data)
}
