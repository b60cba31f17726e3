package dag_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	chunk "github.com/ipfs/boxo/chunker"
	mdtest "github.com/ipfs/boxo/ipld/merkledag/test"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// small are the two profiles with everything shrunk, so that files of some
// kilobytes have many levels and directories of some hundred names are HAMTs.
var small = []dag.Profile{
	{Name: "small v1", CIDVersion: 1, ChunkSize: 100, Width: 4, RawLeaves: true, HAMTThreshold: 3000, HAMTEstimate: dag.BlockBytes},
	{Name: "small v0", CIDVersion: 0, ChunkSize: 64, Width: 3, RawLeaves: false, HAMTThreshold: 2500, HAMTEstimate: dag.LinksBytes},
}

func builder(p dag.Profile) cid.Builder {
	if p.CIDVersion == 0 {
		return cid.V0Builder{}
	}
	return cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256}
}

// blocks counts what a builder writes and checks each against its CID.
type blocks struct {
	t testing.TB
	n int
}

func (b *blocks) Append(_ context.Context, c cid.Cid, data []byte) (bool, error) {
	b.n++
	if again, err := c.Prefix().Sum(data); err != nil || !again.Equals(c) {
		b.t.Errorf("a block whose CID is not %s (%v)", c, err)
	}
	return true, nil
}

// file builds a file with the package under test.
func file(t testing.TB, p dag.Profile, spec string, data []byte) dag.Link {
	t.Helper()
	c, err := dag.ParseChunker(spec, p)
	if err != nil {
		t.Fatal(err)
	}
	f := dag.NewFile(p, &blocks{t: t})
	leaves := 0
	leaf := func(b []byte) {
		before, after := p.LeafFrame(len(b))
		block := append(append(bytes.Clone(before), b...), after...)
		if err := f.AddLeaf(t.Context(), sha256.Sum256(block), len(b), len(block)); err != nil {
			t.Fatal(err)
		}
		leaves++
	}
	for s := c.Split(bytes.NewReader(data)); ; {
		b, err := s.NextBytes()
		if err != nil {
			break
		}
		leaf(b)
	}
	if leaves == 0 {
		leaf(nil)
	}
	l, _, err := f.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// boxoFile builds the same file with boxo's importer.
func boxoFile(t testing.TB, p dag.Profile, spec string, data []byte) format.Node {
	t.Helper()
	if spec == "" {
		spec = fmt.Sprintf("size-%d", p.ChunkSize)
	}
	s, err := chunk.FromString(bytes.NewReader(data), spec)
	if err != nil {
		t.Fatal(err)
	}
	db, err := (&helpers.DagBuilderParams{Maxlinks: p.Width, RawLeaves: p.RawLeaves, CidBuilder: builder(p), Dagserv: mdtest.Mock()}).New(s)
	if err != nil {
		t.Fatal(err)
	}
	n, err := balanced.Layout(db)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFilesEqualBoxo compares roots and cumulative sizes of files around every
// number of leaves and nodes, under every chunker.
func TestFilesEqualBoxo(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	for _, p := range small {
		var sizes []int
		for leaves := range 40 {
			for _, extra := range []int{-1, 0, 1} {
				sizes = append(sizes, max(0, leaves*p.ChunkSize+extra))
			}
		}
		for range 20 {
			sizes = append(sizes, r.IntN(30_000))
		}
		for _, n := range sizes {
			compareFile(t, p, "", random(r, n))
		}
		for _, spec := range []string{"size-77", "rabin-64-128-256", "buzhash"} {
			for range 6 {
				compareFile(t, p, spec, random(r, r.IntN(900_000)))
			}
		}
	}
}

func compareFile(t *testing.T, p dag.Profile, spec string, data []byte) {
	t.Helper()
	got, want := file(t, p, spec, data), boxoFile(t, p, spec, data)
	size, err := want.Size()
	if err != nil {
		t.Fatal(err)
	}
	if !got.CID.Equals(want.Cid()) || got.Tsize != size || got.Size != uint64(len(data)) {
		t.Fatalf("%s, %q, %d bytes: %s of %d, boxo has %s of %d", p.Name, spec, len(data), got.CID, got.Tsize, want.Cid(), size)
	}
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32() >> 9)
	}
	return b
}

