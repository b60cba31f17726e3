package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
)

// A Damage is a place in a pack, or in the index, that is not as it was written.
type Damage struct {
	File   string  `json:"file"`
	Offset int64   `json:"offset"`
	CID    cid.Cid `json:"-"`
	Msg    string  `json:"message"`
}

func (d Damage) String() string { return fmt.Sprintf("%s, offset %d: %s", d.File, d.Offset, d.Msg) }

// A found is a block that a scan came across.
type found struct {
	digest [32]byte
	cid    cid.Cid
	loc    location
}

// A scanResult is what lies in a pack from some offset on.
type scanResult struct {
	end    int64 // behind the last commit frame; the starting offset when there is none
	frames int64 // up to end, commit frames included
	sealed bool
	tail   int64 // bytes behind end
}

// scan reads a pack from offset from, which is the header's end or right behind
// a commit frame, and calls commit for each run of blocks that a commit frame
// closes. Damage is reported, and the scan goes on at the next frame whose hash
// holds. Nothing is changed.
func (s *Store) scan(ctx context.Context, p *packFile, from int64, commit func([]found, scanResult) error, damage func(Damage)) (scanResult, error) {
	info, err := p.f.Stat()
	if err != nil {
		return scanResult{}, err
	}
	size := info.Size()
	res := scanResult{end: from}
	file := p.id.String() + ".car"
	var since []found
	var broken []Damage // since the last commit frame
	r := newRun(p.id.String())
	loose := false
	sc := newScanner(io.NewSectionReader(p.f, from, size-from), from)
	for {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		f, err := sc.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errBadFrame) {
			at := sc.offset
			next, err := resync(p.f, at+1, size)
			if err != nil {
				return res, err
			}
			broken = append(broken, Damage{File: file, Offset: at, Msg: "no whole frame whose hash holds"})
			if next < 0 {
				break
			}
			loose = true
			sc = newScanner(io.NewSectionReader(p.f, next, size-next), next)
			continue
		}
		if err != nil {
			return res, err
		}
		if sealed, exact, ok := r.matches(f.data, f.offset, loose); ok && f.cid.Prefix().Codec == cid.Raw {
			if !exact {
				broken = append(broken, Damage{File: file, Offset: f.offset, Msg: "the frame headers before this commit frame are not those it was made for"})
			}
			res = scanResult{end: f.end(), frames: res.frames + r.frames + 1, sealed: sealed}
			for _, d := range broken {
				damage(d)
			}
			if err := commit(since, res); err != nil {
				return res, err
			}
			since, broken, loose = since[:0], nil, false
			r.reset()
			continue
		}
		d, err := digestOf(f.cid)
		if err != nil {
			return res, err
		}
		id := f.cid.Bytes()
		since = append(since, found{d, f.cid, location{p.id.series, p.id.num, f.offset, len(f.data), slices.Clone(id[:len(id)-32])}})
		r.add(f.header)
	}
	res.tail = size - res.end
	return res, nil
}

