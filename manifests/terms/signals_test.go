package terms_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/terms"
)

func signalling(s *terms.Signals) *terms.Terms {
	return &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: "CC-BY-4.0"}, Signals: s}
}

func TestSignals(t *testing.T) {
	yes := signalling(&terms.Signals{AIPref: &terms.AIPref{TrainAI: "y", Search: "y"}, TDMReservation: new(int64)})
	no := signalling(&terms.Signals{AIPref: &terms.AIPref{TrainAI: "n"}, TDMReservation: new(int64(1)), TDMPolicy: "https://a.example/p"})
	other := signalling(&terms.Signals{TDMReservation: new(int64(1)), TDMPolicy: "https://b.example/p"})
	paid := signalling(&terms.Signals{AIPref: &terms.AIPref{TrainAI: "y"}, RSL: &terms.RSL{Usage: []string{"ai-train", "search"}, Payment: "training"}})
	paid.Payment = &terms.Payment{Model: "revenue-share", RatePpm: 50_000, Stacking: "sum"}
	silent := signalling(nil)
	for name, c := range map[string]struct {
		docs    []*terms.Terms
		headers []terms.Header
		rule    string
		robots  string
		rsl     []string
	}{
		"nothing":       {docs: []*terms.Terms{silent, nil}},
		"yes":           {[]*terms.Terms{yes}, []terms.Header{{"Content-Usage", "train-ai=y, search=y"}, {"tdm-reservation", "0"}}, `{"location":"/x","tdm-reservation":0}`, "Content-Usage: /x train-ai=y, search=y\n", nil},
		"any n wins":    {[]*terms.Terms{yes, no, silent}, []terms.Header{{"Content-Usage", "train-ai=n, search=y"}, {"tdm-reservation", "1"}, {"tdm-policy", "https://a.example/p"}}, `{"location":"/x","tdm-reservation":1,"tdm-policy":"https://a.example/p"}`, "Content-Usage: /x train-ai=n, search=y\n", []string{`<prohibits type="usage">ai-train</prohibits>`}},
		"two policies":  {[]*terms.Terms{no, other}, []terms.Header{{"Content-Usage", "train-ai=n"}, {"tdm-reservation", "1"}, {"tdm-policy", "https://t.example/?a&b"}}, `{"location":"/x","tdm-reservation":1,"tdm-policy":"https://t.example/?a\u0026b"}`, "Content-Usage: /x train-ai=n\n", []string{`<prohibits type="usage">ai-train</prohibits>`}},
		"paid":          {[]*terms.Terms{paid}, []terms.Header{{"Content-Usage", "train-ai=n"}, {"tdm-reservation", "1"}, {"tdm-policy", "https://t.example/?a&b"}}, `{"location":"/x","tdm-reservation":1,"tdm-policy":"https://t.example/?a\u0026b"}`, "Content-Usage: /x train-ai=n\n", []string{`<permits type="usage">ai-train,search</permits>`, `<payment type="training"><custom>https://t.example/?a&amp;b</custom></payment>`}},
		"paid and open": {[]*terms.Terms{paid, no}, []terms.Header{{"Content-Usage", "train-ai=n"}, {"tdm-reservation", "1"}, {"tdm-policy", "https://a.example/p"}}, `{"location":"/x","tdm-reservation":1,"tdm-policy":"https://a.example/p"}`, "Content-Usage: /x train-ai=n\n", []string{`<permits type="usage">search</permits>`, `<prohibits type="usage">ai-train</prohibits>`}},
	} {
		const at = "https://t.example/?a&b"
		a := terms.SignalsOf(c.docs...)
		if got := a.Headers(at); !slices.Equal(got, c.headers) {
			t.Errorf("%s: headers %v, want %v", name, got, c.headers)
		}
		rule, ok := a.TDMRule("/x", at)
		if b, _ := json.Marshal(rule); ok != (c.rule != "") || ok && string(b) != c.rule {
			t.Errorf("%s: tdmrep %s, want %s", name, b, c.rule)
		}
		if got := a.Robots("/x"); got != c.robots {
			t.Errorf("%s: robots %q, want %q", name, got, c.robots)
		}
		doc := a.RSL("https://c.example/<d>", at)
		if (doc == nil) != (c.rsl == nil) {
			t.Errorf("%s: RSL %s", name, doc)
		}
		for _, want := range c.rsl {
			if !strings.Contains(string(doc), want) {
				t.Errorf("%s: RSL %s lacks %s", name, doc, want)
			}
		}
		for d := xml.NewDecoder(strings.NewReader(string(doc))); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v in %s", name, err, doc)
			}
		}
	}
}

// What several documents announce does not depend on their order, and no
// document takes back what another forbids.
func TestSignalsProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		docs := rapid.SliceOfN(rapid.Custom(drawTerms), 0, 5).Draw(r, "docs")
		a := terms.SignalsOf(docs...)
		if b := terms.SignalsOf(rapid.Permutation(docs).Draw(r, "order")...); !reflect.DeepEqual(a, b) {
			r.Fatalf("%+v and, in another order, %+v", a, b)
		}
		more := terms.SignalsOf(append(docs, drawTerms(r))...)
		if a.TrainAI == "n" && more.TrainAI != "n" || a.Search == "n" && more.Search != "n" || a.Reserved > more.Reserved {
			r.Fatalf("%+v became %+v", a, more)
		}
		for _, u := range a.Prohibits {
			if !slices.Contains(more.Prohibits, u) || slices.Contains(more.Permits, u) {
				r.Fatalf("%+v became %+v", a, more)
			}
		}
	})
}

