package keyring_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"testing"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestClaim(t *testing.T) {
	ring := keyring.Open(t.TempDir())
	root := cjson.RawCID([]byte("data"))
	c, err := keyring.NewClaim(payeeID, root)
	if err != nil {
		t.Fatal(err)
	}
	salt, err := hex.DecodeString(c.Salt)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(salt, root.String()...))
	if want := hex.EncodeToString(sum[:]); c.Commitment != want {
		t.Errorf("commitment %s, want %s", c.Commitment, want)
	}
	name, err := ring.SaveClaim(c)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v, want a file of mode 0600", name, info, err)
	}
	got, err := keyring.ReadClaim(name)
	if err != nil || *got != *c {
		t.Fatalf("read %+v, %v, want %+v", got, err, c)
	}
	if err := got.Verify(); err != nil {
		t.Error(err)
	}
	got.CID = cjson.CID{Cid: cjson.RawCID([]byte("other data"))}
	if err := got.Verify(); !errors.Is(err, fault.Unverified) {
		t.Errorf("another CID: %v, want unverified", err)
	}
	if _, err := keyring.ReadOpening(name); !errors.Is(err, fault.Invalid) {
		t.Errorf("a claim read as the opening of a payee: %v, want invalid", err)
	}
}
