package credit

import (
	"bytes"
	"crypto/sha256"
	"iter"
	"sort"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Statement is what one payee is told about one period and currency. Amounts
// are fine units, and
//
//	Close = Open + Credit − Debit − Paid
//
// where Credit is the sum of the positive amounts of credited lines and of all
// moves but forfeited ones, and −Debit that of the negative ones.
type Statement struct {
	Payee    string
	Period   Period
	Currency string
	Open     Amount
	Lines    []Line
	Moves    []Move
	Credit   Amount
	Debit    Amount
	Paid     Amount // negative when more came back than was paid
	Close    Amount
	Held     Amount // what is held for the payee at the end
}

// A Line is a payee's share of what a node kept of one snapshot period.
type Line struct {
	Statement string
	Period    Period // the snapshot
	Weight    uint64
	Total     uint64
	Kept      Amount
	Amount    Amount
	State     LineState
}

// A Move is held credit of one node that a run released or reallocated, or the
// difference that the adjustment named by Statement makes.
type Move struct {
	Statement string
	Kind      MoveKind
	Amount    Amount
}

// build sorts lines by payee and lists the payees.
func (r *Run) build() {
	r.index.Do(func() {
		n := len(r.close)
		r.first = make([]uint32, n+1)
		r.eachLine(func(_, _ int, party uint32) { r.first[party+1]++ })
		for i := range n {
			r.first[i+1] += r.first[i]
		}
		r.lines = make([]lineRef, r.first[n])
		at := make([]uint32, n)
		copy(at, r.first)
		r.eachLine(func(block, slot int, party uint32) {
			r.lines[at[party]] = lineRef{uint32(slot), uint32(block)}
			at[party]++
		})
		moved := map[uint32]bool{}
		for _, m := range r.moves {
			moved[m.party] = true
		}
		for i := range uint32(n) {
			_, held := r.held[i]
			_, paid := r.paid[i]
			if r.first[i] < r.first[i+1] || held || paid || moved[i] || !r.openOf(i).isZero() || !r.close[i].isZero() {
				r.payees = append(r.payees, i)
			}
		}
		r.l.parties.sort(r.payees)
		r.textAt = make([][2]int, len(r.blocks)+1)
		for i := range r.blocks {
			b := &r.blocks[i]
			r.textAt[i][0] = len(r.text)
			r.text = appendAmount(r.text, `","keptFine":"`, b.kept())
			r.text = appendPeriod(append(r.text, `","period":"`...), b.snapshot)
			r.textAt[i][1] = len(r.text)
			r.text = append(append(r.text, `","statement":"`...), r.l.ids.text(b.node)...)
			r.text = strconv.AppendUint(append(r.text, `","total":"`...), b.shares.total, 10)
			r.text = append(r.text, `","weight":"`...)
		}
		r.textAt[len(r.blocks)][0] = len(r.text)
	})
}

func (r *Run) openOf(party uint32) int128 {
	if int(party) < len(r.open) {
		return r.open[party]
	}
	return int128{}
}

// eachLine calls do for every share that is not 0, in the order of blocks.
func (r *Run) eachLine(do func(block, slot int, party uint32)) {
	for i := range r.blocks {
		b := &r.blocks[i]
		amounts := r.amounts(b)
		for j, party := range r.l.partiesOf(b.shares) {
			if !amounts[j].isZero() {
				do(i, b.slot+j, party)
			}
		}
	}
}

// Len returns how many payees have a statement: all that have a line, a move or
// a payment in the period, or a balance or held credit at its beginning or end.
func (r *Run) Len() int {
	r.build()
	return len(r.payees)
}

// Find returns the number of a payee's statement; fault.NotFound without one.
func (r *Run) Find(payee string) (int, error) {
	r.build()
	i := sort.Search(len(r.payees), func(i int) bool { return bytes.Compare(r.l.parties.text(r.payees[i]), []byte(payee)) >= 0 })
	if i < len(r.payees) && r.l.parties.str(r.payees[i]) == payee {
		return i, nil
	}
	return 0, fault.New(fault.NotFound, "%s has no statement for %s in %s", fault.Quote(payee), r.period, r.book.cur.Code)
}

// Statement returns statement i, 0 ≤ i < Len, in the order of the payees' texts.
func (r *Run) Statement(i int) Statement {
	r.build()
	p := r.payees[i]
	s := Statement{
		Payee: r.l.parties.str(p), Period: r.period, Currency: r.book.cur.Code, Open: r.openOf(p).amount(),
		Paid: r.paid[p].amount(), Close: r.close[p].amount(), Held: r.held[p].amount(),
	}
	for _, ref := range r.lines[r.first[p]:r.first[p+1]] {
		b := &r.blocks[ref.block]
		j := int(ref.slot) - b.slot
		s.Lines = append(s.Lines, Line{
			Statement: r.l.ids.str(b.node), Period: b.snapshot, Weight: r.l.weights(b.shares)[j], Total: b.shares.total,
			Kept: b.kept().amount(), Amount: r.slots[ref.slot].amount(), State: r.state(int(ref.block), j),
		})
	}
	for _, m := range r.movesOf(p) {
		s.Moves = append(s.Moves, Move{string(r.l.textOf(m)), m.kind, m.amount.amount()})
	}
	credit, debit := r.credit(p)
	s.Credit, s.Debit = credit.amount(), debit.amount()
	return s
}

func (r *Run) movesOf(p uint32) []move {
	if len(r.moves) == 0 {
		return nil
	}
	want := r.l.parties.text(p)
	from := sort.Search(len(r.moves), func(i int) bool { return bytes.Compare(r.l.parties.text(r.moves[i].party), want) >= 0 })
	to := from
	for to < len(r.moves) && r.moves[to].party == p {
		to++
	}
	return r.moves[from:to]
}

// credit returns Σ positive and −Σ negative of what counts for p.
func (r *Run) credit(p uint32) (credit, debit int128) {
	add := func(v int128) {
		if v.hi < 0 {
			debit = debit.minus(v)
		} else {
			credit = credit.plus(v)
		}
	}
	for _, ref := range r.lines[r.first[p]:r.first[p+1]] {
		if r.state(int(ref.block), int(ref.slot)-r.blocks[ref.block].slot) == Credited {
			add(r.slots[ref.slot])
		}
	}
	for _, m := range r.movesOf(p) {
		if m.kind != Forfeited {
			add(m.amount)
		}
	}
	return credit, debit
}

// Append appends the bytes of statement i to buf: RFC 8785 JSON, which FORMAT.md
// defines. Texts need no escapes, as no identifier has a character that does.
func (r *Run) Append(buf []byte, i int) []byte {
	r.build()
	p := r.payees[i]
	credit, debit := r.credit(p)
	buf = appendAmount(buf, `{"closeFine":"`, r.close[p])
	buf = appendAmount(buf, `","creditFine":"`, credit)
	buf = append(append(buf, `","currency":"`...), r.book.cur.Code...)
	buf = appendAmount(buf, `","debitFine":"`, debit)
	buf = append(buf, `","engine":"`+Engine...)
	buf = appendAmount(buf, `","heldFine":"`, r.held[p])
	if lines := r.lines[r.first[p]:r.first[p+1]]; len(lines) > 0 {
		buf = append(buf, `","lines":[`...)
		for k, ref := range lines {
			if k > 0 {
				buf = append(buf, ',')
			}
			buf = r.appendLine(buf, ref)
		}
		buf = append(buf, `],"`...)
	} else {
		buf = append(buf, `","`...)
	}
	if moves := r.movesOf(p); len(moves) > 0 {
		buf = append(buf, `moves":[`...)
		for k, m := range moves {
			if k > 0 {
				buf = append(buf, ',')
			}
			buf = appendAmount(buf, `{"amountFine":"`, m.amount)
			buf = append(append(buf, `","kind":"`...), m.kind...)
			buf = append(append(buf, `","statement":"`...), r.l.textOf(m)...)
			buf = append(buf, `"}`...)
		}
		buf = append(buf, `],"`...)
	}
	buf = appendAmount(buf, `openFine":"`, r.openOf(p))
	buf = appendAmount(buf, `","paidFine":"`, r.paid[p])
	buf = append(append(buf, `","payee":"`...), r.l.parties.text(p)...)
	buf = appendPeriod(append(buf, `","period":"`...), r.period)
	return append(buf, `"}`...)
}

func (r *Run) appendLine(buf []byte, ref lineRef) []byte {
	b, at := &r.blocks[ref.block], r.textAt[ref.block:]
	j := int(ref.slot) - b.slot
	buf = appendAmount(buf, `{"amountFine":"`, r.slots[ref.slot])
	buf = append(buf, r.text[at[0][0]:at[0][1]]...)
	if s := r.state(int(ref.block), j); s != Credited {
		buf = append(append(buf, `","state":"`...), s...)
	}
	buf = append(buf, r.text[at[0][1]:at[1][0]]...)
	buf = strconv.AppendUint(buf, r.l.weights(b.shares)[j], 10)
	return append(buf, `"}`...)
}

func appendAmount(buf []byte, name string, v int128) []byte {
	return v.amount().Append(append(buf, name...))
}

func appendPeriod(buf []byte, p Period) []byte {
	y, m := int(p/12), int(p%12)+1
	return append(buf, byte('0'+y/1000), byte('0'+y/100%10), byte('0'+y/10%10), byte('0'+y%10), '-', byte('0'+m/10), byte('0'+m%10))
}

// tree returns the tree of the statements.
func (r *Run) tree() *tree {
	r.build()
	r.hash.Do(func() {
		leaves := make([]tlog.Hash, len(r.payees))
		inParallel(len(r.payees), func(from, to int) {
			var buf []byte
			for i := from; i < to; i++ {
				buf = r.Append(append(buf[:0], leafPrefix), i)
				leaves[i] = sha256.Sum256(buf)
			}
		})
		r.statements = newTree(leaves)
	})
	return r.statements
}

// leafPrefix stands before a leaf's bytes in RFC 6962.
const leafPrefix = 0

// A tree is an RFC 6962 tree. It keeps the leaves, and the roots of the full
// subtrees of 2^tileHeight of them, so that a proof costs a few thousand hashes.
type tree struct{ leaves, tiles []tlog.Hash }

const tileHeight = 10

func newTree(leaves []tlog.Hash) *tree {
	t := &tree{leaves: leaves}
	for ; len(leaves) >= 1<<tileHeight; leaves = leaves[1<<tileHeight:] {
		t.tiles = append(t.tiles, subtree(leaves[:1<<tileHeight]))
	}
	return t
}

// subtree returns the root of a full subtree.
func subtree(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	half := len(leaves) / 2
	return tlog.NodeHash(subtree(leaves[:half]), subtree(leaves[half:]))
}

// ReadHashes implements [tlog.HashReader].
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		hashes := t.leaves
		if level >= tileHeight {
			hashes, level = t.tiles, level-tileHeight
		}
		from, to := n<<level, (n+1)<<level
		if from < 0 || to > int64(len(hashes)) {
			return nil, fault.New(fault.Internal, "no hash %d in a tree of %d", x, len(t.leaves))
		}
		out[i] = subtree(hashes[from:to])
	}
	return out, nil
}

