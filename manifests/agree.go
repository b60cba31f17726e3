package manifests

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// RulesOf returns the rules that bind later entries, as a statement copies them
// from its terms; nil when the terms set none.
func RulesOf(t *terms.Terms) *Rules {
	r := Rules{Revocable: t.Revocable}
	if t.Conditions != nil {
		r.Accept = t.Conditions.Accept
	}
	if y := t.Payment; y != nil && y.Model == "revenue-share" {
		r.OnWithdraw = y.OnWithdraw
		r.Payment = &PaymentRules{
			RatePpm: y.RatePpm, Stacking: y.Stacking, FloorPpm: y.FloorPpm, CapPpm: y.CapPpm,
			Pool: y.Pool, PoolPpm: y.PoolPpm, ToDerived: y.ToDerived,
		}
	}
	if r == (Rules{}) {
		return nil
	}
	return &r
}

// Agree reports every member of c that differs from what the manifest m says,
// and from the CID of the terms. The CID of the manifest and what the terms say
// are for [Documents] to compare.
func Agree(c *Contribution, m *Manifest, termsCID cid.Cid) error {
	var p field.Problems
	agree(&p, c, m, termsCID)
	return p.Err()
}

func agree(p *field.Problems, c *Contribution, m *Manifest, termsCID cid.Cid) {
	same := func(path string, statement, manifest any) {
		if statement != manifest {
			p.Add(fmt.Sprintf("is %s in the statement, but %s in the manifest", shown(statement), shown(manifest)), "%s", path)
		}
	}
	same("predicate.publisher", string(c.Publisher), string(m.Publisher))
	same("predicate.dataset.name", c.Dataset.Name, m.Name)
	same("predicate.dataset.version", c.Dataset.Version, m.Version)
	same("predicate.dataset.title", c.Dataset.Title, m.Title)
	same("predicate.dataset.bytes", c.Dataset.Bytes, m.Data.Bytes)
	same("predicate.dataset.fileCount", c.Dataset.FileCount, m.Data.FileCount)
	same("predicate.terms", c.Terms.String(), m.Terms.String())
	if !termsCID.Equals(m.Terms.Cid) {
		p.Add(fmt.Sprintf("names %s, but the terms are %s", m.Terms, termsCID), "terms")
	}
	if !slices.Equal(c.Dataset.Keywords, m.Keywords) {
		p.Add("differs from the manifest's keywords", "predicate.dataset.keywords")
	}
	// A file list cannot be looked at here, so its media types are a claim.
	if !m.Data.FileList.Defined() && !slices.Equal(c.Dataset.MediaTypes, m.MediaTypes()) {
		p.Add("differs from the media types of the manifest's files", "predicate.dataset.mediaTypes")
	}
	if !slices.Equal(c.Sources, m.Sources()) {
		p.Add("differs from the manifest's lineage targets", "predicate.sources")
	}
	if !slices.EqualFunc(c.Contributors, m.Contributors, func(s Share, n Contributor) bool { return s.ID == n.ID }) {
		p.Add("differs from the manifest's contributors", "predicate.contributors")
	}
}

// shown is a value as a message shows it.
func shown(v any) string {
	if s, ok := v.(string); ok {
		return fault.Quote(s)
	}
	return fmt.Sprint(v)
}

// Documents reads the manifest and the terms that the contribution s names, and
// reports everything in which the three differ: the CIDs, the data root against
// the subject, and all that the statement repeats. Contributor and registry
// both call it; what it returns can be relied on.
func Documents(s *Statement, manifest, termsDocument []byte) (*Manifest, *terms.Terms, error) {
	c, ok := s.Predicate.(*Contribution)
	if !ok {
		return nil, nil, fault.New(fault.Invalid, "a statement of kind %s names no manifest", s.Kind)
	}
	m, err := DecodeManifest(manifest)
	if err != nil {
		return nil, nil, fmt.Errorf("the manifest: %w", err)
	}
	t, err := terms.Decode(termsDocument)
	if err != nil {
		return nil, nil, fmt.Errorf("the terms: %w", err)
	}
	var p field.Problems
	if id := cjson.JSONCID(manifest); !id.Equals(c.Dataset.Manifest.Cid) {
		p.Add(fmt.Sprintf("names %s, but the manifest is %s", c.Dataset.Manifest, id), "predicate.dataset.manifest")
	}
	if root, err := s.SubjectCID(); err != nil {
		return nil, nil, err
	} else if !root.Equals(cjson.V1(m.Data.Root.Cid)) {
		p.Add(fmt.Sprintf("is %s, but the manifest's data.root is %s", root, m.Data.Root), "subject[0].uri")
	}
	agree(&p, c, m, cjson.JSONCID(termsDocument))
	if c.Dataset.License != t.Base.SPDX {
		p.Add(fmt.Sprintf("is %s, but the terms are based on %s", fault.Quote(c.Dataset.License), fault.Quote(t.Base.SPDX)), "predicate.dataset.license")
	}
	if !sameRules(c.Rules, RulesOf(t)) {
		p.Add("differs from what the terms set", "predicate.rules")
	}
	if p.Any() {
		return nil, nil, p.Err()
	}
	return m, t, nil
}

// AgreeTerms reads a terms document and reports whether rules are what it sets.
func AgreeTerms(rules *Rules, termsDocument []byte) error {
	t, err := terms.Decode(termsDocument)
	if err != nil {
		return fmt.Errorf("the terms: %w", err)
	}
	if !sameRules(rules, RulesOf(t)) {
		return &FieldError{Path: "predicate.rules", Msg: "differs from what the terms set"}
	}
	return nil
}

func sameRules(a, b *Rules) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.Payment, y.Payment = nil, nil
	if a.Payment == nil || b.Payment == nil {
		return x == y && a.Payment == b.Payment
	}
	return x == y && *a.Payment == *b.Payment
}
