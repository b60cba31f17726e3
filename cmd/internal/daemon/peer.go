package daemon

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest/node"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/index"
)

// peerKey is the name in the key ring of a home's identity in the peer network.
// It signs handshakes only: no statement, no checkpoint.
const peerKey = "peer"

// startPeer puts the home's blocks on the peer network, when the config says so,
// and lets g tell who asks how to reach it; else it returns nil. The identity is
// the key "peer" of the home, made when it is not there.
func (h *Home) startPeer(ctx context.Context, g *gateway.Gateway) (*node.Node, error) {
	c := h.Config.P2P
	if !c.Enabled {
		return nil, nil
	}
	o := node.Options{Listen: c.Listen, Announce: c.Announce, Peers: c.Peers, Bootstrap: c.Bootstrap}
	reg, err := h.Registry(ctx)
	if err != nil {
		return nil, err
	}
	store, err := h.Store()
	if err != nil {
		return nil, err
	}
	ring := keyring.Open(h.Dir)
	o.Key, err = ring.Load(peerKey, nil)
	if errors.Is(err, fault.NotFound) {
		if _, err = ring.Create(peerKey, keyring.Ed25519, nil); err == nil {
			o.Key, err = ring.Load(peerKey, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	// Every space is read, and each block given out only to who may have it.
	o.Blocks, o.Allow, o.Log = lazyStore{h}, g.PeerAllow(h.access), h.Log
	o.Roots = func(ctx context.Context) (roots []cid.Cid, err error) {
		err = reg.View(func(s *index.Snapshot) error {
			for q := (index.Query{Latest: true}); ; {
				page, err := s.List(q)
				if err != nil {
					return err
				}
				for _, d := range page.Datasets {
					if d.Withdrawn != nil {
						continue
					}
					// Nobody is told of what lies in a gated space alone.
					if _, err := store.Store.Size(ctx, d.Root.Cid); err == nil {
						roots = append(roots, d.Root.Cid)
					}
				}
				if q.After = page.Next; q.After == 0 {
					return nil
				}
			}
		})
		return roots, err
	}
	n, err := node.New(ctx, o)
	if err != nil {
		return nil, err
	}
	g.TakeRouting(n.RoutingHandler(func(ctx context.Context, c cid.Cid) bool {
		_, err := store.Store.Size(ctx, c)
		return err == nil
	}, g.Registerer()))
	return n, nil
}
