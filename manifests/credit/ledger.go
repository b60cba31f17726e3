package credit

import (
	"bytes"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// MaxShares bounds the parties of a node or an agreement; larger groups are
	// trees of works.
	MaxShares = 10_000
	// HoldPeriods is how long a hold lasts unless it is renewed.
	HoldPeriods = 12
	// lastPeriod is 9999-12: beyond it a period has no text.
	lastPeriod = Period(10_000*12 - 1)
)

// A Ledger is what the log says about money. Its methods are the effects of
// entries, and are called in the order of the log: that order is part of the
// input. Nothing in it depends on anything else.
//
// The Ledger trusts that the fold judged the entries, and checks what it needs
// in order not to be led astray: a reference that is not there, a total that
// does not add up, a text that is no identifier, a number over its limit is
// fault.Invalid, and the Ledger is as it was before. Sums that do not fit are
// fault.TooLarge.
//
// Adding is for one goroutine. Between two calls that add, any number of
// goroutines may read and run.
type Ledger struct {
	first, open Period

	parties interner
	works   interner
	nodes   []node
	ids     interner // statements of nodes, numbered as nodes is

	// Shares of nodes and agreements, and edges of nodes, one after the other;
	// each list is sorted by the text of its keys.
	shareParty  []uint32
	shareWeight []uint64
	shareSigned []Period // when a contributor signed; 0 for not yet
	edgeTo      []uint32
	edgeWeight  []uint64

	agreements   []agreement
	agreementIDs map[string]uint32
	complete     map[uint32][]uint32 // work to agreements, in the order of completion

	rulings map[uint32][]ruling // by node, in the order of the log

	currencies  []Currency
	books       map[string]*book
	events      []event
	eventIDs    map[string]uint32
	resolutions map[string]bool
	payouts     []payout
	payoutIDs   map[string]uint32

	adjustments interner
	applied     map[runKey][]uint32 // agreements that adjust a run, in the order of the log
}

// shares is a list in shareParty and its companions.
type shares struct {
	first, n uint32
	total    uint64
}

type node struct {
	shares        shares
	edge0, edges  uint32
	self, total   uint64
	work          uint32
	publisher     uint32
	agreement     uint32 // named by it, or none
	pool          uint32 // where onWithdraw sends the kept part, or none
	withdrawn     Period // from which on; 0 for not
	depth         int32
	holdWithdrawn bool
}

type agreement struct {
	work       uint32
	shares     shares
	effective  Period
	retro      bool
	supersedes uint32 // or none
	missing    map[uint32]bool
	done       bool   // every required party has signed
	inForce    bool   // done, and supersedes was the newest complete one
	from       Period // of an agreement in force
	nodes      uint32 // how many nodes the log had when it was completed
}

// book is what belongs to one currency.
type book struct {
	cur      Currency
	counted  map[Period][]uint32 // events by the period they count in, in order
	gross    map[Period]Amount   // Σ|event| of that period
	receipts map[Period][]uint32 // receipts by the period of their entry
	payouts  map[Period][]uint32 // lines of payouts, and returned ones, by period
	adjusted map[Period][]move   // what adjustments move, by the period of their entry
	moved    []movedPayout
}

type event struct {
	Event
	node    uint32
	fine    Amount // signed
	counted bool
	period  Period // in which it counts
	settled Amount // Σ receipts, minor
	waiting []uint32
	refunds Amount // Σ of what reverses it, minor
}

type ruling struct {
	Ruling
	from   Period
	lasts  bool // a hold of a withdrawal, which does not lapse
	shares shares
}

type payout struct {
	Payout
	lines []movedPayout
	done  []bool // returned
}

type movedPayout struct {
	payout string
	rail   string
	party  uint32
	fine   Amount // negative when it came back
}

// NewLedger returns an empty Ledger, in which first is open: firstPeriod of
// registry/v1. A period outside 0001-01 to 9999-12 is fault.Invalid.
func NewLedger(first Period) (*Ledger, error) {
	if first < 12 || first > lastPeriod {
		return nil, fault.New(fault.Invalid, "no calendar begins in month %d", first)
	}
	return &Ledger{
		first: first, open: first,
		agreementIDs: map[string]uint32{}, complete: map[uint32][]uint32{}, rulings: map[uint32][]ruling{},
		books: map[string]*book{}, eventIDs: map[string]uint32{}, resolutions: map[string]bool{}, payoutIDs: map[string]uint32{},
		applied: map[runKey][]uint32{},
	}, nil
}

// First returns the first period of the calendar.
func (l *Ledger) First() Period { return l.first }

// Open returns the open period. All before it, down to First, are closed.
func (l *Ledger) Open() Period { return l.open }

