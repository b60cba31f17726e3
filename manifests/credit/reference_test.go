package credit_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
)

// The reference is a second engine, written from FORMAT.md with maps and big
// integers. It reads the log anew, up to the closing entry, for every run: that
// a run knows nothing of later entries holds by construction.
type refState struct {
	open       credit.Period
	nodes      []credittest.Op
	at         map[string]int // node to its place
	signed     map[[2]string]bool
	withdrawn  map[string]credit.Period
	agreements map[string]*refAgreement
	inForce    []*refAgreement
	rulings    map[string][]refRuling
	digits     map[string]int
	events     map[string]*refEvent
	counted    []*refEvent
	pays       []refPay
	payouts    map[string]credittest.Op
}

type refAgreement struct {
	op    credittest.Op
	have  map[string]bool
	done  bool
	from  credit.Period // 0: never
	nodes int
}

type refRuling struct {
	ruling string
	from   credit.Period
	ever   bool
	shares []credittest.Share
}

type refEvent struct {
	op      credittest.Op
	counts  bool
	period  credit.Period
	settled *big.Int
	waiting []*refEvent
	sign    int64
}

type refPay struct {
	period          credit.Period
	currency, payee string
	minor           *big.Int
}

func (s *refState) fine(cur string, minor *big.Int) *big.Int {
	return new(big.Int).Mul(minor, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(s.digits[cur])), nil))
}

func readLog(w *credittest.World, n int) *refState {
	s := &refState{
		open: w.FirstPeriod, at: map[string]int{}, signed: map[[2]string]bool{}, withdrawn: map[string]credit.Period{},
		agreements: map[string]*refAgreement{}, rulings: map[string][]refRuling{}, digits: map[string]int{}, events: map[string]*refEvent{},
		payouts: map[string]credittest.Op{},
	}
	for _, op := range w.Log[:n] {
		s.apply(op)
	}
	return s
}

func (s *refState) apply(op credittest.Op) {
	switch op.Op {
	case "currency":
		s.digits[op.Code] = op.FineDigits - op.MinorDigits
	case "close":
		s.open++
	case "node":
		s.at[op.Statement] = len(s.nodes)
		s.nodes = append(s.nodes, op)
		for _, p := range op.Signers {
			s.signed[[2]string{op.Statement, p}] = true
		}
	case "sign":
		if a := s.agreements[op.Statement]; a != nil {
			a.have[op.Party] = true
			s.complete(a)
		} else {
			s.signed[[2]string{op.Statement, op.Party}] = true
		}
	case "withdraw":
		if _, twice := s.withdrawn[op.Statement]; twice {
			return
		}
		s.withdrawn[op.Statement] = s.open + 1
		if s.nodes[s.at[op.Statement]].OnWithdraw == "hold" {
			s.rulings[op.Statement] = append(s.rulings[op.Statement], refRuling{ruling: "hold", from: s.open + 1, ever: true})
		}
	case "agreement":
		a := &refAgreement{op: op, have: map[string]bool{}}
		for _, p := range op.Signers {
			a.have[p] = true
		}
		s.agreements[op.Statement] = a
		s.complete(a)
	case "event":
		e := &refEvent{op: op, settled: new(big.Int), sign: 1}
		s.events[op.Statement] = e
		of := s.events[op.Of]
		switch op.Kind {
		case "income":
			if op.Operator {
				s.count(e)
			}
		case "receipt":
			of.settled.Add(of.settled, toBig(*op.NetMinor))
			if !of.counts && of.settled.Cmp(s.due(of)) >= 0 {
				s.count(of)
				for _, w := range of.waiting {
					s.count(w)
				}
			}
		default:
			e.sign = -1
			e.op.Period, e.op.Settlement = of.op.Period, of.op.Settlement
			if of.counts {
				s.count(e)
			} else {
				of.waiting = append(of.waiting, e)
			}
		}
	case "resolution":
		s.rulings[op.Node] = append(s.rulings[op.Node], refRuling{ruling: op.Ruling, from: s.open + 1, shares: op.Shares})
	case "payout":
		s.payouts[op.Statement] = op
		for _, line := range op.Lines {
			s.pays = append(s.pays, refPay{s.open, op.Currency, line.Payee, toBig(line.AmountMinor)})
		}
	case "payoutResult":
		if op.Returned {
			line := s.payouts[op.Payout].Lines[op.Index]
			s.pays = append(s.pays, refPay{s.open, s.payouts[op.Payout].Currency, line.Payee, new(big.Int).Neg(toBig(line.AmountMinor))})
		}
	}
}

