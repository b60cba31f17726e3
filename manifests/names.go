package manifests

import (
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Limits of names.
const (
	maxNameLen    = 64 // of a dataset
	maxHandleLen  = 39
	maxKeywordLen = 64
)

// reserved are names that stand for something else in a URL of a gateway.
var reserved = []string{"cairn", "api", "datasets", "ipfs", "v1"}

// ValidName returns nil for a dataset's name: 1 to 64 of a-z 0-9 . _ -, the
// first a letter or digit, without "--" and "..", not ending in "-", "." or
// ".git", and not one of the reserved words. Otherwise the error is
// [fault.Invalid].
func ValidName(s string) error {
	switch {
	case len(s) < 1 || len(s) > maxNameLen:
		return fault.New(fault.Invalid, "a name has 1 to %d characters, this one has %d", maxNameLen, len(s))
	case !alnum(s[0]) || strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) }):
		return fault.WithHint(fault.New(fault.Invalid, "a name is made of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit: %s", fault.Quote(s)),
			"for example %s", Slug(s))
	}
	return hubSafe("name", s)
}

// ValidHandle returns nil for a handle: 2 to 39 of a-z 0-9 -, the first a
// letter or digit, without "--", not ending in "-", and not one of the reserved
// words. Otherwise the error is [fault.Invalid].
func ValidHandle(s string) error {
	if len(s) < 2 || len(s) > maxHandleLen {
		return fault.New(fault.Invalid, "a handle has 2 to %d characters, this one has %d", maxHandleLen, len(s))
	}
	if !alnum(s[0]) || strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) || r == '.' || r == '_' }) {
		return fault.New(fault.Invalid, "a handle is made of a-z, 0-9 and '-', and begins with a letter or digit: %s", fault.Quote(s))
	}
	return hubSafe("handle", s)
}

// hubSafe refuses what clients of dataset hubs refuse in a repository's id.
func hubSafe(what, s string) error {
	for _, bad := range []string{"--", ".."} {
		if strings.Contains(s, bad) {
			return fault.New(fault.Invalid, "a %s must not contain %q: %s", what, bad, fault.Quote(s))
		}
	}
	for _, bad := range []string{"-", ".", ".git"} {
		if strings.HasSuffix(s, bad) {
			return fault.New(fault.Invalid, "a %s must not end in %q: %s", what, bad, fault.Quote(s))
		}
	}
	if slices.Contains(reserved, s) {
		return fault.New(fault.Invalid, "the %s %q is reserved", what, s)
	}
	return nil
}

// ValidKeyword returns nil for a keyword: 1 to 64 of a-z 0-9 . _ + -, the first
// a letter or digit. Otherwise the error is [fault.Invalid].
func ValidKeyword(s string) error {
	if len(s) < 1 || len(s) > maxKeywordLen {
		return fault.New(fault.Invalid, "a keyword has 1 to %d characters, this one has %d", maxKeywordLen, len(s))
	}
	if !alnum(s[0]) || strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) && r != '+' }) {
		return fault.New(fault.Invalid, "a keyword is made of a-z, 0-9, '.', '_', '+' and '-', and begins with a letter or digit: %s", fault.Quote(s))
	}
	return nil
}

func alnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func nameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
}

// Slug returns the name that a file or folder called base suggests: lower case,
// everything else that a name cannot hold made into single hyphens. The result
// is always a [ValidName]; "dataset" when nothing is left of base.
func Slug(base string) string {
	b := make([]byte, 0, len(base))
	for _, r := range strings.ToLower(base) {
		if !nameRune(r) {
			r = '-'
		}
		// Of a run of dots and hyphens one is kept, the hyphen if there is one.
		if n := len(b); n > 0 && (r == '-' || r == '.') && (b[n-1] == '-' || b[n-1] == '.') {
			if r == '-' {
				b[n-1] = '-'
			}
			continue
		}
		b = append(b, byte(r))
	}
	s := strings.TrimLeft(string(b), "._-")
	s = s[:min(len(s), maxNameLen)]
	for trimmed := ""; trimmed != s; {
		trimmed = s
		s = strings.TrimSuffix(strings.TrimRight(s, ".-"), ".git")
	}
	switch {
	case s == "":
		return "dataset"
	case slices.Contains(reserved, s):
		return s + "-data"
	}
	return s
}
