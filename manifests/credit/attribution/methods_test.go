package attribution_test

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func use(id, statement, payer string, qty uint64) attribution.Usage {
	return attribution.Usage{ID: id, Statement: statement, Meter: "token", Qty: qty, Payer: payer}
}

// meter runs usage-meter/1 with the same shares for every work.
func meter(t testing.TB, records []attribution.Usage, shares attribution.Vector) (attribution.Vector, []attribution.Wash) {
	t.Helper()
	v, washed, err := attribution.MeterUsage("token", seq(records), func(string) (attribution.Vector, error) { return shares, nil })
	if err != nil {
		t.Fatal(err)
	}
	return v, washed
}

func TestUsageLaws(t *testing.T) {
	parties := []string{"ana", "ben", "cho", "out"}
	rapid.Check(t, func(t *rapid.T) {
		var shareList []attribution.Entry
		for _, p := range parties[:3] {
			shareList = append(shareList, attribution.Entry{Key: p, Value: rapid.Uint64Range(0, math.MaxInt64/4).Draw(t, p)})
		}
		shareList = append(shareList, attribution.Entry{Key: "rest", Value: 1})
		shares, err := attribution.NewVector(shareList)
		if err != nil {
			t.Fatal(err)
		}
		var records, halves []attribution.Usage
		var sum uint64
		for i := range rapid.IntRange(0, 20).Draw(t, "n") {
			u := use(fmt.Sprint(i), rapid.SampledFrom([]string{"w1", "w2"}).Draw(t, "work"), rapid.SampledFrom(parties).Draw(t, "payer"), rapid.Uint64Range(0, math.MaxInt64/20).Draw(t, "qty"))
			records = append(records, u)
			sum += u.Qty
			a, b := u, u
			a.Qty, b.Qty, b.ID = u.Qty/3, u.Qty-u.Qty/3, u.ID+"b"
			halves = append(halves, a, b)
		}
		run := func(r []attribution.Usage) (attribution.Vector, []attribution.Wash) {
			v, w, err := attribution.MeterUsage("token", seq(r), func(string) (attribution.Vector, error) { return shares, nil })
			if err != nil {
				t.Fatal(err)
			}
			return v, w
		}
		v, washed := run(records)
		for _, w := range washed {
			own, _ := shares.Get(w.Payer)
			// Excluded is the least integer not below qty·own/total.
			exact := new(big.Rat).Mul(new(big.Rat).SetUint64(w.Qty), new(big.Rat).SetFrac(new(big.Int).SetUint64(own), new(big.Int).SetUint64(shares.Total())))
			over := new(big.Rat).Sub(new(big.Rat).SetUint64(w.Excluded), exact)
			if over.Sign() < 0 || over.Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("%v: exact would be %s", w, exact)
			}
			sum -= w.Excluded
		}
		if v.Total() != sum {
			t.Fatalf("a total of %d, want %d", v.Total(), sum)
		}
		for name, other := range map[string][]attribution.Usage{"order": shuffled(records, 3), "cutting records": halves} {
			if v2, w2 := run(other); !v2.Equal(v) || !slices.Equal(w2, washed) {
				t.Fatalf("%s shows: %v and %v, %v and %v", name, v, v2, washed, w2)
			}
		}
	})
}

