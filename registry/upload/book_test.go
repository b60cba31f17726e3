package upload_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/upload"
)

// What comes with the files of a version counts as well: nobody stores more than
// the quota in attachments.
func TestAttachmentsAreStored(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{StoredBytes: 3 << 20} })
	mine := newMemory()
	with := func(name string) *dataset {
		big := []byte(text(2<<20-100, name+", attached; "))
		list := []byte(`[{"/":"` + cjson.RawCID(big).String() + `"}]`)
		batch := memoryBatch{mine}
		batch.Append(t.Context(), cjson.RawCID(big), big)
		batch.Append(t.Context(), cjson.JSONCID(list), list)
		return newDataset(t, mine, "ana", name, "1.0.0", map[string]string{"a": "1"}, func(c *manifests.Contribution, _ *manifests.Manifest) {
			c.Attachments = cjson.CID{Cid: cjson.JSONCID(list)}
		})
	}
	s.push("ana", with("first"))
	d := with("second")
	o := d.declare(t, d.car(t, d.closure...))
	if a := s.open("ana", o); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("twice 2 MiB of 3 MiB: %d %s", a.status, a.body)
	}
	s.restart(nil) // the log does not say
	if a := s.open("ana", o); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("after a restart: %d %s", a.status, a.body)
	}
	if a := s.open("ben", newDataset(t, mine, "ben", "x", "1.0.0", map[string]string{"a": "1"}, nil).declare(t)); a.status != http.StatusCreated {
		t.Errorf("another's quota: %d %s", a.status, a.body)
	}
}

// Uploads, statements and versions that come otherwise take from one quota, and
// never more than it has, however many ask at once.
func TestOneQuota(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{Statements: 10, Sessions: 100, StoredBytes: 1000} })
	mine := newMemory()
	var opens [][]byte
	for i := range 20 {
		e := seal(t, manifests.New(&manifests.Profile{Common: common(t), Identity: foldtest.ID("ana"), Handle: fmt.Sprintf("ana%d", i)}), "ana")
		opens = append(opens, e)
	}
	d := newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	caller := auth.Caller{Key: foldtest.ID("ana"), Role: auth.Contributor}
	var mu sync.Mutex
	var wg sync.WaitGroup
	taken := 0
	count := func(ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if ok {
			taken++
		}
	}
	wg.Go(func() { count(s.open("ana", d.declare(t)).status == http.StatusCreated) })
	for i := range 20 {
		wg.Go(func() {
			_, err := s.up.Reserve(caller, foldtest.ID("ana"), 1)
			count(err == nil)
		})
		wg.Go(func() {
			a := s.do("ana", "POST", "/v1/entries", opens[i], nil)
			count(a.status != http.StatusTooManyRequests)
		})
	}
	wg.Wait()
	if taken != 10 {
		t.Errorf("%d of 41 were taken, the quota is 10", taken)
	}
	// Bytes that are reserved and not used are free again.
	ben := auth.Caller{Key: foldtest.ID("ben"), Role: auth.Contributor}
	done, err := s.up.Reserve(ben, ben.Key, 900)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.up.Reserve(ben, ben.Key, 900); err == nil {
		t.Error("1,800 bytes of 1,000 are reserved")
	}
	done(50)
	if _, err := s.up.Reserve(ben, ben.Key, 951); err == nil {
		t.Error("951 bytes are reserved where 950 are left")
	}
	if _, err := s.up.Reserve(ben, ben.Key, 950); err != nil {
		t.Error(err)
	}
}

// Sessions are dropped while the janitor looks at all of them.
func TestSweepWhileDropping(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	o := d.declare(t, d.car(t, d.closure...))
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				if _, err := s.up.Sweep(); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for range 40 {
		u := s.open("ana", o).upload(t)
		if a := s.do("ana", "DELETE", "/v1/uploads/"+u.ID, nil, nil); a.status != http.StatusNoContent {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	close(end)
	<-ended
}
