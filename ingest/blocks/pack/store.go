// Package pack stores blocks in append-only CAR files, with a Badger index over
// them. Any IPFS tool can import a pack; the index is derived and made anew from
// the packs whenever it cannot be trusted.
//
// A pack is a CARv1 whose only root is the empty identity CID bafkqaaa, "no
// root". Its frames are blocks of at most [MaxBlock] bytes under a whole
// sha2-256, in the order in which they were appended. Between them stand commit
// frames, which are ordinary raw blocks: a commit frame names its pack and
// offset, the number of frames since the one before it, and the SHA-256 of
// their headers, and so vouches that everything in front of it is whole.
// FORMAT.md has the details.
//
// Blocks come in batches. Each series of packs has one writer at a time, and a
// batch is its transaction: frames, one commit frame, one fsync, one index
// transaction. A block is found from then on, never before. A pack is sealed by
// the first commit at or past [Options.MaxPack], and the next block begins
// another; so a pack may be larger by what one commit covers, at most about
// 1 GiB, and no commit spans two packs. An adopted pack keeps its size.
//
// After a crash, Open cuts what lies behind the last commit frame of the last
// unsealed pack of a series, and nothing anywhere else: bytes that do not hold
// further in front are damage. Damage is logged, found by [Store.CheckAll], and
// passed over at the next frame whose hash holds; it never stops the rest. When
// the index is gone too, nothing tells a last commit that was damaged from one
// that never was: what is cut then is kept beside the pack, as
// <pack>.cut-<offset>-*.
//
// A failed write or sync poisons the store ([Store.Err]): what is on the disk is
// not known until the next Open reads it. A full disk is no such failure. The
// store refuses with fault.NoSpace while 64 MiB are still free, so that the
// index can be closed in order.
//
// One process at a time may have a store open; others hand in private packs
// ([CreateIncoming], [Store.Adopt]). Nothing is ever deleted.
package pack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"golang.org/x/sys/unix"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Series is a sequence of packs with one writer.
type Series string

// The series: data, and the bodies and documents of the registry, which a
// replay reads in order.
const (
	Data    Series = "data"
	Records Series = "records"
)

var seriesBytes = map[Series]byte{Data: 'd', Records: 'r'}

func seriesOf(b byte) Series {
	if b == 'r' {
		return Records
	}
	return Data
}

// VerifyMode says when a block is hashed on its way out.
type VerifyMode int

// The modes. Under Once, damage that is there at the first read is never handed
// out; what rots later is found by CheckAll and by whoever hashes for themselves.
const (
	Always VerifyMode = iota // on every read
	Once                     // on its first read since the store was opened
)

// DefaultMaxPack is the size, in bytes, from which on a commit seals the pack.
const DefaultMaxPack = 4 << 30

// Options are the choices of a store. The zero value is good.
type Options struct {
	MaxPack int64        // bytes from which on a commit seals the pack; 0 or less means DefaultMaxPack
	Verify  VerifyMode   // Always when zero
	Log     *slog.Logger // nil discards
}

// A Store is an open block store. It is safe for concurrent use: readers wait
// for nobody, batches of one series for each other.
type Store struct {
	dir string
	o   Options
	db  *badger.DB

	mu    sync.RWMutex // guards packs
	packs map[packID]*packFile

	tails map[Series]*tail

	poison   atomic.Pointer[error]
	verified sync.Map // place -> struct{}, in mode Once
	damaged  atomic.Int64
	large    frameSet // verified by OpenBlock since their pack was opened

	records recordQueue
}

type packID struct {
	series byte
	num    uint32
}

func (id packID) String() string { return fmt.Sprintf("%s-%08d", seriesOf(id.series), id.num) }

func parsePackName(name string) (packID, bool) {
	base, ok := strings.CutSuffix(name, ".car")
	series, num, ok2 := strings.Cut(base, "-")
	n, err := strconv.ParseUint(num, 10, 32)
	b, ok3 := seriesBytes[Series(series)]
	id := packID{b, uint32(n)}
	return id, ok && ok2 && ok3 && err == nil && n > 0 && id.String() == base
}

// A place is where a frame begins.
type place struct {
	pack   packID
	offset int64
}

