package pack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/ingest/internal/direct"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// autoBytes and autoBlocks bound what a batch holds uncommitted: the map of
	// its blocks stays below 8 MiB, and a crash loses at most this much work.
	autoBytes  = 1 << 30
	autoBlocks = 50_000
	// minFree is what must stay free on the disk: room for Badger's memtables,
	// which die of SIGBUS on a full disk, and for closing in order.
	minFree = 64 << 20
)

// A tail is the end of a series: the one place where blocks are appended. Its
// fields belong to whoever holds sem.
type tail struct {
	series byte
	sem    chan struct{}

	pack   *packFile // nil before the first block
	num    uint32    // of the newest pack
	end    int64     // behind the last commit frame
	row    packRow
	sealed bool
}

// A Batch appends blocks to a series: a transaction. It is used by one goroutine,
// and the series is its own until Close, which must be called once it is done.
type Batch struct {
	s      *Store
	t      *tail
	closed bool

	run     *run
	out     *direct.Writer // nil before the first block since a commit
	pending map[[32]byte]location
	order   [][32]byte
	bytes   int64

	stats Stats
}

// Stats count what a batch did, what it did not commit included.
type Stats struct {
	Blocks    int64 `json:"blocks"`    // appended, repetitions counted
	NewBlocks int64 `json:"newBlocks"` // stored
	NewBytes  int64 `json:"newBytes"`  // of their bytes
}

// Batch begins a batch. It waits until the series is free, or ctx ends. Codes:
// fault.NoSpace for a disk with less than 64 MiB free; fault.Internal for a
// poisoned store ([Store.Err]); fault.Invalid for a series that does not exist.
func (s *Store) Batch(ctx context.Context, series Series) (*Batch, error) {
	t, ok := s.tails[series]
	if !ok {
		return nil, fault.New(fault.Invalid, "no series %s", fault.Quote(string(series)))
	}
	select {
	case t.sem <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	b := &Batch{s: s, t: t, pending: make(map[[32]byte]location)}
	if err := b.begin(); err != nil {
		<-t.sem
		return nil, err
	}
	return b, nil
}

func (b *Batch) begin() error {
	if err := b.s.Err(); err != nil {
		return err
	}
	return b.s.checkSpace(0)
}

// checkSpace refuses when the disk has less than the watermark beside need.
func (s *Store) checkSpace(need int64) error {
	free, err := s.free()
	if err != nil {
		return err
	}
	if free < minFree+need {
		return fault.WithHint(fault.New(fault.NoSpace, "only %d MiB are free below %s", free>>20, s.dir), "free some space; %d MiB must stay free", minFree>>20)
	}
	return nil
}

// start makes sure that there is a pack to append to.
func (b *Batch) start() error {
	if b.run != nil {
		return nil
	}
	t := b.t
	if t.pack == nil || t.sealed {
		if err := b.s.newPack(t); err != nil {
			return err
		}
	}
	b.run = newRun(t.pack.id.String())
	if b.out == nil {
		var err error
		if b.out, err = direct.NewWriter(t.pack.f, t.end); err != nil {
			return b.s.fail(err)
		}
	}
	return nil
}

// newPack creates the next pack of a series, durably: header, file, folder.
func (s *Store) newPack(t *tail) error {
	id := packID{t.series, t.num + 1}
	name := filepath.Join(s.packsDir(), id.String()+".car")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return s.fail(err)
	}
	p := &packFile{id, f}
	_, err = f.WriteAt(header, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = durable.Sync(s.packsDir())
	}
	if err != nil {
		f.Close()
		return s.fail(durable.NoSpace(err))
	}
	s.mu.Lock()
	s.packs[id] = p
	s.mu.Unlock()
	t.pack, t.num, t.end, t.sealed = p, id.num, int64(len(header)), false
	t.row = packRow{end: t.end}
	return nil
}

// Append adds a block; stored is false for one that is there already, in the
// store or in this batch. Bytes and CID are taken as they are: the caller has
// hashed them. data is copied. After 1 GiB or 50,000 blocks, and before a block
// that could be taken for a commit frame, the batch commits by itself. Codes:
// fault.TooLarge beyond [MaxBlock]; fault.Invalid for a CID that is not a whole
// sha2-256; fault.NoSpace, after which what was not committed is gone and the
// store goes on; fault.Internal for a write that failed otherwise, which poisons
// the store.
func (b *Batch) Append(ctx context.Context, c cid.Cid, data []byte) (stored bool, err error) {
	if b.closed {
		return false, fault.New(fault.Internal, "append to a closed batch")
	}
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	if len(data) > MaxBlock {
		return false, fault.New(fault.TooLarge, "the block %s has %d bytes, the limit is %d", c, len(data), MaxBlock)
	}
	d, err := digestOf(c)
	if err != nil {
		return false, err
	}
	b.stats.Blocks++
	if _, ok := b.pending[d]; ok {
		return false, nil
	}
	if _, ok, err := b.s.locateDigest(d); ok || err != nil {
		return false, err
	}
	if len(b.order) >= autoBlocks || b.bytes >= autoBytes || isCommitLike(data) {
		if err := b.Commit(ctx); err != nil {
			return false, err
		}
	}
	if err := b.start(); err != nil {
		return false, err
	}
	off := b.out.Offset()
	var hb [maxFrameHeader]byte
	h := appendFrameHeader(hb[:0], c, len(data))
	if err := b.out.Write(h, data); err != nil {
		return false, b.broken(err)
	}
	id := c.Bytes()
	b.pending[d] = location{b.t.series, b.t.num, off, len(data), append([]byte(nil), id[:len(id)-32]...)}
	b.order = append(b.order, d)
	b.run.add(h)
	b.bytes += int64(len(data))
	b.stats.NewBlocks++
	b.stats.NewBytes += int64(len(data))
	return true, nil
}

