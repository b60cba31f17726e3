package credit

import "math/bits"

// An int128 is an Amount below 2^127 in two's complement: what stands in the
// engine by the million. The zero value is 0.
type int128 struct {
	hi int64
	lo uint64
}

// narrow returns a, which must be InLimit.
func narrow(a Amount) int128 {
	v := int128{int64(a.hi), a.lo}
	if a.neg {
		return v.neg()
	}
	return v
}

func (v int128) amount() Amount {
	if v.hi < 0 {
		v = v.neg()
		return Amount{hi: uint64(v.hi), lo: v.lo, neg: true}
	}
	return Amount{hi: uint64(v.hi), lo: v.lo}
}

func (v int128) neg() int128 {
	lo, b := bits.Sub64(0, v.lo, 0)
	hi, _ := bits.Sub64(0, uint64(v.hi), b)
	return int128{int64(hi), lo}
}

// plus returns v + w. Callers know that it fits: within a run every sum is at
// most Σ|event|, which the Ledger keeps below 2^127.
func (v int128) plus(w int128) int128 {
	lo, c := bits.Add64(v.lo, w.lo, 0)
	hi, _ := bits.Add64(uint64(v.hi), uint64(w.hi), c)
	return int128{int64(hi), lo}
}

func (v int128) minus(w int128) int128 { return v.plus(w.neg()) }

// add is plus where the sum may not fit.
func (v int128) add(w int128) (sum int128, over bool) {
	s := v.plus(w)
	return s, (v.hi < 0) == (w.hi < 0) && (s.hi < 0) != (v.hi < 0)
}

func (v int128) isZero() bool { return v.hi == 0 && v.lo == 0 }
