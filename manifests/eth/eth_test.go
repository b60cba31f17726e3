package eth_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func text(h eth.Hash) string { return "0x" + hex.EncodeToString(h[:]) }

func TestKeccakVectors(t *testing.T) {
	var v struct {
		Empty string `json:"keccak256_empty"`
		ABC   string `json:"keccak256_abc"`
	}
	readJSON(t, "misc.json", &v)
	if got := text(eth.Keccak256()); got != v.Empty {
		t.Errorf("Keccak256() = %s, want %s", got, v.Empty)
	}
	if got := text(eth.Keccak256([]byte("a"), nil, []byte("bc"))); got != v.ABC {
		t.Errorf("Keccak256(a, , bc) = %s, want %s", got, v.ABC)
	}
	var k eth.Hasher
	k.Sum([]byte("something before"))
	if got := text(k.Sum([]byte("abc"))); got != v.ABC {
		t.Errorf("a used Hasher gives %s, want %s", got, v.ABC)
	}
}

func TestAddressVectors(t *testing.T) {
	var v struct {
		EIP55 []struct{ Lower, Checksummed string }
	}
	readJSON(t, "misc.json", &v)
	if len(v.EIP55) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.EIP55 {
		for _, s := range []string{c.Lower, c.Checksummed, "0x" + strings.ToUpper(c.Lower[2:])} {
			a, err := eth.ParseAddress(s)
			if err != nil {
				t.Errorf("ParseAddress(%s): %v", s, err)
				continue
			}
			if a.String() != c.Checksummed || a.Lower() != c.Lower {
				t.Errorf("%s is printed %s and %s, want %s and %s", s, a, a.Lower(), c.Checksummed, c.Lower)
			}
		}
		// Every single change of case is found, in an address with both cases.
		for i := 2; i < len(c.Checksummed); i++ {
			b := []byte(c.Checksummed)
			if b[i] < 'A' {
				continue
			}
			b[i] ^= 0x20
			if _, err := eth.ParseAddress(string(b)); !errors.Is(err, fault.Invalid) {
				t.Errorf("ParseAddress(%s) = %v, want invalid", b, err)
			}
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, s := range []string{
		"", "0x", "b29c73d6d2909f75a5d3c7ff75557e4aa1d4065e", "0Xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e",
		"0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065", "0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e0",
		"0xg29c73d6d2909f75a5d3c7ff75557e4aa1d4065e", " 0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065",
	} {
		if _, err := eth.ParseAddress(s); !errors.Is(err, fault.Invalid) {
			t.Errorf("ParseAddress(%q) = %v, want invalid", s, err)
		}
	}
}

func anyAddress(t *rapid.T) eth.Address {
	return eth.Address(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "address"))
}

func TestDIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := eth.Account{ChainID: rapid.Uint64Min(1).Draw(t, "chain"), Address: anyAddress(t)}
		if got, err := eth.ParseDID(a.String()); err != nil || got != a {
			t.Fatalf("ParseDID(%s) = %v, %v", a, got, err)
		}
		// The checksummed form names the same account, and is stored lower-case.
		mixed := "did:pkh:eip155:" + strconv.FormatUint(a.ChainID, 10) + ":" + a.Address.String()
		got, err := eth.ParseDID(mixed)
		if err != nil || got != a || got.String() != strings.ToLower(mixed) {
			t.Fatalf("ParseDID(%s) = %v, %v", mixed, got, err)
		}
	})
}

func TestParseDIDRefuses(t *testing.T) {
	const address = "0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e"
	for _, s := range []string{
		"", address, "did:pkh:eip155:1", "did:pkh:eip155::" + address, "did:pkh:eip155:0:" + address,
		"did:pkh:eip155:01:" + address, "did:pkh:eip155:+1:" + address, "did:pkh:eip155:18446744073709551616:" + address,
		"did:pkh:solana:1:" + address, "did:pkh:eip155:1:" + address + ":", "DID:pkh:eip155:1:" + address,
		"did:pkh:eip155:1:0xB29c73d6d2909f75a5d3c7ff75557e4aa1d4065e", // wrong checksum
	} {
		if a, err := eth.ParseDID(s); !errors.Is(err, fault.Invalid) {
			t.Errorf("ParseDID(%q) = %v, %v, want invalid", s, a, err)
		}
	}
}

