package ledger_test

// One test for each row of the table of abuses. An attacker has keys and may
// sign what they like; each test logs it, folds the log, fills the engine with
// what the fold accepts and runs it, beside what honest people would have logged.
//
// One row has no test here, as it is not about statements: an operator who forks
// or edits the history is stopped by registry/translog (TestOpenRefusesAndSignsNothing)
// and found by readers (TestHostileRegistry and the script verify.txt of cmd/cairn).

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/ledger"
)

const (
	ok  = "accepted"
	dup = "duplicate"
)

// fine is how many fine units one minor unit of [foldtest.Currency] has.
const fine = 10_000_000_000

// A court is a log with an operator, op, and an arbiter, arb, and what the fold
// and the engine make of it.
type court struct {
	foldtest.World
	t       *testing.T
	state   *fold.State
	builder *ledger.Builder
	size    uint64
	open    string
	effects []fold.Effect // of the newest entry
}

func newCourt(t *testing.T) *court {
	t.Helper()
	c := &court{t: t, state: fold.NewState(foldtest.Origin), builder: ledger.NewBuilder(someLines), open: foldtest.FirstPeriod}
	r := c.Registry(1, "op")
	r.Arbiters, r.ArbiterThreshold = []sign.KeyID{foldtest.ID("arb")}, 1
	c.log(ok, r, "op")
	return c
}

// body logs an entry, which must come to want: a verdict, or the code of a
// rejection.
func (c *court) body(want string, b foldtest.Body) {
	c.t.Helper()
	r := c.state.Apply(fold.Read(b.Leaf, b.Envelope))
	got := string(r.Verdict)
	if r.Verdict == fold.Rejected {
		got = string(r.Code)
	}
	if got != want {
		c.t.Fatalf("entry %d is %s, want %s", c.size, got, want)
	}
	if err := c.builder.Apply(c.t.Context(), c.size, r.Effects); err != nil {
		c.t.Fatal(err)
	}
	c.effects = r.Effects
	c.size++
}

func (c *court) statement(want string, s *manifests.Statement, signers ...string) cid.Cid {
	c.t.Helper()
	c.body(want, foldtest.Log(s, signers...))
	return foldtest.CID(s)
}

func (c *court) log(want string, p manifests.Predicate, signers ...string) cid.Cid {
	c.t.Helper()
	return c.statement(want, manifests.New(p), signers...)
}

func (c *court) version(want string, v *manifests.Contribution, signers ...string) cid.Cid {
	c.t.Helper()
	return c.statement(want, foldtest.Version(v), signers...)
}

// work logs the first version of a work of one person, with edges.
func (c *court) work(who, name string, edges map[cid.Cid]int) cid.Cid {
	c.t.Helper()
	v := c.Contribution(who, name, "1.0.0")
	setEdges(v, edges)
	return c.version(ok, v, who)
}

// shared makes the first version of a work of some people: names and weights.
func (c *court) shared(name string, namesAndWeights ...any) *manifests.Contribution {
	v := c.Contribution(namesAndWeights[0].(string), name, "1.0.0")
	v.Contributors, v.Total = foldtest.Shares(namesAndWeights...)
	return v
}

func setEdges(v *manifests.Contribution, edges map[cid.Cid]int) {
	if len(edges) > 0 {
		foldtest.SetEdges(&v.Edges, &v.SelfWeight, &v.EdgeTotal, edges)
	}
}

// income logs an income of the open period.
func (c *court) income(key string, of cid.Cid, minor int) cid.Cid {
	c.t.Helper()
	r := c.Income(key, of, fmt.Sprint(minor))
	r.Period = c.open
	return c.log(ok, r, "op")
}

// close closes the open period and runs it. What came in is what was kept.
func (c *court) close() *credit.Run {
	c.t.Helper()
	p, err := credit.ParsePeriod(c.open)
	if err != nil {
		c.t.Fatal(err)
	}
	c.log(ok, c.Period(c.open), "op")
	c.open = (p + 1).String()
	run, err := c.builder.Ledger().Run(p, foldtest.Currency)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := conserves(run); err != nil {
		c.t.Fatal(err)
	}
	return run
}

