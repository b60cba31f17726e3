package registry

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// Credit lets fn read what the log says about money: the engine's Ledger as the
// index stands, and the runs that follow from it. size is how many entries that
// is. The Ledger is made when it is first asked for, out of the effects that the
// index keeps, and then kept up to date: the first call of a large log takes a
// while. fn must not keep the view.
func (r *Registry) Credit(ctx context.Context, fn func(v *ledger.View, size uint64) error) error {
	var size uint64
	return r.books.View(func(b *ledger.Builder) error {
		return r.View(func(s *index.Snapshot) error {
			size = s.Applied()
			for e, err := range s.Effects(b.Next()) {
				if err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				if err := b.Apply(ctx, e.Index, e.Effects); err != nil {
					return err
				}
			}
			return nil
		})
	}, func(v *ledger.View) error { return fn(v, size) })
}

// PayoutLines reads the file of a payout's lines.
func (r *Registry) PayoutLines(ctx context.Context, lines cid.Cid) ([]byte, error) {
	return ledger.ReadLines(ctx, r.cfg.Blocks, lines)
}
