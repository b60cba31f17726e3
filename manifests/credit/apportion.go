package credit

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// SelfKey is the key of the part that a node keeps, beside the statement CIDs
// of its edges. It sorts after every CID.
const SelfKey = "~self"

// MaxWeight is the largest weight, and the largest total of weights: they stay
// below 2^63, so that readers with signed integers hold them.
const MaxWeight = 1<<63 - 1

// A Weight is one party's or edge's integer share of a whole.
type Weight struct {
	Key    string
	Weight uint64
}

// A Part is what a key got.
type Part struct {
	Key    string
	Amount Amount
}

// Apportion divides a among weights by the method of the largest remainder,
// and returns a part for each weight, sorted by the bytes of the keys:
//
//	W = Σ w,  q_i = ⌊a·w_i / W⌋,  r_i = a·w_i mod W,  L = a − Σ q_i
//
// and the L keys with the largest r_i get one unit more, ties going to the
// smaller key. A negative a is divided as −a, and every part negated. The parts
// sum to a exactly, each is within one unit of its exact share, and the result
// does not depend on the order of weights. It is not monotone in a: a part can
// fall by a unit while a grows (the Alabama paradox).
//
// No weights, a sum of 0 or above [MaxWeight], and a key that stands twice are
// fault.Invalid.
func Apportion(a Amount, weights []Weight) ([]Part, error) {
	sorted := slices.SortedFunc(slices.Values(weights), func(x, y Weight) int { return strings.Compare(x.Key, y.Key) })
	ws := make([]uint64, len(sorted))
	var total uint64
	for i, w := range sorted {
		if i > 0 && sorted[i-1].Key == w.Key {
			return nil, fault.New(fault.Invalid, "apportion: the key %s stands twice", fault.Quote(w.Key))
		}
		if w.Weight > MaxWeight-total {
			return nil, fault.New(fault.Invalid, "apportion: the weights sum to 2^63 or more")
		}
		ws[i] = w.Weight
		total += w.Weight
	}
	if total == 0 {
		return nil, fault.New(fault.Invalid, "apportion: the weights sum to 0")
	}
	var s splitter
	parts := make([]Part, len(sorted))
	for i, v := range s.split(a, ws, total) {
		parts[i] = Part{sorted[i].Key, v}
	}
	return parts, nil
}

// A splitter is the arithmetic of [Apportion] with its working memory, which
// one goroutine uses again and again.
type splitter struct {
	parts []Amount
	rest  []uint64 // remainders in the order of the weights
	rank  []uint64 // the same, sorted
}

// split divides a among ws, which stand in the order of their keys and sum to
// total, 0 < total ≤ MaxWeight. The result is valid until the next call.
func (s *splitter) split(a Amount, ws []uint64, total uint64) []Amount {
	s.parts = slices.Grow(s.parts[:0], len(ws))[:len(ws)]
	if len(ws) == 1 {
		s.parts[0] = a
		return s.parts
	}
	s.rest = slices.Grow(s.rest[:0], len(ws))[:len(ws)]
	var left uint64 // Σ r_i / W = a − Σ q_i, below len(ws)
	var sum uint64
	for i, w := range ws {
		q, r := mulDiv(a, w, total)
		q.neg = a.neg && q.hi|q.lo != 0
		s.parts[i], s.rest[i] = q, r
		// r and sum are below total < 2^63: the sum does not wrap.
		if sum += r; sum >= total {
			sum -= total
			left++
		}
	}
	if left == 0 {
		return s.parts
	}
	s.rank = append(s.rank[:0], s.rest...)
	slices.Sort(s.rank)
	last := s.rank[len(s.rank)-int(left)] // the smallest remainder that gets a unit
	above := 0
	for i := len(s.rank) - int(left); i < len(s.rank); i++ {
		if s.rank[i] > last {
			above++
		}
	}
	ties := int(left) - above
	for i, r := range s.rest {
		if r > last || r == last && ties > 0 {
			if r == last {
				ties--
			}
			s.parts[i].bump(a.neg)
		}
	}
	return s.parts
}

// bump moves a by one unit away from zero.
func (a *Amount) bump(neg bool) {
	var c uint64
	a.lo, c = bits.Add64(a.lo, 1, 0)
	a.hi += c
	a.neg = neg
}

// mulDiv returns ⌊|a|·w / total⌋ and the remainder, for w ≤ total. The product
// has up to 192 bits.
func mulDiv(a Amount, w, total uint64) (q Amount, r uint64) {
	if a.hi == 0 {
		hi, lo := bits.Mul64(a.lo, w)
		q.lo, r = bits.Div64(hi, lo, total) // hi < total, as w ≤ total
		return q, r
	}
	h0, p0 := bits.Mul64(a.lo, w)
	p2, p1 := bits.Mul64(a.hi, w)
	p1, c := bits.Add64(p1, h0, 0)
	p2 += c
	q.hi, r = bits.Div64(p2, p1, total)
	q.lo, r = bits.Div64(r, p0, total)
	return q, r
}
