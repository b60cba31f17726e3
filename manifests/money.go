package manifests

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// amountLimit bounds the magnitude of an amount in a record, in minor or fine
// units: two of them can be added in 128 bits.
var amountLimit = new(big.Int).Lsh(big.NewInt(1), 127)

// maxAmountText is the length of 2^127 in decimal, with a sign.
const maxAmountText = 40

const (
	// maxKeyText bounds the key by which a payment provider knows a payment.
	maxKeyText = 128
	// maxRail bounds the name of a way of paying.
	maxRail = 64
)

// parseAmount reads an amount: a decimal string below 2^127, without leading zeros.
func parseAmount(s string) (*big.Int, string) {
	if !field.Number(s) {
		return nil, "must be a whole number in decimal digits, as a string without leading zeros"
	}
	if len(s) > maxAmountText {
		return nil, "must be less than 2^127"
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.Cmp(amountLimit) >= 0 {
		return nil, "must be less than 2^127"
	}
	return n, ""
}

func checkAmount(s string) string {
	_, msg := parseAmount(s)
	return msg
}

func checkPositiveAmount(s string) string {
	n, msg := parseAmount(s)
	if msg == "" && n.Sign() == 0 {
		msg = "must be greater than 0"
	}
	return msg
}

// checkSignedAmount is checkAmount for one that may be below zero; "-0" is none.
func checkSignedAmount(s string) string {
	digits, negative := strings.CutPrefix(s, "-")
	if negative && digits == "0" {
		return "must not be a negative zero"
	}
	return checkAmount(digits)
}

// checkPaymentKey checks a key of idempotence, like stripe:in_123.
func checkPaymentKey(s string) string {
	if len(s) < 1 || len(s) > maxKeyText || !field.Only(s, "._:/+-") || !field.Only(s[:1], "") {
		return fmt.Sprintf("must be 1 to %d of a-z A-Z 0-9 . _ : / + -, beginning with a letter or digit", maxKeyText)
	}
	return ""
}

func checkCurrencyCode(s string) string {
	if !isISO4217(s) && !isCAIP19(s) {
		return "must be three capital letters (ISO 4217) or a CAIP-19 asset"
	}
	return ""
}

// checkRail checks the name of a way of paying, like pain.001 or oz-merkle.
func checkRail(s string) string {
	if len(s) < 1 || len(s) > maxRail || strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) }) || !alnum(s[0]) {
		return fmt.Sprintf("must be 1 to %d of a-z 0-9 . _ -, beginning with a letter or digit", maxRail)
	}
	return ""
}

// checkWork checks the name of a work: "wk:" and the statement of its first version.
func checkWork(s string) string {
	if !workCID(s).Defined() {
		return "must be wk: and the CID of a statement"
	}
	return ""
}

// workCID returns the statement in the name of a work, undefined when it has none.
func workCID(s string) cjson.CID {
	text, ok := strings.CutPrefix(s, WorkPrefix)
	if !ok {
		return cjson.CID{}
	}
	c, err := cjson.ParseCID(text)
	if err != nil || field.StatementCID(cjson.CID{Cid: c}) != "" {
		return cjson.CID{}
	}
	return cjson.CID{Cid: c}
}

// WorkPrefix comes before the statement CID of the first version in the name of
// a work.
const WorkPrefix = "wk:"

// statementSubject is the subject of a kind that is about a statement.
func statementSubject(c cjson.CID) Subject {
	return Subject{Name: c.String(), Digest: map[string]string{"sha256": digestHex(c.Cid)}}
}

// dataSubject is the subject of a kind that is about data.
func dataSubject(name string, c cid.Cid) Subject {
	return Subject{Name: name, URI: ipfsScheme + cjson.V1(c).String(), Digest: map[string]string{"sha256": digestHex(c)}}
}

// validateStatements checks a list of statements: sorted by their text, each once.
func validateStatements(p *field.Problems, path string, list []cjson.CID, limit int) {
	for i := range p.List(path, len(list), limit) {
		p.Add(field.StatementCID(list[i]), "%s[%d]", path, i)
		if i > 0 && list[i-1].String() >= list[i].String() {
			p.Add("the list must be sorted and without repetitions", "%s[%d]", path, i)
		}
	}
}
