package cli

import (
	"context"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// edges are the weights with which a version's revenue flows on, of a total of
// one million: weights are parts per million.
type edges struct {
	list        []manifests.Edge
	self, total string // empty without edges
}

// An edging works out the edges of a version: those that were given, and the
// smallest that the terms of its parents ask.
type edging struct {
	env   *Env
	api   *client.Client
	kind  manifests.Kind // of the child
	owner sign.KeyID     // of the child's name: an own earlier version asks nothing
	name  string

	nodes   map[cid.Cid]*wire.Node
	weights map[cid.Cid]uint64
	given   map[cid.Cid]bool
}

func (env *Env) edging(api *client.Client, kind manifests.Kind, owner sign.KeyID, name string) *edging {
	return &edging{env, api, kind, owner, name, make(map[cid.Cid]*wire.Node), make(map[cid.Cid]uint64), make(map[cid.Cid]bool)}
}

// give reads REF=ppm.
func (g *edging) give(ctx context.Context, flag string, list []string) error {
	for _, text := range list {
		ref, ppm, err := pair(flag, text, "REF=ppm")
		if err != nil {
			return err
		}
		w, err := strconv.ParseUint(ppm, 10, 32)
		if err != nil || w < 1 || w > credit.PPM {
			return fault.New(fault.Invalid, "%s: %s is not 1 to %d parts per million", flag, fault.Quote(ppm), credit.PPM)
		}
		n, err := g.env.node(ctx, g.api, ref)
		if err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		id := n.Statement.Cid
		if g.given[id] {
			return fault.New(fault.Invalid, "%s: %s@%s is named twice", flag, n.Name, n.Version)
		}
		g.nodes[id], g.weights[id], g.given[id] = n, w, true
		if err := g.meet(ctx, n, w, ""); err != nil {
			return err
		}
	}
	return nil
}

// ask adds what a source's terms ask of the child.
func (g *edging) ask(ctx context.Context, parent cid.Cid) error {
	n, err := g.node(ctx, parent)
	if err != nil {
		return fmt.Errorf("the terms of %s: %w", parent, err)
	}
	return g.meet(ctx, n, 0, "its terms ask it")
}

// node finds a version, each once.
func (g *edging) node(ctx context.Context, id cid.Cid) (*wire.Node, error) {
	if n := g.nodes[id]; n != nil {
		return n, nil
	}
	n, err := g.api.Node(ctx, id)
	if err == nil {
		g.nodes[id] = n
	}
	return n, err
}

// asks returns what n asks of the child; nil for nothing. An own earlier version
// asks nothing.
func (g *edging) asks(n *wire.Node) *manifests.PaymentRules {
	if n.Publisher == g.owner && n.Name == g.name {
		return nil
	}
	return asks(n, g.kind)
}

// meet makes the edges that n's terms ask of a child with an edge to n of at
// least ppm, 0 for no more than they ask. A pool is a version like others, and
// what has an edge may ask something itself.
func (g *edging) meet(ctx context.Context, n *wire.Node, ppm uint64, why string) error {
	r := g.asks(n)
	switch {
	case r == nil:
	case r.Stacking == credit.StackWeighted:
		if r.RatePpm > 0 {
			return fault.WithHint(fault.New(fault.Invalid, "%s asks %d ppm of its share, and the share is what an attribution finds", nodeName(n), r.RatePpm),
				"this command takes no attribution; a statement made elsewhere is logged with \"cairn statement submit\"")
		}
	case r.Stacking == credit.StackPool:
		pool, err := g.node(ctx, r.Pool.Cid)
		if err != nil {
			return fmt.Errorf("the pool of %s: %w", nodeName(n), err)
		}
		if err := g.meet(ctx, pool, uint64(r.PoolPpm), nodeName(n)+" asks it for a pool"); err != nil {
			return err
		}
	default:
		ppm = max(ppm, uint64(r.RatePpm))
	}
	g.raise(n.Statement.Cid, ppm, why)
	return nil
}

// asks returns what a version asks of a child of the given kind; nil for nothing.
// The fold decides the same way: a model pays for what it was trained on, a
// dataset when derived versions are to pay.
func asks(n *wire.Node, child manifests.Kind) *manifests.PaymentRules {
	if n.Rules == nil || n.Rules.Payment == nil || child != manifests.KindModel && !n.Rules.Payment.ToDerived {
		return nil
	}
	return n.Rules.Payment
}

// raise makes an edge that was not given at least ppm, and says so.
func (g *edging) raise(to cid.Cid, ppm uint64, why string) {
	if g.given[to] || ppm <= g.weights[to] {
		return
	}
	g.weights[to] = ppm
	if !g.env.json {
		g.env.warn("note: %d ppm of the revenue flow on to %s: %s", ppm, nodeName(g.nodes[to]), why)
	}
}

// floors adds or raises edges to parents and ancestors that set a floor, where
// less would reach them.
func (g *edging) floors(ctx context.Context) error {
	const unit = credit.EffOne / credit.PPM
	type reach struct{ eff, floor uint64 }
	reached := make(map[cid.Cid]reach)
	for id, w := range g.weights {
		if r := g.asks(g.nodes[id]); r != nil && r.FloorPpm > 0 {
			of := reached[id]
			of.floor = uint64(r.FloorPpm) * unit
			reached[id] = of
		}
		for _, f := range g.nodes[id].Floors {
			r := reached[f.Statement.Cid]
			hi, lo := bits.Mul64(w, f.Eff)
			eff, _ := bits.Div64(hi, lo, credit.PPM) // w ≤ 10^6, so hi < 10^6
			r.eff, r.floor = r.eff+eff, f.FloorPpm*unit
			reached[f.Statement.Cid] = r
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(reached), func(a, b cid.Cid) int { return slices.Compare(a.Bytes(), b.Bytes()) }) {
		r := reached[id]
		if r.eff+g.weights[id]*unit >= r.floor {
			continue
		}
		n, err := g.node(ctx, id)
		if err != nil {
			return fmt.Errorf("an ancestor that set a floor: %w", err)
		}
		if n.Publisher == g.owner && n.Name == g.name {
			continue
		}
		if err := g.meet(ctx, n, (r.floor-r.eff+unit-1)/unit, "it set a floor, and less would reach it"); err != nil {
			return err
		}
	}
	return nil
}

// edges returns what was found. More than the whole is fault.Invalid.
func (g *edging) edges(ctx context.Context) (edges, error) {
	if err := g.floors(ctx); err != nil {
		return edges{}, err
	}
	var out edges
	sum := uint64(0)
	for id, w := range g.weights {
		if w > 0 {
			sum += w // at most 1,024 times 10^6
			out.list = append(out.list, manifests.Edge{Statement: cjson.CID{Cid: id}, Weight: strconv.FormatUint(w, 10)})
		}
	}
	if sum > credit.PPM {
		return edges{}, fault.New(fault.Invalid, "the edges add up to %d parts per million, more than the whole", sum)
	}
	if len(out.list) > 0 {
		slices.SortFunc(out.list, func(a, b manifests.Edge) int { return compareCIDs(a.Statement, b.Statement) })
		out.self, out.total = strconv.FormatUint(credit.PPM-sum, 10), strconv.Itoa(credit.PPM)
	}
	return out, nil
}

// same compares edges with those of a registered version.
func (e edges) same(d []wire.Edge) bool {
	return slices.EqualFunc(e.list, d, func(a manifests.Edge, b wire.Edge) bool {
		return a.Statement == b.Statement && a.Weight == b.Weight && a.Share == b.Share
	})
}
