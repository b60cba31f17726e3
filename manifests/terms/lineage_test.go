package terms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// A world is versions by id.
type world map[string]*terms.Version

func (w world) get(_ context.Context, id string) (*terms.Version, error) {
	if v := w[id]; v != nil {
		return v, nil
	}
	return nil, fault.New(fault.NotFound, "no %s", id)
}

func licensed(expr string, links ...terms.Link) *terms.Version {
	return &terms.Version{Work: terms.Work{Terms: &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: expr}}}, Links: links}
}

func TestUpstream(t *testing.T) {
	pool := rawCID("pool").String()
	pooled := &terms.Version{Links: []terms.Link{{ID: "a", Rel: "mergedFrom", Edge: true}, {ID: pool, Edge: true}}}
	pooled.Terms = document(t, "share-pool")
	w := world{
		"mix":        licensed("MIT", terms.Link{ID: "a", Rel: "derivedFrom", Edge: true}, terms.Link{ID: "b", Rel: "subsetOf"}, terms.Link{ID: "held-out", Rel: "deduplicatedAgainst"}, terms.Link{ID: "old", Rel: "obsoletes"}),
		"a":          licensed("MIT", terms.Link{ID: "c", Rel: "derivedFrom", Edge: true}, terms.Link{ID: "d", Rel: "derivedFrom", Edge: true}),
		"b":          licensed("MIT", terms.Link{ID: "d", Rel: "derivedFrom"}),
		"c":          licensed("MIT"),
		"d":          licensed("MIT", terms.Link{ID: "mix", Rel: "mirrors"}), // a log has no circle; the walk ends all the same
		"pooled":     pooled,
		pool:         licensed("MIT"),
		"model":      licensed("MIT", terms.Link{ID: "c", Edge: true}),
		"elsewhere":  {External: []string{"https://example.org"}},
		"incomplete": licensed("MIT", terms.Link{ID: "gone", Rel: "derivedFrom"}),
	}
	for roots, want := range map[string]string{
		"mix":       "a:paid b c:paid d mix:root",
		"a":         "a:root b c:paid d mix",
		"a b":       "a:root b:root c:paid d mix",
		"pooled":    "a:paid b c:paid d mix pooled:root",
		"model":     "c:paid model:root",
		"model c":   "c:root model:root",
		"":          "",
		"elsewhere": "elsewhere:root",
	} {
		works, external, err := terms.Upstream(t.Context(), strings.Fields(roots), w.get)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range works {
			text := x.ID
			if !x.Upstream {
				text += ":root"
			}
			if x.RatePpm != nil {
				text += ":paid"
			}
			got = append(got, text)
		}
		wanted := strings.Fields(want)
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("upstream of %s: %v, want %v", roots, got, wanted)
		}
		if (len(external) > 0) != (roots == "elsewhere") {
			t.Errorf("%s: external %v", roots, external)
		}
	}
	if _, _, err := terms.Upstream(t.Context(), []string{"incomplete"}, w.get); !errors.Is(err, fault.NotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	long := func(_ context.Context, id string) (*terms.Version, error) {
		return licensed("MIT", terms.Link{ID: id + "x", Rel: "derivedFrom"}), nil
	}
	if _, _, err := terms.Upstream(t.Context(), []string{"x"}, long); fault.Of(err) != fault.TooLarge {
		t.Errorf("without end: %v", err)
	}
}

// What lies outside counts where something of it is in the version, and has a limit.
func TestExternal(t *testing.T) {
	v := licensed("MIT")
	v.Declare([]terms.Declared{
		{Rel: "collectedFrom", Other: "https://a.example"}, {Rel: "deduplicatedAgainst", Other: "https://b.example"}, {Rel: "obsoletes", Other: "https://c.example"},
	}, nil)
	if !slices.Equal(v.External, []string{"https://a.example"}) {
		t.Errorf("%v", v.External)
	}
	many := func(_ context.Context, id string) (*terms.Version, error) {
		v := licensed("MIT")
		if n, _ := strconv.Atoi(id); n < 100 {
			v.Links = []terms.Link{{ID: fmt.Sprint(n + 1), Rel: "derivedFrom"}}
		}
		v.External = make([]string, 1000)
		return v, nil
	}
	if _, _, err := terms.Upstream(t.Context(), []string{"0"}, many); fault.Of(err) != fault.TooLarge {
		t.Errorf("many sources outside: %v", err)
	}
	if _, list, err := terms.Upstream(t.Context(), []string{"60"}, many); err != nil || len(list) != 41_000 {
		t.Errorf("%d, %v", len(list), err)
	}
}

