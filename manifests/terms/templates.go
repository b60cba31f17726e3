package terms

import (
	"embed"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// OwnLicense is the base of terms that grant everything themselves: its text
// reserves what the document does not grant.
const OwnLicense = "LicenseRef-cairn-terms-1"

//go:embed templates/*.yaml texts/*.txt
var files embed.FS

// A Template is a commented YAML file of terms to begin with.
type Template struct {
	Name string
	Says string // in one sentence
	YAML []byte
}

// Templates returns the templates, sorted by name.
func Templates() []Template {
	entries, err := files.ReadDir("templates")
	if err != nil {
		panic("terms: " + err.Error()) // they are embedded
	}
	var out []Template
	for _, e := range entries {
		b, err := files.ReadFile("templates/" + e.Name())
		if err != nil {
			panic("terms: " + err.Error())
		}
		t := Template{Name: strings.TrimSuffix(e.Name(), ".yaml"), YAML: b}
		for line := range strings.Lines(string(b)) {
			text, ok := strings.CutPrefix(strings.TrimSpace(line), "# ")
			if !ok {
				break
			}
			t.Says = strings.TrimSpace(t.Says + " " + text)
		}
		out = append(out, t)
	}
	return out
}

// LookUpTemplate returns the template of a name; [fault.NotFound] otherwise, with
// the names that there are as the hint.
func LookUpTemplate(name string) (Template, error) {
	all := Templates()
	names := make([]string, len(all))
	for i, t := range all {
		if t.Name == name {
			return t, nil
		}
		names[i] = t.Name
	}
	err := fault.New(fault.NotFound, "there is no template %s", fault.Quote(name))
	for _, n := range names {
		if field.Distance(name, n, 3) < 3 {
			return Template{}, fault.WithHint(err, "is %s meant?", n)
		}
	}
	return Template{}, fault.WithHint(err, "the templates are %s", strings.Join(names, ", "))
}

// Text returns the text of a licence of cairn's own; false for any other.
func Text(id string) ([]byte, bool) {
	if id != OwnLicense {
		return nil, false
	}
	b, err := files.ReadFile("texts/" + id + ".txt")
	return slices.Clone(b), err == nil
}
