package pack

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// stagedBuffer is the memory of a writer of which there are many at once.
const stagedBuffer = 64 << 10

// CreateStaged creates a private pack in a file of the caller's own, outside the
// store, with a small buffer: for whoever receives many at a time and does not
// know yet whether they will be adopted ([Store.Lend]). id is that of a private
// pack, and goes into its commit frames; a name that is taken is fault.Conflict.
func CreateStaged(name, id string) (*IncomingWriter, error) {
	if !incomingID.MatchString(id) {
		return nil, fault.New(fault.Invalid, "%s is no id of a private pack: 8 to 64 hex digits", fault.Quote(id))
	}
	return createIncoming(name, id, func(f *os.File, at int64) (appender, error) {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		return &buffered{bufio.NewWriterSize(f, stagedBuffer), at}, nil
	})
}

// buffered is an appender through the page cache.
type buffered struct {
	w  *bufio.Writer
	at int64
}

func (b *buffered) Write(parts ...[]byte) error {
	for _, p := range parts {
		n, err := b.w.Write(p)
		b.at += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *buffered) Offset() int64 { return b.at }
func (b *buffered) Flush() error  { return b.w.Flush() }
func (b *buffered) Close()        {}

// AppendAt is Append that also says where the block's bytes begin in the file.
func (w *IncomingWriter) AppendAt(ctx context.Context, c cid.Cid, data []byte) (offset int64, stored bool, err error) {
	stored, err = w.Append(ctx, c, data)
	return w.out.Offset() - int64(len(data)), stored, err
}

// Lend hands the file name, a private pack that is whole, to the store as the
// private pack id, for [Store.Adopt]. The file leaves its place; it must lie on
// the store's file system. A file that is not there is fault.NotFound.
func (s *Store) Lend(name, id string) error {
	to, err := incomingFile(s.dir, id)
	if err != nil {
		return err
	}
	if err := os.Rename(name, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fault.Mark(fault.NotFound, err)
		}
		return err
	}
	return errors.Join(durable.Sync(filepath.Dir(to)), durable.Sync(filepath.Dir(name)))
}

// Lent lists the ids of the private packs that wait for adoption.
func (s *Store) Lent() ([]string, error) {
	entries, err := os.ReadDir(s.incomingDir())
	var ids []string
	for _, e := range entries {
		if id, ok := cutCar(e.Name()); ok && incomingID.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids, err
}

func cutCar(name string) (string, bool) {
	id := name[:max(0, len(name)-len(".car"))]
	return id, name == id+".car"
}

// Discard removes the private pack id, which nobody will adopt; one that is not
// there is no error.
func (s *Store) Discard(id string) error {
	name, err := incomingFile(s.dir, id)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
