package terms

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An outcome is what is found about a licence, or a work.
type outcome struct {
	verdict Verdict
	reasons []Reason
	owed    []Obligation
	flags   ask
	branch  string // of an expression with a choice
	moved   bool   // a share-alike work that leaves its family
	home    bool   // … or that stays in it
}

// worst returns the reasons that have the verdict's rank. Of an obligation the
// first says what allows the use.
func (o *outcome) worst() []Reason {
	var out []Reason
	for _, r := range o.reasons {
		if r.Verdict == o.verdict && !slices.ContainsFunc(out, func(x Reason) bool {
			return x.Rule == r.Rule && x.Why == r.Why && x.Source == r.Source
		}) {
			out = append(out, r)
		}
	}
	return out
}

func (o *outcome) find(v Verdict, rule int, source, format string, args ...any) {
	o.verdict = o.verdict.Worse(v)
	o.reasons = append(o.reasons, Reason{Verdict: v, Rule: rule, Source: source, Why: fmt.Sprintf(format, args...)})
}

// owe adds an obligation, with a reason for the verdict it makes.
func (o *outcome) owe(b Obligation, format string, args ...any) {
	o.owed = append(o.owed, b)
	o.find(Obligations, b.Rule, b.Source, format, args...)
}

// and joins what holds at once: the worst verdict, all obligations.
func (o *outcome) and(x outcome) {
	o.verdict = o.verdict.Worse(x.verdict)
	o.reasons = append(o.reasons, x.reasons...)
	o.owed = append(o.owed, x.owed...)
	o.flags |= x.flags
	o.moved = o.moved || x.moved
	o.home = o.home || x.home
}

// An evaluation judges works for one question and one family of derived data,
// "" for none.
type evaluation struct {
	*Table
	q      Question
	parsed map[string]*node // of every document's expression
	target string
	// closed says of families that documents make for themselves which keep derived
	// data from commercial use; own is that of the document that is judged.
	closed map[string]bool
	own    string
}

// leaves reports whether what is judged would go on under other terms than its own.
func (e evaluation) leaves() bool { return e.target != "" && e.target != e.own }

// expression is rule 8: of OR the mildest, then the least demanding branch; of
// AND all.
func (e evaluation) expression(n *node, license func(*node) outcome) outcome {
	switch n.op {
	case "OR":
		var best outcome
		for i, a := range n.args {
			o := e.expression(a, license)
			if o.branch == "" {
				o.branch = a.String()
			}
			if i == 0 || milder(&o, &best) < 0 {
				best = o
			}
		}
		return best
	case "AND":
		var o outcome
		o.verdict = Allow
		chosen, parts := false, make([]string, len(n.args))
		for i, a := range n.args {
			x := e.expression(a, license)
			parts[i] = a.String()
			if x.branch != "" {
				chosen, parts[i] = true, x.branch
			}
			o.and(x)
		}
		if chosen {
			o.branch = strings.Join(parts, " AND ")
		}
		return o
	}
	return license(n)
}

func milder(a, b *outcome) int {
	return cmp.Or(cmp.Compare(a.verdict.Rank(), b.verdict.Rank()), cmp.Compare(a.flags.level(), b.flags.level()),
		cmp.Compare(len(a.owed), len(b.owed)), strings.Compare(a.branch, b.branch))
}

