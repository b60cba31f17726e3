package gateway_test

import (
	"bytes"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/registrytest"
)

// A home is a registry with its store, in a folder of its own.
type home struct {
	t     testing.TB
	store *spaces.Store
	reg   *registry.Registry
}

func newHome(t testing.TB) *home {
	t.Helper()
	h, cfg := &home{t: t}, registrytest.Config(t)
	var err error
	if h.store, err = spaces.Open(filepath.Join(cfg.Dir, "blocks"), pack.Options{Verify: pack.Once}); err != nil {
		t.Fatal(err)
	}
	cfg.Blocks = h.store.Store
	cfg.Space = func(terms cid.Cid) unixfs.Blocks { return h.store.Strict(terms) }
	h.reg = registrytest.Create(t, cfg)
	registrytest.CloseAfter(t, h.reg, h.store)
	return h
}

// What the tests write often.
var (
	common = registrytest.Common
	seal   = registrytest.Seal
)

// files are paths and contents.
type files map[string]string

func (f files) write(t testing.TB) string {
	t.Helper()
	return registrytest.Folder(t, f)
}

// add stores files and returns the root.
func (h *home) add(f files) *ingest.Result {
	h.t.Helper()
	r, err := ingest.Add(h.t.Context(), f.write(h.t), ingest.PackStore(h.store.Store), ingest.AddOptions{NoSketch: true})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// register signs a statement about what was added, under terms.
func (h *home) register(publisher, name, version string, r *ingest.Result, document *terms.Terms) cid.Cid {
	h.t.Helper()
	return h.registerAs(publisher, name, version, r, document, "unixfs-v1-2025")
}

// registerAs is register for data that was added with a profile.
func (h *home) registerAs(publisher, name, version string, r *ingest.Result, document *terms.Terms, profile string) cid.Cid {
	h.t.Helper()
	document.Schema = terms.Schema
	if document.Base.SPDX == "" {
		document.Base.SPDX = "CC-BY-4.0"
	}
	tb, err := terms.Encode(document)
	if err != nil {
		h.t.Fatal(err)
	}
	h.record(cjson.JSONCID(tb), tb)
	m, c := registrytest.Version(h.t, publisher, name, version, r, cjson.JSONCID(tb), document.Base.SPDX)
	m.Data.Profile = profile
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		h.t.Fatal(err)
	}
	h.record(cjson.JSONCID(mb), mb)
	c.Dataset.Manifest, c.Rules = cjson.CID{Cid: cjson.JSONCID(mb)}, manifests.RulesOf(document)
	s, err := h.reg.Submit(h.t.Context(), seal(h.t, manifests.NewContribution(c, r.Root), publisher))
	if err != nil {
		h.t.Fatal(err)
	}
	if s.Verdict != registry.Accepted {
		h.t.Fatalf("%s@%s is %s: %s", name, version, s.Verdict, s.Code)
	}
	return s.Statement
}

func (h *home) record(c cid.Cid, b []byte) {
	h.t.Helper()
	registrytest.Record(h.t, h.store, c, b)
}

func (h *home) gateway(o gateway.Options) *gateway.Gateway {
	h.t.Helper()
	// The tests are one address, and ask more than one may.
	o.Front.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}
	g, err := gateway.New(h.reg, h.store, o)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// serve starts a server on loopback and returns its URL.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(s.Close)
	return s.URL
}

// An answer is what a client sees; body is what arrived before err.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

func (a answer) get(name string) string { return strings.Join(a.header.Values(name), ", ") }

// ask sends a request. Headers are "Name: value"; Host is among them.
func ask(t testing.TB, method, url string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ": ")
		switch {
		case !ok:
			t.Fatalf("%q is no header", h)
		case name == "Host":
			req.Host = value
		default:
			req.Header.Add(name, value)
		}
	}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body, err}
}

// noise returns n bytes that repeat nowhere.
func noise(seed byte, n int) string {
	var b bytes.Buffer
	x := uint64(seed) + 0x9e3779b97f4a7c15
	for b.Len() < n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b.Write([]byte{byte(x), byte(x >> 8), byte(x >> 16), byte(x >> 24), byte(x >> 32), byte(x >> 40), byte(x >> 48), byte(x >> 56)})
	}
	return b.String()[:n]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func foldID(name string) string { return string(foldtest.ID(name)) }

func blockOf(c cid.Cid, b []byte) (block.Block, error) { return block.NewBlockWithCid(b, c) }
