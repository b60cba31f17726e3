package credit

import (
	"iter"
)

// A Posting is one side of an entry. Amount is in fine units; debits are
// positive, credits negative. Accounts are
//
//	clearing:<rail>        money received, less money paid out
//	revenue:<statement>    revenue that names the node
//	fees:<code>            deductions
//	payable:<party>        what is owed to a party
//	held:<statement>       credit of the node that is set aside
//	receivable:<party>     what a licensee must remit
//	retained:<statement>   what a licensee keeps of upstream-only revenue
type Posting struct {
	Account string
	Amount  Amount
}

// An Entry is a double entry in one currency: its postings sum to 0.
type Entry struct {
	ID       string // the statement, or engine/period/currency and a word
	Period   Period
	Currency Currency
	Kind     string // income, receipt, refund, chargeback, allocation, retained, moves, payout, return
	Postings []Posting
}

// Entries returns the double entries of the run, in a fixed order: its events,
// their receipts, the division, what is retained, what moved out of held
// credit, and payments. After all runs up to this one, the balance of
// payable:<party> is the negative of the party's closing balance, and that of
// revenue:<statement> is 0.
//
// The entry of the division has a posting for each line, node after node; at a
// million payees it takes hundreds of megabytes.
func (r *Run) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		entry := func(id, kind string, ps []Posting) bool {
			return len(ps) == 0 || yield(Entry{id, r.period, r.book.cur, kind, ps})
		}
		for _, id := range r.book.counted[r.period] {
			e := &r.l.events[id]
			if !entry(e.Statement, string(e.Kind), r.eventPostings(e)) {
				return
			}
		}
		for _, id := range r.book.receipts[r.period] {
			// The receipts of a gross income are its own entry, once it counts.
			if e := &r.l.events[id]; e.Settlement == UpstreamOnly {
				if !entry(e.Statement, string(e.Kind), []Posting{
					{"clearing:" + rail(e.Rail), e.fine},
					{"receivable:" + r.licensee(e.node), e.fine.Neg()},
				}) {
					return
				}
			}
		}
		own := Engine + "/" + r.period.String() + "/" + r.book.cur.Code
		if !entry(own, "allocation", r.allocationPostings()) ||
			!entry(own+"/retained", "retained", r.retainedPostings()) ||
			!entry(own+"/moves", "moves", r.movePostings()) {
			return
		}
		for _, id := range r.book.payouts[r.period] {
			m := r.book.moved[id]
			kind := "payout"
			if m.fine.Sign() < 0 {
				kind = "return"
			}
			if !entry(m.payout, kind, []Posting{
				{"payable:" + r.l.parties.str(m.party), m.fine},
				{"clearing:" + rail(m.rail), m.fine.Neg()},
			}) {
				return
			}
		}
	}
}

// rail returns the account of a rail; records may leave it out.
func rail(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// eventPostings books what arrived. Upstream-only revenue is owed by the
// licensee until receipts are in; the retained entry takes off what stays there.
func (r *Run) eventPostings(e *event) []Posting {
	if e.fine.IsZero() && len(e.Deductions) == 0 {
		return nil
	}
	revenue := Posting{"revenue:" + e.Node, e.fine.Neg()}
	if e.Settlement == UpstreamOnly {
		return []Posting{{"receivable:" + r.licensee(e.node), e.fine}, revenue}
	}
	gross := e.fine
	var fees []Posting
	for _, d := range e.Deductions {
		fine, _ := r.book.cur.Fine(d.AmountMinor) // AddEvent has made sure that the sum fits
		if e.fine.Sign() < 0 || e.Kind == Refund || e.Kind == Chargeback {
			fine = fine.Neg()
		}
		gross, _ = gross.add(fine)
		fees = append(fees, Posting{"fees:" + d.Code, fine.Neg()})
	}
	return append([]Posting{{"clearing:" + rail(e.Rail), gross}, revenue}, fees...)
}

func (r *Run) licensee(n uint32) string { return r.l.parties.str(r.l.nodes[n].publisher) }

func (r *Run) allocationPostings() []Posting {
	var ps []Posting
	for i := range r.rows {
		if v := &r.rows[i]; !v.direct.isZero() {
			ps = append(ps, Posting{"revenue:" + r.l.ids.str(v.node), v.direct.amount()})
		}
	}
	for i := range r.blocks {
		b := &r.blocks[i]
		if b.retained {
			if kept := b.kept(); !kept.isZero() {
				ps = append(ps, Posting{"retained:" + r.l.ids.str(b.node), kept.neg().amount()})
			}
			continue
		}
		var held int128
		amounts := r.amounts(b)
		for j, party := range r.l.partiesOf(b.shares) {
			switch {
			case amounts[j].isZero():
			case r.state(i, j) == Held:
				held = held.plus(amounts[j])
			default:
				ps = append(ps, Posting{"payable:" + r.l.parties.str(party), amounts[j].neg().amount()})
			}
		}
		if !held.isZero() {
			ps = append(ps, Posting{"held:" + r.l.ids.str(b.node), held.neg().amount()})
		}
	}
	return ps
}

// retainedPostings takes what licensees keep off what they must remit, and so
// leaves receivable:<licensee> at what flows upstream.
func (r *Run) retainedPostings() []Posting {
	var ps []Posting
	for i := range r.blocks {
		b := &r.blocks[i]
		if kept := b.kept(); b.retained && !kept.isZero() {
			ps = append(ps, Posting{"retained:" + r.l.ids.str(b.node), kept.amount()},
				Posting{"receivable:" + r.licensee(b.node), kept.neg().amount()})
		}
	}
	return ps
}

func (r *Run) movePostings() []Posting {
	var ps []Posting
	for _, m := range r.moves {
		held := "held:" + r.l.ids.str(m.node)
		if m.kind == Forfeited {
			continue // Σ forfeited = Σ reallocated, on the same account
		}
		ps = append(ps, Posting{held, m.amount.amount()}, Posting{"payable:" + r.l.parties.str(m.party), m.amount.neg().amount()})
	}
	return ps
}
