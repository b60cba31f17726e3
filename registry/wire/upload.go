package wire

import (
	"encoding/json"

	"github.com/cairn-registry/cairn/manifests/cjson"
)

// Limits of an upload; registry/upload/PROTOCOL.md.
const (
	// MaxShard bounds a shard, in bytes: what is sent again when a connection breaks.
	MaxShard = 64 << 20
	// MaxShardBlocks bounds the blocks of a shard: a receiver remembers each of
	// them while the shard comes in, in 2 MiB.
	MaxShardBlocks = 1 << 15
	// MaxShards bounds the shards of an upload, and so the body that declares
	// them: 1 TiB in all.
	MaxShards = 1 << 14
	// MaxBases bounds the earlier statements whose blocks are left out: each is
	// walked at commit.
	MaxBases = 16
	// MaxOpen bounds the body that opens an upload: an envelope, and the shards.
	MaxOpen = 4 << 20
	// MaxReported bounds the CIDs that one refusal names.
	MaxReported = 256
)

// Shard is a part of an upload: a CARv1, named by the SHA-256 of its bytes.
type Shard struct {
	SHA256 string `json:"sha256"` // 64 lower-case hex digits
	Bytes  int64  `json:"bytes"`
}

// OpenUpload declares an upload: POST /v1/uploads.
type OpenUpload struct {
	Envelope json.RawMessage `json:"envelope"` // DSSE
	// Root is the first of the statement's content: the manifest of a contribution.
	Root cjson.CID `json:"root"`
	// TotalBlocks and TotalBytes count the whole DAG, each digest once, with what
	// is left out because of Bases.
	TotalBlocks int64   `json:"totalBlocks"`
	TotalBytes  int64   `json:"totalBytes"`
	Shards      []Shard `json:"shards"`
	// Bases are accepted statements of the same key whose blocks are not sent again.
	Bases []cjson.CID `json:"bases,omitempty"`
}

// The states of an upload.
const (
	UploadOpen       = "open"       // takes shards
	UploadCommitting = "committing" // ask again
	UploadCommitted  = "committed"  // Result has the answer
)

// Upload is the state of an upload: the answer to POST /v1/uploads and GET
// /v1/uploads/{id}.
type Upload struct {
	ID        string     `json:"id,omitempty"` // absent when the statement was registered before
	State     string     `json:"state"`
	ExpiresAt string     `json:"expiresAt,omitempty"` // RFC 3339; each request of the owner moves it
	Missing   []string   `json:"missing"`             // SHA-256 of the shards that are not here
	Result    *Submitted `json:"result,omitempty"`
}

// Incomplete is the problem of a commit whose blocks are not those of the DAG.
// Each list holds the first [MaxReported].
type Incomplete struct {
	Problem
	Missing           []cjson.CID `json:"missing,omitempty"`
	MissingTotal      int64       `json:"missingTotal,omitempty"`
	Unreferenced      []cjson.CID `json:"unreferenced,omitempty"`
	UnreferencedTotal int64       `json:"unreferencedTotal,omitempty"`
}
