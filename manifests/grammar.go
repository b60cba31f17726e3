package manifests

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// The checkers of this file return what is wrong, "" for nothing. All of them
// decide by bytes alone.

const (
	// weightLimit bounds a weight and every sum of weights, so that a sum of
	// two fits 64 bits and an amount of 127 bits times a weight fits 192.
	weightLimit = 1 << 63

	maxOrigin    = 255
	maxLicense   = 1024 // of an SPDX expression; the longest in use have 200
	maxMediaType = 127  // RFC 6838 gives each half 127; real ones stay far below
	maxVKey      = 4096 // a post-quantum key has about 2,600
)

// message is the text of an error of the Valid functions, "" for nil.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// ValidOrigin returns nil for the origin of a log: 1 to 255 of a-z A-Z 0-9 and
// . _ ~ : / -, the first a letter or digit. Otherwise the error is
// [fault.Invalid].
func ValidOrigin(s string) error {
	if msg := checkOrigin(s); msg != "" {
		return fault.New(fault.Invalid, "the origin %s %s", fault.Quote(s), msg)
	}
	return nil
}

func checkOrigin(s string) string {
	if len(s) < 1 || len(s) > maxOrigin || !field.Only(s, "._~:/-") || !field.Only(s[:1], "") {
		return "must be 1 to 255 of a-z A-Z 0-9 . _ ~ : / -, beginning with a letter or digit"
	}
	return ""
}

func checkNonce(s string) string {
	if b, err := base64.RawURLEncoding.Strict().DecodeString(s); err != nil || len(b) != 16 || len(s) != 22 {
		return "must be 16 bytes in base64url without padding (22 characters)"
	}
	return ""
}

func checkHash(s string) string {
	if b, err := base64.StdEncoding.Strict().DecodeString(s); err != nil || len(b) != 32 || len(s) != 44 {
		return "must be 32 bytes in standard base64 (44 characters)"
	}
	return ""
}

// parseWeight reads a weight: a decimal string without leading zeros, below 2^63.
func parseWeight(s string) (uint64, string) {
	if !field.Number(s) {
		return 0, "must be a whole number in decimal digits, as a string without leading zeros"
	}
	w, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, "must be less than 2^63"
	}
	return w, ""
}

// positiveWeight is parseWeight for a weight that must count.
func positiveWeight(s string) (uint64, string) {
	w, msg := parseWeight(s)
	if msg == "" && w == 0 {
		msg = "must be greater than 0"
	}
	return w, msg
}

// addWeight adds two weights and stays at the limit when the sum reaches it.
func addWeight(sum, w uint64) uint64 { return min(sum+w, weightLimit) }

// checkTotal compares a stated sum with the computed one, which means nothing
// unless summable.
func checkTotal(p *field.Problems, path, stated string, sum uint64, summable bool) {
	w, msg := parseWeight(stated)
	switch {
	case msg != "":
		p.Add(msg, "%s", path)
	case !summable:
	case sum >= weightLimit:
		p.Add("the weights add up to 2^63 or more", "%s", path)
	case w != sum:
		p.Add("is "+stated+", but the weights add up to "+strconv.FormatUint(sum, 10), "%s", path)
	}
}

// checkLicenseText checks the characters of an SPDX expression. Its structure
// and names are checked where it is written, against a list that grows.
func checkLicenseText(s string) string {
	if len(s) < 1 || len(s) > maxLicense || !field.Only(s, "-.+:() ") || strings.TrimSpace(s) != s || strings.Contains(s, "  ") {
		return fmt.Sprintf("must be an SPDX expression of at most %d characters with single spaces", maxLicense)
	}
	return ""
}

func checkMediaType(s string) string {
	top, sub, ok := strings.Cut(s, "/")
	const more = "!#$&^_.+-"
	if !ok || len(s) > maxMediaType || top == "" || sub == "" || !field.Only(top, more) || !field.Only(sub, more) ||
		!field.Only(top[:1]+sub[:1], "") || strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return "must be a media type without parameters in lower case, like text/csv"
	}
	return ""
}

// checkORCID checks an ORCID iD and its ISO 7064 mod 11-2 check digit.
func checkORCID(s string) string {
	const want = "must be an ORCID iD like 0000-0002-1825-0097"
	digits := strings.ReplaceAll(s, "-", "")
	if len(s) != 19 || s[4] != '-' || s[9] != '-' || s[14] != '-' || len(digits) != 16 {
		return want
	}
	total := 0
	for i := range 15 {
		if digits[i] < '0' || digits[i] > '9' {
			return want
		}
		total = (total + int(digits[i]-'0')) * 2
	}
	if check := (12 - total%11) % 11; digits[15] != "0123456789X"[check] {
		return want + "; its last character is a check digit, which does not fit"
	}
	return ""
}

// checkROR checks a ROR id and its ISO 7064 mod 97-10 check digits.
func checkROR(s string) string {
	const want = "must be a ROR id like 05dxps055"
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's base 32
	if len(s) != 9 || s[0] != '0' {
		return want
	}
	n := 0
	for i := range 7 {
		d := strings.IndexByte(alphabet, s[i])
		if d < 0 {
			return want
		}
		n = n*32 + d
	}
	if s[7:] != fmt.Sprintf("%02d", 98-n*100%97) {
		return want + "; its last two digits are a checksum, which does not fit"
	}
	return ""
}

// checkVKey checks a signed-note verifier key: name+hash+base64 key, the name
// being the origin.
func checkVKey(s, origin string) string {
	name, rest, _ := strings.Cut(s, "+")
	hash, key, ok := strings.Cut(rest, "+")
	if !ok || len(s) > maxVKey || name != origin || !field.IsHex(hash, 8) {
		return "must be a verifier key of the log: origin+hash+key"
	}
	if b, err := base64.StdEncoding.Strict().DecodeString(key); err != nil || len(b) < 2 || strings.ContainsAny(key, "\r\n") {
		return "must end in a key in standard base64"
	}
	return ""
}

func checkAgeRecipient(s string) string {
	key, ok := strings.CutPrefix(s, "age1")
	if !ok || len(key) != 58 || strings.Trim(key, "qpzry9x8gf2tvdw0s3jn54khce6mua7l") != "" {
		return "must be an age recipient (age1 and 58 characters)"
	}
	return ""
}

func isISO4217(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// isCAIP19 reports whether s is an asset type of CAIP-19:
// namespace:reference/namespace:reference.
func isCAIP19(s string) bool {
	chain, asset, ok := strings.Cut(s, "/")
	if !ok {
		return false
	}
	half := func(s string, maxRef int, more string) bool {
		ns, ref, ok := strings.Cut(s, ":")
		return ok && len(ns) >= 3 && len(ns) <= 8 && strings.Trim(ns, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
			len(ref) >= 1 && len(ref) <= maxRef && field.Only(ref, more)
	}
	return half(chain, 32, "-_") && half(asset, 128, "-.%")
}

// checkSWHID checks a Software Heritage identifier of the given object type.
func checkSWHID(s, object string) string {
	digest, ok := strings.CutPrefix(s, "swh:1:"+object+":")
	if !ok || !field.IsHex(digest, 40) {
		return "must be swh:1:" + object + ": and 40 lower-case hex digits"
	}
	return ""
}
