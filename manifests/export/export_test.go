package export_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/export/formats"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// TestEscapedPathsComeBack: a URL's path is what was escaped, whatever the names.
func TestEscapedPathsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`[^/\x00]{1,9}(/[^/\x00]{1,9}){0,3}`).Draw(t, "path")
		u, err := url.Parse("http://h/" + export.EscapePath(path))
		if err != nil || u.Path != "/"+path || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is %q, %v", path, u, err)
		}
	})
}

func TestBases(t *testing.T) {
	for base, good := range map[string]bool{
		"http://127.0.0.1:8411": true, "https://data.example.org": true, "https://data.example.org/x/y": true, "http://[::1]:80": true,
		"": false, "http://": false, "http:///x": false, "https://data.example.org/": false, "ftp://x": false, "data.example.org": false,
		"http://x y": false, "http://x?q": false, "http://a@b": false, "http://" + strings.Repeat("x", export.MaxBase): false, "http://x\"": false,
	} {
		if err := export.CheckBase(base); (err == nil) != good || err != nil && !errors.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestLicenceURLs(t *testing.T) {
	for text, want := range map[string]string{
		"https://spdx.org/licenses/CC-BY-4.0": "CC-BY-4.0", "http://spdx.org/licenses/MIT.html": "MIT", "https://creativecommons.org/licenses/by-nc-sa/4.0/": "CC-BY-NC-SA-4.0",
		"https://www.creativecommons.org/publicdomain/zero/1.0/legalcode": "CC0-1.0", "https://example.org/terms": "https://example.org/terms", "CC0-1.0": "CC0-1.0",
		"https://creativecommons.org/": "https://creativecommons.org/",
	} {
		if got := export.LicenseOf(text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// TestSieveTakesOutWhatIsRefused: and nothing else, each with its reason.
func TestSieveTakesOutWhatIsRefused(t *testing.T) {
	bad := int64(-1)
	f := &export.Fragment{Manifest: &manifests.Manifest{
		Name: "No Name", Title: "kept", Version: "1", Languages: []string{"de", "not a language", "en"}, Modalities: []string{"text", "smell"},
		Files: []manifests.File{{Path: "../x"}, {Path: "a.csv", SchemaRef: "odd.one", Records: &bad}, {Path: "b.csv", SchemaRef: "nowhere"}},
		RecordSchema: map[string]manifests.RecordSchema{
			"odd.one": {Fields: []manifests.Field{{Name: "x", Type: "string", Role: "king"}, {Name: "", Type: "string"}}}, "empty": {},
		},
		Lineage: []manifests.Lineage{
			{Rel: manifests.DerivedFrom, Target: manifests.Target{URL: "not a URL"}}, {Rel: manifests.DerivedFrom, Target: manifests.Target{URL: "https://example.org"}},
			{Rel: "cousinOf", Target: manifests.Target{URL: "https://example.org"}},
		},
		Stats:      &manifests.Stats{Records: &bad},
		Collection: &manifests.Collection{Geography: []string{"CH"}, Annotators: &manifests.Annotators{PerItem: &bad}},
	}}
	if err := f.Sieve(); err != nil {
		t.Fatal(err)
	}
	m := f.Manifest
	if m.Title != "kept" || m.Name != "" || m.Version != "" || strings.Join(m.Languages, " ") != "de en" || strings.Join(m.Modalities, " ") != "text" || m.Stats != nil {
		t.Errorf("left is %+v", m)
	}
	if len(m.Files) != 2 || m.Files[0].Path != "a.csv" || m.Files[0].Records != nil || m.Files[0].SchemaRef != "odd.one" || m.Files[1].SchemaRef != "" {
		t.Errorf("left of the files is %+v", m.Files)
	}
	if s := m.RecordSchema["odd.one"]; len(m.RecordSchema) != 1 || len(s.Fields) != 1 || s.Fields[0].Role != "" {
		t.Errorf("left of the schemas is %+v", m.RecordSchema)
	}
	if len(m.Lineage) != 1 || m.Lineage[0].Target.URL != "https://example.org" {
		t.Errorf("left of the lineage is %+v", m.Lineage)
	}
	if c := m.Collection; c == nil || len(c.Geography) != 1 || c.Annotators != nil {
		t.Errorf("left of the collection is %+v", c)
	}
	if n := len(f.Dropped); n < 10 {
		t.Errorf("only %d things are listed: %v", n, f.Dropped)
	}
}

func TestDropsAreBounded(t *testing.T) {
	var d export.Drops
	for range 3 * export.MaxDropped {
		d.Add("x", "y")
	}
	if l := d.List(); len(l) != export.MaxDropped || l[len(l)-1].Reason != "and 401 more" {
		t.Errorf("%d things are listed, the last %v", len(l), l[len(l)-1])
	}
}

type documents map[cid.Cid][]byte

func (d documents) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	if b, ok := d[c]; ok {
		return b, nil
	}
	return nil, fault.New(fault.NotFound, "there is no block %s", c)
}

func (d documents) Size(_ context.Context, c cid.Cid) (uint64, error) { return uint64(len(d[c])), nil }

func TestLoad(t *testing.T) {
	tb, err := terms.Minimal("CC0-1.0")
	if err != nil {
		t.Fatal(err)
	}
	const ada = "did:key:z6MkoLMRQZGvcdmi79d7JSmk9GA7xDjEdBYPxWkjr5UaxB97"
	m := &manifests.Manifest{
		Schema: manifests.ManifestSchema, Name: "x", Version: "1.0.0", CreatedAt: "2026-11-22T08:00:00Z", Publisher: ada,
		Contributors: []manifests.Contributor{{ID: ada}}, Terms: cjson.Link{Cid: cjson.JSONCID(tb)},
		Data: manifests.Data{Root: cjson.Link{Cid: cjson.RawCID(nil)}, Profile: "unixfs-v1-2025", Chunking: manifests.Chunking{Algo: "fixed", Size: 1, Hash: "sha2-256"}},
	}
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	all := documents{cjson.JSONCID(tb): tb, cjson.JSONCID(mb): mb}
	facts := export.Facts{Manifest: cjson.JSONCID(mb), Base: "http://h"}
	in, err := export.Load(t.Context(), all, facts)
	if err != nil || in.Check() != nil {
		t.Fatal(err, in.Check())
	}
	for _, f := range formats.All() {
		if by, err := formats.ByName(f.Name); err != nil || by.Title != f.Title {
			t.Errorf("%s: %v", f.Name, err)
		}
		if _, err := f.Write(in); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		if _, err := f.Write(export.Input{}); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s of nothing: %v", f.Name, err)
		}
	}
	if _, err := formats.ByName("x"); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
	for c := range all {
		some := documents{}
		for k, b := range all {
			if k != c {
				some[k] = b
			}
		}
		if _, err := export.Load(t.Context(), some, facts); !errors.Is(err, fault.NotFound) {
			t.Errorf("without %s: %v", c, err)
		}
	}
}
