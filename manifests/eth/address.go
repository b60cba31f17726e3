package eth

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// An Address is the address of an account: the last 20 bytes of the Keccak-256
// of its public key, or of what made its contract.
type Address [20]byte

// addressLen is the length of an address as text: "0x" and 40 hex digits.
const addressLen = 2 + 2*len(Address{})

// ParseAddress reads "0x" and 40 hex digits. Where lower and upper case letters
// are mixed, the case is the checksum of EIP-55 and must be right; all lower
// and all upper carry no checksum and are accepted. Errors are fault.Invalid.
func ParseAddress(s string) (Address, error) {
	var a Address
	if len(s) != addressLen || s[:2] != "0x" {
		return Address{}, notAddress()
	}
	lower, upper := false, false
	for i, c := range []byte(s[2:]) {
		var digit byte
		switch {
		case '0' <= c && c <= '9':
			digit = c - '0'
		case 'a' <= c && c <= 'f':
			digit, lower = c-'a'+10, true
		case 'A' <= c && c <= 'F':
			digit, upper = c-'A'+10, true
		default:
			return Address{}, notAddress()
		}
		a[i/2] = a[i/2]<<4 | digit
	}
	if lower && upper && a.String() != s {
		return Address{}, fault.New(fault.Invalid, "the checksum of address %s is wrong: a digit or the case of a letter was changed", s)
	}
	return a, nil
}

func notAddress() error {
	return fault.New(fault.Invalid, "an address is 0x and %d hex digits", addressLen-2)
}

// String returns the address with the checksum of EIP-55 in the case of its
// letters: letter i is upper case where hex digit i of the Keccak-256 of the
// lower-case digits, as text and without "0x", is 8 or more.
func (a Address) String() string {
	var k Hasher
	return string(a.AppendChecksummed(make([]byte, 0, addressLen), &k))
}

// AppendChecksummed appends [Address.String] to b, and uses k for the hash: for
// those who write many.
func (a Address) AppendChecksummed(b []byte, k *Hasher) []byte {
	b = append(b, "0x"...)
	at := len(b)
	b = hex.AppendEncode(b, a[:])
	digits := b[at:]
	sum := k.Sum(digits)
	for i, c := range digits {
		nibble := sum[i/2] >> 4
		if i%2 == 1 {
			nibble = sum[i/2] & 0xf
		}
		if c >= 'a' && nibble >= 8 {
			digits[i] = c - 'a' + 'A'
		}
	}
	return b
}

// Lower returns the address in lower case, as cairn stores it.
func (a Address) Lower() string { return "0x" + hex.EncodeToString(a[:]) }

// An Account is a wallet on one chain. As an identity its text is the did:pkh
// of CAIP-10: did:pkh:eip155:<chain>:<address>.
type Account struct {
	ChainID uint64 // EIP-155, at least 1
	Address Address
}

// didPrefix is what the name of every account starts with.
const didPrefix = "did:pkh:eip155:"

// ParseDID reads a did:pkh of the eip155 namespace. A mixed-case address is
// held to its checksum, as in [ParseAddress]. The stored form is
// [Account.String]; whoever reads signed bytes compares with it, because
// another case is another text. Errors are fault.Invalid.
func ParseDID(s string) (Account, error) {
	rest, ok := strings.CutPrefix(s, didPrefix)
	chain, address, found := strings.Cut(rest, ":")
	if !ok || !found {
		return Account{}, fault.New(fault.Invalid, "a wallet is named %s<chain>:<address>", didPrefix)
	}
	id, err := strconv.ParseUint(chain, 10, 64)
	if err != nil || id == 0 || strconv.FormatUint(id, 10) != chain {
		return Account{}, fault.New(fault.Invalid, "the chain of a wallet is a whole number from 1 to 2^64-1 without leading zeros")
	}
	a, err := ParseAddress(address)
	if err != nil {
		return Account{}, err
	}
	return Account{ChainID: id, Address: a}, nil
}

// String returns the account's did:pkh with the address in lower case: the form
// that is stored, signed and compared.
func (a Account) String() string {
	return didPrefix + strconv.FormatUint(a.ChainID, 10) + ":" + a.Address.Lower()
}