// isCommitLike says that a block could be taken for a commit frame: it is
// appended right behind a real one, where none can stand.
func isCommitLike(data []byte) bool {
	return len(data) < 512 && len(data) >= len(commitPrefix) && string(data[:len(commitPrefix)]) == string(commitPrefix)
}

// broken handles a failed write: what is behind the last commit is cut off; a
// full disk is told as such and leaves the store usable, all else poisons it.
func (b *Batch) broken(err error) error {
	marked := durable.NoSpace(err)
	cut := b.abort()
	if errors.Is(marked, fault.NoSpace) && cut == nil {
		return marked
	}
	return b.s.fail(errors.Join(marked, cut))
}

// Has reports whether c is stored or in this batch. A CID that is not a whole
// sha2-256 is fault.Invalid.
func (b *Batch) Has(c cid.Cid) (bool, error) {
	d, err := digestOf(c)
	if err != nil {
		return false, err
	}
	if _, ok := b.pending[d]; ok {
		return true, nil
	}
	_, ok, err := b.s.locateDigest(d)
	return ok, err
}

// Stats returns the batch's counts so far.
func (b *Batch) Stats() Stats { return b.stats }

// Commit makes everything appended so far durable and visible: when it returns
// nil, a power cut takes nothing of it away. The batch goes on after it. A commit
// of nothing writes nothing. Once it has begun ctx does not stop it. Codes are
// those of Append; a sync that failed poisons the store.
func (b *Batch) Commit(ctx context.Context) error {
	if b.closed {
		return fault.New(fault.Internal, "commit of a closed batch")
	}
	if len(b.order) == 0 {
		return nil
	}
	if err := b.s.checkSpace(int64(len(b.order)) * 96); err != nil {
		return err
	}
	t := b.t
	at := b.out.Offset()
	sealed := at >= b.s.o.MaxPack
	payload, err := cjson.Marshal(b.run.commit(at, sealed))
	if err != nil {
		return err
	}
	var hb [maxFrameHeader]byte
	err = b.out.Write(appendFrameHeader(hb[:0], cjson.RawCID(payload), len(payload)), payload)
	if err == nil {
		err = b.out.Flush()
	}
	if err != nil {
		return b.broken(err)
	}
	if err := t.pack.f.Sync(); err != nil {
		return b.s.fail(durable.NoSpace(err))
	}
	row := packRow{end: b.out.Offset(), frames: t.row.frames + b.run.frames + 1, blocks: t.row.blocks + int64(len(b.order)), sealed: sealed}
	if err := b.s.indexBlocks(t.pack.id, b.order, b.pending, row); err != nil {
		return b.s.fail(err)
	}
	t.row, t.end, t.sealed = row, row.end, sealed
	clear(b.pending)
	b.order = b.order[:0]
	b.bytes = 0
	b.run = nil
	if sealed {
		b.release()
	}
	return nil
}

// release ends the writing into the pack.
func (b *Batch) release() {
	if b.out != nil {
		b.out.Close()
		b.out = nil
	}
}

// indexBlocks writes locations, and with the last of them the pack's row.
func (s *Store) indexBlocks(id packID, order [][32]byte, where map[[32]byte]location, row packRow) error {
	for len(order) > 0 {
		n := min(len(order), maxTxnKeys)
		err := s.db.Update(func(txn *badger.Txn) error {
			var buf [64]byte
			for _, d := range order[:n] {
				if err := set(txn, blockKey(d), where[d].encode(buf[:0])); err != nil {
					return err
				}
			}
			if n == len(order) {
				return set(txn, packKey(id.series, id.num), row.encode())
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("writing the block index: %w", err)
		}
		order = order[n:]
	}
	return nil
}

// abort cuts off what is behind the last commit.
func (b *Batch) abort() error {
	b.release()
	clear(b.pending)
	b.order, b.bytes = b.order[:0], 0
	b.run = nil
	if b.t.pack == nil || b.t.sealed {
		return nil
	}
	return b.t.pack.f.Truncate(b.t.end)
}

// Close ends the batch and frees the series. What was not committed is cut off.
// Closing again does nothing.
func (b *Batch) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	defer func() { <-b.t.sem }()
	defer b.release()
	if len(b.order) == 0 && b.run == nil {
		return nil
	}
	if err := b.abort(); err != nil {
		return b.s.fail(err)
	}
	return nil
}