// Currencies returns the currencies, sorted by code.
func (l *Ledger) Currencies() []Currency {
	return slices.SortedFunc(slices.Values(l.currencies), func(a, b Currency) int { return bytes.Compare([]byte(a.Code), []byte(b.Code)) })
}

// Currency returns the currency with a code; fault.NotFound without one.
func (l *Ledger) Currency(code string) (Currency, error) {
	b, err := l.book(code)
	if err != nil {
		return Currency{}, err
	}
	return b.cur, nil
}

func (l *Ledger) book(code string) (*book, error) {
	if b := l.books[code]; b != nil {
		return b, nil
	}
	return nil, fault.New(fault.NotFound, "no currency %s", fault.Quote(code))
}

// AddCurrency adds a unit of account. A code that is there already is
// fault.Invalid.
func (l *Ledger) AddCurrency(c Currency) error {
	if err := c.check(); err != nil {
		return err
	}
	if l.books[c.Code] != nil {
		return fault.New(fault.Invalid, "the currency %s stands twice", c.Code)
	}
	l.currencies = append(l.currencies, c)
	l.books[c.Code] = &book{cur: c, counted: map[Period][]uint32{}, gross: map[Period]Amount{}, receipts: map[Period][]uint32{}, payouts: map[Period][]uint32{}, adjusted: map[Period][]move{}}
	return nil
}

// ClosePeriod closes p, which must be the open period, and opens the next.
func (l *Ledger) ClosePeriod(p Period) error {
	if p != l.open || p-l.first >= maxPeriods || p >= lastPeriod {
		return fault.New(fault.Invalid, "closing %d: the open period is %s", p, l.open)
	}
	l.open++
	return nil
}

// A Node is an accepted contribution, model or pool: a vertex of the derivation
// graph.
type Node struct {
	Statement string
	Work      string
	Publisher string

	// Contributors are the shares at birth, of which Total is the sum. Weights
	// are above 0 and keys unique, in any order.
	Contributors []Weight
	Total        uint64
	// Signers are the contributors who had signed.
	Signers []string

	// Edges lead to nodes that were added before. SelfWeight + Σ weights =
	// EdgeTotal; without edges both may be 0, which means 1 and 1.
	Edges      []Weight
	SelfWeight uint64
	EdgeTotal  uint64

	// Agreement is a complete or pending agreement of the work that the
	// statement names, or empty.
	Agreement string
	// OnWithdraw is OnWithdrawKeep (also when empty), OnWithdrawHold or
	// OnWithdrawPool, which takes Pool, an earlier node.
	OnWithdraw string
	Pool       string
}

// What becomes of the kept part of a node after its withdrawal.
const (
	OnWithdrawKeep = "keep"
	OnWithdrawHold = "hold"
	OnWithdrawPool = "pool"
)

// AddNode adds a node.
func (l *Ledger) AddNode(n Node) error {
	for _, f := range []struct{ what, id string }{{"statement", n.Statement}, {"work", n.Work}, {"publisher", n.Publisher}} {
		if err := checkID(f.what, f.id); err != nil {
			return err
		}
	}
	if l.ids.find(n.Statement) != none {
		return fault.New(fault.Invalid, "the statement %s stands twice", n.Statement)
	}
	if uint64(l.ids.len()) >= math.MaxUint32-1 {
		return fault.New(fault.TooLarge, "too many nodes")
	}
	v := node{agreement: none, pool: none, self: n.SelfWeight, total: n.EdgeTotal, depth: 1}
	if len(n.Edges) == 0 && v.self == 0 && v.total == 0 {
		v.self, v.total = 1, 1
	}
	to, weights, err := l.edges(n, &v)
	if err != nil {
		return err
	}
	if n.Agreement != "" {
		a, ok := l.agreementIDs[n.Agreement]
		if !ok || l.agreements[a].work != l.works.find(n.Work) {
			return fault.New(fault.Invalid, "%s: the agreement %s is not one of its work", n.Statement, fault.Quote(n.Agreement))
		}
		v.agreement = a
	}
	switch n.OnWithdraw {
	case "", OnWithdrawKeep:
	case OnWithdrawHold:
		v.holdWithdrawn = true
	case OnWithdrawPool:
		if v.pool = l.ids.find(n.Pool); v.pool == none {
			return fault.New(fault.Invalid, "%s: no pool %s", n.Statement, fault.Quote(n.Pool))
		}
	default:
		return fault.New(fault.Invalid, "%s: no onWithdraw %s", n.Statement, fault.Quote(n.OnWithdraw))
	}
	n.Contributors = sortedWeights(n.Contributors)
	for _, s := range n.Signers {
		if _, ok := slices.BinarySearchFunc(n.Contributors, s, func(w Weight, s string) int { return strings.Compare(w.Key, s) }); !ok {
			return fault.New(fault.Invalid, "%s: the signer %s is no contributor", n.Statement, fault.Quote(s))
		}
	}
	if v.shares, err = l.addShares(n.Statement, n.Contributors, n.Total); err != nil {
		return err
	}
	v.edge0, v.edges = uint32(len(l.edgeTo)), uint32(len(to))
	l.edgeTo, l.edgeWeight = append(l.edgeTo, to...), append(l.edgeWeight, weights...)
	v.work, _ = l.works.add(n.Work)
	v.publisher, _ = l.parties.add(n.Publisher)
	id, _ := l.ids.add(n.Statement)
	l.nodes = append(l.nodes, v)
	for _, s := range n.Signers {
		l.sign(id, l.parties.find(s))
	}
	return nil
}

