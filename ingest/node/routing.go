package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	delegated "github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/contentrouter"
	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	core "github.com/libp2p/go-libp2p/core/routing"
	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	maxRouters      = 8
	maxRouterAnswer = 1 << 20 // some thousand providers
	// routerTimeout is how long a router may think about one CID.
	routerTimeout = 20 * time.Second
	// lookRoots is the time between two looks at the list of roots, announceEvery
	// that between two announcements of one root: a record of the DHT lives two days.
	// Where one failed, as all do before the DHT has answered, the next look is soon.
	lookRoots     = 10 * time.Minute
	lookSoon      = 5 * time.Second
	announceEvery = 22 * time.Hour
	// announceTimeout bounds one announcement: the DHT asks dozens of peers.
	announceTimeout = 2 * time.Minute
	announcing      = 8 // roots that are announced at a time
)

// routing finds who can provide a block, and tells others what is here.
type routing struct {
	finders []core.ContentDiscovery
	dht     *dht.IpfsDHT // nil when it is not joined
	roots   func(context.Context) ([]cid.Cid, error)
	log     *slog.Logger
	now     chan struct{} // a reason to look at the roots at once
	done    chan struct{}
}

func newRouting(ctx context.Context, h host.Host, o Options) (*routing, error) {
	r := &routing{roots: o.Roots, log: o.Log, now: make(chan struct{}, 1), done: make(chan struct{})}
	if len(o.Routers) > maxRouters {
		return nil, fault.New(fault.TooLarge, "%d routers; at most %d", len(o.Routers), maxRouters)
	}
	for _, url := range o.Routers {
		c, err := delegated.New(url, delegated.WithHTTPClient(&http.Client{Timeout: routerTimeout, Transport: &delegated.ResponseBodyLimitedTransport{
			RoundTripper: http.DefaultTransport, LimitBytes: maxRouterAnswer, UserAgent: "cairn",
		}}))
		if err != nil {
			return nil, fault.WithHint(fault.New(fault.Invalid, "%s is no URL of a router: %w", fault.Quote(url), err), "the base URL of a server that answers /routing/v1")
		}
		r.finders = append(r.finders, contentrouter.NewContentRoutingClient(c))
	}
	if len(o.Bootstrap) == 0 {
		close(r.done)
		return r, nil
	}
	peers, err := parsePeers(o.Bootstrap)
	if err != nil {
		return nil, err
	}
	r.dht, err = dht.New(h, dht.Mode(dht.ModeAutoServer), dht.BootstrapPeers(peers...))
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	if err := r.dht.Bootstrap(ctx); err != nil {
		return nil, errors.Join(fault.Mark(fault.Internal, err), r.dht.Close())
	}
	r.finders = append(r.finders, r.dht)
	go r.announce(ctx)
	return r, nil
}

// Close leaves the DHT. The context of newRouting must have ended.
func (r *routing) Close() error {
	<-r.done
	if r.dht == nil {
		return nil
	}
	return r.dht.Close()
}

// FindProvidersAsync asks all routers at once, and the DHT, for at most count
// peers that have c; 0 is all they know. It ends with ctx.
func (r *routing) FindProvidersAsync(ctx context.Context, c cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	var asked sync.WaitGroup
	for _, f := range r.finders {
		asked.Go(func() {
			for p := range f.FindProvidersAsync(ctx, c, count) {
				if identityOf(p.ID) == "" {
					continue
				}
				select {
				case out <- p:
				case <-ctx.Done():
				}
			}
		})
	}
	go func() { asked.Wait(); close(out) }()
	return out
}

// Reannounce looks at the list of roots now, and announces those that are new.
func (n *Node) Reannounce() {
	select {
	case n.routing.now <- struct{}{}:
	default:
	}
}

// announce tells the DHT of each root when it is new, and again each 22 hours.
func (r *routing) announce(ctx context.Context) {
	defer close(r.done)
	if r.roots == nil {
		return
	}
	said := make(map[cid.Cid]time.Time)
	for {
		pause := lookRoots
		if err := r.announceOnce(ctx, said); err != nil && ctx.Err() == nil {
			pause = lookSoon
			r.log.Warn("announcing to the DHT", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.now:
		case <-time.After(pause):
		}
	}
}

func (r *routing) announceOnce(ctx context.Context, said map[cid.Cid]time.Time) error {
	roots, err := r.roots(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	var due []cid.Cid
	kept := make(map[cid.Cid]bool, len(roots))
	for _, c := range roots {
		kept[c] = true
		if now.Sub(said[c]) >= announceEvery {
			due = append(due, c)
		}
	}
	for c := range said {
		if !kept[c] {
			delete(said, c)
		}
	}
	var mu sync.Mutex
	var failed error
	var group errgroup.Group
	group.SetLimit(announcing)
	for _, c := range due {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, announceTimeout)
			defer cancel()
			err := r.dht.Provide(ctx, c, true)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				said[c] = now
			} else {
				failed = err // the others may work, and this one is tried again
			}
			return nil
		})
	}
	group.Wait()
	return failed
}
