package hub

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// maxReadme bounds a README.md that is read for its card.
	maxReadme = 1 << 20
	// maxCard bounds the YAML at its head, and maxCardNodes what it unfolds to:
	// cards of the largest hubs' datasets, with feature lists of hundreds of
	// columns, have some tens of KiB.
	maxCard      = 256 << 10
	maxCardNodes = 1 << 15
	maxCardDepth = 32
	// maxCardFiles bounds the patterns that a virtual card lists.
	maxCardFiles = 1000
)

// A card is the virtual README.md of a dataset that has none: what a loader
// needs to know, and what a person should. It is made of statement and manifest
// alone, so that its bytes are the same for ever.
type card struct {
	text   []byte
	data   map[string]any
	sha256 string
}

func newCard(d *index.Dataset, m *manifests.Manifest) *card {
	c := &card{data: licenseData(d.License)}
	var b bytes.Buffer
	b.WriteString("---\n")
	line := func(key, value string) { fmt.Fprintf(&b, "%s: %s\n", key, scalar(value)) }
	for _, key := range []string{"license", "license_name"} {
		if v, ok := c.data[key]; ok {
			line(key, v.(string))
		}
	}
	if m.Title != "" {
		c.data["pretty_name"] = m.Title
		line("pretty_name", m.Title)
	}
	for _, l := range []struct {
		key  string
		list []string
	}{{"language", m.Languages}, {"tags", m.Keywords}} {
		if len(l.list) == 0 {
			continue
		}
		c.data[l.key] = l.list
		fmt.Fprintf(&b, "%s:\n", l.key)
		for _, v := range l.list {
			fmt.Fprintf(&b, "- %s\n", scalar(v))
		}
	}
	if configs := splits(m); len(configs) > 0 && len(m.Files) <= maxCardFiles {
		b.WriteString("configs:\n")
		for _, cfg := range configs {
			fmt.Fprintf(&b, "- config_name: %s\n  data_files:\n", scalar(cfg.name))
			for _, s := range cfg.splits {
				fmt.Fprintf(&b, "  - split: %s\n    path:\n", scalar(s.name))
				for _, p := range s.paths {
					fmt.Fprintf(&b, "    - %s\n", scalar(globQuote(p)))
				}
			}
		}
	}
	b.WriteString("---\n\n")
	title := m.Title
	if title == "" {
		title = d.Name
	}
	fmt.Fprintf(&b, "# %s\n\n", markdown(title))
	if m.Description != "" {
		fmt.Fprintf(&b, "%s\n\n", markdown(m.Description))
	}
	fmt.Fprintf(&b, "Version %s, %d files, %d bytes, under `%s`. This page is made by the registry from what is signed:\n\n", d.Version, d.FileCount, d.Bytes, d.License)
	fmt.Fprintf(&b, "- statement `%s`\n- data `%s`\n- manifest `%s`\n- terms `%s`\n- published by `%s`\n", d.Statement, d.Root, d.Manifest, d.Terms, d.Publisher)
	if isCustodial(m) {
		fmt.Fprintf(&b, "- %s\n", Custodial)
	}
	b.WriteString("\nTerms beyond the licence stand in the terms document. Nothing here is legal advice.\n")
	if m.CiteAs != "" {
		fmt.Fprintf(&b, "\n## Citation\n\n    %s\n", strings.ReplaceAll(strings.TrimRight(m.CiteAs, "\n"), "\n", "\n    "))
	}
	c.text = b.Bytes()
	sum := sha256.Sum256(c.text)
	c.sha256 = hex.EncodeToString(sum[:])
	return c
}

// scalar is s as YAML: JSON's strings are YAML's.
func scalar(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// markdown keeps a text of the publisher from being markup of the card's own.
func markdown(s string) string {
	return strings.NewReplacer("<", "&lt;", "\n---", "\n\\---").Replace(s)
}

// globQuote makes a pattern that matches one path.
func globQuote(path string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}

func (c *card) file() file {
	sum := gitBlob(c.text)
	return file{virtual: c.text, File: manifests.File{
		Path: readme, Size: int64(len(c.text)), SHA256: c.sha256, SWHID: "swh:1:cnt:" + hex.EncodeToString(sum[:]), MediaType: "text/markdown",
	}}
}

func gitBlob(b []byte) [20]byte {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(b))
	h.Write(b)
	return [20]byte(h.Sum(nil))
}

// frontMatter returns the YAML at the head of a README.md; false when there is none.
func frontMatter(b []byte) ([]byte, bool) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	rest, ok := bytes.CutPrefix(b, []byte("---\n"))
	if !ok {
		return nil, false
	}
	if bytes.HasPrefix(rest, []byte("---")) {
		return []byte{}, true
	}
	yaml, _, ok := bytes.Cut(rest, []byte("\n---"))
	return yaml, ok
}

