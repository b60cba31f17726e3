package car_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	gocar "github.com/ipld/go-car/v2"
	mh "github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cairn-registry/cairn/ingest/car"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

type store map[string][]byte

func (s store) Append(_ context.Context, c cid.Cid, b []byte) (bool, error) {
	s[string(c.Hash())] = bytes.Clone(b)
	return true, nil
}

func (s store) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	b, ok := s[string(c.Hash())]
	if !ok {
		return nil, fault.New(fault.NotFound, "no %s", c)
	}
	return b, nil
}

func (s store) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	b, err := s.Block(ctx, c)
	return uint64(len(b)), err
}

// tree is a directory of two files, one of them twice, written by hand.
func tree(t testing.TB) (store, cid.Cid) {
	t.Helper()
	s := make(store)
	leaf := func(text string) cid.Cid {
		c := cjson.RawCID([]byte(text))
		s.Append(t.Context(), c, []byte(text))
		return c
	}
	var pb []byte
	for _, e := range []struct {
		name string
		c    cid.Cid
		size int
	}{{"a", leaf("one"), 3}, {"b", leaf("three"), 5}, {"c", leaf("one"), 3}} {
		l := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), e.c.Bytes())
		l = protowire.AppendString(protowire.AppendTag(l, 2, protowire.BytesType), e.name)
		l = protowire.AppendVarint(protowire.AppendTag(l, 3, protowire.VarintType), uint64(e.size))
		pb = protowire.AppendBytes(protowire.AppendTag(pb, 2, protowire.BytesType), l)
	}
	pb = protowire.AppendBytes(protowire.AppendTag(pb, 1, protowire.BytesType), []byte{8, 1})
	h, err := mh.Sum(pb, mh.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	root := cid.NewCidV1(cid.DagProtobuf, h)
	s.Append(t.Context(), root, pb)
	return s, root
}

