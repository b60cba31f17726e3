package fold_test

import (
	"os"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/registry/fold"
)

// TestFormatDocumentListsTheCodes holds the closed list in FORMAT.md against
// the code: the same codes, in the order in which the rules are applied.
func TestFormatDocumentListsTheCodes(t *testing.T) {
	b, err := os.ReadFile("../../manifests/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n### Codes\n")
	if !ok {
		t.Fatal("FORMAT.md has no section of codes")
	}
	section, _, _ = strings.Cut(section, "\n### ")
	var listed []string
	for line := range strings.Lines(section) {
		if name, rest, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` | "); ok && (strings.HasPrefix(rest, "yes |") || strings.HasPrefix(rest, "no |")) {
			listed = append(listed, name)
		}
	}
	var want []string
	for _, c := range fold.Codes() {
		want = append(want, string(c))
	}
	if strings.Join(listed, " ") != strings.Join(want, " ") {
		t.Errorf("FORMAT.md lists\n%s\nthe code has\n%s", listed, want)
	}
}

// TestFormatDocumentListsTheOps holds the table of effects against the code.
func TestFormatDocumentListsTheOps(t *testing.T) {
	b, err := os.ReadFile("../../manifests/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n### Effects\n")
	section, _, _ = strings.Cut(section, "\n### ")
	rows := 0
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			rows++
		}
	}
	if rows != len(fold.Ops()) {
		t.Errorf("FORMAT.md lists %d effects, there are %d", rows, len(fold.Ops()))
	}
	for _, op := range fold.Ops() {
		if !strings.Contains(section, "\n| `"+string(op)+"` | ") {
			t.Errorf("FORMAT.md does not list the effect %s", op)
		}
	}
}
