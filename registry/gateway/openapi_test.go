package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cairn-registry/cairn/registry/access"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/fetches"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/upload"
)

// A document is an OpenAPI document as far as this test reads it.
type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string
		Parameters  []struct{ Name, In string }
	}
	Components struct{ Schemas map[string]any }
}

func describe(t *testing.T, h http.Handler) (doc document, raw []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/openapi.json", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%d, %v: %.200s", w.Code, err, w.Body)
	}
	return doc, w.Body.Bytes()
}

// routesOf are the patterns that a document describes.
func (d document) routes() []string {
	var all []string
	for path, methods := range d.Paths {
		for m := range methods {
			all = append(all, strings.ToUpper(m)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// TestOpenAPIIsWhatIsServed: what is described is what is registered under /v1,
// on either face, and nothing else.
func TestOpenAPIIsWhatIsServed(t *testing.T) {
	h := newHome(t)
	g, err := gateway.New(h.reg, h.store, gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(auth.Options{Policy: auth.Policy{Write: auth.Open}})
	if err != nil {
		t.Fatal(err)
	}
	uploads, err := upload.New(upload.Options{Dir: filepath.Join(t.TempDir(), "uploads"), Store: h.store, Registry: h.reg, Auth: a})
	if err != nil {
		t.Fatal(err)
	}
	defer uploads.Close()
	reader, err := access.New(access.Options{Registry: h.reg, Store: h.store})
	if err != nil {
		t.Fatal(err)
	}
	g.TakeAccess(reader)
	counting, err := fetches.New(fetches.Options{Registry: h.reg, Blocks: h.store.All(), Signer: foldtest.Key("gateway"), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	g.TakeFetches(counting)
	_, reading := g.Patterns()
	readOnly := g.Public(false)
	g.TakeWrites(uploads)
	private, public := g.Patterns()
	if len(public) <= len(reading) {
		t.Fatal("uploads add no routes")
	}
	for _, face := range []struct {
		name     string
		handler  http.Handler
		patterns []string
	}{{"private", g.Private(), private}, {"read-only", readOnly, reading}, {"public", g.Public(false), public}} {
		var registered []string
		for _, p := range face.patterns {
			if strings.Contains(p, " /v1/") {
				registered = append(registered, strings.ReplaceAll(p, "...}", "}"))
			}
		}
		if len(registered) < 30 {
			t.Fatalf("%s: only %d routes were found: does http.ServeMux keep them elsewhere now?", face.name, len(registered))
		}
		doc, _ := describe(t, face.handler)
		described := doc.routes()
		for _, r := range registered {
			if !slices.Contains(described, r) {
				t.Errorf("%s: %s is served and not described: give it a row in registry/api/operations.go", face.name, r)
			}
		}
		for _, r := range described {
			if !slices.Contains(registered, r) {
				t.Errorf("%s: %s is described and not served", face.name, r)
			}
		}
		ids := make(map[string]string)
		for path, methods := range doc.Paths {
			for m, o := range methods {
				if other := ids[o.OperationID]; other != "" || o.OperationID == "" {
					t.Errorf("%s %s has the operationId %q, like %s", m, path, o.OperationID, other)
				}
				ids[o.OperationID] = path
			}
		}
	}
}

// TestOpenAPISchemas: every schema is one of JSON Schema 2020-12, as OpenAPI 3.1
// has it, and every reference leads somewhere.
func TestOpenAPISchemas(t *testing.T) {
	h := newHome(t)
	g, err := gateway.New(h.reg, h.store, gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	doc, raw := describe(t, g.Private())
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("doc.json", parsed); err != nil {
		t.Fatal(err)
	}
	if len(doc.Components.Schemas) < 40 {
		t.Errorf("only %d schemas", len(doc.Components.Schemas))
	}
	for name := range doc.Components.Schemas {
		if _, err := c.Compile("doc.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
