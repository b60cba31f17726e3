package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuditWithoutABody: an auditor who cannot have the body of an entry takes
// the result from its tombstone, and comes to the digest of one who can; without
// a tombstone the audit is not complete.
func TestAuditWithoutABody(t *testing.T) {
	p := newPerson(t)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "a.csv"), []byte("a\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	p.run("add", data, "--name", "iris", "--license", "CC0-1.0")
	p.run("add", data, "--name", "roses", "--license", "CC0-1.0")
	envelope := func(name string) string {
		var shown struct {
			Datasets []struct {
				Envelope string `json:"envelope"`
			} `json:"datasets"`
		}
		if err := json.Unmarshal([]byte(p.run("show", name, "--json")), &shown); err != nil {
			t.Fatal(err)
		}
		return shown.Datasets[0].Envelope
	}
	iris, roses := envelope("iris"), envelope("roses")
	p.run("tombstone", "iris", "--reason", "personal-data")
	vkey := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(vkey, []byte(p.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	l := &liar{origin: p.serve(), path: "/nothing"}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	auditor := newPerson(t)
	verify := func() (int, string) {
		cmd := auditor.command("credit", "verify", "--registry", srv.URL, "--policy", vkey, "--json")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String()
	}
	digest := func(out string) string {
		_, rest, _ := strings.Cut(out, `"digest":"`)
		d, _, _ := strings.Cut(rest, `"`)
		return d
	}
	status, honest := verify()
	if status != 0 || len(digest(honest)) != 64 {
		t.Fatalf("with all bodies: exit status %d\n%s", status, honest)
	}
	for _, code := range []int{http.StatusNotFound, http.StatusGone} {
		l.change = func(w http.ResponseWriter, _ []byte) { w.WriteHeader(code) }
		l.path = "/ipfs/" + iris
		if status, out := verify(); status != 0 || digest(out) != digest(honest) {
			t.Errorf("%d for an erased body: exit status %d, digest %s, want %s\n%s", code, status, digest(out), digest(honest), out)
		}
		l.path = "/ipfs/" + roses
		if status, out := verify(); status == 0 || status == 3 {
			t.Errorf("%d for a body without a tombstone: exit status %d\n%s", code, status, out)
		}
	}
}
