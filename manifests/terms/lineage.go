package terms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Link is what a version names as its source.
type Link struct {
	ID  string
	Rel string // as in a manifest's lineage; "" for an edge of credit alone
	// Edge says that a share of the version's revenue flows on to it.
	Edge bool
}

// A Version is a registered version as [Upstream] reads it.
type Version struct {
	Work
	Links []Link
	// External are sources that no statement is about and that something is copied
	// from: URLs and CIDs.
	External []string
}

// A Declared is a source as a statement declares it: by Statement, else by Other,
// a URL or CID that no statement is about.
type Declared struct{ Rel, Statement, Other string }

// Declare adds what a statement declares: its sources, and the statements that its
// edges lead to.
func (v *Version) Declare(sources []Declared, edges []string) {
	for _, s := range sources {
		if s.Statement == "" {
			if copies(s.Rel) {
				v.External = append(v.External, s.Other)
			}
			continue
		}
		v.Links = append(v.Links, Link{ID: s.Statement, Rel: s.Rel, Edge: slices.Contains(edges, s.Statement)})
	}
	for _, e := range edges {
		if !slices.ContainsFunc(v.Links, func(l Link) bool { return l.ID == e }) {
			v.Links = append(v.Links, Link{ID: e, Edge: true})
		}
	}
}

// MaxDocuments bounds the bytes of the terms documents of one mixture, each counted
// for every work that has it: so much is judged, and answered. An ordinary document
// has one or two KiB.
const MaxDocuments = 8 << 20

// Documents reads the terms documents of a mixture, each once.
type Documents struct {
	// Read returns the bytes that a CID names; fault.NotFound or fault.Gone for
	// terms that are not there.
	Read func(ctx context.Context, id cid.Cid) ([]byte, error)

	read  map[cid.Cid]sized
	bytes int
}

// sized is a document, nil for one that is not there, and how long it is.
type sized struct {
	terms *Terms
	bytes int
}

// Terms returns the document of one work more; nil for one that is not there. More
// bytes than [MaxDocuments] in all are [fault.TooLarge].
func (d *Documents) Terms(ctx context.Context, id cid.Cid) (*Terms, error) {
	t, ok := d.read[id]
	if !ok {
		b, err := d.Read(ctx, id)
		switch {
		case errors.Is(err, fault.NotFound), errors.Is(err, fault.Gone):
		case err != nil:
			return nil, err
		default:
			t.bytes = len(b)
			if t.terms, err = Decode(b); err != nil {
				return nil, fmt.Errorf("the terms %s: %w", id, err)
			}
		}
		if d.read == nil {
			d.read = make(map[cid.Cid]sized)
		}
		d.read[id] = t
	}
	if d.bytes += t.bytes; d.bytes > MaxDocuments {
		return nil, fault.New(fault.TooLarge, "the terms of the works of the mixture have more than %d bytes", MaxDocuments)
	}
	return t.terms, nil
}

// MaxExternal bounds the external sources of one mixture, some ten MiB of an answer.
const MaxExternal = 1 << 16

// An External is a source whose terms are not on record.
type External struct {
	Work   string `json:"work"` // the id of the version that names it
	Target string `json:"target"`
}

// copies reports whether something of a source is in what names it by rel.
func copies(rel string) bool { return rel != "deduplicatedAgainst" && rel != "obsoletes" }

