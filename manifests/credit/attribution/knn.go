package attribution

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// KNNShapley computes knn-shapley/1: the Shapley value of each training point
// in the game whose worth, for a test point, is the share of right labels
// among the k nearest members. Distances are squared L2; of equal distances
// the smaller key is nearer. With the training points α_1 … α_N from nearest to
// farthest and [i] = 1 when α_i has the test point's label, else 0, it is, by
// Jia et al. (VLDB 2019, theorem 1),
//
//	s(α_N) = [N]/N
//	s(α_i) = s(α_{i+1}) + ([i] − [i+1])/k · min(k,i)/i
//
// averaged over the test points. The vector holds, for every training point,
// ⌊s·10^9⌋, or 0 where s is negative. All of it is exact: there is no float,
// and one floor at the end.
//
// The order of the points does not matter. It is fault.Invalid when k is not
// from 1 to N, there are no test points, a key stands twice among the training
// or the test points, or the points differ in dimension; above a limit,
// fault.TooLarge.
func KNNShapley(k int, train, tests []Point) (Vector, error) {
	train, tests = byKey(train), byKey(tests)
	if err := checkPoints(train, MaxTrain); err != nil {
		return Vector{}, fmt.Errorf("training points: %w", err)
	}
	if err := checkPoints(tests, MaxTest); err != nil {
		return Vector{}, fmt.Errorf("test points: %w", err)
	}
	n := len(train)
	if len(tests) == 0 || n == 0 {
		return Vector{}, fault.New(fault.Invalid, "%d training points and %d test points: there must be one of each", n, len(tests))
	}
	if k < 1 || k > n {
		return Vector{}, fault.New(fault.Invalid, "k is %d; it must be from 1 to the number of training points, %d", k, n)
	}
	dim := len(train[0].Embedding)
	if d := len(tests[0].Embedding); d != dim {
		return Vector{}, fault.New(fault.Invalid, "the training points have %d dimensions, the test points %d", dim, d)
	}
	if work := uint64(n) * uint64(len(tests)) * uint64(dim); work > MaxKNNWork {
		return Vector{}, fault.New(fault.TooLarge, "%d·%d·%d products; %d are allowed", n, len(tests), dim, uint64(MaxKNNWork))
	}

	// min(k,i)/(k·i) = 1/max(k,i), so every score is a multiple of 1/l, l the
	// least common multiple of k … n, and is kept as that multiple.
	l := big.NewInt(1)
	for i := k; i <= n; i++ {
		lcm(l, int64(i))
	}
	step := make([]*big.Int, n+1) // step[i] = l/max(k,i)
	for i := n; i > 0; i-- {
		if i < k {
			step[i] = step[k]
		} else {
			step[i] = new(big.Int).Quo(l, big.NewInt(int64(i)))
		}
	}

	sums := make([]big.Int, n) // over the tests so far, for train[j]
	order := make([]neighbour, n)
	var s big.Int
	for _, test := range tests {
		for j := range train {
			order[j] = neighbour{squaredDistance(train[j].Embedding, test.Embedding), j}
		}
		// train is in order of its keys, so its index breaks ties.
		slices.SortFunc(order, func(a, b neighbour) int {
			return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.j, b.j))
		})
		s.SetInt64(0)
		next := false // the label of the point one farther is right; beyond the last, none is
		for i := n; i > 0; i-- {
			j := order[i-1].j
			right := train[j].Label == test.Label
			switch {
			case right && !next:
				s.Add(&s, step[i])
			case !right && next:
				s.Sub(&s, step[i])
			}
			sums[j].Add(&sums[j], &s)
			next = right
		}
	}

	l.Mul(l, big.NewInt(int64(len(tests))))
	scale := big.NewInt(ScoreScale)
	entries := make([]Entry, n)
	for j := range sums {
		entries[j].Key = train[j].Key
		if x := &sums[j]; x.Sign() > 0 {
			entries[j].Value = x.Quo(x.Mul(x, scale), l).Uint64()
		}
	}
	return NewVector(entries)
}

// A neighbour is a training point seen from a test point.
type neighbour struct {
	distance int64
	j        int
}

// squaredDistance is below 2^32·MaxDim.
func squaredDistance(a, b []int16) int64 {
	var sum int64
	b = b[:len(a)]
	for i, x := range a {
		d := int64(x) - int64(b[i])
		sum += d * d
	}
	return sum
}

// lcm makes l the least common multiple of l and n.
func lcm(l *big.Int, n int64) {
	m := big.NewInt(n)
	g := new(big.Int).GCD(nil, nil, l, m)
	l.Mul(l, m.Quo(m, g))
}
