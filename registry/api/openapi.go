package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// registerOpenAPI adds the OpenAPI 3.1 description of the routes that mux has
// under /v1 when it is first asked for.
func (a *API) registerOpenAPI(mux *http.ServeMux) {
	doc := sync.OnceValues(func() ([]byte, error) { return json.MarshalIndent(describe(mux, a.version), "", "  ") })
	mux.HandleFunc("GET /v1/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		b, err := doc()
		if err != nil {
			Problem(w, r, a.log, err)
			return
		}
		body(w, typeOpenAPI, fresh, b)
	})
}

// mounted reports whether mux has the route that o describes.
func mounted(mux *http.ServeMux, o operation) bool {
	r, err := http.NewRequest(o.method, strings.NewReplacer("{", "", "...}", "/more", "}", "").Replace(o.path), nil)
	if err != nil {
		return false
	}
	_, pattern := mux.Handler(r)
	return pattern == o.method+" "+o.path
}

type object = map[string]any

// describe makes the document from the table of operations.
func describe(mux *http.ServeMux, version string) object {
	s := schemas{byType: make(map[reflect.Type]string), defs: make(object)}
	problem := s.of(reflect.TypeFor[wire.Problem]())
	paths := make(object)
	for _, o := range operations {
		if !mounted(mux, o) {
			continue
		}
		path := strings.ReplaceAll(o.path, "...}", "}")
		item, ok := paths[path].(object)
		if !ok {
			item = make(object)
			paths[path] = item
		}
		item[strings.ToLower(o.method)] = s.operation(o)
	}
	if version == "" {
		version = "unknown"
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title":   "cairn registry",
			"version": version,
			"description": "Datasets, who made them, and on which terms, in a log that anyone can check. " +
				"Answers about the log name its size in treeSize. Amounts and large integers are decimal strings. " +
				"Members are only ever added: ignore those you do not know. Errors are RFC 9457 problems with a code of a closed list.",
			"license": object{"name": "Apache 2.0", "identifier": "Apache-2.0"},
		},
		"servers": []object{{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": s.defs,
			"responses": object{"Problem": object{
				"description": "What went wrong. A 429 or 503 carries Retry-After.",
				"headers":     object{RequestID: object{"description": "names the request in the server's log", "schema": object{"type": "string"}}},
				"content":     object{wire.ProblemType: object{"schema": problem}},
			}},
		},
	}
}

func (s *schemas) operation(o operation) object {
	var params []object
	for rest := o.path; ; {
		_, name, ok := strings.Cut(rest, "{")
		if !ok {
			break
		}
		name, rest, _ = strings.Cut(name, "}")
		params = append(params, object{
			"name": strings.TrimSuffix(name, "..."), "in": "path", "required": true, "schema": object{"type": "string"},
		})
	}
	for _, p := range o.query {
		params = append(params, object{"name": p.name, "in": "query", "required": p.required, "description": p.about, "schema": object{"type": "string"}})
	}
	good := object{"description": "The answer."}
	if o.answer != nil {
		good["content"] = object{orJSON(o.answerType): object{"schema": s.of(reflect.TypeOf(o.answer))}}
	}
	status := o.status
	if status == 0 {
		status = http.StatusOK
	}
	answers := object{strconv.Itoa(status): good, "default": object{"$ref": "#/components/responses/Problem"}}
	for _, also := range o.also {
		answers[strconv.Itoa(also)] = object{"description": http.StatusText(also) + "."}
	}
	out := object{"operationId": o.id, "summary": o.about, "responses": answers}
	if params != nil {
		out["parameters"] = params
	}
	if o.body != nil {
		out["requestBody"] = object{"required": true, "content": object{orJSON(o.bodyType): object{"schema": s.of(reflect.TypeOf(o.body))}}}
	}
	if o.owner {
		out["description"] = "For the owner of the home alone, on its socket."
	}
	return out
}

func orJSON(mediaType string) string {
	if mediaType == "" {
		return "application/json"
	}
	return mediaType
}

// schemas are JSON Schemas of Go types as encoding/json writes them.
type schemas struct {
	byType map[reflect.Type]string
	defs   object
}

// Types whose JSON their Go kind does not tell.
var special = map[reflect.Type]object{
	reflect.TypeFor[cjson.CID]():       {"type": "string", "description": "a CIDv1 in base32", "pattern": "^b[a-z2-7]+$"},
	reflect.TypeFor[credit.Amount]():   {"type": "string", "description": "an integer in decimal", "pattern": "^(0|-?[1-9][0-9]*)$"},
	reflect.TypeFor[credit.Period]():   {"type": "string", "description": "a month", "pattern": "^[0-9]{4}-[0-9]{2}$"},
	reflect.TypeFor[sign.KeyID]():      {"type": "string", "description": "a did:key or did:pkh", "pattern": "^did:"},
	reflect.TypeFor[json.RawMessage](): {},
	reflect.TypeFor[anything]():        {},
}

// of returns the schema of a type: structs are named, and referred to.
func (s *schemas) of(t reflect.Type) object {
	if o, ok := special[t]; ok {
		return o
	}
	if t == reflect.TypeFor[fault.Code]() {
		return object{"type": "string", "enum": fault.Codes()}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return object{"$ref": "#/components/schemas/" + s.named(t)}
	}
	panic("api: no schema for " + t.String())
}

// named describes a struct once and returns its name: the type's, with its
// package before it where it is not one of wire's.
func (s *schemas) named(t reflect.Type) string {
	if name, ok := s.byType[t]; ok {
		return name
	}
	name := t.Name()
	if pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]; pkg != "wire" {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	s.byType[t] = name
	props, required := make(object), []string{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous && tag == "" {
				walk(f.Type)
				continue
			}
			if tag == "-" || !f.IsExported() {
				continue
			}
			if tag == "" {
				tag = f.Name
			}
			props[tag] = s.of(f.Type)
			if !strings.Contains(options, "omit") {
				required = append(required, tag)
			}
		}
	}
	walk(t)
	def := object{"type": "object", "properties": props}
	if len(required) > 0 {
		def["required"] = required
	}
	s.defs[name] = def
	return name
}
