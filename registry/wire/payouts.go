package wire

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
)

// A Payout is a logged payout/v1: GET /v1/payouts/{cid}. Amounts are in minor
// units of the currency.
type Payout struct {
	Size        uint64        `json:"treeSize,omitempty"` // absent in a list
	Index       uint64        `json:"index"`
	Statement   cjson.CID     `json:"statement"`
	Key         string        `json:"key"`
	Rail        string        `json:"rail"`
	Currency    string        `json:"currency"`
	Min         credit.Amount `json:"minMinor"`
	Allocations []cjson.CID   `json:"allocations"`
	Lines       cjson.CID     `json:"lines"`
	N           int64         `json:"n"`
	Total       credit.Amount `json:"totalMinor"`
}

// Payouts are the payouts, newest first: GET /v1/payouts. ?key= gives the one
// that has a key, or none.
type Payouts struct {
	Size    uint64   `json:"treeSize"`
	Payouts []Payout `json:"payouts"` // at most 1,000
}

// A PayoutLine is a line of a payout, and what became of it.
type PayoutLine struct {
	Line   int64         `json:"line"` // from 0 on
	Payee  string        `json:"payee"`
	Amount credit.Amount `json:"amountMinor"`
	Status string        `json:"status,omitempty"` // paid or returned; absent while nothing is recorded
	Result cjson.CID     `json:"result,omitzero"`  // the payoutResult/v1 that says so
}

// PayoutLines is a page of the lines of a payout: GET /v1/payouts/{cid}/lines.
type PayoutLines struct {
	Size  uint64       `json:"treeSize"`
	Lines []PayoutLine `json:"lines"`
	Next  uint64       `json:"next,omitempty"` // the after of the next page
}
