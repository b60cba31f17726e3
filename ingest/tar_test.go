package ingest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

func tarOf(t testing.TB, src unixfs.Blocks, root cid.Cid, o ingest.TarOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := ingest.Tar(t.Context(), src, root, &b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// systemTar unpacks with the system's own tar; its error when it does not like what
// it gets.
func systemTar(t testing.TB, b []byte) (dir string, err error) {
	t.Helper()
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("NOT RUN: there is no tar on this system")
	}
	dir = t.TempDir()
	cmd := exec.Command("tar", "-x", "-C", dir)
	cmd.Stdin = bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
}

// TestTarRoundTrip streams random trees, and a tree with what tar finds hard, to
// the system's tar: what it writes is what was added. A remote tree is the same
// bytes.
func TestTarRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	for round := range 6 {
		dir := t.TempDir()
		randomTree(t, r, dir, 3)
		if round == 0 {
			long := filepath.Join(dir, strings.Repeat("d", 120), strings.Repeat("e", 120))
			for name, b := range map[string]string{
				"späße.txt": "umlauts", strings.Repeat("n", 250): "long", "empty": "",
				"512": strings.Repeat("x", 512), "-rf": "no option", "a b": "space",
			} {
				os.MkdirAll(long, 0o777)
				os.MkdirAll(filepath.Join(dir, "no files"), 0o777)
				if err := errors.Join(os.WriteFile(filepath.Join(dir, name), []byte(b), 0o666), os.WriteFile(filepath.Join(long, name), []byte(b), 0o666)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink("späße.txt", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
		}
		m := newMemory()
		root := add(t, m, dir, ingest.AddOptions{Chunker: "size-16384"}).Root
		b := tarOf(t, m, root, ingest.TarOptions{Links: ingest.LinksAll})
		out, err := systemTar(t, b)
		if err != nil {
			t.Fatal(err)
		}
		same(t, dir, out)
		s := open(t, remote.SourcesOptions{}, serve(t, m, honest), serve(t, m, manners["half"]))
		if far := tarOf(t, s, root, ingest.TarOptions{Links: ingest.LinksAll}); !bytes.Equal(far, b) {
			t.Error("the stream from afar differs")
		}
	}
}

// TestTarOrder holds the stream to the canonical order of paths, and everything in
// a header to the data alone.
func TestTarOrder(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	for _, name := range []string{"a/b", "a.txt", "0001.jpg", "0001.cls", "0002.jpg", "a/a", "z/z/z"} {
		os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o777)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("a/b", filepath.Join(dir, "in")), os.Symlink("/etc/passwd", filepath.Join(dir, "out"))); err != nil {
		t.Fatal(err)
	}
	root := add(t, m, dir, ingest.AddOptions{}).Root
	names := func(o ingest.TarOptions) (out []string) {
		b := tarOf(t, m, root, o)
		r := tar.NewReader(bytes.NewReader(b))
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid|h.Gid != 0 || h.Uname+h.Gname != "" || h.Mode&0o022 != 0 && h.Typeflag != tar.TypeSymlink {
				t.Errorf("%s has a header of this machine: %+v", h.Name, h)
			}
			out = append(out, h.Name)
			if b, err := io.ReadAll(r); err != nil || h.Typeflag == tar.TypeReg && string(b) != h.Name {
				t.Errorf("%s: %q, %v", h.Name, b, err)
			}
		}
	}
	for _, tt := range []struct {
		o    ingest.TarOptions
		want string
	}{
		{ingest.TarOptions{}, "0001.cls 0001.jpg 0002.jpg a/ a/a a/b a.txt in z/ z/z/ z/z/z"},
		{ingest.TarOptions{Links: ingest.LinksNone}, "0001.cls 0001.jpg 0002.jpg a/ a/a a/b a.txt z/ z/z/ z/z/z"},
		{ingest.TarOptions{Links: ingest.LinksAll}, "0001.cls 0001.jpg 0002.jpg a/ a/a a/b a.txt in out z/ z/z/ z/z/z"},
		{ingest.TarOptions{Match: []string{"*.jpg"}}, "0001.jpg 0002.jpg"},
		{ingest.TarOptions{Match: []string{"a/*", "0001.*"}}, "0001.cls 0001.jpg a/a a/b"},
		{ingest.TarOptions{Match: []string{"**/z"}}, "z/z/z"},
		{ingest.TarOptions{Match: []string{"z/**"}}, "z/z/z"},
		{ingest.TarOptions{Match: []string{"nothing"}}, ""},
	} {
		if got := strings.Join(names(tt.o), " "); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.o, got, tt.want)
		}
	}
	for _, bad := range []ingest.TarOptions{{Links: "some"}, {Match: []string{"[a"}}, {Match: []string{"a//b"}}, {Match: []string{""}}, {Name: "a/b"}} {
		var b bytes.Buffer
		if _, err := ingest.Tar(t.Context(), m, root, &b, bad); fault.Of(err) != fault.Invalid || b.Len() > 0 {
			t.Errorf("%+v: %v after %d bytes, want invalid", bad, err, b.Len())
		}
	}
}