type walletVectors struct {
	Address string
	EIP191  struct{ Message, Digest, Signature string }
	EIP712  struct {
		Domain struct{ ChainID uint64 }
		Value  struct {
			Agreement, Party, EffectivePeriod string
			Weight, Total                     uint64 `json:",string"`
		}
		DomainSeparator string `json:"domain_separator"`
		StructHash      string `json:"struct_hash"`
		Digest          string
		Signature       string
	}
}

func vectors(t testing.TB) (v walletVectors, c eth.Consent) {
	readJSON(t, "wallet-signatures.json", &v)
	party, err := eth.ParseAddress(v.EIP712.Value.Party)
	if err != nil {
		t.Fatal(err)
	}
	return v, eth.Consent{
		Agreement:       eth.Hash(unhex(t, v.EIP712.Value.Agreement)),
		Party:           eth.Account{ChainID: v.EIP712.Domain.ChainID, Address: party},
		Weight:          v.EIP712.Value.Weight,
		Total:           v.EIP712.Value.Total,
		EffectivePeriod: v.EIP712.Value.EffectivePeriod,
	}
}

func TestWalletVectors(t *testing.T) {
	v, c := vectors(t)
	digest := eth.TextDigest([]byte(v.EIP191.Message))
	if text(digest) != v.EIP191.Digest {
		t.Errorf("TextDigest = %s, want %s", text(digest), v.EIP191.Digest)
	}
	if a, err := eth.Recover(digest, unhex(t, v.EIP191.Signature)); err != nil || a.String() != v.Address {
		t.Errorf("the text was signed by %s, %v, want %s", a, err, v.Address)
	}
	if got := text(eth.DomainSeparator(c.Party.ChainID)); got != v.EIP712.DomainSeparator {
		t.Errorf("the domain separator is %s, want %s", got, v.EIP712.DomainSeparator)
	}
	if got := text(eth.StructHash(c)); got != v.EIP712.StructHash {
		t.Errorf("the struct hash is %s, want %s", got, v.EIP712.StructHash)
	}
	if got := text(c.Digest()); got != v.EIP712.Digest {
		t.Errorf("the digest is %s, want %s", got, v.EIP712.Digest)
	}
	if err := eth.VerifyConsent(c, unhex(t, v.EIP712.Signature)); err != nil {
		t.Error(err)
	}
}

func TestEveryMemberOfAConsentIsSigned(t *testing.T) {
	v, c := vectors(t)
	sig := unhex(t, v.EIP712.Signature)
	for name, change := range map[string]func(*eth.Consent){
		"agreement": func(c *eth.Consent) { c.Agreement[31] ^= 1 },
		"party":     func(c *eth.Consent) { c.Party.Address[0] ^= 1 },
		"chain":     func(c *eth.Consent) { c.Party.ChainID++ },
		"weight":    func(c *eth.Consent) { c.Weight++ },
		"total":     func(c *eth.Consent) { c.Total++ },
		"period":    func(c *eth.Consent) { c.EffectivePeriod = "2026-12" },
	} {
		c := c
		change(&c)
		if err := eth.VerifyConsent(c, sig); !errors.Is(err, fault.Unverified) {
			t.Errorf("with another %s: %v, want unverified", name, err)
		}
	}
	for bit := range 8 * len(sig) {
		bad := append([]byte(nil), sig...)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := eth.VerifyConsent(c, bad); !errors.Is(err, fault.Unverified) {
			t.Errorf("with bit %d of the signature changed: %v, want unverified", bit, err)
		}
	}
}

// sign makes a wallet's signature.
func sign(key *secp256k1.PrivateKey, digest eth.Hash) []byte {
	compact := ecdsa.SignCompact(key, digest[:], false)
	return append(compact[1:], compact[0])
}

func address(key *secp256k1.PrivateKey) eth.Address {
	sum := eth.Keccak256(key.PubKey().SerializeUncompressed()[1:])
	return eth.Address(sum[12:])
}