// license judges one licence of an expression by its facets: rules 3 to 6.
func (e evaluation) license(n *node) outcome {
	o, name := outcome{verdict: Allow}, n.String()
	l := e.lookUp(n)
	use, commercial := e.q.Use, e.q.Commercial
	if l == nil || l.Unknown {
		e.unknown(&o, name, "it is not known what the licence allows")
		return o
	}
	if l.Reserved {
		o.find(Deny, 1, name, "it grants nothing itself, and the terms do not grant %s", e.use())
		return o
	}
	if l.Uses != nil && !slices.Contains(l.Uses, use) {
		o.find(Deny, 1, name, "it grants only %s", strings.Join(l.Uses, ", "))
	}
	o.find(Allow, 0, name, "the licence allows %s", e.use())
	if asked(l.NonCommercial) {
		o.flags |= askNC
		if commercial {
			o.find(Deny, 3, name, "it does not allow commercial use")
		} else {
			o.owe(Obligation{Kind: OweNonCommercial, Rule: 3, Source: name}, "it allows use that is not commercial")
		}
		if e.leaves() && e.target != l.Family && !e.nonCommercial(e.target) {
			o.find(Deny, 6, name, "derived data would go on under %s, which allows commercial use", e.goesOn())
		}
	}
	if asked(l.NoDerivatives) {
		switch use {
		case UseDerive:
			o.find(Deny, 4, name, "it does not allow derived data to be passed on")
		case UseCopy:
			o.owe(Obligation{Kind: OweNoDerivatives, Rule: 4, Source: name}, "it is passed on unchanged")
		case UseTrain, UseFinetune, UseDistill, UseWeightsOpen, UseWeightsClosed:
			o.find(Review, 4, name, "whether a model is a derivative, which it does not allow, is not settled")
		}
	}
	if asked(l.ShareAlike) {
		e.shareAlike(&o, l, name)
	}
	if asked(l.UseRestrictions) {
		o.flags |= askU
		o.owe(Obligation{Kind: OweUseRestrictions, Rule: 0, Source: name}, "its restrictions of use are kept and passed on")
		if e.leaves() {
			o.find(Review, 6, name, "its restrictions of use stand against %s, which allows no others", e.goesOn())
		}
	}
	if l.OutputClauses {
		// Data under a model's licence is what that model put out.
		switch use {
		case UseTrain, UseFinetune, UseDistill, UseWeightsOpen, UseWeightsClosed:
			o.find(Review, 5, name, "it has clauses on what a model puts out, and on models that are made with that")
		}
	}
	e.credit(&o, l, name)
	return o
}

// unknown is rule 5.
func (e evaluation) unknown(o *outcome, name, why string) {
	if e.q.Use == UseCopy || e.q.Use == UseDerive {
		o.find(Deny, 5, name, "%s, so nothing may be passed on", why)
	} else {
		o.find(Review, 5, name, "%s", why)
	}
}

// shareAlike is rule 6 for one licence.
func (e evaluation) shareAlike(o *outcome, l *License, name string) {
	o.flags |= askSA
	switch e.q.Use {
	case UseCopy:
		o.owe(Obligation{Kind: OweShareAlike, Rule: 6, Source: name, Text: l.ID}, "it is passed on under the same licence")
	case UseDerive:
		switch {
		case e.target == l.Family:
			o.home = true
			o.owe(Obligation{Kind: OweShareAlike, Rule: 6, Source: name, Text: l.output()}, "derived data goes on under %s", l.output())
		case slices.Contains(l.Into, e.target):
			o.moved = true
			o.owe(Obligation{Kind: OweShareAlike, Rule: 6, Source: name, Text: e.goesOn()}, "derived data may go on under %s", e.goesOn())
		case e.target == "":
			o.find(Deny, 6, name, "derived data must go on under %s, which other works do not allow", l.output())
		default:
			o.find(Deny, 6, name, "derived data must go on under %s, not under %s", l.output(), e.goesOn())
		}
	case UseWeightsOpen, UseWeightsClosed:
		o.find(Review, 6, name, "whether share-alike reaches into weights is not settled")
	}
}

// credit adds what is owed to the makers: attribution and notice.
func (e evaluation) credit(o *outcome, l *License, name string) {
	passed := e.q.Use == UseCopy || e.q.Use == UseDerive
	if asked(l.Attribution) {
		o.flags |= askA
		if e.q.Use != UseEvaluate {
			o.owe(Obligation{Kind: OweAttribution, Rule: 0, Source: name}, "the makers are named")
		}
	}
	if asked(l.Notice) {
		o.flags |= askN
		if passed {
			o.owe(Obligation{Kind: OweNotice, Rule: 0, Source: name}, "notices and the text of the licence travel with the data")
		}
	}
}

// duties is what a licence asks beside a grant of the terms: credit alone.
func (e evaluation) duties(n *node) outcome {
	o := outcome{verdict: Allow}
	if l := e.lookUp(n); l != nil && !l.Unknown && !l.Reserved {
		e.credit(&o, l, n.String())
	}
	return o
}

// nonCommercial reports whether a family's licence keeps data from commercial use.
func (e evaluation) nonCommercial(family string) bool {
	if strings.HasPrefix(family, ownFamily) {
		return e.closed[family]
	}
	l, ok := e.License(e.families[family])
	return ok && asked(l.NonCommercial)
}

// keepsNonCommercial reports whether a document keeps data from commercial use,
// whatever branch of its licence is chosen.
func (t *Table) keepsNonCommercial(d *Terms, root *node) bool {
	return !slices.ContainsFunc(d.Grants, func(g Grant) bool { return g.Commercial }) && everyBranch(root, func(n *node) bool {
		l := t.lookUp(n)
		return l != nil && (l.Reserved || l.NonCommercial != nil && *l.NonCommercial)
	})
}

