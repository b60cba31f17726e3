package client

import (
	"context"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/registry/wire"
)

// Overlap asks what a dataset shares with earlier ones; with another, when with
// is defined.
func (c *Client) Overlap(ctx context.Context, statement, with cid.Cid) (*wire.Overlap, error) {
	path := "/v1/overlap/" + statement.String()
	if with.Defined() {
		path += "?with=" + with.String()
	}
	return call[wire.Overlap](ctx, c, http.MethodGet, path, nil)
}
