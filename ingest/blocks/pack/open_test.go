package pack_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// TestOpenBlock: the bytes are those of Block, whichever the size; what is
// damaged before the first reading is never handed out.
func TestOpenBlock(t *testing.T) {
	for _, size := range []int{0, 1, 5000, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		dir := t.TempDir()
		s := open(t, dir, pack.Options{Verify: pack.Always})
		appendAll(t, s, pack.Data, 0, 5, size)
		for range 2 {
			var group sync.WaitGroup
			for i := range 5 {
				group.Go(func() {
					c, data := raw(i, size)
					r, n, err := s.OpenBlock(t.Context(), c)
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(io.NewSectionReader(r, 0, n))
					if err != nil || string(got) != string(data) {
						t.Errorf("block %d of %d bytes: %d others, %v", i, size, len(got), err)
					}
					if m, err := r.ReadAt(make([]byte, 1), n); m != 0 || !errors.Is(err, io.EOF) {
						t.Errorf("behind the end of block %d: %d bytes, %v", i, m, err)
					}
				})
			}
			group.Wait()
		}
		missing, _ := raw(77, size+1)
		if _, _, err := s.OpenBlock(t.Context(), missing); !errors.Is(err, fault.NotFound) {
			t.Errorf("a block that is not there: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			continue
		}
		// Another opening believes nothing of the last.
		name := filepath.Join(dir, "packs", "data-00000001.car")
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		c, data := raw(2, size)
		at := indexOf(b, data)
		if at < 0 {
			t.Fatal("the block is not in its pack")
		}
		if _, err := f.WriteAt([]byte{^data[size-1]}, int64(at+size-1)); err != nil {
			t.Fatal(err)
		}
		f.Close()
		s = open(t, dir, pack.Options{Verify: pack.Once})
		for range 2 {
			if _, _, err := s.OpenBlock(t.Context(), c); !errors.Is(err, fault.Unverified) {
				t.Errorf("a damaged block of %d bytes: %v", size, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// indexOf finds a block of some bytes by its end, behind the header of its frame.
func indexOf(pack, block []byte) int {
	for i := 0; i+len(block) <= len(pack); i++ {
		if pack[i] == block[0] && string(pack[i:i+len(block)]) == string(block) && i > 40 {
			if len(block) > 1 {
				return i
			}
			// One byte stands anywhere: look for its frame, a length of 36 + 1.
			if pack[i-37] == 37 {
				return i
			}
		}
	}
	return -1
}
