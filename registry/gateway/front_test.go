package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/wire"
)

// routes is a mux as plain as can be: the front is what is tested.
func routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /thing/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "thing") })
	mux.HandleFunc("POST /thing", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("oh") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	return mux
}

func front(t *testing.T, o gateway.FrontOptions, mux *http.ServeMux) http.Handler {
	t.Helper()
	h, _, err := gateway.Front(o, mux, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// knock sends a request from an address and returns the answer.
func knock(h http.Handler, from, method, target string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = net.JoinHostPort(from, "4242")
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	var p wire.Problem
	if w.Code != status || w.Header().Get("Content-Type") != wire.ProblemType {
		t.Errorf("status %d (%s), want the problem %d: %s", w.Code, w.Header().Get("Content-Type"), status, w.Body)
		return
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != status || p.Instance != w.Header().Get("X-Request-Id") {
		t.Errorf("the problem says %+v, %v", p, err)
	}
}

func TestRatePerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := front(t, gateway.FrontOptions{Limits: gateway.Limits{PerAddress: gateway.Rate{PerSecond: 1, Burst: 3}}}, routes())
		get := func(from string) *httptest.ResponseRecorder { return knock(h, from, "GET", "/thing/1", nil) }
		for i := range 3 {
			w := get("192.0.2.1")
			if want := fmt.Sprintf(`"address";r=%d;t=%d`, 2-i, i+1); w.Code != 200 || w.Header().Get("RateLimit") != want {
				t.Errorf("request %d: %d, RateLimit %s, want %s", i, w.Code, w.Header().Get("RateLimit"), want)
			}
		}
		w := get("192.0.2.1")
		wantProblem(t, w, http.StatusTooManyRequests)
		if w.Header().Get("Retry-After") != "1" || w.Header().Get("RateLimit-Policy") != `"address";q=3;w=3` {
			t.Errorf("Retry-After %q, RateLimit-Policy %q", w.Header().Get("Retry-After"), w.Header().Get("RateLimit-Policy"))
		}
		if w := get("192.0.2.2"); w.Code != 200 {
			t.Errorf("another address: %d", w.Code)
		}
		if w := knock(h, "192.0.2.1", "GET", "/readyz", nil); w.Code != 200 {
			t.Errorf("health: %d", w.Code)
		}
		time.Sleep(time.Second)
		if w := get("192.0.2.1"); w.Code != 200 {
			t.Errorf("after a second: %d", w.Code)
		}
		// A /64 is one client, whatever addresses it takes.
		for i := range 3 {
			get(fmt.Sprintf("2001:db8::%d", i))
		}
		wantProblem(t, get("2001:db8::ffff"), http.StatusTooManyRequests)
		if w := get("2001:db8:0:1::1"); w.Code != 200 {
			t.Errorf("another /64: %d", w.Code)
		}
	})
}

func TestRateMemoryIsBounded(t *testing.T) {
	h := front(t, gateway.FrontOptions{Limits: gateway.Limits{PerAddress: gateway.Rate{PerSecond: 1e-9, Burst: 1}, Clients: 2}}, routes())
	get := func(from string) int { return knock(h, from, "GET", "/thing/1", nil).Code }
	for _, c := range []struct {
		from string
		want int
	}{
		{"192.0.2.1", 200}, {"192.0.2.2", 200}, {"192.0.2.1", 429}, {"192.0.2.3", 200}, // 2 is forgotten
		{"192.0.2.1", 429}, {"192.0.2.2", 200},
	} {
		if got := get(c.from); got != c.want {
			t.Errorf("%s: %d, want %d", c.from, got, c.want)
		}
	}
}

type keyOf struct{}

func TestRatePerKey(t *testing.T) {
	o := gateway.FrontOptions{
		Limits: gateway.Limits{PerKey: gateway.Rate{PerSecond: 1e-9, Burst: 1}},
		Auth: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyOf{}, r.Header.Get("Key"))))
			})
		},
		Caller: func(ctx context.Context) string { return ctx.Value(keyOf{}).(string) },
	}
	h := front(t, o, routes())
	for i, c := range []struct {
		key, from string
		want      int
	}{{"a", "192.0.2.1", 200}, {"a", "192.0.2.2", 429}, {"b", "192.0.2.2", 200}, {"", "192.0.2.2", 200}, {"", "192.0.2.2", 200}} {
		w := knock(h, c.from, "GET", "/thing/1", func(r *http.Request) { r.Header.Set("Key", c.key) })
		if w.Code != c.want {
			t.Errorf("%d: key %q: %d, want %d", i, c.key, w.Code, c.want)
		}
	}
}

