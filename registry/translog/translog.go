// Package translog is cairn's transparency log: an append-only sequence of
// small leaves under a Merkle tree, kept as the plain files of C2SP tlog-tiles
// and signed as C2SP tlog-checkpoint. The sequencing is Tessera's (its POSIX
// driver, embedded); what this package adds is the promise that one log key
// never signs two histories.
//
// # The order of things
//
//	bundle, tiles, tree state on disk     Tessera: temp file, O_SYNC, rename, directory fsync
//	guard on disk                         the signed note, in the trust folder: before a signature leaves
//	checkpoint on disk                    published: from here on readers see it
//	Append returns
//
// A crash after the first step leaves entries that are in the tree and not yet
// published: the next start publishes them. A crash after the second leaves a
// guard ahead of the checkpoint file: the next start publishes the guard's
// note. Nothing that was signed is ever taken back: at each start, before
// anything may be signed, the tree on disk must contain the guard's tree.
//
// # Caveats
//
// The trust folder and the log folder must not be restored from a backup
// together: a guard that is as old as the log cannot know better. Whoever keeps
// another memory of the log's size (the index does) hands it in as
// [Config.KnownSize].
//
// Tessera panics, in a goroutine of its own, when it cannot open its lock
// files: keep file descriptors in reserve.
package translog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// MaxLeaf is the longest leaf: cairn's leaves hold hashes only and stay
	// below 4 KiB unless a statement lists very many keys. The tile format's
	// own limit is 65,535 bytes.
	MaxLeaf = 1<<16 - 1

	// MinInterval is the shortest time between two checkpoints that Tessera's
	// POSIX driver accepts; it is the default too, because a contributor
	// waits for the checkpoint.
	MinInterval = 100 * time.Millisecond

	// batchSize and batchAge say how long leaves wait for company: 64
	// clients share one set of synced files, and one client waits 5 ms.
	batchSize = 256
	batchAge  = 5 * time.Millisecond

	// DefaultMaxPending bounds the appends that wait at one time. Tessera's
	// POSIX driver has no bound of its own: its memory grows with callers.
	DefaultMaxPending = 1024

	// shutdownTimeout bounds the wait for the last checkpoint in Close; it
	// must fit into the process's own budget.
	shutdownTimeout = 10 * time.Second
)

// Config says where a log lives and who signs it.
type Config struct {
	// Dir is the log folder: checkpoint, tile/, and Tessera's .state/.
	Dir string
	// TrustDir holds the guard, the last note this log signed. It lies
	// outside Dir, so that one restore does not take both back.
	TrustDir string
	// VKey is the log's verifier key in signed-note form; its name is the
	// log's origin.
	VKey string
	// Signer makes the signatures of VKey. OpenReadOnly does not use it.
	Signer note.Signer

	// Interval is the least time between two checkpoints; anything below
	// MinInterval, zero included, means MinInterval.
	Interval time.Duration
	// Republish is the age at which the checkpoint of a log that has not
	// grown is written anew; zero means never. The bytes do not change.
	Republish time.Duration
	// MaxPending bounds the appends in flight; zero means DefaultMaxPending.
	MaxPending int

	// KnownSize is a size that this log is known to have published, from a
	// source other than the trust folder. Open refuses a smaller log.
	KnownSize uint64

	// Log receives Tessera's messages and changes of state; nil discards.
	Log *slog.Logger
}

func (c Config) logger() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// Log is a log open for appending. At most one may be open for a folder, in
// one process; the caller's home lock sees to that. All methods may be called
// concurrently.
type Log struct {
	*Reader

	cfg      Config
	log      *slog.Logger
	guard    *guard
	appender *tessera.Appender
	shutdown func(context.Context) error
	start    uint64 // size of the integrated tree at Open

	cancel  context.CancelFunc // ends Tessera's goroutines and watch
	watched chan struct{}      // closed when watch has ended

	slots chan struct{} // one token per append in flight

	// mu guards closed; inflight counts futures that are not yet resolved.
	mu       sync.Mutex
	closed   bool
	inflight sync.WaitGroup

	// failure is the first error that poisoned the log; failed is closed
	// once it is set.
	failOnce sync.Once
	failure  atomic.Pointer[error]
	failed   chan struct{}
}

