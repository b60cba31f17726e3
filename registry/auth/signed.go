package auth

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	// Window is how long a signature is taken after it was made, and the longest
	// time to live that it may give itself.
	Window = 300 * time.Second
	// ahead is how far a caller's clock may go before ours.
	ahead = 5 * time.Second
	// minNonce and maxNonce bound a nonce: 96 random bits in base64url are 16 characters.
	minNonce, maxNonce = 16, 64
	// maxNonces bounds what is remembered of one window, about 8 MiB; maxKeyNonces
	// what one key may take of it, so that nobody fills it alone.
	maxNonces    = 1 << 17
	maxKeyNonces = 1 << 13
)

// signed checks a request's signature and returns who made it.
func (a *Auth) signed(r *http.Request) (Caller, error) {
	s, err := httpsig.Parse(r.Header.Values(httpsig.FieldInput), r.Header.Values(httpsig.FieldSignature))
	if err != nil {
		return Caller{}, err
	}
	body := r.ContentLength != 0
	if !s.Covers("@method", "@target-uri") || body && !s.Covers("content-digest") {
		return Caller{}, fault.New(fault.Unauthenticated, "@method, @target-uri or content-digest is not covered")
	}
	target, err := a.target(r)
	if err != nil {
		return Caller{}, err
	}
	err = s.Verify(httpsig.Message{Method: r.Method, TargetURI: target, Field: func(name string) []string {
		if name == "host" {
			return []string{r.Host}
		}
		return r.Header.Values(name)
	}})
	if err != nil {
		return Caller{}, err
	}
	if err := a.fresh(s.Params); err != nil {
		return Caller{}, err
	}
	if body {
		sum, err := httpsig.ParseDigest(r.Header.Values(httpsig.FieldDigest))
		if err != nil {
			return Caller{}, err
		}
		r.Body = &digested{ReadCloser: r.Body, want: sum, h: sha256.New()}
	}
	return Caller{Key: sign.KeyID(s.KeyID), Role: Contributor}, nil
}