// root returns the root; of no leaves it is SHA-256 of nothing.
func (t *tree) root() [32]byte {
	if len(t.leaves) == 0 {
		return sha256.Sum256(nil)
	}
	h, err := tlog.TreeHash(int64(len(t.leaves)), t)
	if err != nil {
		panic(err) // the tree has every leaf
	}
	return h
}

// Root returns the RFC 6962 root over the bytes of all statements in order.
func (r *Run) Root() [32]byte { return r.tree().root() }

// Prove returns the inclusion proof of statement i, 0 ≤ i < Len, in the tree of
// [Run.Root]. Anything else is fault.NotFound.
func (r *Run) Prove(i int) ([][32]byte, error) {
	t := r.tree()
	if i < 0 || i >= len(t.leaves) {
		return nil, fault.New(fault.NotFound, "no statement %d of %d", i, len(t.leaves))
	}
	p, err := tlog.ProveRecord(int64(len(t.leaves)), int64(i), t)
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	out := make([][32]byte, len(p))
	for k, h := range p {
		out[k] = h
	}
	return out, nil
}

// VerifyStatement checks that statement, its exact bytes, is number i of n under
// root. What does not hold is fault.Unverified.
func VerifyStatement(root [32]byte, n, i int, statement []byte, proof [][32]byte) error {
	p := make(tlog.RecordProof, len(proof))
	for k, h := range proof {
		p[k] = h
	}
	if n < 1 || i < 0 || i >= n {
		return fault.New(fault.Unverified, "no statement %d of %d", i, n)
	}
	if err := tlog.CheckRecord(p, int64(n), root, int64(i), tlog.RecordHash(statement)); err != nil {
		return fault.New(fault.Unverified, "statement %d of %d: %w", i, n, err)
	}
	return nil
}

