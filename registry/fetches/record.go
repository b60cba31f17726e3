package fetches

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

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
// when nothing was sent under it, fault.Busy when too many records are being made,
// fault.TooLarge for data of more than about 2.5 million files or 8 TiB.
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