func TestUsageRefuses(t *testing.T) {
	one := vec(t, "ana", 1)
	broken := errors.New("broken")
	other := use("1", "w", "x", 1)
	other.Meter = "hour"
	for name, test := range map[string]struct {
		records iter.Seq2[attribution.Usage, error]
		shares  attribution.Vector
		err     error
		want    error
	}{
		"a record twice":       {seq([]attribution.Usage{use("1", "w", "x", 1), use("1", "w", "x", 1)}), one, nil, fault.Invalid},
		"another meter":        {seq([]attribution.Usage{other}), one, nil, fault.Invalid},
		"no shares":            {seq([]attribution.Usage{use("1", "w", "x", 1)}), vec(t), nil, fault.Invalid},
		"too much":             {seq([]attribution.Usage{use("1", "w", "x", 1<<63-1), use("2", "w", "x", 1)}), one, nil, fault.Invalid},
		"too much over payers": {seq([]attribution.Usage{use("1", "w", "x", 1<<63-1), use("2", "w", "y", 1)}), one, nil, fault.Invalid},
		"a bad statement":      {seq([]attribution.Usage{use("1", "~self", "x", 1)}), one, nil, fault.Invalid},
		"unknown shares":       {seq([]attribution.Usage{use("1", "w", "x", 1)}), one, broken, broken},
		"unreadable":           {failing([]attribution.Usage{use("1", "w", "x", 1)}, broken), one, nil, broken},
	} {
		v, w, err := attribution.MeterUsage("token", test.records, func(string) (attribution.Vector, error) { return test.shares, test.err })
		if !errors.Is(err, test.want) || v.Len() > 0 || test.err == nil && len(w) > 0 {
			t.Errorf("%s: %v, %v, %v", name, v, w, err)
		}
	}
	v, washed := meter(t, []attribution.Usage{use("1", "w", "ana", 5)}, one)
	if equal(t, v, vec(t)); len(washed) != 1 || washed[0].Excluded != 5 {
		t.Errorf("a sole owner's own use: %v", washed)
	}
}

// worth is the utility of the subset s of train, as bits, for one test point:
// the right labels among the k nearest, times 1/k.
func worth(s uint, k int, train []attribution.Point, test attribution.Point) *big.Rat {
	type member struct {
		d   int64
		key string
		ok  bool
	}
	var m []member
	for i, p := range train {
		if s>>i&1 == 1 {
			x := member{key: p.Key, ok: p.Label == test.Label}
			for j := range p.Embedding {
				d := int64(p.Embedding[j]) - int64(test.Embedding[j])
				x.d += d * d
			}
			m = append(m, x)
		}
	}
	slices.SortFunc(m, func(a, b member) int {
		if a.d != b.d {
			return int(max(-1, min(1, a.d-b.d)))
		}
		return strings.Compare(a.key, b.key)
	})
	right := int64(0)
	for _, x := range m[:min(k, len(m))] {
		if x.ok {
			right++
		}
	}
	return big.NewRat(right, int64(k))
}

// shapley computes the values by their definition, over all subsets.
func shapley(k int, train, tests []attribution.Point) []*big.Rat {
	n := len(train)
	out := make([]*big.Rat, n)
	for i := range out {
		out[i] = new(big.Rat)
	}
	for _, test := range tests {
		for s := range uint(1) << n {
			w := worth(s, k, train, test)
			for i := range n {
				if s>>i&1 == 1 {
					continue
				}
				// |S|!(n−|S|−1)!/n! = 1/(n·C(n−1,|S|))
				weight := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Mul(big.NewInt(int64(n)), new(big.Int).Binomial(int64(n-1), int64(bits.OnesCount(s)))))
				gain := new(big.Rat).Sub(worth(s|1<<i, k, train, test), w)
				out[i].Add(out[i], weight.Mul(weight, gain))
			}
		}
	}
	for _, x := range out {
		x.Mul(x, big.NewRat(1, int64(len(tests))))
	}
	return out
}

func TestKNNShapleyIsTheShapleyValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.IntRange(1, 2).Draw(t, "dim")
		// Few places and labels: ties are the rule. The extremes are among them.
		point := func(key string) attribution.Point {
			return attribution.Point{Key: key, Label: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "label"),
				Embedding: rapid.SliceOfN(rapid.SampledFrom([]int16{0, 0, 1, 2, -3, math.MinInt16, math.MaxInt16}), dim, dim).Draw(t, "at")}
		}
		var train, tests []attribution.Point
		for i := range rapid.IntRange(1, 7).Draw(t, "train") {
			train = append(train, point(fmt.Sprint("p", i)))
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "tests") {
			tests = append(tests, point(fmt.Sprint("t", i)))
		}
		k := rapid.IntRange(1, len(train)).Draw(t, "k")
		v, err := attribution.KNNShapley(k, shuffled(train, rapid.Uint64().Draw(t, "seed")), shuffled(tests, 1))
		if err != nil {
			t.Fatal(err)
		}
		if v.Len() != len(train) {
			t.Fatalf("%d values for %d points", v.Len(), len(train))
		}
		for i, s := range shapley(k, train, tests) {
			want := new(big.Int)
			if s.Sign() > 0 {
				want.Quo(want.Mul(s.Num(), big.NewInt(1_000_000_000)), s.Denom())
			}
			if got, _ := v.Get(train[i].Key); got != want.Uint64() {
				t.Fatalf("%s has %d, want %s of %s", train[i].Key, got, want, s)
			}
		}
	})
}