// TestRunning: requests that are being answered are bounded, per address and
// in all, and those who ask how the server is get their answer.
func TestRunning(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{}, 8)
	mux := routes()
	mux.HandleFunc("GET /hold", func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-hold })
	h := front(t, gateway.FrontOptions{Limits: gateway.Limits{Running: 3, RunningPerAddress: 2}}, mux)
	var wg sync.WaitGroup
	start := func(from string) {
		wg.Go(func() { knock(h, from, "GET", "/hold", nil) })
		<-entered
	}
	start("192.0.2.1")
	start("192.0.2.1")
	wantProblem(t, knock(h, "192.0.2.1", "GET", "/thing/1", nil), http.StatusTooManyRequests)
	start("192.0.2.2")
	w := knock(h, "192.0.2.3", "GET", "/thing/1", nil)
	wantProblem(t, w, http.StatusServiceUnavailable)
	if w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if w := knock(h, "192.0.2.3", "GET", "/readyz", nil); w.Code != 200 {
		t.Errorf("health of a full server: %d", w.Code)
	}
	close(hold)
	wg.Wait()
	if w := knock(h, "192.0.2.1", "GET", "/thing/1", nil); w.Code != 200 {
		t.Errorf("after they ended: %d", w.Code)
	}
}

func TestForwarded(t *testing.T) {
	proxy := netip.MustParsePrefix("10.0.0.0/8")
	h := front(t, gateway.FrontOptions{
		Limits:  gateway.Limits{PerAddress: gateway.Rate{PerSecond: 1e-9, Burst: 1}, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Proxies: gateway.Proxies{Prefixes: []netip.Prefix{proxy}},
	}, routes())
	for i, c := range []struct {
		from string
		xff  []string
		want int
	}{
		{"10.0.0.1", []string{"192.0.2.1"}, 200},
		{"10.0.0.2", []string{"203.0.113.9, 192.0.2.1"}, 429},            // what the client claims before is not read
		{"10.0.0.2", []string{"203.0.113.9", "192.0.2.1,10.0.0.7"}, 429}, // through two proxies
		{"192.0.2.7", []string{"198.51.100.1"}, 200},                     // no proxy of ours: itself
		{"192.0.2.7", []string{"198.51.100.2"}, 429},
		{"10.0.0.1", []string{"nonsense"}, 200}, // the proxy itself
		{"10.0.0.1", []string{"nonsense"}, 429},
		{"127.0.0.1", nil, 200}, {"127.0.0.1", nil, 200}, // exempt
		{"127.0.0.1", []string{"192.0.2.55"}, 200}, {"127.0.0.1", []string{"192.0.2.56"}, 429}, // a proxy that nobody named
	} {
		w := knock(h, c.from, "GET", "/thing/1", func(r *http.Request) { r.Header["X-Forwarded-For"] = c.xff })
		if w.Code != c.want {
			t.Errorf("%d: from %s for %q: %d, want %d", i, c.from, c.xff, w.Code, c.want)
		}
	}
}

func TestRequestID(t *testing.T) {
	h := front(t, gateway.FrontOptions{Proxies: gateway.Proxies{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, routes())
	made := regexp.MustCompile(`^[0-9a-f]{16}$`)
	for _, c := range []struct {
		from, id string
		kept     bool
	}{
		{"10.0.0.1", "abc-DEF_12.3", true}, {"10.0.0.1", "short", false}, {"10.0.0.1", strings.Repeat("a", 65), false},
		{"10.0.0.1", "with space", false}, {"10.0.0.1", "ünicodeünicode", false}, {"192.0.2.1", "abc-DEF_12.3", false},
	} {
		got := knock(h, c.from, "GET", "/thing/1", func(r *http.Request) { r.Header.Set("X-Request-Id", c.id) }).Header().Get("X-Request-Id")
		if c.kept != (got == c.id) || !c.kept && !made.MatchString(got) {
			t.Errorf("%q from %s becomes %q", c.id, c.from, got)
		}
	}
}

func TestShape(t *testing.T) {
	h := front(t, gateway.FrontOptions{Limits: gateway.Limits{URL: 100, Body: 10}}, routes())
	body := func(s string, length int64) func(*http.Request) {
		return func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), length }
	}
	wantProblem(t, knock(h, "192.0.2.1", "GET", "/thing/"+strings.Repeat("a", 100), nil), 414)
	wantProblem(t, knock(h, "192.0.2.1", "POST", "/thing", body("12345678901", 11)), 413)
	if w := knock(h, "192.0.2.1", "POST", "/thing", body("12345678901", -1)); w.Code != 400 || !strings.Contains(w.Body.String(), "too large") {
		t.Errorf("a chunked body beyond the limit: %d %s", w.Code, w.Body)
	}
	if w := knock(h, "192.0.2.1", "POST", "/thing", body("1234567890", 10)); w.Code != 200 || w.Body.String() != "10" {
		t.Errorf("a body at the limit: %d %s", w.Code, w.Body)
	}
	w := knock(h, "192.0.2.1", "POST", "/thing", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })
	wantProblem(t, w, 415)
	wantProblem(t, knock(h, "192.0.2.1", "GET", "/nothing", nil), 404)
	w = knock(h, "192.0.2.1", "DELETE", "/thing", nil)
	wantProblem(t, w, 405)
	if w.Header().Get("Allow") != "POST" {
		t.Errorf("Allow: %q", w.Header().Get("Allow"))
	}
	wantProblem(t, knock(h, "192.0.2.1", "GET", "/panic", nil), 500)
}

