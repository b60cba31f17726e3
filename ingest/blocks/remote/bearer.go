package remote

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxToken bounds a bearer token: servers take headers of about 8 KiB.
const maxToken = 4 << 10

// Bearer returns a transport that carries requests over rt, and sends token as
// their Authorization (RFC 6750) if, and only if, they go to the scheme, host
// and port of base: a redirect to anywhere else goes without it. nil for rt is
// a transport of its own. A base that is neither https nor on this machine is
// fault.Invalid, because anybody on the way could read the token; so is a token
// that is none.
func Bearer(base, token string, rt http.RoundTripper) (http.RoundTripper, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, fault.New(fault.Invalid, "%s is no URL of a gateway", fault.Quote(base))
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		return nil, fault.New(fault.Invalid, "a bearer token is only sent over https, not to %s", fault.Quote(base))
	}
	// The b64token of RFC 6750, section 2.1.
	bare := strings.TrimRight(token, "=")
	if bare == "" || len(token) > maxToken || strings.ContainsFunc(bare, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/", r))
	}) {
		return nil, fault.New(fault.Invalid, "the bearer token for %s is not of letters, digits and -._~+/, at most %d", fault.Quote(base), maxToken)
	}
	return tell(base, func(h http.Header) { h.Set("Authorization", "Bearer "+token) }, rt)
}

// tell returns a transport that carries requests over rt, a transport of its own
// for nil, and calls fn with the headers of those that go to the scheme, host and
// port of base.
func tell(base string, fn func(http.Header), rt http.RoundTripper) (http.RoundTripper, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, fault.New(fault.Invalid, "%s is no URL of a gateway", fault.Quote(base))
	}
	if rt == nil {
		rt = newTransport()
	}
	return &telling{origin(u), fn, rt}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// origin is scheme, host and port: what a token, or another word, belongs to.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

type telling struct {
	origin string
	fn     func(http.Header)
	rt     http.RoundTripper
}

func (t *telling) RoundTrip(req *http.Request) (*http.Response, error) {
	if origin(req.URL) == t.origin {
		req = req.Clone(req.Context())
		t.fn(req.Header)
	}
	return t.rt.RoundTrip(req)
}

// CloseIdleConnections lets http.Client close what lies below.
func (t *telling) CloseIdleConnections() {
	if c, ok := t.rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
