package registry_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// derive registers a dataset under a licence, from others.
func (h *home) derive(publisher, name, license string, from ...cid.Cid) (*registry.Submitted, error) {
	h.t.Helper()
	doc, err := terms.Minimal(license)
	if err != nil {
		h.t.Fatal(err)
	}
	c := cjson.JSONCID(doc)
	h.record(c, doc)
	d := h.put(publisher, name, "1.0.0", map[string]string{"a.csv": name + license}, func(d *dataset) {
		d.Terms, d.manifest.Terms = cjson.CID{Cid: c}, cjson.Link{Cid: c}
		d.Dataset.License = license
		for _, f := range from {
			d.manifest.Lineage = append(d.manifest.Lineage, manifests.Lineage{Rel: manifests.DerivedFrom, Target: manifests.Target{Statement: cjson.CID{Cid: f}}})
		}
	})
	return h.reg.Submit(h.t.Context(), d.seal(h.t, publisher))
}

// The door looks at the terms of what a dataset comes from, as the operator says.
func TestTermsAtTheDoor(t *testing.T) {
	h := newHome(t)
	ok := func(s *registry.Submitted, err error) *registry.Submitted {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	sa := ok(h.derive("ana", "sa", "CC-BY-SA-4.0")).Statement
	nd := ok(h.derive("ana", "nd", "CC-BY-ND-4.0")).Statement
	if s := ok(h.derive("ben", "kept", "CC-BY-SA-4.0", sa)); len(s.Warnings) > 0 {
		t.Errorf("the same licence: %v", s.Warnings)
	}
	if s := ok(h.derive("ben", "loosened", "CC-BY-4.0", sa)); len(s.Warnings) != 1 || !strings.HasPrefix(s.Warnings[0], "rule 6") || !strings.Contains(s.Warnings[0], sa.String()) {
		t.Errorf("a share-alike source under CC-BY: %v", s.Warnings)
	}
	if s := ok(h.derive("ana", "own", "CC-BY-4.0", sa)); len(s.Warnings) > 0 {
		t.Errorf("own work under other terms: %v", s.Warnings)
	}
	// Behind one's own work stands that of others.
	kept := ok(h.derive("ana", "borrowed", "CC-BY-SA-4.0", ok(h.derive("eve", "foreign", "CC-BY-SA-4.0")).Statement)).Statement
	if s := ok(h.derive("ana", "laundered", "MIT", kept)); len(s.Warnings) == 0 {
		t.Error("others' work behind own work is not looked at")
	}

	h.cfg.TermsPolicy = registry.TermsRefuse
	h.reopen(nil)
	size := h.reg.Status().Size
	if _, err := h.derive("ben", "filtered", "CC-BY-ND-4.0", nd); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "rule 4") {
		t.Errorf("what a source forbids: %v", err)
	}
	if h.reg.Status().Size != size {
		t.Error("what is refused is in the log")
	}
	ok(h.derive("ben", "kept-too", "CC-BY-SA-4.0", sa))

	h.cfg.TermsPolicy = registry.TermsOff
	h.reopen(nil)
	if s := ok(h.derive("ben", "filtered", "CC-BY-ND-4.0", nd)); len(s.Warnings) > 0 {
		t.Errorf("with nobody looking: %v", s.Warnings)
	}
	h.close()
	h.openStore()
	h.cfg.TermsPolicy = "perhaps"
	if _, err := registry.Open(t.Context(), h.cfg); fault.Of(err) != fault.Invalid {
		t.Errorf("an unknown policy: %v", err)
	}
}

func (h *home) serve() *client.Client {
	mux := http.NewServeMux()
	api.New(h.reg, "test", nil).Register(mux)
	srv := httptest.NewServer(mux)
	h.t.Cleanup(srv.Close)
	return client.New(srv.URL, nil)
}

