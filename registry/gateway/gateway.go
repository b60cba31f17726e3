// Package gateway is the HTTP front of a registry: blocks and files under
// /ipfs as an IPFS gateway serves them, the log's files as C2SP tlog-tiles lays
// them out, /v1, health, and metrics. Two faces share its parts: the public one
// reads, the private one, for the home's own socket, also takes statements and
// blocks.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/exchange/offline"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/fetches"
	"github.com/cairn-registry/cairn/registry/hub"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/metadata"
	"github.com/cairn-registry/cairn/registry/overlap"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A Gateway makes the handlers of one registry.
type Gateway struct {
	o       Options
	store   *spaces.Store
	reg     *registry.Registry
	api     *api.API
	log     *slog.Logger
	deny    *denylist
	guard   *guard
	notices *notices
	typed   typed
	backend boxo.IPFSBackend
	metrics *prometheus.Registry
	front   *front
	hub     *hub.Hub
	about   *metadata.Metadata
	overlap *overlap.Index
	routing http.Handler                          // nil: who provides a block is not answered
	writes  interface{ Register(*http.ServeMux) } // nil: strangers only read
	access  interface{ Register(*http.ServeMux) } // nil: nobody gets a token
	fetches *fetches.Fetches                      // nil: nothing is counted

	// carBlocks are what CARs on their way may still remember.
	carBlocks atomic.Int64
}

// New returns the gateway of a registry and the store with its blocks.
func New(reg *registry.Registry, store *spaces.Store, o Options) (*Gateway, error) {
	o = o.withDefaults()
	if o.Blocks == nil {
		o.Blocks = store
	}
	hosts := make([]string, len(o.Hosts))
	for i, h := range o.Hosts {
		if hosts[i] = strings.ToLower(h); !isHost(h) {
			return nil, fault.New(fault.Invalid, "%s is no name of a host, or has a port", fault.Quote(h))
		}
	}
	o.Hosts = hosts
	deny, err := openDenylist(o.Denylist)
	if err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	guard := newGuard(o.Blocks, deny)
	backend, err := boxo.NewBlocksBackend(blockservice.New(readOnly{guard}, offline.Exchange(readOnly{guard})), boxo.WithPrometheusRegistry(metrics))
	if err != nil {
		return nil, fmt.Errorf("making the gateway: %w", err)
	}
	g := &Gateway{
		o: o, store: store, reg: reg, api: api.New(reg, o.Version, o.Log), log: o.Log, deny: deny, guard: guard,
		notices: &notices{reg: reg, store: o.Blocks},
		backend: backend, metrics: metrics,
		overlap: overlap.New(reg, overlap.Config{Dir: filepath.Join(reg.Dir(), "overlap"), Blocks: store.All(), Log: o.Log}),
	}
	if g.about, err = metadata.New(reg, guard, metadata.Options{URL: o.URL, Access: g.described, Log: o.Log}); err != nil {
		return nil, err
	}
	if g.hub, err = hub.New(reg, guard, g.HubOptions(hub.Options{URL: o.URL, Croissant: g.about.Croissant, Log: o.Log})); err != nil {
		return nil, err
	}
	g.carBlocks.Store(maxCARBlocks)
	registerParts(metrics, reg, store, o.Version)
	if g.front, err = newFront(o.Front, newInstruments(metrics), o.Log); err != nil {
		return nil, err
	}
	return g, nil
}

