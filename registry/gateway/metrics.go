package gateway

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/registry"
)

// instruments are what is counted of requests. Labels are few and closed: a
// route is the pattern that took the request, never its path.
type instruments struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	running  *prometheus.GaugeVec
	dropped  *prometheus.CounterVec
}

func newInstruments(reg *prometheus.Registry) *instruments {
	i := &instruments{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_http_requests_total", Help: "Requests answered.",
		}, []string{"face", "route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cairn_http_request_duration_seconds", Help: "Time to answer.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"face", "route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_http_sent_bytes_total", Help: "Bytes of answers' bodies.",
		}, []string{"face", "route"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cairn_http_inflight_requests", Help: "Requests being answered.",
		}, []string{"face"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ratelimit_dropped_total", Help: "Requests refused because there were too many.",
		}, []string{"scope"}),
	}
	reg.MustRegister(i.requests, i.seconds, i.bytes, i.running, i.dropped)
	return i
}

// The scopes of cairn_ratelimit_dropped_total, and the names of the policies in
// the RateLimit fields.
const (
	scopeAddress = "address"
	scopeKey     = "key"
	scopeRunning = "running"         // of the whole server
	scopeOne     = "running-address" // of one address
)

// methodLabel is a method as a label: those that exist, whatever strangers make up.
func methodLabel(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// dataLabel is the route of what is served by CID, below /ipfs and on origins of
// roots.
const dataLabel = "/ipfs/"

// routeLabel is a pattern of a mux without its method.
func routeLabel(pattern string) string {
	if pattern == "" {
		return "none"
	}
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

// registerParts adds the metrics of what stands behind the gateway.
func registerParts(metrics *prometheus.Registry, reg *registry.Registry, store *spaces.Store, version string) {
	gauge := func(name, help string, value func(registry.Status) float64) {
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(reg.Status()) }))
	}
	gauge("cairn_log_size", "Entries of the published log.", func(s registry.Status) float64 { return float64(s.Size) })
	gauge("cairn_log_applied", "Entries that the index has applied.", func(s registry.Status) float64 { return float64(s.Applied) })
	gauge("cairn_index_lag_entries", "Published entries that the index has not applied.", func(s registry.Status) float64 {
		return float64(s.Size - min(s.Applied, s.Size))
	})
	gauge("cairn_ready", "1 when the registry takes statements.", func(s registry.Status) float64 {
		if s.Ready {
			return 1
		}
		return 0
	})
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "cairn_build_info", Help: "1, with the version of the program.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	metrics.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), storeMetrics{store, reg})
}

// storeMetrics reads how much the stores hold when somebody asks.
type storeMetrics struct {
	store *spaces.Store
	reg   *registry.Registry
}

var (
	descPacks   = prometheus.NewDesc("cairn_packs", "Packs of the public space.", nil, nil)
	descBlocks  = prometheus.NewDesc("cairn_blocks", "Blocks that are stored in the public space.", nil, nil)
	descBytes   = prometheus.NewDesc("cairn_pack_bytes", "Size of the public space's packs.", nil, nil)
	descSpaces  = prometheus.NewDesc("cairn_gated_spaces", "Gated spaces: one for each terms document that must be accepted first.", nil, nil)
	descGated   = prometheus.NewDesc("cairn_gated_pack_bytes", "Size of the gated spaces' packs.", nil, nil)
	descFree    = prometheus.NewDesc("cairn_disk_free_bytes", "What the disk below the packs has left.", nil, nil)
	descDamaged = prometheus.NewDesc("cairn_block_verify_failures_total", "Reads that found a block damaged. A person must look when it grows.", nil, nil)
	descIndex   = prometheus.NewDesc("cairn_index_bytes", "Size of an index on disk.", []string{"index"}, nil)
)

func (m storeMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descPacks, descBlocks, descBytes, descSpaces, descGated, descFree, descDamaged, descIndex} {
		ch <- d
	}
}

func (m storeMetrics) Collect(ch chan<- prometheus.Metric) {
	u, err := m.store.Usage()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descBlocks, err)
		return
	}
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	gauge(descPacks, int64(u.Packs))
	gauge(descBlocks, u.Blocks)
	gauge(descBytes, u.Bytes)
	if n, bytes, err := m.store.GatedUsage(); err == nil {
		gauge(descSpaces, int64(n))
		gauge(descGated, bytes)
	}
	gauge(descFree, u.FreeBytes)
	gauge(descIndex, u.IndexBytes, "blocks")
	gauge(descIndex, m.reg.IndexBytes(), "registry")
	ch <- prometheus.MustNewConstMetric(descDamaged, prometheus.CounterValue, float64(u.Damaged))
}

// Metrics returns the handler of /metrics, in Prometheus' text format. It is for
// operators: it must not be reachable by strangers.
func (g *Gateway) Metrics() http.Handler {
	return promhttp.HandlerFor(g.metrics, promhttp.HandlerOpts{})
}