// Create makes the empty log of cfg: the guard first, then Tessera's state and
// the signed checkpoint of size 0. A creation that a crash cut short, or a log
// that is still empty, is completed and left as it is; a log that has entries,
// or a guard that remembers some, is fault.Conflict. Nothing else in this
// package makes a log.
func Create(ctx context.Context, cfg Config) error {
	v, err := cfg.check()
	if err != nil {
		return err
	}
	g, err := loadGuard(cfg.TrustDir, v)
	if err != nil && !errors.Is(err, ErrNoGuard) {
		return err
	}
	if err == nil && g.last.Size > 0 {
		return fault.WithHint(
			fault.New(fault.Conflict, "a log of %d entries was signed here before, by this home's trust folder", g.last.Size),
			"put the log folder %s back from its newest copy, or start a new home", cfg.Dir)
	}
	if err := emptyLog(cfg.Dir); err != nil {
		return err
	}
	if err := mkdirSynced(cfg.TrustDir, 0o700); err != nil {
		return fmt.Errorf("making the trust folder: %w", err)
	}
	if g == nil {
		g = newGuard(cfg.TrustDir, v)
	}
	g.signer = cfg.Signer
	if _, err := g.Sign(formatTree(v.Name(), 0, emptyRoot)); err != nil {
		return fmt.Errorf("signing the empty log: %w", err)
	}
	setKlog(cfg.logger())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: cfg.Dir})
	if err != nil {
		return fmt.Errorf("creating the log: %w", err)
	}
	// The interval keeps the appender from publishing again before it ends.
	o := tessera.NewAppendOptions().WithCheckpointSigner(g).WithCheckpointInterval(time.Hour).WithCheckpointRepublishInterval(0).WithGarbageCollectionInterval(0)
	_, stop, _, err := tessera.NewAppender(ctx, driver, o)
	if err != nil {
		return fmt.Errorf("creating the log: %w", err)
	}
	if err := stop(ctx); err != nil {
		return fmt.Errorf("creating the log: %w", err)
	}
	return publishGuard(cfg.Dir, g)
}

// emptyLog refuses a log folder in which there is, or was, an entry.
func emptyLog(dir string) error {
	conflict := func(what string) error {
		return fault.WithHint(fault.New(fault.Conflict, "the log folder %s already holds %s", dir, what),
			"open the log that is there, or choose another folder")
	}
	if _, err := os.Lstat(filepath.Join(dir, "tile")); err == nil {
		return conflict("entries")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for a log: %w", err)
	}
	st, err := readState(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Size > 0:
		return conflict(fmt.Sprintf("a log of %d entries", st.Size))
	}
	return nil
}

// Open opens the log of cfg for appending. It never creates one. Before
// anything can be signed it checks that the guard and the log are both there,
// that the log is no smaller than the guard or cfg.KnownSize, and that the tree
// on disk contains exactly the tree the guard signed; else it refuses with an
// error that wraps [ErrNoGuard], [ErrNoState], [ErrBehind] or [ErrForked]. A
// checkpoint file that is missing, damaged or older than the guard is written
// again from the guard.
//
// The context is used for opening only; Close ends the log.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	v, err := cfg.check()
	if err != nil {
		return nil, err
	}
	log := cfg.logger()
	g, st, err := verifyStart(cfg, v, log)
	if err != nil {
		return nil, err
	}
	g.signer = cfg.Signer
	if err := publishGuard(cfg.Dir, g); err != nil {
		return nil, err
	}
	if err := unstick(cfg.Dir); err != nil {
		return nil, err
	}

	pending := cfg.MaxPending
	if pending <= 0 {
		pending = DefaultMaxPending
	}
	interval := max(cfg.Interval, MinInterval)
	l := &Log{
		Reader:  newReader(cfg.Dir, v, cfg.VKey, g.last),
		cfg:     cfg,
		log:     log,
		guard:   g,
		start:   st.Size,
		watched: make(chan struct{}),
		slots:   make(chan struct{}, pending),
		failed:  make(chan struct{}),
	}
	g.extends = l.Reader.extends
	g.refused = l.poison
	signed := make(chan struct{}, 1)
	g.signed = func() {
		select {
		case signed <- struct{}{}:
		default:
		}
	}

	setKlog(log)
	// The appender outlives the call, but not its values.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	driver, err := posix.New(run, posix.Config{Path: cfg.Dir})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	o := tessera.NewAppendOptions().
		WithCheckpointSigner(g).
		WithBatching(batchSize, batchAge).
		WithCheckpointInterval(interval).
		WithCheckpointRepublishInterval(max(cfg.Republish, 0)).
		WithShutdownTimeout(shutdownTimeout)
	if cfg.Republish > 0 {
		o.WithCheckpointRepublishInterval(max(cfg.Republish, interval))
	}
	l.appender, l.shutdown, _, err = tessera.NewAppender(run, driver, o)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	go func() {
		defer close(l.watched)
		l.watch(run, signed)
	}()
	log.InfoContext(ctx, "log opened", "origin", v.Name(), "tree_size", st.Size, "published", l.Published().Size)
	return l, nil
}

