package terms_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// Every identifier of the table is that of the SPDX list, or one's own, and the
// table says where its facts come from.
func TestTable(t *testing.T) {
	table := terms.DefaultTable()
	list := table.Licenses()
	if len(list) < 40 {
		t.Errorf("%d licences", len(list))
	}
	kinds := make(map[string]int)
	for _, l := range list {
		kinds[l.Kind]++
		for _, id := range []string{l.ID, l.Output} {
			if id == "" {
				continue
			}
			if normal, _, err := terms.ParseExpression(id); err != nil || normal != id {
				t.Errorf("%s: %q, %v", id, normal, err)
			}
			if _, ok := table.License(strings.ToUpper(id)); !ok {
				t.Errorf("%s is not in the table", id)
			}
		}
		if terms.Deprecated(l.ID) {
			t.Errorf("%s is deprecated", l.ID)
		}
		if !strings.HasPrefix(l.Source, "http") {
			t.Errorf("%s: source %q", l.ID, l.Source)
		}
		for _, h := range l.HF {
			if got := table.FromHF(h); got != l.ID {
				t.Errorf("FromHF(%s) = %s, want %s", h, got, l.ID)
			}
		}
	}
	if len(kinds) != 4 {
		t.Errorf("kinds %v", kinds)
	}
	if cid := cjson.JSONCID(table.Bytes()); !cid.Equals(table.CID().Cid) {
		t.Errorf("the CID %s of the bytes is not %s", cid, table.CID())
	}
}

func TestFromHF(t *testing.T) {
	for id, want := range map[string]string{
		"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-4.0": "CC-BY-4.0", "odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0", "c-uda": "C-UDA-1.0",
		"cdla-permissive-2.0": "CDLA-Permissive-2.0", "openrail": "LicenseRef-hf-openrail", "llama3.1": "LicenseRef-hf-llama3.1", "gemma": "LicenseRef-hf-gemma", "gfdl": "LicenseRef-hf-gfdl",
		"unknown": "LicenseRef-hf-unknown", "other": "LicenseRef-hf-other", "Apache-2.0": "Apache-2.0", "postgresql": "PostgreSQL",
		"llama9": "LicenseRef-hf-llama9", "a licence/é": "LicenseRef-hf-a-licence---", "": "LicenseRef-hf-none", "or": "LicenseRef-hf-or",
	} {
		got := terms.DefaultTable().FromHF(id)
		if got != want {
			t.Errorf("FromHF(%q) = %q, want %q", id, got, want)
		}
		if _, _, err := terms.ParseExpression(got); err != nil {
			t.Error(err)
		}
	}
}

func tableBytes(t testing.TB) []byte {
	b, err := os.ReadFile("licenses.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseTableIsStrict(t *testing.T) {
	whole := string(tableBytes(t))
	for name, c := range map[string][2]string{
		"unknown member":  {`"kind": "data"`, `"kind": "data", "colour": "red"`},
		"missing facet":   {`"attribution": true, `, ``},
		"twice":           {`"id": "CC-BY-3.0"`, `"id": "cc-by-4.0"`},
		"hub id twice":    {`"hf": ["cc-by-3.0"]`, `"hf": ["cc-by-4.0"]`},
		"kind":            {`"kind": "data"`, `"kind": "song"`},
		"no source":       {`"source": "https://creativecommons.org/licenses/by/4.0/legalcode"`, `"source": ""`},
		"no licence":      {`"id": "MIT"`, `"id": "MIT OR ISC"`},
		"family output":   {`"output": "CC-BY-SA-4.0"`, `"output": "CC-BY-SA-3.0"`},
		"no such family":  {`"into": ["cc-by-sa"]`, `"into": ["cc-by"]`},
		"use":             {`"uses": ["evaluate"`, `"uses": ["reading"`},
		"explicit false":  {`"kind": "data"`, `"kind": "data", "unknown": false`},
		"schema":          {`cairn.licenses/1`, `cairn.licenses/2`},
		"wrong type":      {`"attribution": true`, `"attribution": "yes"`},
		"case of a name":  {`"$schema"`, `"$Schema"`},
		"two values":      {`{`, `{}{`},
		"output alone":    {`"family": "cc-by", `, `"family": "cc-by", "output": "CC-BY-4.0", `},
		"family no token": {`"family": "cc-by", `, `"family": "cc by", `},
	} {
		changed := strings.Replace(whole, c[0], c[1], 1)
		if changed == whole {
			t.Fatalf("%s: nothing to change", name)
		}
		if _, err := terms.ParseTable([]byte(changed)); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := terms.ParseTable(make([]byte, terms.MaxTable+1)); fault.Of(err) != fault.TooLarge {
		t.Errorf("more than the limit: %v", err)
	}
	// The layout changes nothing, a fact does.
	same, err := terms.ParseTable(bytes.ReplaceAll(tableBytes(t), []byte("\n"), []byte("\n\t")))
	if err != nil || same.CID() != terms.DefaultTable().CID() {
		t.Errorf("in another layout: %v", err)
	}
	other, err := terms.ParseTable([]byte(strings.Replace(whole, "Credit in the model card.", "Credit.", 1)))
	if err != nil || other.CID() == terms.DefaultTable().CID() {
		t.Errorf("with another note: %v", err)
	}
}

// A table that is edited decides by what it says.
func TestEditedTable(t *testing.T) {
	edited, err := terms.ParseTable([]byte(strings.Replace(string(tableBytes(t)), `"id": "MIT", "kind": "code", "family": "mit", "attribution": false`, `"id": "MIT", "kind": "code", "family": "mit", "attribution": null`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := edited.Decide(terms.Question{Use: terms.UseTrain, At: now}, work(t, "w", "MIT"))
	if err != nil || d.Verdict != terms.Obligations || d.Table != edited.CID() {
		t.Errorf("%+v, %v", d, err)
	}
	l, _ := edited.License("MIT")
	if !slices.Contains(l.Facets(), "A?") {
		t.Errorf("facets %v", l.Facets())
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add([]byte(`{"$schema":"cairn.licenses/1","licenses":[{"id":"X-1.0","kind":"data","family":"x","attribution":null,"shareAlike":true,"nonCommercial":false,"noDerivatives":false,"notice":true,"databaseRight":true,"useRestrictions":false,"into":["x"],"source":"https://x"}]}`))
	f.Add([]byte(`{"$schema":"cairn.licenses/1","licenses":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := terms.ParseTable(b)
		if err != nil {
			if c := fault.Of(err); c != fault.Invalid && c != fault.TooLarge {
				t.Fatalf("code %s of %v", c, err)
			}
			return
		}
		again, err := terms.ParseTable(table.Bytes())
		if err != nil || again.CID() != table.CID() {
			t.Fatalf("%s reads back with %v", b, err)
		}
		for _, l := range table.Licenses() {
			w := terms.Work{ID: "w", Terms: &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: l.ID}}}
			if _, err := table.Decide(terms.Question{Use: terms.UseDerive, At: now}, w); err != nil {
				t.Fatal(err)
			}
		}
	})
}
