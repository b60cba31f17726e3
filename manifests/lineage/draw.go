package lineage

import (
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// text is foreign text as a line of a terminal may hold it.
func text(s string) string { return fault.Printable(s) }

// share says in words how much of a version comes by a link; "" for nothing.
func (l *Link) share() string {
	var parts []string
	for _, p := range []struct {
		ppm  *int64
		what string
	}{{l.ByteSharePpm, "of the bytes"}, {l.RecordSharePpm, "of the records"}} {
		if p.ppm != nil {
			parts = append(parts, fmt.Sprintf("%g%% %s", float64(*p.ppm)/10_000, p.what))
		}
	}
	if l.Weight != "" {
		parts = append(parts, fmt.Sprintf("edge %s/%s", l.Weight, l.EdgeTotal))
	}
	if l.Units != "" {
		parts = append(parts, l.Units+" "+l.Unit)
	}
	return strings.Join(parts, ", ")
}

// Text writes the graph as indented lines: first what the root comes from, then
// what comes from it. A node is written out once; later it is named alone.
func (g *Graph) Text(w io.Writer) error {
	d := newDrawing(g)
	var b strings.Builder
	root := d.node(g.Root.Cid)
	fmt.Fprintf(&b, "%s  %s%s\n", text(root.Label()), root.Statement, marks(root.Flags))
	written := map[cid.Cid]bool{root.Statement.Cid: true}
	var branch func(c cid.Cid, indent string, word string)
	branch = func(c cid.Cid, indent, word string) {
		links, end := d.from[c], func(l *Link) cid.Cid { return l.To.Cid }
		if word == "into" {
			links, end = d.into[c], func(l *Link) cid.Cid { return l.From.Cid }
		}
		for _, l := range links {
			line := fmt.Sprintf("%s%s  %-14s ", indent, word, text(l.Rel))
			switch {
			case l.External != nil:
				line += fmt.Sprintf("%s (%s, external)", text(l.External.String()), text(l.External.Kind))
			case l.Activity != "":
				line += "activity " + text(l.Activity)
			case l.Party != "":
				line += text(string(l.Party))
			default:
				n := d.node(end(l))
				line += text(n.Label()) + "  " + n.Statement.String()
				if written[end(l)] {
					line += "  …"
				} else {
					line += marks(n.Flags)
				}
			}
			if s := l.share(); s != "" {
				line += "  (" + text(s) + ")"
			}
			b.WriteString(line + "\n")
			if l.To.Defined() && !written[end(l)] {
				written[end(l)] = true
				branch(end(l), indent+"  ", word)
			}
		}
	}
	if g.Direction != Down {
		branch(g.Root.Cid, "  ", "from")
	}
	if g.Direction != Up {
		branch(g.Root.Cid, "  ", "into")
	}
	for _, a := range root.Activities {
		fmt.Fprintf(&b, "  activity %s: %s%s\n", text(a.ID), text(a.Type), code(a))
	}
	if g.Truncated {
		b.WriteString("  … and more\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func marks(f Flags) string {
	if w := f.Words(); len(w) > 0 {
		return "  [" + strings.Join(w, ", ") + "]"
	}
	return ""
}

func code(a manifests.Activity) string {
	s := ""
	if a.Purpose != "" {
		s = ", " + text(a.Purpose)
	}
	if c := a.Code; c != nil {
		s += ", " + text(strings.TrimSuffix(c.Repo+"@"+c.Rev, "@"))
	}
	return s
}

// DOT writes the graph for Graphviz. Arrows lead to what a node comes from.
func (g *Graph) DOT(w io.Writer) error {
	d := newDrawing(g)
	b := &strings.Builder{}
	b.WriteString("digraph lineage {\n  rankdir=RL;\n  node [shape=box];\n")
	for i := range g.Nodes {
		n := &g.Nodes[i]
		attrs := ""
		switch {
		case n.Withdrawn != nil || n.Erased != nil:
			attrs = ", color=red, style=dashed"
		case n.Disputed > 0 || n.Flagged > 0 || len(n.WithdrawnUpstream) > 0 || len(n.AfterWithdrawal) > 0:
			attrs = ", color=orange"
		}
		if n.Use != "" {
			attrs += ", shape=ellipse"
		}
		label := n.Label()
		if words := n.Words(); len(words) > 0 {
			label += "\n" + strings.Join(words, ", ")
		}
		fmt.Fprintf(b, "  %s [label=%s%s];\n", d.id(n.Statement.Cid), dotText(label), attrs)
	}
	for i, l := range g.Links {
		to := d.id(l.To.Cid)
		if !l.To.Defined() {
			to = fmt.Sprintf("x%d", i)
			fmt.Fprintf(b, "  %s [label=%s, shape=note];\n", to, dotText(l.outside()))
		}
		label := l.Rel
		if s := l.share(); s != "" {
			label += "\n" + s
		}
		fmt.Fprintf(b, "  %s -> %s [label=%s];\n", d.id(l.From.Cid), to, dotText(label))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// outside names what a link leads to when it is no node.
func (l *Link) outside() string {
	switch {
	case l.External != nil:
		return l.External.String()
	case l.Activity != "":
		return "activity " + l.Activity
	}
	return string(l.Party)
}

// dotText is a quoted string of DOT.
func dotText(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text(line))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}

// Mermaid writes the graph as a flowchart of Mermaid.
func (g *Graph) Mermaid(w io.Writer) error {
	d := newDrawing(g)
	b := &strings.Builder{}
	b.WriteString("flowchart RL\n")
	var gone, warned []string
	for i := range g.Nodes {
		n := &g.Nodes[i]
		id, open, shut := d.id(n.Statement.Cid), "[", "]"
		if n.Use != "" {
			open, shut = "([", "])"
		}
		label := n.Label()
		if words := n.Words(); len(words) > 0 {
			label += "<br>" + strings.Join(words, ", ")
		}
		fmt.Fprintf(b, "  %s%s%s%s\n", id, open, mermaidText(label), shut)
		switch {
		case n.Withdrawn != nil || n.Erased != nil:
			gone = append(gone, id)
		case len(n.Words()) > 0:
			warned = append(warned, id)
		}
	}
	for i, l := range g.Links {
		to := d.id(l.To.Cid)
		if !l.To.Defined() {
			to = fmt.Sprintf("x%d", i)
			fmt.Fprintf(b, "  %s>%s]\n", to, mermaidText(l.outside()))
		}
		label := l.Rel
		if s := l.share(); s != "" {
			label += "<br>" + s
		}
		fmt.Fprintf(b, "  %s -->|%s| %s\n", d.id(l.From.Cid), mermaidText(label), to)
	}
	for _, c := range []struct {
		name, style string
		ids         []string
	}{{"gone", "stroke:#c00,stroke-dasharray:4", gone}, {"warned", "stroke:#c80", warned}} {
		if len(c.ids) > 0 {
			fmt.Fprintf(b, "  classDef %s %s\n  class %s %s\n", c.name, c.style, strings.Join(c.ids, ","), c.name)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mermaidText is a quoted label: what could end it is written as an entity.
func mermaidText(s string) string {
	lines := strings.Split(s, "<br>")
	for i, line := range lines {
		lines[i] = strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "`", "#96;").Replace(text(line))
	}
	return `"` + strings.Join(lines, "<br>") + `"`
}

// drawing finds the nodes and links of a graph.
type drawing struct {
	graph *Graph
	at    map[cid.Cid]int
	from  map[cid.Cid][]*Link
	into  map[cid.Cid][]*Link
}

func newDrawing(g *Graph) *drawing {
	d := &drawing{graph: g, at: make(map[cid.Cid]int), from: make(map[cid.Cid][]*Link), into: make(map[cid.Cid][]*Link)}
	for i, n := range g.Nodes {
		d.at[n.Statement.Cid] = i
	}
	for i := range g.Links {
		l := &g.Links[i]
		d.from[l.From.Cid] = append(d.from[l.From.Cid], l)
		if l.To.Defined() {
			d.into[l.To.Cid] = append(d.into[l.To.Cid], l)
		}
	}
	return d
}

// node returns a node; one with its statement alone when a link names another.
func (d *drawing) node(c cid.Cid) *Node {
	if i, ok := d.at[c]; ok {
		return &d.graph.Nodes[i]
	}
	n := new(Node)
	n.Statement.Cid = c
	return n
}

// id is a short name for a node in a drawing.
func (d *drawing) id(c cid.Cid) string {
	if i, ok := d.at[c]; ok {
		return fmt.Sprintf("n%d", i)
	}
	return "n" + c.String()
}