type packFile struct {
	id packID
	f  *os.File
}

// Open opens the store in dir, making it when it is not there. It cuts what a
// crash left uncommitted, and brings the index up to the packs; without an index
// it reads every pack. Damage is logged, and does not keep a store from opening.
// A store that is open already, here or in another process, is fault.Busy.
func Open(dir string, o Options) (*Store, error) {
	if o.MaxPack <= 0 {
		o.MaxPack = DefaultMaxPack
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dir: dir, o: o, packs: make(map[packID]*packFile), tails: make(map[Series]*tail)}
	for _, d := range []string{dir, s.packsDir(), s.incomingDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	if err := s.open(); err != nil {
		s.closeFiles()
		if s.db != nil {
			s.db.Close()
		}
		return nil, err
	}
	return s, nil
}

func (s *Store) packsDir() string    { return filepath.Join(s.dir, "packs") }
func (s *Store) indexDir() string    { return filepath.Join(s.dir, "index") }
func (s *Store) incomingDir() string { return filepath.Join(s.dir, "incoming") }

func (s *Store) open() error {
	entries, err := os.ReadDir(s.packsDir())
	if err != nil {
		return err
	}
	var ids []packID
	for _, e := range entries {
		id, ok := parsePackName(e.Name())
		if !ok {
			continue
		}
		if _, err := s.openPack(id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := s.openIndex(ids); err != nil {
		return err
	}
	if err := s.recover(ids); err != nil {
		return err
	}
	for series, b := range seriesBytes {
		var last uint32
		for _, id := range ids {
			if id.series == b {
				last = max(last, id.num)
			}
		}
		t, err := s.openTail(series, last)
		if err != nil {
			return err
		}
		s.tails[series] = t
	}
	s.records.init(s)
	return nil
}

// openIndex opens Badger. An index that does not open, or has lost something,
// is made anew: the packs hold everything.
func (s *Store) openIndex(ids []packID) error {
	dir := s.indexDir()
	clean, err := takeMark(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // there is none yet
	}
	if err == nil {
		s.db, err = openIndex(dir, s.o.Log)
	}
	if err != nil && strings.Contains(err.Error(), "Cannot acquire directory lock") {
		return fault.New(fault.Busy, "another process has the block store open: %w", err)
	}
	if err == nil && !clean {
		ok, cerr := s.counted(ids)
		if cerr != nil || !ok {
			err = errors.Join(errors.New("it was not closed in order, and has lost blocks"), cerr, s.db.Close())
		}
	}
	if err == nil {
		return nil
	}
	s.o.Log.Warn("the block index cannot be trusted and is rebuilt", "error", err)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	s.db, err = openIndex(dir, s.o.Log)
	return err
}

func (s *Store) openPack(id packID) (*packFile, error) {
	f, err := os.OpenFile(filepath.Join(s.packsDir(), id.String()+".car"), os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	p := &packFile{id, f}
	s.mu.Lock()
	s.packs[id] = p
	s.mu.Unlock()
	return p, nil
}

func (s *Store) pack(id packID) (*packFile, error) {
	s.mu.RLock()
	p := s.packs[id]
	s.mu.RUnlock()
	if p == nil {
		return nil, fault.New(fault.Unverified, "the pack %s is missing", id)
	}
	return p, nil
}

// newest returns the number of the last pack of a series, 0 when it has none.
func (s *Store) newest(series byte) (num uint32) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := range s.packs {
		if id.series == series {
			num = max(num, id.num)
		}
	}
	return num
}

func (s *Store) closeFiles() {
	for _, p := range s.packs {
		p.f.Close()
	}
}

// fail poisons the store: after a failed write or sync nobody knows what is on
// the disk, and the next Open reads it again.
func (s *Store) fail(err error) error {
	s.poison.CompareAndSwap(nil, &err)
	return err
}

// Err returns the error that poisoned the store, as fault.Internal, or nil. A
// poisoned store takes no block any more, and goes on giving out what it has;
// close it and open it again.
func (s *Store) Err() error {
	if p := s.poison.Load(); p != nil {
		return fault.New(fault.Internal, "the block store stopped after a failed write: %w", *p)
	}
	return nil
}

// Close closes the store. All batches must be closed before, and nobody may use
// the store after. It syncs nothing: what Commit returned for is on disk.
func (s *Store) Close() error {
	s.records.stop()
	err := s.db.Close()
	if err == nil && s.Err() == nil {
		err = markClean(s.indexDir())
	}
	s.closeFiles()
	return err
}

// Sync does nothing, because whatever Put and Commit returned for is on disk. It
// returns [Store.Err].
func (s *Store) Sync(context.Context) error { return s.Err() }

func (s *Store) locate(c cid.Cid) (location, bool, error) {
	d, err := digestOf(c)
	if err != nil {
		return location{}, false, err
	}
	return s.locateDigest(d)
}

func (s *Store) locateDigest(d [32]byte) (l location, ok bool, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		b, err := get(txn, blockKey(d))
		if err != nil || b == nil {
			return err
		}
		ok = true
		l, err = decodeLocation(b)
		return err
	})
	return l, ok, err
}

func notFound(c cid.Cid) error { return fault.Mark(fault.NotFound, ipld.ErrNotFound{Cid: c}) }

// Block returns the bytes of c, hashed as Options.Verify says. Codes:
// fault.NotFound; fault.Unverified for a frame that is damaged, with its pack and
// offset; fault.Invalid for a CID that is not a whole SHA-256.
func (s *Store) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, ok, err := s.locate(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound(c)
	}
	return s.read(c, l)
}

