package client

import (
	"context"
	"net/http"

	"github.com/cairn-registry/cairn/registry/wire"
)

// Access trades a signed request for a token that opens what its key may read of
// gated data, for at most a day. The client's transport must be [Signed].
// fault.Denied for a key that accepted no terms there.
func (c *Client) Access(ctx context.Context) (*wire.Access, error) {
	return call[wire.Access](ctx, c, http.MethodPost, "/v1/access", nil)
}
