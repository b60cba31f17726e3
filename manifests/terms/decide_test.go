package terms_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

const now = "2026-11-26T12:00:00Z"

// mixed are the terms that testdata/mixtures.txt names.
var mixed = map[string]string{
	"no-train":             `"base":{"spdx":"CC-BY-4.0"},"prohibits":[{"use":["train"]}]`,
	"no-train-but-granted": `"base":{"spdx":"CC0-1.0"},"prohibits":[{"use":["train"]}],"grants":[{"use":["train"],"commercial":true}]`,
	"nc-granted":           `"base":{"spdx":"CC-BY-NC-4.0"},"grants":[{"use":["train"],"commercial":true}]`,
	"other-granted":        `"base":{"spdx":"LicenseRef-hf-other"},"grants":[{"use":["train"],"commercial":true}]`,
	"nd-granted":           `"base":{"spdx":"CC-BY-ND-4.0"},"grants":[{"use":["redistribute-derived"],"commercial":true}],"conditions":{"notice":true,"attribution":{"required":false}}`,
	"reserved-nc":          `"base":{"spdx":"LicenseRef-cairn-terms-1"},"grants":[{"use":["train","redistribute-derived"],"commercial":false}]`,
	"military":             `"base":{"spdx":"CC-BY-4.0"},"prohibits":[{"purpose":["military"]}]`,
	"ch":                   `"base":{"spdx":"LicenseRef-cairn-terms-1"},"grants":[{"use":["train"],"commercial":true,"territory":["CH"]}]`,
	"accept":               `"base":{"spdx":"CC0-1.0"},"conditions":{"accept":"use"}`,
	"attribution-waived":   `"base":{"spdx":"CC-BY-4.0"},"grants":[{"use":["train"],"commercial":true}],"conditions":{"attribution":{"required":false}}`,
	"attribution-kept":     `"base":{"spdx":"CC-BY-4.0"},"grants":[{"use":["train"],"commercial":true}],"conditions":{"attribution":{"required":true,"text":"by A"}}`,
	"notice":               `"base":{"spdx":"CC0-1.0"},"conditions":{"notice":true}`,
	"by-granted-nc":        `"base":{"spdx":"CC-BY-4.0"},"grants":[{"use":["train"],"commercial":false}]`,
	"no-ai":                `"base":{"spdx":"CC-BY-4.0"},"signals":{"aipref":{"trainAi":"n"}}`,
	"ai-welcome":           `"base":{"spdx":"CC-BY-4.0"},"signals":{"aipref":{"trainAi":"y"},"tdmReservation":0}`,
	"tdm":                  `"base":{"spdx":"CC-BY-4.0"},"signals":{"tdmReservation":1}`,
	"tdm-granted":          `"base":{"spdx":"CC-BY-4.0"},"signals":{"tdmReservation":1},"grants":[{"use":["train"],"commercial":true}],"conditions":{"attribution":{"required":true}}`,
	"expired":              `"base":{"spdx":"CC0-1.0"},"validUntil":"2026-11-01T00:00:00Z"`,
	"not-yet":              `"base":{"spdx":"CC0-1.0"},"validFrom":"2026-12-01T00:00:00Z"`,
	"in-force":             `"base":{"spdx":"CC-BY-4.0"},"validFrom":"2026-11-26T12:00:00Z","validUntil":"2026-11-26T12:00:00Z"`,
	"own-sa":               `"base":{"spdx":"LicenseRef-cairn-terms-1"},"grants":[{"use":["redistribute-derived","publish-weights-open","publish-weights-closed"],"commercial":true}],"conditions":{"shareAlike":{"derivedData":true,"weights":true}}`,
	"own-sa-2":             `"title":"2","base":{"spdx":"LicenseRef-cairn-terms-1"},"grants":[{"use":["redistribute-derived"],"commercial":true}],"conditions":{"shareAlike":{"derivedData":true,"weights":false}}`,
	"nc-own-sa":            `"base":{"spdx":"CC-BY-NC-4.0"},"conditions":{"shareAlike":{"derivedData":true,"weights":false}}`,
	"nc-own-sa-sold":       `"base":{"spdx":"CC-BY-NC-4.0"},"grants":[{"use":["train"],"commercial":true}],"conditions":{"shareAlike":{"derivedData":true,"weights":false}}`,
	"military-own-sa":      `"base":{"spdx":"LicenseRef-hf-openrail"},"prohibits":[{"purpose":["military"]}],"conditions":{"shareAlike":{"derivedData":true,"weights":false}}`,
	"no-military-training": `"base":{"spdx":"CC-BY-4.0"},"prohibits":[{"use":["train"],"purpose":["military"]}]`,
	"sa-freed":             `"base":{"spdx":"CC-BY-SA-4.0"},"grants":[{"use":["redistribute-derived"],"commercial":true}]`,
	"sa-military":          `"base":{"spdx":"CC-BY-SA-4.0"},"prohibits":[{"purpose":["military"]}]`,
	"share-5":              share(`"ratePpm":50000,"stacking":"sum","toDerived":false`),
	"share-capped":         share(`"ratePpm":60000,"stacking":"sum","toDerived":false,"capPpm":100000`),
	"share-weighted":       share(`"ratePpm":50000,"stacking":"weighted","toDerived":false`),
	"share-pool":           share(`"ratePpm":0,"stacking":"pool","toDerived":false,"poolPpm":50000,"pool":"` + rawCID("pool").String() + `"`),
	"share-zero":           share(`"ratePpm":0,"stacking":"sum","toDerived":false`),
	"share-derived":        share(`"ratePpm":50000,"stacking":"sum","toDerived":true`),
	"paid-by":              `"base":{"spdx":"CC-BY-4.0"},` + payment,
	"paid-cc0":             `"base":{"spdx":"CC0-1.0"},` + payment,
	"paid-or":              `"base":{"spdx":"LicenseRef-cairn-terms-1 OR CC-BY-4.0"},"grants":[{"use":["train"],"commercial":true}],` + payment,
	"paid-nd":              `"base":{"spdx":"CC-BY-ND-4.0"},"grants":[{"use":["train","rag"],"commercial":true}],` + payment,
	"paid-nc":              `"base":{"spdx":"CC-BY-NC-4.0"},"grants":[{"use":["train"],"commercial":true}],` + payment,
	"paid-free-nc":         `"base":{"spdx":"CC-BY-NC-4.0 OR LicenseRef-cairn-terms-1"},"grants":[{"use":["train"],"commercial":true}],` + payment,
	"paid-nc-sa":           `"base":{"spdx":"CC-BY-NC-SA-4.0"},"grants":[{"use":["train"],"commercial":true}],` + payment,
	"paid-unknown":         `"base":{"spdx":"LicenseRef-mine"},"grants":[{"use":["train"],"commercial":true}],` + payment,
	"sa-closed":            `"base":{"spdx":"CC-BY-SA-4.0"},"prohibits":[{"use":["redistribute-derived"]}]`,
	"revocable":            `"base":{"spdx":"CC0-1.0"},"revocable":true`,
	"delete":               `"base":{"spdx":"CC0-1.0"},"conditions":{"deleteOnWithdrawal":{"required":true,"scope":"future-training"}}`,
}

