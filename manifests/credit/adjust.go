package credit

import (
	"slices"

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

// runKey names a run.
type runKey struct {
	period   Period
	currency string
}

// Adjust recomputes the run of a closed period as if a retroactive agreement
// had been in effect from the period that it names, and returns the payees for
// whom something changes, sorted. The deltas sum to 0: the same revenue is
// shared among others. Agreements that adjusted the run before count on both
// sides. It changes no run and no balance: that is [Ledger.AddAdjustment].
//
// An agreement that is not there, or a period that is not closed, is
// fault.NotFound; an agreement that is not retroactive or not in force is
// fault.Conflict.
func (l *Ledger) Adjust(p Period, currency, agreementStatement string) ([]Delta, error) {
	parties, old, now, err := l.adjust(p, currency, agreementStatement)
	if err != nil {
		return nil, err
	}
	l.parties.sort(parties)
	out := make([]Delta, len(parties))
	for i, party := range parties {
		out[i] = Delta{l.parties.str(party), old[party].amount(), now[party].amount()}
	}
	return out, nil
}

// adjust returns the parties for whom something changes, and by party what it
// was and is.
func (l *Ledger) adjust(p Period, currency, agreementStatement string) (parties []uint32, old, now []int128, err error) {
	b, err := l.book(currency)
	if err != nil {
		return nil, nil, nil, err
	}
	id, ok := l.agreementIDs[agreementStatement]
	if !ok || p < l.first || p >= l.open {
		return nil, nil, nil, fault.New(fault.NotFound, "no agreement %s, or %d is not closed", fault.Quote(agreementStatement), p)
	}
	if a := &l.agreements[id]; !a.retro || !a.inForce {
		return nil, nil, nil, fault.New(fault.Conflict, "%s is not retroactive or not in force", agreementStatement)
	}
	before := l.applied[runKey{p, currency}]
	if i := slices.Index(before, id); i >= 0 {
		before = before[:i]
	}
	old = l.allocate(b.counted[p], before).sums(l)
	now = l.allocate(b.counted[p], append(slices.Clone(before), id)).sums(l)
	for i := range old {
		if old[i] != now[i] {
			parties = append(parties, uint32(i))
		}
	}
	return parties, old, now, nil
}

// An Adjustment lets a retroactive agreement change what a closed run brought.
type Adjustment struct {
	Statement string
	Period    Period // of the run
	Currency  string
	Agreement string
}

// AddAdjustment posts the deltas of [Ledger.Adjust] in the open period: who got
// too little is credited, who got too much debited, and a balance below 0 is
// made up by later credit. What is held stays held. Statements of closed
// periods stay as they are. A second adjustment of the same run by the same
// agreement changes nothing. Errors are those of Adjust; the Ledger is then as
// it was before.
func (l *Ledger) AddAdjustment(a Adjustment) error {
	if err := checkID("adjustment", a.Statement); err != nil {
		return err
	}
	parties, old, now, err := l.adjust(a.Period, a.Currency, a.Agreement)
	if err != nil {
		return err
	}
	k, id := runKey{a.Period, a.Currency}, l.agreementIDs[a.Agreement]
	if slices.Contains(l.applied[k], id) {
		return nil
	}
	l.applied[k] = append(l.applied[k], id)
	of, _ := l.adjustments.add(a.Statement)
	b := l.books[a.Currency]
	for _, party := range parties {
		b.adjusted[l.open] = append(b.adjusted[l.open], move{party, of, Adjusted, now[party].minus(old[party])})
	}
	return nil
}

// Adjusted reports whether an agreement has adjusted a run.
func (l *Ledger) Adjusted(p Period, currency, agreementStatement string) bool {
	id, ok := l.agreementIDs[agreementStatement]
	return ok && slices.Contains(l.applied[runKey{p, currency}], id)
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

// DeltaTree returns the RFC 6962 tree over the deltas, in the order in which
// [Ledger.Adjust] returns them: what adjustment/v1 says of them. A leaf is the
// RFC 8785 JSON of {"newFine","oldFine","payee"}.
func DeltaTree(deltas []Delta) Tree {
	return treeOf(func(yield func([]byte) bool) {
		var b []byte
		for _, d := range deltas {
			b = d.New.Append(append(b[:0], `{"newFine":"`...))
			b = d.Old.Append(append(b, `","oldFine":"`...))
			b = append(append(append(b, `","payee":"`...), d.Payee...), `"}`...)
			if !yield(b) {
				return
			}
		}
	})
}
