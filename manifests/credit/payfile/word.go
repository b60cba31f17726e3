package payfile

import (
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"math/bits"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/eth"
)

// A word is a uint256 of the ABI: 32 bytes, big-endian.
type word [32]byte

func smallWord(n uint64) (w word) {
	binary.BigEndian.PutUint64(w[24:], n)
	return w
}

func addressWord(a eth.Address) (w word) {
	copy(w[12:], a[:])
	return w
}

// amountWord is a, which is not negative.
func amountWord(a credit.Amount) (w word) {
	var hi, lo uint64
	var buf [40]byte
	for _, c := range a.Append(buf[:0]) {
		var carry uint64
		high, low := bits.Mul64(lo, 10)
		lo, carry = bits.Add64(low, uint64(c-'0'), 0)
		hi = hi*10 + high + carry
	}
	binary.BigEndian.PutUint64(w[16:24], hi)
	binary.BigEndian.PutUint64(w[24:], lo)
	return w
}

// maxWordDigits is the number of decimal digits of 2^256-1.
const maxWordDigits = 78

// parseWord reads a decimal uint256 without leading zeros.
func parseWord(s string) (w word, ok bool) {
	if len(s) == 0 || len(s) > maxWordDigits || len(s) > 1 && s[0] == '0' {
		return w, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return w, false
		}
	}
	n, _ := new(big.Int).SetString(s, 10)
	if n.BitLen() > 256 {
		return w, false
	}
	n.FillBytes(w[:])
	return w, true
}

// appendQuantity appends w as 0x and hex digits, an even number of them and at
// least two: the form of the Uniswap file.
func (w word) appendQuantity(b []byte) []byte {
	at := 0
	for at < len(w)-1 && w[at] == 0 {
		at++
	}
	return hex.AppendEncode(append(b, "0x"...), w[at:])
}

func appendHash(b []byte, h eth.Hash) []byte {
	return hex.AppendEncode(append(b, "0x"...), h[:])
}