// TestTarOfAFile names the only entry as it is told.
func TestTarOfAFile(t *testing.T) {
	m := newMemory()
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, bytes.Repeat([]byte("12345"), 9999), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, chunker := range []string{"", "size-16384"} {
		root := add(t, m, name, ingest.AddOptions{Chunker: chunker}).Root
		out, err := systemTar(t, tarOf(t, m, root, ingest.TarOptions{Name: "table.csv"}))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(out, "table.csv")); err != nil || len(b) != 5*9999 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		var cat bytes.Buffer
		if err := ingest.Cat(t.Context(), m, root, &cat); err != nil || cat.Len() != 5*9999 {
			t.Errorf("cat: %d bytes, %v", cat.Len(), err)
		}
	}
}

// TestBrokenTar breaks each block of a dataset in turn. The stream fails with the
// block's code, and no reader of tar takes what has come for whole: not Go's, and
// not the system's.
func TestBrokenTar(t *testing.T) {
	m, _, root := smallDataset(t)
	read := make(map[string]bool) // sketch and fingerprint are no part of a tar
	m.fail = func(c cid.Cid) error { read[string(c.Hash())] = true; return nil }
	whole := tarOf(t, m, root, ingest.TarOptions{})
	m.fail = nil
	if len(read) < 3 {
		t.Fatalf("%d blocks were read", len(read))
	}
	for key := range read {
		m.fail = func(c cid.Cid) error {
			if string(c.Hash()) == key {
				return fault.New(fault.Unverified, "a broken block")
			}
			return nil
		}
		var b bytes.Buffer
		_, err := ingest.Tar(t.Context(), m, root, &b, ingest.TarOptions{})
		if fault.Of(err) != fault.Unverified {
			t.Fatalf("%v, want unverified", err)
		}
		r := tar.NewReader(bytes.NewReader(b.Bytes()))
		for err = nil; err == nil; {
			if _, err = r.Next(); err == nil {
				_, err = io.Copy(io.Discard, r)
			}
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Go's reader takes it for whole: %v", err)
		}
		if !bytes.HasPrefix(whole, b.Bytes()[:b.Len()/512*512-512]) && b.Len() > 512 {
			t.Error("what came before the failure differs from the whole stream")
		}
		if _, err := systemTar(t, b.Bytes()); err == nil {
			t.Error("the system's tar takes it for whole")
		}
	}
}

// TestTarOfLies has nodes whose claims are not true: the stream fails, and fails
// visibly.
func TestTarOfLies(t *testing.T) {
	m := newMemory()
	leaf := merkledag.NewRawNode([]byte("four"))
	m.node(t, leaf)
	for _, claim := range []uint64{3, 5, 1 << 40} {
		f := ft.NewFSNode(ft.TFile)
		f.AddBlockSize(claim)
		data, err := f.GetBytes()
		if err != nil {
			t.Fatal(err)
		}
		n := merkledag.NodeWithData(data)
		if err := n.AddNodeLink("", leaf); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := ingest.Tar(t.Context(), m, m.node(t, n), &b, ingest.TarOptions{}); fault.Of(err) != fault.Invalid {
			t.Errorf("a claim of %d for 4: %v, want invalid", claim, err)
		}
		if _, err := systemTar(t, b.Bytes()); err == nil {
			t.Errorf("a claim of %d for 4: tar takes it for whole", claim)
		}
	}
}