// A document that many works have is read once, and counted for each of them: so much
// is judged and answered. Reasons do not repeat what obligations list.
func TestDocumentsAreBounded(t *testing.T) {
	d := &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: "MIT"}}
	for i := range 100 {
		p := terms.Prohibition{}
		for j := range 100 {
			p.Purpose = append(p.Purpose, fmt.Sprintf("purpose-%d-%d", i, j))
		}
		d.Prohibits = append(d.Prohibits, p)
	}
	b, err := terms.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	reads, works := 0, 0
	docs := &terms.Documents{Read: func(context.Context, cid.Cid) ([]byte, error) { reads++; return b, nil }}
	for ; err == nil; works++ {
		_, err = docs.Terms(t.Context(), cjson.JSONCID(b))
	}
	if want := terms.MaxDocuments/len(b) + 1; fault.Of(err) != fault.TooLarge || reads != 1 || works != want {
		t.Errorf("%d works of %d bytes, want %d, read %d times: %v", works, len(b), want, reads, err)
	}
	x, err := terms.Decide(terms.Question{Use: terms.UseTrain, At: now}, terms.Work{ID: "w", Terms: d})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range x.Works[0].Reasons {
		if len(r.Why) > 500 {
			t.Fatalf("a reason of %d bytes: %.300s", len(r.Why), r.Why)
		}
	}
	if len(x.Obligations[0].Values) != 100 {
		t.Errorf("the obligation has %d purposes", len(x.Obligations[0].Values))
	}
}

// What is upstream does not depend on the order in which it is named, and more
// roots have no less upstream.
func TestUpstreamProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := make(world)
		n := rapid.IntRange(1, 8).Draw(r, "versions")
		for i := range n {
			v := licensed("MIT")
			for j := range i {
				if rapid.IntRange(0, 2).Draw(r, "link") == 0 {
					v.Links = append(v.Links, terms.Link{ID: fmt.Sprint(j), Rel: rapid.SampledFrom([]string{"derivedFrom", "deduplicatedAgainst", ""}).Draw(r, "rel"), Edge: rapid.Bool().Draw(r, "edge")})
				}
			}
			w[fmt.Sprint(i)] = v
		}
		roots := rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, n-1), func(i int) string { return fmt.Sprint(i) }), 1, n, rapid.ID).Draw(r, "roots")
		read := func(roots []string) (map[string]string, []byte) {
			works, _, err := terms.Upstream(t.Context(), roots, w.get)
			if err != nil {
				r.Fatal(err)
			}
			out := make(map[string]string)
			for _, x := range works {
				out[x.ID] = fmt.Sprint(x.Upstream, x.RatePpm != nil)
			}
			_, b := decide(r, terms.Question{Use: terms.UseTrain, At: now}, works)
			return out, b
		}
		all, b := read(roots)
		if _, again := read(rapid.Permutation(roots).Draw(r, "order")); !bytes.Equal(b, again) {
			r.Fatalf("%s\n%s", b, again)
		}
		fewer, _ := read(roots[1:])
		for id := range fewer {
			if all[id] == "" {
				r.Fatalf("%s is upstream of %v, and not of %v", id, roots[1:], roots)
			}
		}
	})
}

