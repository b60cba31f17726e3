package credit

import (
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Delta is by how much a recomputed run differs for one payee: what the payee
// was credited or is held for them, before and after, in fine units.
type Delta struct {
	Payee string
	Old   Amount
	New   Amount
}

// Amount returns New − Old.
func (d Delta) Amount() (Amount, error) { return d.New.Sub(d.Old) }

// Adjust recomputes the run of a closed period as if a retroactive agreement
// had been in effect from the period that it names, and returns the payees for
// whom something changes, sorted. The deltas sum to 0: the same revenue is
// shared among others. It changes no run and no balance.
//
// An agreement that is not there, or a period that is not closed, is
// fault.NotFound; an agreement that is not retroactive or not in force is
// fault.Conflict.
func (l *Ledger) Adjust(p Period, currency, agreementStatement string) ([]Delta, error) {
	b, err := l.book(currency)
	if err != nil {
		return nil, err
	}
	id, ok := l.agreementIDs[agreementStatement]
	if !ok || p < l.first || p >= l.open {
		return nil, fault.New(fault.NotFound, "no agreement %s, or %d is not closed", fault.Quote(agreementStatement), p)
	}
	if a := &l.agreements[id]; !a.retro || !a.inForce {
		return nil, fault.New(fault.Conflict, "%s is not retroactive or not in force", agreementStatement)
	}
	old := l.allocate(b.counted[p], none).sums(l)
	now := l.allocate(b.counted[p], id).sums(l)
	var changed []uint32
	for i := range old {
		if old[i] != now[i] {
			changed = append(changed, uint32(i))
		}
	}
	l.parties.sort(changed)
	out := make([]Delta, len(changed))
	for i, party := range changed {
		out[i] = Delta{l.parties.str(party), old[party].amount(), now[party].amount()}
	}
	return out, nil
}

// sums returns by party what is credited or held.
func (a *allocation) sums(l *Ledger) []int128 {
	out := make([]int128, l.parties.len())
	for i := range a.blocks {
		b := &a.blocks[i]
		if b.retained {
			continue
		}
		amounts := a.amounts(b)
		for j, party := range l.partiesOf(b.shares) {
			out[party] = out[party].plus(amounts[j])
		}
	}
	return out
}
