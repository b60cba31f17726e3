package manifests_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
)

func edSigner(b byte) sign.Signer {
	return sign.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)))
}

func fullLock() *manifests.Lock {
	return &manifests.Lock{
		Schema: manifests.LockSchema, Registry: "cairn.example/log", CreatedAt: "2026-11-22T08:00:00Z", Anchor: &manifests.Anchor{Size: 42, Root: hash(1)},
		Inputs: []manifests.LockInput{
			{Statement: sorted(rawCID("one"), rawCID("two"))[0], Index: 7, Publisher: edKey(1), Name: "iris", Version: "1.0.0", Root: rawCID("hello world"),
				Manifest: jsonCID("manifest"), Terms: jsonCID("terms"), License: "CC-BY-4.0 OR ODbL-1.0", Units: "150", Unit: "record", EpochsPpm: 2_500_000,
				SharePpm: 999_999, Verified: true, Accepted: rawCID("acceptance")},
			{Statement: sorted(rawCID("one"), rawCID("two"))[1], Index: 41, Publisher: edKey(2), Name: "asr", Version: "2.0.0", Terms: jsonCID("terms"),
				Units: "0", Unit: "token", SharePpm: 1},
		},
	}
}

func fullUse() *manifests.UseRecord {
	return &manifests.UseRecord{
		Schema: manifests.UseRecordSchema, Salt: sha("salt"), Run: run, Lock: jsonCID("lock"), Stage: "pretrain",
		StartedAt: "2026-10-01T00:00:00Z", EndedAt: "2026-11-01T00:00:00Z",
		Code:   &manifests.Code{Repo: "https://example.org/train", Rev: strings.Repeat("0a", 20)},
		Config: rawCID("config"), Purpose: "speech to text",
		Trainer: &manifests.Trainer{ID: edKey(1), LegalName: "Example GmbH", Contact: "ai@example.org", EURepresentative: "Example SARL", SME: ptr(true), GPAICodeSignatory: ptr(false)},
		Model: &manifests.ModelFacts{Name: "asr", Version: "2.0.0", Docs: []string{"https://example.org/asr"},
			Dependencies: []manifests.ModelDependency{{Name: "base", SummaryURL: "https://example.org/base"}},
			Artifact:     rawCID("weights"), ReleasedAt: "2026-12-01", EUPlacementAt: "2026-12", Continuous: ptr(false)},
		Inputs: []manifests.UseInput{{
			Statement: rawCID("one"), Purpose: "dialects", FirstUsedAt: "2026-10-01T00:00:00Z",
			Selection:  &manifests.Selection{Files: []string{"data/train-*"}, Filter: "lang==gsw", Method: "by language", Records: ptr[int64](900), Bytes: ptr[int64](1), Tokens: ptr[int64](11000)},
			Processing: []manifests.Processing{{Type: "dedup", Purpose: "near duplicates"}}, Fetches: []cjson.CID{rawCID("fetch record")},
		}},
		OtherInputs: []manifests.OtherInput{{Category: "synthetic", Name: "paraphrases", Link: "https://example.org/p", Version: "1", Modalities: []string{"text"},
			Size: &manifests.OtherSize{Value: "1000", Unit: "token"}, Period: &manifests.Period{Start: "2025-01", End: "2025-06"}, Description: "by our own model"}},
		Crawlers: []manifests.Crawler{{Name: "examplebot", UA: "ExampleBot/1.0", Robots: "respected", Captcha: "not-bypassed"}},
		Domains:  &manifests.Domains{Table: cjson.Link(rawCID("domains")), Count: 3},
		Measures: &manifests.Measures{TDM: "robots.txt honoured", IllegalContent: "hash lists", Other: "none", CopyrightPolicyURL: "https://example.org/copyright"},
		Evidence: []cjson.CID{rawCID("evidence")}, Reveal: "auditor",
	}
}

func fullFetch() *manifests.FetchRecord {
	return &manifests.FetchRecord{
		Registry: "cairn.example/log", Nonce: run, Statement: rawCID("one"), Root: rawCID("hello world"), Bytes: 11, CoveragePpm: 1_000_000,
		Ranges: []manifests.FetchRange{{Path: "iris.csv", Offset: 0, Length: 11}}, Fetcher: edKey(1), Terms: jsonCID("terms"), Purpose: "training",
		FetchedFrom: "2026-11-22T08:00:00Z", FetchedTo: "2026-11-22T08:00:01Z",
	}
}

