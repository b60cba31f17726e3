package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/wire"
)

// instruments are what is counted of requests.
type instruments struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	running  *prometheus.GaugeVec
}

func newInstruments(reg *prometheus.Registry) *instruments {
	i := &instruments{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_http_requests_total", Help: "Requests answered.",
		}, []string{"face", "route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cairn_http_request_seconds", Help: "Time to answer.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"face", "route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_http_sent_bytes_total", Help: "Bytes of answers' bodies.",
		}, []string{"face", "route"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cairn_http_requests_running", Help: "Requests being answered.",
		}, []string{"face"}),
	}
	reg.MustRegister(i.requests, i.seconds, i.bytes, i.running)
	return i
}

// route is a request's class: few values, whatever strangers ask for.
func route(path string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "ipfs", "api", "datasets", "tile", "checkpoint", "metrics", "healthz", "livez", "readyz":
		return first
	case "v1":
		kind, _, _ := strings.Cut(rest, "/")
		switch kind {
		case "status", "entries", "statements", "datasets", "resolve", "keys", "blocks", "check":
			return "v1/" + kind
		}
	}
	return "other"
}

// front is what every request passes first: it gets an ID, is counted and
// logged, and whatever panics below becomes a problem.
func (g *Gateway) front(face string, mux *http.ServeMux) http.Handler {
	running := g.seen.running.WithLabelValues(face)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		running.Inc()
		defer running.Dec()
		var id [8]byte
		rand.Read(id[:])
		w := &recorder{ResponseWriter: rw}
		w.Header().Set(api.RequestID, hex.EncodeToString(id[:]))
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				g.log.ErrorContext(r.Context(), "panic", "request", w.Header().Get(api.RequestID), "panic", p, "stack", string(debug.Stack()))
				if w.status == 0 {
					Problem(w, r, g.log, fault.New(fault.Internal, "panic"))
					p = nil
				} else {
					p = http.ErrAbortHandler // the answer is cut off, and seen to be
				}
			}
			status := w.status
			if status == 0 {
				status = http.StatusOK
			}
			class := route(r.URL.Path)
			g.seen.requests.WithLabelValues(face, class, strconv.Itoa(status)).Inc()
			g.seen.seconds.WithLabelValues(face, class).Observe(time.Since(start).Seconds())
			g.seen.bytes.WithLabelValues(face, class).Add(float64(w.bytes))
			g.log.LogAttrs(r.Context(), slog.LevelInfo, "request",
				slog.String("request", w.Header().Get(api.RequestID)), slog.String("face", face), slog.String("remote", r.RemoteAddr),
				slog.String("method", r.Method), slog.String("path", fault.Printable(r.URL.Path)), slog.Int("status", status),
				slog.Int64("bytes", w.bytes), slog.Duration("took", time.Since(start)))
			if p != nil {
				panic(p)
			}
		}()
		h, pattern := mux.Handler(r)
		if pattern == "" {
			g.unknown(w, r, h)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unknown answers a request that no route takes: another method is 405, the
// rest 404, both as problems.
func (g *Gateway) unknown(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &recorder{ResponseWriter: blank{make(http.Header)}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		p := wire.NewProblem(fault.New(fault.Invalid, "%s is not possible here", fault.Printable(r.Method)), w.Header().Get(api.RequestID))
		p.Status = http.StatusMethodNotAllowed
		w.Header().Set("Allow", probe.Header().Get("Allow"))
		p.Write(w)
		return
	}
	Problem(w, r, g.log, fault.WithHint(fault.New(fault.NotFound, "there is nothing at this path"), "see /"))
}

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
func (w *recorder) Flush() { http.NewResponseController(w.ResponseWriter).Flush() }
