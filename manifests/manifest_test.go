package manifests_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// fullManifest is testdata/full.yaml with what a command fills in.
func fullManifest(t testing.TB) *manifests.Manifest {
	t.Helper()
	b, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifests.FromYAML(b)
	if err != nil {
		t.Fatal(err)
	}
	m.Schema, m.CreatedAt, m.Publisher = manifests.ManifestSchema, "2026-11-22T08:00:00Z", edKey(1)
	m.Terms = cjson.Link(jsonCID("terms"))
	f := &m.Files[0]
	f.CID, f.Size, f.SHA256 = cjson.Link{Cid: pb(t, "a file of several blocks")}, 2<<20, sha("the file's bytes")
	m.Data = manifests.Data{
		Root: cjson.Link{Cid: dirCID(t)}, Bytes: 2 << 20, FileCount: 1, Profile: "unixfs-v1-2025",
		Chunking: manifests.Chunking{Algo: "rabin", Min: 65536, Avg: 262144, Max: 524288, Hash: "sha2-256"},
		SWHID:    "swh:1:dir:94a9ed024d3859793618152ea559a168bbcbb5e2",
	}
	return m
}

func listedManifest(t testing.TB) *manifests.Manifest {
	t.Helper()
	m := minimalManifest()
	m.Files = nil
	m.Data.FileCount, m.Data.FileList = 1_000_000, cjson.Link{Cid: pb(t, "a list of files")}
	m.Data.Profile, m.Data.Chunking = "unixfs-v0-2015", manifests.Chunking{Algo: "fixed", Size: 262144, Hash: "sha2-256"}
	return m
}

func emptyManifest() *manifests.Manifest {
	m := minimalManifest()
	m.Files, m.Data.Bytes, m.Data.FileCount = nil, 0, 0
	return m
}

func TestGoldenManifests(t *testing.T) {
	for name, m := range map[string]*manifests.Manifest{
		"minimal": minimalManifest(), "full": fullManifest(t), "listed": listedManifest(t), "empty": emptyManifest(),
	} {
		b, err := manifests.EncodeManifest(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden(t, name+".manifest.json", b)
	}
	line, err := manifests.EncodeFileLine(fullManifest(t).Files[0])
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "full.fileline.json", line)
	if line, err = manifests.EncodeFileLine(minimalManifest().Files[0]); err != nil {
		t.Fatal(err)
	}
	golden(t, "minimal.fileline.json", line)
}

func TestManifestsAreReadForEver(t *testing.T) {
	for name, b := range goldens(t, "*.manifest.json") {
		m, err := manifests.DecodeManifest(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := manifests.EncodeManifest(m)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encoded again to %s, %v", name, again, err)
		}
	}
	for name, b := range goldens(t, "*.fileline.json") {
		for _, line := range [][]byte{b, bytes.TrimSuffix(b, []byte("\n"))} {
			f, err := manifests.DecodeFileLine(line)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if again, err := manifests.EncodeFileLine(f); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s: encoded again to %s, %v", name, again, err)
			}
		}
	}
}

// A manifest with every member must really have every member, so that the other
// tests mean something.
func TestFullManifestIsFull(t *testing.T) {
	seen := make(map[string]bool)
	members(t, goldens(t, "full.manifest.json")["full.manifest.json"], func(path ...any) {
		var s []string
		for _, p := range path {
			if name, ok := p.(string); ok {
				s = append(s, name)
			}
		}
		seen[strings.Join(s, ".")] = true
	})
	for _, want := range []string{
		"$schema", "citeAs", "data.swhid", "data.chunking.min", "files.swhid", "files.compression", "schema.default.key",
		"schema.default.fields.pii", "stats.perLanguage.gsw", "stats.videoSeconds", "sketch.cid./", "fingerprint.count",
		"contributors.orcid", "contributors.ror", "lineage.termsAtUse", "lineage.evidence", "lineage.note", "lineage.seed", "lineage.prompts",
		"lineage.target.statement", "lineage.target.cid", "lineage.target.url", "lineage.target.model", "lineage.target.activity",
		"lineage.target.party", "lineage.target.domainTable./", "lineage.target.uri", "lineage.target.onEuMarket", "lineage.target.summaryUrl",
		"activities.code.image", "activities.params.nested.list", "activities.by", "activities.outputs", "collection.period.ongoing",
		"collection.crawlers.login", "collection.domains.top10Pct./", "collection.annotators.paid", "collection.instruments",
		"rights.tdm.checkedAt", "rights.owners.sharePpm", "rights.patent", "privacy.consents", "privacy.legalBasis", "safety.intendedUses.text",
		"safety.socialImpact", "maintenance.deprecates", "ext.1.deep",
	} {
		if !seen[want] {
			t.Errorf("the full manifest has no %s", want)
		}
	}
}

