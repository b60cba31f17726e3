package croissant_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/export/croissant"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A maker draws manifests in which every member may be there or not.
type maker struct{ *rapid.T }

func (g maker) yes() bool { return rapid.Bool().Draw(g.T, "yes") }
func (g maker) n(most int) int {
	return rapid.IntRange(0, most).Draw(g.T, "n")
}
func (g maker) line() string {
	return rapid.StringMatching(`[!-~é漢][ -~é漢]{0,11}`).Draw(g.T, "line")
}
func (g maker) text() string { return strings.ReplaceAll(g.line(), " ", "\n") + "." }
func (g maker) token() string {
	return rapid.StringMatching(`[a-z0-9_][a-z0-9._-]{0,7}`).Draw(g.T, "token")
}
func (g maker) maybe(s string) string {
	if g.yes() {
		return s
	}
	return ""
}
func (g maker) texts() (list []string) {
	for range g.n(3) {
		list = append(list, g.text())
	}
	return list
}
func pick[T any](g maker, from ...T) T { return rapid.SampledFrom(from).Draw(g.T, "pick") }
func (g maker) some(from ...string) (list []string) {
	for _, s := range from {
		if g.yes() {
			list = append(list, s)
		}
	}
	return list
}
func (g maker) count() *int64 {
	if g.yes() {
		n := rapid.Int64Range(0, 1<<53-1).Draw(g.T, "count")
		return &n
	}
	return nil
}
func (g maker) flag() *bool {
	if g.yes() {
		b := g.yes()
		return &b
	}
	return nil
}
func (g maker) cid() cjson.CID { return cjson.CID{Cid: cjson.RawCID([]byte(g.token()))} }
func (g maker) cids() (list []cjson.CID) {
	for range g.n(2) {
		list = append(list, g.cid())
	}
	return list
}

var keys = []sign.KeyID{ada, "did:key:z6MktULudTtAsAhRegYPiZ6631RV3viv12qd4GQF8z1xB22S", "did:key:z6Mkon3Necd6NkkyfoGoHxid2znGc59LU3K7mubaRcFbLfLX"}

func (g maker) period() *manifests.Period {
	return pick(g, nil, &manifests.Period{Start: "2025-01"}, &manifests.Period{Start: "2025-01-02", End: "2025-06"}, &manifests.Period{Start: "2025-01", End: "2025-01-31", Ongoing: g.flag()}, &manifests.Period{Start: "2024-12", Ongoing: g.flag()})
}

