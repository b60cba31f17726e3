package dag_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	mdtest "github.com/ipfs/boxo/ipld/merkledag/test"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/spaolacci/murmur3"

	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests/fault"
)

var published = []dag.Profile{dag.ProfileV1_2025, dag.ProfileV0_2015}

// TestPublishedProfilesEqualBoxo compares files of a few chunks, in full size,
// and all of one builder: a finished builder remembers nothing.
func TestPublishedProfilesEqualBoxo(t *testing.T) {
	data := make([]byte, 3<<20+1)
	rand.NewChaCha8([32]byte{6}).Read(data)
	for _, p := range published {
		for _, n := range []int{0, 1, p.ChunkSize - 1, p.ChunkSize, p.ChunkSize + 1, 2 * p.ChunkSize, len(data)} {
			compareFile(t, p, "", data[:n])
		}
	}
}

// TestManyLeavesEqualBoxo makes a file whose inner nodes are more than a builder
// holds back, so that it writes some of them between the leaves.
func TestManyLeavesEqualBoxo(t *testing.T) {
	p := dag.Profile{Name: "many", CIDVersion: 1, ChunkSize: 8, Width: 100, RawLeaves: true}
	data := make([]byte, 800_003)
	rand.NewChaCha8([32]byte{7}).Read(data)
	compareFile(t, p, "", data)
}

// dirs builds one directory with the package under test and with boxo.
func dirs(t *testing.T, p dag.Profile, names []string, leaf format.Node) (got dag.Link, sharded bool, want format.Node) {
	t.Helper()
	tsize, err := leaf.Size()
	if err != nil {
		t.Fatal(err)
	}
	boxo, err := uio.NewDirectory(mdtest.Mock(), uio.WithCidBuilder(builder(p)), uio.WithMaxLinks(0), uio.WithMaxHAMTFanout(dag.Fanout), uio.WithSizeEstimationMode(mode(p)))
	if err != nil {
		t.Fatal(err)
	}
	boxo.SetHAMTShardingSize(p.HAMTThreshold)
	d := dag.NewDir(p, &blocks{t: t})
	for _, name := range names {
		if err := errors.Join(boxo.AddChild(t.Context(), name, leaf), d.Add(name, leaf.Cid(), tsize)); err != nil {
			t.Fatal(err)
		}
	}
	if want, err = boxo.GetNode(); err != nil {
		t.Fatal(err)
	}
	sharded = d.Sharded()
	if got, _, err = d.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return got, sharded, want
}

func compareDir(t *testing.T, p dag.Profile, names []string, leaf format.Node) (sharded bool) {
	t.Helper()
	got, sharded, want := dirs(t, p, names, leaf)
	size, err := want.Size()
	if err != nil {
		t.Fatal(err)
	}
	if !got.CID.Equals(want.Cid()) || got.Tsize != size {
		t.Fatalf("%s, %d names (HAMT: %t): %s of %d, boxo has %s of %d", p.Name, len(names), sharded, got.CID, got.Tsize, want.Cid(), size)
	}
	return sharded
}

// TestPublishedThresholds compares directories at the very entry and byte where
// the published profiles begin to shard.
func TestPublishedThresholds(t *testing.T) {
	for _, p := range published {
		leaf := boxoFile(t, p, "", []byte("x"))
		tsize, err := leaf.Size()
		if err != nil {
			t.Fatal(err)
		}
		// As many names of 250 bytes as stay below, then one that is stretched.
		var names []string
		d := dag.NewDir(p, dag.Discard)
		for {
			name := fmt.Sprintf("%0250d", len(names))
			if err := d.Add(name, leaf.Cid(), tsize); err != nil {
				t.Fatal(err)
			}
			if d.Sharded() {
				break
			}
			names = append(names, name)
		}
		flips := 0
		last := compareDir(t, p, names, leaf)
		if last {
			t.Fatalf("%s: a HAMT of %d names, below the threshold", p.Name, len(names))
		}
		for n := 1; n < 250; n++ {
			sharded := measured(t, p, append(names[:len(names):len(names)], strings.Repeat("z", n)), leaf.Cid(), tsize)
			if sharded == last {
				continue
			}
			flips++
			last = sharded
			for _, m := range []int{n - 1, n, n + 1} {
				if m > 0 {
					compareDir(t, p, append(names[:len(names):len(names)], strings.Repeat("z", m)), leaf)
				}
			}
		}
		if flips != 1 {
			t.Errorf("%s: the threshold was passed %d times", p.Name, flips)
		}
	}
}

