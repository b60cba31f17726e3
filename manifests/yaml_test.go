package manifests_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestFromYAMLProblems(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		want []string
	}{
		"unknown members": {"title: x\nlicence: MIT\nfiles:\n  - path: a\n    colour: red\n", []string{
			"licence: is not a member known here (line 2)", "files[0].colour: is not a member known here (line 5)"}},
		"nearly known":     {"keyword: [a]\ncite_as: x\n", []string{"keyword: is not a member known here; is keywords meant? (line 1)", "cite_as: is not a member known here; is citeAs meant? (line 2)"}},
		"text for a list":  {"keywords: iris\n", []string{"keywords: must be a list, is text (line 1)"}},
		"number for text":  {"title: 12\n", []string{"title: must be text, is a number: write it in quotes (line 1)"}},
		"a version":        {"version: 1.0\n", []string{"version: is a number with a fraction or exponent", "quotes (line 1)"}},
		"bool for text":    {"title: true\n", []string{"title: must be text, is true or false: write it in quotes (line 1)"}},
		"text for number":  {"stats: {records: many}\n", []string{"stats.records: must be a number, is text (line 1)"}},
		"text for bool":    {"rights: {patent: maybe}\n", []string{"rights.patent: must be true or false, is text (line 1)"}},
		"list for object":  {"stats: [1]\n", []string{"stats: must be an object, is a list (line 1)"}},
		"octal":            {"stats: {records: 0x10}\n", []string{"stats.records: must be a whole number"}},
		"underscores":      {"stats: {records: 1_000}\n", []string{"stats.records: must be a whole number"}},
		"too big":          {"stats: {records: 9007199254740992}\n", []string{"stats.records: must be a whole number of at most 2^53-1"}},
		"fraction":         {"stats: {records: 1.5}\n", []string{"stats.records: is a number with a fraction"}},
		"bad CID":          {"lineage: [{rel: derivedFrom, target: {statement: nonsense}}]\n", []string{"lineage[0].target.statement: ", "(line 1)"}},
		"repeated":         {"title: a\ntitle: b\n", []string{"title: is there twice (line 2)"}},
		"alias":            {"title: &a x\ndescription: *a\n", []string{"title: anchors (&) and aliases (*) are not read (line 1)", "description: anchors"}},
		"merge":            {"stats:\n  <<: {records: 1}\n", []string{"stats: has a key that is not plain text"}},
		"tag":              {"title: !!binary aGFsbG8=\n", []string{`title: the tag "!!binary" is not read`}},
		"own tag":          {"stats: !thing {records: 1}\n", []string{`stats: the tag "!thing" is not read`}},
		"complex key":      {"? [a]\n: b\n", []string{"document: has a key that is not plain text (line 1)"}},
		"two documents":    {"title: a\n---\ntitle: b\n", []string{"one document"}},
		"broken":           {"title: [a\n", []string{"line "}},
		"another document": {"- a\n", []string{"document: must be an object, is a list (line 1)"}},
		"another schema":   {"$schema: cairn.manifest/2\n", []string{"$schema: must be cairn.manifest/1 or absent"}},
		"null in a list":   {"keywords: [a, ~]\n", []string{"keywords[1]: is null"}},
		"ext not plain":    {"ext: {a: 1.5}\n", []string{"ext.a: is a number with a fraction"}},
		"ext with a link":  {"ext: {/: x, b: 1}\n", []string{"ext: "}},
		"deep":             {"ext: " + strings.Repeat("{a: ", 70) + "1" + strings.Repeat("}", 70), []string{"is nested deeper than 64"}},
	} {
		_, err := manifests.FromYAML([]byte(c.yaml))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantProblem(t, err, c.want...)
	}
}

func TestFromYAMLTakes(t *testing.T) {
	for _, y := range []string{"", "# nothing\n", "---\n", "~\n", "{}\n", "title: ~\nkeywords: []\nstats: {}\next: {}\n"} {
		m, err := manifests.FromYAML([]byte(y))
		if err != nil || m.Title != "" || m.Keywords != nil || m.Ext != nil {
			t.Errorf("%q: %+v, %v", y, m, err)
		}
	}
	m, err := manifests.FromYAML([]byte("{\"title\": \"JSON \\u00fc\", \"keywords\": [\"a\"],\n\"rights\":{\"trademark\":False}, \"createdAt\": 2026-11-22T08:00:00Z, \"languages\": [no, yes, on], \"stats\": {\"images\": 0}}"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Title != "JSON ü" || *m.Rights.Trademark || m.CreatedAt != "2026-11-22T08:00:00Z" || fmt.Sprint(m.Languages) != "[no yes on]" || *m.Stats.Images != 0 {
		t.Errorf("%+v", m)
	}
}

// What doubles with each line must not be unfolded.
func TestFromYAMLBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range 60 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	if _, err := manifests.FromYAML([]byte(b.String())); fault.Of(err) != fault.Invalid {
		t.Errorf("%v", err)
	}
	if _, err := manifests.FromYAML([]byte("ext: {a: [" + strings.Repeat("1,", 1<<20) + "1]}")); fault.Of(err) != fault.TooLarge {
		t.Errorf("a million values: %v", err)
	}
	if _, err := manifests.FromYAML([]byte(strings.Repeat("[", 100_000))); fault.Of(err) != fault.Invalid {
		t.Errorf("a hundred thousand brackets: %v", err)
	}
}
