package manifests

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// YAML of others, whose members this package does not know: read as plain values,
// and written for people to go on with.

// YAMLValue reads the YAML or JSON of others: nil, bool, string, []any and
// map[string]any. Numbers and dates are strings, as they were written. It is as
// strict as [FromYAML] about what is not data (anchors, aliases, merge keys,
// several documents), and fails as it does: fault.Invalid with lines,
// fault.TooLarge beyond [MaxYAML].
func YAMLValue(b []byte) (any, error) {
	if len(b) > MaxYAML {
		return nil, fault.New(fault.TooLarge, "the file has %d bytes, more than %d", len(b), MaxYAML)
	}
	root, err := parseYAML(b)
	if err != nil || root == nil {
		return nil, err
	}
	nodes := 0
	return plainYAML(root, 0, &nodes)
}

func plainYAML(y *yaml.Node, depth int, nodes *int) (any, error) {
	bad := func(msg string) (any, error) { return nil, fault.New(fault.Invalid, "line %d: %s", y.Line, msg) }
	switch *nodes++; {
	case *nodes > maxYAMLNodes:
		return nil, fault.New(fault.TooLarge, "the file has more than %d values", maxYAMLNodes)
	case depth > maxYAMLDepth:
		return bad(fmt.Sprintf("nested deeper than %d", maxYAMLDepth))
	case y.Anchor != "" || y.Kind == yaml.AliasNode:
		return bad("anchors (&) and aliases (*) are not read")
	}
	switch y.Kind {
	case yaml.ScalarNode:
		switch y.ShortTag() {
		case "!!null":
			return nil, nil
		case "!!bool":
			return strings.EqualFold(y.Value, "true"), nil
		}
		return y.Value, nil
	case yaml.SequenceNode:
		list := make([]any, 0, len(y.Content))
		for _, c := range y.Content {
			v, err := plainYAML(c, depth+1, nodes)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		out := make(map[string]any, len(y.Content)/2)
		for i := 0; i+1 < len(y.Content); i += 2 {
			k := y.Content[i]
			if k.Kind != yaml.ScalarNode || k.Anchor != "" || k.ShortTag() == "!!merge" {
				return bad("a key is not plain text")
			}
			if _, twice := out[k.Value]; twice {
				return bad("the key " + fault.Quote(k.Value) + " is there twice")
			}
			v, err := plainYAML(y.Content[i+1], depth+1, nodes)
			if err != nil {
				return nil, err
			}
			out[k.Value] = v
		}
		return out, nil
	}
	return bad("cannot be read")
}

// YAML writes a JSON document as YAML for people, in the order of its members,
// with comment at its head. without names members to leave out, by paths like
// data.root and files[].cid. [FromYAML] reads what it writes of a manifest.
func YAML(doc []byte, comment string, without ...string) ([]byte, error) {
	root, err := parseYAML(doc)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, fault.New(fault.Invalid, "there is no document")
	}
	if err := block(root, 0); err != nil {
		return nil, err
	}
	for _, path := range without {
		leaveOut(root, strings.Split(path, "."))
	}
	var b bytes.Buffer
	for line := range strings.Lines(comment) {
		b.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return b.Bytes(), e.Close()
}

// block takes the brackets and quotes of JSON away; the encoder puts quotes back
// where a text would read as something else.
func block(y *yaml.Node, depth int) error {
	if depth > maxYAMLDepth {
		return fault.New(fault.Invalid, "the document is nested deeper than %d", maxYAMLDepth)
	}
	y.Style = 0
	if y.Kind == yaml.ScalarNode && y.ShortTag() == "!!str" && strings.Contains(y.Value, "\n") && strconv.CanBackquote(strings.ReplaceAll(y.Value, "\n", "")) {
		y.Style = yaml.LiteralStyle
	}
	if len(y.Content) == 0 && y.Kind != yaml.ScalarNode {
		y.Style = yaml.FlowStyle
	}
	for _, c := range y.Content {
		if err := block(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func leaveOut(y *yaml.Node, path []string) {
	name, each := strings.CutSuffix(path[0], "[]")
	for i := 0; i+1 < len(y.Content) && y.Kind == yaml.MappingNode; i += 2 {
		if y.Content[i].Value != name {
			continue
		}
		v := y.Content[i+1]
		switch {
		case len(path) == 1:
			y.Content = append(y.Content[:i:i], y.Content[i+2:]...)
		case each:
			for _, c := range v.Content {
				leaveOut(c, path[1:])
			}
		default:
			leaveOut(v, path[1:])
		}
		return
	}
}
