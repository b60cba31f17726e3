package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/api"
)

// FrontOptions are what every request passes before a route takes it. The zero
// value is good for strangers.
type FrontOptions struct {
	Limits  Limits
	Proxies Proxies // who may say for whom it asks
	// ReadOrigins are the origins whose pages may read; nil, or with "*", any.
	// TrustedOrigins are those whose pages may also write.
	ReadOrigins, TrustedOrigins []string
	// AccessLog gets a line per request; nil: none. It never gets a query, a
	// header or a body, so no token.
	AccessLog *slog.Logger
	// Auth says who is calling, or refuses; nil: nobody is known. Caller reads
	// from a context what Auth found: the key, or "".
	Auth   func(http.Handler) http.Handler
	Caller func(context.Context) string
}

// A front holds what all requests of a gateway share.
type front struct {
	opts    FrontOptions
	limits  Limits
	origins *origins
	clients *clients
	seen    *instruments
	log     *slog.Logger
	running chan struct{} // nil: no limit
	warned  atomic.Bool   // of a proxy that is not trusted

	draining atomic.Bool
}

func newFront(o FrontOptions, seen *instruments, log *slog.Logger) (*front, error) {
	org, err := newOrigins(o.ReadOrigins, o.TrustedOrigins)
	if err != nil {
		return nil, err
	}
	f := &front{opts: o, limits: o.Limits.filled(), origins: org, seen: seen, log: log}
	f.clients = newClients(f.limits.Clients)
	if f.limits.Running > 0 {
		f.running = make(chan struct{}, f.limits.Running)
	}
	if f.opts.AccessLog == nil {
		f.opts.AccessLog = slog.New(slog.DiscardHandler)
	}
	return f, nil
}

// A visit is what the parts of the front tell each other of one request.
type visit struct {
	client *client // of its address; nil on the private face
	caller string  // the key, once it is known
}

// A place takes requests before the routes do, by their host or path.
type place interface {
	// owns reports whether the request is one for it.
	owns(r *http.Request) bool
	// takes answers a request that it owns, and returns false for any other.
	takes(w http.ResponseWriter, r *http.Request) bool
}

// nowhere is a place that owns nothing.
type nowhere struct{}

func (nowhere) owns(*http.Request) bool                       { return false }
func (nowhere) takes(http.ResponseWriter, *http.Request) bool { return false }

// wrap puts the front before a place and a mux. strangers says whether limits,
// origins and authentication apply: the owner of the home passes without.
func (f *front) wrap(face string, data place, mux *http.ServeMux, strangers bool) http.Handler {
	running := f.seen.running.WithLabelValues(face)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		running.Inc()
		defer running.Dec()
		addr, told := clientAddr(r, f.opts.Proxies)
		v := new(visit)
		rc := http.NewResponseController(rw)
		pw := &pacedWriter{ResponseWriter: rw, rc: rc, ctx: r.Context()}
		w := &recorder{ResponseWriter: pw}
		w.Header().Set(api.RequestID, requestID(r, told || !strangers))
		t := target{mux: mux, data: data, owned: data.owns(r)}
		label := dataLabel
		if !t.owned {
			t.handler, t.pattern = mux.Handler(r)
			label = routeLabel(t.pattern)
		}
		defer func() {
			p := f.recovered(w, r, recover())
			f.account(w, r, v, face, label, logName(addr), time.Since(start))
			if p != nil {
				panic(p)
			}
		}()
		if !strangers {
			f.route(w, r, t)
			return
		}
		limit := f.bodyLimit(t)
		if err := f.shape(w, r, limit); err != nil {
			return
		}
		leave, ok := f.admit(w, r, v, t, addr, told)
		defer leave()
		if !ok {
			return
		}
		if f.limits.MinRate > 0 {
			pw.pace = newPace(f.limits.MinRate, f.limits.Grace)
			defer pw.finish()
		}
		if v.client != nil {
			pw.share = v.client.bytes
		}
		if r.Body != nil && r.Body != http.NoBody {
			body := &pacedBody{ReadCloser: http.MaxBytesReader(w, r.Body, limit), rc: rc, share: pw.share, ctx: r.Context()}
			if pw.pace != nil {
				body.pace = newPace(f.limits.MinRate, f.limits.Grace)
			}
			defer body.finish()
			// A copy: net/http looks at its own request's body when it answers early,
			// and must find the one that it knows, for Expect: 100-continue.
			r = r.WithContext(r.Context())
			r.Body = body
		}
		f.origins.headers(w.Header(), r)
		if err := f.origins.check(r); err != nil {
			Problem(w, r, f.log, err)
			return
		}
		f.known(v, t, func(w http.ResponseWriter, r *http.Request) { f.route(w, r, t) }).ServeHTTP(w, r)
	})
}

