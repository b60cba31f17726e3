// Package client talks to a registry's /v1. It links no database: what it needs
// to check an answer is in manifests, what it reads is in wire. Errors carry
// the same codes as on the other side.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// answerTimeout bounds one answer: publishing an entry takes about a second.
// Checking a whole home takes as long as it takes.
const answerTimeout = 2 * time.Minute

// A Client talks to one registry. It is safe for concurrent use.
type Client struct {
	base string
	rt   http.RoundTripper
}

// New returns a client of the registry at base. rt carries the requests; nil is
// http.DefaultTransport.
func New(base string, rt http.RoundTripper) *Client {
	if rt == nil {
		rt = http.DefaultTransport
	}
	return &Client{strings.TrimRight(base, "/"), rt}
}

// do sends a request and returns the answer's body, at most limit bytes.
func (c *Client) do(ctx context.Context, method, path string, body []byte, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	if body == nil {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, wire.ReadProblem(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fault.New(fault.Busy, "reading the registry's answer: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.TooLarge, "the registry's answer has more than %d bytes", limit)
	}
	return b, nil
}

// call sends a request, with in as its body unless nil, and decodes the answer.
func call[T any](ctx context.Context, c *Client, method, path string, in any) (*T, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return callSlowly[T](ctx, c, method, path, in)
}

func callSlowly[T any](ctx context.Context, c *Client, method, path string, in any) (*T, error) {
	var body []byte
	switch in := in.(type) {
	case nil:
	case []byte:
		body = in
	default:
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, fault.Mark(fault.Internal, err)
		}
	}
	b, err := c.do(ctx, method, path, body, wire.MaxBody)
	if err != nil {
		return nil, err
	}
	out := new(T)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, fault.New(fault.Internal, "the registry's answer to %s is not what was asked for: %w", path, err)
	}
	return out, nil
}

// Status asks what the registry is and how far it is.
func (c *Client) Status(ctx context.Context) (*wire.Status, error) {
	return call[wire.Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Entry asks for the entry at index i.
func (c *Client) Entry(ctx context.Context, i uint64) (*wire.Entry, error) {
	return call[wire.Entry](ctx, c, http.MethodGet, "/v1/entries/"+strconv.FormatUint(i, 10), nil)
}

// Statement asks what became of a statement.
func (c *Client) Statement(ctx context.Context, id cid.Cid) (*wire.Statement, error) {
	return call[wire.Statement](ctx, c, http.MethodGet, "/v1/statements/"+id.String(), nil)
}

// Envelope returns the envelope of a statement, checked to be that statement's.
func (c *Client) Envelope(ctx context.Context, id cid.Cid) ([]byte, error) {
	b, err := c.do(ctx, http.MethodGet, "/v1/statements/"+id.String()+"/envelope", nil, sign.MaxEnvelope)
	if err != nil {
		return nil, err
	}
	e, err := sign.Decode(b)
	if err != nil || !cjson.RawCID(e.Payload).Equals(id) {
		return nil, fault.New(fault.Unverified, "the registry sent another envelope than that of %s", id)
	}
	return b, nil
}

// Receipt returns a statement's receipt: tlog-proof text, not verified here.
func (c *Client) Receipt(ctx context.Context, id cid.Cid) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/v1/statements/"+id.String()+"/receipt", nil, proof.MaxCheckpoint*2)
}

// Bundle returns a statement's bundle, not verified here.
func (c *Client) Bundle(ctx context.Context, id cid.Cid) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/v1/statements/"+id.String()+"/bundle", nil, proof.MaxBundle)
}

// Lineage asks what a version comes from and what comes from it.
func (c *Client) Lineage(ctx context.Context, id cid.Cid) (*wire.Lineage, error) {
	return call[wire.Lineage](ctx, c, http.MethodGet, "/v1/statements/"+id.String()+"/lineage", nil)
}

// A Query selects datasets; empty members select all.
type Query struct {
	License, Keyword, Name, Source string
	Contributor, Publisher         sign.KeyID
	Root                           string
	Latest                         bool
	After                          uint64
	Limit                          int
}

