// Package registry turns signed statements into a log that anyone can check,
// and answers questions about it. There is one door, [Registry.Submit]; the
// log (package translog) is the truth; what each entry means is computed by the
// fold and kept in the index, both of which can be thrown away.
//
// Commit order of a statement, and what a crash between two steps leaves:
//
//	bodies durable in the block store   unreferenced blocks
//	leaf appended                       an entry, published at the next start
//	checkpoint published                the index behind: the follower replays
//	index applied                       nothing missing
//	answer given
package registry

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"golang.org/x/mod/sumdb/note"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/ledger"
	"github.com/cairn-registry/cairn/registry/translog"
)

// Blocks is where bodies and datasets lie.
type Blocks interface {
	// Block returns the bytes of c, verified; fault.NotFound when it is not there.
	Block(ctx context.Context, c cid.Cid) ([]byte, error)
	// Size returns the length of c without reading it.
	Size(ctx context.Context, c cid.Cid) (uint64, error)
	// PutRecords stores bodies; they are durable when it returns nil. Many
	// callers at once share one sync.
	PutRecords(ctx context.Context, bs ...blocks.Block) error
}

const (
	// retryBody is how often a follower that waits for a missing body looks again.
	retryBody = 10 * time.Second
	// openWait bounds the wait, at Open, for entries that were integrated and
	// not published before a crash.
	openWait = 30 * time.Second
)

// Config says where a registry lives and who signs its log.
type Config struct {
	// Dir is the home folder: the log lies in Dir/log, the guard in Dir/trust,
	// the index in Dir/index.
	Dir    string
	Blocks Blocks
	// Space returns a reader of the gated space of the given terms, and of nothing
	// else: where the data of datasets lies whose terms must be accepted before any
	// byte is given out. nil: such datasets are refused.
	Space func(terms cid.Cid) unixfs.Blocks

	VKey     string      // the log's verifier key; its name is the origin
	Signer   note.Signer // makes the signatures of VKey
	Interval time.Duration

	// TermsPolicy is what becomes of a dataset or a model whose terms contradict
	// those of its sources: TermsWarn (also when empty), TermsRefuse or TermsOff.
	TermsPolicy string
	// Now is the clock by which terms begin and end; nil for time.Now. Nothing that
	// is logged or replayed reads it.
	Now func() time.Time

	// Probe, when set, reads an index that was not closed cleanly in a child
	// process, before this one maps it: see [index.Options].
	Probe func(dir string) error
	Log   *slog.Logger
}

func (c Config) indexDir() string { return filepath.Join(c.Dir, "index") }

func (c Config) translog(known uint64) translog.Config {
	return translog.Config{
		Dir: filepath.Join(c.Dir, "log"), TrustDir: filepath.Join(c.Dir, "trust"),
		VKey: c.VKey, Signer: c.Signer, Interval: c.Interval, KnownSize: known, Log: c.Log,
	}
}

// A Registry is an open registry. It is safe for concurrent use.
type Registry struct {
	cfg    Config
	log    *slog.Logger
	origin string
	tlog   *translog.Log

	// mu guards what follows; changed is closed and replaced at each change.
	mu      sync.Mutex
	idx     *index.Index
	applied uint64
	digest  [32]byte
	stopped error // why the follower does not go on, or nil
	changed chan struct{}

	pending flights
	books   *ledger.Books
	paying  sync.Mutex // held from a payout's admission until it is applied

	cancel   context.CancelFunc
	followed chan struct{} // closed when the follower has ended
}

// Create makes the registry of cfg with the given envelope as its entry 0: a
// registry/v1 statement. A creation that was cut short is completed when it is
// called with the same envelope.
func Create(ctx context.Context, cfg Config, envelope []byte) (*Registry, error) {
	if err := translog.Create(ctx, cfg.translog(0)); err != nil && !errors.Is(err, fault.Conflict) {
		return nil, err
	}
	r, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s, err := r.Submit(ctx, envelope)
	if err == nil && (s.Index != 0 || s.Verdict != fold.Accepted) {
		err = fault.New(fault.Conflict, "entry 0 of the log is another statement")
	}
	if err != nil {
		return nil, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
	}
	return r, nil
}