func (s *refState) count(e *refEvent) {
	e.counts, e.period = true, s.open
	s.counted = append(s.counted, e)
}

func (s *refState) complete(a *refAgreement) {
	for _, p := range a.op.Required {
		if !a.have[p] {
			return
		}
	}
	if a.done {
		return
	}
	a.done = true
	newest := ""
	for _, b := range s.inForce {
		if b.op.Work == a.op.Work {
			newest = b.op.Statement
		}
	}
	if newest != a.op.Supersedes {
		return
	}
	a.from, a.nodes = max(*a.op.EffectivePeriod, s.open+1), len(s.nodes)
	s.inForce = append(s.inForce, a)
}

func (s *refState) edgeWeights(n credittest.Op) []credit.Weight {
	if len(n.Edges) == 0 {
		return []credit.Weight{{Key: "~self", Weight: 1}}
	}
	ws := []credit.Weight{{Key: "~self", Weight: n.SelfWeight}}
	for _, e := range n.Edges {
		ws = append(ws, credit.Weight{Key: e.Statement, Weight: e.Weight})
	}
	return ws
}

func (s *refState) due(e *refEvent) *big.Int {
	if e.op.Settlement != "upstream-only" {
		return toBig(*e.op.NetMinor)
	}
	fine := s.fine(e.op.Currency, toBig(*e.op.NetMinor))
	kept := reference(fine, s.edgeWeights(s.nodes[s.at[e.op.Node]]))["~self"]
	unit := s.fine(e.op.Currency, big.NewInt(1))
	return new(big.Int).Quo(new(big.Int).Sub(fine, kept), unit)
}

func (s *refState) shares(n credittest.Op, p credit.Period) (list []credittest.Share, agreed bool) {
	for _, a := range slices.Backward(s.inForce) {
		later := a.op.Work == n.Work && a.nodes > s.at[n.Statement]
		if (later || a.op.Statement == n.Agreement) && a.from <= p {
			return a.op.Shares, true
		}
	}
	return n.Contributors, false
}

func (s *refState) ruling(n string, p credit.Period) (r refRuling, hold bool) {
	for _, x := range s.rulings[n] {
		if x.from <= p {
			r = x
		}
	}
	return r, r.ruling == "hold" && (r.ever || p < r.from+12)
}

func shareWeights(ss []credittest.Share) (ws []credit.Weight, total uint64) {
	for _, x := range ss {
		ws = append(ws, credit.Weight{Key: x.ID, Weight: x.Weight})
		total += x.Weight
	}
	return ws, total
}

// unsigned reports whether p is a contributor of n whose credit waits for a
// signature in period.
func (s *refState) unsigned(n credittest.Op, party string, p credit.Period) bool {
	_, agreed := s.shares(n, p)
	listed := slices.ContainsFunc(n.Contributors, func(x credittest.Share) bool { return x.ID == party })
	return !agreed && listed && !s.signed[[2]string{n.Statement, party}]
}

// refBooks is what is carried from run to run, by currency.
type refBooks struct {
	balance map[string]*big.Int
	held    map[[2]string]*big.Int // node, party
}

func plus(m map[string]*big.Int, k string, v *big.Int) {
	if m[k] == nil {
		m[k] = new(big.Int)
	}
	m[k].Add(m[k], v)
}

// flows divides the events of one sign and snapshot; the keys of kept are nodes
// with "gross" or "retained".
func (s *refState) flows(direct map[[2]string]*big.Int, p credit.Period) (kept map[[2]string]*big.Int) {
	kept = map[[2]string]*big.Int{}
	in := map[string]*big.Int{}
	for k, v := range direct {
		if k[1] == "gross" {
			plus(in, k[0], v)
		}
	}
	push := func(n credittest.Op, v *big.Int) *big.Int {
		var self *big.Int
		for k, x := range reference(v, s.edgeWeights(n)) {
			if k == "~self" {
				self = x
			} else {
				plus(in, k, x)
			}
		}
		return self
	}
	for _, n := range slices.Backward(s.nodes) {
		if v := direct[[2]string{n.Statement, "upstream-only"}]; v != nil {
			kept[[2]string{n.Statement, "retained"}] = push(n, v)
		}
		if v := in[n.Statement]; v != nil {
			self := push(n, v)
			if from, ok := s.withdrawn[n.Statement]; ok && n.OnWithdraw == "pool" && from <= p {
				plus(in, n.Pool, self)
				continue
			}
			kept[[2]string{n.Statement, "gross"}] = self
		}
	}
	return kept
}