// credited is what a run credits somebody, in fine units; 0 for one whom it does
// not know.
func (c *court) credited(run *credit.Run, who string) uint64 {
	c.t.Helper()
	i, err := run.Find(string(foldtest.ID(who)))
	if errors.Is(err, fault.NotFound) {
		return 0
	}
	if err != nil {
		c.t.Fatal(err)
	}
	n, fits := run.Statement(i).Credit.Uint64()
	if !fits {
		c.t.Fatalf("%s is credited %s", who, run.Statement(i).Credit)
	}
	return n
}

// wants checks what a run credits somebody, in fine units.
func (c *court) wants(what string, run *credit.Run, who string, want uint64) {
	c.t.Helper()
	if got := c.credited(run, who); got != want {
		c.t.Errorf("%s: %s is credited %d fine units, want %d", what, who, got, want)
	}
}

// pays are the rules of a parent whose children, datasets too, owe it a rate.
func pays(ratePpm, floorPpm int64) *manifests.Rules {
	return &manifests.Rules{Payment: &manifests.PaymentRules{RatePpm: ratePpm, Stacking: credit.StackSum, FloorPpm: floorPpm, ToDerived: true}}
}

// Somebody shows up as a hundred people. Shares are linear, so that the hundred
// together get what the one got, give or take a fine unit; and each of them has
// to reach the smallest payout alone.
func TestAbuseSybilSplit(t *testing.T) {
	const sybils = 100
	run := func(namesAndWeights ...any) (*court, *credit.Run) {
		c := newCourt(t)
		var signers []string
		for i := 0; i < len(namesAndWeights); i += 2 {
			signers = append(signers, namesAndWeights[i].(string))
		}
		v := c.shared("set", namesAndWeights...)
		var id cid.Cid
		for some := range slices.Chunk(signers, 32) { // as many as an envelope carries
			id = c.version(ok, v, some...)
		}
		c.income("k", id, 100_003)
		return c, c.close()
	}
	least := credit.FromUint64(1_000)
	payable := func(r *credit.Run) (sum uint64) {
		for i := range r.Len() {
			if s := r.Statement(i); s.Payee != string(foldtest.ID("noa")) {
				minor, _, err := r.Currency().Payable(s.Close, least)
				if err != nil {
					t.Fatal(err)
				}
				n, _ := minor.Uint64()
				sum += n
			}
		}
		return sum
	}

	c, honest := run("noa", 107, "eve", sybils)
	whole := c.credited(honest, "eve")
	list := []any{"noa", 107}
	for i := range sybils {
		list = append(list, fmt.Sprint("eve", i), 1)
	}
	c, split := run(list...)
	var sum uint64
	for i := range sybils {
		sum += c.credited(split, fmt.Sprint("eve", i))
	}
	if whole == 0 || sum > whole+1 {
		t.Errorf("%d identities are credited %d, the one had %d", sybils, sum, whole)
	}
	if one, many := payable(honest), payable(split); one != whole/fine || many != 0 {
		t.Errorf("%d are paid to the one and %d to the many, want %d and 0", one, many, whole/fine)
	}
}

// Somebody looks for a key or for amounts that the rounding favours. The payments
// of a period are added up first and divided once, and a division rounds by less
// than a fine unit.
func TestAbuseRounding(t *testing.T) {
	const incomes = 31 // each of which alone leaves a unit over
	seen := make(map[uint64]bool)
	for i := range 24 {
		c, eve := newCourt(t), fmt.Sprint("eve", i)
		v := c.version(ok, c.shared("set", "ana", 1, "ben", 1, eve, 1), "ana", "ben", eve)
		for k := range incomes {
			c.income(fmt.Sprint(k), v, 1)
		}
		got := c.credited(c.close(), eve)
		if exact := uint64(incomes * fine / 3); got < exact || got > exact+1 {
			t.Errorf("key %d is credited %d of %d", i, got, exact)
		}
		seen[got] = true
	}
	if len(seen) != 2 {
		t.Errorf("all keys are credited the same, %v: nothing was to be won in the first place", seen)
	}
}

