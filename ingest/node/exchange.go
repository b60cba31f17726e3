package node

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange"
	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// maxWants bounds what one peer may ask for at a time, and maxOutstanding
	// the bytes on their way to it. With bitswap's own bound on a block, 2 MiB,
	// a peer that wants and never reads costs a few MiB.
	maxWants       = 1024
	maxOutstanding = 4 << 20
	maxCIDBytes    = 64 // a CIDv1 with sha2-256 has 36 or 37
	blockWorkers   = 16 // blocks that are read for peers at a time
	// patience is how long a fetch waits for one block that nobody sends.
	patience = 2 * time.Minute
	// maxSizes bounds the lengths that a source remembers.
	maxSizes = 1 << 16
)

func exchangeOptions(o Options) []bitswap.Option {
	return []bitswap.Option{
		bitswap.WithServerEnabled(o.Blocks != nil),
		bitswap.MaxOutstandingBytesPerPeer(maxOutstanding),
		bitswap.MaxQueuedWantlistEntriesPerPeer(maxWants),
		bitswap.MaxCidSize(maxCIDBytes),
		bitswap.EngineBlockstoreWorkerCount(blockWorkers),
		bitswap.WithPeerBlockRequestFilter(func(p peer.ID, c cid.Cid) bool {
			if o.Allow == nil {
				return true
			}
			id := identityOf(p)
			return id != "" && o.Allow(id, c)
		}),
	}
}

// served lets bitswap read blocks, and nothing else: what is fetched goes to
// whoever asked for it, not into a store. A nil Reader has no blocks.
type served struct{ r blocks.Reader }

var _ blockstore.Blockstore = served{}

func (s served) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := s.GetSize(ctx, c)
	if ipld.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (s served) Get(ctx context.Context, c cid.Cid) (block.Block, error) {
	if s.r == nil {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	b, err := s.r.Block(ctx, c)
	if err != nil {
		return nil, notFound(c, err)
	}
	return block.NewBlockWithCid(b, c)
}

func (s served) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if s.r == nil {
		return 0, ipld.ErrNotFound{Cid: c}
	}
	n, err := s.r.Size(ctx, c)
	if err == nil && n == 0 {
		n = 1 // bitswap's server takes 0 for "not there"; it asks Get before it sends
	}
	return int(n), notFound(c, err)
}

// notFound tells bitswap in its words that a block is not there.
func notFound(c cid.Cid, err error) error {
	if code := fault.Of(err); err != nil && (code == fault.NotFound || code == fault.Gone || code == fault.Denied) {
		return ipld.ErrNotFound{Cid: c}
	}
	return err
}

var errReadOnly = fault.New(fault.Denied, "peers cannot store blocks here")

func (served) Put(context.Context, block.Block) error       { return errReadOnly }
func (served) PutMany(context.Context, []block.Block) error { return errReadOnly }
func (served) DeleteBlock(context.Context, cid.Cid) error   { return errReadOnly }
func (served) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, errReadOnly
}

// A Source fetches blocks from peers, in one session: peers that had one block
// are asked first for the next. It is safe for concurrent use, and good until
// the context that it was made with ends.
type Source struct {
	fetch exchange.Fetcher

	mu    sync.Mutex
	sizes map[cid.Cid]uint64
}

// Source begins a session.
func (n *Node) Source(ctx context.Context) *Source {
	return &Source{fetch: n.bitswap.NewSession(ctx), sizes: make(map[cid.Cid]uint64)}
}

// ofNothing is the digest of the empty block.
var ofNothing = sha256.Sum256(nil)

// Block returns the bytes of c, hashed here. A block that no peer has sent after
// two minutes is fault.Busy: a peer network cannot say that there is none. CIDs
// other than whole sha2-256 ones are fault.Invalid.
func (s *Source) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	m, err := mh.Decode(c.Hash())
	if err != nil || m.Code != mh.SHA2_256 || m.Length != sha256.Size {
		return nil, fault.New(fault.Invalid, "the CID %s: only whole sha2-256 hashes are fetched", c)
	}
	if string(m.Digest) == string(ofNothing[:]) {
		return []byte{}, nil // many servers of bitswap never send it
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := s.fetch.GetBlock(wait, c)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case wait.Err() != nil:
		return nil, fault.New(fault.Busy, "no peer sent the block %s within %s", c, patience)
	default:
		return nil, fault.New(fault.Busy, "fetching %s from peers: %w", c, err)
	}
	data := b.RawData()
	if sum := sha256.Sum256(data); string(sum[:]) != string(m.Digest) {
		return nil, fault.New(fault.Unverified, "a peer sent wrong bytes for %s", c)
	}
	s.mu.Lock()
	if len(s.sizes) >= maxSizes {
		clear(s.sizes)
	}
	s.sizes[c] = uint64(len(data))
	s.mu.Unlock()
	return data, nil
}

// Size returns the length of the block c. It is fetched, unless this source has
// seen it: no peer is believed about it.
func (s *Source) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	s.mu.Lock()
	n, ok := s.sizes[c]
	s.mu.Unlock()
	if ok {
		return n, nil
	}
	b, err := s.Block(ctx, c)
	return uint64(len(b)), err
}

// InFlight says how many blocks to ask for at a time: peers answer in batches, and
// each round trip is long.
func (s *Source) InFlight() (blocks int, bytes int64) { return 64, 32 << 20 }

func (s *Source) String() string { return "peers" }

var _ blocks.Reader = (*Source)(nil)