// isHost reports whether a name can be a host's: labels of letters, digits and
// hyphens.
func isHost(name string) bool {
	for label := range strings.SplitSeq(strings.ToLower(name), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// Watch keeps the denylist as its file is, until ctx ends. A list that was not
// watched stays as it was when New read it.
func (g *Gateway) Watch(ctx context.Context) { g.deny.watch(ctx, g.o.DenylistEvery, g.log) }

// TakeWrites adds the routes by which strangers write to the public face. It is
// called before Public.
func (g *Gateway) TakeWrites(w interface{ Register(*http.ServeMux) }) { g.writes = w }

// TakeAccess adds the routes by which callers get access to gated data to the
// public face. It is called before Public.
func (g *Gateway) TakeAccess(a interface{ Register(*http.ServeMux) }) { g.access = a }

// TakeFetches makes the public face count what it sends under a fetch, and adds the
// routes by which fetches are opened and their records signed. It is called before
// Public.
func (g *Gateway) TakeFetches(f *fetches.Fetches) { g.fetches = f }

// TakeHub replaces the Hub API, which only reads, by one with other options. It is
// called before Public and Private.
func (g *Gateway) TakeHub(h *hub.Hub) { g.hub = h }

// Blocks reads the gateway's blocks as it does itself: those that the denylist
// names are fault.Gone.
func (g *Gateway) Blocks() blocks.Reader { return g.guard }

// Overlap returns the index that answers /v1/overlap.
func (g *Gateway) Overlap() *overlap.Index { return g.overlap }

// Croissant makes the Croissant document of a version, whose URLs begin with base.
func (g *Gateway) Croissant(ctx context.Context, base string, d index.Dataset) ([]byte, error) {
	return g.about.Croissant(ctx, base, d)
}

// TakeRouting adds a handler for /routing/v1, the Delegated Routing V1 HTTP API, to
// the public face. It is called before Public.
func (g *Gateway) TakeRouting(h http.Handler) { g.routing = h }

// Registerer is where whoever is mounted here counts what it does.
func (g *Gateway) Registerer() prometheus.Registerer { return g.metrics }

// Public returns the handler for strangers: it only reads, unless TakeWrites was
// called. On a loopback
// listener, files and directory pages are served beside blocks and CARs, on any
// Host, and each root has an origin of its own, CID.ipfs.localhost. On any other
// listener they are served only on the origins of [Options.Hosts].
func (g *Gateway) Public(loopback bool) http.Handler {
	hosts := g.o.Hosts
	if loopback {
		hosts = append(slices.Clone(hosts), "localhost")
	}
	mux := g.mux()
	if g.writes != nil {
		g.writes.Register(mux)
	}
	if g.access != nil {
		g.access.Register(mux)
	}
	if g.fetches != nil {
		g.fetches.Register(mux)
	}
	if g.routing != nil {
		mux.Handle("/routing/v1/", g.routing)
	}
	return g.front.wrap("public", g.content("public", hosts, loopback), mux, true)
}

// Private returns the handler for the owner of the home: all of Public, the way
// in, and /metrics. It reads every space.
func (g *Gateway) Private() http.Handler {
	mux := g.mux()
	g.api.RegisterPrivate(mux, g.store)
	mux.Handle("GET /metrics", g.Metrics())
	handler := g.front.wrap("private", g.private(), mux, false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(spaces.WithAll(r.Context())))
	})
}

func (g *Gateway) content(face string, hosts []string, files bool) *content {
	return &content{
		Gateway: g, hosts: hosts, files: files,
		general: g.general(boxo.Config{MetricsRegistry: prometheus.WrapRegistererWith(prometheus.Labels{"face": face}, g.metrics)}),
	}
}

// private is content for the owner of the home, from whom nothing is kept.
func (g *Gateway) private() *content {
	c := g.content("private", nil, true)
	c.owner = true
	return c
}

func (g *Gateway) mux() *http.ServeMux {
	mux := http.NewServeMux()
	g.api.Register(mux)
	g.hub.Register(mux)
	g.about.Register(mux)
	g.overlap.Register(mux)
	mux.HandleFunc("GET /robots.txt", g.signals)
	mux.HandleFunc("GET /.well-known/tdmrep.json", g.signals)
	mux.HandleFunc("GET "+rslPath+"{cid}", g.rsl)
	mux.HandleFunc("GET /checkpoint", g.checkpoint)
	mux.HandleFunc("GET /tile/", g.tile)
	g.health(mux)
	mux.HandleFunc("GET /{$}", g.index)
	return mux
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
	if g.front.draining.Load() {
		Problem(w, r, g.log, fault.Mark(fault.Busy, errDraining))
		return
	}
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
/v1/metadata         descriptions of datasets in others' formats, Croissant among them
/v1/overlap/CID      what a dataset shares with earlier ones
/v1/revenue          what was earned with them; /v1/periods says which month is open
/api, /datasets      the same datasets for clients of the Hugging Face Hub (HF_ENDPOINT, hubUrl)
/ipfs/CID            blocks, CARs (?format=car) and files
/checkpoint, /tile/  the log, as C2SP tlog-tiles
`, s.Origin, s.VKey, s.Size))
}

// Problem answers with err as an RFC 9457 problem document.
func Problem(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	api.Problem(w, r, log, err)
}

func problemOf(w http.ResponseWriter, err error) wire.Problem {
	return wire.NewProblem(err, w.Header().Get(api.RequestID))
}
