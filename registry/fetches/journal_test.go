package fetches

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// desk is Fetches without a registry: what counts, and nothing that signs.
func desk(t *testing.T, now *time.Time) *Fetches {
	t.Helper()
	return &Fetches{
		o: Options{Dir: t.TempDir(), Now: func() time.Time { return *now }}, log: slog.New(slog.DiscardHandler),
		recording: make(chan struct{}, 1), all: make(map[[sha256.Size]byte]*fetch), ofKey: make(map[sign.KeyID]int),
	}
}

func headOf(key string, now time.Time) header {
	return header{Key: foldtest.ID(key), Statement: cjson.CID{Cid: cjson.RawCID([]byte("statement"))}, Purpose: "why", OpenedAt: now.Unix()}
}

func (f *Fetches) opened(t *testing.T, id, key string) *Sent {
	t.Helper()
	x, err := f.begin(sha256.Sum256([]byte(id)), headOf(key, f.o.Now()), f.o.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &Sent{f, x}
}

func leaf(i int) extent {
	return extent{keyOf(cjson.RawCID([]byte{byte(i), byte(i >> 8)})), uint32(i), uint32(i + 1)}
}

func (s *Sent) put(i int) {
	s.Add(cjson.RawCID([]byte{byte(i), byte(i >> 8)}), uint64(i), uint64(i+1))
}

// again opens the folder as the next process does.
func again(t *testing.T, dir string) *fetch {
	t.Helper()
	found, err := openAll(dir, slog.New(slog.DiscardHandler))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d fetches, %v", len(found), err)
	}
	return found[0]
}

// TestWhatWasCountedStays: over a restart, in order, with the first and the last
// second.
func TestWhatWasCountedStays(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	f := desk(t, &now)
	s := f.opened(t, "id", "tina")
	var want []extent
	for i := range 3*buffered + 7 {
		s.put(i)
		want = append(want, leaf(i))
		now = now.Add(time.Second)
	}
	f.Close()
	x := again(t, f.o.Dir)
	n, err := x.read()
	if err != nil || !slices.Equal(n.extents, want) {
		t.Fatalf("%d extents of %d, %v", len(n.extents), len(want), err)
	}
	if n.from != 1_800_000_000 || n.to != now.Unix()-1 {
		t.Errorf("from %d to %d", n.from, n.to)
	}
	if x.head != s.x.head || x.sum != s.x.sum {
		t.Errorf("%+v, want %+v", x.head, s.x.head)
	}
}

// TestRunsAreJoined: a leaf that is sent in slices is one extent.
func TestRunsAreJoined(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	s := f.opened(t, "id", "tina")
	c := cjson.RawCID([]byte("leaf"))
	for off := uint64(0); off < 1<<20; off += 4096 {
		s.Add(c, off, 4096)
	}
	s.Add(c, 0, 1)
	s.Add(c, 5, 1)
	if got := s.x.wait; len(got) != 3 || got[0].n != 1<<20 {
		t.Errorf("%v", got)
	}
	var none *Sent
	none.Add(c, 0, 1)
	s.Add(c, 1<<32-1, 1) // of no leaf
	s.Add(c, 0, 0)
	if len(s.x.wait) != 3 {
		t.Error("what cannot be was noted")
	}
}

// TestMuchIsWrittenSoon: what a crash forgets is little of a fast download.
func TestMuchIsWrittenSoon(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	s := f.opened(t, "id", "tina")
	sum := func(list []extent) (n uint64) {
		for _, e := range list {
			n += uint64(e.n)
		}
		return n
	}
	for i := range 100 {
		s.Add(cjson.RawCID([]byte{byte(i)}), 0, 1<<20)
		n, err := s.x.read()
		if lost := uint64(i+1)<<20 - sum(n.extents); err != nil || lost > heavy {
			t.Fatalf("after %d MiB a crash forgets %d, %v", i+1, lost, err)
		}
	}
}

