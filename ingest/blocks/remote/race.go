package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A race is one block on its way: from one source, or from two when the first
// takes long.
type race struct {
	s       *Sources
	c       cid.Cid
	key     [32]byte
	reserve int // bytes that are its own, of s.room

	said    map[*source]error // who answered that there is nothing to have
	running map[*source]*run
	results chan result
}

type run struct {
	began  time.Time
	units  float64 // under way at its source when it began, itself included
	expect float64 // seconds
	hedge  bool
	late   bool // asked for elsewhere too
	cancel context.CancelFunc
}

type result struct {
	src  *source
	run  *run
	b    []byte
	wait time.Duration
	err  error
}

// run returns the block, verified. It gives the reserved memory back.
func (r *race) run(ctx context.Context) ([]byte, error) {
	s := r.s
	ctx, cancel := context.WithCancel(ctx)
	r.said, r.running = make(map[*source]error), make(map[*source]*run)
	r.results = make(chan result, len(s.sources))
	defer func() {
		// The losers end before their memory counts as free.
		cancel()
		for len(r.running) > 0 {
			r.finish(<-r.results, true)
		}
		s.room.Release(int64(r.reserve))
	}()
	var noRoom error
	for {
		if len(r.running) == 0 {
			if noRoom != nil {
				return nil, noRoom
			}
			if err := r.first(ctx); err != nil {
				return nil, err
			}
		}
		timer := time.NewTimer(r.patience())
		select {
		case res := <-r.results:
			timer.Stop()
			r.finish(res, false)
			if res.err == nil {
				return res.b, nil
			}
			if errors.Is(res.err, errNoRoom) {
				noRoom = errNoRoom
			}
		case <-timer.C:
			r.hedge(ctx)
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// first starts a request at the best source, as soon as one may be asked.
func (r *race) first(ctx context.Context) error {
	s := r.s
	for {
		s.mu.Lock()
		src, rest := r.best()
		if src != nil {
			r.start(ctx, src, false)
			s.mu.Unlock()
			return nil
		}
		changed := s.changed
		s.waiting++
		now := s.o.Now()
		s.mu.Unlock()
		if rest.IsZero() {
			return s.all(r.c, r.said)
		}
		timer := time.NewTimer(max(rest.Sub(now), time.Millisecond))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
}

// farOff is when a source that is only busy is looked at again: before that it
// says so itself.
const farOff = time.Minute

// best returns the source that should have the block soonest, of those that may be
// asked now. Without one, rest is when to look again; zero when nobody is left
// to wait for. The caller holds mu.
func (r *race) best() (best *source, rest time.Time) {
	now := r.s.o.Now()
	var least float64
	var missing, full bool
	for _, src := range r.s.sources {
		if _, ok := r.said[src]; ok || src.dropped != nil || r.running[src] != nil {
			continue
		}
		if src.rest.After(now) {
			rest = sooner(rest, src.rest)
			continue
		}
		busy := src.running >= int(src.window)
		if busy {
			rest = sooner(rest, now.Add(farOff))
			if src.rate == 0 {
				continue // it may never answer: others are better than to wait for it
			}
		}
		wait, misses := src.wait(r.reserve), src.misses >= missRun
		if best == nil || missing && !misses || missing == misses && wait < least {
			best, least, missing, full = src, wait, misses, busy
		}
	}
	if full { // the best is worth to wait for
		return nil, rest
	}
	return best, rest
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// start asks a source. The caller holds mu.
func (r *race) start(ctx context.Context, src *source, hedge bool) {
	expect := src.wait(r.reserve)
	src.begin(r.reserve)
	run := &run{began: r.s.o.Now(), units: src.units, expect: expect, hedge: hedge}
	ctx, run.cancel = context.WithCancel(ctx)
	r.running[src] = run
	r.s.wg.Add(1)
	go func() {
		defer r.s.wg.Done()
		held := 0
		b, wait, err := src.ask(ctx, r.c, r.key[:], r.reserve, func(more int) bool {
			ok := r.s.room.TryAcquire(int64(more))
			if ok {
				held += more
			}
			return ok
		})
		r.s.room.Release(int64(held))
		r.results <- result{src, run, b, wait, err}
	}()
}

// patience is how long to wait for what is running before another source is asked.
func (r *race) patience() time.Duration {
	last := time.Duration(0)
	for _, run := range r.running {
		d := max(r.s.o.Hedge, time.Duration(min(run.expect*hedgeFactor, farOff.Seconds())*float64(time.Second)))
		last = max(last, run.began.Add(d).Sub(r.s.o.Now()))
	}
	if last <= 0 {
		last = r.s.o.Hedge / 8 // no other source was free then, or there were hedges enough
	}
	return last
}

// hedge asks another source for the block too, if one is free and there is memory.
func (r *race) hedge(ctx context.Context) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hedges >= maxHedges {
		return
	}
	src, _ := r.best()
	if src == nil || !s.room.TryAcquire(int64(r.reserve)) {
		return
	}
	s.hedges++
	for _, run := range r.running {
		run.late = true
	}
	r.start(ctx, src, true)
}

// finish takes the outcome of a request into account; lost says that the block was
// there already, or wanted no more.
func (r *race) finish(res result, lost bool) {
	s, src := r.s, res.src
	res.run.cancel()
	delete(r.running, src)
	if res.run.hedge {
		s.room.Release(int64(r.reserve))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake()
	if res.run.hedge {
		s.hedges--
	}
	src.end(r.reserve)
	now := s.o.Now()
	var lie *LieError
	switch {
	case errors.As(res.err, &lie): // told or not, nobody asks a liar again
		src.report.Lied = true
		src.drop(lie)
	case lost || errors.Is(res.err, errNoRoom):
	case res.err == nil:
		src.report.Blocks++
		src.report.Bytes += int64(len(res.b))
		src.delivered(now.Sub(res.run.began), res.run.units)
		for other, run := range r.running {
			if run.late && !run.hedge {
				other.overtaken(run.began, now, s.o.Pause, s.others(other))
			}
		}
	case errors.Is(res.err, context.Canceled):
	default:
		switch code := fault.Of(res.err); code {
		case fault.Busy, fault.Internal, fault.NoSpace, fault.Pending, fault.Interrupted:
			src.failed(res.err, res.run.began, now, s.o.Pause, res.wait)
		default: // it answers, and has nothing to give
			src.lacks()
			r.said[src] = fmt.Errorf("%w", res.err)
		}
	}
}
