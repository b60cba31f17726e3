package client

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// OpenFetch opens a fetch of a version: requests for its data that carry the ID in
// the header [wire.FetchHeader] are counted. The client's transport must be [Signed],
// or send a token that is bound to a key. purpose may be "". fault.NotFound where
// no gateway signs fetch records, or there is no such version; fault.Denied for data
// whose terms the key has not accepted.
func (c *Client) OpenFetch(ctx context.Context, statement cid.Cid, purpose string) (*wire.Fetch, error) {
	return call[wire.Fetch](ctx, c, http.MethodPost, "/v1/fetches", wire.OpenFetch{Statement: cjson.CID{Cid: statement}, Purpose: purpose})
}

// FetchRecord returns the signed record of what was sent under a fetch so far: an
// envelope, not verified here. fault.Conflict when nothing was sent.
func (c *Client) FetchRecord(ctx context.Context, fetch string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	body, err := json.Marshal(wire.AskRecord{Fetch: fetch})
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	return c.do(ctx, http.MethodPost, "/v1/fetches/record", body, sign.MaxEnvelope)
}
