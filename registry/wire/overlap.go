package wire

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// OverlapUndeclared is the code of the finding that a dataset shares a
// hundredth or more with an earlier one and declares no relation to it. It says
// that bytes or records are the same, not who made them first.
const OverlapUndeclared = "overlap-undeclared"

// Overlap says what a dataset shares with earlier ones, or with one other.
type Overlap struct {
	Size    uint64     `json:"size"` // of the log that the answer describes
	Dataset OverlapRef `json:"dataset"`
	// Records and Chunks are absent where the dataset has no sketch or no
	// fingerprint: then nothing was compared.
	Records *OverlapSample `json:"records,omitempty"`
	Chunks  *OverlapSample `json:"chunks,omitempty"`
	// Matches are those that share most, first.
	Matches []OverlapMatch `json:"matches"`
}

// OverlapRef names a version of a dataset.
type OverlapRef struct {
	Index     uint64     `json:"index"`
	Statement cjson.CID  `json:"statement"`
	Publisher sign.KeyID `json:"publisher"`
	Name      string     `json:"name"`
	Version   string     `json:"version"`
}

// OverlapSample is what there is of a dataset to compare.
type OverlapSample struct {
	Hashes int   `json:"hashes"`
	Scale  int64 `json:"scale"` // records, or chunks, for each hash
}

// OverlapMatch is another dataset that shares something.
type OverlapMatch struct {
	OverlapRef
	Records *OverlapShare `json:"records,omitempty"`
	Chunks  *OverlapShare `json:"chunks,omitempty"`
	// Declared is how the dataset declares that it comes from the other: a
	// relation of its lineage, "edge", "supersedes", or "upstream" when it declares
	// something that does. Empty for not at all.
	Declared string `json:"declared,omitempty"`
	Finding  string `json:"finding,omitempty"` // [OverlapUndeclared]
}

// OverlapShare is the estimated part of the dataset that the other one has too.
type OverlapShare struct {
	SharePpm  int64 `json:"sharePpm"`
	StdErrPpm int64 `json:"stdErrPpm"` // 0: exact
	Shared    int   `json:"shared"`    // hashes of the sample that both have
	Of        int   `json:"of"`        // hashes of the sample
	Scale     int64 `json:"scale"`
	// BackPpm is the part of the other that the dataset has; only for a pair.
	BackPpm *int64 `json:"backPpm,omitempty"`
}