func measured(t *testing.T, p dag.Profile, names []string, c cid.Cid, tsize uint64) bool {
	t.Helper()
	d := dag.NewDir(p, dag.Discard)
	for _, name := range names {
		if err := d.Add(name, c, tsize); err != nil {
			t.Fatal(err)
		}
	}
	return d.Sharded()
}

// TestDeepHAMTEqualsBoxo takes names whose hashes agree in their first three
// bytes, so that the trie is deep and nearly empty.
func TestDeepHAMTEqualsBoxo(t *testing.T) {
	groups := make(map[uint64][]string)
	for i := range 60_000 {
		name := fmt.Sprintf("n%d", i)
		h := murmur3.Sum64([]byte(name)) >> 40
		groups[h] = append(groups[h], name)
	}
	var names []string
	for _, g := range groups {
		if len(g) > 1 {
			names = append(names, g...)
		}
	}
	if len(names) < 100 {
		t.Fatalf("only %d names", len(names))
	}
	p := small[0]
	if !compareDir(t, p, names, boxoFile(t, p, "", []byte("x"))) {
		t.Error("no HAMT was made")
	}
}

func TestSymlinksEqualBoxo(t *testing.T) {
	for _, p := range published {
		for _, target := range []string{"a", "../b/c", "/", "\xff\x00", strings.Repeat("t", 127), strings.Repeat("t", 128), strings.Repeat("t", 4095)} {
			data, err := ft.SymlinkData(target)
			if err != nil {
				t.Fatal(err)
			}
			want := merkledag.NodeWithData(data)
			if err := want.SetCidBuilder(builder(p)); err != nil {
				t.Fatal(err)
			}
			got, err := dag.Symlink(t.Context(), p, &blocks{t: t}, target)
			size, serr := want.Size()
			if err != nil || serr != nil || !got.CID.Equals(want.Cid()) || got.Tsize != size || got.Size != 0 {
				t.Errorf("%s, a target of %d bytes: %+v, %v; boxo has %s of %d", p.Name, len(target), got, err, want.Cid(), size)
			}
		}
		if _, err := dag.Symlink(t.Context(), p, dag.Discard, strings.Repeat("t", dag.MaxBlock)); !errors.Is(err, fault.TooLarge) {
			t.Errorf("a target of 2 MiB: %v, want too-large", err)
		}
	}
}

// TestChunkers holds what a chunker says of itself against what it does.
func TestChunkers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for _, spec := range []string{"", "size-1", "size-1000", "buzhash", "rabin-16-32-64", "rabin-256-512-1024"} {
		c, err := dag.ParseChunker(spec, dag.ProfileV1_2025)
		if err != nil {
			t.Fatal(err)
		}
		sizes := []int{0, 1, 15, 16, 17, 999, 1000, 1001, 128<<10 - 1, 128 << 10, 128<<10 + 1}
		for range 5 {
			sizes = append(sizes, r.IntN(200_000))
		}
		for _, n := range sizes {
			if (spec == "size-1" || spec == "rabin-16-32-64") && n > 20_000 {
				continue
			}
			data := random(r, n)
			var all []byte
			chunks, short := 0, 0
			for s := c.Split(bytes.NewReader(data)); ; chunks++ {
				b, err := s.NextBytes()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(b) == 0 || len(b) > c.Max() || c.Max() > dag.MaxChunk {
					t.Fatalf("%s: a chunk of %d bytes, at most %d", c, len(b), c.Max())
				}
				if f := c.Fixed(); f > 0 && len(b) != f {
					short++
				}
				all = append(all, b...)
			}
			if !bytes.Equal(all, data) {
				t.Errorf("%s: the chunks of %d bytes are not the bytes", c, n)
			}
			if c.Single(int64(n)) && chunks > 1 || short > 1 {
				t.Errorf("%s: %d bytes in %d chunks, %d of them short", c, n, chunks, short)
			}
		}
	}
}

