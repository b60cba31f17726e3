package translog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/translog"
)

// leaves reads the whole published log.
func leaves(t testing.TB, r *translog.Reader) [][]byte {
	t.Helper()
	var out [][]byte
	err := r.Leaves(t.Context(), 0, r.Published().Size, func(_ uint64, b []byte) error {
		out = append(out, bytes.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// implied computes, from the leaves alone, every resource that a log of these
// leaves may hand out: full tiles and bundles, and each width of a partial one
// that this size or an earlier one implies.
func implied(leaves [][]byte) map[string][]byte {
	const width = 256
	out := make(map[string][]byte)
	for n := 0; n*width < len(leaves); n++ {
		var b []byte
		for w, leaf := range leaves[n*width : min(len(leaves), (n+1)*width)] {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
			out[layout.EntriesPath(uint64(n), uint8(w+1))] = bytes.Clone(b)
		}
	}
	var hashes [][]byte
	for _, leaf := range leaves {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(leaf))
	}
	for level := uint64(0); len(hashes) > 0; level++ {
		var roots [][]byte
		for n := 0; n*width < len(hashes); n++ {
			tile := hashes[n*width : min(len(hashes), (n+1)*width)]
			for w := range tile {
				out[layout.TilePath(level, uint64(n), uint8(w+1))] = bytes.Join(tile[:w+1], nil)
			}
			if len(tile) == width {
				roots = append(roots, rootOf(tile))
			}
		}
		hashes = roots
	}
	return out
}

// rootOf returns the root over hashes, by another implementation.
func rootOf(hashes [][]byte) []byte {
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, h := range hashes {
		if err := r.Append(h, nil); err != nil {
			panic(err)
		}
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		panic(err)
	}
	return root
}

// candidates are all paths around the edges of a small log.
func candidates() []string {
	var out []string
	for n := range uint64(4) {
		for w := range 256 { // 0 is the full width
			out = append(out, layout.EntriesPath(n, uint8(w)))
			for level := range uint64(4) {
				out = append(out, layout.TilePath(level, n, uint8(w)))
			}
		}
	}
	return out
}

// TestTileIsWhatTheCheckpointImplies holds every answer of Tile, at sizes around
// the widths, against tiles computed from the leaves: what is implied is served
// to the byte, and nothing else is served at all.
func TestTileIsWhatTheCheckpointImplies(t *testing.T) {
	l := open(t, newLog(t))
	defer closeLog(t, l)
	for _, size := range []int{0, 1, 2, 255, 256, 257, 511, 512, 513} {
		fill(t, l, size)
		want := implied(leaves(t, l.Reader))
		served := 0
		for _, path := range candidates() {
			got, err := l.Tile(path)
			b, ok := want[path]
			switch {
			case ok && (err != nil || !bytes.Equal(got, b)):
				t.Errorf("size %d: %s: %d bytes, %v; want %d others", size, path, len(got), err, len(b))
			case !ok && !errors.Is(err, fault.NotFound):
				t.Errorf("size %d: %s is served: %v", size, path, err)
			case ok:
				served++
			}
		}
		if served != len(want) {
			t.Errorf("size %d: %d resources served, %d implied", size, served, len(want))
		}
	}
}

// TestTileIgnoresWhatACrashLeft puts files of a later size into the folder, and
// takes the partial files of full tiles out, as Tessera's collection does: the
// answers stay those of the checkpoint.
func TestTileIgnoresWhatACrashLeft(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	fill(t, l, 258)
	closeLog(t, l)
	r, err := translog.OpenReadOnly(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := implied(leaves(t, r))
	junk := bytes.Repeat([]byte{7}, 8192)
	for path, n := range map[string]int{
		"tile/0/001": 8192, "tile/0/001.p/3": 96, "tile/0/001.p/200": 6400, "tile/0/002.p/1": 32,
		"tile/1/000.p/2": 64, "tile/1/000": 8192, "tile/entries/001.p/3": 60, "tile/entries/001": 5000, "tile/entries/002.p/1": 20,
	} {
		name := filepath.Join(cfg.Dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, junk[:n], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	remove(t, cfg.Dir, "tile/0/000.p")
	remove(t, cfg.Dir, "tile/entries/000.p")
	for _, path := range candidates() {
		got, err := r.Tile(path)
		if b, ok := want[path]; ok && (err != nil || !bytes.Equal(got, b)) || !ok && !errors.Is(err, fault.NotFound) {
			t.Errorf("%s: %d bytes, %v; implied: %t", path, len(got), err, ok)
		}
	}
	for i := range uint64(258) {
		if _, err := r.Receipt(i); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	l = open(t, cfg) // goes on over what lies there
	fill(t, l, 260)
	if _, err := l.CheckLog(t.Context(), nil, func(file string, err error) { t.Errorf("%s: %v", file, err) }); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

// FuzzTile: whatever is asked, only implied resources in their one spelling are
// answered.
func FuzzTile(f *testing.F) {
	l := open(f, newLog(f))
	f.Cleanup(func() { closeLog(f, l) })
	fill(f, l, 258)
	want := implied(leaves(f, l.Reader))
	for _, path := range []string{
		"tile/0/000", "tile/0/001.p/2", "tile/entries/000.p/9", "tile/0/x000/001.p/1", "tile/0/1.p/1", "tile/0/001.p/02", "tile/0/001.p/+2",
		"tile/0/001.p/-1", "tile/+0/000", "tile/0/001.p/2/", "/tile/0/000", "tile//000", "tile/0/000?x", "tile/256/000", "tile/0/000\x00",
		"tile/0/x18446744073709551615/000", "tile/ENTRIES/000", "tile/0/001.p/18446744073709551618", "tile/0/../entries/000",
		strings.Repeat("\xe0", 200),
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := l.Tile(path)
		if b, ok := want[path]; ok != (err == nil) || !bytes.Equal(got, b) {
			t.Errorf("%q: %d bytes, %v; implied: %t", path, len(got), err, ok)
		}
		// A quoted byte takes up to four characters, and 128 bytes are quoted.
		if err != nil && (!errors.Is(err, fault.NotFound) || len(err.Error()) > 4*128+100) {
			t.Errorf("%q: %v", path, err)
		}
	})
}

// TestProofOfEverySize proves each entry in the tree of the published size and
// in those of sizes before it, for another implementation to verify.
func TestProofOfEverySize(t *testing.T) {
	l := open(t, newLog(t))
	defer closeLog(t, l)
	fill(t, l, 513)
	var hashes [][]byte
	for _, leaf := range leaves(t, l.Reader) {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(leaf))
	}
	for _, size := range []uint64{1, 2, 255, 256, 257, 511, 512, 513} {
		root := rootOf(hashes[:size])
		for i := range size {
			path, err := l.Proof(i, size)
			if err != nil {
				t.Fatalf("entry %d of %d: %v", i, size, err)
			}
			p := make([][]byte, len(path))
			for j := range path {
				p[j] = path[j][:]
			}
			if err := merkleproof.VerifyInclusion(rfc6962.DefaultHasher, i, size, hashes[i], p, root); err != nil {
				t.Errorf("entry %d of %d: %v", i, size, err)
			}
		}
		if _, err := l.Proof(size, size); !errors.Is(err, fault.NotFound) {
			t.Errorf("entry %d of %d: %v, want not-found", size, size, err)
		}
	}
	if p := l.Published(); !bytes.Equal(p.Root[:], rootOf(hashes)) {
		t.Error("the published root is not the root of the leaves")
	}
}

// TestLeavesFromTo reads every kind of range.
func TestLeavesFromTo(t *testing.T) {
	l := open(t, newLog(t))
	defer closeLog(t, l)
	fill(t, l, 258)
	all := leaves(t, l.Reader)
	for _, r := range [][2]uint64{{0, 0}, {0, 1}, {5, 5}, {3, 9}, {255, 257}, {256, 258}, {257, 258}, {0, 258}, {9, 3}} {
		var got [][]byte
		err := l.Leaves(t.Context(), r[0], r[1], func(i uint64, b []byte) error {
			if i != r[0]+uint64(len(got)) {
				return fmt.Errorf("leaf %d", i)
			}
			got = append(got, bytes.Clone(b))
			return nil
		})
		want := all[r[0]:max(r[0], r[1])]
		if err != nil || len(got) != len(want) || !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
			t.Errorf("leaves %d to %d: %d, %v", r[0], r[1], len(got), err)
		}
	}
	if err := l.Leaves(t.Context(), 0, 259, func(uint64, []byte) error { return nil }); !errors.Is(err, fault.NotFound) {
		t.Errorf("leaves beyond the log: %v", err)
	}
	stop := errors.New("stop")
	if err := l.Leaves(t.Context(), 0, 258, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
}

// TestLeavesOfADamagedBundle: bytes that are no bundle of the size are an error,
// never fewer or other leaves.
func TestLeavesOfADamagedBundle(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	fill(t, l, 3)
	closeLog(t, l)
	r, err := translog.OpenReadOnly(cfg)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(cfg.Dir, "tile/entries/000.p/3")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{
		"cut": good[:len(good)-1], "empty": nil, "longer": append(bytes.Clone(good), 0),
		"a wrong length": append([]byte{0xff, 0xff}, good[2:]...), "huge": []byte(strings.Repeat("x", 20<<20)),
	} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := r.Leaves(t.Context(), 0, 3, func(uint64, []byte) error { return nil }); !errors.Is(err, fault.Unverified) {
			t.Errorf("%s: %v, want unverified", what, err)
		}
	}
	remove(t, name, "")
	if err := r.Leaves(t.Context(), 0, 3, func(uint64, []byte) error { return nil }); !errors.Is(err, fault.Unverified) {
		t.Errorf("no bundle: %v, want unverified", err)
	}
}
