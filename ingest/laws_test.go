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
	mdtest "github.com/ipfs/boxo/ipld/merkledag/test"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32() >> 7)
	}
	return b
}

// TestPackRoundTrip takes a tree with odd names, links and sizes through a
// store on disk, closed and opened between, in both modes of verifying.
func TestPackRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 5))
	dir := t.TempDir()
	for i, name := range []string{"plain", "with space", "日本語/ファイル", "-rf", "~", "a.b.c", "\\back", "x=y&z?%20#", "'\"", "tail.", strings.Repeat("n", 255), "deep/er/and/deeper/f"} {
		put(t, filepath.Join(dir, name), noise(r, []int{0, 1, 4095, 4096, 4097, 128 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 2<<20 + 4096}[i%10]))
	}
	for name, target := range map[string]string{"link": "plain", "deep/up": "../plain", "odd": "\xff \x01", "deep/er/dir": "and"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "empty/nested"), 0o777); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	s, err := pack.Open(home, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := ingest.Add(t.Context(), dir, ingest.PackStore(s), ingest.AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if dry, err := ingest.Add(t.Context(), dir, nil, ingest.AddOptions{}); err != nil || !dry.Root.Equals(res.Root) || dry.NewBlocks != 0 || dry.Blocks != res.Blocks {
		t.Errorf("a dry run makes %+v, %v; the real one %s of %d blocks", dry, err, res.Root, res.Blocks)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []pack.VerifyMode{pack.Always, pack.Once} {
		if s, err = pack.Open(home, pack.Options{Verify: mode}); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "not/there/yet")
		g, err := ingest.Get(t.Context(), s, res.Root, out, ingest.GetOptions{Links: ingest.LinksAll})
		if err != nil {
			t.Fatal(err)
		}
		same(t, dir, out)
		if g.Files != res.FileCount || g.Bytes != res.Bytes || g.Links != res.Symlinks {
			t.Errorf("Get counts %+v, Add %d files of %d bytes and %d links", g, res.FileCount, res.Bytes, res.Symlinks)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGetHAMT gets a directory of many entries, as boxo shards it with fewer
// slots and as Add does.
func TestGetHAMT(t *testing.T) {
	m := newMemory()
	leaf := merkledag.NewRawNode([]byte("leaf"))
	m.node(t, leaf)
	serv := mdtest.Mock()
	for _, fanout := range []int{8, 64, 256} {
		shard, err := hamt.NewShard(serv, fanout)
		if err != nil {
			t.Fatal(err)
		}
		shard.SetCidBuilder(merkledag.V1CidPrefix())
		for i := range 300 {
			if err := shard.Set(t.Context(), fmt.Sprintf("file %d", i), leaf); err != nil {
				t.Fatal(err)
			}
		}
		root, err := shard.Node()
		if err != nil {
			t.Fatal(err)
		}
		copyDAG(t, m, serv, root)
		out := filepath.Join(t.TempDir(), "out")
		g, err := ingest.Get(t.Context(), m, root.Cid(), out, ingest.GetOptions{})
		if err != nil || g.Files != 300 || len(state(t, out)) != 301 {
			t.Errorf("%d slots: %+v, %v, %d on disk", fanout, g, err, len(state(t, out)))
		}
	}

	// Long names make a HAMT of few entries.
	dir := t.TempDir()
	for i := range 1000 {
		put(t, filepath.Join(dir, fmt.Sprintf("%s%04d", strings.Repeat("x", 240), i)), fmt.Append(nil, i))
	}
	res := add(t, m, dir, ingest.AddOptions{})
	if res.Blocks < 1000+100 {
		t.Fatalf("%d blocks: no HAMT was made", res.Blocks)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	same(t, dir, out)
}

func copyDAG(t *testing.T, m *memory, serv format.DAGService, n format.Node) {
	t.Helper()
	m.node(t, n)
	for _, l := range n.Links() {
		if l.Cid.Prefix().Codec == cid.Raw {
			continue
		}
		child, err := serv.Get(t.Context(), l.Cid)
		if err != nil {
			t.Fatal(err)
		}
		copyDAG(t, m, serv, child)
	}
}

// TestGetRoots gets a file, a link and an empty directory by themselves.
func TestGetRoots(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), []byte("content"))
	m := newMemory()
	file := add(t, m, filepath.Join(dir, "file"), ingest.AddOptions{})
	empty := add(t, m, t.TempDir(), ingest.AddOptions{})
	link, err := dag.Symlink(t.Context(), dag.ProfileV1_2025, m, "file")
	if err != nil {
		t.Fatal(err)
	}
	away, err := dag.Symlink(t.Context(), dag.ProfileV1_2025, m, "../file")
	if err != nil {
		t.Fatal(err)
	}
	parent := filepath.Join(t.TempDir(), "new")
	for _, tt := range []struct {
		root cid.Cid
		name string
		want string
	}{
		{file.Root, "a", "content"},
		{empty.Root, "b", "/"},
		{link.CID, "c", "-> file"},
		{away.CID, "d", ""},
	} {
		if _, err := ingest.Get(t.Context(), m, tt.root, filepath.Join(parent, tt.name), ingest.GetOptions{}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := state(t, parent)[tt.name]; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if _, err := ingest.Get(t.Context(), m, dag.ProfileV1_2025.LeafCID([32]byte{1}), filepath.Join(parent, "e"), ingest.GetOptions{}); !errors.Is(err, fault.NotFound) {
		t.Errorf("a root that is not there: %v, want not-found", err)
	}
}

// TestGetConflicts has something of another kind where a Get wants to write.
// It is told, and what was there stays as it was.
func TestGetConflicts(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "f"), []byte("new"))
	put(t, filepath.Join(dir, "d/x"), []byte("new"))
	if err := os.Symlink("f", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	res := add(t, m, dir, ingest.AddOptions{})
	file := add(t, m, filepath.Join(dir, "f"), ingest.AddOptions{})
	link := func(target string) func(string) error {
		return func(p string) error { return os.Symlink(target, p) }
	}
	text := func(p string) error { return os.WriteFile(p, []byte("old"), 0o666) }
	folder := func(p string) error { return os.Mkdir(p, 0o777) }
	fifo := func(p string) error { return syscall.Mkfifo(p, 0o600) }
	for _, tt := range []struct {
		at   string
		make func(string) error
		root cid.Cid
	}{
		{"", text, res.Root},
		{"", folder, file.Root},
		{"", fifo, file.Root},
		{"", link("elsewhere"), file.Root},
		{"f", folder, res.Root},
		{"f", fifo, res.Root},
		{"f", link("elsewhere"), res.Root},
		{"f", link("d"), res.Root},
		{".f.cairn-part", folder, res.Root},
		{".f.cairn-part", link("elsewhere"), res.Root},
		{"d", text, res.Root},
		{"d", fifo, res.Root},
		{"d", link("elsewhere"), res.Root},
		{"d", link("."), res.Root},
		{"l", text, res.Root},
		{"l", folder, res.Root},
	} {
		parent := t.TempDir()
		put(t, filepath.Join(parent, "elsewhere/x"), []byte("mine"))
		out := filepath.Join(parent, "out")
		at := filepath.Join(out, tt.at)
		if tt.at != "" {
			put(t, filepath.Join(out, "elsewhere/x"), []byte("mine"))
		}
		if err := tt.make(at); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ingest.Get(t.Context(), m, tt.root, out, ingest.GetOptions{}); !errors.Is(err, fault.Conflict) {
			t.Errorf("%v at %q: %v, want conflict", before.Mode(), tt.at, err)
		}
		if after, err := os.Lstat(at); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() || after.Size() != before.Size() {
			t.Errorf("%v at %q: it is not there any more as it was (%v)", before.Mode(), tt.at, err)
		}
		for _, dir := range []string{parent, out} {
			if b, err := os.ReadFile(filepath.Join(dir, "elsewhere/x")); err == nil && string(b) != "mine" {
				t.Errorf("%v at %q: written through", before.Mode(), tt.at)
			}
		}
	}
}

// TestGetReplacesWhole overwrites files of every other length: each is the old
// one until it is the new one, and nothing of the old is left behind.
func TestGetReplacesWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 8))
	data := noise(r, 10_000)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "f"), data)
	m := newMemory()
	res := add(t, m, dir, ingest.AddOptions{Chunker: "size-1000"})
	for _, n := range []int{0, 1, 9_999, 10_000, 10_001, 50_000} {
		out := t.TempDir()
		old := noise(r, n)
		put(t, filepath.Join(out, "f"), old)
		put(t, filepath.Join(out, ".f.cairn-part"), noise(r, n)) // of something else
		m.mu.Lock()
		left := 6
		m.fail = func(cid.Cid) error {
			if left--; left < 0 {
				return fault.New(fault.Unverified, "damaged")
			}
			return nil
		}
		m.mu.Unlock()
		if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); !errors.Is(err, fault.Unverified) {
			t.Fatalf("over %d bytes, with a block damaged: %v", n, err)
		}
		if b, err := os.ReadFile(filepath.Join(out, "f")); err != nil || !bytes.Equal(b, old) {
			t.Errorf("over %d bytes: a Get that failed touched the file (%v)", n, err)
		}
		m.fail = nil
		if _, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		same(t, dir, out)
	}
}

