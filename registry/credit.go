package registry

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// MaxPayoutLines bounds the file of a payout's public lines, in bytes: a million
// lines of a did:key and an amount have about 80 MB.
const MaxPayoutLines = 256 << 20

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

// payoutLines reads the file of a payout's lines.
func (r *Registry) payoutLines(ctx context.Context, lines cid.Cid) ([]byte, error) {
	return ReadLines(ctx, r.cfg.Blocks, lines)
}

// ReadLines reads a file of payout lines from verified blocks, at most
// [MaxPayoutLines] bytes.
func ReadLines(ctx context.Context, blocks unixfs.Blocks, lines cid.Cid) ([]byte, error) {
	var out []byte
	err := unixfs.ReadFile(ctx, blocks, lines, func(p []byte) error {
		if len(out)+len(p) > MaxPayoutLines {
			return fault.New(fault.TooLarge, "the payout's lines have more than %d bytes", MaxPayoutLines)
		}
		out = append(out, p...)
		return nil
	})
	return out, err
}
