package hub_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/cairn-registry/cairn/manifests/toolstest"
)

// The client that JavaScript programs use lists, reads, caches and uploads.
func TestNpmClient(t *testing.T) {
	t.Parallel()
	node, tools := toolstest.Node(t, "@huggingface/hub")
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
