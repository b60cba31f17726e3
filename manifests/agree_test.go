package manifests_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// documents makes a statement, a manifest and terms that agree.
func documents(t *testing.T) (*manifests.Statement, *manifests.Manifest, *terms.Terms) {
	t.Helper()
	tm := &terms.Terms{
		Schema: terms.Schema, Base: terms.Base{SPDX: "LicenseRef-own OR CC-BY-NC-4.0"}, Revocable: true,
		Conditions: &terms.Conditions{Accept: "use"},
		Payment:    &terms.Payment{Model: "revenue-share", RatePpm: 50000, Stacking: "weighted", CapPpm: 300000, OnWithdraw: "hold", ToDerived: true},
	}
	tb, err := terms.Encode(tm)
	if err != nil {
		t.Fatal(err)
	}
	m := fullManifest(t)
	m.Terms = cjson.Link{Cid: cjson.JSONCID(tb)}
	c := &manifests.Contribution{
		Common: common(), Publisher: m.Publisher, Terms: cjson.CID(m.Terms), Total: "3", Rules: manifests.RulesOf(tm), Sources: m.Sources(),
		Dataset: manifests.Dataset{
			Name: m.Name, Version: m.Version, Title: m.Title, Bytes: m.Data.Bytes, FileCount: m.Data.FileCount,
			License: tm.Base.SPDX, Keywords: m.Keywords, MediaTypes: m.MediaTypes(),
		},
		Contributors: []manifests.Share{{ID: m.Contributors[0].ID, Weight: "1"}, {ID: m.Contributors[1].ID, Weight: "2"}},
	}
	return manifests.NewContribution(c, m.Data.Root.Cid), m, tm
}

func check(t *testing.T, s *manifests.Statement, m *manifests.Manifest, tm *terms.Terms) error {
	t.Helper()
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	tb, err := terms.Encode(tm)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Predicate.(*manifests.Contribution); !c.Dataset.Manifest.Defined() {
		c.Dataset.Manifest = cjson.CID{Cid: cjson.JSONCID(mb)}
	}
	if _, err := manifests.Encode(s); err != nil {
		t.Fatal(err)
	}
	_, _, err = manifests.Documents(s, mb, tb)
	return err
}

func TestDocumentsAgree(t *testing.T) {
	s, m, tm := documents(t)
	if err := check(t, s, m, tm); err != nil {
		t.Fatal(err)
	}
	if err := manifests.Agree(s.Predicate.(*manifests.Contribution), m, m.Terms.Cid); err != nil {
		t.Error(err)
	}
}

func TestEveryDifferenceIsFound(t *testing.T) {
	for want, change := range map[string]func(*manifests.Statement, *manifests.Contribution, *manifests.Manifest, *terms.Terms){
		"predicate.publisher": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Publisher = edKey(9)
		},
		"predicate.dataset.name": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.Name += "x"
		},
		"predicate.dataset.version": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.Version = "9.0.0"
		},
		"predicate.dataset.title": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.Title = ""
		},
		"predicate.dataset.bytes": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.Bytes++
		},
		"predicate.dataset.fileCount": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.FileCount++
		},
		"predicate.dataset.keywords": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.Keywords = nil
		},
		"predicate.dataset.mediaTypes": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.MediaTypes = nil
		},
		"predicate.dataset.license": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.License = "MIT"
		},
		"predicate.dataset.manifest": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Dataset.Manifest = jsonCID("x")
		},
		"predicate.sources": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			slices.Reverse(c.Sources)
		},
		"predicate.contributors": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Contributors[0].ID = edKey(9)
		},
		"predicate.terms": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Terms = jsonCID("x")
		},
		"terms: names": func(_ *manifests.Statement, _ *manifests.Contribution, _ *manifests.Manifest, tm *terms.Terms) {
			tm.Title = "others"
		},
		"predicate.rules": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Rules.Payment.RatePpm--
		},
		"predicate.rules: differs": func(_ *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			c.Rules = nil
		},
		"subject[0].uri": func(s *manifests.Statement, c *manifests.Contribution, _ *manifests.Manifest, _ *terms.Terms) {
			*s = *manifests.NewContribution(c, cjson.RawCID([]byte("x")))
		},
	} {
		s, m, tm := documents(t)
		change(s, s.Predicate.(*manifests.Contribution), m, tm)
		err := check(t, s, m, tm)
		wantProblem(t, err, want)
	}
	s, _, _ := documents(t)
	if _, _, err := manifests.Documents(s, []byte("{}"), mustTerms(t, "MIT")); fault.Of(err) != fault.Invalid || !strings.HasPrefix(err.Error(), "the manifest: ") {
		t.Errorf("no manifest: %v", err)
	}
}

func TestRulesOf(t *testing.T) {
	if r := manifests.RulesOf(&terms.Terms{Payment: &terms.Payment{Model: "none"}}); r != nil {
		t.Errorf("rules of terms without rules: %+v", r)
	}
}

func TestParseContributor(t *testing.T) {
	id := string(edKey(1))
	for text, want := range map[string]struct {
		c      manifests.Contributor
		weight string
	}{
		"Ada L. <" + id + ">;share=2;role=annotator,translator": {manifests.Contributor{ID: edKey(1), Name: "Ada L.", Roles: []string{"annotator", "translator"}}, "2"},
		id:                       {manifests.Contributor{ID: edKey(1)}, "1"},
		"<" + id + ">":           {manifests.Contributor{ID: edKey(1)}, "1"},
		id + " ; role = cleaner": {manifests.Contributor{ID: edKey(1), Roles: []string{"cleaner"}}, "1"},
		"Ü <" + id + ">;orcid=0000-0002-1825-0097;ror=05dxps055": {manifests.Contributor{ID: edKey(1), Name: "Ü", ORCID: "0000-0002-1825-0097", ROR: "05dxps055"}, "1"},
	} {
		c, weight, err := manifests.ParseContributor(text)
		if err != nil || c.ID != want.c.ID || c.Name != want.c.Name || c.ORCID != want.c.ORCID || c.ROR != want.c.ROR || !slices.Equal(c.Roles, want.c.Roles) || weight != want.weight {
			t.Errorf("%s: %+v, %s, %v", text, c, weight, err)
		}
	}
	for text, want := range map[string]string{
		"":                                "id: is missing",
		"Ada":                             "id: ",
		"Ada <" + id:                      "cannot read the contributor",
		"Ada <" + id + "> x":              "cannot read the contributor",
		id + ";":                          "cannot read the contributor",
		id + ";share":                     "cannot read the contributor",
		id + ";share=":                    "cannot read the contributor",
		id + ";share=0":                   "share: must be greater than 0",
		id + ";share=1.5":                 "share: must be a whole number",
		id + ";share=1;share=2":           "share: is there twice",
		id + ";role=king":                 "roles[0]: is \"king\"",
		id + ";colour=red":                "colour: is not known",
		strings.Repeat("x", 5000):         "at most 4096 bytes",
		"A\x1b[31m <" + id + ">":          "",
		id + ";orcid=0000-0002-1825-0098": "orcid: must be an ORCID iD",
	} {
		_, _, err := manifests.ParseContributor(text)
		if want == "" {
			continue
		}
		wantProblem(t, err, want)
	}
}
