package wire

import "github.com/cairn-registry/cairn/manifests/cjson"

// Payout is an accepted payout/v1.
type Payout struct {
	Index       uint64      `json:"index"`
	Statement   cjson.CID   `json:"statement"`
	Key         string      `json:"key"`
	Allocations []cjson.CID `json:"allocations"`
	Rail        string      `json:"rail"`
	Currency    string      `json:"currency"`
	MinMinor    string      `json:"minMinor"`
	Lines       cjson.CID   `json:"lines"`
	N           int64       `json:"n"`
	TotalMinor  string      `json:"totalMinor"`
}

// Payouts are the newest 1,000 payouts, newest first, or the one with a key:
// GET /v1/payouts?key=….
type Payouts struct {
	Size    uint64   `json:"treeSize"`
	Payouts []Payout `json:"payouts"`
}

// PayoutResult is what became of a line of a payout, as the newest result says.
type PayoutResult struct {
	Line      uint64    `json:"line"`
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	Status    string    `json:"status"` // paid or returned
}

// PayoutResults are those of a payout, by line: GET /v1/payouts/{cid}/results?from=….
type PayoutResults struct {
	Size    uint64         `json:"treeSize"`
	Results []PayoutResult `json:"results"`
	Next    uint64         `json:"next,omitempty"` // the from of the next page
}