// A target is who answers a request.
type target struct {
	data    place
	owned   bool // data does
	mux     *http.ServeMux
	handler http.Handler // of the mux
	pattern string       // of the mux; "" when no route takes the request
}

// health reports whether the request asks how the server is. Who asks that must
// get an answer when the server is full, too.
func (t target) health() bool {
	switch t.pattern {
	case "GET /livez", "GET /readyz", "GET /healthz":
		return true
	}
	return false
}

// route hands a request to who answers it.
func (f *front) route(w http.ResponseWriter, r *http.Request, t target) {
	switch {
	case t.owned:
		if !t.data.takes(w, r) {
			Problem(w, r, f.log, fault.New(fault.Internal, "nobody takes a request that is owned"))
		}
	case t.pattern == "" && preflight(r):
		f.origins.answerPreflight(w, r)
	case t.pattern == "":
		f.unknown(w, r, t.handler)
	default:
		t.mux.ServeHTTP(w, r)
	}
}

// requestID is how answer and log name a request. A proxy's own name is kept,
// if it is a word of 8 to 64 letters, digits, dots and dashes; strangers do not
// choose what the log says.
func requestID(r *http.Request, keep bool) string {
	if id := r.Header.Get(api.RequestID); keep && len(id) >= 8 && len(id) <= 64 && !strings.ContainsFunc(id, notInID) {
		return id
	}
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func notInID(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
}

// recovered turns a panic into a problem, if nothing was sent yet, else into an
// answer that is seen to be cut off. It returns what is to be panicked with.
func (f *front) recovered(w *recorder, r *http.Request, p any) any {
	if p == nil || p == http.ErrAbortHandler {
		return p
	}
	f.log.ErrorContext(r.Context(), "panic", "request", w.Header().Get(api.RequestID), "panic", p, "stack", string(debug.Stack()))
	if w.status != 0 {
		return http.ErrAbortHandler
	}
	Problem(w, r, f.log, fault.New(fault.Internal, "panic"))
	return nil
}

// maxLogPath bounds what the access log says of a path.
const maxLogPath = 512

// account counts and logs an answer.
func (f *front) account(w *recorder, r *http.Request, v *visit, face, route, addr string, took time.Duration) {
	status := orDefault(w.status, http.StatusOK)
	f.seen.requests.WithLabelValues(face, route, methodLabel(r.Method), strconv.Itoa(status)).Inc()
	f.seen.seconds.WithLabelValues(face, route).Observe(took.Seconds())
	f.seen.bytes.WithLabelValues(face, route).Add(float64(w.bytes))
	path := r.URL.Path
	if len(path) > maxLogPath {
		path = path[:maxLogPath] + "…"
	}
	attrs := []slog.Attr{
		slog.String("request", w.Header().Get(api.RequestID)), slog.String("face", face), slog.String("network", addr),
		slog.String("method", fault.Printable(r.Method)), slog.String("path", fault.Printable(path)), slog.Int("status", status),
		slog.Int64("bytes", w.bytes), slog.Duration("took", took),
	}
	if v.caller != "" {
		attrs = append(attrs, slog.String("key", fault.Printable(v.caller)))
	}
	f.opts.AccessLog.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

// bodyLimit bounds the body of a request. Files and commits of the Hub API may be
// larger than what others send: their routes know how large, and read nothing of
// what is not announced and allowed.
func (f *front) bodyLimit(t target) int64 {
	switch t.pattern {
	case "PUT /datasets/{owner}/{name}/lfs/{oid}", "POST /api/datasets/{owner}/{name}/commit/{rev}":
		return 1<<63 - 1
	}
	if f.limits.Body < 0 {
		return 1<<63 - 1
	}
	return f.limits.Body
}

// shape refuses what no route takes in any case.
func (f *front) shape(w http.ResponseWriter, r *http.Request, limit int64) error {
	status, err := 0, error(nil)
	switch {
	case f.limits.URL > 0 && len(r.RequestURI) > f.limits.URL:
		status, err = http.StatusRequestURITooLong, fault.New(fault.TooLarge, "the request's target has more than %d bytes", f.limits.URL)
	case r.ContentLength > limit:
		status, err = http.StatusRequestEntityTooLarge, fault.New(fault.TooLarge, "the body has more than %d bytes", f.limits.Body)
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		w.Header().Set("Accept-Encoding", "identity")
		status, err = http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "encoded bodies are not taken: send it as it is, without Content-Encoding")
	default:
		return nil
	}
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close") // what is left of the body is not worth reading
	}
	refuse(w, status, err)
	return err
}

