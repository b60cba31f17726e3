package manifests

import (
	"encoding/json"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// LockSchema is the $schema of a lock of this version.
const LockSchema = "cairn.lock/1"

// MaxLock bounds a lock: its most inputs at their longest.
const MaxLock = 4 << 20

// A Lock freezes a mixture of datasets: what exactly it is made of, under which
// terms, and in which proportions. It is a file of canonical JSON; its CID
// ([LockCID]) is what a usage/v1 names. It is the claim of whoever made it:
// everything in it can be compared with the log that it names.
type Lock struct {
	Schema    string `json:"$schema"`
	Registry  string `json:"registry"`  // origin of the log
	CreatedAt string `json:"createdAt"` // the maker's clock
	// Anchor is the checkpoint against which every input was verified; nil when
	// none was.
	Anchor *Anchor     `json:"anchor,omitempty"`
	Inputs []LockInput `json:"inputs"` // sorted by statement
}

// A LockInput is one version in a mixture.
type LockInput struct {
	Statement cjson.CID  `json:"statement"`
	Index     uint64     `json:"index"` // of the entry that registered it
	Publisher sign.KeyID `json:"publisher"`
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	Root      cjson.CID  `json:"root,omitzero"`     // of the data; of a model's artifact
	Manifest  cjson.CID  `json:"manifest,omitzero"` // of a dataset
	Terms     cjson.CID  `json:"terms"`
	License   string     `json:"license,omitempty"` // of a dataset, as its statement says

	Units     string `json:"units"`     // decimal
	Unit      string `json:"unit"`      // like token, record, byte
	EpochsPpm int64  `json:"epochsPpm"` // 1,000,000: once
	// SharePpm is its part of the mixture; those of all inputs sum to 1,000,000.
	SharePpm int64 `json:"sharePpm"`
	// Verified says that signatures, receipt and log were checked, against Anchor.
	Verified bool `json:"verified,omitempty"`
	// Accepted is the accept/v1 of the terms by which the maker of the lock uses it.
	Accepted cjson.CID `json:"accepted,omitzero"`
}

// Usage returns the input as a record of use names it.
func (n *LockInput) Usage() Input {
	return Input{Statement: n.Statement, Units: n.Units, Unit: n.Unit, EpochsPpm: n.EpochsPpm, Terms: n.Terms}
}

// EncodeLock returns the canonical bytes of l, after [Lock.Validate].
func EncodeLock(l *Lock) ([]byte, error) { return encodeDocument(l, MaxLock, "lock") }

// DecodeLock reads exactly what [EncodeLock] writes. A line feed may end it.
func DecodeLock(b []byte) (*Lock, error) {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return decodeDocument(b, new(Lock), MaxLock, "lock")
}

// LockCID returns the CID of a lock's canonical bytes: dag-json.
func LockCID(b []byte) cid.Cid {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return cjson.JSONCID(b)
}

// Validate reports everything that is wrong with l.
func (l *Lock) Validate() error {
	var p field.Problems
	if l.Schema != LockSchema {
		p.Add("must be "+LockSchema, "$schema")
	}
	p.Add(checkOrigin(l.Registry), "registry")
	p.Add(field.Time(l.CreatedAt), "createdAt")
	if l.Anchor != nil {
		l.Anchor.validate(&p, "anchor")
	}
	if len(l.Inputs) == 0 {
		p.Add("must have an entry", "inputs")
	}
	sum := int64(0)
	for i := range p.List("inputs", len(l.Inputs), maxInputs) {
		n := &l.Inputs[i]
		n.validate(&p, fmt.Sprintf("inputs[%d]", i), l.Anchor)
		if i > 0 && l.Inputs[i-1].Statement.String() >= n.Statement.String() {
			p.Add("the list must be sorted by statement and without repetitions", "inputs[%d].statement", i)
		}
		sum += min(max(n.SharePpm, 0), million)
	}
	if len(l.Inputs) > 0 && len(l.Inputs) <= maxInputs && sum != million {
		p.Add(fmt.Sprintf("the shares sum to %d, not 1000000", sum), "inputs")
	}
	return p.Err()
}

func (n *LockInput) validate(p *field.Problems, at string, anchor *Anchor) {
	p.Add(field.StatementCID(n.Statement), "%s.statement", at)
	if n.Index < 1 || n.Index > field.MaxInt {
		p.Add("must be from 1 to 2^53-1", "%s.index", at)
	}
	p.Add(field.KeyID(n.Publisher), "%s.publisher", at)
	p.Add(message(ValidName(n.Name)), "%s.name", at)
	p.Add(message(ValidVersion(n.Version)), "%s.version", at)
	if n.Root.Defined() {
		p.Add(field.DataCID(n.Root.Cid), "%s.root", at)
	}
	if n.Manifest.Defined() {
		p.Add(field.DocumentCID(n.Manifest), "%s.manifest", at)
	}
	p.Add(field.DocumentCID(n.Terms), "%s.terms", at)
	p.Line(at+".license", n.License, maxLicense)
	p.Add(checkAmount(n.Units), "%s.units", at)
	p.Add(field.Token(n.Unit), "%s.unit", at)
	if n.EpochsPpm < 0 || n.EpochsPpm > maxEpochsPpm {
		p.Add("must be from 0 to 10^15", "%s.epochsPpm", at)
	}
	p.Add(field.Ppm(n.SharePpm), "%s.sharePpm", at)
	if n.Verified && (anchor == nil || n.Index >= anchor.Size) {
		p.Add("needs an anchor above the index", "%s.verified", at)
	}
	if n.Accepted.Defined() {
		p.Add(field.StatementCID(n.Accepted), "%s.accepted", at)
	}
}

// encodeDocument writes a document that is no statement.
func encodeDocument(v interface{ Validate() error }, limit int, what string) ([]byte, error) {
	if err := v.Validate(); err != nil {
		return nil, err
	}
	b, err := cjson.Marshal(v)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	if len(b) > limit {
		return nil, fault.New(fault.TooLarge, "the %s has %d bytes, more than %d", what, len(b), limit)
	}
	return b, nil
}

// decodeDocument reads exactly what encodeDocument wrote.
func decodeDocument[T any, P interface {
	*T
	Validate() error
}](b []byte, v P, limit int, what string) (P, error) {
	if len(b) > limit {
		return nil, fault.New(fault.TooLarge, "the %s has %d bytes, more than %d", what, len(b), limit)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, field.Unreadable(b, new(T), err)
	}
	again, err := cjson.Marshal(v)
	if err := field.Same(b, again, err, v.Validate); err != nil {
		return nil, err
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return v, nil
}