// TestGetHostileDAGs offers directories that no Add makes.
func TestGetHostileDAGs(t *testing.T) {
	m := newMemory()
	leaf := merkledag.NewRawNode([]byte("evil\n"))
	m.node(t, leaf)
	link := merkledag.NodeWithData(mustSymlink(t, "/"))
	link.SetCidBuilder(merkledag.V1CidPrefix())
	m.node(t, link)
	directory := func(children map[string]format.Node, twice bool) cid.Cid {
		n := ft.EmptyDirNode()
		n.SetCidBuilder(merkledag.V1CidPrefix())
		for name, c := range children {
			for range 2 {
				if err := n.AddNodeLink(name, c); err != nil {
					t.Fatal(err)
				}
				if !twice {
					break
				}
			}
		}
		return m.node(t, n)
	}
	inner := directory(map[string]format.Node{"passwd": leaf}, false)
	both := ft.EmptyDirNode()
	both.SetCidBuilder(merkledag.V1CidPrefix())
	for _, l := range []*format.Link{{Name: "etc", Cid: link.Cid(), Size: uint64(len(link.RawData()))}, {Name: "etc", Cid: inner, Size: 60}} {
		if err := both.AddRawLink(l.Name, l); err != nil {
			t.Fatal(err)
		}
	}
	sharded := func(name string) cid.Cid {
		serv := mdtest.Mock()
		s, err := hamt.NewShard(serv, 256)
		if err != nil {
			t.Fatal(err)
		}
		s.SetCidBuilder(merkledag.V1CidPrefix())
		if err := s.Set(t.Context(), name, leaf); err != nil {
			t.Fatal(err)
		}
		n, err := s.Node()
		if err != nil {
			t.Fatal(err)
		}
		copyDAG(t, m, serv, n)
		return n.Cid()
	}
	for name, root := range map[string]cid.Cid{
		"one name twice":               directory(map[string]format.Node{"x": leaf}, true),
		"a link and a folder":          m.node(t, both),
		"a HAMT with ..":               sharded(".."),
		"a HAMT with a path":           sharded("a/../../x"),
		"a HAMT with a control letter": sharded("\x1b]0;"),
	} {
		for _, links := range []string{ingest.LinksInside, ingest.LinksAll} {
			parent := t.TempDir()
			if _, err := ingest.Get(t.Context(), m, root, filepath.Join(parent, "out"), ingest.GetOptions{Links: links}); !errors.Is(err, fault.Invalid) {
				t.Errorf("%s: %v, want invalid", name, err)
			}
			if s := state(t, parent); len(s) > 2 {
				t.Errorf("%s: left %v", name, s)
			}
		}
	}

	// A tree that is deeper than any file system takes.
	root := directory(map[string]format.Node{"f": leaf}, false)
	for range 70 {
		n := ft.EmptyDirNode()
		n.SetCidBuilder(merkledag.V1CidPrefix())
		if err := n.AddRawLink("d", &format.Link{Cid: root, Size: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		root = m.node(t, n)
	}
	if _, err := ingest.Get(t.Context(), m, root, filepath.Join(t.TempDir(), "out"), ingest.GetOptions{}); !errors.Is(err, fault.TooLarge) && !errors.Is(err, fault.Invalid) {
		t.Errorf("71 folders in each other: %v", err)
	}

	// A file whose parent claims another length for a leaf.
	fsn := ft.NewFSNode(ft.TFile)
	fsn.AddBlockSize(1 << 40)
	b, err := fsn.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	liar := merkledag.NodeWithData(b)
	liar.SetCidBuilder(merkledag.V1CidPrefix())
	if err := liar.AddRawLink("", &format.Link{Cid: leaf.Cid(), Size: 5}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := ingest.Get(t.Context(), m, m.node(t, liar), out, ingest.GetOptions{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a file that claims 1 TiB: %v, want invalid", err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

func mustSymlink(t *testing.T, target string) []byte {
	t.Helper()
	b, err := ft.SymlinkData(target)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPlantedWhileGetting plants links in the target while a Get runs: whatever
// comes first, nothing outside is touched, and no file inside that is not the
// tree's.
func TestPlantedWhileGetting(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		put(t, filepath.Join(dir, fmt.Sprint(i), "x"), bytes.Repeat(fmt.Append(nil, i), 3000))
	}
	m := newMemory()
	res := add(t, m, dir, ingest.AddOptions{Chunker: "size-1000"})
	for name, plant := range map[string]func(outside, sub string){
		"in a folder's place": func(outside, sub string) {
			os.Remove(sub)
			os.Symlink(outside, sub)
		},
		"in a file's place": func(outside, sub string) { os.Symlink(filepath.Join(outside, "x"), filepath.Join(sub, "x")) },
		"in a part's place": func(_, sub string) {
			part := filepath.Join(sub, ".x.cairn-part")
			os.Remove(part)
			os.Symlink("../mine", part)
		},
	} {
		for range 5 {
			outside, out := t.TempDir(), t.TempDir()
			put(t, filepath.Join(outside, "x"), []byte("mine"))
			put(t, filepath.Join(out, "mine"), []byte("mine"))
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := 0; ; i = (i + 1) % 40 {
					select {
					case <-stop:
						return
					default:
						plant(outside, filepath.Join(out, fmt.Sprint(i)))
					}
				}
			})
			// It may fail in many ways.
			_, err := ingest.Get(t.Context(), m, res.Root, out, ingest.GetOptions{})
			close(stop)
			wg.Wait()
			if s := state(t, outside); len(s) != 2 || s["x"] != "mine" {
				t.Fatalf("a link %s was written through: outside is %v (Get said %v)", name, s, err)
			}
			if b, rerr := os.ReadFile(filepath.Join(out, "mine")); rerr != nil || string(b) != "mine" {
				t.Fatalf("a link %s was written through: inside is %.20q, %v (Get said %v)", name, b, rerr, err)
			}
		}
	}
}

// TestChangingSmallFiles has files of one chunk that never hold still: one that
// grows, one that is written over and over, one that is cut short, one that is
// replaced. Add reads each as it was at one moment, or names it.
func TestChangingSmallFiles(t *testing.T) {
	for name, change := range map[string]func(path string, i int){
		"grows": func(path string, i int) {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				f.Write([]byte("y"))
				f.Close()
			}
		},
		"is written over": func(path string, i int) { os.WriteFile(path, bytes.Repeat([]byte{byte('a' + i%26)}, 50_000), 0o666) },
		"is cut":          func(path string, i int) { os.Truncate(path, int64(50_000*(i%2))) },
		"is replaced": func(path string, i int) {
			os.WriteFile(path+".tmp", bytes.Repeat([]byte{byte('a' + i%26)}, 50_000), 0o666)
			os.Rename(path+".tmp", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "busy")
			put(t, path, bytes.Repeat([]byte("a"), 50_000))
			put(t, filepath.Join(dir, ".cairnignore"), []byte("*.tmp\n"))
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						change(path, i)
					}
				}
			})
			for range 20 {
				m := newMemory()
				res, err := ingest.Add(t.Context(), dir, m, ingest.AddOptions{})
				if err != nil {
					if !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "busy") {
						t.Errorf("%v, want a conflict that names the file", err)
					}
					continue
				}
				if len(res.Files) != 1 {
					t.Fatalf("%d files", len(res.Files))
				}
				b, ok := m.blocks[string(res.Files[0].CID.Hash())]
				if !ok || int64(len(b)) != res.Files[0].Size {
					t.Errorf("a file of %d bytes, its block has %d", res.Files[0].Size, len(b))
				}
				if name == "is replaced" && len(bytes.Trim(b, string(b[:1]))) > 0 {
					t.Error("two versions in one file")
				}
			}
			close(stop)
			wg.Wait()
		})
	}
}