// check says what is missing from a configuration, and returns the log's
// verifier.
func (c Config) check() (note.Verifier, error) {
	v, err := c.checkReader()
	if err != nil {
		return nil, err
	}
	if c.TrustDir == "" {
		return nil, fault.New(fault.Internal, "log configuration without a trust folder")
	}
	if c.Signer == nil {
		return nil, fault.New(fault.Internal, "log configuration without a signer")
	}
	if c.Signer.Name() != v.Name() || c.Signer.KeyHash() != v.KeyHash() {
		return nil, fault.WithHint(
			fault.New(fault.Conflict, "the log key %s+%08x does not belong to the log's verifier key %s+%08x",
				c.Signer.Name(), c.Signer.KeyHash(), v.Name(), v.KeyHash()),
			"use the key this log was made with")
	}
	return v, nil
}

func (c Config) checkReader() (note.Verifier, error) {
	if c.Dir == "" {
		return nil, fault.New(fault.Internal, "log configuration without a folder")
	}
	v, err := note.NewVerifier(c.VKey)
	if err != nil {
		return nil, fault.New(fault.Invalid, "log verifier key %s: %w", fault.Quote(c.VKey), err)
	}
	return v, nil
}

// Integrated returns the size of the tree when the log was opened. It can be
// larger than what was published by then; the difference is published without
// being asked.
func (l *Log) Integrated() uint64 { return l.start }

// Append adds leaf to the log and returns its index once a published
// checkpoint covers it: from then on the leaf can be proved to anyone and
// survives a power cut. Appends of many callers share batches; which of two
// concurrent ones gets the smaller index is not defined.
//
// When ctx ends first, the error is fault.Pending (deadline) or
// fault.Interrupted, and the leaf may or may not end up in the log. When too
// many appends are waiting the error is fault.Busy, and the leaf is not in the
// log. Any other error poisons the log: see [Log.Err].
func (l *Log) Append(ctx context.Context, leaf []byte) (uint64, error) {
	if len(leaf) == 0 || len(leaf) > MaxLeaf {
		return 0, fault.New(fault.TooLarge, "a leaf of %d bytes: between 1 and %d are possible", len(leaf), MaxLeaf)
	}
	if err := context.Cause(ctx); err != nil {
		return 0, waitError(err)
	}
	future, err := l.add(leaf)
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, waitError(context.Cause(ctx))
	case r := <-future:
		if r.err != nil {
			return 0, r.err
		}
		if _, err := l.Wait(ctx, r.index+1); err != nil {
			return 0, err
		}
		return r.index, nil
	}
}

type appended struct {
	index uint64
	err   error
}

// add queues leaf at Tessera. Its Add blocks while a batch waits behind a
// running one, and its futures do not know contexts: so both happen in a
// goroutine that Close waits for.
func (l *Log) add(leaf []byte) (<-chan appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fault.New(fault.Interrupted, "the log is closed")
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
	default:
		return nil, fault.WithHint(fault.New(fault.Busy, "%d appends are waiting for the log already", cap(l.slots)), "try again in a second")
	}
	l.inflight.Add(1)
	done := make(chan appended, 1)
	go func() {
		defer l.inflight.Done()
		defer func() { <-l.slots }()
		i, err := l.appender.Add(context.Background(), tessera.NewEntry(leaf))()
		if err != nil {
			// A failed write may have happened all the same (renamed,
			// directory not synced), and a failed sync must not be tried
			// again: only a new start, which reads the disk, knows.
			err = l.poison(fmt.Errorf("appending to the log: %w", err))
		}
		done <- appended{index: i.Index, err: err}
	}()
	return done, nil
}

