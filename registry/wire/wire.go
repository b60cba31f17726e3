// Package wire is what travels between a registry and its clients: the JSON
// bodies of /v1, and problems as RFC 9457 has them. Members are only ever added.
// The package imports manifests alone, so a client links no database.
package wire

import (
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Limits of requests.
const (
	// MaxMissing bounds the CIDs of one question for missing blocks.
	MaxMissing = 4096
	// MaxBody bounds a JSON answer that a client reads: a page of 1,000 datasets
	// of ordinary size has under 4 MiB.
	MaxBody = 64 << 20
)

// Status says what a registry is and how far it is: GET /v1/status.
type Status struct {
	Origin      string `json:"origin"`
	VKey        string `json:"vkey"`
	Size        uint64 `json:"size"`    // of the published log
	Root        string `json:"root"`    // base64, of the published tree
	Applied     uint64 `json:"applied"` // entries the index describes
	Digest      string `json:"digest"`  // hex, of the fold after Applied entries
	FoldVersion int    `json:"foldVersion"`
	Ready       bool   `json:"ready"`
	Reason      string `json:"reason,omitempty"` // why not ready
	Version     string `json:"version,omitempty"`
}

// Entry is an entry of the log with its verdict: GET /v1/entries/{index}.
type Entry struct {
	Size      uint64       `json:"treeSize"` // the size the answer describes
	Index     uint64       `json:"index"`
	Verdict   string       `json:"verdict"`
	Code      string       `json:"code,omitempty"`
	Kind      string       `json:"kind,omitempty"`
	Statement cjson.CID    `json:"statement,omitzero"`
	Envelope  cjson.CID    `json:"envelope,omitzero"`
	Bytes     int64        `json:"size,omitempty"` // of the envelope
	Keys      []sign.KeyID `json:"keys,omitempty"`
	Digest    string       `json:"digest"`
}

// Signer is who signed a statement, and the entry that brought the signature.
type Signer struct {
	ID    sign.KeyID `json:"id"` // identity; of a group's statement the key
	Index uint64     `json:"index"`
	Key   sign.KeyID `json:"key,omitempty"` // that signed, when it is not ID
}

// Statement is the fate of a statement: GET /v1/statements/{cid}.
type Statement struct {
	Size      uint64    `json:"treeSize"`
	Statement cjson.CID `json:"statement"`
	Index     uint64    `json:"index"`
	Verdict   string    `json:"verdict"`
	Code      string    `json:"code,omitempty"`
	Kind      string    `json:"kind"`
	Envelope  cjson.CID `json:"envelope"`
	Signers   []Signer  `json:"signers,omitempty"`
	// Dataset is there for an accepted contribution.
	Dataset *Dataset `json:"dataset,omitempty"`
}

// Dataset is an accepted version of a dataset.
type Dataset struct {
	Kind         string        `json:"kind,omitempty"` // contribution/v1 or model/v1
	Index        uint64        `json:"index"`
	Statement    cjson.CID     `json:"statement"`
	Envelope     cjson.CID     `json:"envelope"`
	Work         string        `json:"work"`
	Seq          uint64        `json:"seq"`
	Publisher    sign.KeyID    `json:"publisher"`
	Name         string        `json:"name"`
	Version      string        `json:"version"`
	Title        string        `json:"title,omitempty"`
	Root         cjson.CID     `json:"root"`
	Manifest     cjson.CID     `json:"manifest,omitzero"` // of a dataset
	Terms        cjson.CID     `json:"terms"`
	License      string        `json:"license"`
	Keywords     []string      `json:"keywords,omitempty"`
	MediaTypes   []string      `json:"mediaTypes,omitempty"`
	Bytes        int64         `json:"bytes"`
	FileCount    int64         `json:"fileCount"`
	Contributors []Contributor `json:"contributors"`
	Total        string        `json:"total"`
	Edges        []Edge        `json:"edges,omitempty"`
	SelfWeight   string        `json:"selfWeight"`
	EdgeTotal    string        `json:"edgeTotal"`
	Sources      []Source      `json:"sources,omitempty"`
	Supersedes   cjson.CID     `json:"supersedes,omitzero"`
	IssuedAt     string        `json:"issuedAt"` // the signer's claim
	// Rules are what the version asks of those made from it; nil for nothing.
	Rules *manifests.Rules `json:"rules,omitempty"`
	// Withdrawn is the entry with which its publisher withdrew it.
	Withdrawn *uint64 `json:"withdrawn,omitempty"`
	// Erased is the entry of the tombstone with which operators erased its body:
	// licence, counts and texts are then forgotten.
	Erased *uint64 `json:"erased,omitempty"`
	// AfterWithdrawal are what it was made from after that was withdrawn.
	AfterWithdrawal []cjson.CID `json:"afterWithdrawal,omitempty"`
}

// Contributor is a share, and whether its owner has signed.
type Contributor struct {
	ID     sign.KeyID `json:"id"`
	Weight string     `json:"weight"`
	Signed bool       `json:"signed"`
	Key    sign.KeyID `json:"key,omitempty"` // that signed, when it is not ID
}

// Edge is the weight with which revenue flows on to a parent.
type Edge struct {
	Statement cjson.CID `json:"statement"`
	Weight    string    `json:"weight"`
	Share     string    `json:"share,omitempty"`
}

// Source is a declared lineage target: one of Statement, URL and CID.
type Source struct {
	Rel       string    `json:"rel"`
	Statement cjson.CID `json:"statement,omitzero"`
	URL       string    `json:"url,omitempty"`
	CID       cjson.CID `json:"cid,omitzero"`
}

// Page is a list of datasets: GET /v1/datasets and the history of a name.
type Page struct {
	Size     uint64    `json:"treeSize"`
	Datasets []Dataset `json:"datasets"`
	Next     uint64    `json:"next,omitempty"` // the after of the next page
}

// Relative is a dataset next to another in the lineage.
type Relative struct {
	Rel     string  `json:"rel"`
	Dataset Dataset `json:"dataset"`
}

// Lineage is what a version comes from and what comes from it:
// GET /v1/statements/{cid}/lineage.
type Lineage struct {
	Size     uint64     `json:"treeSize"`
	Dataset  Dataset    `json:"dataset"`
	Parents  []Relative `json:"parents"`
	Children []Relative `json:"children"`
	Next     uint64     `json:"next,omitempty"` // the after of the next page of children
}

// Resolution is what a REF names: GET /v1/resolve?ref=….
type Resolution struct {
	Size       uint64      `json:"treeSize"`
	Kind       string      `json:"kind"` // name, statement, manifest or root
	Root       cjson.CID   `json:"root"`
	Statements []cjson.CID `json:"statements"` // accepted, newest first
	Datasets   []Dataset   `json:"datasets"`   // the same
}

// KeyEvent is an accepted key/v1 entry.
type KeyEvent struct {
	Index            uint64     `json:"index"`
	Statement        cjson.CID  `json:"statement"`
	Op               string     `json:"op"`
	Identity         sign.KeyID `json:"identity"`
	Key              sign.KeyID `json:"key"`
	Replaces         sign.KeyID `json:"replaces,omitempty"`
	Next             string     `json:"next,omitempty"`
	CompromisedSince *uint64    `json:"compromisedSince,omitempty"`
}

// Key is a key of an identity: it signs for it the entries above From, a first key
// from entry 0 on, up to and including Replaced and Revoked.
type Key struct {
	Key      sign.KeyID `json:"key"`
	From     *uint64    `json:"from,omitempty"`
	Replaced *uint64    `json:"replaced,omitempty"`
	Revoked  *uint64    `json:"revoked,omitempty"`
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

// Identity is what the log knows of an identity, by its name or by any of its keys:
// GET /v1/keys/{did}.
type Identity struct {
	Size     uint64     `json:"treeSize"`
	Identity sign.KeyID `json:"identity"`
	// Key is the key that signs for it now; "" when it was revoked.
	Key sign.KeyID `json:"key,omitempty"`
	// Announced is the hex SHA-256 of the text of the only key that may follow; ""
	// for any.
	Announced string   `json:"announced,omitempty"`
	Profile   *Profile `json:"profile,omitempty"`
	// Keys are the keys that the events are about, oldest first; on the first page
	// the first key too.
	Keys   []Key      `json:"keys"`
	Events []KeyEvent `json:"events"` // oldest first
	Next   uint64     `json:"next,omitempty"`
}

// Submitted is the answer to a statement: POST /v1/entries.
type Submitted struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	Envelope  cjson.CID `json:"envelope"`
	Verdict   string    `json:"verdict"`
	Code      string    `json:"code,omitempty"`
	Receipt   string    `json:"receipt"` // tlog-proof text
	// Warnings are what was found at the door and did not keep the statement out.
	Warnings []string `json:"warnings,omitempty"`
}

// Access is a token for reading gated data: POST /v1/access.
type Access struct {
	Token     string      `json:"token"` // for Authorization: Bearer; shown once
	Key       sign.KeyID  `json:"key"`   // whose rights it has
	ExpiresAt string      `json:"expiresAt"`
	Terms     []cjson.CID `json:"terms"` // whose gated spaces it opens now
}

// Missing asks which blocks a store lacks, and answers it: POST
// /v1/blocks/missing.
type Missing struct {
	CIDs []cjson.CID `json:"cids,omitempty"`
	// Space is the terms whose gated space is asked about; absent: the public one.
	Space   cjson.CID   `json:"space,omitzero"`
	Missing []cjson.CID `json:"missing,omitempty"`
}

// Adopt asks a server to take over a private pack: POST /v1/blocks/adopt.
type Adopt struct {
	ID    string    `json:"id"`
	Space cjson.CID `json:"space,omitzero"` // as in Missing
}

// Adopted says what a private pack held.
type Adopted struct {
	Blocks    int64 `json:"blocks"`
	NewBlocks int64 `json:"newBlocks"`
	NewBytes  int64 `json:"newBytes"`
}

// CheckReport is the outcome of a check of the whole home: POST /v1/check.
type CheckReport struct {
	Size     uint64            `json:"size"`
	Root     string            `json:"root"` // base64
	Digest   string            `json:"digest"`
	Entries  uint64            `json:"entries"`
	Verdicts map[string]uint64 `json:"verdicts"`
	Blocks   int64             `json:"blocks"`
	Findings []proof.Finding   `json:"findings"` // what does not hold; empty when all holds
}
