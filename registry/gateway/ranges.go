package gateway

import (
	"math"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxRanges bounds the ranges of one request. Readers of columnar files ask for
// some; RFC 9110 lets a server refuse a request with very many.
const maxRanges = 64

// A span is a range of bytes: n of them from off on.
type span struct{ off, n uint64 }

// parseRanges reads a Range header for a representation of size bytes, as
// section 14.1.2 of RFC 9110 writes it. Without ranges and error, all of it is
// to be sent: there is no header, its unit is not bytes, or there is nothing to
// take a range of (some clients send one always). A header that is
// malformed is fault.Invalid; ranges none of which lies in the representation,
// or too many, are errUnsatisfiable.
func parseRanges(header string, size uint64) ([]span, error) {
	unit, list, ok := strings.Cut(header, "=")
	if header == "" || size == 0 || ok && !strings.EqualFold(textproto.TrimString(unit), "bytes") {
		return nil, nil
	}
	if !ok {
		return nil, fault.New(fault.Invalid, "the Range header %s has no unit", fault.Quote(header))
	}
	malformed := fault.New(fault.Invalid, "the Range header %s is malformed", fault.Quote(header))
	var spans []span
	count := 0
	for part := range strings.SplitSeq(list, ",") {
		part = textproto.TrimString(part)
		if part == "" {
			continue
		}
		if count++; count > maxRanges {
			return nil, errUnsatisfiable
		}
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			return nil, malformed
		}
		if first == "" {
			n, ok := digits(last)
			if !ok {
				return nil, malformed
			}
			if n = min(n, size); n > 0 {
				spans = append(spans, span{size - n, n})
			}
			continue
		}
		from, ok := digits(first)
		if !ok {
			return nil, malformed
		}
		to := uint64(math.MaxUint64)
		if last != "" {
			if to, ok = digits(last); !ok || to < from {
				return nil, malformed
			}
		}
		if from < size {
			spans = append(spans, span{from, min(to, size-1) - from + 1})
		}
	}
	if count == 0 {
		return nil, malformed
	}
	if len(spans) == 0 {
		return nil, errUnsatisfiable
	}
	return spans, nil
}

// errUnsatisfiable is answered with 416.
var errUnsatisfiable = fault.New(fault.Invalid, "the ranges cannot be satisfied")

// digits reads a decimal number without sign. One that is too large for an
// offset is the largest offset.
func digits(s string) (uint64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}
