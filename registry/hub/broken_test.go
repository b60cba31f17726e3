package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/registry/hub"
)

// A store that fails, and does not keep, or keeps and fails.
type failing struct {
	hub.Store
	mu    sync.Mutex
	left  int // calls until the one that fails
	after bool
}

func (f *failing) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	return f.left == 0
}

var errBroken = errors.New("the disk is gone")

func (f *failing) Batch(ctx context.Context) (ingest.Batch, error) {
	if f.fails() {
		return nil, errBroken
	}
	b, err := f.Store.Batch(ctx)
	return failingBatch{b, f}, err
}

func (f *failing) PutRecords(ctx context.Context, bs ...block.Block) error {
	fails := f.fails()
	if fails && !f.after {
		return errBroken
	}
	err := f.Store.PutRecords(ctx, bs...)
	if fails {
		err = errBroken
	}
	return err
}

type failingBatch struct {
	ingest.Batch
	f *failing
}

func (b failingBatch) Append(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	if b.f.fails() {
		return false, errBroken
	}
	return b.Batch.Append(ctx, c, data)
}

func (b failingBatch) Commit(ctx context.Context) error {
	fails := b.f.fails()
	if fails && !b.f.after {
		return errBroken
	}
	err := b.Batch.Commit(ctx)
	if fails {
		err = errBroken
	}
	return err
}

// Wherever a commit breaks, nothing is registered, what was sent is still there,
// and the same commit sent again makes the same version.
func TestCommitBreaks(t *testing.T) {
	t.Parallel()
	f := new(failing)
	h := newHome(t, func(o *hub.Options) {
		f.Store = o.Store
		o.Store = f
	})
	text := strings.Repeat("broken", 300_000)
	for _, after := range []bool{false, true} {
		id := fmt.Sprintf("%s/toy-%v", owner("ada"), after)
		size := h.reg.Status().Size
		h.sent(id, text)
		ops := []op{header("x"), inline("README.md", card), large("t", text)}
		broke := 0
		for n := 1; ; n++ {
			f.mu.Lock()
			f.left, f.after = n, after
			f.mu.Unlock()
			a := h.commit(id, ops...)
			if a.status == 200 {
				break
			}
			broke++
			if a.status != 500 || strings.Contains(string(a.body), "disk") || h.reg.Status().Size != size {
				t.Fatalf("broken at %d: %v, %d entries", n, a, h.reg.Status().Size-size)
			}
			if o := h.batch(id, adaToken, "sha256", text)[0]; o.Actions != nil {
				t.Fatalf("broken at %d: what was sent is gone", n)
			}
			if n%2 == 0 {
				h.restart()
			}
		}
		if broke < 5 || h.reg.Status().Size != size+1 {
			t.Errorf("broke %d times, %d entries", broke, h.reg.Status().Size-size)
		}
		same(t, h.files(id, "main"), map[string]string{"README.md": card, "t": text})
	}
}

// The small files of a commit count like those that were sent before.
func TestSpoolQuota(t *testing.T) {
	t.Parallel()
	h := newHome(t, func(o *hub.Options) { o.Limits.StagedBytes = 1000 })
	id := owner("ada") + "/toy"
	small, large := strings.Repeat("s", 400), strings.Repeat("l", 600)
	if a := h.commit(id, header("x"), inline("README.md", card), inline("1", small), inline("2", large)); a.status != 413 {
		t.Errorf("more than the quota: %v", a)
	}
	for range 3 { // what was refused and what was committed is free again
		h.committed(id, header("x"), inline("README.md", card), inline("1", small))
		h.committed(id, header("x"), inline("1", large))
	}
}

// A loader asks a host beside this one for more, and takes 404 for an answer.
func TestDatasetsServer(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	for _, p := range []string{"/parquet?dataset=ada/toy", "/info?dataset=ada/toy", "/splits?dataset=ada/toy"} {
		if a := h.get(p, "Host", "datasets-server.localhost"); a.status != 404 {
			t.Errorf("%s: %v", p, a)
		}
	}
}

// A client that does not wait for the answer finds its commit made when it sends
// it again.
func TestImpatientClient(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{})
	h := newHome(t, func(o *hub.Options) { o.Store = &slow{Store: o.Store, hold: hold, held: held} })
	id := owner("ada") + "/toy"
	body := ndjson(header("x"), inline("README.md", card))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", h.url+"/api/datasets/"+id+"/commit/main", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adaToken)
	gone := make(chan error)
	go func() {
		_, err := http.DefaultTransport.RoundTrip(req)
		gone <- err
	}()
	<-held
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("the client got an answer")
	}
	before := h.reg.Status().Size
	close(hold)
	for range 1000 { // the commit goes on
		if h.reg.Status().Applied > before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	d := h.newest("ada", "toy")
	sha := h.committed(id, header("x"), inline("README.md", card))
	if hub.Sha(d.Statement.Cid) != sha || h.reg.Status().Size != before+1 {
		t.Errorf("made %d entries", h.reg.Status().Size-before)
	}
}

// A slow store lets its first batch wait.
type slow struct {
	hub.Store
	once       sync.Once
	hold, held chan struct{}
}

func (s *slow) Batch(ctx context.Context) (ingest.Batch, error) {
	s.once.Do(func() {
		close(s.held)
		<-s.hold
	})
	return s.Store.Batch(ctx)
}
