package credit

import (
	"math/bits"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// An Amount is an exact signed integer with a magnitude of at most 2^128−1. It
// counts units: fine units where the name ends in Fine, payable minor units
// where it ends in Minor. The zero value is 0. Amounts are comparable: == asks
// whether two are the same number.
//
// No operation wraps: what does not fit is an error.
type Amount struct {
	hi, lo uint64 // magnitude
	neg    bool   // never set for 0
}

const (
	// maxAmountText is the length of "-" and the digits of 2^128−1.
	maxAmountText = 40
	// MaxDigits bounds fineDigits, and so every shift of the decimal point.
	MaxDigits = 24
)

// FromUint64 returns v.
func FromUint64(v uint64) Amount { return Amount{lo: v} }

// FromInt64 returns v.
func FromInt64(v int64) Amount {
	if v < 0 {
		return Amount{lo: -uint64(v), neg: true}
	}
	return Amount{lo: uint64(v)}
}

// ParseAmount reads a decimal integer of the form -?(0|[1-9][0-9]*), without
// "-0". Anything else is fault.Invalid, and so is a number that does not fit.
func ParseAmount(s string) (Amount, error) {
	digits, neg := strings.CutPrefix(s, "-")
	if len(s) > maxAmountText || digits == "" || digits[0] == '0' && s != "0" {
		return Amount{}, notAmount(s)
	}
	var a Amount
	for i := range len(digits) {
		d := digits[i] - '0'
		if d > 9 {
			return Amount{}, notAmount(s)
		}
		var over bool
		if a, over = a.mulAdd(10, uint64(d)); over {
			return Amount{}, fault.New(fault.Invalid, "the amount %s is above 2^128-1", fault.Quote(s))
		}
	}
	a.neg = neg
	return a, nil
}

func notAmount(s string) error {
	return fault.New(fault.Invalid, "%s is no amount: want a decimal integer without leading zeros", fault.Quote(s))
}

// ParseDecimal reads an amount as people write it, such as "100.07", and
// returns it in units of 10^-digits: 10007 for two digits. There may be fewer
// decimals than digits, not more; no sign but a leading "-", no exponent, no
// separators. Anything else is fault.Invalid.
func ParseDecimal(s string, digits int) (Amount, error) {
	if digits < 0 || digits > MaxDigits {
		return Amount{}, fault.New(fault.Invalid, "%d digits: want 0 to %d", digits, MaxDigits)
	}
	bad := func() (Amount, error) {
		return Amount{}, fault.New(fault.Invalid, "%s is no amount with up to %d decimals", fault.Quote(s), digits)
	}
	if len(s) > maxAmountText+1 {
		return bad()
	}
	whole, frac, point := strings.Cut(s, ".")
	if _, err := ParseAmount(strings.TrimPrefix(whole, "-")); err != nil || len(frac) > digits || point && frac == "" {
		return bad()
	}
	sign := ""
	if whole[0] == '-' {
		sign, whole = "-", whole[1:]
	}
	text := strings.TrimLeft(whole+frac+strings.Repeat("0", digits-len(frac)), "0")
	if text == "" {
		return Amount{}, nil
	}
	a, err := ParseAmount(sign + text)
	if err != nil {
		return bad()
	}
	return a, nil
}

// String returns a in the form that [ParseAmount] reads.
func (a Amount) String() string { return string(a.Append(nil)) }

// Append appends the text of a to b.
func (a Amount) Append(b []byte) []byte {
	var buf [maxAmountText]byte
	i := len(buf)
	for a.hi != 0 {
		// 19 digits at a time, zero-filled: what is left is at least 1.
		q, r := a.divmod(1e19)
		for range 19 {
			i--
			buf[i] = byte('0' + r%10)
			r /= 10
		}
		a.hi, a.lo = q.hi, q.lo
	}
	for v := a.lo; v != 0 || i == len(buf); v /= 10 {
		i--
		buf[i] = byte('0' + v%10)
	}
	if a.neg {
		i--
		buf[i] = '-'
	}
	return append(b, buf[i:]...)
}

// Decimal returns a with its point moved digits to the left: 10007 with two
// digits is "100.07". Exactly digits decimals are written, and no point for
// none. digits below 0 or above [MaxDigits] are taken for the nearer of them.
func (a Amount) Decimal(digits int) string {
	digits = min(max(digits, 0), MaxDigits)
	s, sign := a.String(), ""
	if a.neg {
		s, sign = s[1:], "-"
	}
	if digits == 0 {
		return sign + s
	}
	if n := digits + 1 - len(s); n > 0 {
		s = strings.Repeat("0", n) + s
	}
	return sign + s[:len(s)-digits] + "." + s[len(s)-digits:]
}

// MarshalText writes the form of [Amount.String]: a JSON string.
func (a Amount) MarshalText() ([]byte, error) { return a.Append(nil), nil }

// UnmarshalText reads as [ParseAmount] does.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := ParseAmount(string(b))
	if err == nil {
		*a = v
	}
	return err
}

