package manifests

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Limits of texts that people write into small statements.
const (
	maxDisplayName = 256
	maxReason      = 1024
)

// A Profile is the predicate of profile/v1: how an identity wants to be called.
// The first accepted profile with a handle owns it for ever. All of it is
// public; nothing but Handle is unique.
type Profile struct {
	Common

	Identity sign.KeyID `json:"identity"`
	Handle   string     `json:"handle,omitempty"`
	Name     string     `json:"name,omitempty"`
	URL      string     `json:"url,omitempty"`
	ORCID    string     `json:"orcid,omitempty"`
	ROR      string     `json:"ror,omitempty"`
}

// Kind returns [KindProfile].
func (*Profile) Kind() Kind { return KindProfile }

func (f *Profile) subject(Subject) Subject { return textSubject(string(f.Identity)) }

func (f *Profile) signers() (required, allowed []sign.KeyID) {
	return []sign.KeyID{f.Identity}, []sign.KeyID{f.Identity}
}

func (f *Profile) validate(p *field.Problems) {
	p.Add(field.KeyID(f.Identity), "predicate.identity")
	if f.Handle != "" {
		p.Add(message(ValidHandle(f.Handle)), "predicate.handle")
	}
	p.Line("predicate.name", f.Name, maxDisplayName)
	p.URL("predicate.url", f.URL)
	if f.ORCID != "" {
		p.Add(checkORCID(f.ORCID), "predicate.orcid")
	}
	if f.ROR != "" {
		p.Add(checkROR(f.ROR), "predicate.ror")
	}
}

// The operations of a key statement.
const (
	KeyFirst  = "first"  // the identity's first key event: says that its key is in use
	KeyRotate = "rotate" // the key takes the place of the one that signs for the identity
	KeyRevoke = "revoke" // the key signs no later entry
)

// A Key is the predicate of key/v1: an event in the life of an identity's keys.
// An identity is named by its first key, and keeps that name when other keys
// sign for it. Events are judged by their index in the log, never by a date.
type Key struct {
	Common

	Identity sign.KeyID `json:"identity"`
	// Key is the key that the event is about: in "first" the identity itself, in
	// "rotate" the new one, which signs beside the one that it replaces.
	Key sign.KeyID `json:"key"`
	Op  string     `json:"op"`
	// Next is the digest of the key that will follow, see [KeyDigest]: no other
	// may. Only with "first" and "rotate".
	Next string `json:"next,omitempty"`
	// Reason is for people; only with "revoke".
	Reason string `json:"reason,omitempty"`
	// CompromisedSince is the log index from which the key's entries are to be
	// doubted; it undoes none of them. Only with "revoke".
	CompromisedSince *uint64 `json:"compromisedSince,omitempty"`
}

// Kind returns [KindKey].
func (*Key) Kind() Kind { return KindKey }

func (k *Key) subject(Subject) Subject { return textSubject(string(k.Identity)) }

func (k *Key) signers() (required, allowed []sign.KeyID) {
	if k.Op == KeyRotate {
		return []sign.KeyID{k.Identity, k.Key}, []sign.KeyID{k.Identity, k.Key}
	}
	return one(k.Identity)
}

// KeyDigest returns what [Key.Next] says of a key: the lower hex SHA-256 of the
// text of its did:key.
func KeyDigest(id sign.KeyID) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

func (k *Key) validate(p *field.Problems) {
	p.Add(field.KeyID(k.Identity), "predicate.identity")
	p.Add(field.KeyID(k.Key), "predicate.key")
	p.Add(field.OneOf(k.Op, KeyFirst, KeyRotate, KeyRevoke), "predicate.op")
	if k.Op == KeyFirst && k.Key != k.Identity {
		p.Add("must equal identity: an identity is named by its first key", "predicate.key")
	}
	if k.Op == KeyRotate && k.Key == k.Identity {
		p.Add("must not be identity: a first key never comes back", "predicate.key")
	}
	if k.Next != "" {
		p.Add(field.SHA256(k.Next), "predicate.next")
		if k.Op == KeyRevoke {
			p.Add(`stands only with op "first" or "rotate"`, "predicate.next")
		}
		if k.Next == KeyDigest(k.Key) || k.Next == KeyDigest(k.Identity) { // which never follows
			p.Add("must be of another key than this one and the first", "predicate.next")
		}
	}
	p.Line("predicate.reason", k.Reason, maxReason)
	if k.Reason != "" && k.Op != KeyRevoke {
		p.Add(`stands only with op "revoke"`, "predicate.reason")
	}
	if n := k.CompromisedSince; n != nil {
		if k.Op != KeyRevoke {
			p.Add(`stands only with op "revoke"`, "predicate.compromisedSince")
		}
		if *n > field.MaxInt {
			p.Add("must be at most 2^53-1", "predicate.compromisedSince")
		}
	}
}

// The types and results of an attestation.
const (
	AttestAudit  = "audit"  // the checks of an audit were run
	AttestReview = "review" // a person looked at it
	AttestScan   = "scan"   // a program looked at the content

	ResultHolds       = "holds"
	ResultDoesNotHold = "does-not-hold"
	ResultIncomplete  = "incomplete" // not everything could be checked
)

// An Attestation is the predicate of attestation/v1: a third party's word about
// an accepted statement.
type Attestation struct {
	Common

	Attester sign.KeyID `json:"attester"`
	Type     string     `json:"type"`
	About    cjson.CID  `json:"about"` // a statement
	// Report is the CID of the document behind the result, if it is published.
	Report cjson.CID `json:"report,omitzero"`
	Result string    `json:"result"`
}

// Kind returns [KindAttestation].
func (*Attestation) Kind() Kind { return KindAttestation }

func (a *Attestation) subject(Subject) Subject {
	return statementSubject(a.About)
}

func (a *Attestation) signers() (required, allowed []sign.KeyID) {
	return []sign.KeyID{a.Attester}, []sign.KeyID{a.Attester}
}

func (a *Attestation) validate(p *field.Problems) {
	p.Add(field.KeyID(a.Attester), "predicate.attester")
	p.Add(field.OneOf(a.Type, AttestAudit, AttestReview, AttestScan), "predicate.type")
	p.Add(field.StatementCID(a.About), "predicate.about")
	if a.Report.Defined() {
		p.Add(field.AnyCID(a.Report), "predicate.report")
	}
	p.Add(field.OneOf(a.Result, ResultHolds, ResultDoesNotHold, ResultIncomplete), "predicate.result")
}
