package manifests

import (
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A Payee is the predicate of payee/v1: a party says how it is paid, without
// saying it in public. It counts from the next period on.
type Payee struct {
	Common

	Identity sign.KeyID `json:"identity"`
	Rail     string     `json:"rail"`
	// Commitment is the lower hex SHA-256 of a salt of 32 bytes and the
	// canonical JSON of the details.
	Commitment string `json:"commitment"`
}

// Kind returns [KindPayee].
func (*Payee) Kind() Kind { return KindPayee }

func (y *Payee) subject(Subject) Subject { return textSubject(string(y.Identity)) }

func (y *Payee) signers() (required, allowed []sign.KeyID) { return one(y.Identity) }

func (y *Payee) validate(p *field.Problems) {
	p.Add(field.KeyID(y.Identity), "predicate.identity")
	p.Add(checkRail(y.Rail), "predicate.rail")
	p.Add(field.SHA256(y.Commitment), "predicate.commitment")
}

// A Commit is the predicate of commit/v1: somebody commits to a CID before they
// show it. Opened later, it proves that they held it at this entry.
type Commit struct {
	Common

	Identity sign.KeyID `json:"identity"`
	// Commitment is the lower hex SHA-256 of a salt of 32 bytes and the text of
	// the CID.
	Commitment string `json:"commitment"`
}

// Kind returns [KindCommit].
func (*Commit) Kind() Kind { return KindCommit }

func (c *Commit) subject(Subject) Subject {
	return Subject{Name: "commitment", Digest: map[string]string{"sha256": c.Commitment}}
}

func (c *Commit) signers() (required, allowed []sign.KeyID) { return one(c.Identity) }

func (c *Commit) validate(p *field.Problems) {
	p.Add(field.KeyID(c.Identity), "predicate.identity")
	p.Add(field.SHA256(c.Commitment), "predicate.commitment")
}
