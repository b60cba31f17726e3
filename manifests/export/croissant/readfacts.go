package croissant

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

func itoa(i int) string { return strconv.Itoa(i) }

func sorted(n node) []string { return slices.Sorted(maps.Keys(n)) }

// Names of RAI's own examples, which differ from its table of properties, and
// the names of the table.
var otherRAI = map[string]string{
	"rai:dataUseCases": "rai:useCases", "rai:dataReleaseMaintenancePlan": "rai:dataReleaseMaintenance",
	"rai:dataAnnotationPlatform": "rai:annotationPlatform", "rai:dataCollectionTimeframe": "rai:dataCollectionTimeFrame",
}

// said is [reader.takes] for a property of RAI.
func (r *reader) said(name string) []string {
	list := r.takes(name)
	if other := otherRAI[name]; other != "" && len(list) == 0 {
		return r.takes(other)
	}
	return list
}

// joined is said for a property of which there should be one.
func (r *reader) joined(name string) string { return strings.Join(r.said(name), "\n") }

// facts reads what facts wrote.
func (r *reader) facts() {
	var c manifests.Collection
	for _, k := range r.said("rai:dataCollectionType") {
		for own, word := range collected {
			if strings.EqualFold(k, word) {
				k = own
			}
		}
		c.Method = append(c.Method, k)
	}
	c.Period = r.timeframe()
	if live, ok := r.node["isLiveDataset"].(bool); ok {
		switch {
		case c.Period != nil:
			c.Period.Ongoing = &live
		case live:
			r.Add("isLiveDataset", "a collection that goes on has a beginning, which is not said")
		}
	}
	r.done["isLiveDataset"] = true
	c.Geography = r.places()
	c.Instruments = r.takes("measurementTechnique")
	var a manifests.Annotators
	a.Platform, a.Demographics = r.joined("rai:dataAnnotationPlatform"), r.joined("rai:annotatorDemographics")
	r.done["rai:annotationsPerItem"] = true
	if s := r.text("rai:annotationsPerItem"); s != "" {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
			a.PerItem = &n
		} else {
			r.Add("rai:annotationsPerItem", "%s is not a whole number", fault.Quote(s))
		}
	}
	if a != (manifests.Annotators{}) {
		c.Annotators = &a
	}
	if c.Method != nil || c.Period != nil || c.Geography != nil || c.Instruments != nil || c.Annotators != nil {
		r.m.Collection = &c
	}
	var p manifests.Privacy
	for i, s := range r.said("rai:personalSensitiveInformation") {
		if answer, ok := strings.CutPrefix(s, personal); ok && i == 0 && (answer == "yes" || answer == "no" || answer == "unknown") {
			p.PersonalInfo = answer
			continue
		}
		p.SpecialCategories = append(p.SpecialCategories, s)
	}
	if p.PersonalInfo != "" || p.SpecialCategories != nil {
		r.m.Privacy = &p
	}
	s := manifests.Safety{KnownBiases: r.said("rai:dataBiases"), Limitations: r.said("rai:dataLimitations"), SocialImpact: r.joined("rai:dataSocialImpact")}
	for _, u := range r.said("rai:dataUseCases") {
		code, text, _ := strings.Cut(u, ": ")
		if !slices.Contains(manifests.IntendedUses(), code) {
			code, text = "other", u
		}
		s.IntendedUses = append(s.IntendedUses, manifests.IntendedUse{Code: code, Text: text})
	}
	if s.KnownBiases != nil || s.Limitations != nil || s.SocialImpact != "" || s.IntendedUses != nil {
		r.m.Safety = &s
	}
	if plan := r.joined("rai:dataReleaseMaintenancePlan"); plan != "" {
		r.m.Maintenance = &manifests.Maintenance{Updates: plan}
	}
}

// timeframe reads the period of collection: its days, or its first and last.
func (r *reader) timeframe() *manifests.Period {
	var days []string
	for _, s := range r.said("rai:dataCollectionTimeframe") {
		s = strings.TrimSuffix(s, "/")
		from, to, both := strings.Cut(s, "/")
		days = append(days, day(from))
		if both {
			days = append(days, day(to))
		}
	}
	for _, name := range [...]string{"rai:dataCollectionTimeFrameStart", "rai:dataCollectionTimeFrameEnd"} {
		if s := r.take(name); s != "" {
			days = append(days, day(s))
		}
	}
	if len(days) == 0 {
		return nil
	}
	p := &manifests.Period{Start: days[0]}
	if len(days) == 2 {
		p.End = days[1]
	}
	if len(days) > 2 || slices.Contains(days, "") {
		r.Add("rai:dataCollectionTimeframe", "is not a day or a month, or two of them")
		return nil
	}
	return p
}

// day cuts an instant down to its day; "" for what is none.
func day(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > len("2006-01-02") && (s[10] == 'T' || s[10] == ' ') {
		s = s[:10]
	}
	return s
}

