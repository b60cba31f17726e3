package upload

import (
	"errors"
	"sync"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/index"
)

// A Quota is what one key, or one token without a key, may hold. A zero member
// means its default.
type Quota struct {
	StoredBytes  int64 // of files, over all accepted versions; default 1 TiB
	StagedBytes  int64 // declared by open uploads; default 256 GiB
	StagedBlocks int64 // declared by open uploads; default 2^23
	Sessions     int   // open uploads; default 8
	Statements   int   // in 24 hours, uploads that were opened included; default 1,000
}

func (q Quota) withDefaults() Quota {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&q.StoredBytes, 1<<40)
	set(&q.StagedBytes, 256<<30)
	set(&q.StagedBlocks, 1<<23)
	if q.Sessions == 0 {
		q.Sessions = 8
	}
	if q.Statements == 0 {
		q.Statements = 1000
	}
	return q
}

const (
	// day is what statements are counted over.
	day = 24 * time.Hour
	// maxAccounts bounds the owners that are remembered, about 200 bytes each. One
	// that has nothing open and stated nothing today is read from the log again;
	// where anybody may write, so many in a day are as many as are taken.
	maxAccounts = 1 << 16
	// maxStated bounds the statements that are remembered of a day, 8 bytes each.
	maxStated = 1 << 21
)

// errQuota tells a client that waiting helps, where it does: HTTP 429.
var errQuota = errors.New("over quota")

func overQuota(format string, args ...any) error {
	return &quotaError{fault.New(fault.TooLarge, format, args...)}
}

type quotaError struct{ error }

func (e *quotaError) Unwrap() []error { return []error{e.error, errQuota} }

// An account is what an owner holds.
type account struct {
	sessions, staged, blocks int64
	claims                   int64 // what open uploads will add to stored
	stored                   int64
	known                    bool    // stored was read from the log
	statements               []int64 // when, Unix seconds, ascending; at most a day old
}

// A book holds the accounts. What is in it can be lost: it is made anew from the
// log and the session records.
type book struct {
	q   Quota
	max Limits

	mu       sync.Mutex
	accounts map[string]*account
	most     int // accounts
	swept    time.Time
	stated   int   // statements that are remembered, of all owners
	sessions int64 // of all owners
	staged   int64
	shards   int64
}

// Limits are what all owners together may hold. A zero member means its default.
type Limits struct {
	Sessions    int   // open uploads; default 1,024
	StagedBytes int64 // declared by open uploads; default 4 TiB
	// Shards are declared by open uploads; default 2^17. Each takes a few hundred
	// bytes of memory, 40 MiB in all.
	Shards int
}

func (l Limits) withDefaults() Limits {
	if l.Sessions == 0 {
		l.Sessions = 1024
	}
	if l.StagedBytes == 0 {
		l.StagedBytes = 4 << 40
	}
	if l.Shards == 0 {
		l.Shards = 1 << 17
	}
	return l
}

// account returns the account of an owner; b.mu is held.
func (b *book) account(owner string) *account {
	a := b.accounts[owner]
	if a == nil {
		a = &account{}
		b.accounts[owner] = a
	}
	return a
}

// admit returns the account of an owner who asks for something; b.mu is held.
// fault.Busy is an owner or a statement more than can be remembered: forgetting
// one instead would give it a new quota.
func (b *book) admit(owner string, now time.Time) (*account, error) {
	if b.accounts[owner] == nil && len(b.accounts) >= b.most || b.stated >= maxStated {
		if b.sweep(now); len(b.accounts) >= b.most || b.stated >= maxStated {
			return nil, &quotaError{fault.New(fault.Busy, "too many have written here today")}
		}
	}
	a := b.account(owner)
	b.forget(a, now)
	return a, nil
}

// sweep forgets who has nothing open and stated nothing in the day before now.
// It looks once a minute, so that a full book costs no more than an empty one.
func (b *book) sweep(now time.Time) {
	if d := now.Sub(b.swept); d >= 0 && d < time.Minute {
		return
	}
	b.swept = now
	for o, a := range b.accounts {
		if b.forget(a, now); a.sessions == 0 && a.claims == 0 && len(a.statements) == 0 {
			delete(b.accounts, o)
		}
	}
}

