package manifests

import (
	"fmt"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A Model is the predicate of model/v1: a version of a model, a node of the
// derivation graph as a contribution is. Its edges lead to what it was trained
// on. The publisher must sign it; contributors may, then or later. Its name
// shares the publisher's namespace with datasets.
type Model struct {
	Common

	// Publisher is the identity that owns the name: the trainer.
	Publisher sign.KeyID `json:"publisher"`
	Model     ModelName  `json:"model"`
	// Terms is the CID of the terms document, dag-json.
	Terms cjson.CID `json:"terms"`

	// Contributors are the shares at birth; Total is the sum of their weights.
	Contributors []Share `json:"contributors"`
	Total        string  `json:"total"`

	// Usages are the usage/v1 statements of the runs that made the model, sorted.
	Usages []cjson.CID `json:"usages,omitempty"`
	// Sources are what the model comes from beside the inputs of its runs, or without
	// runs on record: what it was trained on, the model that it was made of.
	Sources []Source `json:"sources,omitempty"`

	// Edges, SelfWeight and EdgeTotal are as in a [Contribution].
	Edges      []Edge `json:"edges,omitempty"`
	SelfWeight string `json:"selfWeight,omitempty"`
	EdgeTotal  string `json:"edgeTotal,omitempty"`

	// Attribution is the attribution/v1 of the artifact that the edges' shares follow.
	Attribution cjson.CID `json:"attribution,omitzero"`
	// Supersedes is the newest statement of the name; undefined for the first.
	Supersedes cjson.CID `json:"supersedes,omitzero"`
	// Agreement names an agreement on shares; only beside Supersedes.
	Agreement cjson.CID `json:"agreement,omitzero"`
	// Rules are the terms that bind later entries, copied from the terms document.
	Rules *Rules `json:"rules,omitempty"`
	// Attachments is the CID of a DAG-JSON list of links.
	Attachments cjson.CID `json:"attachments,omitzero"`
}

// A ModelName is what lists and searches need of a model.
type ModelName struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Title   string `json:"title,omitempty"`
	// Artifact is the CID of the model's files, raw or dag-pb; undefined for a
	// model that is not published as data.
	Artifact   cjson.CID `json:"artifact,omitzero"`
	MediaTypes []string  `json:"mediaTypes,omitempty"` // sorted
}

// NewModel returns the statement that m makes. sha256 is the digest of the
// artifact in lower hex, for a model without an artifact CID; else it is not
// read.
func NewModel(m *Model, sha256 string) *Statement {
	given := Subject{Digest: map[string]string{"sha256": sha256}}
	return &Statement{Kind: KindModel, Subject: []Subject{m.subject(given)}, Predicate: m}
}

// Kind returns [KindModel].
func (*Model) Kind() Kind { return KindModel }

// subject is the artifact. Without a CID of it the given digest stands, which
// the predicate does not repeat.
func (m *Model) subject(given Subject) Subject {
	name := m.Model.Name + "@" + m.Model.Version
	if m.Model.Artifact.Defined() {
		return dataSubject(name, m.Model.Artifact.Cid)
	}
	return Subject{Name: name, Digest: map[string]string{"sha256": given.Digest["sha256"]}}
}

func (m *Model) signers() (required, allowed []sign.KeyID) {
	return publisherAndContributors(m.Publisher, m.Contributors)
}

func (m *Model) validate(p *field.Problems) {
	p.Add(field.KeyID(m.Publisher), "predicate.publisher")
	p.Add(message(ValidName(m.Model.Name)), "predicate.model.name")
	p.Add(message(ValidVersion(m.Model.Version)), "predicate.model.version")
	p.Line("predicate.model.title", m.Model.Title, maxTitle)
	if m.Model.Artifact.Defined() {
		p.Add(field.DataCID(m.Model.Artifact.Cid), "predicate.model.artifact")
	}
	validateMediaTypes(p, "predicate.model.mediaTypes", m.Model.MediaTypes)
	p.Add(field.DocumentCID(m.Terms), "predicate.terms")
	validateShares(p, "predicate.contributors", m.Contributors, m.Total, MaxContributors)
	if n := len(m.Edges) + len(m.Usages) + len(m.Sources); n > MaxReferences {
		p.Add(fmt.Sprintf("edges, usages and sources together may be %d, are %d", MaxReferences, n), "predicate.usages")
	} else {
		for i, s := range m.Sources {
			s.validate(p, i)
		}
		validateStatements(p, "predicate.usages", m.Usages, MaxReferences)
		validateEdges(p, m.Edges, m.SelfWeight, m.EdgeTotal, m.Attribution)
	}
	validateSuccession(p, m.Supersedes, m.Agreement)
	m.Rules.validate(p)
	if m.Attachments.Defined() {
		p.Add(field.DocumentCID(m.Attachments), "predicate.attachments")
	}
}
