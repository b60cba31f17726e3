// Package blockstest is the suite that every block store passes.
package blockstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Run runs the suite. open returns an empty store; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) blocks.Store) {
	with := func(name string, fn func(t *testing.T, s blocks.Store)) {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			fn(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
	}
	with("what is put is there", putAndGet)
	with("what is not there", absent)
	with("one digest is one block", oneDigest)
	with("sizes from nothing to the largest", sizes)
	with("wrong bytes are refused", wrongBytes)
	with("many at once", concurrent)
	with("all keys", allKeys)
	with("stored once", storedOnce)
	with("bytes are one's own", ownBytes)
	with("a context that has ended", ended)
}

func raw(data []byte) block.Block {
	b, err := block.NewBlockWithCid(data, cjson.RawCID(data))
	if err != nil {
		panic(err)
	}
	return b
}

func putAndGet(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	b := raw([]byte("hello"))
	for range 2 { // again is no error
		if err := s.Put(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutMany(ctx, []block.Block{raw([]byte("x")), b, raw([]byte("y")), raw([]byte("x"))}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutMany(ctx, nil); err != nil {
		t.Errorf("putting nothing: %v", err)
	}
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"hello", "x", "y"} {
		c := cjson.RawCID([]byte(text))
		got, err := s.Get(ctx, c)
		if err != nil || string(got.RawData()) != text || !got.Cid().Equals(c) {
			t.Errorf("Get(%s): %v, %v", text, got, err)
		}
		if ok, err := s.Has(ctx, c); err != nil || !ok {
			t.Errorf("Has(%s): %t, %v", text, ok, err)
		}
		if n, err := s.GetSize(ctx, c); err != nil || n != len(text) {
			t.Errorf("GetSize(%s): %d, %v", text, n, err)
		}
	}
}

func absent(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	c := cjson.RawCID([]byte("nobody put this"))
	if ok, err := s.Has(ctx, c); ok || err != nil {
		t.Errorf("Has: %t, %v", ok, err)
	}
	_, gerr := s.Get(ctx, c)
	_, serr := s.GetSize(ctx, c)
	for what, err := range map[string]error{"Get": gerr, "GetSize": serr} {
		if !errors.Is(err, fault.NotFound) || !ipld.IsNotFound(err) {
			t.Errorf("%s: %v, want not-found of both kinds", what, err)
		}
	}
	if _, err := s.Get(ctx, cid.Undef); err == nil {
		t.Error("an undefined CID gives a block")
	}
}

func oneDigest(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	data := []byte{0x0a, 0x02, 0x08, 0x01} // an empty UnixFS directory
	v0 := cid.NewCidV0(cjson.RawCID(data).Hash())
	b, err := block.NewBlockWithCid(data, v0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, b); err != nil {
		t.Fatal(err)
	}
	for _, c := range []cid.Cid{v0, cid.NewCidV1(cid.DagProtobuf, v0.Hash()), cid.NewCidV1(cid.Raw, v0.Hash())} {
		got, err := s.Get(ctx, c)
		if err != nil || !bytes.Equal(got.RawData(), data) || !got.Cid().Equals(c) {
			t.Errorf("Get(%s): %v, %v", c, got, err)
		}
	}
}

func sizes(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	for _, n := range []int{0, 1, 127, 128, 4095, 4096, 4097, 1 << 20, 2 << 20} {
		b := raw(bytes.Repeat([]byte{byte(n), byte(n >> 8)}, (n+1)/2)[:n])
		if err := s.Put(ctx, b); err != nil {
			t.Errorf("%d bytes: %v", n, err)
			continue
		}
		got, err := s.Get(ctx, b.Cid())
		if err != nil || !bytes.Equal(got.RawData(), b.RawData()) {
			t.Errorf("%d bytes are not read back: %v", n, err)
		}
	}
	if err := s.Put(ctx, raw(make([]byte, 2<<20+1))); !errors.Is(err, fault.TooLarge) {
		t.Errorf("2 MiB and a byte: %v, want too-large", err)
	}
}

func wrongBytes(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	good, bad := raw([]byte("good")), []byte("bad!")
	claimed := cjson.RawCID([]byte("what it claims to be"))
	wrong, err := block.NewBlockWithCid(bad, claimed)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, wrong); !errors.Is(err, fault.Invalid) {
		t.Errorf("Put of wrong bytes: %v, want invalid", err)
	}
	if err := s.PutMany(ctx, []block.Block{good, wrong}); !errors.Is(err, fault.Invalid) {
		t.Errorf("PutMany with wrong bytes: %v, want invalid", err)
	}
	for _, c := range []cid.Cid{claimed, cjson.RawCID(bad)} {
		if ok, err := s.Has(ctx, c); ok || err != nil {
			t.Errorf("Has(%s): %t, %v after wrong bytes were refused", c, ok, err)
		}
	}
	if err := s.Put(ctx, good); err != nil { // nothing is in its way
		t.Errorf("good bytes after wrong ones: %v", err)
	}
	h, err := mh.Sum([]byte("x"), mh.SHA2_512, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := block.NewBlockWithCid([]byte("x"), cid.NewCidV1(cid.Raw, h))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), b); !errors.Is(err, fault.Invalid) {
		t.Errorf("a hash that is not SHA-256: %v, want invalid", err)
	}
}

func concurrent(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range 40 {
				mine := raw(fmt.Appendf(nil, "%d/%d", i, j))
				shared := raw(fmt.Appendf(nil, "shared %d", j))
				if err := s.PutMany(ctx, []block.Block{mine, shared}); err != nil {
					t.Error(err)
					return
				}
				for _, b := range []block.Block{mine, shared} {
					got, err := s.Get(ctx, b.Cid())
					if err != nil || !bytes.Equal(got.RawData(), b.RawData()) {
						t.Errorf("%s right after it was put: %v", b.RawData(), err)
						return
					}
				}
			}
		}()
	}
	wg.Wait()
}

