package eth

import (
	"encoding/binary"
	"strconv"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// TextDigest returns the digest that a wallet signs when it is asked to sign a
// text (personal_sign, EIP-191 version 0x45).
func TextDigest(msg []byte) Hash {
	return Keccak256([]byte("\x19Ethereum Signed Message:\n"+strconv.Itoa(len(msg))), msg)
}

// TypedDigest returns the digest that a wallet signs when it is asked to sign
// structured data (EIP-712), from the hashes of the domain and of the message.
func TypedDigest(domain, message Hash) Hash {
	return Keccak256([]byte{0x19, 0x01}, domain[:], message[:])
}

// SignatureLen is the length of a wallet's signature: r, s and v.
const SignatureLen = 65

// Recover returns the address whose key made sig over digest. sig is r‖s‖v as
// wallets return it: 65 bytes, v 27 or 28, s in the lower half of the order
// (EIP-2), so that nobody can make a second signature out of a first. Anything
// else is fault.Unverified. A signature over another digest recovers, too, to
// some address: the caller must compare.
func Recover(digest Hash, sig []byte) (Address, error) {
	if len(sig) != SignatureLen {
		return Address{}, fault.New(fault.Unverified, "a wallet's signature has %d bytes, this one %d", SignatureLen, len(sig))
	}
	v := sig[64]
	if v != 27 && v != 28 {
		return Address{}, fault.New(fault.Unverified, "the signature's v is 27 or 28, not %d", v)
	}
	var s secp256k1.ModNScalar
	if overflow := s.SetByteSlice(sig[32:64]); overflow || s.IsOverHalfOrder() {
		return Address{}, fault.New(fault.Unverified, "the signature's s is in the upper half of the order")
	}
	// The library wants v first.
	var compact [SignatureLen]byte
	compact[0] = v
	copy(compact[1:], sig[:64])
	key, _, err := ecdsa.RecoverCompact(compact[:], digest[:])
	if err != nil {
		return Address{}, fault.New(fault.Unverified, "the signature is none: %w", err)
	}
	// The address is made of x‖y, without the 0x04 before them.
	sum := Keccak256(key.SerializeUncompressed()[1:])
	return Address(sum[12:]), nil
}

// The type strings of EIP-712 that a consent is hashed under.
const (
	domainType  = "EIP712Domain(string name,string version,uint256 chainId)"
	consentType = "ShareConsent(bytes32 agreement,address party,uint256 weight,uint256 total,string effectivePeriod)"

	domainName    = "cairn"
	domainVersion = "1"
)

// A Consent says that a wallet agrees to hold Weight of Total shares from
// EffectivePeriod on, under the agreement whose statement has the digest
// Agreement.
type Consent struct {
	Agreement       Hash // SHA-256 of the agreement's payload: the digest in its CID
	Party           Account
	Weight, Total   uint64
	EffectivePeriod string // YYYY-MM
}

// Digest returns the EIP-712 digest of c under the domain {name: "cairn",
// version: "1", chainId: c.Party.ChainID}. It hashes what it is given and
// checks nothing.
func (c Consent) Digest() Hash {
	return TypedDigest(domainSeparator(c.Party.ChainID), c.structHash())
}

func domainSeparator(chainID uint64) Hash {
	typ, name, version := Keccak256([]byte(domainType)), Keccak256([]byte(domainName)), Keccak256([]byte(domainVersion))
	chain := word(chainID)
	return Keccak256(typ[:], name[:], version[:], chain[:])
}

func (c Consent) structHash() Hash {
	typ, period := Keccak256([]byte(consentType)), Keccak256([]byte(c.EffectivePeriod))
	var party Hash
	copy(party[12:], c.Party.Address[:])
	weight, total := word(c.Weight), word(c.Total)
	return Keccak256(typ[:], c.Agreement[:], party[:], weight[:], total[:], period[:])
}

// word is n as the uint256 of an ABI.
func word(n uint64) (w Hash) {
	binary.BigEndian.PutUint64(w[24:], n)
	return w
}

// VerifyConsent checks that sig is c.Party's signature of c. The error is
// fault.Unverified when it is not. That c says what the agreement says is for
// the caller, who made c from it.
func VerifyConsent(c Consent, sig []byte) error {
	signer, err := Recover(c.Digest(), sig)
	if err != nil {
		return err
	}
	if signer != c.Party.Address {
		return fault.New(fault.Unverified, "the consent of %s is signed by another wallet, or says something else", c.Party)
	}
	return nil
}
