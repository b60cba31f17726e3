package hub_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/hub"
	"github.com/cairn-registry/cairn/registry/index"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	var answer error
	var withdrawn sign.KeyID
	h := newHome(t, func(o *hub.Options) {
		o.Access = func(_ context.Context, d index.Dataset) error {
			if d.Publisher == withdrawn {
				return fault.New(fault.Gone, "withdrawn by entry 9")
			}
			return answer
		}
		o.Croissant = func(context.Context, string, index.Dataset) ([]byte, error) {
			return []byte(`{"@type":"sc:Dataset"}`), nil
		}
		o.Signals = func(h http.Header, d index.Dataset) { h.Set("Tdm-Reservation", "1") }
	})
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather})
	id := owner("ada") + "/w"
	bytes := []string{"/datasets/" + id + "/resolve/main/page.html", "/datasets/" + id + "/raw/main/none", "/api/datasets/" + id + "/tree/main"}
	about := []string{"/api/datasets/" + id, "/api/datasets/" + id + "/refs", "/api/datasets/" + id + "/croissant", "/api/datasets/" + id + "/commits/main"}
	if a := h.get(bytes[0]); a.header.Get("Tdm-Reservation") != "1" {
		t.Errorf("signals: %v", a.header)
	}
	answer = fault.New(fault.Denied, "accept the terms first")
	for _, p := range bytes {
		if a := h.get(p); a.status != 403 || a.header.Get("X-Error-Code") != "GatedRepo" || strings.Contains(string(a.body), "script") {
			t.Errorf("gated, %s: %v %v", p, a, a.header)
		}
	}
	for _, p := range about {
		if a := h.get(p); a.status != 200 {
			t.Errorf("gated, %s: %v", p, a)
		}
	}
	answer = fault.New(fault.Gone, "withdrawn by entry 7")
	for _, p := range append(bytes, about...) {
		var body struct{ Error string }
		a := h.get(p)
		if a.status != 403 || a.header.Get("X-Error-Message") != "Access to this resource is disabled." || a.header.Get("X-Error-Code") != "" {
			t.Errorf("withdrawn, %s: %v %v", p, a, a.header)
		}
		a.status = 200
		if a.into(t, &body); body.Error != "Access to this resource is disabled." {
			t.Errorf("withdrawn, %s: %s", p, a.body)
		}
	}
	// What one publisher withdrew another still offers.
	answer = nil
	var d index.Dataset
	h.add(version{key: "ben", name: "w", version: "1.0.0", files: weather})
	if err := h.reg.View(func(s *index.Snapshot) (err error) { d, err = s.ByName(foldtest.ID("ben"), "w"); return err }); err != nil {
		t.Fatal(err)
	}
	withdrawn = foldtest.ID("ben")
	if a := h.get("/datasets/cairn/" + d.Root.String() + "/resolve/main/page.html"); a.status != 200 || a.header.Get("X-Repo-Commit") == hub.Sha(d.Statement.Cid) {
		t.Errorf("offered by another: %v %v", a, a.header)
	}
	if a := h.get("/datasets/cairn/" + d.Statement.String() + "/resolve/main/page.html"); a.status != 403 {
		t.Errorf("withdrawn: %v", a)
	}
	answer = fault.New(fault.Gone, "withdrawn by entry 7")
	var list []any
	if h.get("/api/datasets").into(t, &list); len(list) != 0 {
		t.Errorf("a withdrawn dataset is found: %v", list)
	}
}
