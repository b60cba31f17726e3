package node

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	conns "github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Limits of what strangers can make a node hold.
const (
	// memory bounds the buffers of all connections and streams together.
	memory = 128 << 20
	// descriptors bounds the sockets: the log and the packs need the others.
	descriptors = 512
	// streamsPerPeer leaves room for the few protocols that are spoken here.
	streamsPerPeer = 64
	// lowConns and highConns are where trimming of idle connections ends, and
	// where it begins.
	lowConns, highConns = 128, 192
	maxAddrs            = 32 // addresses to listen on, or to announce
)

// newHost makes a libp2p host of the few parts that are needed. The library's
// own constructor would link QUIC, WebRTC and WebTransport, which are not used.
func newHost(o Options) (host.Host, error) {
	key, err := newIdentity(o.Key)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPublicKey(key.GetPublic())
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	listen, err := multiaddrs("listen on", o.Listen)
	if err != nil {
		return nil, err
	}
	announce, err := multiaddrs("announce", o.Announce)
	if err != nil {
		return nil, err
	}
	s, err := newSwarm(id, key)
	if err != nil {
		return nil, err
	}
	if len(listen) > 0 {
		if err := s.Listen(listen...); err != nil {
			return nil, errors.Join(fault.New(fault.Conflict, "listening for peers: %w", err), s.Close())
		}
	}
	manager, err := conns.NewConnManager(lowConns, highConns)
	if err != nil {
		return nil, errors.Join(fault.Mark(fault.Internal, err), s.Close())
	}
	opts := &basichost.HostOpts{ConnManager: manager, UserAgent: "cairn", EnablePing: true}
	if len(announce) > 0 {
		opts.AddrsFactory = func([]multiaddr.Multiaddr) []multiaddr.Multiaddr { return announce }
	}
	h, err := basichost.NewHost(s, opts)
	if err != nil {
		return nil, errors.Join(fault.Mark(fault.Internal, err), s.Close())
	}
	h.Start()
	return h, nil
}

// newSwarm returns the connections of a host: TCP, secured by Noise, shared by Yamux.
func newSwarm(id peer.ID, key crypto.PrivKey) (*swarm.Swarm, error) {
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(resourceLimits()), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	if err := errors.Join(store.AddPubKey(id, key.GetPublic()), store.AddPrivKey(id, key)); err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	s, err := swarm.NewSwarm(id, store, eventbus.NewBus(), swarm.WithResourceManager(limits), swarm.WithConnectionGater(onlyEd25519{}))
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	security, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return nil, errors.Join(fault.Mark(fault.Internal, err), s.Close())
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, limits, onlyEd25519{})
	if err != nil {
		return nil, errors.Join(fault.Mark(fault.Internal, err), s.Close())
	}
	transport, err := tcp.NewTCPTransport(up, limits, nil, tcp.DisableReuseport())
	if err != nil {
		return nil, errors.Join(fault.Mark(fault.Internal, err), s.Close())
	}
	if err := s.AddTransport(transport); err != nil {
		return nil, errors.Join(fault.Mark(fault.Internal, err), s.Close())
	}
	return s, nil
}

// resourceLimits are the library's proportions below our totals.
func resourceLimits() rcmgr.ConcreteLimitConfig {
	limits := rcmgr.DefaultLimits.Scale(memory, descriptors)
	return rcmgr.PartialLimitConfig{
		System:      rcmgr.ResourceLimits{Memory: memory, FD: descriptors},
		PeerDefault: rcmgr.ResourceLimits{Streams: streamsPerPeer, StreamsInbound: streamsPerPeer, Memory: memory / 8},
	}.Build(limits)
}

func multiaddrs(what string, list []string) ([]multiaddr.Multiaddr, error) {
	if len(list) > maxAddrs {
		return nil, fault.New(fault.TooLarge, "%d addresses to %s; at most %d", len(list), what, maxAddrs)
	}
	var out []multiaddr.Multiaddr
	for _, s := range list {
		a, err := multiaddr.NewMultiaddr(s)
		if err == nil {
			_, err = a.ValueForProtocol(multiaddr.P_TCP)
		}
		if err != nil {
			return nil, fault.WithHint(fault.New(fault.Invalid, "%s is no address to %s: %w", fault.Quote(s), what, err), "for example /ip4/0.0.0.0/tcp/4001")
		}
		out = append(out, a)
	}
	return out, nil
}

// onlyEd25519 refuses peers with other keys: they are all that Kubo and Helia
// make, and large RSA keys cost their verifier more than their owner.
type onlyEd25519 struct{}

var _ connmgr.ConnectionGater = onlyEd25519{}

func (onlyEd25519) InterceptPeerDial(p peer.ID) bool                                { return identityOf(p) != "" }
func (onlyEd25519) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool             { return true }
func (onlyEd25519) InterceptAccept(network.ConnMultiaddrs) bool                     { return true }
func (onlyEd25519) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
func (onlyEd25519) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return identityOf(p) != ""
}

// identityOf returns the identity behind a peer ID, "" when its key is not Ed25519.
func identityOf(p peer.ID) sign.KeyID {
	pub, err := p.ExtractPublicKey()
	if err != nil || pub.Type() != pb.KeyType_Ed25519 {
		return ""
	}
	raw, err := pub.Raw()
	if err != nil {
		return ""
	}
	k, err := sign.PublicKeyOf(ed25519.PublicKey(raw))
	if err != nil {
		return ""
	}
	return k.ID()
}

// identity is a signer in the library's clothes. Its private half stays where it is.
type identity struct {
	signer sign.Signer
	public crypto.PubKey
}

func newIdentity(s sign.Signer) (crypto.PrivKey, error) {
	raw, ok := s.ID().Ed25519()
	if !ok {
		return nil, fault.WithHint(fault.New(fault.Invalid, "%s is no Ed25519 key", s.ID()), "peers are known by Ed25519 keys; make one with: cairn key new")
	}
	p, err := crypto.UnmarshalEd25519PublicKey(raw)
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	return identity{s, p}, nil
}

func (k identity) Equals(other crypto.Key) bool {
	o, ok := other.(identity)
	return ok && o.public.Equals(k.public)
}
func (k identity) Raw() ([]byte, error) {
	return nil, fmt.Errorf("a key's private half is not given away")
}
func (k identity) Type() pb.KeyType                { return pb.KeyType_Ed25519 }
func (k identity) Sign(msg []byte) ([]byte, error) { return k.signer.Sign(msg) }
func (k identity) GetPublic() crypto.PubKey        { return k.public }
