package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/registry/wire"
)

// Payouts lists the newest payouts, newest first; with a key, the one that has it.
func (c *Client) Payouts(ctx context.Context, key string) (*wire.Payouts, error) {
	v := make(url.Values)
	if key != "" {
		v.Set("key", key)
	}
	return call[wire.Payouts](ctx, c, http.MethodGet, "/v1/payouts?"+v.Encode(), nil)
}

// PayoutResults lists what became of the lines of a payout, from a line on.
func (c *Client) PayoutResults(ctx context.Context, payout cid.Cid, from uint64) (*wire.PayoutResults, error) {
	return call[wire.PayoutResults](ctx, c, http.MethodGet, "/v1/payouts/"+payout.String()+"/results?from="+strconv.FormatUint(from, 10), nil)
}