// goesOn names the licence of the target.
func (e evaluation) goesOn() string {
	if own, ok := strings.CutPrefix(e.target, ownFamily); ok {
		return "terms " + own
	}
	return e.families[e.target]
}

// use says the use in words.
func (e evaluation) use() string {
	if e.q.Commercial {
		return "commercial " + e.q.Use
	}
	return e.q.Use
}

// work judges one work.
func (e evaluation) work(w *Work) outcome {
	o := outcome{verdict: Allow}
	t := w.Terms
	switch {
	case t == nil:
		e.unknown(&o, "terms", "no terms are on record")
	case t.ValidFrom != "" && e.q.At < t.ValidFrom, t.ValidUntil != "" && e.q.At > t.ValidUntil:
		e.unknown(&o, "terms", "the terms are not in force at "+e.q.At)
	default:
		e.document(&o, w)
	}
	if w.Withdrawn {
		e.withdrawn(&o, t)
	}
	return o
}

// withdrawn is rule 12, as DECISIONS 39 sets it.
func (e evaluation) withdrawn(o *outcome, t *Terms) {
	if t != nil && t.Revocable {
		o.find(Deny, 12, "terms", "it is withdrawn, and its terms can be revoked")
	} else {
		o.find(Review, 12, "terms", "it is withdrawn; the licence cannot be revoked for those who have it")
	}
	if t == nil || t.Conditions == nil || t.Conditions.DeleteOnWithdrawal == nil || !t.Conditions.DeleteOnWithdrawal.Required {
		return
	}
	switch e.q.Use {
	case UseTrain, UseFinetune, UseDistill:
		o.find(Deny, 12, "terms", "it is withdrawn, and its terms allow no new training after that")
	}
}

// document judges a terms document that is in force.
func (e evaluation) document(o *outcome, w *Work) {
	t := w.Terms
	root := e.parsed[t.Base.SPDX]
	e.own = w.family()
	e.prohibitions(o, t)
	e.contradictions(o, t, root)
	// A grant takes nothing away: where the licence itself asks less, it stands.
	x := e.expression(root, e.license)
	e.reserved(&x, t)
	granted := false
	if g := e.grant(t); g != nil {
		if y := e.granted(w, g, root); y.verdict == Deny && x.verdict == Deny || milder(&y, &x) <= 0 {
			x, granted = y, true
		}
	}
	o.and(x)
	o.branch = x.branch
	e.conditions(o, w)
	if o.verdict != Obligations {
		return
	}
	first := Reason{Verdict: Obligations, Rule: 0, Source: t.Base.SPDX, Why: "the licence allows " + e.use() + ", with obligations"}
	if granted {
		first.Rule, first.Source, first.Why = 1, "terms", "the terms grant "+e.use()+", with obligations"
	} else if o.branch != "" {
		first.Source = o.branch
	}
	o.reasons = slices.Insert(o.reasons, 0, first)
}

// prohibitions is the first half of rule 1.
func (e evaluation) prohibitions(o *outcome, t *Terms) {
	for _, p := range t.Prohibits {
		if slices.Contains(p.Use, e.q.Use) {
			// A purpose beside the use narrows the prohibition to it.
			if len(p.Purpose) == 0 || slices.ContainsFunc(p.Purpose, e.purpose) {
				o.find(Deny, 1, "terms", "the terms prohibit %s%s", e.q.Use, because(p.Reason))
				continue
			}
		} else if len(p.Use) > 0 {
			continue
		}
		if len(p.Purpose) == 0 {
			continue
		}
		if slices.ContainsFunc(p.Purpose, e.purpose) {
			o.find(Deny, 1, "terms", "the terms prohibit this purpose%s", because(p.Reason))
			continue
		}
		o.flags |= askPurposes
		o.owe(Obligation{Kind: OwePurposes, Rule: 1, Source: "terms", Values: compactSorted(slices.Clone(p.Purpose))}, "the terms prohibit use for %s", some(p.Purpose))
		if e.leaves() {
			o.find(Review, 6, "terms", "the purposes that the terms prohibit stand against %s, which allows no other restrictions", e.goesOn())
		}
	}
}

func (e evaluation) purpose(p string) bool { return slices.Contains(e.q.Purposes, p) }

