// Package proof is what a stranger needs to check that a statement is in a log:
// leaf, checkpoint, policy, receipt and bundle, and their verification with no
// network and no clock.
//
// Evidence is accepted only in its one encoding: no unknown members, no
// unverified extras. Evidence that is there and does not keep to its form does
// not hold, and its error is fault.Unverified; whether evidence is there at all
// is the caller's affair.
package proof

import (
	"bytes"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	leafVersion = 1
	// MaxLeaf bounds a leaf: 32 key IDs, two CIDs and a subject stay below it.
	MaxLeaf = 4 << 10
)

// A Leaf is what the log holds of an entry: hashes only, so that a body can be
// erased while the tree stays whole.
type Leaf struct {
	Env  cjson.CID    `json:"env"`  // raw CID of the envelope's bytes
	Keys []sign.KeyID `json:"keys"` // who signed, sorted
	Size int64        `json:"size"` // of the envelope, in bytes
	Stmt cjson.CID    `json:"stmt"` // raw CID of the payload's bytes
	Subj []cjson.CID  `json:"subj"` // what the statement is about
	T    string       `json:"t"`    // kind of the statement, as "contribution/v1"
	V    int          `json:"v"`    // 1
}

// NewLeaf returns the leaf of an envelope. encoded are the envelope's
// normalised bytes. The payload must be a statement that manifests decodes.
// Signatures are not verified here.
func NewLeaf(e *sign.Envelope, encoded []byte) (Leaf, error) {
	s, err := manifests.Decode(e.Payload)
	if err != nil {
		return Leaf{}, err
	}
	subject, err := s.SubjectCID()
	if err != nil {
		return Leaf{}, err
	}
	l := Leaf{
		Env:  cjson.CID{Cid: cjson.RawCID(encoded)},
		Size: int64(len(encoded)),
		Stmt: cjson.CID{Cid: manifests.StatementCID(e.Payload)},
		Subj: []cjson.CID{{Cid: subject}},
		T:    string(s.Kind),
		V:    leafVersion,
	}
	for _, sig := range e.Signatures {
		l.Keys = append(l.Keys, sig.KeyID)
	}
	return l, nil
}

// Encode returns the leaf's canonical bytes: the entry of the log.
func (l Leaf) Encode() ([]byte, error) {
	b, err := cjson.Marshal(l)
	if err == nil && len(b) > MaxLeaf {
		return nil, fault.New(fault.TooLarge, "the leaf has %d bytes, the limit is %d", len(b), MaxLeaf)
	}
	return b, err
}

// DecodeLeaf reads a leaf. Only the one encoding of a leaf of version 1 is
// read; anything else is fault.Invalid.
func DecodeLeaf(b []byte) (Leaf, error) {
	if len(b) > MaxLeaf {
		return Leaf{}, fault.New(fault.Invalid, "a leaf of %d bytes: the limit is %d", len(b), MaxLeaf)
	}
	var l Leaf
	if err := cjson.Unmarshal(b, &l); err != nil {
		return Leaf{}, err
	}
	if l.V != leafVersion {
		return Leaf{}, fault.New(fault.Invalid, "a leaf of version %d", l.V)
	}
	for i, k := range l.Keys {
		if _, err := sign.ParseKeyID(string(k)); err != nil {
			return Leaf{}, err
		}
		if i > 0 && l.Keys[i-1] >= k {
			return Leaf{}, fault.New(fault.Invalid, "the leaf's keys are not sorted")
		}
	}
	if n := len(l.Keys); n < 1 || n > sign.MaxSignatures || len(l.Subj) != 1 || l.Size < 1 || l.Size > sign.MaxEnvelope || l.T == "" {
		return Leaf{}, fault.New(fault.Invalid, "the leaf lacks a member, or one is out of its range")
	}
	again, err := l.Encode()
	if err != nil || !bytes.Equal(again, b) {
		return Leaf{}, fault.New(fault.Invalid, "the leaf is not in its one encoding")
	}
	return l, nil
}

// Equal reports whether two leaves say the same.
func (l Leaf) Equal(o Leaf) bool {
	return l.V == o.V && l.T == o.T && l.Size == o.Size && l.Env == o.Env && l.Stmt == o.Stmt &&
		slices.Equal(l.Subj, o.Subj) && slices.Equal(l.Keys, o.Keys)
}

// LeafHash is the Merkle leaf hash of RFC 6962: SHA-256(0x00 ‖ b).
func LeafHash(b []byte) [32]byte { return tlog.RecordHash(b) }
