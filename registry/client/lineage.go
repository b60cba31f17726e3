package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// Graph asks for the graph around a version, to some distance. direction is
// up, down or both.
func (c *Client) Graph(ctx context.Context, id cid.Cid, direction string, depth int) (*wire.LineageGraph, error) {
	v := url.Values{"direction": {direction}, "depth": {strconv.Itoa(depth)}}
	return call[wire.LineageGraph](ctx, c, http.MethodGet, "/v1/lineage/"+id.String()+"?"+v.Encode(), nil)
}

// Impact asks what comes from a version.
func (c *Client) Impact(ctx context.Context, id cid.Cid) (*wire.Impact, error) {
	return call[wire.Impact](ctx, c, http.MethodGet, "/v1/impact/"+id.String(), nil)
}

// Acceptances asks who accepted a terms document, and what a party accepted: a
// page. Either may be absent.
func (c *Client) Acceptances(ctx context.Context, terms cid.Cid, party, after sign.KeyID) (*wire.AcceptancePage, error) {
	v := make(url.Values)
	if terms.Defined() {
		v.Set("terms", terms.String())
	}
	if party != "" {
		v.Set("party", string(party))
	}
	if after != "" {
		v.Set("after", string(after))
	}
	return call[wire.AcceptancePage](ctx, c, http.MethodGet, "/v1/acceptances?"+v.Encode(), nil)
}

// Withdrawals asks who withdrew or flagged a version.
func (c *Client) Withdrawals(ctx context.Context, statement cid.Cid) (*wire.Withdrawals, error) {
	return call[wire.Withdrawals](ctx, c, http.MethodGet, "/v1/withdrawals?statement="+statement.String(), nil)
}

// Tombstone asks what a tombstone of an entry has to say. Only the owner of the
// home is answered.
func (c *Client) Tombstone(ctx context.Context, i uint64) (*wire.Tombstone, error) {
	return call[wire.Tombstone](ctx, c, http.MethodGet, "/v1/entries/"+strconv.FormatUint(i, 10)+"/tombstone", nil)
}