// On more points, against the recursion as it is printed, in rationals.
func TestKNNShapleyIsTheRecursion(t *testing.T) {
	for _, k := range []int{1, 5, 60} {
		train, tests := clouds(60, 5, 3)
		v, err := attribution.KNNShapley(k, train, tests)
		if err != nil {
			t.Fatal(err)
		}
		sums := make(map[string]*big.Rat)
		for _, test := range tests {
			order := slices.Clone(train)
			dist := func(p attribution.Point) (d int64) {
				for j := range p.Embedding {
					x := int64(p.Embedding[j]) - int64(test.Embedding[j])
					d += x * x
				}
				return d
			}
			slices.SortFunc(order, func(a, b attribution.Point) int {
				if x, y := dist(a), dist(b); x != y {
					return int(max(-1, min(1, x-y)))
				}
				return strings.Compare(a.Key, b.Key)
			})
			right := func(i int) int64 {
				if order[i-1].Label == test.Label {
					return 1
				}
				return 0
			}
			n := len(order)
			s := big.NewRat(right(n), int64(n))
			for i := n; i >= 1; i-- {
				if i < n {
					step := big.NewRat((right(i)-right(i+1))*int64(min(k, i)), int64(k)*int64(i))
					s = new(big.Rat).Add(s, step)
				}
				key := order[i-1].Key
				if sums[key] == nil {
					sums[key] = new(big.Rat)
				}
				sums[key].Add(sums[key], s)
			}
		}
		for key, s := range sums {
			s.Mul(s, big.NewRat(1_000_000_000, int64(len(tests))))
			want := new(big.Int)
			if s.Sign() > 0 {
				want.Quo(s.Num(), s.Denom())
			}
			if got, _ := v.Get(key); got != want.Uint64() {
				t.Errorf("k %d: %s has %d, want %s", k, key, got, want)
			}
		}
	}
}

// clouds are labelled points around two centres.
func clouds(n, tests, dim int) (train, test []attribution.Point) {
	points := func(prefix string, n int, seed uint64) (out []attribution.Point) {
		b := noise(seed, n*(dim+1))
		for i := range n {
			p := attribution.Point{Key: fmt.Sprintf("%s%05d", prefix, i), Label: "even", Embedding: make([]int16, dim)}
			x := b[i*(dim+1) : (i+1)*(dim+1)]
			for j := range p.Embedding {
				p.Embedding[j] = int16(x[j]) - 128
			}
			if x[dim]%2 == 1 {
				p.Label = "odd"
				p.Embedding[0] += 100
			}
			out = append(out, p)
		}
		return out
	}
	return points("p", n, 31), points("t", tests, 32)
}

