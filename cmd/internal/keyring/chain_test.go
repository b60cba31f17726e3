package keyring_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// rotation begins a rotation of the key "ana" in a new ring; locked says which of the
// two keys' files are encrypted.
func rotation(t *testing.T, home string, before, after bool) (*keyring.Ring, keyring.Rotation) {
	t.Helper()
	r := keyring.Open(home)
	make := func(name string, locked bool) keyring.Entry {
		var ask func() ([]byte, error)
		if locked {
			ask = pass("correct horse")
		}
		e, err := r.Create(name, keyring.Ed25519, ask)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	from, to := make("ana", before), make("ana.new", after)
	rot := keyring.Rotation{Identity: from.ID, From: from.ID, To: to.ID, ToName: "ana.new", Locked: after, Next: strings.Repeat("ab", 32)}
	if err := r.Begin("ana", rot); err != nil {
		t.Fatal(err)
	}
	return r, rot
}

func finished(t *testing.T, r *keyring.Ring, rot keyring.Rotation) {
	t.Helper()
	for name, want := range map[string]struct{ id, identity any }{"ana": {rot.To, rot.Identity}, "ana.1": {rot.From, rot.From}} {
		e, err := r.Show(name)
		if err != nil || any(e.ID) != want.id || any(e.For()) != want.identity {
			t.Errorf("%s is shown as %+v, %v", name, e, err)
		}
		if e.Encrypted {
			continue // it takes a second to read
		}
		s, err := r.Load(name, nil)
		if err != nil || any(s.ID()) != want.id || any(keyring.Identity(s)) != want.identity {
			t.Errorf("%s is %v, %v", name, s, err)
		}
	}
	all, err := r.List()
	if err != nil || len(all) != 2 {
		t.Errorf("the ring lists %+v, %v", all, err)
	}
	if _, begun, err := r.Rotation("ana"); begun || err != nil {
		t.Errorf("begun: %v, %v", begun, err)
	}
	if next, err := r.Announced("ana"); err != nil || next != rot.Next {
		t.Errorf("%q is announced, %v; want %q", next, err, rot.Next)
	}
	if chain, err := r.Chain("ana"); err != nil || len(chain) != 2 || chain[0] != rot.Identity || chain[1] != rot.To {
		t.Errorf("the chain is %s, %v", chain, err)
	}
}

func TestRotation(t *testing.T) {
	for _, locked := range [][2]bool{{false, false}, {true, false}, {false, true}} {
		r, rot := rotation(t, t.TempDir(), locked[0], locked[1])
		if err := r.Begin("ana", rot); !errors.Is(err, fault.Conflict) {
			t.Errorf("begun twice: %v", err)
		}
		if old, err := r.Finish("ana"); err != nil || old != "ana.1" {
			t.Fatalf("%q, %v", old, err)
		}
		finished(t, r, rot)
		if old, err := r.Finish("ana"); err != nil || old != "" {
			t.Errorf("again: %q, %v", old, err)
		}
		// What was announced is over with the next rotation.
		to, err := r.Create("ana.new", keyring.Ed25519, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Begin("ana", keyring.Rotation{Identity: rot.Identity, From: rot.To, To: to.ID, ToName: "ana.new"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish("ana"); err != nil {
			t.Fatal(err)
		}
		if next, err := r.Announced("ana"); err != nil || next != "" {
			t.Errorf("%q is announced still, %v", next, err)
		}
	}
}

// TestRotationCutShort lets Finish fail after each of its steps, by a folder in the
// place of a file that it is about to make or take away, and then go on.
func TestRotationCutShort(t *testing.T) {
	failures := 0
	for block, locked := range map[string]bool{"ana.1.key": false, "ana.1.pub": false, "ana.chain": false, "ana.announced": false, "ana.pub": false, "ana.new.pub": false, "ana.key.age": true} {
		home := t.TempDir()
		r, rot := rotation(t, home, false, locked)
		at := filepath.Join(home, "keys", block)
		kept, err := os.ReadFile(at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := errors.Join(os.RemoveAll(at), os.MkdirAll(filepath.Join(at, "x"), 0o700)); err != nil {
			t.Fatal(err)
		}
		_, failed := r.Finish("ana")
		if _, begun, err := r.Rotation("ana"); failed != nil && (!begun || err != nil) {
			t.Errorf("%s: it failed with %v, and is forgotten: %v", block, failed, err)
		}
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
		if failed != nil {
			failures++
			if kept != nil {
				if err := os.WriteFile(at, kept, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.Finish("ana"); err != nil {
				t.Fatalf("%s: going on: %v", block, err)
			}
		}
		finished(t, r, rot)
	}
	if failures != 7 {
		t.Errorf("%d of 7 steps failed: the others show nothing", failures)
	}
}

func TestJoin(t *testing.T) {
	r := keyring.Open(t.TempDir())
	first, err := r.Create("first", keyring.P256, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.Create("other", keyring.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Join("other", first.ID); err != nil {
			t.Fatal(err)
		}
	}
	s, err := r.Load("other", nil)
	if err != nil || s.ID() != other.ID || keyring.Identity(s) != first.ID {
		t.Errorf("%s signs for %s, %v", s.ID(), keyring.Identity(s), err)
	}
	if err := r.Join("other", other.ID); !errors.Is(err, fault.Conflict) {
		t.Errorf("another identity: %v", err)
	}
	if name, err := r.Named(other.ID); err != nil || name != "other" {
		t.Errorf("%q, %v", name, err)
	}
}