// TestMatching holds globs to a slow and plain reading of their meaning.
func TestMatching(t *testing.T) {
	var plain func(glob, name []string) bool
	plain = func(glob, name []string) bool {
		switch {
		case len(glob) == 0:
			return len(name) == 0
		case glob[0] == "**":
			return plain(glob[1:], name) || len(name) > 0 && plain(glob, name[1:])
		case len(name) == 0:
			return false
		}
		ok, _ := path.Match(glob[0], name[0])
		return ok && plain(glob[1:], name[1:])
	}
	elem := rapid.SampledFrom([]string{"a", "b", "ab", "**", "*", "a*", "?"})
	rapid.Check(t, func(t *rapid.T) {
		glob := rapid.SliceOfN(elem, 2, 6).Draw(t, "glob")
		name := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), 1, 6).Draw(t, "name")
		got, err := ingest.Matches([]string{strings.Join(glob, "/")}, strings.Join(name, "/"))
		if err != nil || got != plain(glob, name) {
			t.Errorf("%q, %q: %v, %v", glob, name, got, err)
		}
	})
}

func FuzzGlob(f *testing.F) {
	for _, g := range []string{"*.jpg", "a/**/b", "[a-", "**/**/**/**/x", "a//b"} {
		f.Add(g, "a/b/c.jpg")
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		if _, err := ingest.Matches([]string{glob}, name); err != nil && fault.Of(err) != fault.Invalid {
			t.Error(err)
		}
	})
}

// slowWriter counts what the stream holds while its reader takes its time.
type slowWriter struct {
	n    int
	most uint64
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.n += len(p); w.n>>23 != (w.n-len(p))>>23 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		w.most = max(w.most, s.HeapAlloc)
	}
	return len(p), nil
}

// copying hands out blocks that are the caller's own, as a store does.
type copying struct{ *memory }

func (d copying) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := d.memory.Block(ctx, c)
	return bytes.Clone(b), err
}

// TestTarMemory streams 96 MiB, of one block many times, to a slow reader.
func TestTarMemory(t *testing.T) {
	m := newMemory()
	leaf := merkledag.NewRawNode(make([]byte, 1<<20))
	m.node(t, leaf)
	f, n := ft.NewFSNode(ft.TFile), merkledag.NodeWithData(nil)
	for range 96 {
		f.AddBlockSize(1 << 20)
		if err := n.AddNodeLink("", leaf); err != nil {
			t.Fatal(err)
		}
	}
	data, err := f.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	n.SetData(data)
	root := m.node(t, n)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var w slowWriter
	if _, err := ingest.Tar(t.Context(), copying{m}, root, &w, ingest.TarOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.n < 96<<20 || w.most == 0 {
		t.Fatalf("%d bytes", w.n)
	}
	if w.most > before.HeapAlloc+20<<20 {
		t.Errorf("%d MiB held, 16 MiB of blocks may be", (w.most-before.HeapAlloc)>>20)
	}
}

// TestNothingIsLeftRunning counts goroutines after work that ended well, and badly.
func TestNothingIsLeftRunning(t *testing.T) {
	m, _, root := smallDataset(t)
	list := []*gateway{serve(t, m, honest), serve(t, m, manners["slow"]), serve(t, m, manners["cutting at times"]), serve(t, m, manners["liar"])}
	stopped := &stopAfter{n: 2000}
	before := goroutines()
	for _, w := range []io.Writer{io.Discard, stopped} {
		s := open(t, quick, list...)
		_, err := ingest.Tar(t.Context(), s, root, w, ingest.TarOptions{})
		if w == stopped && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%v", err)
		}
		ingest.Get(t.Context(), s, root, filepath.Join(t.TempDir(), "out"), ingest.GetOptions{})
		s.Close()
		if _, err := s.Block(t.Context(), cid.MustParse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")); fault.Of(err) != fault.Interrupted {
			t.Errorf("a block of closed sources: %v", err)
		}
	}
	for range 100 {
		if left := goroutines(); len(left) <= len(before) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("before: %d, after:\n%s", len(before), strings.Join(goroutines(), "\n\n"))
}

// goroutines returns the stacks that are in code of ours.
func goroutines() []string {
	b := make([]byte, 1<<20)
	all := strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n")
	return slices.DeleteFunc(all, func(s string) bool {
		return !strings.Contains(s, "/ingest.") && !strings.Contains(s, "/remote.")
	})
}

type stopAfter struct{ n int }

func (s *stopAfter) Write(p []byte) (int, error) {
	if s.n -= len(p); s.n < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}
