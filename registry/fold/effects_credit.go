package fold

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The effects of this file are what credit is computed from, with those of
// nodes and signers. Amounts and weights are decimal strings, periods YYYY-MM.

// AddUsage records a use. Exactly one of Trainer and Payer signed it.
type AddUsage struct {
	Statement cjson.CID  `json:"statement"`
	Run       string     `json:"run"`
	Kind      string     `json:"kind"`
	Trainer   sign.KeyID `json:"trainer,omitempty"`
	Inputs    []Input    `json:"inputs,omitempty"`
	Lock      cjson.CID  `json:"lock,omitzero"`
	Private   string     `json:"private,omitempty"`
	Payer     sign.KeyID `json:"payer,omitempty"`
	About     cjson.CID  `json:"about,omitzero"` // the version that was metered
	Meter     string     `json:"meter,omitempty"`
	Qty       string     `json:"qty,omitempty"`
	From      string     `json:"from,omitempty"`
	To        string     `json:"to,omitempty"`
	// Unaccepted are the versions whose rules ask for an acceptance that the log
	// does not hold of the signer, in the order of the inputs.
	Unaccepted []cjson.CID `json:"unaccepted,omitempty"`
	// AfterWithdrawal are the versions that their publishers had withdrawn before,
	// sorted.
	AfterWithdrawal []cjson.CID `json:"afterWithdrawal,omitempty"`
}

// An Input is a version that a run read.
type Input struct {
	Statement cjson.CID `json:"statement"`
	Units     string    `json:"units"`
	Unit      string    `json:"unit"`
	EpochsPpm int64     `json:"epochsPpm"`
	Terms     cjson.CID `json:"terms"`
}

// AddAttribution records a vector of how much of a child comes from its parents.
type AddAttribution struct {
	Statement     cjson.CID   `json:"statement"`
	Attributor    sign.KeyID  `json:"attributor"`
	Data          cjson.CID   `json:"data"`
	Parents       []cjson.CID `json:"parents"`
	Method        string      `json:"method"`
	EvidenceClass string      `json:"evidenceClass"`
	Scores        cjson.CID   `json:"scores"`
	N             int64       `json:"n"`
	Total         string      `json:"total"`
	Scale         string      `json:"scale"`
	AtSize        uint64      `json:"atSize"`
	CapPpm        int64       `json:"capPpm,omitempty"`
}

// AddAgreement records an agreement on the shares of a work. It changes nothing
// before its CompleteAgreement.
type AddAgreement struct {
	Statement       cjson.CID `json:"statement"`
	Work            string    `json:"work"`
	EffectivePeriod string    `json:"effectivePeriod"`
	Retroactive     bool      `json:"retroactive,omitempty"`
	Supersedes      cjson.CID `json:"supersedes,omitzero"`
	Attribution     cjson.CID `json:"attribution,omitzero"`
	Shares          []Share   `json:"shares"`
	Total           string    `json:"total"`
}

// PendingAgreement says that signatures are missing, and how many. Who they are
// is in the state: see [Parties].
type PendingAgreement struct {
	Statement cjson.CID `json:"statement"`
	Missing   int       `json:"missing"`
}

// CompleteAgreement makes an agreement the newest complete one of its work:
// everybody who had to sign did.
type CompleteAgreement struct {
	Statement cjson.CID `json:"statement"`
	Work      string    `json:"work"`
	// From is the first period with its shares: the later of its effective
	// period and the one after the open one.
	From string `json:"from"`
}

// ClosePeriod closes the open period and opens the next.
type ClosePeriod struct {
	Statement cjson.CID `json:"statement"`
	Closes    string    `json:"closes"`
	Opens     string    `json:"opens"`
}

// AddCurrency adds a unit of account, for ever.
type AddCurrency struct {
	Statement cjson.CID `json:"statement"`
	Currency
}

