package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"golang.org/x/sync/semaphore"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// presetBytes is enough for a gigabit a second over 250 ms, and little
	// beside what a trainer has.
	presetBytes = 32 << 20
	// presetHedge is about what a block of 1 MiB takes over a line of 20 Mbit/s.
	presetHedge = 500 * time.Millisecond
	// hedgeFactor times what a block should take, it is asked for elsewhere too.
	hedgeFactor = 4
	// maxHedges bounds the requests that are doubled at a time: when all sources
	// are slow at once, the line is, and asking twice makes it worse.
	maxHedges = 8
	// maxSources bounds how many sources there may be: a list, not a crowd.
	maxSources = 64
	// typicalRaw is what a raw block is taken to need before any has been seen.
	typicalRaw = 1 << 20
	// typicalNode is that for a node of a DAG.
	typicalNode = 64 << 10
)

// A Source is a trustless gateway that blocks may come from.
type Source struct {
	// URL is its base, such as https://gateway.example.
	URL string
	// Bearer, unless empty, is a token that the source is shown, as [Bearer]
	// does: no other host ever sees it.
	Bearer string
	// Tell, unless nil, is called with the headers of each request that goes to the
	// source itself, to add what it alone is told. It may be called at any time, by
	// several at once.
	Tell func(http.Header)
	// Transport carries the requests; nil: one of its own.
	Transport http.RoundTripper
}

// SourcesOptions are the choices of [OpenSources]. The zero value is good.
type SourcesOptions struct {
	// Bytes bounds the memory of blocks under way. It is 32 MiB when 0, and at
	// least two of the largest blocks, 4 MiB. Nodes that are kept for the next
	// question take at most 8 MiB besides.
	Bytes int64
	// Hedge is the least time after which a block is asked for a second time,
	// at another source; 500 ms when 0. Where a source is known to be slower, it
	// is four times what the block should take.
	Hedge time.Duration
	// Pause is the first pause after a failure, doubled by each further one;
	// 200 ms when 0.
	Pause time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Sources read blocks from several gateways at once. A block is asked for at
// the source that should have it soonest, by what each has done so far; when it
// takes several times as long, at another one too, and the first answer wins.
// A source that sends wrong bytes is dropped at once; one that fails, or is
// overtaken again and again, is left alone for a while, and dropped in the end.
// So any mixture of sources gives the same bytes, as long as each block is at
// one that lives.
//
// Every block is fetched by itself, not as part of a CAR. Without delay, 5000 files
// of 4 KiB and one of 100 MiB came in 0.7 s as one CAR and in 0.9 s as blocks; but a
// block can be asked for at another source, asked for again, and left out when it is
// on disk, and a stream cannot. What a CAR would do better is a tree of tiny files
// from a single source that is very far: 64 requests at a time are the limit there.
//
// Sources are a blocks.Reader, and safe for concurrent use. Two who want one block at a time share
// one request.
type Sources struct {
	o       SourcesOptions
	sources []*source
	// room is the memory for blocks under way; slots are its first come, first
	// served.
	room *semaphore.Weighted
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	// mu guards all below, and the sources. It is never held across I/O.
	mu      sync.Mutex
	closed  bool
	changed chan struct{} // closed and renewed when a source may have come free
	waiting int           // who waits for changed
	hedges  int
	flights map[[32]byte]*flight
	kept    keep
	follow  *follower
	largest int // raw block so far
	sizes   map[[32]byte]uint64
}

// A flight is a block under way, and who waits for it.
type flight struct {
	done    chan struct{} // closed when b and err are final
	b       []byte
	err     error
	waiters int
	cancel  context.CancelFunc
}

// OpenSources returns the blocks of several gateways. It asks none of them yet. No
// source at all, more than 64, one that stands there twice, and a URL that is none
// are fault.Invalid. Close it after use.
func OpenSources(list []Source, o SourcesOptions) (*Sources, error) {
	if o.Bytes == 0 {
		o.Bytes = presetBytes
	}
	o.Bytes = max(o.Bytes, 2*maxBlock)
	if o.Hedge == 0 {
		o.Hedge = presetHedge
	}
	if o.Pause == 0 {
		o.Pause = firstPause
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(list) == 0 || len(list) > maxSources {
		return nil, fault.New(fault.Invalid, "%d sources, where 1 to %d can be used", len(list), maxSources)
	}
	s := &Sources{
		o: o, room: semaphore.NewWeighted(o.Bytes), changed: make(chan struct{}),
		flights: make(map[[32]byte]*flight), sizes: make(map[[32]byte]uint64),
	}
	seen := make(map[string]bool)
	for _, one := range list {
		src := &source{window: firstWindow}
		rt := one.Transport
		if rt == nil {
			t := newTransport()
			rt, src.idle = t, t
		}
		var err error
		if one.Bearer != "" {
			if rt, err = Bearer(one.URL, one.Bearer, rt); err != nil {
				return nil, err
			}
		}
		if one.Tell != nil {
			if rt, err = tell(one.URL, one.Tell, rt); err != nil {
				return nil, err
			}
		}
		if src.client, err = New(one.URL, Options{Transport: rt}); err != nil {
			return nil, err
		}
		src.report.URL = src.client.base
		if seen[src.report.URL] {
			return nil, fault.New(fault.Invalid, "the source %s stands there twice", fault.Quote(one.URL))
		}
		seen[src.report.URL] = true
		s.sources = append(s.sources, src)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what is under way, and waits until it has ended. Whoever still waits
// for a block gets an error.
func (s *Sources) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
	for _, c := range s.sources {
		if c.idle != nil {
			c.idle.CloseIdleConnections()
		}
	}
	return nil
}

// Reports say what became of each source so far, in the order of [OpenSources].
func (s *Sources) Reports() []Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Report, len(s.sources))
	for i, c := range s.sources {
		out[i] = c.report
	}
	return out
}

// InFlight says how many blocks, and how many bytes of them, are worth asking for
// at a time.
func (s *Sources) InFlight() (blocks int, bytes int64) {
	return min(len(s.sources)*maxWindow, 2*maxWindow), s.o.Bytes
}

// Block returns the bytes of c, hashed. Codes: fault.Unverified when every source
// that has not failed lied, with a [*LieError] for each; fault.NotFound,
// fault.Gone, fault.Denied or fault.Unauthenticated when that is what all of them
// say; fault.Busy, with the cause for each source, when some could not be asked.
func (s *Sources) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	return s.block(ctx, c, true)
}

