package manifests

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// FetchType is the predicate type of a fetch record. It is no kind of
// statement: a log rejects it as unknown-kind.
const FetchType = TypeBase + "fetch/v1"

// MaxFetchRanges bounds the byte ranges of one fetch record.
const MaxFetchRanges = 1024

// A FetchRecord is a gateway's word that somebody fetched data: a download
// receipt. It is a DSSE envelope around an in-toto statement, kept by whoever
// fetched, and not logged. It says what was sent, not what became of it.
type FetchRecord struct {
	Registry  string    `json:"registry"` // origin of the log whose registry/v1 lists the gateway's key
	Nonce     string    `json:"nonce"`    // 128 random bits in unpadded base64url
	Statement cjson.CID `json:"statement"`
	Root      cjson.CID `json:"root"`  // of the data
	Bytes     int64     `json:"bytes"` // sent, of file contents
	// CoveragePpm is the part of the data's bytes that was sent at least once.
	CoveragePpm int64 `json:"coveragePpm"`
	// Ranges are what was sent of which files, in the order of the tree; absent for
	// all. Where there are more than fit, they are the longest: CoveragePpm has all.
	Ranges []FetchRange `json:"ranges,omitempty"`
	// Fetcher is the identity whose key proved itself to the gateway; "" for nobody.
	Fetcher sign.KeyID `json:"fetcher,omitempty"`
	Terms   cjson.CID  `json:"terms,omitzero"` // the terms document in force, as it was accepted
	Purpose string     `json:"purpose,omitempty"`
	// FetchedFrom and FetchedTo are the gateway's clock at the first and last byte.
	FetchedFrom string `json:"fetchedFrom"`
	FetchedTo   string `json:"fetchedTo"`
}

// A FetchRange is bytes of a file that were sent. Path is "" where the data are a
// single file.
type FetchRange struct {
	Path   string `json:"path,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Length int64  `json:"length"`
}

// Validate reports everything that is wrong with r: a path that no record can hold,
// for example.
func (r FetchRange) Validate() error {
	var p field.Problems
	r.check(&p, "range")
	return p.Err()
}

func (r FetchRange) check(p *field.Problems, at string) {
	if r.Path != "" {
		p.Add(checkPath(r.Path), "%s.path", at)
	}
	p.Add(field.Count(r.Offset), "%s.offset", at)
	p.Add(field.Count(r.Length), "%s.length", at)
}

// fetchStatement is the in-toto statement around a fetch record.
type fetchStatement struct {
	Type          string      `json:"_type"`
	Predicate     FetchRecord `json:"predicate"`
	PredicateType string      `json:"predicateType"`
	Subject       []Subject   `json:"subject"`
}

// Validate reports everything that is wrong with f.
func (f *FetchRecord) Validate() error {
	var p field.Problems
	p.Add(checkOrigin(f.Registry), "registry")
	p.Add(checkNonce(f.Nonce), "nonce")
	p.Add(field.StatementCID(f.Statement), "statement")
	p.Add(field.DataCID(f.Root.Cid), "root")
	p.Add(field.Count(f.Bytes), "bytes")
	p.Add(field.Ppm(f.CoveragePpm), "coveragePpm")
	for i := range p.List("ranges", len(f.Ranges), MaxFetchRanges) {
		f.Ranges[i].check(&p, fmt.Sprintf("ranges[%d]", i))
	}
	if f.Fetcher != "" {
		p.Add(field.KeyID(f.Fetcher), "fetcher")
	}
	if f.Terms.Defined() {
		p.Add(field.DocumentCID(f.Terms), "terms")
	}
	p.Text("purpose", f.Purpose, maxMedium)
	p.Add(field.Time(f.FetchedFrom), "fetchedFrom")
	p.Add(field.Time(f.FetchedTo), "fetchedTo")
	if f.FetchedTo < f.FetchedFrom {
		p.Add("is before fetchedFrom", "fetchedTo")
	}
	return p.Err()
}

func (f *FetchRecord) statement() *fetchStatement {
	return &fetchStatement{StatementType, *f, FetchType, []Subject{dataSubject(f.Root.String(), f.Root.Cid)}}
}

// NewFetchRecord returns the envelope of f, signed by a gateway's key.
func NewFetchRecord(f *FetchRecord, gateway sign.Signer) ([]byte, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	payload, err := cjson.Marshal(f.statement())
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	e, err := sign.Seal(payload, gateway)
	if err != nil {
		return nil, err
	}
	return e.Encode()
}

// VerifyFetchRecord reads a fetch record and checks that one of the gateway keys
// signed it: those that the registry/v1 in force at the time lists. It returns
// the key that did. fault.Invalid for what is no fetch record in canonical form,
// fault.Unverified for a signature that does not hold or is another's.
func VerifyFetchRecord(envelope []byte, gateways []sign.KeyID) (*FetchRecord, sign.KeyID, error) {
	e, err := sign.Decode(envelope)
	if err != nil {
		return nil, "", err
	}
	payload, signers, err := e.Open()
	if err != nil {
		return nil, "", err
	}
	s := new(fetchStatement)
	if err := json.Unmarshal(payload, s); err != nil {
		return nil, "", field.Unreadable(payload, new(fetchStatement), err)
	}
	again, err := cjson.Marshal(s)
	if err := field.Same(payload, again, err, s.Predicate.Validate); err != nil {
		return nil, "", err
	}
	if err := s.Predicate.Validate(); err != nil {
		return nil, "", err
	}
	want, err := cjson.Marshal(s.Predicate.statement())
	if err != nil || string(want) != string(payload) {
		return nil, "", fault.New(fault.Invalid, "not a fetch record: its type or its subject is another's")
	}
	if len(signers) != 1 || !slices.Contains(gateways, signers[0]) {
		return nil, "", fault.New(fault.Unverified, "the fetch record is signed by %s, which is no gateway of %s", signers[0], fault.Quote(s.Predicate.Registry))
	}
	return &s.Predicate, signers[0], nil
}
