package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestOpenAPIAnswers asks a server that has a year of everything for every
// operation that its OpenAPI document describes, and holds each answer against
// the schema that the document gives for its status.
func TestOpenAPIAnswers(t *testing.T) {
	p := newPerson(t)
	dir := filepath.Join(t.TempDir(), "demo")
	p.run("demo", "credit", "--keep", dir)
	homes, err := filepath.Glob(filepath.Join(dir, "*", "trust", "log.vkey"))
	if err != nil || len(homes) == 0 {
		t.Fatalf("the demo left no home in %s: %v", dir, err)
	}
	p.home = filepath.Dir(filepath.Dir(homes[0]))
	startLoaded(t, p, "--set", "accessLog.format=off")
	d := newAsker(t, filepath.Join(p.home, "cairn.sock"))

	// What the operations are asked about, out of the answers of other ones.
	known := d.world()
	good := 0
	for path, methods := range d.paths {
		for method, o := range methods {
			status, ok := d.check(strings.ToUpper(method), path, o, known)
			if ok && status < 400 {
				good++
				continue
			}
			switch o.OperationID {
			case "submit", "adopt", "simulate", "parties": // they are sent nothing that is right
			case "creditAdjustment", "payout", "payoutLines", "agreement", "agreements": // there may be none
			default:
				t.Errorf("%s %s: %d, want a good answer", method, path, status)
			}
		}
	}
	if good < 30 {
		t.Errorf("only %d operations were seen to answer well", good)
	}
}

type described struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Required bool
	}
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]any
	}
}

// dialUnix connects to a socket, whatever host is asked for.
func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

type asker struct {
	t        *testing.T
	client   *http.Client
	paths    map[string]map[string]described
	compiler *jsonschema.Compiler
}

func newAsker(t *testing.T, socket string) *asker {
	t.Helper()
	tr := &http.Transport{DialContext: dialUnix(socket)}
	t.Cleanup(tr.CloseIdleConnections)
	d := &asker{t: t, client: &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	_, _, raw := d.do("GET", "/v1/openapi.json", nil)
	var doc struct {
		Paths map[string]map[string]described
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	d.paths = doc.Paths
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	d.compiler = jsonschema.NewCompiler()
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := d.compiler.AddResource("doc.json", parsed); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *asker) do(method, target string, body []byte) (int, http.Header, []byte) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, "http://home"+target, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := d.client.Do(r)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, target, err)
	}
	return resp.StatusCode, resp.Header, b
}

// pick reads a member of an answer by its path; "" when it is not there.
func (d *asker) pick(target string, path ...any) string {
	d.t.Helper()
	_, _, b := d.do("GET", target, nil)
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		d.t.Fatalf("%s: %v", target, err)
	}
	for _, step := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[fmt.Sprint(step)]
		case []any:
			i, ok := step.(int)
			if !ok || i >= len(x) {
				return ""
			}
			v = x[i]
		default:
			return ""
		}
	}
	s, _ := v.(string)
	return s
}

// world finds a value for each parameter. A name before it, as in agreements.cid,
// is the segment of the path that it follows.
func (d *asker) world() map[string]string {
	w := map[string]string{
		"index": "1", "period": "2026-02", "currency": "USD", "format": "hledger", "path": "data", "limit": "2",
		"publisher": d.pick("/v1/datasets", "datasets", 0, "publisher"), "name": d.pick("/v1/datasets", "datasets", 0, "name"),
		"version": d.pick("/v1/datasets", "datasets", 0, "version"), "work": d.pick("/v1/datasets", "datasets", 0, "work"),
		"cid": d.pick("/v1/datasets", "datasets", 0, "statement"), "event": d.pick("/v1/revenue", "revenue", 0, "statement"),
		"payouts.cid": d.pick("/v1/payouts", "payouts", 0, "statement"),
		"party":       d.pick("/v1/credit/runs/2026-02/USD/payees", "payees", 0, "payee"),
	}
	w["ref"], w["did"], w["statement"] = w["cid"], w["publisher"], w["cid"]
	w["metadata.format"] = "croissant"
	w["terms.cid"] = d.pick("/v1/datasets", "datasets", 0, "terms")
	// One of several parameters must be there.
	w["?/v1/acceptances"], w["?/v1/withdrawals"] = "terms="+w["terms.cid"], "statement="+w["cid"]
	w["!/v1/terms/check"] = fmt.Sprintf(`{"works":[%q],"uses":["train"]}`, w["cid"])
	w["agreements.cid"] = d.pick("/v1/works/"+w["work"]+"/agreements", "agreements", 0, "statement")
	w["agreement"] = w["agreements.cid"]
	for _, must := range []string{"publisher", "name", "version", "work", "cid", "event", "party"} {
		if w[must] == "" {
			d.t.Fatalf("the demo has no %s", must)
		}
	}
	return w
}

// check asks for one operation and holds the answer against the document.
func (d *asker) check(method, path string, o described, w map[string]string) (status int, ok bool) {
	d.t.Helper()
	target, query := "", url.Values{}
	before := ""
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if name, isParam := strings.CutPrefix(segment, "{"); isParam {
			name = strings.TrimSuffix(name, "}")
			v := w[before+"."+name]
			if v == "" {
				v = w[name]
			}
			if v == "" {
				d.t.Errorf("%s: the test knows no %s", path, name)
			}
			segment = url.PathEscape(v)
		}
		target += "/" + segment
		before = segment
	}
	for _, p := range o.Parameters {
		if p.In == "query" && p.Required {
			query.Set(p.Name, w[p.Name])
		}
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	} else if q := w["?"+path]; q != "" {
		target += "?" + q
	}
	var body []byte
	if method == "POST" {
		if body = []byte(w["!"+path]); len(body) == 0 {
			body = []byte("{}")
		}
	}
	status, header, answer := d.do(method, target, body)
	if status == 404 && bytes.Contains(answer, []byte("there is nothing at this path")) || status == 405 || status >= 500 {
		d.t.Errorf("%s %s: %d %s", method, target, status, answer)
		return status, false
	}
	key, pointer := fmt.Sprint(status), "#/paths/"+escape(path)+"/"+strings.ToLower(method)+"/responses/"
	r, there := o.Responses[key]
	if !there {
		if status < 400 {
			d.t.Errorf("%s %s: %d is not described", method, target, status)
			return status, false
		}
		return status, d.valid(target, header, answer, "application/problem+json", "#/components/responses/Problem/content/"+escape("application/problem+json")+"/schema")
	}
	for mediaType := range r.Content {
		return status, d.valid(target, header, answer, mediaType, pointer+key+"/content/"+escape(mediaType)+"/schema")
	}
	return status, true
}

// escape writes a member's name for a JSON pointer in a fragment.
func escape(s string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
}

func (d *asker) valid(target string, header http.Header, answer []byte, mediaType, schema string) bool {
	d.t.Helper()
	if got := header.Get("Content-Type"); got != mediaType {
		d.t.Errorf("%s: the answer is %s, want %s", target, got, mediaType)
		return false
	}
	if strings.HasPrefix(mediaType, "text/") {
		return true
	}
	s, err := d.compiler.Compile("doc.json" + schema)
	if err != nil {
		d.t.Errorf("%s: %v", target, err)
		return false
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		d.t.Errorf("%s: the answer is not as described: %v\n%.500s", target, err, answer)
		return false
	}
	return true
}
