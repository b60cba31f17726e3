package keyring_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

func pass(s string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(s), nil } }

func TestCreateLoad(t *testing.T) {
	home := t.TempDir()
	r := keyring.Open(home)
	if all, err := r.List(); err != nil || len(all) != 0 {
		t.Fatalf("an empty ring lists %v, %v", all, err)
	}
	for _, alg := range []keyring.Algorithm{keyring.Ed25519, keyring.P256} {
		e, err := r.Create(string(alg), alg, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Load(e.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.ID() != e.ID {
			t.Errorf("%s: loaded %s, created %s", alg, s.ID(), e.ID)
		}
		env, err := sign.Seal([]byte("{}"), s)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := env.Open(); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		public, err := r.Public(e.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(public)
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			t.Error(err)
		}
		if shown, err := r.Show(e.Name); err != nil || shown != e {
			t.Errorf("Show = %+v, %v, want %+v", shown, err, e)
		}
		if _, err := r.Create(e.Name, alg, nil); !errors.Is(err, fault.Conflict) {
			t.Errorf("the same name again: %v", err)
		}
		info, err := os.Stat(filepath.Join(home, "keys", e.Name+".key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	if all, err := r.List(); err != nil || len(all) != 2 || all[0].Name != "ed25519" {
		t.Errorf("List = %v, %v", all, err)
	}
}

func TestPassphrase(t *testing.T) {
	home := t.TempDir()
	r := keyring.Open(home)
	e, err := r.Create("locked", keyring.Ed25519, pass("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if !e.Encrypted {
		t.Error("not marked as encrypted")
	}
	b, err := os.ReadFile(filepath.Join(home, "keys", "locked.key.age"))
	if err != nil || bytes.Contains(b, []byte("PRIVATE KEY")) {
		t.Errorf("the file is not encrypted: %s, %v", b, err)
	}
	if s, err := r.Load("locked", pass("correct horse")); err != nil || s.ID() != e.ID {
		t.Errorf("Load = %v, %v", s, err)
	}
	if _, err := r.Load("locked", pass("battery staple")); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("a wrong passphrase: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	home := t.TempDir()
	r := keyring.Open(home)
	for _, name := range []string{"", "../x", "A", ".hidden", "a/b", "log\n"} {
		if _, err := r.Create(name, keyring.Ed25519, nil); !errors.Is(err, fault.Invalid) {
			t.Errorf("Create(%q): %v", name, err)
		}
		if _, err := r.Load(name, nil); !errors.Is(err, fault.Invalid) {
			t.Errorf("Load(%q): %v", name, err)
		}
	}
	if _, err := r.Load("nobody", nil); !errors.Is(err, fault.NotFound) {
		t.Errorf("a missing key: %v", err)
	}
	if _, err := r.Create("rsa", "rsa", nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("an unknown algorithm: %v", err)
	}
	if _, err := r.Create("open", keyring.Ed25519, nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "keys", "open.key")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load("open", nil); !errors.Is(err, fault.Denied) || fault.Hint(err) == "" {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.WriteFile(file, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load("open", nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("a rubbish key file: %v", err)
	}
}
