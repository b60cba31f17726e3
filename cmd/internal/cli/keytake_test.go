package cli

import (
	"errors"
	"testing"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Whoever takes an identity over is not bound to a key that somebody else has.
func TestTakeWithAnnouncedKey(t *testing.T) {
	mine, theirs := keyring.Open(t.TempDir()), keyring.Open(t.TempDir())
	next := func(r *keyring.Ring) string {
		e, err := r.Create("next", keyring.Ed25519, nil)
		if err != nil {
			t.Fatal(err)
		}
		return manifests.KeyDigest(e.ID)
	}
	own, other := next(mine), next(theirs)
	for digest, want := range map[string]error{"": nil, own: nil, other: fault.Denied} {
		if err := mayFollow(mine, digest); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", digest, err, want)
		}
	}
}