// Somebody breaks a payment into hundreds, or is one of many payees of almost
// nothing. Payments are added up before they flow, so that nobody's statement
// changes; and what is below the smallest payout is carried on.
func TestAbuseDust(t *testing.T) {
	run := func(parts, minor int) *credit.Run {
		c := newCourt(t)
		base := c.version(ok, c.shared("base", "ana", 1, "ben", 1, "cat", 1), "ana", "ben", "cat")
		top := c.work("lab", "top", map[cid.Cid]int{base: 333_333})
		for i := range parts {
			c.income(fmt.Sprint(i), top, minor)
		}
		return c.close()
	}
	dust, sum := run(200, 1), run(1, 200)
	if dust.Root() != sum.Root() {
		t.Error("200 payments of 1 give other statements than one of 200")
	}
	if other := run(1, 201); other.Root() == sum.Root() {
		t.Error("a payment of 201 gives the statements of one of 200")
	}
	i, err := dust.Find(string(foldtest.ID("ana")))
	if err != nil {
		t.Fatal(err)
	}
	closing := dust.Statement(i).Close
	for least, want := range map[uint64]uint64{1: 22, 100: 0} {
		minor, carry, err := dust.Currency().Payable(closing, credit.FromUint64(least))
		whole, _ := credit.FromUint64(want * fine).Add(carry)
		if err != nil || minor != credit.FromUint64(want) || whole != closing {
			t.Errorf("at least %d: %s are paid and %s carried on of %s, %v", least, minor, carry, closing, err)
		}
	}
}

// Sixteen by sixteen copies stand between a work and the model that uses it: 256
// ways. What flows is divided at each version, so that the work gets what it
// would get by a single way of the same rates.
func TestAbusePathInflation(t *testing.T) {
	run := func(copies int) (*court, *credit.Run) {
		c := newCourt(t)
		layer := []cid.Cid{c.work("ana", "work", nil)}
		to := func(rate int) map[cid.Cid]int {
			edges := make(map[cid.Cid]int)
			for _, v := range layer {
				edges[v] = rate / len(layer)
			}
			return edges
		}
		for k, rate := range []int{10_000, 160_000} {
			var next []cid.Cid
			for i := range copies {
				next = append(next, c.work("eve", fmt.Sprint("copy", k, "-", i), to(rate)))
			}
			layer = next
		}
		m := c.Model("lab", "net", "1.0.0")
		foldtest.SetEdges(&m.Edges, &m.SelfWeight, &m.EdgeTotal, to(160_000))
		c.income("k", c.log(ok, m, "lab"), 1_000_000)
		return c, c.close()
	}
	// 16 % of 16 % of 1 %.
	c, one := run(1)
	c.wants("one way", one, "ana", 256*fine)
	c, many := run(16)
	c.wants("256 ways", many, "ana", 256*fine)
	c.wants("the copies", many, "eve", c.credited(one, "eve"))
}

