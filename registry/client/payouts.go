package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/registry/wire"
)

// Payouts lists the payouts, newest first; with a key, the one that has it.
func (c *Client) Payouts(ctx context.Context, key string) (*wire.Payouts, error) {
	path := "/v1/payouts"
	if key != "" {
		path += "?" + url.Values{"key": {key}}.Encode()
	}
	return call[wire.Payouts](ctx, c, http.MethodGet, path, nil)
}

// Payout asks for a payout by its statement.
func (c *Client) Payout(ctx context.Context, statement cid.Cid) (*wire.Payout, error) {
	return call[wire.Payout](ctx, c, http.MethodGet, "/v1/payouts/"+statement.String(), nil)
}

// PayoutLines lists the lines of a payout and what became of them, a page at a
// time.
func (c *Client) PayoutLines(ctx context.Context, statement cid.Cid, after uint64) (*wire.PayoutLines, error) {
	v := make(url.Values)
	page(v, after, 0)
	path := "/v1/payouts/" + statement.String() + "/lines"
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	return call[wire.PayoutLines](ctx, c, http.MethodGet, path, nil)
}