// poison makes the log refuse everything from now on and returns the error
// callers get.
func (l *Log) poison(err error) error {
	l.failOnce.Do(func() {
		err := fault.WithHint(fault.New(fault.Internal, "the log stopped: %w", err),
			"nothing acknowledged is lost; stop the process, see that the disk is healthy and has room, and start it again")
		l.failure.Store(&err)
		l.guard.stop(err)
		close(l.failed)
		l.log.Error("log stopped", "error", err)
	})
	return l.Err()
}

// Err returns why the log refuses to append or sign, or nil while it works.
// It never works again once Err is not nil; the process should end.
func (l *Log) Err() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Failed is closed when the log is poisoned.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Wait returns the published checkpoint once it covers size entries. Its
// errors are those of Append.
func (l *Log) Wait(ctx context.Context, size uint64) (Published, error) {
	stall := max(10*l.cfg.Interval, time.Second)
	for {
		p, changed := l.current()
		if p.Size >= size {
			return p, nil
		}
		timer := time.NewTimer(stall)
		select {
		case <-changed:
		case <-l.failed:
			timer.Stop()
			return Published{}, l.Err()
		case <-ctx.Done():
			timer.Stop()
			return Published{}, waitError(context.Cause(ctx))
		case <-timer.C:
			// Tessera compares the checkpoint file's time with the clock:
			// when the clock was set back it would wait silently.
			if err := unstick(l.dir); err != nil {
				l.log.WarnContext(ctx, "checkpoint time not mended", "error", err)
			}
		}
		timer.Stop()
	}
}

func waitError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.WithHint(fault.New(fault.Pending, "the entry is not published yet: %w", err), "ask again; sending it once more is safe")
	}
	return fault.New(fault.Interrupted, "waiting for the checkpoint: %w", err)
}

// watch takes over what the guard signed as soon as Tessera has put it in
// place. Only this process writes the checkpoint file, so nothing is polled
// between two signatures.
func (l *Log) watch(ctx context.Context, signed <-chan struct{}) {
	const first, last = time.Millisecond, 100 * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return
		case <-signed:
		}
		for pause := first; !l.refresh(l.guard.Last()); pause = min(2*pause, last) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

// refresh publishes want to readers if the checkpoint file holds it.
func (l *Log) refresh(want Published) bool {
	b, err := os.ReadFile(filepath.Join(l.dir, checkpointName))
	if err != nil || string(b) != string(want.Note) {
		return false
	}
	l.set(want)
	return true
}

// Close takes no more appends, waits until those in flight are published (at
// most until ctx ends), and stops the log. The error says whether that
// happened. Close may be called again, with no effect.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.watched
		return nil
	}
	l.closed = true
	l.mu.Unlock()

	defer func() {
		l.cancel()
		<-l.watched
	}()
	drained := make(chan struct{})
	go func() {
		l.inflight.Wait()
		close(drained)
	}()
	var err error
	select {
	case <-drained:
	case <-l.failed:
	case <-ctx.Done():
		err = waitError(context.Cause(ctx))
	}
	if err == nil && l.Err() == nil {
		if e := l.shutdown(ctx); e != nil {
			err = fmt.Errorf("closing the log: %w", e)
		}
	}
	l.guard.stop(fault.New(fault.Interrupted, "the log is closed"))
	if err == nil {
		// A checkpoint may be signed and not yet in place.
		err = l.settle(ctx)
	}
	if e := l.Err(); e != nil {
		return e
	}
	return err
}

// settle waits until the checkpoint file holds what was signed last.
func (l *Log) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		p, changed := l.current()
		if string(p.Note) == string(l.guard.Last().Note) {
			return nil
		}
		select {
		case <-changed:
		case <-l.failed:
			return l.Err()
		case <-ctx.Done():
			return fmt.Errorf("closing the log: the last checkpoint is signed and not in place; the next start puts it there")
		}
	}
}

var emptyRoot = func() tlog.Hash {
	h, err := tlog.TreeHash(0, nil)
	if err != nil {
		panic(err)
	}
	return h
}()