// resync returns the offset of the next frame at or behind from whose hash
// holds, -1 when there is none. It looks for what every frame's CID has: the
// code and length of a sha2-256.
func resync(f *os.File, from, size int64) (int64, error) {
	const window = 4 << 20
	buf := make([]byte, window)
	for at := from; at < size; {
		n, err := f.ReadAt(buf[:min(window, size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		b := buf[:n]
		for i := 0; ; {
			j := bytes.Index(b[i:], []byte{0x12, 0x20})
			if j < 0 {
				break
			}
			i += j
			for back := 1; back <= 8; back++ {
				start := at + int64(i-back)
				if start < from {
					break
				}
				sc := newScanner(io.NewSectionReader(f, start, min(size-start, MaxBlock+2*maxFrameHeader)), start)
				if _, err := sc.next(); err == nil {
					return start, nil
				}
			}
			i++
		}
		if at+int64(n) >= size {
			break
		}
		at += int64(n) - 16
	}
	return -1, nil
}

// recover brings index and packs together: frames that the index does not know
// are indexed, and what lies behind the last commit frame of the last pack of a
// series is cut off. Nothing else is changed.
func (s *Store) recover(ids []packID) error {
	last := make(map[byte]uint32)
	for _, id := range ids {
		last[id.series] = max(last[id.series], id.num)
	}
	for _, id := range ids {
		row, known, err := s.packRow(id)
		if err != nil {
			return err
		}
		if err := s.recoverPack(id, row, known, id.num == last[id.series]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) packRow(id packID) (row packRow, ok bool, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		b, err := get(txn, packKey(id.series, id.num))
		if err != nil || b == nil {
			return err
		}
		ok = true
		row, err = decodePackRow(b)
		return err
	})
	return row, ok, err
}

func (s *Store) recoverPack(id packID, row packRow, known, last bool) error {
	p, err := s.pack(id)
	if err != nil {
		return err
	}
	info, err := p.f.Stat()
	if err != nil {
		return err
	}
	if !known {
		row = packRow{end: int64(len(header))}
	}
	if known && info.Size() == row.end {
		return nil
	}
	if info.Size() < row.end {
		if last && !known {
			// A crash while the pack was made: it has no block yet.
			if _, err := p.f.WriteAt(header, 0); err != nil {
				return err
			}
			if err := p.f.Truncate(row.end); err != nil {
				return err
			}
			return p.f.Sync()
		}
		s.report(Damage{File: id.String() + ".car", Offset: info.Size(), Msg: fmt.Sprintf("%d committed bytes are missing", row.end-info.Size())})
		return nil
	}
	res, err := s.scan(context.Background(), p, row.end, func(fs []found, r scanResult) error {
		next := packRow{end: r.end, frames: row.frames + r.frames, blocks: row.blocks, sealed: r.sealed}
		n, err := s.indexFound(id, fs, next)
		row.blocks += n
		next.blocks = row.blocks
		return err
	}, s.report)
	if err != nil {
		return err
	}
	row.end = max(row.end, res.end)
	if res.tail == 0 {
		return nil
	}
	if !last || res.sealed || row.sealed {
		s.report(Damage{File: id.String() + ".car", Offset: row.end, Msg: fmt.Sprintf("%d bytes behind the last commit frame", res.tail)})
		return nil
	}
	s.o.Log.Info("cut off what was not committed", "pack", id.String(), "bytes", res.tail)
	if !known {
		// Without an index nothing says whether the last commit frame is missing
		// or damaged. What is cut off is kept beside the pack.
		if err := s.keepTail(p, row.end, res.tail); err != nil {
			return err
		}
	}
	if err := p.f.Truncate(row.end); err != nil {
		return err
	}
	return p.f.Sync()
}

// keepTail copies the n bytes from offset on into a file of their own.
func (s *Store) keepTail(p *packFile, offset, n int64) error {
	f, err := os.CreateTemp(s.packsDir(), fmt.Sprintf("%s.cut-%d-*", p.id, offset))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(p.f, offset, n))
	return errors.Join(err, f.Sync(), f.Close(), durable.Sync(s.packsDir()))
}

// indexFound indexes blocks that a scan found; one that is indexed already
// keeps its place. It returns how many it added.
func (s *Store) indexFound(id packID, fs []found, row packRow) (int64, error) {
	where := make(map[[32]byte]location)
	var order [][32]byte
	for _, f := range fs {
		if _, dup := where[f.digest]; dup {
			continue
		}
		if _, ok, err := s.locateDigest(f.digest); err != nil {
			return 0, err
		} else if ok {
			continue
		}
		where[f.digest] = f.loc
		order = append(order, f.digest)
	}
	n := int64(len(order))
	row.blocks += n
	if n == 0 {
		return 0, s.db.Update(func(txn *badger.Txn) error { return set(txn, packKey(id.series, id.num), row.encode()) })
	}
	return n, s.indexBlocks(id, order, where, row)
}

func (s *Store) report(d Damage) {
	s.o.Log.Error("damage in a pack", "file", d.File, "offset", d.Offset, "what", d.Msg)
}

func (s *Store) openTail(series Series, num uint32) (*tail, error) {
	t := &tail{series: seriesBytes[series], sem: make(chan struct{}, 1), num: num}
	if num == 0 {
		return t, nil
	}
	id := packID{t.series, num}
	row, ok, err := s.packRow(id)
	if err != nil {
		return nil, err
	}
	if !ok {
		row = packRow{end: int64(len(header))}
	}
	t.pack, err = s.pack(id)
	t.row, t.end, t.sealed = row, row.end, row.sealed
	if info, serr := t.pack.f.Stat(); serr == nil && info.Size() != t.end {
		t.sealed = true // damaged: leave it alone and go on in a new pack
	}
	return t, err
}
