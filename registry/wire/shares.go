package wire

import (
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The bodies of this file tell what the log says about shares and money: what
// was agreed, reported, contested. Weights and amounts are decimal strings,
// periods YYYY-MM. What is computed from them is not here.

// Registry is the registry/v1 in force: GET /v1/registry.
type Registry struct {
	Size              uint64       `json:"treeSize"`
	Index             uint64       `json:"index"`
	Statement         cjson.CID    `json:"statement"`
	Operators         []sign.KeyID `json:"operators"`
	OperatorThreshold int          `json:"operatorThreshold"`
	Arbiters          []sign.KeyID `json:"arbiters,omitempty"`
	ArbiterThreshold  int          `json:"arbiterThreshold,omitempty"`
	GatewayKeys       []sign.KeyID `json:"gatewayKeys,omitempty"`    // sign fetch records
	PayeeRecipient    string       `json:"payeeRecipient,omitempty"` // an age recipient
	FirstPeriod       string       `json:"firstPeriod"`
}

// Node is an accepted version of a dataset or a model, as credit sees it:
// GET /v1/nodes/{cid}, /v1/nodes/{publisher}/{name} and
// /v1/nodes/{publisher}/{name}/{version}.
type Node struct {
	Size         uint64        `json:"treeSize"`
	Index        uint64        `json:"index"`
	Statement    cjson.CID     `json:"statement"`
	Kind         string        `json:"kind"` // contribution/v1 or model/v1
	Work         string        `json:"work"`
	Seq          uint64        `json:"seq"`
	Publisher    sign.KeyID    `json:"publisher"`
	Name         string        `json:"name"`
	Version      string        `json:"version"`
	Terms        cjson.CID     `json:"terms"`
	Contributors []Contributor `json:"contributors"`
	Total        string        `json:"total"`
	Edges        []Edge        `json:"edges,omitempty"`
	SelfWeight   string        `json:"selfWeight"`
	EdgeTotal    string        `json:"edgeTotal"`
	Supersedes   cjson.CID     `json:"supersedes,omitzero"`
	Agreement    cjson.CID     `json:"agreement,omitzero"`
	Attribution  cjson.CID     `json:"attribution,omitzero"`
	// Rules are what the version asks of those made from it; nil for nothing.
	Rules *manifests.Rules `json:"rules,omitempty"`
	Depth int              `json:"depth"` // 1 without parents
	// Floors are the ancestors that set a floor.
	Floors []Floor `json:"floors,omitempty"`
	// Artifact and Usages are a model's.
	Artifact cjson.CID   `json:"artifact,omitzero"`
	Usages   []cjson.CID `json:"usages,omitempty"`
	// Sources are what it names beside that: all of a dataset's, and of a model what
	// its runs do not say.
	Sources []Source `json:"sources,omitempty"`
}

// Floor is an ancestor that set a floor, and how much of a version's revenue
// reaches it, of 10^12.
type Floor struct {
	Statement cjson.CID `json:"statement"`
	Work      string    `json:"work"`
	FloorPpm  uint64    `json:"floorPpm"`
	Eff       uint64    `json:"eff"`
}

// Agreement is an accepted agreement/v1 and what became of it:
// GET /v1/agreements/{cid}.
type Agreement struct {
	Size            uint64    `json:"treeSize,omitempty"` // absent in a list
	Index           uint64    `json:"index"`
	Statement       cjson.CID `json:"statement"`
	Work            string    `json:"work"`
	EffectivePeriod string    `json:"effectivePeriod"`
	Retroactive     bool      `json:"retroactive,omitempty"`
	Supersedes      cjson.CID `json:"supersedes,omitzero"`
	Attribution     cjson.CID `json:"attribution,omitzero"`
	// Shares say who gets what, and whether they signed.
	Shares []Contributor `json:"shares"`
	Total  string        `json:"total"`
	// Complete says that everybody signed who had to; From is then the first
	// period with these shares, and Completed the entry that completed it.
	Complete  bool    `json:"complete"`
	Completed *uint64 `json:"completed,omitempty"`
	From      string  `json:"from,omitempty"`
	// Missing are those whose signature is still asked for, while the agreement
	// can become complete.
	Missing []sign.KeyID `json:"missing,omitempty"`
	// Stale says that another agreement of the work was complete first: this one
	// never takes effect.
	Stale bool `json:"stale,omitempty"`
	// Full says that more people had shares than an agreement can ask, or that too
	// many agreements of the work have not begun.
	Full bool `json:"full,omitempty"`
}

// Agreements are those of one work, newest first: GET /v1/works/{work}/agreements.
type Agreements struct {
	Size uint64 `json:"treeSize"`
	Work string `json:"work"`
	// Newest is the newest complete agreement; the next one supersedes it.
	Newest     cjson.CID   `json:"newest,omitzero"`
	Agreements []Agreement `json:"agreements"` // at most 1,000
}

// Parties are the people whom an agreement concerns that is not in the log yet:
// POST /v1/agreements/parties, with its payload as the body. Nothing is logged.
type Parties struct {
	Size uint64       `json:"treeSize"`
	All  []sign.KeyID `json:"all"`  // who may sign
	Must []sign.KeyID `json:"must"` // who has to
	// Full says that the work had more people than one agreement can ask.
	Full bool `json:"full,omitempty"`
}

// Calendar is where the log stands in time: GET /v1/periods.
type Calendar struct {
	Size  uint64 `json:"treeSize"`
	First string `json:"first"`
	Open  string `json:"open"` // what counts now counts in this one
	Next  string `json:"next,omitempty"`
	// Periods are those that have begun, oldest first.
	Periods []Period `json:"periods"`
}

// Period is a month, and the entries that opened and closed it.
type Period struct {
	Period string  `json:"period"`
	Opened uint64  `json:"opened"`
	Closed *uint64 `json:"closed,omitempty"` // absent while it is open
}

// Currency is a unit of account. An amount of 1 in minor units is
// 10^(fineDigits−minorDigits) fine units.
type Currency struct {
	Code        string `json:"code"`
	MinorDigits int    `json:"minorDigits"`
	FineDigits  int    `json:"fineDigits"`
}

// Currencies are those of a registry, by code: GET /v1/currencies.
type Currencies struct {
	Size       uint64     `json:"treeSize"`
	Currencies []Currency `json:"currencies"`
}

// Deduction is a part of a gross amount that is not shared.
type Deduction struct {
	Code        string `json:"code"`
	AmountMinor string `json:"amountMinor"`
}

// Revenue is an accepted payment and what became of it.
type Revenue struct {
	Index      uint64      `json:"index"`
	Statement  cjson.CID   `json:"statement"`
	Key        string      `json:"key"`
	Body       string      `json:"body"`             // hex; equal for statements that say the same
	Issuer     sign.KeyID  `json:"issuer,omitempty"` // who declared it; "" for the operators
	About      cjson.CID   `json:"about"`            // the version that earned it
	Kind       string      `json:"kind"`
	Settlement string      `json:"settlement"`
	Period     string      `json:"period"`
	Currency   string      `json:"currency"`
	GrossMinor string      `json:"grossMinor"`
	Deductions []Deduction `json:"deductions,omitempty"`
	NetMinor   string      `json:"netMinor"`
	Settles    cjson.CID   `json:"settles,omitzero"`
	Reverses   cjson.CID   `json:"reverses,omitzero"`
	// Counted is the entry with which it entered a run. A declared income has none
	// until it is settled; a receipt has none.
	Counted  *uint64 `json:"counted,omitempty"`
	Received string  `json:"receivedMinor"` // Σ net of the receipts that settle it
	Reversed string  `json:"reversedMinor"` // Σ net of its refunds and chargebacks
}

// RevenuePage is a list of payments: GET /v1/revenue. With statement, those of
// one version, newest first; with key, the one that has it; else all, in the
// order of the log. period selects among them.
type RevenuePage struct {
	Size    uint64    `json:"treeSize"`
	Revenue []Revenue `json:"revenue"`
	Next    uint64    `json:"next,omitempty"` // the after of the next page
}

// UsageInput is a version that a run read.
type UsageInput struct {
	Statement cjson.CID `json:"statement"`
	Units     string    `json:"units"`
	Unit      string    `json:"unit"`
	EpochsPpm int64     `json:"epochsPpm"` // 1,000,000: once
	Terms     cjson.CID `json:"terms"`
}

// Usage is an accepted record of use.
type Usage struct {
	Index     uint64       `json:"index"`
	Statement cjson.CID    `json:"statement"`
	Run       string       `json:"run"`
	Kind      string       `json:"kind"`
	Trainer   sign.KeyID   `json:"trainer,omitempty"`
	Inputs    []UsageInput `json:"inputs,omitempty"`
	Lock      cjson.CID    `json:"lock,omitzero"`
	Private   string       `json:"private,omitempty"`
	Payer     sign.KeyID   `json:"payer,omitempty"`
	About     cjson.CID    `json:"about,omitzero"`
	Meter     string       `json:"meter,omitempty"`
	Qty       string       `json:"qty,omitempty"`
	From      string       `json:"from,omitempty"`
	To        string       `json:"to,omitempty"`
	// Unaccepted are the versions whose terms ask for an acceptance that the log
	// does not hold.
	Unaccepted []cjson.CID `json:"unaccepted,omitempty"`
	// AfterWithdrawal are the versions that were withdrawn before.
	AfterWithdrawal []cjson.CID `json:"afterWithdrawal,omitempty"`
}

// UsagePage is a list of records of use: GET /v1/usages. With statement, the
// newest 1,000 of that version, newest first; else all, in the order of the log.
type UsagePage struct {
	Size   uint64  `json:"treeSize"`
	Usages []Usage `json:"usages"`
	Next   uint64  `json:"next,omitempty"`
}

// Dispute is an accepted dispute. Rulings are there, newest first, where the
// dispute is about a version.
type Dispute struct {
	Index     uint64     `json:"index"`
	Statement cjson.CID  `json:"statement"`
	Disputant sign.KeyID `json:"disputant"`
	Target    cjson.CID  `json:"target"`
	Kind      string     `json:"kind"`
	Rulings   []Ruling   `json:"resolutions"`
}

// Ruling is what the arbiters decided about the kept part of a version, from a period on.
type Ruling struct {
	Index     uint64            `json:"index"`
	Statement cjson.CID         `json:"statement"`
	About     cjson.CID         `json:"about"`
	Ruling    string            `json:"ruling"`
	Shares    []manifests.Share `json:"shares,omitempty"`
	Total     string            `json:"total,omitempty"`
	From      string            `json:"from"`
}

// DisputePage is a list of disputes: GET /v1/disputes. With statement, the newest
// 1,000 about it, newest first; else all, in the order of the log.
type DisputePage struct {
	Size     uint64    `json:"treeSize"`
	Disputes []Dispute `json:"disputes"`
	Next     uint64    `json:"next,omitempty"`
}

// Payee is a party's word on how it is paid, from a period on.
type Payee struct {
	Index      uint64     `json:"index"`
	Statement  cjson.CID  `json:"statement"`
	Identity   sign.KeyID `json:"identity"`
	Rail       string     `json:"rail"`
	Commitment string     `json:"commitment"` // hex
	From       string     `json:"from"`
}

// Payees are how one party is paid, newest first: what counts from the next
// period on, and what counts in the open one. GET /v1/payees/{did}.
type Payees struct {
	Size     uint64     `json:"treeSize"`
	Identity sign.KeyID `json:"identity"`
	Payees   []Payee    `json:"payees"`
}
