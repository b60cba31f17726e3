package wire

import (
	"encoding/json"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/lineage"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// LineageGraph is the graph around a version: GET /v1/lineage/{cid}.
type LineageGraph struct {
	Size uint64 `json:"treeSize"`
	lineage.Graph
}

// Impact is what comes from a version, at any distance: GET /v1/impact/{cid}.
// Every list is by distance, then by index.
type Impact struct {
	Size    uint64         `json:"treeSize"`
	Version lineage.Node   `json:"version"`
	Derived []lineage.Node `json:"derived"` // datasets
	Models  []lineage.Node `json:"models"`
	Usages  []lineage.Node `json:"usages"`
	// Links join them, and lead to the version.
	Links     []lineage.Link `json:"links"`
	Truncated bool           `json:"truncated,omitempty"` // there is more
}

// Acceptance is the newest acceptance of a party and terms document.
type Acceptance struct {
	Index     uint64       `json:"index"`
	Statement cjson.CID    `json:"statement"`
	Party     sign.KeyID   `json:"party"`
	Terms     cjson.CID    `json:"terms"`
	Fetchers  []sign.KeyID `json:"fetchers,omitempty"`
}

// AcceptancePage lists acceptances: GET /v1/acceptances. With terms, by party;
// with party alone, the newest first; with both, the one by which that key may
// fetch, as the party or a fetcher of one, or none.
type AcceptancePage struct {
	Size        uint64       `json:"treeSize"`
	Acceptances []Acceptance `json:"acceptances"`
	Next        sign.KeyID   `json:"next,omitempty"` // the after of the next page
}

// Withdrawal is an accepted withdraw/v1. With Flag it is a contributor's, and
// the version is still offered.
type Withdrawal struct {
	Index     uint64     `json:"index"`
	Statement cjson.CID  `json:"statement"`
	About     cjson.CID  `json:"about"`
	Party     sign.KeyID `json:"party"`
	Flag      bool       `json:"flag,omitempty"`
	From      string     `json:"from,omitempty"`
}

// Gone says why something is offered no more.
type Gone struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"` // withdraw/v1 or tombstone/v1
	About     cjson.CID `json:"about"`
	Erased    bool      `json:"erased,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

// Withdrawals are what a version, or the data under a root, is offered no more
// for: GET /v1/withdrawals?statement=… or ?root=….
type Withdrawals struct {
	Size        uint64       `json:"treeSize"`
	Withdrawals []Withdrawal `json:"withdrawals"` // of a version, newest first
	Gone        *Gone        `json:"gone,omitempty"`
}

// Tombstone is what a tombstone/v1 of an entry has to say: GET
// /v1/entries/{index}/tombstone.
type Tombstone struct {
	Statement cjson.CID         `json:"statement"`
	Index     uint64            `json:"index"`
	Leaf      string            `json:"leaf"`
	Verdict   string            `json:"verdict"`
	Code      string            `json:"code,omitempty"`
	Effects   []json.RawMessage `json:"effects,omitempty"`
}