func (g maker) manifest() *manifests.Manifest {
	m := &manifests.Manifest{
		Schema: manifests.ManifestSchema, Name: manifests.Slug(g.token()), Title: g.maybe(g.line()), Description: g.maybe(g.text()), Version: pick(g, "1.0.0", "0.3.1"),
		CreatedAt: "2026-11-22T08:00:00Z", Publisher: pick(g, keys...), Homepage: g.maybe("https://example.org/a?b=c"), CiteAs: g.maybe(g.text()),
		Keywords: g.some("asr", "c++", "a_b"), Languages: g.some("gsw", "de-CH"), Modalities: g.some("text", "audio", "other"),
		Terms: cjson.Link{Cid: cjson.JSONCID([]byte(g.token()))},
		Data:  manifests.Data{Root: cjson.Link{Cid: dagpb(g.token())}, Profile: "unixfs-v1-2025", Chunking: manifests.Chunking{Algo: "fixed", Size: 1 << 20, Hash: "sha2-256"}},
	}
	if g.yes() {
		m.Data.SWHID = "swh:1:dir:94a9ed024d3859793618152ea559a168bbcbb5e2"
	}
	for i := range g.n(3) {
		if m.RecordSchema == nil {
			m.RecordSchema = make(map[string]manifests.RecordSchema)
		}
		var s manifests.RecordSchema
		names := make(map[string]bool)
		for range 1 + g.n(3) {
			f := manifests.Field{
				Name: g.line(), Type: pick(g, "string", "integer", "number", "boolean", "date", "datetime", "list", "object", "bytes", "null", "int64", "image", "Odd Type"),
				Description: g.maybe(g.text()), Role: pick(g, "", "content", "label", "id", "meta"), Language: g.maybe("gsw"), PII: g.maybe("none"),
			}
			if !names[f.Name] {
				names[f.Name] = true
				s.Fields = append(s.Fields, f)
			}
			if g.yes() && !slices.Contains(s.Key, f.Name) {
				s.Key = append(s.Key, f.Name)
			}
		}
		m.RecordSchema[fmt.Sprintf("%s-%d", g.token(), i)] = s
	}
	refs := []string{""}
	for name := range m.RecordSchema {
		refs = append(refs, name)
	}
	slices.Sort(refs)
	for range g.n(4) {
		f := manifests.File{
			Path: pick(g, "", "data/", "a b/ü/") + g.token() + pick(g, "", ".csv", ".jsonl", ".parquet", ".csv.gz", ".zst"), CID: cjson.Link{Cid: g.cid().Cid},
			Size: rapid.Int64Range(0, 1<<40).Draw(g.T, "size"), SHA256: strings.Repeat(pick(g, "a", "0"), 64), Split: g.maybe("train"), Config: g.maybe("default"),
			MediaType: pick(g, "", "text/csv", "application/x-ndjson", "application/vnd.apache.parquet", "application/json", "application/jsonlines"),
			Records:   g.count(), SchemaRef: pick(g, refs...), Compression: g.maybe("zstd"),
		}
		if g.yes() {
			f.SWHID = "swh:1:cnt:94a9ed024d3859793618152ea559a168bbcbb5e2"
		}
		if !slices.ContainsFunc(m.Files, func(o manifests.File) bool {
			return o.Path == f.Path || strings.HasPrefix(o.Path, f.Path+"/") || strings.HasPrefix(f.Path, o.Path+"/")
		}) {
			m.Files = append(m.Files, f)
			m.Data.Bytes += f.Size
		}
	}
	slices.SortFunc(m.Files, func(a, b manifests.File) int { return manifests.ComparePaths(a.Path, b.Path) })
	m.Data.FileCount = int64(len(m.Files))
	for i, id := range keys {
		if i == 0 || g.yes() {
			m.Contributors = append(m.Contributors, manifests.Contributor{ID: id, Name: g.maybe(g.line()), ORCID: g.maybe("0000-0002-1825-0097"), ROR: g.maybe("05dxps055"), Roles: g.some("collector", "data-curation")})
		}
	}
	g.story(m)
	g.facts(m)
	return m
}

func (g maker) story(m *manifests.Manifest) {
	for i := range g.n(2) {
		a := manifests.Activity{
			ID: fmt.Sprintf("%s-%d", g.token(), i), Type: pick(g, "filter", "dedup", "annotate", "redact", "convert", "generate"), Purpose: g.maybe(g.text()),
			Inputs: g.cids(), Outputs: g.cids(), StartedAt: g.maybe("2026-10-01T08:00:00Z"), By: pick(g, "", keys[1]),
		}
		if a.StartedAt != "" {
			a.EndedAt = g.maybe("2026-10-01T09:00:00Z")
		}
		if g.yes() {
			a.Code = &manifests.Code{Repo: "https://example.org/r.git", Rev: g.maybe(strings.Repeat("a", 40)), Image: g.maybe("sha256:" + strings.Repeat("b", 64))}
		}
		if g.yes() {
			a.Argv = []string{"run", "", g.line()}
		}
		if g.yes() {
			a.Params = json.RawMessage(`{"a":[1,null,{"@id":"x","sc:name":true}],"b":"<&>"}`)
		}
		m.Activities = append(m.Activities, a)
	}
	for range g.n(4) {
		l := manifests.Lineage{
			Rel: pick(g, manifests.Rels()...), ByteSharePpm: pick(g, nil, new(int64)), RecordSharePpm: pick(g, nil, new(int64)),
			Period: g.period(), Seed: g.maybe(g.line()), Prompts: g.maybe(g.text()), Note: g.maybe(g.text()),
		}
		if g.yes() {
			l.TermsAtUse.Cid, l.Evidence = cjson.JSONCID(nil), g.cid()
		}
		switch l.Rel {
		case manifests.TransformedBy:
			if len(m.Activities) == 0 {
				continue
			}
			l.Target.Activity = m.Activities[0].ID
		case manifests.AnnotatedBy:
			l.Target.Party = pick(g, keys...)
		default:
			switch g.n(3) {
			case 0:
				l.Target.Statement = g.cid()
			case 1:
				l.Target.CID = pick(g, g.cid(), cjson.CID{Cid: dagpb("x")})
			case 2:
				l.Target.URL = pick(g, "https://example.org/x", "hf:datasets/a/b", "doi:10.1234/x")
				if g.yes() {
					l.Target.DomainTable = cjson.Link{Cid: g.cid().Cid}
				}
			default:
				l.Target = manifests.Target{Model: g.line(), URI: g.maybe("hf:models/some/model"), OnEUMarket: g.flag(), SummaryURL: g.maybe("https://example.org/summary")}
			}
		}
		m.Lineage = append(m.Lineage, l)
	}
}