// parseCard reads the card at the head of a README.md; an empty one when there
// is none. A card that is no mapping of plain values, or too large, is fault.Invalid.
func parseCard(b []byte) (data map[string]any, err error) {
	front, ok := frontMatter(b)
	if !ok {
		return map[string]any{}, nil
	}
	if len(front) > maxCard {
		return nil, fault.New(fault.TooLarge, "the card at the head of README.md has %d bytes, more than %d", len(front), maxCard)
	}
	// The parser reports some of what it cannot read by panics.
	defer func() {
		if r := recover(); r != nil {
			data, err = nil, fault.New(fault.Invalid, "the card cannot be read as YAML")
		}
	}()
	var doc yaml.Node
	if err := yaml.Unmarshal(front, &doc); err != nil {
		return nil, fault.New(fault.Invalid, "the card cannot be read: %w", err)
	}
	if doc.Kind == 0 {
		return map[string]any{}, nil
	}
	nodes := 0
	v, err := plain(doc.Content[0], &nodes, 0)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case nil:
		return map[string]any{}, nil
	}
	return nil, fault.New(fault.Invalid, "the card at the head of README.md is no mapping")
}

// plain turns YAML into what JSON can say. Aliases are refused: a few lines of
// them unfold to any size.
func plain(n *yaml.Node, nodes *int, depth int) (any, error) {
	if *nodes++; *nodes > maxCardNodes || depth > maxCardDepth {
		return nil, fault.New(fault.TooLarge, "the card has more than %d values, or is nested deeper than %d", maxCardNodes, maxCardDepth)
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode {
				return nil, fault.New(fault.Invalid, "line %d of the card: a key that is no text", k.Line)
			}
			if _, ok := out[k.Value]; ok {
				return nil, fault.New(fault.Invalid, "line %d of the card: %s stands there twice", k.Line, fault.Quote(k.Value))
			}
			v, err := plain(n.Content[i+1], nodes, depth+1)
			if err != nil {
				return nil, err
			}
			out[k.Value] = v
		}
		return out, nil
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := plain(c, nodes, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return nil, nil
		case "!!bool", "!!int":
			var v any
			if err := n.Decode(&v); err != nil {
				return nil, fault.New(fault.Invalid, "line %d of the card: %w", n.Line, err)
			}
			return v, nil
		}
		return n.Value, nil // numbers with a point, dates: as they are written
	}
	return nil, fault.New(fault.Invalid, "line %d of the card: an alias or something that is no value", n.Line)
}

// texts reads a member that is a text or a list of texts.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// cardLicense returns the licence of a card as an SPDX expression: each id in
// the case of the SPDX list, what no list holds as LicenseRef-hf-ID, several
// joined by AND, because whoever uses the data keeps to all. A card without a
// licence is fault.Invalid.
func cardLicense(data map[string]any) (string, error) {
	ids := texts(data["license"])
	if len(ids) == 0 {
		return "", fault.WithHint(fault.New(fault.Invalid, "the dataset has no licence: README.md must begin with a card that names one"),
			`begin README.md with the lines "---", "license: cc-by-4.0", "---"`)
	}
	if len(ids) > 16 {
		return "", fault.New(fault.Invalid, "the card names %d licences, more than 16", len(ids))
	}
	for i, id := range ids {
		spdx, err := spdxOf(id)
		if err != nil {
			return "", err
		}
		if len(ids) > 1 && strings.Contains(spdx, " ") {
			spdx = "(" + spdx + ")"
		}
		ids[i] = spdx
	}
	expr, _, err := terms.ParseExpression(strings.Join(ids, " AND "))
	return expr, err
}

// spdxOf maps a licence id of a card to SPDX: they are those of SPDX in lower
// case, and families that SPDX does not list.
func spdxOf(id string) (string, error) {
	id = strings.TrimSpace(id)
	if expr, _, err := terms.ParseExpression(id); err == nil {
		return expr, nil
	}
	switch strings.ToLower(id) {
	case "odc-by":
		return "ODC-By-1.0", nil
	case "odbl":
		return "ODbL-1.0", nil
	case "pddl":
		return "PDDL-1.0", nil
	case "c-uda":
		return "C-UDA-1.0", nil
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-':
			return r
		}
		return -1
	}, id)
	if clean == "" || clean != id || len(id) > 64 {
		return "", fault.New(fault.Invalid, "the card's licence %s is no licence id", fault.Quote(id))
	}
	return "LicenseRef-hf-" + strings.ToLower(id), nil
}

// licenseData is an SPDX expression as a card says it.
func licenseData(expr string) map[string]any {
	if id, ok := strings.CutPrefix(expr, "LicenseRef-hf-"); ok && !strings.Contains(id, " ") {
		return map[string]any{"license": id}
	}
	if !strings.ContainsAny(expr, " ()+") && !terms.IsOwn(expr) {
		return map[string]any{"license": strings.ToLower(expr)}
	}
	return map[string]any{"license": "other", "license_name": expr}
}