// Shells stand between a work and its users, each of which keeps nearly all. The
// work's floor holds for everything derived from it: the log refuses a version
// from which too little arrives, unless it has an edge to the work itself.
func TestAbuseDilution(t *testing.T) {
	shells := func(c *court, floor int64) (base, shell cid.Cid) {
		v := c.Contribution("ana", "base", "1.0.0")
		v.Rules = pays(50_000, floor)
		base = c.version(ok, v, "ana")
		return base, c.work("eve", "shell", map[cid.Cid]int{base: 50_000})
	}
	c := newCourt(t)
	_, shell := shells(c, 0)
	c.income("k", c.work("eve", "product", map[cid.Cid]int{shell: 50_000}), 1_000_000)
	c.wants("without a floor", c.close(), "ana", 2_500*fine)

	c = newCourt(t)
	base, shell := shells(c, 20_000)
	v := c.Contribution("eve", "product", "1.0.0")
	setEdges(v, map[cid.Cid]int{shell: 50_000})
	c.version(string(fold.Floor), v, "eve")
	v = c.Contribution("eve", "product", "1.0.0")
	setEdges(v, map[cid.Cid]int{shell: 50_000, base: 17_500})
	c.version(string(fold.Underpaid), v, "eve") // who has an edge owes the rate
	product := c.work("eve", "product", map[cid.Cid]int{shell: 50_000, base: 50_000})
	c.income("k", product, 1_000_000)
	c.wants("with a floor", c.close(), "ana", 52_500*fine)

	// A shell over the shell does not get around it.
	v = c.Contribution("eve", "again", "1.0.0")
	setEdges(v, map[cid.Cid]int{product: 300_000})
	c.version(string(fold.Floor), v, "eve")
	c.income("k2", c.work("eve", "again", map[cid.Cid]int{product: 400_000}), 1_000_000)
	c.wants("through the product", c.close(), "ana", 21_000*fine)
}

// altered is the entry of a statement whose payload has been changed after the
// fact, and signed so: what no honest program writes.
func altered(t *testing.T, s *manifests.Statement, subject cid.Cid, signer string, oldNew ...string) foldtest.Body {
	t.Helper()
	b := foldtest.Payload(s)
	for i := 0; i < len(oldNew); i += 2 {
		if bytes.Count(b, []byte(oldNew[i])) != 1 {
			t.Fatalf("%s is there %d times", oldNew[i], bytes.Count(b, []byte(oldNew[i])))
		}
		b = bytes.Replace(b, []byte(oldNew[i]), []byte(oldNew[i+1]), 1)
	}
	return foldtest.LogPayload(b, s.Kind, subject, signer)
}

// Somebody gives away more than there is: edges or shares above their total,
// receipts above what was declared, refunds above what came in. Totals are
// stated, and compared when a statement is logged.
func TestAbuseOverClaim(t *testing.T) {
	c := newCourt(t)
	base := c.work("ana", "base", nil)
	v := c.shared("set", "eve", 2, "fay", 3)
	setEdges(v, map[cid.Cid]int{base: 100_000})
	st, root := foldtest.Version(v), foldtest.RawCID("data of set 1.0.0")
	c.body(string(fold.Malformed), altered(t, st, root, "eve", `"weight":"100000"`, `"weight":"999999"`))
	c.body(string(fold.Malformed), altered(t, st, root, "eve", `"weight":"2"`, `"weight":"9"`))
	c.body(string(fold.Malformed), altered(t, st, root, "eve", `"total":"5"`, `"total":"4"`))
	c.body(ok, altered(t, st, root, "eve")) // as it is
	set := c.statement(ok, st, "fay")

	declared := c.log(ok, c.Declared("eve", "d", set, "1000"), "eve")
	c.log(string(fold.OverClaim), c.Receipt("r1", set, declared, "1001"), "op")
	c.log(ok, c.Receipt("r1", set, declared, "600"), "op")
	c.log(string(fold.OverClaim), c.Receipt("r2", set, declared, "401"), "op")
	c.log(ok, c.Receipt("r2", set, declared, "400"), "op")
	c.log(string(fold.OverClaim), c.Receipt("r3", set, declared, "1"), "op")
	run := c.close()
	c.wants("what was received, once", run, "ana", 100*fine)
	c.wants("what was received, once", run, "eve", 360*fine)
	c.wants("what was received, once", run, "fay", 540*fine)

	back := func(key, minor string) *manifests.Revenue { return c.Refund(key, set, declared, minor) }
	c.log(ok, back("b1", "600"), "op")
	c.log(string(fold.OverClaim), back("b2", "401"), "op")
	c.log(ok, back("b3", "400"), "op")
	last := c.close()
	for i := range last.Len() {
		if s := last.Statement(i); !s.Close.IsZero() {
			t.Errorf("all was refunded, and %s has %s", s.Payee, s.Close)
		}
	}
}

