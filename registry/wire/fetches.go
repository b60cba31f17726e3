package wire

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// FetchHeader names, in a request for data, the fetch that it belongs to.
const FetchHeader = "Cairn-Fetch"

// OpenFetch opens a fetch of a version: POST /v1/fetches.
type OpenFetch struct {
	Statement cjson.CID `json:"statement"`
	Purpose   string    `json:"purpose,omitempty"` // as the record says it: at most 4 KiB
}

// Fetch is a fetch that was opened.
type Fetch struct {
	// Fetch is its ID, for the header Cairn-Fetch. Whoever knows it can add to what
	// is counted.
	Fetch     string     `json:"fetch"`
	Statement cjson.CID  `json:"statement"`
	Root      cjson.CID  `json:"root"`
	Bytes     int64      `json:"bytes"`   // of the data
	Fetcher   sign.KeyID `json:"fetcher"` // whom the record names
	Gateway   sign.KeyID `json:"gateway"` // the key that will sign the record
}

// AskRecord asks for the record of a fetch: POST /v1/fetches/record. The answer is
// a DSSE envelope.
type AskRecord struct {
	Fetch string `json:"fetch"`
}
