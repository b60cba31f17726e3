package terms

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	maxText = 16 << 10
	maxDays = 36_500 // a hundred years

	// maxAmount bounds an amount of money in minor units, below 2^127.
	maxAmount = 38
)

// The uses that terms speak of, each commercial or not.
const (
	UseTrain         = "train"
	UseFinetune      = "finetune"
	UseEvaluate      = "evaluate"
	UseRAG           = "rag" // retrieve passages while a model answers
	UseDistill       = "distill-synthetic"
	UseCopy          = "redistribute-verbatim"
	UseDerive        = "redistribute-derived"
	UseWeightsOpen   = "publish-weights-open"
	UseWeightsClosed = "publish-weights-closed"
)

// Uses returns the closed list of uses.
func Uses() []string { return slices.Clone(uses) }

var uses = []string{UseTrain, UseFinetune, UseEvaluate, UseRAG, UseDistill, UseCopy, UseDerive, UseWeightsOpen, UseWeightsClosed}

// Validate reports everything that is wrong with t, as joined errors that each
// have a path and are marked fault.Invalid. Whether a licence identifier is on
// the SPDX list is not its check.
func (t *Terms) Validate() error {
	p := new(field.Problems)
	if t.Schema != Schema {
		p.Add("must be "+Schema, "$schema")
	}
	if t.ID != "" {
		key, fragment, _ := strings.Cut(t.ID, "#")
		if field.KeyID(sign.KeyID(key)) != "" || field.Token(fragment) != "" {
			p.Add("must be a did:key, # and a name", "id")
		}
	}
	p.Line("title", t.Title, field.MaxShort)
	for i := range p.List("licensor", len(t.Licensor), field.MaxList) {
		l := t.Licensor[i]
		p.Add(field.KeyID(l.ID), "licensor[%d].id", i)
		p.Line(fmt.Sprintf("licensor[%d].name", i), l.Name, field.MaxShort)
		p.Line(fmt.Sprintf("licensor[%d].contact", i), l.Contact, field.MaxShort)
	}
	t.Base.validate(p)
	for i := range p.List("grants", len(t.Grants), field.MaxList) {
		t.Grants[i].validate(p, fmt.Sprintf("grants[%d]", i))
	}
	for i := range p.List("prohibits", len(t.Prohibits), field.MaxList) {
		t.Prohibits[i].validate(p, fmt.Sprintf("prohibits[%d]", i))
	}
	t.Conditions.validate(p)
	t.Payment.validate(p)
	t.Signals.validate(p)
	t.Privacy.validate(p)
	p.Time("validFrom", t.ValidFrom)
	p.Time("validUntil", t.ValidUntil)
	if t.ValidUntil != "" && t.ValidUntil < t.ValidFrom {
		p.Add("is before validFrom", "validUntil")
	}
	if t.GoverningLaw != "" {
		p.Add(field.Place(t.GoverningLaw), "governingLaw")
	}
	p.Text("disputes", t.Disputes, maxText)
	return p.Err()
}

func (b Base) validate(p *field.Problems) {
	if err := CheckExpression(b.SPDX); err != nil {
		p.Add(err.Error(), "base.spdx")
	}
	if b.Text.Defined() {
		p.Data("base.text", b.Text)
	}
	if b.TextSHA256 != "" {
		p.Add(field.SHA256(b.TextSHA256), "base.textSha256")
	}
	if b.Text.Defined() != (b.TextSHA256 != "") {
		p.Add("text and textSha256 stand together", "base.text")
	}
}

func (g Grant) validate(p *field.Problems, at string) {
	if len(g.Use) == 0 {
		p.Add("must have an entry", "%s.use", at)
	}
	p.OneOfEach(at+".use", g.Use, uses)
	for i := range p.List(at+".territory", len(g.Territory), field.MaxList) {
		if g.Territory[i] != "*" {
			p.Add(field.Place(g.Territory[i]), "%s.territory[%d]", at, i)
		}
	}
}

func (x Prohibition) validate(p *field.Problems, at string) {
	if len(x.Use) == 0 && len(x.Purpose) == 0 {
		p.Add("must have use or purpose", "%s", at)
	}
	p.OneOfEach(at+".use", x.Use, uses)
	for i := range p.List(at+".purpose", len(x.Purpose), field.MaxList) {
		p.Add(field.Token(x.Purpose[i]), "%s.purpose[%d]", at, i)
	}
	p.Text(at+".reason", x.Reason, maxText)
}