func (g maker) facts(m *manifests.Manifest) {
	if g.yes() {
		m.Stats = &manifests.Stats{Records: g.count(), Images: g.count(), Tokens: pick(g, nil, map[string]int64{"o200k": 3})}
	}
	if g.yes() {
		m.Collection = &manifests.Collection{Method: g.some("web-scraping-crawling", "feeds", "other"), Period: g.period(), Geography: g.some("CH", "155"), Instruments: g.texts()}
		if g.yes() {
			m.Collection.Annotators = &manifests.Annotators{Platform: g.maybe(g.line()), PerItem: g.count(), Demographics: g.maybe(g.text()), Paid: g.flag()}
		}
		if g.yes() {
			m.Collection.Crawlers = []manifests.Crawler{{Name: "bot"}}
		}
	}
	if g.yes() {
		m.Privacy = &manifests.Privacy{PersonalInfo: pick(g, "", "yes", "no", "unknown"), SpecialCategories: g.texts(), LegalBasis: g.maybe(g.text())}
	}
	if g.yes() {
		m.Safety = &manifests.Safety{KnownBiases: g.texts(), Limitations: g.texts(), SocialImpact: g.maybe(g.text()), ProhibitedUses: g.texts()}
		for range g.n(2) {
			m.Safety.IntendedUses = append(m.Safety.IntendedUses, manifests.IntendedUse{Code: pick(g, "research", "other", "pre-training"), Text: pick(g, "", g.text(), "research: "+g.text())})
		}
	}
	if g.yes() {
		m.Maintenance = &manifests.Maintenance{Updates: g.maybe(g.text()), Contact: g.maybe(g.line())}
	}
	if g.yes() {
		m.Rights = &manifests.Rights{Copyright: "mixed"}
	}
	if g.yes() {
		m.Ext = json.RawMessage(`{"x":1}`)
	}
}

// valid draws until a manifest is one: members that are there and empty are not.
func valid(t *rapid.T) *manifests.Manifest {
	m := maker{t}.manifest()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"stats", "collection", "privacy", "safety", "maintenance"} {
		if v, ok := prune(tree[k]).(map[string]any); !ok || len(v) == 0 {
			delete(tree, k)
		} else {
			tree[k] = v
		}
	}
	out := new(manifests.Manifest)
	if b, err = json.Marshal(tree); err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.Stats != nil && out.Stats != nil {
		out.Stats = m.Stats // its large numbers as they were
	}
	for i := range out.Files {
		out.Files[i] = m.Files[i]
	}
	out.Data = m.Data
	if out.Collection != nil && out.Collection.Annotators != nil {
		out.Collection.Annotators.PerItem = m.Collection.Annotators.PerItem
	}
	if err := out.Validate(); err != nil {
		t.Fatalf("the generator made no manifest: %v", err)
	}
	return out
}

// prune leaves out objects and lists that are empty.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			if v[k] = prune(v[k]); v[k] == nil {
				delete(v, k)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

