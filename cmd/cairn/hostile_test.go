package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/cmd/internal/auditcli"
)

// A liar stands before a registry and changes its answers.
type liar struct {
	origin string
	path   string // answers whose path contains it are changed
	change func(w http.ResponseWriter, body []byte)
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, l.origin+r.URL.RequestURI(), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	req.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	if r.Method == http.MethodGet && resp.StatusCode == http.StatusOK && strings.Contains(r.URL.Path, l.path) {
		l.change(w, body)
		return
	}
	w.WriteHeader(resp.StatusCode)
	w.Write(body)
}

// TestHostileRegistry lets a registry lie about one thing at a time. The audit
// must find it, or say that it could not check; it must never say that all holds.
func TestHostileRegistry(t *testing.T) {
	p := newPerson(t)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "a.csv"), bytes.Repeat([]byte("a,b\n1,2\n"), 100), 0o666); err != nil {
		t.Fatal(err)
	}
	root := p.run("add", data, "--name", "iris", "--license", "CC0-1.0")
	vkey := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(vkey, []byte(p.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	l := &liar{origin: p.serve()}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	audit := func(verb ...string) (int, string) {
		return auditInProcess(t, filepath.Join(t.TempDir(), "auditor"), append(verb, "--registry", srv.URL, "--policy", vkey)...)
	}

	l.path, l.change = "/", func(w http.ResponseWriter, b []byte) { w.Write(b) }
	for _, verb := range [][]string{{"dataset", "iris"}, {"dataset", root}, {"log"}} {
		if status, out := audit(verb...); status != 0 {
			t.Fatalf("the honest registry: %v exits with %d\n%s", verb, status, out)
		}
	}

	flip := func(at int) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, b []byte) {
			if at < 0 {
				at += len(b)
			}
			b[at%len(b)] ^= 2
			w.Write(b)
		}
	}
	const couldNot = -1 // any status but 0 and 3
	for _, tt := range []struct {
		name, path string
		change     func(http.ResponseWriter, []byte)
		verb       string
		want       int
	}{
		{"bundle, first bytes", "/bundle", flip(20), "dataset", 3},
		{"bundle, middle", "/bundle", flip(700), "dataset", 3},
		{"bundle, end", "/bundle", flip(-30), "dataset", 3},
		{"bundle empty", "/bundle", func(w http.ResponseWriter, _ []byte) {}, "dataset", 3},
		{"bundle missing", "/bundle", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(404) }, "dataset", couldNot},
		{"checkpoint, origin", "/checkpoint", flip(0), "log", 3},
		{"checkpoint, root", "/checkpoint", flip(40), "log", 3},
		{"checkpoint, signature", "/checkpoint", flip(-10), "dataset", 3},
		{"checkpoint missing", "/checkpoint", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(404) }, "log", couldNot},
		{"an entry", "/tile/entries", flip(100), "log", 3},
		{"an entry, for a dataset", "/tile/entries", flip(-5), "dataset", 3},
		{"entries cut off", "/tile/entries", func(w http.ResponseWriter, b []byte) { w.Write(b[:len(b)-1]) }, "log", 3},
		{"entries and more", "/tile/entries", func(w http.ResponseWriter, b []byte) { w.Write(append(b, 0)) }, "log", 3},
		{"entries without end", "/tile/entries", func(w http.ResponseWriter, _ []byte) { w.Write(make([]byte, 8<<20)) }, "log", couldNot},
		{"a hash", "/tile/0/", flip(33), "log", 3},
		{"a hash, for a dataset", "/tile/0/", flip(1), "dataset", 3},
		{"hashes missing", "/tile/0/", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(410) }, "log", couldNot},
		{"a block", "/ipfs/", flip(7), "dataset", 3},
		{"blocks missing", "/ipfs/", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(404) }, "dataset", couldNot},
		{"status is no JSON", "/v1/status", func(w http.ResponseWriter, _ []byte) { w.Write([]byte("<html>")) }, "log", couldNot},
		{"another REF", "/v1/resolve", func(w http.ResponseWriter, b []byte) {
			w.Write(bytes.ReplaceAll(b, []byte("bafkrei"), []byte("bafkrej")))
		}, "dataset", couldNot},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.path, l.change = tt.path, tt.change
			verb := []string{tt.verb}
			if tt.verb == "dataset" {
				verb = append(verb, root)
			}
			status, out := audit(verb...)
			if tt.want == couldNot && (status == 0 || status == 3) || tt.want != couldNot && status != tt.want {
				t.Errorf("exit status %d, want %d\n%s", status, tt.want, out)
			}
		})
	}
}

