// Package sign names keys as did:key, and seals and opens DSSE envelopes. It
// knows two algorithms: Ed25519, which suits a command line, and ECDSA P-256
// with SHA-256, which suits hardware tokens and key services. The algorithm is
// a property of the key, never of the envelope.
//
// The package reads no files; where private keys lie is the caller's affair.
package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/mr-tron/base58"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A KeyID names a public key as a did:key: did:key:z6Mk… for Ed25519,
// did:key:zDn… for P-256. The key follows from its ID; nothing is looked up.
type KeyID string

const (
	didPrefix = "did:key:z" // z: base58btc, the only multibase that did:key uses here
	maxKeyID  = 128         // bytes; an Ed25519 ID has 56, a P-256 ID 57
)

// Multicodec prefixes, as unsigned varints.
var (
	ed25519Codec = []byte{0xed, 0x01}
	p256Codec    = []byte{0x80, 0x24}
)

// A PublicKey checks signatures.
type PublicKey interface {
	// ID returns the key's did:key.
	ID() KeyID
	// Verify returns nil when sig is this key's signature over msg, else an
	// error marked fault.Unverified.
	Verify(msg, sig []byte) error
}

// A Signer makes signatures with a private key.
type Signer interface {
	ID() KeyID
	// Sign returns a signature over msg: 64 bytes for Ed25519, ASN.1 DER for P-256.
	Sign(msg []byte) ([]byte, error)
}

// ParseKeyID reads a did:key. There is one text for a key; any other is
// fault.Invalid.
func ParseKeyID(s string) (KeyID, error) {
	id := KeyID(s)
	if _, err := id.PublicKey(); err != nil {
		return "", err
	}
	return id, nil
}

// PublicKey decodes the key. It returns fault.Invalid for a text that is no
// did:key of a known algorithm, or not the canonical one.
func (id KeyID) PublicKey() (PublicKey, error) {
	s := string(id)
	enc, ok := strings.CutPrefix(s, didPrefix)
	if !ok || len(s) > maxKeyID {
		return nil, fault.New(fault.Invalid, "%s is no did:key", fault.Quote(s))
	}
	b, err := base58.Decode(enc)
	if err != nil || len(b) < 2 {
		return nil, fault.New(fault.Invalid, "%s is no did:key", fault.Quote(s))
	}
	var key PublicKey
	switch codec, body := b[:2], b[2:]; {
	case string(codec) == string(ed25519Codec) && len(body) == ed25519.PublicKeySize:
		key = ed25519Key(body)
	case string(codec) == string(p256Codec) && len(body) == 33:
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), body)
		if x == nil {
			return nil, fault.New(fault.Invalid, "%s is no point of P-256", fault.Quote(s))
		}
		point := append([]byte{4}, x.FillBytes(make([]byte, 32))...)
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(point, y.FillBytes(make([]byte, 32))...))
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s is no point of P-256", fault.Quote(s))
		}
		key = p256Key{pub}
	default:
		return nil, fault.New(fault.Invalid, "%s is neither an Ed25519 nor a P-256 key", fault.Quote(s))
	}
	if key.ID() != id {
		return nil, fault.New(fault.Invalid, "%s is not the usual text of %s", fault.Quote(s), key.ID())
	}
	return key, nil
}

// Ed25519 returns the key's 32 bytes; false for a key of another algorithm, and
// for what is no key.
func (id KeyID) Ed25519() (ed25519.PublicKey, bool) {
	k, err := id.PublicKey()
	if err != nil {
		return nil, false
	}
	e, ok := k.(ed25519Key)
	return ed25519.PublicKey(e), ok
}

func did(codec, body []byte) KeyID {
	return KeyID(didPrefix + base58.Encode(append(append(make([]byte, 0, 2+len(body)), codec...), body...)))
}

type ed25519Key ed25519.PublicKey

func (k ed25519Key) ID() KeyID { return did(ed25519Codec, k) }

func (k ed25519Key) Verify(msg, sig []byte) error {
	if len(sig) != ed25519.SignatureSize || !ed25519.Verify(ed25519.PublicKey(k), msg, sig) {
		return fault.New(fault.Unverified, "the signature of %s does not hold", k.ID())
	}
	return nil
}

type p256Key struct{ pub *ecdsa.PublicKey }

func (k p256Key) ID() KeyID {
	// SEC 1: the uncompressed form is 4, X, Y; the compressed one has Y's parity and X.
	b, err := k.pub.Bytes()
	if err != nil || len(b) != 65 {
		return "" // not a key that came through this package
	}
	return did(p256Codec, append([]byte{2 + b[64]&1}, b[1:33]...))
}

func (k p256Key) Verify(msg, sig []byte) error {
	sum := sha256.Sum256(msg)
	if !ecdsa.VerifyASN1(k.pub, sum[:], sig) {
		return fault.New(fault.Unverified, "the signature of %s does not hold", k.ID())
	}
	return nil
}

// PublicKeyOf returns the public key of cairn's kinds behind pub.
func PublicKeyOf(pub crypto.PublicKey) (PublicKey, error) {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return ed25519Key(pub), nil
	case *ecdsa.PublicKey:
		if pub.Curve == elliptic.P256() {
			return p256Key{pub}, nil
		}
	}
	return nil, fault.New(fault.Invalid, "a %T is neither an Ed25519 nor a P-256 key", pub)
}

type ed25519Signer struct{ priv ed25519.PrivateKey }

// NewEd25519 returns a signer for an Ed25519 key.
func NewEd25519(priv ed25519.PrivateKey) Signer { return ed25519Signer{priv} }

func (s ed25519Signer) ID() KeyID { return ed25519Key(s.priv.Public().(ed25519.PublicKey)).ID() }

func (s ed25519Signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.priv, msg), nil }

type p256Signer struct{ priv *ecdsa.PrivateKey }

// NewP256 returns a signer for an ECDSA key on P-256. A key on another curve is
// fault.Invalid.
func NewP256(priv *ecdsa.PrivateKey) (Signer, error) {
	if priv.Curve != elliptic.P256() {
		return nil, fault.New(fault.Invalid, "the ECDSA key is not on P-256")
	}
	return p256Signer{priv}, nil
}

func (s p256Signer) ID() KeyID { return p256Key{&s.priv.PublicKey}.ID() }

func (s p256Signer) Sign(msg []byte) ([]byte, error) {
	sum := sha256.Sum256(msg)
	return ecdsa.SignASN1(rand.Reader, s.priv, sum[:])
}
