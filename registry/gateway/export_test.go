package gateway

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Front puts the front for strangers before a mux, as Public does, for tests
// that need no registry behind it. dropped returns a counter's value by scope.
func Front(o FrontOptions, mux *http.ServeMux, log *slog.Logger) (h http.Handler, metrics *prometheus.Registry, err error) {
	metrics = prometheus.NewRegistry()
	f, err := newFront(o, newInstruments(metrics), log)
	if err != nil {
		return nil, nil, err
	}
	return f.wrap("public", nowhere{}, mux, true), metrics, nil
}