func (r *reader) places() (list []string) {
	r.done["spatialCoverage"] = true
	for _, v := range r.list("spatialCoverage") {
		s := textOf(v)
		if o, ok := v.(map[string]any); ok && s == "" {
			s = node(o).text("name")
		}
		if s == "" {
			r.Add("spatialCoverage", "is not a name")
			continue
		}
		list = append(list, s)
	}
	return list
}

// lineage reads relations and activities. Of a document of ours the list of
// qualified influences is all; what is beside it in the direct properties, and
// what others write, is a general derivation.
func (r *reader) lineage() {
	for _, name := range [...]string{"prov:qualifiedInfluence", "prov:wasDerivedFrom", "prov:wasGeneratedBy", "prov:wasAttributedTo", "sameAs",
		"rai:dataPreprocessingProtocol", "rai:dataAnnotationProtocol", "rai:dataManipulationProtocol", "rai:dataCollectionRawData"} {
		r.done[name] = true
	}
	for i, a := range r.nodes("prov:wasGeneratedBy") {
		r.activity(a, "prov:wasGeneratedBy["+itoa(i)+"]")
	}
	said := make(map[string]bool)
	for i, q := range r.nodes("prov:qualifiedInfluence") {
		if l, id, ok := r.influence(q, "prov:qualifiedInfluence["+itoa(i)+"]"); ok {
			said[id] = true
			r.m.Lineage = append(r.m.Lineage, l)
		}
	}
	other := func(name string, rel manifests.Rel) {
		for i, v := range r.list(name) {
			at := name + "[" + itoa(i) + "]"
			id := textOf(v)
			if id == "" {
				r.Add(at, "does not say what, by a URL or a CID")
			} else if !said[id] && !(rel == manifests.Mirrors && i == 0 && r.has(ours)) {
				said[id] = true
				if t, ok := target(id); ok {
					r.m.Lineage = append(r.m.Lineage, manifests.Lineage{Rel: rel, Target: t})
				} else {
					r.Add(at, "%s is neither a URL nor a CID", fault.Quote(id))
				}
			}
		}
	}
	other("prov:wasDerivedFrom", manifests.DerivedFrom)
	other("sameAs", manifests.Mirrors)
	r.attributed(said)
	r.protocols()
}

// attributed reads who was named beside the creators.
func (r *reader) attributed(said map[string]bool) {
	for _, c := range r.m.Contributors {
		said[string(c.ID)] = true
	}
	for i, v := range r.list("prov:wasAttributedTo") {
		if said[textOf(v)] {
			continue
		}
		r.Add("prov:wasAttributedTo["+itoa(i)+"]", "contributors are those of creator that have a did:key")
	}
}

// protocols lists what RAI's protocols say that no activity does.
func (r *reader) protocols() {
	for _, name := range [...]string{preprocessing, "rai:dataAnnotationProtocol", "rai:dataManipulationProtocol"} {
		var known []string
		seen := make(map[string]bool)
		for _, a := range r.m.Activities {
			if protocol(a.Type) == name && a.Purpose != "" && !seen[a.Purpose] {
				seen[a.Purpose] = true
				known = append(known, a.Purpose)
			}
		}
		if list := r.texts(name); !slices.Equal(list, known) && strings.Join(list, "; ") != strings.Join(known, "; ") {
			r.Add(name, "does not say what was run; write it into activities")
		}
	}
	if r.has("rai:dataCollectionRawData") && !r.has(ours) {
		r.Add("rai:dataCollectionRawData", "is not a URL or CID; write it into lineage, as collectedFrom")
	}
}

// target reads the name of something that data comes from.
func target(id string) (t manifests.Target, ok bool) {
	if s, cut := strings.CutPrefix(id, "ipfs://"); cut {
		if c, err := cjson.ParseCID(s); err == nil {
			t.CID = cjson.CID{Cid: cjson.V1(c)}
			return t, true
		}
	}
	if _, s, cut := strings.Cut(id, "/v1/statements/"); cut {
		if c, err := cjson.ParseCID(s); err == nil {
			t.Statement = cjson.CID{Cid: c}
			return t, true
		}
	}
	t.URL = id
	return t, strings.Contains(id, ":")
}

func cidOf(n node) (c cjson.CID) {
	if p, err := cjson.ParseCID(strings.TrimPrefix(n.text("@id"), "ipfs://")); err == nil {
		c.Cid = p
	}
	return c
}

func (r *reader) cid(n node, name, at string) (c cjson.CID) {
	for _, x := range n.nodes(name) {
		if c = cidOf(x); !c.Defined() {
			r.Add(at+"."+name, "is not ipfs:// and a CID")
		}
	}
	return c
}

func (r *reader) cids(n node, name, at string) (list []cjson.CID) {
	for _, x := range n.nodes(name) {
		if c := cidOf(x); c.Defined() {
			list = append(list, c)
		} else {
			r.Add(at+"."+name, "%s is not ipfs:// and a CID", fault.Quote(x.text("@id")))
		}
	}
	return list
}

