package wire

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// Limits of a question about a mixture.
const (
	// MaxMixture bounds the works that a question names: what one run reads, as in
	// usage/v1. With what is upstream of them, terms.MaxWorks counts.
	MaxMixture = 1024
	// MaxTermsUses bounds the uses of one question: each is computed anew.
	MaxTermsUses = 9
	// MaxTermsCheck bounds the question's body: MaxMixture CIDs, and as many of accepted terms.
	MaxTermsCheck = 256 << 10
)

// TermsCheck asks what may be done with a mixture: POST /v1/terms/check.
type TermsCheck struct {
	Works      []cjson.CID `json:"works"` // statements
	Uses       []string    `json:"uses"`  // of the nine
	Commercial bool        `json:"commercial,omitempty"`
	Purposes   []string    `json:"purposes,omitempty"`
	Territory  string      `json:"territory,omitempty"`
	At         string      `json:"at,omitempty"`       // an instant; the registry's now when absent
	Accepted   []cjson.CID `json:"accepted,omitempty"` // terms that the asker has accepted
	// Direct leaves out what is upstream of the works.
	Direct bool `json:"direct,omitempty"`
}

// TermsChecked is the answer: a decision for each use, in the order asked.
type TermsChecked struct {
	Size      uint64            `json:"treeSize"`
	Verdict   terms.Verdict     `json:"verdict"` // the worst
	Decisions []*terms.Decision `json:"decisions"`
	// External are sources of the works whose terms are not on record, and which
	// no verdict counts.
	External []terms.External `json:"external,omitempty"`
	Notice   string           `json:"notice"` // terms.NotLegalAdvice
}
