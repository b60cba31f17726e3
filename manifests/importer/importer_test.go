package importer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/importer"
	"github.com/cairn-registry/cairn/manifests/terms"
)

var update = flag.Bool("update", false, "write the golden files anew")

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var inputs = []string{"croissant-1.0.json", "croissant-hub.json", "datapackage-1.json", "datapackage-2.json", "card.md", "CITATION.cff"}

// asFile returns the fragment as a file, which reads back as the same fragment.
func asFile(t testing.TB, f *export.Fragment) []byte {
	t.Helper()
	y, err := f.YAML()
	if err != nil {
		t.Fatal(err)
	}
	back, err := manifests.FromYAML(y)
	if err != nil {
		t.Fatalf("the file is refused: %v\n%s", err, y)
	}
	g := *f
	g.Manifest = back
	again, err := g.YAML()
	if err != nil || !bytes.Equal(again, y) {
		t.Fatalf("the file reads back as another: %v\n%s\nwas\n%s", err, again, y)
	}
	return y
}

func TestGolden(t *testing.T) {
	for _, name := range inputs {
		f, err := importer.Read(readFile(t, "testdata/"+name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s\nlicence: %s\n", asFile(t, f), f.License)
		for _, d := range f.Dropped {
			fmt.Fprintf(&b, "dropped: %s: %s\n", d.Path, d.Reason)
		}
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if want := readFile(t, file); string(want) != b.String() {
			t.Errorf("%s differs:\n%s", file, b.String())
		}
	}
}

// TestLicences: what is read is an expression that "cairn add --license" takes,
// wherever the format names a licence that SPDX knows.
func TestLicences(t *testing.T) {
	for _, name := range []string{"croissant-1.0.json", "datapackage-2.json", "card.md", "CITATION.cff"} {
		f, err := importer.Read(readFile(t, "testdata/"+name))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := terms.ParseExpression(f.License); err != nil {
			t.Errorf("%s: %s is refused: %v", name, f.License, err)
		}
	}
}

// TestJSONAsOthersWriteIt: tabs, escapes and numbers of JSON are read.
func TestJSONAsOthersWriteIt(t *testing.T) {
	f, err := importer.Read([]byte("\xef\xbb\xbf{\n\t\"name\": \"x\",\n\t\"version\": 1.5, \"title\": \"\\ud83d\\ude00 a\\/b \\u2028\",\r\n\t\"resources\": []\n}\n"))
	if err != nil || f.Manifest.Title != "\U0001f600 a/b" {
		t.Fatalf("%+v, %v", f, err)
	}
	if len(f.Dropped) != 1 || f.Dropped[0].Path != "version" {
		t.Errorf("dropped %v", f.Dropped)
	}
}

func TestOthersAreRefused(t *testing.T) {
	for _, b := range []string{"", "{}", "[]", "hello", "---\n", "---\n: [\n---\n", `{"@type":"sc:Person"}`, "a: &x 1\nb: *x", "\x00"} {
		if _, err := importer.Read([]byte(b)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", b, err)
		}
	}
	if _, err := importer.Read(bytes.Repeat([]byte(" "), importer.MaxFile+1)); !errors.Is(err, fault.TooLarge) {
		t.Errorf("a file that is too large: %v", err)
	}
}

// leaves are the texts of a document, by their paths.
func leaves(at string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			leaves(strings.TrimPrefix(at+"."+k, "."), x, out)
		}
	case []any:
		for i, x := range v {
			leaves(fmt.Sprintf("%s[%d]", at, i), x, out)
		}
	case nil:
	default:
		out[at] = fmt.Sprint(v)
	}
}

// found are members that an add finds itself, or that say which format it is.
var found = []string{"cff-version", "profile", "bytes", "hash", "format", "license"}

// renamed are words that a manifest has others for, or that say nothing: a
// dataset that is "original" has no sources.
var renamed = []string{"original", "ODC-PDDL-1.0", "array", "dataset"}

// TestNothingIsLost: whatever a document says is in the manifest, or is listed.
func TestNothingIsLost(t *testing.T) {
	for _, name := range []string{"wild.md", "wild.json", "wild.cff"} {
		b := readFile(t, "testdata/"+name)
		f, err := importer.Read(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		y, err := f.YAML()
		if err != nil {
			t.Fatal(err)
		}
		kept := strings.ToLower(strings.Join(strings.Fields(string(y)), " ") + f.License)
		if front, _, ok := strings.Cut(strings.TrimPrefix(string(b), "---\n"), "\n---\n"); ok {
			b = []byte(front)
		}
		doc, err := manifests.YAMLValue(b)
		if err != nil {
			t.Fatal(err)
		}
		all := make(map[string]string)
		leaves("", doc, all)
		for at, text := range all {
			said := strings.Contains(kept, strings.ToLower(strings.Join(strings.Fields(text), " ")))
			for _, d := range f.Dropped {
				rest, ok := strings.CutPrefix(at, d.Path)
				said = said || ok && (rest == "" || rest[0] == '.' || rest[0] == '[') || strings.Contains(d.Reason, strconv.Quote(text))
			}

			said = said || slices.Contains(renamed, text)
			for _, k := range found {
				said = said || at == k || strings.HasSuffix(at, "."+k)
			}
			if !said {
				t.Errorf("%s: %s: %q is lost in silence", name, at, text)
			}
		}
	}
}

// TestManyOfOne: lists that are much longer than a manifest's are read in about
// the time that their bytes take. Compared each with each, these took minutes.
func TestManyOfOne(t *testing.T) {
	const n = 200_000
	list := func(form string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	for name, doc := range map[string]string{
		"keywords":    `{"@type":"Dataset","conformsTo":"http://mlcommons.org/croissant/1.1","name":"x","keywords":[` + list(`"k%d"`) + `]}`,
		"identifiers": `{"cff-version":"1.2.0","title":"x","identifiers":[` + list(`{"type":"doi","value":"10.1/%d"}`) + `]}`,
		"tags":        "---\ntags: [" + list("t%d") + "]\n---\n",
	} {
		f, err := importer.Read([]byte(doc))
		if err != nil || len(f.Dropped) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRead feeds the readers foreign bytes. What they make of them is a file that
// "cairn add --manifest" takes, and everything in it passes the grammar.
func FuzzRead(f *testing.F) {
	for _, name := range inputs {
		f.Add(readFile(f, "testdata/"+name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := importer.Read(b)
		if err != nil {
			return // refusing is always right
		}
		asFile(t, r)
		again, err := importer.Read(b)
		if err != nil || !reflect.DeepEqual(again, r) {
			x, _ := json.Marshal(again)
			t.Fatalf("reading again gives %s, %v", x, err)
		}
	})
}