// TestGoldenDocuments fixes the bytes of locks, private records and fetch records.
func TestGoldenDocuments(t *testing.T) {
	lock, err := manifests.EncodeLock(fullLock())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "full.lock.json", lock)
	use, err := manifests.EncodeUseRecord(fullUse())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "full.use.json", use)
	small, err := manifests.EncodeUseRecord(&manifests.UseRecord{Schema: manifests.UseRecordSchema, Salt: sha("salt"), Run: run})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "minimal.use.json", small)
	fetch, err := manifests.NewFetchRecord(fullFetch(), edSigner(9))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "full.fetch.json", fetch)

	for name, b := range map[string][]byte{"lock": lock, "lock with a line feed": append(slices.Clone(lock), '\n')} {
		l, err := manifests.DecodeLock(b)
		if err != nil || !reflect.DeepEqual(l, fullLock()) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
		if manifests.LockCID(b) != cjson.JSONCID(lock) {
			t.Errorf("%s: another CID", name)
		}
	}
	if u, err := manifests.DecodeUseRecord(use); err != nil || !reflect.DeepEqual(u, fullUse()) {
		t.Errorf("%+v, %v", u, err)
	}
	f, by, err := manifests.VerifyFetchRecord(fetch, []sign.KeyID{edKey(8), edSigner(9).ID()})
	if err != nil || by != edSigner(9).ID() || !reflect.DeepEqual(f, fullFetch()) {
		t.Errorf("%+v by %s, %v", f, by, err)
	}
	if _, _, err := manifests.VerifyFetchRecord(fetch, []sign.KeyID{edKey(1)}); !errors.Is(err, fault.Unverified) {
		t.Errorf("a fetch record of no gateway: %v", err)
	}
}

// TestEveryMemberOfADocumentCounts takes each member away and empties it.
func TestEveryMemberOfADocumentCounts(t *testing.T) {
	decode := map[string]func([]byte) error{
		"full.lock.json": func(b []byte) error { _, err := manifests.DecodeLock(b); return err },
		"full.use.json":  func(b []byte) error { _, err := manifests.DecodeUseRecord(b); return err },
	}
	for name, fn := range decode {
		b := goldens(t, name)[name]
		members(t, b, func(path ...any) {
			last, ok := path[len(path)-1].(string)
			if !ok || last == "/" {
				return
			}
			for what, c := range map[string][]byte{
				"null": edit(t, b, nil, path...), "no list": edit(t, b, []any{}, path...), "nothing": edit(t, b, map[string]any{}, path...),
				"more": edit(t, b, 1, append(slices.Clone(path[:len(path)-1]), last+"x")...),
			} {
				if err := fn(c); fault.Of(err) != fault.Invalid {
					t.Errorf("%s: %v with %s: %v", name, path, what, err)
				}
			}
		})
	}
}

func TestLockRefusals(t *testing.T) {
	for want, change := range map[string]func(l *manifests.Lock){
		"inputs: must have an entry":                func(l *manifests.Lock) { l.Inputs = nil },
		"the shares sum to 999999":                  func(l *manifests.Lock) { l.Inputs[1].SharePpm = 0 },
		"sorted by statement":                       func(l *manifests.Lock) { slices.Reverse(l.Inputs) },
		"inputs[0].verified: needs an anchor":       func(l *manifests.Lock) { l.Anchor = nil },
		"inputs[0].units":                           func(l *manifests.Lock) { l.Inputs[0].Units = "1.5" },
		"$schema: must be cairn.lock/1":             func(l *manifests.Lock) { l.Schema = "cairn.lock/2" },
		"inputs[1].terms":                           func(l *manifests.Lock) { l.Inputs[1].Terms = rawCID("terms") },
		"inputs[0].sharePpm":                        func(l *manifests.Lock) { l.Inputs[0].SharePpm = -1 },
		"createdAt":                                 func(l *manifests.Lock) { l.CreatedAt = "yesterday" },
		"inputs[0].epochsPpm: must be from 0 to 10": func(l *manifests.Lock) { l.Inputs[0].EpochsPpm = -1 },
	} {
		l := fullLock()
		change(l)
		_, err := manifests.EncodeLock(l)
		wantProblem(t, err, want)
	}
}

