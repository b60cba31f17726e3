package floors_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/cmd/internal/floors"
)

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Deps,Standard"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

// short takes the module prefix off; the root package itself does not exist.
func short(path string) string { return strings.TrimPrefix(path, floors.Module+"/") }

func matches(pattern, path string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == base || strings.HasPrefix(path, base+"/")
	}
	return path == pattern
}

func anyMatches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

func TestImportsRunDownwards(t *testing.T) {
	pkgs := goList(t, floors.Module+"/...")
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages listed: the rules were not tried", len(pkgs))
	}
	for _, p := range pkgs {
		from := short(p.ImportPath)
		for _, rule := range floors.Rules {
			if !matches(rule.From, from) || anyMatches(rule.Except, from) {
				continue
			}
			for _, imp := range p.Imports {
				to := short(imp)
				if to != from && anyMatches(rule.To, to) && !anyMatches(rule.Except, to) {
					t.Errorf("%s imports %s: %s", from, to, rule.Why)
				}
			}
		}
		for _, only := range floors.OnlyImporter {
			if slices.Contains(only.By, from) {
				continue
			}
			for _, imp := range p.Imports {
				if matches(only.Package, imp) {
					t.Errorf("%s imports %s, which is for %v: %s", from, imp, only.By, only.Why)
				}
			}
		}
	}
}

func TestCommandsLinkOnlyWhatTheyNeed(t *testing.T) {
	for _, u := range floors.Unlinked {
		pkgs := goList(t, floors.Module+"/"+u.Command)
		if len(pkgs) != 1 || len(pkgs[0].Deps) == 0 {
			t.Fatalf("%s is not there to be checked", u.Command)
		}
		for _, dep := range pkgs[0].Deps {
			if anyMatches(u.Packages, dep) {
				t.Errorf("%s links %s: %s", u.Command, dep, u.Why)
			}
		}
	}
}

// TestRulesCanFail tries the matcher on a world that breaks a rule, so that a
// green run above means something.
func TestRulesCanFail(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"ingest/...", "ingest", true},
		{"ingest/...", "ingest/dag", true},
		{"ingest/...", "ingestion", false},
		{"registry", "registry/fold", false},
		{"registry", "registry", true},
	} {
		if matches(c.pattern, c.path) != c.want {
			t.Errorf("matches(%q, %q) = %t", c.pattern, c.path, !c.want)
		}
	}
}