func (r *reader) influence(q node, at string) (l manifests.Lineage, id string, ok bool) {
	l.Rel = manifests.Rel(q.text("cairn:relation"))
	if l.Rel == "" {
		l.Rel = manifests.DerivedFrom
		for _, t := range q.texts("@type") {
			switch t {
			case "prov:Revision":
				l.Rel = manifests.VersionOf
			case "prov:PrimarySource":
				l.Rel = manifests.CollectedFrom
			case "prov:Derivation", "prov:Quotation":
			default:
				r.Add(at, "%s says no relation that a manifest knows", fault.Quote(t))
				return l, "", false
			}
		}
	}
	if l.Rel.Valid() != nil {
		r.Add(at, "%s is not a relation", fault.Quote(string(l.Rel)))
		return l, "", false
	}
	_, member, _ := influence(l.Rel)
	var other node
	for _, n := range q.nodes(member) {
		other = n
	}
	if other == nil {
		r.Add(at, "%s is missing", member)
		return l, "", false
	}
	id = other.text("@id")
	switch model := other.text("name"); {
	case model != "" && slices.Contains(other.texts("@type"), "prov:SoftwareAgent"):
		l.Target.Model, l.Target.URI, l.Target.SummaryURL = model, id, other.text("cairn:summary")
		if b, is := other["cairn:onEuMarket"].(bool); is {
			l.Target.OnEUMarket = &b
		}
	case member == "prov:activity":
		l.Target.Activity = strings.TrimPrefix(id, activityID(""))
		if !r.activities[l.Target.Activity] {
			r.Add(at, "%s is not an activity of the document", fault.Quote(id))
			return l, "", false
		}
	case l.Rel == manifests.AnnotatedBy:
		key, err := sign.ParseKeyID(id)
		if err != nil {
			r.Add(at, "%s is not a did:key", fault.Quote(id))
			return l, "", false
		}
		l.Target.Party = key
	default:
		var is bool
		if l.Target, is = target(id); !is {
			r.Add(at, "%s is neither a URL nor a CID", fault.Quote(id))
			return l, "", false
		}
		l.Target.DomainTable.Cid = r.cid(other, "cairn:domainTable", at).Cid
	}
	for name, to := range map[string]**int64{"cairn:byteSharePpm": &l.ByteSharePpm, "cairn:recordSharePpm": &l.RecordSharePpm} {
		if *to, ok = q.number(name); !ok {
			r.Add(at+"."+name, "is not a whole number")
		}
	}
	l.TermsAtUse, l.Evidence = r.cid(q, "cairn:termsAtUse", at), r.cid(q, "cairn:evidence", at)
	if when := q.text("temporalCoverage"); when != "" {
		l.Period = new(manifests.Period)
		l.Period.Start, l.Period.End, _ = strings.Cut(when, "/")
		if b, is := q["cairn:ongoing"].(bool); is {
			l.Period.Ongoing = &b
		}
	}
	l.Seed, l.Prompts, l.Note = q.text("cairn:seed"), q.text("cairn:prompts"), q.text("description")
	return l, id, true
}

func (r *reader) activity(o node, at string) {
	a := manifests.Activity{
		ID: strings.TrimPrefix(o.text("@id"), activityID("")), Type: o.text("cairn:activity"), Purpose: o.text("description"),
		StartedAt: o.text("prov:startedAtTime"), EndedAt: o.text("prov:endedAtTime"),
	}
	if a.Type == "" {
		r.Add(at, "does not say which kind of activity it is; write it into activities")
		return
	}
	for _, by := range o.nodes("prov:wasAssociatedWith") {
		key, err := sign.ParseKeyID(by.text("@id"))
		if err != nil {
			r.Add(at+".prov:wasAssociatedWith", "%s is not a did:key", fault.Quote(by.text("@id")))
			continue
		}
		a.By = key
	}
	for _, c := range o.nodes("instrument") {
		a.Code = &manifests.Code{Repo: c.text("codeRepository"), Rev: c.text("version"), SWHID: c.text("identifier"), Image: c.text("cairn:image")}
	}
	if o["cairn:argv"] != nil {
		a.Argv = []string{}
		for _, v := range o.list("cairn:argv") {
			s, _ := v.(string)
			a.Argv = append(a.Argv, s)
		}
	}
	if p := o["cairn:params"]; p != nil {
		b, err := json.Marshal(p)
		if b, err = canonical(b, err); err == nil {
			a.Params = b
		} else {
			r.Add(at+".cairn:params", "is not an object that a manifest can hold")
		}
	}
	a.Inputs, a.Outputs = r.cids(o, "prov:used", at), r.cids(o, "prov:generated", at)
	r.activities[a.ID] = true
	r.m.Activities = append(r.m.Activities, a)
}

func canonical(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return cjson.Canonicalize(b)
}
