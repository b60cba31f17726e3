package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/registrytest"
	"github.com/cairn-registry/cairn/registry/upload"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A clock that a test moves; it begins behind the server's start.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// A site is a registry that takes uploads over HTTP.
type site struct {
	t     testing.TB
	cfg   registry.Config
	o     upload.Options
	clock *clock

	store *spaces.Store
	reg   *registry.Registry
	up    *upload.Server
	http  *httptest.Server
	url   string
}

func newSite(t testing.TB, change func(*upload.Options)) *site {
	t.Helper()
	s := &site{t: t, clock: &clock{}, cfg: registrytest.Config(t)}
	s.o = upload.Options{Dir: filepath.Join(s.cfg.Dir, "uploads"), Now: s.clock.now, Free: func(string) (uint64, uint64, error) { return 1 << 40, 1 << 40, nil }}
	if change != nil {
		change(&s.o)
	}
	s.openStore()
	s.reg = registrytest.Create(t, s.cfg)
	s.serve()
	t.Cleanup(s.close)
	return s
}

func (s *site) openStore() {
	s.t.Helper()
	var err error
	if s.store, err = spaces.Open(filepath.Join(s.cfg.Dir, "blocks"), pack.Options{}); err != nil {
		s.t.Fatal(err)
	}
	s.cfg.Blocks = s.store.Store
	s.cfg.Space = func(terms cid.Cid) unixfs.Blocks { return s.store.Strict(terms) }
}

func (s *site) serve() {
	s.t.Helper()
	a, err := auth.New(auth.Options{Policy: auth.Policy{Write: auth.Open}, Party: s.reg.Party, Live: s.reg.Live, Now: func() time.Time { return time.Now().Add(-2 * time.Second) }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.o.Store, s.o.Registry, s.o.Auth = s.store, s.reg, a
	if s.up, err = upload.New(s.o); err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.up.Register(mux)
	mux.HandleFunc("GET /v1/statements/{cid}/bundle", func(w http.ResponseWriter, r *http.Request) {
		c, err := cid.Decode(r.PathValue("cid"))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b, err := s.reg.Bundle(r.Context(), c)
		if err != nil {
			w.WriteHeader(fault.Of(err).HTTPStatus())
			return
		}
		w.Write(b)
	})
	s.http = httptest.NewServer(mux)
	s.url = s.http.URL
}

func (s *site) close() {
	if s.http != nil {
		s.http.CloseClientConnections()
		s.http.Close()
		s.up.Close()
	}
	if s.reg != nil {
		if err := s.reg.Close(context.Background()); err != nil {
			s.t.Errorf("closing the registry: %v", err)
		}
		if err := s.store.Close(); err != nil {
			s.t.Errorf("closing the store: %v", err)
		}
	}
	s.http, s.reg = nil, nil
}

// restart ends the server and begins it again on the same folder; between, do may
// change the folder.
func (s *site) restart(do func()) {
	s.t.Helper()
	s.close()
	if do != nil {
		do()
	}
	s.openStore()
	var err error
	if s.reg, err = registry.Open(s.t.Context(), s.cfg); err != nil {
		s.t.Fatal(err)
	}
	s.serve()
}

// by returns a transport that signs as somebody. The servers' clock in tests goes
// two seconds behind, so that nothing was signed before they began.
func by(name string) http.RoundTripper { return client.Signed(nil, foldtest.Key(name), time.Now) }

func (s *site) client(name string) *client.Client { return client.New(s.url, by(name)) }

// files lists the files below the folder of the sessions.
func (s *site) files() (all []string) {
	s.t.Helper()
	err := filepath.WalkDir(s.o.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// An answer is what a request got.
type answer struct {
	status int
	body   []byte
}

func (a answer) code() string {
	var p wire.Problem
	json.Unmarshal(a.body, &p)
	return string(p.Code)
}

func (a answer) incomplete() (p wire.Incomplete) {
	json.Unmarshal(a.body, &p)
	return p
}

func (a answer) upload(t testing.TB) (u wire.Upload) {
	t.Helper()
	if err := json.Unmarshal(a.body, &u); err != nil || a.status/100 != 2 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return u
}

// do sends a request as somebody.
func (s *site) do(who, method, path string, body []byte, edit func(*http.Request)) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	if edit != nil {
		edit(req)
	}
	rt := http.DefaultTransport
	if who != "" {
		rt = by(who)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, b}
}

func (s *site) open(who string, o wire.OpenUpload) answer {
	s.t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(who, "POST", "/v1/uploads", b, nil)
}

func (s *site) put(who, id string, car []byte, edit func(*http.Request)) answer {
	s.t.Helper()
	return s.do(who, "PUT", "/v1/uploads/"+id+"/shards/"+sumOf(car), car, edit)
}

func (s *site) commit(who, id string) answer {
	s.t.Helper()
	return s.do(who, "POST", "/v1/uploads/"+id+"/commit", nil, nil)
}

func sumOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// What the tests write often.
var (
	common = registrytest.Common
	seal   = registrytest.Seal
)

// memory is a store of blocks for one contributor.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte // by multihash
}

var _ unixfs.Blocks = (*memory)(nil)

func newMemory() *memory { return &memory{m: make(map[string][]byte)} }

func (m *memory) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.m[string(c.Hash())]
	if !ok {
		return nil, fault.New(fault.NotFound, "no block %s", c)
	}
	return b, nil
}

func (m *memory) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	b, err := m.Block(ctx, c)
	return uint64(len(b)), err
}

