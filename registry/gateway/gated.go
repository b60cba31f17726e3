package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/access"
	"github.com/cairn-registry/cairn/registry/hub"
	"github.com/cairn-registry/cairn/registry/index"
)

// How an answer may be kept that not everybody gets.
const (
	privateCache = "private, no-store"
	privateVary  = "Authorization, Signature-Input"
)

// rootOf is the CID that a request for data names, whatever else it asks.
func rootOf(r *http.Request, o origin) (cid.Cid, bool) {
	if o.root.Defined() {
		return o.root, true
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/ipfs/"), "/")
	c, err := cid.Decode(text)
	return c, err == nil
}

// errGone is the answer for what is offered no more.
func errGone(site string, what cid.Cid, gone *index.Gone) error {
	how := "withdrawn"
	if gone.Erased {
		how = "erased"
	}
	return fault.WithHint(fault.New(fault.Gone, "%s was %s, by entry %d of the log", what, how, gone.Index), "%s/v1/entries/%d", site, gone.Index)
}

// gate says with which context a request for root is answered, and whether what is
// read lies in a gated space, or why nothing is read. Who may see what others may
// not gets an answer that nobody keeps.
func (g *content) gate(w *sealed, r *http.Request, root cid.Cid, o origin, path bool) (ctx context.Context, gated bool, err error) {
	ctx = r.Context()
	if o.root.Defined() {
		// Browsers share what they got there, and send no token.
		ctx = spaces.Public(ctx)
	}
	if g.owner {
		return ctx, false, nil
	}
	k, err := g.notices.known(ctx, root)
	if err != nil {
		return ctx, false, err
	}
	gone := k.gone
	if gone == nil && path {
		gone = k.below
	}
	if gone != nil && (gone.Erased || !spaces.OpensAll(ctx)) {
		return ctx, false, errGone(o.site, root, gone)
	}
	if len(k.gated) > 0 && !o.root.Defined() {
		if ctx, err = access.For(ctx, g.reg, root, k.gated); err != nil {
			return ctx, false, err
		}
	}
	if len(k.gated) == 0 && !spaces.OpensAny(ctx) {
		return ctx, false, nil
	}
	w.private = spaces.OpensAny(ctx) && !k.open
	if _, err := g.guard.Size(spaces.Public(ctx), root); err == nil || !errors.Is(err, fault.NotFound) {
		return ctx, false, nil // or on the denylist, or damaged: whoever reads it says so
	}
	if _, err := g.guard.Size(ctx, root); err == nil {
		return ctx, true, nil
	}
	for _, t := range k.gated {
		if spaces.Opens(ctx, t) {
			return ctx, true, nil
		}
	}
	if len(k.gated) > 0 {
		w.private = true
		for _, t := range k.gated {
			w.Header().Add("Link", "<"+termsURL(o.site, t)+`>; rel="license"`)
		}
		return ctx, true, access.ErrRequired(o.site, k.gated[0])
	}
	return ctx, true, nil
}

// HubOptions returns o with what this gateway knows: which versions are offered,
// and to whom.
func (g *Gateway) HubOptions(o hub.Options) hub.Options {
	o.Open = func(ctx context.Context, d index.Dataset) (context.Context, error) {
		if !d.Rules.GatesBytes() {
			return ctx, nil
		}
		return access.For(ctx, g.reg, d.Root.Cid, []cid.Cid{d.Terms.Cid})
	}
	o.Access = func(ctx context.Context, d index.Dataset) error {
		if d.Withdrawn != nil && !spaces.OpensAll(ctx) {
			return errGone("", d.Statement.Cid, &index.Gone{Index: *d.Withdrawn})
		}
		k, err := g.notices.known(ctx, d.Statement.Cid)
		if err != nil {
			return err
		}
		if k.gone != nil && k.gone.Erased {
			return errGone("", d.Statement.Cid, k.gone)
		}
		if d.Rules.GatesBytes() && !spaces.Opens(ctx, d.Terms.Cid) {
			return access.ErrRequired("", d.Terms.Cid)
		}
		return nil
	}
	return o
}

// May returns why the caller of ctx does not get the data of a version: it is
// offered no more, or its terms were not accepted.
func (g *Gateway) May(ctx context.Context, d index.Dataset) error {
	o := g.HubOptions(hub.Options{})
	ctx, err := o.Open(ctx, d)
	if err != nil {
		return err
	}
	return o.Access(ctx, d)
}

// described reports whether a version may be described to a caller: not when it is
// offered no more. What is gated is its bytes, not that it is there.
func (g *Gateway) described(ctx context.Context, d index.Dataset) error {
	err := g.HubOptions(hub.Options{}).Access(ctx, d)
	if errors.Is(err, fault.Denied) {
		return nil
	}
	return err
}

// PeerAllow returns a function for node.Options.Allow: what the denylist does not
// name, what is offered, and what a says that the peer may have.
func (g *Gateway) PeerAllow(a *access.Access) func(id sign.KeyID, c cid.Cid) bool {
	may := a.Peer()
	return func(id sign.KeyID, c cid.Cid) bool {
		if g.deny.block(c) != nil {
			return false
		}
		k, err := g.notices.known(context.Background(), c)
		return err == nil && k.gone == nil && may(id, c)
	}
}
