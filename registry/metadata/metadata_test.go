package metadata_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/export/croissant"
	"github.com/cairn-registry/cairn/manifests/export/formats"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/metadata"
	"github.com/cairn-registry/cairn/registry/registrytest"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A home is a registry with its store.
type home struct {
	t     testing.TB
	store *pack.Store
	reg   *registry.Registry
}

func newHome(t testing.TB) *home {
	t.Helper()
	h, cfg := &home{t: t}, registrytest.Config(t)
	var err error
	h.store, err = pack.Open(filepath.Join(cfg.Dir, "blocks"), pack.Options{})
	h.ok(err)
	cfg.Blocks = h.store
	h.reg = registrytest.Create(t, cfg)
	registrytest.CloseAfter(t, h.reg, h.store)
	return h
}

func (h *home) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// add registers a dataset of one file, and returns its statement and its root.
func (h *home) add(publisher, name string) (statement, root cid.Cid) {
	h.t.Helper()
	dir := registrytest.Folder(h.t, map[string]string{"a.csv": "x,y\n1,2\n"})
	r, err := ingest.Add(h.t.Context(), dir, ingest.PackStore(h.store), ingest.AddOptions{})
	h.ok(err)
	tb, err := terms.Minimal("CC0-1.0")
	h.ok(err)
	m, c := registrytest.Version(h.t, publisher, name, "1.0.0", r, cjson.JSONCID(tb), "CC0-1.0")
	mb, err := manifests.EncodeManifest(m)
	h.ok(err)
	registrytest.Record(h.t, h.store, cjson.JSONCID(tb), tb)
	registrytest.Record(h.t, h.store, cjson.JSONCID(mb), mb)
	c.Dataset.Manifest = cjson.CID{Cid: cjson.JSONCID(mb)}
	s, err := h.reg.Submit(h.t.Context(), registrytest.Seal(h.t, manifests.NewContribution(c, r.Root), publisher))
	h.ok(err)
	if s.Verdict != registry.Accepted {
		h.t.Fatalf("%s is %s: %s", name, s.Verdict, s.Code)
	}
	return s.Statement, r.Root
}

