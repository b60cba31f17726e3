// Package fetches counts what a gateway sends of a version and for whom, and
// signs the count: a fetch record, the receipt of a download.
//
// A caller opens a fetch for one version, and names it in the header of every
// request that belongs to it, from as many machines as it likes. The gateway
// notes which bytes of which leaves it has sent under that name. When a record is
// asked for, what was noted is held against the version's own tree: bytes of
// other data do not count, and a leaf that stands at several places covers them
// all. FETCHES.md says what a client does.
//
// A record says at most what was sent: what cannot be noted, for want of room or
// after a crash, is missing from it.
package fetches

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// maxFetches bounds the fetches that are open: each has a small file, and some
	// hundred bytes in memory.
	maxFetches = 1 << 14
	// maxOfKey bounds those of one key; the next one ends the one that is idle
	// longest.
	maxOfKey = 64
	// maxExtents bounds what is noted of one fetch: a TiB in leaves of a MiB, and
	// 24 MiB on disk, and in memory while a record is made.
	maxExtents = 1 << 20
	// maxStored bounds the files of all fetches: those of some hundred large ones.
	maxStored = 4 << 30
	// crowded is from when on the largest of them end: whoever notes the most pays for
	// it, and what others note is not lost.
	crowded = maxStored / 8 * 7
	// life is how long a fetch stays open without a byte: whoever is interrupted
	// has a week to go on.
	life = 7 * 24 * time.Hour
	// newLife is how long one stays open under which nothing was sent.
	newLife = time.Hour
	// flushEvery is how often notes in memory are written down: a crash forgets at
	// most those of so long, which is as much data as a network carries in that time.
	flushEvery = 2 * time.Second
	// sweepEvery is how often fetches are looked at that may be over.
	sweepEvery = 15 * time.Second
	// recordWait is how long a record waits for others that are being made.
	recordWait = time.Minute
	// maxEndless bounds the data that are remembered to be too large.
	maxEndless = 1 << 10
	// settleWait is how long a record waits for requests that are running.
	settleWait = time.Second
	// idBytes are what nobody guesses.
	idBytes = 16
)

// Options are what Fetches are made of. Registry, Blocks, Signer and Dir must be
// set.
type Options struct {
	Registry *registry.Registry
	// Blocks is where the trees of versions are read from when a record is made. It
	// is read for the server itself, so it must have what is gated, too.
	Blocks unixfs.Blocks
	// May returns why the caller of ctx may not read a version; nil: everybody may.
	May func(ctx context.Context, d index.Dataset) error
	// Signer is the gateway's key. It signs only while the registry/v1 in force
	// lists it.
	Signer sign.Signer
	Dir    string // of the notes: made if it is missing
	Now    func() time.Time
	Log    *slog.Logger // default: nothing is logged
}

// Fetches are the open fetches of one gateway. They are safe for concurrent use.
type Fetches struct {
	o         Options
	log       *slog.Logger
	origin    string
	recording chan struct{} // holds one while a record is made
	stored    atomic.Int64  // bytes of all files
	opening   sync.Mutex    // held while a fetch is opened
	// endless are the data that no record is made of. Who holds recording uses them.
	endless map[cid.Cid]struct{}

	mu    sync.Mutex
	all   map[[sha256.Size]byte]*fetch
	ofKey map[sign.KeyID]int
}

// New returns the fetches that o.Dir knows. The caller runs [Fetches.Run], and
// closes it.
func New(o Options) (*Fetches, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fetches{
		o: o, log: o.Log, origin: o.Registry.Status().Origin, recording: make(chan struct{}, 1), all: make(map[[sha256.Size]byte]*fetch), ofKey: make(map[sign.KeyID]int),
		endless: make(map[cid.Cid]struct{}),
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	found, err := openAll(o.Dir, o.Log)
	if err != nil {
		return nil, err
	}
	for _, x := range found {
		f.all[x.sum] = x
		f.ofKey[x.head.Key]++
		f.stored.Add(x.size)
	}
	f.expire()
	return f, nil
}

// Run writes down what was counted and forgets what is over, until ctx ends.
func (f *Fetches) Run(ctx context.Context) error {
	flush, sweep := time.NewTicker(flushEvery), time.NewTicker(sweepEvery)
	defer flush.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-flush.C:
			f.flush()
		case <-sweep.C:
			f.expire()
			f.relieve()
		case <-ctx.Done():
			return nil
		}
	}
}