func (c *Conditions) validate(p *field.Problems) {
	if c == nil {
		return
	}
	p.Present("conditions", *c == Conditions{})
	p.Enum("conditions.accept", c.Accept, "use", "bytes")
	if a := c.Attribution; a != nil {
		p.Text("conditions.attribution.text", a.Text, maxText)
		for i := range p.List("conditions.attribution.where", len(a.Where), field.MaxList) {
			p.Add(field.Token(a.Where[i]), "conditions.attribution.where[%d]", i)
		}
	}
	if r := c.ReportUsage; r != nil && (r.WithinDays < 0 || r.WithinDays > maxDays) {
		p.Add(fmt.Sprintf("must be at most %d", maxDays), "conditions.reportUsage.withinDays")
	}
	if d := c.DeleteOnWithdrawal; d != nil {
		p.Enum("conditions.deleteOnWithdrawal.scope", d.Scope, "future-training")
	}
}

func (y *Payment) validate(p *field.Problems) {
	if y == nil {
		return
	}
	p.Add(field.OneOf(y.Model, "none", "revenue-share"), "payment.model")
	if y.Model == "none" {
		if *y != (Payment{Model: "none"}) {
			p.Add(`the other members belong to "revenue-share"; only ratePpm 0 and toDerived false stand here`, "payment")
		}
		return
	}
	p.Enum("payment.policy", y.Policy, "relative")
	p.Enum("payment.base", y.Base, "net-revenue")
	p.Payment("payment", field.Payment{
		RatePpm: y.RatePpm, Stacking: y.Stacking, FloorPpm: y.FloorPpm, CapPpm: y.CapPpm, Pool: y.Pool, PoolPpm: y.PoolPpm,
	})
	if y.Attribution != "" {
		method, version, _ := strings.Cut(y.Attribution, "/")
		if field.Token(method) != "" || !field.Number(version) || len(version) > 4 {
			p.Add("must be a method and its version, like chunk-first-seen/1", "payment.attribution")
		}
	}
	p.Enum("payment.onWithdraw", y.OnWithdraw, "keep", "hold", "pool")
	if y.Currency != "" && (len(y.Currency) > 200 || !field.Only(y.Currency, "-_:/.%")) {
		p.Add("must be three capital letters (ISO 4217) or a CAIP-19 asset", "payment.currency")
	}
	if y.SettleEvery != "" && !isDuration(y.SettleEvery) {
		p.Add("must be a duration in years, months, weeks or days, like P3M", "payment.settleEvery")
	}
	if f := y.Free; f != nil {
		p.Present("payment.free", *f == Free{})
		if f.RevenueBelowMinor != "" && (!field.Number(f.RevenueBelowMinor) || len(f.RevenueBelowMinor) > maxAmount) {
			p.Add(fmt.Sprintf("must be a whole number of at most %d decimal digits, as a string", maxAmount), "payment.free.revenueBelowMinor")
		}
	}
}

// isDuration reports whether s is an ISO 8601 duration of one calendar unit.
func isDuration(s string) bool {
	n, ok := strings.CutPrefix(s, "P")
	if !ok || len(n) < 2 || strings.IndexByte("YMWD", n[len(n)-1]) < 0 || !field.Number(n[:len(n)-1]) {
		return false
	}
	v, err := strconv.Atoi(n[:len(n)-1])
	return err == nil && v >= 1 && v <= maxDays
}

func (s *Signals) validate(p *field.Problems) {
	if s == nil {
		return
	}
	p.Present("signals", *s == Signals{})
	if a := s.AIPref; a != nil {
		p.Present("signals.aipref", *a == AIPref{})
		p.Enum("signals.aipref.trainAi", a.TrainAI, "y", "n")
		p.Enum("signals.aipref.search", a.Search, "y", "n")
	}
	if r := s.TDMReservation; r != nil && *r != 0 && *r != 1 {
		p.Add("must be 0 or 1", "signals.tdmReservation")
	}
	p.URL("signals.tdmPolicy", s.TDMPolicy)
	if r := s.RSL; r != nil {
		p.Present("signals.rsl", r.Usage == nil && r.Payment == "")
		for i := range p.List("signals.rsl.usage", len(r.Usage), field.MaxList) {
			p.Add(field.Token(r.Usage[i]), "signals.rsl.usage[%d]", i)
		}
		if r.Payment != "" {
			p.Add(field.Token(r.Payment), "signals.rsl.payment")
		}
	}
	p.Enum("signals.ccSignal", s.CCSignal, "cr", "cr-dc", "cr-ec", "cr-op")
}

func (v *Privacy) validate(p *field.Problems) {
	if v == nil {
		return
	}
	p.Present("privacy", v.PersonalData == "" && v.SpecialCategories == nil && v.Consents == nil && v.Jurisdictions == nil)
	p.Enum("privacy.personalData", v.PersonalData, "none", "pseudonymised", "present")
	p.CIDs("privacy.consents", v.Consents)
	for i := range p.List("privacy.jurisdictions", len(v.Jurisdictions), field.MaxList) {
		p.Add(field.Place(v.Jurisdictions[i]), "privacy.jurisdictions[%d]", i)
	}
}
