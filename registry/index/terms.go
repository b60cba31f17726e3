package index

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
)

// The kinds of terms by which dataset versions are found (table T). A term
// only proposes versions: a query reads the version and compares.
const (
	termContributor = "contributor" // did:key
	termKeyword     = "keyword"     // lower-case keyword, and the ASCII words in it
	termLicense     = "license"     // lower-case: each id in the expression, and the expression
	termManifest    = "manifest"    // hash, as a raw CID
	termName        = "name"
	termParent      = "parent" // statement CID of an edge
	termPublisher   = "publisher"
	termRoot        = "root"   // hash, as a raw CID
	termSource      = "source" // statement CID, URL as declared, or CID
	termUsage       = "usage"  // statement CID of a record of use that made a model
)

// Bounds on what text adds to the index. The rest of the text is kept and
// shown, it is only not found by; the terms that carry meaning (contributors,
// edges, sources) are bounded by the grammar of the statement.
const (
	maxTextTerms = 256 // keywords and words, or licence ids, of one version
	maxTermBytes = 256 // a longer term is replaced by its hash: a key has at most 65,000 bytes
)

// boundTerm makes s fit for a key. Different terms may come out equal only by
// a choice of names, and a query compares what it reads.
func boundTerm(s string) string {
	if len(s) <= maxTermBytes && strings.IndexByte(s, 0) < 0 {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// hashTerm names content by its hash alone: a reader may hold the CID of the
// same bytes in another version or codec.
func hashTerm(c cid.Cid) string {
	if !c.Defined() {
		return ""
	}
	return cid.NewCidV1(cid.Raw, c.Hash()).String()
}

// keywordTerms returns the terms of a list of keywords, each once.
func keywordTerms(keywords []string) []string {
	var terms []string
	for _, k := range keywords {
		terms = append(terms, lower(k))
	}
	for _, k := range terms[:len(keywords):len(keywords)] {
		terms = append(terms, strings.FieldsFunc(k, func(r rune) bool {
			return !('a' <= r && r <= 'z' || '0' <= r && r <= '9')
		})...)
	}
	return unique(terms)
}

// licenseTerms returns the ids in an SPDX expression and the expression itself.
// It reads the syntax alone, no list of licences: the same statement has the
// same terms under every version of that list.
func licenseTerms(expr string) []string {
	if expr == "" {
		return nil
	}
	terms := []string{lower(expr)}
	for _, id := range strings.FieldsFunc(expr, func(r rune) bool { return r == ' ' || r == '(' || r == ')' }) {
		switch id {
		case "AND", "OR", "WITH":
		default:
			terms = append(terms, lower(id))
		}
	}
	return unique(terms)
}

// lower is ASCII lower case: the index knows no Unicode tables.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// unique keeps the first of equal terms, drops empty ones, and stops at maxTextTerms.
func unique(terms []string) []string {
	var out []string
	for _, t := range terms {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
		if len(out) == maxTextTerms {
			break
		}
	}
	return out
}