// Size returns the length of the block c. A source's word for it is not trusted, so
// the block is fetched, unless it has been before.
func (s *Sources) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	key, err := digest(c)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	n, ok := s.sizes[key]
	s.mu.Unlock()
	if ok {
		return n, nil
	}
	b, err := s.Block(ctx, c)
	return uint64(len(b)), err
}

func digest(c cid.Cid) (key [32]byte, err error) {
	m, err := mh.Decode(c.Hash())
	if err != nil || m.Code != mh.SHA2_256 || m.Length != 32 {
		return key, fault.New(fault.Invalid, "the CID %s: only whole sha2-256 hashes are fetched", c)
	}
	return [32]byte(m.Digest), nil
}

// block is Block; wanted is false for who only reads ahead.
func (s *Sources) block(ctx context.Context, c cid.Cid, wanted bool) ([]byte, error) {
	key, err := digest(c)
	if err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if wanted {
		s.follow.taken(key)
	}
	if b, ok := s.kept.get(key); ok {
		s.follow.arrived(c, key, b)
		s.mu.Unlock()
		return b, nil
	}
	if s.closed {
		s.mu.Unlock()
		return nil, fault.New(fault.Interrupted, "the sources are closed")
	}
	f := s.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		var fctx context.Context
		// The flight outlives who asked first, if others wait for it as well.
		fctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		after := context.AfterFunc(s.ctx, f.cancel)
		s.flights[key] = f
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer after()
			defer f.cancel()
			b, err := s.fetch(fctx, c, key)
			s.land(c, key, f, b, err)
		}()
	}
	f.waiters++
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.b, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if s.flights[key] == f {
			delete(s.flights, key)
		}
	}
	return nil, context.Cause(ctx)
}

