package ingest

import (
	"context"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/semaphore"

	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// nearBytes and nearBlocks bound what is asked of a store at a time.
	nearBytes  = 16 << 20
	nearBlocks = 16
)

// A far source of blocks is one where the way is long: it wants to be asked for many
// at a time.
type far interface {
	// InFlight says how many blocks, of how many bytes in all, to ask for at a time.
	InFlight() (blocks int, bytes int64)
}

// A follower is a source of blocks that reads ahead.
type follower interface {
	// Follow says that the DAG below root will be read in canonical order. stop
	// ends it, and waits until it has ended.
	Follow(ctx context.Context, root cid.Cid) (stop func())
}

// follow tells src what will be read, if it wants to know.
func follow(ctx context.Context, src unixfs.Blocks, root cid.Cid) (stop func()) {
	if f, ok := src.(follower); ok {
		return f.Follow(ctx, root)
	}
	return func() {}
}

// room is the memory for blocks that are under way, first come, first served.
type room struct {
	s     *semaphore.Weighted
	bytes int64
	least int64 // what a block takes at least, so that their number is bounded too
	far   bool
}

func roomFor(src unixfs.Blocks) *room {
	r := &room{bytes: nearBytes}
	blocks := nearBlocks
	if f, ok := src.(far); ok {
		blocks, r.bytes = f.InFlight()
		r.far = true
	}
	r.bytes = max(r.bytes, unixfs.MaxBlock)
	r.least = r.bytes / int64(max(blocks, 1))
	r.s = semaphore.NewWeighted(r.bytes)
	return r
}

// take waits for room for a block of about so many bytes, and says what to give
// back.
func (r *room) take(ctx context.Context, bytes uint64) (int64, error) {
	n := max(int64(min(bytes, unixfs.MaxBlock)), r.least)
	if err := r.s.Acquire(ctx, n); err != nil {
		return 0, context.Cause(ctx)
	}
	return n, nil
}

func (r *room) give(n int64) { r.s.Release(n) }
