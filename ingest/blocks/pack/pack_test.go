package pack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

var _ blocks.Store = (*pack.Store)(nil)

func open(t testing.TB, dir string, o pack.Options) *pack.Store {
	t.Helper()
	s, err := pack.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func blk(i, size int) block.Block {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	b := make([]byte, size)
	for j := range b {
		b[j] = byte(r.Uint32())
	}
	return block.NewBlock(b)
}

func raw(i, size int) (cid.Cid, []byte) {
	b := blk(i, size).RawData()
	return cjson.RawCID(b), b
}

func appendAll(t testing.TB, s *pack.Store, series pack.Series, from, to, size int) {
	t.Helper()
	b, err := s.Batch(t.Context(), series)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := from; i < to; i++ {
		c, data := raw(i, size)
		if _, err := b.Append(t.Context(), c, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func wantAll(t testing.TB, s *pack.Store, from, to, size int) {
	t.Helper()
	for i := from; i < to; i++ {
		c, data := raw(i, size)
		got, err := s.Block(t.Context(), c)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("block %d: %v", i, err)
		}
	}
}

func wantClean(t testing.TB, s *pack.Store) pack.CheckSummary {
	t.Helper()
	var read, of int64
	progress := func(done, total int64) {
		if done < read || done > total {
			t.Errorf("%d of %d bytes are checked, after %d", done, total, read)
		}
		read, of = done, total
	}
	sum, err := s.CheckAll(t.Context(), progress, func(d pack.Damage) { t.Errorf("damage: %v", d) })
	if err != nil {
		t.Fatal(err)
	}
	if read != sum.Bytes || of != sum.Bytes {
		t.Errorf("the check ends at %d of %d bytes, want %d", read, of, sum.Bytes)
	}
	return sum
}

func TestRoundTripAndReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{})
	appendAll(t, s, pack.Data, 0, 300, 5000)
	appendAll(t, s, pack.Data, 100, 400, 5000) // 200 of them again
	c, data := raw(1000, 2<<20)
	if err := s.PutRecords(t.Context(), mustBlock(t, c, data)); err != nil {
		t.Fatal(err)
	}
	if sum := wantClean(t, s); sum.Blocks != 401 || sum.Packs != 2 {
		t.Errorf("%+v", sum)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pack.Options{})
	defer s.Close()
	wantAll(t, s, 0, 400, 5000)
	wantClean(t, s)
	c, _ = raw(99999, 10)
	if _, err := s.Get(t.Context(), c); !errors.Is(err, fault.NotFound) || !ipld.IsNotFound(err) {
		t.Errorf("a block that is not there: %v", err)
	}
	var n int
	err := s.Records(t.Context(), func(cid.Cid, []byte) error { n++; return nil })
	if err != nil || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}
}

func mustBlock(t testing.TB, c cid.Cid, b []byte) block.Block {
	t.Helper()
	blk, err := block.NewBlockWithCid(b, c)
	if err != nil {
		t.Fatal(err)
	}
	return blk
}

