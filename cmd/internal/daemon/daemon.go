// Package daemon opens a home folder and joins its parts: the lock, the block
// store, the registry, the HTTP handlers, the socket. One process owns a home
// at a time. A command either owns it for its own duration, or talks to the
// server that does; a [Conn] hides the difference, because both sides are the
// same handlers.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/access"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// folders are what a home consists of, below its own path.
var folders = []string{"", "keys", "blocks", "trust", "outbox", "cache"}

// Options are what a home is opened with.
type Options struct {
	Config  config.Config
	Log     *slog.Logger
	Version string // of the program, told to whoever asks
	// AccessLog gets a line per request of a server; nil: none.
	AccessLog *slog.Logger
	// Probe, when set, reads an index that was not closed cleanly in a child
	// process: a damaged table can end the process that maps it.
	Probe func(dir, origin string) error
}

// A Home is a home folder that this process owns.
type Home struct {
	Dir string
	Options

	lock *os.File

	mu      sync.Mutex
	store   *spaces.Store
	reg     *registry.Registry
	front   *gateway.Gateway
	private http.Handler
	auth    *auth.Auth
	access  *access.Access
}

// Acquire takes the home's lock, making the folders if they are missing. When
// another process holds it Acquire returns an error marked fault.Busy at once.
func Acquire(dir string, o Options) (*Home, error) {
	for _, name := range folders {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	f, err := lock(dir)
	if errors.Is(err, errLocked) {
		return nil, fault.Mark(fault.Busy, err)
	}
	if err != nil {
		return nil, err
	}
	return &Home{Dir: dir, Options: o, lock: f}, nil
}

// Store opens the block store, once: the public space and the gated ones.
func (h *Home) Store() (*spaces.Store, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.openStore()
}

func (h *Home) openStore() (*spaces.Store, error) {
	if h.store != nil {
		return h.store, nil
	}
	o := pack.Options{Log: h.Log, Verify: pack.Always}
	if h.Config.Verify == "once" {
		o.Verify = pack.Once
	}
	s, err := spaces.Open(filepath.Join(h.Dir, "blocks"), o)
	if err != nil {
		return nil, fmt.Errorf("opening the block store: %w", err)
	}
	h.store = s
	return s, nil
}

// Registry opens the registry, once. A home without a log is fault.NotFound.
func (h *Home) Registry(ctx context.Context) (*registry.Registry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reg != nil {
		return h.reg, nil
	}
	if !HasLog(h.Dir) {
		return nil, noLog(h.Dir)
	}
	if exists(filepath.Join(h.Dir, creatingFile)) {
		err := h.finishCreate(ctx)
		return h.reg, err
	}
	cfg, err := h.registryConfig()
	if err != nil {
		return nil, err
	}
	r, err := registry.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the registry: %w", err)
	}
	h.reg = r
	return r, nil
}

func (h *Home) registryConfig() (registry.Config, error) {
	store, err := h.openStore()
	if err != nil {
		return registry.Config{}, err
	}
	signer, vkey, err := loadLogKey(h.Dir, "", false)
	if err != nil {
		return registry.Config{}, fmt.Errorf("the log key: %w", err)
	}
	var probe func(string) error
	if h.Probe != nil {
		probe = func(dir string) error { return h.Probe(dir, signer.Name()) }
	}
	return registry.Config{
		Probe:       probe,
		Dir:         h.Dir,
		Blocks:      store.Store, // what everybody may read
		Space:       func(terms cid.Cid) unixfs.Blocks { return store.Strict(terms) },
		VKey:        vkey,
		Signer:      signer,
		Interval:    time.Duration(h.Config.CheckpointInterval),
		TermsPolicy: h.Config.TermsPolicy,
		Log:         h.Log,
	}, nil
}

// creatingFile holds the envelope of entry 0 from before the log is made until
// entry 0 is in it, so that a creation which was cut short is completed with
// the same bytes.
const creatingFile = "trust/creating.dsse.json"

// HasLog reports whether a log was ever made in this home, whatever is left
// of it: a home that has lost half of it must refuse, not start anew.
func HasLog(dir string) bool {
	return exists(filepath.Join(dir, VKeyFile)) || exists(filepath.Join(dir, "log")) || exists(filepath.Join(dir, creatingFile))
}

// HasBlocks reports whether this home has a block store.
func HasBlocks(dir string) bool { return exists(filepath.Join(dir, "blocks", "packs")) }

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// Create makes the log of this home, with the envelope that seal returns as
// its entry 0: a registry/v1 statement for the given origin and verifier key.
// A creation that was cut short is completed. A home that has a log already is
// left alone; when its origin is another one, that is fault.Conflict.
func (h *Home) Create(ctx context.Context, origin string, seal func(origin, vkey string) ([]byte, error)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	creating := filepath.Join(h.Dir, creatingFile)
	if HasLog(h.Dir) {
		if _, _, err := loadLogKey(h.Dir, origin, false); err != nil || !exists(creating) {
			return err
		}
		return h.finishCreate(ctx)
	}
	if err := writeOnce(filepath.Join(h.Dir, config.FileName), []byte(config.Template())); err != nil {
		return err
	}
	signer, vkey, err := loadLogKey(h.Dir, origin, true)
	if err != nil {
		return err
	}
	envelope, err := seal(signer.Name(), vkey)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(creating, envelope, 0o600); err != nil {
		return err
	}
	return h.finishCreate(ctx)
}

