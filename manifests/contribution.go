package manifests

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Limits of a contribution. They bound what one entry can make the state
// machine and the credit engine do.
const (
	// MaxContributors bounds the contributors of one statement; larger groups
	// are trees of works. At the longest did:key they take 400 KiB.
	MaxContributors = 4096
	// MaxReferences bounds edges and sources together: each is a lookup in the
	// state.
	MaxReferences = 1024

	maxKeywords   = 64
	maxMediaTypes = 64
	maxTitle      = 256
)

// A Contribution is the predicate of contribution/v1: a version of a dataset.
// The publisher must sign it; contributors may, then or later.
type Contribution struct {
	Common

	// Publisher is the identity that owns the name.
	Publisher sign.KeyID `json:"publisher"`
	// Dataset repeats what lists and searches need from the manifest.
	Dataset Dataset `json:"dataset"`
	// Terms is the CID of the terms document, dag-json.
	Terms cjson.CID `json:"terms"`

	// Contributors are the shares at birth; Total is the sum of their weights.
	Contributors []Share `json:"contributors"`
	Total        string  `json:"total"`

	// Sources are the manifest's lineage targets that can be named, in its order.
	Sources []Source `json:"sources,omitempty"`

	// Edges are the weights with which revenue flows on to other works, sorted
	// by statement; EdgeTotal = SelfWeight + Σ edge weights, a multiple of
	// 1,000,000: a share total of S makes it 1,000,000·S. Without edges SelfWeight
	// and EdgeTotal are both absent or both "1", which means the same.
	Edges      []Edge `json:"edges,omitempty"`
	SelfWeight string `json:"selfWeight,omitempty"`
	EdgeTotal  string `json:"edgeTotal,omitempty"`

	// Attribution is the attribution/v1 of this data that the edges' shares follow.
	Attribution cjson.CID `json:"attribution,omitzero"`
	// Supersedes is the newest statement of the name; undefined for the first.
	Supersedes cjson.CID `json:"supersedes,omitzero"`
	// Agreement names a complete agreement on shares; only beside Supersedes.
	Agreement cjson.CID `json:"agreement,omitzero"`
	// Rules are the terms that bind later entries, copied from the terms document.
	Rules *Rules `json:"rules,omitempty"`
	// Attachments is the CID of a DAG-JSON list of links.
	Attachments cjson.CID `json:"attachments,omitzero"`
}

// A Dataset is the part of a contribution that repeats the manifest.
type Dataset struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Title      string    `json:"title,omitempty"`
	Manifest   cjson.CID `json:"manifest"` // dag-json
	Bytes      int64     `json:"bytes"`    // Σ file size over paths
	FileCount  int64     `json:"fileCount"`
	License    string    `json:"license"` // SPDX expression, normalised
	Keywords   []string  `json:"keywords,omitempty"`
	MediaTypes []string  `json:"mediaTypes,omitempty"` // sorted
}

// A Share is one party's integer weight.
type Share struct {
	ID     sign.KeyID `json:"id"`
	Weight string     `json:"weight"` // decimal, > 0
}

// A Source is something the data comes from, by exactly one of three names. A
// statement must have been accepted before; a CID or a URL is external and not
// resolved.
type Source struct {
	Rel       Rel       `json:"rel"`
	Statement cjson.CID `json:"statement,omitzero"`
	CID       cjson.CID `json:"cid,omitzero"`
	URL       string    `json:"url,omitempty"`
}

// An Edge is the weight with which revenue flows on to a parent.
type Edge struct {
	Statement cjson.CID `json:"statement"`
	Weight    string    `json:"weight"` // decimal, > 0
	// Share is the parent's part of the share total, by the attribution that the
	// statement names. Parents whose rates stack by weight ask for it.
	Share string `json:"share,omitempty"`
}

// Rules are the terms that bind later entries. [RulesOf] copies them from a
// terms document; the two must be equal.
type Rules struct {
	Accept     string        `json:"accept,omitempty"` // AcceptUse or AcceptBytes
	Revocable  bool          `json:"revocable,omitempty"`
	OnWithdraw string        `json:"onWithdraw,omitempty"` // "keep", "hold" or "pool"
	Payment    *PaymentRules `json:"payment,omitempty"`
}

// What must be accepted before what.
const (
	AcceptUse   = "use"   // the terms, before the data is used; anyone may read it
	AcceptBytes = "bytes" // the terms, before a byte of the data is given out
)

// GatesBytes reports whether no byte of the data may be given out to who has not
// accepted the terms. A nil r gates nothing.
func (r *Rules) GatesBytes() bool { return r != nil && r.Accept == AcceptBytes }

