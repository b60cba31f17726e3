package client

import (
	"io"
	"net/http"
	"sync"
)

// InProcess returns a transport whose server is a handler in this process:
// requests and answers take the road of the network without one. Bodies are
// streamed. A handler that panics with http.ErrAbortHandler cuts the answer off.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

type inProcess struct{ h http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	r.RequestURI = r.URL.RequestURI()
	r.Host = r.URL.Host
	r.RemoteAddr = "in-process"
	if r.Body == nil {
		r.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &pipeWriter{header: make(http.Header), pw: pw, ready: make(chan struct{})}
	go func() {
		var failed error
		defer func() {
			if p := recover(); p != nil {
				failed = io.ErrUnexpectedEOF
				if p != http.ErrAbortHandler {
					failed = errPanic
				}
			}
			r.Body.Close()
			w.WriteHeader(http.StatusOK)
			pw.CloseWithError(failed) // nil closes with EOF
		}()
		t.h.ServeHTTP(w, r)
	}()
	select {
	case <-w.ready:
	case <-req.Context().Done():
		pr.CloseWithError(req.Context().Err())
		return nil, req.Context().Err()
	}
	return &http.Response{
		Status:        http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		Body:          pr,
		ContentLength: -1,
		Request:       req,
	}, nil
}

type panicError struct{}

func (panicError) Error() string { return "the handler panicked" }

var errPanic = panicError{}

// pipeWriter is the handler's side of the answer.
type pipeWriter struct {
	header http.Header
	pw     *io.PipeWriter

	once   sync.Once
	ready  chan struct{}
	status int
	sent   http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		return
	}
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.ready)
	})
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pw.Write(p)
}

// Flush does nothing: every write arrives at once.
func (w *pipeWriter) Flush() {}
