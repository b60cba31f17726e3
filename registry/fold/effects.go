package fold

import (
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// An Op is the name of a kind of effect. The names are part of the digest.
type Op string

// The ops of version 1.
const (
	OpSetRegistry    Op = "setRegistry"
	OpAddVersion     Op = "addVersion"
	OpAddSigners     Op = "addSigners"
	OpSetProfile     Op = "setProfile"
	OpAddKey         Op = "addKey"
	OpRotateKey      Op = "rotateKey"
	OpRevokeKey      Op = "revokeKey"
	OpAddAttestation Op = "addAttestation"

	OpAddModel          Op = "addModel"
	OpAddUsage          Op = "addUsage"
	OpAddAttribution    Op = "addAttribution"
	OpAddAgreement      Op = "addAgreement"
	OpPendingAgreement  Op = "pendingAgreement"
	OpCompleteAgreement Op = "completeAgreement"

	OpClosePeriod  Op = "closePeriod"
	OpAddCurrency  Op = "addCurrency"
	OpAddRevenue   Op = "addRevenue"
	OpCountRevenue Op = "countRevenue"

	OpAddAllocation   Op = "addAllocation"
	OpAddAdjustment   Op = "addAdjustment"
	OpAddPayout       Op = "addPayout"
	OpAddPayoutResult Op = "addPayoutResult"
	OpSetPayee        Op = "setPayee"

	OpAddDispute    Op = "addDispute"
	OpAddResolution Op = "addResolution"
	OpAddCommit     Op = "addCommit"

	OpAddAcceptance Op = "addAcceptance"
	OpAddWithdrawal Op = "addWithdrawal"
	OpAddTombstone  Op = "addTombstone"
)

// An Effect is one logical change of state: a value of one of this package's
// types, one for each op. Effects name things by CID, key and ASCII grammars only.
// Free text (titles, keywords, licence expressions, URLs, names of people) is
// not in them, so that they can outlive an erased body: whoever indexes text
// reads it from the statement.
type Effect interface {
	Op() Op
	effect() // seals the list
}

// SetRegistry puts a registry/v1 in force, from the next entry on.
type SetRegistry struct {
	Statement         cjson.CID    `json:"statement"`
	LogKeys           []string     `json:"logKeys"`
	Operators         []sign.KeyID `json:"operators"`
	OperatorThreshold int          `json:"operatorThreshold"`
	Arbiters          []sign.KeyID `json:"arbiters,omitempty"`
	ArbiterThreshold  int          `json:"arbiterThreshold,omitempty"`
	GatewayKeys       []sign.KeyID `json:"gatewayKeys,omitempty"`
	PayeeRecipient    string       `json:"payeeRecipient,omitempty"`
	FirstPeriod       string       `json:"firstPeriod"`
	Currencies        []Currency   `json:"currencies,omitempty"`
}

// A Currency is a unit of account of a registry/v1.
type Currency struct {
	Code        string `json:"code"`
	MinorDigits int    `json:"minorDigits"`
	FineDigits  int    `json:"fineDigits"`
}

// A Node is what an accepted contribution and an accepted model have in common:
// a version of a work, and a node of the derivation graph.
type Node struct {
	Statement    cjson.CID  `json:"statement"`
	Work         string     `json:"work"` // "wk:" and the statement CID of the first accepted version
	Seq          uint64     `json:"seq"`  // 1 for the first version of the name
	Publisher    sign.KeyID `json:"publisher"`
	Name         string     `json:"name"`
	Version      string     `json:"version"`
	Terms        cjson.CID  `json:"terms"`
	Contributors []Share    `json:"contributors"`
	Total        string     `json:"total"`
	Edges        []Edge     `json:"edges,omitempty"`
	SelfWeight   string     `json:"selfWeight"` // "1" when the statement has no edges
	EdgeTotal    string     `json:"edgeTotal"`  // "1" when the statement has no edges
	Attribution  cjson.CID  `json:"attribution,omitzero"`
	Supersedes   cjson.CID  `json:"supersedes,omitzero"`
	// Agreement is the complete agreement whose shares the version has.
	Agreement cjson.CID `json:"agreement,omitzero"`
	// Rules are what the version asks of later ones.
	Rules *manifests.Rules `json:"rules,omitempty"`
	// Depth is 1 without parents, else 1 + the deepest parent's.
	Depth int `json:"depth"`
	// Floors are the ancestors with a floor, sorted by statement.
	Floors []Reach `json:"floors,omitempty"`
	// AfterWithdrawal are the versions among its edges and sources that their
	// publishers had withdrawn before it, sorted.
	AfterWithdrawal []cjson.CID `json:"afterWithdrawal,omitempty"`
}

// A Reach is an ancestor that set a floor, and how much of a version's revenue
// reaches it, of 10^12.
type Reach struct {
	Statement cjson.CID `json:"statement"`
	Work      string    `json:"work"`
	FloorPpm  uint64    `json:"floorPpm"`
	Eff       uint64    `json:"eff"`
}

// AddVersion makes an accepted contribution the newest version of its name.
type AddVersion struct {
	Node
	Root     cjson.CID `json:"root"`
	Manifest cjson.CID `json:"manifest"`
	Sources  []Source  `json:"sources,omitempty"`
}

// AddModel makes an accepted model the newest version of its name.
type AddModel struct {
	Node
	Artifact cjson.CID   `json:"artifact,omitzero"`
	Usages   []cjson.CID `json:"usages,omitempty"`
	Sources  []Source    `json:"sources,omitempty"`
}

// A Share is one contributor's integer weight.
type Share struct {
	ID     sign.KeyID `json:"id"`
	Weight string     `json:"weight"`
}

// An Edge is the weight with which revenue flows on to a parent.
type Edge struct {
	Statement cjson.CID `json:"statement"`
	Weight    string    `json:"weight"`
	Share     string    `json:"share,omitempty"`
}

// A Source is a declared lineage target that is content: an accepted statement
// or a CID. A target that is a URL is text and stays in the body.
type Source struct {
	Rel       string    `json:"rel"`
	Statement cjson.CID `json:"statement,omitzero"`
	CID       cjson.CID `json:"cid,omitzero"`
}

// AddSigners records who signed an accepted statement: identities, whichever of
// their keys they signed with. Of a group's statement it is the keys that signed:
// a registry/v1 lists keys.
type AddSigners struct {
	Statement cjson.CID    `json:"statement"`
	Signers   []sign.KeyID `json:"signers"` // sorted
}

// SetProfile makes a profile/v1 the current one of an identity, and gives the
// identity the handle, for ever.
type SetProfile struct {
	Statement cjson.CID  `json:"statement"`
	Identity  sign.KeyID `json:"identity"`
	Handle    string     `json:"handle,omitempty"`
}

// AddKey is the first key event of an identity.
type AddKey struct {
	Statement cjson.CID  `json:"statement"`
	Identity  sign.KeyID `json:"identity"`
	Key       sign.KeyID `json:"key"`
	Next      string     `json:"next,omitempty"` // hex SHA-256 of the pre-rotated next key
}

// RotateKey puts a key in the place of the one that signed for an identity: from
// the next entry on the new one does, and the old one signs nothing more.
type RotateKey struct {
	Statement cjson.CID  `json:"statement"`
	Identity  sign.KeyID `json:"identity"`
	Key       sign.KeyID `json:"key"`
	Replaces  sign.KeyID `json:"replaces"`
	Next      string     `json:"next,omitempty"` // hex SHA-256 of the pre-rotated next key
}

// RevokeKey ends a key: it signs no entry above this one.
type RevokeKey struct {
	Statement        cjson.CID  `json:"statement"`
	Identity         sign.KeyID `json:"identity"`
	Key              sign.KeyID `json:"key"`
	CompromisedSince *uint64    `json:"compromisedSince,omitempty"`
}

// AddAttestation records a third party's word about an accepted statement.
type AddAttestation struct {
	Statement cjson.CID  `json:"statement"`
	Attester  sign.KeyID `json:"attester"`
	Type      string     `json:"type"`
	About     cjson.CID  `json:"about"`
	Report    cjson.CID  `json:"report,omitzero"`
	Result    string     `json:"result"`
}
