package gateway

import (
	"container/list"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/ipfs/boxo/blockstore"
	boxo "github.com/ipfs/boxo/gateway"
	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// maxInline is the longest digest of a block that is its own CID: every
	// gateway must read 128 bytes and none may read more.
	maxInline = 128
	// maxNodes bounds the decoded directories and inner file nodes that are kept:
	// some hundred of the largest, or all that a hundred busy datasets need.
	maxNodes = 32 << 20
)

// A guard is the one way to blocks in this package. It hands out none that the
// denylist names, and keeps decoded nodes. It is unixfs.Blocks and unixfs.Nodes.
type guard struct {
	blocks.Reader
	deny    *denylist
	reading chan struct{}

	mu     sync.Mutex
	nodes  map[cid.Cid]*list.Element
	recent *list.List // of kept, the one used last in front
	memory int
}

type kept struct {
	c cid.Cid
	n *unixfs.Node
}

func newGuard(r blocks.Reader, deny *denylist) *guard {
	return &guard{Reader: r, deny: deny, reading: make(chan struct{}, maxReading), nodes: make(map[cid.Cid]*list.Element), recent: list.New()}
}

// inline returns the block that a CID with an identity hash is.
func inline(c cid.Cid) (b []byte, ok bool, err error) {
	if c.Prefix().MhType != mh.IDENTITY {
		return nil, false, nil
	}
	d, err := mh.Decode(c.Hash())
	if err != nil || len(d.Digest) > maxInline {
		return nil, true, fault.New(fault.Invalid, "the CID holds a block of more than %d bytes", maxInline)
	}
	return d.Digest, true, nil
}

func (g *guard) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := g.deny.block(c); err != nil {
		return nil, err
	}
	if b, ok, err := inline(c); ok {
		return b, err
	}
	return g.Reader.Block(ctx, c)
}

// openBlock is a Reader's ability to hand out a verified block in parts.
type openBlock interface {
	OpenBlock(ctx context.Context, c cid.Cid) (r io.ReaderAt, size int64, err error)
}

// piece returns the bytes of a file in the leaf c, to be read in parts: from
// where they lie if the Reader can, so that whoever takes them slowly holds no
// block in memory. Few large blocks at a time are read to be verified.
func (g *guard) piece(ctx context.Context, c cid.Cid) (piece, error) {
	o, ok := g.Reader.(openBlock)
	if _, in, _ := inline(c); in || !ok {
		b, err := g.Block(ctx, c)
		return whole(b), err
	}
	if err := g.deny.block(c); err != nil {
		return piece{}, err
	}
	select {
	case g.reading <- struct{}{}:
		defer func() { <-g.reading }()
	case <-ctx.Done():
		return piece{}, context.Cause(ctx)
	}
	r, n, err := o.OpenBlock(ctx, c)
	return piece{r: r, n: uint64(n)}, err
}

// maxReading bounds the blocks that are read at a time to be verified: 64 MiB of
// usual ones, 128 MiB at the most.
const maxReading = 64

func (g *guard) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	if err := g.deny.block(c); err != nil {
		return 0, err
	}
	if b, ok, err := inline(c); ok {
		return uint64(len(b)), err
	}
	return g.Reader.Size(ctx, c)
}

// Node returns the decoded block of c. One that is kept is handed out only when
// the Reader says, to this caller, that the block is there.
func (g *guard) Node(ctx context.Context, c cid.Cid) (*unixfs.Node, error) {
	g.mu.Lock()
	e, ok := g.nodes[c]
	if ok {
		g.recent.MoveToFront(e)
	}
	g.mu.Unlock()
	if ok {
		if _, err := g.Size(ctx, c); err != nil {
			return nil, err
		}
		return e.Value.(kept).n, nil
	}
	b, err := g.Block(ctx, c)
	if err != nil {
		return nil, err
	}
	n, err := unixfs.DecodeNode(c, b)
	if err != nil {
		// The block is what its CID says, and is no part of a file tree.
		return nil, fault.Mark(fault.Unverified, err)
	}
	if c.Prefix().Codec == cid.DagProtobuf && n.Memory() < maxNodes/16 {
		g.keep(c, n)
	}
	return n, nil
}

func (g *guard) keep(c cid.Cid, n *unixfs.Node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.nodes[c]; ok {
		return
	}
	g.nodes[c] = g.recent.PushFront(kept{c, n})
	g.memory += n.Memory()
	for g.memory > maxNodes {
		last := g.recent.Remove(g.recent.Back()).(kept)
		delete(g.nodes, last.c)
		g.memory -= last.n.Memory()
	}
}

// A readOnly is a guard as boxo wants a store of blocks. Errors carry the
// status that boxo shall answer with.
type readOnly struct{ g *guard }

var _ blockstore.Blockstore = readOnly{}

var errReadOnly = errors.New("the gateway's blocks are read-only")

func forBoxo(err error) error {
	switch code := fault.Of(err); code {
	case "", fault.NotFound, fault.Internal, fault.Interrupted:
		return err
	default:
		return boxo.NewErrorStatusCode(err, code.HTTPStatus())
	}
}

func (s readOnly) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := s.g.Size(ctx, c)
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, forBoxo(err)
}

func (s readOnly) Get(ctx context.Context, c cid.Cid) (block.Block, error) {
	b, err := s.g.Block(ctx, c)
	if err != nil {
		return nil, forBoxo(err)
	}
	return block.NewBlockWithCid(b, c)
}

func (s readOnly) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := s.g.Size(ctx, c)
	if err != nil {
		return -1, forBoxo(err)
	}
	return int(n), nil
}

func (readOnly) Put(context.Context, block.Block) error       { return errReadOnly }
func (readOnly) PutMany(context.Context, []block.Block) error { return errReadOnly }
func (readOnly) DeleteBlock(context.Context, cid.Cid) error   { return errReadOnly }
func (readOnly) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, errReadOnly
}
