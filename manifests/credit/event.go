package credit

import (
	"github.com/cairn-registry/cairn/manifests/fault"
)

// An EventKind is what a revenue statement reports.
type EventKind string

// The kinds of revenue statements.
const (
	Income     EventKind = "income"
	Receipt    EventKind = "receipt"
	Refund     EventKind = "refund"
	Chargeback EventKind = "chargeback"
)

// A Settlement says what of an income reaches the operator.
type Settlement string

// The settlements. Under Gross, also when empty, all of it was received. Under
// UpstreamOnly the licensee keeps its own part and remits the rest.
const (
	Gross        Settlement = "gross"
	UpstreamOnly Settlement = "upstream-only"
)

// An Event is a revenue statement. Amounts are minor units and not negative: a
// refund is negative by its kind.
type Event struct {
	Statement  string // of the event
	Node       string // where the revenue arrives
	Kind       EventKind
	Period     Period // picks the snapshot; at most the open period
	Currency   string
	NetMinor   Amount
	Settlement Settlement
	// Operator tells that the operator signed. An income of a publisher is
	// declared, and counts only when receipts settle it.
	Operator bool
	// Of is the income that a receipt settles or a refund or chargeback reverses.
	Of string
	// Rail names the account the money passed through, for postings: clearing:<rail>.
	Rail string
	// Deductions are what was taken off the gross amount before NetMinor.
	Deductions []Deduction
}

// A Deduction is a tax or fee, in minor units.
type Deduction struct {
	Code        string
	AmountMinor Amount
}

// maxDeductions bounds the deductions of one event.
const maxDeductions = 64

// AddEvent adds a revenue statement.
//
// An operator's income counts at once. A publisher's counts from the receipt
// with which the sum of its receipts reaches [Ledger.Due]. Refunds and
// chargebacks count at once, under the period and settlement of the income that
// they reverse; while that is only declared they wait and count with it. Their
// sum may not exceed it: more is fault.Invalid. Σ|event| of what counts in one
// period and currency stays below 2^127 fine units: more is fault.TooLarge.
func (l *Ledger) AddEvent(e Event) error {
	v, b, err := l.checkEvent(e)
	if err != nil {
		return err
	}
	id := uint32(len(l.events))
	switch e.Kind {
	case Income:
		if e.Operator {
			if err := l.count(b, id, &v, nil); err != nil {
				return err
			}
		}
	case Receipt:
		of := l.eventIDs[e.Of]
		income := &l.events[of]
		settled, err := income.settled.Add(e.NetMinor)
		if err != nil {
			return err
		}
		due, err := l.due(income)
		if err != nil {
			return err
		}
		if !income.counted && settled.Cmp(due) >= 0 {
			if err := l.count(b, of, income, income.waiting); err != nil {
				return err
			}
		}
		income.settled = settled
		b.receipts[l.open] = append(b.receipts[l.open], id)
	case Refund, Chargeback:
		of := l.eventIDs[e.Of]
		income := &l.events[of]
		sum, err := income.refunds.Add(e.NetMinor)
		if err != nil || sum.Cmp(income.NetMinor) > 0 {
			return fault.New(fault.Invalid, "%s: more is reversed than %s brought", e.Statement, e.Of)
		}
		if !income.counted {
			income.waiting = append(income.waiting, id)
		} else if err := l.count(b, id, &v, nil); err != nil {
			return err
		}
		income.refunds = sum
	}
	l.events = append(l.events, v)
	l.eventIDs[e.Statement] = id
	return nil
}

// checkEvent checks the form of e and resolves its references.
func (l *Ledger) checkEvent(e Event) (event, *book, error) {
	bad := func(format string, args ...any) (event, *book, error) {
		return event{}, nil, fault.New(fault.Invalid, "event %s: "+format, append([]any{fault.Quote(e.Statement)}, args...)...)
	}
	if err := checkID("event", e.Statement); err != nil {
		return event{}, nil, err
	}
	if _, twice := l.eventIDs[e.Statement]; twice {
		return bad("stands twice")
	}
	if e.Settlement == "" {
		e.Settlement = Gross
	}
	if e.Rail != "" {
		if err := checkID("rail", e.Rail); err != nil {
			return event{}, nil, err
		}
	}
	n, b := l.ids.find(e.Node), l.books[e.Currency]
	switch {
	case n == none:
		return bad("no statement %s", fault.Quote(e.Node))
	case b == nil:
		return bad("no currency %s", fault.Quote(e.Currency))
	case e.Settlement != Gross && e.Settlement != UpstreamOnly:
		return bad("no settlement %s", fault.Quote(string(e.Settlement)))
	case e.NetMinor.Sign() < 0 || len(e.Deductions) > maxDeductions:
		return bad("a negative amount or more than %d deductions", maxDeductions)
	}
	gross := e.NetMinor
	for _, d := range e.Deductions {
		if err := checkID("deduction", d.Code); err != nil {
			return event{}, nil, err
		}
		var err error
		if gross, err = gross.Add(d.AmountMinor); err != nil || d.AmountMinor.Sign() < 0 {
			return bad("a deduction is negative or too large")
		}
	}
	if g, err := b.cur.Fine(gross); err != nil || !g.InLimit() {
		return bad("the amount is 2^127 fine units or more")
	}
	fine, err := b.cur.Fine(e.NetMinor)
	if err != nil {
		return event{}, nil, err
	}
	v := event{Event: e, node: n, fine: fine}
	switch e.Kind {
	case Income:
		if e.Of != "" {
			return bad("an income is of nothing")
		}
		if e.Period < l.first || e.Period > l.open {
			return bad("%d is no period that is open or closed", e.Period)
		}
	case Receipt, Refund, Chargeback:
		of, ok := l.eventIDs[e.Of]
		if !ok {
			return bad("no income %s", fault.Quote(e.Of))
		}
		income := &l.events[of]
		if income.Kind != Income || income.node != n || income.Currency != e.Currency || !e.Operator {
			return bad("%s is no income of this statement and currency, or the operator did not sign", e.Of)
		}
		v.Period, v.Settlement = income.Period, income.Settlement
		if e.Kind != Receipt {
			v.fine = fine.Neg()
		}
	default:
		return bad("no kind %s", fault.Quote(string(e.Kind)))
	}
	return v, b, nil
}

