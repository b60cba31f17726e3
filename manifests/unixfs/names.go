package unixfs

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// MaxName and MaxPath are what file systems take.
	MaxName = 255
	MaxPath = 4096
	// MaxPathDepth bounds directories below each other.
	MaxPathDepth = 64
	// maxTarget bounds a symlink's target, as file systems do.
	maxTarget = 4096
)

// CheckName returns nil for a name that a dataset may hold, byte for byte.
// Refused are: the empty name, "." and "..", more than 255 bytes, "/" and NUL,
// invalid UTF-8, control characters, line separators, and characters that
// override the direction of text. The error is fault.Invalid and shows the name escaped.
func CheckName(name string) error {
	bad := func(what string) error {
		return fault.New(fault.Invalid, "the name %s %s", fault.Quote(name), what)
	}
	switch {
	case name == "":
		return fault.New(fault.Invalid, "an empty name")
	case name == "." || name == "..":
		return bad("means a directory")
	case len(name) > MaxName:
		return bad("is longer than 255 bytes")
	case strings.ContainsRune(name, '/'):
		return bad("holds a slash")
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return bad("holds a control character")
		}
		if r == 0x2028 || r == 0x2029 {
			return bad("holds a line separator, which canonical JSON cannot write")
		}
		if isBidi(r) {
			return bad("holds a character that overrides the direction of text")
		}
	}
	return nil
}

// isBidi names the explicit formatting characters of the bidirectional
// algorithm: embeddings, overrides, isolates.
func isBidi(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }
