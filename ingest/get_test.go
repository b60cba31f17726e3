package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// memory is a store of blocks that can lose and break them, and counts reads.
type memory struct {
	mu     sync.Mutex
	blocks map[string][]byte
	reads  int
	fail   func(c cid.Cid) error
}

func newMemory() *memory { return &memory{blocks: make(map[string][]byte)} }

func (m *memory) Batch(context.Context) (ingest.Batch, error) { return m, nil }

func (m *memory) Append(_ context.Context, c cid.Cid, data []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := string(c.Hash())
	if _, ok := m.blocks[k]; ok {
		return false, nil
	}
	m.blocks[k] = bytes.Clone(data)
	return true, nil
}

func (m *memory) Has(c cid.Cid) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.blocks[string(c.Hash())]
	return ok, nil
}

func (m *memory) Commit(context.Context) error { return nil }
func (m *memory) Close() error                 { return nil }

func (m *memory) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.fail != nil {
		if err := m.fail(c); err != nil {
			return nil, err
		}
	}
	b, ok := m.blocks[string(c.Hash())]
	if !ok {
		return nil, fault.New(fault.NotFound, "no block %s", c)
	}
	return b, nil
}

func (m *memory) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	b, err := m.Block(ctx, c)
	return uint64(len(b)), err
}

func (m *memory) node(t *testing.T, n format.Node) cid.Cid {
	t.Helper()
	if _, err := m.Append(t.Context(), n.Cid(), n.RawData()); err != nil {
		t.Fatal(err)
	}
	return n.Cid()
}

func add(t testing.TB, m *memory, path string, o ingest.AddOptions) *ingest.Result {
	t.Helper()
	r, err := ingest.Add(t.Context(), path, m, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// state describes a tree: names, kinds, contents, link targets.
func state(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			all[rel] = "-> " + target
			return err
		case d.IsDir():
			all[rel] = "/"
			return nil
		}
		b, err := os.ReadFile(path)
		all[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t testing.TB, want, got string) {
	t.Helper()
	a, b := state(t, want), state(t, got)
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			t.Errorf("%s: %.40q, want %.40q", k, w, v)
		}
		delete(b, k)
	}
	for k := range b {
		t.Errorf("%s should not be there", k)
	}
}

// TestRoundTrip adds random trees and gets them back, under both profiles and
// every kind of chunker.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for round := range 12 {
		dir := t.TempDir()
		randomTree(t, r, dir, 3)
		o := ingest.AddOptions{Profile: dag.ProfileV1_2025}
		if round%3 == 1 {
			o.Profile = dag.ProfileV0_2015
		}
		o.Chunker = []string{"", "size-1000", "buzhash", "rabin-256-512-1024"}[round%4]
		m := newMemory()
		res := add(t, m, dir, o)
		out := filepath.Join(t.TempDir(), "out")
		g, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{Links: ingest.LinksAll})
		if err != nil {
			t.Fatalf("round %d (%s %s): %v", round, o.Profile.Name, o.Chunker, err)
		}
		same(t, dir, out)
		if g.Files != res.FileCount || g.Bytes != res.Bytes {
			t.Errorf("Get counts %d files of %d bytes, Add %d of %d", g.Files, g.Bytes, res.FileCount, res.Bytes)
		}
		// Once more over what is there: nothing is written again.
		if g, err = ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{Links: ingest.LinksAll}); err != nil {
			t.Fatal(err)
		}
		same(t, dir, out)
		if g.Files != res.FileCount {
			t.Errorf("a second Get counts %d files of %d", g.Files, res.FileCount)
		}
	}
}

