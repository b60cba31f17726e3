package pack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/ingest/internal/direct"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// incomingPrefix begins the name that a private pack has in its commit frames.
const incomingPrefix = "incoming-"

var incomingID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// An IncomingWriter writes a private pack: the way of a process that adds to a
// home whose store another process has open. It knows no index; whoever owns
// the store adopts the pack. It is used by one goroutine.
type IncomingWriter struct {
	name string
	f    *os.File
	out  appender
	run  *run
	seen map[[32]byte]bool
}

// An appender writes the bytes of a private pack.
type appender interface {
	Write(parts ...[]byte) error
	Offset() int64
	Flush() error
	Close()
}

func incomingFile(dir, id string) (string, error) {
	if !incomingID.MatchString(id) {
		return "", fault.New(fault.Invalid, "%s is no id of a private pack: 8 to 64 hex digits", fault.Quote(id))
	}
	return filepath.Join(dir, "incoming", id+".car"), nil
}

// CreateIncoming creates the private pack id below dir, the folder of a store.
// An id is 8 to 64 lower-case hex digits; one that is taken is fault.Conflict.
func CreateIncoming(dir, id string) (*IncomingWriter, error) {
	name, err := incomingFile(dir, id)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return createIncoming(name, id, func(f *os.File, at int64) (appender, error) { return direct.NewWriter(f, at) })
}

func createIncoming(name, id string, writer func(*os.File, int64) (appender, error)) (*IncomingWriter, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			err = fault.Mark(fault.Conflict, err)
		}
		return nil, err
	}
	if _, err := f.WriteAt(header, 0); err != nil {
		f.Close()
		os.Remove(name)
		return nil, durable.NoSpace(err)
	}
	out, err := writer(f, int64(len(header)))
	if err != nil {
		f.Close()
		os.Remove(name)
		return nil, err
	}
	return &IncomingWriter{name: name, f: f, out: out, run: newRun(incomingPrefix + id), seen: make(map[[32]byte]bool)}, nil
}

// Append adds a block; stored is false for one that this pack has already. Bytes
// and CID are taken as they are, and data is copied. Codes: fault.TooLarge beyond
// [MaxBlock]; fault.Invalid for a CID that is not a whole sha2-256;
// fault.NoSpace. After any other error the pack is to be aborted.
func (w *IncomingWriter) Append(ctx context.Context, c cid.Cid, data []byte) (stored bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	if len(data) > MaxBlock {
		return false, fault.New(fault.TooLarge, "the block %s has %d bytes, the limit is %d", c, len(data), MaxBlock)
	}
	d, err := digestOf(c)
	if err != nil || w.seen[d] {
		return false, err
	}
	if isCommitLike(data) {
		if err := w.Commit(ctx); err != nil {
			return false, err
		}
	}
	var hb [maxFrameHeader]byte
	h := appendFrameHeader(hb[:0], c, len(data))
	if err := w.out.Write(h, data); err != nil {
		return false, durable.NoSpace(err)
	}
	w.run.add(h)
	w.seen[d] = true
	return true, nil
}

// Commit makes what was appended durable. Only what is committed is adopted.
func (w *IncomingWriter) Commit(context.Context) error {
	if w.run.frames == 0 {
		return nil
	}
	payload, err := cjson.Marshal(w.run.commit(w.out.Offset(), false))
	if err != nil {
		return err
	}
	var hb [maxFrameHeader]byte
	err = w.out.Write(appendFrameHeader(hb[:0], cjson.RawCID(payload), len(payload)), payload)
	if err == nil {
		err = w.out.Flush()
	}
	if err == nil {
		err = w.f.Sync()
	}
	if err != nil {
		return durable.NoSpace(err)
	}
	w.run.reset()
	return durable.Sync(filepath.Dir(w.name))
}

// Close closes the file, which stays to be adopted. What was appended since the
// last Commit makes it a pack that no store adopts.
func (w *IncomingWriter) Close() error {
	w.out.Close()
	return w.f.Close()
}

// Abort closes the file and removes it.
func (w *IncomingWriter) Abort() error {
	return errors.Join(w.Close(), os.Remove(w.name))
}

// Adopt makes the private pack id a pack of the data series: it is scanned
// whole, every block against its hash, then renamed, then indexed. Blocks that
// are stored already keep their place. When Adopt returns nil its blocks are
// durable and found. A pack that is not whole is fault.Unverified and stays
// where it is. An id that is not there is fault.NotFound; so is one that was
// adopted before.
func (s *Store) Adopt(ctx context.Context, id string) (Stats, error) {
	return s.AdoptFrom(ctx, s, id)
}

// AdoptFrom adopts a private pack that lies in the folder of another store, on
// the same file system. See [Store.Adopt].
func (s *Store) AdoptFrom(ctx context.Context, from *Store, id string) (Stats, error) {
	name, err := incomingFile(from.dir, id)
	if err != nil {
		return Stats{}, err
	}
	t := s.tails[Data]
	select {
	case t.sem <- struct{}{}:
	case <-ctx.Done():
		return Stats{}, context.Cause(ctx)
	}
	defer func() { <-t.sem }()
	if err := s.Err(); err != nil {
		return Stats{}, err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = fault.New(fault.NotFound, "there is no private pack %s", id)
		}
		return Stats{}, err
	}
	p := &packFile{packID{t.series, t.num + 1}, f}
	adopted := false
	defer func() {
		if !adopted {
			f.Close()
		}
	}()
	head := make([]byte, len(header))
	if _, err := f.ReadAt(head, 0); err != nil || string(head) != string(header) {
		return Stats{}, fault.New(fault.Unverified, "the private pack %s has no header", id)
	}
	var damage []Damage
	res, err := s.scan(ctx, p, int64(len(header)), func([]found, scanResult) error { return nil }, func(d Damage) { damage = append(damage, d) })
	if err != nil {
		return Stats{}, err
	}
	if len(damage) > 0 || res.tail > 0 || res.frames == 0 {
		return Stats{}, fault.New(fault.Unverified, "the private pack %s is not whole", id)
	}
	if err := f.Sync(); err != nil {
		return Stats{}, s.fail(err)
	}
	if err := os.Rename(name, filepath.Join(s.packsDir(), p.id.String()+".car")); err != nil {
		return Stats{}, err
	}
	if err := errors.Join(durable.Sync(s.packsDir()), durable.Sync(filepath.Dir(name))); err != nil {
		return Stats{}, s.fail(err)
	}
	adopted = true
	s.mu.Lock()
	s.packs[p.id] = p
	s.mu.Unlock()
	// From here on a crash leaves what the recovery scan of the next Open indexes.
	var stats Stats
	row := packRow{end: int64(len(header))}
	_, err = s.scan(ctx, p, row.end, func(fs []found, r scanResult) error {
		next := packRow{end: r.end, frames: r.frames, blocks: row.blocks, sealed: r.sealed}
		n, err := s.indexFound(p.id, fs, next)
		next.blocks += n
		row = next
		stats.Blocks += int64(len(fs))
		stats.NewBlocks += n
		return err
	}, func(Damage) {})
	if err != nil {
		return stats, s.fail(err)
	}
	t.pack, t.num, t.end, t.row, t.sealed = p, p.id.num, row.end, row, row.sealed
	return stats, nil
}