func (h *home) serve(o metadata.Options) func(path string, status int) ([]byte, http.Header) {
	h.t.Helper()
	m, err := metadata.New(h.reg, h.store, o)
	h.ok(err)
	mux := http.NewServeMux()
	m.Register(mux)
	s := httptest.NewServer(mux)
	h.t.Cleanup(s.Close)
	return func(path string, status int) ([]byte, http.Header) {
		h.t.Helper()
		resp, err := http.Get(s.URL + path)
		h.ok(err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		h.ok(err)
		if resp.StatusCode != status {
			h.t.Errorf("GET %s: %s, want %d\n%s", path, resp.Status, status, b)
		}
		if ct := resp.Header.Get("Content-Type"); status >= 400 && ct != "application/problem+json" {
			h.t.Errorf("GET %s: a %s of type %s", path, resp.Status, ct)
		}
		return b, resp.Header
	}
}

// TestEveryNameLeadsToTheSameDocument: publisher and name, with a version, and
// the CIDs of statement, manifest and root name one dataset.
func TestEveryNameLeadsToTheSameDocument(t *testing.T) {
	h := newHome(t)
	st, root := h.add("ana", "iris")
	get := h.serve(metadata.Options{URL: "https://data.example.org/"})
	id := string(foldtest.ID("ana"))
	want, header := get("/v1/metadata/croissant/"+id+"/iris", http.StatusOK)
	if err := croissant.Validate(want); err != nil {
		t.Fatalf("%v\n%s", err, want)
	}
	if header.Get("Content-Type") != croissant.Format.MediaType || header.Get("Content-Disposition") != `inline; filename="iris-1.0.0.croissant.json"` {
		t.Errorf("the answer's headers: %v", header)
	}
	for _, s := range []string{
		`"contentUrl": "https://data.example.org/ipfs/` + root.String() + `/a.csv"`, `"url": "https://data.example.org/v1/statements/` + st.String() + `"`,
		`"datePublished": "2026-11-22T08:00:00Z"`, `"cairn:records": 1`,
	} {
		if !bytes.Contains(want, []byte(s)) {
			t.Errorf("the document has no %s:\n%s", s, want)
		}
	}
	var manifest cid.Cid
	h.ok(h.reg.View(func(s *index.Snapshot) error {
		d, err := s.Dataset(st)
		manifest = d.Manifest.Cid
		return err
	}))
	for _, ref := range []string{id + "/iris@1.0.0", st.String(), root.String(), manifest.String()} {
		if got, _ := get("/v1/metadata/croissant/"+ref, http.StatusOK); !bytes.Equal(got, want) {
			t.Errorf("%s has another document", ref)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := newHome(t)
	_, root := h.add("ana", "iris")
	gone, _ := h.add("ben", "same")
	get := h.serve(metadata.Options{Access: func(_ context.Context, d index.Dataset) error {
		if d.Statement.Equals(gone) {
			return fault.New(fault.Gone, "withdrawn")
		}
		return nil
	}})
	for path, status := range map[string]int{
		"/v1/metadata/croissant/" + root.String():                        http.StatusConflict, // two statements
		"/v1/metadata/croissant/" + gone.String():                        http.StatusGone,
		"/v1/metadata/croissant/nobody/iris":                             http.StatusNotFound,
		"/v1/metadata/croissant/" + cjson.RawCID(nil).String():           http.StatusNotFound,
		"/v1/metadata/croissant/iris":                                    http.StatusBadRequest,
		"/v1/metadata/croissant/":                                        http.StatusBadRequest,
		"/v1/metadata/croissant/" + strings.Repeat("x", 5000):            http.StatusBadRequest,
		"/v1/metadata/dublin/" + string(foldtest.ID("ana")) + "/iris":    http.StatusNotFound,
		"/v1/metadata/croissant/" + string(foldtest.ID("ana")) + "/iris": http.StatusOK,
	} {
		get(path, status)
	}
	if _, err := metadata.New(h.reg, h.store, metadata.Options{URL: "data.example.org"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a URL without a scheme: %v", err)
	}
}

// TestFormats: what is listed is served.
func TestFormats(t *testing.T) {
	h := newHome(t)
	st, _ := h.add("ana", "iris")
	get := h.serve(metadata.Options{})
	b, _ := get("/v1/metadata", http.StatusOK)
	var list wire.MetadataFormats
	h.ok(json.Unmarshal(b, &list))
	if len(list.Formats) != len(formats.All()) || len(list.Formats) == 0 {
		t.Fatalf("the formats are %+v", list)
	}
	for _, f := range list.Formats {
		if _, header := get("/v1/metadata/"+f.Name+"/"+st.String(), http.StatusOK); header.Get("Content-Type") != f.MediaType {
			t.Errorf("%s has the type %s, the list says %s", f.Name, header.Get("Content-Type"), f.MediaType)
		}
	}
}

// TestCroissantForTheHub: the function that the Hub API is given makes the same
// document.
func TestCroissantForTheHub(t *testing.T) {
	h := newHome(t)
	st, _ := h.add("ana", "iris")
	m, err := metadata.New(h.reg, h.store, metadata.Options{})
	h.ok(err)
	var d index.Dataset
	h.ok(h.reg.View(func(s *index.Snapshot) (err error) {
		d, err = s.Dataset(st)
		return err
	}))
	b, err := m.Croissant(t.Context(), "https://data.example.org", d)
	h.ok(err)
	want, _ := h.serve(metadata.Options{URL: "https://data.example.org"})("/v1/metadata/croissant/"+st.String(), http.StatusOK)
	if !bytes.Equal(b, want) {
		t.Errorf("the Hub's document differs:\n%s", b)
	}
	if _, err := m.Croissant(t.Context(), "", d); !errors.Is(err, fault.Invalid) {
		t.Errorf("without a URL: %v", err)
	}
	d.Manifest = cjson.CID{}
	if _, err := m.Croissant(t.Context(), "https://data.example.org", d); !errors.Is(err, fault.NotFound) {
		t.Errorf("a model: %v", err)
	}
}
