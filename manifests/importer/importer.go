// Package importer reads what others wrote about a dataset, in formats of their
// own, into the beginning of a manifest: Croissant 1.0 and 1.1, Frictionless Data
// Package 1 and 2, the card of a Hub dataset (README.md with YAML front matter),
// and CITATION.cff. FORMAT.md of manifests/export maps the members.
//
// Readers take what has a place and list the rest with the reason; they guess
// nothing. In particular nobody becomes a contributor by a name alone: shares
// belong to keys.
package importer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/export/croissant"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// MaxFile bounds what is read: the largest of the formats' own limits.
const MaxFile = croissant.MaxDocument

// Read says what b is, and reads it. It fails with fault.Invalid for what is none
// of the formats, or not well-formed, and with fault.TooLarge beyond [MaxFile] or
// the limit of YAML.
func Read(b []byte) (*export.Fragment, error) {
	if len(b) > MaxFile {
		return nil, fault.New(fault.TooLarge, "the file has %d bytes, more than %d", len(b), MaxFile)
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if front, body, ok := frontMatter(b); ok {
		return card(front, body)
	}
	trimmed := bytes.TrimSpace(b)
	if len(trimmed) > 0 && trimmed[0] == '{' && croissant.IsCroissant(b) {
		return croissant.Read(b)
	}
	v, err := value(trimmed)
	if err != nil {
		return nil, fmt.Errorf("the file is neither JSON, YAML nor a card: %w", err)
	}
	switch o, _ := v.(map[string]any); {
	case o["resources"] != nil:
		return dataPackage(o)
	case o["cff-version"] != nil:
		return citation(o)
	}
	return nil, fault.WithHint(fault.New(fault.Invalid, "this is no description of a dataset that cairn knows"),
		"it reads Croissant, datapackage.json, a Hub dataset's README.md and CITATION.cff")
}

// value reads JSON, whose tabs and escapes YAML has not, or YAML.
func value(b []byte) (any, error) {
	if len(b) == 0 || b[0] != '{' {
		return manifests.YAMLValue(b)
	}
	v, err := export.JSON(b)
	if err != nil {
		// YAML may begin like JSON; what it says of the file is no better then.
		if y, yerr := manifests.YAMLValue(b); yerr == nil {
			return y, nil
		}
	}
	return v, err
}

// A reader reads one document of plain values.
type reader struct {
	export.Drops
	o       map[string]any
	m       *manifests.Manifest
	done    map[string]bool
	mirrors map[string]bool // places where the data lies too
}

func newReader(o map[string]any) *reader {
	return &reader{o: o, m: &manifests.Manifest{Schema: manifests.ManifestSchema}, done: make(map[string]bool), mirrors: make(map[string]bool)}
}

// finish lists what was not looked at, and makes the fragment.
func (r *reader) finish(format, license string) (*export.Fragment, error) {
	for _, k := range slices.Sorted(maps.Keys(r.o)) {
		if !r.done[k] && r.o[k] != nil {
			r.Add(fault.Printable(k), "a manifest has no member for it")
		}
	}
	if normal, _, err := terms.ParseExpression(license); err == nil {
		license = normal
	}
	f := &export.Fragment{Format: format, Manifest: r.m, License: license, Dropped: r.List()}
	return f, f.Sieve()
}

// take returns a text of the document.
func (r *reader) take(name string) string {
	r.done[name] = true
	s := text(r.o[name])
	if s == "" && r.o[name] != nil && r.o[name] != "" {
		r.Add(name, "is not text")
	}
	return s
}

// takes returns texts: one, or a list of them.
func (r *reader) takes(name string) []string {
	r.done[name] = true
	list, odd := texts(r.o[name])
	if odd > 0 {
		r.Add(name, "%d values are not text", odd)
	}
	return list
}

func (r *reader) skip(reason string, names ...string) {
	for _, name := range names {
		if r.done[name] = true; r.o[name] != nil {
			r.Add(name, "%s", reason)
		}
	}
}

// nobody lists people who have no key.
func (r *reader) nobody(name string, people []any) {
	r.done[name] = true
	for i, p := range people {
		who := text(p)
		if o := object(p); o != nil {
			if who == "" {
				who = fullName(o)
			}
			for _, k := range [...]string{"title", "name", "alias", "path", "email"} {
				if who == "" {
					who = text(o[k])
				}
			}
			if id := text(o["orcid"]); id != "" {
				who += " (" + id + ")"
			}
		}
		r.Add(fmt.Sprintf("%s[%d]", name, i), "%s has no did:key; name who shares in the data with --contributor", fault.Quote(who))
	}
}

// fullName joins the parts that CITATION.cff has for a person's name.
func fullName(o map[string]any) string {
	var parts []string
	for _, k := range [...]string{"given-names", "name-particle", "family-names", "name-suffix"} {
		if s := text(o[k]); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ")
}

// text returns a text or a number as it was written.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return export.Clean(v)
	case json.Number:
		return v.String()
	}
	return ""
}

func texts(v any) (list []string, odd int) {
	for _, x := range values(v) {
		if s := text(x); s != "" {
			list = append(list, s)
		} else if x != nil {
			odd++
		}
	}
	return list, odd
}

func values(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// mirror adds a place where the same data lies.
func (r *reader) mirror(url string) {
	if r.mirrors[url] {
		return
	}
	r.mirrors[url] = true
	r.m.Lineage = append(r.m.Lineage, manifests.Lineage{Rel: manifests.Mirrors, Target: manifests.Target{URL: url}})
}

// isPath reports whether s is the path of one file below the document.
func isPath(s string) bool {
	return s != "" && !strings.ContainsAny(s, "*?[{") && !strings.Contains(s, "://") && s[0] != '/' && !strings.HasSuffix(s, "/") && !strings.Contains(s, "..")
}

// files puts the files in a manifest's order, each once.
func (r *reader) files() {
	slices.SortStableFunc(r.m.Files, func(a, b manifests.File) int { return manifests.ComparePaths(a.Path, b.Path) })
	r.m.Files = slices.CompactFunc(r.m.Files, func(a, b manifests.File) bool {
		if a.Path == b.Path && !reflect.DeepEqual(a, b) {
			r.Add("files", "%s is described twice; the first counts", fault.Quote(a.Path))
		}
		return a.Path == b.Path
	})
	if n := len(r.m.Files); n > manifests.MaxInlineFiles {
		r.Add("files", "%d files cannot be described one by one", n)
		r.m.Files = nil
	}
}

// token makes a name that programs use, "" when nothing is left of s.
func token(s string) string {
	s = strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._+-", c) {
			return c
		}
		return '-'
	}, s)
	s = strings.TrimLeft(s, ".+-")
	return s[:min(len(s), 64)]
}

// license returns an SPDX expression for the names of licences, all of which are
// offered.
func license(names []string) string {
	for i, n := range names {
		if names[i] = export.LicenseOf(n); n == "ODC-PDDL-1.0" { // as Open Definition calls it
			names[i] = "PDDL-1.0"
		}
	}
	return strings.Join(names, " OR ")
}
