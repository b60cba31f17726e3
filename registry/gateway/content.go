package gateway

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	boxo "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/fetches"
	"github.com/cairn-registry/cairn/registry/wire"
)

// immutable is the Cache-Control of bytes that a CID names. It promises the
// bytes, not the permission.
const immutable = "public, max-age=29030400, immutable"

// A content handler serves one face's /ipfs and the origins of its roots. Most
// of what is asked for it answers itself, straight from the blocks; the rest
// (other codecs, TAR, symlinks, _redirects, DAGs of odd shapes) is boxo's.
type content struct {
	*Gateway
	general http.Handler
	hosts   []string // that have an origin for each root
	// files says whether hosts that have none serve files and pages: on loopback.
	files bool
	// owner says that the owner of the home reads here, to whom everything is open.
	owner bool
}

// serve answers a request for data.
func (g *content) serve(rw http.ResponseWriter, r *http.Request, o origin) {
	w := &sealed{ResponseWriter: rw, own: o.root.Defined()}
	h := w.Header()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Allow", allow)
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", allow)
		g.problem(w, r, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "%s is not possible here", fault.Printable(r.Method)))
		return
	}
	for step := range strings.SplitSeq(r.URL.Path, "/") {
		if step == "." || step == ".." {
			Problem(w, r, g.log, fault.New(fault.Invalid, "the path goes up, or stays"))
			return
		}
	}
	q, ok := parseRequest(r, o)
	gated := false
	if root, named := rootOf(r, o); named {
		ctx, inside, err := g.gate(w, r, root, o, q == nil || len(q.names) > 0)
		if err == nil && q != nil {
			err = g.deny.check(q.root, q.names)
		}
		if err != nil {
			h.Set("X-Ipfs-Roots", root.String())
			Problem(w, r, g.log, err)
			return
		}
		r, gated = r.WithContext(ctx), inside
	}
	if !ok {
		g.other(w, r, o, nil)
		return
	}
	if id := r.Header.Get(wire.FetchHeader); id != "" && !g.owner {
		sent := g.fetches.Begin(id)
		defer sent.Done()
		r = r.WithContext(fetches.NewContext(r.Context(), sent))
	}
	if gated {
		q.origin = "" // it is not shown on an origin of its own
	}
	if uri := q.uri(); uri != "" && len(uri) <= maxURI {
		h.Set("Ipfs-Uri", uri)
	}
	g.notices.set(h, r, q)
	verifiable := q.format == rawType || q.format == carType
	if q.origin != "" && !o.root.Defined() && !verifiable {
		// A host that has origins shows files there.
		label, err := label32(q.root)
		if err != nil {
			Problem(w, r, g.log, err)
			return
		}
		to := url.URL{Path: strings.TrimPrefix(r.URL.Path, q.base), RawQuery: r.URL.RawQuery}
		if to.Path == "" {
			to.Path = "/"
		}
		redirect(w, "//"+label+".ipfs."+q.origin+to.String(), http.StatusMovedPermanently)
		return
	}
	if q.origin == "" && !g.files && !(gated && o.host != "") && (!verifiable || q.format == rawType && len(q.names) > 0) {
		g.problem(w, r, http.StatusNotAcceptable, fault.WithHint(
			fault.New(fault.Invalid, "this server hands out blocks and CARs here, to be verified by the reader"), "?format=raw or ?format=car"))
		return
	}
	if q.format != "" && len(r.URL.Query().Get("format")) == 0 {
		h.Set("Vary", "Accept")
	}
	if q.format != "" && q.format != rawType && !g.deny.empty() {
		// What boxo and the CAR read is looked at block by block; this is so that
		// nothing is sent before.
		if steps, err := unixfs.Trace(r.Context(), g.guard, q.root, q.names); err == nil || errors.Is(err, fault.Gone) {
			if err == nil {
				err = g.deny.blocks(steps)
			}
			if err != nil {
				Problem(w, r, g.log, err)
				return
			}
		}
	}
	switch q.format {
	case "", rawType:
	case carType:
		if g.car(w, r, q) {
			return
		}
		g.other(w, r, o, q)
		return
	default:
		g.other(w, r, o, q)
		return
	}
	steps, err := unixfs.Trace(r.Context(), g.guard, q.root, q.names)
	if err != nil {
		g.failed(w, r, q, o, err)
		return
	}
	roots := make([]string, len(steps))
	for i, c := range steps {
		roots[i] = c.String()
	}
	h.Set("X-Ipfs-Roots", strings.Join(roots, ","))
	c := steps[len(steps)-1]
	if q.format == rawType {
		g.block(w, r, q, c)
		return
	}
	switch c.Prefix().Codec {
	case cid.Raw:
		g.file(w, r, q, c, q.last(), `"`+c.String()+`"`)
		return
	case cid.DagProtobuf:
	default:
		g.other(w, r, o, q)
		return
	}
	n, err := g.guard.Node(r.Context(), c)
	switch {
	case err != nil:
		g.failed(w, r, q, o, err)
	case n.Kind() == unixfs.File:
		g.file(w, r, q, c, q.last(), `"`+c.String()+`"`)
	case n.Kind() == unixfs.Directory:
		g.directory(w, r, q, c)
	default:
		g.other(w, r, o, q)
	}
}

