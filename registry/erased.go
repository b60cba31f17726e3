package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/translog"
)

// A tombstone is a tombstone/v1 as it lies in the log. Whether the log accepts
// it is known when the follower reaches it.
type tombstone struct {
	statement cid.Cid
	predicate *manifests.Tombstone
}

// standIn returns the entry that t says was at index i; nil when there is no t.
func (t tombstone) standIn(i uint64, leaf []byte) (*fold.Entry, error) {
	if t.predicate == nil {
		return nil, nil
	}
	return fold.Erased(i, leaf, t.statement, t.predicate)
}

// tombstones reads the tombstones in the published log above entry i, by the
// index of their entries: of several the newest. Signatures are verified, who
// signed is not asked here. One whose own body is missing is left out.
func (r *Registry) tombstones(ctx context.Context, log *translog.Reader, i uint64) (map[uint64]tombstone, error) {
	out := make(map[uint64]tombstone)
	err := log.Leaves(ctx, i+1, r.tlog.Published().Size, func(_ uint64, leaf []byte) error {
		if !bytes.Contains(leaf, []byte(manifests.KindTombstone)) {
			return nil
		}
		l, err := proof.DecodeLeaf(leaf)
		if err != nil || l.T != string(manifests.KindTombstone) {
			return nil
		}
		b, err := r.cfg.Blocks.Block(ctx, l.Env.Cid)
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tombstone %s: %w", l.Stmt, err)
		}
		if id, t, ok := fold.ReadTombstone(r.origin, b); ok {
			out[t.Index] = tombstone{id, t}
		}
		return nil
	})
	return out, err
}

// confirmed reports entries that were applied without their bodies by the word
// of a tombstone that the log has not accepted.
func confirmed(x *index.Index) error {
	return x.View(func(s *index.Snapshot) error {
		list, err := s.StandIns()
		if err != nil || len(list) == 0 {
			return err
		}
		return fault.New(fault.Unverified, "entry %d has no body, and the log has not accepted the tombstone that stands for it", list[0])
	})
}

// TombstoneOf returns the tombstone of the entry at index i, but for the members
// that every predicate has. It replays the log up to that entry in memory: all
// signatures are verified again. fault.NotFound beyond what is applied,
// fault.Invalid for an entry that cannot be erased.
func (r *Registry) TombstoneOf(ctx context.Context, i uint64) (*manifests.Tombstone, error) {
	if n := r.Status().Applied; i >= n {
		return nil, fault.New(fault.NotFound, "no entry %d in a log of %d", i, n)
	}
	state := fold.NewState(r.origin)
	var last fold.Result
	var leaf []byte
	for b, err := range r.bodies(ctx, r.tlog.Reader, 0, i+1) {
		if err != nil {
			return nil, err
		}
		e := b.Erased
		if e == nil {
			e = fold.Read(b.Leaf, b.Envelope)
		}
		last, leaf = state.Apply(e), b.Leaf
	}
	return fold.NewTombstone(i, leaf, last)
}

// present returns fault.Gone when the body of the entry at index i is erased.
func present(s *index.Snapshot, i uint64) error {
	g, erased, err := s.Tombstone(i)
	if err != nil || !erased {
		return err
	}
	return fault.WithHint(fault.New(fault.Gone, "the body of entry %d is erased: entry %d says so", i, g.Index), "the tombstone is statement %s", g.Statement)
}