// target returns the absolute URI that the caller must have meant to sign. A
// signature is good for one server: the host that a request names is believed
// only when it is one of the server's own URLs or, where none are set, the
// address that the connection came in on.
func (a *Auth) target(r *http.Request) (string, error) {
	if !strings.HasPrefix(r.RequestURI, "/") {
		return "", fault.New(fault.Unauthenticated, "the request line is not in origin form")
	}
	for _, u := range a.urls {
		if strings.EqualFold(u.Host, r.Host) {
			return u.Scheme + "://" + r.Host + r.RequestURI, nil
		}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if len(a.urls) == 0 && ownAddress(r) {
		return scheme + "://" + r.Host + r.RequestURI, nil
	}
	return "", fault.New(fault.Unauthenticated, "%s is not a host of this server; the operator names them", fault.Quote(r.Host))
}

// ownAddress reports whether the host that a request names is the address that
// its connection came in on, or localhost for a loopback address.
func ownAddress(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil || port != portText(local) {
		return false
	}
	if host == "localhost" {
		return local.IP.IsLoopback()
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.Equal(local.IP)
}

func portText(a *net.TCPAddr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// fresh checks the times of a signature that verifies, and takes its nonce.
func (a *Auth) fresh(p httpsig.Params) error {
	now := a.now()
	created, expires := time.Unix(p.Created, 0), time.Unix(p.Expires, 0)
	switch {
	case p.Created == 0 || p.Expires == 0 || len(p.Nonce) < minNonce || len(p.Nonce) > maxNonce:
		return fault.New(fault.Unauthenticated, "created, expires or nonce is missing")
	case created.Before(a.start):
		// What was seen before the start is forgotten.
		return fault.New(fault.Unauthenticated, "signed before this server began")
	case created.After(now.Add(ahead)), expires.Sub(created) > Window, created.Add(Window).Before(now), !expires.After(now):
		return fault.New(fault.Unauthenticated, "signed at another time")
	}
	most := maxNonces
	if a.policy.Write != Open {
		listed, err := a.listed(sign.KeyID(p.KeyID))
		if err != nil {
			return err
		}
		if !listed {
			most /= 2 // keys are free: those that nobody listed leave room for those that are
		}
	}
	return a.nonces.take(p.KeyID, p.Nonce, now, expires, most)
}

// listed reports whether the policy lists a key, or the identity that it signs for, by
// its name; false for a key that was replaced or revoked. It is one look-up, and not one
// for each entry of the list as [Auth.allowed] may need: anybody can make keys.
func (a *Auth) listed(key sign.KeyID) (bool, error) {
	if len(a.policy.Allow) == 0 {
		return false, nil
	}
	id, signs, err := a.party(key)
	if err != nil {
		return false, &stateError{err}
	}
	return signs && (slices.Contains(a.policy.Allow, id) || slices.Contains(a.policy.Allow, key)), nil
}

// nonces remembers the nonces of live signatures, in bounded memory.
type nonces struct {
	mu     sync.Mutex
	seen   map[[16]byte]seen
	perKey map[string]int
	swept  time.Time
}

type seen struct {
	until int64 // Unix seconds
	key   string
}

// take takes a nonce: fault.Unauthenticated when it was taken before, fault.Busy
// when no more than most can be remembered, so that forgetting one never lets it pass.
func (n *nonces) take(key, nonce string, now, until time.Time, most int) error {
	sum := sha256.Sum256([]byte(key + "\x00" + nonce))
	id := [16]byte(sum[:16])
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen, n.perKey = make(map[[16]byte]seen), make(map[string]int)
	}
	if now.Sub(n.swept) > Window/8 || now.Before(n.swept) {
		n.sweep(now)
	}
	if _, ok := n.seen[id]; ok {
		return fault.New(fault.Unauthenticated, "a request that was sent before")
	}
	if len(n.seen) >= most || n.perKey[key] >= maxKeyNonces {
		if n.sweep(now); len(n.seen) >= most || n.perKey[key] >= maxKeyNonces {
			return fault.New(fault.Busy, "too many signed requests at once")
		}
	}
	n.seen[id] = seen{until.Unix(), key}
	n.perKey[key]++
	return nil
}

func (n *nonces) sweep(now time.Time) {
	n.swept = now
	for id, s := range n.seen {
		if s.until > now.Unix() {
			continue
		}
		delete(n.seen, id)
		if n.perKey[s.key]--; n.perKey[s.key] == 0 {
			delete(n.perKey, s.key)
		}
	}
}

// errBody is what reading a body ends with that is not the one that was signed.
var errBody = fault.New(fault.Unauthenticated, "the credentials do not hold")

// digested is a body that must have the digest that was signed: its end is
// errBody when it has another.
type digested struct {
	io.ReadCloser
	want [sha256.Size]byte
	h    hash.Hash // nil when somebody else checks
}

func (d *digested) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if d.h == nil {
		return n, err
	}
	d.h.Write(p[:n])
	if errors.Is(err, io.EOF) && [sha256.Size]byte(d.h.Sum(nil)) != d.want {
		err = errBody
	}
	return n, err
}

// TakeBody reports whether the body of r must have the SHA-256 sum for all that
// was signed. If so the caller of TakeBody has taken over the check, which is
// otherwise made by whoever reads the body to its end: that ends with
// fault.Unauthenticated.
func TakeBody(r *http.Request, sum [sha256.Size]byte) bool {
	d, ok := r.Body.(*digested)
	if !ok {
		return true
	}
	if d.want != sum {
		return false
	}
	d.h = nil
	return true
}

func parseURLs(list []string) ([]*url.URL, error) {
	var out []*url.URL
	for _, s := range list {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return nil, fault.New(fault.Invalid, "%s is not the URL of a server: https://host[:port]", fault.Quote(s))
		}
		out = append(out, u)
	}
	return out, nil
}
