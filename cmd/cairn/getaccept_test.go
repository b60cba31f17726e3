package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHostileTerms: who stands before a registry, or is it, cannot make somebody
// accept other terms than those of the data, or for another log: --accept signs what
// is proved, or nothing.
func TestHostileTerms(t *testing.T) {
	op := newPerson(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const gated = "$schema: cairn.terms/1\nbase: {spdx: %s}\nconditions: {accept: bytes}\n"
	add := func(name, license string) (root, terms, statement string) {
		t.Helper()
		write(name+"/a.csv", "word,n\n"+name+",1\n")
		root = op.run("add", filepath.Join(dir, name), "--name", name, "--terms", write(name+".yaml", strings.Replace(gated, "%s", license, 1)))
		shown := op.run("show", name, "--json")
		find := func(member string) string {
			t.Helper()
			m := regexp.MustCompile(`"` + member + `":"(\w+)"`).FindStringSubmatch(shown)
			if m == nil {
				t.Fatalf("no %s in %s", member, shown)
			}
			return m[1]
		}
		return root, find("terms"), find("statement")
	}
	root, terms, statement := add("talks", "CC-BY-4.0")
	_, trap, trapped := add("trap", "CC-BY-SA-4.0")
	vkey := write("log.vkey", op.run("log", "key")+"\n")
	origin := strings.SplitN(op.run("log", "checkpoint"), "\n", 2)[0]
	var path, old, with string
	var after, asked atomic.Int64 // answers that are left alone
	var registry *url.URL         // set before anybody asks
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(registry)
		r.Out.Host = r.In.Host
	}}
	proxy.ModifyResponse = func(r *http.Response) error {
		if path == "" || !strings.Contains(r.Request.URL.Path, path) || asked.Add(1) <= after.Load() {
			return nil
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		b = bytes.ReplaceAll(b, []byte(old), []byte(with))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		r.Header.Del("Content-Length")
		return err
	}
	srv := httptest.NewServer(proxy)
	t.Cleanup(srv.Close)
	var err error
	registry, err = url.Parse(op.serve("--write", "open", "--public-url", srv.URL))
	if err != nil {
		t.Fatal(err)
	}

	get := func(who *person, ref string) (int, string) {
		t.Helper()
		cmd := who.command("get", ref, "--from", srv.URL, "--policy", vkey, "--accept", "-o", filepath.Join(t.TempDir(), "got"))
		out, err := cmd.CombinedOutput()
		if exit, ok := err.(*exec.ExitError); ok {
			return exit.ExitCode(), string(out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0, string(out)
	}
	accepted := func() string { return op.run("accepted", "--of", terms) + op.run("accepted", "--of", trap) }

	for _, tt := range []struct {
		name, path, old, with string
		after                 int64
		want                  int // the exit status; -1 for any but 0
	}{
		{"other terms", "/v1/resolve", terms, trap, 0, 3},
		{"another statement", "/v1/resolve", statement, trapped, 0, 3},
		{"another document", "/v1/terms/", "CC-BY-4.0", "CC0-1.0", 0, 3},
		{"a bundle of something else", "/bundle", "a", "b", 0, 3},
		{"another log", "/v1/status", origin, "other.example/log", 0, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, old, with = tt.path, tt.old, tt.with
			after.Store(tt.after)
			asked.Store(0)
			status, out := get(newPerson(t), root)
			if status == 0 || tt.want > 0 && status != tt.want {
				t.Errorf("exit status %d, want %d\n%s", status, tt.want, out)
			}
			if a := accepted(); a != "" {
				t.Errorf("something was accepted: %s\n%s", a, out)
			}
		})
	}

	// A log that changes its name once it has been verified gets nothing that is
	// signed for the other name.
	path, old, with = "/v1/status", origin, "other.example/log"
	asked.Store(0)
	after.Store(2)
	if status, out := get(newPerson(t), root); strings.Contains(out, "for the registry other.example/log") {
		t.Errorf("signed for another log, exit status %d\n%s", status, out)
	}

	// Through the same proxy, an honest registry works.
	path = ""
	if status, out := get(newPerson(t), root); status != 0 {
		t.Errorf("the honest registry: exit status %d\n%s", status, out)
	}
	if a := accepted(); !strings.Contains(a, terms) || strings.Contains(a, trap) {
		t.Errorf("accepted: %s", a)
	}
}