// PaymentRules are the integers of a revenue share, in parts per million.
type PaymentRules struct {
	RatePpm  int64     `json:"ratePpm"`
	Stacking string    `json:"stacking"` // "weighted", "sum" or "pool"
	FloorPpm int64     `json:"floorPpm,omitempty"`
	CapPpm   int64     `json:"capPpm,omitempty"` // 0: no cap
	Pool     cjson.CID `json:"pool,omitzero"`    // the pool's statement
	PoolPpm  int64     `json:"poolPpm,omitempty"`
	// ToDerived says that derived versions must carry an edge.
	ToDerived bool `json:"toDerived"`
}

// Kind returns [KindContribution].
func (*Contribution) Kind() Kind { return KindContribution }

// subject takes the root from the given URI, which the predicate does not
// repeat, and derives the rest.
func (c *Contribution) subject(given Subject) Subject {
	s := Subject{Name: c.Dataset.Name + "@" + c.Dataset.Version, URI: given.URI, Digest: map[string]string{}}
	root, msg := parseSubjectURI(given.URI)
	if msg != "" {
		s.URI = ipfsScheme + "<data root>"
		return s
	}
	s.Digest["sha256"] = digestHex(root)
	return s
}

func (c *Contribution) signers() (required, allowed []sign.KeyID) {
	return publisherAndContributors(c.Publisher, c.Contributors)
}

// publisherAndContributors says who signs a node of the graph: the publisher
// must, the contributors may.
func publisherAndContributors(publisher sign.KeyID, contributors []Share) (required, allowed []sign.KeyID) {
	allowed = append(make([]sign.KeyID, 0, len(contributors)+1), publisher)
	for _, s := range contributors {
		if s.ID != publisher {
			allowed = append(allowed, s.ID)
		}
	}
	return allowed[:1:1], allowed
}

func (c *Contribution) validate(p *field.Problems) {
	p.Add(field.KeyID(c.Publisher), "predicate.publisher")
	c.Dataset.validate(p)
	p.Add(field.DocumentCID(c.Terms), "predicate.terms")
	validateShares(p, "predicate.contributors", c.Contributors, c.Total, MaxContributors)
	if n := len(c.Edges) + len(c.Sources); n > MaxReferences {
		p.Add(fmt.Sprintf("edges and sources together may be %d, are %d", MaxReferences, n), "predicate.sources")
	} else {
		for i, s := range c.Sources {
			s.validate(p, i)
		}
		validateEdges(p, c.Edges, c.SelfWeight, c.EdgeTotal, c.Attribution)
	}
	validateSuccession(p, c.Supersedes, c.Agreement)
	c.Rules.validate(p)
	if c.Attachments.Defined() {
		p.Add(field.DocumentCID(c.Attachments), "predicate.attachments")
	}
}

func (d *Dataset) validate(p *field.Problems) {
	p.Add(message(ValidName(d.Name)), "predicate.dataset.name")
	p.Add(message(ValidVersion(d.Version)), "predicate.dataset.version")
	p.Line("predicate.dataset.title", d.Title, maxTitle)
	p.Add(field.DocumentCID(d.Manifest), "predicate.dataset.manifest")
	p.Add(field.Count(d.Bytes), "predicate.dataset.bytes")
	p.Add(field.Count(d.FileCount), "predicate.dataset.fileCount")
	if d.FileCount == 0 && d.Bytes > 0 {
		p.Add("must be 0 where there is no file", "predicate.dataset.bytes")
	}
	p.Add(checkLicenseText(d.License), "predicate.dataset.license")
	validateKeywords(p, "predicate.dataset.keywords", d.Keywords)
	validateMediaTypes(p, "predicate.dataset.mediaTypes", d.MediaTypes)
}

func validateMediaTypes(p *field.Problems, path string, types []string) {
	for i := range p.List(path, len(types), maxMediaTypes) {
		p.Add(checkMediaType(types[i]), "%s[%d]", path, i)
		if i > 0 && types[i-1] >= types[i] {
			p.Add("the list must be sorted and without repetitions", "%s[%d]", path, i)
		}
	}
}

// validateSuccession checks what a version says of the one before it.
func validateSuccession(p *field.Problems, supersedes, agreement cjson.CID) {
	if supersedes.Defined() {
		p.Add(field.StatementCID(supersedes), "predicate.supersedes")
	}
	if agreement.Defined() {
		p.Add(field.StatementCID(agreement), "predicate.agreement")
		if !supersedes.Defined() {
			p.Add("stands only beside supersedes", "predicate.agreement")
		}
	}
}

func validateKeywords(p *field.Problems, path string, keywords []string) {
	for i := range p.List(path, len(keywords), maxKeywords) {
		p.Add(message(ValidKeyword(keywords[i])), "%s[%d]", path, i)
		if slices.Contains(keywords[:i], keywords[i]) {
			p.Add("is there already", "%s[%d]", path, i)
		}
	}
}