func TestLeafFrames(t *testing.T) {
	for _, p := range append(published, small...) {
		for _, n := range []int{0, 1, 127, 128, 16_383, 16_384, 262_144, 1 << 20, dag.MaxChunk} {
			before, after := p.LeafFrame(n)
			if len(before)+len(after) > p.LeafOverhead() || n+p.LeafOverhead() > dag.MaxBlock && n <= dag.MaxChunk {
				t.Errorf("%s: a leaf of %d bytes has %d more, at most %d", p.Name, n, len(before)+len(after), p.LeafOverhead())
			}
		}
	}
}

func TestParseProfile(t *testing.T) {
	for _, p := range published {
		if got, err := dag.ParseProfile(p.Name); err != nil || got != p {
			t.Errorf("%s: %+v, %v", p.Name, got, err)
		}
	}
	if p, err := dag.ParseProfile(""); err != nil || p != dag.ProfileV1_2025 {
		t.Errorf("the default is %s, %v", p.Name, err)
	}
	if _, err := dag.ParseProfile("unixfs-v2"); !errors.Is(err, fault.Invalid) || fault.Hint(err) == "" {
		t.Errorf("an unknown profile: %v, hint %q", err, fault.Hint(err))
	}
}

// full is a Sink that fails after some blocks.
type full struct{ left int }

var errFull = errors.New("full")

func (f *full) Append(context.Context, cid.Cid, []byte) (bool, error) {
	if f.left--; f.left < 0 {
		return false, errFull
	}
	return true, nil
}

// TestSinkThatFails has the sink fail at every block: the builder says so, and
// is good for the next file or directory.
func TestSinkThatFails(t *testing.T) {
	p := small[0]
	leaf := sha256.Sum256([]byte("x"))
	build := func(sink *full) (file, dir dag.Link, err error) {
		f, d := dag.NewFile(p, sink), dag.NewDir(p, sink)
		for round := range 2 {
			if round == 1 {
				sink.left = 1 << 20
			}
			for range 50 {
				if err := f.AddLeaf(t.Context(), leaf, 1, 1); err != nil {
					t.Fatal(err)
				}
			}
			var ferr, derr error
			file, _, ferr = f.Finish(t.Context())
			for i := range 100 {
				if err := d.Add(fmt.Sprint(i), p.LeafCID(leaf), 1); err != nil {
					t.Fatal(err)
				}
			}
			dir, _, derr = d.Finish(t.Context())
			if round == 0 {
				err = errors.Join(ferr, derr)
			} else if ferr != nil || derr != nil {
				t.Fatalf("a builder whose sink failed before: %v, %v", ferr, derr)
			}
		}
		return file, dir, err
	}
	file, dir, err := build(&full{left: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for left := range 200 {
		f, d, err := build(&full{left: left})
		if err != nil && !errors.Is(err, errFull) {
			t.Errorf("full after %d blocks: %v", left, err)
		}
		if err != nil {
			failed++
		}
		if f != file || d != dir {
			t.Errorf("full after %d blocks: the next file or directory is another", left)
		}
	}
	if failed < 20 || failed == 200 {
		t.Errorf("it failed %d times of 200", failed)
	}
}

// TestTwiceInHAMT adds one name twice to a directory that is sharded.
func TestTwiceInHAMT(t *testing.T) {
	p := small[0]
	d := dag.NewDir(p, dag.Discard)
	for i := range 200 {
		if err := d.Add(fmt.Sprint("name ", i%199), p.LeafCID(sha256.Sum256(nil)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if !d.Sharded() {
		t.Fatal("no HAMT")
	}
	if _, _, err := d.Finish(t.Context()); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "name 0") {
		t.Errorf("%v, want invalid and the name", err)
	}
}