// drawTerms draws a valid document of many kinds.
func drawTerms(r *rapid.T) *terms.Terms {
	yn := rapid.SampledFrom([]string{"", "y", "n"})
	d := &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: drawExpression(r)}}
	if rapid.Bool().Draw(r, "signals") {
		d.Signals = &terms.Signals{}
		if x, y := yn.Draw(r, "train"), yn.Draw(r, "search"); x+y != "" {
			d.Signals.AIPref = &terms.AIPref{TrainAI: x, Search: y}
		}
		if v := rapid.Int64Range(-1, 1).Draw(r, "tdm"); v >= 0 {
			d.Signals.TDMReservation = &v
		}
		d.Signals.TDMPolicy = rapid.SampledFrom([]string{"", "https://a.example/", "https://b.example/"}).Draw(r, "policy")
		if rapid.Bool().Draw(r, "rsl") {
			d.Signals.RSL = &terms.RSL{Usage: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ai-train", "ai-input", "search"}), 1, 3, rapid.ID).Draw(r, "usage"),
				Payment: rapid.SampledFrom([]string{"", "training", "use"}).Draw(r, "rsl payment")}
		}
		if *d.Signals == (terms.Signals{}) {
			d.Signals = nil
		}
	}
	use := rapid.SliceOfNDistinct(rapid.SampledFrom(terms.Uses()), 1, 3, rapid.ID)
	for range rapid.IntRange(0, 2).Draw(r, "grants") {
		g := terms.Grant{Use: use.Draw(r, "granted"), Commercial: rapid.Bool().Draw(r, "commercial")}
		if rapid.Bool().Draw(r, "limited") {
			g.Territory = []string{rapid.SampledFrom([]string{"*", "CH", "DE"}).Draw(r, "territory")}
		}
		d.Grants = append(d.Grants, g)
	}
	for range max(0, rapid.IntRange(-3, 1).Draw(r, "prohibits")) {
		p := terms.Prohibition{Use: use.Draw(r, "prohibited")}
		if rapid.Bool().Draw(r, "by purpose") {
			p = terms.Prohibition{Purpose: []string{"military"}}
		}
		d.Prohibits = append(d.Prohibits, p)
	}
	if rapid.Bool().Draw(r, "conditions") {
		d.Conditions = &terms.Conditions{Accept: rapid.SampledFrom([]string{"", "use", "bytes"}).Draw(r, "accept"), Notice: true}
		if rapid.Bool().Draw(r, "share-alike") {
			d.Conditions.ShareAlike = &terms.ShareAlike{DerivedData: rapid.Bool().Draw(r, "data"), Weights: rapid.Bool().Draw(r, "weights")}
		}
		if rapid.Bool().Draw(r, "attribution") {
			d.Conditions.Attribution = &terms.Attribution{Required: rapid.Bool().Draw(r, "required"), Text: "by A"}
		}
		if rapid.Bool().Draw(r, "delete") {
			d.Conditions.DeleteOnWithdrawal = &terms.DeleteOnWithdrawal{Required: true, Scope: "future-training"}
		}
	}
	if rapid.IntRange(0, 3).Draw(r, "payment") == 0 {
		d.Payment = &terms.Payment{Model: "revenue-share", RatePpm: rapid.Int64Range(0, 400_000).Draw(r, "rate"),
			Stacking: rapid.SampledFrom([]string{"sum", "weighted"}).Draw(r, "stacking"), ToDerived: rapid.Bool().Draw(r, "toDerived"),
			CapPpm: rapid.SampledFrom([]int64{0, 100_000, 900_000}).Draw(r, "cap")}
	}
	if rapid.IntRange(0, 5).Draw(r, "until") == 0 {
		d.ValidUntil = "2026-06-01T00:00:00Z"
	}
	d.Revocable = rapid.Bool().Draw(r, "revocable")
	return d
}

// drawExpression draws a licence expression in normal form.
func drawExpression(r *rapid.T) string {
	id := rapid.SampledFrom([]string{"CC0-1.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0",
		"ODbL-1.0", "CDLA-Permissive-2.0", "C-UDA-1.0", "MIT", "GPL-3.0-only", "LicenseRef-cairn-terms-1", "LicenseRef-hf-other", "LicenseRef-mine", "LicenseRef-hf-openrail", "Beerware"})
	var draw func(depth int) string
	draw = func(depth int) string {
		if depth == 0 || rapid.Bool().Draw(r, "leaf") {
			return id.Draw(r, "id")
		}
		return "(" + draw(depth-1) + rapid.SampledFrom([]string{" OR ", " AND "}).Draw(r, "op") + draw(depth-1) + ")"
	}
	normal, _, err := terms.ParseExpression(draw(2))
	if err != nil {
		r.Fatal(err)
	}
	return normal
}
