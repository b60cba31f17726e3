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

// The bounds, and what is held of them.
const (
	MaxNodes     = maxNodes
	MaxCARBlocks = maxCARBlocks
)

// KeptNodes is about how many bytes of decoded nodes are kept.
func KeptNodes(g *Gateway) int {
	g.guard.mu.Lock()
	defer g.guard.mu.Unlock()
	return g.guard.memory
}

// CARBlocks is how many blocks CARs may still remember.
func CARBlocks(g *Gateway) int { return int(g.carBlocks.Load()) }

// TakeCARBlocks takes them all; the function that it returns gives them back.
func TakeCARBlocks(g *Gateway) func() {
	n := g.carBlocks.Swap(0)
	return func() { g.carBlocks.Add(n) }
}
