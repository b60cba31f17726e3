package attribution

import (
	"github.com/cairn-registry/cairn/manifests/fault"
)

// ppm is one million: every rate is in parts of it.
const ppm = 1_000_000

// Cap returns v with no key but [Self] above ⌊total·capPpm/10^6⌋; what is cut
// off goes to Self, so the total stays and a second Cap changes nothing. It is
// not handed to the other keys: whoever can inflate one score can then not
// gain through another. A party with two keys has two caps, so a cap binds only
// where keys are known parties.
//
// A capPpm of 0 or above 10^6 is fault.Invalid.
func Cap(v Vector, capPpm uint32) (Vector, error) {
	most, err := capOf(v.total, capPpm)
	if err != nil {
		return Vector{}, err
	}
	entries, excess, self := make([]Entry, 0, len(v.entries)+1), uint64(0), uint64(0)
	hasSelf := false
	for _, e := range v.entries {
		if e.Key == Self {
			self, hasSelf = e.Value, true
			continue
		}
		if e.Value > most {
			excess += e.Value - most // at most the total
			e.Value = most
		}
		entries = append(entries, e)
	}
	if hasSelf || excess > 0 {
		entries = append(entries, Entry{Self, self + excess})
	}
	return NewVector(entries)
}

func capOf(total uint64, capPpm uint32) (uint64, error) {
	if capPpm == 0 || capPpm > ppm {
		return 0, fault.New(fault.Invalid, "a cap of %d ppm; it must be from 1 to %d", capPpm, ppm)
	}
	return mulDiv(total, uint64(capPpm), ppm), nil
}