// TestCutAnywhere: a file that a crash cut or spoilt at any byte still opens, says at
// most what it said, and takes more.
func TestCutAnywhere(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	f := desk(t, &now)
	s := f.opened(t, "id", "tina")
	for i := range 5 {
		s.put(2 * i)
		f.flush() // a frame each
	}
	f.Close()
	whole, err := os.ReadFile(s.x.name)
	if err != nil {
		t.Fatal(err)
	}
	head := bytes.IndexByte(whole, '\n') + 1
	for cut := head; cut <= len(whole); cut++ {
		for _, spoil := range []bool{false, true} {
			b := slices.Clone(whole[:cut])
			if spoil {
				if cut == len(whole) {
					continue
				}
				b = append(b, make([]byte, len(whole)-cut)...) // zeros, as after a power cut
			}
			if err := os.WriteFile(s.x.name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			x := again(t, f.o.Dir)
			f.all = map[[sha256.Size]byte]*fetch{x.sum: x}
			more := Sent{f, x}
			more.put(99)
			f.flush()
			n, err := x.read()
			if err != nil {
				t.Fatal(err)
			}
			frames := (cut - head) / (frameHead + extentBytes + 4)
			if len(n.extents) != frames+1 || n.extents[frames] != leaf(99) {
				t.Fatalf("cut at %d (zeros %t): %v", cut, spoil, n.extents)
			}
			for i, e := range n.extents[:frames] {
				if e != leaf(2*i) {
					t.Fatalf("cut at %d: extent %d is %v", cut, i, e)
				}
			}
		}
	}
	// Without its first line it says nothing, and goes.
	if err := os.WriteFile(s.x.name, whole[:head-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := openAll(f.o.Dir, f.log); err != nil || len(found) != 0 {
		t.Errorf("%d, %v", len(found), err)
	}
	if left, _ := os.ReadDir(f.o.Dir); len(left) != 0 {
		t.Errorf("%v stays", left)
	}
}

// TestFull: what is noted of one fetch is bounded, and stays what it was.
func TestFull(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	s := f.opened(t, "id", "tina")
	s.x.stored = maxExtents - 2
	for i := range 5 {
		s.put(2 * i)
	}
	f.flush()
	if s.x.stored != maxExtents {
		t.Errorf("%d", s.x.stored)
	}
	n, err := s.x.read()
	if err != nil || len(n.extents) != 2 {
		t.Errorf("%d, %v", len(n.extents), err)
	}
	other := f.opened(t, "other", "tina")
	f.stored.Store(maxStored)
	other.put(1)
	f.flush()
	if n, err := other.x.read(); err != nil || len(n.extents) != 0 {
		t.Errorf("over the bound of all: %d, %v", len(n.extents), err)
	}
}

// TestNoRoomOnDisk: what cannot be written is not counted, and what was is.
func TestNoRoomOnDisk(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	s := f.opened(t, "id", "tina")
	s.put(1)
	f.flush()
	if err := os.Rename(s.x.name, s.x.name+".away"); err != nil {
		t.Fatal(err)
	}
	s.put(3)
	f.flush()
	if err := os.Rename(s.x.name+".away", s.x.name); err != nil {
		t.Fatal(err)
	}
	s.put(5)
	f.flush()
	n, err := s.x.read()
	if err != nil || !slices.Equal(n.extents, []extent{leaf(1), leaf(5)}) {
		t.Errorf("%v, %v", n.extents, err)
	}
}

// TestFetchesEnd: an unused one after an hour, one with a byte a week after the last.
func TestFetchesEnd(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	f.opened(t, "unused", "tina")
	used := f.opened(t, "used", "tina")
	used.put(1)
	left := func() int {
		f.flush()
		f.expire()
		n, err := os.ReadDir(f.o.Dir)
		if err != nil || len(n) != len(f.all) {
			t.Fatalf("%d files, %d fetches, %v", len(n), len(f.all), err)
		}
		return len(n)
	}
	if n := left(); n != 2 {
		t.Fatalf("%d", n)
	}
	now = now.Add(newLife + time.Second)
	if n := left(); n != 1 {
		t.Errorf("after an hour: %d", n)
	}
	used.put(3)
	now = now.Add(life - time.Second)
	if n := left(); n != 1 {
		t.Errorf("within the week: %d", n)
	}
	now = now.Add(2 * time.Second)
	if n := left(); n != 0 || len(f.ofKey) != 0 || f.stored.Load() > 0 {
		t.Errorf("after a week: %d, %v, %d bytes", n, f.ofKey, f.stored.Load())
	}
	used.put(5) // nothing comes back
	if n := left(); n != 0 {
		t.Errorf("%d", n)
	}
}

// TestTheClockIsSetBack: what was counted before and after is from the earlier to the
// later second, in one run of notes and over several, and nothing stays for longer.
func TestTheClockIsSetBack(t *testing.T) {
	for _, flush := range []bool{false, true} {
		now := time.Unix(1_800_000_000, 0)
		f := desk(t, &now)
		s := f.opened(t, "id", "tina")
		for i, at := range []int64{1_800_000_500, 1_800_000_300, 1_800_000_400} {
			now = time.Unix(at, 0)
			s.put(2 * i)
			if flush {
				f.flush()
			}
		}
		f.flush()
		n, err := s.x.read()
		if err != nil || n.from != 1_800_000_300 || n.to != 1_800_000_500 {
			t.Errorf("written %t: from %d to %d, %v", flush, n.from, n.to, err)
		}
		now = now.Add(-life)
		f.expire()
		now = now.Add(life + time.Second)
		if f.expire(); !s.x.over {
			t.Error("it stays for more than a week after its last byte")
		}
	}
}

// TestKeysHaveTheirShare: the next fetch of a key that has its share ends the one
// that was idle longest, and nobody else's.
func TestKeysHaveTheirShare(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	other := f.opened(t, "other", "otto")
	var all []*Sent
	for i := range maxOfKey {
		now = now.Add(time.Second)
		all = append(all, f.opened(t, strings.Repeat("x", i+1), "tina"))
	}
	all[0].put(1)
	if err := f.makeRoom(foldtest.ID("tina")); err != nil {
		t.Fatal(err)
	}
	if other.x.over || all[0].x.over || !all[1].x.over || all[2].x.over {
		t.Error("another one ended")
	}
	if n := f.ofKey[foldtest.ID("tina")]; n != maxOfKey-1 {
		t.Errorf("%d", n)
	}
}

// TestManyAtOnceHaveOneShare: a key that opens fetches at the same time gets no more
// of them.
func TestManyAtOnceHaveOneShare(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range maxOfKey / 2 {
				if _, err := f.begin(sha256.Sum256([]byte{byte(i), byte(j)}), headOf("tina", now), now); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	files, err := os.ReadDir(f.o.Dir)
	if n := f.ofKey[foldtest.ID("tina")]; n != maxOfKey || len(f.all) != maxOfKey || len(files) != maxOfKey || err != nil {
		t.Errorf("%d of the key, %d in all, %d files, %v", n, len(f.all), len(files), err)
	}
}

// TestARestartChangesNothing: an unused fetch goes after an hour in the next process,
// too, and a file that cannot be read stays, and stops nobody.
func TestARestartChangesNothing(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	unused, used := f.opened(t, "unused", "tina"), f.opened(t, "used", "tina")
	used.put(1)
	f.Close()
	locked := filepath.Join(f.o.Dir, strings.Repeat("ab", 32)+suffix)
	if err := os.Mkdir(locked, 0o700); err != nil { // reading it fails, for root, too
		t.Fatal(err)
	}
	found, err := openAll(f.o.Dir, f.log)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d fetches, %v", len(found), err)
	}
	if _, err := os.Stat(locked); err != nil {
		t.Errorf("what cannot be read was removed: %v", err)
	}
	os.Remove(locked)
	next := desk(t, &now)
	next.o.Dir = f.o.Dir
	for _, x := range found {
		next.all[x.sum] = x
		next.ofKey[x.head.Key]++
	}
	now = now.Add(newLife + time.Minute)
	next.expire()
	if len(next.all) != 1 || next.all[used.x.sum] == nil {
		t.Errorf("%d fetches stay, the unused among them: %t", len(next.all), next.all[unused.x.sum] != nil)
	}
}

// TestTheLargestMakesRoom: notes that fill the disk's share cost those who made the
// most of them, and not everybody: first who was idle for an hour, then anybody.
func TestTheLargestMakesRoom(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	idle, flood, small := f.opened(t, "idle", "otto"), f.opened(t, "flood", "eve"), f.opened(t, "small", "tina")
	for i := range 3 {
		idle.put(2 * i)
	}
	now = now.Add(2 * newLife)
	for i := range 100 {
		flood.put(2 * i)
	}
	small.put(1)
	f.flush()
	f.stored.Add(crowded - f.stored.Load()) // as if there were many
	if f.relieve(); !idle.x.over || flood.x.over || small.x.over {
		t.Errorf("idle %t, flood %t, small %t", idle.x.over, flood.x.over, small.x.over)
	}
	f.stored.Add(crowded - f.stored.Load())
	if f.relieve(); !flood.x.over || small.x.over {
		t.Errorf("flood %t, small %t", flood.x.over, small.x.over)
	}
	small.put(3)
	f.flush()
	if n, err := small.x.read(); err != nil || len(n.extents) != 2 {
		t.Errorf("%d, %v", len(n.extents), err)
	}
	f.stored.Store(maxStored)
	f.opened(t, "next", "tina")
	if f.stored.Load() >= maxStored {
		t.Error("a fetch was opened for which nothing can be noted")
	}
}

// TestEverythingAtOnce: fetches that are used, written, ended and opened at the same
// time end without a lock or a race, and what is stored is what the files say.
func TestEverythingAtOnce(t *testing.T) {
	now := time.Now()
	f := desk(t, &now)
	var users, keeper sync.WaitGroup
	stop := make(chan struct{})
	keeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				f.flush()
				f.expire()
				f.relieve()
				time.Sleep(time.Millisecond)
			}
		}
	})
	for i := range 4 {
		users.Go(func() {
			for j := range maxOfKey / 2 {
				x, err := f.begin(sha256.Sum256([]byte{byte(i), byte(j)}), headOf("tina", now), now)
				if err != nil {
					t.Error(err)
					return
				}
				s := Sent{f, x}
				for k := range 300 {
					s.put(2 * k)
				}
				if j%5 == 0 {
					f.end(x)
					s.put(1)
				}
			}
		})
	}
	users.Wait()
	close(stop)
	keeper.Wait()
	f.flush()
	size := int64(0)
	files, err := os.ReadDir(f.o.Dir)
	if err != nil || len(files) != len(f.all) {
		t.Fatalf("%d files of %d fetches, %v", len(files), len(f.all), err)
	}
	for _, e := range files {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if got := f.stored.Load(); got != size {
		t.Errorf("%d bytes are stored, the files have %d", got, size)
	}
}

