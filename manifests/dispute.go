package manifests

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The kinds of dispute.
const (
	DisputePlagiarism = "plagiarism"
	DisputeShare      = "share"
	DisputeWash       = "wash"
	DisputeDuplicate  = "duplicate"
	DisputeError      = "error"
)

// The rulings of a resolution.
const (
	RulingHold       = "hold"       // the kept part is held
	RulingRelease    = "release"    // what is held is paid, and nothing more is held
	RulingReallocate = "reallocate" // what is held goes to the named parties
	RulingDismiss    = "dismiss"    // there is nothing to it
)

const maxEvidence = 64

// A Dispute is the predicate of dispute/v1: somebody contests an accepted
// statement. It sets a flag and holds no money.
type Dispute struct {
	Common

	Disputant sign.KeyID  `json:"disputant"`
	Target    cjson.CID   `json:"target"` // a statement
	Type      string      `json:"kind"`
	Evidence  []cjson.CID `json:"evidence,omitempty"`
}

// Kind returns [KindDispute].
func (*Dispute) Kind() Kind { return KindDispute }

func (d *Dispute) subject(Subject) Subject { return statementSubject(d.Target) }

func (d *Dispute) signers() (required, allowed []sign.KeyID) { return one(d.Disputant) }

func (d *Dispute) validate(p *field.Problems) {
	p.Add(field.KeyID(d.Disputant), "predicate.disputant")
	p.Add(field.StatementCID(d.Target), "predicate.target")
	p.Add(field.OneOf(d.Type, DisputePlagiarism, DisputeShare, DisputeWash, DisputeDuplicate, DisputeError), "predicate.kind")
	validateEvidence(p, d.Evidence)
}

// A Resolution is the predicate of resolution/v1: the arbiters rule on a
// dispute. The ruling is about the kept part of one version, from the next
// period on; it changes no share and no authorship.
type Resolution struct {
	Common

	Dispute   cjson.CID `json:"dispute"`
	Statement cjson.CID `json:"statement"` // the version
	Ruling    string    `json:"ruling"`
	// Shares and Total say who gets what is held; only with "reallocate".
	Shares   []Share     `json:"shares,omitempty"`
	Total    string      `json:"total,omitempty"`
	Evidence []cjson.CID `json:"evidence,omitempty"`
}

// Kind returns [KindResolution].
func (*Resolution) Kind() Kind { return KindResolution }

func (r *Resolution) subject(Subject) Subject { return statementSubject(r.Statement) }

func (*Resolution) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*Resolution) authority() Authority { return Arbiters }

func (r *Resolution) validate(p *field.Problems) {
	p.Add(field.StatementCID(r.Dispute), "predicate.dispute")
	p.Add(field.StatementCID(r.Statement), "predicate.statement")
	p.Add(field.OneOf(r.Ruling, RulingHold, RulingRelease, RulingReallocate, RulingDismiss), "predicate.ruling")
	if r.Ruling == RulingReallocate {
		validateShares(p, "predicate.shares", r.Shares, r.Total, MaxContributors)
	} else {
		absent(p, "predicate.shares", len(r.Shares) > 0)
		absent(p, "predicate.total", r.Total != "")
	}
	validateEvidence(p, r.Evidence)
}

func validateEvidence(p *field.Problems, evidence []cjson.CID) {
	for i := range p.List("predicate.evidence", len(evidence), maxEvidence) {
		p.Add(field.AnyCID(evidence[i]), "predicate.evidence[%d]", i)
	}
}