// edges checks and resolves the edges of n, sorted by statement.
func (l *Ledger) edges(n Node, v *node) (to []uint32, weights []uint64, err error) {
	if len(n.Edges) > MaxEdges {
		return nil, nil, fault.New(fault.Invalid, "%s: more than %d edges", n.Statement, MaxEdges)
	}
	if uint64(len(l.edgeTo)+len(n.Edges)) >= math.MaxUint32 {
		return nil, nil, fault.New(fault.TooLarge, "too many edges")
	}
	sorted := sortedWeights(n.Edges)
	sum := v.self
	for i, e := range sorted {
		p := l.ids.find(e.Key)
		if p == none || i > 0 && sorted[i-1].Key == e.Key || e.Weight == 0 || sum > MaxWeight || e.Weight > MaxWeight-sum {
			return nil, nil, fault.New(fault.Invalid, "%s: the edge to %s is unknown, twice, zero or too large", n.Statement, fault.Quote(e.Key))
		}
		sum += e.Weight
		to, weights = append(to, p), append(weights, e.Weight)
		v.depth = max(v.depth, 1+l.nodes[p].depth)
	}
	if sum != v.total || sum == 0 || sum > MaxWeight {
		return nil, nil, fault.New(fault.Invalid, "%s: the edges and selfWeight do not sum to edgeTotal", n.Statement)
	}
	if v.depth > MaxDepth {
		return nil, nil, fault.New(fault.Invalid, "%s: deeper than %d", n.Statement, MaxDepth)
	}
	return to, weights, nil
}

func sortedWeights(ws []Weight) []Weight {
	byKey := func(a, b Weight) int { return strings.Compare(a.Key, b.Key) }
	if slices.IsSortedFunc(ws, byKey) {
		return ws
	}
	return slices.SortedFunc(slices.Values(ws), byKey)
}

// checkShares returns ws sorted, when it is a list of parties that sums to total.
func checkShares(of string, ws []Weight, total uint64) ([]Weight, error) {
	if len(ws) == 0 || len(ws) > MaxShares {
		return nil, fault.New(fault.Invalid, "%s: %d shares: want 1 to %d", of, len(ws), MaxShares)
	}
	ws = sortedWeights(ws)
	var sum uint64
	for i, w := range ws {
		if err := checkID("party", w.Key); err != nil {
			return nil, err
		}
		if i > 0 && ws[i-1].Key == w.Key || w.Weight == 0 || w.Weight > MaxWeight-sum {
			return nil, fault.New(fault.Invalid, "%s: the share of %s is twice, zero or too large", of, w.Key)
		}
		sum += w.Weight
	}
	if sum != total {
		return nil, fault.New(fault.Invalid, "%s: the shares sum to %d, not to %d", of, sum, total)
	}
	return ws, nil
}

// addShares stores a list of parties; nothing is stored when it is refused.
func (l *Ledger) addShares(of string, ws []Weight, total uint64) (shares, error) {
	ws, err := checkShares(of, ws, total)
	if err != nil {
		return shares{}, err
	}
	if uint64(len(l.shareParty)+len(ws)) >= math.MaxUint32 || uint64(l.parties.len()+len(ws)) >= math.MaxUint32-1 {
		return shares{}, fault.New(fault.TooLarge, "too many shares")
	}
	s := shares{uint32(len(l.shareParty)), uint32(len(ws)), total}
	for _, w := range ws {
		p, _ := l.parties.add(w.Key)
		l.shareParty = append(l.shareParty, p)
		l.shareWeight = append(l.shareWeight, w.Weight)
		l.shareSigned = append(l.shareSigned, 0)
	}
	return s, nil
}

func (l *Ledger) weights(s shares) []uint64   { return l.shareWeight[s.first : s.first+s.n] }
func (l *Ledger) partiesOf(s shares) []uint32 { return l.shareParty[s.first : s.first+s.n] }

