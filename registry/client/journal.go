package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

// Journal writes the books of a currency to w, as text for hledger, beancount or
// ledger; only over a home's own socket. After an error w has a part of it.
func (c *Client) Journal(ctx context.Context, currency, format string, w io.Writer) error {
	path := "/v1/credit/journal/" + url.PathEscape(currency) + "?format=" + url.QueryEscape(format)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return fault.Mark(fault.Invalid, err)
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return wire.ReadProblem(resp)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
