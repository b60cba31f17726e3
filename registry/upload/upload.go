// Package upload takes datasets from strangers over HTTP: sessions of shards.
// Whoever has signed a statement declares it with the shards of its DAG, sends
// the shards in any order, as often as it takes, and commits. The registry
// hashes every block as it comes in, keeps it aside until the DAG below the
// statement's content is whole, and only then takes blocks and statement in.
// PROTOCOL.md says what a client does.
//
// What counts for a commit is what this session received, and what the same key
// sent before: nobody can register data by knowing its CID, and nobody learns
// from an upload what others hold.
//
// A crash at any moment leaves sessions as they were acknowledged; the same
// requests go on with them. Abandoned ones go after [Options.Lease].
package upload

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/auth"
)

const (
	// DefaultLease is how long a session lives without a request of its owner.
	DefaultLease = 24 * time.Hour
	// DefaultShards is how many shards come in at once, each in less than 4 MiB;
	// DefaultPerOwner how many of them may be of one owner.
	DefaultShards, DefaultPerOwner = 32, 8
	// slotWait is how long a shard waits for its turn, before a byte of it is read.
	slotWait = 5 * time.Second
	// sweepEvery is how often the janitor looks.
	sweepEvery = 10 * time.Minute
	// walks is how many commits look at blocks at once: one holds about a hundred
	// bytes for each block of its DAG and of its bases.
	walks = 1
	// reads is how many declarations are decoded at once: each takes some ten times
	// its length, at most 40 MiB.
	reads = 2
	// maxWalk bounds the blocks of a DAG and its bases together.
	maxWalk = 1 << 21
	// minFree and freeShare are the watermark, in bytes and as a share: uploads are
	// refused when less is free.
	minFree   = 1 << 30
	freeShare = 20
	// graceTime, windowBytes and windowTime are the slowest that a shard may come
	// in: 64 KiB in 8 s, 8 KiB/s, after the first 10 s.
	graceTime, windowTime = 10 * time.Second, 8 * time.Second
	windowBytes           = 64 << 10
)

// Options are what a Server is made of. Dir, Store, Registry and Auth must be set.
type Options struct {
	// Dir is the folder of the sessions. It must lie on the store's file system.
	Dir      string
	Store    *spaces.Store
	Registry *registry.Registry
	Auth     *auth.Auth

	Quota    Quota
	Limits   Limits
	Lease    time.Duration // default DefaultLease
	Shards   int           // default DefaultShards
	PerOwner int           // default DefaultPerOwner
	// CommitWait is how long a commit is waited for before the answer is 202;
	// default 20 s.
	CommitWait time.Duration
	// Patience multiplies how slow a shard may be; default 1. Tests set less.
	Patience float64
	// Free returns the free and the total bytes of the file system of a folder;
	// default statfs.
	Free func(dir string) (free, total uint64, err error)
	Now  func() time.Time
	Log  *slog.Logger
}

// A Server takes uploads. It is safe for concurrent use.
type Server struct {
	o    Options
	log  *slog.Logger
	now  func() time.Time
	book *book

	tally tally
	slots chan struct{} // shards coming in
	walks chan struct{} // commits that look at blocks
	makes chan struct{} // commits that make sketches again
	reads chan struct{} // declarations that are decoded

	mu          sync.Mutex
	sessions    map[string]*session
	byStatement map[string]string // owner and statement -> id
	receiving   map[string]int    // shards coming in, by owner
	owners      map[string]*ownerLock

	// commits counts the commits that run; life ends when the server is closed.
	commits sync.WaitGroup
	life    context.Context
	end     context.CancelFunc
}

// New opens the sessions in o.Dir, as a crash may have left them, and returns
// their server.
func New(o Options) (*Server, error) {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Shards == 0 {
		o.Shards = DefaultShards
	}
	if o.PerOwner == 0 {
		o.PerOwner = DefaultPerOwner
	}
	if o.CommitWait == 0 {
		o.CommitWait = 20 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 1
	}
	if o.Free == nil {
		o.Free = statfs
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, log: o.Log, now: o.Now,
		book:  &book{q: o.Quota.withDefaults(), max: o.Limits.withDefaults(), accounts: make(map[string]*account), most: maxAccounts},
		slots: make(chan struct{}, o.Shards), walks: make(chan struct{}, walks), makes: make(chan struct{}, sketches), reads: make(chan struct{}, reads),
		sessions: make(map[string]*session), byStatement: make(map[string]string),
		receiving: make(map[string]int), owners: make(map[string]*ownerLock),
	}
	s.life, s.end = context.WithCancel(context.Background())
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// load reads the session folders. One without a record was not answered yet, and
// goes; so does what a session left for adoption that is gone.
func (s *Server) load() error {
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == extraDir {
			continue
		}
		dir := filepath.Join(s.o.Dir, e.Name())
		one, err := loadSession(dir)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("an upload session cannot be read and is removed", "session", e.Name(), "error", err)
			}
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			continue
		}
		s.add(one)
		s.book.mu.Lock()
		a := s.book.account(one.rec.Owner)
		if one.rec.Stage == stageCommitted {
			s.book.state(a, one.rec.Opened)
		} else {
			s.book.take(a, one.hold, one.rec.Opened)
		}
		s.book.mu.Unlock()
	}
	lent, err := s.o.Store.Lent()
	if err != nil {
		return err
	}
	for _, id := range lent {
		if len(id) != 2*idLen || s.sessions[id[:idLen]] != nil {
			continue // that of another kind of writer, or still to be adopted
		}
		if err := s.o.Store.Discard(id); err != nil {
			return err
		}
	}
	return nil
}

