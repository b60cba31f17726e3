package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Beside a key that took the place of another lies NAME.chain, a did:key a line:
// the keys of its identity as this ring knows them, the identity's name first, the
// key itself last; and NAME.announced, the digest of the key that is to follow, when
// the rotation said one. NAME.rotation lies there while a rotation is on its way.
const (
	chainSuffix     = ".chain"
	announcedSuffix = ".announced"
	rotationSuffix  = ".rotation"
)

// signer is a key that signs for an identity named by an earlier one.
type signer struct {
	sign.Signer
	identity sign.KeyID
}

// Identity returns the identity that a key of a ring signs for: the name of the
// chain that the ring has of it, else the key itself.
func Identity(s sign.Signer) sign.KeyID {
	if k, ok := s.(signer); ok {
		return k.identity
	}
	return s.ID()
}

// Chain returns the keys of the identity that the key signs for, as the ring knows
// them: the first names the identity, the last is the key. nil when the key is the
// first itself.
func (r *Ring) Chain(name string) ([]sign.KeyID, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(r.dir, name+chainSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []sign.KeyID
	for line := range strings.Lines(string(b)) {
		id, err := sign.ParseKeyID(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", name, chainSuffix, err)
		}
		out = append(out, id)
	}
	return out, nil
}

// Announced returns the digest of the key that is to follow the key, as the rotation
// said that put it in its place; "" when any may. A log that does not know of that
// rotation yet does not know this either.
func (r *Ring) Announced(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(r.dir, name+announcedSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// Join says that a key of the ring signs for an identity that began elsewhere.
func (r *Ring) Join(name string, identity sign.KeyID) error {
	e, err := r.Show(name)
	if err != nil {
		return err
	}
	switch chain, err := r.Chain(name); {
	case err != nil:
		return err
	case chain != nil && chain[0] != identity:
		return fault.New(fault.Conflict, "the key %q signs for %s already", name, chain[0])
	case chain != nil:
		return nil
	}
	return r.writeChain(name, []sign.KeyID{identity, e.ID})
}

func (r *Ring) writeChain(name string, chain []sign.KeyID) error {
	var b bytes.Buffer
	for _, id := range chain {
		b.WriteString(string(id) + "\n")
	}
	return durable.WriteFile(filepath.Join(r.dir, name+chainSuffix), b.Bytes(), 0o644)
}

// Named returns the name of the key with a did:key; fault.NotFound when it is not in
// the ring.
func (r *Ring) Named(id sign.KeyID) (string, error) {
	all, err := r.List()
	if err != nil {
		return "", err
	}
	for _, e := range all {
		if e.ID == id {
			return e.Name, nil
		}
	}
	return "", fault.New(fault.NotFound, "the key %s is not in this home", id)
}

// Free returns a name that no key has: NAME.WORD, or that with a number.
func (r *Ring) Free(name, word string) (string, error) {
	for n := 1; ; n++ {
		free := name + "." + word
		if n > 1 {
			free = fmt.Sprintf("%s%d", free, n)
		}
		if err := checkName(free); err != nil {
			return "", err
		}
		if _, err := r.find(free); errors.Is(err, fault.NotFound) {
			return free, nil
		} else if err != nil {
			return "", err
		}
	}
}

// A Rotation is one that was begun: the key that is to take another's place lies in
// the ring under a name of its own until the log has accepted it.
type Rotation struct {
	Identity sign.KeyID `json:"identity"`
	From     sign.KeyID `json:"from"`
	To       sign.KeyID `json:"to"`
	ToName   string     `json:"toName"`
	Locked   bool       `json:"locked,omitempty"`   // the new key's file is encrypted
	Next     string     `json:"next,omitempty"`     // digest of the key that is announced
	Registry string     `json:"registry,omitempty"` // "" for the home's own
}

// Begin writes down a rotation of the key; it is durable when Begin returns. Until
// Finish or Abandon, Rotation finds it.
func (r *Ring) Begin(name string, rot Rotation) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := checkName(r.oldName(name, 1000)); err != nil {
		return err
	}
	b, err := json.Marshal(rot)
	if err != nil {
		return fault.Mark(fault.Internal, err)
	}
	err = durable.CreateFile(filepath.Join(r.dir, name+rotationSuffix), append(b, '\n'), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Conflict, "a rotation of the key %q was begun already", name)
	}
	return err
}

// Rotation returns the rotation of the key that was begun and not finished; false
// for none.
func (r *Ring) Rotation(name string) (rot Rotation, ok bool, err error) {
	if err := checkName(name); err != nil {
		return rot, false, err
	}
	b, err := os.ReadFile(filepath.Join(r.dir, name+rotationSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return rot, false, nil
	}
	if err == nil {
		if err = json.Unmarshal(b, &rot); err != nil {
			err = fault.New(fault.Invalid, "%s%s: %w", name, rotationSuffix, err)
		}
	}
	return rot, err == nil, err
}

// Abandon forgets a rotation that was begun. Its key stays in the ring.
func (r *Ring) Abandon(name string) error { return r.remove(name + rotationSuffix) }

func (r *Ring) remove(file string) error {
	if err := os.Remove(filepath.Join(r.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d, err := os.Open(r.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// oldName is where the n-th key of a chain goes.
func (r *Ring) oldName(name string, n int) string { return fmt.Sprintf("%s.%d", name, n) }

// Finish puts the new key of the rotation that was begun under the old one's name,
// which keeps it as NAME.1, NAME.2 and so on, and returns the name where the old one
// is now. A Finish that was cut short is completed by the next:
//
//   - before the new file has the name: nothing has changed but copies;
//   - before the rotation is forgotten: the rest is done again.
func (r *Ring) Finish(name string) (old string, err error) {
	rot, ok, err := r.Rotation(name)
	if err != nil || !ok {
		return "", err
	}
	chain, err := r.Chain(name)
	if err != nil {
		return "", err
	}
	if chain == nil {
		chain = []sign.KeyID{rot.Identity}
		if rot.From != rot.Identity {
			chain = append(chain, rot.From)
		}
	}
	n := slices.Index(chain, rot.From) + 1
	if n == 0 {
		return "", fault.New(fault.Internal, "%s is not in the chain of the key %q", rot.From, name)
	}
	old = r.oldName(name, n)
	suffix, other := plainSuffix, lockedSuffix
	if rot.Locked {
		suffix, other = other, suffix
	}
	at := func(file string) string { return filepath.Join(r.dir, file) }
	if _, err := os.Lstat(at(rot.ToName + suffix)); err == nil {
		file, err := r.find(name)
		if err != nil {
			return "", err
		}
		kept := old + strings.TrimPrefix(filepath.Base(file), name)
		if err := os.Link(file, at(kept)); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if err := same(file, at(kept)); err != nil {
			return "", err
		}
		if err := durable.WriteFile(filepath.Join(r.dir, old+pubSuffix), []byte(rot.From+"\n"), 0o644); err != nil {
			return "", err
		}
		if err := r.writeChain(name, append(chain[:n:n], rot.To)); err != nil {
			return "", err
		}
		if err := os.Rename(at(rot.ToName+suffix), at(name+suffix)); err != nil {
			return "", err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := r.remove(name + other); err != nil {
		return "", err
	}
	if err := durable.WriteFile(filepath.Join(r.dir, name+pubSuffix), []byte(rot.To+"\n"), 0o644); err != nil {
		return "", err
	}
	if rot.Next == "" {
		err = r.remove(name + announcedSuffix)
	} else {
		err = durable.WriteFile(filepath.Join(r.dir, name+announcedSuffix), []byte(rot.Next+"\n"), 0o644)
	}
	if err != nil {
		return "", err
	}
	for _, file := range []string{rot.ToName + pubSuffix, rot.ToName + chainSuffix, name + rotationSuffix} {
		if err := r.remove(file); err != nil {
			return "", err
		}
	}
	return old, nil
}

// same reports fault.Conflict when two names are not one file, or equal.
func same(a, b string) error {
	x, err := readPrivate(a)
	if err != nil {
		return err
	}
	y, err := readPrivate(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return fault.New(fault.Conflict, "%s is another key's file", b)
	}
	return nil
}
