package manifests

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// ParseChunking reads the spec of a chunker as commands write it: size-N,
// buzhash, rabin-MIN-AVG-MAX or fastcdc-MIN-AVG-MAX. Other text gives
// [fault.Invalid].
func ParseChunking(spec string) (Chunking, error) {
	c := Chunking{Hash: "sha2-256"}
	parts := strings.Split(spec, "-")
	n := make([]int64, len(parts)-1)
	for i, s := range parts[1:] {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || !field.Number(s) {
			return Chunking{}, badChunking(spec)
		}
		n[i] = v
	}
	switch algo := parts[0]; {
	case algo == "size" && len(n) == 1:
		c.Algo, c.Size = "fixed", n[0]
	case algo == "buzhash" && len(n) == 0:
		c.Algo = algo
	case (algo == "rabin" || algo == "fastcdc") && len(n) == 3:
		c.Algo, c.Min, c.Avg, c.Max = algo, n[0], n[1], n[2]
	default:
		return Chunking{}, badChunking(spec)
	}
	var p field.Problems
	c.validate(&p)
	if p.Any() {
		return Chunking{}, p.Err()
	}
	return c, nil
}

func badChunking(spec string) error {
	return fault.New(fault.Invalid, "unknown chunker %s: size-N, buzhash, rabin-MIN-AVG-MAX and fastcdc-MIN-AVG-MAX are known", fault.Quote(spec))
}

// String returns c in the form that [ParseChunking] reads.
func (c Chunking) String() string {
	switch c.Algo {
	case "fixed":
		return fmt.Sprintf("size-%d", c.Size)
	case "buzhash":
		return c.Algo
	}
	return fmt.Sprintf("%s-%d-%d-%d", c.Algo, c.Min, c.Avg, c.Max)
}
