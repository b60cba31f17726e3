package terms

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// NotLegalAdvice stands beside every verdict.
const NotLegalAdvice = "This is not legal advice."

// DecisionSchema is the $schema of a decision of this version.
const DecisionSchema = "cairn.decision/1"

// MaxWorks bounds the works of one question: what a mixture of a thousand
// datasets has upstream, and a second's work for one core.
const MaxWorks = 4096

// A Verdict is what is found about a use. The four are ordered, see [Verdict.Rank].
type Verdict string

// The verdicts, mildest first.
const (
	Allow       Verdict = "allow"       // nothing is owed
	Obligations Verdict = "obligations" // allowed to who meets what is listed
	Review      Verdict = "review"      // a person must look
	Deny        Verdict = "deny"
)

var verdicts = []Verdict{Allow, Obligations, Review, Deny}

// Rank is 0 for [Allow] to 3 for [Deny].
func (v Verdict) Rank() int { return slices.Index(verdicts, v) }

// Worse returns the less mild of two verdicts.
func (v Verdict) Worse(o Verdict) Verdict {
	if o.Rank() > v.Rank() {
		return o
	}
	return v
}

// A Question is what somebody plans to do with works.
type Question struct {
	Use        string `json:"use"` // of [Uses]
	Commercial bool   `json:"commercial"`
	// Purposes are what it is for, in the tokens of terms' prohibitions. What is
	// prohibited for purposes that are not named here becomes an obligation.
	Purposes []string `json:"purposes,omitempty"`
	// Territory is the place of use, or "" where it is not said: a grant for some
	// places then carries the obligation to stay there.
	Territory string `json:"territory,omitempty"`
	// At is the moment of use, for validFrom and validUntil.
	At string `json:"at"`
}

func (q Question) validate() error {
	var p field.Problems
	p.Add(field.OneOf(q.Use, uses...), "use")
	for i := range p.List("purposes", len(q.Purposes), field.MaxList) {
		p.Add(field.Token(q.Purposes[i]), "purposes[%d]", i)
	}
	if q.Territory != "" {
		p.Add(field.Place(q.Territory), "territory")
	}
	p.Add(field.Time(q.At), "at")
	return p.Err()
}

// What is known of an acceptance of a work's terms.
const (
	Accepted    = "given"
	NotAccepted = "missing"
)

// A Work is a dataset or a model of a mixture, or something upstream of one.
type Work struct {
	// ID names the work, each once in a mixture: the CID of a statement.
	ID   string
	Name string // as people call it; optional
	// Terms are its terms; nil when none are on record. TermsCID names them.
	Terms    *Terms
	TermsCID cjson.CID
	// RatePpm, when set, is the part of revenue that the work effectively asks in
	// this mixture, instead of what its terms say: 0 for an upstream work that is
	// paid by the share of one below it.
	RatePpm *int64
	// SharePpm is the work's share of the mixture, for terms with weighted
	// stacking; 0 when it is not known.
	SharePpm int64
	// Acceptance is "" when it is not known.
	Acceptance string
	Withdrawn  bool
	// Makers are the contributors, whom a notice names when the terms name no
	// licensor.
	Makers []string
	// Upstream says that the mixture does not name it: something in it comes from it.
	Upstream bool
}

// A Reason is why a verdict is not milder.
type Reason struct {
	Verdict Verdict `json:"verdict"`
	Rule    int     `json:"rule"`
	Why     string  `json:"why"`
	// Source is a licence identifier, or "terms" for the document.
	Source string `json:"source,omitempty"`
	// Works are those that bring it about together.
	Works []string `json:"works,omitempty"`
}

// An Obligation is what must be done for an allowed use.
type Obligation struct {
	Kind   string   `json:"kind"`
	Rule   int      `json:"rule"`
	Source string   `json:"source"` // a licence identifier, or "terms"
	Text   string   `json:"text,omitempty"`
	Values []string `json:"values,omitempty"` // purposes, places, or where to attribute
	Ppm    int64    `json:"ppm,omitempty"`
	Days   int64    `json:"days,omitempty"`
	Met    bool     `json:"met,omitempty"` // an acceptance that is on record
	Works  []string `json:"works,omitempty"`
}