// tree is a manifest as JSON, without what an add says itself.
func tree(t testing.TB, m *manifests.Manifest) map[string]any {
	t.Helper()
	c := *m
	c.Publisher, c.CreatedAt = ada, "2000-01-01T00:00:00Z"
	c.Terms = cjson.Link{Cid: cjson.JSONCID(nil)}
	c.Data = manifests.Data{Root: cjson.Link{Cid: cjson.RawCID(nil)}, SWHID: m.Data.SWHID}
	c.Files = slices.Clone(m.Files)
	for i := range c.Files {
		c.Files[i].CID, c.Files[i].Size, c.Files[i].SHA256 = c.Data.Root, 0, ""
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	out["data"] = out["data"].(map[string]any)["swhid"]
	return out
}

// without takes what was dropped out of a tree.
func without(tree map[string]any, dropped []export.Dropped) any {
	for _, d := range dropped {
		o := tree
		steps := strings.SplitN(d.Path, ".", 2)
		if steps[0] != "schema" { // whose names may have dots
			steps = strings.Split(d.Path, ".")
		}
		for _, s := range steps[:len(steps)-1] {
			next, _ := o[s].(map[string]any)
			o = next
		}
		delete(o, steps[len(steps)-1])
	}
	return prune(tree)
}

// TestNothingIsLostThatIsNotListed: a manifest that goes out as Croissant and
// comes back is what it was but for the members that the writer listed; and it
// goes out again as the same document, byte for byte.
func TestNothingIsLostThatIsNotListed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := valid(rt)
		in := input(m, minimalTerms("CC-BY-4.0 OR MIT"))
		first, err := croissant.Write(in)
		if err != nil {
			rt.Fatal(err)
		}
		if err := croissant.Validate(first.Bytes); err != nil {
			rt.Fatalf("%v\n%s", err, first.Bytes)
		}
		f, err := croissant.Read(first.Bytes)
		if err != nil {
			rt.Fatal(err)
		}
		if f.License != "CC-BY-4.0 OR MIT" {
			rt.Fatalf("the licence came back as %q", f.License)
		}
		for _, d := range f.Dropped {
			if d.Path != "publisher" && d.Path != "usageInfo" {
				rt.Fatalf("reading dropped %+v\n%s", d, first.Bytes)
			}
		}
		want, got := without(tree(t, m), first.Dropped), prune(tree(t, f.Manifest))
		if !reflect.DeepEqual(want, got) {
			w, _ := json.MarshalIndent(want, "", " ")
			g, _ := json.MarshalIndent(got, "", " ")
			rt.Fatalf("came back as another:\n%s\nwant\n%s", g, w)
		}
		y, err := f.YAML()
		if err != nil {
			rt.Fatal(err)
		}
		fromFile, err := manifests.FromYAML(y)
		if err != nil || !reflect.DeepEqual(prune(tree(t, fromFile)), got) {
			rt.Fatalf("as a file it is another: %v\n%s", err, y)
		}
		again := *f.Manifest
		again.Publisher, again.CreatedAt, again.Terms, again.Data = m.Publisher, m.CreatedAt, m.Terms, m.Data
		for i := range again.Files {
			again.Files[i].CID, again.Files[i].Size, again.Files[i].SHA256 = m.Files[i].CID, m.Files[i].Size, m.Files[i].SHA256
		}
		in.M, in.Files = &again, inline(&again)
		second, err := croissant.Write(in)
		if err != nil || !bytes.Equal(second.Bytes, first.Bytes) {
			rt.Fatalf("the second document differs: %v\n%s\nwant\n%s", err, second.Bytes, first.Bytes)
		}
	})
}

// matches reports whether a pattern finds a path: * within a name, ** any folders.
func matches(pattern, name []string) bool {
	switch {
	case len(pattern) == 0:
		return len(name) == 0
	case pattern[0] == "**" && len(pattern) == 1:
		return true
	case pattern[0] == "**":
		return matches(pattern[1:], name) || len(name) > 0 && matches(pattern, name[1:])
	case len(name) == 0:
		return false
	}
	ok, err := path.Match(pattern[0], name[0])
	return err == nil && ok && matches(pattern[1:], name[1:])
}

