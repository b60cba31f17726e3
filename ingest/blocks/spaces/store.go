package spaces

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/fault"
)

var _ blocks.Store = (*Store)(nil)

// Block returns the bytes of c from the public space, else from those that ctx
// opens. Codes are those of [pack.Store.Block]; a block in a space that ctx does
// not open is fault.NotFound, as if it were nowhere.
func (s *Store) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	return look(ctx, s, func(p *pack.Store) ([]byte, error) { return p.Block(ctx, c) })
}

// Size returns the length of what Block would return.
func (s *Store) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	return look(ctx, s, func(p *pack.Store) (uint64, error) { return p.Size(ctx, c) })
}

// Has reports whether Block would find c.
func (s *Store) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := s.Size(ctx, c)
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// Get is Block for boxo.
func (s *Store) Get(ctx context.Context, c cid.Cid) (block.Block, error) {
	return look(ctx, s, func(p *pack.Store) (block.Block, error) { return p.Get(ctx, c) })
}

// GetSize is Size for boxo.
func (s *Store) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	return look(ctx, s, func(p *pack.Store) (int, error) { return p.GetSize(ctx, c) })
}

// OpenBlock returns the bytes of c to be read in parts, as [pack.Store.OpenBlock]
// does, from the spaces that ctx opens now: the reader asks no more.
func (s *Store) OpenBlock(ctx context.Context, c cid.Cid) (r io.ReaderAt, size int64, err error) {
	r, size, err = s.Store.OpenBlock(ctx, c)
	if err == nil || !errors.Is(err, fault.NotFound) {
		return r, size, err
	}
	for terms := range s.opened(ctx) {
		var found error
		ok, openErr := s.in(terms, func(p *pack.Store) error { _, size, found = p.OpenBlock(ctx, c); return nil })
		switch {
		case openErr != nil:
			return nil, 0, openErr
		case ok && found == nil:
			return reopened{ctx, s, terms, c}, size, nil
		case ok && !errors.Is(found, fault.NotFound):
			return nil, 0, found
		}
	}
	return nil, 0, err
}

// A reopened block lies in a gated space, which may be closed between two reads.
type reopened struct {
	ctx   context.Context // of whoever reads, for as long as it reads
	s     *Store
	terms cid.Cid
	c     cid.Cid
}

func (r reopened) ReadAt(b []byte, off int64) (n int, err error) {
	ok, err := r.s.in(r.terms, func(p *pack.Store) error {
		part, _, err := p.OpenBlock(r.ctx, r.c)
		if err == nil {
			n, err = part.ReadAt(b, off)
		}
		return err
	})
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "there is no space for the terms %s", r.terms)
	}
	return n, err
}

// PutRecordsIn stores documents in the space of terms, which is made when it is
// not there. See [pack.Store.PutRecords].
func (s *Store) PutRecordsIn(ctx context.Context, terms cid.Cid, bs ...block.Block) error {
	if !terms.Defined() {
		return s.Store.PutRecords(ctx, bs...)
	}
	sp, _, err := s.use(terms, true)
	if err != nil {
		return err
	}
	defer sp.release()
	return sp.store.PutRecords(ctx, bs...)
}