// The kinds of obligations.
const (
	OweAccept           = "accept"
	OweAttribution      = "attribution"
	OweNotice           = "notice"
	OweShareAlike       = "share-alike"
	OweShareAlikeWeight = "share-alike-weights"
	OweNonCommercial    = "non-commercial"
	OweNoDerivatives    = "no-derivatives"
	OweUseRestrictions  = "use-restrictions"
	OwePurposes         = "not-for-purposes"
	OweTerritory        = "territory"
	OweReport           = "report-usage"
	OweDelete           = "delete-on-withdrawal"
	OwePayment          = "payment"
)

// A WorkVerdict is what is found about one work in its mixture.
type WorkVerdict struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	Upstream bool      `json:"upstream,omitempty"`
	Terms    cjson.CID `json:"terms,omitzero"`
	License  string    `json:"license,omitempty"` // the expression
	Branch   string    `json:"branch,omitempty"`  // what was chosen of it, where it leaves a choice
	Verdict  Verdict   `json:"verdict"`
	// Reasons are at least one, each with the verdict's rank; where there are only
	// obligations, the first says what allows the use.
	Reasons []Reason `json:"reasons"`
}

// An Output is the least that a licence for derived data must ask.
type Output struct {
	// Level is none, N, A+N, NC, SA or NC-SA.
	Level string `json:"level"`
	// License is one that does: for a share-alike level the only one. "terms CID"
	// names terms that must be kept themselves.
	License string `json:"license"`
	// Also are what the licence does not say and that must be kept: use-restrictions,
	// not-for-purposes, payment.
	Also []string `json:"also,omitempty"`
}

// A Decision answers a question about a mixture. Its canonical JSON form is the
// same for the same works in whatever order, under the same table.
type Decision struct {
	Schema      string        `json:"$schema"`
	Question    Question      `json:"question"`
	Table       cjson.CID     `json:"table"` // the licence table it rests on
	Verdict     Verdict       `json:"verdict"`
	Works       []WorkVerdict `json:"works"`              // sorted by id
	Findings    []Reason      `json:"findings,omitempty"` // what several works bring about
	Obligations []Obligation  `json:"obligations,omitempty"`
	// Output is there for redistribute-derived that is not denied.
	Output *Output `json:"output,omitempty"`
	Notice string  `json:"notice"` // [NotLegalAdvice]
}

// Encode returns the canonical bytes of d.
func (d *Decision) Encode() ([]byte, error) { return cjson.Marshal(d) }

// Decide answers q about a mixture of works with the default table. See [Table.Decide].
func Decide(q Question, works ...Work) (*Decision, error) { return DefaultTable().Decide(q, works...) }

// Decide says whether the works may be used together as q says, by the rules of
// FORMAT.md. It reads nothing but its arguments and the table: the same question
// has the same answer for ever. The verdict is the worst of all works and
// findings; another work never makes it milder, and the order of works does not
// matter. No work is allowed.
//
// What q or a work breaks is [fault.Invalid]: a use that is not of the list, an
// id that is missing or stands twice; more than [MaxWorks] works are
// [fault.TooLarge]. Decide trusts that terms are valid.
func (t *Table) Decide(q Question, works ...Work) (*Decision, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	if len(works) > MaxWorks {
		return nil, fault.New(fault.TooLarge, "the mixture has %d works, more than %d", len(works), MaxWorks)
	}
	works = slices.Clone(works)
	slices.SortFunc(works, func(a, b Work) int { return strings.Compare(a.ID, b.ID) })
	for i, w := range works {
		if w.ID == "" || i > 0 && works[i-1].ID == w.ID {
			return nil, fault.New(fault.Invalid, "a work has no id, or stands twice: %s", fault.Quote(w.ID))
		}
	}
	q.Purposes = compactSorted(slices.Clone(q.Purposes))
	d := &Decision{Schema: DecisionSchema, Question: q, Table: t.cid, Verdict: Allow, Works: []WorkVerdict{}, Notice: NotLegalAdvice}
	parsed := parseAll(works)
	best := t.bestTarget(q, works, parsed)
	d.Findings = append(stack(evaluation{Table: t, q: q, parsed: parsed, target: best.target}, works), best.conflict(works)...)
	for _, f := range d.Findings {
		d.Verdict = d.Verdict.Worse(f.Verdict)
	}
	var owed []Obligation
	var flags ask
	for i, o := range best.outcomes {
		d.Verdict = d.Verdict.Worse(o.verdict)
		w := works[i]
		v := WorkVerdict{ID: w.ID, Name: w.Name, Upstream: w.Upstream, Terms: w.TermsCID, Branch: o.branch, Verdict: o.verdict, Reasons: o.worst()}
		if w.Terms != nil {
			v.License = w.Terms.Base.SPDX
		}
		d.Works = append(d.Works, v)
		for _, b := range o.owed {
			b.Works = []string{w.ID}
			owed = append(owed, b)
		}
		flags |= o.flags
	}
	if d.Verdict != Deny {
		d.Obligations = mergeObligations(owed)
		if q.Use == UseDerive {
			d.Output = t.floor(flags, best.target)
		}
	}
	return d, nil
}

