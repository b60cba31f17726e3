package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// Registry asks for the registry/v1 in force.
func (c *Client) Registry(ctx context.Context) (*wire.Registry, error) {
	return call[wire.Registry](ctx, c, http.MethodGet, "/v1/registry", nil)
}

// Node asks for the version of a dataset or a model that a statement made.
func (c *Client) Node(ctx context.Context, statement cid.Cid) (*wire.Node, error) {
	return call[wire.Node](ctx, c, http.MethodGet, "/v1/nodes/"+statement.String(), nil)
}

// NamedNode asks for a version of a dataset or a model by its name; the newest
// with an empty version. publisher is a did:key or a handle.
func (c *Client) NamedNode(ctx context.Context, publisher, name, version string) (*wire.Node, error) {
	path := "/v1/nodes/" + url.PathEscape(publisher) + "/" + url.PathEscape(name)
	if version != "" {
		path += "/" + url.PathEscape(version)
	}
	return call[wire.Node](ctx, c, http.MethodGet, path, nil)
}

// Agreements lists the agreements of a work, newest first.
func (c *Client) Agreements(ctx context.Context, work string) (*wire.Agreements, error) {
	return call[wire.Agreements](ctx, c, http.MethodGet, "/v1/works/"+url.PathEscape(work)+"/agreements", nil)
}

// Agreement asks what became of an agreement.
func (c *Client) Agreement(ctx context.Context, statement cid.Cid) (*wire.Agreement, error) {
	return call[wire.Agreement](ctx, c, http.MethodGet, "/v1/agreements/"+statement.String(), nil)
}

// Parties asks whom an agreement would concern, before it is logged.
func (c *Client) Parties(ctx context.Context, payload []byte) (*wire.Parties, error) {
	return call[wire.Parties](ctx, c, http.MethodPost, "/v1/agreements/parties", payload)
}

// Calendar asks which period is open.
func (c *Client) Calendar(ctx context.Context) (*wire.Calendar, error) {
	return call[wire.Calendar](ctx, c, http.MethodGet, "/v1/periods", nil)
}

// Currencies lists the units of account.
func (c *Client) Currencies(ctx context.Context) (*wire.Currencies, error) {
	return call[wire.Currencies](ctx, c, http.MethodGet, "/v1/currencies", nil)
}

// An About selects statements that are about others; empty members select all.
type About struct {
	Statement   cid.Cid
	Key, Period string // of revenue
	After       uint64
	Limit       int
}

func (a About) query() string {
	v := make(url.Values)
	if a.Statement.Defined() {
		v.Set("statement", a.Statement.String())
	}
	if a.Key != "" {
		v.Set("key", a.Key)
	}
	if a.Period != "" {
		v.Set("period", a.Period)
	}
	page(v, a.After, a.Limit)
	return "?" + v.Encode()
}

// Revenue lists payments, a page at a time.
func (c *Client) Revenue(ctx context.Context, q About) (*wire.RevenuePage, error) {
	return call[wire.RevenuePage](ctx, c, http.MethodGet, "/v1/revenue"+q.query(), nil)
}

// Usages lists records of use, a page at a time.
func (c *Client) Usages(ctx context.Context, q About) (*wire.UsagePage, error) {
	return call[wire.UsagePage](ctx, c, http.MethodGet, "/v1/usages"+q.query(), nil)
}

// Disputes lists disputes, a page at a time.
func (c *Client) Disputes(ctx context.Context, q About) (*wire.DisputePage, error) {
	return call[wire.DisputePage](ctx, c, http.MethodGet, "/v1/disputes"+q.query(), nil)
}

// Payees asks how a party is paid.
func (c *Client) Payees(ctx context.Context, id sign.KeyID) (*wire.Payees, error) {
	return call[wire.Payees](ctx, c, http.MethodGet, "/v1/payees/"+url.PathEscape(string(id)), nil)
}
