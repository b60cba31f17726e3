package gateway

import (
	"io"

	"github.com/ipfs/go-cid"
)

// What fuzz targets and laws look at from outside.

// DenyRules is a parsed denylist.
type DenyRules struct{ r *denyRules }

// ParseDenylist reads a denylist.
func ParseDenylist(r io.Reader) (DenyRules, error) {
	d, err := parseDenylist(r)
	return DenyRules{d}, err
}

// Denies says whether a path below a CID is denied by a rule about it alone.
func (d DenyRules) Denies(c cid.Cid, path string) bool { return d.r.denies(c, path) }

// ParseRanges returns the offsets and lengths of a Range header.
func ParseRanges(header string, size uint64) (out [][2]uint64, err error) {
	spans, err := parseRanges(header, size)
	for _, s := range spans {
		out = append(out, [2]uint64{s.off, s.n})
	}
	return out, err
}

// MaxRanges is maxRanges.
const MaxRanges = maxRanges
