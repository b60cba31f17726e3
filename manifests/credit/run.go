package credit

import (
	"bytes"
	"cmp"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Engine is the name of these rules, in every payee statement and allocation.
const Engine = "credit/1"

// A Runner makes the runs of one currency, period after period. It carries the
// balances and what is held from each to the next. A Runner is for one
// goroutine; the Runs it returns are not bound to it.
type Runner struct {
	l       *Ledger
	book    *book
	next    Period
	balance []int128 // by party; shared with Runs, never changed
	held    map[heldKey]int128
}

type heldKey struct{ node, party uint32 }

// Runner returns a Runner before the first period. A currency that the Ledger
// lacks is fault.NotFound.
func (l *Ledger) Runner(currency string) (*Runner, error) {
	b, err := l.book(currency)
	if err != nil {
		return nil, err
	}
	return &Runner{l: l, book: b, next: l.first, held: map[heldKey]int128{}}, nil
}

// Run returns the run of a period and currency. It makes all runs before it,
// too: who needs several uses a [Runner]. A currency that the Ledger lacks, and
// a period that is not closed, is fault.NotFound.
func (l *Ledger) Run(p Period, currency string) (*Run, error) {
	if p < l.first {
		return nil, fault.New(fault.NotFound, "the calendar begins with %s", l.first)
	}
	r, err := l.Runner(currency)
	if err != nil {
		return nil, err
	}
	for {
		run, err := r.Next()
		if err != nil || run.period == p {
			return run, err
		}
	}
}

// A Run is the result of one period and currency. It may be read from several
// goroutines, while nobody adds to the Ledger.
type Run struct {
	l      *Ledger
	period Period
	book   *book
	*allocation
	status []lineStatus // by block

	open, close []int128 // by party; close is as long as there were parties
	paid        map[uint32]int128
	moves       []move // sorted by party, then statement
	held        map[uint32]int128
	heldTotal   int128

	index  sync.Once
	payees []uint32 // with a statement, sorted by text
	first  []uint32 // by party: where its lines begin; one more at the end
	lines  []lineRef
	// What the lines of a block have in common, written once: the members
	// before the state and those behind it.
	text   []byte
	textAt [][2]int // by block: begin and middle; one more at the end

	hash       sync.Once
	statements *tree
}

type lineRef struct{ slot, block uint32 }

// lineStatus says of a block what its lines need to count.
type lineStatus struct {
	held   bool // the node is on hold
	signed bool // a line counts only when its contributor has signed
}

// A LineState says what became of a line's amount.
type LineState string

// The states. Credited is the usual one and is not written.
const (
	Credited LineState = ""
	Held     LineState = "held"     // set aside: unsigned, or the node is on hold
	Retained LineState = "retained" // the licensee keeps it: shown, never payable
)

// A MoveKind says how credit moved that no line of the run brought.
type MoveKind string

// The kinds of moves. All but Forfeited change the payee's credit, Adjusted up
// or down; Released and Forfeited lower what is held for the payee.
const (
	Released    MoveKind = "released"
	Reallocated MoveKind = "reallocated" // given to the payee by a resolution
	Forfeited   MoveKind = "forfeited"   // taken from what was held for the payee by a resolution
	Adjusted    MoveKind = "adjusted"    // the difference that an adjustment makes
)

// A move is of a node, or, when Adjusted, of an adjustment.
type move struct {
	party, of uint32
	kind      MoveKind
	amount    int128
}

// textOf returns the statement that a move is of.
func (l *Ledger) textOf(m move) []byte {
	if m.kind == Adjusted {
		return l.adjustments.text(m.of)
	}
	return l.ids.text(m.of)
}

// Next returns the run of the next period; fault.NotFound while that period is
// not closed, and the Runner is as it was before. Balances that do not fit are
// fault.TooLarge.
func (r *Runner) Next() (*Run, error) {
	l, p := r.l, r.next
	if p >= l.open {
		return nil, fault.New(fault.NotFound, "the period %s is not closed", p)
	}
	run := &Run{
		l: l, period: p, book: r.book, open: r.balance, paid: map[uint32]int128{}, held: map[uint32]int128{},
		allocation: l.allocate(r.book.counted[p], nil),
	}
	run.close = make([]int128, l.parties.len())
	copy(run.close, r.balance)
	over := false
	add := func(v *int128, w int128) {
		s, o := v.add(w)
		*v, over = s, over || o
	}
	held := maps.Clone(r.held)
	run.moves = l.sortMoves(append(l.moves(held, p), r.book.adjusted[p]...))
	for _, m := range run.moves {
		if m.kind != Forfeited {
			add(&run.close[m.party], m.amount)
		}
	}
	run.status = make([]lineStatus, len(run.blocks))
	for i := range run.blocks {
		b := &run.blocks[i]
		run.status[i] = l.status(b, p)
		amounts := run.amounts(b)
		for j, party := range l.partiesOf(b.shares) {
			if amounts[j].isZero() {
				continue
			}
			switch run.state(i, j) {
			case Credited:
				add(&run.close[party], amounts[j])
			case Held:
				k := heldKey{b.node, party}
				v := held[k]
				add(&v, amounts[j])
				held[k] = v
			}
		}
	}
	for _, m := range r.book.payouts[p] {
		pay := r.book.moved[m]
		v := run.paid[pay.party]
		add(&v, narrow(pay.fine))
		run.paid[pay.party] = v
	}
	for party, v := range run.paid {
		add(&run.close[party], v.neg())
	}
	for k, v := range held {
		if v.isZero() {
			delete(held, k)
			continue
		}
		t := run.held[k.party]
		add(&t, v)
		run.held[k.party] = t
		add(&run.heldTotal, v)
	}
	if over {
		return nil, fault.New(fault.TooLarge, "the balances of %s in %s reach 2^127 fine units", p, r.book.cur.Code)
	}
	r.balance, r.held, r.next = run.close, held, p+1
	return run, nil
}

// status says what the lines of b need to count in p.
func (l *Ledger) status(b *block, p Period) lineStatus {
	if b.retained {
		return lineStatus{}
	}
	s := lineStatus{held: l.onHold(b.node, p), signed: !b.agreed}
	if s.signed {
		_, agreed := l.sharesAt(b.node, p, nil)
		s.signed = !agreed
	}
	return s
}

// state returns the state of share j of block i.
func (r *Run) state(i, j int) LineState {
	b, s := &r.blocks[i], r.status[i]
	switch {
	case b.retained:
		return Retained
	case s.held, s.signed && !r.l.signedBy(int(b.shares.first)+j, r.period):
		return Held
	}
	return Credited
}

func (l *Ledger) signedBy(slot int, p Period) bool {
	s := l.shareSigned[slot]
	return s != 0 && s <= p
}

// moves takes out of held what p releases or reallocates, and returns it.
func (l *Ledger) moves(held map[heldKey]int128, p Period) []move {
	byNode := map[uint32][]uint32{}
	for k := range held {
		byNode[k.node] = append(byNode[k.node], k.party)
	}
	var out []move
	for n, parties := range byNode {
		if l.onHold(n, p) {
			continue
		}
		if r := l.ruling(n, p); r.Ruling == Reallocate && r.from == p {
			if moved := l.reallocate(held, n, parties, r.shares); moved != nil {
				out = append(out, moved...)
				continue
			}
		}
		_, agreed := l.sharesAt(n, p, nil)
		for _, party := range parties {
			if !agreed {
				if i := l.slot(l.nodes[n].shares, party); i >= 0 && !l.signedBy(i, p) {
					continue
				}
			}
			k := heldKey{n, party}
			out = append(out, move{party, n, Released, held[k]})
			delete(held, k)
		}
	}
	return out
}

// reallocate divides what is held on n among s. A sum that is not above 0 is
// not reallocated, so that nobody is given a debt.
func (l *Ledger) reallocate(held map[heldKey]int128, n uint32, parties []uint32, s shares) []move {
	var sum int128
	for _, party := range parties {
		sum = sum.plus(held[heldKey{n, party}])
	}
	if sum.amount().Sign() <= 0 {
		return nil
	}
	var out []move
	for _, party := range parties {
		k := heldKey{n, party}
		out = append(out, move{party, n, Forfeited, held[k]})
		delete(held, k)
	}
	var sp splitter
	for i, v := range sp.split(sum.amount(), l.weights(s), s.total) {
		if !v.IsZero() {
			out = append(out, move{l.partiesOf(s)[i], n, Reallocated, narrow(v)})
		}
	}
	return out
}

// sortMoves orders moves by the texts of party and statement, then by kind, and
// returns them.
func (l *Ledger) sortMoves(ms []move) []move {
	party := map[uint32]int{}
	for _, m := range ms {
		party[m.party] = 0
	}
	ids := slices.Collect(maps.Keys(party))
	l.parties.sort(ids)
	for i, v := range ids {
		party[v] = i
	}
	slices.SortFunc(ms, func(a, b move) int {
		return cmp.Or(party[a.party]-party[b.party], bytes.Compare(l.textOf(a), l.textOf(b)), cmp.Compare(a.kind, b.kind))
	})
	return ms
}

// Period returns the period of the run.
func (r *Run) Period() Period { return r.period }

// Currency returns the currency of the run.
func (r *Run) Currency() Currency { return r.book.cur }

// A NodeResult is the account of one node under one snapshot period. Inflow =
// Up + Kept + Retained. Amounts are fine units.
type NodeResult struct {
	Statement string
	Snapshot  Period
	Direct    Amount // revenue that names the node
	Inflow    Amount // Direct, and what flows in from nodes derived from it
	Up        Amount // what flows on, to parents and to a pool after a withdrawal
	Kept      Amount // what its parties share
	Retained  Amount // what its licensee keeps of upstream-only revenue
}

// Nodes returns the nodes that the run reached, by snapshot period, then
// statement.
func (r *Run) Nodes() iter.Seq[NodeResult] {
	return func(yield func(NodeResult) bool) {
		for i := range r.rows {
			if !yield(r.node(&r.rows[i])) {
				return
			}
		}
	}
}

func (r *Run) node(v *row) NodeResult {
	return NodeResult{
		Statement: r.l.ids.str(v.node), Snapshot: v.snapshot,
		Direct: v.direct.amount(), Inflow: v.in.amount(), Up: v.in.minus(v.kept).minus(v.retained).amount(),
		Kept: v.kept.amount(), Retained: v.retained.amount(),
	}
}

// A CountedEvent is an event of a run. Fine is negative for a refund or
// chargeback.
type CountedEvent struct {
	Statement  string
	Node       string
	Snapshot   Period
	Settlement Settlement
	Fine       Amount
}

// Events returns the events of the run, in the order in which they counted.
func (r *Run) Events() iter.Seq[CountedEvent] {
	return func(yield func(CountedEvent) bool) {
		for _, id := range r.book.counted[r.period] {
			e := &r.l.events[id]
			if !yield(CountedEvent{e.Statement, e.Node, e.Period, e.Settlement, e.fine}) {
				return
			}
		}
	}
}

// In returns the sum of the run's events.
func (r *Run) In() Amount {
	var sum int128
	for e := range r.Events() {
		sum = sum.plus(narrow(e.Fine))
	}
	return sum.amount()
}

// HeldTotal returns what is held at the end of the run, for all parties.
func (r *Run) HeldTotal() Amount { return r.heldTotal.amount() }