func randomTree(t testing.TB, r *rand.Rand, dir string, depth int) {
	t.Helper()
	for i := range r.IntN(8) {
		name := filepath.Join(dir, fmt.Sprintf("%c%d", 'a'+rune(r.IntN(26)), i))
		switch r.IntN(5) {
		case 0:
			if depth > 0 {
				if err := os.Mkdir(name, 0o777); err != nil {
					t.Fatal(err)
				}
				randomTree(t, r, name, depth-1)
			}
		case 1:
			if err := os.Symlink("a0", name); err != nil {
				t.Fatal(err)
			}
		default:
			b := make([]byte, []int{0, 1, 999, 1000, 1001, 5000, 300_000}[r.IntN(7)])
			for j := range b {
				b[j] = byte(r.Uint32() >> 7)
			}
			if err := os.WriteFile(name, b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestGetGoesOn cuts a Get short and lets it go on: it reads only what is not
// there, and no file is under its name before it is whole.
func TestGetGoesOn(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o666); err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	for i := range big { // no two chunks alike
		big[i] += byte(i / 1000)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o666); err != nil {
		t.Fatal(err)
	}
	res := add(t, m, dir, ingest.AddOptions{Chunker: "size-1000"})
	out := filepath.Join(t.TempDir(), "out")
	n := 0
	m.fail = func(cid.Cid) error {
		if n++; n > 150 {
			return fault.New(fault.Busy, "the line is cut")
		}
		return nil
	}
	if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); !errors.Is(err, fault.Busy) {
		t.Fatalf("a cut line: %v", err)
	}
	if _, err := os.Stat(filepath.Join(out, "big")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a file stands under its name (%v)", err)
	}
	m.fail, m.reads = nil, 0
	g, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, dir, out)
	if g.Skipped < 50_000 || m.reads > 300 {
		t.Errorf("%d bytes were kept, and %d blocks read again", g.Skipped, m.reads)
	}

	// What is there and wrong is written again.
	whole, err := os.ReadFile(filepath.Join(out, "big"))
	if err != nil {
		t.Fatal(err)
	}
	whole[777] ^= 1
	if err := os.WriteFile(filepath.Join(out, "big"), whole, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	same(t, dir, out)
}

// TestGetStaysInside offers trees and targets that would lead out of the folder.
func TestGetStaysInside(t *testing.T) {
	m := newMemory()
	v1 := merkledag.V1CidPrefix()
	leaf := merkledag.NewRawNode([]byte("evil\n"))
	m.node(t, leaf)
	directory := func(names ...string) cid.Cid {
		n := ft.EmptyDirNode()
		n.SetCidBuilder(v1)
		for _, name := range names {
			if err := n.AddRawLink(name, &format.Link{Size: 5, Cid: leaf.Cid()}); err != nil {
				t.Fatal(err)
			}
		}
		return m.node(t, n)
	}
	for _, name := range []string{"..", ".", "", "a/b", "../x", "/etc/passwd", "a\x00b", "\u202egpj.exe", strings.Repeat("n", 256), "bad\xffutf8"} {
		parent := t.TempDir()
		_, err := ingest.Get(t.Context(), m, directory(name), filepath.Join(parent, "out"), ingest.GetOptions{})
		if !errors.Is(err, fault.Invalid) {
			t.Errorf("a file named %q: %v, want invalid", name, err)
		}
		if s := state(t, parent); len(s) > 2 {
			t.Errorf("a file named %q left %v", name, s)
		}
	}

	// A link that somebody planted in the target is not followed.
	outside := t.TempDir()
	out := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(out, "sub")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub/x"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	res := add(t, m, dir, ingest.AddOptions{})
	if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); !errors.Is(err, fault.Conflict) {
		t.Errorf("a link where a folder should be: %v, want conflict", err)
	}
	if s := state(t, outside); len(s) != 1 {
		t.Errorf("something was written through a link: %v", s)
	}

	// So is one where a file should be.
	out = t.TempDir()
	if err := os.Mkdir(filepath.Join(out, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sub/x", "sub/.x.cairn-part"} {
		link := filepath.Join(out, name)
		if err := os.Symlink(victim, link); err != nil {
			t.Fatal(err)
		}
		if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); !errors.Is(err, fault.Conflict) {
			t.Errorf("a link at %s: %v, want conflict", name, err)
		}
		if b, _ := os.ReadFile(victim); string(b) != "mine" {
			t.Fatalf("a link at %s was written through", name)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []func(string) error{
		func(name string) error { return os.Mkdir(name, 0o777) },
		func(name string) error { return syscall.Mkfifo(name, 0o600) },
	} {
		name := filepath.Join(out, "sub/x")
		if err := kind(name); err != nil {
			t.Fatal(err)
		}
		if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); !errors.Is(err, fault.Conflict) {
			t.Errorf("something else in a file's place: %v, want conflict", err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLinks says which symlinks are written.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o777); err != nil {
		t.Fatal(err)
	}
	links := map[string]struct {
		target string
		inside bool
	}{
		"same":      {"a", true},
		"a/b/up":    {"../..", true},
		"a/b/over":  {"../../..", false},
		"a/sibling": {"../same", true},
		"absolute":  {"/etc/passwd", false},
		"parent":    {"..", false},
		"around":    {"../" + filepath.Base(dir) + "/a", false},
		"a/dangles": {"nothing", true},
		"self":      {"self", true},
		"detour":    {"a/../../x", false},
		"a/detour":  {"b/../../same", true},
	}
	for name, l := range links {
		if err := os.Symlink(l.target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	m := newMemory()
	res := add(t, m, dir, ingest.AddOptions{})
	for _, mode := range []string{ingest.LinksInside, ingest.LinksAll, ingest.LinksNone} {
		out := filepath.Join(t.TempDir(), "out")
		g, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{Links: mode})
		if err != nil {
			t.Fatal(err)
		}
		s := state(t, out)
		for name, l := range links {
			_, there := s[name]
			if want := mode == ingest.LinksAll || mode == ingest.LinksInside && l.inside; there != want {
				t.Errorf("links %s: %s -> %s is there: %t", mode, name, l.target, there)
			}
		}
		if int(g.Links)+len(g.LeftOut) != len(links) {
			t.Errorf("links %s: %d written, %d left out, of %d", mode, g.Links, len(g.LeftOut), len(links))
		}
	}
	if _, err := ingest.Get(t.Context(), m, res.Root, t.TempDir(), ingest.GetOptions{Links: "some"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("links some: %v", err)
	}
}
