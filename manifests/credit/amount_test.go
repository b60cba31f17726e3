package credit_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// max128 is 2^128−1.
var max128 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))

func amount(t testing.TB, s string) credit.Amount {
	t.Helper()
	a, err := credit.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func toBig(a credit.Amount) *big.Int {
	v, _ := new(big.Int).SetString(a.String(), 10)
	return v
}

// fromBig returns v and whether it fits.
func fromBig(v *big.Int) (credit.Amount, bool) {
	a, err := credit.ParseAmount(v.String())
	return a, err == nil
}

// amounts draws amounts of every magnitude, small ones and those near a power
// of two included.
func amounts(t *rapid.T, label string) credit.Amount {
	bits := rapid.IntRange(0, 128).Draw(t, label+" bits")
	v := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	v.Sub(v, new(big.Int).SetUint64(rapid.Uint64().Draw(t, label+" below")))
	v.Abs(v)
	if v.Cmp(max128) > 0 {
		v.Set(max128)
	}
	if rapid.Bool().Draw(t, label+" negative") {
		v.Neg(v)
	}
	a, _ := fromBig(v)
	return a
}

func TestAmountIsTheInteger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts(t, "a"), amounts(t, "b")
		x, y := toBig(a), toBig(b)
		if got, want := a.Cmp(b), x.Cmp(y); got != want {
			t.Fatalf("%s.Cmp(%s) = %d, want %d", a, b, got, want)
		}
		if (a == b) != (x.Cmp(y) == 0) {
			t.Fatalf("%s == %s is %v", a, b, a == b)
		}
		if got, want := a.Sign(), x.Sign(); got != want {
			t.Fatalf("%s.Sign() = %d, want %d", a, got, want)
		}
		if got, want := toBig(a.Neg()), new(big.Int).Neg(x); got.Cmp(want) != 0 || a.Neg().Neg() != a {
			t.Fatalf("%s.Neg() = %s", a, got)
		}
		if got, want := a.InLimit(), x.BitLen() <= 127; got != want {
			t.Fatalf("%s.InLimit() = %v", a, got)
		}
		digits := rapid.IntRange(0, credit.MaxDigits).Draw(t, "digits")
		pow := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
		scaled, err := a.Scale(digits)
		same(t, "Scale", scaled, err, new(big.Int).Mul(x, pow))
		q, r, err := a.Unscale(digits)
		wantQ, wantR := new(big.Int).QuoRem(x, pow, new(big.Int))
		same(t, "Unscale", q, err, wantQ)
		same(t, "Unscale rest", r, err, wantR)
		s, err := a.Add(b)
		same(t, "Add", s, err, new(big.Int).Add(x, y))
		s, err = a.Sub(b)
		same(t, "Sub", s, err, new(big.Int).Sub(x, y))
	})
}

// same checks a result against the integer; one that does not fit must be
// fault.TooLarge.
func same(t *rapid.T, op string, got credit.Amount, err error, want *big.Int) {
	t.Helper()
	if want.BitLen() > 128 {
		if !errors.Is(err, fault.TooLarge) {
			t.Fatalf("%s gives %s, %v, want fault.TooLarge for %s", op, got, err, want)
		}
		return
	}
	if w, ok := fromBig(want); err != nil || !ok || got != w {
		t.Fatalf("%s gives %s, %v, want %s", op, got, err, want)
	}
}

func TestParseAmountRefuses(t *testing.T) {
	for _, s := range []string{
		"", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "١", "1_000",
		"340282366920938463463374607431768211456", strings.Repeat("9", 41),
	} {
		if a, err := credit.ParseAmount(s); !errors.Is(err, fault.Invalid) {
			t.Errorf("ParseAmount(%q) = %s, %v, want fault.Invalid", s, a, err)
		}
	}
}

func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"0", "-1", "10000000000000000000", "340282366920938463463374607431768211455"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := credit.ParseAmount(s)
		if err != nil {
			return // refusing is always right
		}
		if got := a.String(); got != s {
			t.Fatalf("accepted %q, which is written %q", s, got)
		}
		var back credit.Amount
		text, _ := a.MarshalText()
		if err := back.UnmarshalText(text); err != nil || back != a {
			t.Fatalf("%q reads back as %s, %v", s, back, err)
		}
	})
}

func TestDecimalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := amounts(t, "a")
		digits := rapid.IntRange(0, credit.MaxDigits).Draw(t, "digits")
		text := a.Decimal(digits)
		if back, err := credit.ParseDecimal(text, digits); err != nil || back != a {
			t.Fatalf("ParseDecimal(%q, %d) = %s, %v, want %s", text, digits, back, err, a)
		}
	})
	for _, c := range []struct {
		text   string
		digits int
		want   string // "" refuses
	}{
		{"100.07", 2, "10007"}, {"100", 2, "10000"}, {"-0.5", 2, "-50"}, {"0", 0, "0"}, {"-0.00", 2, "0"},
		{"100.070", 2, ""}, {"1.", 2, ""}, {".5", 2, ""}, {"1,5", 2, ""}, {"--1", 2, ""}, {"1e2", 2, ""},
		{"01", 2, ""}, {"1.-5", 2, ""}, {"1", -1, ""}, {"1", 25, ""}, {"", 2, ""}, {"-", 2, ""},
		{"340282366920938463463374607431768211455", 1, ""},
	} {
		got, err := credit.ParseDecimal(c.text, c.digits)
		if c.want == "" {
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("ParseDecimal(%q, %d) = %s, %v, want fault.Invalid", c.text, c.digits, got, err)
			}
		} else if err != nil || got.String() != c.want {
			t.Errorf("ParseDecimal(%q, %d) = %s, %v, want %s", c.text, c.digits, got, err, c.want)
		}
	}
}
