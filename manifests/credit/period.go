package credit

import (
	"fmt"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Period is a calendar month, UTC: the number of months since January of the
// year 0. Periods are compared and added to as integers.
type Period int32

// maxPeriods bounds how many periods a Ledger can close: 1,000 years.
const maxPeriods = 12_000

// ParsePeriod reads "2026-11". Anything else is fault.Invalid.
func ParsePeriod(s string) (Period, error) {
	digits := len(s) == 7 && s[4] == '-'
	for i := range len(s) {
		digits = digits && (i == 4 || '0' <= s[i] && s[i] <= '9')
	}
	if digits {
		n := func(from, to int) (v int32) {
			for _, c := range []byte(s[from:to]) {
				v = 10*v + int32(c-'0')
			}
			return v
		}
		if m := n(5, 7); 1 <= m && m <= 12 {
			return Period(12*n(0, 4) + m - 1), nil
		}
	}
	return 0, fault.New(fault.Invalid, "%s is no period: want YYYY-MM", fault.Quote(s))
}

// String returns the form that [ParsePeriod] reads.
func (p Period) String() string { return fmt.Sprintf("%04d-%02d", p/12, p%12+1) }

// MarshalText writes the form of [Period.String].
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads as [ParsePeriod] does.
func (p *Period) UnmarshalText(b []byte) error {
	v, err := ParsePeriod(string(b))
	if err == nil {
		*p = v
	}
	return err
}

// A Currency is a unit of account. One payable minor unit is
// 10^(FineDigits−MinorDigits) fine units.
type Currency struct {
	Code        string `json:"code"` // ISO 4217 or CAIP-19
	MinorDigits int    `json:"minorDigits"`
	FineDigits  int    `json:"fineDigits"`
}

func (c Currency) check() error {
	if err := checkID("currency", c.Code); err != nil {
		return err
	}
	if c.MinorDigits < 0 || c.MinorDigits > c.FineDigits || c.FineDigits > MaxDigits {
		return fault.New(fault.Invalid, "currency %s: want 0 ≤ minorDigits ≤ fineDigits ≤ %d", c.Code, MaxDigits)
	}
	return nil
}

// Fine returns an amount of minor units in fine units.
func (c Currency) Fine(minor Amount) (Amount, error) {
	return minor.Scale(c.FineDigits - c.MinorDigits)
}

// Payable returns what of a closing balance can be paid out, in minor units,
// and what is carried on, in fine units:
//
//	m = ⌊close / finePerMinor⌋ if that is ≥ min and ≥ 0, else 0;  carry = close − m·finePerMinor
func (c Currency) Payable(close, min Amount) (minor, carry Amount, err error) {
	q, r, err := close.Unscale(c.FineDigits - c.MinorDigits)
	if err != nil {
		return Amount{}, Amount{}, err
	}
	if q.Sign() <= 0 || q.Cmp(min) < 0 {
		return Amount{}, close, nil
	}
	return q, r, nil
}