// count makes e, which has or gets the number id, and those that waited for it
// count in the open period.
func (l *Ledger) count(b *book, id uint32, e *event, waiting []uint32) error {
	gross, err := b.gross[l.open].Add(e.fine.Abs())
	for _, w := range waiting {
		if err == nil {
			gross, err = gross.Add(l.events[w].fine.Abs())
		}
	}
	if err != nil || !gross.InLimit() {
		return fault.New(fault.TooLarge, "event %s: the events of %s in %s sum to 2^127 fine units or more", e.Statement, l.open, b.cur.Code)
	}
	b.gross[l.open] = gross
	b.counted[l.open] = append(append(b.counted[l.open], id), waiting...)
	e.counted, e.period = true, l.open
	for _, w := range waiting {
		l.events[w].counted, l.events[w].period = true, l.open
	}
	e.waiting = nil
	return nil
}

// Due returns what receipts must reach for a declared income to count, in minor
// units: its net amount, or, for UpstreamOnly, what flows upstream of it,
// rounded down. No such income is fault.NotFound.
func (l *Ledger) Due(income string) (Amount, error) {
	id, ok := l.eventIDs[income]
	if !ok || l.events[id].Kind != Income {
		return Amount{}, fault.New(fault.NotFound, "no income %s", fault.Quote(income))
	}
	return l.due(&l.events[id])
}

func (l *Ledger) due(e *event) (Amount, error) {
	if e.Settlement == Gross {
		return e.NetMinor, nil
	}
	var s nodeSplitter
	_, kept := l.splitNode(&s, e.node, e.fine)
	up, err := e.fine.Sub(kept)
	if err != nil {
		return Amount{}, err
	}
	cur := l.books[e.Currency].cur
	q, _, err := up.Unscale(cur.FineDigits - cur.MinorDigits)
	return q, err
}

// Counts reports in which period an event counts; false while it is declared,
// or for a receipt. No such event is fault.NotFound.
func (l *Ledger) Counts(statement string) (Period, bool, error) {
	id, ok := l.eventIDs[statement]
	if !ok {
		return 0, false, fault.New(fault.NotFound, "no event %s", fault.Quote(statement))
	}
	return l.events[id].period, l.events[id].counted, nil
}

// A Payout is a batch that the operator paid. It lowers balances by what it
// says; whether each line was payable is for an audit to find.
type Payout struct {
	Statement string
	Currency  string
	Rail      string
	Lines     []PayoutLine
}

// A PayoutLine is one payment.
type PayoutLine struct {
	Payee       string
	AmountMinor Amount // above 0
}

// MaxPayoutLines bounds the lines of one payout.
const MaxPayoutLines = 1 << 24

// AddPayout adds a payout, which counts in the open period.
func (l *Ledger) AddPayout(p Payout) error {
	b := l.books[p.Currency]
	if err := checkID("payout", p.Statement); err != nil {
		return err
	}
	if p.Rail != "" {
		if err := checkID("rail", p.Rail); err != nil {
			return err
		}
	}
	if _, twice := l.payoutIDs[p.Statement]; twice || b == nil || len(p.Lines) > MaxPayoutLines {
		return fault.New(fault.Invalid, "payout %s: stands twice, has no known currency or too many lines", p.Statement)
	}
	v := payout{Payout: p, lines: make([]movedPayout, len(p.Lines)), done: make([]bool, len(p.Lines))}
	v.Lines = nil
	for i, line := range p.Lines {
		fine, err := b.cur.Fine(line.AmountMinor)
		if err != nil || !fine.InLimit() || fine.Sign() <= 0 || checkID("payee", line.Payee) != nil {
			return fault.New(fault.Invalid, "payout %s: line %d has no payee or no amount", p.Statement, i)
		}
		v.lines[i] = movedPayout{p.Statement, p.Rail, none, fine}
	}
	// Who was paid and never had credit has a negative balance now.
	for i, line := range p.Lines {
		v.lines[i].party, _ = l.parties.add(line.Payee)
	}
	l.payoutIDs[p.Statement] = uint32(len(l.payouts))
	l.payouts = append(l.payouts, v)
	for _, m := range v.lines {
		b.pay(l.open, m)
	}
	return nil
}

func (b *book) pay(p Period, m movedPayout) {
	b.payouts[p] = append(b.payouts[p], uint32(len(b.moved)))
	b.moved = append(b.moved, m)
}

// AddPayoutResult records what became of one line of a payout. A line that was
// returned is owed again from the open period on; a second return of it is
// fault.Invalid.
func (l *Ledger) AddPayoutResult(payoutStatement string, index int, returned bool) error {
	id, ok := l.payoutIDs[payoutStatement]
	if !ok || index < 0 || index >= len(l.payouts[id].lines) || l.payouts[id].done[index] {
		return fault.New(fault.Invalid, "payout %s has no line %d that could still come back", fault.Quote(payoutStatement), index)
	}
	if !returned {
		return nil
	}
	p := &l.payouts[id]
	p.done[index] = true
	m := p.lines[index]
	m.fine = m.fine.Neg()
	l.books[p.Currency].pay(l.open, m)
	return nil
}
