package attribution

import "github.com/cairn-registry/cairn/manifests/fault"

// Equal computes equal/1: 1 for each party. Nothing keeps a person from being
// two parties; use it only where somebody has looked.
func Equal(parties []string) (Vector, error) {
	entries := make([]Entry, len(parties))
	for i, p := range parties {
		entries[i] = Entry{p, 1}
	}
	return NewVector(entries)
}

// Declared computes declared/1: the weights as they were declared, if every
// key has signed them. A key that has not is fault.Unverified. Self signs
// nothing.
func Declared(weights []Entry, signed func(key string) bool) (Vector, error) {
	v, err := NewVector(weights)
	if err != nil {
		return Vector{}, err
	}
	for _, e := range v.entries {
		if e.Key != Self && !signed(e.Key) {
			return Vector{}, fault.New(fault.Unverified, "%s has not signed the declared weights", fault.Quote(e.Key))
		}
	}
	return v, nil
}