// TestIndexIsDerived deletes the index: the answers stay the same.
func TestIndexIsDerived(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{MaxPack: 100_000})
	for i := range 5 {
		appendAll(t, s, pack.Data, i*20, i*20+25, 3000) // with repetitions across packs
	}
	before := wantClean(t, s)
	if before.Packs < 3 {
		t.Fatalf("only %d packs: rolling was not tried", before.Packs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pack.Options{MaxPack: 100_000})
	wantAll(t, s, 0, 105, 3000)
	if after := wantClean(t, s); after != before {
		t.Errorf("after the rebuild %+v, before %+v", after, before)
	}
	if err := s.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := wantClean(t, s); after != before {
		t.Errorf("after Rebuild %+v, before %+v", after, before)
	}
	appendAll(t, s, pack.Data, 200, 210, 3000)
	wantAll(t, s, 200, 210, 3000)
	wantClean(t, s)
	s.Close()
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{})
	defer s.Close()
	appendAll(t, s, pack.Data, 0, 3, 1000)
	name := filepath.Join(dir, "packs", "data-00000001.car")
	before, _ := os.ReadFile(name)
	b, err := s.Batch(t.Context(), pack.Data)
	if err != nil {
		t.Fatal(err)
	}
	for i := 10; i < 13; i++ {
		c, data := raw(i, 2<<20)
		if _, err := b.Append(t.Context(), c, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(name); !bytes.Equal(before, after) {
		t.Errorf("the pack has %d bytes after an aborted batch, had %d", len(after), len(before))
	}
	if c, _ := raw(10, 2<<20); has(t, s, c) {
		t.Error("an aborted block is there")
	}
	wantClean(t, s)
}

func has(t testing.TB, s *pack.Store, c cid.Cid) bool {
	t.Helper()
	ok, err := s.Has(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// TestCutAtEveryByte cuts the pack anywhere behind an earlier commit, as a
// crash may: what was committed stays, and the store goes on.
func TestCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{})
	appendAll(t, s, pack.Data, 0, 3, 50)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "packs", "data-00000001.car")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	first := info.Size()
	index := filepath.Join(t.TempDir(), "index")
	if err := os.CopyFS(index, os.DirFS(filepath.Join(dir, "index"))); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pack.Options{})
	appendAll(t, s, pack.Data, 3, 6, 50)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []bool{true, false} { // the index lags behind, or is gone
		for cut := first; cut <= int64(len(whole)); cut += 7 {
			if cut+7 > int64(len(whole)) {
				cut = int64(len(whole))
			}
			if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
				t.Fatal(err)
			}
			if old {
				if err := os.CopyFS(filepath.Join(dir, "index"), os.DirFS(index)); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, dir, pack.Options{})
			wantAll(t, s, 0, 3, 50)
			if cut == int64(len(whole)) {
				wantAll(t, s, 3, 6, 50)
			} else if c, _ := raw(3, 50); has(t, s, c) {
				t.Errorf("cut at %d: half a commit is visible", cut)
			}
			appendAll(t, s, pack.Data, 7, 8, 50)
			wantAll(t, s, 7, 8, 50)
			wantClean(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFlipEveryByte changes single bytes of both series: the check finds each,
// reopening cuts nothing off, and every other block is still served right.
func TestFlipEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{})
	appendAll(t, s, pack.Data, 0, 4, 60)
	appendAll(t, s, pack.Records, 10, 12, 60)
	appendAll(t, s, pack.Data, 4, 6, 60)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(t.TempDir(), "index")
	if err := os.CopyFS(index, os.DirFS(filepath.Join(dir, "index"))); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"data-00000001.car", "records-00000001.car"} {
		name := filepath.Join(dir, "packs", file)
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lastCommit := bytes.LastIndex(whole, []byte(`{"cairn"`)) - 38
		for i := 0; i < len(whole); i += 3 {
			bad := bytes.Clone(whole)
			bad[i] ^= 1 << (i % 8)
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			os.RemoveAll(filepath.Join(dir, "index"))
			withIndex := i%2 == 0
			if withIndex {
				if err := os.CopyFS(filepath.Join(dir, "index"), os.DirFS(index)); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, dir, pack.Options{})
			if !withIndex && i >= lastCommit {
				// The commit frame itself and the index are both gone: the blocks
				// before it count as uncommitted, but their bytes are kept.
				cut, err := filepath.Glob(filepath.Join(dir, "packs", "*.cut-*"))
				if err != nil || len(cut) != 1 {
					t.Errorf("byte %d of %s changed: kept %v", i, file, cut)
				}
				for _, c := range cut {
					os.Remove(c)
				}
				s.Close()
				continue
			}
			found := 0
			if _, err := s.CheckAll(t.Context(), nil, func(d pack.Damage) {
				if d.File == file {
					found++
				}
			}); err != nil {
				t.Fatalf("byte %d of %s: %v", i, file, err)
			}
			if found == 0 {
				t.Errorf("byte %d of %s changed, and the check found nothing", i, file)
			}
			lost := 0
			for _, n := range []int{0, 1, 2, 3, 4, 5, 10, 11} {
				c, data := raw(n, 60)
				got, err := s.Block(t.Context(), c)
				if err != nil {
					lost++
				} else if !bytes.Equal(got, data) {
					t.Errorf("byte %d of %s changed: a wrong byte was served", i, file)
				}
			}
			if lost > 1 {
				t.Errorf("byte %d of %s changed: %d blocks are lost", i, file, lost)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if after, _ := os.ReadFile(name); !bytes.Equal(after, bad) {
				t.Errorf("byte %d of %s changed: opening the store changed the pack", i, file)
			}
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAdopt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{})
	appendAll(t, s, pack.Data, 0, 10, 100)
	w, err := pack.CreateIncoming(dir, "0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	for i := 5; i < 20; i++ {
		c, data := raw(i, 100)
		if _, err := w.Append(t.Context(), c, data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Adopt(t.Context(), "0123456789abcdef"); !errors.Is(err, fault.Unverified) {
		t.Errorf("a pack without a commit frame: %v", err)
	}
	if err := errors.Join(w.Commit(t.Context()), w.Close()); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Adopt(t.Context(), "0123456789abcdef")
	if err != nil || stats.Blocks != 15 || stats.NewBlocks != 10 {
		t.Fatalf("%+v, %v", stats, err)
	}
	if _, err := s.Adopt(t.Context(), "0123456789abcdef"); !errors.Is(err, fault.NotFound) {
		t.Errorf("adopted twice: %v", err)
	}
	appendAll(t, s, pack.Data, 20, 30, 100)
	wantAll(t, s, 0, 30, 100)
	wantClean(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(dir, "index"))
	s = open(t, dir, pack.Options{})
	wantAll(t, s, 0, 30, 100)
	wantClean(t, s)
	s.Close()
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{})
	defer s.Close()
	if _, err := pack.Open(dir, pack.Options{}); !errors.Is(err, fault.Busy) {
		t.Errorf("opened twice: %v", err)
	}
	c, data := raw(1, 10)
	if err := s.Put(t.Context(), mustBlock(t, c, append(bytes.Clone(data), 1))); !errors.Is(err, fault.Invalid) {
		t.Errorf("wrong bytes: %v", err)
	}
	id, err := cid.Decode("bafkqaaa")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), mustBlock(t, id, nil)); !errors.Is(err, fault.Invalid) {
		t.Errorf("an identity CID: %v", err)
	}
	big := make([]byte, pack.MaxBlock+1)
	if err := s.Put(t.Context(), block.NewBlock(big)); !errors.Is(err, fault.TooLarge) {
		t.Errorf("an oversized block: %v", err)
	}
	if err := s.DeleteBlock(t.Context(), c); err == nil {
		t.Error("a block was deleted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, mustBlock(t, c, data)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Put: %v", err)
	}
	for _, id := range []string{"", "../x", "ABCDEF0123456789", "0123"} {
		if _, err := pack.CreateIncoming(dir, id); !errors.Is(err, fault.Invalid) {
			t.Errorf("CreateIncoming(%q): %v", id, err)
		}
	}
}

