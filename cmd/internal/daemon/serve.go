package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/tlscert"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// gatewayOptions are what the config says of the gateway.
func (h *Home) gatewayOptions() (gateway.Options, error) {
	c := h.Config
	proxies, isUnix, err := prefixes("trustedProxies", c.TrustedProxies)
	if err != nil {
		return gateway.Options{}, err
	}
	exempt, _, err := prefixes("limits.exempt", c.Limits.Exempt)
	if err != nil {
		return gateway.Options{}, err
	}
	o := gateway.Options{
		Version: h.Version, Log: h.Log, Hosts: c.Gateway.Hosts,
		Front: gateway.FrontOptions{
			Limits:         limits(c.Limits, exempt),
			Proxies:        gateway.Proxies{Prefixes: proxies, Unix: isUnix},
			ReadOrigins:    c.CORS.Origins,
			TrustedOrigins: c.CORS.TrustedOrigins,
			AccessLog:      h.AccessLog,
		},
	}
	if len(c.Write.URLs) > 0 {
		o.URL = c.Write.URLs[0]
	}
	if err := h.openAuth(); err != nil {
		return o, err
	}
	o.Front.Auth = h.known
	o.Front.Caller = callerName
	if c.Gateway.Denylist != "" {
		o.Denylist = inHome(h.Dir, c.Gateway.Denylist)
	}
	return o, nil
}

// limits says in the gateway's words what the config says: there 0 is the
// default, and a negative number no limit.
func limits(c config.Limits, exempt []netip.Prefix) gateway.Limits {
	return gateway.Limits{
		Running: orNone(c.Requests), RunningPerAddress: orNone(c.RequestsPerAddress),
		PerAddress:      gateway.Rate{PerSecond: orNone(c.RatePerAddress), Burst: c.BurstPerAddress},
		PerKey:          gateway.Rate{PerSecond: orNone(c.RatePerKey), Burst: c.BurstPerKey},
		BytesPerAddress: orNone(int64(c.BytesPerAddress)),
		Exempt:          exempt, Clients: c.Clients,
		Body: int64(c.Body), URL: int(c.URL),
		MinRate: orNone(int64(c.MinRate)), Grace: c.Grace.Std(),
	}
}

func orNone[T int | int64 | float64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// OpenAccessLog returns the log of requests that the config asks for: nil for
// none, other for standard error in the form of the program's own log. Close it
// when nothing is served any more.
func OpenAccessLog(dir string, c config.AccessLog, other *slog.Logger) (log *slog.Logger, closeLog func() error, err error) {
	nothing := func() error { return nil }
	if c.Format == "off" {
		return nil, nothing, nil
	}
	w := os.Stderr
	if c.File != "" {
		if w, err = appendLog(dir, c.File); err != nil {
			return nil, nil, fault.New(fault.Invalid, "accessLog.file: %w", err)
		}
		nothing = w.Close
	} else if c.Format == "text" {
		return other, nothing, nil
	}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, nil)), nothing, nil
	}
	return slog.New(slog.NewTextHandler(w, nil)), nothing, nil
}

// RebuildOverlap makes the index of overlap anew, and returns how many datasets
// have something to compare.
func (h *Home) RebuildOverlap(ctx context.Context) (int, error) {
	g, err := h.gateway(ctx)
	if err != nil {
		return 0, err
	}
	return g.Overlap().Rebuild(ctx)
}

