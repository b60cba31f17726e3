package fetches

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// TestRepeatedLeaves: a leaf that stands at many places, and was sent in many parts,
// costs its places and its parts, and not their product.
func TestRepeatedLeaves(t *testing.T) {
	c := cjson.RawCID([]byte("leaf"))
	var extents []extent
	for i := range 200_000 {
		extents = append(extents, extent{keyOf(c), uint32(i % 50), 10})
	}
	v := newCovering(extents)
	v.begin("f")
	for i := range uint64(200_000) {
		if err := v.leaf(c, i*100, 100); err != nil {
			t.Fatal(err)
		}
	}
	v.flush()
	if v.covered != 200_000*59 || v.bytes != 2_000_000 || v.steps > 1_000_000 {
		t.Errorf("%d covered, %d bytes, %d steps", v.covered, v.bytes, v.steps)
	}
}

// TestEndlessTrees: a few blocks that repeat each other have more files, or leaves,
// than anybody can go through: their record is refused, and soon.
func TestEndlessTrees(t *testing.T) {
	blocks := blockMap{}
	one := []byte("leaf")
	leaf := cjson.RawCID(one)
	blocks[leaf] = one
	up := func(n *merkledag.ProtoNode, name func(int) string, c cid.Cid, tsize uint64) (cid.Cid, uint64) {
		n.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256})
		for i := range 1000 {
			if err := n.AddRawLink(name(i), &ipld.Link{Cid: c, Size: tsize}); err != nil {
				t.Fatal(err)
			}
		}
		blocks[n.Cid()] = n.RawData()
		return n.Cid(), 1000*tsize + uint64(len(n.RawData()))
	}
	file, size, tsize := leaf, uint64(len(one)), uint64(len(one))
	for range 3 {
		fs := ft.NewFSNode(ft.TFile)
		for range 1000 {
			fs.AddBlockSize(size)
		}
		b, err := fs.GetBytes()
		if err != nil {
			t.Fatal(err)
		}
		file, tsize = up(merkledag.NodeWithData(b), func(int) string { return "" }, file, tsize)
		size *= 1000
	}
	dir, tsize := leaf, uint64(len(one))
	for range 3 {
		dir, tsize = up(merkledag.NodeWithData(ft.FolderPBData()), func(i int) string { return fmt.Sprintf("%03d", i) }, dir, tsize)
	}
	for what, root := range map[string]cid.Cid{"leaves": file, "files": dir} {
		if _, err := cover(t.Context(), blocks, root, []extent{{keyOf(leaf), 0, 1}}, 1<<20); !errors.Is(err, fault.TooLarge) {
			t.Errorf("a thousand million %s: %v", what, err)
		}
	}
}

// blockMap is blocks in memory.
type blockMap map[cid.Cid][]byte

func (m blockMap) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	if b, ok := m[c]; ok {
		return b, nil
	}
	return nil, fault.New(fault.NotFound, "no block %s", c)
}

func (m blockMap) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	b, err := m.Block(ctx, c)
	return uint64(len(b)), err
}
