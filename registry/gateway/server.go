package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of connections. There is no limit on the time of an answer: a dataset
// takes as long as it takes. What stalls is cut off by the minimum rate of
// [Limits].
const (
	// headerTimeout is how long a client may take for a request's header, and
	// for the TLS handshake.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection may wait for its next request.
	idleTimeout = 2 * time.Minute
	// maxHeader bounds a request's header. Signed requests with a few hundred
	// bytes of each field stay far below; net/http allows 4 KiB more than this.
	maxHeader = 16 << 10
	// maxConnections bounds a listener's connections. Each costs a descriptor,
	// two goroutines' stacks and buffers: some 20 KiB.
	maxConnections = 4096
	// maxStreams bounds the requests that one HTTP/2 connection has open.
	maxStreams = 64
	// h2Idle is how long an HTTP/2 connection may be silent, or take nothing of
	// what is sent, until it is asked whether it lives, or closed.
	h2Idle = 30 * time.Second
	// drainTimeout is how long requests that are being answered may go on after
	// the server was told to stop.
	drainTimeout = 20 * time.Second
)

// ServerOptions are what a listener is served with. A zero field is its default.
type ServerOptions struct {
	// TLS, when set, is spoken on every connection, with HTTP/2 for those who
	// ask. Without it there is HTTP/1.1 alone: HTTP/2 in the clear is off.
	TLS *tls.Config
	// Connections bounds the open connections; default 4096. Those beyond wait
	// to be accepted.
	Connections int
	// MaxHeader bounds a request's header, in bytes; default 16 KiB. A longer
	// one is answered with 431.
	MaxHeader int
	// HeaderTimeout is the time for a request's header; default 10 s.
	HeaderTimeout time.Duration
	// Drain is how long running requests may go on after ctx ended; default 20 s.
	Drain time.Duration
	// Log is told what net/http has to say. Nil: nothing.
	Log *slog.Logger
}

func (o ServerOptions) filled() ServerOptions {
	o.Connections = orDefault(o.Connections, maxConnections)
	o.MaxHeader = orDefault(o.MaxHeader, maxHeader)
	o.HeaderTimeout = orDefault(o.HeaderTimeout, headerTimeout)
	o.Drain = orDefault(o.Drain, drainTimeout)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Serve answers requests on ln until ctx ends; then it takes no more
// connections, lets the running requests finish for at most o.Drain, cuts off
// those that are left, and returns nil. It closes ln.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, o ServerOptions) error {
	o = o.filled()
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    o.MaxHeader,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // strangers cause most of it
		TLSConfig:         o.TLS,
		Protocols:         new(http.Protocols),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: h2Idle, WriteByteTimeout: h2Idle},
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(o.TLS != nil)
	ln = netutil.LimitListener(ln, o.Connections)
	served := make(chan error, 1)
	go func() {
		if o.TLS != nil {
			served <- s.ServeTLS(ln, "", "")
		} else {
			served <- s.Serve(ln)
		}
	}()
	select {
	case err := <-served:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Drain)
	defer cancel()
	err := s.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		o.Log.WarnContext(ctx, "requests were cut off at shutdown")
		err = s.Close()
	}
	<-served
	return err
}
