package auth_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/client"
)

func signer(seed byte) sign.Signer {
	return sign.NewEd25519(ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)))
}

// A clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// noDate keeps a client's clock its own.
type noDate struct{ http.RoundTripper }

func (t noDate) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Header.Del("Date")
	}
	return resp, err
}

// start serves a handler that says who called, and needs the whole body.
func start(t *testing.T, o auth.Options) (*auth.Auth, *httptest.Server) {
	t.Helper()
	a, err := auth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(fault.Of(err).HTTPStatus())
			return
		}
		c, err := a.Writer(r.Context())
		if err != nil {
			w.WriteHeader(fault.Of(err).HTTPStatus())
			return
		}
		io.WriteString(w, string(c.Key)+" "+c.Token)
	})))
	t.Cleanup(s.Close)
	return a, s
}

// send sends a request and returns status and body.
func send(t *testing.T, rt http.RoundTripper, method, url, body string, edit func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// captured keeps the last request as it went out, to send it again.
type captured struct {
	rt   http.RoundTripper
	last *http.Request
	body []byte
	edit func(*http.Request)
}

func (c *captured) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.edit != nil {
		c.edit(r)
	}
	if r.Body != nil && r.Body != http.NoBody {
		c.body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(c.body))
	}
	c.last = r
	return c.rt.RoundTrip(r)
}

func (c *captured) again(t *testing.T, host string) (int, string) {
	t.Helper()
	r := c.last.Clone(t.Context())
	r.Body = io.NopCloser(bytes.NewReader(c.body))
	if host != "" {
		r.Host, r.URL.Host = c.last.URL.Host, host // the Host that was signed, at another server
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestModes(t *testing.T) {
	token, hash, err := auth.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []auth.Token{{Name: "ana", SHA256: hash, Key: signer(1).ID()}}
	for _, c := range []struct {
		name                           string
		policy                         auth.Policy
		nobody, listed, stranger, held int
	}{
		{"closed", auth.Policy{}, 403, 403, 403, 401},
		{"open", auth.Policy{Write: auth.Open}, 401, 200, 200, 401},
		{"allowlist", auth.Policy{Write: auth.Allowlist, Allow: []sign.KeyID{signer(1).ID()}, Tokens: tokens}, 401, 200, 403, 200},
		{"token", auth.Policy{Write: auth.TokenOnly, Tokens: tokens}, 401, 403, 403, 200},
		{"an auditor's token", auth.Policy{Write: auth.Open, Tokens: []auth.Token{{Name: "x", SHA256: hash, Role: auth.Auditor}}}, 401, 200, 200, 403},
	} {
		c0 := &clock{t: time.Unix(1_700_000_000, 0)}
		_, s := start(t, auth.Options{Policy: c.policy, Now: c0.now})
		by := func(seed byte) http.RoundTripper {
			return client.Signed(noDate{http.DefaultTransport}, signer(seed), c0.now)
		}
		for _, try := range []struct {
			who  string
			rt   http.RoundTripper
			want int
		}{
			{"nobody", http.DefaultTransport, c.nobody},
			{"a listed key", by(1), c.listed},
			{"another key", by(2), c.stranger},
			{"a token", client.Bearer(nil, token), c.held},
		} {
			if got, _ := send(t, try.rt, "POST", s.URL+"/v1/x?y=z%20", "body", nil); got != try.want {
				t.Errorf("%s: %s gets %d, want %d", c.name, try.who, got, try.want)
			}
		}
	}
}

// Everything that can be wrong with credentials is answered alike.
func TestOneAnswer(t *testing.T) {
	token, hash, _ := auth.NewToken(rand.Reader)
	c0 := &clock{t: time.Unix(1_700_000_000, 0)}
	o := auth.Options{Now: c0.now, Policy: auth.Policy{Write: auth.Open, Tokens: []auth.Token{
		{Name: "old", SHA256: hash, Expires: c0.t.Add(-time.Second)},
	}}}
	_, s := start(t, o)
	_, other := start(t, o)
	c0.add(time.Minute)
	at := func(d time.Duration) func() time.Time { return func() time.Time { return c0.now().Add(d) } }
	signed := func(now func() time.Time, edit func(*http.Request)) (int, string) {
		return send(t, client.Signed(&captured{rt: noDate{http.DefaultTransport}, edit: edit}, signer(1), now), "POST", s.URL+"/x", "body", nil)
	}
	if got, body := signed(c0.now, nil); got != 200 {
		t.Fatalf("a good request gets %d: %s", got, body)
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	replayed := &captured{rt: noDate{http.DefaultTransport}}
	if got, _ := send(t, client.Signed(replayed, signer(1), c0.now), "POST", s.URL+"/x", "body", nil); got != 200 {
		t.Fatalf("the request to be replayed gets %d", got)
	}
	u := strings.TrimPrefix(other.URL, "http://")
	answers := map[string]func() (int, string){
		"replayed":              func() (int, string) { return replayed.again(t, "") },
		"at another server":     func() (int, string) { return replayed.again(t, u) },
		"from before the start": func() (int, string) { return signed(at(-2*time.Minute), nil) },
		"late":                  func() (int, string) { return signed(at(-6*time.Minute), nil) },
		"early":                 func() (int, string) { return signed(at(time.Minute), nil) },
		"no signature":          func() (int, string) { return signed(c0.now, func(r *http.Request) { r.Header.Del("Signature") }) },
		"no input":              func() (int, string) { return signed(c0.now, func(r *http.Request) { r.Header.Del("Signature-Input") }) },
		"another method":        func() (int, string) { return signed(c0.now, func(r *http.Request) { r.Method = "PUT" }) },
		"another path":          func() (int, string) { return signed(c0.now, func(r *http.Request) { r.URL.Path = "/y" }) },
		"another query":         func() (int, string) { return signed(c0.now, func(r *http.Request) { r.URL.RawQuery = "a" }) },
		"another digest":        func() (int, string) { return signed(c0.now, header("Content-Digest", "sha-256=:AAAA:")) },
		"a token as well":       func() (int, string) { return signed(c0.now, header("Authorization", "Bearer "+token)) },
		"an unknown token":      func() (int, string) { return send(t, client.Bearer(nil, token+"x"), "POST", s.URL+"/x", "", nil) },
		"an expired token":      func() (int, string) { return send(t, client.Bearer(nil, token), "POST", s.URL+"/x", "", nil) },
		"a password": func() (int, string) {
			return send(t, http.DefaultTransport, "POST", s.URL+"/x", "", header("Authorization", "Basic eDp5"))
		},
		"garbage in Signature": func() (int, string) { return signed(c0.now, header("Signature", "x")) },
		"another key's keyid": func() (int, string) {
			return signed(c0.now, func(r *http.Request) {
				r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), string(signer(1).ID()), string(signer(2).ID()), 1))
			})
		},
		"body not covered": func() (int, string) {
			c := &captured{rt: noDate{http.DefaultTransport}}
			if got, _ := send(t, client.Signed(c, signer(1), c0.now), "POST", s.URL+"/x", "", nil); got != 200 {
				t.Fatal("a request without a body is refused")
			}
			c.body = []byte("smuggled")
			c.last.ContentLength = -1
			return c.again(t, "")
		},
	}
	var want string
	for name, fn := range answers {
		got, body := fn()
		if got != 401 {
			t.Errorf("%s: %d, want 401", name, got)
		}
		if want == "" {
			want = body
		}
		if body != want {
			t.Errorf("%s: the answer\n%s\ndiffers from\n%s", name, body, want)
		}
	}
	// A body that was changed under way is found when it has been read.
	c := &captured{rt: noDate{http.DefaultTransport}, edit: func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader("BODY"))
	}}
	if got, _ := send(t, client.Signed(c, signer(1), c0.now), "POST", s.URL+"/x", "body", nil); got != 401 {
		t.Errorf("a changed body: %d", got)
	}
}