func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		child, rel, source string
		want               string // verdict and rule, "" for none
	}{
		{"CC-BY-4.0", "derivedFrom", "CC-BY-4.0", ""},
		{"CC-BY-4.0", "derivedFrom", "CC0-1.0", ""},
		{"CC-BY-SA-4.0", "derivedFrom", "CC-BY-4.0", ""},
		{"CC0-1.0", "derivedFrom", "CC-BY-4.0", "deny 7"},
		{"MIT", "subsetOf", "CC-BY-4.0", "deny 7"},
		{"CDLA-Permissive-2.0 OR CC-BY-4.0", "subsetOf", "CC-BY-4.0", "deny 7"},
		{"CDLA-Permissive-2.0 AND CC-BY-4.0", "subsetOf", "CC-BY-4.0", ""},
		{"@attribution-kept", "subsetOf", "CC-BY-4.0", ""},
		{"LicenseRef-mine", "subsetOf", "CC-BY-4.0", "review 7"},
		{"LicenseRef-mine", "derivedFrom", "CC0-1.0", ""},
		{"LicenseRef-mine", "derivedFrom", "CC-BY-NC-4.0", "review 7"},
		// What is sold beside a base that is not for commerce is commercial.
		{"@nc-granted", "derivedFrom", "CC-BY-NC-4.0", "deny 3"},
		{"@nc-granted", "trainedOn", "CC-BY-NC-4.0", "deny 3"},
		{"@paid-free-nc", "derivedFrom", "CC-BY-NC-4.0", "deny 3"},
		{"@ch", "derivedFrom", "CC-BY-NC-4.0", "deny 3"},
		{"@reserved-nc", "derivedFrom", "CC-BY-NC-4.0", "review 7"},
		{"@attribution-kept", "derivedFrom", "CC-BY-NC-4.0", "deny 3"},
		// What no licence carries must be asked on.
		{"CC-BY-4.0", "derivedFrom", "LicenseRef-hf-openrail", "deny 7"},
		{"CC-BY-4.0 OR LicenseRef-hf-openrail", "derivedFrom", "LicenseRef-hf-openrail", "deny 7"},
		{"LicenseRef-hf-bigcode-openrail-m", "derivedFrom", "LicenseRef-hf-openrail", ""},
		{"@military", "derivedFrom", "LicenseRef-hf-openrail", "review 7"},
		{"CC-BY-4.0", "derivedFrom", "@military", "deny 7"},
		{"@military", "derivedFrom", "@military", ""},
		{"@no-military-training", "derivedFrom", "@military", "deny 7"},
		// A grant or a restriction beside a share-alike licence is not that licence.
		{"@sa-freed", "derivedFrom", "CC-BY-SA-4.0", "deny 6"},
		{"@sa-military", "derivedFrom", "CC-BY-SA-4.0", "review 6"},
		{"CC-BY-4.0", "derivedFrom", "CC-BY-SA-4.0", "deny 6"},
		{"CC-BY-SA-4.0", "derivedFrom", "CC-BY-SA-3.0", ""},
		{"CC-BY-SA-4.0 OR MIT", "derivedFrom", "CC-BY-SA-4.0", "deny 6"},
		{"GPL-3.0-only", "derivedFrom", "GPL-2.0-or-later", "deny 6"},
		{"CC-BY-4.0", "derivedFrom", "CC-BY-NC-4.0", "deny 3"},
		{"CC-BY-NC-4.0", "derivedFrom", "CC-BY-NC-4.0", ""},
		{"CC-BY-NC-SA-4.0", "derivedFrom", "CC-BY-NC-SA-3.0", ""},
		{"CC-BY-NC-SA-4.0", "derivedFrom", "CC-BY-SA-4.0", "deny 6"},
		{"CC-BY-4.0", "filteredFrom", "CC-BY-ND-4.0", "deny 4"},
		{"CC-BY-4.0", "mirrors", "CC-BY-ND-4.0", ""},
		{"CC-BY-4.0", "trainedOn", "CC-BY-ND-4.0", "review 4"},
		{"CC-BY-4.0", "trainedOn", "CC-BY-SA-4.0", ""},
		{"CC-BY-4.0", "trainedOn", "@no-train", "deny 1"},
		{"CC-BY-NC-4.0", "trainedOn", "CC-BY-NC-4.0", ""},
		{"MIT", "trainedOn", "CC-BY-NC-4.0", "deny 3"},
		{"CC-BY-4.0", "syntheticFrom", "LicenseRef-hf-llama3", "review 5"},
		{"CC-BY-4.0", "derivedFrom", "-", "deny 5"},
		{"CC-BY-4.0", "derivedFrom", "LicenseRef-hf-other", "deny 5"},
		{"CC0-1.0", "deduplicatedAgainst", "LicenseRef-hf-other", ""},
		{"CC0-1.0", "obsoletes", "CC-BY-4.0", ""},
		{"CC-BY-4.0", "derivedFrom", "CC-BY-4.0!withdrawn", "review 12"},
	} {
		child, source := work(t, "child", c.child), work(t, "source", c.source)
		got, err := terms.DefaultTable().Contradictions(now, child.Terms, child.TermsCID.String(), terms.Source{Work: source, Rel: c.rel})
		if err != nil {
			t.Fatal(err)
		}
		if (c.want == "") != (len(got) == 0) || c.want != "" && !slices.ContainsFunc(got, func(r terms.Reason) bool { return fmt.Sprint(r.Verdict, " ", r.Rule) == c.want }) {
			t.Errorf("%s %s %s: %+v, want %q", c.child, c.rel, c.source, got, c.want)
		}
	}
	own := work(t, "child", "@own-sa")
	if got, err := terms.DefaultTable().Contradictions(now, own.Terms, own.TermsCID.String(), terms.Source{Work: own, Rel: "derivedFrom"}); err != nil || len(got) > 0 {
		t.Errorf("the same share-alike terms: %+v, %v", got, err)
	}
}