// GatedUsage is how many gated spaces there are, and the bytes of their packs. It
// opens none of them.
func (s *Store) GatedUsage() (spaces int, bytes int64, err error) {
	for _, terms := range s.Terms() {
		spaces++
		entries, err := os.ReadDir(filepath.Join(s.dir, terms.String(), "packs"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return spaces, bytes, fault.Mark(fault.Internal, err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue // gone since it was listed
			}
			bytes += info.Size()
		}
	}
	return spaces, bytes, nil
}

// View calls fn with the bytes of c, which are valid during the call.
func (s *Store) View(ctx context.Context, c cid.Cid, fn func([]byte) error) error {
	b, err := s.Block(ctx, c)
	if err != nil {
		return err
	}
	return fn(b)
}

// Missing returns those of cids that the space of terms lacks, in order; of the
// public space when terms is not defined.
func (s *Store) Missing(ctx context.Context, terms cid.Cid, cids []cid.Cid) (missing []cid.Cid, err error) {
	if !terms.Defined() {
		return s.Store.Missing(ctx, cids)
	}
	ok, err := s.in(terms, func(p *pack.Store) (err error) { missing, err = p.Missing(ctx, cids); return err })
	if err == nil && !ok {
		return slices.Clone(cids), nil
	}
	return missing, err
}

// Adopt takes the private pack id, which lies in the public space's incoming
// folder, into the space of terms, or into the public one when terms is not defined.
// See [pack.Store.Adopt].
func (s *Store) Adopt(ctx context.Context, terms cid.Cid, id string) (stats pack.Stats, err error) {
	if !terms.Defined() {
		return s.Store.Adopt(ctx, id)
	}
	sp, _, err := s.use(terms, true)
	if err != nil {
		return stats, err
	}
	defer sp.release()
	return sp.store.AdoptFrom(ctx, s.Store, id)
}

// CheckAll checks every byte of every space. See [pack.Store.CheckAll]; damage in
// a gated space names its file below spaces/.
func (s *Store) CheckAll(ctx context.Context, progress func(done, total int64), report func(pack.Damage)) (sum pack.CheckSummary, err error) {
	sum, err = s.Store.CheckAll(ctx, progress, report)
	for _, terms := range s.Terms() {
		if err != nil {
			break
		}
		_, err = s.in(terms, func(p *pack.Store) error {
			// A space adds what it has to what is to be read.
			further := func(done, total int64) {
				if progress != nil {
					progress(sum.Bytes+done, sum.Bytes+total)
				}
			}
			more, err := p.CheckAll(ctx, further, func(d pack.Damage) {
				d.File = folder + "/" + terms.String() + "/" + d.File
				report(d)
			})
			sum.Packs += more.Packs
			sum.Blocks += more.Blocks
			sum.Bytes += more.Bytes
			sum.Damage += more.Damage
			return err
		})
	}
	return sum, err
}

// All reads every space, whatever the context of a read opens: for the owner of the
// home, and for who decides by other means to whom a block is given.
func (s *Store) All() blocks.Reader { return all{s} }

type all struct{ s *Store }

func (r all) Block(ctx context.Context, c cid.Cid) ([]byte, error) { return r.s.Block(WithAll(ctx), c) }
func (r all) Size(ctx context.Context, c cid.Cid) (uint64, error)  { return r.s.Size(WithAll(ctx), c) }

// Strict reads the space of terms alone: what is in the public space or another
// one is fault.NotFound. It asks no context for rights.
func (s *Store) Strict(terms cid.Cid) blocks.Reader { return strict{s, terms} }

type strict struct {
	s     *Store
	terms cid.Cid
}

func (r strict) Block(ctx context.Context, c cid.Cid) (b []byte, err error) {
	ok, err := r.s.in(r.terms, func(p *pack.Store) (err error) { b, err = p.Block(ctx, c); return err })
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "there is no space for the terms %s", r.terms)
	}
	return b, err
}

func (r strict) Size(ctx context.Context, c cid.Cid) (n uint64, err error) {
	ok, err := r.s.in(r.terms, func(p *pack.Store) (err error) { n, err = p.Size(ctx, c); return err })
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "there is no space for the terms %s", r.terms)
	}
	return n, err
}

// A Batch is a batch of one space's data packs. See [pack.Batch].
type Batch struct {
	*pack.Batch
	release func()
}

// Close ends the batch; what was not committed is gone.
func (b *Batch) Close() error {
	err := b.Batch.Close()
	if b.release != nil {
		b.release()
		b.release = nil
	}
	return err
}

// Batch begins a batch of data in the space of terms, which is made when it is
// not there; in the public space when terms is not defined.
func (s *Store) Batch(ctx context.Context, terms cid.Cid) (*Batch, error) {
	if !terms.Defined() {
		b, err := s.Store.Batch(ctx, pack.Data)
		if err != nil {
			return nil, err
		}
		return &Batch{b, nil}, nil
	}
	sp, _, err := s.use(terms, true)
	if err != nil {
		return nil, err
	}
	b, err := sp.store.Batch(ctx, pack.Data)
	if err != nil {
		sp.release()
		return nil, err
	}
	return &Batch{b, sp.release}, nil
}