// admit takes a request from the rates and counts of its address and of the
// server, or answers it. leave must be called in any case.
func (f *front) admit(w http.ResponseWriter, r *http.Request, v *visit, t target, addr netip.Addr, told bool) (leave func(), ok bool) {
	leave = func() {}
	if t.health() {
		return leave, true
	}
	if !told && r.Header.Get("X-Forwarded-For") != "" {
		if !f.warned.Swap(true) {
			f.log.WarnContext(r.Context(), "a proxy that is not among trustedProxies sends X-Forwarded-For: all its clients count as one")
		}
	} else if contains(f.limits.Exempt, addr) {
		return f.enterServer(w, leave)
	}
	c := f.clients.get("address "+limitName(addr), f.limits.PerAddress, f.limits.BytesPerAddress)
	v.client = c
	if wait := c.take(w.Header(), scopeAddress); wait > 0 {
		f.drop(w, scopeAddress, wait, "too many requests from this address")
		return leave, false
	}
	if !c.enter(f.limits.RunningPerAddress) {
		f.drop(w, scopeOne, time.Second, "more than %d requests of this address are running", f.limits.RunningPerAddress)
		return leave, false
	}
	return f.enterServer(w, c.leave)
}

// enterServer counts a request among those of the whole server.
func (f *front) enterServer(w http.ResponseWriter, leave func()) (func(), bool) {
	if f.running == nil {
		return leave, true
	}
	select {
	case f.running <- struct{}{}:
		return func() { <-f.running; leave() }, true
	default:
		f.seen.dropped.WithLabelValues(scopeRunning).Inc()
		refuse(w, http.StatusServiceUnavailable, fault.New(fault.Busy, "the server answers as many requests as it can"))
		return leave, false
	}
}

func (f *front) drop(w http.ResponseWriter, scope string, wait time.Duration, format string, args ...any) {
	f.seen.dropped.WithLabelValues(scope).Inc()
	slowDown(w, wait, format, args...)
}

// known finds out who is calling, and holds the caller to its rate.
func (f *front) known(v *visit, t target, next http.HandlerFunc) http.Handler {
	if f.opts.Auth == nil || f.opts.Caller == nil {
		return next
	}
	return f.opts.Auth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v.caller = f.opts.Caller(r.Context()); v.caller != "" && !t.health() {
			c := f.clients.get("key "+v.caller, f.limits.PerKey, -1)
			if wait := c.take(w.Header(), scopeKey); wait > 0 {
				f.drop(w, scopeKey, wait, "too many requests of this key")
				return
			}
		}
		next(w, r)
	}))
}

// unknown answers a request that no route takes: another method is 405, the
// rest 404, both as problems.
func (f *front) unknown(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &recorder{ResponseWriter: blank{make(http.Header)}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.Header().Get("Allow"))
		refuse(w, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "%s is not possible here", fault.Printable(r.Method)))
		return
	}
	Problem(w, r, f.log, fault.WithHint(fault.New(fault.NotFound, "there is nothing at this path"), "see /"))
}

// Drain makes /readyz answer 503 from now on: the server is about to stop, and
// nobody should send it more.
func (g *Gateway) Drain() { g.front.draining.Store(true) }

// errDraining is what /readyz says after Drain.
var errDraining = errors.New("the server is stopping")

// blank is a writer that keeps headers alone.
type blank struct{ h http.Header }

func (b blank) Header() http.Header         { return b.h }
func (b blank) Write(p []byte) (int, error) { return len(p), nil }
func (b blank) WriteHeader(int)             {}

// A recorder remembers status and size of an answer. It lets the underlying
// writer's other abilities through: http.ResponseController finds them by Unwrap.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Flush sends what is buffered; boxo asks for the interface by name.
func (w *recorder) Flush() { w.FlushError() }

// FlushError is Flush, and reports whether the connection took it.
func (w *recorder) FlushError() error {
	return http.NewResponseController(w.ResponseWriter).Flush()
}
