package unixfs_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/boxo/ipld/unixfs/importer/trickle"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// memory is a Blocks over boxo's in-memory store: the writer of these tests is
// another project's code.
type memory struct {
	bs    blockstore.Blockstore
	dag   ipld.DAGService
	reads int
}

func newMemory() *memory {
	bs := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	return &memory{bs: bs, dag: merkledag.NewDAGService(blockservice.New(bs, offline.Exchange(bs)))}
}

func (m *memory) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	m.reads++
	b, err := m.bs.Get(ctx, c)
	if err != nil {
		return nil, fault.Mark(fault.NotFound, err)
	}
	return b.RawData(), nil
}

func (m *memory) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	n, err := m.bs.GetSize(ctx, c)
	if err != nil {
		return 0, fault.Mark(fault.NotFound, err)
	}
	return uint64(n), nil
}

var v1 = cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256}

func (m *memory) file(t testing.TB, b []byte, size int64, width int, raw, trickled bool) ipld.Node {
	t.Helper()
	p := helpers.DagBuilderParams{Maxlinks: width, RawLeaves: raw, CidBuilder: v1, Dagserv: m.dag}
	db, err := p.New(chunk.NewSizeSplitter(bytes.NewReader(b), size))
	if err != nil {
		t.Fatal(err)
	}
	layout := balanced.Layout
	if trickled {
		layout = trickle.Layout
	}
	n, err := layout(db)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (m *memory) dir(t testing.TB, entries map[string]ipld.Node, sharded bool) ipld.Node {
	t.Helper()
	d, err := uio.NewDirectory(m.dag, uio.WithCidBuilder(v1))
	if sharded {
		d, err = uio.NewHAMTDirectory(m.dag, 0, uio.WithCidBuilder(v1), uio.WithMaxHAMTFanout(256))
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range entries {
		if err := d.AddChild(t.Context(), name, n); err != nil {
			t.Fatal(err)
		}
	}
	n, err := d.GetNode()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.dag.Add(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

func random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestReadsWhatAnotherProjectWrites(t *testing.T) {
	m := newMemory()
	for _, size := range []int{0, 1, 255, 256, 257, 256 * 4, 256*4 + 1, 256 * 64, 256*64 + 7} {
		for _, raw := range []bool{false, true} {
			for _, trickled := range []bool{false, true} {
				data := random(uint64(size), size)
				n := m.file(t, data, 256, 4, raw, trickled)
				var got []byte
				err := unixfs.ReadFile(t.Context(), m, n.Cid(), func(p []byte) error { got = append(got, p...); return nil })
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("size %d, raw %t, trickle %t: %d bytes, %v", size, raw, trickled, len(got), err)
				}
				sum, err := unixfs.Walk(t.Context(), m, n.Cid(), unixfs.Limits{}, func(unixfs.Entry) error { return nil })
				if err != nil || sum.Bytes != int64(size) || sum.Files != 1 {
					t.Fatalf("size %d, raw %t, trickle %t: %+v, %v", size, raw, trickled, sum, err)
				}
				for i := range 20 {
					off := i * size / 20
					length := (i * 97) % (size + 3)
					want := data[off:min(off+length, size)]
					got = got[:0]
					err := unixfs.ReadRange(t.Context(), m, n.Cid(), uint64(off), uint64(length), func(p []byte) error { got = append(got, p...); return nil })
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("size %d, range %d+%d: %d bytes, %v", size, off, length, len(got), err)
					}
				}
				if trickled {
					continue
				}
				at := uint64(0)
				ok, err := unixfs.Plan(t.Context(), m, n.Cid(), func(l unixfs.Leaf) error {
					b, err := m.Block(t.Context(), l.CID)
					if err != nil {
						return err
					}
					p, err := unixfs.Data(l.CID, b)
					if err != nil || l.Off != at || l.Known && uint64(len(p)) != l.Size || !bytes.Equal(p, data[at:at+uint64(len(p))]) {
						return fmt.Errorf("leaf at %d: %d bytes, %w", l.Off, len(p), err)
					}
					at += uint64(len(p))
					return nil
				})
				if err != nil || !ok || at != uint64(size) {
					t.Fatalf("leaves of size %d: %t, %d, %v", size, ok, at, err)
				}
			}
		}
	}
}

func TestWalkInCanonicalOrder(t *testing.T) {
	for _, sharded := range []bool{false, true} {
		m := newMemory()
		x := m.file(t, []byte("x"), 256, 4, true, false)
		big := m.file(t, random(1, 5000), 256, 4, true, false)
		target, err := ft.SymlinkData("a/b")
		if err != nil {
			t.Fatal(err)
		}
		link := merkledag.NodeWithData(target)
		link.SetCidBuilder(v1)
		if err := m.dag.Add(t.Context(), link); err != nil {
			t.Fatal(err)
		}
		entries := map[string]ipld.Node{"a.txt": x, "z": link, "empty": m.dir(t, nil, false)}
		entries["a"] = m.dir(t, map[string]ipld.Node{"b": big, "é": x}, sharded)
		for i := range 400 {
			entries[fmt.Sprintf("n%03d", i)] = x
		}
		root := m.dir(t, entries, sharded)
		var paths []string
		sum, err := unixfs.Walk(t.Context(), m, root.Cid(), unixfs.Limits{}, func(e unixfs.Entry) error {
			paths = append(paths, e.Path)
			if e.Kind == unixfs.Symlink && e.Target != "a/b" {
				t.Errorf("target %q", e.Target)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := (unixfs.Summary{Files: 403, Directories: 3, Symlinks: 1, Bytes: 5000 + 402}); sum != want {
			t.Errorf("%+v, want %+v", sum, want)
		}
		key := func(p string) string { return strings.ReplaceAll(p, "/", "\x00") }
		if !slices.IsSortedFunc(paths, func(a, b string) int { return strings.Compare(key(a), key(b)) }) {
			t.Errorf("not in canonical order: %q", paths[:8])
		}
		for _, p := range []string{"a/b", "a/é", "n399", "z", ""} {
			if e, err := unixfs.Resolve(t.Context(), m, root.Cid(), p); err != nil || e.Path != p {
				t.Errorf("Resolve(%q) = %+v, %v", p, e, err)
			}
		}
		for _, p := range []string{"b", "a/b/c", "n400", "z/x"} {
			if _, err := unixfs.Resolve(t.Context(), m, root.Cid(), p); !errors.Is(err, fault.NotFound) {
				t.Errorf("Resolve(%q): %v", p, err)
			}
		}
		// The closure has every block once, and only those.
		n := 0
		if err := unixfs.Closure(t.Context(), m, []cid.Cid{root.Cid()}, 0, true, func(cid.Cid, []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		all, err := m.bs.AllKeysChan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stored := 0
		for range all {
			stored++
		}
		if n < 20 || n > stored {
			t.Errorf("the closure has %d blocks, %d are stored", n, stored)
		}
	}
}

func TestCheckNamesTheFirstDifference(t *testing.T) {
	m := newMemory()
	x, y := m.file(t, []byte("x"), 256, 4, true, false), m.file(t, []byte("yy"), 256, 4, true, false)
	root := m.dir(t, map[string]ipld.Node{"a": x, "b": y, "d": m.dir(t, map[string]ipld.Node{"c": x}, false)}, false)
	good := []unixfs.Listed{{"a", x.Cid(), 1}, {"b", y.Cid(), 2}, {"d/c", x.Cid(), 1}}
	check := func(list []unixfs.Listed) error {
		_, err := unixfs.Check(t.Context(), m, root.Cid(), unixfs.Limits{}, func() (unixfs.Listed, bool, error) {
			if len(list) == 0 {
				return unixfs.Listed{}, false, nil
			}
			l := list[0]
			list = list[1:]
			return l, true, nil
		})
		return err
	}
	if err := check(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func([]unixfs.Listed) []unixfs.Listed{
		"one less": func(l []unixfs.Listed) []unixfs.Listed { return l[:2] },
		"one more": func(l []unixfs.Listed) []unixfs.Listed {
			return append(l, unixfs.Listed{Path: "e", CID: x.Cid(), Size: 1})
		},
		"other size": func(l []unixfs.Listed) []unixfs.Listed { l[1].Size++; return l },
		"other CID":  func(l []unixfs.Listed) []unixfs.Listed { l[1].CID = x.Cid(); return l },
		"other name": func(l []unixfs.Listed) []unixfs.Listed { l[2].Path = "d/x"; return l },
	} {
		if err := check(change(slices.Clone(good))); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (m *memory) put(t testing.TB, b []byte) cid.Cid {
	t.Helper()
	h, err := mh.Sum(b, mh.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	c := cid.NewCidV1(cid.DagProtobuf, h)
	if err := m.bs.Put(t.Context(), rawBlock{b, c}); err != nil {
		t.Fatal(err)
	}
	return c
}

type rawBlock struct {
	b []byte
	c cid.Cid
}

func (r rawBlock) RawData() []byte                  { return r.b }
func (r rawBlock) Cid() cid.Cid                     { return r.c }
func (r rawBlock) String() string                   { return r.c.String() }
func (r rawBlock) Loggable() map[string]interface{} { return nil }

// TestHostileDAGs tries malformed blocks and bombs: each is refused, in bounded
// work.
func TestHostileDAGs(t *testing.T) {
	m := newMemory()
	for name, h := range map[string]string{
		"no UnixFS data":       "",
		"empty data":           "0a00",
		"rubbish data":         "0a050001020304",
		"rubbish link":         "120b0a09015500050001020304",
		"unknown type":         "0a020809",
		"metadata":             "0a020803",
		"directory with bytes": "0a0508011201ff",
		"unknown field":        "1a00",
		"HAMT without fanout":  "0a0408052822",
		"HAMT fanout 1":        "0a06080528223001",
		"HAMT fanout 2^40":     "0a0b08052822308080808080" + "20",
		"file claims 1 TiB":    "0a09080218808080808020",
	} {
		b, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		c := m.put(t, b)
		if _, err := unixfs.Walk(t.Context(), m, c, unixfs.Limits{}, func(unixfs.Entry) error { return nil }); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Fifty levels, each twice the one below: claimed sizes double until they are
	// absurd. The walk must end after about as many reads as there are blocks.
	leaf := m.file(t, random(3, 1000), 4096, 4, true, false)
	prev, size, tsize := leaf.Cid(), uint64(1000), uint64(1000)
	for range 52 {
		fs := ft.NewFSNode(ft.TFile)
		fs.AddBlockSize(size)
		fs.AddBlockSize(size)
		b, err := fs.GetBytes()
		if err != nil {
			t.Fatal(err)
		}
		n := merkledag.NodeWithData(b)
		n.SetCidBuilder(v1)
		for range 2 {
			if err := n.AddRawLink("", &ipld.Link{Cid: prev, Size: tsize}); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.dag.Add(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		prev, size, tsize = n.Cid(), size*2, uint64(len(n.RawData()))+2*tsize
	}
	m.reads = 0
	if _, err := unixfs.Walk(t.Context(), m, prev, unixfs.Limits{}, func(unixfs.Entry) error { return nil }); err == nil || fault.Of(err) == fault.Internal {
		t.Errorf("a doubling bomb: %v", err)
	}
	if m.reads > 200 {
		t.Errorf("a doubling bomb took %d reads", m.reads)
	}

	// Forty levels of directories, each the one below twice: 2^40 paths that lead to
	// nothing, or to a symlink, and no list of files is as long as that.
	link, err := ft.SymlinkData("x")
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string][]byte{"empty directories": ft.FolderPBData(), "symlinks": link} {
		n := merkledag.NodeWithData(end)
		n.SetCidBuilder(v1)
		if err := m.dag.Add(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			up := merkledag.NodeWithData(ft.FolderPBData())
			up.SetCidBuilder(v1)
			for _, name := range []string{"a", "b"} {
				if err := up.AddNodeLink(name, n); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.dag.Add(t.Context(), up); err != nil {
				t.Fatal(err)
			}
			n = up
		}
		paths := 0
		_, err := unixfs.Walk(t.Context(), m, n.Cid(), unixfs.Limits{}, func(unixfs.Entry) error {
			if paths++; paths > 1<<21 {
				return errors.New("it goes on and on")
			}
			return nil
		})
		if !errors.Is(err, fault.TooLarge) {
			t.Errorf("%s: %v after %d paths", name, err, paths)
		}
	}

	// Bad names come through no directory.
	for _, name := range []string{"..", ".", "a/b", "a\x00b", "\xff", "a\nb", "\u202egnp", strings.Repeat("x", 256)} {
		n := ft.EmptyDirNode()
		n.SetCidBuilder(v1)
		if err := n.AddRawLink(name, &ipld.Link{Cid: leaf.Cid(), Size: 1000}); err != nil {
			t.Fatal(err)
		}
		if err := m.dag.Add(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if _, err := unixfs.Walk(t.Context(), m, n.Cid(), unixfs.Limits{}, func(unixfs.Entry) error { return nil }); !errors.Is(err, fault.Invalid) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, err := unixfs.Walk(t.Context(), m, cid.MustParse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"), unixfs.Limits{}, func(unixfs.Entry) error { return nil }); !errors.Is(err, fault.NotFound) {
		t.Errorf("a missing block: %v", err)
	}
}

func FuzzLinks(f *testing.F) {
	m := newMemory()
	x := m.file(f, random(1, 5000), 256, 4, true, false)
	f.Add(x.RawData())
	f.Add(m.dir(f, map[string]ipld.Node{"a": x, "b": x}, true).RawData())
	f.Add(m.dir(f, map[string]ipld.Node{"a": x}, false).RawData())
	for _, block := range badBlocks() {
		f.Add(block)
	}
	h, err := mh.Sum(nil, mh.SHA2_256, -1)
	if err != nil {
		f.Fatal(err)
	}
	c := cid.NewCidV1(cid.DagProtobuf, h)
	f.Fuzz(func(t *testing.T, b []byte) {
		links, err := unixfs.Links(c, b)
		if err != nil {
			return
		}
		// What is accepted here another project's decoder accepts too.
		n, err := merkledag.DecodeProtobuf(b)
		if err != nil || len(n.Links()) != len(links) {
			t.Fatalf("accepted %x, %v", b, err)
		}
		if again := n.RawData(); !bytes.Equal(again, b) {
			t.Fatalf("accepted %x, which encodes to %x", b, again)
		}
	})
}
