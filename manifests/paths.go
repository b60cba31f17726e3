package manifests

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Limits of paths, those of common file systems.
const (
	maxPath      = 4096
	maxPathDepth = 64
	maxFileName  = 255
)

// ComparePaths orders the paths of files depth first, the names of each
// directory by bytes: it compares as if '/' were a zero byte, so "a/b" comes
// before "a.txt". It is the order of file lists.
func ComparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' {
			x = 0
		}
		if y == '/' {
			y = 0
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}

// checkPath checks the path of a file in a dataset: names with slashes between
// them, none of which a file system or a terminal would take for something else.
func checkPath(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > maxPath:
		return fmt.Sprintf("may have %d bytes, has %d", maxPath, len(s))
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.Count(s, "/") >= maxPathDepth:
		return fmt.Sprintf("may have %d names", maxPathDepth)
	}
	for name := range strings.SplitSeq(s, "/") {
		switch {
		case name == "" || name == "." || name == "..":
			return `must be relative, without empty names, "." and ".."`
		case len(name) > maxFileName:
			return fmt.Sprintf("has a name of %d bytes; %d are allowed", len(name), maxFileName)
		}
	}
	if strings.ContainsFunc(s, badRune) {
		return "contains a control or direction character: " + fault.Quote(s)
	}
	return ""
}

// badRune reports control characters, the line and paragraph separators that
// canonical JSON refuses, and embeddings, overrides and isolates of text
// direction. The list is fixed.
func badRune(r rune) bool {
	return r < 0x20 || 0x7f <= r && r <= 0x9f || 0x2028 <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}
