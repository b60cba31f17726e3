package gateway

import (
	"net/http"
	"strings"
	"time"
)

// slice is how much is written before the deadline moves on, and how much of a
// file a request holds in memory.
const slice = 128 << 10

// A sealed writer is what every answer with somebody's data passes. Before the
// first byte it sees to it that nothing of it runs in this server's origin or
// leaves a cookie; then it gives the reader a bounded time for each slice, and
// no bound for the whole.
type sealed struct {
	http.ResponseWriter
	control  *http.ResponseController
	stall    time.Duration
	own      bool // the answer has an origin of its own
	seal     bool // no headers were written yet
	deadline bool // one was set
}

func newSealed(w http.ResponseWriter, stall time.Duration, own bool) *sealed {
	return &sealed{ResponseWriter: w, control: http.NewResponseController(w), stall: stall, own: own, seal: true}
}

func (w *sealed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Policies of content. A page in an origin of its own may show what lies beside
// it; in no case does it run scripts, send forms, or reach another host.
const (
	policyOwn    = "sandbox allow-downloads; default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'none'; frame-ancestors 'self'"
	policyShared = "sandbox allow-downloads; default-src 'none'; frame-ancestors 'none'"
	policyPage   = "sandbox allow-downloads; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

// active reports whether a browser may run what a media type holds.
func active(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	switch t {
	case "text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml", "text/xsl", "multipart/x-mixed-replace", "":
		return true
	}
	return strings.HasSuffix(t, "+xml")
}

func (w *sealed) WriteHeader(status int) {
	if w.seal && status >= 200 {
		w.seal = false
		h := w.Header()
		h.Del("Set-Cookie")
		if status >= 400 {
			drop(h)
			h.Set("Cache-Control", "no-store")
		}
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		if h.Get("Content-Security-Policy") == "" {
			if w.own {
				h.Set("Content-Security-Policy", policyOwn)
			} else {
				h.Set("Content-Security-Policy", policyShared)
			}
		}
		if t := h.Get("Content-Type"); !w.own && t != "" && active(t) && h.Get("Content-Security-Policy") != policyPage {
			d := h.Get("Content-Disposition")
			if _, rest, ok := strings.Cut(d, ";"); ok {
				h.Set("Content-Disposition", "attachment;"+rest)
			} else {
				h.Set("Content-Disposition", "attachment")
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *sealed) Write(p []byte) (n int, err error) {
	if w.seal {
		w.WriteHeader(http.StatusOK)
	}
	for {
		part := p[n:min(len(p), n+slice)]
		if w.stall > 0 {
			w.control.SetWriteDeadline(time.Now().Add(w.stall)) // a writer that knows none is a test's
			w.deadline = true
		}
		m, err := w.ResponseWriter.Write(part)
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

func (w *sealed) Flush() { w.control.Flush() }

// done sends what is left within the time of a slice. The next answer on the
// connection starts without a deadline.
func (w *sealed) done() {
	if w.deadline {
		w.control.Flush()
		w.control.SetWriteDeadline(time.Time{})
	}
}
