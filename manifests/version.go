package manifests

import (
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

const (
	maxVersionLen = 64
	// maxVersionDigits keeps the numbers of a version within what every
	// language's integers hold.
	maxVersionDigits = 9
)

// A version is a semantic version, https://semver.org/spec/v2.0.0.html, as far
// as the next one is made from it.
type version struct{ major, minor, patch uint64 }

// ValidVersion returns nil for a semantic version 2.0.0 of at most 64
// characters, whose numbers have at most 9 digits. Otherwise the error is
// [fault.Invalid].
func ValidVersion(s string) error {
	_, err := parseVersion(s)
	return err
}

func parseVersion(s string) (version, error) {
	bad := func(why string) (version, error) {
		return version{}, fault.WithHint(fault.New(fault.Invalid, "%s is not a semantic version: %s", fault.Quote(s), why), "for example 1.0.0")
	}
	if len(s) > maxVersionLen {
		return bad("it is longer than " + strconv.Itoa(maxVersionLen) + " characters")
	}
	rest, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(rest, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return bad("it needs three numbers")
	}
	var n [3]uint64
	for i, p := range parts {
		if !field.Number(p) || len(p) > maxVersionDigits {
			return bad("its numbers have 1 to 9 digits and no leading zero")
		}
		n[i], _ = strconv.ParseUint(p, 10, 64)
	}
	if hasBuild && !identifiers(build, false) || hasPre && !identifiers(pre, true) {
		return bad("what follows '-' or '+' is made of a-z A-Z 0-9 -, with dots between")
	}
	return version{n[0], n[1], n[2]}, nil
}

// identifiers reports whether s is a dotted list of semver identifiers; those
// of a pre-release have no leading zero when they are numbers.
func identifiers(s string, pre bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		if id == "" || !field.Only(id, "-") {
			return false
		}
		if digits := strings.Trim(id, "0123456789") == ""; pre && digits && !field.Number(id) {
			return false
		}
	}
	return true
}

// A Difference counts the files of two versions of a dataset by path: a file
// that is there in both with other bytes is Changed.
type Difference struct{ Added, Removed, Changed int }

// FirstVersion is what [NextVersion] begins with.
const FirstVersion = "1.0.0"

// NextVersion returns the version that follows prev when the files differ by d:
// MAJOR when a file was changed or removed, MINOR when files were only added,
// PATCH when nothing but the packaging is new. What follows the three numbers
// of prev is dropped. For a prev that is empty, or no [ValidVersion], it is
// [FirstVersion].
func NextVersion(prev string, d Difference) string {
	v, err := parseVersion(prev)
	if err != nil {
		return FirstVersion
	}
	switch {
	case d.Changed > 0 || d.Removed > 0:
		v = version{major: v.major + 1}
	case d.Added > 0:
		v = version{major: v.major, minor: v.minor + 1}
	default:
		v.patch++
	}
	return strconv.FormatUint(v.major, 10) + "." + strconv.FormatUint(v.minor, 10) + "." + strconv.FormatUint(v.patch, 10)
}
