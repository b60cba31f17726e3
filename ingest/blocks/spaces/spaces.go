// Package spaces keeps blocks apart that not everybody may read. A space is a
// pack store of its own, with packs and an index that no other space shares: the
// public one, and one for each terms document whose datasets are gated, named by
// the CID of those terms. Nothing is deduplicated across spaces, so a block in a
// gated space says nothing about any other.
//
// Who reads through a [Store] sees the public space, and those that the context
// of the read opens: see [With].
package spaces

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxRights is how many spaces one context opens at most.
const MaxRights = 256

const (
	// maxOpen bounds the gated spaces that are open at a time: each holds an index
	// of some 10 MiB in memory. The one that was used longest ago is closed first.
	maxOpen = 16
	// maxRights bounds the spaces that one context opens: a read may look in each.
	maxRights = MaxRights
	folder    = "spaces"
)

// rights are what a context opens.
type rights struct {
	all   bool
	terms []cid.Cid // sorted
}

type rightsKey struct{}

// With returns a context that opens the spaces of the given terms, besides those
// that ctx opens. More than 256 are fault.TooLarge.
func With(ctx context.Context, terms ...cid.Cid) (context.Context, error) {
	had := rightsOf(ctx)
	r := rights{all: had.all, terms: slices.Concat(had.terms, terms)}
	slices.SortFunc(r.terms, compare)
	r.terms = slices.CompactFunc(r.terms, cid.Cid.Equals)
	if len(r.terms) > maxRights {
		return nil, fault.New(fault.TooLarge, "%d gated spaces at once; at most %d", len(r.terms), maxRights)
	}
	return context.WithValue(ctx, rightsKey{}, r), nil
}

// WithAll returns a context that opens every space: for the owner of the home.
func WithAll(ctx context.Context) context.Context {
	return context.WithValue(ctx, rightsKey{}, rights{all: true})
}

// Public returns a context that opens no gated space, whatever ctx opens.
func Public(ctx context.Context) context.Context {
	return context.WithValue(ctx, rightsKey{}, rights{})
}

// OpensAny reports whether ctx opens any gated space.
func OpensAny(ctx context.Context) bool {
	r := rightsOf(ctx)
	return r.all || len(r.terms) > 0
}

// OpensAll reports whether ctx opens every space, as [WithAll] says.
func OpensAll(ctx context.Context) bool { return rightsOf(ctx).all }

// Opens reports whether ctx opens the space of terms.
func Opens(ctx context.Context, terms cid.Cid) bool {
	r := rightsOf(ctx)
	_, ok := slices.BinarySearchFunc(r.terms, terms, compare)
	return r.all || ok
}

func rightsOf(ctx context.Context) rights {
	r, _ := ctx.Value(rightsKey{}).(rights)
	return r
}

func compare(a, b cid.Cid) int { return strings.Compare(a.KeyString(), b.KeyString()) }

// A Store is the public space and the gated ones beside it. It is safe for
// concurrent use.
type Store struct {
	*pack.Store // the public space

	dir string // of the gated ones
	o   pack.Options

	mu     sync.Mutex
	spaces map[cid.Cid]*space
	clock  uint64
	open   int
}

// A space is a gated space that is on disk, opened when it is used.
type space struct {
	terms cid.Cid
	// mu is held for reading by whoever uses store, for writing by whoever opens
	// or closes it.
	mu    sync.RWMutex
	store *pack.Store // nil when closed
	used  uint64      // by Store.clock; guarded by Store.mu
}

// Open opens the public space in dir, and finds the gated ones below dir/spaces.
// Errors are those of [pack.Open].
func Open(dir string, o pack.Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	public, err := pack.Open(dir, o)
	if err != nil {
		return nil, err
	}
	s := &Store{Store: public, dir: filepath.Join(dir, folder), o: o, spaces: make(map[cid.Cid]*space)}
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, public.Close())
	}
	for _, e := range entries {
		if c, err := cjson.ParseCID(e.Name()); err == nil && e.IsDir() {
			s.spaces[c] = &space{terms: c}
		}
	}
	return s, nil
}