// Open opens the registry of cfg. The log is opened only when it holds what
// was signed last (see package translog); then the index is brought up to it.
// An index that is damaged or ahead of its log is moved aside and rebuilt.
// A body that is missing does not fail Open: the registry answers at the size
// before it, is not ready, and says which.
func Open(ctx context.Context, cfg Config) (*Registry, error) {
	if err := checkTermsPolicy(cfg.TermsPolicy); err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(cfg.VKey)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the log's verifier key %s: %w", fault.Quote(cfg.VKey), err)
	}
	r := &Registry{cfg: cfg, log: cfg.Log, origin: v.Name(), changed: make(chan struct{}), followed: make(chan struct{})}
	r.books = ledger.NewBooks(r.PayoutLines)
	if r.cfg.Now == nil {
		r.cfg.Now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.openIndex(); err != nil {
		return nil, err
	}
	if r.tlog, err = translog.Open(ctx, cfg.translog(r.applied)); err != nil {
		return nil, errors.Join(err, r.idx.Close())
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	go r.follow(run)
	if err := r.catchUp(ctx); err != nil {
		return nil, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
	}
	return r, nil
}

// openIndex opens the index; one that cannot be trusted is moved aside first.
func (r *Registry) openIndex() error {
	dir := r.cfg.indexDir()
	o := index.Options{Origin: r.origin, Probe: r.cfg.Probe, Log: r.log}
	x, err := index.Open(dir, o)
	if errors.Is(err, index.ErrRebuild) {
		r.log.Warn("the index cannot be trusted and is rebuilt from the log", "error", err)
		if err := moveAside(dir); err != nil {
			return err
		}
		x, err = index.Open(dir, o)
	}
	if err != nil {
		return err
	}
	n, digest, err := x.Applied()
	if err != nil {
		return errors.Join(err, x.Close())
	}
	r.idx, r.applied, r.digest = x, n, digest
	return nil
}

// moveAside renames a folder, so that somebody can look at it; an older one
// that was moved aside goes.
func moveAside(dir string) error {
	aside := dir + ".aside"
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	return os.Rename(dir, aside)
}

// catchUp waits until every entry that was integrated when the log was opened
// is published and applied, or the follower stopped at a missing body.
func (r *Registry) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	if _, err := r.tlog.Wait(ctx, r.tlog.Integrated()); err != nil {
		return fmt.Errorf("waiting for the log: %w", err)
	}
	// Replaying a long log takes longer than publishing.
	_, err := r.wait(context.WithoutCancel(ctx), r.tlog.Integrated())
	if errors.Is(err, errMissingBody) {
		return nil
	}
	return err
}

// Close ends the registry in the order of the flow: the log takes no more and
// publishes what it has, the follower catches up, the index is closed.
func (r *Registry) Close(ctx context.Context) error {
	err := r.tlog.Close(ctx)
	if size := r.tlog.Published().Size; err == nil {
		if _, werr := r.wait(ctx, size); werr != nil && !errors.Is(werr, errMissingBody) {
			err = werr
		}
	}
	r.cancel()
	<-r.followed
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(err, r.idx.Close())
}

// errMissingBody is wrapped by the error of a follower that waits for a body.
var errMissingBody = errors.New("a body is missing")

// follow applies published entries, in order, until ctx ends: the one way in
// which the index is filled, at start, in a rebuild and in normal work.
func (r *Registry) follow(ctx context.Context) {
	defer close(r.followed)
	for {
		p := r.tlog.Published()
		err := r.replayTo(ctx, p.Size)
		if ctx.Err() != nil {
			return
		}
		r.setStopped(err)
		retry := time.NewTimer(retryBody)
		if err == nil {
			retry.Stop()
		} else if !errors.Is(err, errMissingBody) {
			r.log.ErrorContext(ctx, "the index does not follow the log", "error", err)
		}
		select {
		case <-ctx.Done():
			retry.Stop()
			return
		case <-r.tlog.Changed(p):
		case <-retry.C:
		}
		retry.Stop()
	}
}

