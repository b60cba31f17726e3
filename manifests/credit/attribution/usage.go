package attribution

import (
	"cmp"
	"fmt"
	"iter"
	"math/bits"
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxUsage bounds the usage records of a vector. Meters add up before they
// sign: a million records are a record for each of 1,000 payers and datasets.
const MaxUsage = 1 << 20

// Usage is a metered use as a payer signed it. Its signature has been verified.
type Usage struct {
	ID        string // the usage record's statement CID
	Statement string // of the work that was used: the key in the vector
	Meter     string // what was counted
	Qty       uint64 // how much of it
	Payer     string // who signed and pays
}

// A Wash is usage of a work by one who earns from it.
type Wash struct {
	Statement, Payer string
	Qty              uint64 // all that this payer used of this work
	Excluded         uint64 // the part of Qty that does not count
}

// MeterUsage computes usage-meter/1: for each statement, the sum of what its
// payers used of it, all on one meter.
//
// What a beneficiary pays for its own work is not demand. Of the usage by a
// payer who holds w of the W shares of the work, ⌊qty·(W−w)/W⌋ count; the rest
// is excluded and reported. The floor is taken once for each payer and work,
// so cutting a record into many changes nothing. shares gives a work's shares
// by party and is asked once for each payer and work. Only the work's own
// shares are looked at, not those of its sources; and one who pays under
// another name is not seen.
//
// The total of the vector and of all that is excluded is the sum of the
// records. Keys that get nothing are left out. A record twice, a meter other
// than meter, and a work without shares are fault.Invalid, more than
// [MaxUsage] records fault.TooLarge.
func MeterUsage(meter string, records iter.Seq2[Usage, error], shares func(statement string) (Vector, error)) (Vector, []Wash, error) {
	type pair struct{ statement, payer string }
	seen, used := make(map[string]bool), make(map[pair]uint64)
	for u, err := range records {
		if err != nil {
			return Vector{}, nil, err
		}
		switch {
		case seen[u.ID]:
			return Vector{}, nil, fault.New(fault.Invalid, "the usage record %s is there twice", fault.Quote(u.ID))
		case u.Meter != meter:
			return Vector{}, nil, fault.New(fault.Invalid, "the usage record %s counts %s, not %s", fault.Quote(u.ID), fault.Quote(u.Meter), fault.Quote(meter))
		case len(seen) == MaxUsage:
			return Vector{}, nil, fault.New(fault.TooLarge, "more than %d usage records", MaxUsage)
		}
		if err := checkName(u.Statement); err != nil {
			return Vector{}, nil, err
		}
		seen[u.ID] = true
		p := pair{u.Statement, u.Payer}
		if used[p], err = add(used[p], u.Qty); err != nil {
			return Vector{}, nil, err
		}
	}
	t, washed := make(tally), []Wash(nil)
	for p, qty := range used {
		v, err := shares(p.statement)
		if err != nil {
			return Vector{}, nil, fmt.Errorf("the shares of %s: %w", fault.Quote(p.statement), err)
		}
		if v.Total() == 0 {
			return Vector{}, nil, fault.New(fault.Invalid, "%s has no shares", fault.Quote(p.statement))
		}
		counts := qty
		if own, _ := v.Get(p.payer); own > 0 {
			counts = mulDiv(qty, v.Total()-own, v.Total())
			washed = append(washed, Wash{p.statement, p.payer, qty, qty - counts})
		}
		if err := t.add(p.statement, counts); err != nil {
			return Vector{}, nil, err
		}
	}
	slices.SortFunc(washed, func(a, b Wash) int {
		return cmp.Or(cmp.Compare(a.Statement, b.Statement), cmp.Compare(a.Payer, b.Payer))
	})
	v, err := t.vector(false)
	return v, washed, err
}

// mulDiv is ⌊a·b/c⌋ for b ≤ c and c > 0, with a product of 128 bits. The
// quotient is at most a.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, _ := bits.Div64(hi, lo, c)
	return q
}
