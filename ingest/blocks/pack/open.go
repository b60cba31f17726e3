package pack

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/ipfs/go-cid"
)

// largeFrame is from how many bytes on a block that was verified is remembered
// as such by OpenBlock. Two frames of that size never begin in the same 64 KiB
// of a pack, so that a bit is enough: 2 MiB of memory for a tebibyte of packs.
const largeFrame = 64 << 10

// OpenBlock returns the bytes of c to be read in parts, and how many there are.
// They were hashed when OpenBlock returns, by it or by an earlier call since the
// pack was opened: damage that was there is never handed out, damage that comes
// later may be, whatever Options.Verify says. Codes are those of [Store.Block].
// The reader is good until the store is closed; it holds a block of 64 KiB or
// more on disk, not in memory.
func (s *Store) OpenBlock(ctx context.Context, c cid.Cid) (io.ReaderAt, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	l, ok, err := s.locate(c)
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, notFound(c)
	}
	id := packID{l.series, l.num}
	if l.size < largeFrame || !s.large.has(id, l.offset) {
		b, err := s.read(c, l)
		if err != nil {
			return nil, 0, err
		}
		if l.size < largeFrame {
			return bytes.NewReader(b), int64(l.size), nil
		}
		s.large.add(id, l.offset)
	}
	// Read again from the page cache: a reader that is slow holds no block.
	p, err := s.pack(id)
	if err != nil {
		return nil, 0, err
	}
	return io.NewSectionReader(p.f, l.offset+l.frameHeaderLen(), int64(l.size)), int64(l.size), nil
}

// A frameSet is a set of large frames.
type frameSet struct {
	mu    sync.RWMutex
	packs map[packID][]uint64
}

func (f *frameSet) has(id packID, offset int64) bool {
	bit := uint64(offset / largeFrame)
	f.mu.RLock()
	defer f.mu.RUnlock()
	words := f.packs[id]
	return bit/64 < uint64(len(words)) && words[bit/64]&(1<<(bit%64)) != 0
}

func (f *frameSet) add(id packID, offset int64) {
	bit := uint64(offset / largeFrame)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.packs == nil {
		f.packs = make(map[packID][]uint64)
	}
	words := f.packs[id]
	for uint64(len(words)) <= bit/64 {
		words = append(words, 0)
	}
	words[bit/64] |= 1 << (bit % 64)
	f.packs[id] = words
}
