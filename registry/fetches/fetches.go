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
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
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