// TestCommitment: the commitment opens with the record and its salt, and with
// no other.
func TestCommitment(t *testing.T) {
	r := fullUse()
	c, err := r.Commitment()
	if err != nil {
		t.Fatal(err)
	}
	u := &manifests.Usage{Common: common(), Run: run, Type: manifests.UsageTraining, Trainer: edKey(1), Lock: jsonCID("lock"), Private: c,
		Inputs: []manifests.Input{{Statement: rawCID("one"), Units: "1", Unit: "token", EpochsPpm: 1, Terms: jsonCID("terms")}}}
	if err := r.Opens(u); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(r *manifests.UseRecord){
		"another salt":    func(r *manifests.UseRecord) { r.Salt = sha("other") },
		"another stage":   func(r *manifests.UseRecord) { r.Stage = "eval" },
		"another purpose": func(r *manifests.UseRecord) { r.Purpose = "text to speech" },
	} {
		r := fullUse()
		change(r)
		if err := r.Opens(u); !errors.Is(err, fault.Unverified) {
			t.Errorf("%s: %v", what, err)
		}
	}
	hidden := fullUse()
	hidden.Inputs[0].Statement = rawCID("not logged")
	if u.Private, err = hidden.Commitment(); err != nil {
		t.Fatal(err)
	}
	if err := hidden.Opens(u); !errors.Is(err, fault.Unverified) {
		t.Errorf("an input that is not logged: %v", err)
	}
	if r, err := manifests.UseRecordFromYAML([]byte("stage: eval\ntrainer: {legalName: X}\n")); err != nil || r.Stage != "eval" || r.Schema != manifests.UseRecordSchema {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestForgedFetchRecords changes a fetch record in every byte.
func TestForgedFetchRecords(t *testing.T) {
	b, err := manifests.NewFetchRecord(fullFetch(), edSigner(9))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		c := slices.Clone(b)
		c[i] ^= 1
		if _, _, err := manifests.VerifyFetchRecord(c, []sign.KeyID{edSigner(9).ID()}); err == nil {
			t.Errorf("byte %d may be another", i)
		}
	}
	// A statement of a known kind is no fetch record.
	s := manifests.New(&manifests.Withdraw{Common: common(), Party: edSigner(9).ID(), Statement: rawCID("one")})
	payload, err := manifests.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	e, err := sign.Seal(payload, edSigner(9))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = e.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := manifests.VerifyFetchRecord(b, []sign.KeyID{edSigner(9).ID()}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a withdrawal as a fetch record: %v", err)
	}
}

// TestExternal holds the grammar of external sources in a manifest.
func TestExternal(t *testing.T) {
	hex := strings.Repeat("0a", 20)
	for url, kind := range map[string]string{
		"https://example.org/a": "url", "doi:10.5281/zenodo.12345": "doi", "swh:1:dir:" + hex: "swhid", "swh:1:cnt:" + hex + ";origin=https://example.org": "swhid",
		"hf:datasets/owner/name": "hub", "hf:models/owner/name@main": "hub", "https://example.org/x.warc.gz#urn:uuid:1": "warc",
	} {
		m := minimalManifest()
		m.Lineage = []manifests.Lineage{{Rel: manifests.CollectedFrom, Target: manifests.Target{URL: url}}}
		if err := m.Validate(); err != nil || manifests.ExternalKind(url) != kind {
			t.Errorf("%s is %s, %v; want %s", url, manifests.ExternalKind(url), err, kind)
		}
	}
	for _, url := range []string{"doi:zenodo.12345", "doi:10.1/x", "doi:10.5281/", "swh:1:dir:0a", "swh:2:dir:" + hex, "hf:owner/name", "hf:datasets/owner", "hf:datasets/owner/name@", "hf:datasets/a/b/c"} {
		m := minimalManifest()
		m.Lineage = []manifests.Lineage{{Rel: manifests.CollectedFrom, Target: manifests.Target{URL: url}}}
		wantProblem(t, m.Validate(), "lineage[0].target.url")
	}
}

func FuzzDecodeLock(f *testing.F) {
	for _, b := range goldens(f, "*.lock.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = canonical(b)
		l, err := manifests.DecodeLock(b)
		if err != nil {
			refused(t, err)
			return
		}
		again, err := manifests.EncodeLock(l)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
		}
	})
}

