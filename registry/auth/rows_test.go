package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/client"
)

// problems serves a handler that reads the whole body and answers as the routes
// do: with a problem.
func problems(t *testing.T, o auth.Options) (url string, reached *atomic.Int64) {
	t.Helper()
	a, err := auth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	reached = new(atomic.Int64)
	s := httptest.NewServer(a.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = a.Writer(r.Context())
		}
		if err != nil {
			api.Problem(w, r, nil, err)
			return
		}
		reached.Add(1)
	})))
	t.Cleanup(s.Close)
	return s.URL, reached
}

// unlike is the answer without what differs from one request to the next.
func unlike(t *testing.T, body string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%q is no problem: %v", body, err)
	}
	delete(m, "instance")
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// resign replaces the signature of a request by one that sig makes over the same
// components, with other parameters.
func resign(t *testing.T, edit func(*httpsig.Params), sig func(base []byte) []byte) func(*http.Request) {
	return func(r *http.Request) {
		s, err := httpsig.Parse(r.Header.Values(httpsig.FieldInput), r.Header.Values(httpsig.FieldSignature))
		if err != nil {
			t.Fatal(err)
		}
		p := s.Params
		edit(&p)
		base, err := httpsig.Base(httpsig.Message{Method: r.Method, TargetURI: r.URL.String(), Field: func(name string) []string { return r.Header.Values(name) }}, p)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(httpsig.FieldInput, "cairn="+p.String())
		r.Header.Set(httpsig.FieldSignature, "cairn=:"+base64.StdEncoding.EncodeToString(sig(base))+":")
	}
}

// A signature whose algorithm is not that of its key, a body that is not the one
// that was signed, and a key that was revoked are answered as a signature that
// does not hold; what was signed well is taken.
func TestSameAnswer(t *testing.T) {
	c0 := &clock{t: time.Unix(1_700_000_000, 0)}
	good, lost := signer(1), signer(9)
	token, hash, err := auth.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	url, reached := problems(t, auth.Options{Now: c0.now, Policy: auth.Policy{
		Write: auth.Open, Tokens: []auth.Token{{Name: "lost", SHA256: hash, Key: lost.ID()}},
	}, Party: isNot(lost.ID()), Live: isNot(lost.ID())})
	c0.add(time.Minute)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := sign.NewP256(ec)
	if err != nil {
		t.Fatal(err)
	}
	by := func(s sign.Signer) func([]byte) []byte {
		return func(base []byte) []byte {
			sig, err := s.Sign(base)
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}
	}
	mac := func(base []byte) []byte {
		pub, _ := good.ID().Ed25519() // what everybody knows, as a secret
		m := hmac.New(sha256.New, pub)
		m.Write(base)
		return m.Sum(nil)
	}
	alg := func(name string) func(*httpsig.Params) { return func(p *httpsig.Params) { p.Alg = name } }
	as := func(id sign.KeyID, alg string) func(*httpsig.Params) {
		return func(p *httpsig.Params) { p.KeyID, p.Alg = string(id), alg }
	}
	signed := func(who sign.Signer, edit func(*http.Request)) (int, string) {
		return send(t, client.Signed(&captured{rt: noDate{http.DefaultTransport}, edit: edit}, who, c0.now), "POST", url+"/x", "body", nil)
	}
	for name, edit := range map[string]func(*http.Request){
		"signed again": resign(t, alg("ed25519"), by(good)),
		"no alg":       resign(t, alg(""), by(good)),
	} {
		if got, body := signed(good, edit); got != 200 {
			t.Errorf("%s: %d %s", name, got, body)
		}
	}
	taken := reached.Load()
	other := func(s string) func(*http.Request) {
		return func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), int64(len(s)) }
	}
	answers := map[string]func() (int, string){
		"a signature that does not hold": func() (int, string) { return signed(good, resign(t, alg("ed25519"), by(lost))) },
		"a revoked key":                  func() (int, string) { return signed(lost, nil) },
		"a token of a revoked key":       func() (int, string) { return send(t, client.Bearer(nil, token), "POST", url+"/x", "body", nil) },
		"another body":                   func() (int, string) { return signed(good, other("BODY")) },
		"a shorter body":                 func() (int, string) { return signed(good, other("bod")) },
		"a longer body":                  func() (int, string) { return signed(good, other("body ")) },
		"a P-256 key":                    func() (int, string) { return signed(good, resign(t, as(p256.ID(), "ecdsa-p256-sha256"), by(p256))) },
		"a P-256 key as Ed25519":         func() (int, string) { return signed(good, resign(t, as(p256.ID(), "ed25519"), by(p256))) },
		"a P-256 key, no alg":            func() (int, string) { return signed(good, resign(t, as(p256.ID(), ""), by(p256))) },
		"the public key as a secret":     func() (int, string) { return signed(good, resign(t, alg("hmac-sha256"), mac)) },
	}
	for _, name := range []string{"none", "ED25519", "hmac-sha256", "rsa-v1_5-sha256", "rsa-pss-sha512", "ecdsa-p256-sha256", "ed448"} {
		answers["alg "+name] = func() (int, string) { return signed(good, resign(t, alg(name), by(good))) }
	}
	want := ""
	for name, fn := range answers {
		got, body := fn()
		if got != 401 {
			t.Errorf("%s: %d, want 401", name, got)
			continue
		}
		if body = unlike(t, body); want == "" {
			want = body
		}
		if body != want {
			t.Errorf("%s: the answer\n%s\ndiffers from\n%s", name, body, want)
		}
	}
	if n := reached.Load(); n != taken {
		t.Errorf("%d of them came through", n-taken)
	}
}

// Whether a key was revoked must be known: without an answer nobody comes in.
func TestRevokedUnknown(t *testing.T) {
	c0 := &clock{t: time.Unix(1_700_000_000, 0)}
	url, reached := problems(t, auth.Options{Now: c0.now, Policy: auth.Policy{Write: auth.Open},
		Party: func(sign.KeyID) (sign.KeyID, bool, error) {
			return "", false, fault.New(fault.Busy, "the index is being made")
		}})
	c0.add(time.Minute)
	rt := client.Signed(noDate{http.DefaultTransport}, signer(1), c0.now)
	if got, body := send(t, rt, "POST", url+"/x", "body", nil); got != 503 || !strings.Contains(body, string(fault.Busy)) {
		t.Errorf("%d %s, want 503", got, body)
	}
	if reached.Load() != 0 {
		t.Error("the request came through")
	}
	// Nobody is asked about a caller without a key.
	if got, _ := send(t, http.DefaultTransport, "POST", url+"/x", "body", nil); got != 401 {
		t.Errorf("an anonymous request: %d, want 401", got)
	}
}

// isNot is a log in which one key was revoked.
func isNot(lost sign.KeyID) func(sign.KeyID) (sign.KeyID, bool, error) {
	return func(id sign.KeyID) (sign.KeyID, bool, error) { return id, id != lost, nil }
}
