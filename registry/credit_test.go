package registry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// anonymous takes the keyids out of an envelope, as other tools write it.
func anonymous(t *testing.T, envelope []byte) []byte {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	for _, s := range e["signatures"].([]any) {
		delete(s.(map[string]any), "keyid")
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAMonthThroughTheDoor goes from a dataset to its payout, each statement
// through the front door.
func TestAMonthThroughTheDoor(t *testing.T) {
	h := newHome(t)
	var w foldtest.World
	submit := func(s *manifests.Statement, signers ...string) (*registry.Submitted, error) {
		t.Helper()
		return h.reg.Submit(t.Context(), anonymous(t, seal(t, s, signers...)))
	}
	accepted := func(p manifests.Predicate, signers ...string) cid.Cid {
		t.Helper()
		out, err := submit(manifests.New(p), signers...)
		if err != nil {
			t.Fatalf("%s: %v", p.Kind(), err)
		}
		if out.Verdict != registry.Accepted {
			t.Fatalf("%s: %s %s", p.Kind(), out.Verdict, out.Code)
		}
		return out.Statement
	}
	refused := func(code fault.Code, what string, p manifests.Predicate, signers ...string) {
		t.Helper()
		before := h.size()
		if _, err := submit(manifests.New(p), signers...); !errors.Is(err, code) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v, want %s and %q", p.Kind(), err, code, what)
		}
		if h.size() != before {
			t.Errorf("%s was refused and logged", p.Kind())
		}
	}

	accepted(w.Currency(foldtest.Currency, 2, 12), "operator")
	first := h.add("ana", "iris", "1.0.0", nil)

	// A model: its terms have to be there, and say what it says.
	m := w.Model("lab", "net", "1.0.0")
	refused(fault.NotFound, "the terms", m, "lab")
	tb, err := terms.Minimal("CC0-1.0")
	if err != nil {
		t.Fatal(err)
	}
	m.Terms = cjson.CID{Cid: cjson.JSONCID(tb)}
	m.Rules = &manifests.Rules{Revocable: true}
	refused(fault.Invalid, "predicate.rules", m, "lab")
	m.Rules = nil
	foldtest.SetEdges(&m.Edges, &m.SelfWeight, &m.EdgeTotal, map[cid.Cid]int{first: 100_000})
	model := accepted(m, "lab")

	a := w.Attribution("mia", foldtest.RawCID("child"), 1, first)
	refused(fault.NotFound, "the scores", a, "mia")
	h.record(foldtest.RawCID("scores"), []byte("scores"))
	a.AtSize = h.size()
	accepted(a, "mia")

	// An agreement: a party that the statement does not list may sign, and has to.
	g := manifests.New(w.Agreement(foldtest.Work(first), "2026-12", cid.Undef, "ben", 1))
	if out, err := submit(g, "ben"); err != nil || out.Verdict != registry.Accepted {
		t.Fatalf("%+v, %v", out, err)
	}
	state := func() (a index.Agreement) {
		t.Helper()
		err := h.reg.View(func(s *index.Snapshot) (err error) {
			a, err = s.Agreement(foldtest.CID(g))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if s := state(); s.Complete || len(s.Missing) != 1 || s.Missing[0] != foldtest.ID("ana") {
		t.Errorf("%+v", s)
	}
	if _, err := submit(g, "mallory"); err == nil {
		t.Error("a stranger signs the agreement")
	}
	if out, err := submit(g, "ana"); err != nil || out.Verdict != registry.Accepted {
		t.Fatalf("%+v, %v", out, err)
	}
	if s := state(); !s.Complete || s.From != "2026-12" {
		t.Errorf("%+v", s)
	}

	// Revenue: stated twice, it is one payment and one entry.
	income := w.Income("invoice-1", model, "10000")
	paid := accepted(income, "operator")
	again := *income
	again.Nonce = w.Common().Nonce
	before := h.size()
	out, err := submit(manifests.New(&again), "operator")
	if err != nil || out.Statement != paid || out.Verdict != registry.Accepted || h.size() != before {
		t.Errorf("stated again: %+v, %v; the log went from %d to %d", out, err, before, h.size())
	}
	again.GrossMinor, again.NetMinor = "10001", "10001"
	refused(fault.Conflict, "key-taken", &again, "operator")
	refused(fault.Unverified, "", w.Income("invoice-2", model, "1"), "lab")

	refused(fault.Conflict, "wrong-period", w.Allocation("2026-11", cid.Undef), "operator")
	accepted(w.Period("2026-11"), "operator")
	refused(fault.Conflict, "inFine", w.Allocation("2026-11", cid.Undef), "operator")
	result, lines := h.month(w.Allocation("2026-11", cid.Undef))
	allocation := accepted(result, "operator")
	pay := func(csv []byte) *manifests.Payout {
		o := w.Payout("payout-1", allocation)
		o.Lines.Cid = cjson.RawCID(csv)
		return o
	}
	refused(fault.NotFound, "the lines", pay(lines), "operator")
	for _, c := range []struct {
		csv, total string
		code       fault.Code
		what       string
	}{
		{"lines", "10", fault.Invalid, "the payout's lines"},
		{strings.Replace(string(lines), ",5\n", ",6\n", 1), "10", fault.Invalid, "2 lines of 11"},
		{strings.ReplaceAll(string(lines), ",5\n", ",5000000\n"), "10000000", fault.Conflict, "the payout does not hold"}, // more than is payable
	} {
		h.record(cjson.RawCID([]byte(c.csv)), []byte(c.csv))
		o := pay([]byte(c.csv))
		o.TotalMinor = c.total
		refused(c.code, c.what, o, "operator")
	}
	h.record(cjson.RawCID(lines), lines)
	payout := accepted(pay(lines), "operator")
	accepted(w.PayoutResult(payout, 0, manifests.PayoutPaid), "operator")

	// The evidence of a statement whose signers the log's state names.
	policy, err := proof.ParsePolicy([]byte(h.cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []cid.Cid{paid, payout, foldtest.CID(g), model} {
		b, err := h.reg.Bundle(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := proof.VerifyBundle(b, policy); err != nil || !r.Holds() {
			t.Errorf("the bundle of %s: %+v, %v", c, r.Findings, err)
		}
	}

	// Replayed from the log, the index is the same.
	h.reopen(nil)
	r, err := h.reg.Check(t.Context(), nil)
	if err != nil || len(r.Findings) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// month completes an allocation with what the run comes to, and returns the
// lines of a payout of five minor units to each of its first two payees.
func (h *home) month(a *manifests.Allocation) (*manifests.Allocation, []byte) {
	h.t.Helper()
	var csv bytes.Buffer
	err := h.reg.Credit(h.t.Context(), func(v *ledger.View, _ uint64) error {
		p, err := credit.ParsePeriod(a.Period)
		if err != nil {
			return err
		}
		run, err := v.Run(h.t.Context(), p, a.Currency)
		if err != nil {
			return err
		}
		tree := func(t credit.Tree) manifests.Tree {
			return manifests.Tree{N: int64(t.N), Root: base64.StdEncoding.EncodeToString(t.Root[:])}
		}
		c := run.Allocation()
		a.Events, a.Nodes, a.Payees = tree(c.Events), tree(c.Nodes), tree(c.PayeeStatements)
		a.InFine, a.HeldFine = c.InFine.String(), c.HeldFine.String()
		var lines []payfile.Line
		for i := range 2 {
			lines = append(lines, payfile.Line{Payee: run.Statement(i).Payee, Amount: credit.FromUint64(5)})
		}
		table, err := payfile.NewPublicCSV(lines)
		if err != nil {
			return err
		}
		_, err = table.WriteTo(&csv)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return a, csv.Bytes()
}
