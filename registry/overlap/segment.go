package overlap

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A posting says that a dataset has a hash.
type posting struct {
	hash  uint64
	owner uint64 // index of the dataset's entry, and its kind in the top bit
}

// The kinds of hashes, in the top bit of an owner.
const (
	ofRecord = 0
	ofChunk  = 1 << 63
)

func (a posting) compare(b posting) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.owner, b.owner))
}

const (
	segmentMagic = "cairn-overlap/1\n"
	postingSize  = 16
	// pagePostings are read at once: 4 KiB.
	pagePostings = 256
	// segmentTail is the xxh64 of all before.
	segmentTail = 8
)

// A segment is a file of postings in order, never changed: magic, postings, the
// xxh64 of both. It is checked when it is opened.
type segment struct {
	name string
	f    *os.File
	n    int
	// fence holds the first hash of each page.
	fence []uint64
	page  []byte // the page that was read last
	at    int
}

func openSegment(dir, name string) (s *segment, err error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	n := info.Size() - int64(len(segmentMagic)) - segmentTail
	if n < 0 || n%postingSize != 0 {
		return nil, damaged(name)
	}
	s = &segment{name: name, f: f, n: int(n / postingSize), page: make([]byte, 0, pagePostings*postingSize), at: -1}
	sum := xxhash.New()
	r := bufio.NewReaderSize(io.TeeReader(io.NewSectionReader(f, 0, info.Size()-segmentTail), sum), 64<<10)
	head := make([]byte, len(segmentMagic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != segmentMagic {
		return nil, damaged(name)
	}
	var b [postingSize]byte
	for i := range s.n {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, err
		}
		if i%pagePostings == 0 {
			s.fence = append(s.fence, binary.BigEndian.Uint64(b[:]))
		}
	}
	var tail [segmentTail]byte
	if _, err := f.ReadAt(tail[:], info.Size()-segmentTail); err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint64(tail[:]) != sum.Sum64() {
		return nil, damaged(name)
	}
	return s, nil
}

func damaged(name string) error {
	return fault.WithHint(fault.New(fault.Internal, "the overlap index is damaged: %s", name), "make it anew with \"cairn rebuild --overlap\"")
}

func (s *segment) close() error { return s.f.Close() }

// owners appends who has a hash. Asked for ascending hashes, it reads each page
// once.
func (s *segment) owners(dst []uint64, hash uint64) ([]uint64, error) {
	// The first page that can hold the hash is the one before the first fence
	// that is not below it.
	first := max(sort.Search(len(s.fence), func(i int) bool { return s.fence[i] >= hash })-1, 0)
	for p := first; p < len(s.fence) && s.fence[p] <= hash; p++ {
		if err := s.load(p); err != nil {
			return dst, err
		}
		n := len(s.page) / postingSize
		i := sort.Search(n, func(i int) bool { return binary.BigEndian.Uint64(s.page[i*postingSize:]) >= hash })
		for ; i < n && binary.BigEndian.Uint64(s.page[i*postingSize:]) == hash; i++ {
			dst = append(dst, binary.BigEndian.Uint64(s.page[i*postingSize+8:]))
		}
		if i < n {
			break
		}
	}
	return dst, nil
}

func (s *segment) load(page int) error {
	if s.at == page {
		return nil
	}
	from := page * pagePostings
	s.page, s.at = s.page[:min(pagePostings, s.n-from)*postingSize], -1
	if _, err := s.f.ReadAt(s.page, int64(len(segmentMagic)+from*postingSize)); err != nil {
		return err
	}
	s.at = page
	return nil
}

// all gives the postings in order.
func (s *segment) all() func() (posting, bool, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(s.f, int64(len(segmentMagic)), int64(s.n*postingSize)), 64<<10)
	return func() (posting, bool, error) {
		var b [postingSize]byte
		if _, err := io.ReadFull(r, b[:]); errors.Is(err, io.EOF) {
			return posting{}, false, nil
		} else if err != nil {
			return posting{}, false, err
		}
		return posting{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}, true, nil
	}
}

// writeSegment writes the postings of next, which ascend, as a new file.
func writeSegment(dir, name string, next func() (posting, bool, error)) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := xxhash.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 64<<10)
	w.WriteString(segmentMagic)
	var b [postingSize]byte
	for {
		p, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		binary.BigEndian.PutUint64(b[:], p.hash)
		binary.BigEndian.PutUint64(b[8:], p.owner)
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := f.Write(binary.BigEndian.AppendUint64(nil, sum.Sum64())); err != nil {
		return err
	}
	return f.Sync()
}

// sortedPostings sorts list, and gives it in order.
func sortedPostings(list []posting) func() (posting, bool, error) {
	slices.SortFunc(list, posting.compare)
	i := 0
	return func() (posting, bool, error) {
		if i == len(list) {
			return posting{}, false, nil
		}
		i++
		return list[i-1], true, nil
	}
}

// merged gives the postings of two segments in order.
func merged(a, b func() (posting, bool, error)) func() (posting, bool, error) {
	x, okx, errx := a()
	y, oky, erry := b()
	return func() (posting, bool, error) {
		if err := errors.Join(errx, erry); err != nil {
			return posting{}, false, fmt.Errorf("merging: %w", err)
		}
		var out posting
		switch {
		case !okx && !oky:
			return posting{}, false, nil
		case !oky || okx && x.compare(y) <= 0:
			out = x
			x, okx, errx = a()
		default:
			out = y
			y, oky, erry = b()
		}
		return out, true, nil
	}
}