// What the registry answers about a mixture is what the function says of the
// works that lie behind it.
func TestTermsOverHTTP(t *testing.T) {
	h := newHome(t)
	must := func(s *registry.Submitted, err error) cid.Cid {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s.Statement
	}
	by := must(h.derive("ana", "by", "CC-BY-4.0"))
	nc := must(h.derive("eve", "nc", "CC-BY-NC-4.0"))
	mix := must(h.derive("ben", "mix", "CC-BY-4.0", by, nc))
	c := h.serve()

	doc, err := terms.Minimal("CC-BY-4.0")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.Terms(t.Context(), cjson.JSONCID(doc)); err != nil || string(b) != string(doc) {
		t.Errorf("terms: %s, %v", b, err)
	}
	if b, err := c.Terms(t.Context(), terms.DefaultTable().CID().Cid); err != nil || string(b) != string(terms.DefaultTable().Bytes()) {
		t.Errorf("the licence table: %v", err)
	}
	st, err := c.Statement(t.Context(), mix)
	if err != nil {
		t.Fatal(err)
	}
	manifest := st.Dataset.Manifest.Cid
	for what, id := range map[string]cid.Cid{"a manifest": manifest, "a statement": mix, "nothing": cjson.JSONCID([]byte("{}"))} {
		if _, err := c.Terms(t.Context(), id); fault.Of(err) != fault.NotFound {
			t.Errorf("%s as terms: %v", what, err)
		}
	}

	ask := wire.TermsCheck{Works: []cjson.CID{{Cid: mix}}, Uses: []string{terms.UseTrain, terms.UseCopy}, Commercial: true, At: "2026-11-26T12:00:00Z"}
	got, err := c.CheckTerms(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if got.Verdict != terms.Deny || len(got.Decisions) != 2 || len(got.Decisions[0].Works) != 3 || got.Notice != terms.NotLegalAdvice || got.Size != h.reg.Status().Size {
		t.Errorf("%+v", got)
	}
	works, _, _, err := h.reg.Mixture(t.Context(), []cid.Cid{mix}, true)
	if err != nil {
		t.Fatal(err)
	}
	want, err := terms.Decide(terms.Question{Use: terms.UseTrain, Commercial: true, At: ask.At}, works...)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := want.Encode()
	if y, _ := got.Decisions[0].Encode(); string(x) != string(y) {
		t.Errorf("the registry says %s, the function %s", y, x)
	}
	if !slices.ContainsFunc(want.Works, func(w terms.WorkVerdict) bool { return w.ID == nc.String() && w.Upstream && w.Verdict == terms.Deny }) {
		t.Errorf("%s", x)
	}
	ask.Direct = true
	if got, err := c.CheckTerms(t.Context(), ask); err != nil || got.Verdict != terms.Obligations || len(got.Decisions[0].Works) != 1 {
		t.Errorf("the work alone: %+v, %v", got, err)
	}
	for name, bad := range map[string]wire.TermsCheck{
		"no works":  {Uses: ask.Uses},
		"no uses":   {Works: ask.Works},
		"use":       {Works: ask.Works, Uses: []string{"read"}},
		"time":      {Works: ask.Works, Uses: ask.Uses, At: "today"},
		"many":      {Works: make([]cjson.CID, wire.MaxMixture+1), Uses: ask.Uses},
		"many uses": {Works: ask.Works, Uses: slices.Repeat([]string{terms.UseTrain}, wire.MaxTermsUses+1)},
	} {
		if name == "many" {
			for i := range bad.Works {
				bad.Works[i] = cjson.CID{Cid: mix}
			}
		}
		if _, err := c.CheckTerms(t.Context(), bad); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	ask.Works = []cjson.CID{{Cid: cjson.RawCID([]byte("nobody"))}}
	if _, err := c.CheckTerms(t.Context(), ask); fault.Of(err) != fault.NotFound {
		t.Errorf("an unknown statement: %v", err)
	}
	ask.Works = []cjson.CID{{Cid: mix}, {Cid: mix}, {Cid: by}}
	if got, err := c.CheckTerms(t.Context(), ask); err != nil || len(got.Decisions[0].Works) != 2 {
		t.Errorf("a work twice: %+v, %v", got, err)
	}
}

// A member that is not known would make an answer milder than the question.
func TestTermsCheckIsStrict(t *testing.T) {
	h := newHome(t)
	mux := http.NewServeMux()
	api.New(h.reg, "test", nil).Register(mux)
	for _, body := range []string{`{"works":["` + cjson.RawCID(nil).String() + `"],"uses":["train"],"comercial":true}`, `{`, `[]`, `null`} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/terms/check", strings.NewReader(body)))
		b, _ := io.ReadAll(w.Body)
		if w.Code != http.StatusBadRequest || !json.Valid(b) {
			t.Errorf("%s: %d %s", body, w.Code, b)
		}
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/terms/check", strings.NewReader(strings.Repeat(" ", wire.MaxTermsCheck+1))))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large question: %d", w.Code)
	}
}

// A model is trained on what its edges lead to.
func TestModelTermsAtTheDoor(t *testing.T) {
	h := newHome(t)
	nc, err := h.derive("ana", "nc", "CC-BY-NC-4.0")
	if err != nil {
		t.Fatal(err)
	}
	for license, want := range map[string]string{"MIT": "rule 3", "CC-BY-NC-4.0": ""} {
		doc, err := terms.Minimal(license)
		if err != nil {
			t.Fatal(err)
		}
		c := cjson.JSONCID(doc)
		h.record(c, doc)
		id := foldtest.ID("lab")
		m := &manifests.Model{
			Common: common(t), Publisher: id, Model: manifests.ModelName{Name: strings.ToLower(strings.ReplaceAll(license, ".", "-")), Version: "1.0.0"},
			Terms: cjson.CID{Cid: c}, Contributors: []manifests.Share{{ID: id, Weight: "1"}}, Total: "1",
			Edges: []manifests.Edge{{Statement: cjson.CID{Cid: nc.Statement}, Weight: "1"}}, SelfWeight: "999999", EdgeTotal: "1000000",
		}
		s, err := h.reg.Submit(t.Context(), seal(t, manifests.NewModel(m, strings.Repeat("ab", 32)), "lab"))
		if err != nil {
			t.Fatal(err)
		}
		if s.Verdict != registry.Accepted || (want == "") != (len(s.Warnings) == 0) || want != "" && !strings.HasPrefix(s.Warnings[0], want) {
			t.Errorf("a model under %s: %s, %v", license, s.Verdict, s.Warnings)
		}
	}
}