// Close closes all spaces. See [pack.Store.Close].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.Store.Close()
	for _, sp := range s.spaces {
		sp.mu.Lock()
		if sp.store != nil {
			err = errors.Join(err, sp.store.Close())
			sp.store = nil
		}
		sp.mu.Unlock()
	}
	return err
}

// Terms returns the terms of the gated spaces, sorted by CID.
func (s *Store) Terms() []cid.Cid {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []cid.Cid
	for c := range s.spaces {
		out = append(out, c)
	}
	slices.SortFunc(out, compare)
	return out
}

// Gated reports whether there is any gated space.
func (s *Store) Gated() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spaces) > 0
}

// use opens the space of terms, if it is closed, and keeps it open until release
// is called. A space that is not there is made when create is set, else ok is false.
func (s *Store) use(terms cid.Cid, create bool) (sp *space, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, ok = s.spaces[terms]
	if !ok && !create {
		return nil, false, nil
	}
	if !ok {
		sp = &space{terms: terms}
		s.spaces[terms] = sp
	}
	s.clock++
	sp.used = s.clock
	sp.mu.RLock()
	if sp.store != nil {
		return sp, true, nil
	}
	sp.mu.RUnlock()
	s.makeRoom()
	// Whoever uses a space has got it from here, so under s.mu nobody waits for
	// this lock but for an open store.
	sp.mu.Lock()
	sp.store, err = pack.Open(filepath.Join(s.dir, terms.String()), s.o)
	sp.mu.Unlock()
	if err != nil {
		if !ok {
			delete(s.spaces, terms)
		}
		return nil, false, err
	}
	s.open++
	sp.mu.RLock()
	return sp, true, nil
}

func (sp *space) release() { sp.mu.RUnlock() }

// makeRoom closes spaces that nobody uses, the oldest first, until one more may open.
func (s *Store) makeRoom() {
	for s.open >= maxOpen {
		var oldest *space
		for _, sp := range s.spaces {
			if (oldest == nil || sp.used < oldest.used) && sp.mu.TryLock() {
				if sp.store == nil {
					sp.mu.Unlock()
					continue
				}
				if oldest != nil {
					oldest.mu.Unlock()
				}
				oldest = sp
			}
		}
		if oldest == nil {
			return // all are in use: one more than planned
		}
		if err := oldest.store.Close(); err != nil {
			s.o.Log.Warn("closing a gated space", "terms", oldest.terms.String(), "error", err)
		}
		oldest.store = nil
		oldest.mu.Unlock()
		s.open--
	}
}

// in runs fn with the space of terms; ok is false when there is none.
func (s *Store) in(terms cid.Cid, fn func(*pack.Store) error) (ok bool, err error) {
	sp, ok, err := s.use(terms, false)
	if err != nil || !ok {
		return false, err
	}
	defer sp.release()
	return true, fn(sp.store)
}

// opened yields the gated spaces that ctx opens and that exist.
func (s *Store) opened(ctx context.Context) iter.Seq[cid.Cid] {
	r := rightsOf(ctx)
	if r.all {
		return slices.Values(s.Terms())
	}
	return slices.Values(r.terms)
}

// look asks the public space, then those that ctx opens, until one has the block.
func look[T any](ctx context.Context, s *Store, ask func(*pack.Store) (T, error)) (T, error) {
	v, err := ask(s.Store)
	if err == nil || !errors.Is(err, fault.NotFound) {
		return v, err
	}
	for terms := range s.opened(ctx) {
		var found error
		ok, openErr := s.in(terms, func(p *pack.Store) error { v, found = ask(p); return nil })
		switch {
		case openErr != nil:
			return v, openErr
		case ok && !errors.Is(found, fault.NotFound):
			return v, found
		}
	}
	var none T
	return none, err
}