func TestKNNShapleyRefuses(t *testing.T) {
	p := func(key string, at ...int16) attribution.Point { return attribution.Point{key, "l", at} }
	good := []attribution.Point{p("a", 1), p("b", 2)}
	for name, test := range map[string]struct {
		k            int
		train, tests []attribution.Point
		want         fault.Code
	}{
		"k of 0":            {0, good, good, fault.Invalid},
		"k above N":         {3, good, good, fault.Invalid},
		"no training point": {1, nil, good, fault.Invalid},
		"no test point":     {1, good, nil, fault.Invalid},
		"a key twice":       {1, []attribution.Point{p("a", 1), p("a", 2)}, good, fault.Invalid},
		"a test twice":      {1, good, []attribution.Point{p("a", 1), p("a", 2)}, fault.Invalid},
		"two dimensions":    {1, []attribution.Point{p("a", 1), p("b", 2, 3)}, good, fault.Invalid},
		"another dimension": {1, good, []attribution.Point{p("a", 1, 2)}, fault.Invalid},
		"no embedding":      {1, []attribution.Point{p("a")}, good, fault.Invalid},
		"a bad label":       {1, []attribution.Point{{"a", "l,l", []int16{1}}}, good, fault.Invalid},
		"a bad key":         {1, []attribution.Point{{"~self", "l", []int16{1}}}, good, fault.Invalid},
		"many dimensions":   {1, []attribution.Point{p("a", make([]int16, attribution.MaxDim+1)...)}, good, fault.TooLarge},
		"many points":       {1, make([]attribution.Point, attribution.MaxTrain+1), good, fault.TooLarge},
		"many tests":        {1, good, make([]attribution.Point, attribution.MaxTest+1), fault.TooLarge},
	} {
		if v, err := attribution.KNNShapley(test.k, test.train, test.tests); fault.Of(err) != test.want {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	many := make([]attribution.Point, 1<<14)
	one := make([]int16, attribution.MaxDim)
	for i := range many {
		many[i] = attribution.Point{fmt.Sprint(i), "l", one}
	}
	if _, err := attribution.KNNShapley(1, many, many[:1<<11+1]); fault.Of(err) != fault.TooLarge {
		t.Errorf("too much work: %v", err)
	}
}

func BenchmarkKNNShapley(b *testing.B) {
	for _, size := range []struct{ n, tests, dim int }{{1000, 100, 384}, {10_000, 20, 384}} {
		train, tests := clouds(size.n, size.tests, size.dim)
		b.Run(fmt.Sprintf("n=%d/tests=%d/dim=%d", size.n, size.tests, size.dim), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := attribution.KNNShapley(5, train, tests); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestCapLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, err := attribution.NewVector(genEntries.Draw(t, "e"))
		if err != nil {
			t.Fatal(err)
		}
		ppm := rapid.Uint32Range(1, 1_000_000).Draw(t, "ppm")
		c, err := attribution.Cap(v, ppm)
		if err != nil {
			t.Fatal(err)
		}
		if c.Total() != v.Total() {
			t.Fatalf("the total was %d and is %d", v.Total(), c.Total())
		}
		again, err := attribution.Cap(c, ppm)
		if err != nil || !again.Equal(c) {
			t.Fatalf("a second cap: %v, %v", again, err)
		}
		most := new(big.Int).SetUint64(v.Total())
		most.Quo(most.Mul(most, big.NewInt(int64(ppm))), big.NewInt(1_000_000))
		for k, n := range c.All() {
			before, _ := v.Get(k)
			if k == attribution.Self {
				if n < before {
					t.Fatalf("~self fell from %d to %d", before, n)
				}
			} else if n != min(before, most.Uint64()) {
				t.Fatalf("%s had %d and has %d; the cap is %s", k, before, n, most)
			}
		}
	})
	for _, ppm := range []uint32{0, 1_000_001, math.MaxUint32} {
		if _, err := attribution.Cap(vec(t, "a", 1), ppm); fault.Of(err) != fault.Invalid {
			t.Errorf("a cap of %d: %v", ppm, err)
		}
	}
}

func TestEqualAndDeclared(t *testing.T) {
	v, err := attribution.Equal([]string{"ben", "ana"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, v, vec(t, "ana", 1, "ben", 1))
	if _, err := attribution.Equal([]string{"ana", "ana"}); fault.Of(err) != fault.Invalid {
		t.Errorf("a party twice: %v", err)
	}
	weights := []attribution.Entry{{"ben", 2}, {"ana", 1}, {"~self", 7}}
	v, err = attribution.Declared(weights, func(p string) bool { return p == "ana" || p == "ben" })
	if err != nil {
		t.Fatal(err)
	}
	equal(t, v, vec(t, "ana", 1, "ben", 2, "~self", 7))
	if _, err := attribution.Declared(weights, func(p string) bool { return p == "ana" }); fault.Of(err) != fault.Unverified || !strings.Contains(err.Error(), "ben") {
		t.Errorf("ben has not signed: %v", err)
	}
}
