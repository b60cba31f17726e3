// Package foldtest makes logs for the tests of whatever folds or follows one:
// single entries, valid and broken on purpose, and random histories in which
// every kind of verdict occurs. Everything follows from names and seeds, so
// that results can be golden.
package foldtest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/ipfs/go-cid"
	"golang.org/x/mod/sumdb/note"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Origin is the origin of the logs of this package.
const Origin = "cairn.example/log"

// A Body is a log entry: what the log holds, and the block that it names.
type Body struct {
	Leaf     []byte
	Envelope []byte
}

// Key returns the key of a person; the same name has the same key.
func Key(name string) sign.Signer {
	seed := sha256.Sum256([]byte("cairn foldtest key " + name))
	return sign.NewEd25519(ed25519.NewKeyFromSeed(seed[:]))
}

// ID returns the identity of a person.
func ID(name string) sign.KeyID { return Key(name).ID() }

// RawCID returns the CID of a text as a raw block.
func RawCID(text string) cid.Cid { return cjson.RawCID([]byte(text)) }

// JSONCID returns the CID of a text as a dag-json block.
func JSONCID(text string) cjson.CID { return cjson.CID{Cid: cjson.JSONCID([]byte(text))} }

// A World makes statements with distinct nonces, in a fixed order.
type World struct{ nonces uint64 }

// Common returns the members that each statement has, with the next nonce.
func (w *World) Common() manifests.Common {
	w.nonces++
	var n [16]byte
	binary.BigEndian.PutUint64(n[8:], w.nonces)
	return manifests.Common{
		Registry: Origin,
		Nonce:    base64.RawURLEncoding.EncodeToString(n[:]),
		IssuedAt: "2026-11-22T08:00:00Z",
	}
}

// Registry returns a registry/v1 with the given operators.
func (w *World) Registry(threshold int, operators ...string) *manifests.Registry {
	key, err := note.NewEd25519VerifierKey(Origin, ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		panic(err)
	}
	r := &manifests.Registry{
		Common:            w.Common(),
		Origin:            Origin,
		LogKeys:           []string{key},
		OperatorThreshold: threshold,
		FirstPeriod:       "2026-11",
		Currencies:        []manifests.Currency{{Code: "CHF", MinorDigits: 2, FineDigits: 12}},
	}
	for _, o := range operators {
		r.Operators = append(r.Operators, ID(o))
	}
	return r
}

// Contribution returns a contribution/v1 with one contributor, its publisher.
func (w *World) Contribution(publisher, name, version string) *manifests.Contribution {
	return &manifests.Contribution{
		Common:    w.Common(),
		Publisher: ID(publisher),
		Dataset: manifests.Dataset{
			Name:      name,
			Version:   version,
			Title:     "The " + name,
			Manifest:  JSONCID("manifest of " + name + " " + version),
			Bytes:     1234,
			FileCount: 2,
			License:   "CC-BY-4.0",
			Keywords:  []string{"weather", name},
		},
		Terms:        JSONCID("terms"),
		Contributors: []manifests.Share{{ID: ID(publisher), Weight: "1"}},
		Total:        "1",
	}
}

// Version returns the statement of a contribution; the root follows from name and version.
func Version(c *manifests.Contribution) *manifests.Statement {
	return manifests.NewContribution(c, RawCID("data of "+c.Dataset.Name+" "+c.Dataset.Version))
}

// Profile returns a profile/v1.
func (w *World) Profile(who, handle string) *manifests.Profile {
	return &manifests.Profile{Common: w.Common(), Identity: ID(who), Handle: handle, Name: "Name of " + who}
}

// FirstKey returns the first key event of a person.
func (w *World) FirstKey(who string) *manifests.Key {
	return &manifests.Key{Common: w.Common(), Identity: ID(who), Key: ID(who), Op: manifests.KeyFirst}
}

// Rotate returns the rotation of a person's identity to another key.
func (w *World) Rotate(who, key string) *manifests.Key {
	return &manifests.Key{Common: w.Common(), Identity: ID(who), Key: ID(key), Op: manifests.KeyRotate}
}

// Revoke returns the revocation of a person's key.
func (w *World) Revoke(who string) *manifests.Key {
	return &manifests.Key{Common: w.Common(), Identity: ID(who), Key: ID(who), Op: manifests.KeyRevoke}
}

// Attestation returns an attestation/v1 about a statement.
func (w *World) Attestation(who string, about cid.Cid) *manifests.Attestation {
	return &manifests.Attestation{
		Common:   w.Common(),
		Attester: ID(who),
		Type:     manifests.AttestReview,
		About:    cjson.CID{Cid: about},
		Result:   manifests.ResultHolds,
	}
}

// Payload returns the bytes of a statement, which must be valid.
func Payload(s *manifests.Statement) []byte {
	b, err := manifests.Encode(s)
	if err != nil {
		panic(fmt.Sprintf("foldtest: %v", err))
	}
	return b
}

// CID returns the CID of a statement, which must be valid.
func CID(s *manifests.Statement) cid.Cid { return manifests.StatementCID(Payload(s)) }

// Log returns the entry of a statement signed by people.
func Log(s *manifests.Statement, signers ...string) Body {
	env := Seal(Payload(s), signers...)
	b := encode(env)
	leaf, err := proof.NewLeaf(env, b)
	if err != nil {
		panic(fmt.Sprintf("foldtest: %v", err))
	}
	return Body{Leaf: EncodeLeaf(leaf), Envelope: b}
}

// Seal returns an envelope around any payload.
func Seal(payload []byte, signers ...string) *sign.Envelope {
	keys := make([]sign.Signer, len(signers))
	for i, s := range signers {
		keys[i] = Key(s)
	}
	env, err := sign.Seal(payload, keys...)
	if err != nil {
		panic(fmt.Sprintf("foldtest: %v", err))
	}
	return env
}

// LogPayload returns an entry around any payload. Its leaf agrees with the
// envelope, and names kind and subject as told.
func LogPayload(payload []byte, kind manifests.Kind, subject cid.Cid, signers ...string) Body {
	return LogEnvelope(Seal(payload, signers...), kind, subject)
}

// LogEnvelope is LogPayload for an envelope.
func LogEnvelope(env *sign.Envelope, kind manifests.Kind, subject cid.Cid) Body {
	b := encode(env)
	leaf := proof.Leaf{
		V:    1,
		T:    string(kind),
		Stmt: cjson.CID{Cid: manifests.StatementCID(env.Payload)},
		Env:  cjson.CID{Cid: cjson.RawCID(b)},
		Subj: []cjson.CID{{Cid: subject}},
		Size: int64(len(b)),
	}
	for _, s := range env.Signatures {
		leaf.Keys = append(leaf.Keys, s.KeyID)
	}
	return Body{Leaf: EncodeLeaf(leaf), Envelope: b}
}

// EncodeLeaf returns the bytes of a leaf, which must be valid.
func EncodeLeaf(l proof.Leaf) []byte {
	b, err := l.Encode()
	if err != nil {
		panic(fmt.Sprintf("foldtest: %v", err))
	}
	return b
}

func encode(env *sign.Envelope) []byte {
	b, err := env.Encode()
	if err != nil {
		panic(fmt.Sprintf("foldtest: %v", err))
	}
	return b
}
