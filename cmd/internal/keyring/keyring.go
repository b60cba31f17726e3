// Package keyring keeps private keys on disk: one file a key, readable by its
// owner alone, as PKCS#8 PEM or the same encrypted with an age passphrase.
// Beside each lies NAME.pub with the key's did:key, so that keys can be listed
// without being decrypted, and NAME.chain when it took the place of another key.
package keyring

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Algorithm is the kind of a key.
type Algorithm string

// The algorithms that sign statements.
const (
	Ed25519 Algorithm = "ed25519"
	P256    Algorithm = "p256"
)

const (
	plainSuffix  = ".key"
	lockedSuffix = ".key.age"
	pubSuffix    = ".pub"

	maxFile = 16 << 10 // an encrypted P-256 key has under 1 KiB
	// scryptWork is age's own default: about a second to try one passphrase.
	scryptWork = 18
)

var nameGrammar = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// A Ring is a folder of keys. Its methods may be called from several
// processes: a key is created under its name once.
type Ring struct{ dir string }

// Open returns the ring of a home folder. The folder need not exist yet.
func Open(home string) *Ring { return &Ring{filepath.Join(home, "keys")} }

// An Entry is what a list of keys shows.
type Entry struct {
	Name string     `json:"name"`
	ID   sign.KeyID `json:"id"`
	// Identity is what the key signs for, when it took the place of another key:
	// the first one of the chain.
	Identity  sign.KeyID `json:"identity,omitempty"`
	Algorithm Algorithm  `json:"algorithm"`
	Encrypted bool       `json:"encrypted"`
}

func checkName(name string) error {
	if !nameGrammar.MatchString(name) {
		return fault.WithHint(fault.New(fault.Invalid, "%s is no key name", fault.Quote(name)),
			"1 to 64 characters: lower-case letters, digits, dot, underscore, hyphen; the first a letter or digit")
	}
	return nil
}

// Create makes a key and stores it durably. With a passphrase function the file
// is encrypted. A name that is taken is fault.Conflict; a bad name fault.Invalid.
func (r *Ring) Create(name string, alg Algorithm, passphrase func() ([]byte, error)) (Entry, error) {
	if err := checkName(name); err != nil {
		return Entry{}, err
	}
	if _, err := r.find(name); err == nil {
		return Entry{}, taken(name)
	} else if !errors.Is(err, fault.NotFound) {
		return Entry{}, err
	}
	priv, err := generate(alg)
	if err != nil {
		return Entry{}, err
	}
	s, err := newSigner(priv)
	if err != nil {
		return Entry{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return Entry{}, fault.Mark(fault.Internal, err)
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	suffix := plainSuffix
	if passphrase != nil {
		p, err := passphrase()
		if err != nil {
			return Entry{}, err
		}
		if b, err = encrypt(b, p); err != nil {
			return Entry{}, err
		}
		suffix = lockedSuffix
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return Entry{}, err
	}
	// The private half takes the name, and only its maker writes the public one.
	if err := durable.CreateFile(filepath.Join(r.dir, name+suffix), b, 0o600); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return Entry{}, taken(name)
		}
		return Entry{}, err
	}
	if err := durable.WriteFile(filepath.Join(r.dir, name+pubSuffix), []byte(s.ID()+"\n"), 0o644); err != nil {
		return Entry{}, err
	}
	return Entry{Name: name, ID: s.ID(), Algorithm: alg, Encrypted: passphrase != nil}, nil
}

func taken(name string) error {
	return fault.WithHint(fault.New(fault.Conflict, "there is a key named %q already", name), "cairn key list")
}

func generate(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case Ed25519:
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		return priv, err
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, fault.New(fault.Invalid, "%s is no kind of key: ed25519 or p256", fault.Quote(string(alg)))
}