func (s *Store) read(c cid.Cid, l location) ([]byte, error) {
	id := packID{l.series, l.num}
	p, err := s.pack(id)
	if err != nil {
		return nil, err
	}
	// The header is read into a place of its own, so that a large block lies on
	// a page: whoever writes it to a file can do so directly.
	head, data := make([]byte, l.frameHeaderLen()), make([]byte, l.size)
	if err := readFrame(p.f, head, data, l.offset); err != nil {
		s.damaged.Add(1)
		return nil, fault.New(fault.Unverified, "%s, offset %d: the block %s cannot be read: %w", id, l.offset, c, err)
	}
	at := place{id, l.offset}
	if s.o.Verify == Once {
		if _, seen := s.verified.Load(at); seen {
			return data, nil
		}
	}
	if err := s.check(c, l, head, data); err != nil {
		return nil, err
	}
	if s.o.Verify == Once {
		s.verified.Store(at, struct{}{})
	}
	return data, nil
}

// readFrame reads a frame's header and data in one go.
func readFrame(f *os.File, head, data []byte, off int64) error {
	if conn, err := f.SyscallConn(); err == nil && len(data) > 0 {
		whole := false
		err := conn.Control(func(fd uintptr) {
			n, err := unix.Preadv(int(fd), [][]byte{head, data}, off)
			whole = err == nil && n == len(head)+len(data)
		})
		if err == nil && whole {
			return nil
		}
	}
	// Interrupted, or at the end of the file: in two reads, which say what it is.
	if _, err := f.ReadAt(head, off); err != nil {
		return err
	}
	_, err := f.ReadAt(data, off+int64(len(head)))
	return err
}

// check compares what was read with what the index and the CID say.
func (s *Store) check(c cid.Cid, l location, head, data []byte) error {
	want, err := digestOf(c)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	expect := appendUvarintFrame(l.prefix, want, l.size)
	if sum != want || !slices.Equal(head, expect) {
		s.damaged.Add(1)
		return fault.New(fault.Unverified, "%s, offset %d: the bytes of block %s are damaged", packID{l.series, l.num}, l.offset, c)
	}
	return nil
}

func appendUvarintFrame(prefix []byte, d [32]byte, size int) []byte {
	id := append(append([]byte(nil), prefix...), d[:]...)
	b := make([]byte, 0, maxFrameHeader)
	n := uint64(len(id) + size)
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	b = append(b, byte(n))
	return append(b, id...)
}

// Size returns the length of the block in bytes, from the index, without reading
// it. Codes: fault.NotFound; fault.Invalid as for [Store.Block].
func (s *Store) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	l, ok, err := s.locate(c)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, notFound(c)
	}
	return uint64(l.size), nil
}

