package index

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
)

// dbOptions are the settings of the database. Values are far below the value
// threshold, so the value log is never used; tables are verified when they are
// opened (the stricter modes of the library end the process or hide keys).
// 14 MiB tables give a transaction 2,202,009 bytes and 22,937 keys; their memory is
// zeroed when an add opens the index, and counts.
func dbOptions(dir string, o Options) badger.Options {
	opts := badger.DefaultOptions(dir).
		WithSyncWrites(!o.Rebuild && !o.InMemory).
		WithValueThreshold(1 << 20).
		WithMemTableSize(14 << 20).WithNumMemtables(2).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).
		WithNumCompactors(2).
		WithBlockCacheSize(16 << 20).WithIndexCacheSize(16 << 20).
		WithValueLogFileSize(16 << 20).
		WithChecksumVerificationMode(options.OnTableRead).
		WithDetectConflicts(true).WithNumVersionsToKeep(1).
		WithExternalMagic(format).
		WithMetricsEnabled(false).
		WithLogger(dbLog{o.Log})
	if o.InMemory {
		opts = opts.WithInMemory(true)
	}
	return opts
}

// Open opens the index in dir, or makes an empty one when dir does not exist
// or holds none. It returns ErrRebuild for a folder that is damaged, unfinished,
// of another format or of another origin, and fault.Busy when a process has it open.
func Open(dir string, o Options) (*Index, error) {
	if o.Origin == "" {
		return nil, fault.New(fault.Invalid, "opening an index: no origin")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.InMemory {
		if dir != "" {
			return nil, fault.New(fault.Invalid, "opening an index in memory: it has no folder")
		}
		return load(nil, "", o, true)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the index: %w", err)
	}
	lock, err := lockDir(filepath.Join(dir, lockFile))
	if err == nil && o.Probe != nil && readState(dir).word == stateOpen {
		lock, err = probe(lock, dir, o.Probe)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the index: %w", err)
	}
	x, err := openLocked(lock, dir, o)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return x, nil
}

// Probe opens the index in dir, reads everything in it, and closes it. After
// it returned nil the folder is clean. It is for a child process: see [Options].
func Probe(ctx context.Context, dir, origin string) error {
	x, err := Open(dir, Options{Origin: origin})
	if err != nil {
		return err
	}
	_, err = x.Check(ctx)
	return errors.Join(err, x.Close())
}

// probe lends the folder to a child process that reads it whole, and takes it
// back. A folder that somebody else took in between is theirs, whatever the
// child said.
func probe(lock *dirLock, dir string, child func(dir string) error) (*dirLock, error) {
	if err := lock.release(); err != nil {
		return nil, err
	}
	failed := child(dir)
	lock, err := lockDir(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, errors.Join(damaged("it was not closed, and reading it in a child process failed: %w", failed), lock.release())
	}
	return lock, nil
}

// openLocked opens the folder whose lock this process holds.
func openLocked(lock *dirLock, dir string, o Options) (*Index, error) {
	db := filepath.Join(dir, dbDir)
	entries, err := os.ReadDir(db)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, damaged("reading the folder: %w", err)
	}
	fresh := len(entries) == 0
	state := readState(dir)
	word := state.word
	switch {
	case o.Rebuild && !fresh:
		return nil, fault.New(fault.Conflict, "a rebuild needs an empty folder, and %s is none", fault.Quote(dir))
	case fresh && (word == stateClean || word == stateOpen):
		return nil, damaged("the database is gone")
	case !fresh && word != stateClean && word != stateOpen:
		return nil, damaged("the folder is unfinished or of another format (state %s)", fault.Quote(word))
	}
	var seen map[string]seenFile
	next := stateBuilding // until the first rows are there, a fresh folder is a build that may be given up
	if !fresh {
		if seen, err = checkFiles(db, state); err != nil {
			return nil, damaged("%w", err)
		}
		next = stateOpen
	}
	if err := writeState(dir, folderState{word: next}); err != nil {
		return nil, err
	}
	x, err := load(lock, dir, o, fresh)
	if err != nil {
		return nil, err
	}
	x.seen = seen
	if err := durable.Sync(db); err != nil {
		return nil, errors.Join(err, x.db.Close())
	}
	if word == stateOpen {
		if _, err := x.Check(context.Background()); err != nil {
			return nil, errors.Join(err, x.db.Close())
		}
	}
	if fresh && !o.Rebuild {
		if err := writeState(dir, folderState{word: stateOpen}); err != nil {
			return nil, errors.Join(err, x.db.Close())
		}
	}
	return x, nil
}

