package wire

import (
	"encoding/json"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
)

// A CreditStatus says how far the books are: GET /v1/credit.
type CreditStatus struct {
	Size       uint64            `json:"treeSize"`
	Engine     string            `json:"engine"`
	First      credit.Period     `json:"firstPeriod"`
	Open       credit.Period     `json:"openPeriod"` // all before it are closed
	Currencies []credit.Currency `json:"currencies"`
}

// Tree is a Merkle tree by its number of leaves and its root, base64.
type Tree struct {
	N    int64  `json:"n"`
	Root string `json:"root"`
}

// A CreditRun is what the run of a period and currency comes to, with what
// allocation/v1 says of it: GET /v1/credit/runs/{period}/{currency}. Amounts are
// in fine units.
type CreditRun struct {
	Size     uint64          `json:"treeSize"`
	Engine   string          `json:"engine"`
	Period   credit.Period   `json:"period"`
	Currency credit.Currency `json:"currency"`
	Events   Tree            `json:"events"`
	Nodes    Tree            `json:"nodes"`
	Payees   Tree            `json:"payeeStatements"`
	In       credit.Amount   `json:"inFine"`
	Held     credit.Amount   `json:"heldFine"`
	// Allocations are the published ones, newest first.
	Allocations []Allocation `json:"allocations,omitempty"`
}

// An Allocation is a published result of a run.
type Allocation struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	// Matches says whether it says what the run comes to.
	Matches bool `json:"matches"`
}

// A PayeeLine is a payee's account at the end of a run.
type PayeeLine struct {
	Payee   string        `json:"payee"`
	Credit  credit.Amount `json:"creditFine"`
	Debit   credit.Amount `json:"debitFine"`
	Paid    credit.Amount `json:"paidFine"`
	Close   credit.Amount `json:"closeFine"`
	Held    credit.Amount `json:"heldFine"`
	Payable credit.Amount `json:"payableMinor"` // after what was paid in the open period
}

// PayeeLines is a page of the payees of a run, sorted by payee:
// GET /v1/credit/runs/{period}/{currency}/payees.
type PayeeLines struct {
	Size   uint64      `json:"treeSize"`
	Payees []PayeeLine `json:"payees"`
	Next   uint64      `json:"next,omitempty"` // the after of the next page
}

// A PayeeStatement is what a payee is told, with the proof that it is part of
// the run: GET /v1/credit/runs/{period}/{currency}/statements/{party}.
type PayeeStatement struct {
	Size      uint64          `json:"treeSize"`
	Statement json.RawMessage `json:"statement"` // its canonical bytes
	Index     int             `json:"index"`
	Tree      Tree            `json:"tree"`
	Proof     []string        `json:"proof"` // base64, from the leaf's sibling upwards
	// Allocations are the published ones that match the run, newest first.
	Allocations []Allocation `json:"allocations,omitempty"`
	// Nodes name the works of the statement's lines.
	Nodes map[string]string `json:"nodes,omitempty"`
}

// A Hop is a node that money passed through, with the integers there.
type Hop struct {
	Statement string        `json:"statement"`
	Name      string        `json:"name,omitempty"`
	Inflow    credit.Amount `json:"inflowFine"`
	Kept      credit.Amount `json:"keptFine"`
	Edges     []HopEdge     `json:"edges,omitempty"`
	Weight    string        `json:"weight,omitempty"` // the party's share of what is kept
	Total     string        `json:"total,omitempty"`
	Amount    credit.Amount `json:"amountFine"`
	Retained  bool          `json:"retained,omitempty"`
}

// A HopEdge is the part of a node's inflow that flows on towards the party.
type HopEdge struct {
	Statement string        `json:"statement"`
	Weight    string        `json:"weight"`
	Total     string        `json:"total"`
	Amount    credit.Amount `json:"amountFine"`
}

// An Explanation tells how an event's money reached a party:
// GET /v1/credit/explain?party=…&event=….
type Explanation struct {
	Size     uint64          `json:"treeSize"`
	Party    string          `json:"party"`
	Event    cjson.CID       `json:"event"`
	Currency credit.Currency `json:"currency"`
	Fine     credit.Amount   `json:"eventFine"`
	Amount   credit.Amount   `json:"amountFine"`
	Hops     []Hop           `json:"hops"`           // derived works before what they come from
	Next     int             `json:"next,omitempty"` // the offset of the next page
}

// Balances are what a party has in each currency at the end of the last closed
// period: GET /v1/credit/balances/{party}.
type Balances struct {
	Size     uint64    `json:"treeSize"`
	Party    string    `json:"party"`
	Balances []Balance `json:"balances"`
}

// A Balance is a party's account in one currency.
type Balance struct {
	Currency credit.Currency `json:"currency"`
	Period   credit.Period   `json:"period"`
	PayeeLine
}

// A Simulation asks what shares a work would give: POST /v1/credit/simulate.
type Simulation struct {
	Publisher    string        `json:"publisher"`
	Contributors []Share       `json:"contributors"`
	Edges        []Edge        `json:"edges,omitempty"`
	SelfWeight   string        `json:"selfWeight,omitempty"` // with edges
	Settlement   string        `json:"settlement"`
	Currency     string        `json:"currency"`
	AmountMinor  credit.Amount `json:"amountMinor"`
}

// A Share is one party's integer weight.
type Share struct {
	ID     string `json:"id"`
	Weight string `json:"weight"`
}

// Simulated is the answer: who would get what, in fine units.
type Simulated struct {
	Size     uint64           `json:"treeSize"`
	Currency credit.Currency  `json:"currency"`
	Fine     credit.Amount    `json:"fine"`
	Shares   []SimulatedShare `json:"shares"`
}

// A SimulatedShare is what one party would get.
type SimulatedShare struct {
	Payee    string        `json:"payee"`
	Amount   credit.Amount `json:"amountFine"`
	Retained credit.Amount `json:"retainedFine"`
}

// Deltas are by how much a retroactive agreement changes a run:
// GET /v1/credit/runs/{period}/{currency}/adjustment?agreement=….
type Deltas struct {
	Size   uint64  `json:"treeSize"`
	Deltas []Delta `json:"deltas"`
	Tree   Tree    `json:"tree"`
}

// A Delta is what one payee was and would be credited or held, in fine units.
type Delta struct {
	Payee string        `json:"payee"`
	Old   credit.Amount `json:"oldFine"`
	New   credit.Amount `json:"newFine"`
}
