package croissant_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/export/croissant"
	"github.com/cairn-registry/cairn/manifests/terms"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	base = "https://gateway.example"
	ada  = "did:key:z6MkoLMRQZGvcdmi79d7JSmk9GA7xDjEdBYPxWkjr5UaxB97"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func inline(m *manifests.Manifest) iter.Seq2[manifests.File, error] {
	return m.ListedFiles(context.Background(), nil)
}

func input(m *manifests.Manifest, t *terms.Terms) export.Input {
	return export.Input{
		M: m, Terms: t, Files: inline(m),
		Facts: export.Facts{Manifest: cjson.JSONCID([]byte(m.Name)), Statement: cjson.RawCID([]byte(m.Name)), PublishedAt: "2026-11-26T08:00:00Z", Base: base},
	}
}

func minimalTerms(expr string) *terms.Terms {
	return &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: expr}}
}

// fullTerms say everything that an offer can say.
func fullTerms(t testing.TB) *terms.Terms {
	t.Helper()
	full := &terms.Terms{
		Schema: terms.Schema, Title: "Revenue share", Licensor: []terms.Licensor{{ID: ada, Name: "Ada L."}},
		Base:      terms.Base{SPDX: "LicenseRef-cairn-revshare-1 OR CC-BY-NC-4.0"},
		Grants:    []terms.Grant{{Use: []string{"train", "redistribute-derived"}, Territory: []string{"CH"}, Sublicense: true}, {Use: []string{"evaluate"}, Commercial: true, Territory: []string{"*"}}},
		Prohibits: []terms.Prohibition{{Use: []string{"redistribute-verbatim"}, Reason: "ask first"}, {Purpose: []string{"military"}}},
		Conditions: &terms.Conditions{
			Accept: "use", Attribution: &terms.Attribution{Required: true, Text: "Contains data by Ada L."}, Notice: true,
			ShareAlike: &terms.ShareAlike{DerivedData: true, Weights: true}, ReportUsage: &terms.ReportUsage{Required: true, WithinDays: 30},
			DeleteOnWithdrawal: &terms.DeleteOnWithdrawal{Required: true, Scope: "future-training"},
		},
		Payment:   &terms.Payment{Model: "revenue-share", Policy: "relative", RatePpm: 50000, Base: "net-revenue", Stacking: "weighted"},
		ValidFrom: "2026-01-01T00:00:00Z", ValidUntil: "2027-01-01T00:00:00Z", GoverningLaw: "CH",
	}
	if err := full.Validate(); err != nil {
		t.Fatal(err)
	}
	return full
}

