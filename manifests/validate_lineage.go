package manifests

import (
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// The checks of the members that say where the data comes from.

var activityTypes = []string{"filter", "dedup", "translate", "annotate", "redact", "convert", "generate"}

func (m *Manifest) validateLineage(p *field.Problems) {
	ids := make(map[string]bool, len(m.Activities))
	for i := range p.List("activities", len(m.Activities), field.MaxList) {
		a := m.Activities[i]
		a.validate(p, fmt.Sprintf("activities[%d]", i))
		if ids[a.ID] {
			p.Add("is there already", "activities[%d].id", i)
		}
		ids[a.ID] = true
	}
	for i := range p.List("lineage", len(m.Lineage), MaxReferences) {
		m.Lineage[i].validate(p, fmt.Sprintf("lineage[%d]", i), ids)
	}
}

func (l Lineage) validate(p *field.Problems, at string, activities map[string]bool) {
	p.Add(message(l.Rel.Valid()), "%s.rel", at)
	l.Target.validate(p, at+".target")
	t := l.Target
	if (l.Rel == TransformedBy) != (t.Activity != "") {
		p.Add("transformedBy and an activity belong together", "%s.target.activity", at)
	}
	if t.Activity != "" && !activities[t.Activity] {
		p.Add("names no id of activities", "%s.target.activity", at)
	}
	if (l.Rel == AnnotatedBy) != (t.Party != "") {
		p.Add("annotatedBy and a party belong together", "%s.target.party", at)
	}
	p.Ppm(at+".byteSharePpm", l.ByteSharePpm)
	p.Ppm(at+".recordSharePpm", l.RecordSharePpm)
	if l.TermsAtUse.Defined() {
		p.Add(field.DocumentCID(l.TermsAtUse), "%s.termsAtUse", at)
	}
	l.Period.validate(p, at+".period")
	p.Line(at+".seed", l.Seed, field.MaxShort)
	p.Text(at+".prompts", l.Prompts, maxLong)
	if l.Evidence.Defined() {
		p.Add(field.AnyCID(l.Evidence), "%s.evidence", at)
	}
	p.Text(at+".note", l.Note, maxMedium)
}

func (t Target) validate(p *field.Problems, at string) {
	n := 0
	for _, set := range [...]bool{t.Statement.Defined(), t.CID.Defined(), t.URL != "", t.Model != "", t.Activity != "", t.Party != ""} {
		if set {
			n++
		}
	}
	if n != 1 {
		p.Add("must have exactly one of statement, cid, url, model, activity and party", "%s", at)
	}
	if t.Statement.Defined() {
		p.Add(field.StatementCID(t.Statement), "%s.statement", at)
	}
	if t.CID.Defined() {
		p.Add(field.AnyCID(t.CID), "%s.cid", at)
	}
	p.URL(at+".url", t.URL)
	if msg := checkExternal(t.URL); t.URL != "" && msg != "" {
		p.Add(msg, "%s.url", at)
	}
	p.Line(at+".model", t.Model, field.MaxShort)
	if t.Party != "" {
		p.Add(field.KeyID(t.Party), "%s.party", at)
	}
	if t.DomainTable.Defined() {
		p.Data(at+".domainTable", t.DomainTable)
		if t.URL == "" {
			p.Add("stands only beside url", "%s.domainTable", at)
		}
	}
	p.URL(at+".uri", t.URI)
	p.URL(at+".summaryUrl", t.SummaryURL)
	if t.Model == "" && (t.URI != "" || t.SummaryURL != "" || t.OnEUMarket != nil) {
		p.Add("uri, onEuMarket and summaryUrl stand only beside model", "%s", at)
	}
}

func (d *Period) validate(p *field.Problems, at string) {
	if d == nil {
		return
	}
	p.Add(field.Day(d.Start), "%s.start", at)
	if d.End == "" {
		return
	}
	p.Add(field.Day(d.End), "%s.end", at)
	// A month compares with a day of it as far as both go.
	if n := min(len(d.Start), len(d.End)); d.End[:n] < d.Start[:n] {
		p.Add("is before start", "%s.end", at)
	}
}

func (a Activity) validate(p *field.Problems, at string) {
	p.Add(field.Token(a.ID), "%s.id", at)
	p.Add(field.OneOf(a.Type, activityTypes...), "%s.type", at)
	p.Text(at+".purpose", a.Purpose, maxMedium)
	a.Code.validate(p, at+".code")
	for i := range p.List(at+".argv", len(a.Argv), field.MaxList) {
		if len(a.Argv[i]) > maxMedium {
			p.Add(fmt.Sprintf("may have %d bytes", maxMedium), "%s.argv[%d]", at, i)
		}
	}
	p.Object(at+".params", a.Params, maxParams)
	p.Time(at+".startedAt", a.StartedAt)
	p.Time(at+".endedAt", a.EndedAt)
	if a.EndedAt != "" && a.EndedAt < a.StartedAt {
		p.Add("is before startedAt", "%s.endedAt", at)
	}
	if a.By != "" {
		p.Add(field.KeyID(a.By), "%s.by", at)
	}
	p.CIDs(at+".inputs", a.Inputs)
	p.CIDs(at+".outputs", a.Outputs)
}

func (c *Code) validate(p *field.Problems, at string) {
	if c == nil {
		return
	}
	p.Present(at, *c == Code{})
	p.URL(at+".repo", c.Repo)
	if c.Rev != "" && !field.IsHex(c.Rev, 40) && !field.IsHex(c.Rev, 64) {
		p.Add("must be 40 or 64 lower-case hex digits", "%s.rev", at)
	}
	if c.SWHID != "" {
		p.Add(checkSWHID(c.SWHID, "rev"), "%s.swhid", at)
	}
	if digest, ok := strings.CutPrefix(c.Image, "sha256:"); c.Image != "" && (!ok || !field.IsHex(digest, 64)) {
		p.Add("must be sha256: and 64 lower-case hex digits", "%s.image", at)
	}
}

func (c Chunking) validate(p *field.Problems) {
	if c.Hash != "sha2-256" {
		p.Add("must be sha2-256", "data.chunking.hash")
	}
	bounds := c.Min > 0 && c.Min <= c.Avg && c.Avg <= c.Max && c.Max <= maxBlock
	none := c.Min == 0 && c.Avg == 0 && c.Max == 0
	switch c.Algo {
	case "fixed":
		if c.Size < 1 || c.Size > maxBlock || !none {
			p.Add(fmt.Sprintf("fixed has a size from 1 to %d, and no min, avg, max", maxBlock), "data.chunking.size")
		}
	case "buzhash":
		if c.Size != 0 || !none {
			p.Add("buzhash has no parameters", "data.chunking.size")
		}
	case "rabin", "fastcdc":
		if c.Size != 0 || !bounds {
			p.Add(fmt.Sprintf("%s has 0 < min <= avg <= max <= %d, and no size", c.Algo, maxBlock), "data.chunking.avg")
		}
	default:
		p.Add(field.OneOf(c.Algo, "fixed", "buzhash", "rabin", "fastcdc"), "data.chunking.algo")
	}
}
