package fold

import (
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/sign"
)

// A View is the state that the entries below an index left, as the fold needs
// it. Methods return the zero value and false for what is not there; an error
// only when the state could not be read, which says nothing about the entry.
type View interface {
	// Registry returns the newest accepted registry/v1.
	Registry() (SetRegistry, bool, error)
	// Statement returns how a statement was decided by the first index that did.
	Statement(c cid.Cid) (Decided, bool, error)
	// Signed reports whether id is a recorded signer of the accepted statement c.
	Signed(c cid.Cid, id sign.KeyID) (bool, error)
	// Head returns the newest accepted version of a publisher's name.
	Head(publisher sign.KeyID, name string) (Head, bool, error)
	// VersionTaken reports whether the name has an accepted version of that text.
	VersionTaken(publisher sign.KeyID, name, version string) (bool, error)
	// Handle returns the identity that owns a handle.
	Handle(handle string) (sign.KeyID, bool, error)
	// Key returns what the key events of an identity say; false when it has none.
	Key(identity sign.KeyID) (KeyState, bool, error)
}

// Decided is the fate of a statement: the first index that decided it.
type Decided struct {
	Index   uint64
	Verdict Verdict // Accepted or Rejected
	Kind    string  // statement kind such as "contribution/v1"; "" for one the fold could not read
}

// Head is the newest accepted version of a name.
type Head struct {
	Statement cid.Cid
	Work      string // "wk:" and the statement CID of the first accepted version
	Seq       uint64 // 1 for the first version
}

// KeyState is what the key events of an identity say of its key.
type KeyState struct {
	Events    uint64 // how many were accepted; at least 1
	Revoked   bool
	RevokedAt uint64 // index of the revocation, when Revoked
}
