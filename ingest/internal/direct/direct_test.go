package direct_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cairn-registry/cairn/ingest/internal/direct"
)

// TestWriterIsAnAppend writes streams in pieces of all sizes from offsets that
// are and are not aligned, flushed in between, and compares the file.
func TestWriterIsAnAppend(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 40 {
		name := filepath.Join(t.TempDir(), "file")
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, r.IntN(3*direct.Align))
		fill(r, want)
		if _, err := f.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		w, err := direct.NewWriter(f, int64(len(want)))
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(12) {
			p := make([]byte, r.IntN([]int{10, 5000, direct.Align + 1, direct.BufferSize, 2*direct.BufferSize + 1}[r.IntN(5)]))
			fill(r, p)
			half := r.IntN(len(p) + 1)
			if err := w.Write(p[:half], p[half:]); err != nil {
				t.Fatal(err)
			}
			want = append(want, p...)
			if w.Offset() != int64(len(want)) {
				t.Fatalf("round %d: offset %d, want %d", round, w.Offset(), len(want))
			}
			if r.IntN(3) == 0 {
				compare(t, w, f, name, want)
			}
		}
		compare(t, w, f, name, want)
		w.Close()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func fill(r *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
}

func compare(t *testing.T, w *direct.Writer, f *os.File, name string, want []byte) {
	t.Helper()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the file has %d bytes that are not the %d written", len(got), len(want))
	}
}

// TestWriterTellsFailures writes into a file that cannot be written.
func TestWriterTellsFailures(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name) // for reading only
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(name); err != nil { // so that it cannot be opened again
		t.Fatal(err)
	}
	w, err := direct.NewWriter(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	big := make([]byte, 2*direct.BufferSize)
	if err := w.Write(big); err == nil {
		if err = w.Flush(); err == nil {
			t.Error("a file opened for reading was written")
		}
	}
	if err := w.Write([]byte("more")); err == nil {
		t.Error("a write after a failure succeeded")
	}
}

func TestBuffersAreAligned(t *testing.T) {
	for _, n := range []int{direct.Align, direct.BufferSize} {
		for range 100 {
			if b := direct.Buffer(n); !direct.Aligned(b, 0) || len(b) != n {
				t.Fatalf("a buffer of %d bytes is not aligned", n)
			}
		}
	}
	b := direct.Buffer(2 * direct.Align)
	if direct.Aligned(b[1:direct.Align+1], 0) || direct.Aligned(b[:direct.Align-1], 0) || direct.Aligned(b, 1) || direct.Aligned(nil, 0) {
		t.Error("what is not aligned passes")
	}
}