const (
	allow = "GET, HEAD, OPTIONS"
	// maxURI bounds the Ipfs-Uri header, as boxo does.
	maxURI = 8192
)

// failed answers for a path that cannot be served. On an origin of its own a
// dataset may say, in a file _redirects, what stands for a path that is not
// there: boxo reads that.
func (g *content) failed(w *sealed, r *http.Request, q *request, o origin, err error) {
	if o.root.Defined() && q.format == "" && errors.Is(err, fault.NotFound) {
		g.other(w, r, o, q)
		return
	}
	Problem(w, r, g.log, err)
}

// problem answers with another status than err's code has.
func (g *content) problem(w http.ResponseWriter, r *http.Request, status int, err error) {
	p := problemOf(w, err)
	p.Status = status
	p.Write(w)
}

// other hands a request to boxo; q is what it asks for, nil when that was not understood.
func (g *content) other(w *sealed, r *http.Request, o origin, q *request) {
	ctx := r.Context()
	r = r.Clone(ctx)
	r.Header.Del("X-Forwarded-Host") // a stranger's word
	r.Header.Del("Cookie")
	if o.root.Defined() {
		ctx = context.WithValue(ctx, boxo.OriginalPathKey, r.URL.Path)
		ctx = context.WithValue(ctx, boxo.SubdomainHostnameKey, o.host)
		ctx = context.WithValue(ctx, boxo.GatewayHostnameKey, o.host)
		r = r.WithContext(ctx)
		r.URL.Path, r.URL.RawPath = "/ipfs/"+o.root.String()+r.URL.Path, ""
	} else if !g.files && o.host == "" {
		r = r.WithContext(context.WithValue(ctx, boxo.GatewayHostnameKey, trustlessHost))
	}
	g.general.ServeHTTP(&blamed{w, func() bool { return q != nil && g.malformed(ctx, q) }}, r)
	if w.Header().Get("X-Stream-Error") != "" {
		// boxo ends a TAR or CAR that it could not finish as if it were whole, with
		// a word at its end.
		w.Flush()
		panic(http.ErrAbortHandler)
	}
}

// malformed reports whether the data that a request asks for is no file tree.
func (g *content) malformed(ctx context.Context, q *request) bool {
	steps, err := unixfs.Trace(ctx, g.guard, q.root, q.names)
	if err == nil {
		if c := steps[len(steps)-1]; c.Prefix().Codec == cid.DagProtobuf {
			var n *unixfs.Node
			if n, err = g.guard.Node(ctx, c); err == nil && n.Size() > math.MaxInt64 {
				return true
			}
		}
	}
	return errors.Is(err, fault.Unverified)
}

// A blamed writer says that the data is malformed where boxo says that the server
// failed over it: a stranger made it, and an alarm is for the server's own failures.
type blamed struct {
	*sealed
	malformed func() bool
}

func (w *blamed) WriteHeader(status int) {
	if status == http.StatusInternalServerError && w.malformed() {
		status = http.StatusUnprocessableEntity
	}
	w.sealed.WriteHeader(status)
}

// trustlessHost is a name for boxo of hosts that hand out only what can be
// verified. It is no name of DNS.
const trustlessHost = "trustless.invalid"

// general returns boxo's handler.
func (g *Gateway) general(c boxo.Config) http.Handler {
	c.DeserializedResponses = true
	c.PublicGateways = map[string]*boxo.PublicGateway{trustlessHost: {Paths: []string{"/ipfs"}, NoDNSLink: true}}
	c.NoDNSLink = true
	c.DisableHTMLErrors = true
	c.RetrievalTimeout = 0 // it hides what came after the headers; the blocks are here, and readers are paced
	c.MaxRequestDuration = maxDuration
	return boxo.NewHandler(c, g.backend)
}

// maxDuration bounds one answer of boxo: it knows no way to have none.
const maxDuration = 7 * 24 * time.Hour

// A typed map remembers what was sniffed, so that a range far into a file does
// not read its head each time.
type typed struct {
	mu    sync.Mutex
	types map[cid.Cid]string
}

// maxTyped bounds the map: it is emptied when it is full.
const maxTyped = 1 << 14

func (t *typed) get(c cid.Cid) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.types[c]
}

func (t *typed) set(c cid.Cid, ctype string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.types) >= maxTyped || t.types == nil {
		t.types = make(map[cid.Cid]string)
	}
	t.types[c] = ctype
}