// Every member of a manifest is refused when it is null, empty, or beside an
// unknown one; free objects take what they like.
func TestEveryMemberOfAManifestCounts(t *testing.T) {
	for _, name := range []string{"full.manifest.json", "minimal.manifest.json", "listed.manifest.json"} {
		b := goldens(t, name)[name]
		members(t, b, func(path ...any) {
			last, isName := path[len(path)-1].(string)
			free := path[0] == "ext" || len(path) > 2 && path[0] == "activities" && path[2] == "params"
			// The members of these have names of the contributor's own.
			named := slices.Contains([]any{"tokens", "labels", "perLanguage"}, path[max(0, len(path)-2)]) || len(path) == 2 && path[0] == "schema"
			if !isName || free && len(path) > 1 {
				return
			}
			for what, c := range map[string][]byte{
				"null":    edit(t, b, nil, path...),
				"empty":   edit(t, b, "", path...),
				"no list": edit(t, b, []any{}, path...),
				"nothing": edit(t, b, map[string]any{}, path...),
				"more":    edit(t, b, 1, append(slices.Clone(path[:len(path)-1]), last+"x")...),
			} {
				if what == "more" && named {
					continue
				}
				if _, err := manifests.DecodeManifest(c); fault.Of(err) != fault.Invalid {
					t.Errorf("%s: %v with %s: %v", name, path, what, err)
				}
			}
		})
	}
}