func FuzzDecodeUseRecord(f *testing.F) {
	for _, b := range goldens(f, "*.use.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = canonical(b)
		r, err := manifests.DecodeUseRecord(b)
		if err != nil {
			refused(t, err)
			return
		}
		again, err := manifests.EncodeUseRecord(r)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
		}
		if _, err := r.Commitment(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzVerifyFetchRecord(f *testing.F) {
	for _, b := range goldens(f, "*.fetch.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := manifests.VerifyFetchRecord(b, []sign.KeyID{edSigner(9).ID()}); err != nil {
			if c := fault.Of(err); c != fault.Invalid && c != fault.TooLarge && c != fault.Unverified {
				t.Fatalf("code %s of %v", c, err)
			}
		}
	})
}

// complianceFields are the fields of the reports that FORMAT.md must map: the
// EU summary, AB 2013, and the training-data items of the model documentation form.
var complianceFields = []string{
	"0.a", "0.b", "1.1.a", "1.1.b", "1.2.a", "1.2.b", "1.2.c", "1.3.a", "1.3.b", "1.3.c", "1.3.d", "1.3.e", "1.3.f", "1.3.g",
	"2.1.a", "2.1.b", "2.1.c", "2.1.d", "2.1.e", "2.2.1.a", "2.2.1.b", "2.2.2.a", "2.2.2.b", "2.2.2.c", "2.2.2.d", "2.2.2.e",
	"2.3", "2.4", "2.5", "2.6", "3.1.a", "3.1.b", "3.1.c", "3.2.a", "3.3.a",
	"AB 1", "AB 2", "AB 3", "AB 4", "AB 5", "AB 6", "AB 7", "AB 8", "AB 9", "AB 10", "AB 11", "AB 12",
	"MDF type", "MDF provenance", "MDF obtained", "MDF number", "MDF scope", "MDF curation", "MDF unsuitable", "MDF bias",
}

// TestComplianceTable keeps the table in FORMAT.md from rotting: it has every
// field, and every path in it exists.
func TestComplianceTable(t *testing.T) {
	b, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## Reports to authorities\n")
	if !ok {
		t.Fatal("FORMAT.md has no section of reports")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	roots := map[string]reflect.Type{
		"manifest": reflect.TypeFor[manifests.Manifest](), "terms": reflect.TypeFor[terms.Terms](), "lock": reflect.TypeFor[manifests.Lock](),
		"usage": reflect.TypeFor[manifests.Usage](), "use": reflect.TypeFor[manifests.UseRecord](), "fetch": reflect.TypeFor[manifests.FetchRecord](),
		"statement": reflect.TypeFor[manifests.Contribution](), "model": reflect.TypeFor[manifests.Model](), "withdraw": reflect.TypeFor[manifests.Withdraw](),
	}
	seen := make(map[string]bool)
	paths := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == "field" {
			continue
		}
		seen[strings.TrimSpace(cells[1])] = true
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1) {
			root, rest, _ := strings.Cut(m[1], ".")
			typ, ok := roots[root]
			if !ok {
				t.Errorf("%s: no document %s", cells[1], m[1])
				continue
			}
			if err := walk(typ, rest); err != "" {
				t.Errorf("%s: %s: %s", cells[1], m[1], err)
			}
			paths++
		}
	}
	for _, f := range complianceFields {
		if !seen[f] {
			t.Errorf("the table has no field %s", f)
		}
	}
	if paths < 80 {
		t.Errorf("only %d paths are checked", paths)
	}
}

// walk follows a path of JSON members, [] for the entries of a list, through a
// type; it says what is not there.
func walk(typ reflect.Type, path string) string {
	if path == "" {
		return ""
	}
	name, rest, _ := strings.Cut(path, ".")
	name, list := strings.CutSuffix(name, "[]")
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return "nothing is in " + typ.String()
	}
	for _, f := range reflect.VisibleFields(typ) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag != name {
			continue
		}
		next := f.Type
		for next.Kind() == reflect.Pointer {
			next = next.Elem()
		}
		if list {
			if next.Kind() != reflect.Slice {
				return name + " is no list"
			}
			next = next.Elem()
		} else if next.Kind() == reflect.Slice && rest != "" {
			return name + " is a list"
		}
		return walk(next, rest)
	}
	return "no member " + name + " in " + typ.String()
}
