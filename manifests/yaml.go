package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// Limits of a manifest file as a contributor writes it.
const (
	// MaxYAML bounds the file: a manifest is at most 1 MiB canonical, and YAML
	// with comments is longer.
	MaxYAML      = 4 << 20
	maxYAMLDepth = 64
	maxYAMLNodes = 1 << 20 // values and keys: each takes some hundred bytes
)

// FromYAML reads what a contributor wrote about a dataset, YAML or JSON with
// the members of a manifest, into a manifest that is not complete: whoever adds
// the dataset fills in the rest, and what was said on the command line wins
// over the file.
//
// The file is read strictly: members that are not known, values of the wrong
// type, repeated keys, and what is not data (anchors, aliases, tags of types,
// several documents) are refused, all of them at once, each with its path and
// line. A null counts as absent. A link may be written as the CID alone. The
// values are not checked further: that is [Manifest.Validate], once the
// manifest is complete.
func FromYAML(b []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := fillYAML(b, m); err != nil {
		return nil, err
	}
	return m, wantSchema(&m.Schema, ManifestSchema)
}

// TermsFromYAML reads terms as a licensor wrote them, YAML or JSON with the
// members of a terms document, as strictly as [FromYAML] reads a manifest. The
// $schema may be left out. The values are checked by [terms.Terms.Validate].
func TermsFromYAML(b []byte) (*terms.Terms, error) {
	t := new(terms.Terms)
	if err := fillYAML(b, t); err != nil {
		return nil, err
	}
	if err := wantSchema(&t.Schema, terms.Schema); err != nil {
		return nil, err
	}
	return t, t.Validate()
}

// wantSchema sets a schema that is absent, and refuses another one.
func wantSchema(got *string, want string) error {
	if *got != "" && *got != want {
		return &FieldError{Path: "$schema", Msg: "must be " + want + " or absent"}
	}
	*got = want
	return nil
}

// fillYAML reads a file into v, a pointer to a struct; an empty file leaves it.
func fillYAML(b []byte, v any) error {
	if len(b) > MaxYAML {
		return fault.New(fault.TooLarge, "the file has %d bytes, more than %d", len(b), MaxYAML)
	}
	root, err := parseYAML(b)
	if err != nil || root == nil {
		return err
	}
	n, err := (&yamlReader{}).read(root)
	if err != nil {
		return err
	}
	return field.Fill(n, v)
}

// parseYAML returns the only document of b, nil for an empty file.
func parseYAML(b []byte) (root *yaml.Node, err error) {
	// The parser reports what it cannot read by panics of its own, which it
	// catches; a defect of it must not end a program that reads foreign files.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fault.New(fault.Invalid, "the file cannot be read as YAML: %v", r)
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, next yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fault.Mark(fault.Invalid, fmt.Errorf("the file cannot be read: %w", err))
	}
	if err := d.Decode(&next); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "the file must hold one document")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// A yamlReader turns YAML into plain values.
type yamlReader struct{ nodes int }

func (r *yamlReader) read(root *yaml.Node) (*field.Node, error) {
	var p field.Problems
	n := r.value(&p, root, "", 0)
	if r.nodes > maxYAMLNodes {
		return nil, fault.New(fault.TooLarge, "the file has more than %d values", maxYAMLNodes)
	}
	return n, p.Err()
}

func (r *yamlReader) value(p *field.Problems, y *yaml.Node, path string, depth int) *field.Node {
	n := &field.Node{Line: y.Line}
	bad := func(msg string) *field.Node {
		if path == "" {
			path = "document"
		}
		p.Add(fmt.Sprintf("%s (line %d)", msg, y.Line), "%s", path)
		return n
	}
	if r.nodes++; r.nodes > maxYAMLNodes {
		return n
	}
	switch {
	case depth > maxYAMLDepth:
		return bad(fmt.Sprintf("is nested deeper than %d", maxYAMLDepth))
	case y.Anchor != "" || y.Kind == yaml.AliasNode:
		return bad("anchors (&) and aliases (*) are not read")
	}
	switch y.Kind {
	case yaml.ScalarNode:
		return r.scalar(n, y, bad)
	case yaml.SequenceNode:
		if y.ShortTag() != "!!seq" {
			return bad("the tag " + fault.Quote(y.Tag) + " is not read")
		}
		n.Kind = field.Array
		for i, c := range y.Content {
			n.Items = append(n.Items, r.value(p, c, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case yaml.MappingNode:
		if y.ShortTag() != "!!map" {
			return bad("the tag " + fault.Quote(y.Tag) + " is not read")
		}
		n.Kind = field.Object
		seen := make(map[string]bool, len(y.Content)/2)
		for i := 0; i+1 < len(y.Content); i += 2 {
			k, v := y.Content[i], y.Content[i+1]
			at := strings.TrimPrefix(path+"."+fault.Printable(k.Value), ".")
			switch {
			case k.Kind != yaml.ScalarNode || k.Anchor != "" || k.ShortTag() == "!!merge":
				return bad("has a key that is not plain text")
			case seen[k.Value]:
				p.Add(fmt.Sprintf("is there twice (line %d)", k.Line), "%s", at)
			}
			seen[k.Value] = true
			n.Keys = append(n.Keys, k.Value)
			n.Items = append(n.Items, r.value(p, v, at, depth+1))
		}
	default:
		return bad("cannot be read")
	}
	return n
}

func (r *yamlReader) scalar(n *field.Node, y *yaml.Node, bad func(string) *field.Node) *field.Node {
	n.Text = y.Value
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp": // a date is text, and stays as it was written
		n.Kind = field.String
	case "!!int":
		n.Kind = field.Integer
	case "!!bool":
		n.Kind, n.Text = field.Bool, strings.ToLower(y.Value)
	case "!!null":
		n.Kind = field.Null
	case "!!float":
		// Versions and other things with a dot are texts; nothing is a fraction.
		return bad("is a number with a fraction or exponent, which nothing takes: write text in quotes")
	default:
		return bad("the tag " + fault.Quote(tag) + " is not read")
	}
	return n
}