func (r *Registry) replayTo(ctx context.Context, size uint64) error {
	r.mu.Lock()
	idx, first := r.idx, r.applied
	r.mu.Unlock()
	if first >= size {
		return nil
	}
	err := idx.Replay(ctx, first, r.bodies(ctx, r.tlog.Reader, first, size), func(o index.Outcome) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.applied, r.digest = o.Index+1, o.Digest
		close(r.changed)
		r.changed = make(chan struct{})
		return nil
	})
	if err != nil {
		return err
	}
	return confirmed(idx)
}

// bodies reads entries with the envelopes that their leaves name. For a body that
// is not there a tombstone in the log stands in; without one it ends the sequence
// with errMissingBody.
func (r *Registry) bodies(ctx context.Context, log *translog.Reader, from, to uint64) iter.Seq2[index.Body, error] {
	return func(yield func(index.Body, error) bool) {
		stop := errors.New("stop")
		var stones map[uint64]tombstone // of entries from the first missing body on
		err := log.Leaves(ctx, from, to, func(i uint64, leaf []byte) error {
			b := index.Body{Leaf: append([]byte(nil), leaf...)}
			if l, err := proof.DecodeLeaf(leaf); err == nil {
				b.Envelope, err = r.cfg.Blocks.Block(ctx, l.Env.Cid)
				if errors.Is(err, fault.NotFound) {
					if stones == nil {
						if stones, err = r.tombstones(ctx, log, i); err != nil {
							return err
						}
					}
					if b.Erased, err = stones[i].standIn(i, b.Leaf); b.Erased == nil && err == nil {
						err = fmt.Errorf("entry %d: %w: %s", i, errMissingBody, l.Env)
					}
					if err != nil {
						return err
					}
				} else if err != nil {
					return fmt.Errorf("entry %d, body %s: %w", i, l.Env, err)
				}
			}
			if !yield(b, nil) {
				return stop
			}
			Tell(ctx, StageReplay, i+1-from, to-from)
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(index.Body{}, err)
		}
	}
}

func (r *Registry) setStopped(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == nil && err == nil {
		return
	}
	r.stopped = err
	close(r.changed)
	r.changed = make(chan struct{})
}

// wait returns once size entries are applied, with the number that are.
func (r *Registry) wait(ctx context.Context, size uint64) (uint64, error) {
	for {
		r.mu.Lock()
		applied, stopped, changed := r.applied, r.stopped, r.changed
		r.mu.Unlock()
		if applied >= size {
			return applied, nil
		}
		if stopped != nil {
			return applied, fmt.Errorf("the index stands at entry %d: %w", applied, stopped)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return applied, fault.New(fault.Pending, "entry %d is published and not applied yet", size-1)
			}
			return applied, context.Cause(ctx)
		}
	}
}

// Status is the state of a registry at one moment.
type Status struct {
	Origin, VKey string
	Size         uint64 // of the published log
	Root         [32]byte
	Applied      uint64
	Digest       [32]byte
	Ready        bool
	Reason       string // why not ready
}

// RootText and DigestText are the forms in which people see the two hashes.
func (s Status) RootText() string   { return base64.StdEncoding.EncodeToString(s.Root[:]) }
func (s Status) DigestText() string { return hex.EncodeToString(s.Digest[:]) }

// Status returns the state of the registry.
func (r *Registry) Status() Status {
	p := r.tlog.Published()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		Origin: r.origin, VKey: r.cfg.VKey, Size: p.Size, Root: p.Root,
		Applied: r.applied, Digest: r.digest, Ready: true,
	}
	if err := r.tlog.Err(); err != nil {
		s.Ready, s.Reason = false, err.Error()
	} else if r.stopped != nil {
		s.Ready, s.Reason = false, r.stopped.Error()
	}
	return s
}

// Dir returns the home folder.
func (r *Registry) Dir() string { return r.cfg.Dir }

// Log returns the log's reader: checkpoint, tiles, proofs.
func (r *Registry) Log() *translog.Reader { return r.tlog.Reader }

// View runs fn on a snapshot of the index: all it asks is answered at one size.
func (r *Registry) View(fn func(*index.Snapshot) error) error {
	r.mu.Lock()
	idx := r.idx
	r.mu.Unlock()
	return idx.View(fn)
}

// IndexBytes is how large the index is on disk, as of about a minute ago.
func (r *Registry) IndexBytes() int64 {
	r.mu.Lock()
	idx := r.idx
	r.mu.Unlock()
	return idx.Bytes()
}