// Serve answers requests until ctx ends: strangers on the addresses of the
// config's listen; operators on admin.listen; the owner of the home
// on its socket. Strangers write when the config's write says so. ready is called with the base URLs, in the order of listen,
// and the multiaddresses for IPFS peers, once all accept connections. Files are served, beside blocks and CARs, on the
// origins of gateway.hosts, and on loopback addresses that no proxy passes on. A home without a log is fault.NotFound, an
// address that is taken fault.Conflict.
//
// When ctx ends, /readyz answers 503 at once. After shutdown.delay no more
// connections are taken; running requests get shutdown.drain to end. Admin
// listeners and the socket go last.
func (h *Home) Serve(ctx context.Context, ready func(urls []string) error) error {
	g, err := h.gateway(ctx)
	if err != nil {
		return err
	}
	uploads, err := h.uploads(g)
	if err != nil {
		return err
	}
	defer uploads.Close()
	if err := h.openHub(g, uploads); err != nil {
		return err
	}
	counting, err := h.openFetches(g)
	if err != nil {
		return err
	}
	if counting != nil {
		defer counting.Close()
	}
	peer, err := h.startPeer(ctx, g)
	if err != nil {
		return err
	}
	if peer != nil {
		defer peer.Close()
	}
	if h.asks() {
		// Nobody can connect while signatures made now are refused: who tries signs
		// again, and is not told that the key is wrong.
		if err := pause(ctx, time.Until(h.auth.Begins())); err != nil {
			return nil // told to stop before it began
		}
	}

	var s server
	defer s.close()
	if err := s.open(h); err != nil {
		return err
	}
	defer os.Remove(SocketPath(h.Dir))

	// Three ends: ctx tells that it is time, public stops the strangers'
	// listeners, inside those of operators and owner.
	public, stopPublic := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPublic()
	inside, stopInside := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInside()
	strangers, insiders := new(errgroup.Group), new(errgroup.Group)
	failed := make(chan struct{}, len(s.public)+len(s.admin)+1)
	serve := func(ctx context.Context, group *errgroup.Group, ln net.Listener, handler http.Handler, tc *tls.Config) {
		o := gateway.ServerOptions{
			TLS: tc, Connections: connections(h.Config.Limits.Connections, len(s.public)),
			MaxHeader: int(h.Config.Limits.Header), Drain: max(h.Config.Shutdown.Drain.Std(), time.Millisecond), Log: h.Log,
		}
		group.Go(func() error {
			err := gateway.Serve(ctx, ln, handler, o)
			if err != nil {
				failed <- struct{}{}
			}
			return err
		})
	}
	handlers := map[bool]http.Handler{} // by whether files are served
	for _, ln := range s.public {
		files := ownMachine(ln) && len(h.Config.TrustedProxies) == 0
		if handlers[files] == nil {
			handlers[files] = g.Public(files)
		}
		serve(public, strangers, ln, handlers[files], s.tlsFor(ln))
	}
	for _, ln := range s.admin {
		serve(inside, insiders, ln, g.Admin(h.Config.Admin.Pprof), nil)
	}
	serve(inside, insiders, s.socket, h.private, nil)
	insiders.Go(func() error { g.Watch(inside); return nil })
	insiders.Go(func() error { return uploads.Run(inside) })
	if counting != nil {
		insiders.Go(func() error { return counting.Run(inside) })
	}

	listening := s.urls()
	if peer != nil {
		listening = append(listening, peer.Addrs()...)
	}
	err = ready(listening)
	if err == nil {
		select {
		case <-ctx.Done():
			g.Drain()
			h.Log.Info("stopping", "delay", h.Config.Shutdown.Delay.Std(), "drain", h.Config.Shutdown.Drain.Std())
			wait(h.Config.Shutdown.Delay.Std(), failed)
		case <-failed:
		}
	}
	stopPublic()
	err = errors.Join(err, strangers.Wait())
	stopInside()
	return errors.Join(err, insiders.Wait())
}

// wait waits for d, or until a server failed.
func wait(d time.Duration, failed <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-failed:
	}
}

// A server is what Serve listens on.
type server struct {
	public, admin []net.Listener
	socket        net.Listener
	tls           *tls.Config
	certificates  func() // ends their renewal; nil: there is none
}

func (s *server) open(h *Home) error {
	c := h.Config
	for _, a := range c.Listen {
		ln, err := listenOn(a, 0o666)
		if err != nil {
			return err
		}
		s.public = append(s.public, ln)
	}
	for _, a := range c.Admin.Listen {
		ln, err := listenOn(a, 0o600)
		if err != nil {
			return err
		}
		s.admin = append(s.admin, ln)
		if !local(ln) && !c.Admin.Public {
			return fault.WithHint(fault.New(fault.Denied, "admin.listen %s is reachable from other machines, without authentication", fault.Quote(a)),
				"listen on 127.0.0.1 or unix:PATH, or set admin.public to true")
		}
	}
	if err := s.openTLS(h); err != nil {
		return err
	}
	for _, ln := range s.public {
		if !local(ln) && s.tls == nil {
			h.Log.Warn("listening beyond this machine without TLS", "address", ln.Addr().String())
		}
	}
	var err error
	s.socket, err = listenSocket(h.Dir)
	return err
}

func (s *server) openTLS(h *Home) (err error) {
	c := h.Config.TLS
	switch {
	case c.CertFile != "":
		s.tls, err = tlscert.Files(inHome(h.Dir, c.CertFile), inHome(h.Dir, c.KeyFile), func(err error) {
			h.Log.Error("the TLS certificate was not read again; the one before stays in use", "error", err)
		})
	case len(c.ACME.Domains) > 0:
		var stop func()
		s.tls, stop, err = tlscert.ACME(tlscert.ACMEOptions{
			Domains: c.ACME.Domains, Email: c.ACME.Email, Directory: c.ACME.Directory, Cache: inHome(h.Dir, c.ACME.Cache), Port: s.port(), Log: h.Log,
		})
		if err == nil {
			s.certificates = stop
		}
	}
	return err
}

// port is the first TCP port that strangers reach.
func (s *server) port() int {
	for _, ln := range s.public {
		if a, ok := ln.Addr().(*net.TCPAddr); ok {
			return a.Port
		}
	}
	return 0
}

// tlsFor returns the TLS of a listener: none on unix sockets, where a proxy of
// this machine connects.
func (s *server) tlsFor(ln net.Listener) *tls.Config {
	if _, ok := ln.Addr().(*net.TCPAddr); !ok {
		return nil
	}
	return s.tls
}

func (s *server) urls() []string {
	var urls []string
	for _, ln := range s.public {
		urls = append(urls, baseURL(ln, s.tlsFor(ln) != nil))
	}
	return urls
}

// close closes what open opened, as far as it came.
func (s *server) close() {
	if s.certificates != nil {
		s.certificates()
	}
	for _, ln := range append(s.public, s.admin...) {
		ln.Close()
	}
	if s.socket != nil {
		s.socket.Close()
	}
}

// inHome is a path of the config: relative ones begin at the home.
func inHome(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