func fullManifest(t testing.TB) *manifests.Manifest {
	t.Helper()
	m, err := manifests.DecodeManifest(readFile(t, "../../testdata/full.manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// manyFiles is a manifest of n files in many folders, as a file list has them.
func manyFiles(n int) (*manifests.Manifest, iter.Seq2[manifests.File, error]) {
	one := int64(1)
	m := &manifests.Manifest{
		Schema: manifests.ManifestSchema, Name: "many", Version: "1.0.0", CreatedAt: "2026-11-26T08:00:00Z", Publisher: ada,
		Contributors: []manifests.Contributor{{ID: ada}}, Terms: cjson.Link{Cid: cjson.JSONCID([]byte("t"))},
		Data:         manifests.Data{Root: cjson.Link{Cid: dagpb("many")}, Bytes: int64(n), FileCount: int64(n)},
		RecordSchema: map[string]manifests.RecordSchema{"default": {Fields: []manifests.Field{{Name: "text", Type: "string"}}}},
	}
	if n > manifests.MaxInlineFiles {
		m.Data.FileList = cjson.Link{Cid: cjson.RawCID([]byte("list"))}
	}
	return m, func(yield func(manifests.File, error) bool) {
		for i := range n {
			f := manifests.File{
				Path: fmt.Sprintf("shard-%d/part-%04d.csv", i%3, i), CID: cjson.Link{Cid: cjson.RawCID([]byte("x"))}, Size: 1,
				SHA256: strings.Repeat("a", 64), MediaType: "text/csv", SchemaRef: "default", Split: "train", Records: &one,
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

func dagpb(s string) cid.Cid { return cid.NewCidV1(cid.DagProtobuf, cjson.RawCID([]byte(s)).Hash()) }

func write(t testing.TB, in export.Input) export.Document {
	t.Helper()
	d, err := croissant.Write(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := croissant.Validate(d.Bytes); err != nil {
		t.Fatalf("the document is not valid: %v\n%s", err, d.Bytes)
	}
	return d
}

func documents(t testing.TB) map[string]export.Document {
	minimal, err := manifests.DecodeManifest(readFile(t, "../../testdata/minimal.manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := manifests.DecodeManifest(readFile(t, "../../testdata/empty.manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	many, files := manyFiles(1500)
	listed := input(many, minimalTerms("CC0-1.0"))
	listed.Files = files
	return map[string]export.Document{
		"full": write(t, input(fullManifest(t), fullTerms(t))), "minimal": write(t, input(minimal, minimalTerms("CC-BY-4.0"))),
		"empty": write(t, input(empty, minimalTerms("MIT OR CC0-1.0"))), "many": write(t, listed),
	}
}

// TestGolden holds documents to the byte. Those of earlier versions are read for
// ever: a change of the writer adds files, it does not replace them.
func TestGolden(t *testing.T) {
	for name, d := range documents(t) {
		drops, err := json.MarshalIndent(d.Dropped, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		for file, got := range map[string][]byte{name + ".json": d.Bytes, name + ".dropped.json": append(drops, '\n')} {
			file = filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(file, got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if want := readFile(t, file); !bytes.Equal(got, want) {
				t.Errorf("%s differs:\n%s", file, got)
			}
		}
	}
}

func TestSameInputSameBytes(t *testing.T) {
	for range 5 {
		for name, d := range documents(t) {
			if want := readFile(t, "testdata/"+name+".json"); !bytes.Equal(d.Bytes, want) {
				t.Fatalf("%s is another document each time", name)
			}
		}
	}
}

type document struct {
	Distribution []struct {
		ID          string `json:"@id"`
		Type        string `json:"@type"`
		URL         string `json:"contentUrl"`
		Size        string `json:"contentSize"`
		SHA256      string `json:"sha256"`
		Includes    []string
		Files       int64 `json:"cairn:files"`
		ContainedIn struct {
			ID string `json:"@id"`
		}
	}
	RecordSet []struct {
		Records *int64 `json:"cairn:records"`
		Field   []struct{ Name string }
	}
}

func read(t *testing.T, d export.Document) (out document) {
	t.Helper()
	if err := json.Unmarshal(d.Bytes, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFilesAreWhereTheDocumentSays(t *testing.T) {
	m := fullManifest(t)
	m.Files[0].Path = "data/a b%é#?.csv"
	d := read(t, write(t, input(m, minimalTerms("CC0-1.0"))))
	want := base + "/ipfs/" + m.Data.Root.String() + "/data/a%20b%25%C3%A9%23%3F.csv"
	if f := d.Distribution[0]; f.URL != want || f.SHA256 != m.Files[0].SHA256 || f.Size != fmt.Sprint(m.Files[0].Size, " B") {
		t.Errorf("%+v, want it at %s", f, want)
	}
}

// TestManyFilesMakeSmallDocuments: the number of files does not make a document
// large, and no file is lost on the way into FileSets.
func TestManyFilesMakeSmallDocuments(t *testing.T) {
	for _, n := range []int{1, croissant.MaxRecordSets, croissant.MaxRecordSets + 1, croissant.MaxFileObjects, croissant.MaxFileObjects + 1, 20_000} {
		for _, folders := range []int{1, 40, 5000} {
			m, plain := manyFiles(n)
			in := input(m, minimalTerms("CC0-1.0"))
			in.Files = func(yield func(manifests.File, error) bool) {
				i := 0
				for f := range plain {
					f.Path = fmt.Sprintf("top/%d/%s", i%folders, filepath.Base(f.Path))
					i++
					if !yield(f, nil) {
						return
					}
				}
			}
			d := write(t, in)
			if len(d.Bytes) > 2<<20 {
				t.Errorf("%d files in %d folders make %d bytes", n, folders, len(d.Bytes))
			}
			got := read(t, d)
			var objects int
			var inSets, records int64
			for _, f := range got.Distribution {
				if f.Type == "cr:FileSet" {
					inSets += f.Files
				} else if f.ID != "root" && f.ID != "list" {
					objects++
				}
			}
			for _, r := range got.RecordSet {
				if r.Records != nil {
					records += *r.Records
				}
			}
			if want := int64(n); records != want {
				t.Errorf("%d files in %d folders: the RecordSets count %d records", n, folders, records)
			}
			switch {
			case n <= croissant.MaxRecordSets && (objects != n || inSets != 0):
				t.Errorf("%d files: %d FileObjects and FileSets of %d", n, objects, inSets)
			case n > croissant.MaxRecordSets && n <= croissant.MaxFileObjects && (objects != n || inSets != int64(n)):
				t.Errorf("%d files: %d FileObjects and FileSets of %d", n, objects, inSets)
			case n > croissant.MaxFileObjects && (objects != 0 || inSets != int64(n)):
				t.Errorf("%d files: %d FileObjects and FileSets of %d", n, objects, inSets)
			}
		}
	}
}

// TestValidatorFinds breaks a good document in one place at a time.
func TestValidatorFinds(t *testing.T) {
	good := documents(t)["full"].Bytes
	for name, c := range map[string]struct{ from, to, want string }{
		"no name":        {`"name": "swiss-german-asr"`, `"noname": "x"`, "name: is missing"},
		"no license":     {`"license": [`, `"licence": [`, "license: is missing"},
		"no digest":      {`"sha256": "`, `"sha255": "`, "sha256 is missing"},
		"a short digest": {`"sha256": "`, `"sha256": "0`, "sha256 is not 64"},
		"lost file":      {`"fileObject": {`, `"fileObject": {"@id": "nowhere", "x": `, "there is no node"},
		"unknown type":   {`"dataType": "sc:Text"`, `"dataType": "sc:Txt"`, "is not known"},
		"twice":          {`"@id": "records/data/train-00000.parquet/text"`, `"@id": "records/data/train-00000.parquet/id"`, "is there already"},
		"relative URL":   {`"contentUrl": "` + base, `"contentUrl": "`, "not an absolute URL"},
		"not Croissant":  {croissant.Version, "http://example.org/1.1", "does not name a version"},
	} {
		b := strings.Replace(string(good), c.from, c.to, 1)
		if c.from == `"fileObject": {` {
			b = strings.Replace(string(good), "\"fileObject\": {\n       \"@id\": \"files", "\"fileObject\": {\n       \"@id\": \"nowhere", 1)
		}
		if b == string(good) {
			t.Errorf("%s: nothing was broken", name)
		}
		if err := croissant.Validate([]byte(b)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	err := croissant.Validate([]byte(`{"recordSet":[{"field":[{}]}],"distribution":[{}]}`))
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n < 12 {
		t.Errorf("an empty document has %d problems: %v", n, err)
	}
	if !slices.Contains(croissant.Required(), "license") {
		t.Error("a licence is required")
	}
}

// BenchmarkManyFiles writes the document of a dataset with a long file list.
func BenchmarkManyFiles(b *testing.B) {
	const n = 100_000
	m, files := manyFiles(n)
	in := input(m, minimalTerms("CC0-1.0"))
	in.Files = files
	b.ReportAllocs()
	for b.Loop() {
		if _, err := croissant.Write(in); err != nil {
			b.Fatal(err)
		}
	}
}

// TestOthersAreListed: what a document of others says and a manifest cannot is
// in the list, by its place.
func TestOthersAreListed(t *testing.T) {
	t.Parallel()
	const head = `{"@type":"sc:Dataset","conformsTo":"http://mlcommons.org/croissant/1.1","name":"x",`
	field := func(more string) string {
		return head + `"recordSet":[{"@type":"cr:RecordSet","@id":"r","field":[{"@type":"cr:Field","@id":"r/a","name":"a","dataType":"sc:Text"},
			{"@type":"cr:Field","@id":"r/b","name":"b","dataType":"sc:Text",` + more + `}]}]}`
	}
	for doc, want := range map[string]string{
		head + `"license":["https://spdx.org/licenses/MIT.html","https://creativecommons.org/licenses/by/4.0/"]}`:                                                      "license[1]",
		head + `"license":{"@type":"CreativeWork"}}`:                                                                                                                   "license[0]",
		head + `"creator":["Ada",{"@type":"sc:Person","name":"Bob"}]}`:                                                                                                 "creator[1]",
		head + `"distribution":[{"@type":"cr:FileObject","@id":"repo","contentUrl":"https://hub.example/x/tree/main","encodingFormat":"git+https"}]}`:                  "distribution[0]",
		head + `"distribution":["https://a.example/a.csv"]}`:                                                                                                           "distribution",
		head + `"distribution":[{"@type":"cr:FileObject","@id":"1","contentUrl":"http://a/x.csv"},{"@type":"cr:FileObject","@id":"2","contentUrl":"http://b/x.csv"}]}`: "distribution",
		head + `"recordSet":[{"@type":"cr:RecordSet","@id":"r","dataType":"wd:Q515","field":[{"@type":"cr:Field","@id":"r/a","dataType":"sc:Text"}]}]}`:                "recordSet[0].dataType",
		field(`"examples":["x"]`):                                                             "recordSet[0].field[1].examples",
		field(`"prov:wasAttributedTo":{"@id":"urn:x"}`):                                       "recordSet[0].field[1].prov:wasAttributedTo",
		field(`"isArray":true,"arrayShape":"(2,3)"`):                                          "recordSet[0].field[1].arrayShape",
		field(`"source":{"fileObject":{"@id":"f"},"extract":{"column":"b"},"format":"yyyy"}`): "recordSet[0].field[1].source.format",
		field(`"source":{"fileSet":{"@id":"f"},"extract":{"fileProperty":"fullpath"}}`):       "recordSet[0].field[1]",
	} {
		f, err := croissant.Read([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		if !slices.ContainsFunc(f.Dropped, func(d export.Dropped) bool { return d.Path == want }) {
			t.Errorf("%s\nlists %v, not %s", doc, f.Dropped, want)
		}
	}
	f, err := croissant.Read([]byte(head + `"license":"https://choosealicense.com/licenses/apache-2.0/","description":"\n\t\n\tLong text"}`))
	if err != nil || f.License != "Apache-2.0" || f.Manifest.Description != "Long text" {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestLoadersKnowTheFormat: each kind of records has the name by which mlcroissant
// chooses its reader.
func TestLoadersKnowTheFormat(t *testing.T) {
	t.Parallel()
	for mediaType, want := range map[string]string{
		"text/csv": "text/csv", "text/tab-separated-values": "text/tsv", "application/x-ndjson": "application/jsonlines",
		"application/json": "application/json", "application/vnd.apache.parquet": "application/x-parquet", "text/plain": "text/plain",
	} {
		m, _ := manyFiles(1)
		in := input(m, minimalTerms("CC0-1.0"))
		in.Files = func(yield func(manifests.File, error) bool) {
			yield(manifests.File{Path: "a", CID: cjson.Link{Cid: cjson.RawCID(nil)}, SHA256: strings.Repeat("a", 64), MediaType: mediaType, SchemaRef: "default"}, nil)
		}
		var doc struct {
			Distribution []struct{ EncodingFormat any }
		}
		if err := json.Unmarshal(write(t, in).Bytes, &doc); err != nil || len(doc.Distribution) != 1 {
			t.Fatalf("%+v, %v", doc, err)
		}
		list, ok := doc.Distribution[0].EncodingFormat.([]any)
		if !ok {
			list = []any{doc.Distribution[0].EncodingFormat}
		}
		if !slices.Contains(list, any(want)) {
			t.Errorf("%s is %v, without %s", mediaType, list, want)
		}
	}
}

// TestLongPaths: a name has at most the 255 characters that mlcroissant takes, and
// the path comes back whole.
func TestLongPaths(t *testing.T) {
	t.Parallel()
	m, _ := manyFiles(1)
	path := strings.Repeat("folder-of-ä/", 40) + "file.csv"
	in := input(m, minimalTerms("CC0-1.0"))
	in.Files = func(yield func(manifests.File, error) bool) {
		yield(manifests.File{Path: path, CID: cjson.Link{Cid: cjson.RawCID(nil)}, SHA256: strings.Repeat("a", 64), MediaType: "text/csv", SchemaRef: "default"}, nil)
	}
	d := write(t, in)
	var doc struct {
		Distribution, RecordSet []struct{ Name string }
	}
	if err := json.Unmarshal(d.Bytes, &doc); err != nil || len(doc.Distribution) != 1 || len(doc.RecordSet) != 1 {
		t.Fatalf("%+v, %v", doc, err)
	}
	for _, name := range []string{doc.Distribution[0].Name, doc.RecordSet[0].Name} {
		if n := len([]rune(name)); n != 255 || !strings.HasSuffix(path, name) {
			t.Errorf("the name has %d characters: %s", n, name)
		}
	}
	f, err := croissant.Read(d.Bytes)
	if err != nil || len(f.Manifest.Files) != 1 || f.Manifest.Files[0].Path != path {
		t.Errorf("%+v, %v", f, err)
	}
}