func export(t testing.TB, s store, root cid.Cid) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := car.Export(t.Context(), s, root, &out, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestExportIsWhatOthersRead(t *testing.T) {
	s, root := tree(t)
	b := export(t, s, root)
	if again := export(t, s, root); !bytes.Equal(again, b) {
		t.Error("two exports differ")
	}
	r, err := gocar.NewBlockReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if r.Version != 1 || len(r.Roots) != 1 || !r.Roots[0].Equals(root) {
		t.Errorf("version %d, roots %v", r.Version, r.Roots)
	}
	n := 0
	for {
		blk, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 && !blk.Cid().Equals(root) {
			t.Error("the root is not the first block")
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d blocks, want 3: one is there twice and is written once", n)
	}
	got := make(store)
	back, stats, err := car.Import(t.Context(), bytes.NewReader(b), got, nil)
	if err != nil || !back.Equals(root) || stats.Blocks != 3 || len(got) != 3 {
		t.Errorf("Import = %s, %+v, %v", back, stats, err)
	}
	if err := car.Complete(t.Context(), got, root); err != nil {
		t.Error(err)
	}
}

// TestCutAnywhereIsNotComplete cuts a CAR at every byte: whatever could be
// imported, the dataset never counts as complete.
func TestCutAnywhereIsNotComplete(t *testing.T) {
	s, root := tree(t)
	b := export(t, s, root)
	for i := range b {
		got := make(store)
		back, _, err := car.Import(t.Context(), bytes.NewReader(b[:i]), got, nil)
		if err == nil {
			err = car.Complete(t.Context(), got, back)
		}
		if err == nil {
			t.Errorf("cut at byte %d of %d: complete", i, len(b))
		}
		if code := fault.Of(err); code != fault.Invalid && code != fault.NotFound {
			t.Errorf("cut at byte %d: %v (%s)", i, err, code)
		}
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1 << (i % 8)
		got := make(store)
		back, _, err := car.Import(t.Context(), bytes.NewReader(bad), got, nil)
		if err == nil && back.Equals(root) && car.Complete(t.Context(), got, root) == nil && len(got) == 3 {
			// A codec or version may change where the digest stays: then the
			// block is still the right one.
			continue
		}
		if err != nil && fault.Of(err) == fault.Internal {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestCARv2(t *testing.T) {
	s, root := tree(t)
	v1 := export(t, s, root)
	var v2 bytes.Buffer
	if err := gocar.WrapV1(bytes.NewReader(v1), &v2); err != nil {
		t.Fatal(err)
	}
	got := make(store)
	back, _, err := car.ImportFile(t.Context(), bytes.NewReader(v2.Bytes()), int64(v2.Len()), got, nil)
	if err != nil || !back.Equals(root) || len(got) != 3 {
		t.Errorf("ImportFile = %s, %v", back, err)
	}
	bad := bytes.Clone(v2.Bytes())
	bad[11+16+7] = 0x80 // the data's offset: beyond the file
	if _, _, err := car.ImportFile(t.Context(), bytes.NewReader(bad), int64(len(bad)), make(store), nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("a window outside the file: %v", err)
	}
	if _, _, err := car.Import(t.Context(), bytes.NewReader(v2.Bytes()), make(store), nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("CARv2 as a stream: %v", err)
	}
}

func TestHostileInput(t *testing.T) {
	s, root := tree(t)
	good := export(t, s, root)
	head := good[:1+int(good[0])]
	for name, b := range map[string][]byte{
		"empty":                   {},
		"header of 32 MiB":        {0x80, 0x80, 0x80, 0x10, 0},
		"header of 2^62":          {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40},
		"header of nothing":       {0},
		"overlong varint":         {0x80, 0x00},
		"not CBOR":                {3, 1, 2, 3},
		"version 3":               bytes.Replace(good, []byte("version\x01"), []byte("version\x03"), 1),
		"no roots":                append([]byte{17}, "\xa2\x65roots\x80\x67version\x01"...),
		"section of 8 MiB":        append(bytes.Clone(head), 0x80, 0x80, 0x80, 0x04),
		"section of 2^63":         append(bytes.Clone(head), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"section of one byte":     append(bytes.Clone(head), 1, 0),
		"section of nothing":      append(bytes.Clone(head), 0),
		"sha1":                    append(append(bytes.Clone(head), 34), append([]byte{1, 0x55, 0x11, 0x14}, make([]byte, 30)...)...),
		"truncated sha2-256":      append(append(bytes.Clone(head), 40), append([]byte{1, 0x55, 0x12, 4}, make([]byte, 36)...)...),
		"identity":                append(append(bytes.Clone(head), 40), append([]byte{1, 0x55, 0, 36}, make([]byte, 36)...)...),
		"trailing garbage":        append(bytes.Clone(good), 0xff),
		"other codec":             append(append(bytes.Clone(head), 36), append([]byte{1, 0x78, 0x12, 0x20}, make([]byte, 32)...)...),
		"a cut length at the end": append(bytes.Clone(good), 0x80),
	} {
		if _, _, err := car.Import(t.Context(), bytes.NewReader(b), make(store), nil); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong := bytes.Replace(good, []byte("three"), []byte("threE"), 1)
	if _, _, err := car.Import(t.Context(), bytes.NewReader(wrong), make(store), nil); !errors.Is(err, fault.Unverified) {
		t.Errorf("wrong bytes: %v", err)
	}
}

func FuzzImport(f *testing.F) {
	s, root := tree(f)
	f.Add(export(f, s, root))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := make(store)
		_, stats, err := car.ImportFile(t.Context(), bytes.NewReader(b), int64(len(b)), got, nil)
		if err == nil && stats.Bytes > int64(len(b)) {
			t.Fatalf("%d bytes of blocks out of %d", stats.Bytes, len(b))
		}
		if err != nil && fault.Of(err) == fault.Internal {
			t.Fatal(err)
		}
	})
}

// TestExportFile writes the same bytes as Export.
func TestExportFile(t *testing.T) {
	s, root := tree(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "out.car"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := car.ExportFile(t.Context(), s, root, f, nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, export(t, s, root)) {
		t.Errorf("ExportFile and Export differ (%v)", err)
	}
}
