package credit

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Limits of the derivation graph. They bound what one entry can make the fold
// and the engine do.
const (
	// MaxEdges bounds the edges of one version, and MaxDepth the longest way
	// from a version to one without edges: together they bound the work that a
	// single event can cause.
	MaxEdges = 1024
	MaxDepth = 64
	// MaxAncestors bounds the ancestors with a floor that a version carries.
	MaxAncestors = 1024

	// PPM is the denominator of every rate.
	PPM = 1_000_000
	// EffOne is an effective rate of 1: what is pushed from a version to
	// measure how much of it reaches each ancestor.
	EffOne = 1_000_000_000_000
)

// An EdgeCode says why the edges of a version are refused. The empty code
// accepts them.
type EdgeCode string

// The closed list of codes.
const (
	Underpaid     EdgeCode = "underpaid" // an edge is below what its parent's rules ask
	OverCap       EdgeCode = "cap"       // the edges to other works together are above a parent's cap
	UnderFloor    EdgeCode = "floor"     // too little reaches an ancestor that set a floor
	TooManyEdges  EdgeCode = "edges"     // more than MaxEdges edges
	TooDeep       EdgeCode = "depth"     // deeper than MaxDepth
	TooManyFloors EdgeCode = "ancestors" // more than MaxAncestors ancestors with a floor
)

// The ways in which the rates of several parents add up.
const (
	StackSum      = "sum"
	StackWeighted = "weighted"
	StackPool     = "pool"
)

// EdgeRules are what a version asks of those derived from it. Rates are parts
// per million.
type EdgeRules struct {
	RatePpm  uint64
	Stacking string // StackSum, also when empty; StackWeighted; StackPool
	FloorPpm uint64
	CapPpm   uint64 // 0: no cap
	Pool     string // the statement of the pool, under StackPool
	PoolPpm  uint64
}

// An Ancestor is a version with a floor that a version leads to, and the part
// of the version's revenue that reaches it.
type Ancestor struct {
	Statement string
	Work      string
	FloorPpm  uint64
	Eff       uint64 // of EffOne
}

// A Parent is a version that an edge leads to, as the log left it.
type Parent struct {
	Statement string
	Work      string
	Weight    uint64 // of the edge; 0 for a source that has none
	Share     uint64 // of ShareTotal, by an attribution; only for StackWeighted
	// Rules are nil when the parent asks nothing of this child.
	Rules *EdgeRules
	Depth int // as CheckEdges returned it for the parent
	// Ancestors are the parent's own, as CheckEdges returned them.
	Ancestors []Ancestor
}

// A Child is a version at its registration.
type Child struct {
	Work    string
	Parents []Parent
	// SelfWeight + Σ weights = EdgeTotal = PPM·ShareTotal. ShareTotal is 1 when
	// no parent stacks by weight. Without parents the three are not looked at.
	SelfWeight uint64
	EdgeTotal  uint64
	ShareTotal uint64
}

// Edges is what the fold stores of an accepted child.
type Edges struct {
	Depth     int        // 1 without parents, else 1 + the deepest parent's
	Ancestors []Ancestor // sorted by statement, at most MaxAncestors
}

// CheckEdges applies the parents' rules to the edges of a new version. It is
// the one place where policy becomes integers: a run sees the weights alone.
//
//	sum       weight ≥ ratePpm·S                          S = ShareTotal
//	weighted  weight ≥ ratePpm·share, Σ share ≤ S
//	pool      the edge to the pool ≥ poolPpm·S, once for all parents that name it
//	cap       Σ weights to other works ≤ capPpm·S, for the smallest cap
//	floor     eff(child, a) ≥ floorPpm(a)·10^6 for every ancestor a
//	          eff(child, a) = Σ_p ⌊weight(p)·eff(p, a) / edgeTotal⌋, eff(a, a) = 10^12
//
// A parent or ancestor of the child's own work is outside rate, cap and floor;
// what passes through it counts. The order of Parents does not matter.
//
// The code is the verdict, empty when the edges hold; Edges is then what to
// store. Several codes may apply; the one returned is the first of edges,
// depth, underpaid, cap, ancestors, floor. An error is fault.Invalid: the child
// is not of the form above, which its statement's validation should have found.
func CheckEdges(c Child) (Edges, EdgeCode, error) {
	if len(c.Parents) > MaxEdges {
		return Edges{}, TooManyEdges, nil
	}
	if len(c.Parents) == 0 {
		return Edges{Depth: 1}, "", nil
	}
	weights, err := c.weights()
	if err != nil {
		return Edges{}, "", err
	}
	e := Edges{Depth: 1}
	for _, p := range c.Parents {
		e.Depth = max(e.Depth, 1+p.Depth)
	}
	switch {
	case e.Depth > MaxDepth:
		return Edges{}, TooDeep, nil
	case c.underpaid(weights):
		return Edges{}, Underpaid, nil
	case c.overCap():
		return Edges{}, OverCap, nil
	}
	e.Ancestors = c.ancestors()
	if len(e.Ancestors) > MaxAncestors {
		return Edges{}, TooManyFloors, nil
	}
	for _, a := range e.Ancestors {
		if a.Work != c.Work && a.Eff < a.FloorPpm*(EffOne/PPM) {
			return Edges{}, UnderFloor, nil
		}
	}
	return e, "", nil
}