func TestPagesOfOthers(t *testing.T) {
	const good, other = "https://good.example", "https://other.example"
	from := func(origin string, more ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Origin", origin)
			for i := 0; i < len(more); i += 2 {
				r.Header.Set(more[i], more[i+1])
			}
		}
	}
	for _, o := range []gateway.FrontOptions{{TrustedOrigins: []string{good}}, {ReadOrigins: []string{"*"}, TrustedOrigins: []string{good}}} {
		h := front(t, o, routes())
		if got := knock(h, "192.0.2.1", "GET", "/thing/1", from(other)).Header().Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("a read: %q", got)
		}
		wantProblem(t, knock(h, "192.0.2.1", "POST", "/thing", from(other)), 403)
		wantProblem(t, knock(h, "192.0.2.1", "POST", "/thing", from("null")), 403)
		wantProblem(t, knock(h, "192.0.2.1", "POST", "/thing", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), 403)
		if w := knock(h, "192.0.2.1", "POST", "/thing", from(good)); w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != good {
			t.Errorf("a write of a trusted page: %d, %q", w.Code, w.Header().Get("Access-Control-Allow-Origin"))
		}
		if w := knock(h, "192.0.2.1", "POST", "/thing", nil); w.Code != 200 {
			t.Errorf("a write of no page: %d", w.Code)
		}
		for origin, want := range map[string]string{other: "GET, HEAD", good: "GET, HEAD, POST, PUT, DELETE"} {
			w := knock(h, "192.0.2.1", "OPTIONS", "/thing/1", from(origin, "Access-Control-Request-Method", "GET"))
			if w.Code != 204 || w.Header().Get("Access-Control-Allow-Methods") != want || w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("preflight of %s: %d %v", origin, w.Code, w.Header())
			}
		}
	}
	h := front(t, gateway.FrontOptions{ReadOrigins: []string{good}}, routes())
	for origin, want := range map[string]string{good: good, other: ""} {
		w := knock(h, "192.0.2.1", "GET", "/thing/1", from(origin))
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != want || w.Header().Get("Vary") != "Origin" {
			t.Errorf("a read of %s where only %s may: %q, Vary %q", origin, good, got, w.Header().Get("Vary"))
		}
	}
	if _, _, err := gateway.Front(gateway.FrontOptions{TrustedOrigins: []string{"good.example"}}, routes(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an origin without a scheme is taken")
	}
}

// TestAccessLog: a line says what was asked and answered, and no secret.
func TestAccessLog(t *testing.T) {
	var b bytes.Buffer
	h := front(t, gateway.FrontOptions{AccessLog: slog.New(slog.NewJSONHandler(&b, nil))}, routes())
	knock(h, "192.0.2.77", "GET", "/thing/1?token=secret1", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer secret2")
		r.Header.Set("Cookie", "secret3")
		r.URL.User = nil
	})
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"msg": "request", "network": "192.0.2.0/24", "method": "GET", "path": "/thing/1", "status": 200., "bytes": 5., "face": "public"} {
		if line[k] != want {
			t.Errorf("%s is %v, want %v", k, line[k], want)
		}
	}
	if strings.Contains(b.String(), "secret") || strings.Contains(b.String(), "192.0.2.77") {
		t.Errorf("the line says too much: %s", b.String())
	}
	b.Reset()
	knock(h, "2001:db8:1:2::3", "GET", "/thing/%0a%1b%5b31m%e2%80%ae"+strings.Repeat("x", 2000), nil)
	if s := strings.TrimSuffix(b.String(), "\n"); len(s) > 1500 || strings.ContainsAny(s, "\n\x1b") || strings.Contains(s, "\u202e") || !strings.Contains(s, `"2001:db8:1::/48"`) {
		t.Errorf("%d bytes: %q", len(s), s)
	}
}

func TestMetricsHaveNoPaths(t *testing.T) {
	h, metrics, err := gateway.Front(gateway.FrontOptions{}, routes(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		knock(h, "192.0.2.1", "GET", fmt.Sprintf("/thing/%d", i), nil)
		knock(h, "192.0.2.1", "GET", fmt.Sprintf("/nothing/%d", i), nil)
		knock(h, "192.0.2.1", fmt.Sprintf("M%d", i), "/thing/1", nil)
	}
	all, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range all {
		if f.GetName() == "cairn_http_requests_total" {
			for _, m := range f.Metric {
				seen += int(m.Counter.GetValue())
			}
			if len(f.Metric) != 3 {
				t.Errorf("%d series of 150 requests, want 3: %v", len(f.Metric), f.Metric)
			}
		}
	}
	if seen != 150 {
		t.Errorf("%d requests counted, want 150", seen)
	}
}
