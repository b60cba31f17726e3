package pack_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	block "github.com/ipfs/go-block-format"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/blockstest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/cjson"
)

func TestSuite(t *testing.T) {
	for name, o := range map[string]pack.Options{"always": {}, "once": {Verify: pack.Once}, "small packs": {MaxPack: 64 << 10}} {
		t.Run(name, func(t *testing.T) {
			blockstest.Run(t, func(t *testing.T) blocks.Store {
				s, err := pack.Open(t.TempDir(), o)
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

// TestLostTables takes parts of a store's index away, closed in order or not:
// no block is ever missed, because the index is made anew.
func TestLostTables(t *testing.T) {
	for _, orderly := range []bool{true, false} {
		for name, lose := range map[string]func(dir string) error{
			"MANIFEST cut off": func(dir string) error { return os.Truncate(filepath.Join(dir, "MANIFEST"), 28) },
			"a table gone": func(dir string) error {
				tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
				if err != nil || len(tables) == 0 {
					return errors.Join(errors.New("no tables"), err)
				}
				return os.Remove(tables[0])
			},
			"everything gone": os.RemoveAll,
		} {
			t.Run(fmt.Sprintf("%s, closed %t", name, orderly), func(t *testing.T) {
				dir := t.TempDir()
				s, err := pack.Open(dir, pack.Options{})
				if err != nil {
					t.Fatal(err)
				}
				var all []block.Block
				for i := range 500 {
					data := fmt.Append(nil, "block ", i)
					b, err := block.NewBlockWithCid(data, cjson.RawCID(data))
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, b)
				}
				if err := s.PutRecords(t.Context(), all...); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				index := filepath.Join(dir, "index")
				if !orderly {
					if err := os.Remove(filepath.Join(index, "CLEAN")); err != nil {
						t.Fatal(err)
					}
				}
				if err := lose(index); err != nil {
					t.Fatal(err)
				}
				if s, err = pack.Open(dir, pack.Options{}); err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for _, b := range all {
					if _, err := s.Block(t.Context(), b.Cid()); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}
