package dag

import (
	"context"

	"github.com/ipfs/go-cid"
)

// A Sink takes finished blocks, in the order in which they are to lie. It is
// called by one goroutine at a time. data belongs to the caller again as soon
// as Append returns, so a Sink copies or writes it before. The result tells
// whether the block was new to the Sink.
type Sink interface {
	Append(ctx context.Context, c cid.Cid, data []byte) (stored bool, err error)
}

// Discard is the Sink of a dry run: it drops every block and calls none new.
var Discard Sink = discard{}

type discard struct{}

func (discard) Append(ctx context.Context, _ cid.Cid, _ []byte) (bool, error) {
	return false, ctx.Err()
}
