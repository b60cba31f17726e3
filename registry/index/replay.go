package index

import (
	"context"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
)

// A replay reads ahead of what it applies: entries are decoded and their
// signatures verified on all cores, which is most of the work, while those
// before them are applied in their order. Read ahead are at most
// replayAhead batches, each of up to replayEntries entries or replayBytes bytes.
const (
	replayEntries = 128
	replayBytes   = 1 << 20
)

// replayAhead is how many batches may be decoded and not yet applied.
func replayAhead() int { return 2 * runtime.GOMAXPROCS(0) }

// A Body is a log entry: the bytes of its leaf, and the envelope that the leaf
// names, fetched by its CID and hashed. The envelope is nil when the leaf is
// none that can be read.
type Body struct {
	Leaf     []byte
	Envelope []byte
	// Erased stands for both when the body is not at hand; see [fold.Erased].
	Erased *fold.Entry
}

// Replay applies the log from index first on, which must be the number of
// entries applied so far. bodies gives the entries in order; its error, such
// as that of a body that is not at hand, ends the replay there. each, unless
// nil, is called in order for every entry once it is applied; its error ends the
// replay too.
//
// When Replay returns, all entries before the one that ended it are applied,
// but for a cancelled ctx or an error of Apply: those leave the index further
// back, at a size that [Index.Applied] tells.
func (x *Index) Replay(ctx context.Context, first uint64, bodies iter.Seq2[Body, error], each func(Outcome) error) error {
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan *readBatch, replayAhead())
	work := make(chan *readBatch, replayAhead())
	var ended error // of bodies; read after batches is closed

	g.Go(func() error {
		defer close(work)
		defer close(batches)
		send := func(b *readBatch) bool {
			for _, to := range []chan *readBatch{batches, work} {
				select {
				case to <- b:
				case <-ctx.Done():
					return false
				}
			}
			return true
		}
		b := newReadBatch()
		for body, err := range bodies {
			if err != nil {
				ended = err
				break
			}
			if b.add(body); !b.full() {
				continue
			}
			if !send(b) {
				return nil
			}
			b = newReadBatch()
		}
		if len(b.bodies) > 0 {
			send(b)
		}
		return nil
	})
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for b := range work {
				b.read()
			}
			return nil
		})
	}
	g.Go(func() error {
		for b := range batches {
			select {
			case <-b.done:
			case <-ctx.Done():
				return fault.Mark(fault.Interrupted, ctx.Err())
			}
			out, err := x.Apply(ctx, first, b.entries)
			first += uint64(len(out))
			for _, o := range out {
				if each == nil {
					break
				}
				if err := each(o); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return fault.Mark(fault.Interrupted, err)
		}
		return ended
	})
	return g.Wait()
}

// A readBatch is a run of entries on its way. Whoever reads it closes done.
type readBatch struct {
	bodies  []Body
	bytes   int
	entries []*fold.Entry
	done    chan struct{}
}

func newReadBatch() *readBatch { return &readBatch{done: make(chan struct{})} }

func (b *readBatch) add(body Body) {
	b.bodies = append(b.bodies, body)
	b.bytes += len(body.Leaf) + len(body.Envelope)
}

func (b *readBatch) full() bool { return len(b.bodies) == replayEntries || b.bytes >= replayBytes }

func (b *readBatch) read() {
	for _, body := range b.bodies {
		e := body.Erased
		if e == nil {
			e = fold.Read(body.Leaf, body.Envelope)
		}
		b.entries = append(b.entries, e)
	}
	b.bodies = nil
	close(b.done)
}
