// Package access says who may read gated data: the blocks of datasets whose terms
// must be accepted before a byte is given out, which lie in spaces of their own
// (see package spaces). A caller, as package auth knows it, opens the spaces of all
// terms that its key accepted, or that somebody accepted who names the key as a
// fetcher.
//
// Whoever does not want to sign each request trades one signed request for a
// token: POST /v1/access. Only the hash of a token is kept. ACCESS.md says what a
// client does.
//
// What a server has given out, it cannot call back: access is about this server
// alone.
package access

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// maxOpened bounds the spaces that a key opens for whatever it asks for: a read
	// may look in each, and some are left for the dataset that is asked for. A key
	// that accepted more terms opens those of the dataset that it names.
	maxOpened = spaces.MaxRights - 32
	// maxKeys bounds the keys whose rights are remembered, about 32 MiB at most.
	maxKeys = 4096
)

// Options are what an Access is made of. Registry and Store must be set.
type Options struct {
	Registry *registry.Registry
	Store    *spaces.Store
	// Custodial returns a key in the operator's key ring, for tokens that are bound
	// to one; nil: such tokens open nothing.
	Custodial func(name string) (sign.KeyID, error)
	// File keeps the hashes of the tokens over a restart; "": they end with the
	// process.
	File string
	// Life is how long a token is good; default and most 24 h.
	Life time.Duration
	Now  func() time.Time // default time.Now
	Log  *slog.Logger     // default: nothing is logged
}

// An Access knows who may read what. It is safe for concurrent use.
type Access struct {
	o      Options
	log    *slog.Logger
	tokens *tokens

	// mu guards what follows: the terms whose spaces a key opens, as of a size of
	// the log.
	mu      sync.Mutex
	applied uint64
	rights  map[sign.KeyID][]cid.Cid

	// scanning guards what follows: of the entries below scanned, the parties that all
	// versions in a space have in common, and the versions that may be offered still,
	// in no order. A space of which none is left has an empty list.
	scanning sync.Mutex
	scanned  uint64
	common   map[cid.Cid][]sign.KeyID
	offered  map[cid.Cid][]cid.Cid
}