// An Allocation is the body of allocation/v1 that a run implies.
type Allocation struct {
	Engine          string
	Period          Period
	Currency        string
	InFine          Amount // Σ events
	HeldFine        Amount // held at the end, for all parties
	Events          Tree   // in the order in which they counted
	Nodes           Tree   // by snapshot period, then statement
	PayeeStatements Tree   // by payee
}

// A Tree is an RFC 6962 tree: its size and root.
type Tree struct {
	N    int
	Root [32]byte
}

// Allocation returns what an allocation/v1 of the run says.
func (r *Run) Allocation() Allocation {
	a := Allocation{Engine: Engine, Period: r.period, Currency: r.book.cur.Code, InFine: r.In(), HeldFine: r.HeldTotal()}
	a.Events = treeOf(func(yield func([]byte) bool) {
		var b []byte
		for e := range r.Events() {
			b = e.Fine.Append(append(b[:0], `{"amountFine":"`...))
			b = append(append(b, `","event":"`...), e.Statement...)
			b = appendPeriod(append(b, `","period":"`...), e.Snapshot)
			b = append(append(b, `","settlement":"`...), e.Settlement...)
			b = append(append(append(b, `","statement":"`...), e.Node...), `"}`...)
			if !yield(b) {
				return
			}
		}
	})
	a.Nodes = treeOf(func(yield func([]byte) bool) {
		var b []byte
		for i := range r.rows {
			v := &r.rows[i]
			b = appendAmount(b[:0], `{"directFine":"`, v.direct)
			b = appendAmount(b, `","inflowFine":"`, v.in)
			b = appendAmount(b, `","keptFine":"`, v.kept)
			b = appendPeriod(append(b, `","period":"`...), v.snapshot)
			b = appendAmount(b, `","retainedFine":"`, v.retained)
			b = append(append(b, `","statement":"`...), r.l.ids.text(v.node)...)
			b = appendAmount(b, `","upFine":"`, v.in.minus(v.kept).minus(v.retained))
			b = append(b, `"}`...)
			if !yield(b) {
				return
			}
		}
	})
	a.PayeeStatements = Tree{r.Len(), r.Root()}
	return a
}

func treeOf(leaves iter.Seq[[]byte]) Tree {
	var hs []tlog.Hash
	for b := range leaves {
		hs = append(hs, tlog.RecordHash(b))
	}
	return Tree{len(hs), newTree(hs).root()}
}

// Digest returns the result digest of a Ledger: SHA-256 over the bytes of all
// statements of all runs, by period, then currency code, then payee. Two
// implementations that agree on it agree on every cent.
func (l *Ledger) Digest() ([32]byte, error) {
	var runners []*Runner
	for _, c := range l.Currencies() {
		r, err := l.Runner(c.Code)
		if err != nil {
			return [32]byte{}, err
		}
		runners = append(runners, r)
	}
	h := sha256.New()
	var buf []byte
	for p := l.first; p < l.open; p++ {
		for _, r := range runners {
			run, err := r.Next()
			if err != nil {
				return [32]byte{}, err
			}
			for i := range run.Len() {
				buf = run.Append(buf[:0], i)
				h.Write(buf)
			}
		}
	}
	return [32]byte(h.Sum(nil)), nil
}