// A model comes from what its runs read, whether it pays for that or not; a version
// that is withdrawn or erased counts as withdrawn.
func TestModelOfRuns(t *testing.T) {
	h := newHome(t)
	nc, err := h.derive("ana", "nc", "CC-BY-NC-4.0")
	if err != nil {
		t.Fatal(err)
	}
	id := foldtest.ID("lab")
	submit := func(s *manifests.Statement, signer string) *registry.Submitted {
		t.Helper()
		out, err := h.reg.Submit(t.Context(), seal(t, s, signer))
		if err != nil || out.Verdict != registry.Accepted {
			t.Fatalf("%+v, %v", out, err)
		}
		return out
	}
	run := submit(manifests.New(&manifests.Usage{
		Common: common(t), Run: "AAAAAAAAAAAAAAAAAAAAAQ", Type: manifests.UsageTraining, Trainer: id, Lock: cjson.CID{Cid: cjson.RawCID([]byte("lock"))},
		Inputs: []manifests.Input{{Statement: cjson.CID{Cid: nc.Statement}, Units: "1", Unit: "record", EpochsPpm: 1_000_000, Terms: h.termsOf(nc.Statement)}},
	}), "lab").Statement
	doc, err := terms.Minimal("MIT")
	if err != nil {
		t.Fatal(err)
	}
	h.record(cjson.JSONCID(doc), doc)
	model := submit(manifests.NewModel(&manifests.Model{
		Common: common(t), Publisher: id, Model: manifests.ModelName{Name: "lm", Version: "1.0.0"}, Terms: cjson.CID{Cid: cjson.JSONCID(doc)},
		Contributors: []manifests.Share{{ID: id, Weight: "1"}}, Total: "1", Usages: []cjson.CID{{Cid: run}}, SelfWeight: "1", EdgeTotal: "1",
	}, strings.Repeat("ab", 32)), "lab")
	if len(model.Warnings) != 1 || !strings.HasPrefix(model.Warnings[0], "rule 3") {
		t.Errorf("an MIT model of CC-BY-NC data: %v", model.Warnings)
	}
	works := func() map[string]terms.Work {
		t.Helper()
		list, _, _, err := h.reg.Mixture(t.Context(), []cid.Cid{model.Statement}, true)
		if err != nil {
			t.Fatal(err)
		}
		out := make(map[string]terms.Work)
		for _, w := range list {
			out[w.ID] = w
		}
		return out
	}
	if w, ok := works()[nc.Statement.String()]; !ok || !w.Upstream || w.Withdrawn {
		t.Errorf("upstream of the model: %+v", works())
	}
	submit(manifests.New(&manifests.Withdraw{Common: common(t), Party: foldtest.ID("ana"), Statement: cjson.CID{Cid: nc.Statement}}), "ana")
	if w := works()[nc.Statement.String()]; !w.Withdrawn {
		t.Errorf("withdrawn: %+v", w)
	}
	// What is derived from the lab's own model comes from what that was trained on.
	s, err := h.derive("lab", "out", "MIT", model.Statement)
	if err != nil || len(s.Warnings) == 0 {
		t.Errorf("behind the own model: %v, %v", s, err)
	}
}

func (h *home) termsOf(statement cid.Cid) (out cjson.CID) {
	h.t.Helper()
	err := h.reg.View(func(s *index.Snapshot) error {
		d, err := s.Version(statement)
		out = d.Terms
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// However much the manifests of a graph declare, an answer holds so much of it.
func TestLineageLinksAreBounded(t *testing.T) {
	h := newHome(t)
	var parents []cid.Cid
	for i := range 14 {
		d := h.put("ana", fmt.Sprintf("d%d", i), "1.0.0", map[string]string{"a": fmt.Sprint(i)}, func(d *dataset) {
			for j := range 1000 {
				d.manifest.Lineage = append(d.manifest.Lineage, manifests.Lineage{Rel: manifests.CollectedFrom, Target: manifests.Target{URL: fmt.Sprintf("https://a.example/%d/%d", i, j)}})
			}
		})
		out, err := h.reg.Submit(t.Context(), d.seal(t, "ana"))
		if err != nil {
			t.Fatal(err)
		}
		parents = append(parents, out.Statement)
	}
	top, err := h.derive("ana", "top", "CC0-1.0", parents...)
	if err != nil {
		t.Fatal(err)
	}
	g, err := h.serve().Graph(t.Context(), top.Statement, "up", 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(g.Links); n < index.MaxLineageLinks || n > index.MaxLineageLinks+manifests.MaxReferences || !g.Truncated {
		t.Errorf("%d links, truncated %t", n, g.Truncated)
	}
}