// Sign returns -1, 0 or 1.
func (a Amount) Sign() int {
	switch {
	case a.neg:
		return -1
	case a.hi|a.lo == 0:
		return 0
	}
	return 1
}

// IsZero reports whether a is 0.
func (a Amount) IsZero() bool { return a.hi|a.lo == 0 }

// Neg returns −a.
func (a Amount) Neg() Amount {
	a.neg = !a.neg && !a.IsZero()
	return a
}

// Abs returns |a|.
func (a Amount) Abs() Amount {
	a.neg = false
	return a
}

// Cmp returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int {
	if a.neg != b.neg {
		if a.neg {
			return -1
		}
		return 1
	}
	c := a.cmpAbs(b)
	if a.neg {
		return -c
	}
	return c
}

func (a Amount) cmpAbs(b Amount) int {
	switch {
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	case a.hi == b.hi && a.lo == b.lo:
		return 0
	}
	return 1
}

// Add returns a + b; a sum that does not fit is fault.TooLarge.
func (a Amount) Add(b Amount) (Amount, error) {
	s, over := a.add(b)
	if over {
		return Amount{}, fault.New(fault.TooLarge, "%s and %s: the sum is above 2^128-1", a, b)
	}
	return s, nil
}

// Sub returns a − b; a difference that does not fit is fault.TooLarge.
func (a Amount) Sub(b Amount) (Amount, error) { return a.Add(b.Neg()) }

func (a Amount) add(b Amount) (sum Amount, over bool) {
	if a.neg == b.neg {
		lo, c := bits.Add64(a.lo, b.lo, 0)
		hi, c := bits.Add64(a.hi, b.hi, c)
		return Amount{hi: hi, lo: lo, neg: a.neg}, c != 0
	}
	if a.cmpAbs(b) < 0 {
		a, b = b, a
	}
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, c)
	return Amount{hi: hi, lo: lo, neg: a.neg && hi|lo != 0}, false
}

// InLimit reports whether |a| < 2^127, as every amount of a record must be.
func (a Amount) InLimit() bool { return a.hi>>63 == 0 }

// Uint64 returns a and true when 0 ≤ a < 2^64.
func (a Amount) Uint64() (uint64, bool) { return a.lo, !a.neg && a.hi == 0 }

// Scale returns a·10^digits: minor units in fine units, with digits =
// fineDigits − minorDigits. A product that does not fit is fault.TooLarge;
// digits outside 0 to [MaxDigits] are fault.Invalid.
func (a Amount) Scale(digits int) (Amount, error) {
	if digits < 0 || digits > MaxDigits {
		return Amount{}, fault.New(fault.Invalid, "scaling by %d digits: want 0 to %d", digits, MaxDigits)
	}
	p := a
	for d := digits; d > 0; d -= 19 {
		var over bool
		if p, over = p.mulAdd(pow10(min(d, 19)), 0); over {
			return Amount{}, fault.New(fault.TooLarge, "%s·10^%d is above 2^128-1", a, digits)
		}
	}
	return p, nil
}

// Unscale returns q and r with a = q·10^digits + r and |r| < 10^digits, both
// with the sign of a or 0: fine units in minor units, towards zero, and the
// rest. digits outside 0 to [MaxDigits] are fault.Invalid.
func (a Amount) Unscale(digits int) (q, r Amount, err error) {
	if digits < 0 || digits > MaxDigits {
		return Amount{}, Amount{}, fault.New(fault.Invalid, "scaling by %d digits: want 0 to %d", digits, MaxDigits)
	}
	low := min(digits, 19)
	q, r0 := a.divmod(pow10(low))
	r = Amount{lo: r0}
	if digits > low {
		var r1 uint64
		q, r1 = q.divmod(pow10(digits - low))
		r, _ = Amount{lo: r1}.mulAdd(pow10(low), r0) // < 10^24
	}
	q.neg = a.neg && !q.IsZero()
	r.neg = a.neg && !r.IsZero()
	return q, r, nil
}

// mulAdd returns a·m + c on the magnitude, with the sign of a.
func (a Amount) mulAdd(m, c uint64) (p Amount, over bool) {
	h0, lo := bits.Mul64(a.lo, m)
	h1, mid := bits.Mul64(a.hi, m)
	lo, k := bits.Add64(lo, c, 0)
	hi, k := bits.Add64(mid, h0, k)
	return Amount{hi: hi, lo: lo, neg: a.neg}, h1 != 0 || k != 0
}

// divmod divides the magnitude by d > 0; the quotient has no sign.
func (a Amount) divmod(d uint64) (q Amount, r uint64) {
	q.hi, r = a.hi/d, a.hi%d
	q.lo, r = bits.Div64(r, a.lo, d)
	return q, r
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
