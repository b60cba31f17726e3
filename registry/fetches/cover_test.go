package fetches

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// bytesOf returns n bytes that no other seed has.
func bytesOf(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	r.Read(b)
	return b
}

// tree adds files in blocks of 1 KiB and returns where they lie.
func tree(t *testing.T, profile dag.Profile, files map[string][]byte) (*spaces.Store, *ingest.Result) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := spaces.Open(t.TempDir(), pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r, err := ingest.Add(t.Context(), dir, ingest.PackStore(s.Store), ingest.AddOptions{Profile: profile, Chunker: "size-1024", NoSketch: true})
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// leaves lists the leaves of each file of a tree.
func leavesOf(t *testing.T, s *spaces.Store, r *ingest.Result) map[string][]unixfs.Leaf {
	t.Helper()
	out := make(map[string][]unixfs.Leaf)
	for _, f := range r.Files {
		ok, err := unixfs.Plan(t.Context(), s, f.CID, func(l unixfs.Leaf) error {
			if !l.Known {
				l.Size = uint64(f.Size)
			}
			out[f.Path] = append(out[f.Path], l)
			return nil
		})
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	return out
}

// TestCoverIsWhatABitmapSays: for any extents of a tree's leaves, in any order and
// as often as one likes, what is covered is what a bitmap over each file's bytes
// says, where equal contents are covered together.
func TestCoverIsWhatABitmapSays(t *testing.T) {
	for _, profile := range []dag.Profile{dag.ProfileV1_2025, dag.ProfileV0_2015} {
		t.Run(profile.Name, func(t *testing.T) {
			shared := bytesOf(7, 2500)
			files := map[string][]byte{
				"a.bin": bytesOf(1, 5000), "dir/b.bin": shared, "dir/c.bin": slices.Concat(bytesOf(2, 1024), shared[:1024], bytesOf(3, 17)),
				"dir/empty": {}, "e/one": []byte("x"), "z.bin": shared, "zeros": make([]byte, 4096),
			}
			s, r := tree(t, profile, files)
			all := leavesOf(t, s, r)
			var flat []unixfs.Leaf
			for _, path := range sorted(all) {
				flat = append(flat, all[path]...)
			}
			rapid.Check(t, func(rt *rapid.T) {
				var extents []extent
				for range rapid.IntRange(0, 40).Draw(rt, "extents") {
					l := flat[rapid.IntRange(0, len(flat)-1).Draw(rt, "leaf")]
					if l.Size == 0 {
						continue
					}
					off := rapid.Uint64Range(0, l.Size-1).Draw(rt, "off")
					n := rapid.Uint64Range(1, l.Size-off).Draw(rt, "n")
					extents = append(extents, extent{keyOf(l.CID), uint32(off), uint32(n)})
				}
				if rapid.Bool().Draw(rt, "others") { // of other data
					extents = append(extents, extent{[16]byte{1}, 0, 1 << 20})
				}
				want := counted{}
				for _, e := range extents {
					if e.key != [16]byte{1} {
						want.bytes += int64(e.n)
					}
				}
				var ranges []manifests.FetchRange
				for _, f := range r.Files {
					bits := make([]bool, f.Size)
					for _, l := range all[f.Path] {
						for _, e := range extents {
							if e.key == keyOf(l.CID) {
								for i := range uint64(e.n) {
									bits[l.Off+uint64(e.off)+i] = true
								}
							}
						}
					}
					want.total += uint64(f.Size)
					for i := 0; i < len(bits); i++ {
						from := i
						for i < len(bits) && bits[i] {
							i++
						}
						if i > from {
							want.covered += uint64(i - from)
							ranges = append(ranges, manifests.FetchRange{Path: f.Path, Offset: int64(from), Length: int64(i - from)})
						}
					}
				}
				got, err := cover(t.Context(), s, r.Root, extents, maxSteps)
				if err != nil {
					rt.Fatal(err)
				}
				if got.total != want.total || got.covered != want.covered || got.bytes != want.bytes {
					rt.Fatalf("total %d, covered %d, bytes %d; want %d, %d, %d", got.total, got.covered, got.bytes, want.total, want.covered, want.bytes)
				}
				if want.covered == want.total {
					ranges = nil
				}
				if !slices.Equal(got.ranges, ranges) && len(got.ranges)+len(ranges) > 0 {
					rt.Fatalf("ranges %v, want %v", got.ranges, ranges)
				}
				if (got.coveragePpm() == 1_000_000) != (want.covered == want.total) {
					rt.Fatalf("%d ppm of %d of %d", got.coveragePpm(), want.covered, want.total)
				}
			})
		})
	}
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// TestNearlyAllIsNotAll: a byte that is missing of very many shows.
func TestNearlyAllIsNotAll(t *testing.T) {
	for _, c := range []struct {
		covered, total uint64
		want           int64
	}{
		{0, 0, 1_000_000}, {0, 1, 0}, {1, 1, 1_000_000}, {1<<53 - 2, 1<<53 - 1, 999_999}, {1, 1 << 53, 0}, {1, 3, 333_333},
	} {
		if got := (counted{covered: c.covered, total: c.total}).coveragePpm(); got != c.want {
			t.Errorf("%d of %d: %d ppm, want %d", c.covered, c.total, got, c.want)
		}
	}
}

// TestRangesAreBounded: of more runs than a record holds, the longest stay, in the
// order of the tree, and the paths stay small; what is covered is counted in full.
func TestRangesAreBounded(t *testing.T) {
	v := &covering{}
	var want uint64
	for file := range 3000 {
		v.begin(fmt.Sprintf("%s%04d", strings.Repeat("d/", 20), file))
		v.from, v.to = 10, 10+uint64(1+file%7)
		want += v.to - v.from
		v.flush()
		v.file++
	}
	got := v.longest()
	if v.covered != want || len(got) != manifests.MaxFetchRanges {
		t.Fatalf("%d ranges, %d bytes; want %d, %d", len(got), v.covered, manifests.MaxFetchRanges, want)
	}
	for i, r := range got {
		if r.Length < 5 {
			t.Fatalf("%v stayed, and longer ones did not", r)
		}
		if i > 0 && got[i-1].Path >= r.Path {
			t.Fatalf("%s comes after %s", got[i-1].Path, r.Path)
		}
	}
	long := &covering{}
	for file := range 300 {
		long.begin(strings.Repeat(strings.Repeat("n", 200)+"/", 15) + fmt.Sprint(file))
		long.from, long.to = 0, 1+uint64(file)
		long.flush()
		long.file++
	}
	paths := 0
	for _, r := range long.longest() {
		paths += len(r.Path)
	}
	if paths > maxPaths || paths < maxPaths/2 {
		t.Errorf("paths of %d bytes", paths)
	}
}
