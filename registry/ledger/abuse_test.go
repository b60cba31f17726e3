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
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
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

// effect returns the one effect of a type in the newest entry.
func effect[E fold.Effect](c *court) E {
	c.t.Helper()
	for _, e := range c.effects {
		if e, ok := e.(E); ok {
			return e
		}
	}
	var zero E
	c.t.Fatalf("entry %d has no %T", c.size-1, zero)
	return zero
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
	if last.Len() != 3 {
		t.Errorf("%d statements, want three", last.Len())
	}
	for i := range last.Len() {
		if s := last.Statement(i); !s.Close.IsZero() {
			t.Errorf("all was refunded, and %s has %s", s.Payee, s.Close)
		}
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
