package pack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func record(t testing.TB, text string) block.Block {
	t.Helper()
	return mustBlock(t, cjson.RawCID([]byte(text)), []byte(text))
}

// TestRecordsInOrder puts records from many callers, over many packs: each
// caller's come back in its own order, every one once, also after the index is
// gone; and who lists meanwhile is in nobody's way.
func TestRecordsInOrder(t *testing.T) {
	dir := t.TempDir()
	o := pack.Options{MaxPack: 4 << 10}
	s := open(t, dir, o)
	const callers, each = 6, 20
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				if err := s.PutRecords(t.Context(), record(t, fmt.Sprintf("%d/%03d/a", i, j)), record(t, fmt.Sprintf("%d/%03d/b", i, j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := s.Records(t.Context(), func(cid.Cid, []byte) error { return nil }); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	list := func() (all []string) {
		t.Helper()
		if err := s.Records(t.Context(), func(_ cid.Cid, b []byte) error { all = append(all, string(b)); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	first := list()
	if len(first) != callers*each*2 {
		t.Errorf("%d records of %d", len(first), callers*each*2)
	}
	for i := range callers {
		var mine []string
		for _, r := range first {
			if r[0] == byte('0'+i) {
				mine = append(mine, r)
			}
		}
		if len(mine) != each*2 || !slices.IsSorted(mine) {
			t.Errorf("caller %d: %q", i, mine)
		}
	}
	packs, err := filepath.Glob(filepath.Join(dir, "packs", "records-*.car"))
	if err != nil || len(packs) < 3 {
		t.Errorf("%d packs, %v: rolling was not tried", len(packs), err)
	}
	if err := errors.Join(s.Close(), os.RemoveAll(filepath.Join(dir, "index"))); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, o)
	defer s.Close()
	if again := list(); !slices.Equal(again, first) {
		t.Error("opened again, the records come in another order")
	}
	enough := errors.New("enough")
	if err := s.Records(t.Context(), func(cid.Cid, []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of fn: %v", err)
	}
}

// TestOneWriter has a batch keep its series to itself: others wait, for as long
// as their context lets them, and the other series goes on.
func TestOneWriter(t *testing.T) {
	s := open(t, t.TempDir(), pack.Options{})
	defer s.Close()
	b, err := s.Batch(t.Context(), pack.Data)
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := s.Batch(ctx, pack.Data); !errors.Is(err, enough) {
		t.Errorf("a second batch: %v", err)
	}
	if err := s.PutRecords(t.Context(), record(t, "meanwhile")); err != nil {
		t.Errorf("the other series: %v", err)
	}
	if _, err := s.CheckAll(ctx, nil, func(pack.Damage) {}); !errors.Is(err, enough) {
		t.Errorf("a check: %v", err)
	}
	if _, err := s.Batch(t.Context(), "nothing"); !errors.Is(err, fault.Invalid) {
		t.Errorf("a series that does not exist: %v", err)
	}
	c, data := raw(1, 100)
	if stored, err := b.Append(t.Context(), c, data); !stored || err != nil {
		t.Fatal(stored, err)
	}
	if stored, err := b.Append(t.Context(), c, data); stored || err != nil {
		t.Errorf("the same again: %t, %v", stored, err)
	}
	if ok, err := b.Has(c); !ok || err != nil {
		t.Errorf("the batch has not what it took: %v", err)
	}
	if has(t, s, c) {
		t.Error("a block is found before its commit")
	}
	if err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !has(t, s, c) {
		t.Error("a block is not found after its commit")
	}
	if want := (pack.Stats{Blocks: 2, NewBlocks: 1, NewBytes: 100}); b.Stats() != want {
		t.Errorf("%+v, want %+v", b.Stats(), want)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
	if _, err := b.Append(t.Context(), c, data); err == nil {
		t.Error("a closed batch takes blocks")
	}
	if err := b.Commit(t.Context()); err == nil {
		t.Error("a closed batch commits")
	}
	next, err := s.Batch(t.Context(), pack.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	missing, err := s.Missing(t.Context(), []cid.Cid{record(t, "x").Cid(), c, record(t, "y").Cid()})
	if err != nil || len(missing) != 2 || !missing[0].Equals(record(t, "x").Cid()) {
		t.Errorf("missing %v, %v", missing, err)
	}
}

// TestRot damages a block on disk while the store is open. Always finds it on
// every read; Once on the first, and not after a read that was good.
func TestRot(t *testing.T) {
	for _, mode := range []pack.VerifyMode{pack.Always, pack.Once} {
		for _, readBefore := range []bool{false, true} {
			dir := t.TempDir()
			s := open(t, dir, pack.Options{Verify: mode})
			appendAll(t, s, pack.Data, 0, 3, 5000)
			c, data := raw(1, 5000)
			if readBefore {
				if _, err := s.Block(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			name := filepath.Join(dir, "packs", "data-00000001.car")
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte{^data[2000]}, 5000+2000+200); err != nil {
				t.Fatal(err)
			}
			f.Close()
			for range 2 {
				_, err := s.Block(t.Context(), c)
				if want := mode == pack.Always || !readBefore; errors.Is(err, fault.Unverified) != want {
					t.Errorf("mode %d, read before %t: %v", mode, readBefore, err)
				}
			}
			wantAll(t, s, 0, 1, 5000)
			wantAll(t, s, 2, 3, 5000)
			if sum, err := s.CheckAll(t.Context(), nil, func(pack.Damage) {}); err != nil || sum.Damage == 0 {
				t.Errorf("the check: %+v, %v", sum, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