// Datasets lists datasets, newest first, a page at a time.
func (c *Client) Datasets(ctx context.Context, q Query) (*wire.Page, error) {
	v := make(url.Values)
	for k, s := range map[string]string{
		"license": q.License, "keyword": q.Keyword, "name": q.Name, "source": q.Source,
		"contributor": string(q.Contributor), "publisher": string(q.Publisher), "root": q.Root,
	} {
		if s != "" {
			v.Set(k, s)
		}
	}
	if q.Latest {
		v.Set("latest", "true")
	}
	page(v, q.After, q.Limit)
	return call[wire.Page](ctx, c, http.MethodGet, "/v1/datasets?"+v.Encode(), nil)
}

func page(v url.Values, after uint64, limit int) {
	if after > 0 {
		v.Set("after", strconv.FormatUint(after, 10))
	}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
}

// History lists the versions of a name, newest first. publisher is a did:key or
// a handle.
func (c *Client) History(ctx context.Context, publisher, name string, after uint64) (*wire.Page, error) {
	v := make(url.Values)
	page(v, after, 0)
	return call[wire.Page](ctx, c, http.MethodGet, "/v1/datasets/"+url.PathEscape(publisher)+"/"+url.PathEscape(name)+"?"+v.Encode(), nil)
}

// Resolve asks what a REF names.
func (c *Client) Resolve(ctx context.Context, ref string) (*wire.Resolution, error) {
	return call[wire.Resolution](ctx, c, http.MethodGet, "/v1/resolve?ref="+url.QueryEscape(ref), nil)
}

// Identity asks what the log knows of an identity, by its name or by any of its
// keys. The first hundred key events are in the answer; [Client.IdentityAfter] has
// the others.
func (c *Client) Identity(ctx context.Context, id sign.KeyID) (*wire.Identity, error) {
	return call[wire.Identity](ctx, c, http.MethodGet, "/v1/keys/"+url.PathEscape(string(id)), nil)
}

// IdentityAfter asks for the key events behind the page whose next is after.
func (c *Client) IdentityAfter(ctx context.Context, id sign.KeyID, after uint64) (*wire.Identity, error) {
	return call[wire.Identity](ctx, c, http.MethodGet, fmt.Sprintf("/v1/keys/%s?after=%d", url.PathEscape(string(id)), after), nil)
}

// Checkpoint returns the log's latest signed checkpoint, not verified here.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/checkpoint", nil, proof.MaxCheckpoint)
}

// Tile returns a file of the log by its path, such as tile/0/000.
func (c *Client) Tile(ctx context.Context, path string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/"+path, nil, proof.MaxTile)
}

// Submit hands in an envelope and returns once it is in the published log and
// applied. Submitting the same again gives the same answer.
func (c *Client) Submit(ctx context.Context, envelope []byte) (*wire.Submitted, error) {
	return call[wire.Submitted](ctx, c, http.MethodPost, "/v1/entries", envelope)
}

// Missing asks which blocks the registry lacks in the gated space of terms, or in
// the public one when terms is not defined; only over a home's own socket.
func (c *Client) Missing(ctx context.Context, terms cid.Cid, cids []cid.Cid) ([]cid.Cid, error) {
	var out []cid.Cid
	for len(cids) > 0 {
		n := min(len(cids), wire.MaxMissing)
		ask := wire.Missing{CIDs: make([]cjson.CID, n), Space: cjson.CID{Cid: terms}}
		for i, id := range cids[:n] {
			ask.CIDs[i] = cjson.CID{Cid: id}
		}
		got, err := call[wire.Missing](ctx, c, http.MethodPost, "/v1/blocks/missing", ask)
		if err != nil {
			return nil, err
		}
		for _, id := range got.Missing {
			out = append(out, id.Cid)
		}
		cids = cids[n:]
	}
	return out, nil
}

// Adopt asks the registry to take over the private pack id, into the gated space
// of terms, or the public one when terms is not defined; only over a home's own
// socket.
func (c *Client) Adopt(ctx context.Context, terms cid.Cid, id string) (*wire.Adopted, error) {
	return callSlowly[wire.Adopted](ctx, c, http.MethodPost, "/v1/blocks/adopt", wire.Adopt{ID: id, Space: cjson.CID{Cid: terms}})
}

// Check has the registry check its whole home; only over a home's own socket.
func (c *Client) Check(ctx context.Context) (*wire.CheckReport, error) {
	return callSlowly[wire.CheckReport](ctx, c, http.MethodPost, "/v1/check", struct{}{})
}

func (c *Client) String() string { return fmt.Sprintf("registry %s", c.base) }
