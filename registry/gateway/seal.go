package gateway

import (
	"net/http"
	"strings"
)

// slice is how much of a file a request holds in memory.
const slice = 128 << 10

// A sealed writer is what every answer with somebody's data passes. Before the
// first byte it sees to it that nothing of it runs in this server's origin or
// leaves a cookie.
type sealed struct {
	http.ResponseWriter
	own     bool // the answer has an origin of its own
	private bool // not everybody would get the answer
	sent    bool // the headers were written
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
	if !w.sent && status >= 200 {
		w.sent = true
		h := w.Header()
		h.Del("Set-Cookie")
		if status >= 400 {
			drop(h)
			h.Set("Cache-Control", "no-store")
		}
		if w.private {
			h.Set("Cache-Control", privateCache)
			h.Add("Vary", privateVary)
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
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Flush sends what is buffered; boxo asks for the interface by name.
func (w *sealed) Flush() { w.FlushError() }

// FlushError sends what is buffered, and reports whether the connection took it.
func (w *sealed) FlushError() error {
	return http.NewResponseController(w.ResponseWriter).Flush()
}
