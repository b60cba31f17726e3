package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"path/filepath"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/registry/client"
)

// A sink takes the blocks of an add: the home's own store, or, when a server
// owns the home, private packs that the server adopts.
type sink interface {
	// Batch is where the data goes: to the gated space of the terms that the sink
	// was opened for, or to the public space.
	ingest.Store
	// PutRecord stores a manifest, terms or a licence text, which everybody may
	// read. What belongs to gated data lies beside it too, so that its space is
	// whole by itself.
	PutRecord(ctx context.Context, c cid.Cid, b []byte) error
	// Finish makes everything so far durable and visible.
	Finish(ctx context.Context) error
	// NewBytes is how many bytes were not there before, of what was counted.
	NewBytes(counted int64) int64
	Close() error
}

// openSink opens a sink for data in the gated space of terms, or in the public
// space when terms is not defined.
func openSink(_ context.Context, c *daemon.Conn, terms cid.Cid) (sink, error) {
	if c.Home != nil {
		s, err := c.Home.Store()
		if err != nil {
			return nil, err
		}
		return ownSink{s, terms}, nil
	}
	dir := filepath.Join(c.Dir, "blocks")
	l := lentSink{data: &lentPack{api: c.API, dir: dir, terms: terms}}
	if l.records = l.data; terms.Defined() {
		l.records = &lentPack{api: c.API, dir: dir}
	}
	return l, nil
}

type ownSink struct {
	store *spaces.Store
	terms cid.Cid
}

func (s ownSink) Batch(ctx context.Context) (ingest.Batch, error) { return s.store.Batch(ctx, s.terms) }

func (s ownSink) PutRecord(ctx context.Context, c cid.Cid, b []byte) error {
	blk, err := block.NewBlockWithCid(b, c)
	if err != nil {
		return err
	}
	if s.terms.Defined() {
		if err := s.store.PutRecordsIn(ctx, s.terms, blk); err != nil {
			return err
		}
	}
	return s.store.PutRecords(ctx, blk)
}

func (ownSink) Finish(context.Context) error { return nil }
func (ownSink) NewBytes(counted int64) int64 { return counted }
func (ownSink) Close() error                 { return nil }

const (
	// askBlocks and askBytes bound what waits for the server's word on what it
	// lacks: one question for many small blocks, bounded memory for large ones.
	askBlocks = 512
	askBytes  = 8 << 20
)

// A lentSink writes data and documents for the server of the home. Those of gated
// data go two ways.
type lentSink struct {
	data, records *lentPack // the same one for the public space
}

func (s lentSink) Batch(context.Context) (ingest.Batch, error) { return lentBatch{s.data}, nil }

func (s lentSink) PutRecord(ctx context.Context, c cid.Cid, b []byte) error {
	_, err := s.data.Append(ctx, c, b)
	if err == nil && s.records != s.data {
		_, err = s.records.Append(ctx, c, b)
	}
	return err
}

func (s lentSink) Finish(ctx context.Context) error {
	if err := s.data.finish(ctx); err != nil || s.records == s.data {
		return err
	}
	return s.records.finish(ctx)
}

func (s lentSink) NewBytes(int64) int64 { return s.data.newBytes }
func (s lentSink) Close() error         { return errors.Join(s.data.abort(), s.records.abort()) }

// A lentPack writes blocks that the server of the home lacks in one space into a
// private pack, which the server adopts when it is finished.
type lentPack struct {
	api   *client.Client
	dir   string
	terms cid.Cid // of a gated space

	id       string // of the private pack
	w        *pack.IncomingWriter
	waiting  []block.Block
	bytes    int
	newBytes int64
}

// A lentBatch is the whole private pack.
type lentBatch struct{ *lentPack }

func (b lentBatch) Commit(ctx context.Context) error { return b.flush(ctx) }
func (b lentBatch) Close() error                     { return nil }

func (b lentBatch) Has(c cid.Cid) (bool, error) {
	for _, w := range b.waiting {
		if w.Cid().Equals(c) {
			return true, nil
		}
	}
	missing, err := b.api.Missing(context.Background(), b.terms, []cid.Cid{c})
	return len(missing) == 0, err
}

// Append takes a copy of data: it waits until the server says what it lacks.
func (s *lentPack) Append(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	blk, err := block.NewBlockWithCid(append([]byte(nil), data...), c)
	if err != nil {
		return false, err
	}
	s.waiting = append(s.waiting, blk)
	s.bytes += len(data)
	if len(s.waiting) >= askBlocks || s.bytes >= askBytes {
		return true, s.flush(ctx)
	}
	return true, nil
}

func (s *lentPack) flush(ctx context.Context) error {
	if len(s.waiting) == 0 {
		return nil
	}
	ids := make([]cid.Cid, len(s.waiting))
	for i, b := range s.waiting {
		ids[i] = b.Cid()
	}
	missing, err := s.api.Missing(ctx, s.terms, ids)
	if err != nil {
		return err
	}
	lacks := make(map[cid.Cid]bool, len(missing))
	for _, c := range missing {
		lacks[c] = true
	}
	for _, b := range s.waiting {
		if !lacks[b.Cid()] {
			continue
		}
		if s.w == nil {
			var id [8]byte
			rand.Read(id[:])
			s.id = hex.EncodeToString(id[:])
			if s.w, err = pack.CreateIncoming(s.dir, s.id); err != nil {
				return err
			}
		}
		stored, err := s.w.Append(ctx, b.Cid(), b.RawData())
		if err != nil {
			return err
		}
		if stored {
			s.newBytes += int64(len(b.RawData()))
		}
	}
	s.waiting, s.bytes = s.waiting[:0], 0
	return nil
}

func (s *lentPack) finish(ctx context.Context) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	if s.w == nil {
		return nil
	}
	if err := s.w.Commit(ctx); err != nil {
		return err
	}
	if err := s.w.Close(); err != nil {
		return err
	}
	s.w = nil
	_, err := s.api.Adopt(ctx, s.terms, s.id)
	return err
}

// abort throws away a private pack that was not finished.
func (s *lentPack) abort() error {
	if s.w == nil {
		return nil
	}
	w := s.w
	s.w = nil
	return w.Abort()
}
