package manifests_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// TestGoldenStatements holds the bytes of every kind: what was signed once must
// be made, and read, the same way for ever.
func TestGoldenStatements(t *testing.T) {
	for name, s := range statements(t) {
		b, err := manifests.Encode(s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden(t, name+".statement.json", b)
	}
}

func TestStatementsAreReadForEver(t *testing.T) {
	for name, b := range goldens(t, "*.statement.json") {
		s, err := manifests.Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := manifests.Encode(s)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encoded again to %s, %v", name, again, err)
		}
		if err := s.CheckSubject(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := cjson.Check(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s.Predicate.Kind() != s.Kind || s.Predicate.Base().Registry != origin {
			t.Errorf("%s: kind %s, base %+v", name, s.Kind, s.Predicate.Base())
		}
	}
}

// TestEveryMemberCounts takes each member of each golden statement away, empties
// it, and adds one beside it: none of that may pass, but for taking away what
// is optional.
func TestEveryMemberCounts(t *testing.T) {
	optional := []string{"anchor", "title", "keywords", "mediaTypes", "sources", "supersedes", "agreement", "rules", "attachments",
		"accept", "revocable", "onWithdraw", "payment", "floorPpm", "capPpm", "arbiters", "gatewayKeys", "payeeRecipient", "currencies",
		"handle", "name", "url", "orcid", "ror", "next", "reason", "compromisedSince", "report", "uri", "edges", "selfWeight", "edgeTotal",
		"pool", "poolPpm", "usages", "artifact", "inputs", "private", "params", "code", "repo", "commit", "imageDigest", "entrypoint", "args",
		"retroactive", "attribution", "deductions", "ref", "file", "root", "evidence", "issuer", "share", "fetchers"}
	for name, b := range goldens(t, "*.statement.json") {
		members(t, b, func(path ...any) {
			last, isName := path[len(path)-1].(string)
			// A free object, and effects, which are the fold's to read.
			if !isName || slices.Contains(path, any("params")) && last != "params" || slices.Contains(path, any("effects")) && last != "effects" {
				return
			}
			for what, c := range map[string][]byte{
				"null":    edit(t, b, nil, path...),
				"empty":   edit(t, b, "", path...),
				"no list": edit(t, b, []any{}, path...),
				"nothing": edit(t, b, map[string]any{}, path...),
				"more":    edit(t, b, 1, append(slices.Clone(path[:len(path)-1]), last+"x")...),
				"upper":   edit(t, edit(t, b, remove, path...), "x", append(slices.Clone(path[:len(path)-1]), strings.ToUpper(last)+"")...),
			} {
				if _, err := manifests.Decode(c); err == nil {
					t.Errorf("%s: %v with %s is accepted: %s", name, path, what, c)
				} else if fault.Of(err) != fault.Invalid {
					t.Errorf("%s: %v with %s: code %s", name, path, what, fault.Of(err))
				}
			}
			if _, err := manifests.Decode(edit(t, b, remove, path...)); err == nil && !slices.Contains(optional, last) {
				t.Errorf("%s: without %v is accepted", name, path)
			}
		})
	}
}

// members calls f with the path of every member of every object in doc.
func members(t testing.TB, doc []byte, f func(path ...any)) {
	t.Helper()
	var walk func(v any, path []any)
	walk = func(v any, path []any) {
		switch v := v.(type) {
		case map[string]any:
			for k, m := range v {
				p := append(slices.Clone(path), k)
				f(p...)
				walk(m, p)
			}
		case []any:
			for i, m := range v {
				walk(m, append(slices.Clone(path), i))
			}
		}
	}
	walk(parse(t, doc), nil)
}

func TestDecodeRefusesOtherForms(t *testing.T) {
	b := goldens(t, "contribution-full.statement.json")["contribution-full.statement.json"]
	for name, c := range map[string][]byte{
		"a space":         append([]byte(" "), b...),
		"a line feed":     append(slices.Clone(b), '\n'),
		"cut":             b[:len(b)-1],
		"empty":           {},
		"a list":          []byte("[]"),
		"null":            []byte("null"),
		"repeated member": bytes.Replace(b, []byte(`"_type":`), []byte(`"_type":"x","_type":`), 1),
		"a float":         bytes.Replace(b, []byte(`"bytes":123456789`), []byte(`"bytes":123456789.0`), 1),
		"an exponent":     bytes.Replace(b, []byte(`"bytes":123456789`), []byte(`"bytes":1e8`), 1),
		"big":             bytes.Replace(b, []byte(`"bytes":123456789`), []byte(`"bytes":9007199254740992`), 1),
		"escaped":         bytes.Replace(b, []byte(`"asr"`), []byte(`"\u0061sr"`), 1),
	} {
		if _, err := manifests.Decode(c); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := manifests.Decode(bytes.Repeat([]byte(" "), sign.MaxPayload+1)); fault.Of(err) != fault.TooLarge {
		t.Errorf("a long payload: %v", err)
	}
}

func TestMessagesHavePaths(t *testing.T) {
	b := goldens(t, "contribution-full.statement.json")["contribution-full.statement.json"]
	for _, c := range []struct {
		value any
		path  []any
		want  string
	}{
		{"01", []any{"predicate", "contributors", 0, "weight"}, "predicate.contributors[0].weight: must be a whole number"},
		{"0", []any{"predicate", "contributors", 0, "weight"}, "predicate.contributors[0].weight: must be greater than 0"},
		{"9223372036854775808", []any{"predicate", "contributors", 1, "weight"}, "predicate.contributors[1].weight: must be less than 2^63"},
		{"3", []any{"predicate", "contributors", 0, "weight"}, "predicate.total: is 9223372036854775802, but the weights add up to 9223372036854775803"},
		{"9", []any{"predicate", "contributors", 0, "weight"}, "predicate.total: the weights add up to 2^63 or more"},
		{string(edKey(1)), []any{"predicate", "contributors", 1, "id"}, "predicate.contributors[1].id: is contributors[0] already"},
		{"did:web:example.org", []any{"predicate", "publisher"}, "predicate.publisher: "},
		{"x", []any{"predicate", "colour"}, "predicate.colour: is not a member known here"},
		{nil, []any{"predicate", "supersedes"}, "predicate.supersedes: is null, so it must be absent"},
		{[]any{}, []any{"predicate", "dataset", "keywords"}, "predicate.dataset.keywords: is empty, so it must be absent"},
		{"123", []any{"predicate", "dataset", "bytes"}, "predicate.dataset.bytes: must be a number, is text"},
		{remove, []any{"predicate", "dataset", "bytes"}, "predicate.dataset.bytes: is missing"},
		{remove, []any{"predicate", "terms"}, "predicate.terms: is missing"},
		{"bafy", []any{"predicate", "terms"}, "predicate.terms: "},
		{rawCID("x").String(), []any{"predicate", "terms"}, "predicate.terms: must be the CID of a JSON document (dag-json)"},
		{jsonCID("x").String(), []any{"predicate", "supersedes"}, "predicate.supersedes: must be the CID of a statement (raw)"},
		{remove, []any{"predicate", "supersedes"}, "predicate.agreement: stands only beside supersedes"},
		{"derivedfrom", []any{"predicate", "sources", 0, "rel"}, "predicate.sources[0].rel: unknown relation"},
		{"https://x.org", []any{"predicate", "sources", 0, "url"}, "predicate.sources[0]: must have exactly one of"},
		{"x y", []any{"predicate", "sources", 1, "url"}, "predicate.sources[1].url: must be an absolute URL"},
		{"799999", []any{"predicate", "selfWeight"}, "predicate.edgeTotal: is 1000000, but the weights add up to 999999"},
		{remove, []any{"predicate", "edges"}, `predicate.edgeTotal: without edges`},
		{"Iris", []any{"predicate", "dataset", "name"}, "predicate.dataset.name: a name is made of"},
		{"1.0", []any{"predicate", "dataset", "version"}, "predicate.dataset.version: "},
		{[]any{"text/csv", "application/json"}, []any{"predicate", "dataset", "mediaTypes"}, "predicate.dataset.mediaTypes[1]: the list must be sorted"},
		{[]any{"asr", "asr"}, []any{"predicate", "dataset", "keywords"}, "predicate.dataset.keywords[1]: is there already"},
		{0, []any{"predicate", "dataset", "fileCount"}, "predicate.dataset.bytes: must be 0 where there is no file"},
		{"AAECAwQFBgcICQoLDA0ODx", []any{"predicate", "nonce"}, "predicate.nonce: must be 16 bytes"},
		{"2026-11-22T08:00:00+00:00", []any{"predicate", "issuedAt"}, "predicate.issuedAt: must be an instant"},
		{"2026-02-30T08:00:00Z", []any{"predicate", "issuedAt"}, "predicate.issuedAt: must be an instant"},
		{0, []any{"predicate", "anchor", "size"}, "predicate.anchor.size: must be from 1"},
		{"a b", []any{"predicate", "registry"}, "predicate.registry: must be 1 to 255"},
		{1000001, []any{"predicate", "rules", "payment", "ratePpm"}, "predicate.rules.payment.ratePpm: must be parts per million"},
		{remove, []any{"predicate", "rules", "payment", "pool"}, "predicate.rules.payment.pool: pool and poolPpm stand together"},
		{"deadbeef", []any{"subject", 0, "digest", "sha256"}, "subject[0].digest.sha256: must be 64"},
		{"00", []any{"subject", 0, "digest", "sha1"}, `subject[0].digest: must have "sha256" and nothing else`},
		{"https://x.org", []any{"subject", 0, "uri"}, "subject[0].uri: must be ipfs://"},
		{[]any{}, []any{"subject"}, "subject: "},
		{"https://in-toto.io/Statement/v0.1", []any{"_type"}, "_type: must be https://in-toto.io/Statement/v1"},
		{"no SPDX: \u00e9", []any{"predicate", "dataset", "license"}, "predicate.dataset.license: must be an SPDX expression"},
	} {
		_, err := manifests.Decode(edit(t, b, c.value, c.path...))
		wantProblem(t, err, c.want)
		if fe := (*manifests.FieldError)(nil); !errors.As(err, &fe) || fe.Path == "" {
			t.Errorf("%v: no FieldError in %v", c.path, err)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	s := minimalContribution(t)
	c := s.Predicate.(*manifests.Contribution)
	c.Nonce, c.Dataset.Name, c.Total = "x", "A", "7"
	c.Contributors = append(c.Contributors, manifests.Share{ID: "did:key:nobody", Weight: "1.5"})
	_, err := manifests.Encode(s)
	wantProblem(t, err, "predicate.nonce", "predicate.dataset.name", "predicate.contributors[1].id", "predicate.contributors[1].weight")
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("want 4 problems, got %v", err)
	}

	c.Contributors = make([]manifests.Share, 4000)
	_, err = manifests.Encode(s)
	wantProblem(t, err, "more problems")
	if n := strings.Count(err.Error(), "\n"); n > 110 {
		t.Errorf("%d lines of problems", n)
	}
}

func TestLimits(t *testing.T) {
	s := minimalContribution(t)
	c := s.Predicate.(*manifests.Contribution)
	c.Sources = make([]manifests.Source, manifests.MaxReferences)
	for i := range c.Sources {
		c.Sources[i] = manifests.Source{Rel: manifests.MergedFrom, Statement: rawCID(fmt.Sprint(i))}
	}
	if _, err := manifests.Encode(s); err != nil {
		t.Errorf("%d sources: %v", len(c.Sources), err)
	}
	c.Edges, c.SelfWeight, c.EdgeTotal = []manifests.Edge{{Statement: rawCID("1"), Weight: "1000000"}}, "0", "1000000"
	_, err := manifests.Encode(s)
	wantProblem(t, err, "predicate.sources: edges and sources together may be 1024, are 1025")

	s = minimalContribution(t)
	c = s.Predicate.(*manifests.Contribution)
	c.Contributors = nil
	_, err = manifests.Encode(s)
	wantProblem(t, err, "predicate.contributors: must have 1 to 4096 entries, has 0")
}

// The largest contribution that keeps every limit must fit an envelope.
func TestMostContributorsFit(t *testing.T) {
	s := minimalContribution(t)
	c := s.Predicate.(*manifests.Contribution)
	c.Contributors = nil
	for i := range manifests.MaxContributors {
		c.Contributors = append(c.Contributors, manifests.Share{ID: numbered(i), Weight: "2251799813685247"})
	}
	c.Total = "9223372036854771712"
	b, err := manifests.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manifests.Decode(b); err != nil {
		t.Error(err)
	}
	c.Contributors = append(c.Contributors, manifests.Share{ID: numbered(5000), Weight: "1"})
	_, err = manifests.Encode(s)
	wantProblem(t, err, "must have 1 to 4096 entries, has 4097")
}

func TestCheckSubject(t *testing.T) {
	for name, s := range statements(t) {
		if err := s.CheckSubject(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, change := range map[string]func(*manifests.Subject){
			"name":   func(sub *manifests.Subject) { sub.Name += "x" },
			"digest": func(sub *manifests.Subject) { sub.Digest = map[string]string{"sha256": sha("another")} },
			"uri": func(sub *manifests.Subject) {
				if sub.URI == "" {
					sub.URI = "ipfs://" + rawCID("another").String()
				} else {
					sub.URI = ""
				}
			},
		} {
			if name == "model-minimal" && what == "digest" {
				continue // an artifact that only the subject names
			}
			c := &manifests.Statement{Kind: s.Kind, Subject: slices.Clone(s.Subject), Predicate: s.Predicate}
			change(&c.Subject[0])
			b, err := manifests.Encode(c)
			if err != nil {
				t.Errorf("%s with another %s: %v", name, what, err)
				continue
			}
			if c, err = manifests.Decode(b); err != nil {
				t.Errorf("%s with another %s: %v", name, what, err)
				continue
			}
			if err := c.CheckSubject(); !errors.Is(err, manifests.ErrSubject) || fault.Of(err) != fault.Invalid {
				t.Errorf("%s with another %s: %v", name, what, err)
			}
		}
	}
}

func TestSubjectCID(t *testing.T) {
	all := statements(t)
	for name, want := range map[string]string{
		"contribution-minimal": "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", // the block "hello world"
		"contribution-full":    dirCID(t).String(),
		"registry-minimal":     rawCID(origin).String(),
		"profile-full":         rawCID(string(p256Key(t))).String(),
		"key-first":            rawCID(string(edKey(1))).String(),
		"attestation-full":     rawCID("statement").String(),
	} {
		got, err := all[name].SubjectCID()
		if err != nil || got.String() != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
	if _, err := (&manifests.Statement{}).SubjectCID(); fault.Of(err) != fault.Invalid {
		t.Errorf("without subject: %v", err)
	}
}

func TestSigners(t *testing.T) {
	all := statements(t)
	for name, want := range map[string][2][]sign.KeyID{
		"contribution-full": {{edKey(1)}, {edKey(1), p256Key(t)}},
		"registry-full":     {nil, {edKey(1), edKey(2), p256Key(t)}},
		"profile-full":      {{p256Key(t)}, {p256Key(t)}},
		"key-revoke":        {{edKey(1)}, {edKey(1)}},
		"key-revoke-old":    {{edKey(1)}, {edKey(1)}},
		"key-rotate":        {{edKey(1), edKey(2)}, {edKey(1), edKey(2)}},
		"attestation-full":  {{edKey(5)}, {edKey(5)}},
	} {
		required, allowed := all[name].Signers()
		if !slices.Equal(required, want[0]) || !slices.Equal(allowed, want[1]) {
			t.Errorf("%s: %v, %v", name, required, allowed)
		}
	}
}

func TestUnknownKind(t *testing.T) {
	b := goldens(t, "profile-minimal.statement.json")["profile-minimal.statement.json"]
	for _, predicateType := range []string{manifests.TypeBase + "future/v1", manifests.TypeBase + "profile/v2", "https://slsa.dev/provenance/v1", manifests.TypeBase} {
		_, err := manifests.Decode(edit(t, b, predicateType, "predicateType"))
		var u *manifests.UnknownKindError
		if !errors.Is(err, manifests.ErrUnknownKind) || !errors.As(err, &u) || fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", predicateType, err)
			continue
		}
		if want := strings.TrimPrefix(predicateType, manifests.TypeBase); want != predicateType && string(u.Kind()) != want || want == predicateType && u.Kind() != "" {
			t.Errorf("%s: kind %q", predicateType, u.Kind())
		}
	}
	// What is no statement is not a statement of an unknown kind.
	for _, c := range [][]byte{
		edit(t, edit(t, b, "x", "predicateType"), 1, "more"),
		edit(t, edit(t, b, "x", "predicateType"), remove, "predicate"),
		append([]byte(" "), edit(t, b, "x", "predicateType")...),
	} {
		if _, err := manifests.Decode(c); err == nil || errors.Is(err, manifests.ErrUnknownKind) {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestNewNonce(t *testing.T) {
	a, err := manifests.NewNonce(bytes.NewReader(bytes.Repeat([]byte{0xff}, 16)))
	if err != nil || a != "_____________________w" {
		t.Errorf("NewNonce = %q, %v", a, err)
	}
	b, _ := manifests.NewNonce(rand.Reader)
	c, _ := manifests.NewNonce(rand.Reader)
	if b == c {
		t.Error("two nonces are equal")
	}
	if _, err := manifests.NewNonce(strings.NewReader("short")); err == nil {
		t.Error("a short reader gives a nonce")
	}
}

func TestOtherKinds(t *testing.T) {
	all := statements(t)
	enc := func(name string) []byte {
		b, err := manifests.Encode(all[name])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		doc   string
		value any
		path  []any
		want  string
	}{
		{"registry-full", "other.example", []any{"predicate", "registry"}, "predicate.origin: must equal predicate.registry"},
		{"registry-full", 4, []any{"predicate", "operatorThreshold"}, "predicate.operatorThreshold: is 4, but must be from 1 to 3"},
		{"registry-full", 0, []any{"predicate", "operatorThreshold"}, "predicate.operatorThreshold: is 0, but must be from 1 to 3"},
		{"registry-full", remove, []any{"predicate", "arbiters"}, "predicate.arbiterThreshold: is 1, but must be from 0 to 0"},
		{"registry-full", remove, []any{"predicate", "arbiterThreshold"}, "predicate.arbiterThreshold: is 0, but must be from 1 to 1"},
		{"registry-full", string(edKey(1)), []any{"predicate", "operators", 1}, "predicate.operators[1]: is there already"},
		{"registry-full", "x" + vkey(1), []any{"predicate", "logKeys", 0}, "predicate.logKeys[0]: must be a verifier key"},
		{"registry-full", "age1xyz", []any{"predicate", "payeeRecipient"}, "predicate.payeeRecipient: must be an age recipient"},
		{"registry-full", "2026-13", []any{"predicate", "firstPeriod"}, "predicate.firstPeriod: must be a month"},
		{"registry-full", 2, []any{"predicate", "currencies", 0, "fineDigits"}, "predicate.currencies[0].fineDigits: must be 12"},
		{"registry-full", 19, []any{"predicate", "currencies", 1, "minorDigits"}, "0 <= minorDigits <= fineDigits <= 24 does not hold"},
		{"registry-full", "euro", []any{"predicate", "currencies", 0, "code"}, "predicate.currencies[0].code: must be three capital letters"},
		{"profile-full", "api", []any{"predicate", "handle"}, `the handle "api" is reserved`},
		{"profile-full", "0000-0002-1825-0098", []any{"predicate", "orcid"}, "predicate.orcid: must be an ORCID iD"},
		{"profile-full", "a\nb", []any{"predicate", "name"}, "predicate.name: must be one line"},
		{"key-first", string(edKey(2)), []any{"predicate", "key"}, "predicate.key: must equal identity"},
		{"key-first", "renew", []any{"predicate", "op"}, "predicate.op: is \"renew\", but must be one of first, rotate, revoke"},
		{"key-first", "rotate", []any{"predicate", "op"}, "predicate.key: must not be identity"},
		{"key-rotate", string(edKey(1)), []any{"predicate", "key"}, "predicate.key: must not be identity"},
		{"key-rotate", "x", []any{"predicate", "reason"}, `predicate.reason: stands only with op "revoke"`},
		{"key-rotate", manifests.KeyDigest(edKey(2)), []any{"predicate", "next"}, "predicate.next: must be of another key than this one and the first"},
		{"key-rotate", manifests.KeyDigest(edKey(1)), []any{"predicate", "next"}, "predicate.next: must be of another key than this one and the first"},
		{"key-first", manifests.KeyDigest(edKey(1)), []any{"predicate", "next"}, "predicate.next: must be of another key than this one and the first"},
		{"key-first", "x", []any{"predicate", "reason"}, `predicate.reason: stands only with op "revoke"`},
		{"key-first", 1, []any{"predicate", "compromisedSince"}, `predicate.compromisedSince: stands only with op "revoke"`},
		{"key-revoke", sha("x"), []any{"predicate", "next"}, `predicate.next: stands only with op "first" or "rotate"`},
		{"key-revoke-since", -1, []any{"predicate", "compromisedSince"}, "predicate.compromisedSince: must not be negative"},
		{"attestation-full", "opinion", []any{"predicate", "type"}, "predicate.type: is \"opinion\""},
		{"attestation-full", "fine", []any{"predicate", "result"}, "predicate.result: is \"fine\""},
		{"attestation-full", jsonCID("x").String(), []any{"predicate", "about"}, "predicate.about: must be the CID of a statement"},
	} {
		_, err := manifests.Decode(edit(t, enc(c.doc), c.value, c.path...))
		wantProblem(t, err, c.want)
	}
}