// Close writes down what was counted. Nothing may be sent any more.
func (f *Fetches) Close() error {
	f.flush()
	return nil
}

func (f *Fetches) list() []*fetch {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*fetch, 0, len(f.all))
	for _, x := range f.all {
		out = append(out, x)
	}
	return out
}

func (f *Fetches) flush() {
	for _, x := range f.list() {
		x.mu.Lock()
		f.write(x)
		x.mu.Unlock()
	}
}

// expire ends the fetches under which nothing was sent for long.
func (f *Fetches) expire() {
	now := f.o.Now()
	for _, x := range f.list() {
		x.mu.Lock()
		if x.used.After(now) {
			x.used = now // the clock was set back
		}
		idle, empty := now.Sub(x.used), x.empty()
		x.mu.Unlock()
		if idle > life || empty && idle > newLife {
			f.end(x)
		}
	}
}

// end forgets a fetch and removes its file.
func (f *Fetches) end(x *fetch) {
	f.mu.Lock()
	if f.all[x.sum] == x {
		delete(f.all, x.sum)
		if f.ofKey[x.head.Key]--; f.ofKey[x.head.Key] == 0 {
			delete(f.ofKey, x.head.Key)
		}
	}
	f.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	x.over = true
	f.stored.Add(-x.size)
	if err := os.Remove(x.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		f.log.Warn("a file of an ended fetch stays", "error", err)
	}
}

// relieve ends the largest fetches while all of them take nearly the room that there
// is: first of those that were idle for an hour, then of any.
func (f *Fetches) relieve() {
	if f.stored.Load() < crowded {
		return
	}
	type sized struct {
		x    *fetch
		busy bool
		size int64
	}
	var list []sized
	now := f.o.Now()
	for _, x := range f.list() {
		x.mu.Lock()
		list = append(list, sized{x, now.Sub(x.used) < newLife, x.size})
		x.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b sized) int {
		switch {
		case a.busy == b.busy:
			return cmp.Compare(b.size, a.size)
		case a.busy:
			return 1
		}
		return -1
	})
	for _, s := range list {
		if f.stored.Load() < crowded {
			return
		}
		f.log.Warn("a fetch ends: the notes of all take too much room", "key", s.x.head.Key, "bytes", s.size, "busy", s.busy)
		f.end(s.x)
	}
}

// idlest is, of the fetches that match, the one under which nothing was sent for
// longest.
func (f *Fetches) idlest(match func(*fetch) bool) (oldest *fetch, since time.Time) {
	for _, x := range f.list() {
		x.mu.Lock()
		used := x.used
		x.mu.Unlock()
		if match(x) && (oldest == nil || used.Before(since)) {
			oldest, since = x, used
		}
	}
	return oldest, since
}

// An Opened is a fetch that was just opened.
type Opened struct {
	ID      string // in the header; whoever knows it can add to what is counted
	Version index.Dataset
}

// Open opens a fetch of a version for a key, which has proved itself. It is known
// for a week after the last byte, over restarts. Codes: fault.NotFound for no
// accepted version of a dataset, and where the gateway signs nothing; those of
// Options.May; fault.Invalid for a purpose that no record can hold; fault.Busy when
// too many are open.
func (f *Fetches) Open(ctx context.Context, key sign.KeyID, statement cid.Cid, purpose string) (*Opened, error) {
	d, err := f.version(ctx, statement)
	if err != nil {
		return nil, err
	}
	if f.o.May != nil {
		if err := f.o.May(ctx, d); err != nil {
			return nil, err
		}
	}
	now := f.o.Now()
	head := header{Key: key, Statement: cjson.CID{Cid: statement}, Purpose: purpose, OpenedAt: now.Unix()}
	// What a record could not say is refused before anything is counted.
	if _, err := manifests.NewFetchRecord(f.draft(head, d, counted{from: now.Unix(), to: now.Unix()}), f.o.Signer); err != nil {
		return nil, err
	}
	var secret [idBytes]byte
	rand.Read(secret[:])
	id := base64.RawURLEncoding.EncodeToString(secret[:])
	if _, err := f.begin(sha256.Sum256([]byte(id)), head, now); err != nil {
		return nil, err
	}
	return &Opened{id, d}, nil
}

