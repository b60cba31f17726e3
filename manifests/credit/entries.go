package credit

import (
	"iter"
	"slices"
	"strings"
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
	Kind     string // income, receipt, refund, chargeback, allocation, retained, moves, adjustment, payout, return
	Postings []Posting
}

// Entries returns the double entries of the run, in a fixed order: its events,
// their receipts, the division, what is retained, what moved out of held
// credit, adjustments, and payments. After all runs up to this one, the balance of
// payable:<party> is the negative of the party's closing balance, and that of
// revenue:<statement> is 0.
//
// The entry of the division has a posting for each payee: at a million of them
// it takes some hundred megabytes while it is yielded.
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
		for _, a := range r.adjustments() {
			if !entry(a.id, "adjustment", a.postings) {
				return
			}
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

// allocationPostings divides the revenue among payees, what is held and what is
// retained.
func (r *Run) allocationPostings() []Posting {
	r.build()
	var ps []Posting
	post := func(account string, id []byte, v int128) {
		if !v.isZero() {
			ps = append(ps, Posting{account + string(id), v.amount()})
		}
	}
	for i := range r.rows {
		post("revenue:", r.l.ids.text(r.rows[i].node), r.rows[i].direct)
	}
	for _, party := range r.payees {
		var sum int128
		for _, ref := range r.lines[r.first[party]:r.first[party+1]] {
			if r.state(int(ref.block), int(ref.slot)-r.blocks[ref.block].slot) == Credited {
				sum = sum.plus(r.slots[ref.slot])
			}
		}
		post("payable:", r.l.parties.text(party), sum.neg())
	}
	for i := range r.blocks {
		b := &r.blocks[i]
		if b.retained {
			post("retained:", r.l.ids.text(b.node), b.kept().neg())
			continue
		}
		var held int128
		for j, v := range r.amounts(b) {
			if r.state(i, j) == Held {
				held = held.plus(v)
			}
		}
		post("held:", r.l.ids.text(b.node), held.neg())
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

type adjustmentEntry struct {
	id       string
	postings []Posting
}

// adjustments returns the adjustments that the run posts, by their texts. Those
// who gain are owed what the others are owed less.
func (r *Run) adjustments() []adjustmentEntry {
	at := map[uint32]int{}
	var out []adjustmentEntry
	for _, m := range r.moves {
		if m.kind != Adjusted {
			continue
		}
		i, ok := at[m.of]
		if !ok {
			i = len(out)
			at[m.of] = i
			out = append(out, adjustmentEntry{id: string(r.l.textOf(m))})
		}
		out[i].postings = append(out[i].postings, Posting{"payable:" + r.l.parties.str(m.party), m.amount.neg().amount()})
	}
	slices.SortFunc(out, func(a, b adjustmentEntry) int { return strings.Compare(a.id, b.id) })
	return out
}

func (r *Run) movePostings() []Posting {
	var ps []Posting
	for _, m := range r.moves {
		if m.kind == Adjusted {
			continue
		}
		held := "held:" + r.l.ids.str(m.of)
		if m.kind == Forfeited {
			continue // Σ forfeited = Σ reallocated, on the same account
		}
		ps = append(ps, Posting{held, m.amount.amount()}, Posting{"payable:" + r.l.parties.str(m.party), m.amount.neg().amount()})
	}
	return ps
}