// Missing returns those of cids that are not stored, in their order. It asks the
// index alone: a block that is stored and damaged is not missing.
func (s *Store) Missing(ctx context.Context, cids []cid.Cid) ([]cid.Cid, error) {
	var missing []cid.Cid
	for _, c := range cids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ok, err := s.Has(ctx, c)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, c)
		}
	}
	return missing, nil
}

// What follows are the methods of boxo's blockstore.Blockstore and Viewer.

// Has reports whether c is stored, under whatever codec and version its digest
// came. It asks the index alone. A CID that is not a whole sha2-256 is
// fault.Invalid.
func (s *Store) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, ok, err := s.locate(c)
	return ok, err
}

// Get returns [Store.Block] under the CID it was asked for.
func (s *Store) Get(ctx context.Context, c cid.Cid) (block.Block, error) {
	b, err := s.Block(ctx, c)
	if err != nil {
		return nil, err
	}
	return block.NewBlockWithCid(b, c)
}

// View calls fn with the bytes of c, which are fn's own, and returns what fn
// returns. Errors are those of [Store.Block].
func (s *Store) View(ctx context.Context, c cid.Cid, fn func([]byte) error) error {
	b, err := s.Block(ctx, c)
	if err != nil {
		return err
	}
	return fn(b)
}

// GetSize is [Store.Size]; the length is -1 beside an error.
func (s *Store) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := s.Size(ctx, c)
	if err != nil {
		return -1, err
	}
	return int(n), nil
}

// Put stores b in the data series, as PutMany does.
func (s *Store) Put(ctx context.Context, b block.Block) error {
	return s.PutMany(ctx, []block.Block{b})
}

// PutMany stores blocks in the data series, in one batch: when it returns nil
// they are durable and found, and it costs one fsync however many they are. It
// waits while another batch has the series. Blocks that are stored already are
// passed over. Bytes that are not those of their CID are fault.Invalid; other
// codes are those of [Batch.Append]. After an error none of the blocks is
// stored, unless they were so many that the batch had committed by itself.
func (s *Store) PutMany(ctx context.Context, bs []block.Block) error {
	batch, err := s.Batch(ctx, Data)
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, b := range bs {
		d, err := digestOf(b.Cid())
		if err != nil {
			return err
		}
		if sha256.Sum256(b.RawData()) != d {
			return fault.New(fault.Invalid, "the bytes are not those of %s", b.Cid())
		}
		if _, err := batch.Append(ctx, b.Cid(), b.RawData()); err != nil {
			return err
		}
	}
	return batch.Commit(ctx)
}

// DeleteBlock is always fault.Denied: nothing is deleted before collection exists.
func (s *Store) DeleteBlock(context.Context, cid.Cid) error {
	return fault.New(fault.Denied, "blocks are not deleted: collection is not built yet")
}

// AllKeysChan lists every block once, as a CIDv1 of the raw codec, in the order
// of the digests: those of one moment, whatever is put meanwhile. The channel
// is closed at the end, when ctx ends, and after an error, which is only logged.
// Whoever stops reading before must end ctx.
func (s *Store) AllKeysChan(ctx context.Context) (<-chan cid.Cid, error) {
	out := make(chan cid.Cid)
	go func() {
		defer close(out)
		err := s.each(ctx, func(d [32]byte, l location) error {
			c, err := cid.Cast(append(slices.Clone(l.prefix), d[:]...))
			if err != nil {
				return err
			}
			select {
			case out <- cid.NewCidV1(cid.Raw, c.Hash()):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil && ctx.Err() == nil {
			s.o.Log.Error("listing blocks", "error", err)
		}
	}()
	return out, nil
}

func (s *Store) each(ctx context.Context, fn func(d [32]byte, l location) error) error {
	return s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: []byte{prefixBlock}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			item := it.Item()
			key := item.Key()
			if len(key) != 33 {
				return errors.New("a key of the wrong length")
			}
			err := item.Value(func(v []byte) error {
				p, err := unframe(key, v)
				if err != nil {
					return err
				}
				l, err := decodeLocation(p)
				if err != nil {
					return err
				}
				return fn([32]byte(key[1:]), l)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