func TestManifestMessagesHavePaths(t *testing.T) {
	b := goldens(t, "full.manifest.json")["full.manifest.json"]
	for _, c := range []struct {
		value any
		path  []any
		want  string
	}{
		{"cairn.manifest/2", []any{"$schema"}, "$schema: must be cairn.manifest/1"},
		{1, []any{"colour"}, "colour: is not a member known here"},
		{1, []any{"files", 0, "colour"}, "files[0].colour: is not a member known here"},
		{"../x", []any{"files", 0, "path"}, `files[0].path: must be relative`},
		{"/x", []any{"files", 0, "path"}, `files[0].path: must be relative`},
		{"a//b", []any{"files", 0, "path"}, `files[0].path: must be relative`},
		{"a/", []any{"files", 0, "path"}, `files[0].path: must be relative`},
		{"a\u202eb", []any{"files", 0, "path"}, `files[0].path: contains a control or direction character`},
		{"a\nb", []any{"files", 0, "path"}, `files[0].path: contains a control or direction character`},
		{strings.Repeat("x", 256), []any{"files", 0, "path"}, `files[0].path: has a name of 256 bytes`},
		{strings.Repeat("x/", 64) + "x", []any{"files", 0, "path"}, `files[0].path: may have 64 names`},
		{"ABC", []any{"files", 0, "sha256"}, "files[0].sha256: must be 64 lower-case hex digits"},
		{1, []any{"files", 0, "size"}, "data.bytes: is 2097152, but the sizes of files add up to 1"},
		{-1, []any{"files", 0, "size"}, "files[0].size: must be from 0"},
		{2, []any{"data", "fileCount"}, "data.fileCount: is 2, but files has 1 entries"},
		{"other", []any{"files", 0, "schemaRef"}, "files[0].schemaRef: names no member of schema"},
		{"Text/CSV", []any{"files", 0, "mediaType"}, "files[0].mediaType: must be a media type"},
		{"swh:1:rev:94a9ed024d3859793618152ea559a168bbcbb5e2", []any{"files", 0, "swhid"}, "files[0].swhid: must be swh:1:cnt:"},
		{map[string]any{"/": rawCID("x").String()}, []any{"data", "fileList"}, "files: must be absent where data.fileList is present"},
		{"blake3", []any{"data", "chunking", "hash"}, "data.chunking.hash: must be sha2-256"},
		{7, []any{"data", "chunking", "size"}, "data.chunking.avg: rabin has"},
		{"fixed", []any{"data", "chunking", "algo"}, "data.chunking.size: fixed has a size"},
		{"english", []any{"languages", 0}, ""}, // eight letters at most: a form, not a registry
		{"englishish", []any{"languages", 0}, "languages[0]: must be a BCP 47 language tag"},
		{"e", []any{"languages", 0}, "languages[0]: must be a BCP 47 language tag"},
		{"smell", []any{"modalities", 0}, `modalities[0]: is "smell", but must be one of text, image, audio, video, other`},
		{"text", []any{"modalities", 0}, "modalities[1]: is there already"},
		{"0000-0002-1825-009X", []any{"contributors", 0, "orcid"}, "contributors[0].orcid: must be an ORCID iD"},
		{"05dxps056", []any{"contributors", 1, "ror"}, "contributors[1].ror: must be a ROR id"},
		{"king", []any{"contributors", 0, "roles", 0}, `contributors[0].roles[0]: is "king"`},
		{string(edKey(1)), []any{"contributors", 1, "id"}, ""},
		{"filterdFrom", []any{"lineage", 0, "rel"}, "lineage[0].rel: unknown relation"},
		{1000001, []any{"lineage", 0, "byteSharePpm"}, "lineage[0].byteSharePpm: must be parts per million"},
		{"https://example.org/x", []any{"lineage", 0, "target", "url"}, "lineage[0].target: must have exactly one of"},
		{"a2", []any{"lineage", 5, "target", "activity"}, "lineage[5].target.activity: names no id of activities"},
		{"derivedFrom", []any{"lineage", 5, "rel"}, "lineage[5].target.activity: transformedBy and an activity belong together"},
		{"derivedFrom", []any{"lineage", 6, "rel"}, "lineage[6].target.party: annotatedBy and a party belong together"},
		{"https://x.org", []any{"lineage", 0, "target", "uri"}, "lineage[0].target: uri, onEuMarket and summaryUrl stand only beside model"},
		{"2024-12", []any{"lineage", 1, "period", "end"}, "lineage[1].period.end: is before start"},
		{"2026-10-01T07:00:00Z", []any{"activities", 0, "endedAt"}, "activities[0].endedAt: is before startedAt"},
		{"abc", []any{"activities", 0, "code", "rev"}, "activities[0].code.rev: must be 40 or 64"},
		{[]any{1}, []any{"activities", 0, "params"}, "activities[0].params: must be a JSON object"},
		{"no", []any{"collection", "geography", 0}, "collection.geography[0]: must be a place"},
		{"maybe", []any{"collection", "crawlers", 0, "robots"}, `collection.crawlers[0].robots: is "maybe"`},
		{1, []any{"rights", "owners", 1, "sharePpm"}, "rights.owners: the shares add up to 1000001"},
		{"magic", []any{"privacy", "measures", 0, "technology"}, `privacy.measures[0].technology: is "magic"`},
		{"fun", []any{"safety", "intendedUses", 0, "code"}, `safety.intendedUses[0].code: is "fun"`},
		{[]any{"nobody"}, []any{"schema", "default", "key"}, "schema.default.key[0]: names no field"},
		{"id", []any{"schema", "default", "fields", 1, "name"}, "schema.default.fields[1].name: is there already"},
		{0, []any{"sketch", "scale"}, "sketch.scale: must be from 1"},
		{1, []any{"fingerprint", "max"}, "fingerprint.avg: 0 < min <= avg <= max does not hold"},
		{-1, []any{"stats", "records"}, "stats.records: must be from 0"},
		{1, []any{"stats", "perLanguage", "x"}, "stats.perLanguage.x: must be a BCP 47"},
		{"x", []any{"ext"}, "ext: must be a JSON object"},
		{rawCID("x").String(), []any{"terms"}, "terms: "},
		{map[string]any{"/": rawCID("x").String()}, []any{"terms"}, "terms: must be the CID of a JSON document"},
	} {
		_, err := manifests.DecodeManifest(edit(t, b, c.value, c.path...))
		if c.want == "" {
			if err != nil {
				t.Errorf("%v = %v: %v", c.path, c.value, err)
			}
			continue
		}
		wantProblem(t, err, c.want)
	}
}

