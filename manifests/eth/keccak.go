package eth

import (
	"hash"

	"golang.org/x/crypto/sha3"
)

// A Hash is a Keccak-256 digest.
type Hash [32]byte

// Keccak256 returns the Keccak-256 digest of the parts, one after the other. It
// is the function of Ethereum, with the padding from before SHA-3 was
// standardised: not SHA3-256.
func Keccak256(parts ...[]byte) Hash {
	var k Hasher
	return k.Sum(parts...)
}

// A Hasher makes many digests without an allocation for each. The zero value is
// ready. It must not be used by two goroutines at once.
type Hasher struct {
	h   hash.Hash
	in  []byte // gathered, so that the parts need not outlive the call
	sum Hash
}

// Sum returns the Keccak-256 digest of the parts, one after the other.
func (k *Hasher) Sum(parts ...[]byte) Hash {
	if k.h == nil {
		k.h = sha3.NewLegacyKeccak256()
	}
	k.in = k.in[:0]
	for _, p := range parts {
		k.in = append(k.in, p...)
	}
	k.h.Reset()
	k.h.Write(k.in)
	k.h.Sum(k.sum[:0])
	return k.sum
}
