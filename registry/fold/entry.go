package fold

import (
	"errors"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// An Entry is a log entry as far as it can be judged without state: decoded,
// matched with its leaf, every signature verified.
type Entry struct {
	// LeafHash is the RFC 6962 hash of the leaf bytes, for [Next].
	LeafHash [32]byte
	// Leaf is the decoded leaf; its zero value when the bytes are none.
	Leaf proof.Leaf
	// Matches says that the envelope is the one that the leaf names, with the
	// statement, the signers and the subject that the leaf names, and that all
	// its signatures verify. Only then does the entry speak of Leaf.Stmt.
	Matches bool
	// Statement is the decoded statement; nil when the body has none that can be read.
	Statement *manifests.Statement

	signers []sign.KeyID // of the verified signatures, sorted
	code    Code         // the first broken rule that needs no state

	erased    *Result // what a tombstone says of an entry without a body
	tombstone cid.Cid // that one's statement
}

// Read decodes leaf and envelope, compares them, and verifies every signature.
// It keeps neither slice, needs no state, and may be called concurrently.
func Read(leaf, envelope []byte) *Entry {
	e := &Entry{LeafHash: proof.LeafHash(leaf)}
	e.code = e.read(leaf, envelope)
	return e
}

// read fills e and returns the first rule that is broken.
func (e *Entry) read(leaf, envelope []byte) Code {
	l, err := proof.DecodeLeaf(leaf)
	if err != nil {
		return MalformedLeaf
	}
	e.Leaf = l
	if l.Size != int64(len(envelope)) || l.Env.Cid != cjson.RawCID(envelope) {
		return LeafMismatch
	}
	env, err := sign.Decode(envelope)
	if err != nil || env.PayloadType != sign.PayloadType {
		return MalformedEnvelope
	}
	keys := make([]sign.KeyID, len(env.Signatures))
	for i, s := range env.Signatures {
		keys[i] = s.KeyID
	}
	slices.Sort(keys)
	if l.Stmt.Cid != manifests.StatementCID(env.Payload) || !slices.Equal(l.Keys, keys) {
		return LeafMismatch
	}
	if _, _, err := env.Open(); err != nil {
		return BadSignature
	}
	e.signers = keys

	st, err := manifests.Decode(env.Payload)
	switch {
	case errors.Is(err, manifests.ErrUnknownKind):
		e.Matches = true
		return UnknownKind
	case err != nil:
		e.Matches = true
		return Malformed
	}
	subject, err := st.SubjectCID()
	if err != nil || l.T != string(st.Kind) || len(l.Subj) != 1 || l.Subj[0].Cid != subject {
		return LeafMismatch
	}
	e.Matches = true
	e.Statement = st
	if err := st.CheckSubject(); err != nil {
		return Subject
	}
	return ""
}
