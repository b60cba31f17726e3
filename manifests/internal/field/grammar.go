package field

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The checkers of this file return what is wrong, "" for nothing. All of them
// decide by bytes alone.

// MaxInt is the largest number in JSON that every reader keeps exactly.
const MaxInt = 1<<53 - 1

const maxURL = 2048

// Only reports whether s is made of ASCII letters, digits and the bytes of more.
func Only(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// Number reports whether s is a decimal number without leading zeros.
func Number(s string) bool {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// IsHex reports whether s is n lower-case hex digits.
func IsHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// OneOf checks a value of a closed list.
func OneOf(s string, allowed ...string) string {
	if slices.Contains(allowed, s) {
		return ""
	}
	return fmt.Sprintf("is %s, but must be one of %s", fault.Quote(s), strings.Join(allowed, ", "))
}

// Line checks a text of one line for people.
func Line(s string, limit int) string {
	if strings.ContainsAny(s, "\n\r\t") {
		return "must be one line without tabs"
	}
	return Text(s, limit)
}

// Text checks a text for people. What characters it may have is canonical
// JSON's rule.
func Text(s string, limit int) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > limit:
		return fmt.Sprintf("may have %d bytes, has %d", limit, len(s))
	case !utf8.ValidString(s):
		return "is not UTF-8"
	}
	return ""
}

// Token checks a name that programs use.
func Token(s string) string {
	if len(s) < 1 || len(s) > 64 || !Only(s, "._+-") || !Only(s[:1], "_") {
		return "must be 1 to 64 of a-z A-Z 0-9 . _ + -, beginning with a letter, digit or underscore"
	}
	return ""
}

// instant is the one form of a point in time.
const instant = "2006-01-02T15:04:05Z"

// Time checks an instant in UTC with whole seconds.
func Time(s string) string {
	if t, err := time.Parse(instant, s); err != nil || t.Format(instant) != s {
		return "must be an instant in UTC with whole seconds, like 2026-11-22T08:00:00Z"
	}
	return ""
}

// Month checks a month of the calendar.
func Month(s string) string {
	if t, err := time.Parse("2006-01", s); err != nil || t.Format("2006-01") != s {
		return "must be a month, like 2026-11"
	}
	return ""
}

// Day checks a day or a month.
func Day(s string) string {
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Format(time.DateOnly) == s {
		return ""
	}
	if Month(s) == "" {
		return ""
	}
	return "must be a day or a month, like 2026-11-22 or 2026-11"
}

// SHA256 checks a digest in lower-case hex.
func SHA256(s string) string {
	if !IsHex(s, 64) {
		return "must be 64 lower-case hex digits"
	}
	return ""
}

// KeyID checks a did:key.
func KeyID(id sign.KeyID) string {
	if id == "" {
		return "is missing"
	}
	if _, err := sign.ParseKeyID(string(id)); err != nil {
		return err.Error()
	}
	return ""
}

// Count checks a number that counts something.
func Count(n int64) string {
	if n < 0 || n > MaxInt {
		return "must be from 0 to 2^53-1"
	}
	return ""
}

// Ppm checks parts per million.
func Ppm(n int64) string {
	if n < 0 || n > 1_000_000 {
		return "must be parts per million, from 0 to 1000000"
	}
	return ""
}

// URL accepts an absolute URL by its characters: a scheme, a colon, and what
// RFC 3986 lets follow. Whether anything answers there is nobody's check.
func URL(s string) string {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || len(s) > maxURL || rest == "" || scheme == "" || scheme[0] < 'a' || scheme[0] > 'z' ||
		!Only(scheme, "+.-") || hasUpper(scheme) || !Only(rest, "-._~:/?#[]@!$&'()*+,;=%") {
		return fmt.Sprintf("must be an absolute URL of at most %d ASCII characters", maxURL)
	}
	return ""
}

func hasUpper(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' })
}

// Language checks the form of a BCP 47 tag: a language of 2 to 8 letters and
// subtags of 1 to 8 letters and digits. The registry of subtags is not asked.
func Language(s string) string {
	const want = "must be a BCP 47 language tag, like de or gsw-CH"
	first := true
	for tag := range strings.SplitSeq(s, "-") {
		if len(tag) < 1 || len(tag) > 8 || !Only(tag, "") || first && (len(tag) < 2 || strings.ContainsAny(tag, "0123456789")) {
			return want
		}
		first = false
	}
	if len(s) > 35 {
		return want
	}
	return ""
}

// Place checks the form of a country (ISO 3166-1 alpha-2), a part of one (ISO
// 3166-2) or a UN M49 region.
func Place(s string) string {
	country, part, divided := strings.Cut(s, "-")
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	switch {
	case len(s) == 3 && strings.Trim(s, "0123456789") == "":
	case len(country) == 2 && strings.Trim(country, letters) == "" &&
		(!divided || len(part) >= 1 && len(part) <= 3 && strings.Trim(part, letters+"0123456789") == ""):
	default:
		return "must be a place like CH, CH-ZH (ISO 3166) or 155 (UN M49)"
	}
	return ""
}

// CIDs. The allow-list of cjson.ParseCID has been applied to everything that
// was decoded; what a builder of documents puts in is checked here again.

// AnyCID checks a CIDv1 of a known kind.
func AnyCID(c cjson.CID) string {
	if !c.Defined() {
		return "is missing"
	}
	if c.Version() != 1 {
		return "must be a CIDv1"
	}
	if err := cjson.CheckCID(c.Cid); err != nil {
		return err.Error()
	}
	return ""
}

func ofCodec(c cjson.CID, what string, codecs ...uint64) string {
	if msg := AnyCID(c); msg != "" {
		return msg
	}
	if !slices.Contains(codecs, c.Type()) {
		return "must be the CID of " + what
	}
	return ""
}

// StatementCID checks the CID of a statement.
func StatementCID(c cjson.CID) string { return ofCodec(c, "a statement (raw)", cid.Raw) }

// DocumentCID checks the CID of a manifest, a terms document or another list.
func DocumentCID(c cjson.CID) string {
	return ofCodec(c, "a JSON document (dag-json)", cid.DagJSON)
}

// DataCID checks the CID of a file or directory. A builder may hold a CIDv0,
// which is written as the CIDv1 of the same block.
func DataCID(c cid.Cid) string {
	if c.Defined() && c.Version() == 0 {
		c = cid.NewCidV1(cid.DagProtobuf, c.Hash())
	}
	return ofCodec(cjson.CID{Cid: c}, "data (raw or dag-pb)", cid.Raw, cid.DagProtobuf)
}
