package spaces_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/blockstest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func open(t *testing.T, dir string) *spaces.Store {
	t.Helper()
	s, err := spaces.Open(dir, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	blockstest.Run(t, func(t *testing.T) blocks.Store { return open(t, t.TempDir()) })
}

func terms(i int) cid.Cid {
	h, _ := mh.Sum(fmt.Appendf(nil, "terms %d", i), mh.SHA2_256, -1)
	return cid.NewCidV1(cid.DagJSON, h)
}

func raw(text string) (cid.Cid, []byte) { return cjson.RawCID([]byte(text)), []byte(text) }

func put(t *testing.T, s *spaces.Store, space cid.Cid, text string) cid.Cid {
	t.Helper()
	b, err := s.Batch(t.Context(), space)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c, data := raw(text)
	stored, err := b.Append(t.Context(), c, data)
	if err != nil || !stored {
		t.Fatalf("stored %t, %v", stored, err)
	}
	if err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func with(t *testing.T, list ...cid.Cid) context.Context {
	t.Helper()
	ctx, err := spaces.With(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// TestReadersSeeWhatTheyMay is the law of the package, through every way of reading.
func TestReadersSeeWhatTheyMay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	public := put(t, s, cid.Undef, "public")
	one, two := put(t, s, terms(1), "one"), put(t, s, terms(2), "two")
	both := put(t, s, terms(1), "both") // the same bytes in two spaces: written twice
	if c := put(t, s, terms(2), "both"); c != both {
		t.Fatal("one CID, two texts")
	}
	check := func(s *spaces.Store) {
		t.Helper()
		for _, c := range []struct {
			name  string
			ctx   context.Context
			block cid.Cid
			want  bool
		}{
			{"public, nothing opened", t.Context(), public, true},
			{"one, nothing opened", t.Context(), one, false},
			{"both, nothing opened", t.Context(), both, false},
			{"one, one opened", with(t, terms(1)), one, true},
			{"two, one opened", with(t, terms(1)), two, false},
			{"both, one opened", with(t, terms(1)), both, true},
			{"both, two opened", with(t, terms(2)), both, true},
			{"two, both opened", with(t, terms(1), terms(2)), two, true},
			{"two, another opened", with(t, terms(3)), two, false},
			{"two, everything opened", spaces.WithAll(t.Context()), two, true},
			{"one, everything closed again", spaces.Public(spaces.WithAll(with(t, terms(1)))), one, false},
		} {
			_, blockErr := s.Block(c.ctx, c.block)
			_, sizeErr := s.Size(c.ctx, c.block)
			has, hasErr := s.Has(c.ctx, c.block)
			_, getErr := s.Get(c.ctx, c.block)
			_, getSizeErr := s.GetSize(c.ctx, c.block)
			_, _, openErr := s.OpenBlock(c.ctx, c.block)
			viewErr := s.View(c.ctx, c.block, func([]byte) error { return nil })
			if hasErr != nil || has != c.want {
				t.Errorf("%s: has %t, %v", c.name, has, hasErr)
			}
			for way, err := range map[string]error{"Block": blockErr, "Size": sizeErr, "Get": getErr, "GetSize": getSizeErr, "View": viewErr, "OpenBlock": openErr} {
				if c.want && err != nil || !c.want && !errors.Is(err, fault.NotFound) {
					t.Errorf("%s, by %s: %v", c.name, way, err)
				}
			}
		}
		if _, err := s.Strict(terms(1)).Block(t.Context(), public); !errors.Is(err, fault.NotFound) {
			t.Errorf("the public block in a strict space: %v", err)
		}
		if _, err := s.Strict(terms(1)).Size(t.Context(), one); err != nil {
			t.Errorf("its own block in a strict space: %v", err)
		}
		missing, err := s.Missing(t.Context(), terms(2), []cid.Cid{public, one, two, both})
		if err != nil || len(missing) != 2 || missing[0] != public || missing[1] != one {
			t.Errorf("missing in two: %v, %v", missing, err)
		}
	}
	check(s)
	var read int64
	progress := func(done, total int64) {
		if done < read || done > total {
			t.Errorf("%d of %d bytes are checked, after %d", done, total, read)
		}
		read = done
	}
	sum, err := s.CheckAll(t.Context(), progress, func(d pack.Damage) { t.Errorf("damage: %+v", d) })
	if read != sum.Bytes {
		t.Errorf("the check ends at %d bytes, want %d", read, sum.Bytes)
	}
	if err != nil || sum.Blocks != 5 {
		t.Errorf("%d blocks checked, %v", sum.Blocks, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir + "/spaces/" + terms(1).String() + "/index"); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	check(s)
}

// TestOpenBlock: a reader of a gated block holds nothing open, and goes on when its
// space was closed in between.
func TestOpenBlock(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	text := strings.Repeat("0123456789abcdef", 10<<10)
	c := put(t, s, terms(0), text)
	r, size, err := s.OpenBlock(with(t, terms(0)), c)
	if err != nil || size != int64(len(text)) {
		t.Fatalf("%d bytes, %v", size, err)
	}
	for i := range 20 { // more than are kept open
		put(t, s, terms(i+1), "x")
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil || string(b) != text {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if n, bytes, err := s.GatedUsage(); err != nil || n != 21 || bytes < size || !s.Gated() {
		t.Errorf("%d spaces of %d bytes, %v", n, bytes, err)
	}
	if _, err := s.All().Size(t.Context(), c); err != nil {
		t.Errorf("the reader of all spaces: %v", err)
	}
}

func TestRecordsIntoASpace(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	for _, space := range []cid.Cid{cid.Undef, terms(1)} {
		c, data := raw("document for " + space.String())
		b, err := block.NewBlockWithCid(data, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutRecordsIn(t.Context(), space, b); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Block(t.Context(), c); space.Defined() == (err == nil) {
			t.Errorf("the document for %s by a stranger: %v", space, err)
		}
		if _, err := s.Block(with(t, terms(1)), c); err != nil {
			t.Errorf("the document for %s: %v", space, err)
		}
	}
}

func TestAdoptIntoASpace(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	w, err := pack.CreateIncoming(dir, "00112233")
	if err != nil {
		t.Fatal(err)
	}
	c, data := raw("gated bytes")
	if _, err := w.Append(t.Context(), c, data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Commit(t.Context()), w.Close()); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Adopt(t.Context(), terms(1), "00112233")
	if err != nil || stats.NewBlocks != 1 {
		t.Fatalf("%+v, %v", stats, err)
	}
	if _, err := s.Block(t.Context(), c); !errors.Is(err, fault.NotFound) {
		t.Errorf("without rights: %v", err)
	}
	if _, err := s.Block(with(t, terms(1)), c); err != nil {
		t.Errorf("with them: %v", err)
	}
}

// TestManySpaces has more spaces in use than are kept open.
func TestManySpaces(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	const n = 20
	blocks := make([]cid.Cid, n)
	for i := range n {
		blocks[i] = put(t, s, terms(i), fmt.Sprintf("block %d", i))
	}
	var readers sync.WaitGroup
	for seed := range 4 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			for range 40 {
				i := r.IntN(n)
				ctx, err := spaces.With(context.Background(), terms(i))
				if err != nil {
					t.Error(err)
					return
				}
				if b, err := s.Block(ctx, blocks[i]); err != nil || string(b) != fmt.Sprintf("block %d", i) {
					t.Errorf("space %d: %q, %v", i, b, err)
				}
				if _, err := s.Block(ctx, blocks[(i+1)%n]); !errors.Is(err, fault.NotFound) {
					t.Errorf("space %d has its neighbour's block: %v", i, err)
				}
			}
		})
	}
	readers.Wait()
}

func TestRightsAreBounded(t *testing.T) {
	var many []cid.Cid
	for i := range 257 {
		many = append(many, terms(i))
	}
	if _, err := spaces.With(t.Context(), many...); !errors.Is(err, fault.TooLarge) {
		t.Errorf("257 spaces: %v", err)
	}
	ctx := with(t, many[:256]...)
	if !spaces.Opens(ctx, terms(7)) || spaces.Opens(ctx, terms(300)) || spaces.Opens(t.Context(), terms(7)) || !spaces.Opens(spaces.WithAll(ctx), terms(300)) {
		t.Error("Opens says otherwise than With")
	}
}