// FuzzJournal: any bytes are read up to where they are good, with bounded memory, and
// what was read is what is there to be read again.
func FuzzJournal(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	dir := f.TempDir()
	h := header{Key: foldtest.ID("tina"), Statement: cjson.CID{Cid: cjson.RawCID([]byte("statement"))}, OpenedAt: 1}
	x, err := create(dir, sha256.Sum256([]byte("id")), h, now)
	if err != nil {
		f.Fatal(err)
	}
	d := &Fetches{o: Options{Dir: dir, Now: func() time.Time { return now }}, log: slog.New(slog.DiscardHandler)}
	for i := range 3 {
		s := Sent{d, x}
		s.put(2 * i)
		x.mu.Lock()
		d.write(x)
		x.mu.Unlock()
	}
	b, err := os.ReadFile(x.name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var first []extent
		n, count, err := scan(bytes.NewReader(b), func(e extent) { first = append(first, e) })
		if err != nil {
			return
		}
		if count != len(first) || n.size > int64(len(b)) {
			t.Fatalf("%d extents of %d, %d bytes of %d", len(first), count, n.size, len(b))
		}
		var again []extent
		m, _, err := scan(bytes.NewReader(b[:n.size]), func(e extent) { again = append(again, e) })
		if err != nil || m.size != n.size || !slices.Equal(first, again) {
			t.Fatalf("read again: %d bytes, %v", m.size, err)
		}
	})
}