const payment = `"payment":{"model":"revenue-share","ratePpm":50000,"stacking":"sum","toDerived":false}`

func share(rest string) string {
	return `"base":{"spdx":"LicenseRef-cairn-terms-1"},"grants":[{"use":["train","evaluate","redistribute-verbatim","redistribute-derived"],"commercial":true}],"payment":{"model":"revenue-share",` + rest + `}`
}

func document(t testing.TB, name string) *terms.Terms {
	t.Helper()
	text, ok := mixed[name]
	if !ok {
		t.Fatalf("there is no document %s", name)
	}
	b, err := cjson.Canonicalize([]byte(`{"$schema":"cairn.terms/1",` + text + `}`))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	d, err := terms.Decode(b)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// work makes a work of a word of mixtures.txt.
func work(t testing.TB, id, text string) terms.Work {
	t.Helper()
	name, flags, _ := strings.Cut(text, "!")
	w := terms.Work{ID: id, Withdrawn: flags == "withdrawn"}
	if flags == "accepted" {
		w.Acceptance = terms.Accepted
	}
	switch {
	case name == "-":
	case name[0] == '@':
		w.Terms = document(t, name[1:])
	default:
		normal, _, err := terms.ParseExpression(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Terms = &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: normal}}
	}
	if w.Terms != nil {
		b, err := terms.Encode(w.Terms)
		if err != nil {
			t.Fatal(err)
		}
		w.TermsCID = cjson.CID{Cid: cjson.JSONCID(b)}
	}
	return w
}

