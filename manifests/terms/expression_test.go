package terms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/github/go-spdx/v2/spdxexp"
	"github.com/github/go-spdx/v2/spdxexp/spdxlicenses"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

func TestParseExpression(t *testing.T) {
	for expr, want := range map[string]struct {
		normal string
		ids    []string
	}{
		"MIT":                     {"MIT", []string{"MIT"}},
		"mit":                     {"MIT", []string{"MIT"}},
		"cc-by-4.0":               {"CC-BY-4.0", []string{"CC-BY-4.0"}},
		"CC-PDM-1.0":              {"CC-PDM-1.0", []string{"CC-PDM-1.0"}},
		"C-UDA-1.0":               {"C-UDA-1.0", []string{"C-UDA-1.0"}},
		"  MIT   OR  Apache-2.0 ": {"MIT OR Apache-2.0", []string{"MIT", "Apache-2.0"}},
		"mit or apache-2.0":       {"MIT OR Apache-2.0", []string{"MIT", "Apache-2.0"}},
		"MIT AND MIT":             {"MIT AND MIT", []string{"MIT"}},
		"(MIT)":                   {"MIT", []string{"MIT"}},
		"((MIT OR ISC))":          {"MIT OR ISC", []string{"MIT", "ISC"}},
		"MIT OR (ISC OR 0BSD)":    {"MIT OR ISC OR 0BSD", []string{"MIT", "ISC", "0BSD"}},
		"MIT AND (ISC OR 0BSD)":   {"MIT AND (ISC OR 0BSD)", []string{"MIT", "ISC", "0BSD"}},
		"(MIT AND ISC) OR 0BSD":   {"MIT AND ISC OR 0BSD", []string{"MIT", "ISC", "0BSD"}},
		"MIT AND ISC OR 0BSD":     {"MIT AND ISC OR 0BSD", []string{"MIT", "ISC", "0BSD"}},
		"(MIT)AND(ISC)":           {"MIT AND ISC", []string{"MIT", "ISC"}},
		"Apache-2.0+":             {"Apache-2.0+", []string{"Apache-2.0"}},
		"GPL-2.0-or-later":        {"GPL-2.0-or-later", []string{"GPL-2.0-or-later"}},
		"GPL-2.0":                 {"GPL-2.0", []string{"GPL-2.0"}}, // deprecated
		"gpl-2.0-only with Classpath-exception-2.0": {"GPL-2.0-only WITH Classpath-exception-2.0", []string{"GPL-2.0-only"}},
		"LicenseRef-Own.Terms-1":                    {"LicenseRef-Own.Terms-1", []string{"LicenseRef-Own.Terms-1"}},
		"DocumentRef-x:LicenseRef-y AND MIT":        {"DocumentRef-x:LicenseRef-y AND MIT", []string{"DocumentRef-x:LicenseRef-y", "MIT"}},
	} {
		normal, ids, err := terms.ParseExpression(expr)
		if err != nil || normal != want.normal || !slices.Equal(ids, want.ids) {
			t.Errorf("ParseExpression(%q) = %q, %q, %v", expr, normal, ids, err)
			continue
		}
		if again, _, err := terms.ParseExpression(normal); err != nil || again != normal {
			t.Errorf("%q normalises to %q, and that to %q, %v", expr, normal, again, err)
		}
		if err := terms.CheckExpression(normal); err != nil {
			t.Error(err)
		}
		if expr != normal && terms.CheckExpression(expr) == nil && !strings.EqualFold(expr, normal) {
			t.Errorf("%q counts as normal", expr)
		}
	}
}