// some names a list in a reason: the obligation has all of it.
func some(list []string) string {
	const most = 8
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// contradictions is rule 11: what a document asks and its base licence, in any
// branch, does not let it ask.
func (e evaluation) contradictions(o *outcome, t *Terms, root *node) {
	if t.paid() && e.q.Use != UseEvaluate {
		paid := e
		paid.q.Commercial = true
		paid.target = ""
		if grants(root, paid.free) {
			o.find(Deny, 11, "terms", "payment-unenforceable: the base licence already grants commercial %s", e.q.Use)
		}
		if everyBranch(root, e.isShareAlike) {
			o.find(Deny, 11, "terms", "payment stands against the share-alike licence that the terms are based on")
		}
		if e.target != "" && t.Payment.ToDerived {
			o.find(Deny, 11, "terms", "the payment goes on to derived data, which %s does not allow", e.goesOn())
		}
	}
	if everyBranch(root, e.isShareAlike) && slices.ContainsFunc(t.Prohibits, func(p Prohibition) bool { return slices.Contains(p.Use, UseDerive) }) {
		o.find(Deny, 11, "terms", "the terms prohibit derived data, which the share-alike licence that they are based on allows")
	}
}

// free reports whether a licence allows the use, to everybody and without payment.
func (e evaluation) free(n *node) bool {
	l := e.lookUp(n)
	if l == nil || l.Unknown || l.Reserved || l.Uses != nil && !slices.Contains(l.Uses, e.q.Use) || asked(l.NonCommercial) && e.q.Commercial {
		return false
	}
	// Rules 4 and 6 set conditions on it, or leave it open; only ND forbids it.
	return !asked(l.NoDerivatives) || e.q.Use == UseRAG || e.q.Use == UseCopy || e.q.Use == UseEvaluate
}

func (e evaluation) isShareAlike(n *node) bool {
	l := e.lookUp(n)
	return l != nil && asked(l.ShareAlike)
}

// grants reports whether f holds for a choice that the expression leaves.
func grants(n *node, f func(*node) bool) bool {
	switch n.op {
	case "OR":
		return slices.ContainsFunc(n.args, func(a *node) bool { return grants(a, f) })
	case "AND":
		return !slices.ContainsFunc(n.args, func(a *node) bool { return !grants(a, f) })
	}
	return f(n)
}

// everyBranch reports whether f holds for a licence of every choice.
func everyBranch(n *node, f func(*node) bool) bool {
	switch n.op {
	case "OR":
		return !slices.ContainsFunc(n.args, func(a *node) bool { return !everyBranch(a, f) })
	case "AND":
		return slices.ContainsFunc(n.args, func(a *node) bool { return everyBranch(a, f) })
	}
	return f(n)
}

// grant returns the grant that covers the use, the widest of them: one for
// commercial use, then one for every place, then the first.
func (e evaluation) grant(t *Terms) *Grant {
	var best *Grant
	width := func(g *Grant) int {
		n := 0
		if g.Commercial {
			n += 2
		}
		if len(g.Territory) == 0 || slices.Contains(g.Territory, "*") {
			n++
		}
		return n
	}
	for i := range t.Grants {
		g := &t.Grants[i]
		if slices.Contains(g.Use, e.q.Use) && (g.Commercial || !e.q.Commercial) && e.inside(g.Territory) && (best == nil || width(g) > width(best)) {
			best = g
		}
	}
	return best
}

// inside reports whether the place of use is one of a grant's, or a part of one.
func (e evaluation) inside(places []string) bool {
	if e.q.Territory == "" || len(places) == 0 {
		return true
	}
	country, _, _ := strings.Cut(e.q.Territory, "-")
	return slices.ContainsFunc(places, func(p string) bool { return p == "*" || p == e.q.Territory || p == country })
}

// granted judges the use under a grant: rules 2 to 7 do not touch it.
func (e evaluation) granted(w *Work, g *Grant, root *node) outcome {
	o := outcome{verdict: Allow}
	o.find(Allow, 1, "terms", "the terms grant %s", e.use())
	if !g.Commercial {
		o.flags |= askNC
		o.owe(Obligation{Kind: OweNonCommercial, Rule: 1, Source: "terms"}, "the grant is for use that is not commercial")
		if e.leaves() && !e.nonCommercial(e.target) {
			o.find(Deny, 6, "terms", "derived data would go on under %s, which allows commercial use", e.goesOn())
		}
	}
	if e.q.Territory == "" && len(g.Territory) > 0 && !slices.Contains(g.Territory, "*") {
		o.owe(Obligation{Kind: OweTerritory, Rule: 1, Source: "terms", Values: compactSorted(slices.Clone(g.Territory))}, "the grant is for %s", some(g.Territory))
	}
	if w.Terms.Conditions == nil || w.Terms.Conditions.Attribution == nil {
		x := e.expression(root, e.duties)
		x.branch = "" // a grant leaves no choice
		o.and(x)
	}
	return o
}

// reserved is rule 2, where no grant stands against the signals.
func (e evaluation) reserved(o *outcome, t *Terms) {
	s := t.Signals
	if s == nil || e.q.Use != UseTrain && e.q.Use != UseFinetune {
		return
	}
	if s.AIPref != nil && s.AIPref.TrainAI == "n" {
		o.find(Deny, 2, "terms", "the signal train-ai=n is set, and no grant stands against it")
	}
	if s.TDMReservation != nil && *s.TDMReservation == 1 {
		o.find(Deny, 2, "terms", "text and data mining is reserved, and no grant stands against it")
	}
}

// pays reports whether the use is one that the terms ask a share of revenue for.
// It is not where nothing is made that could earn, nor for use that is not
// commercial and that the base licence, in a branch, gives to everybody: "free for
// research, a share of what is earned".
func (e evaluation) pays(w *Work) bool {
	t := w.Terms
	if t == nil || !t.paid() || e.q.Use == UseEvaluate {
		return false
	}
	return e.q.Commercial || !grants(e.parsed[t.Base.SPDX], e.free)
}

// conditions turns a document's conditions and its payment into obligations.
func (e evaluation) conditions(o *outcome, w *Work) {
	t := w.Terms
	if e.pays(w) {
		ppm := t.Payment.RatePpm
		if w.RatePpm != nil {
			ppm = *w.RatePpm
		} else if t.Payment.Stacking == "pool" {
			ppm = t.Payment.PoolPpm
		}
		if ppm > 0 {
			if t.Payment.ToDerived {
				o.flags |= askPayment
			}
			o.owe(Obligation{Kind: OwePayment, Rule: 9, Source: "terms", Ppm: ppm, Text: t.Payment.Stacking}, "a share of revenue is owed: %d ppm, stacking %s", ppm, t.Payment.Stacking)
		}
	}
	c := t.Conditions
	if c == nil {
		return
	}
	if c.Accept != "" {
		why := "the terms must be accepted first"
		if w.Acceptance == Accepted {
			why = "the terms are accepted"
		}
		o.owe(Obligation{Kind: OweAccept, Rule: 1, Source: "terms", Text: c.Accept, Met: w.Acceptance == Accepted}, "%s", why)
	}
	if a := c.Attribution; a != nil && a.Required {
		o.flags |= askA
		o.owe(Obligation{Kind: OweAttribution, Rule: 1, Source: "terms", Text: a.Text, Values: compactSorted(slices.Clone(a.Where))}, "the terms ask to be named")
	}
	if c.Notice {
		o.flags |= askN
		if e.q.Use == UseCopy || e.q.Use == UseDerive {
			o.owe(Obligation{Kind: OweNotice, Rule: 1, Source: "terms"}, "the text of the terms travels with the data")
		}
	}
	if r := c.ReportUsage; r != nil && r.Required {
		o.owe(Obligation{Kind: OweReport, Rule: 1, Source: "terms", Days: r.WithinDays}, "the use is reported")
	}
	if d := c.DeleteOnWithdrawal; d != nil && d.Required {
		o.owe(Obligation{Kind: OweDelete, Rule: 1, Source: "terms", Text: d.Scope}, "after a withdrawal it is not used again")
	}
	e.ownShareAlike(o, w)
}

// ownShareAlike is rule 6 for a share-alike condition of the document itself.
func (e evaluation) ownShareAlike(o *outcome, w *Work) {
	s := w.Terms.Conditions.ShareAlike
	if s == nil {
		return
	}
	if s.DerivedData {
		o.flags |= askSA
		switch {
		case e.q.Use == UseCopy, e.q.Use == UseDerive && e.target == w.family():
			o.owe(Obligation{Kind: OweShareAlike, Rule: 6, Source: "terms", Text: strings.TrimPrefix(w.family(), ownFamily)}, "it goes on under the same terms")
		case e.q.Use == UseDerive:
			o.find(Deny, 6, "terms", "derived data must go on under the same terms")
		}
	}
	if s.Weights {
		switch e.q.Use {
		case UseWeightsOpen:
			o.owe(Obligation{Kind: OweShareAlikeWeight, Rule: 6, Source: "terms"}, "weights go on under the same terms")
		case UseWeightsClosed:
			o.find(Deny, 6, "terms", "weights must go on under the same terms, so they cannot stay closed")
		}
	}
}