func mixture(t testing.TB, text string) (works []terms.Work) {
	for i, word := range strings.Split(text, " ; ") {
		name, n := strings.TrimSpace(word), 1
		if base, times, ok := strings.Cut(name, " x"); ok {
			n, _ = strconv.Atoi(times)
			name = base
		}
		for j := range n {
			works = append(works, work(t, fmt.Sprintf("w%d.%02d", i, j), name))
		}
	}
	return works
}

func rows(t *testing.T, name string) []string {
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

// shows reports whether a rule stands among the reasons for a verdict.
func shows(d *terms.Decision, rule int) bool {
	var all []terms.Reason
	all = append(all, d.Findings...)
	for _, w := range d.Works {
		if w.Verdict == d.Verdict {
			all = append(all, w.Reasons...)
		}
	}
	return slices.ContainsFunc(all, func(r terms.Reason) bool { return r.Rule == rule && r.Verdict == d.Verdict })
}

func TestDecideTables(t *testing.T) {
	cases := 0
	words := map[byte]terms.Verdict{'a': terms.Allow, 'o': terms.Obligations, 'r': terms.Review, 'd': terms.Deny}
	for _, line := range rows(t, "licenses.txt") {
		f := strings.Fields(line)
		if len(f) != 11 {
			t.Fatalf("%s: %d fields", line, len(f))
		}
		for i, use := range []string{terms.UseTrain, terms.UseFinetune, terms.UseEvaluate, terms.UseRAG, terms.UseDistill, terms.UseCopy, terms.UseDerive, terms.UseWeightsOpen, terms.UseWeightsClosed} {
			cases++
			d, err := terms.Decide(terms.Question{Use: use, Commercial: f[1] == "c", At: now}, work(t, "w", f[0]))
			if err != nil {
				t.Fatal(err)
			}
			rule, _ := strconv.Atoi(f[2+i][1:])
			if d.Verdict != words[f[2+i][0]] || !shows(d, rule) {
				t.Errorf("%s, %s %s: %s, want %s: %+v", f[0], use, f[1], d.Verdict, f[2+i], d.Works)
			}
		}
	}
	for _, line := range rows(t, "mixtures.txt") {
		cases++
		f := strings.Split(line, " | ")
		asked, want := strings.Fields(f[1]), strings.Fields(f[2])
		q := terms.Question{Use: asked[0], Commercial: asked[1] == "c", At: now}
		if len(asked) == 3 {
			q.Purposes = asked[2:]
		} else if len(asked) == 4 {
			q.Territory = asked[3]
		}
		d, err := terms.Decide(q, mixture(t, f[0])...)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rule, _ := strconv.Atoi(want[1])
		if string(d.Verdict) != want[0] || !shows(d, rule) {
			t.Errorf("%s: %s, %+v %+v", line, d.Verdict, d.Works, d.Findings)
		}
		switch {
		case len(f) == 4 && d.Output == nil, len(f) == 3 && d.Output != nil:
			t.Errorf("%s: output %+v", line, d.Output)
		case len(f) == 4:
			if got := d.Output.Level + " " + strings.Fields(d.Output.License)[0]; got != f[3] {
				t.Errorf("%s: output %s", line, got)
			}
		}
	}
	t.Logf("%d cases", cases)
	if cases < 150 {
		t.Errorf("only %d cases", cases)
	}
}

func drawQuestion(r *rapid.T) terms.Question {
	q := terms.Question{Use: rapid.SampledFrom(terms.Uses()).Draw(r, "use"), Commercial: rapid.Bool().Draw(r, "commercial use"), At: now}
	if rapid.Bool().Draw(r, "with purpose") {
		q.Purposes = []string{rapid.SampledFrom([]string{"military", "health"}).Draw(r, "purpose")}
	}
	q.Territory = rapid.SampledFrom([]string{"", "", "CH", "DE"}).Draw(r, "place")
	return q
}

func drawWorks(r *rapid.T, least, most int) []terms.Work {
	var works []terms.Work
	for i := range rapid.IntRange(least, most).Draw(r, "works") {
		w := terms.Work{ID: fmt.Sprintf("w%d", i), Withdrawn: rapid.IntRange(0, 6).Draw(r, "withdrawn") == 0,
			Acceptance: rapid.SampledFrom([]string{"", terms.Accepted, terms.NotAccepted}).Draw(r, "acceptance"),
			SharePpm:   rapid.SampledFrom([]int64{0, 200_000}).Draw(r, "share")}
		if rapid.IntRange(0, 8).Draw(r, "with terms") > 0 {
			w.Terms = drawTerms(r)
			b, err := terms.Encode(w.Terms)
			if err != nil {
				r.Fatalf("%v", err)
			}
			w.TermsCID = cjson.CID{Cid: cjson.JSONCID(b)}
		}
		if rapid.IntRange(0, 5).Draw(r, "with rate") == 0 {
			w.RatePpm = new(rapid.Int64Range(0, 500_000).Draw(r, "effective rate"))
		}
		works = append(works, w)
	}
	return works
}

func decide(r *rapid.T, q terms.Question, works []terms.Work) (*terms.Decision, []byte) {
	d, err := terms.Decide(q, works...)
	if err != nil {
		r.Fatal(err)
	}
	b, err := d.Encode()
	if err != nil {
		r.Fatal(err)
	}
	return d, b
}

// Another work never makes a verdict milder; the order of works and the time of
// day change no byte; the verdict is the worst of its parts and each is named.
func TestDecideProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		q, works := drawQuestion(r), drawWorks(r, 1, 6)
		d, b := decide(r, q, works)
		if _, again := decide(r, q, rapid.Permutation(works).Draw(r, "order")); !bytes.Equal(again, b) {
			r.Fatalf("%s\nand, in another order,\n%s", b, again)
		}
		fewer, _ := decide(r, q, works[:len(works)-1])
		if fewer.Verdict.Rank() > d.Verdict.Rank() {
			r.Fatalf("%s without the last work, %s with it: %s", fewer.Verdict, d.Verdict, b)
		}
		worst := terms.Allow
		for _, w := range d.Works {
			worst = worst.Worse(w.Verdict)
			if len(w.Reasons) == 0 || slices.ContainsFunc(w.Reasons, func(x terms.Reason) bool { return x.Verdict != w.Verdict }) {
				r.Fatalf("%s has the reasons %+v", w.ID, w.Reasons)
			}
		}
		for _, f := range d.Findings {
			worst = worst.Worse(f.Verdict)
		}
		if worst != d.Verdict || d.Verdict == terms.Allow && slices.ContainsFunc(d.Obligations, func(o terms.Obligation) bool { return !o.Met }) {
			r.Fatalf("the verdict of %s", b)
		}
		if d.Verdict == terms.Obligations && len(d.Obligations) == 0 {
			r.Fatalf("obligations without one: %s", b)
		}
		// Commercial use is never judged more mildly.
		q.Commercial = false
		if free, _ := decide(r, q, works); free.Verdict.Rank() > d.Verdict.Rank() {
			r.Fatalf("%s where it is commercial, %s where it is not", d.Verdict, free.Verdict)
		}
	})
}

