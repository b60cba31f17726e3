package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A shard is a part of an upload: which blocks, in which order.
type shard struct {
	wire.Shard
	cids  []byte // binary CIDs, one behind another
	count int
	block int64 // bytes of its blocks
}

// A plan is how a DAG is cut into shards. The same DAG and the same bases always
// give the same plan.
type plan struct {
	root   cid.Cid
	shards []*shard
	blocks int64 // of the whole DAG
	bytes  int64
}

// makePlan cuts the DAG below roots into shards, in its order, without the blocks
// that lie below bases. Structure is read, leaves are only asked for their size;
// nothing is hashed yet.
func makePlan(ctx context.Context, b unixfs.Blocks, roots, bases []cid.Cid, limit int64) (*plan, error) {
	there := make(map[[sha256.Size]byte]struct{})
	if len(bases) > 0 {
		if err := unixfs.Closure(ctx, b, bases, 0, false, func(c cid.Cid, _ []byte) error {
			there[digestOf(c)] = struct{}{}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("an earlier version: %w", err)
		}
	}
	p := &plan{root: roots[0]}
	head := int64(len(wire.ShardHeader(p.root)))
	var cur *shard
	err := unixfs.Closure(ctx, b, roots, 0, false, func(c cid.Cid, block []byte) error {
		size := uint64(len(block))
		if block == nil {
			var err error
			if size, err = b.Size(ctx, c); err != nil {
				return err
			}
		}
		p.blocks++
		p.bytes += int64(size)
		if _, ok := there[digestOf(c)]; ok {
			return nil
		}
		section := int64(len(wire.AppendSection(nil, c, int(size)))) + int64(size)
		if cur == nil || cur.Bytes+section > limit || cur.count == wire.MaxShardBlocks {
			cur = &shard{Shard: wire.Shard{Bytes: head}}
			p.shards = append(p.shards, cur)
		}
		cur.cids = append(cur.cids, c.Bytes()...)
		cur.count++
		cur.Bytes += section
		cur.block += int64(size)
		return nil
	})
	if err == nil && len(p.shards) > wire.MaxShards {
		err = fault.New(fault.TooLarge, "the data makes %d shards, a registry takes %d", len(p.shards), wire.MaxShards)
	}
	return p, err
}

func digestOf(c cid.Cid) [sha256.Size]byte {
	h := c.Hash()
	return [sha256.Size]byte(h[len(h)-sha256.Size:])
}

// hash computes the names of the shards, two at a time.
func (p *plan) hash(ctx context.Context, b unixfs.Blocks, progress func(done, total int64)) error {
	var total int64
	for _, s := range p.shards {
		total += s.Bytes
	}
	done := make(chan int64, len(p.shards))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, s := range p.shards {
		g.Go(func() error {
			h := sha256.New()
			n, err := io.Copy(h, p.open(gctx, b, s))
			if err == nil && n != s.Bytes {
				err = fault.New(fault.Internal, "a shard has %d bytes, planned were %d", n, s.Bytes)
			}
			s.SHA256 = hex.EncodeToString(h.Sum(nil))
			done <- n
			return err
		})
	}
	go func() {
		g.Wait()
		close(done)
	}()
	var sum int64
	for n := range done {
		if sum += n; progress != nil {
			progress(sum, total)
		}
	}
	return g.Wait()
}

// same reports whether shards that were declared before are those of the plan, as
// far as sizes tell, and takes over their names if so.
func (p *plan) same(declared []wire.Shard) bool {
	if len(declared) != len(p.shards) {
		return false
	}
	for i, s := range p.shards {
		if declared[i].Bytes != s.Bytes {
			return false
		}
	}
	for i, s := range p.shards {
		s.SHA256 = declared[i].SHA256
	}
	return true
}

func (p *plan) declared() []wire.Shard {
	out := make([]wire.Shard, len(p.shards))
	for i, s := range p.shards {
		out[i] = s.Shard
	}
	return out
}

// open returns the bytes of a shard, which are read as they are asked for.
func (p *plan) open(ctx context.Context, b unixfs.Blocks, s *shard) io.ReadCloser {
	return &shardReader{ctx: ctx, b: b, left: s.cids, buf: wire.ShardHeader(p.root)}
}

type shardReader struct {
	ctx  context.Context // of the request that sends the shard
	b    unixfs.Blocks
	left []byte // CIDs that are still to come
	buf  []byte // not handed out yet
	next []byte // follows buf
	err  error
}

func (r *shardReader) Read(p []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.buf, r.next = r.next, nil; len(r.buf) > 0 {
			break
		}
		if len(r.left) == 0 {
			return 0, io.EOF
		}
		n, c, err := cid.CidFromBytes(r.left)
		if err == nil {
			r.left = r.left[n:]
			r.next, err = r.b.Block(r.ctx, c)
		}
		if err != nil {
			r.err = errors.Join(errSource, err)
			return 0, r.err
		}
		r.buf = wire.AppendSection(nil, c, len(r.next))
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func (r *shardReader) Close() error {
	r.err = io.ErrClosedPipe
	return nil
}

// errSource marks an error of the blocks that are sent, not of the way there.
var errSource = errors.New("reading the data to send")