// Notices are golden; the texts of strangers cannot break out of them.
func TestAttribute(t *testing.T) {
	works := mixture(t, "@military ; CC-BY-SA-4.0 OR MIT ; LicenseRef-cairn-terms-1 ; @attribution-kept ; -")
	works[0].Name = "ana/<script>alert(1)</script>|`x`\n# y@1.0.0"
	d := *works[3].Terms
	d.Title, d.Licensor = "Labels", []terms.Licensor{{ID: key, Name: "Ada [L.](http://evil)\x1b[31m"}}
	works[3].Terms = &d
	var all []*terms.Decision
	for _, use := range []string{terms.UseTrain, terms.UseRAG} {
		d, err := terms.Decide(terms.Question{Use: use, At: now}, append(works[:2:2], works[3:]...)...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	for form, file := range map[string]string{terms.NoticeText: "notice.txt", terms.NoticeMarkdown: "notice.md", terms.NoticeSPDX: "notice.spdx.json"} {
		b, err := terms.DefaultTable().Attribute(form, works, all...)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(works)
		again, err := terms.DefaultTable().Attribute(form, works, all...)
		slices.Reverse(works)
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%s differs in another order: %v", form, err)
		}
		// The table's CID changes with every fact in it; the rest is golden.
		b = bytes.ReplaceAll(b, []byte(terms.DefaultTable().CID().String()), []byte("TABLE"))
		if form == terms.NoticeSPDX {
			var doc map[string]any
			if err := json.Unmarshal(b, &doc); err != nil {
				t.Fatal(err)
			}
			doc["documentNamespace"] = "NAMESPACE"
			b, _ = json.MarshalIndent(doc, "", "  ")
			b = append(b, '\n')
		}
		name := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(want, b) {
			t.Errorf("%s is not as in %s: %v\n%s", form, file, err, b)
		}
		if !strings.Contains(string(b), terms.NotLegalAdvice) || strings.ContainsRune(string(b), 0x1b) {
			t.Errorf("%s: %s", form, b)
		}
	}
	if _, err := terms.DefaultTable().Attribute("pdf", works, all...); fault.Of(err) != fault.Invalid {
		t.Errorf("pdf: %v", err)
	}
}

func TestExplain(t *testing.T) {
	d := document(t, "ch")
	x, err := terms.DefaultTable().Explain(d, cjson.CID{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Uses) != 18 || len(x.Licenses) != 1 || x.Notice != terms.NotLegalAdvice {
		t.Errorf("%+v", x)
	}
	for _, u := range x.Uses {
		want := terms.Deny
		if u.Use == terms.UseTrain {
			want = terms.Obligations
		}
		if u.Verdict != want || len(u.Reasons) == 0 {
			t.Errorf("%+v, want %s", u, want)
		}
	}
	x, err = terms.DefaultTable().Explain(&terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: "MIT AND LicenseRef-x"}}, cjson.CID{}, now)
	if err != nil || !slices.Equal(x.Unknown, []string{"LicenseRef-x"}) {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestTemplates(t *testing.T) {
	list := terms.Templates()
	if len(list) < 8 {
		t.Errorf("%d templates", len(list))
	}
	for _, x := range list {
		got, err := terms.LookUpTemplate(x.Name)
		if err != nil || !bytes.Equal(got.YAML, x.YAML) || x.Says == "" || !bytes.Contains(x.YAML, []byte("Not legal advice")) {
			t.Errorf("%s: %v", x.Name, err)
		}
	}
	if _, err := terms.LookUpTemplate("cc-byy"); fault.Of(err) != fault.NotFound || fault.Hint(err) != "is cc-by meant?" {
		t.Errorf("%v, hint %q", err, fault.Hint(err))
	}
	if _, ok := terms.Text(terms.OwnLicense); !ok {
		t.Error("no text")
	}
	if _, ok := terms.Text("LicenseRef-x"); ok {
		t.Error("a text of what is not cairn's")
	}
}

func BenchmarkDecide(b *testing.B) {
	works := make([]terms.Work, terms.MaxWorks)
	ids := []string{"CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "MIT OR GPL-3.0-only", "CC-BY-NC-4.0"}
	for i := range works {
		works[i] = terms.Work{ID: fmt.Sprint("w", i), Terms: &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: ids[i%len(ids)]}}}
	}
	for b.Loop() {
		if _, err := terms.Decide(terms.Question{Use: terms.UseDerive, At: now}, works...); err != nil {
			b.Fatal(err)
		}
	}
}
