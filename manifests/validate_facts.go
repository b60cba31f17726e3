package manifests

import (
	"fmt"
	"slices"

	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// The checks of the members that describe how data was gathered, who owns it,
// and what it does to people.

// Closed lists of other standards, by which exports name the same things.
var (
	collectionMethods = []string{"data-augmentation", "data-mining", "feeds", "machine-generated-ml-ops", "other", "primary-user-source",
		"simulations", "social-media", "syndication", "transfer-learning", "user-generated-content", "web-scraping-crawling"}
	privacyTechnologies = []string{"data-anonymization", "data-encryption", "data-masking", "data-minimization", "data-redaction",
		"differential-privacy", "federated-learning", "homomorphic-encryption", "k-anonymity", "l-diversity", "pseudonymization",
		"secure-multi-party-computation", "t-closeness", "tokenization", "other"}
	intendedUses = []string{"alignment", "evaluation", "pre-training", "production", "quality-assurance", "research",
		"staging-testing", "synthetic-data-generation", "other"}
	yesNo = []string{"no", "yes", "unknown"}
)

// IntendedUses returns the closed list of codes of intended uses.
func IntendedUses() []string { return slices.Clone(intendedUses) }

func (c *Collection) validate(p *field.Problems) {
	if c == nil {
		return
	}
	p.Present("collection", c.Method == nil && c.Period == nil && c.Geography == nil && c.Crawlers == nil &&
		c.Domains == nil && c.Instruments == nil && c.Annotators == nil)
	p.OneOfEach("collection.method", c.Method, collectionMethods)
	c.Period.validate(p, "collection.period")
	for i := range p.List("collection.geography", len(c.Geography), field.MaxList) {
		p.Add(field.Place(c.Geography[i]), "collection.geography[%d]", i)
	}
	for i := range p.List("collection.crawlers", len(c.Crawlers), field.MaxList) {
		c.Crawlers[i].validate(p, fmt.Sprintf("collection.crawlers[%d]", i))
	}
	c.Domains.validate(p, "collection.domains")
	p.Texts("collection.instruments", c.Instruments, maxMedium)
	if a := c.Annotators; a != nil {
		p.Present("collection.annotators", *a == Annotators{})
		p.Line("collection.annotators.platform", a.Platform, field.MaxShort)
		p.Count("collection.annotators.perItem", a.PerItem)
		p.Text("collection.annotators.demographics", a.Demographics, maxMedium)
	}
}

func (d *Domains) validate(p *field.Problems, at string) {
	if d == nil {
		return
	}
	p.Data(at+".table", d.Table)
	p.Add(field.Count(d.Count), "%s.count", at)
	if d.Top10Pct.Defined() {
		p.Data(at+".top10Pct", d.Top10Pct)
	}
}

func (c Crawler) validate(p *field.Problems, at string) {
	p.Add(field.Line(c.Name, field.MaxShort), "%s.name", at)
	p.Line(at+".ua", c.UA, maxMedium)
	p.Enum(at+".robots", c.Robots, "respected", "partly-respected", "not-respected", "unknown")
	p.Enum(at+".captcha", c.Captcha, "not-bypassed", "bypassed", "unknown")
	p.Enum(at+".paywall", c.Paywall, "not-bypassed", "bypassed", "unknown")
	p.Enum(at+".login", c.Login, "none", "used", "unknown")
	c.Period.validate(p, at+".period")
}

func (r *Rights) validate(p *field.Problems) {
	if r == nil {
		return
	}
	p.Present("rights", r.Copyright == "" && r.Trademark == nil && r.Patent == nil && r.Acquired == "" &&
		r.PubliclyAvailable == nil && r.TDM == nil && r.Owners == nil)
	p.Enum("rights.copyright", r.Copyright, "contains-protected", "public-domain", "mixed", "unknown")
	p.Enum("rights.acquired", r.Acquired, "created", "licensed", "purchased", "public", "donated", "crawled")
	if t := r.TDM; t != nil {
		p.Present("rights.tdm", t.ProtocolsHonoured == nil && t.CheckedAt == "")
		for i := range p.List("rights.tdm.protocolsHonoured", len(t.ProtocolsHonoured), field.MaxList) {
			p.Add(field.Token(t.ProtocolsHonoured[i]), "rights.tdm.protocolsHonoured[%d]", i)
		}
		p.Time("rights.tdm.checkedAt", t.CheckedAt)
	}
	var sum int64
	for i := range p.List("rights.owners", len(r.Owners), field.MaxList) {
		o := r.Owners[i]
		p.Add(field.Line(o.Name, maxDisplayName), "rights.owners[%d].name", i)
		if o.SharePpm != nil {
			p.Add(field.Ppm(*o.SharePpm), "rights.owners[%d].sharePpm", i)
			sum += min(max(*o.SharePpm, 0), million)
		}
	}
	if sum > million {
		p.Add(fmt.Sprintf("the shares add up to %d, more than %d", sum, million), "rights.owners")
	}
}

func (v *Privacy) validate(p *field.Problems) {
	if v == nil {
		return
	}
	p.Present("privacy", v.PersonalInfo == "" && v.AggregateConsumerInfo == "" && v.SpecialCategories == nil &&
		v.Measures == nil && v.Consents == nil && v.LegalBasis == "" && v.Contact == "")
	p.Enum("privacy.personalInfo", v.PersonalInfo, yesNo...)
	p.Enum("privacy.aggregateConsumerInfo", v.AggregateConsumerInfo, yesNo...)
	p.Texts("privacy.specialCategories", v.SpecialCategories, field.MaxShort)
	for i := range p.List("privacy.measures", len(v.Measures), field.MaxList) {
		m, at := v.Measures[i], fmt.Sprintf("privacy.measures[%d]", i)
		p.Add(field.OneOf(m.Technology, privacyTechnologies...), "%s.technology", at)
		p.Text(at+".tool", m.Tool, maxMedium)
		p.Text(at+".result", m.Result, maxMedium)
	}
	p.CIDs("privacy.consents", v.Consents)
	p.Text("privacy.legalBasis", v.LegalBasis, maxMedium)
	p.Line("privacy.contact", v.Contact, field.MaxShort)
}

func (s *Safety) validate(p *field.Problems) {
	if s == nil {
		return
	}
	p.Present("safety", s.IllegalContentMeasures == "" && s.KnownBiases == nil && s.Limitations == nil &&
		s.IntendedUses == nil && s.ProhibitedUses == nil && s.SocialImpact == "")
	p.Text("safety.illegalContentMeasures", s.IllegalContentMeasures, maxLong)
	p.Texts("safety.knownBiases", s.KnownBiases, maxMedium)
	p.Texts("safety.limitations", s.Limitations, maxMedium)
	for i := range p.List("safety.intendedUses", len(s.IntendedUses), field.MaxList) {
		u, at := s.IntendedUses[i], fmt.Sprintf("safety.intendedUses[%d]", i)
		p.Add(field.OneOf(u.Code, intendedUses...), "%s.code", at)
		p.Text(at+".text", u.Text, maxMedium)
	}
	p.Texts("safety.prohibitedUses", s.ProhibitedUses, maxMedium)
	p.Text("safety.socialImpact", s.SocialImpact, maxLong)
}