func allKeys(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	want := make(map[string]bool)
	for i := range 100 {
		b := raw(fmt.Append(nil, i))
		if err := s.Put(ctx, b); err != nil {
			t.Fatal(err)
		}
		want[string(b.Cid().Hash())] = true
	}
	keys, err := s.AllKeysChan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for c := range keys {
		if !want[string(c.Hash())] {
			t.Errorf("%s is listed twice, or was never put", c)
		}
		delete(want, string(c.Hash()))
	}
	if len(want) > 0 {
		t.Errorf("%d blocks are not listed", len(want))
	}
}

// storedOnce puts equal bytes under every CID they can have, in one call and in
// many: one block is listed.
func storedOnce(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	data := []byte{0x0a, 0x02, 0x08, 0x01}
	h := cjson.RawCID(data).Hash()
	var all []block.Block
	for _, c := range []cid.Cid{cid.NewCidV1(cid.Raw, h), cid.NewCidV0(h), cid.NewCidV1(cid.DagProtobuf, h), cid.NewCidV1(cid.Raw, h)} {
		b, err := block.NewBlockWithCid(data, c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
		if err := s.Put(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutMany(ctx, all); err != nil {
		t.Fatal(err)
	}
	keys, err := s.AllKeysChan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for c := range keys {
		n++
		if got, err := s.Get(ctx, c); err != nil || !bytes.Equal(got.RawData(), data) {
			t.Errorf("the CID that is listed, %s: %v", c, err)
		}
	}
	if n != 1 {
		t.Errorf("one block is listed %d times", n)
	}
}

// ownBytes writes into what it put and into what it got.
func ownBytes(t *testing.T, s blocks.Store) {
	ctx := t.Context()
	data := bytes.Repeat([]byte("own"), 2000)
	b := raw(bytes.Clone(data))
	if err := s.Put(ctx, b); err != nil {
		t.Fatal(err)
	}
	clear(b.RawData())
	for range 3 {
		got, err := s.Get(ctx, b.Cid())
		if err != nil || !bytes.Equal(got.RawData(), data) {
			t.Fatalf("somebody wrote into the stored block: %v", err)
		}
		clear(got.RawData())
	}
}

func ended(t *testing.T, s blocks.Store) {
	b := raw([]byte("late"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, b); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want canceled", err)
	}
	if ok, err := s.Has(t.Context(), b.Cid()); ok || err != nil {
		t.Errorf("what was not put is there: %t, %v", ok, err)
	}
	if err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, b.Cid()); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want canceled", err)
	}
	// A listing that nobody reads to its end is let go.
	for i := range 10 {
		if err := s.Put(t.Context(), raw(fmt.Append(nil, i))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel = context.WithCancel(t.Context())
	keys, err := s.AllKeysChan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-keys
	cancel()
	n := 0
	for range keys {
		n++
	}
	if n > 9 {
		t.Errorf("%d keys after the context ended", n)
	}
}