// TestGoneWhileAdding takes a file away between being seen and being read.
func TestGoneWhileAdding(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a"), make([]byte, 3<<20))
	for i := range 50 {
		put(t, filepath.Join(dir, fmt.Sprintf("b%02d", i)), []byte("x"))
	}
	s := &onAppend{memory: newMemory(), do: func() { os.RemoveAll(filepath.Join(dir, "b49")) }}
	res, err := ingest.Add(t.Context(), dir, s, ingest.AddOptions{})
	if err != nil && (!errors.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "b49")) {
		t.Errorf("%v, want not-found and the name", err)
	}
	if err == nil && res.FileCount != 51 {
		t.Errorf("%d files, and no error", res.FileCount)
	}
}

// onAppend does something at the first block.
type onAppend struct {
	*memory
	once sync.Once
	do   func()
}

func (s *onAppend) Batch(context.Context) (ingest.Batch, error) { return s, nil }

func (s *onAppend) Append(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	s.once.Do(s.do)
	return s.memory.Append(ctx, c, data)
}

// TestCancelledAdd ends an Add at its first block: nothing of it is visible, and
// the store goes on.
func TestCancelledAdd(t *testing.T) { processors(t, testCancelledAdd) }

func testCancelledAdd(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		put(t, filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat(fmt.Append(nil, i), 50_000))
	}
	home := t.TempDir()
	s, err := pack.Open(home, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cache := t.TempDir()
	if _, err := ingest.Add(ctx, dir, cancelling{ingest.PackStore(s), func() { cancel(enough) }}, ingest.AddOptions{Chunker: "size-1000", CacheDir: cache}); !errors.Is(err, enough) {
		t.Errorf("%v, want %v", err, enough)
	}
	keys, err := s.AllKeysChan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for c := range keys {
		t.Errorf("%s is visible", c)
	}
	if left := state(t, cache); len(left) != 1 {
		t.Errorf("left in the cache: %d files", len(left)-1)
	}
	if r, err := ingest.Add(t.Context(), dir, ingest.PackStore(s), ingest.AddOptions{}); err != nil || r.NewBlocks == 0 {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

type cancelling struct {
	ingest.Store
	cancel func()
}

func (c cancelling) Batch(ctx context.Context) (ingest.Batch, error) {
	b, err := c.Store.Batch(ctx)
	return &cancellingBatch{b, c.cancel}, err
}

type cancellingBatch struct {
	ingest.Batch
	cancel func()
}

func (b *cancellingBatch) Append(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	defer b.cancel()
	return b.Batch.Append(ctx, c, data)
}

// TestProgress ends at the totals, which a count before the work has right.
func TestProgress(t *testing.T) {
	dir := t.TempDir()
	for i := range 25 {
		put(t, filepath.Join(dir, fmt.Sprint(i%5), fmt.Sprint(i)), make([]byte, 3000*i))
	}
	for _, o := range []ingest.AddOptions{{PreScan: true}, {PreScan: true, Chunker: "size-1000"}, {}} {
		var all []ingest.Progress
		o.Progress = func(p ingest.Progress) { all = append(all, p) }
		m := newMemory()
		res := add(t, m, dir, o)
		if len(all) == 0 {
			t.Fatal("no progress was told")
		}
		last := all[len(all)-1]
		want := ingest.Progress{Files: res.FileCount, Bytes: res.Bytes}
		if o.PreScan {
			want.TotalFiles, want.TotalBytes = res.FileCount, res.Bytes
		}
		if last != want {
			t.Errorf("at the end %+v, want %+v", last, want)
		}
		for i := 1; i < len(all); i++ {
			if all[i].Bytes < all[i-1].Bytes || all[i].Files < all[i-1].Files {
				t.Errorf("it went back: %+v after %+v", all[i], all[i-1])
			}
		}
		var mu sync.Mutex
		var got ingest.Progress
		_, err := ingest.Get(t.Context(), m, res.Root, filepath.Join(t.TempDir(), "out"), ingest.GetOptions{Progress: func(p ingest.Progress) {
			mu.Lock()
			defer mu.Unlock()
			got.Bytes = max(got.Bytes, p.Bytes)
		}})
		if err != nil || got.Bytes != res.Bytes {
			t.Errorf("Get told %d bytes of %d, %v", got.Bytes, res.Bytes, err)
		}
	}
}

// TestInlineFiles lists as many files in the result as it was told to.
func TestInlineFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		put(t, filepath.Join(dir, fmt.Sprint(i)), nil)
	}
	for n, inline := range map[int]int{-1: 0, 0: 3, 1: 0, 2: 0, 3: 3, 4: 3} {
		r := add(t, newMemory(), dir, ingest.AddOptions{InlineFiles: n})
		if len(r.Files) != inline || r.FileList.Defined() != (inline == 0) || r.FileCount != 3 {
			t.Errorf("InlineFiles %d: %d files, list %s", n, len(r.Files), r.FileList)
		}
	}
}
