package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// maxRounds bounds how often Sieve validates: each round takes out all that the
// one before found, up to a hundred problems.
const maxRounds = 64

// standIn is in the place of what whoever adds the data says, while the rest is
// validated. It is nobody's: the private key was never kept.
const standIn sign.KeyID = "did:key:z6MkoLMRQZGvcdmi79d7JSmk9GA7xDjEdBYPxWkjr5UaxB97"

// Sieve takes out of the fragment's manifest what the grammar of a manifest
// refuses, each with the grammar's reason, and lists it in Dropped by its path in
// the manifest. What stays passes [manifests.Manifest.Validate] once data, terms,
// publisher, contributors, version and time are said.
func (f *Fragment) Sieve() error {
	d := Drops{list: f.Dropped}
	for range maxRounds {
		whole := complete(f.Manifest)
		err := whole.Validate()
		b, jerr := marshal(whole)
		if jerr != nil {
			return fault.Mark(fault.Invalid, jerr)
		}
		if err == nil {
			f.Dropped = d.List()
			// Readers clean their texts; what canonical JSON still refuses is a defect.
			_, err := cjson.Canonicalize(b)
			return err
		}
		var tree map[string]any
		dec := json.NewDecoder(strings.NewReader(string(b)))
		dec.UseNumber()
		if err := dec.Decode(&tree); err != nil {
			return fault.Mark(fault.Invalid, err)
		}
		found := problems(err)
		// From behind, so that the entries of a list keep their places.
		var gone []string
		for _, p := range slices.Backward(found) {
			d.Add(p.Path, "%s", p.Msg)
			if !slices.ContainsFunc(gone, func(at string) bool { return strings.HasPrefix(p.Path, at) }) {
				if at := remove(tree, p.Path); at != "" {
					gone = append(gone, at)
				}
			}
		}
		if len(found) == 0 {
			return err
		}
		if b, err = marshal(tree); err != nil {
			return fault.Mark(fault.Invalid, err)
		}
		m := new(manifests.Manifest)
		if err := json.Unmarshal(b, m); err != nil {
			return fault.Mark(fault.Invalid, err)
		}
		f.Manifest = strip(m, f.Manifest)
	}
	return fault.New(fault.Invalid, "the description breaks too many rules of a manifest")
}

// marshal writes raw JSON in v as it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// Clean returns a foreign text with only those characters that a manifest holds:
// separators of lines and paragraphs become line ends, other control characters
// and halves of characters are left out.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == 0x2028 || r == 0x2029:
			return '\n'
		case r == '\n' || r == '\t':
			return r
		case r < 0x20 || 0x7f <= r && r <= 0x9f || r == 0xfffd:
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
}

// Line returns a text as one line: where it had several, or tabs, there are spaces.
func Line(s string) string {
	if strings.ContainsAny(s, "\n\r\t") {
		return strings.Join(strings.Fields(s), " ")
	}
	return s
}

func problems(err error) (list []*manifests.FieldError) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			var p *manifests.FieldError
			if errors.As(e, &p) {
				list = append(list, p)
			}
		}
	}
	return list
}

// complete returns m with stand-ins for what it does not say.
func complete(m *manifests.Manifest) *manifests.Manifest {
	c := *m
	c.Schema = manifests.ManifestSchema
	if c.Name == "" {
		c.Name = "dataset"
	}
	if c.Version == "" {
		c.Version = manifests.FirstVersion
	}
	c.CreatedAt, c.Publisher = "2000-01-01T00:00:00Z", standIn
	if len(c.Contributors) == 0 {
		c.Contributors = []manifests.Contributor{{ID: standIn}}
	}
	doc := cjson.Link{Cid: cjson.JSONCID(nil)}
	data := cjson.Link{Cid: cjson.RawCID(nil)}
	c.Terms = doc
	c.Data = manifests.Data{
		Root: data, FileCount: int64(len(m.Files)), Profile: "unixfs-v1-2025", SWHID: m.Data.SWHID,
		Chunking: manifests.Chunking{Algo: "fixed", Size: 1 << 20, Hash: "sha2-256"},
	}
	c.Files = slices.Clone(m.Files)
	for i := range c.Files {
		c.Files[i].CID, c.Files[i].Size, c.Files[i].SHA256 = data, 0, fmt.Sprintf("%064x", 0)
	}
	return &c
}

// strip takes the stand-ins out again: what was not there before.
func strip(m, before *manifests.Manifest) *manifests.Manifest {
	if before.Name == "" {
		m.Name = ""
	}
	if before.Version == "" {
		m.Version = ""
	}
	if len(before.Contributors) == 0 {
		m.Contributors = nil
	}
	m.CreatedAt, m.Publisher, m.Terms = "", "", cjson.Link{}
	m.Data = manifests.Data{SWHID: m.Data.SWHID}
	for i := range m.Files {
		m.Files[i].CID, m.Files[i].Size, m.Files[i].SHA256 = cjson.Link{}, 0, ""
	}
	return m
}

// remove takes the value at a path out of a tree, or, where there is none, what
// it would be a part of. It returns the path of what is gone.
func remove(tree map[string]any, path string) string {
	steps, rest := split(tree, path)
	if len(steps) > 0 {
		take(tree, steps)
	}
	return strings.TrimSuffix(path, rest)
}

// split reads a path as far as it leads into the tree: the keys of objects, which
// may have dots, and the places of lists. It ends before a value that is empty; what
// is left of the path is rest.
func split(v any, path string) (steps []any, rest string) {
	for path != "" {
		path = strings.TrimPrefix(path, ".")
		switch x := v.(type) {
		case map[string]any:
			best := ""
			for k := range x {
				behind, ok := strings.CutPrefix(path, k)
				if ok && len(k) > len(best) && (behind == "" || behind[0] == '.' || behind[0] == '[') {
					best = k
				}
			}
			if best == "" || empty(x[best], len(steps)) {
				return steps, path
			}
			steps, v, path = append(steps, best), x[best], path[len(best):]
		case []any:
			n := 0
			end := strings.IndexByte(path, ']')
			if _, err := fmt.Sscanf(path, "[%d]", &n); err != nil || end < 0 || n < 0 || n >= len(x) {
				return steps, path
			}
			steps, v, path = append(steps, n), x[n], path[end+1:]
		default:
			return steps, path
		}
	}
	return steps, path
}

// empty reports a value that a required member has when nothing was said: to take
// it away changes nothing. At the top, objects are optional.
func empty(v any, depth int) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0 && depth > 0
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	}
	return false
}

// take removes what steps lead to, and the objects that are empty then, and
// returns what is left of v.
func take(v any, steps []any) any {
	switch x := v.(type) {
	case map[string]any:
		k := steps[0].(string)
		if len(steps) > 1 {
			x[k] = take(x[k], steps[1:])
		}
		if o, ok := x[k].(map[string]any); len(steps) == 1 || ok && len(o) == 0 {
			delete(x, k)
		}
		return x
	case []any:
		i := steps[0].(int)
		if len(steps) == 1 {
			return slices.Delete(x, i, i+1)
		}
		x[i] = take(x[i], steps[1:])
		return x
	}
	return v
}
