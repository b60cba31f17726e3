package upload_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func TestMetrics(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	s.push("ana", newDataset(t, mine, "ana", "one", "1.0.0", map[string]string{"a": "1"}, nil))
	d := newDataset(t, mine, "ana", "two", "1.0.0", map[string]string{"a": "2"}, nil)
	u := s.open("ana", d.declare(t, d.car(t, d.closure...))).upload(t)
	s.commit("ana", u.ID) // nothing was sent
	s.do("", "POST", "/v1/uploads", nil, nil)
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(s.up); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"cairn_upload_commits_total 1", "cairn_upload_sessions 1", "cairn_upload_receiving 0",
		`cairn_upload_refused_total{code="unauthenticated"} 1`, `cairn_upload_refused_total{code="unverified"} 1`,
	} {
		if !strings.Contains(rec.Body.String(), want+"\n") {
			t.Errorf("there is no %s in\n%s", want, rec.Body)
		}
	}
}
