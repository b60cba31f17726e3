package upload_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/upload"
)

// An upload is its owner's alone: to any other key, however many ask at once, it
// is as if it were not there.
func TestForeignSession(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	var wg sync.WaitGroup
	for i := range 4 {
		who := fmt.Sprint("stranger", i)
		for what, fn := range map[string]func() answer{
			"ask":     func() answer { return s.do(who, "GET", "/v1/uploads/"+u.ID, nil, nil) },
			"send":    func() answer { return s.put(who, u.ID, car, nil) },
			"commit":  func() answer { return s.commit(who, u.ID) },
			"drop":    func() answer { return s.do(who, "DELETE", "/v1/uploads/"+u.ID, nil, nil) },
			"unknown": func() answer { return s.do(who, "GET", "/v1/uploads/"+strings.Repeat("0", 32), nil, nil) },
		} {
			wg.Go(func() {
				if a := fn(); a.status != http.StatusNotFound || !strings.Contains(string(a.body), "there is no such upload") {
					t.Errorf("%s: %d %s", what, a.status, a.body)
				}
			})
		}
	}
	wg.Wait()
	// Nor does it help to open what another has opened: it is signed by another.
	if a := s.open("ben", d.declare(t, car)); a.status != http.StatusForbidden {
		t.Errorf("another opens it: %d %s", a.status, a.body)
	}
	if a := s.put("ana", u.ID, car, nil); a.status != http.StatusNoContent {
		t.Errorf("the owner: %d %s", a.status, a.body)
	}
	if a := s.commit("ana", u.ID); a.status != http.StatusCreated {
		t.Errorf("the owner: %d %s", a.status, a.body)
	}
}

// Commits, drops, shards and the janitor at once: an upload is registered whole
// or leaves nothing, what it held is free, and nothing hangs.
func TestCommitDropSweep(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{Sessions: 1} })
	mine := newMemory()
	registered := 0
	for i := range 12 {
		d := newDataset(t, mine, "ana", fmt.Sprint("d", i), "1.0.0", map[string]string{"a": fmt.Sprint("only here: ", i), "b": text(70<<10, fmt.Sprint(i, ";"))}, nil)
		car := d.car(t, d.closure...)
		o := d.declare(t, car)
		u := s.open("ana", o).upload(t)
		if i%3 > 0 {
			s.put("ana", u.ID, car, nil)
		}
		var wg sync.WaitGroup
		run := func(fn func()) { wg.Go(fn) }
		for range 2 {
			run(func() {
				if a := s.commit("ana", u.ID); a.status != 201 && a.status != 404 && a.status != 422 {
					t.Errorf("commit: %d %s", a.status, a.body)
				}
			})
			run(func() {
				if a := s.put("ana", u.ID, car, nil); a.status != 204 && a.status != 404 {
					t.Errorf("send: %d %s", a.status, a.body)
				}
			})
		}
		run(func() {
			if a := s.do("ana", "DELETE", "/v1/uploads/"+u.ID, nil, nil); a.status != 204 && a.status != 404 && a.status != 409 {
				t.Errorf("drop: %d %s", a.status, a.body)
			}
		})
		if i%2 == 0 {
			s.clock.add(25 * time.Hour)
		}
		run(func() {
			if _, err := s.up.Sweep(); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		s.clock.add(50 * time.Hour)
		if _, err := s.up.Sweep(); err != nil {
			t.Fatal(err)
		}
		if left := s.files(); len(left) > 0 {
			t.Fatalf("left: %q", left)
		}
		in := 0
		for _, c := range d.closure {
			if ok, err := s.store.Has(t.Context(), c); err != nil {
				t.Fatal(err)
			} else if ok {
				in++
			}
		}
		if _, err := s.store.Block(t.Context(), d.root()); err == nil {
			registered++
			if in != len(d.closure) {
				t.Errorf("%d of %d blocks of a registered dataset are there", in, len(d.closure))
			}
		} else if !errors.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
	}
	if n := s.reg.Status().Size; n != uint64(1+registered) {
		t.Errorf("%d datasets are in the store and %d in the log", registered, n-1)
	}
	d := newDataset(t, mine, "ana", "last", "1.0.0", map[string]string{"a": "last"}, nil)
	s.push("ana", d) // the one session of the quota is free
}

// A shard whose bytes are others when it is taken in than when it was received is
// found out, be it a leaf or a node, and nothing of it is registered.
func TestShardChangesUnderneath(t *testing.T) {
	for _, what := range []string{"a leaf", "a node"} {
		s := newSite(t, nil)
		mine := newMemory()
		leaf := text(5000, "a leaf that is long enough; ")
		d := newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a.bin": leaf, "b": "x"}, nil)
		car := d.car(t, d.closure...)
		u := s.open("ana", d.declare(t, car)).upload(t)
		s.put("ana", u.ID, car, nil)
		target := []byte(leaf)
		if what == "a node" {
			target, _ = mine.Block(t.Context(), d.root())
		}
		name := filepath.Join(s.o.Dir, u.ID, sumOf(car)+".car")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, target)
		if at < 0 {
			t.Fatal("the block is not in its shard")
		}
		b[at+len(target)/2] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if a := s.commit("ana", u.ID); a.status < 400 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
		if n := s.reg.Status().Size; n != 1 {
			t.Errorf("%s: registered", what)
		}
		if got, err := s.store.Block(t.Context(), cjson.RawCID([]byte(leaf))); err == nil && string(got) != leaf {
			t.Errorf("%s: the store has other bytes under its CID", what)
		}
		s.close()
	}
}
