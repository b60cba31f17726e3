// Package index answers questions about the log: who, what, on which terms,
// from what. It keeps the fold's state and its secondary lookups in Badger.
//
// The index is derived and disposable: the log and the bodies that it names
// rebuild it to the same rows ([Index.Dump]). Nothing is stored here alone.
// Whenever the database is not exactly what this package wrote, the answer is
// an error that wraps [ErrRebuild], never a guess: the caller moves the folder
// aside and replays the log into a new one.
//
// keys.go holds the key layout, on one page.
package index

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
)

// ErrRebuild is wrapped by every error that means: this folder cannot be
// trusted or read. Close the index if it is open, move the folder aside, and
// replay the log into a new one. Retrying does not help.
var ErrRebuild = errors.New("the index must be rebuilt")

// Options say how to open an index.
type Options struct {
	// Origin is the log's origin. It is written into a new index, and an index
	// of another origin is refused with ErrRebuild.
	Origin string
	// InMemory keeps everything in memory; dir must be "". For tests and small logs.
	InMemory bool
	// Rebuild makes a new index for a long replay: dir must not exist or be
	// empty, and writes are not synced one by one. The index is valid only once
	// Close has returned nil; after a crash before that, Open gives ErrRebuild.
	Rebuild bool
	// Probe, when set, is called before an index is opened that was not closed
	// cleanly. It should run [Probe] on the folder in a child process, because a
	// damaged table or a full disk can end the process that maps it, and return
	// an error when the child fails.
	Probe func(dir string) error
	// Log receives what the database has to say; nil discards it.
	Log *slog.Logger
}

// An Index is an open index. Queries may run concurrently with each other and
// with Apply.
type Index struct {
	origin string
	dir    string // "" in memory
	bulk   bool   // Options.Rebuild
	lock   *dirLock
	seen   map[string]seenFile // tables as they were when the index was opened

	// mu is held for reading while the database is in use, and for writing to
	// close it.
	mu sync.RWMutex
	db *badger.DB // nil once closed

	// applying serialises Apply and guards what follows. It is held across
	// commits; no query takes it.
	applying sync.Mutex
	meta     metaRow
	digest   [32]byte
	counts   map[byte]uint64
	inForce  *fold.SetRegistry
	failed   error // the commit that failed; no entry is taken after it
}

// metaRow is the row of table meta that says what the index is, and where it is.
type metaRow struct {
	Format  int    `json:"format"`
	Origin  string `json:"origin"`
	Applied uint64 `json:"applied"`
	Digest  string `json:"digest"`
}

var errClosed = errors.New("the index is closed")

// Applied returns how many entries were applied, and the fold's digest after
// the last of them. It is read from the database.
func (x *Index) Applied() (n uint64, digest [32]byte, err error) {
	err = x.View(func(s *Snapshot) error {
		n, digest = s.Applied(), s.Digest()
		return nil
	})
	return n, digest, err
}

// View runs fn on a snapshot: all that fn asks is answered at one size of the
// log. The snapshot must not be used after fn returns, and fn must not close
// the index.
func (x *Index) View(fn func(*Snapshot) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.db == nil {
		return fault.Mark(fault.Internal, errClosed)
	}
	txn := x.db.NewTransaction(false)
	defer txn.Discard()
	r := reader{txn}
	meta, digest, err := r.meta()
	if err != nil {
		return err
	}
	return fn(&Snapshot{reader: r, applied: meta.Applied, digest: digest})
}

// damaged is the error for a database that is not what this package wrote.
func damaged(format string, args ...any) error {
	return fault.WithHint(
		fault.New(fault.Internal, "%w: %w", ErrRebuild, fmt.Errorf(format, args...)),
		"the log has everything that is in the index: rebuild it")
}

// Bytes is how large the index is on disk; 0 once it is closed. The database
// measures it about once a minute.
func (x *Index) Bytes() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.db == nil {
		return 0
	}
	tables, logs := x.db.Size()
	return tables + logs
}
