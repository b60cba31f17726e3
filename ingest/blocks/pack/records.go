package pack

import (
	"context"
	"crypto/sha256"
	"sync"

	block "github.com/ipfs/go-block-format"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A recordQueue commits the records of many callers together: one sync and one
// index transaction for as many as wait.
type recordQueue struct {
	s    *Store
	in   chan recordReq
	quit chan struct{}
	done chan struct{}
	once sync.Once
}

type recordReq struct {
	blocks []block.Block
	out    chan error
}

// maxGroup bounds the callers of one commit.
const maxGroup = 256

func (q *recordQueue) init(s *Store) {
	q.s, q.in, q.quit, q.done = s, make(chan recordReq), make(chan struct{}), make(chan struct{})
	go q.run()
}

func (q *recordQueue) stop() {
	q.once.Do(func() { close(q.quit) })
	<-q.done
}

func (q *recordQueue) run() {
	defer close(q.done)
	for {
		select {
		case <-q.quit:
			return
		case first := <-q.in:
			group := []recordReq{first}
		more:
			for len(group) < maxGroup {
				select {
				case r := <-q.in:
					group = append(group, r)
				default:
					break more
				}
			}
			err := q.commit(group)
			for _, r := range group {
				r.out <- err
			}
		}
	}
}

func (q *recordQueue) commit(group []recordReq) error {
	ctx := context.Background()
	b, err := q.s.Batch(ctx, Records)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, r := range group {
		for _, blk := range r.blocks {
			if _, err := b.Append(ctx, blk.Cid(), blk.RawData()); err != nil {
				return err
			}
		}
	}
	return b.Commit(ctx)
}

// PutRecords stores blocks in the series of records, in their order; they are
// durable and found when it returns nil. Callers at the same time, up to 256,
// share one commit, and the error of it. Bytes that are not those of their CID
// are fault.Invalid before anything is stored; other codes are those of
// [Batch.Append]. ctx ends the waiting for a turn, not a commit that has begun.
// It may be called concurrently.
func (s *Store) PutRecords(ctx context.Context, bs ...block.Block) error {
	for _, b := range bs {
		d, err := digestOf(b.Cid())
		if err != nil {
			return err
		}
		if len(b.RawData()) > MaxBlock {
			return fault.New(fault.TooLarge, "the block %s has %d bytes, the limit is %d", b.Cid(), len(b.RawData()), MaxBlock)
		}
		if sha256.Sum256(b.RawData()) != d {
			return fault.New(fault.Invalid, "the bytes are not those of %s", b.Cid())
		}
	}
	r := recordReq{bs, make(chan error, 1)}
	select {
	case s.records.in <- r:
	case <-s.records.quit:
		return fault.New(fault.Internal, "the block store is closed")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return <-r.out
}
