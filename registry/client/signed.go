package client

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// signatureLife is how long a request's signature is good: what a server takes.
const signatureLife = 5 * time.Minute

// Signed returns a transport that signs every request with s, as RFC 9421 has
// it: an Ed25519 key. Each try of a request is signed anew. A request's body
// must be there to be read twice (GetBody), or come with its own Content-Digest.
// now is the clock; the server's own, told by its answers, is what counts once
// the two differ.
func Signed(rt http.RoundTripper, s sign.Signer, now func() time.Time) http.RoundTripper {
	if rt == nil {
		rt = http.DefaultTransport
	}
	return &signed{rt: rt, s: s, now: now}
}

type signed struct {
	rt  http.RoundTripper
	s   sign.Signer
	now func() time.Time
	// off is how many seconds the server's clock goes before ours.
	off atomic.Int64
}

func (t *signed) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	components := []string{"@method", "@target-uri"}
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		components = append(components, "content-digest")
		if r.Header.Get(httpsig.FieldDigest) == "" {
			if err := digestBody(r); err != nil {
				return nil, err
			}
		}
	}
	var nonce [18]byte
	rand.Read(nonce[:])
	created := t.now().Unix() + t.off.Load()
	p := httpsig.Params{
		Components: components, Created: created, Expires: created + int64(signatureLife/time.Second),
		Nonce: base64.RawURLEncoding.EncodeToString(nonce[:]),
	}
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	u := *r.URL
	u.Fragment, u.RawFragment, u.User = "", "", nil
	m := httpsig.Message{Method: r.Method, TargetURI: u.Scheme + "://" + hostOf(r) + u.RequestURI(), Field: func(name string) []string { return r.Header.Values(name) }}
	input, sig, err := httpsig.Sign(m, p, t.s)
	if err != nil {
		return nil, err
	}
	r.Header.Set(httpsig.FieldInput, input)
	r.Header.Set(httpsig.FieldSignature, sig)
	resp, err := t.rt.RoundTrip(r)
	if err == nil {
		if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			// A few seconds are the way, not the clock.
			if off := at.Unix() - t.now().Unix(); off > 2 || off < -2 {
				t.off.Store(off)
			}
		}
	}
	return resp, err
}

func hostOf(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

func digestBody(r *http.Request) error {
	if r.GetBody == nil {
		return fault.New(fault.Internal, "a body without a digest cannot be signed")
	}
	b, err := r.GetBody()
	if err != nil {
		return err
	}
	defer b.Close()
	h := sha256.New()
	if _, err := io.Copy(h, b); err != nil {
		return err
	}
	r.Header.Set(httpsig.FieldDigest, httpsig.Digest([sha256.Size]byte(h.Sum(nil))))
	return nil
}

// Bearer returns a transport that sends a token with every request. It is for
// one registry: a token goes to whoever is asked.
func Bearer(rt http.RoundTripper, token string) http.RoundTripper {
	if rt == nil {
		rt = http.DefaultTransport
	}
	return bearer{rt, token}
}

type bearer struct {
	rt    http.RoundTripper
	token string
}

func (t bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	r.Header.Set("Authorization", "Bearer "+t.token)
	return t.rt.RoundTrip(r)
}

// bodyOf is a body that can be sent again.
func bodyOf(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}