// A server that knows its URLs takes requests for them alone, whatever address
// they came in on.
func TestURLs(t *testing.T) {
	c0 := &clock{t: time.Unix(1_700_000_000, 0)}
	_, s := start(t, auth.Options{Policy: auth.Policy{Write: auth.Open}, URLs: []string{"https://registry.example"}, Now: c0.now})
	dial := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(s.URL, "http://"))
	}}
	defer dial.CloseIdleConnections()
	behind := &captured{rt: noDate{dial}, edit: func(r *http.Request) { r.URL.Scheme = "http" }} // what a proxy does that ends TLS
	if got, body := send(t, client.Signed(behind, signer(1), c0.now), "POST", "https://registry.example/x", "b", nil); got != 200 {
		t.Errorf("for its URL: %d %s", got, body)
	}
	if got, _ := send(t, client.Signed(noDate{http.DefaultTransport}, signer(1), c0.now), "POST", s.URL+"/x", "b", nil); got != 401 {
		t.Errorf("for its address: %d", got)
	}
	if _, err := auth.New(auth.Options{URLs: []string{"registry.example"}}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a URL without scheme: %v", err)
	}
}

// A client whose clock is wrong learns the time from the first refusal.
func TestClock(t *testing.T) {
	_, real := start(t, auth.Options{Policy: auth.Policy{Write: auth.Open}})
	rt := client.Signed(nil, signer(1), func() time.Time { return time.Now().Add(-3 * time.Hour) })
	if got, _ := send(t, rt, "GET", real.URL+"/", "", nil); got != 401 {
		t.Errorf("three hours late: %d", got)
	}
	time.Sleep(time.Second) // the server takes nothing from the second that it began in
	if got, body := send(t, rt, "GET", real.URL+"/", "", nil); got != 200 {
		t.Errorf("after the server's word: %d %s", got, body)
	}
}

func TestPolicyValid(t *testing.T) {
	good := strings.Repeat("0", 64)
	for name, p := range map[string]auth.Policy{
		"a mode":       {Write: "everybody"},
		"a key":        {Allow: []sign.KeyID{"did:key:zzz"}},
		"a hash":       {Tokens: []auth.Token{{Name: "a", SHA256: hex.EncodeToString([]byte("short"))}}},
		"a role":       {Tokens: []auth.Token{{Name: "a", SHA256: good, Role: "king"}}},
		"no name":      {Tokens: []auth.Token{{SHA256: good}}},
		"a name twice": {Tokens: []auth.Token{{Name: "a", SHA256: good}, {Name: "a", SHA256: good}}},
		"a bound key":  {Tokens: []auth.Token{{Name: "a", SHA256: good, Key: "x"}}},
	} {
		if err := p.Valid(); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}