func (h *Home) finishCreate(ctx context.Context) error {
	creating := filepath.Join(h.Dir, creatingFile)
	envelope, err := os.ReadFile(creating)
	if err != nil {
		return err
	}
	cfg, err := h.registryConfig()
	if err != nil {
		return err
	}
	if h.reg, err = registry.Create(ctx, cfg, envelope); err != nil {
		h.reg = nil
		return fmt.Errorf("making the registry: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(h.Dir, VKeyFile), []byte(cfg.VKey+"\n"), 0o644); err != nil {
		return err
	}
	if err := os.Remove(creating); err != nil {
		return err
	}
	return durable.Sync(filepath.Dir(creating))
}

// CheckLog checks the log's files as they lie on disk, before anything opens
// them: opening mends what a crash may leave, and refuses a tree that is not
// the one that was signed. What does not hold is returned.
func (h *Home) CheckLog(ctx context.Context) ([]proof.Finding, error) {
	vkey, err := VKey(h.Dir)
	if err != nil {
		return nil, err
	}
	return registry.CheckFiles(ctx, h.Dir, vkey)
}

// Rebuild deletes the registry's index and replays the log into a new one. It
// must be called before anything else opened the registry.
func (h *Home) Rebuild(ctx context.Context, progress func(done, total uint64)) (applied uint64, digest [32]byte, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reg != nil {
		return 0, digest, fault.New(fault.Internal, "the registry is open")
	}
	cfg, err := h.registryConfig()
	if err != nil {
		return 0, digest, err
	}
	return registry.Rebuild(ctx, cfg, progress)
}

func writeOnce(name string, b []byte) error {
	if exists(name) {
		return nil
	}
	return durable.WriteFile(name, b, 0o600)
}

// Close closes what was opened, in the order of the flow, and gives the home free.
func (h *Home) Close(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	if h.front != nil {
		errs = append(errs, h.front.Overlap().Close())
		h.front = nil
	}
	if h.access != nil {
		errs = append(errs, h.access.Close())
		h.access = nil
	}
	if h.reg != nil {
		errs = append(errs, h.reg.Close(ctx))
		h.reg = nil
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
		h.store = nil
	}
	errs = append(errs, h.lock.Close())
	return errors.Join(errs...)
}

// A Conn is a way to a registry: its API and its blocks.
type Conn struct {
	API    *client.Client
	Blocks unixfs.Blocks

	// Home is set when this process owns the home; nil when a server does.
	Home *Home
	// Dir is the home folder.
	Dir string

	transport http.RoundTripper
}

// Connect opens the home in dir: by itself when it is free, else through the
// socket of the server that owns it. It waits for at most ten seconds for a
// home that is held by something else, then returns fault.Busy.
func Connect(ctx context.Context, dir string, o Options) (*Conn, error) {
	deadline := time.Now().Add(lockWait)
	for {
		h, err := Acquire(dir, o)
		if err == nil {
			return h.connect()
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
		if c, err := dial(ctx, dir); err == nil {
			return c, nil
		}
		if time.Now().After(deadline) {
			return nil, fault.WithHint(fault.New(fault.Busy, "the home %s is held by another process that does not answer", dir),
				"wait for it to end, or use another --home")
		}
		if err := pause(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// connect makes a Conn whose server is this process.
func (h *Home) connect() (*Conn, error) {
	rt := client.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, err := h.handler(r.Context())
		if err != nil {
			gateway.Problem(w, r, h.Log, err)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	return &Conn{API: client.New("http://home", rt), Blocks: lazyStore{h}, Home: h, Dir: h.Dir, transport: rt}, nil
}

// dial makes a Conn over the socket of the server that owns the home.
func dial(ctx context.Context, dir string) (*Conn, error) {
	rt := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			path, done, err := socketAddr(dir)
			if err != nil {
				return nil, err
			}
			defer done()
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     time.Minute,
	}
	c := &Conn{API: client.New("http://home", rt), Dir: dir, transport: rt}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.API.Status(ctx); err != nil {
		rt.CloseIdleConnections()
		return nil, err
	}
	var err error
	c.Blocks, err = remote.New("http://home", remote.Options{Transport: rt})
	return c, err
}

// SocketPath is where a server of the home listens for its owner.
func SocketPath(dir string) string { return filepath.Join(dir, "cairn.sock") }

// Transport is how HTTP requests reach the registry, for readers of evidence.
func (c *Conn) Transport() http.RoundTripper { return c.transport }

// Close gives the home free, or closes the connection.
func (c *Conn) Close(ctx context.Context) error {
	if c.Home != nil {
		return c.Home.Close(ctx)
	}
	if t, ok := c.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Outbox returns the outbox of the home.
func (c *Conn) Outbox() Outbox { return Outbox{filepath.Join(c.Dir, "outbox")} }
