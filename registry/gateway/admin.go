package gateway

import (
	"net/http"
	"net/http/pprof"
)

// Admin returns the handler for operators: /metrics, health, and with profiles
// /debug/pprof. It has no limits and shows the inside of the process: listen
// for it on loopback or on a unix socket.
func (g *Gateway) Admin(profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", g.Metrics())
	g.health(mux)
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return g.front.wrap("admin", nowhere{}, mux, false)
}

// health adds the routes that say how the server is.
func (g *Gateway) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", g.healthy)
	mux.HandleFunc("GET /livez", g.healthy)
	mux.HandleFunc("GET /readyz", g.ready)
}
