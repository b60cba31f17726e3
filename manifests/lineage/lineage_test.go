package lineage_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/lineage"
	"github.com/cairn-registry/cairn/manifests/sign"
)

var update = flag.Bool("update", false, "write the golden files anew")

func raw(s string) cjson.CID { return cjson.CID{Cid: cjson.RawCID([]byte(s))} }

const (
	ana = sign.KeyID("did:key:z6MkvRXNYcE7MMduynWTgeKbDaT1iijDSC8pZqXZc8rHPrf2")
	ben = sign.KeyID("did:key:z6Mkf5rGMoatrSj1f4CyvuHBeXJELe9RPdzo2PKGNCKVtZxP")
)

// graph has every kind of node and every relation.
func graph() *lineage.Graph {
	share, no := int64(250_000), false
	g := &lineage.Graph{Root: raw("clean"), Direction: lineage.Both, Depth: 3, Truncated: true, Nodes: []lineage.Node{
		{Statement: raw("clean"), Kind: "contribution/v1", Index: 4, Publisher: ben, Name: "clean", Version: "1.0.0", Title: "Clean \x1b[31mtalks", License: "CC0-1.0",
			Data: raw("data"), Contributors: []sign.KeyID{ben, ana}, Activities: []manifests.Activity{{ID: "a1", Type: "filter", Purpose: "remove PII",
				Code: &manifests.Code{Repo: "https://example.org/code", Rev: strings.Repeat("0a", 20)}, Argv: []string{"clean"}, Params: json.RawMessage(`{"k":1}`),
				StartedAt: "2026-11-01T00:00:00Z", EndedAt: "2026-11-02T00:00:00Z", By: ben, Inputs: []cjson.CID{raw("talks")}}}},
		{Statement: raw("talks"), Kind: "contribution/v1", Index: 1, Distance: 1, Side: lineage.Up, Publisher: ana, Name: "talks", Version: "2.0.0",
			Flags: lineage.Flags{Withdrawn: &lineage.Mark{Statement: raw("withdrawal"), Index: 9}, Disputed: 1, Flagged: 2}},
		{Statement: raw("run"), Kind: "usage/v1", Index: 5, Distance: 1, Side: lineage.Down, Run: "EBESExQVFhcYGRobHB0eHw", Use: "training-run", Party: ben},
		{Statement: raw("lm"), Kind: "model/v1", Index: 6, Distance: 2, Side: lineage.Down, Publisher: ben, Name: `l"m`, Version: "1.0.0"},
	}}
	link := func(from, rel, to string) lineage.Link { return lineage.Link{From: raw(from), Rel: rel, To: raw(to)} }
	filtered := link("clean", "filteredFrom", "talks")
	filtered.ByteSharePpm, filtered.Weight, filtered.EdgeTotal = &share, "100000", "1000000"
	used := link("run", lineage.RelUsed, "clean")
	used.Units, used.Unit = "5000", "record"
	g.Links = []lineage.Link{filtered}
	for _, r := range manifests.Rels() {
		switch r {
		case manifests.TransformedBy:
			g.Links = append(g.Links, lineage.Link{From: raw("clean"), Rel: string(r), Activity: "a1"})
		case manifests.AnnotatedBy:
			g.Links = append(g.Links, lineage.Link{From: raw("clean"), Rel: string(r), Party: ana})
		case manifests.SyntheticFrom:
			g.Links = append(g.Links, lineage.Link{From: raw("clean"), Rel: string(r), External: &lineage.External{Kind: "model", Model: "Apertus-8B", URL: "hf:models/swiss-ai/Apertus", OnEUMarket: &no}})
		case manifests.TrainedOn:
			g.Links = append(g.Links, link("lm", string(r), "run"))
		case manifests.Mirrors:
			g.Links = append(g.Links, lineage.Link{From: raw("clean"), Rel: string(r), External: &lineage.External{Kind: "cid", CID: raw("mirror")}})
		default:
			g.Links = append(g.Links, lineage.Link{From: raw("clean"), Rel: string(r), External: &lineage.External{Kind: "url", URL: "https://example.org/" + string(r)}})
		}
	}
	g.Links = append(g.Links, used, link("lm", lineage.RelEdge, "clean"))
	g.Propagate()
	return g
}

func TestDrawings(t *testing.T) {
	for name, draw := range map[string]func(*lineage.Graph, *bytes.Buffer) error{
		"graph.txt":       func(g *lineage.Graph, b *bytes.Buffer) error { return g.Text(b) },
		"graph.dot":       func(g *lineage.Graph, b *bytes.Buffer) error { return g.DOT(b) },
		"graph.mmd":       func(g *lineage.Graph, b *bytes.Buffer) error { return g.Mermaid(b) },
		"graph.prov.json": func(g *lineage.Graph, b *bytes.Buffer) error { return g.PROV(b) },
	} {
		var b bytes.Buffer
		if err := draw(graph(), &b); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(b.Bytes(), '\x1b') {
			t.Errorf("%s: what a stranger wrote reaches the terminal", name)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, b.Bytes(), want)
		}
	}
}

