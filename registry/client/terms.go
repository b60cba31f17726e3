package client

import (
	"context"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/wire"
)

// Terms returns a terms document, checked to be the one that its CID names.
func (c *Client) Terms(ctx context.Context, id cid.Cid) ([]byte, error) {
	b, err := c.do(ctx, http.MethodGet, "/v1/terms/"+id.String(), nil, terms.MaxTerms)
	if err != nil {
		return nil, err
	}
	if !cjson.JSONCID(b).Equals(id) {
		return nil, fault.New(fault.Unverified, "the registry sent another document than the terms %s", id)
	}
	return b, nil
}

// CheckTerms asks what may be done with a mixture. It is the registry's word;
// "cairn terms check" reads the documents and decides itself.
func (c *Client) CheckTerms(ctx context.Context, ask wire.TermsCheck) (*wire.TermsChecked, error) {
	return call[wire.TermsChecked](ctx, c, http.MethodPost, "/v1/terms/check", ask)
}