// mergeObligations joins equal obligations of several works.
func mergeObligations(owed []Obligation) []Obligation {
	byKey := make(map[string]*Obligation)
	for _, o := range owed {
		works := o.Works
		o.Works = nil
		key, _ := json.Marshal(o) // strings and numbers
		m := byKey[string(key)]
		if m == nil {
			m = new(Obligation)
			*m = o
			byKey[string(key)] = m
		}
		m.Works = append(m.Works, works...)
	}
	var out []Obligation
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		m := byKey[k]
		m.Works = compactSorted(m.Works)
		out = append(out, *m)
	}
	slices.SortStableFunc(out, func(a, b Obligation) int { return strings.Compare(a.Kind, b.Kind) })
	return out
}

// ask is a set of what an output must keep.
type ask uint8

const (
	askN ask = 1 << iota
	askA
	askNC
	askSA
	askU
	askPurposes
	askPayment
)

// level orders what a licence asks, as rule 7 does.
func (a ask) level() int {
	switch {
	case a&askSA != 0 && a&askNC != 0:
		return 5
	case a&askSA != 0:
		return 4
	case a&askNC != 0:
		return 3
	case a&askA != 0:
		return 2
	case a&askN != 0:
		return 1
	}
	return 0
}

var (
	levels   = []string{"none", "N", "A+N", "NC", "SA", "NC-SA"}
	examples = []string{"CC0-1.0", "CDLA-Permissive-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"}
)

// floor is rule 7's output for what the works ask, or rule 6's.
func (t *Table) floor(a ask, target string) *Output {
	o := &Output{Level: levels[a.level()], License: examples[a.level()]}
	if own, ok := strings.CutPrefix(target, ownFamily); ok {
		o.License = "terms " + own
	} else if target != "" {
		o.License = t.families[target]
	}
	for _, x := range []struct {
		bit  ask
		name string
	}{{askU, OweUseRestrictions}, {askPurposes, OwePurposes}, {askPayment, OwePayment}} {
		if a&x.bit != 0 {
			o.Also = append(o.Also, x.name)
		}
	}
	return o
}

// ownFamily begins the share-alike family that a terms document makes for itself.
const ownFamily = "terms:"

// A trial is what every work comes to when derived data goes on in one family.
type trial struct {
	target   string
	outcomes []outcome
}

// bestTarget tries every family that derived data may go on in, and returns the
// one whose worst work is the mildest. Families that no work is of are tried
// too: two may each move to a third. Of equals, that in which fewer works are
// denied, for fewer reasons, and fewer move; then none where nothing is denied,
// else the family that more of them are of; then by name.
func (t *Table) bestTarget(q Question, works []Work, parsed map[string]*node) trial {
	targets, closed := []string{""}, make(map[string]bool)
	if q.Use == UseDerive {
		targets = append(targets, slices.Sorted(maps.Keys(t.families))...)
		own := make(map[string]bool)
		for _, w := range works {
			if f := w.family(); f != "" {
				own[f] = true
				closed[f] = t.keepsNonCommercial(w.Terms, parsed[w.Terms.Base.SPDX])
			}
		}
		if len(own) == 1 { // of two, none could keep both
			targets = append(targets, slices.Collect(maps.Keys(own))...)
		}
	}
	type score struct{ worst, denied, reasons, away, stray, plain int }
	var best trial
	var least score
	for i, target := range targets {
		e := evaluation{Table: t, q: q, parsed: parsed, target: target, closed: closed}
		tr, s := trial{target: target, outcomes: make([]outcome, len(works))}, score{}
		for j := range works {
			o := e.work(&works[j])
			tr.outcomes[j] = o
			s.worst = max(s.worst, o.verdict.Rank())
			if o.verdict == Deny {
				s.denied++
				s.reasons += len(o.worst())
			}
			if o.moved {
				s.away++
			}
			if !o.home {
				s.stray++
			}
		}
		switch {
		case s.denied == 0:
			s.stray = 0
		case target == "":
			s.plain = 1
		}
		if i == 0 || cmp.Or(cmp.Compare(s.worst, least.worst), cmp.Compare(s.denied, least.denied), cmp.Compare(s.reasons, least.reasons),
			cmp.Compare(s.away, least.away), cmp.Compare(s.stray, least.stray), cmp.Compare(s.plain, least.plain)) < 0 {
			best, least = tr, s
		}
	}
	return best
}

