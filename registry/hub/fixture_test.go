package hub_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/hub"
	"github.com/cairn-registry/cairn/registry/registrytest"
)

// A home is a registry with its store and the Hub API before it, on loopback.
type home struct {
	t     testing.TB
	dir   string
	store *pack.Store
	reg   *registry.Registry
	opts  hub.Options

	mu  sync.Mutex
	hub http.Handler
	url string
}

// The tokens of the tests, and the custodial keys they are bound to.
const (
	adaToken   = "hf_ada"
	benToken   = "hf_ben"
	bareToken  = "hf_bare"
	adaKeyName = "ada"
	benKeyName = "ben"
)

func newHome(t testing.TB, change func(*hub.Options)) *home {
	t.Helper()
	cfg := registrytest.Config(t)
	h := &home{t: t, dir: cfg.Dir}
	var err error
	if h.store, err = pack.Open(filepath.Join(h.dir, "blocks"), pack.Options{}); err != nil {
		t.Fatal(err)
	}
	cfg.Blocks = h.store
	// Spaces are for package spaces to test: here gated data lies beside the rest.
	cfg.Space = func(cid.Cid) unixfs.Blocks { return h.store }
	h.reg = registrytest.Create(t, cfg)
	registrytest.CloseAfter(t, h.reg, h.store)
	token := func(name, text, custodial string) auth.Token {
		sum := sha256.Sum256([]byte(text))
		return auth.Token{Name: name, SHA256: hex.EncodeToString(sum[:]), Custodial: custodial}
	}
	a, err := auth.New(auth.Options{Policy: auth.Policy{Write: auth.TokenOnly, Tokens: []auth.Token{
		token("ada's laptop", adaToken, adaKeyName), token("ben", benToken, benKeyName), token("bare", bareToken, ""),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	h.opts = hub.Options{
		Writer: a.Writer, Store: hub.PackStore(h.store), Dir: filepath.Join(h.dir, "uploads"),
		Signer: func(name string) (sign.Signer, error) { return foldtest.Key(name), nil },
	}
	if change != nil {
		change(&h.opts)
	}
	h.restart()
	s := httptest.NewServer(a.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		mux := h.hub
		h.mu.Unlock()
		mux.ServeHTTP(w, r)
	})))
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

// restart makes the hub anew, as a process does that begins.
func (h *home) restart() {
	h.t.Helper()
	x, err := hub.New(h.reg, h.store, h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	mux := http.NewServeMux()
	x.Register(mux)
	h.mu.Lock()
	h.hub = mux
	h.mu.Unlock()
}

// What the tests write often.
var (
	common = registrytest.Common
	seal   = registrytest.Seal
)

func (h *home) submit(s *manifests.Statement, signers ...string) cid.Cid {
	h.t.Helper()
	out, err := h.reg.Submit(h.t.Context(), seal(h.t, s, signers...))
	if err != nil {
		h.t.Fatal(err)
	}
	if out.Verdict != registry.Accepted {
		h.t.Fatalf("the statement is %s: %s", out.Verdict, out.Code)
	}
	return out.Statement
}

// handle gives a key a handle.
func (h *home) handle(key, handle string) {
	h.t.Helper()
	h.submit(manifests.New(&manifests.Profile{Common: common(h.t), Identity: foldtest.ID(key), Handle: handle}), key)
}

// A version is a dataset as a test adds it, by the way that the command takes.
type version struct {
	key, name, version string
	identity           string // default key
	license            string // default CC-BY-4.0
	files              map[string]string
	links              map[string]string // symlinks: path, target
	single             bool              // the one file is the dataset, not a folder with it
	supersedes         cid.Cid
	options            ingest.AddOptions
	change             func(*manifests.Manifest)
	contribution       func(*manifests.Contribution)
	conditions         *terms.Conditions
}

func (h *home) add(v version) cid.Cid {
	t := h.t
	t.Helper()
	dir := registrytest.Folder(t, v.files)
	for path, target := range v.links {
		if err := os.Symlink(target, filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	if v.single {
		for path := range v.files {
			dir = filepath.Join(dir, path)
		}
	}
	v.options.NoSketch = true // a manifest that names schemas must hold them
	r, err := ingest.Add(t.Context(), dir, ingest.PackStore(h.store), v.options)
	if err != nil {
		t.Fatal(err)
	}
	if v.license == "" {
		v.license = "CC-BY-4.0"
	}
	td := &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: v.license}, Conditions: v.conditions}
	tb, err := terms.Encode(td)
	if err != nil {
		t.Fatal(err)
	}
	h.record(cjson.JSONCID(tb), tb)
	m, c := registrytest.Version(t, v.key, v.name, v.version, r, cjson.JSONCID(tb), v.license)
	if v.identity != "" {
		id := foldtest.ID(v.identity)
		m.Publisher, c.Publisher = id, id
		m.Contributors[0].ID, c.Contributors[0].ID = id, id
	}
	if v.options.Profile.Name != "" {
		m.Data.Profile = v.options.Profile.Name
	}
	if v.change != nil {
		v.change(m)
	}
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	h.record(cjson.JSONCID(mb), mb)
	c.Dataset.Manifest = cjson.CID{Cid: cjson.JSONCID(mb)}
	c.Dataset.Bytes, c.Dataset.FileCount, c.Dataset.Title = m.Data.Bytes, m.Data.FileCount, m.Title
	c.Dataset.Keywords, c.Dataset.MediaTypes, c.Sources = m.Keywords, m.MediaTypes(), m.Sources()
	c.Supersedes, c.Rules = cjson.CID{Cid: v.supersedes}, manifests.RulesOf(td)
	if v.contribution != nil {
		v.contribution(c)
	}
	return h.submit(manifests.NewContribution(c, r.Root), v.key)
}

func (h *home) record(c cid.Cid, b []byte) {
	h.t.Helper()
	registrytest.Record(h.t, h.store, c, b)
}

// An answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// do sends a request. headers are pairs; a body that is no reader is sent as JSON.
func (h *home) do(method, path string, body any, headers ...string) answer {
	h.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case io.Reader:
		r = b
	case string:
		r = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		r = bytes.NewReader(j)
	}
	if !strings.HasPrefix(path, "http") {
		path = h.url + path
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, path, r)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res.StatusCode, res.Header, b}
}

func (h *home) get(path string, headers ...string) answer {
	h.t.Helper()
	return h.do("GET", path, nil, headers...)
}

// into reads an answer that must be 200 and JSON.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

func sha256Of(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