func TestParseExpressionRefuses(t *testing.T) {
	deep := strings.Repeat("(", 17) + "MIT" + strings.Repeat(")", 17)
	for expr, hint := range map[string]string{
		"": "", " ": "", "()": "", "(MIT": "", "MIT)": "", "MIT OR": "", "OR MIT": "", "AND": "", "MIT ISC": "", "MIT OR AND ISC": "", "MIT (ISC)": "",
		"MIT WITH": "", "MIT WITH OR": "", "MIT WITH nothing-exception": "", "MIT +": "", "+": "", "MIT++": "", "LicenseRef-": "", "LicenseRef-a+": "", "DocumentRef-a": "",
		"DocumentRef-a:b": "", "DocumentRef-:LicenseRef-a": "", "a:LicenseRef-b": "", "MIT\nOR ISC": "", "MIT/ISC": "", "MIT, ISC": "", "ΜΙΤ": "", "MIT\x00": "",
		deep:                                   "",
		strings.Repeat("MIT OR ", 200) + "MIT": "",
		strings.TrimSuffix(strings.Repeat("MIT OR ", 65), " OR "): "",
		"CC-BY-40":                      "is CC-BY-4.0 meant?",
		"Apache 2.0":                    "",
		"apache-2":                      "is Apache-2.0 meant?",
		"cc-by":                         "is CC-BY-4.0 meant?",
		"odbl":                          "is ODbL-1.0 meant?",
		"MITT":                          "is MIT meant?",
		"other":                         "is LicenseRef-hf-other meant?",
		"my-own-terms-for-everything-1": "own terms are written LicenseRef-NAME",
		"MIT OR CC-BY-SA4.0":            "is CC-BY-SA-4.0 meant?",
	} {
		_, _, err := terms.ParseExpression(expr)
		if fault.Of(err) != fault.Invalid || !strings.HasPrefix(fault.Hint(err), hint) {
			t.Errorf("%q: %v, hint %q, want %q", expr, err, fault.Hint(err), hint)
		}
		if _, err := terms.Minimal(expr); err == nil {
			t.Errorf("Minimal(%q) succeeds", expr)
		}
	}
}

// Every identifier of the list is read, in any case, and means itself.
func TestWholeList(t *testing.T) {
	for _, id := range slices.Concat(spdxlicenses.GetLicenses(), spdxlicenses.GetDeprecated()) {
		for _, s := range []string{id, strings.ToLower(id), strings.ToUpper(id)} {
			normal, ids, err := terms.ParseExpression(s)
			if err != nil || normal != id || len(ids) != 1 || ids[0] != strings.TrimSuffix(id, "+") {
				t.Errorf("ParseExpression(%q) = %q, %q, %v", s, normal, ids, err)
			}
		}
	}
	for _, e := range spdxlicenses.GetExceptions() {
		if normal, _, err := terms.ParseExpression("GPL-2.0-only WITH " + strings.ToUpper(e)); err != nil || normal != "GPL-2.0-only WITH "+e {
			t.Errorf("%s: %q, %v", e, normal, err)
		}
	}
	if !terms.Deprecated("GPL-2.0") || terms.Deprecated("MIT") || terms.Deprecated("LicenseRef-x") {
		t.Error("Deprecated")
	}
}

// FuzzParseExpression holds the parser against another implementation: what is
// accepted here is accepted there with the same licences, as far as that one
// knows how to read it.
func FuzzParseExpression(f *testing.F) {
	for _, s := range []string{"MIT", "mit or (apache-2.0+ and LicenseRef-x)", "GPL-2.0-only WITH Classpath-exception-2.0", "DocumentRef-a:LicenseRef-b", "((((MIT))))", "GPL-2.0+", "OR", "A AND"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		normal, ids, err := terms.ParseExpression(expr)
		if err != nil {
			if fault.Of(err) != fault.Invalid {
				t.Fatalf("%q: code %s of %v", expr, fault.Of(err), err)
			}
			return
		}
		if again, _, err := terms.ParseExpression(normal); err != nil || again != normal {
			t.Fatalf("%q normalises to %q, and that to %q, %v", expr, normal, again, err)
		}
		if err := terms.CheckExpression(normal); err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			t.Fatalf("%q has no licence", expr)
		}
		if !strings.Contains(normal, "+") && !strings.Contains(normal, "Ref-") {
			if err := other(normal); err != nil {
				t.Fatalf("%q is accepted, but %v", normal, err)
			}
		}
	})
}

// other asks another implementation, which may panic.
func other(expr string) (err error) {
	defer func() {
		if recover() != nil {
			err = nil
		}
	}()
	if ok, bad := spdxexp.ValidateLicenses([]string{expr}); !ok {
		return fmt.Errorf("the other implementation refuses %q", bad)
	}
	return nil
}
