package fetches

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

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
			return fault.WithHint(fault.New(fault.Busy, "too many fetches are being counted"), "fetch without a record, or try again in an hour")
		}
		f.end(x)
	}
	return nil
}