// What is not known is never passed on, and a grant for one use changes nothing
// for another.
func TestUnknownAndGrants(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		q, works := drawQuestion(r), drawWorks(r, 0, 4)
		unknown := terms.Work{ID: "unknown"}
		if id := rapid.SampledFrom([]string{"", "LicenseRef-nobody", "LicenseRef-hf-other", "Beerware"}).Draw(r, "unknown"); id != "" {
			unknown.Terms = drawTerms(r)
			unknown.Terms.Base.SPDX = id
			unknown.Terms.Grants = slices.DeleteFunc(unknown.Terms.Grants, func(g terms.Grant) bool {
				return slices.Contains(g.Use, terms.UseCopy) || slices.Contains(g.Use, terms.UseDerive)
			})
		}
		for _, use := range []string{terms.UseCopy, terms.UseDerive} {
			q := q
			q.Use = use
			if d, b := decide(r, q, append(slices.Clone(works), unknown)); d.Verdict != terms.Deny {
				r.Fatalf("%s", b)
			}
		}
		if len(works) == 0 || works[0].Terms == nil {
			return
		}
		d, before := decide(r, q, works)
		t := *works[0].Terms
		t.Grants = append(slices.Clone(t.Grants), terms.Grant{Use: slices.DeleteFunc(terms.Uses(), func(u string) bool { return u == q.Use }), Commercial: true})
		works[0].Terms = &t // under the CID of the terms without the grant, which no rule reads
		if again, after := decide(r, q, works); !bytes.Equal(before, after) {
			r.Fatalf("grants for other uses made %s of %s", again.Verdict, d.Verdict)
		}
	})
}