// find returns the name of the file that holds a key: fault.NotFound when there
// is none.
func (r *Ring) find(name string) (string, error) {
	for _, suffix := range []string{plainSuffix, lockedSuffix} {
		file := filepath.Join(r.dir, name+suffix)
		if _, err := os.Lstat(file); err == nil {
			return file, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fault.WithHint(fault.New(fault.NotFound, "there is no key named %q", name), "\"cairn key list\" lists the keys")
}

// Load reads a key. passphrase is called only for an encrypted one; a wrong
// passphrase, or none to be had because passphrase is nil, is fault.Unauthenticated. A file that others may read is
// fault.Denied.
func (r *Ring) Load(name string, passphrase func() ([]byte, error)) (sign.Signer, error) {
	priv, err := r.private(name, passphrase)
	if err != nil {
		return nil, err
	}
	s, err := newSigner(priv)
	if err != nil {
		return nil, err
	}
	chain, err := r.Chain(name)
	if err != nil {
		return nil, err
	}
	if slices.Contains(chain, s.ID()) && chain[0] != s.ID() {
		return signer{s, chain[0]}, nil
	}
	return s, nil
}

// Private returns a key as PKCS#8 PEM, decrypted.
func (r *Ring) Private(name string, passphrase func() ([]byte, error)) ([]byte, error) {
	priv, err := r.private(name, passphrase)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Public returns the public half of a key as PKIX PEM, as other tools read it.
func (r *Ring) Public(name string, passphrase func() ([]byte, error)) ([]byte, error) {
	priv, err := r.private(name, passphrase)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(priv.Public())
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (r *Ring) private(name string, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	file, err := r.find(name)
	if err != nil {
		return nil, err
	}
	b, err := readPrivate(file)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(file, lockedSuffix) {
		if passphrase == nil {
			return nil, fault.New(fault.Unauthenticated, "the key %q is encrypted, and there is nobody to ask for its passphrase", name)
		}
		p, err := passphrase()
		if err != nil {
			return nil, err
		}
		if b, err = decrypt(b, p); err != nil {
			return nil, fmt.Errorf("the key %q: %w", name, err)
		}
	}
	return parsePrivate(name, b)
}

// OpenOwn opens a file that nobody else may be able to read, else fault.Denied;
// what says in an error what it is.
func OpenOwn(name, what string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fault.New(fault.Invalid, "%s is a folder, not the %s file", name, what)
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fault.WithHint(fault.New(fault.Denied, "others may read the %s file %s", what, name), "chmod 600 %s", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func readPrivate(file string) ([]byte, error) {
	f, err := OpenOwn(file, "key")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fault.New(fault.Invalid, "%s is larger than %d bytes: no key file", file, maxFile)
	}
	return b, err
}

func parsePrivate(name string, b []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fault.New(fault.Invalid, "the file of key %q is not a PKCS#8 private key in PEM", name)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the file of key %q is not a PKCS#8 private key in PEM", name)
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fault.New(fault.Invalid, "the key %q does not sign", name)
	}
	return s, nil
}

func newSigner(priv crypto.Signer) (sign.Signer, error) {
	switch k := priv.(type) {
	case ed25519.PrivateKey:
		return sign.NewEd25519(k), nil
	case *ecdsa.PrivateKey:
		return sign.NewP256(k)
	}
	return nil, fault.New(fault.Invalid, "a %T is neither an Ed25519 nor a P-256 key", priv)
}

// For returns the identity that the key signs for.
func (e Entry) For() sign.KeyID {
	if e.Identity != "" {
		return e.Identity
	}
	return e.ID
}

// List returns the keys of the ring by name. Nothing is decrypted.
func (r *Ring) List() ([]Entry, error) {
	names, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, e := range names {
		name, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".age"), plainSuffix)
		if !ok || checkName(name) != nil {
			continue
		}
		entry, err := r.Show(name)
		if err != nil {
			return nil, err
		}
		all = append(all, entry)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Show returns one key of the list.
func (r *Ring) Show(name string) (Entry, error) {
	if err := checkName(name); err != nil {
		return Entry{}, err
	}
	file, err := r.find(name)
	if err != nil {
		return Entry{}, err
	}
	locked := strings.HasSuffix(file, lockedSuffix)
	b, err := os.ReadFile(filepath.Join(r.dir, name+pubSuffix))
	if errors.Is(err, fs.ErrNotExist) && !locked {
		// The creation was cut short between the two files.
		s, err := r.Load(name, nil)
		if err != nil {
			return Entry{}, err
		}
		b = []byte(s.ID())
	} else if err != nil {
		return Entry{}, err
	}
	id, err := sign.ParseKeyID(strings.TrimSpace(string(b)))
	if err != nil {
		return Entry{}, fmt.Errorf("%s%s: %w", name, pubSuffix, err)
	}
	alg := Ed25519
	if strings.HasPrefix(string(id), "did:key:zDn") {
		alg = P256
	}
	e := Entry{Name: name, ID: id, Algorithm: alg, Encrypted: locked}
	chain, err := r.Chain(name)
	if slices.Contains(chain, id) && chain[0] != id {
		e.Identity = chain[0]
	}
	return e, err
}

func encrypt(b, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, fault.New(fault.Invalid, "the passphrase is empty")
	}
	rcpt, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	rcpt.SetWorkFactor(scryptWork)
	return armored(b, rcpt)
}

// armored encrypts b to a recipient, as text.
func armored(b []byte, to age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to)
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	_, err = w.Write(b)
	if err := errors.Join(err, w.Close(), a.Close()); err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	return out.Bytes(), nil
}

func decrypt(b, passphrase []byte) ([]byte, error) {
	id, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, "the passphrase is empty")
	}
	id.SetMaxWorkFactor(scryptWork + 2)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(b)), id)
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, "the passphrase is wrong, or the file is damaged")
	}
	return io.ReadAll(io.LimitReader(r, maxFile))
}
