package pack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/ipfs/go-cid"
)

// A CheckSummary is what [Store.CheckAll] read.
type CheckSummary struct {
	Packs  int64 `json:"packs"`
	Blocks int64 `json:"blocks"` // different ones
	Bytes  int64 `json:"bytes"`  // of packs
	Damage int64 `json:"damage"`
}

// CheckAll reads every byte of every pack: headers, frames, hashes, commit
// frames, and holds the index against them. What is not as it was written is
// handed to fn, in the order of the packs; damage is no error, an error is that
// the check could not be made. It changes nothing. It waits for open batches;
// writers wait meanwhile, readers do not. progress, when set, is told after each
// commit frame how many bytes of how many were read.
func (s *Store) CheckAll(ctx context.Context, progress func(done, total int64), fn func(Damage)) (CheckSummary, error) {
	for _, series := range []Series{Data, Records} {
		t := s.tails[series]
		select {
		case t.sem <- struct{}{}:
			defer func() { <-t.sem }()
		case <-ctx.Done():
			return CheckSummary{}, context.Cause(ctx)
		}
	}
	var sum CheckSummary
	report := func(d Damage) { sum.Damage++; fn(d) }
	s.mu.RLock()
	packs := make([]*packFile, 0, len(s.packs))
	for _, p := range s.packs {
		packs = append(packs, p)
	}
	s.mu.RUnlock()
	slices.SortFunc(packs, func(a, b *packFile) int { return bytes.Compare([]byte(a.id.String()), []byte(b.id.String())) })
	var total int64
	for _, p := range packs {
		if info, err := p.f.Stat(); err == nil {
			total += info.Size()
		}
	}
	indexed := int64(0)
	for _, p := range packs {
		n, err := s.checkPack(ctx, p, report, func(end int64) {
			if progress != nil {
				progress(sum.Bytes+end, total)
			}
		})
		if err != nil {
			return sum, err
		}
		indexed += n
		info, err := p.f.Stat()
		if err != nil {
			return sum, err
		}
		sum.Packs++
		sum.Bytes += info.Size()
		if progress != nil {
			progress(sum.Bytes, total)
		}
	}
	err := s.each(ctx, func(d [32]byte, l location) error {
		sum.Blocks++
		id := packID{l.series, l.num}
		if _, err := s.pack(id); err != nil {
			report(Damage{File: id.String() + ".car", Offset: l.offset, Msg: fmt.Sprintf("the pack is missing, and block %x with it", d)})
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	if sum.Blocks != indexed {
		report(Damage{File: "index", Msg: fmt.Sprintf("the index has %d blocks, the packs hold %d of them where it says", sum.Blocks, indexed)})
	}
	return sum, nil
}

// checkPack returns how many blocks the index finds in p and p has there. It says
// after each commit frame where that ends.
func (s *Store) checkPack(ctx context.Context, p *packFile, report func(Damage), read func(end int64)) (int64, error) {
	file := p.id.String() + ".car"
	head := make([]byte, len(header))
	if _, err := p.f.ReadAt(head, 0); err != nil || !bytes.Equal(head, header) {
		report(Damage{File: file, Msg: "the header is not a pack's"})
	}
	row, known, err := s.packRow(p.id)
	if err != nil {
		return 0, err
	}
	if !known {
		row.end = int64(len(header))
	}
	var there int64
	res, err := s.scan(ctx, p, int64(len(header)), func(fs []found, res scanResult) error {
		read(res.end)
		for _, f := range fs {
			l, ok, err := s.locateDigest(f.digest)
			switch {
			case err != nil:
				return err
			case !ok:
				report(Damage{File: file, Offset: f.loc.offset, CID: f.cid, Msg: "the index does not know the block " + f.cid.String()})
			case l.num == p.id.num && l.series == p.id.series && l.offset == f.loc.offset:
				there++
				if l.size != f.loc.size || !bytes.Equal(l.prefix, f.loc.prefix) {
					report(Damage{File: file, Offset: f.loc.offset, CID: f.cid, Msg: "the index describes the block " + f.cid.String() + " otherwise"})
				}
			}
		}
		return nil
	}, report)
	if err != nil {
		return there, err
	}
	switch {
	case res.end != row.end:
		report(Damage{File: file, Offset: min(res.end, row.end), Msg: fmt.Sprintf("the last commit frame ends at %d, the index says %d", res.end, row.end)})
	case known && res.frames != row.frames:
		report(Damage{File: file, Msg: fmt.Sprintf("%d whole frames, the index says %d", res.frames, row.frames)})
	case res.sealed != row.sealed:
		report(Damage{File: file, Msg: "sealed, or not, otherwise than the index says"})
	case res.tail > 0:
		report(Damage{File: file, Offset: res.end, Msg: fmt.Sprintf("%d bytes behind the last commit frame", res.tail)})
	}
	return there, nil
}

// Rebuild drops the index and makes it anew from the packs, every byte of which
// it reads. Nobody may use the store meanwhile. When it fails or is cut short,
// the next Open does the rest.
func (s *Store) Rebuild(ctx context.Context) error {
	if err := s.db.Close(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.indexDir()); err != nil {
		return err
	}
	db, err := openIndex(s.indexDir(), s.o.Log)
	if err != nil {
		return s.fail(err)
	}
	s.db = db
	var ids []packID
	for id := range s.packs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b packID) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
	return s.recover(ids)
}

// Records calls fn for every committed block of the records series, in the order
// in which they were written; a block of what is put meanwhile may be missed.
// Frames that are damaged are passed over: [Store.CheckAll] names them. A pack
// that is missing is fault.Unverified. An error of fn ends it and is returned.
func (s *Store) Records(ctx context.Context, fn func(c cid.Cid, data []byte) error) error {
	for num := uint32(1); num <= s.newest(seriesBytes[Records]); num++ {
		p, err := s.pack(packID{seriesBytes[Records], num})
		if err != nil {
			return err
		}
		_, err = s.scan(ctx, p, int64(len(header)), func(fs []found, _ scanResult) error {
			for _, f := range fs {
				b, err := s.read(f.cid, f.loc)
				if err != nil {
					return err
				}
				if err := fn(f.cid, b); err != nil {
					return err
				}
			}
			return nil
		}, func(Damage) {})
		if err != nil {
			return err
		}
	}
	return nil
}