// conflict names together the works between which rule 6 leaves no licence for
// derived data.
func (b trial) conflict(works []Work) []Reason {
	var ids []string
	denied := false
	for i, o := range b.outcomes {
		six := slices.ContainsFunc(o.reasons, func(r Reason) bool { return r.Rule == 6 && r.Verdict == Deny })
		denied = denied || six
		if six || o.flags&askSA != 0 {
			ids = append(ids, works[i].ID)
		}
	}
	if !denied || len(ids) < 2 {
		return nil
	}
	return []Reason{{Verdict: Deny, Rule: 6, Why: "no licence for derived data keeps what these works ask", Source: "terms", Works: ids}}
}

// family is the share-alike family that a document makes for derived data.
func (w *Work) family() string {
	if w.Terms == nil || w.Terms.Conditions == nil || w.Terms.Conditions.ShareAlike == nil || !w.Terms.Conditions.ShareAlike.DerivedData {
		return ""
	}
	if w.TermsCID.Defined() {
		return ownFamily + w.TermsCID.String()
	}
	return ownFamily + w.ID
}

// parseAll parses the licences of works, each once.
func parseAll(works []Work) map[string]*node {
	parsed := make(map[string]*node)
	for _, w := range works {
		if w.Terms != nil && parsed[w.Terms.Base.SPDX] == nil {
			n, err := parse(w.Terms.Base.SPDX)
			if err != nil { // Validate would have refused it
				n = &node{id: "LicenseRef-unreadable"}
			}
			parsed[w.Terms.Base.SPDX] = n
		}
	}
	return parsed
}

// stack is rule 9: what the works ask of revenue together.
func stack(e evaluation, works []Work) []Reason {
	const million = 1_000_000
	var sum, unweighted int64
	least := int64(-1)
	pools := make(map[string]int64)
	var paid []string
	for _, w := range works {
		if !e.pays(&w) || w.RatePpm != nil && *w.RatePpm <= 0 {
			continue
		}
		p := w.Terms.Payment
		paid = append(paid, w.ID)
		switch {
		case w.RatePpm != nil:
			sum += min(*w.RatePpm, million)
		case p.Stacking == "pool":
			pools[p.Pool.String()] = max(pools[p.Pool.String()], p.PoolPpm)
		case p.Stacking == "weighted" && w.SharePpm > 0:
			sum += p.RatePpm * min(w.SharePpm, million) / million
		case p.Stacking == "weighted":
			unweighted = max(unweighted, p.RatePpm) // shares add up to one at most
		default:
			sum += p.RatePpm
		}
		if p.CapPpm > 0 && (least < 0 || p.CapPpm < least) {
			least = p.CapPpm
		}
	}
	sum += unweighted
	for _, ppm := range pools {
		sum += ppm
	}
	var out []Reason
	if sum > million {
		out = append(out, Reason{Deny, 9, fmt.Sprintf("the shares of revenue add up to %d ppm, more than the whole", sum), "terms", paid})
	}
	if least >= 0 && sum > least {
		out = append(out, Reason{Deny, 9, fmt.Sprintf("the shares of revenue add up to %d ppm, above the cap of %d ppm that terms among them set", sum, least), "terms", paid})
	}
	return out
}