func TestRecoverRefusesTheOtherSignature(t *testing.T) {
	// From a signature (r, s, v) anybody can make (r, n-s, 55-v), which holds
	// by the mathematics for the same key and digest.
	v, c := vectors(t)
	sig := unhex(t, v.EIP712.Signature)
	var s secp256k1.ModNScalar
	s.SetByteSlice(sig[32:64])
	s.Negate()
	b := s.Bytes()
	other := append(append(append([]byte(nil), sig[:32]...), b[:]...), 55-sig[64])
	if err := eth.VerifyConsent(c, other); !errors.Is(err, fault.Unverified) || !strings.Contains(err.Error(), "upper half") {
		t.Errorf("the malleated signature: %v", err)
	}
}

func TestRecoverRefusesForms(t *testing.T) {
	v, c := vectors(t)
	sig := unhex(t, v.EIP712.Signature)
	with := func(v byte) []byte { return append(append([]byte(nil), sig[:64]...), v) }
	for name, bad := range map[string][]byte{
		"nothing": nil, "64 bytes": sig[:64], "66 bytes": append(with(27), 0),
		"v 0": with(0), "v 1": with(1), "v 29": with(29), "v 31": with(31), "v of EIP-155": with(37),
		"zero": append(make([]byte, 64), 27), "v first": append([]byte{sig[64]}, sig[:64]...),
	} {
		if _, err := eth.Recover(c.Digest(), bad); !errors.Is(err, fault.Unverified) {
			t.Errorf("%s: %v, want unverified", name, err)
		}
	}
}

func TestSignatureRecoversItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 31, 31).Draw(t, "key")
		key := secp256k1.PrivKeyFromBytes(append(seed, 1))
		c := eth.Consent{
			Agreement:       eth.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "agreement")),
			Party:           eth.Account{ChainID: rapid.Uint64Min(1).Draw(t, "chain"), Address: address(key)},
			Weight:          rapid.Uint64().Draw(t, "weight"),
			Total:           rapid.Uint64().Draw(t, "total"),
			EffectivePeriod: rapid.String().Draw(t, "period"),
		}
		if err := eth.VerifyConsent(c, sign(key, c.Digest())); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	f.Add("0xb29C73D6D2909f75a5d3c7FF75557e4aA1d4065e")
	f.Add("0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e")
	f.Add("0xB29C73D6D2909F75A5D3C7FF75557E4AA1D4065E")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := eth.ParseAddress(s)
		if err != nil {
			if !errors.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v has no code", s, err)
			}
			return
		}
		if !strings.EqualFold(a.String(), s) {
			t.Fatalf("%q was read as %s", s, a)
		}
		if again, err := eth.ParseAddress(a.String()); err != nil || again != a {
			t.Fatalf("%s does not read back: %v", a, err)
		}
		// What has both cases was held to the checksum.
		if d := s[2:]; d != strings.ToLower(d) && d != strings.ToUpper(d) && s != a.String() {
			t.Fatalf("%q was accepted, its checksum is %s", s, a)
		}
	})
}

func FuzzParseDID(f *testing.F) {
	f.Add("did:pkh:eip155:1:0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e")
	f.Add("did:pkh:eip155:8453:0xb29C73D6D2909f75a5d3c7FF75557e4aA1d4065e")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := eth.ParseDID(s)
		if err != nil {
			return // refusing is always right
		}
		if !strings.EqualFold(a.String(), s) {
			t.Fatalf("%q was read as %s", s, a)
		}
	})
}

func FuzzRecover(f *testing.F) {
	v, c := vectors(f)
	d := c.Digest()
	f.Add(d[:], unhex(f, v.EIP712.Signature))
	f.Fuzz(func(t *testing.T, digest, sig []byte) {
		if len(digest) != 32 {
			return
		}
		a, err := eth.Recover(eth.Hash(digest), sig)
		if err != nil {
			if !errors.Is(err, fault.Unverified) {
				t.Fatalf("%v has no code", err)
			}
			return
		}
		// The library that checks with a known key agrees.
		var r, s secp256k1.ModNScalar
		r.SetByteSlice(sig[:32])
		s.SetByteSlice(sig[32:64])
		key, _, err := ecdsa.RecoverCompact(append([]byte{sig[64]}, sig[:64]...), digest)
		if err != nil || !ecdsa.NewSignature(&r, &s).Verify(digest, key) {
			t.Fatalf("recovered %s from a signature that does not hold: %v", a, err)
		}
	})
}
