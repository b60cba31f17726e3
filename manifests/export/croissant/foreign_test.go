package croissant_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/toolstest"
)

// TestJSONLDExpandsOffline lets jsonld judge, which may ask for no URL.
func TestJSONLDExpandsOffline(t *testing.T) {
	node, tools := toolstest.Node(t, "jsonld")
	judge := func(b []byte) (string, error) {
		file := filepath.Join(t.TempDir(), "document.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), node, "testdata/expand.mjs", tools, file).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	all := documents(t)
	for name, want := range map[string]string{
		"full":    `{"files":1,"records":1,"fields":4,"derived":3,"generated":1,"attributed":2,"permissions":2,"prohibitions":2,"obligations":8,"rai":13}`,
		"minimal": `{"files":1,"records":0,"fields":0,"derived":0,"generated":0,"attributed":1,"permissions":0,"prohibitions":0,"obligations":0,"rai":0}`,
		"empty":   `{"files":1,"records":0,"fields":0,"derived":0,"generated":0,"attributed":1,"permissions":0,"prohibitions":0,"obligations":0,"rai":0}`,
		"many":    `{"files":5,"records":3,"fields":3,"derived":0,"generated":0,"attributed":1,"permissions":0,"prohibitions":0,"obligations":0,"rai":0}`,
	} {
		if got, err := judge(all[name].Bytes); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant %s", name, err, got, want)
		}
	}
	// It does judge: a context elsewhere, and a member that is missing, fail.
	full := string(all["full"].Bytes)
	for _, bad := range []string{
		strings.Replace(full, `"@context": {`, `"@context": "https://example.org/context", "x": {`, 1),
		strings.Replace(full, `"datePublished"`, `"datePrinted"`, 1),
	} {
		if got, err := judge([]byte(bad)); err == nil {
			t.Errorf("a bad document passes: %s", got)
		}
	}
}
