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
	if rt == nil {
		rt = newTransport()
	}
	return &bearer{origin(u), "Bearer " + token, rt}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// origin is scheme, host and port: what a token belongs to.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

type bearer struct {
	origin string
	header string
	rt     http.RoundTripper
}

func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	if origin(req.URL) == b.origin {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", b.header)
	}
	return b.rt.RoundTrip(req)
}

// CloseIdleConnections lets http.Client close what lies below.
func (b *bearer) CloseIdleConnections() {
	if t, ok := b.rt.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
