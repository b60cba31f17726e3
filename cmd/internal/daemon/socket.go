package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// gateway opens store and registry and returns the gateway over them, once.
func (h *Home) gateway(ctx context.Context) (*gateway.Gateway, error) {
	reg, err := h.Registry(ctx)
	if err != nil {
		return nil, err
	}
	store, err := h.Store()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.front == nil {
		o, err := h.gatewayOptions()
		if err != nil {
			return nil, err
		}
		if h.front, err = gateway.New(reg, store, o); err != nil {
			return nil, err
		}
		h.private = h.front.Private()
	}
	return h.front, nil
}

// handler is what the home's own commands talk to when no server runs: the
// same handler that a server has on its socket.
func (h *Home) handler(ctx context.Context) (http.Handler, error) {
	if _, err := h.gateway(ctx); err != nil {
		return nil, err
	}
	return h.private, nil
}

// lazyStore opens the store when the first block is asked for. It is the owner's:
// every space is open.
type lazyStore struct{ h *Home }

func (l lazyStore) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	s, err := l.h.Store()
	if err != nil {
		return nil, err
	}
	return s.All().Block(ctx, c)
}

func (l lazyStore) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	s, err := l.h.Store()
	if err != nil {
		return 0, err
	}
	return s.All().Size(ctx, c)
}

// maxSocketPath is what every system takes as the path of a socket.
const maxSocketPath = 100

// socketAddr returns a path to the home's socket that is short enough for the
// system, and a function to call once it has been used.
func socketAddr(dir string) (string, func(), error) {
	path := SocketPath(dir)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fault.WithHint(fault.New(fault.Invalid, "the path of the home is too long for a socket: %s", dir), "use a shorter --home")
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), filepath.Base(path)), func() { d.Close() }, nil
}

// listenSocket listens on the home's socket. One that is left from a server
// that was killed is removed: the home's lock says that nobody listens there.
func listenSocket(dir string) (net.Listener, error) {
	if err := os.Remove(SocketPath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	path, done, err := socketAddr(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on the home's socket: %w", err)
	}
	// The path that it was bound by may be gone by the time it closes.
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(SocketPath(dir), 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}