// TestCommitLikeBlock stores blocks that imitate commit frames.
func TestCommitLikeBlock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pack.Options{})
	b, err := s.Batch(t.Context(), pack.Data)
	if err != nil {
		t.Fatal(err)
	}
	var ids []cid.Cid
	for off := 26; off < 1200; off++ {
		data := fmt.Appendf(nil, `{"cairn":"commit/1","frames":1,"headers":"%064x","offset":%d,"pack":"data-00000001"}`, 0, off)
		c := cjson.RawCID(data)
		if _, err := b.Append(t.Context(), c, data); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c)
		if off > 60 {
			break
		}
	}
	if err := errors.Join(b.Commit(t.Context()), b.Close(), s.Close(), os.RemoveAll(filepath.Join(dir, "index"))); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pack.Options{})
	defer s.Close()
	for _, c := range ids {
		if !has(t, s, c) {
			t.Errorf("%s is lost", c)
		}
	}
	wantClean(t, s)
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, b.TempDir(), pack.Options{})
			defer s.Close()
			batch, err := s.Batch(b.Context(), pack.Data)
			if err != nil {
				b.Fatal(err)
			}
			defer batch.Close()
			b.SetBytes(int64(size))
			_, data := raw(1, size)
			i := 0
			for b.Loop() {
				data[0], data[1], data[2], data[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
				i++
				if _, err := batch.Append(b.Context(), cjson.RawCID(data), data); err != nil {
					b.Fatal(err)
				}
			}
			if err := batch.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
