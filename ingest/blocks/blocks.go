// Package blocks says what cairn asks of a place that keeps blocks.
package blocks

import (
	"context"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
)

// A Store keeps blocks by their multihash: CIDs of other versions and codecs
// with the same digest name the same block. It is safe for concurrent use.
//
// Put and PutMany: when they return nil, Get finds the blocks in this process;
// only after Sync are they safe from a power cut. Get returns an error that is
// fault.NotFound (and boxo's ipld.ErrNotFound) for a block that is not there,
// and fault.Unverified for one whose bytes are not those of its CID: a wrong
// byte is never handed out. DeleteBlock may refuse.
type Store interface {
	blockstore.Blockstore
	Sync(ctx context.Context) error
	Close() error
}

// A Reader hands out blocks and their sizes, verified, with the errors of a
// [Store]. Whoever serves blocks to somebody reads them through one, with the
// context of that somebody's request: a Reader may ask it who wants to know.
type Reader interface {
	// Block returns the bytes of c. The caller may keep but not change them.
	Block(ctx context.Context, c cid.Cid) ([]byte, error)
	// Size returns how many bytes Block would return, without reading them.
	Size(ctx context.Context, c cid.Cid) (uint64, error)
}