// Upstream returns the works of a mixture, roots, with everything that they come
// from, each once and in no particular order, as [Decide] takes them. get reads a
// version; an error of it ends the walk, and so does a version beyond
// [MaxWorks], or an external source beyond [MaxExternal], with [fault.TooLarge].
//
// An upstream work that every way to it pays by an edge asks no share of its
// own: it is paid by what is below it. A pool that terms name, and nothing but
// edges leads to, is no source. External sources are returned beside; what is
// known of their terms is what the versions that name them claim.
func Upstream(ctx context.Context, roots []string, get func(ctx context.Context, id string) (*Version, error)) ([]Work, []External, error) {
	seen := make(map[string]*reached)
	var queue []string
	visit := func(id string, by Link) error {
		r := seen[id]
		if r == nil {
			if len(seen) == MaxWorks {
				return fault.New(fault.TooLarge, "the mixture has more than %d works upstream", MaxWorks)
			}
			r = &reached{order: len(seen), paid: true, credit: true}
			seen[id] = r
			queue = append(queue, id)
		}
		r.paid = r.paid && by.Edge
		r.credit = r.credit && by.Edge && by.Rel == ""
		r.root = r.root || by.ID == ""
		return nil
	}
	for _, id := range roots {
		if err := visit(id, Link{}); err != nil {
			return nil, nil, err
		}
	}
	var external []External
	pools := make(map[string]bool)
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		v, err := get(ctx, id)
		if err != nil {
			return nil, nil, fmt.Errorf("the lineage at %s: %w", id, err)
		}
		seen[id].version = v
		if v.Terms != nil && v.Terms.Payment != nil && v.Terms.Payment.Pool.Defined() {
			pools[v.Terms.Payment.Pool.String()] = true
		}
		if len(external)+len(v.External) > MaxExternal {
			return nil, nil, fault.New(fault.TooLarge, "the mixture has more than %d external sources", MaxExternal)
		}
		for _, x := range v.External {
			external = append(external, External{id, x})
		}
		for _, l := range v.Links {
			if copies(l.Rel) {
				if err := visit(l.ID, l); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	var works []Work
	for id, r := range seen {
		if r.credit && pools[id] {
			continue
		}
		w := r.version.Work
		w.ID, w.Upstream = id, !r.root
		if r.paid && !r.root {
			w.RatePpm = new(int64)
		}
		works = append(works, w)
	}
	slices.SortFunc(works, func(a, b Work) int { return seen[a.ID].order - seen[b.ID].order })
	return works, external, nil
}

// reached is how a version was come by.
type reached struct {
	version *Version
	order   int
	root    bool
	paid    bool // every way to it is an edge
	credit  bool // … and nothing else
}

// A Source is what a contribution names as its source.
type Source struct {
	Work
	Rel string
}

// Contradictions reports where terms that somebody wants to publish under
// promise more than the terms of the sources allow, or ask less than they must:
// deny for what contradicts, review for what a person must look at. It applies
// [Table.Decide] to the use that the relation makes of each source (a model is
// trained on it, synthetic data is distilled from it, a mirror is it, all else
// is derived from it), commercial when the terms allow commercial use, and
// compares the terms with the least licence that comes out. id is the terms' own CID.
func (t *Table) Contradictions(at string, terms *Terms, id string, sources ...Source) ([]Reason, error) {
	byUse := make(map[string][]Work)
	for _, s := range sources {
		use := UseDerive
		switch {
		case !copies(s.Rel) || s.Rel == "annotatedBy":
			continue
		case s.Rel == "trainedOn":
			use = UseTrain
		case s.Rel == "syntheticFrom":
			use = UseDistill
		case s.Rel == "mirrors":
			use = UseCopy
		}
		if !slices.ContainsFunc(byUse[use], func(w Work) bool { return w.ID == s.ID }) {
			byUse[use] = append(byUse[use], s.Work)
		}
	}
	commercial, err := t.commercial(at, Work{ID: id, Terms: terms})
	if err != nil {
		return nil, err
	}
	var out []Reason
	for _, use := range uses {
		works := byUse[use]
		if len(works) == 0 {
			continue
		}
		q := Question{Use: use, Commercial: commercial, At: at}
		d, err := t.Decide(q, works...)
		if err != nil {
			return nil, err
		}
		for _, w := range d.Works {
			for _, r := range w.Reasons {
				if r.Verdict.Rank() >= Review.Rank() {
					r.Works = []string{w.ID}
					out = append(out, r)
				}
			}
		}
		out = append(out, d.Findings...)
		if d.Output != nil {
			out = append(out, t.below(d, terms, id)...)
		}
	}
	return out, nil
}

// commercial reports whether terms let anything commercial be done: a grant for one
// use is enough.
func (t *Table) commercial(at string, w Work) (bool, error) {
	for _, use := range uses {
		d, err := t.Decide(Question{Use: use, Commercial: true, At: at}, w)
		if err != nil {
			return false, err
		}
		if d.Verdict.Rank() < Review.Rank() {
			return true, nil
		}
	}
	return false, nil
}

// below compares terms with the least that derived data must ask: rules 6 and 7.
func (t *Table) below(d *Decision, terms *Terms, id string) []Reason {
	root, err := parse(terms.Base.SPDX)
	if err != nil {
		return nil
	}
	var works []string
	for _, w := range d.Works {
		works = append(works, w.ID)
	}
	if d.Output.License == "terms "+id {
		return nil
	}
	var out []Reason
	find := func(v Verdict, rule int, why string) { out = append(out, Reason{v, rule, why, "terms", works}) }
	need, known := slices.Index(levels, d.Output.Level), true
	level := t.least(root, &known)
	if c := terms.Conditions; c != nil {
		if c.Notice {
			level = max(level, 1)
		}
		if c.Attribution != nil && c.Attribution.Required {
			level = max(level, 2)
		}
	}
	switch {
	case need >= 4:
		kept := slices.ContainsFunc(slices.Collect(maps.Keys(t.families)), func(family string) bool {
			return t.families[family] == d.Output.License && everyBranch(root, func(n *node) bool { l := t.lookUp(n); return l != nil && l.Family == family })
		})
		switch {
		case !kept:
			find(Deny, 6, "what is derived from these works must go on under "+d.Output.License+", not under "+terms.Base.SPDX)
		case slices.ContainsFunc(terms.Grants, func(g Grant) bool { return slices.Contains(g.Use, UseDerive) }):
			find(Deny, 6, "what is derived from these works must go on under "+d.Output.License+", and the terms grant derived data beside it")
		case len(terms.Prohibits) > 0:
			find(Review, 6, "what is derived from these works must go on under "+d.Output.License+", which allows no further prohibitions")
		}
	case level >= need:
	case !known:
		find(Review, 7, "what is derived from these works must ask at least "+d.Output.Level+", as "+d.Output.License+" does; it is not known whether "+terms.Base.SPDX+" does")
	default:
		find(Deny, 7, "what is derived from these works must ask at least "+d.Output.Level+", as "+d.Output.License+" does; "+terms.Base.SPDX+" asks "+levels[level])
	}
	var prohibited []string
	for _, p := range terms.Prohibits {
		if len(p.Use) == 0 {
			prohibited = append(prohibited, p.Purpose...)
		}
	}
	if slices.Contains(d.Output.Also, OweUseRestrictions) && !everyBranch(root, func(n *node) bool { l := t.lookUp(n); return l != nil && asked(l.UseRestrictions) }) {
		if known && len(prohibited) == 0 {
			find(Deny, 7, "what is derived from these works must keep their restrictions of use, and "+terms.Base.SPDX+" has none")
		} else {
			find(Review, 7, "what is derived from these works must keep their restrictions of use, and it is not known whether the terms do")
		}
	}
	for _, o := range d.Obligations {
		if o.Kind == OwePurposes {
			if missing := slices.DeleteFunc(slices.Clone(o.Values), func(p string) bool { return slices.Contains(prohibited, p) }); len(missing) > 0 {
				find(Deny, 7, "what is derived from these works must prohibit what they do: "+strings.Join(missing, ", "))
			}
		}
	}
	return out
}

// least is the least that an expression asks, whatever branch is chosen; known
// becomes false where the table does not say.
func (t *Table) least(n *node, known *bool) int {
	if n.op == "" {
		l := t.lookUp(n)
		if l == nil || l.Unknown || l.Reserved {
			*known = false
			return 0
		}
		var a ask
		for _, f := range []struct {
			facet *bool
			bit   ask
		}{{l.Attribution, askA}, {l.ShareAlike, askSA}, {l.NonCommercial, askNC}, {l.Notice, askN}} {
			if f.facet != nil && *f.facet {
				a |= f.bit
			}
		}
		return a.level()
	}
	out := t.least(n.args[0], known)
	for _, x := range n.args[1:] {
		level := t.least(x, known)
		if n.op == "OR" {
			out = min(out, level)
		} else {
			out = max(out, level)
		}
	}
	return out
}

// MarkAccepted notes in works which terms are accepted.
func MarkAccepted(works []Work, accepted []cjson.CID) {
	for i := range works {
		if slices.Contains(accepted, works[i].TermsCID) && works[i].TermsCID.Defined() {
			works[i].Acceptance = Accepted
		}
	}
}