// begin makes a fetch, and room for it. One at a time: of those that come at once,
// each would find the same room.
func (f *Fetches) begin(sum [sha256.Size]byte, head header, now time.Time) (*fetch, error) {
	f.opening.Lock()
	defer f.opening.Unlock()
	if err := f.makeRoom(head.Key); err != nil {
		return nil, err
	}
	x, err := create(f.o.Dir, sum, head, now)
	if err != nil {
		return nil, err
	}
	f.stored.Add(x.size)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[x.sum] = x
	f.ofKey[head.Key]++
	return x, nil
}

func (f *Fetches) makeRoom(key sign.KeyID) error {
	f.mu.Lock()
	all, own := len(f.all), f.ofKey[key]
	f.mu.Unlock()
	if own >= maxOfKey {
		if x, _ := f.idlest(func(x *fetch) bool { return x.head.Key == key }); x != nil {
			f.end(x)
		}
	}
	f.relieve()
	if all >= maxFetches {
		x, since := f.idlest(func(*fetch) bool { return true })
		if x == nil || f.o.Now().Sub(since) < newLife {
			return fault.WithHint(fault.New(fault.Busy, "too many fetches are being counted"), "fetch without a receipt, or try again in an hour")
		}
		f.end(x)
	}
	return nil
}

// errUnsigned says that there are no fetch records to be had.
var errUnsigned = fault.WithHint(fault.New(fault.NotFound, "this gateway signs no fetch records"),
	`its operator lists a key in registry/v1: "cairn registry update --add-gateway-key"`)

// version finds a version of a dataset. That the gateway's key is not in force is
// said first: without it nothing is worth to be counted.
func (f *Fetches) version(ctx context.Context, statement cid.Cid) (d index.Dataset, err error) {
	err = f.o.Registry.View(func(s *index.Snapshot) error {
		r, err := s.Registry()
		if err != nil {
			return err
		}
		if !slices.Contains(r.GatewayKeys, f.o.Signer.ID()) {
			return errUnsigned
		}
		d, err = s.Dataset(statement)
		return err
	})
	return d, err
}

// find returns an open fetch; nil for none.
func (f *Fetches) find(id string) *fetch {
	if len(id) != base64.RawURLEncoding.EncodedLen(idBytes) {
		return nil
	}
	sum := sha256.Sum256([]byte(id)) // found by its hash: the time that takes tells nothing
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[sum]
}

// A Sent takes what one request sends under a fetch. A nil Sent takes nothing.
type Sent struct {
	f *Fetches
	x *fetch
}

// Begin returns what takes what one request sends under the fetch with the given ID;
// nil when it is not open. Done ends it.
func (f *Fetches) Begin(id string) *Sent {
	if f == nil {
		return nil
	}
	x := f.find(id)
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.running++
	return &Sent{f, x}
}

// Done says that the request has sent all that it will.
func (s *Sent) Done() {
	if s == nil {
		return
	}
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if s.x.running--; s.x.running == 0 && s.x.idle != nil {
		close(s.x.idle)
		s.x.idle = nil
	}
}

// settle waits a moment for requests that are running: whoever asks for a record has
// its last byte before the sender has noted it.
func (x *fetch) settle(ctx context.Context) {
	x.mu.Lock()
	if x.running == 0 {
		x.mu.Unlock()
		return
	}
	if x.idle == nil {
		x.idle = make(chan struct{})
	}
	idle := x.idle
	x.mu.Unlock()
	wait := time.NewTimer(settleWait)
	defer wait.Stop()
	select {
	case <-idle:
	case <-wait.C: // others go on fetching
	case <-ctx.Done():
	}
}

// Add notes that n bytes of a file's contents, from off on in the leaf c, were
// sent. It may wait for the disk.
func (s *Sent) Add(c cid.Cid, off, n uint64) {
	if s == nil || n == 0 || !c.Defined() || off+n > 1<<32-1 {
		return
	}
	e := extent{keyOf(c), uint32(off), uint32(n)}
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.f.add(s.x, e)
}

type sentKey struct{}

