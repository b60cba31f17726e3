package upload

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-registry/cairn/manifests/fault"
)

var (
	descSessions  = prometheus.NewDesc("cairn_upload_sessions", "Uploads that are open.", nil, nil)
	descStaged    = prometheus.NewDesc("cairn_upload_staged_bytes", "Bytes of shards that open uploads declare.", nil, nil)
	descReceiving = prometheus.NewDesc("cairn_upload_receiving", "Shards and large declarations that come in now.", nil, nil)
	descCommitted = prometheus.NewDesc("cairn_upload_commits_total", "Uploads that were committed.", nil, nil)
	descRefused   = prometheus.NewDesc("cairn_upload_refused_total", "Requests about uploads and entries that were refused, by the code of the problem.", []string{"code"}, nil)
)

// tally counts what became of requests. Codes are those of package fault, so few.
type tally struct {
	mu        sync.Mutex
	committed int64
	refused   map[fault.Code]int64
}

func (t *tally) refuse(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused == nil {
		t.refused = make(map[fault.Code]int64)
	}
	t.refused[fault.Of(err)]++
}

func (t *tally) commit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committed++
}

// Describe and Collect make a Server a source of Prometheus metrics.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSessions, descStaged, descReceiving, descCommitted, descRefused} {
		ch <- d
	}
}

// Collect reads what is held now.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	s.book.mu.Lock()
	sessions, staged := s.book.sessions, s.book.staged
	s.book.mu.Unlock()
	gauge(descSessions, sessions)
	gauge(descStaged, staged)
	gauge(descReceiving, int64(len(s.slots)))
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(descCommitted, prometheus.CounterValue, float64(s.tally.committed))
	for code, n := range s.tally.refused {
		ch <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(n), string(code))
	}
}
