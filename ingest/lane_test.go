package ingest_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// processors runs test with as many processors as one pass over a large file is
// for, and with more.
func processors(t *testing.T, test func(t *testing.T)) {
	for _, n := range []int{2, 4} {
		t.Run(fmt.Sprint(n, " processors"), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
			test(t)
		})
	}
}

// TestProcessorsDoNotMatter adds files that are more than a chunk, in all ways of
// cutting, and holds hashes and fingerprint to those of simple code. The rest of
// the result is the same however many processors there are.
func TestProcessorsDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	dir := t.TempDir()
	files := map[string][]byte{"0": nil, "1": noise(r, 40_000), "2": noise(r, 3<<20), "3": make([]byte, 2<<20+1), "4.jsonl": lines(reviews(1, 5000, 60)), "5": noise(r, 1<<20+300<<10)}
	var print []byte
	for _, name := range []string{"0", "1", "2", "3", "4.jsonl", "5"} {
		put(t, filepath.Join(dir, name), files[name])
		for rest := files[name]; len(rest) > 0; {
			n := attribution.Cut(rest)
			print = attribution.AppendChunk(print, attribution.ChunkOf(rest[:n]))
			rest = rest[n:]
		}
	}
	print = append([]byte(attribution.FingerprintHeader), print...)
	for _, p := range []dag.Profile{dag.ProfileV1_2025, dag.ProfileV0_2015} {
		for _, chunker := range []string{"", "size-262144", "size-300001", "buzhash"} {
			var first *ingest.Result
			processors(t, func(t *testing.T) {
				m := newMemory()
				got := add(t, m, dir, ingest.AddOptions{Profile: p, Chunker: chunker})
				if first == nil {
					first = got
				}
				if !reflect.DeepEqual(got, first) {
					t.Errorf("%s %s: %+v, want %+v", p.Name, chunker, got, first)
				}
				for _, f := range got.Files {
					if f.SHA256 != sha256.Sum256(files[f.Path]) {
						t.Errorf("%s %s: another SHA-256 of %s", p.Name, chunker, f.Path)
					}
				}
				var b []byte
				if err := unixfs.ReadFile(t.Context(), m, got.Fingerprint.CID.Cid, func(p []byte) error { b = append(b, p...); return nil }); err != nil || string(b) != string(print) {
					t.Errorf("%s %s: another fingerprint (%v)", p.Name, chunker, err)
				}
			})
		}
	}
}

// TestReadAgain adds a file that grows once while it is read: what is kept is that
// of the second reading alone.
func TestReadAgain(t *testing.T) {
	processors(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		put(t, path, noise(rand.New(rand.NewPCG(8, 8)), 3<<20))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m := &onAppend{memory: newMemory(), do: func() { f.WriteString("x") }}
		got, err := ingest.Add(t.Context(), path, m, ingest.AddOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := add(t, newMemory(), path, ingest.AddOptions{})
		if !reflect.DeepEqual(got.Files, want.Files) || got.Root != want.Root || got.Fingerprint.CID != want.Fingerprint.CID || got.Fingerprint.Count != want.Fingerprint.Count {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
