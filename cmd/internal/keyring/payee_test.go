package keyring_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const payeeID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"

// TestOpening holds the commitment to its formula, computed here from the hash
// alone, and every changed part of an opening to being found.
func TestOpening(t *testing.T) {
	o, err := keyring.NewOpening(payeeID, "csv", []byte("{ \"name\": \"Ana\",\n\"iban\":\"XX00\" }"))
	if err != nil {
		t.Fatal(err)
	}
	salt, err := hex.DecodeString(o.Salt)
	if err != nil || len(salt) != 32 {
		t.Fatalf("salt %q, %v", o.Salt, err)
	}
	sum := sha256.Sum256(append(salt, `{"iban":"XX00","name":"Ana"}`...))
	if want := hex.EncodeToString(sum[:]); o.Commitment != want {
		t.Errorf("commitment %s, want %s", o.Commitment, want)
	}
	b, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := keyring.ParseOpening(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Verify(); err != nil {
		t.Errorf("an opening as it was written: %v", err)
	}
	other, err := keyring.NewOpening(payeeID, "csv", []byte(`{"iban":"XX00","name":"Ana"}`))
	if err != nil {
		t.Fatal(err)
	}
	if other.Commitment == o.Commitment {
		t.Error("two commitments to the same details are equal: the salt is not one")
	}
	for name, change := range map[string]func(*keyring.Opening){
		"details":    func(o *keyring.Opening) { o.Details = []byte(`{"iban":"XX01","name":"Ana"}`) },
		"salt":       func(o *keyring.Opening) { o.Salt = other.Salt },
		"commitment": func(o *keyring.Opening) { o.Commitment = other.Commitment },
	} {
		c := *o
		change(&c)
		if err := c.Verify(); !errors.Is(err, fault.Unverified) {
			t.Errorf("changed %s: %v, want unverified", name, err)
		}
	}
	for _, bad := range []string{``, `[]`, `{}`, `"x"`, `{"a":1.5}`, `{"a":"` + strings.Repeat("x", keyring.MaxDetails) + `"}`} {
		if _, err := keyring.NewOpening(payeeID, "csv", []byte(bad)); !errors.Is(err, fault.Invalid) {
			t.Errorf("details %.20q: %v, want invalid", bad, err)
		}
	}
}

func TestSaveOpening(t *testing.T) {
	dir := t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	o, err := keyring.NewOpening(payeeID, "csv", []byte(`{"iban":"XX00"}`))
	if err != nil {
		t.Fatal(err)
	}
	private, sealed, err := keyring.Open(dir).SaveOpening(o, id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{private, sealed} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want a file of mode 0600", name, info, err)
		}
	}
	got, err := keyring.ReadOpening(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Verify(); err != nil {
		t.Error(err)
	}
	b, err := os.ReadFile(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("XX00")) {
		t.Error("the sealed file shows the details")
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(b)), id)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := keyring.ParseOpening(plain); err != nil || opened.Commitment != o.Commitment {
		t.Errorf("the sealed opening: %v, %v", opened, err)
	}
	if err := os.Chmod(private, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.ReadOpening(private); !errors.Is(err, fault.Denied) {
		t.Errorf("a file that others may read: %v, want denied", err)
	}
	if keys, err := keyring.Open(dir).List(); err != nil || len(keys) != 0 {
		t.Errorf("an opening is listed as a key: %v, %v", keys, err)
	}
	if _, err := o.Seal("age1nonsense"); !errors.Is(err, fault.Invalid) {
		t.Errorf("no recipient: %v, want invalid", err)
	}
}
