// Package fold is the state machine of the registry: it reads one log entry
// after the other and says what each means. Its output for an entry is a
// [Result]: a verdict, a code that gives the reason, and the logical effects on
// the state. A running digest over all results ([Genesis], [Next]) lets anyone
// who replays the log compare one hash instead of a database.
//
// The fold is total and pure. It reads the bytes of the leaf and of the
// envelope, and the state that earlier entries of the same log left behind
// (through a [View]), and nothing else: no clock, no configuration, no block
// availability, no Unicode or SPDX tables. Every entry gets a verdict, whatever
// its bytes; an error means only that the View failed.
//
// Verdicts are final. A later entry changes state, never a verdict.
package fold

import (
	"crypto/sha256"
	"encoding/binary"
)

// Version is the version of the rules in this package. A rule that changes a
// verdict, a code or an effect makes a new version.
const Version = 1

// A Verdict says what became of a log entry.
type Verdict string

// The three verdicts.
const (
	Accepted  Verdict = "accepted"  // it took effect
	Rejected  Verdict = "rejected"  // it breaks a rule; Code says which
	Duplicate Verdict = "duplicate" // its statement was decided at a smaller index, and it adds nothing
)

// A Result is what the fold says of one entry. It is a value of the digest
// chain: equal logs give equal Results.
type Result struct {
	Verdict Verdict
	Code    Code     // "" unless rejected
	Effects []Effect // in the order in which they are applied; empty unless accepted
}

// Decides reports whether r is the first decision about its statement, which
// it then is for ever. Duplicates, later signatures, and rejections that the
// envelope caused do not decide.
func (r Result) Decides() bool {
	switch r.Verdict {
	case Accepted:
		return len(r.Effects) > 0 && r.Effects[0].Op() != OpAddSigners
	case Rejected:
		return r.Code.Decides()
	}
	return false
}

// Genesis returns D₀, the digest of the empty log of the given origin:
// SHA-256("cairn-fold/1\n" ‖ origin ‖ "\n").
func Genesis(origin string) [32]byte {
	return sha256.Sum256([]byte("cairn-fold/1\n" + origin + "\n"))
}

// Next returns D_{i+1} = SHA-256(D_i ‖ uint64be(i) ‖ leafHash_i ‖ E_i), where
// E_i is the SHA-256 of r.Encode(): the digest after the entry at index i.
func Next(d [32]byte, i uint64, leafHash [32]byte, r Result) [32]byte {
	e := sha256.Sum256(r.Encode())
	var b [32 + 8 + 32 + 32]byte
	copy(b[:32], d[:])
	binary.BigEndian.PutUint64(b[32:40], i)
	copy(b[40:72], leafHash[:])
	copy(b[72:], e[:])
	return sha256.Sum256(b[:])
}

// Apply judges the entry at index i of the log of the given origin, against
// the state v that the entries below i left. leaf is the entry's bytes,
// envelope the block that the leaf names as env.
//
// Whoever hands in the envelope must have fetched it by that CID and checked
// the hash: bytes that do not belong to the leaf are leaf-mismatch, and a
// missing body has no verdict at all (the caller stops there). The error is
// that of v, as it came; no bytes of leaf or envelope cause one.
//
// Apply is [Read] followed by [Entry.Judge]; a caller that replays a long log
// runs Read, which needs no state and holds all the cost of cryptography, for
// several entries at once.
func Apply(v View, origin string, i uint64, leaf, envelope []byte) (Result, error) {
	return Read(leaf, envelope).Judge(v, origin, i)
}
