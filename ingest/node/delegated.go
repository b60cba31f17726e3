package node

import (
	"context"
	"net/http"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/routing/http/server"
	"github.com/ipfs/boxo/routing/http/types"
	"github.com/ipfs/boxo/routing/http/types/iter"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	core "github.com/libp2p/go-libp2p/core/routing"
	"github.com/prometheus/client_golang/prometheus"
)

// RoutingHandler answers /routing/v1/providers/{cid} and /routing/v1/peers/{id}
// of the Delegated Routing V1 HTTP API about this node alone: it provides what
// has says it has, by bitswap. Other questions of that API find nothing. The
// handler counts its requests in metrics.
func (n *Node) RoutingHandler(has func(context.Context, cid.Cid) bool, metrics prometheus.Registerer) http.Handler {
	return server.Handler(router{n, has}, server.WithPrometheusRegistry(metrics))
}

type router struct {
	n   *Node
	has func(context.Context, cid.Cid) bool
}

func (r router) self() *types.PeerRecord {
	id := r.n.host.ID()
	p := &types.PeerRecord{Schema: types.SchemaPeer, ID: &id, Protocols: []string{"transport-bitswap"}}
	for _, a := range r.n.addrs() {
		p.Addrs = append(p.Addrs, types.Multiaddr{Multiaddr: a})
	}
	return p
}

func (r router) FindProviders(ctx context.Context, c cid.Cid, _ int) (iter.ResultIter[types.Record], error) {
	var found []types.Record
	if len(r.n.addrs()) > 0 && r.has(ctx, c) {
		found = append(found, r.self())
	}
	return iter.ToResultIter[types.Record](iter.FromSlice(found)), nil
}

func (r router) FindPeers(_ context.Context, id peer.ID, _ int) (iter.ResultIter[*types.PeerRecord], error) {
	var found []*types.PeerRecord
	if id == r.n.host.ID() && len(r.n.addrs()) > 0 {
		found = append(found, r.self())
	}
	return iter.ToResultIter[*types.PeerRecord](iter.FromSlice(found)), nil
}

//lint:ignore SA1019 the interface still asks for it
func (router) ProvideBitswap(context.Context, *server.BitswapWriteProvideRequest) (time.Duration, error) {
	return 0, core.ErrNotSupported
}
func (router) GetIPNS(context.Context, ipns.Name) (*ipns.Record, error) {
	return nil, core.ErrNotFound
}
func (router) PutIPNS(context.Context, ipns.Name, *ipns.Record) error { return core.ErrNotSupported }
func (router) GetClosestPeers(context.Context, cid.Cid) (iter.ResultIter[*types.PeerRecord], error) {
	return iter.ToResultIter[*types.PeerRecord](iter.FromSlice[*types.PeerRecord](nil)), nil
}