// The canonical form of a decision reads back, and repeats.
func TestDecisionEncodes(t *testing.T) {
	works := mixture(t, "@share-5 ; CC-BY-SA-4.0 ; @military ; -")
	d, err := terms.Decide(terms.Question{Use: terms.UseTrain, Commercial: true, At: now}, works...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if d, err := terms.Decide(d.Question, works...); err != nil {
			t.Fatal(err)
		} else if again, _ := d.Encode(); !bytes.Equal(again, b) {
			t.Fatalf("%s\nand, once more,\n%s", b, again)
		}
		var back terms.Decision
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		again, err := back.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%s reads back as %s, %v", b, again, err)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/decision.json", b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The table's CID changes with every fact in it; the rest is golden.
	want, err := os.ReadFile("testdata/decision.json")
	if err != nil {
		t.Fatal(err)
	}
	var old terms.Decision
	if err := json.Unmarshal(want, &old); err != nil {
		t.Fatal(err)
	}
	old.Table = d.Table
	if want, _ := old.Encode(); !bytes.Equal(want, b) {
		t.Errorf("%s, want %s", b, want)
	}
	if d.Notice != terms.NotLegalAdvice || d.Table != terms.DefaultTable().CID() {
		t.Errorf("%s", b)
	}
	for _, q := range []terms.Question{{Use: "read", At: now}, {Use: terms.UseTrain}, {Use: terms.UseTrain, At: now, Territory: "here"}, {Use: terms.UseTrain, At: now, Purposes: []string{"a b"}}} {
		if _, err := terms.Decide(q); fault.Of(err) != fault.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
	q := terms.Question{Use: terms.UseTrain, At: now}
	if _, err := terms.Decide(q, works[0], works[0]); fault.Of(err) != fault.Invalid {
		t.Errorf("twice: %v", err)
	}
	if _, err := terms.Decide(q, make([]terms.Work, terms.MaxWorks+1)...); fault.Of(err) != fault.TooLarge {
		t.Errorf("too many: %v", err)
	}
}