// idLen is the length of a session's id. A shard's private pack is named by the
// session's id and as much of its SHA-256.
const idLen = 32

func newID() string {
	var b [idLen / 2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (s *Server) add(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[one.rec.ID] = one
	s.byStatement[one.rec.Owner+" "+one.rec.Statement.String()] = one.rec.ID
}

// Close ends the commits that run, which go on when they are asked for again, and
// waits for them. Close and Run of a nil Server, where nobody may write, do nothing.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.end()
	s.commits.Wait()
}

// Run removes abandoned sessions until ctx ends; then no commit goes on.
func (s *Server) Run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			s.end() // commits stop where they can be gone on with
			return nil
		case <-t.C:
			if n, err := s.Sweep(); err != nil {
				s.log.ErrorContext(ctx, "removing abandoned uploads", "error", err)
			} else if n > 0 {
				s.log.InfoContext(ctx, "removed abandoned uploads", "sessions", n)
			}
		}
	}
}

// Sweep removes the sessions whose lease is over, and returns how many.
func (s *Server) Sweep() (removed int, err error) {
	now := s.now()
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock() // whoever drops a session holds it, and wants s.mu
	for _, one := range all {
		one.mu.Lock()
		due := !one.expires.After(now)
		one.mu.Unlock()
		// A commit holds the session for as long as it takes; it is looked at again.
		if !due || !one.idle() {
			continue
		}
		ok, derr := s.drop(one)
		if ok {
			removed++
		}
		err = errors.Join(err, derr)
	}
	return removed, err
}

func (one *session) stage() string {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.rec.Stage
}

func (one *session) idle() bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.commit == nil || !one.commit.running()
}

// drop ends a session: shards that are coming in stop, its folder goes, and what
// it had reserved is free. False when somebody else was faster.
func (s *Server) drop(one *session) (bool, error) {
	one.stop()
	one.busy.Lock()
	defer one.busy.Unlock()
	if one.stage() == stagePromoting {
		defer s.lockOwner(one.rec.Owner)()
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.gone {
		return false, nil
	}
	one.gone = true
	s.mu.Lock()
	delete(s.sessions, one.rec.ID)
	at := one.rec.Owner + " " + one.rec.Statement.String()
	if s.byStatement[at] == one.rec.ID {
		delete(s.byStatement, at)
	}
	s.mu.Unlock()
	left := int64(0)
	if one.rec.Stage == stagePromoting {
		// What is in the store stays there, until nobody needs it.
		n, err := s.charge(one, 0)
		if err != nil {
			s.log.Error("counting what an upload left", "session", one.rec.ID, "error", err)
		}
		left = n
	}
	if one.rec.Stage != stageCommitted {
		s.book.release(one.rec.Owner, one.hold, left)
	}
	// The record goes first: a folder without one is removed at the next start.
	err := os.Remove(filepath.Join(one.dir, recordFile))
	if err == nil {
		err = os.RemoveAll(one.dir)
	}
	for _, sum := range one.sums {
		if one.rec.Stage == stagePromoting {
			err = errors.Join(err, s.o.Store.Discard(packID(one.rec.ID, sum)))
		}
	}
	return true, err
}

func packID(session, sum string) string { return session + sum[:idLen] }

// touch moves a session's lease.
func (s *Server) touch(one *session) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.expires = maxTime(one.expires, s.now().Add(s.o.Lease))
}

// room refuses when the file system is nearly full once need more bytes are on it.
func (s *Server) room(need int64) error {
	free, total, err := s.o.Free(s.o.Dir)
	if err != nil {
		return fault.Mark(fault.Internal, err)
	}
	// 5 %, or 1 GiB where that is more: as the documents have it.
	if low := max(total/freeShare, minFree); free < low || free-low < uint64(need) {
		return fault.WithHint(fault.New(fault.NoSpace, "the registry has no room for uploads now"), "try again later; what was sent is kept")
	}
	return nil
}

func statfs(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// ownerLock lets the commits of one owner happen one after another: what one
// examined is still so when it is submitted.
type ownerLock struct {
	sync.Mutex
	users int
}

func (s *Server) lockOwner(owner string) (unlock func()) {
	s.mu.Lock()
	l := s.owners[owner]
	if l == nil {
		l = new(ownerLock)
		s.owners[owner] = l
	}
	l.users++
	s.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.owners, owner)
		}
	}
}

// ownerOf says whose quota a caller uses.
func ownerOf(c auth.Caller) string {
	if c.Key != "" {
		return string(c.Key)
	}
	return "token:" + strings.TrimSpace(c.Token)
}
