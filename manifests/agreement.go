package manifests

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// MaxShares bounds the shares of an agreement. At the longest did:key they stay
// below [sign.MaxPayload] while weights are short; larger groups are trees of
// works.
const MaxShares = 8192

// An Agreement is the predicate of agreement/v1: who gets which share of a work
// from a period on. It takes effect when everybody has signed whose fraction
// falls or who is new; until then it is pending, and logging it again adds
// signatures. Who must sign depends on the state of the log.
type Agreement struct {
	Common

	// Work is "wk:" and the statement of the first version.
	Work string `json:"work"`
	// EffectivePeriod is the first month with these shares.
	EffectivePeriod string `json:"effectivePeriod"`
	// Retroactive permits a period that is not in the future, for an
	// adjustment; then everybody who held a share since must sign.
	Retroactive bool `json:"retroactive,omitempty"`
	// Supersedes is the newest complete agreement of the work; undefined for the first.
	Supersedes cjson.CID `json:"supersedes,omitzero"`
	// Attribution is the attribution/v1 that the shares follow.
	Attribution cjson.CID `json:"attribution,omitzero"`

	Shares []Share `json:"shares"`
	Total  string  `json:"total"`
}

// Kind returns [KindAgreement].
func (*Agreement) Kind() Kind { return KindAgreement }

func (a *Agreement) subject(Subject) Subject { return statementSubject(workCID(a.Work)) }

// WorkStatement returns the statement of the work's first version.
func (a *Agreement) WorkStatement() cjson.CID { return workCID(a.Work) }

// signers names no required key: who must sign is seen in the log. Those who
// have a share until now may sign too.
func (a *Agreement) signers() (required, allowed []sign.KeyID) {
	for _, s := range a.Shares {
		allowed = append(allowed, s.ID)
	}
	return nil, allowed
}

func (*Agreement) signersInState() {}

func (a *Agreement) validate(p *field.Problems) {
	p.Add(checkWork(a.Work), "predicate.work")
	p.Add(field.Month(a.EffectivePeriod), "predicate.effectivePeriod")
	if a.Supersedes.Defined() {
		p.Add(field.StatementCID(a.Supersedes), "predicate.supersedes")
	}
	if a.Attribution.Defined() {
		p.Add(field.StatementCID(a.Attribution), "predicate.attribution")
	}
	validateShares(p, "predicate.shares", a.Shares, a.Total, MaxShares)
}
