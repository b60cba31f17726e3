package cjson

import (
	"encoding/json"
	"strings"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxCIDText bounds a CID in text form; CIDv1 base32 of a sha2-256 has 59 to 61.
const maxCIDText = 128

// ParseCID reads a CID that cairn knows how to check: CIDv1 in lower-case
// base32 with codec raw, dag-pb, dag-cbor or dag-json, or CIDv0; the hash is
// sha2-256 with all its 32 bytes. Anything else is fault.Invalid.
func ParseCID(s string) (cid.Cid, error) {
	if len(s) > maxCIDText {
		return cid.Undef, fault.New(fault.Invalid, "%s is too long for a CID", fault.Quote(s))
	}
	c, err := cid.Decode(s)
	if err != nil {
		return cid.Undef, fault.New(fault.Invalid, "%s is no CID", fault.Quote(s))
	}
	if err := CheckCID(c); err != nil {
		return cid.Undef, err
	}
	if c.String() != s {
		return cid.Undef, fault.New(fault.Invalid, "%s is not the usual text of %s", fault.Quote(s), c)
	}
	return c, nil
}

// CheckCID returns nil when c is of the kinds that [ParseCID] reads.
func CheckCID(c cid.Cid) error {
	if !c.Defined() {
		return fault.New(fault.Invalid, "a CID is missing")
	}
	p := c.Prefix()
	if p.MhType != mh.SHA2_256 || p.MhLength != 32 {
		return fault.New(fault.Invalid, "the CID %s: its hash is not a whole sha2-256", c)
	}
	switch p.Codec {
	case cid.Raw, cid.DagProtobuf, cid.DagCBOR, cid.DagJSON:
		return nil
	}
	return fault.New(fault.Invalid, "the CID %s: codec 0x%x is not raw, dag-pb, dag-cbor or dag-json", c, p.Codec)
}

func sum(codec uint64, b []byte) cid.Cid {
	h, err := mh.Sum(b, mh.SHA2_256, -1)
	if err != nil {
		panic(err) // sha2-256 is always there
	}
	return cid.NewCidV1(codec, h)
}

// RawCID returns the CIDv1 of a raw block: what statements and envelopes are
// named by.
func RawCID(b []byte) cid.Cid { return sum(cid.Raw, b) }

// JSONCID returns the CIDv1 of a DAG-JSON block: what manifests and terms are
// named by.
func JSONCID(b []byte) cid.Cid { return sum(cid.DagJSON, b) }

// CID is a CID as a plain JSON string: a reference to something else. The zero
// value is undefined and is left out by omitzero.
type CID struct{ cid.Cid }

// MarshalJSON writes CIDv1 in base32; a CIDv0 is written as the CIDv1 of the
// same block.
func (c CID) MarshalJSON() ([]byte, error) {
	if !c.Defined() {
		return nil, fault.New(fault.Invalid, "a CID is missing")
	}
	return json.Marshal(V1(c.Cid).String())
}

// UnmarshalJSON reads CIDv1 in base32, as [ParseCID] does.
func (c *CID) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	p, err := parseV1(s)
	c.Cid = p
	return err
}

// IsZero reports whether c is undefined.
func (c CID) IsZero() bool { return !c.Defined() }

// Link is a CID as a DAG-JSON link, {"/":"bafy…"}: a part of the document's own
// dataset, which a recursive pin takes along.
type Link struct{ cid.Cid }

type linkJSON struct {
	CID string `json:"/"`
}

// MarshalJSON writes a link.
func (l Link) MarshalJSON() ([]byte, error) {
	if !l.Defined() {
		return nil, fault.New(fault.Invalid, "a link is missing")
	}
	return json.Marshal(linkJSON{V1(l.Cid).String()})
}

// UnmarshalJSON reads a link.
func (l *Link) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	var j linkJSON
	if err := d.Decode(&j); err != nil {
		return fault.New(fault.Invalid, "not a link {\"/\":…}: %w", err)
	}
	p, err := parseV1(j.CID)
	l.Cid = p
	return err
}

// IsZero reports whether l is undefined.
func (l Link) IsZero() bool { return !l.Defined() }

// V1 returns c as JSON holds it: a CIDv0 becomes the CIDv1 that names the same
// dag-pb block.
func V1(c cid.Cid) cid.Cid {
	if c.Defined() && c.Version() == 0 {
		return cid.NewCidV1(cid.DagProtobuf, c.Hash())
	}
	return c
}

func parseV1(s string) (cid.Cid, error) {
	c, err := ParseCID(s)
	if err == nil && c.Version() == 0 {
		return cid.Undef, fault.New(fault.Invalid, "%s is a CIDv0; documents hold CIDv1", fault.Quote(s))
	}
	return c, err
}