func TestFilesAreSortedAndFew(t *testing.T) {
	m := minimalManifest()
	file := m.Files[0]
	m.Files = nil
	for _, p := range []string{"a/b", "a.txt", "b"} {
		f := file
		f.Path = p
		m.Files = append(m.Files, f)
	}
	m.Data.FileCount, m.Data.Bytes = 3, 33
	if _, err := manifests.EncodeManifest(m); err != nil {
		t.Error(err)
	}
	m.Files[0], m.Files[1] = m.Files[1], m.Files[0]
	_, err := manifests.EncodeManifest(m)
	wantProblem(t, err, "files[1].path: the list must be sorted")
	m.Files[0].Path = "a/b"
	_, err = manifests.EncodeManifest(m)
	wantProblem(t, err, "files[1].path: the list must be sorted")

	m.Files = nil
	for i := range manifests.MaxInlineFiles {
		f := file
		f.Path = fmt.Sprintf("%04d", i)
		m.Files = append(m.Files, f)
	}
	m.Data.FileCount, m.Data.Bytes = 1000, 11000
	if _, err := manifests.EncodeManifest(m); err != nil {
		t.Error(err)
	}
	m.Files = append(m.Files, file)
	_, err = manifests.EncodeManifest(m)
	wantProblem(t, err, "files: has 1001 entries")
}

func TestTooLarge(t *testing.T) {
	m := minimalManifest()
	m.Description, m.CiteAs = strings.Repeat("x", 64<<10), strings.Repeat("x", 64<<10)
	m.Safety = &manifests.Safety{}
	for range 250 {
		m.Safety.Limitations = append(m.Safety.Limitations, strings.Repeat("y", 4<<10))
	}
	if _, err := manifests.EncodeManifest(m); fault.Of(err) != fault.TooLarge || fault.Hint(err) == "" {
		t.Errorf("a manifest of more than 1 MiB: %v", err)
	}
	if _, err := manifests.DecodeManifest(make([]byte, manifests.MaxManifest+1)); fault.Of(err) != fault.TooLarge {
		t.Errorf("more than 1 MiB: %v", err)
	}
	if _, err := manifests.DecodeFileLine(make([]byte, manifests.MaxFileLine)); fault.Of(err) != fault.TooLarge {
		t.Errorf("a long line: %v", err)
	}
	if _, err := manifests.FromYAML(make([]byte, manifests.MaxYAML+1)); fault.Of(err) != fault.TooLarge {
		t.Errorf("a long file: %v", err)
	}
}

// The longest path there is must have a line.
func TestLongestPathFits(t *testing.T) {
	name := strings.Repeat(`"`, 255)
	path := strings.Repeat(name+"/", 16)
	path = path[:len(path)-1]
	f := minimalManifest().Files[0]
	f.Path = path
	line, err := manifests.EncodeFileLine(f)
	if err != nil || len(path) != 4095 {
		t.Fatalf("%d bytes: %v", len(path), err)
	}
	if got, err := manifests.DecodeFileLine(line); err != nil || got.Path != path {
		t.Errorf("%v", err)
	}
}