// TestLockOfAHostileRegistry: what a lock pins and calls verified is what the signed
// statement says.
func TestLockOfAHostileRegistry(t *testing.T) {
	p := newPerson(t)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "a.csv"), []byte("a,b\n1,2\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	root := p.run("add", data, "--name", "iris", "--license", "CC0-1.0")
	if err := os.WriteFile(filepath.Join(data, "b.csv"), []byte("another\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	other := p.run("add", data, "--name", "other", "--license", "CC0-1.0")
	vkey := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(vkey, []byte(p.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	l := &liar{origin: p.serve(), path: "/v1/statements/"}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	for name, c := range map[string]struct {
		was, is string
		want    int
	}{
		"nothing": {"", "", 0},
		"data":    {`"root":"` + root, `"root":"` + other, 3},
		"bytes":   {`"bytes":8`, `"bytes":9`, 3},
		"license": {`"license":"CC0-1.0"`, `"license":"MIT"`, 3},
	} {
		changed := c.was == ""
		l.change = func(w http.ResponseWriter, b []byte) {
			if c.was != "" && bytes.Contains(b, []byte(c.was)) && !bytes.Contains(b, []byte(`"payload`)) {
				b, changed = bytes.ReplaceAll(b, []byte(c.was), []byte(c.is)), true
			}
			w.Write(b)
		}
		status, out := inProcess(t, filepath.Join(t.TempDir(), "lab"), "lock", root, "--registry", srv.URL, "--policy", vkey)
		if status != c.want || !changed {
			t.Errorf("%s: exit status %d, want %d: %s", name, status, c.want, out)
		}
	}
}

// TestWordsOfAHostileRegistry: what a registry says of an error reaches the terminal
// without anything that controls it.
func TestWordsOfAHostileRegistry(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(404)
		io.WriteString(w, `{"type":"about:blank","title":"t","status":404,"code":"not-found","detail":"no\u001b[2J\u009b31m\u202e","hint":"do \u001b]0;x\u0007"}`)
	}))
	t.Cleanup(srv.Close)
	status, out := auditInProcess(t, filepath.Join(t.TempDir(), "auditor"), "dataset", "x", "--registry", srv.URL, "--trust-on-first-use")
	if status == 0 || !strings.Contains(out, `no\x1b[2J\u009b31m\u202e`) || strings.ContainsAny(out, "\x1b\u009b\u202e\x07") {
		t.Errorf("exit status %d: %q", status, out)
	}
}

// TestAuditRemembersTheLog audits a log, which is then replaced by one with
// another history and the same key: every entry of it is signed, and yet it
// does not hold.
func TestAuditRemembersTheLog(t *testing.T) {
	p := newPerson(t)
	data := t.TempDir()
	add := func(text string) {
		if err := os.WriteFile(filepath.Join(data, "a.csv"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		p.run("add", data, "--name", "iris", "--license", "CC0-1.0")
	}
	p.run("init")
	early := filepath.Join(t.TempDir(), "early")
	if err := os.CopyFS(early, os.DirFS(p.home)); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(early, "keys", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range keys { // CopyFS keeps no modes, and keys that others may read are refused
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	add("1")
	add("2")
	vkey := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(vkey, []byte(p.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	auditor := filepath.Join(t.TempDir(), "auditor")
	audit := func(url string) (int, string) {
		return auditInProcess(t, auditor, "log", "--registry", url, "--policy", vkey)
	}
	url, stop := p.serveUntil()
	if status, out := audit(url); status != 0 {
		t.Fatalf("the first audit exits with %d: %s", status, out)
	}
	stop()

	// The whole home of before, guard and all: the operator's own rules are
	// content, the auditor's memory is not.
	p.home = early
	url, stop = p.serveUntil()
	status, out := audit(url)
	if status != 3 || !strings.Contains(out, "growth") {
		t.Errorf("a log that shrank: exit status %d\n%s", status, out)
	}
	stop()
	add("3")
	add("4")
	add("5")
	url, stop = p.serveUntil()
	defer stop()
	status, out = audit(url)
	if status != 3 || !strings.Contains(out, "rewritten") {
		t.Errorf("a log with another history: exit status %d\n%s", status, out)
	}
}

// TestTrust says whom an auditor believes, and what it says when nobody.
func TestTrust(t *testing.T) {
	p := newPerson(t)
	data := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(data, []byte("a\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	p.run("add", data, "--name", "iris", "--license", "CC0-1.0")
	key := p.run("log", "key")
	url := p.serve()
	auditor := filepath.Join(t.TempDir(), "auditor")
	run := func(args ...string) (int, string) { return auditInProcess(t, auditor, args...) }

	status, out := run("log", "--registry", url)
	if status != 1 || !strings.Contains(out, key) {
		t.Errorf("without a policy: exit status %d, want 1 and the key\n%s", status, out)
	}
	if status, out = run("log", "--registry", url, "--trust-on-first-use"); status != 0 {
		t.Errorf("on first use: exit status %d\n%s", status, out)
	}
	if status, out = run("log", "--registry", url); status != 0 {
		t.Errorf("after the first use: exit status %d\n%s", status, out)
	}
	other := newPerson(t)
	other.run("init")
	policy := filepath.Join(t.TempDir(), "other.vkey")
	if err := os.WriteFile(policy, []byte(other.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if status, out = run("log", "--registry", url, "--policy", policy); status != 3 {
		t.Errorf("another log's key: exit status %d, want 3\n%s", status, out)
	}
	if status, _ = run("log", "--registry", url, "--policy", filepath.Join(auditor, "nowhere")); status != 4 {
		t.Errorf("a policy that is not there: exit status %d, want 4", status)
	}
	if status, _ = auditInProcess(t, auditor); status != 0 {
		t.Errorf("help exits with %d", status)
	}
	var stderr bytes.Buffer
	if status := auditcli.Run(t.Context(), &auditcli.Env{Stdout: io.Discard, Stderr: &stderr, Getenv: os.Getenv}, []string{"nonsense"}); status != 2 {
		t.Errorf("a command that is not there exits with %d: %s", status, stderr.String())
	}
}