// reserve takes what an upload declares, all or nothing, in one step: however
// many ask at once, the sum never exceeds the quota. stored reads what the owner
// has in the log already; it is called while nothing is held.
func (b *book) reserve(owner string, h holding, now time.Time, stored func() (int64, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, err := b.admit(owner, now)
	if err != nil {
		return err
	}
	for !a.known {
		since := a.stored
		b.mu.Unlock()
		have, err := stored()
		b.mu.Lock()
		if err != nil {
			return err
		}
		if a, err = b.admit(owner, now); err != nil {
			return err
		}
		// A commit that ended meanwhile may be in the log that was read, or not.
		if a.stored == since {
			a.stored, a.known = max(a.stored, have), true
		}
	}
	bytes, blocks := h.bytes, h.blocks
	switch {
	case h.sessions > int64(b.q.Sessions)-a.sessions:
		return &quotaError{fault.New(fault.Busy, "%d uploads are open, the quota", a.sessions)}
	case len(a.statements) >= b.q.Statements:
		return &quotaError{fault.New(fault.Busy, "%d statements in 24 hours, the quota", len(a.statements))}
	case bytes > b.q.StagedBytes-a.staged:
		return overQuota("%d bytes would be in open uploads, the quota is %d", a.staged+bytes, b.q.StagedBytes)
	case blocks > b.q.StagedBlocks-a.blocks:
		return overQuota("%d blocks would be in open uploads, the quota is %d", a.blocks+blocks, b.q.StagedBlocks)
	case h.claims > b.q.StoredBytes-a.stored-a.claims:
		// Counted by the files, as they will be: what a base has is not sent again.
		return overQuota("%d bytes would be stored, the quota is %d", a.stored+a.claims+h.claims, b.q.StoredBytes)
	case h.sessions > int64(b.max.Sessions)-b.sessions, bytes > b.max.StagedBytes-b.staged, h.shards > int64(b.max.Shards)-b.shards:
		return &quotaError{fault.New(fault.Busy, "too many uploads are open")}
	}
	b.take(a, h, now.Unix())
	return nil
}

// take books an upload that was opened at a time; b.mu is held.
func (b *book) take(a *account, h holding, at int64) {
	a.sessions += h.sessions
	a.staged += h.bytes
	a.blocks += h.blocks
	a.claims += h.claims
	b.state(a, at)
	b.sessions += h.sessions
	b.staged += h.bytes
	b.shards += h.shards
}

// A holding is what one upload declares.
type holding struct{ sessions, bytes, blocks, shards, claims int64 }

func (b *book) state(a *account, at int64) {
	b.stated++
	i := len(a.statements)
	for i > 0 && a.statements[i-1] > at {
		i--
	}
	a.statements = append(a.statements, 0)
	copy(a.statements[i+1:], a.statements[i:])
	a.statements[i] = at
}

func (b *book) forget(a *account, now time.Time) {
	n := 0
	for n < len(a.statements) && a.statements[n] <= now.Add(-day).Unix() {
		n++
	}
	a.statements = a.statements[n:]
	b.stated -= n
}

// release gives back what an upload had reserved; stored is what it added to the
// log's, for one that was committed.
func (b *book) release(owner string, h holding, stored int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(owner)
	a.sessions -= h.sessions
	a.staged -= h.bytes
	a.blocks -= h.blocks
	a.claims -= h.claims
	a.stored += stored
	b.sessions -= h.sessions
	b.staged -= h.bytes
	b.shards -= h.shards
}

// statement counts one statement without an upload.
func (b *book) statement(owner string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, err := b.admit(owner, now)
	if err != nil {
		return err
	}
	if len(a.statements) >= b.q.Statements {
		return &quotaError{fault.New(fault.Busy, "%d statements in 24 hours, the quota", len(a.statements))}
	}
	b.state(a, now.Unix())
	return nil
}

// storedBy sums the files of all versions that an identity published.
func storedBy(reg *registry.Registry, id sign.KeyID) (total int64, err error) {
	if id == "" {
		return 0, nil
	}
	err = reg.View(func(s *index.Snapshot) error {
		q := index.Query{Publisher: id, Limit: index.MaxLimit}
		for {
			p, err := s.List(q)
			if err != nil {
				return err
			}
			for _, d := range p.Datasets {
				total += d.Bytes
			}
			if p.Next == 0 {
				return nil
			}
			q.After = p.Next
		}
	})
	return total, err
}
