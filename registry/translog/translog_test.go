package translog_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	merkleproof "github.com/transparency-dev/merkle/proof"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/translog"
)

// newLog makes an empty log; open opens it.
func newLog(t testing.TB) translog.Config {
	t.Helper()
	skey, vkey, err := translog.NewLogKey("")
	if err != nil {
		t.Fatal(err)
	}
	signer, _, err := translog.LoadKey(skey)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cfg := translog.Config{Dir: filepath.Join(home, "log"), TrustDir: filepath.Join(home, "trust"), VKey: vkey, Signer: signer}
	if err := os.Mkdir(cfg.TrustDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := translog.Create(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func open(t testing.TB, cfg translog.Config) *translog.Log {
	t.Helper()
	l, err := translog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *translog.Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func leaf(i int) []byte { return fmt.Appendf(nil, "leaf %d", i) }

// fill appends leaves until the log has size entries; they share batches, so
// which leaf gets which index is not known.
func fill(t testing.TB, l *translog.Log, size int) {
	t.Helper()
	have := int(l.Published().Size)
	var wg sync.WaitGroup
	for i := have; i < size; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := l.Append(t.Context(), leaf(i)); err != nil {
				t.Errorf("leaf %d: %v", i, err)
			}
		}()
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if n := int(l.Published().Size); n != size {
		t.Fatalf("the log has %d entries, want %d", n, size)
	}
}

// TestAppendedLeavesAreProved appends around the widths of tiles. Every leaf
// has a receipt that verifies under the log's key, every proof is one that
// another implementation accepts, and what was appended is what is read.
func TestAppendedLeavesAreProved(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	defer closeLog(t, l)
	policy, err := proof.ParsePolicy([]byte(cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 3, 255, 256, 257, 300} {
		fill(t, l, size)
		p := l.Published()
		seen := make(map[string]bool)
		leaves := make([][]byte, 0, size)
		err := l.Leaves(t.Context(), 0, p.Size, func(i uint64, b []byte) error {
			if i != uint64(len(leaves)) {
				return fmt.Errorf("leaf %d comes after %d", i, len(leaves))
			}
			leaves = append(leaves, append([]byte(nil), b...))
			seen[string(b)] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range size {
			if !seen[string(leaf(i))] {
				t.Errorf("size %d: leaf %d is not in the log", size, i)
			}
		}
		for i := range uint64(size) {
			r, err := l.Receipt(i)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Verify(leaves[i], policy); err != nil {
				t.Errorf("size %d: the receipt of entry %d: %v", size, i, err)
			}
			if _, err := r.Verify([]byte("another leaf"), policy); !errors.Is(err, fault.Unverified) {
				t.Errorf("size %d: the receipt of entry %d proves another leaf: %v", size, i, err)
			}
			path, err := l.Proof(i, p.Size)
			if err != nil {
				t.Fatal(err)
			}
			hashes := make([][]byte, len(path))
			for j := range path {
				hashes[j] = path[j][:]
			}
			h := rfc6962.DefaultHasher.HashLeaf(leaves[i])
			if err := merkleproof.VerifyInclusion(rfc6962.DefaultHasher, i, p.Size, h, hashes, p.Root[:]); err != nil {
				t.Errorf("size %d: the proof of entry %d: %v", size, i, err)
			}
		}
	}
	if _, err := l.Receipt(300); !errors.Is(err, fault.Pending) {
		t.Errorf("a receipt beyond the log: %v", err)
	}
	if _, err := l.Proof(5, 1000); !errors.Is(err, fault.NotFound) {
		t.Errorf("a proof beyond the log: %v", err)
	}
}

// TestTesseraClientReadsOurTiles has the log engine's own client build proofs
// out of what Tile hands out.
func TestTesseraClientReadsOurTiles(t *testing.T) {
	l := open(t, newLog(t))
	defer closeLog(t, l)
	fill(t, l, 260)
	old := l.Published()
	fill(t, l, 270)
	p := l.Published()
	fetch := func(_ context.Context, level, index uint64, partial uint8) ([]byte, error) {
		return l.Tile(layout.TilePath(level, index, partial))
	}
	b, err := client.NewProofBuilder(t.Context(), p.Size, fetch)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint64{0, 1, 255, 256, 269} {
		path, err := b.InclusionProof(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		err = l.Leaves(t.Context(), i, i+1, func(_ uint64, leaf []byte) error {
			return merkleproof.VerifyInclusion(rfc6962.DefaultHasher, i, p.Size, rfc6962.DefaultHasher.HashLeaf(leaf), path, p.Root[:])
		})
		if err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	path, err := b.ConsistencyProof(t.Context(), old.Size, p.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := merkleproof.VerifyConsistency(rfc6962.DefaultHasher, old.Size, p.Size, path, old.Root[:], p.Root[:]); err != nil {
		t.Error(err)
	}
	root, err := proof.RootAt(t.Context(), proof.Checkpoint{Origin: l.Origin(), Size: p.Size, Root: p.Root}, old.Size,
		func(_ context.Context, path string) ([]byte, error) { return l.Tile(path) })
	if err != nil || root != old.Root {
		t.Errorf("RootAt(%d) = %x, %v; want %x", old.Size, root, err, old.Root)
	}
}

// TestTileServesWhatIsPublished asks for every path around the edges.
func TestTileServesWhatIsPublished(t *testing.T) {
	l := open(t, newLog(t))
	defer closeLog(t, l)
	fill(t, l, 259)
	for path, size := range map[string]int{
		"tile/0/000": 256 * 32, "tile/0/001.p/3": 3 * 32, "tile/0/001.p/1": 32, "tile/1/000.p/1": 32,
		"tile/0/000.p/17": 17 * 32, // an earlier size implied it
	} {
		b, err := l.Tile(path)
		if err != nil || len(b) != size {
			t.Errorf("%s: %d bytes, %v; want %d", path, len(b), err, size)
		}
	}
	whole, err := l.Tile("tile/entries/001.p/3")
	if err != nil {
		t.Fatal(err)
	}
	part, err := l.Tile("tile/entries/001.p/2")
	if err != nil || !strings.HasPrefix(string(whole), string(part)) || len(part) >= len(whole) {
		t.Errorf("a narrower entry bundle is not the head of the wider one (%v)", err)
	}
	for _, path := range []string{
		"tile/0/001", "tile/0/001.p/4", "tile/0/002.p/1", "tile/1/000", "tile/1/000.p/2", "tile/2/000.p/1", "tile/8/000.p/1",
		"tile/0/0", "tile/0/0000", "tile/0/x000/000", "tile/00/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01",
		"tile/-1/000", "tile/0/-01", "tile/entries/002", "tile/data/000", "tile/0/../0/000", "checkpoint", ".state/treeState", "",
		"tile/0/x999/x999/x999/x999/x999/x999/x999/999",
	} {
		if _, err := l.Tile(path); !errors.Is(err, fault.NotFound) {
			t.Errorf("%q: %v, want not-found", path, err)
		}
	}
}

// copyTree copies a folder, modes kept.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// TestGuard is the table of what may happen to the two folders while nobody
// looks: where the log is not what was signed, nothing is signed again.
func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, cfg *translog.Config, early string) // early: copies of log and trust at 3 of 5 entries
		want error
	}{
		{"nothing happened", func(*testing.T, *translog.Config, string) {}, nil},
		{"checkpoint gone", func(t *testing.T, cfg *translog.Config, _ string) { remove(t, cfg.Dir, "checkpoint") }, nil},
		{"checkpoint damaged", func(t *testing.T, cfg *translog.Config, _ string) {
			damage(t, filepath.Join(cfg.Dir, "checkpoint"), 40)
		}, nil},
		{"checkpoint of before", func(t *testing.T, cfg *translog.Config, early string) {
			b, err := os.ReadFile(filepath.Join(early, "log/checkpoint"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(cfg.Dir, "checkpoint"), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"log folder gone", func(t *testing.T, cfg *translog.Config, _ string) { remove(t, cfg.Dir, "") }, translog.ErrNoState},
		{"the engine's state gone", func(t *testing.T, cfg *translog.Config, _ string) { remove(t, cfg.Dir, ".state") }, translog.ErrNoState},
		{"trust folder gone", func(t *testing.T, cfg *translog.Config, _ string) { remove(t, cfg.TrustDir, "") }, translog.ErrNoGuard},
		{"log restored from before", func(t *testing.T, cfg *translog.Config, early string) {
			copyTree(t, filepath.Join(early, "log"), cfg.Dir)
		}, translog.ErrBehind},
		{"guard restored from before", func(t *testing.T, cfg *translog.Config, early string) {
			copyTree(t, filepath.Join(early, "trust"), cfg.TrustDir)
		}, nil},
		{"both restored, and the index remembers", func(t *testing.T, cfg *translog.Config, early string) {
			copyTree(t, filepath.Join(early, "log"), cfg.Dir)
			copyTree(t, filepath.Join(early, "trust"), cfg.TrustDir)
			cfg.KnownSize = 5
		}, translog.ErrBehind},
		{"a tile damaged", func(t *testing.T, cfg *translog.Config, _ string) {
			damage(t, filepath.Join(cfg.Dir, "tile/0/000.p/5"), 70)
		}, translog.ErrForked},
		{"a tile gone", func(t *testing.T, cfg *translog.Config, _ string) { remove(t, cfg.Dir, "tile/0") }, translog.ErrForked},
		{"another history of the same key", func(t *testing.T, cfg *translog.Config, early string) {
			// The log of before goes on by itself, then takes the place of the other.
			other := *cfg
			other.Dir, other.TrustDir = filepath.Join(early, "log"), filepath.Join(early, "trust")
			l := open(t, other)
			for i := range 4 {
				if _, err := l.Append(t.Context(), leaf(1000+i)); err != nil {
					t.Fatal(err)
				}
			}
			closeLog(t, l)
			copyTree(t, other.Dir, cfg.Dir)
		}, translog.ErrForked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newLog(t)
			l := open(t, cfg)
			fill(t, l, 3)
			closeLog(t, l)
			early := t.TempDir()
			copyTree(t, cfg.Dir, filepath.Join(early, "log"))
			copyTree(t, cfg.TrustDir, filepath.Join(early, "trust"))
			l = open(t, cfg)
			fill(t, l, 5)
			want := l.Published()
			closeLog(t, l)

			tt.do(t, &cfg, early)
			before := treeHash(t, cfg.Dir)
			l, err := translog.Open(t.Context(), cfg)
			if !errors.Is(err, tt.want) {
				if err == nil {
					closeLog(t, l)
				}
				t.Fatalf("Open: %v, want %v", err, tt.want)
			}
			if tt.want != nil {
				if fault.Of(err) != fault.Conflict || fault.Hint(err) == "" {
					t.Errorf("%v has the code %s and the hint %q", err, fault.Of(err), fault.Hint(err))
				}
				if treeHash(t, cfg.Dir) != before {
					t.Error("a log that was refused was changed")
				}
				return
			}
			if l.Published().Size != 5 || l.Published().Root != want.Root {
				t.Errorf("the log is at size %d, want that of before", l.Published().Size)
			}
			fill(t, l, 6)
			closeLog(t, l)
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func damage(t *testing.T, name string, off int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[off] ^= 1
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func treeHash(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	if err := os.CopyFS(filepath.Join(t.TempDir(), "x"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n", path, len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestCreateTwice(t *testing.T) {
	cfg := newLog(t)
	if err := translog.Create(t.Context(), cfg); err != nil {
		t.Errorf("creating an empty log again: %v", err)
	}
	l := open(t, cfg)
	fill(t, l, 1)
	closeLog(t, l)
	if err := translog.Create(t.Context(), cfg); !errors.Is(err, fault.Conflict) {
		t.Errorf("creating a log over one with entries: %v, want conflict", err)
	}
	if _, err := l.Append(t.Context(), leaf(9)); !errors.Is(err, fault.Interrupted) {
		t.Errorf("appending to a closed log: %v", err)
	}
}

func TestAppendLimits(t *testing.T) {
	cfg := newLog(t)
	cfg.MaxPending = 2
	cfg.Interval = time.Second
	l := open(t, cfg)
	defer closeLog(t, l)
	for _, n := range []int{0, translog.MaxLeaf + 1} {
		if _, err := l.Append(t.Context(), make([]byte, n)); !errors.Is(err, fault.TooLarge) {
			t.Errorf("a leaf of %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, leaf(0)); !errors.Is(err, fault.Pending) {
		t.Errorf("a deadline before the checkpoint: %v, want pending", err)
	}
	var mu sync.Mutex
	codes := make(map[fault.Code]int)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := l.Append(t.Context(), leaf(1+i))
			mu.Lock()
			defer mu.Unlock()
			codes[fault.Of(err)]++
		}()
	}
	wg.Wait()
	if codes[""] == 0 || codes[fault.Busy] == 0 || codes[""]+codes[fault.Busy] != 20 {
		t.Errorf("20 appends with room for 2: %v", codes)
	}
}

// TestCheckLogNamesTheFile damages each file that the checkpoint implies.
func TestCheckLogNamesTheFile(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	fill(t, l, 258)
	closeLog(t, l)
	for _, name := range []string{"tile/0/000", "tile/0/001.p/2", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/2"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(cfg.Dir, filepath.FromSlash(name))
			damage(t, path, 10)
			defer damage(t, path, 10)
			r, err := translog.OpenReadOnly(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var failed []string
			if _, err := r.CheckLog(t.Context(), nil, func(file string, _ error) { failed = append(failed, file) }); err != nil {
				t.Fatal(err)
			}
			if len(failed) == 0 || !strings.HasPrefix(failed[0], strings.SplitN(name, ".", 2)[0]) && !strings.HasPrefix(failed[0], "tile/0/") {
				t.Errorf("CheckLog names %v", failed)
			}
		})
	}
	r, err := translog.OpenReadOnly(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	p, err := r.CheckLog(t.Context(), func(uint64, []byte) error { n++; return nil }, func(file string, err error) { t.Errorf("%s: %v", file, err) })
	if err != nil || p.Size != 258 || n != 258 {
		t.Errorf("CheckLog of a whole log: size %d, %d leaves, %v", p.Size, n, err)
	}
}

func TestKeys(t *testing.T) {
	for _, origin := range []string{"a b", "a+b", "a\nb"} {
		if _, _, err := translog.NewLogKey(origin); !errors.Is(err, fault.Invalid) {
			t.Errorf("origin %q: %v, want invalid", origin, err)
		}
	}
	skey, vkey, err := translog.NewLogKey("registry.example/log")
	if err != nil {
		t.Fatal(err)
	}
	s, again, err := translog.LoadKey(skey)
	if err != nil || again != vkey || s.Name() != "registry.example/log" {
		t.Errorf("LoadKey gives %s, want %s (%v)", again, vkey, err)
	}
	for _, bad := range []string{"", "PRIVATE+KEY+x", skey + "A", vkey} {
		_, _, err := translog.LoadKey(bad)
		if !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("LoadKey(%.20q): %v", bad, err)
		}
	}
}