// load opens the database and reads where it stands.
func load(lock *dirLock, dir string, o Options, fresh bool) (x *Index, err error) {
	path := ""
	if dir != "" {
		path = filepath.Join(dir, dbDir)
	}
	db, err := openDB(dbOptions(path, o))
	if err != nil {
		return nil, damaged("opening the database: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	x = &Index{origin: o.Origin, dir: dir, bulk: o.Rebuild, lock: lock, db: db, counts: make(map[byte]uint64)}
	if fresh {
		if err := x.initialise(); err != nil {
			return nil, fmt.Errorf("writing the first rows of the index: %w", err)
		}
	}
	txn := db.NewTransaction(false)
	defer txn.Discard()
	r := reader{txn}
	if x.meta, x.digest, err = r.meta(); err != nil {
		return nil, err
	}
	if x.meta.Format != format || x.meta.Origin != o.Origin {
		return nil, damaged("it is an index of format %d for %s, not of format %d for %s",
			x.meta.Format, fault.Quote(x.meta.Origin), format, fault.Quote(o.Origin))
	}
	if x.counts, err = r.counts(); err != nil {
		return nil, err
	}
	if x.counts[tEntry] != x.meta.Applied {
		return nil, damaged("%d entries are counted, %d applied", x.counts[tEntry], x.meta.Applied)
	}
	if n := x.meta.Applied; n > 0 {
		switch last, ok, err := r.entry(n - 1); {
		case err != nil:
			return nil, err
		case !ok || last.Digest != x.meta.Digest:
			return nil, damaged("the last entry's digest is not the index's")
		}
	}
	reg, ok, err := r.registry()
	if err != nil {
		return nil, err
	}
	if ok {
		x.inForce = &reg.SetRegistry
	}
	return x, nil
}

// openDB opens the database; a panic of the library in this goroutine is an error.
func openDB(opts badger.Options) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the database panicked: %v", p)
		}
	}()
	return badger.Open(opts)
}

// initialise writes the rows of the empty index.
func (x *Index) initialise() error {
	d := fold.Genesis(x.origin)
	rows := []row{
		{key: []byte(firstKey)},
		{key: []byte(lastKey)},
		{key: key(tMeta, metaIndex), payload: encode(metaRow{Format: format, Origin: x.origin, Digest: hex.EncodeToString(d[:])})},
	}
	for _, t := range tables {
		if t.letter != tMeta {
			rows = append(rows, countRow(t, 0))
		}
	}
	txn := x.db.NewTransaction(true)
	defer txn.Discard()
	for _, r := range rows {
		if err := txn.Set(r.key, seal(r.key, r.payload)); err != nil {
			return err
		}
	}
	return txn.Commit()
}

// Close closes the index. The folder is marked clean, or a rebuild valid, only
// when everything went well: after an error, or none at all, the next Open
// reads it whole or asks for a rebuild. Closing twice is not an error.
func (x *Index) Close() error {
	x.applying.Lock()
	defer x.applying.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.db == nil {
		return nil
	}
	err := x.db.Close()
	x.db = nil
	if x.dir == "" {
		return err
	}
	if err == nil && x.failed == nil {
		err = x.markClean()
	}
	if err = errors.Join(err, x.lock.release()); err != nil {
		return fmt.Errorf("closing the index: %w", err)
	}
	return nil
}

// markClean makes sure that what the state will say is so: the files of the
// database are on disk, and MANIFEST names them all.
func (x *Index) markClean() error {
	db := filepath.Join(x.dir, dbDir)
	if x.bulk {
		if err := syncFiles(db); err != nil {
			return err
		}
	}
	files, err := markFiles(db, x.seen)
	if err != nil {
		return damaged("%w", err)
	}
	return writeState(x.dir, folderState{word: stateClean, files: files})
}

// dbLog hands the library's messages to slog. What it calls information is
// detail here.
type dbLog struct{ log *slog.Logger }

func (l dbLog) Errorf(f string, a ...any)   { l.print(slog.LevelError, f, a) }
func (l dbLog) Warningf(f string, a ...any) { l.print(slog.LevelWarn, f, a) }
func (l dbLog) Infof(f string, a ...any)    { l.print(slog.LevelDebug, f, a) }
func (l dbLog) Debugf(f string, a ...any)   { l.print(slog.LevelDebug, f, a) }

func (l dbLog) print(level slog.Level, f string, a []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "index database", "message", strings.TrimSpace(fmt.Sprintf(f, a...)))
	}
}