// Somebody logs versions that cost the readers dearly: with thousands of edges,
// or at the end of a chain without end. Both are bounded when a version is logged.
func TestAbuseFanOutAndDepth(t *testing.T) {
	c := newCourt(t)
	// The edges lead nowhere: what is in bounds fails for that reason.
	list := make([]cid.Cid, credit.MaxEdges+1)
	for i := range list {
		list[i] = foldtest.RawCID(fmt.Sprint("parent ", i))
	}
	all := foldtest.Sorted(list...)
	edges := make(map[cid.Cid]int)
	for _, p := range all[:credit.MaxEdges] {
		edges[p.Cid] = 1
	}
	wide := c.Contribution("eve", "wide", "1.0.0")
	setEdges(wide, edges)
	edge := func(p cjson.CID) string {
		b, err := json.Marshal(manifests.Edge{Statement: p, Weight: "1"})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	st, root := foldtest.Version(wide), foldtest.RawCID("data of wide 1.0.0")
	last, more := edge(all[credit.MaxEdges-1]), edge(all[credit.MaxEdges])
	c.body(string(fold.Malformed), altered(t, st, root, "eve", last, last+","+more,
		wide.SelfWeight, fmt.Sprint(credit.PPM-credit.MaxEdges-1)))
	c.body(string(fold.Reference), altered(t, st, root, "eve", last, more)) // as many as there may be

	v := c.work("ana", "base", nil)
	for i := range credit.MaxDepth - 1 {
		v = c.work("eve", fmt.Sprint("shell-", i), map[cid.Cid]int{v: 999_999})
	}
	deep := c.Contribution("eve", "too-deep", "1.0.0")
	setEdges(deep, map[cid.Cid]int{v: 1})
	c.version(string(fold.Depth), deep, "eve")
	c.income("k", v, 1_000_000)
	if got := c.credited(c.close(), "ana"); got < 999_936*fine || got > 1_000_000*fine {
		t.Errorf("at the end of the longest chain ana is credited %d", got)
	}
}

// Somebody asks for the ways by which money went in a graph that has millions of
// them. An explanation lists the versions on the way, each once, page by page.
func TestAbusePathEnumeration(t *testing.T) {
	const layers, width = 12, 4 // 4^12 ways: 16 million
	c := newCourt(t)
	layer := []cid.Cid{c.work("ana", "work", nil)}
	for k := range layers {
		edges := make(map[cid.Cid]int)
		for _, p := range layer {
			edges[p] = 1_000_000 / width
		}
		if k == 0 {
			edges[layer[0]] = 500_000
		}
		layer = nil
		for i := range width {
			v := c.Contribution("eve", fmt.Sprint("layer-", k, "-", i), "1.0.0")
			setEdges(v, edges)
			layer = append(layer, c.version(ok, v, "eve"))
		}
	}
	edges := make(map[cid.Cid]int)
	for _, p := range layer {
		edges[p] = 250_000
	}
	event := c.income("k", c.work("lab", "top", edges), 1_000_000).String()
	run := c.close()
	l, ana := c.builder.Ledger(), string(foldtest.ID("ana"))
	x, err := l.Explain(ana, event, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := layers*width + 2; len(x.Hops) != want || x.More {
		t.Errorf("%d hops, more: %t, want the %d versions", len(x.Hops), x.More, want)
	}
	if got, _ := x.Amount.Uint64(); got != 500_000*fine || got != c.credited(run, "ana") {
		t.Errorf("the explanation comes to %d, the run to %d", got, c.credited(run, "ana"))
	}
	page, err := l.Explain(ana, event, 10, 5)
	if err != nil || len(page.Hops) != 5 || !page.More || fmt.Sprint(page.Hops) != fmt.Sprint(x.Hops[10:15]) {
		t.Errorf("a page of 5 has %d hops, more: %t, %v", len(page.Hops), page.More, err)
	}
	if _, err := l.Explain(ana, event, 0, credit.MaxHops+1); !errors.Is(err, fault.Invalid) {
		t.Errorf("a page above the limit: %v, want invalid", err)
	}
}

// Somebody registers hundreds of packages that lean on each other and on a work
// that is used, to stand well in the graph. Money comes with a payment that names
// a version, and from there goes up: where a version stands is worth nothing.
func TestAbuseRankFarming(t *testing.T) {
	run := func(spam int) (*court, *credit.Run) {
		c := newCourt(t)
		base := c.work("ana", "base", nil)
		used := c.work("lab", "used", map[cid.Cid]int{base: 100_000})
		last := c.work("eve", "spam", nil)
		for i := range spam {
			last = c.work("eve", fmt.Sprint("spam-", i), map[cid.Cid]int{last: 400_000, base: 1, used: 1})
			if i%32 == 31 {
				last = used
			}
		}
		r := c.Income("k", used, "1000")
		r.Nonce = "AAAAAAAAAAAAAAAAAAAAAA" // the same statement in both logs
		c.log(ok, r, "op")
		return c, c.close()
	}
	c, honest := run(0)
	c.wants("honest", honest, "ana", 100*fine)
	c, farmed := run(200)
	c.wants("farmed", farmed, "eve", 0)
	if honest.Root() != farmed.Root() {
		t.Error("200 packages change a statement")
	}
}

// Somebody logs a payment again: the same entry, the statement in another
// envelope, the same payment under another nonce, another amount under its key, or
// what was signed for another log. It counts once.
func TestAbuseReplay(t *testing.T) {
	c := newCourt(t)
	v := c.Contribution("eve", "set", "1.0.0")
	set := c.version(ok, v, "eve")
	c.version(dup, v, "eve")
	income := c.Income("invoice-1", set, "1000")
	id := c.log(ok, income, "op")
	c.log(dup, income, "op")
	again := c.Income("invoice-1", set, "1000")
	c.log(dup, again, "op")
	c.log(string(fold.KeyTaken), c.Income("invoice-1", set, "2000"), "op")
	c.log(string(fold.UnexpectedSigner), c.Income("invoice-2", set, "1000"), "eve")
	elsewhere := c.Income("invoice-3", set, "1000")
	elsewhere.Registry = "elsewhere.example/log"
	c.log(string(fold.WrongRegistry), elsewhere, "op")
	run := c.close()
	c.wants("one payment", run, "eve", 1000*fine)

	allocation := c.Allocation(foldtest.FirstPeriod, cid.Undef)
	a := c.log(ok, allocation, "op")
	c.log(dup, allocation, "op")
	payout := c.log(ok, c.Payout("batch-1", a), "op")
	c.log(dup, c.Payout("batch-1", a), "op")
	other := c.Payout("batch-1", a)
	other.TotalMinor = "11"
	c.log(string(fold.KeyTaken), other, "op")
	c.log(ok, c.PayoutResult(payout, 0, manifests.PayoutPaid), "op")
	c.log(ok, c.PayoutResult(payout, 0, manifests.PayoutReturned), "op")
	c.log(string(fold.ResultTaken), c.PayoutResult(payout, 0, manifests.PayoutReturned), "op")
	l := c.builder.Ledger()
	moved, err := l.Payments(l.Open(), foldtest.Currency)
	if nobody := moved[string(foldtest.ID("nobody"))]; err != nil || nobody != credit.FromUint64(3*fine) {
		t.Errorf("%s were paid to nobody, %v, want one line of 3", nobody, err)
	}
	if mia := moved[string(foldtest.ID("mia"))]; !mia.IsZero() {
		t.Errorf("what was paid and returned once comes to %s, want 0", mia)
	}

	c.log(ok, c.Refund("back-1", set, id, "1000"), "op")
	c.log(dup, c.Refund("back-1", set, id, "1000"), "op")
	c.income("invoice-4", set, 1000)
	c.income("invoice-5", set, 1000) // two that are two
	run = c.close()
	c.wants("two payments", run, "eve", 2000*fine)
}