// weights checks the form of c and returns the edges' weights by statement.
func (c *Child) weights() (map[string]uint64, error) {
	if c.ShareTotal == 0 || c.ShareTotal > MaxWeight/PPM || c.EdgeTotal != c.ShareTotal*PPM {
		return nil, fault.New(fault.Invalid, "edges: the total %d is not 10^6 times the share total %d", c.EdgeTotal, c.ShareTotal)
	}
	left, shares := c.EdgeTotal, c.ShareTotal
	byID := make(map[string]uint64, len(c.Parents))
	for _, p := range c.Parents {
		if _, twice := byID[p.Statement]; twice {
			return nil, fault.New(fault.Invalid, "edges: %s stands twice", fault.Quote(p.Statement))
		}
		if p.Weight > left || p.Share > shares {
			return nil, fault.New(fault.Invalid, "edges: the weights or shares exceed their total")
		}
		if p.Depth < 1 || len(p.Ancestors) > MaxAncestors {
			return nil, fault.New(fault.Invalid, "edges: %s comes without a depth or with too many ancestors", fault.Quote(p.Statement))
		}
		if r := p.Rules; r != nil {
			if max(r.RatePpm, r.FloorPpm, r.CapPpm, r.PoolPpm) > PPM {
				return nil, fault.New(fault.Invalid, "edges: a rate of %s is above 10^6", fault.Quote(p.Statement))
			}
			switch r.Stacking {
			case "", StackSum, StackWeighted, StackPool:
			default:
				return nil, fault.New(fault.Invalid, "edges: no stacking %s", fault.Quote(r.Stacking))
			}
		}
		for _, a := range p.Ancestors {
			if a.Eff > EffOne || a.FloorPpm > PPM {
				return nil, fault.New(fault.Invalid, "edges: an ancestor of %s has a rate above 1", fault.Quote(p.Statement))
			}
		}
		left -= p.Weight
		shares -= p.Share
		byID[p.Statement] = p.Weight
	}
	if left != c.SelfWeight {
		return nil, fault.New(fault.Invalid, "edges: the weights and selfWeight do not sum to the total")
	}
	return byID, nil
}

func (c *Child) underpaid(weights map[string]uint64) bool {
	for _, p := range c.Parents {
		r := p.Rules
		if r == nil || p.Work == c.Work {
			continue
		}
		// Each product is at most PPM·ShareTotal, which is the edge total.
		switch r.Stacking {
		case StackWeighted:
			if p.Weight < r.RatePpm*p.Share {
				return true
			}
		case StackPool:
			if weights[r.Pool] < r.PoolPpm*c.ShareTotal {
				return true
			}
		default:
			if p.Weight < r.RatePpm*c.ShareTotal {
				return true
			}
		}
	}
	return false
}

func (c *Child) overCap() bool {
	var sum uint64
	limit := uint64(PPM)
	for _, p := range c.Parents {
		if p.Work == c.Work {
			continue
		}
		sum += p.Weight
		if p.Rules != nil && p.Rules.CapPpm > 0 {
			limit = min(limit, p.Rules.CapPpm)
		}
	}
	return sum > limit*c.ShareTotal
}

// ancestors adds up what reaches each ancestor with a floor.
func (c *Child) ancestors() []Ancestor {
	byID := map[string]*Ancestor{}
	add := func(a Ancestor, weight uint64) {
		hi, lo := bits.Mul64(weight, a.Eff)
		a.Eff, _ = bits.Div64(hi, lo, c.EdgeTotal) // ≤ a.Eff, as weight ≤ EdgeTotal
		if have := byID[a.Statement]; have != nil {
			have.Eff += a.Eff // Σ ≤ EffOne, as Σ weight ≤ EdgeTotal
		} else {
			byID[a.Statement] = &a
		}
	}
	for _, p := range c.Parents {
		if p.Weight == 0 {
			continue
		}
		if p.Rules != nil && p.Rules.FloorPpm > 0 {
			add(Ancestor{Statement: p.Statement, Work: p.Work, FloorPpm: p.Rules.FloorPpm, Eff: EffOne}, p.Weight)
		}
		for _, a := range p.Ancestors {
			add(a, p.Weight)
		}
	}
	all := make([]Ancestor, 0, len(byID))
	for _, a := range byID {
		all = append(all, *a)
	}
	slices.SortFunc(all, func(a, b Ancestor) int { return cmp.Compare(a.Statement, b.Statement) })
	return all
}