// validateShares checks a list of shares against the total beside it.
func validateShares(p *field.Problems, path string, shares []Share, total string, limit int) {
	if n := len(shares); n < 1 || n > limit {
		p.Add(fmt.Sprintf("must have 1 to %d entries, has %d", limit, n), "%s", path)
		return
	}
	list := strings.TrimPrefix(path, "predicate.")
	sum, summable, seen := uint64(0), true, make(map[sign.KeyID]int, len(shares))
	for i, s := range shares {
		p.Add(field.KeyID(s.ID), "%s[%d].id", path, i)
		if first, ok := seen[s.ID]; ok {
			p.Add(fmt.Sprintf("is %s[%d] already", list, first), "%s[%d].id", path, i)
		} else {
			seen[s.ID] = i
		}
		w, msg := positiveWeight(s.Weight)
		p.Add(msg, "%s[%d].weight", path, i)
		sum, summable = addWeight(sum, w), summable && msg == ""
	}
	checkTotal(p, "predicate.total", total, sum, summable)
}

// validate checks the source at index i of the list.
func (s *Source) validate(p *field.Problems, i int) {
	p.Add(message(s.Rel.Valid()), "predicate.sources[%d].rel", i)
	n := 0
	if s.Statement.Defined() {
		n++
		p.Add(field.StatementCID(s.Statement), "predicate.sources[%d].statement", i)
	}
	if s.CID.Defined() {
		n++
		p.Add(field.AnyCID(s.CID), "predicate.sources[%d].cid", i)
	}
	if s.URL != "" {
		n++
		p.Add(field.URL(s.URL), "predicate.sources[%d].url", i)
	}
	if n != 1 {
		p.Add("must have exactly one of statement, cid and url", "predicate.sources[%d]", i)
	}
}

func validateEdges(p *field.Problems, edges []Edge, selfWeight, edgeTotal string, attribution cjson.CID) {
	if attribution.Defined() {
		p.Add(field.StatementCID(attribution), "predicate.attribution")
	}
	if len(edges) == 0 {
		absent := selfWeight == "" && edgeTotal == ""
		if !absent && (selfWeight != "1" || edgeTotal != "1") {
			p.Add(`without edges, selfWeight and edgeTotal are both "1" or both absent`, "predicate.edgeTotal")
		}
		return
	}
	sum, msg := parseWeight(selfWeight)
	p.Add(msg, "predicate.selfWeight")
	summable := msg == ""
	for i, e := range edges {
		p.Add(field.StatementCID(e.Statement), "predicate.edges[%d].statement", i)
		if i > 0 && edges[i-1].Statement.String() >= e.Statement.String() {
			p.Add("the list must be sorted by statement and without repetitions", "predicate.edges[%d].statement", i)
		}
		w, msg := positiveWeight(e.Weight)
		p.Add(msg, "predicate.edges[%d].weight", i)
		sum, summable = addWeight(sum, w), summable && msg == ""
		if e.Share != "" {
			_, msg := positiveWeight(e.Share)
			p.Add(msg, "predicate.edges[%d].share", i)
			if !attribution.Defined() {
				p.Add("stands only beside attribution", "predicate.edges[%d].share", i)
			}
		}
	}
	checkTotal(p, "predicate.edgeTotal", edgeTotal, sum, summable)
	if w, msg := parseWeight(edgeTotal); msg == "" && w%million != 0 {
		p.Add("must be a multiple of 1000000", "predicate.edgeTotal")
	}
	checkShareTotal(p, edges, edgeTotal)
}

// checkShareTotal holds the shares of edges against their total, a millionth of
// the edge total.
func checkShareTotal(p *field.Problems, edges []Edge, edgeTotal string) {
	total, msg := parseWeight(edgeTotal)
	if msg != "" {
		return
	}
	sum := uint64(0)
	for _, e := range edges {
		if w, msg := parseWeight(e.Share); msg == "" {
			sum = addWeight(sum, w)
		}
	}
	if sum > total/million {
		p.Add("is too small: the shares of the edges add up to more than a millionth of it", "predicate.edgeTotal")
	}
}

func (r *Rules) validate(p *field.Problems) {
	if r == nil {
		return
	}
	p.Present("predicate.rules", *r == Rules{})
	p.Enum("predicate.rules.accept", r.Accept, AcceptUse, AcceptBytes)
	p.Enum("predicate.rules.onWithdraw", r.OnWithdraw, "keep", "hold", "pool")
	y := r.Payment
	if r.OnWithdraw == "pool" && (y == nil || !y.Pool.Defined()) {
		p.Add("needs payment.pool", "predicate.rules.onWithdraw")
	}
	if y == nil {
		return
	}
	p.Payment("predicate.rules.payment", field.Payment{
		RatePpm: y.RatePpm, Stacking: y.Stacking, FloorPpm: y.FloorPpm, CapPpm: y.CapPpm, Pool: y.Pool, PoolPpm: y.PoolPpm,
	})
}