// NewContext returns a context under which what is sent is added to s; nil: to
// nothing.
func NewContext(ctx context.Context, s *Sent) context.Context {
	return context.WithValue(ctx, sentKey{}, s)
}

// FromContext returns what takes what is sent under ctx: nil for nothing.
func FromContext(ctx context.Context) *Sent {
	s, _ := ctx.Value(sentKey{}).(*Sent)
	return s
}

// draft is the record of a fetch, without a nonce.
func (f *Fetches) draft(h header, d index.Dataset, c counted) *manifests.FetchRecord {
	at := func(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
	return &manifests.FetchRecord{
		Registry: f.origin, Nonce: "AAAAAAAAAAAAAAAAAAAAAA", Statement: h.Statement, Root: d.Root,
		Bytes: c.bytes, CoveragePpm: c.coveragePpm(), Ranges: c.ranges, Fetcher: h.Key, Purpose: h.Purpose,
		FetchedFrom: at(c.from), FetchedTo: at(c.to),
	}
}

var errOver = fault.WithHint(fault.New(fault.NotFound, "there is no such fetch of this key: it was never opened, or is over"), "a fetch ends a week after its last byte")

// Record signs what was sent under the fetch id so far. It may be asked for again
// and again. Codes: fault.NotFound when the key has no such fetch, fault.Conflict
// when nothing was sent under it, fault.Busy when too many records are being made.
func (f *Fetches) Record(ctx context.Context, key sign.KeyID, id string) ([]byte, error) {
	x := f.find(id)
	if x == nil || x.head.Key != key {
		return nil, errOver
	}
	d, err := f.version(ctx, x.head.Statement.Cid)
	if err != nil {
		return nil, err
	}
	x.settle(ctx)
	c, err := f.count(ctx, x, d.Root.Cid)
	if err != nil {
		return nil, err
	}
	if c.bytes == 0 && c.total > 0 {
		return nil, fault.WithHint(fault.New(fault.Conflict, "nothing of the data was sent under this fetch"),
			"requests name it in the header %s; TAR, the Hub API, bitswap and caches on the way do not count", wire.FetchHeader)
	}
	r := f.draft(x.head, d, c)
	if r.Nonce, err = manifests.NewNonce(rand.Reader); err != nil {
		return nil, err
	}
	err = f.o.Registry.View(func(s *index.Snapshot) error {
		_, err := s.Acceptance(d.Terms.Cid, key)
		if err == nil {
			r.Terms = d.Terms
		}
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return manifests.NewFetchRecord(r, f.o.Signer)
}

// count holds what was noted against the tree of the data.
func (f *Fetches) count(ctx context.Context, x *fetch, root cid.Cid) (counted, error) {
	wait := time.NewTimer(recordWait)
	defer wait.Stop()
	select {
	case f.recording <- struct{}{}:
		defer func() { <-f.recording }()
	case <-wait.C:
		return counted{}, fault.New(fault.Busy, "other records are being made")
	case <-ctx.Done():
		return counted{}, context.Cause(ctx)
	}
	x.mu.Lock()
	f.write(x)
	err := f.load(x)
	stored, last, over := x.stored, x.last, x.over
	x.mu.Unlock()
	if over {
		return counted{}, errOver
	}
	if err != nil {
		return counted{}, fault.Mark(fault.Internal, err)
	}
	if last != nil && last.extents == stored {
		return *last, nil // nothing was sent since
	}
	notes, err := x.read()
	if errors.Is(err, os.ErrNotExist) {
		return counted{}, errOver // since just now
	}
	if err != nil {
		return counted{}, err
	}
	if _, ok := f.endless[root]; ok {
		return counted{}, errEndless
	}
	c, err := cover(ctx, f.o.Blocks, root, notes.extents, maxSteps)
	if errors.Is(err, fault.TooLarge) { // whoever asks again costs nothing
		if len(f.endless) >= maxEndless {
			clear(f.endless)
		}
		f.endless[root] = struct{}{}
	}
	if err != nil {
		return counted{}, err
	}
	if c.from, c.to = notes.from, notes.to; c.from == 0 {
		c.from, c.to = x.head.OpenedAt, x.head.OpenedAt
	}
	c.extents = len(notes.extents)
	x.mu.Lock()
	x.last = &c
	x.mu.Unlock()
	return c, nil
}
