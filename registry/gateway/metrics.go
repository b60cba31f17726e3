package gateway

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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

// badgerMetrics are those of Badger's expvar variables that say something to an
// operator. Both indexes of a process count in the same ones.
var badgerMetrics = map[string]*prometheus.Desc{
	"badger_read_num_vlog":          desc("badger_value_log_reads", "Reads of Badger's value logs."),
	"badger_read_bytes_vlog":        desc("badger_value_log_read_bytes", "Bytes read of Badger's value logs."),
	"badger_read_bytes_lsm":         desc("badger_tables_read_bytes", "Bytes read of Badger's tables, cache included."),
	"badger_write_bytes_user":       desc("badger_written_bytes", "Bytes of keys and values written to Badger."),
	"badger_write_bytes_compaction": desc("badger_compaction_written_bytes", "Bytes that Badger's compactions wrote."),
	"badger_compaction_current_num_lsm": desc("badger_compactions_running",
		"Compactions of Badger that run."),
	"badger_get_num_user":               desc("badger_gets", "Reads asked of Badger."),
	"badger_put_num_user":               desc("badger_puts", "Writes asked of Badger."),
	"badger_size_bytes_lsm":             prometheus.NewDesc("badger_tables_bytes", "Size of Badger's tables.", []string{"dir"}, nil),
	"badger_size_bytes_vlog":            prometheus.NewDesc("badger_value_log_bytes", "Size of Badger's value logs.", []string{"dir"}, nil),
	"badger_write_pending_num_memtable": prometheus.NewDesc("badger_pending_writes", "Writes that wait for Badger.", []string{"dir"}, nil),
}

func desc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// registerParts adds the metrics of what stands behind the gateway.
func registerParts(metrics *prometheus.Registry, reg *registry.Registry, version string) {
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
	metrics.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewExpvarCollector(badgerMetrics))
}

// Metrics returns the handler of /metrics, in Prometheus' text format. It is for
// operators: it must not be reachable by strangers.
func (g *Gateway) Metrics() http.Handler {
	return promhttp.HandlerFor(g.metrics, promhttp.HandlerOpts{})
}
