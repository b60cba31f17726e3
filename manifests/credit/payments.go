package credit

// Payments returns what payouts moved in a period, in fine units by payee:
// positive for what was paid, less what came back. A currency that the Ledger
// lacks is fault.NotFound.
//
// A run has the payments of its own period. What is payable now is its closing
// balance less the payments of the periods after it.
func (l *Ledger) Payments(p Period, currency string) (map[string]Amount, error) {
	b, err := l.book(currency)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Amount)
	for _, i := range b.payouts[p] {
		m := b.moved[i]
		payee := l.parties.str(m.party)
		sum, err := out[payee].Add(m.fine)
		if err != nil {
			return nil, err
		}
		out[payee] = sum
	}
	return out, nil
}