func TestSourcesAndMediaTypes(t *testing.T) {
	m := fullManifest(t)
	var got []string
	for _, s := range m.Sources() {
		got = append(got, fmt.Sprintf("%s %v%v%s", s.Rel, s.Statement.Defined(), s.CID.Defined(), s.URL))
	}
	want := []string{"filteredFrom truefalse", "collectedFrom falsefalsehttps://example.org/broadcasts",
		"syntheticFrom falsefalsehf:swiss-ai/Apertus-8B-2509", "sampledFrom falsetrue"}
	if !slices.Equal(got, want) {
		t.Errorf("sources %q, want %q", got, want)
	}
	m.Files = nil
	for i := range 100 {
		m.Files = append(m.Files, manifests.File{MediaType: fmt.Sprintf("text/x-%02d", 99-i)}, manifests.File{MediaType: "text/x-00"}, manifests.File{})
	}
	if types := m.MediaTypes(); len(types) != 64 || !slices.IsSorted(types) || types[0] != "text/x-00" || types[1] != "text/x-01" {
		t.Errorf("media types %q", types)
	}
}

// A name that the decoder of directories takes can stand in a manifest, and the
// other way round, but for the two separators that canonical JSON refuses.
func TestPathsAreNamesOfDirectories(t *testing.T) {
	f := minimalManifest().Files[0]
	rapid.Check(t, func(t *rapid.T) {
		f.Path = rapid.OneOf(rapid.String(), rapid.StringMatching(`[.]{0,3}`), rapid.StringMatching(`[\x{0}-\x{a0}]{1,3}`),
			rapid.StringMatching(`[\x{2000}-\x{2070}]`), rapid.StringMatching(`x{250,260}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "name")
		if strings.ContainsAny(f.Path, "/\u2028\u2029") {
			return
		}
		asPath, asName := f.Validate(), unixfs.CheckName(f.Path)
		if (asPath == nil) != (asName == nil) {
			t.Fatalf("%q: as a path %v, as a name %v", f.Path, asPath, asName)
		}
		if asPath != nil {
			return
		}
		line, err := manifests.EncodeFileLine(f)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := manifests.DecodeFileLine(line); err != nil || got.Path != f.Path {
			t.Fatalf("%q is read as %q, %v", f.Path, got.Path, err)
		}
	})
}

func TestComparePaths(t *testing.T) {
	sorted := []string{"", "a", "a/b", "a/b/c", "a/c", "a!", "a-b", "a.txt", "aa", "b/\x01", "b\x01", "ä"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := manifests.ComparePaths(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("ComparePaths(%q, %q) = %d", a, b, got)
			}
		}
	}
}

// The order of paths is that of a walk that takes each directory's names by
// bytes.
func TestComparePathsIsDepthFirst(t *testing.T) {
	path := rapid.Map(rapid.SliceOfN(rapid.StringMatching(`[\x01a./-]?[!ab\x7fü]{1,2}`), 1, 4), func(names []string) string {
		return strings.ReplaceAll(strings.Join(names, "/"), "//", "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := path.Draw(t, "a"), path.Draw(t, "b")
		if got, want := manifests.ComparePaths(a, b), slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")); got != want {
			t.Fatalf("ComparePaths(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}

func TestChunking(t *testing.T) {
	for _, spec := range []string{"size-1048576", "size-1", "buzhash", "rabin-65536-262144-524288", "fastcdc-16384-65536-262144"} {
		c, err := manifests.ParseChunking(spec)
		if err != nil || c.String() != spec {
			t.Errorf("%s: %v, %v", spec, c, err)
		}
	}
	for _, spec := range []string{"", "size", "size-", "size-0", "size-01", "size--1", "size-2097153", "buzhash-1", "buzhash-", "rabin", "rabin-1-2", "rabin-3-2-1", "rabin-1-2-3-4", "md5-1"} {
		if c, err := manifests.ParseChunking(spec); fault.Of(err) != fault.Invalid {
			t.Errorf("%q: %v, %v", spec, c, err)
		}
	}
}