func (m *memory) Batch(context.Context) (ingest.Batch, error) { return memoryBatch{m}, nil }

type memoryBatch struct{ *memory }

func (b memoryBatch) Append(_ context.Context, c cid.Cid, data []byte) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, had := b.m[string(c.Hash())]
	b.m[string(c.Hash())] = bytes.Clone(data)
	return !had, nil
}

func (b memoryBatch) Has(c cid.Cid) (bool, error) {
	_, err := b.Block(context.Background(), c)
	return err == nil, nil
}

func (memoryBatch) Commit(context.Context) error { return nil }
func (memoryBatch) Close() error                 { return nil }

// A dataset is a contribution with its blocks, ready to be pushed.
type dataset struct {
	blocks    *memory
	statement *manifests.Statement
	envelope  []byte
	closure   []cid.Cid // in order
}

// watchHeap looks at the heap until stop is called; then peak holds the largest.
func watchHeap() (peak *uint64, stop func()) {
	peak = new(uint64)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			*peak = max(*peak, m.HeapInuse)
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}()
	return peak, func() { close(end); <-ended }
}

// newDataset makes a version of a dataset; change may alter the contribution.
func newDataset(t testing.TB, blocks *memory, publisher, name, version string, files map[string]string, change func(*manifests.Contribution, *manifests.Manifest)) *dataset {
	t.Helper()
	r, err := ingest.Add(t.Context(), registrytest.Folder(t, files), blocks, ingest.AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tb, err := terms.Minimal("CC0-1.0")
	if err != nil {
		t.Fatal(err)
	}
	batch := memoryBatch{blocks}
	batch.Append(t.Context(), cjson.JSONCID(tb), tb)
	m, c := registrytest.Version(t, publisher, name, version, r, cjson.JSONCID(tb), "CC0-1.0")
	if change != nil {
		change(c, m)
	}
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	batch.Append(t.Context(), cjson.JSONCID(mb), mb)
	c.Dataset.Manifest = cjson.CID{Cid: cjson.JSONCID(mb)}
	d := &dataset{blocks: blocks, statement: manifests.NewContribution(c, r.Root)}
	d.envelope = seal(t, d.statement, publisher)
	err = unixfs.Closure(t.Context(), blocks, d.statement.Content(), 0, true, func(c cid.Cid, _ []byte) error {
		d.closure = append(d.closure, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *dataset) root() cid.Cid { return d.statement.Content()[0] }

// car returns a shard with some blocks.
func (d *dataset) car(t testing.TB, cids ...cid.Cid) []byte {
	t.Helper()
	b := wire.ShardHeader(d.root())
	for _, c := range cids {
		data, err := d.blocks.Block(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		b = append(wire.AppendSection(b, c, len(data)), data...)
	}
	return b
}

// declare declares the whole dataset in the given shards.
func (d *dataset) declare(t testing.TB, cars ...[]byte) wire.OpenUpload {
	t.Helper()
	o := wire.OpenUpload{Envelope: d.envelope, Root: cjson.CID{Cid: d.root()}, TotalBlocks: int64(len(d.closure)), Shards: []wire.Shard{}}
	for _, c := range d.closure {
		n, err := d.blocks.Size(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		o.TotalBytes += int64(n)
	}
	for _, car := range cars {
		o.Shards = append(o.Shards, wire.Shard{SHA256: sumOf(car), Bytes: int64(len(car))})
	}
	return o
}

// options are how the dataset is pushed.
func (d *dataset) options() client.PushOptions {
	return client.PushOptions{
		Blocks: d.blocks, Content: d.statement.Content(),
		Seal: func(context.Context) ([]byte, error) { return d.envelope, nil },
	}
}

func (s *site) policy() *proof.Policy {
	s.t.Helper()
	p, err := proof.ParsePolicy([]byte(s.cfg.VKey + "\n"))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// push pushes a dataset that must be taken.
func (s *site) push(who string, d *dataset) *client.Pushed {
	s.t.Helper()
	o := d.options()
	o.Policy = s.policy()
	out, err := s.client(who).Push(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	if out.Verdict != "accepted" {
		s.t.Fatalf("pushed, and it is %s %s", out.Verdict, out.Code)
	}
	return out
}

func text(n int, seed string) string { return strings.Repeat(seed, n/len(seed)+1)[:n] }