// AddRevenue records a payment. It enters a run with its CountRevenue.
type AddRevenue struct {
	Statement  cjson.CID   `json:"statement"`
	Key        string      `json:"key"`
	Body       string      `json:"body"`             // hex; equal for statements that say the same
	Issuer     sign.KeyID  `json:"issuer,omitempty"` // who declared it; "" for the operators
	About      cjson.CID   `json:"about"`            // the version that earned it
	Kind       string      `json:"kind"`
	Settlement string      `json:"settlement"`
	Period     string      `json:"period"` // of the shares that apply
	Currency   string      `json:"currency"`
	GrossMinor string      `json:"grossMinor"`
	Deductions []Deduction `json:"deductions,omitempty"`
	NetMinor   string      `json:"netMinor"`
	Settles    cjson.CID   `json:"settles,omitzero"`
	Reverses   cjson.CID   `json:"reverses,omitzero"`
}

// A Deduction is a part of the gross amount that is not shared.
type Deduction struct {
	Code        string `json:"code"`
	AmountMinor string `json:"amountMinor"`
}

// CountRevenue lets a payment enter the run of the open period.
type CountRevenue struct {
	Statement cjson.CID `json:"statement"` // of the income, refund or chargeback
	// Receipt is the statement that settled a declared income.
	Receipt  cjson.CID `json:"receipt,omitzero"`
	In       string    `json:"in"` // the open period
	Currency string    `json:"currency"`
	NetMinor string    `json:"netMinor"`
}

// AddAllocation records the published result of a run.
type AddAllocation struct {
	Statement  cjson.CID `json:"statement"`
	Engine     string    `json:"engine"`
	Period     string    `json:"period"`
	Currency   string    `json:"currency"`
	Events     Tree      `json:"events"`
	Nodes      Tree      `json:"nodes"`
	Payees     Tree      `json:"payeeStatements"`
	InFine     string    `json:"inFine"`
	HeldFine   string    `json:"heldFine"`
	Supersedes cjson.CID `json:"supersedes,omitzero"`
}

// A Tree is a Merkle tree by its number of leaves and its root.
type Tree struct {
	N    int64  `json:"n"`
	Root string `json:"root"`
}

// AddAdjustment records the published difference to an allocation.
type AddAdjustment struct {
	Statement  cjson.CID `json:"statement"`
	Allocation cjson.CID `json:"allocation"`
	Reason     string    `json:"reason"`
	Cause      cjson.CID `json:"cause,omitzero"`
	Deltas     Tree      `json:"deltas"`
}

// AddPayout records what was paid. Who got how much is in the CSV that Lines
// names.
type AddPayout struct {
	Statement   cjson.CID   `json:"statement"`
	Key         string      `json:"key"`
	Body        string      `json:"body"` // hex; equal for statements that say the same
	Allocations []cjson.CID `json:"allocations"`
	Rail        string      `json:"rail"`
	Currency    string      `json:"currency"`
	MinMinor    string      `json:"minMinor"`
	Lines       cjson.CID   `json:"lines"`
	N           int64       `json:"n"`
	TotalMinor  string      `json:"totalMinor"`
}

// AddPayoutResult records what became of a line of a payout.
type AddPayoutResult struct {
	Statement cjson.CID `json:"statement"`
	Payout    cjson.CID `json:"payout"`
	Index     int64     `json:"index"`
	Status    string    `json:"status"`
}

// SetPayee says how a party is paid from a period on.
type SetPayee struct {
	Statement  cjson.CID  `json:"statement"`
	Identity   sign.KeyID `json:"identity"`
	Rail       string     `json:"rail"`
	Commitment string     `json:"commitment"`
	From       string     `json:"from"`
}

// AddDispute marks a statement as disputed.
type AddDispute struct {
	Statement cjson.CID  `json:"statement"`
	Disputant sign.KeyID `json:"disputant"`
	Target    cjson.CID  `json:"target"`
	Kind      string     `json:"kind"`
}

// AddResolution is a ruling about the kept part of a version, from a period on.
type AddResolution struct {
	Statement cjson.CID `json:"statement"`
	Dispute   cjson.CID `json:"dispute"`
	About     cjson.CID `json:"about"`
	Ruling    string    `json:"ruling"`
	Shares    []Share   `json:"shares,omitempty"`
	Total     string    `json:"total,omitempty"`
	From      string    `json:"from"`
}

// AddCommit records a commitment to something that is not shown yet.
type AddCommit struct {
	Statement  cjson.CID  `json:"statement"`
	Identity   sign.KeyID `json:"identity"`
	Commitment string     `json:"commitment"`
}