// land hands a block to who waits for it.
func (s *Sources) land(c cid.Cid, key [32]byte, f *flight, b []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && err != nil {
		err = fault.New(fault.Interrupted, "the sources are closed")
	}
	f.b, f.err = b, err
	if s.flights[key] == f {
		delete(s.flights, key)
	}
	close(f.done)
	if err != nil {
		s.follow.taken(key)
		return
	}
	if len(s.sizes) >= maxSizes {
		clear(s.sizes)
	}
	s.sizes[key] = uint64(len(b))
	if c.Prefix().Codec == cid.Raw {
		s.largest = max(s.largest, len(b))
		return
	}
	for _, old := range s.kept.put(key, b) {
		s.follow.taken(old)
	}
	s.follow.arrived(c, key, b)
}

// fetch gets a block from one source or another, within the memory that is there
// for it.
func (s *Sources) fetch(ctx context.Context, c cid.Cid, key [32]byte) ([]byte, error) {
	reserve := s.expected(c)
	for {
		if err := s.room.Acquire(ctx, int64(reserve)); err != nil {
			return nil, context.Cause(ctx)
		}
		r := &race{s: s, c: c, key: key, reserve: reserve}
		b, err := r.run(ctx)
		if !errors.Is(err, errNoRoom) {
			return b, err
		}
		// Longer than was thought, and no memory free: wait for it holding none.
		reserve = maxBlock
	}
}

// expected is how many bytes a block may need before its length is known.
func (s *Sources) expected(c cid.Cid) int {
	if c.Prefix().Codec != cid.Raw {
		return typicalNode
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.largest == 0 {
		return typicalRaw
	}
	blocks, _ := s.InFlight()
	return max(s.largest, int(s.o.Bytes)/blocks)
}

// wake lets those look again who wait for a source. The caller holds mu.
func (s *Sources) wake() {
	if s.waiting > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
		s.waiting = 0
	}
}

// others reports whether a source that sends blocks remains besides c. The caller
// holds mu.
func (s *Sources) others(c *source) bool {
	return slices.ContainsFunc(s.sources, func(o *source) bool { return o != c && o.dropped == nil && o.rate > 0 })
}

// all returns the error of a block that no source gave.
func (s *Sources) all(c cid.Cid, said map[*source]error) error {
	var list []error
	var codes []fault.Code
	s.mu.Lock()
	for _, src := range s.sources {
		err := said[src]
		if err == nil {
			err = src.dropped
		}
		if err != nil {
			list = append(list, err)
			codes = append(codes, fault.Of(err))
		}
	}
	s.mu.Unlock()
	if len(list) == 1 && fault.Of(list[0]) != fault.Internal {
		return list[0]
	}
	code := fault.Busy
	// A failure hides what the source would have said. Without one, the answer
	// that says most counts; that there is nothing is said by all or not at all.
	if !slices.ContainsFunc(codes, func(c fault.Code) bool { return c == fault.Busy || c == fault.Internal }) {
		for _, c := range []fault.Code{fault.Gone, fault.Denied, fault.Unauthenticated, fault.NotFound, fault.Unverified, fault.Invalid} {
			if slices.Contains(codes, c) {
				code = c
				break
			}
		}
	}
	texts := make([]string, len(list))
	for i, err := range list {
		texts[i] = err.Error()
	}
	return fault.Mark(code, &noneError{fmt.Sprintf("no source gave %s:\n%s", c, strings.Join(texts, "\n")), list})
}

// A noneError has one cause for each source.
type noneError struct {
	text string
	errs []error
}

func (e *noneError) Error() string   { return e.text }
func (e *noneError) Unwrap() []error { return e.errs }
