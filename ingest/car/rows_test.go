package car_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/ipfs/go-cid"
	gocar "github.com/ipld/go-car/v2"

	"github.com/cairn-registry/cairn/ingest/car"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

func imported(t testing.TB, b []byte) (cid.Cid, error) {
	t.Helper()
	c, _, err := car.Import(t.Context(), bytes.NewReader(b), make(store), nil)
	return c, err
}

// allocated is how many bytes an import of b takes from the heap in all.
func allocated(t *testing.T, b []byte) uint64 {
	t.Helper()
	s := make(store)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := car.Import(t.Context(), bytes.NewReader(b), s, nil)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, fault.Invalid) {
		t.Errorf("%x…: %v, want %q", b[:min(len(b), 16)], err, fault.Invalid)
	}
	return after.TotalAlloc - before.TotalAlloc
}

// TestClaimsAreNotAllocated: what a length claims above its limit is refused
// before it is made room for.
func TestClaimsAreNotAllocated(t *testing.T) {
	s, root := tree(t)
	good := export(t, s, root)
	head := good[:1+int(good[0])]
	claim := func(before []byte, n uint64) []byte { return binary.AppendUvarint(bytes.Clone(before), n) }
	baseline := allocated(t, nil)
	for name, b := range map[string][]byte{
		"a header of 32 MiB":       append(claim(nil, 32<<20), 0),
		"a header of 2^62":         append(claim(nil, 1<<62), 0),
		"a header of 64 KiB":       claim(nil, 64<<10),
		"a section of 8 MiB":       claim(head, 8<<20),
		"a section above a block":  claim(head, unixfs.MaxBlock+257),
		"a section of 2^62":        claim(head, 1<<62),
		"2^32 members in a header": append([]byte{15, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x65}, "roots"...),
		"2^32-1 in the short form": append([]byte{11, 0xba, 0xff, 0xff, 0xff, 0xff, 0x65}, "roots"...),
		"2^32 roots":               append([]byte{30}, "\xa2\x65roots\x9b\x00\x00\x00\x01\x00\x00\x00\x00\xd8\x2a\x58\x25\x00\x01\x55\x12\x20\x00\x00\x00\x00\x00"...),
	} {
		if n := allocated(t, b); n > baseline+1<<20 {
			t.Errorf("%s: %d bytes were allocated, %d for an empty file", name, n, baseline)
		}
	}
}

// TestBlockAboveItsLimit: a section may be as long as a block and a CID, and the
// block in it has a limit of its own.
func TestBlockAboveItsLimit(t *testing.T) {
	for n, want := range map[int]fault.Code{
		unixfs.MaxBlock:       "",
		unixfs.MaxBlock + 1:   fault.Invalid,
		unixfs.MaxBlock + 128: fault.Invalid,
		unixfs.MaxBlock + 220: fault.Invalid, // with its CID the longest section
		unixfs.MaxBlock + 221: fault.Invalid,
	} {
		data := make([]byte, n)
		c := cjson.RawCID(data)
		if _, err := imported(t, export(t, store{string(c.Hash()): data}, c)); want == "" && err != nil || want != "" && !errors.Is(err, want) {
			t.Errorf("a block of %d bytes: %v, want %q", n, err, want)
		}
	}
}

// TestCARv2Windows: what a CARv2 says of its data lies in the file and holds a
// CARv1; as a stream it is refused by its version.
func TestCARv2Windows(t *testing.T) {
	s, root := tree(t)
	v1 := export(t, s, root)
	var v2 bytes.Buffer
	if err := gocar.WrapV1(bytes.NewReader(v1), &v2); err != nil {
		t.Fatal(err)
	}
	const offAt, sizeAt = 11 + 16, 11 + 24
	off, size := binary.LittleEndian.Uint64(v2.Bytes()[offAt:]), binary.LittleEndian.Uint64(v2.Bytes()[sizeAt:])
	if size != uint64(len(v1)) {
		t.Fatalf("a size of %d, the data has %d bytes", size, len(v1))
	}
	for name, c := range map[string]struct {
		off, size uint64
		want      fault.Code
	}{
		"as it is":             {off, size, ""},
		"size 0":               {off, 0, fault.Invalid},
		"offset 0":             {0, size, fault.Invalid},
		"offset 0, size 0":     {0, 0, fault.Invalid},
		"offset in the header": {50, size, fault.Invalid},
		"offset 2^63":          {1 << 63, size, fault.Invalid},
		"offset at the end":    {uint64(v2.Len()), 0, fault.Invalid},
		"size behind the end":  {off, uint64(v2.Len()) - off + 1, fault.Invalid},
		"a sum that overflows": {off, -off, fault.Invalid},
		"a byte less":          {off, size - 1, fault.Invalid},
	} {
		b := bytes.Clone(v2.Bytes())
		binary.LittleEndian.PutUint64(b[offAt:], c.off)
		binary.LittleEndian.PutUint64(b[sizeAt:], c.size)
		_, _, err := car.ImportFile(t.Context(), bytes.NewReader(b), int64(len(b)), make(store), nil)
		if c.want == "" && err != nil || c.want != "" && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, _, err := car.Import(t.Context(), io.NopCloser(bytes.NewReader(b)), make(store), nil); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s, as a stream: %v", name, err)
		}
	}
	// Without an index, and with the data so early that it overlaps the header.
	whole := bytes.Clone(v2.Bytes()[:off+size])
	early := append(bytes.Clone(whole[:43]), v1...)
	binary.LittleEndian.PutUint64(early[offAt:], 43)
	long := bytes.Clone(whole)
	binary.LittleEndian.PutUint64(long[sizeAt:], size+1)
	for name, c := range map[string]struct {
		b    []byte
		want fault.Code
	}{
		"no index":                       {whole, ""},
		"no index, a byte more than all": {long, fault.Invalid},
		"data in the header":             {early, fault.Invalid},
	} {
		_, _, err := car.ImportFile(t.Context(), bytes.NewReader(c.b), int64(len(c.b)), make(store), nil)
		if c.want == "" && err != nil || c.want != "" && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	pragma := v2.Bytes()[:11]
	if _, _, err := car.ImportFile(t.Context(), bytes.NewReader(pragma), 11, make(store), nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("the pragma alone: %v", err)
	}
}