// run returns the statements of a period, by payee, and moves the books on.
func (s *refState) run(t testing.TB, p credit.Period, cur string, books *refBooks) map[string]map[string]any {
	type line struct {
		snapshot, node, state string
		fields                map[string]any
	}
	open := map[string]*big.Int{}
	for k, v := range books.balance {
		open[k] = new(big.Int).Set(v)
	}
	credits, debits, paid := map[string]*big.Int{}, map[string]*big.Int{}, map[string]*big.Int{}
	lines := map[string][]line{}
	moves := map[string][]map[string]any{}
	book := func(party string, v *big.Int) {
		plus(books.balance, party, v)
		if v.Sign() < 0 {
			plus(debits, party, new(big.Int).Neg(v))
		} else {
			plus(credits, party, v)
		}
	}
	move := func(kind, node, party string, v *big.Int) {
		moves[party] = append(moves[party], map[string]any{"amountFine": v.String(), "kind": kind, "statement": node})
		if kind != "forfeited" {
			book(party, v)
		}
	}
	for _, n := range s.nodes {
		r, hold := s.ruling(n.Statement, p)
		if hold {
			continue
		}
		sum := new(big.Int)
		var parties []string
		for k, v := range books.held {
			if k[0] == n.Statement {
				sum.Add(sum, v)
				parties = append(parties, k[1])
			}
		}
		reallocated := r.ruling == "reallocate" && r.from == p && sum.Sign() > 0
		for _, party := range parties {
			k := [2]string{n.Statement, party}
			if reallocated {
				move("forfeited", n.Statement, party, books.held[k])
			} else if s.unsigned(n, party, p) {
				continue
			} else {
				move("released", n.Statement, party, books.held[k])
			}
			delete(books.held, k)
		}
		if reallocated {
			ws, _ := shareWeights(r.shares)
			for party, v := range reference(sum, ws) {
				if v.Sign() != 0 {
					move("reallocated", n.Statement, party, v)
				}
			}
		}
	}
	snapshots := map[credit.Period]bool{}
	for _, e := range s.counted {
		if e.period == p && e.op.Currency == cur {
			snapshots[*e.op.Period] = true
		}
	}
	for snap := range snapshots {
		var kept [2]map[[2]string]*big.Int
		for i := range kept {
			direct := map[[2]string]*big.Int{}
			for _, e := range s.counted {
				minor := new(big.Int).Mul(toBig(*e.op.NetMinor), big.NewInt(e.sign))
				if e.period != p || e.op.Currency != cur || *e.op.Period != snap || (minor.Sign() < 0) != (i == 1) {
					continue
				}
				k := [2]string{e.op.Node, "gross"}
				if e.op.Settlement == "upstream-only" {
					k[1] = "upstream-only"
				}
				if direct[k] == nil {
					direct[k] = new(big.Int)
				}
				direct[k].Add(direct[k], s.fine(cur, minor))
			}
			kept[i] = s.flows(direct, snap)
		}
		keys := maps.Clone(kept[0])
		maps.Copy(keys, kept[1])
		for k := range keys {
			n := s.nodes[s.at[k[0]]]
			list, agreed := s.shares(n, snap)
			ws, total := shareWeights(list)
			sum, amounts := new(big.Int), map[string]*big.Int{}
			for i := range kept {
				if v := kept[i][k]; v != nil {
					sum.Add(sum, v)
					for party, x := range reference(v, ws) {
						plus(amounts, party, x)
					}
				}
			}
			_, hold := s.ruling(n.Statement, p)
			for _, w := range ws {
				v := amounts[w.Key]
				if v.Sign() == 0 {
					continue
				}
				f := map[string]any{
					"amountFine": v.String(), "keptFine": sum.String(), "period": snap.String(), "statement": n.Statement,
					"total": fmt.Sprint(total), "weight": fmt.Sprint(w.Weight),
				}
				state := ""
				switch {
				case k[1] == "retained":
					state = "retained"
				case hold || !agreed && s.unsigned(n, w.Key, p):
					state = "held"
					h := [2]string{n.Statement, w.Key}
					if books.held[h] == nil {
						books.held[h] = new(big.Int)
					}
					books.held[h].Add(books.held[h], v)
				default:
					book(w.Key, v)
				}
				if state != "" {
					f["state"] = state
				}
				order := state
				if state != "retained" {
					order = "" // the part that is shared stands before what is retained
				}
				lines[w.Key] = append(lines[w.Key], line{snap.String(), n.Statement, order, f})
			}
		}
	}
	for _, x := range s.pays {
		if x.period == p && x.currency == cur {
			v := s.fine(cur, x.minor)
			plus(paid, x.payee, v)
			plus(books.balance, x.payee, new(big.Int).Neg(v))
		}
	}
	held := map[string]*big.Int{}
	for k, v := range books.held {
		if v.Sign() == 0 {
			delete(books.held, k)
		} else {
			plus(held, k[1], v)
		}
	}
	payees := map[string]bool{}
	for _, m := range []map[string]*big.Int{open, books.balance} {
		for k, v := range m {
			if v.Sign() != 0 {
				payees[k] = true
			}
		}
	}
	for _, keys := range [][]string{slices.Collect(maps.Keys(lines)), slices.Collect(maps.Keys(moves)), slices.Collect(maps.Keys(paid)), slices.Collect(maps.Keys(held))} {
		for _, k := range keys {
			payees[k] = true
		}
	}
	text := func(m map[string]*big.Int, k string) string {
		if m[k] == nil {
			return "0"
		}
		return m[k].String()
	}
	out := map[string]map[string]any{}
	for k := range payees {
		s := map[string]any{
			"engine": "credit/1", "period": p.String(), "currency": cur, "payee": k, "openFine": text(open, k), "creditFine": text(credits, k),
			"debitFine": text(debits, k), "paidFine": text(paid, k), "closeFine": text(books.balance, k), "heldFine": text(held, k),
		}
		if ls := lines[k]; len(ls) > 0 {
			slices.SortFunc(ls, func(a, b line) int {
				return strings.Compare(a.snapshot+" "+a.node+" "+a.state, b.snapshot+" "+b.node+" "+b.state)
			})
			var fs []map[string]any
			for _, x := range ls {
				fs = append(fs, x.fields)
			}
			s["lines"] = fs
		}
		if ms := moves[k]; len(ms) > 0 {
			slices.SortFunc(ms, func(a, b map[string]any) int {
				return strings.Compare(fmt.Sprint(a["statement"], " ", a["kind"]), fmt.Sprint(b["statement"], " ", b["kind"]))
			})
			s["moves"] = ms
		}
		out[k] = s
	}
	return out
}

