package attribution

import (
	"fmt"

	"github.com/cairn-registry/cairn/manifests/credit"
)

// Apportion returns the vector with the keys of v whose values sum to total
// exactly, in proportion to v's by [credit.Apportion]. A key with the value 0
// keeps 0. A total above [MaxTotal], and a v that sums to 0, are fault.Invalid.
func (v Vector) Apportion(total uint64) (Vector, error) {
	if _, err := add(0, total); err != nil {
		return Vector{}, err
	}
	w := make([]credit.Weight, len(v.entries))
	for i, e := range v.entries {
		w[i] = credit.Weight{Key: e.Key, Weight: e.Value}
	}
	parts, err := credit.Apportion(credit.FromUint64(total), w)
	if err != nil {
		return Vector{}, fmt.Errorf("apportioning a vector: %w", err)
	}
	entries := make([]Entry, len(parts))
	for i, p := range parts {
		n, _ := p.Amount.Uint64() // at most total
		entries[i] = Entry{p.Key, n}
	}
	return sorted(entries)
}

// Edges returns v as a node of the derivation graph states it: the weight of
// each key but [Self], zeros left out, sorted by key; and Self's weight. With
// v from Apportion(edgeTotal), the weights and self sum to edgeTotal.
func (v Vector) Edges() (edges []credit.Weight, self uint64) {
	for _, e := range v.entries {
		switch {
		case e.Key == Self:
			self = e.Value
		case e.Value > 0:
			edges = append(edges, credit.Weight{Key: e.Key, Weight: e.Value})
		}
	}
	return edges, self
}
