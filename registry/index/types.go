package index

import (
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

// Entry is a log entry as the index keeps it.
type Entry struct {
	Index     uint64       `json:"index"`
	Verdict   fold.Verdict `json:"verdict"`
	Code      fold.Code    `json:"code,omitempty"`
	Kind      string       `json:"kind,omitempty"`     // as the leaf says; "" for a malformed leaf
	Statement cjson.CID    `json:"statement,omitzero"` // as the leaf says
	Envelope  cjson.CID    `json:"envelope,omitzero"`  // as the leaf says
	Size      int64        `json:"size,omitempty"`     // of the envelope, as the leaf says
	Keys      []sign.KeyID `json:"keys,omitempty"`     // signers, as the leaf says
	Digest    string       `json:"digest"`             // hex; the fold's digest after this entry
}

// Statement is the fate of a statement.
type Statement struct {
	Statement cjson.CID    `json:"statement"`
	Index     uint64       `json:"index"` // of the entry that decided it
	Verdict   fold.Verdict `json:"verdict"`
	Code      fold.Code    `json:"code,omitempty"`
	Kind      string       `json:"kind"`
	Envelope  cjson.CID    `json:"envelope"` // of the entry that decided it
	Signers   []Signer     `json:"signers,omitempty"`
}

// Signer is who signed an accepted statement, and the entry that brought the signature.
type Signer struct {
	ID    sign.KeyID `json:"id"` // identity; of a group's statement the key
	Index uint64     `json:"index"`
	Key   sign.KeyID `json:"key,omitempty"` // that signed; "" when it is ID
}

// Dataset is an accepted version of a dataset, or of a model.
type Dataset struct {
	Kind         string        `json:"kind"` // contribution/v1 or model/v1
	Index        uint64        `json:"index"`
	Statement    cjson.CID     `json:"statement"`
	Envelope     cjson.CID     `json:"envelope"`
	Work         string        `json:"work"`
	Seq          uint64        `json:"seq"`
	Publisher    sign.KeyID    `json:"publisher"`
	Name         string        `json:"name"`
	Version      string        `json:"version"`
	Title        string        `json:"title,omitempty"`
	Root         cjson.CID     `json:"root"`              // of a model: what the subject names
	Manifest     cjson.CID     `json:"manifest,omitzero"` // of a dataset
	Terms        cjson.CID     `json:"terms"`
	License      string        `json:"license"`
	Keywords     []string      `json:"keywords,omitempty"`
	MediaTypes   []string      `json:"mediaTypes,omitempty"`
	Bytes        int64         `json:"bytes"`
	FileCount    int64         `json:"fileCount"`
	Contributors []Contributor `json:"contributors"`
	Total        string        `json:"total"`
	Edges        []fold.Edge   `json:"edges,omitempty"`
	SelfWeight   string        `json:"selfWeight"`
	EdgeTotal    string        `json:"edgeTotal"`
	Sources      []Source      `json:"sources,omitempty"`
	Supersedes   cjson.CID     `json:"supersedes,omitzero"`
	IssuedAt     string        `json:"issuedAt"` // the signer's claim

	Artifact    cjson.CID        `json:"artifact,omitzero"` // of a model
	Usages      []cjson.CID      `json:"usages,omitempty"`  // of a model
	Attribution cjson.CID        `json:"attribution,omitzero"`
	Agreement   cjson.CID        `json:"agreement,omitzero"` // whose shares it has
	Rules       *manifests.Rules `json:"rules,omitempty"`

	// AfterWithdrawal are what it was made from after that was withdrawn.
	AfterWithdrawal []cjson.CID `json:"afterWithdrawal,omitempty"`
	// Withdrawn is the entry with which its publisher withdrew it.
	Withdrawn *uint64 `json:"withdrawn,omitempty"`
	// Erased is the entry of the tombstone with which operators erased its body:
	// licence, counts and texts are then forgotten.
	Erased *uint64 `json:"erased,omitempty"`
}

// Contributor is a share, and whether its owner has signed.
type Contributor struct {
	ID     sign.KeyID `json:"id"`
	Weight string     `json:"weight"`
	Signed bool       `json:"signed"`
	Key    sign.KeyID `json:"key,omitempty"` // that signed, when it is not ID
}

// Source is a declared lineage target: exactly one of Statement, URL and CID.
type Source struct {
	Rel       string    `json:"rel"`
	Statement cjson.CID `json:"statement,omitzero"`
	URL       string    `json:"url,omitempty"`
	CID       cjson.CID `json:"cid,omitzero"`
}

// Profile is the current profile of an identity.
type Profile struct {
	Index     uint64     `json:"index"`
	Statement cjson.CID  `json:"statement"`
	Identity  sign.KeyID `json:"identity"`
	Handle    string     `json:"handle,omitempty"`
	Name      string     `json:"name,omitempty"`
	URL       string     `json:"url,omitempty"`
}

// KeyEvent is an accepted key/v1 of an identity.
type KeyEvent struct {
	Index            uint64     `json:"index"`
	Statement        cjson.CID  `json:"statement"`
	Op               string     `json:"op"` // "first", "rotate" or "revoke"
	Identity         sign.KeyID `json:"identity"`
	Key              sign.KeyID `json:"key"`
	Replaces         sign.KeyID `json:"replaces,omitempty"` // with "rotate": the key before
	Next             string     `json:"next,omitempty"`
	CompromisedSince *uint64    `json:"compromisedSince,omitempty"`
}

// Key is a key of an identity, and from when to when it signs for it. It signs
// the entries above From (a first key: from entry 0 on), up to and including Replaced
// and Revoked.
type Key struct {
	Key      sign.KeyID `json:"key"`
	From     *uint64    `json:"from,omitempty"`     // the entry of its rotation; nil for a first key
	Replaced *uint64    `json:"replaced,omitempty"` // the entry of the rotation to the next
	Revoked  *uint64    `json:"revoked,omitempty"`  // the entry of its revocation
}

// Signs reports whether the key signs for its identity now.
func (k Key) Signs() bool { return k.Replaced == nil && k.Revoked == nil }

// Attestation is an accepted attestation/v1.
type Attestation struct {
	Index     uint64     `json:"index"`
	Statement cjson.CID  `json:"statement"`
	Attester  sign.KeyID `json:"attester"`
	Type      string     `json:"type"`
	About     cjson.CID  `json:"about"`
	Report    cjson.CID  `json:"report,omitzero"`
	Result    string     `json:"result"`
}

// Registry is the registry/v1 in force.
type Registry struct {
	Index uint64 `json:"index"`
	fold.SetRegistry
}
