package croissant

import (
	"encoding/json"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
)

// targetIRI names what a lineage entry points at; "" for what has no name of its
// own: a model that nobody published.
func targetIRI(base string, t manifests.Target) string {
	switch {
	case t.Statement.Defined():
		return base + "/v1/statements/" + t.Statement.String()
	case t.CID.Defined():
		return ipfs(t.CID.Cid)
	case t.URL != "":
		return t.URL
	case t.Model != "":
		return t.URI
	case t.Activity != "":
		return activityID(t.Activity)
	}
	return string(t.Party)
}

func activityID(id string) string { return "#activity-" + id }

// influence says in which of PROV's classes a relation is, by what member it
// names the other side, and by what direct property.
func influence(r manifests.Rel) (class, member, direct string) {
	switch r {
	case manifests.VersionOf, manifests.Obsoletes:
		return "prov:Revision", "prov:entity", "prov:wasDerivedFrom"
	case manifests.CollectedFrom:
		return "prov:PrimarySource", "prov:entity", "prov:wasDerivedFrom"
	case manifests.DeduplicatedAgainst, manifests.Mirrors:
		return "prov:EntityInfluence", "prov:entity", ""
	case manifests.TransformedBy:
		return "prov:Generation", "prov:activity", ""
	case manifests.AnnotatedBy:
		return "prov:Attribution", "prov:agent", "prov:wasAttributedTo"
	case manifests.SyntheticFrom:
		return "prov:AgentInfluence", "prov:agent", ""
	}
	return "prov:Derivation", "prov:entity", "prov:wasDerivedFrom"
}

// lineage writes relations and activities as PROV-O: the direct properties for
// those who only follow links, and one list of qualified influences, in the
// manifest's order, that says all.
func (w *writer) lineage() {
	var derived, qualified []obj
	agents := w.doc["prov:wasAttributedTo"].([]obj)
	seen := make(map[string]bool)
	for _, a := range agents {
		seen[a["@id"].(string)] = true
	}
	for _, l := range w.M.Lineage {
		class, member, direct := influence(l.Rel)
		id := targetIRI(w.Base, l.Target)
		if direct != "" && id != "" && !seen[id] {
			seen[id] = true
			if direct == "prov:wasDerivedFrom" {
				derived = append(derived, ref(id))
			} else {
				agents = append(agents, ref(id))
			}
		}
		qualified = append(qualified, w.influence(l, class, member, id))
	}
	w.doc["prov:wasAttributedTo"] = agents
	if derived != nil {
		w.doc["prov:wasDerivedFrom"] = derived
	}
	if qualified != nil {
		w.doc["prov:qualifiedInfluence"] = qualified
	}
	var done []obj
	for _, a := range w.M.Activities {
		done = append(done, activity(a))
	}
	if done != nil {
		w.doc["prov:wasGeneratedBy"] = done
	}
}

func (w *writer) influence(l manifests.Lineage, class, member, id string) obj {
	t := l.Target
	other := obj{}
	put(other, "@id", id)
	if t.Model != "" {
		other["@type"] = "prov:SoftwareAgent"
		other["name"] = t.Model
		put(other, "cairn:summary", t.SummaryURL)
		if t.OnEUMarket != nil {
			other["cairn:onEuMarket"] = *t.OnEUMarket
		}
	}
	if t.DomainTable.Defined() {
		other["cairn:domainTable"] = ref(ipfs(t.DomainTable.Cid))
	}
	o := obj{"@type": class, member: other, "cairn:relation": string(l.Rel)}
	if l.ByteSharePpm != nil {
		o["cairn:byteSharePpm"] = *l.ByteSharePpm
	}
	if l.RecordSharePpm != nil {
		o["cairn:recordSharePpm"] = *l.RecordSharePpm
	}
	if l.TermsAtUse.Defined() {
		o["cairn:termsAtUse"] = ref(ipfs(l.TermsAtUse.Cid))
	}
	if l.Evidence.Defined() {
		o["cairn:evidence"] = ref(ipfs(l.Evidence.Cid))
	}
	if p := l.Period; p != nil {
		when := p.Start
		if p.End != "" {
			when += "/" + p.End
		}
		put(o, "temporalCoverage", when)
		if p.Ongoing != nil {
			o["cairn:ongoing"] = *p.Ongoing
		}
	}
	put(o, "cairn:seed", l.Seed)
	put(o, "cairn:prompts", l.Prompts)
	put(o, "description", l.Note)
	return o
}

func activity(a manifests.Activity) obj {
	o := obj{"@type": "prov:Activity", "@id": activityID(a.ID), "cairn:activity": a.Type, "name": a.ID}
	put(o, "description", a.Purpose)
	put(o, "prov:startedAtTime", a.StartedAt)
	put(o, "prov:endedAtTime", a.EndedAt)
	if a.By != "" {
		o["prov:wasAssociatedWith"] = ref(string(a.By))
	}
	if c := a.Code; c != nil {
		code := obj{"@type": []string{"sc:SoftwareSourceCode", "prov:Entity"}}
		put(code, "codeRepository", c.Repo)
		put(code, "version", c.Rev)
		put(code, "identifier", c.SWHID)
		put(code, "cairn:image", c.Image)
		o["instrument"] = code
	}
	if a.Argv != nil {
		o["cairn:argv"] = a.Argv
	}
	if p, err := cjson.Canonicalize(a.Params); err == nil {
		o["cairn:params"] = json.RawMessage(p) // a manifest holds no other bytes
	}
	var used, made []obj
	for _, c := range a.Inputs {
		used = append(used, ref(ipfs(c.Cid)))
	}
	for _, c := range a.Outputs {
		made = append(made, ref(ipfs(c.Cid)))
	}
	if used != nil {
		o["prov:used"] = used
	}
	if made != nil {
		o["prov:generated"] = made
	}
	return o
}
