package lineage

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// PROV writes the graph as PROV-JSON (W3C Member Submission, 24 April 2013).
// Versions and external sources are entities, activities and records of use
// activities, key holders agents. FORMAT.md maps each relation.
func (g *Graph) PROV(w io.Writer) error {
	p := prov{
		"prefix": {
			"cairn": manifests.TypeBase + "terms#", "stmt": manifests.TypeBase + "statement/", "act": manifests.TypeBase + "activity/",
			"ext": manifests.TypeBase + "external/", "did": "did:key:",
		},
	}
	use := make(map[string]bool)
	for i := range g.Nodes {
		n := &g.Nodes[i]
		use[n.Statement.String()] = n.Use != ""
	}
	for i := range g.Nodes {
		p.node(&g.Nodes[i])
	}
	external := make(map[string]string)
	for i := range g.Links {
		p.link(&g.Links[i], use, external)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(p)
}

// prov is a document: by kind of record, by identifier, the record.
type prov map[string]map[string]any

type record = map[string]any

func (p prov) put(kind, id string, r record) {
	if p[kind] == nil {
		p[kind] = make(map[string]any)
	}
	p[kind][id] = r
}

// relate adds a relation with a blank identifier.
func (p prov) relate(kind string, r record) {
	p.put(kind, fmt.Sprintf("_:%s%d", kind, len(p[kind])+1), r)
}

func uri(s string) record { return record{"$": s, "type": "xsd:anyURI"} }

func qname(s string) record { return record{"$": s, "type": "xsd:QName"} }

func (p prov) agent(id sign.KeyID) string {
	name := "did:" + strings.TrimPrefix(string(id), "did:key:")
	p.put("agent", name, record{"prov:label": string(id)})
	return name
}

func stmt(s fmt.Stringer) string { return "stmt:" + s.String() }

func (p prov) node(n *Node) {
	r := record{"cairn:kind": n.Kind, "cairn:index": n.Index}
	if words := n.Words(); len(words) > 0 {
		r["cairn:flags"] = words
	}
	id := stmt(n.Statement)
	if n.Use != "" {
		r["prov:type"], r["cairn:run"] = n.Use, n.Run
		p.put("activity", id, r)
		if n.Party != "" {
			p.relate("wasAssociatedWith", record{"prov:activity": id, "prov:agent": p.agent(n.Party)})
		}
		return
	}
	r["prov:label"] = n.Label()
	if n.Title != "" {
		r["dcterms:title"] = n.Title
		p["prefix"]["dcterms"] = "http://purl.org/dc/terms/"
	}
	if n.License != "" {
		r["cairn:license"] = n.License
	}
	if n.Data.Defined() {
		r["prov:location"] = uri("ipfs://" + n.Data.String())
	}
	p.put("entity", id, r)
	if n.Publisher != "" {
		p.relate("wasAttributedTo", record{"prov:entity": id, "prov:agent": p.agent(n.Publisher), "prov:type": "publisher"})
	}
	for _, c := range n.Contributors {
		p.relate("wasAttributedTo", record{"prov:entity": id, "prov:agent": p.agent(c), "prov:type": "contributor"})
	}
	for _, a := range n.Activities {
		p.activity(id, n, a)
	}
}

func actID(n *Node, id string) string { return "act:" + n.Statement.String() + "/" + id }

func (p prov) activity(entity string, n *Node, a manifests.Activity) {
	r := record{"prov:type": a.Type}
	if a.StartedAt != "" {
		r["prov:startTime"] = a.StartedAt
	}
	if a.EndedAt != "" {
		r["prov:endTime"] = a.EndedAt
	}
	if a.Purpose != "" {
		r["cairn:purpose"] = a.Purpose
	}
	if c := a.Code; c != nil {
		for name, v := range map[string]string{"cairn:repo": c.Repo, "cairn:rev": c.Rev, "cairn:swhid": c.SWHID, "cairn:image": c.Image} {
			if v != "" {
				r[name] = v
			}
		}
	}
	if len(a.Argv) > 0 {
		r["cairn:argv"] = a.Argv
	}
	if len(a.Params) > 0 {
		r["cairn:params"] = string(a.Params)
	}
	id := actID(n, a.ID)
	p.put("activity", id, r)
	p.relate("wasGeneratedBy", record{"prov:entity": entity, "prov:activity": id})
	if a.By != "" {
		p.relate("wasAssociatedWith", record{"prov:activity": id, "prov:agent": p.agent(a.By)})
	}
	for _, in := range a.Inputs {
		ref := stmt(in)
		if p["entity"][ref] == nil {
			p.put("entity", ref, record{"cairn:cid": in.String()})
		}
		p.relate("used", record{"prov:activity": id, "prov:entity": ref})
	}
}

// subtypes are the relations that PROV has as types of derivation; the others
// get a type of cairn's own.
var subtypes = map[string]string{
	string(manifests.VersionOf): "prov:Revision", string(manifests.Obsoletes): "prov:Revision",
	string(manifests.CollectedFrom): "prov:PrimarySource", string(manifests.DerivedFrom): "",
}

func (p prov) link(l *Link, use map[string]bool, external map[string]string) {
	from := stmt(l.From)
	if l.Activity != "" {
		return // the activity is the node's, and has generated it
	}
	if l.Party != "" {
		p.relate("wasAttributedTo", record{"prov:entity": from, "prov:agent": p.agent(l.Party), "prov:type": l.Rel})
		return
	}
	to := ""
	if l.To.Defined() {
		to = stmt(l.To)
	} else {
		key := l.External.Kind + " " + l.External.String()
		if l.Rel == string(manifests.SyntheticFrom) { // an agent there, an entity elsewhere
			key = l.Rel + " " + key
		}
		if to = external[key]; to == "" {
			to = fmt.Sprintf("ext:%d", len(external)+1)
			external[key] = to
			p.external(to, l)
		}
	}
	switch {
	case use[l.From.String()]:
		p.relate("used", l.shares(record{"prov:activity": from, "prov:entity": to}))
	case l.To.Defined() && use[l.To.String()]:
		p.relate("wasGeneratedBy", record{"prov:entity": from, "prov:activity": to})
	case l.Rel == string(manifests.DeduplicatedAgainst):
		// Nothing was copied: whatever made the version only looked at it.
		id := "act:" + l.From.String() + "/dedup"
		if p["activity"][id] == nil {
			p.put("activity", id, record{"prov:type": "dedup"})
			p.relate("wasGeneratedBy", record{"prov:entity": from, "prov:activity": id})
		}
		p.relate("used", record{"prov:activity": id, "prov:entity": to})
	case l.Rel == string(manifests.Mirrors):
		p.relate("alternateOf", record{"prov:alternate1": from, "prov:alternate2": to})
	case l.Rel == string(manifests.SyntheticFrom) && l.External != nil && l.External.Kind == "model":
		id := "act:" + l.From.String() + "/synthetic"
		if p["activity"][id] == nil {
			p.put("activity", id, record{"prov:type": "generate"})
			p.relate("wasGeneratedBy", record{"prov:entity": from, "prov:activity": id})
		}
		p.relate("wasAssociatedWith", record{"prov:activity": id, "prov:agent": to})
	default:
		r := l.shares(record{"prov:generatedEntity": from, "prov:usedEntity": to})
		switch t, known := subtypes[l.Rel]; {
		case t != "":
			r["prov:type"] = qname(t)
		case !known:
			r["prov:type"] = qname("cairn:" + l.Rel)
		}
		p.relate("wasDerivedFrom", r)
	}
}

// external adds what lies outside: a model that made data is an agent, all else
// is an entity.
func (p prov) external(id string, l *Link) {
	e := l.External
	r := record{"prov:label": e.String(), "cairn:kind": e.Kind}
	switch {
	case e.CID.Defined():
		r["prov:location"] = uri("ipfs://" + e.CID.String())
	case e.URL != "":
		r["prov:location"] = uri(e.URL)
	}
	if e.Kind == "model" && l.Rel == string(manifests.SyntheticFrom) {
		r["prov:type"] = qname("prov:SoftwareAgent")
		p.put("agent", id, r)
		return
	}
	p.put("entity", id, r)
}

func (l *Link) shares(r record) record {
	if l.ByteSharePpm != nil {
		r["cairn:byteSharePpm"] = *l.ByteSharePpm
	}
	if l.RecordSharePpm != nil {
		r["cairn:recordSharePpm"] = *l.RecordSharePpm
	}
	if l.Weight != "" {
		r["cairn:weight"], r["cairn:edgeTotal"] = l.Weight, l.EdgeTotal
	}
	if l.Units != "" {
		r["cairn:units"], r["cairn:unit"] = l.Units, l.Unit
	}
	return r
}
