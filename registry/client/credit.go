package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/registry/wire"
)

// Credit asks how far the registry's books are.
func (c *Client) Credit(ctx context.Context) (*wire.CreditStatus, error) {
	return call[wire.CreditStatus](ctx, c, http.MethodGet, "/v1/credit", nil)
}

func runPath(p credit.Period, currency, rest string) string {
	return "/v1/credit/runs/" + p.String() + "/" + url.PathEscape(currency) + rest
}

// Run asks what the run of a closed period comes to.
func (c *Client) Run(ctx context.Context, p credit.Period, currency string) (*wire.CreditRun, error) {
	return call[wire.CreditRun](ctx, c, http.MethodGet, runPath(p, currency, ""), nil)
}

// RunPayees lists the payees of a run, a page at a time. least, in minor units, is
// what a payee must have to be payable at all.
func (c *Client) RunPayees(ctx context.Context, p credit.Period, currency string, least credit.Amount, after uint64) (*wire.PayeeLines, error) {
	v := url.Values{"min": {least.String()}}
	page(v, after, 0)
	return call[wire.PayeeLines](ctx, c, http.MethodGet, runPath(p, currency, "/payees?"+v.Encode()), nil)
}

// PayeeStatement asks for a party's statement. Its proof is not checked here.
func (c *Client) PayeeStatement(ctx context.Context, p credit.Period, currency, party string) (*wire.PayeeStatement, error) {
	return call[wire.PayeeStatement](ctx, c, http.MethodGet, runPath(p, currency, "/statements/"+url.PathEscape(party)), nil)
}

// Deltas asks by how much a retroactive agreement changes a run.
func (c *Client) Deltas(ctx context.Context, p credit.Period, currency string, agreement cid.Cid) (*wire.Deltas, error) {
	return call[wire.Deltas](ctx, c, http.MethodGet, runPath(p, currency, "/adjustment?agreement="+agreement.String()), nil)
}

// Balances asks what a party, a did:key or a handle, has in each currency.
func (c *Client) Balances(ctx context.Context, party string) (*wire.Balances, error) {
	return call[wire.Balances](ctx, c, http.MethodGet, "/v1/credit/balances/"+url.PathEscape(party), nil)
}

// Explain asks how an event's money reached a party, a page from offset on.
func (c *Client) Explain(ctx context.Context, party string, event cid.Cid, offset int) (*wire.Explanation, error) {
	v := url.Values{"party": {party}, "event": {event.String()}, "offset": {strconv.Itoa(offset)}}
	return call[wire.Explanation](ctx, c, http.MethodGet, "/v1/credit/explain?"+v.Encode(), nil)
}

// Simulate asks who would get what; only over a home's own socket.
func (c *Client) Simulate(ctx context.Context, s wire.Simulation) (*wire.Simulated, error) {
	return call[wire.Simulated](ctx, c, http.MethodPost, "/v1/credit/simulate", s)
}