// TestDirectoriesEqualBoxo compares directories of all sizes around the
// threshold, built in byte order and in none.
func TestDirectoriesEqualBoxo(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, p := range small {
		leaf := boxoFile(t, p, "", []byte("x"))
		tsize, err := leaf.Size()
		if err != nil {
			t.Fatal(err)
		}
		sharded := 0
		for n := 0; n < 600; n += 1 + n/12 {
			names := make(map[string]bool)
			for len(names) < n {
				names[string(randomName(r))] = true
			}
			boxo, err := uio.NewDirectory(mdtest.Mock(), uio.WithCidBuilder(builder(p)), uio.WithMaxLinks(0), uio.WithMaxHAMTFanout(dag.Fanout), uio.WithSizeEstimationMode(mode(p)))
			if err != nil {
				t.Fatal(err)
			}
			boxo.SetHAMTShardingSize(p.HAMTThreshold)
			d := dag.NewDir(p, &blocks{t: t})
			for name := range names {
				if err := boxo.AddChild(t.Context(), name, leaf); err != nil {
					t.Fatal(err)
				}
				if err := d.Add(name, leaf.Cid(), tsize); err != nil {
					t.Fatal(err)
				}
			}
			want, err := boxo.GetNode()
			if err != nil {
				t.Fatal(err)
			}
			if d.Sharded() {
				sharded++
			}
			isHAMT := d.Sharded()
			got, _, err := d.Finish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			size, err := want.Size()
			if err != nil {
				t.Fatal(err)
			}
			if !got.CID.Equals(want.Cid()) || got.Tsize != size {
				t.Fatalf("%s, %d names (HAMT: %t): %s of %d, boxo has %s of %d", p.Name, n, isHAMT, got.CID, got.Tsize, want.Cid(), size)
			}
			if d.Len() != 0 {
				t.Fatal("a finished builder is not empty")
			}
		}
		if sharded < 10 {
			t.Errorf("%s: only %d directories were HAMTs", p.Name, sharded)
		}
	}
}

func mode(p dag.Profile) uio.SizeEstimationMode {
	if p.HAMTEstimate == dag.BlockBytes {
		return uio.SizeEstimationBlock
	}
	return uio.SizeEstimationLinks
}

func randomName(r *rand.Rand) []rune {
	b := make([]rune, 1+r.IntN(20))
	for i := range b {
		b[i] = []rune("abcdefXYZ0123-_.~äß日")[r.IntN(20)]
	}
	if s := string(b); s == "." || s == ".." {
		return []rune("dot")
	}
	return b
}

func TestBadDirectories(t *testing.T) {
	p := dag.ProfileV1_2025
	leaf := p.LeafCID(sha256.Sum256(nil))
	for _, name := range []string{"", string(make([]byte, 256))} {
		if err := dag.NewDir(p, dag.Discard).Add(name, leaf, 0); !errors.Is(err, fault.Invalid) {
			t.Errorf("a name of %d bytes: %v", len(name), err)
		}
	}
	d := dag.NewDir(p, dag.Discard)
	for range 2 {
		if err := d.Add("twice", leaf, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.Finish(t.Context()); !errors.Is(err, fault.Invalid) {
		t.Errorf("one name twice: %v", err)
	}
	if err := dag.NewDir(p, dag.Discard).Add("x", cid.NewCidV1(cid.DagCBOR, leaf.Hash()), 0); !errors.Is(err, fault.Invalid) {
		t.Errorf("a link to dag-cbor: %v", err)
	}
}

func TestParseChunker(t *testing.T) {
	for _, spec := range []string{"", "size-1", "size-1048576", "buzhash", "rabin-16-32-64", "rabin-262144"} {
		c, err := dag.ParseChunker(spec, dag.ProfileV1_2025)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
			continue
		}
		if again, err := dag.ParseChunker(c.String(), dag.ProfileV1_2025); err != nil || again != c {
			t.Errorf("%q is written as %q, which is read as %v (%v)", spec, c, again, err)
		}
	}
	for _, spec := range []string{"size-0", "size--1", "size-", "size-2097153", "size-99999999999999999999", "size-1.5", "buzhash-1", "rabin-3-2-1", "rabin-1-2", "fixed-3", "nonsense", "rabin-16-32-99999999"} {
		if _, err := dag.ParseChunker(spec, dag.ProfileV1_2025); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want invalid", spec, err)
		}
	}
}
