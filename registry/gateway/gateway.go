// Package gateway is the HTTP front of a registry: blocks and files under
// /ipfs as an IPFS gateway serves them, the log's files as C2SP tlog-tiles lays
// them out, /v1, health, and metrics. Two faces share its parts: the public one
// reads, the private one, for the home's own socket, also takes statements and
// blocks.
package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/exchange/offline"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/metadata"
	"github.com/cairn-registry/cairn/registry/overlap"
)

const (
	// maxConcurrent bounds the requests under /ipfs that are worked on at once;
	// each holds a few blocks in memory.
	maxConcurrent = 256
	// stall is how long an answer under /ipfs may go without a byte written.
	stall = 30 * time.Second
	// maxDuration bounds one answer: a terabyte over a slow line is legitimate.
	maxDuration = 7 * 24 * time.Hour
)

// A Gateway makes the handlers of one registry.
type Gateway struct {
	store   *pack.Store
	reg     *registry.Registry
	api     *api.API
	overlap *overlap.Index
	log     *slog.Logger
	backend boxo.IPFSBackend
	metrics *prometheus.Registry
	seen    *instruments
	about   *metadata.Metadata
}

// New returns the gateway of a registry and the store with its blocks. version
// is that of the program.
func New(reg *registry.Registry, store *pack.Store, version string, log *slog.Logger) (*Gateway, error) {
	metrics := prometheus.NewRegistry()
	backend, err := boxo.NewBlocksBackend(blockservice.New(store, offline.Exchange(store)), boxo.WithPrometheusRegistry(metrics))
	if err != nil {
		return nil, fmt.Errorf("making the gateway: %w", err)
	}
	g := &Gateway{
		store: store, reg: reg, api: api.New(reg, version, log), log: log,
		overlap: overlap.New(reg, overlap.Config{Dir: filepath.Join(reg.Dir(), "overlap"), Blocks: store, Log: log}),
		backend: backend, metrics: metrics, seen: newInstruments(metrics),
	}
	if g.about, err = metadata.New(reg, store, metadata.Options{Log: log}); err != nil {
		return nil, err
	}
	gauge := func(name, help string, value func(registry.Status) float64) {
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(reg.Status()) }))
	}
	gauge("cairn_log_size", "Entries of the published log.", func(s registry.Status) float64 { return float64(s.Size) })
	gauge("cairn_log_applied", "Entries that the index has applied.", func(s registry.Status) float64 { return float64(s.Applied) })
	gauge("cairn_ready", "1 when the registry takes statements.", func(s registry.Status) float64 {
		if s.Ready {
			return 1
		}
		return 0
	})
	return g, nil
}

// Overlap returns the index that answers /v1/overlap.
func (g *Gateway) Overlap() *overlap.Index { return g.overlap }

// Public returns the handler for strangers: it only reads. deserialized allows
// files and directory pages under /ipfs besides blocks and CARs; as long as
// datasets have no origins of their own it is for loopback listeners only.
func (g *Gateway) Public(deserialized bool) http.Handler {
	return g.front("public", g.mux("public", deserialized))
}

// Private returns the handler for the owner of the home: all of Public, the way
// in, and /metrics.
func (g *Gateway) Private() http.Handler {
	mux := g.mux("private", true)
	g.api.RegisterPrivate(mux, g.store)
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.metrics, promhttp.HandlerOpts{}))
	return g.front("private", mux)
}

func (g *Gateway) mux(face string, deserialized bool) *http.ServeMux {
	mux := http.NewServeMux()
	g.api.Register(mux)
	g.about.Register(mux)
	g.overlap.Register(mux)
	mux.Handle("/ipfs/", g.ipfs(face, deserialized))
	mux.HandleFunc("GET /checkpoint", g.checkpoint)
	mux.HandleFunc("GET /tile/", g.tile)
	mux.HandleFunc("GET /healthz", g.healthy)
	mux.HandleFunc("GET /livez", g.healthy)
	mux.HandleFunc("GET /readyz", g.ready)
	mux.HandleFunc("GET /{$}", g.index)
	return mux
}

// ipfs serves blocks, CARs and files. What people upload must not run in this
// server's origin: nothing is sniffed, and pages get a sandbox.
func (g *Gateway) ipfs(face string, deserialized bool) http.Handler {
	h := boxo.NewHandler(boxo.Config{
		DeserializedResponses: deserialized,
		NoDNSLink:             true,
		DisableHTMLErrors:     true,
		RetrievalTimeout:      stall,
		MaxConcurrentRequests: maxConcurrent,
		MaxRequestDuration:    maxDuration,
		MetricsRegistry:       prometheus.WrapRegistererWith(prometheus.Labels{"face": face}, g.metrics),
	}, g.backend)
	h = boxo.NewHeaders(nil).ApplyCors().Wrap(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "sandbox")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if c, ok := rawBlock(r); ok {
			g.block(w, r, c)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// The log's files, cached as C2SP tlog-tiles asks: a tile never changes, the
// checkpoint does.
func (g *Gateway) checkpoint(w http.ResponseWriter, r *http.Request) {
	send(w, "text/plain; charset=utf-8", "no-cache", g.reg.Log().Published().Note)
}

func (g *Gateway) tile(w http.ResponseWriter, r *http.Request) {
	b, err := g.reg.Log().Tile(r.URL.Path[1:])
	if err != nil {
		Problem(w, r, g.log, err)
		return
	}
	send(w, "application/octet-stream", "public, max-age=31536000, immutable", b)
}

func send(w http.ResponseWriter, contentType, cache string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b)
}

func (g *Gateway) healthy(w http.ResponseWriter, _ *http.Request) {
	send(w, "text/plain; charset=utf-8", "no-store", []byte("ok\n"))
}

// ready says whether the index follows the log and the log takes entries.
func (g *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	if s := g.reg.Status(); !s.Ready {
		Problem(w, r, g.log, fault.New(fault.Busy, "not ready: %s", s.Reason))
		return
	}
	g.healthy(w, r)
}

// index tells a person with a browser what this is.
func (g *Gateway) index(w http.ResponseWriter, _ *http.Request) {
	s := g.api.Status()
	send(w, "text/plain; charset=utf-8", "no-cache", fmt.Appendf(nil, `A cairn registry: datasets, who made them, and on which terms, in a log that anyone can check.

log        %s
key        %s
entries    %d

/v1/status           what this registry is, and how far it is
/v1/datasets         its datasets (license, contributor, keyword, publisher, name, root, source, latest)
/v1/metadata         how they describe themselves to others: /v1/metadata/croissant/PUBLISHER/NAME
/v1/overlap/CID      what a dataset shares with earlier ones
/v1/revenue          what was earned with them; /v1/periods says which month is open
/ipfs/CID            blocks, CARs (?format=car) and files
/checkpoint, /tile/  the log, as C2SP tlog-tiles
`, s.Origin, s.VKey, s.Size))
}

// Problem answers with err as an RFC 9457 problem document.
func Problem(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	api.Problem(w, r, log, err)
}
