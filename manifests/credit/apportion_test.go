package credit_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func readVectors(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func TestApportionVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Name    string
			Amount  string
			Weights [][2]string
			Result  [][2]string
		}
	}
	readVectors(t, "apportion.json", &file)
	if len(file.Cases) != 34 {
		t.Fatalf("%d cases, want 34", len(file.Cases))
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var ws []credit.Weight
			for _, w := range c.Weights {
				n, err := strconv.ParseUint(w[1], 10, 63)
				if err != nil {
					t.Fatal(err)
				}
				ws = append(ws, credit.Weight{Key: w[0], Weight: n})
			}
			parts, err := credit.Apportion(amount(t, c.Amount), ws)
			if err != nil {
				t.Fatal(err)
			}
			var got [][2]string
			for _, p := range parts {
				got = append(got, [2]string{p.Key, p.Amount.String()})
			}
			if !slices.Equal(got, c.Result) {
				t.Errorf("got %v, want %v", got, c.Result)
			}
		})
	}
}

// I6: a part may fall while the amount grows. Nothing may rely on the contrary.
func TestI6AlabamaParadox(t *testing.T) {
	ws := []credit.Weight{{"a", 86}, {"b", 4}, {"c", 43}, {"d", 96}, {"e", 15}, {"f", 8}}
	at := func(a uint64) string {
		parts, err := credit.Apportion(credit.FromUint64(a), ws)
		if err != nil {
			t.Fatal(err)
		}
		return parts[1].Amount.String()
	}
	if at(219) != "4" || at(220) != "3" {
		t.Errorf("b gets %s of 219 and %s of 220, want 4 and 3", at(219), at(220))
	}
}

// drawWeights draws weights with distinct keys, in random order, that sum to
// more than 0 and to at most limit.
func drawWeights(t *rapid.T, limit uint64) []credit.Weight {
	n := rapid.IntRange(1, 40).Draw(t, "n")
	keys := rapid.SliceOfNDistinct(rapid.StringN(0, 4, -1), n, n, rapid.ID[string]).Draw(t, "keys")
	most := rapid.SampledFrom([]uint64{1, 3, 100, 1e6, limit}).Draw(t, "most")
	ws := make([]credit.Weight, n)
	left := limit
	for i := range ws {
		w := rapid.Uint64Range(0, min(most, left)).Draw(t, "weight")
		left -= w
		ws[i] = credit.Weight{Key: keys[i], Weight: w}
	}
	if left == limit {
		ws[0].Weight = 1
	}
	return ws
}

func apportion(t *rapid.T, a credit.Amount, ws []credit.Weight) []credit.Part {
	t.Helper()
	parts, err := credit.Apportion(a, ws)
	if err != nil {
		t.Fatalf("Apportion(%s, %v): %v", a, ws, err)
	}
	return parts
}

func sumParts(parts []credit.Part) *big.Int {
	s := new(big.Int)
	for _, p := range parts {
		s.Add(s, toBig(p.Amount))
	}
	return s
}

func TestI1ApportionConserves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ws := amounts(t, "a"), drawWeights(t, credit.MaxWeight)
		if got := sumParts(apportion(t, a, ws)); got.Cmp(toBig(a)) != 0 {
			t.Fatalf("the parts sum to %s, want %s", got, a)
		}
	})
}

func TestI2ApportionKeepsQuota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ws := amounts(t, "a"), drawWeights(t, credit.MaxWeight)
		weight, total := map[string]*big.Int{}, new(big.Int)
		for _, w := range ws {
			weight[w.Key] = new(big.Int).SetUint64(w.Weight)
			total.Add(total, weight[w.Key])
		}
		for _, p := range apportion(t, a, ws) {
			// Euclidean division rounds down, for a negative a too.
			low, rest := new(big.Int).DivMod(new(big.Int).Mul(toBig(a), weight[p.Key]), total, new(big.Int))
			high := new(big.Int).Set(low)
			if rest.Sign() > 0 {
				high.Add(high, big.NewInt(1))
			}
			if x := toBig(p.Amount); x.Cmp(low) < 0 || x.Cmp(high) > 0 {
				t.Fatalf("%q gets %s, want %s to %s", p.Key, x, low, high)
			}
			if weight[p.Key].Sign() == 0 && !p.Amount.IsZero() {
				t.Fatalf("%q has weight 0 and gets %s", p.Key, p.Amount)
			}
		}
	})
}

func TestI3ApportionIgnoresOrderAndScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.Uint64Range(1, 1e6).Draw(t, "k")
		a, ws := amounts(t, "a"), drawWeights(t, credit.MaxWeight/k)
		want := apportion(t, a, ws)
		other := rapid.Permutation(ws).Draw(t, "order")
		for i := range other {
			other[i].Weight *= k
		}
		if got := apportion(t, a, other); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestI4ApportionNegates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ws := amounts(t, "a"), drawWeights(t, credit.MaxWeight)
		plus, minus := apportion(t, a, ws), apportion(t, a.Neg(), ws)
		for i := range plus {
			if plus[i].Amount.Neg() != minus[i].Amount {
				t.Fatalf("%v of %s, %v of %s", plus[i], a, minus[i], a.Neg())
			}
		}
	})
}

func TestI5EqualWeightsFavourSmallKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ws := amounts(t, "a").Abs(), drawWeights(t, credit.MaxWeight)
		for i := range ws {
			ws[i].Weight = 7
		}
		parts := apportion(t, a, ws)
		for i, p := range parts[1:] {
			d := new(big.Int).Sub(toBig(parts[i].Amount), toBig(p.Amount))
			if d.Sign() < 0 || toBig(parts[0].Amount).Cmp(new(big.Int).Add(toBig(p.Amount), big.NewInt(1))) > 0 {
				t.Fatalf("equal weights get %v", parts)
			}
		}
	})
}

// reference is Apportion on big integers, by sorting all remainders.
func reference(a *big.Int, ws []credit.Weight) map[string]*big.Int {
	ws = slices.SortedFunc(slices.Values(ws), func(x, y credit.Weight) int { return strings.Compare(x.Key, y.Key) })
	total := new(big.Int)
	for _, w := range ws {
		total.Add(total, new(big.Int).SetUint64(w.Weight))
	}
	parts := map[string]*big.Int{}
	rest := map[string]*big.Int{}
	left := new(big.Int).Abs(a)
	for _, w := range ws {
		p := new(big.Int).Mul(new(big.Int).Abs(a), new(big.Int).SetUint64(w.Weight))
		parts[w.Key], rest[w.Key] = new(big.Int).QuoRem(p, total, new(big.Int))
		left.Sub(left, parts[w.Key])
	}
	slices.SortStableFunc(ws, func(x, y credit.Weight) int { return rest[y.Key].Cmp(rest[x.Key]) })
	for i := range int(left.Int64()) {
		parts[ws[i].Key].Add(parts[ws[i].Key], big.NewInt(1))
	}
	if a.Sign() < 0 {
		for _, p := range parts {
			p.Neg(p)
		}
	}
	return parts
}

func TestApportionIsTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ws := amounts(t, "a"), drawWeights(t, credit.MaxWeight)
		want := reference(toBig(a), ws)
		for _, p := range apportion(t, a, ws) {
			if want[p.Key].Cmp(toBig(p.Amount)) != 0 {
				t.Fatalf("%q gets %s, want %s", p.Key, p.Amount, want[p.Key])
			}
		}
	})
}

func TestApportionRefuses(t *testing.T) {
	for name, ws := range map[string][]credit.Weight{
		"none":      nil,
		"zero":      {{"a", 0}, {"b", 0}},
		"twice":     {{"a", 1}, {"a", 1}},
		"too large": {{"a", 1 << 63}},
		"overflow":  {{"a", credit.MaxWeight}, {"b", 1}},
		"wrap":      {{"a", 1 << 63}, {"b", 1 << 63}, {"c", 1}},
	} {
		if parts, err := credit.Apportion(credit.FromUint64(10), ws); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, %v, want fault.Invalid", name, parts, err)
		}
	}
}