// TestEachFileIsInOneFileSet: the patterns of the FileSets find each file once,
// and as many as they say.
func TestEachFileIsInOneFileSet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.StringMatching(`[a-c*?\[\] é]{1,2}`)
		folders := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(part, 0, 3).Draw(t, "folder"), "/")
		}), rapid.SampledFrom([]int{1, 20, 70}).Draw(rt, "least"), 90, rapid.ID[string]).Draw(rt, "folders")
		folders[0] = "" // the root
		exts := rapid.SliceOfNDistinct(rapid.StringMatching(`(\.[a-c*?]{0,2}){0,2}`), 1, 5, rapid.ID[string]).Draw(rt, "exts")
		var paths []string
		seen := make(map[string]bool)
		for i := 0; len(paths) <= croissant.MaxFileObjects; i++ {
			p := strings.TrimPrefix(fmt.Sprintf("%s/%d%s", folders[i%len(folders)], i, exts[i/7%len(exts)]), "/")
			if i%50 == 0 && strings.Trim(exts[0], ".") != "" {
				p = strings.TrimPrefix(folders[i%len(folders)]+"/"+exts[0], "/") // a name that is all extension
			}
			if !seen[p] {
				seen[p] = true
				paths = append(paths, p)
			}
		}
		m, _ := manyFiles(len(paths))
		in := input(m, minimalTerms("MIT"))
		in.Files = func(yield func(manifests.File, error) bool) {
			for _, p := range paths {
				if !yield(manifests.File{Path: p, CID: cjson.Link{Cid: cjson.RawCID(nil)}, SHA256: strings.Repeat("a", 64)}, nil) {
					return
				}
			}
		}
		d, err := croissant.Write(in)
		if err != nil {
			rt.Fatal(err)
		}
		var doc struct {
			Distribution []struct {
				Includes, Excludes []string
				Files              int `json:"cairn:files"`
			}
		}
		if err := json.Unmarshal(d.Bytes, &doc); err != nil {
			rt.Fatal(err)
		}
		any := func(patterns []string, p string) bool {
			return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(strings.Split(pattern, "/"), strings.Split(p, "/")) })
		}
		found := make(map[string]int)
		sets := 0
		for _, s := range doc.Distribution {
			n := 0
			for _, p := range paths {
				if any(s.Includes, p) && !any(s.Excludes, p) {
					found[p]++
					n++
				}
			}
			if n != s.Files {
				rt.Fatalf("%v without %v finds %d files and says %d", s.Includes, s.Excludes, n, s.Files)
			}
			if s.Files > 0 {
				sets++
			}
		}
		for _, p := range paths {
			if found[p] != 1 {
				rt.Fatalf("%q is found %d times", p, found[p])
			}
		}
		if sets == 0 || sets > croissant.MaxFileSets {
			rt.Fatalf("%d FileSets", sets)
		}
	})
}

// TestGoldensAreReadForEver: each document that a version of cairn wrote is valid
// and is read, with nothing dropped but what the terms and the signer say.
func TestGoldensAreReadForEver(t *testing.T) {
	names, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".dropped.json") || strings.Contains(name, "foreign-") {
			continue
		}
		n++
		b := readFile(t, name)
		if err := croissant.Validate(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f, err := croissant.Read(b)
		if err != nil || f.Format != "croissant 1.1" {
			t.Errorf("%s: %+v, %v", name, f, err)
			continue
		}
		for _, d := range f.Dropped {
			if d.Path != "publisher" && d.Path != "usageInfo" {
				t.Errorf("%s: reading dropped %+v", name, d)
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d golden documents", n)
	}
}

func TestReaderRefuses(t *testing.T) {
	for in, code := range map[string]fault.Code{
		"": fault.Invalid, "[]": fault.Invalid, "{": fault.Invalid, "{}": fault.Invalid, `{"@type":"Person"}`: fault.Invalid, `{"@type":"Dataset"} x`: fault.Invalid,
		strings.Repeat(" ", croissant.MaxDocument+1):                     fault.TooLarge,
		`{"@type":"Dataset","x":[` + strings.Repeat("1,", 1<<20) + "1]}": fault.TooLarge,
	} {
		if _, err := croissant.Read([]byte(in)); !errors.Is(err, code) {
			t.Errorf("%.30q: %v, want %s", in, err, code)
		}
	}
	// Members of one name in two spellings: the short one counts, always.
	for range 20 {
		f, err := croissant.Read([]byte(`{"@type":"https://schema.org/Dataset","https://schema.org/name":"a","sc:name":"b","name":"c","http://schema.org/name":"d"}`))
		if err != nil || f.Manifest.Name != "c" || f.Format != "schema.org Dataset" {
			t.Fatalf("%+v, %v", f, err)
		}
	}
}

// FuzzRead feeds the reader foreign bytes: it answers, and what it answers passes
// the grammar of a manifest once the rest is said.
func FuzzRead(f *testing.F) {
	for _, d := range documents(f) {
		f.Add(d.Bytes)
	}
	for _, name := range []string{"foreign-1.0.json", "foreign-hub.json"} {
		f.Add(readFile(f, "testdata/"+name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = croissant.Validate(b)
		r, err := croissant.Read(b)
		if err != nil {
			return // refusing is always right
		}
		if len(r.Dropped) > export.MaxDropped {
			t.Fatalf("%d things are dropped", len(r.Dropped))
		}
		n := len(r.Dropped)
		if err := r.Sieve(); err != nil || len(r.Dropped) != n {
			t.Fatalf("what was read is refused: %v, %v", err, r.Dropped)
		}
		again, err := croissant.Read(b)
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("reading again gives %+v, %v, not %+v", again, err, r)
		}
	})
}
