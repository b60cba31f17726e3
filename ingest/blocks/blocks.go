// Package blocks says what cairn asks of a place that keeps blocks.
package blocks

import (
	"context"

	"github.com/ipfs/boxo/blockstore"
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