// slot returns where a party stands in a list, or -1.
func (l *Ledger) slot(s shares, party uint32) int {
	list := l.partiesOf(s)
	want := l.parties.text(party)
	i := sort.Search(len(list), func(i int) bool { return bytes.Compare(l.parties.text(list[i]), want) >= 0 })
	if i < len(list) && list[i] == party {
		return int(s.first) + i
	}
	return -1
}

func (l *Ledger) sign(n, party uint32) bool {
	if party == none {
		return false
	}
	i := l.slot(l.nodes[n].shares, party)
	if i < 0 {
		return false
	}
	if l.shareSigned[i] == 0 {
		l.shareSigned[i] = l.open
	}
	return true
}

// AddSigner records that a party signed a node or an agreement. A party that is
// listed in neither is fault.Invalid; signing again changes nothing.
func (l *Ledger) AddSigner(statement, party string) error {
	if n := l.ids.find(statement); n != none {
		if !l.sign(n, l.parties.find(party)) {
			return fault.New(fault.Invalid, "%s: the signer %s is no contributor", statement, fault.Quote(party))
		}
		return nil
	}
	if a, ok := l.agreementIDs[statement]; ok {
		l.signAgreement(a, party)
		return nil
	}
	return fault.New(fault.Invalid, "no statement %s to sign", fault.Quote(statement))
}

// AddWithdrawal records that a node was withdrawn. From the next period on its
// OnWithdraw holds for its kept part; the flow to its parents stays as it is.
// A second withdrawal changes nothing.
func (l *Ledger) AddWithdrawal(statement string) error {
	id := l.ids.find(statement)
	if id == none {
		return fault.New(fault.Invalid, "no statement %s to withdraw", fault.Quote(statement))
	}
	if n := &l.nodes[id]; n.withdrawn == 0 {
		n.withdrawn = l.open + 1
		if n.holdWithdrawn {
			l.rulings[id] = append(l.rulings[id], ruling{Ruling: Hold, from: l.open + 1, lasts: true})
		}
	}
	return nil
}

// A Ruling is what a resolution decides about the kept part of a node.
type Ruling string

// The rulings. Release and Dismiss have the same effect on money.
const (
	Hold       Ruling = "hold"
	Release    Ruling = "release"
	Reallocate Ruling = "reallocate"
	Dismiss    Ruling = "dismiss"
)

// A Resolution is an arbiters' ruling. It takes effect in the next period.
type Resolution struct {
	Statement string // of the resolution
	Node      string
	Ruling    Ruling
	Shares    []Weight // of Reallocate
	Total     uint64
}

// AddResolution adds a ruling. Of several that take effect in one period, the
// last counts. A hold ends by any other ruling, and lapses after HoldPeriods
// periods unless it is renewed by another hold. Reallocate divides what is held
// on the node when its period is run, and ends the hold.
func (l *Ledger) AddResolution(r Resolution) error {
	if err := checkID("resolution", r.Statement); err != nil {
		return err
	}
	if l.resolutions[r.Statement] {
		return fault.New(fault.Invalid, "the resolution %s stands twice", r.Statement)
	}
	n := l.ids.find(r.Node)
	if n == none {
		return fault.New(fault.Invalid, "%s: no statement %s", r.Statement, fault.Quote(r.Node))
	}
	v := ruling{Ruling: r.Ruling, from: l.open + 1}
	switch r.Ruling {
	case Hold, Release, Dismiss:
		if len(r.Shares) > 0 || r.Total != 0 {
			return fault.New(fault.Invalid, "%s: shares belong to a reallocation", r.Statement)
		}
	case Reallocate:
		s, err := l.addShares(r.Statement, r.Shares, r.Total)
		if err != nil {
			return err
		}
		v.shares = s
	default:
		return fault.New(fault.Invalid, "%s: no ruling %s", r.Statement, fault.Quote(string(r.Ruling)))
	}
	l.resolutions[r.Statement] = true
	l.rulings[n] = append(l.rulings[n], v)
	return nil
}

// ruling returns the ruling on n that is in force in p; the zero value without one.
func (l *Ledger) ruling(n uint32, p Period) ruling {
	rs := l.rulings[n]
	for i := len(rs) - 1; i >= 0; i-- {
		if rs[i].from <= p {
			return rs[i]
		}
	}
	return ruling{}
}

// onHold reports whether the kept part of n is held in p.
func (l *Ledger) onHold(n uint32, p Period) bool {
	if len(l.rulings) == 0 {
		return false
	}
	r := l.ruling(n, p)
	return r.Ruling == Hold && (r.lasts || p < r.from+HoldPeriods)
}