// New returns an Access. Tokens that o.File holds are good again.
func New(o Options) (*Access, error) {
	if o.Life <= 0 || o.Life > maxLife {
		o.Life = maxLife
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t, err := openTokens(o.File, o.Now)
	if err != nil {
		return nil, err
	}
	return &Access{o: o, log: o.Log, tokens: t}, nil
}

// Close closes the file of the tokens.
func (a *Access) Close() error { return a.tokens.close() }

// Opened returns the terms whose spaces id opens: those that it accepted, or may
// fetch for somebody, and those under which nobody has data here but itself, as the
// publisher or a contributor of each version. A space all versions in which are
// withdrawn or erased is opened for nobody. At most 224 are returned; none for an
// identity for which no key signs any more.
func (a *Access) Opened(id sign.KeyID) ([]cid.Cid, error) {
	applied := a.o.Registry.Status().Applied
	a.mu.Lock()
	if a.rights == nil || a.applied != applied || len(a.rights) >= maxKeys {
		a.rights, a.applied = make(map[sign.KeyID][]cid.Cid), applied
	}
	found, ok := a.rights[id]
	a.mu.Unlock()
	if ok {
		return found, nil
	}
	all := a.o.Store.Terms()
	if len(all) == 0 {
		return nil, nil
	}
	err := a.o.Registry.View(func(s *index.Snapshot) error {
		applied = s.Applied()
		if _, live, err := s.CurrentKey(id); !live || err != nil {
			return err
		}
		own, err := a.own(s)
		if err != nil {
			return err
		}
		for _, terms := range all {
			yes, err := accepted(s, terms, id)
			if err != nil {
				return err
			}
			if yes || slices.Contains(own[terms], id) {
				over, err := a.over(s, terms)
				if err != nil {
					return err
				}
				if !over {
					found = append(found, terms)
				}
			}
			if len(found) == maxOpened {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	if a.applied == applied {
		a.rights[id] = found
	}
	a.mu.Unlock()
	return found, nil
}

// own returns who is a party of every version in a space. Each version is looked at
// once in the life of a, so the first call takes as long as reading all of them.
func (a *Access) own(s *index.Snapshot) (map[cid.Cid][]sign.KeyID, error) {
	a.scanning.Lock()
	defer a.scanning.Unlock()
	if s.Applied() <= a.scanned {
		return a.common, nil // a map that is not changed any more
	}
	next := maps.Clone(a.common)
	if next == nil {
		next = make(map[cid.Cid][]sign.KeyID)
	}
	found := make(map[cid.Cid][]cid.Cid)
	for q := (index.Query{Limit: index.MaxLimit}); ; {
		page, err := s.List(q)
		if err != nil {
			return nil, err
		}
		for i := range page.Datasets {
			d := &page.Datasets[i]
			if d.Index < a.scanned {
				page.Next = 0
				break
			}
			if !d.Rules.GatesBytes() {
				continue
			}
			parties := []sign.KeyID{d.Publisher}
			for _, c := range d.Contributors {
				parties = append(parties, c.ID)
			}
			if old, ok := next[d.Terms.Cid]; ok {
				parties = slices.DeleteFunc(slices.Clone(old), func(id sign.KeyID) bool { return !slices.Contains(parties, id) })
			}
			next[d.Terms.Cid] = parties
			found[d.Terms.Cid] = append(found[d.Terms.Cid], d.Statement.Cid)
		}
		if q.After = page.Next; q.After == 0 {
			break
		}
	}
	if a.offered == nil {
		a.offered = make(map[cid.Cid][]cid.Cid)
	}
	for terms, versions := range found {
		a.offered[terms] = append(a.offered[terms], versions...)
	}
	a.common, a.scanned = next, s.Applied()
	return next, nil
}

// over reports whether versions lay in the space of terms, as far as own has read,
// and all of them are withdrawn or erased. What is gone stays gone, and is not
// looked at again.
func (a *Access) over(s *index.Snapshot, terms cid.Cid) (bool, error) {
	a.scanning.Lock()
	defer a.scanning.Unlock()
	left, known := a.offered[terms]
	for len(left) > 0 {
		_, gone, err := s.Gone(left[len(left)-1])
		if err != nil {
			return false, err
		}
		if !gone {
			return false, nil
		}
		left = left[:len(left)-1]
		a.offered[terms] = left
	}
	return known, nil
}

func accepted(s *index.Snapshot, terms cid.Cid, id sign.KeyID) (bool, error) {
	_, err := s.Acceptance(terms, id)
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// who is whose rights a caller has; "" for nobody's. A custodial key that was
// replaced, by whoever took its identity over, has none.
func (a *Access) who(c auth.Caller) (sign.KeyID, error) {
	if c.Custodial != "" && a.o.Custodial != nil {
		if key, err := a.o.Custodial(c.Custodial); err == nil {
			id, signs, err := a.o.Registry.Party(key)
			if !signs {
				id = ""
			}
			return id, err
		}
	}
	return c.Key, nil
}

// Middleware opens for a request what its caller may read. It stands inside
// [auth.Auth.Middleware].
func (a *Access) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := a.open(r.Context())
		if err != nil {
			a.problem(w, r, err)
			return
		}
		if ctx != r.Context() {
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

type whoKey struct{}

func (a *Access) open(ctx context.Context) (context.Context, error) {
	c, ok := auth.FromContext(ctx)
	switch {
	case !ok:
		return ctx, nil
	case c.Token != "" && (c.Role == auth.Auditor || c.Role == auth.Operator):
		return spaces.WithAll(ctx), nil
	}
	id, err := a.who(c)
	if id == "" || err != nil {
		return ctx, err
	}
	if _, live, err := a.o.Registry.Live(id); !live || err != nil {
		return ctx, err
	}
	ctx = context.WithValue(ctx, whoKey{}, id)
	terms, err := a.Opened(id)
	if err != nil || len(terms) == 0 {
		return ctx, err
	}
	return spaces.With(ctx, terms...)
}

// For opens, besides what ctx opens, those of the given gated spaces whose terms the
// caller of ctx accepted, and those of the versions with the data below root that
// it published or contributed to. The context that it returns is for reading that
// data alone: another dataset may lie in the same space. The index is asked only on
// behalf of a caller who is known and has not opened them.
func For(ctx context.Context, reg *registry.Registry, root cid.Cid, terms []cid.Cid) (context.Context, error) {
	id, ok := ctx.Value(whoKey{}).(sign.KeyID)
	if !ok || !slices.ContainsFunc(terms, func(t cid.Cid) bool { return !spaces.Opens(ctx, t) }) {
		return ctx, nil
	}
	var more []cid.Cid
	err := reg.View(func(s *index.Snapshot) error {
		for _, t := range terms {
			yes, err := accepted(s, t, id)
			if err != nil {
				return err
			}
			if yes {
				more = append(more, t)
			}
		}
		for _, q := range []index.Query{{Root: root, Publisher: id}, {Root: root, Contributor: id}} {
			page, err := s.List(q)
			if err != nil {
				return err
			}
			for _, d := range page.Datasets {
				if d.Rules.GatesBytes() && slices.Contains(terms, d.Terms.Cid) {
					more = append(more, d.Terms.Cid)
				}
			}
		}
		return nil
	})
	slices.SortFunc(more, func(a, b cid.Cid) int { return strings.Compare(a.KeyString(), b.KeyString()) })
	more = slices.Compact(more)
	if err != nil || len(more) == 0 {
		return ctx, err
	}
	return spaces.With(ctx, more[:min(len(more), spaces.MaxRights-maxOpened)]...)
}

// ErrRequired returns what a caller is told who asks for data without having
// accepted its terms: fault.Denied. site is where /v1 is.
func ErrRequired(site string, terms cid.Cid) error {
	return fault.WithHint(fault.New(fault.Denied, "this data is given out to who has accepted its terms, %s", terms),
		`read %s/v1/terms/%s; "cairn accept" accepts them by signature, "cairn access" then gets a token for --bearer-file`, site, terms)
}

// Peer returns a function for node.Options.Allow over blocks that are read with
// spaces.WithAll: a peer gets what everybody gets and, when its key accepted terms
// or fetches for who did, what they gate.
func (a *Access) Peer() func(id sign.KeyID, c cid.Cid) bool {
	return func(id sign.KeyID, c cid.Cid) bool {
		ctx := context.Background() // bitswap asks without one
		if _, err := a.o.Store.Size(ctx, c); err == nil {
			return true
		}
		who, signs, err := a.o.Registry.Party(id)
		if err != nil || !signs {
			return false
		}
		terms, err := a.Opened(who)
		if err != nil || len(terms) == 0 {
			return false
		}
		if ctx, err = spaces.With(ctx, terms...); err != nil {
			return false
		}
		_, err = a.o.Store.Size(ctx, c)
		return err == nil
	}
}
