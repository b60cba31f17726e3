package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// What pages of other origins may send with a read, and see of the answer.
const (
	corsRequest = "Accept, Authorization, Cairn-Fetch, Content-Digest, Content-Type, If-None-Match, Range, Signature, Signature-Input, User-Agent, X-Requested-With"
	corsAnswer  = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, Content-Usage, ETag, Ipfs-Uri, Link, Location, RateLimit, RateLimit-Policy, Retry-After, " +
		"TDM-Policy, TDM-Reservation, " +
		"X-Error-Code, X-Error-Message, X-Ipfs-Path, X-Ipfs-Roots, X-Linked-Etag, X-Linked-Size, X-Repo-Commit, X-Request-Id"
	corsMaxAge = "86400"
)

// origins decides what pages of other origins may do: read, if they are among
// those that may read; write, if they are trusted. No answer ever allows
// credentials, and there are no cookies.
type origins struct {
	read    []string // nil: any
	trusted []string
	guard   *http.CrossOriginProtection
}

// newOrigins refuses a trusted origin that is none with fault.Invalid.
func newOrigins(read, trusted []string) (*origins, error) {
	if slices.Contains(read, "*") {
		read = nil
	}
	o := &origins{read, trusted, http.NewCrossOriginProtection()}
	for _, t := range trusted {
		if err := o.guard.AddTrustedOrigin(t); err != nil {
			return nil, fault.New(fault.Invalid, "a trusted origin: %w", err)
		}
	}
	return o, nil
}

// headers sets what the answer tells a browser; a handler may say otherwise.
func (o *origins) headers(h http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	trusted := origin != "" && slices.Contains(o.trusted, origin)
	switch {
	case trusted, origin != "" && slices.Contains(o.read, origin):
		h.Set("Access-Control-Allow-Origin", origin)
		h.Add("Vary", "Origin")
	case o.read == nil:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		h.Add("Vary", "Origin")
		return
	}
	h.Set("Access-Control-Expose-Headers", corsAnswer)
}

// preflight reports whether r asks if a request would be allowed.
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

func (o *origins) answerPreflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") != "" {
		methods := []string{http.MethodGet, http.MethodHead}
		if slices.Contains(o.trusted, r.Header.Get("Origin")) {
			methods = append(methods, http.MethodPost, http.MethodPut, http.MethodDelete)
		}
		h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		h.Set("Access-Control-Allow-Headers", corsRequest)
		h.Set("Access-Control-Max-Age", corsMaxAge)
		h.Del("Access-Control-Expose-Headers")
	}
	w.WriteHeader(http.StatusNoContent)
}

// check refuses a write that a page of another origin makes a browser send.
func (o *origins) check(r *http.Request) error {
	if err := o.guard.Check(r); err != nil {
		return fault.WithHint(fault.New(fault.Denied, "a page of another origin may not write here"),
			"the operator can name the origin in cors.trustedOrigins")
	}
	return nil
}
