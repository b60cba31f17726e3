package croissant

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A node is an object of a document, with the prefixes taken off its members.
type node map[string]any

// maxDepth bounds how deep a document is followed.
const maxDepth = 64

// parse reads a document: one JSON object of at most [MaxDocument] bytes.
func parse(b []byte) (node, error) {
	if len(b) > MaxDocument {
		return nil, fault.New(fault.TooLarge, "the document has %d bytes, more than %d", len(b), MaxDocument)
	}
	v, err := export.JSON(b)
	if err != nil {
		return nil, err
	}
	o, ok := plain(v, 0).(map[string]any)
	if !ok {
		return nil, fault.New(fault.Invalid, "the document is not an object")
	}
	// Some wrap the one dataset in a graph.
	if g, ok := o["@graph"].([]any); ok && len(g) == 1 {
		if inner, ok := g[0].(map[string]any); ok {
			for k, v := range o {
				if k != "@graph" && inner[k] == nil {
					inner[k] = v
				}
			}
			o = inner
		}
	}
	return node(o), nil
}

// plain takes the prefixes off the names of members, and follows nothing deeper
// than [maxDepth]. Texts are cleaned of what no manifest holds.
func plain(v any, depth int) any {
	if depth > maxDepth {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			name, x := k, v[k]
			if k != "@context" && k != "cairn:params" {
				x = plain(x, depth+1)
			}
			name = strings.TrimPrefix(strings.TrimPrefix(short(name), "sc:"), "cr:")
			if name == "dct:conformsTo" {
				name = "conformsTo"
			}
			if _, twice := out[name]; twice && name != k {
				continue // the short form wins
			}
			out[name] = x
		}
		return out
	case []any:
		for i := range v {
			v[i] = plain(v[i], depth+1)
		}
	case string:
		return export.Clean(v)
	}
	return v
}

// prefixes are the namespaces that documents write in full.
var prefixes = [][2]string{
	{"https://schema.org/", "sc:"}, {"http://schema.org/", "sc:"}, {"schema:", "sc:"}, {"http://mlcommons.org/croissant/RAI/", "rai:"},
	{"http://mlcommons.org/croissant/", "cr:"}, {"ml:", "cr:"}, {"http://purl.org/dc/terms/", "dct:"}, {"http://www.w3.org/ns/prov#", "prov:"},
	{Vocabulary, "cairn:"},
}

func short(s string) string {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p[0]); ok {
			return p[1] + rest
		}
	}
	return s
}

func (n node) has(name string) bool {
	switch v := n[name].(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	}
	return true
}

// list returns a member's values.
func (n node) list(name string) []any {
	switch v := n[name].(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func (n node) nodes(name string) []node {
	var out []node
	for _, v := range n.list(name) {
		if o, ok := v.(map[string]any); ok {
			out = append(out, node(o))
		}
	}
	return out
}

// textOf reads a text in one of the ways JSON-LD has for it: a value, a name, a
// map of languages (English, or the first by its tag).
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case map[string]any:
		for _, k := range [...]string{"@value", "@id", "en"} {
			if s, ok := v[k].(string); ok {
				return s
			}
		}
	}
	return ""
}

// rawTexts returns a member's values as they are written.
func (n node) rawTexts(name string) []string {
	var out []string
	for _, v := range n.list(name) {
		if s := textOf(v); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// texts returns the values of a member; of types, without their prefixes.
func (n node) texts(name string) []string {
	out := n.rawTexts(name)
	if name == "@type" {
		for i, t := range out {
			t = short(t)
			out[i] = strings.TrimPrefix(strings.TrimPrefix(t, "sc:"), "cr:")
		}
	}
	return out
}

// text returns the one value of a member, "" for none or several.
func (n node) text(name string) string {
	if t := n.texts(name); len(t) == 1 {
		return t[0]
	}
	return ""
}

// number returns a member that is a whole number.
func (n node) number(name string) (*int64, bool) {
	s, ok := n[name].(json.Number)
	if !ok {
		return nil, n[name] == nil
	}
	i, err := strconv.ParseInt(s.String(), 10, 64)
	if err != nil {
		return nil, false
	}
	return &i, true
}

// version returns the version of Croissant that the document conforms to.
func (n node) version() string {
	for _, c := range n.texts("conformsTo") {
		if v, ok := strings.CutPrefix(strings.Replace(c, "https:", "http:", 1), "http://mlcommons.org/croissant/"); ok && !strings.HasPrefix(v, "RAI") {
			return v
		}
	}
	return ""
}