// refDigest returns the result digest of w, and calls each with the bytes of
// every run.
func refDigest(t testing.TB, w *credittest.World, each func(credit.Period, string, [][]byte)) [32]byte {
	t.Helper()
	h := sha256.New()
	books := map[string]*refBooks{}
	p := w.FirstPeriod
	for i, op := range w.Log {
		if op.Op != "close" {
			continue
		}
		s := readLog(w, i+1)
		for _, cur := range slices.Sorted(maps.Keys(s.digits)) {
			if books[cur] == nil {
				books[cur] = &refBooks{map[string]*big.Int{}, map[[2]string]*big.Int{}}
			}
			out := s.run(t, p, cur, books[cur])
			var all [][]byte
			for _, k := range slices.Sorted(maps.Keys(out)) {
				b, err := cjson.Marshal(out[k])
				if err != nil {
					t.Fatal(err)
				}
				h.Write(b)
				all = append(all, b)
			}
			if each != nil {
				each(p, cur, all)
			}
		}
		p++
	}
	return [32]byte(h.Sum(nil))
}

func TestRunsAreTheReference(t *testing.T) {
	for seed := range uint64(60) {
		w := credittest.Random(seed, credittest.Options{})
		l, err := w.Ledger()
		if err != nil {
			t.Fatal(err)
		}
		want := refDigest(t, w, func(p credit.Period, cur string, all [][]byte) {
			run, err := l.Run(p, cur)
			if err != nil {
				t.Fatal(err)
			}
			if run.Len() != len(all) {
				t.Errorf("seed %d, %s %s: %d statements, want %d", seed, p, cur, run.Len(), len(all))
				return
			}
			for i, b := range all {
				if got := run.Append(nil, i); string(got) != string(b) {
					t.Errorf("seed %d, %s %s: got\n%s\nwant\n%s", seed, p, cur, got, b)
					return
				}
			}
		})
		if got, err := w.Digest(); err != nil || got != want {
			t.Fatalf("seed %d: digest %x, %v, want %x", seed, got, err, want)
		}
	}
}