// TestPROVIsWhole: every identifier that a relation names is a record of the
// right kind, and every prefix is declared.
func TestPROVIsWhole(t *testing.T) {
	var b bytes.Buffer
	if err := graph().PROV(&b); err != nil {
		t.Fatal(err)
	}
	var doc map[string]map[string]json.RawMessage
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{
		"prov:entity": "entity", "prov:generatedEntity": "entity", "prov:usedEntity": "entity", "prov:alternate1": "entity", "prov:alternate2": "entity",
		"prov:activity": "activity", "prov:agent": "agent",
	}
	relations := 0
	for kind, records := range doc {
		if kind == "prefix" {
			continue
		}
		for id, r := range records {
			prefix, _, _ := strings.Cut(id, ":")
			if _, ok := doc["prefix"][prefix]; !ok && prefix != "_" {
				t.Errorf("%s has a prefix that is not declared", id)
			}
			if kind == "entity" || kind == "activity" || kind == "agent" {
				continue
			}
			var members map[string]any
			if err := json.Unmarshal(r, &members); err != nil {
				t.Fatal(err)
			}
			named := 0
			for m, v := range members {
				if want, ok := kinds[m]; ok {
					named++
					if _, there := doc[want][v.(string)]; !there {
						t.Errorf("%s %s: %s names %v, which is no %s", kind, id, m, v, want)
					}
				}
			}
			if named != 2 {
				t.Errorf("%s %s joins %d things", kind, id, named)
			}
			relations++
		}
	}
	for _, kind := range []string{"wasDerivedFrom", "wasGeneratedBy", "used", "wasAttributedTo", "wasAssociatedWith", "alternateOf"} {
		if len(doc[kind]) == 0 {
			t.Errorf("there is no %s", kind)
		}
	}
	if relations < 20 {
		t.Errorf("only %d relations", relations)
	}
}

// TestPropagate: what is withdrawn marks everything that comes from it, at any
// distance, through a cycle too, and nothing else.
func TestPropagate(t *testing.T) {
	g := graph()
	for _, n := range g.Nodes {
		want := n.Statement != raw("talks")
		if got := len(n.WithdrawnUpstream) == 1 && n.WithdrawnUpstream[0] == raw("talks"); got != want {
			t.Errorf("%s: %v", n.Label(), n.WithdrawnUpstream)
		}
	}
	g.Links = append(g.Links, lineage.Link{From: raw("talks"), Rel: "derivedFrom", To: raw("lm")})
	g.Propagate() // ends
	for _, n := range g.Nodes {
		if n.Statement == raw("talks") && len(n.WithdrawnUpstream) != 0 {
			t.Errorf("something is upstream of itself: %v", n.WithdrawnUpstream)
		}
	}
}

// TestMerge: a manifest says more about the links that a statement has, and
// nothing about nodes that are not shown.
func TestMerge(t *testing.T) {
	share := int64(1)
	g := &lineage.Graph{Root: raw("a"), Nodes: []lineage.Node{{Statement: raw("a")}, {Statement: raw("b"), Side: lineage.Up}}, Links: []lineage.Link{
		{From: raw("a"), Rel: "derivedFrom", To: raw("b"), Weight: "5", EdgeTotal: "10"},
		{From: raw("a"), Rel: "collectedFrom", External: &lineage.External{Kind: "url", URL: "https://example.org"}},
		{From: raw("b"), Rel: "mirrors", External: &lineage.External{Kind: "cid", CID: raw("x")}},
	}}
	m := &manifests.Manifest{Lineage: []manifests.Lineage{
		{Rel: manifests.CollectedFrom, Target: manifests.Target{URL: "https://example.org"}, Note: "n"},
		{Rel: manifests.DerivedFrom, Target: manifests.Target{Statement: raw("b")}, ByteSharePpm: &share},
		{Rel: manifests.DerivedFrom, Target: manifests.Target{Statement: raw("elsewhere")}},
		{Rel: manifests.SyntheticFrom, Target: manifests.Target{Model: "m"}},
	}}
	g.Merge(raw("a").Cid, lineage.FromManifest(raw("a").Cid, m))
	if len(g.Links) != 4 {
		t.Fatalf("%d links: %+v", len(g.Links), g.Links)
	}
	if l := g.Links[1]; l.Weight != "5" || l.ByteSharePpm == nil || g.Links[0].Note != "n" || g.Links[2].External.Kind != "model" || g.Links[3].From != raw("b") {
		t.Errorf("%+v", g.Links)
	}
}

// TestForeignWords: a graph comes from a registry that may be anybody's; no word of it
// controls a terminal, begins a line, or ends a label.
func TestForeignWords(t *testing.T) {
	const evil = "x\x1b[2J\"]\n  n1 --> n0\u202e<br><script>`;"
	g := &lineage.Graph{Root: raw("a"), Direction: lineage.Both, Nodes: []lineage.Node{
		{Statement: raw("a"), Name: evil, Version: evil, Activities: []manifests.Activity{{ID: evil, Type: evil, Purpose: evil}}},
		{Statement: raw("b"), Use: evil, Run: evil},
	}, Links: []lineage.Link{
		{From: raw("a"), Rel: evil, To: raw("b"), Units: evil, Unit: evil, Weight: evil, EdgeTotal: evil},
		{From: raw("a"), Rel: evil, External: &lineage.External{Kind: evil, URL: evil, Model: evil}},
		{From: raw("a"), Rel: evil, Activity: evil},
		{From: raw("a"), Rel: evil, Party: evil},
	}}
	for name, draw := range map[string]func(*lineage.Graph, io.Writer) error{"text": (*lineage.Graph).Text, "dot": (*lineage.Graph).DOT, "mermaid": (*lineage.Graph).Mermaid} {
		var b strings.Builder
		if err := draw(g, &b); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"\x1b", "\u202e", "\n  n1 --> n0"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s has %q: %q", name, bad, b.String())
			}
		}
		if name == "mermaid" && strings.Contains(b.String(), "<script") {
			t.Errorf("a tag: %s", b.String())
		}
	}
}
