// Package node puts blocks on the IPFS peer network, and fetches from it: a
// libp2p host that speaks bitswap over TCP, Noise and Yamux. Who can provide a
// CID is answered and asked by the Delegated Routing V1 HTTP API, and by the
// DHT when its bootstrap peers are named. Nothing here contacts anybody who was
// not named: no public bootstrap peer, relay, port mapping or local discovery.
//
// The peer network is an extra road to the same blocks. Every block that is
// fetched is hashed before it is handed out.
package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	// maxPeers bounds the peers that are named: they are dialled one by one.
	maxPeers = 256
	// dialTimeout is how long a named peer may take to answer.
	dialTimeout = 15 * time.Second
	// redial is the time between two looks at the named peers of a server.
	redial = time.Minute
)

// Options are the choices of a node. The zero value fetches only, as a peer
// that nobody can dial, with a key of its own.
type Options struct {
	// Key is the identity of the node: an Ed25519 key. nil makes a new one.
	// Peers see its public half, and can grant rights to it.
	Key sign.Signer
	// Listen are the multiaddresses to listen on, for example
	// /ip4/0.0.0.0/tcp/4001; TCP only. None: nobody can dial this node.
	Listen []string
	// Announce replaces the addresses that others are told, where the node
	// stands behind a translation of addresses.
	Announce []string

	// Blocks are served to peers. nil serves nothing.
	Blocks blocks.Reader
	// Allow is asked before a block is served to the peer with the identity id.
	// nil allows everything that Blocks has.
	Allow func(id sign.KeyID, c cid.Cid) bool

	// Peers are the multiaddresses, ending in /p2p/ID, to stay connected to.
	Peers []string
	// Bootstrap are peers of a DHT. None: the DHT is not joined.
	Bootstrap []string
	// Routers are the base URLs of servers that speak Delegated Routing V1. They
	// are asked who has a block that no connected peer has.
	Routers []string
	// Roots lists the CIDs to announce: the roots of datasets, not every block.
	// It is asked again each day, and by Reannounce. nil announces nothing.
	Roots func(context.Context) ([]cid.Cid, error)

	Log *slog.Logger // nil: none
}

// A Node is one peer. It is safe for concurrent use.
type Node struct {
	o       Options
	id      sign.KeyID
	host    host.Host
	bitswap *bitswap.Bitswap
	routing *routing
	stop    context.CancelFunc
	kept    chan struct{} // closed when keep has ended
}

// New starts a node. Codes: fault.Invalid for addresses, URLs and keys that are
// not what is asked for; fault.Conflict for an address that is taken. The peers
// that are named are dialled in the background.
func New(ctx context.Context, o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Key == nil {
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fault.Mark(fault.Internal, err)
		}
		o.Key = sign.NewEd25519(priv)
	}
	named, err := parsePeers(o.Peers)
	if err != nil {
		return nil, err
	}
	h, err := newHost(o)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{o: o, id: o.Key.ID(), host: h, stop: stop, kept: make(chan struct{})}
	if n.routing, err = newRouting(ctx, h, o); err != nil {
		stop()
		return nil, errors.Join(err, h.Close())
	}
	n.bitswap = bitswap.New(ctx, bsnet.NewFromIpfsHost(h), n.routing, served{o.Blocks}, exchangeOptions(o)...)
	go n.keep(ctx, named)
	return n, nil
}

// Close ends all connections. Fetches that go on fail.
func (n *Node) Close() error {
	n.stop()
	<-n.kept
	return errors.Join(n.bitswap.Close(), n.routing.Close(), n.host.Close())
}

// ID returns the identity of the node's key.
func (n *Node) ID() sign.KeyID { return n.id }

// PeerID returns the node's identity as the peer network writes it.
func (n *Node) PeerID() string { return n.host.ID().String() }

// Addrs returns the addresses under which the node can be dialled, each with
// /p2p/ and its ID. It is empty when it does not listen.
func (n *Node) Addrs() []string {
	addrs := n.addrs()
	full, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: addrs})
	if err != nil || len(addrs) == 0 {
		return nil
	}
	out := make([]string, len(full))
	for i, a := range full {
		out[i] = a.String()
	}
	return out
}

// addrs leaves out what others say that they saw of a node that does not listen.
func (n *Node) addrs() []multiaddr.Multiaddr {
	if len(n.o.Listen) == 0 {
		return nil
	}
	return n.host.Addrs()
}

// Connect dials a peer by its multiaddress, which ends in /p2p/ID. Codes:
// fault.Invalid for what is no such address, fault.Busy when the peer does not
// answer within 15 seconds, or is not who the address says.
func (n *Node) Connect(ctx context.Context, addr string) error {
	p, err := parsePeers([]string{addr})
	if err != nil {
		return err
	}
	return n.connect(ctx, p[0])
}

func (n *Node) connect(ctx context.Context, p peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := n.host.Connect(ctx, p); err != nil {
		return fault.New(fault.Busy, "the peer %s cannot be reached: %w", p.ID, err)
	}
	return nil
}

// keep stays connected to the named peers.
func (n *Node) keep(ctx context.Context, named []peer.AddrInfo) {
	defer close(n.kept)
	for {
		for _, p := range named {
			if err := n.connect(ctx, p); err != nil && ctx.Err() == nil {
				n.o.Log.Warn("a named peer does not answer", "peer", p.ID.String(), "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(redial):
		}
	}
}

// parsePeers reads multiaddresses that end in /p2p/ID.
func parsePeers(addrs []string) ([]peer.AddrInfo, error) {
	if len(addrs) > maxPeers {
		return nil, fault.New(fault.TooLarge, "%d peers; at most %d", len(addrs), maxPeers)
	}
	var all []multiaddr.Multiaddr
	for _, s := range addrs {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return nil, badPeer(s, err)
		}
		if _, err := peer.AddrInfoFromP2pAddr(a); err != nil {
			return nil, badPeer(s, err)
		}
		all = append(all, a)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(all...)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	return infos, nil
}

func badPeer(s string, err error) error {
	return fault.WithHint(fault.New(fault.Invalid, "%s is no address of a peer: %w", fault.Quote(s), err),
		"for example /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…")
}

func (n *Node) String() string { return fmt.Sprintf("peer %s", n.host.ID()) }
