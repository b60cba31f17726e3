// Package credittest makes worlds for tests and benchmarks of the credit
// engine: random ones from a seed, and one of the size that its figures are
// about. It also reads and writes them in the JSON form that FORMAT.md defines,
// so that engines in other languages can be held against this one.
package credittest

import (
	"bytes"
	"encoding/json"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Format names the form of a world file.
const Format = "cairn.credit.world/1"

// A World is a log as the engine sees it.
type World struct {
	Format      string        `json:"format"`
	FirstPeriod credit.Period `json:"firstPeriod"`
	Log         []Op          `json:"log"`
}

// An Op is one effect. Op names it; the members that it uses are in FORMAT.md.
type Op struct {
	Op string `json:"op"`

	Statement string `json:"statement,omitempty"`

	// currency
	Code        string `json:"code,omitempty"`
	MinorDigits int    `json:"minorDigits,omitempty"`
	FineDigits  int    `json:"fineDigits,omitempty"`

	// close, event, adjustment
	Period *credit.Period `json:"period,omitempty"`

	// node
	Work         string  `json:"work,omitempty"`
	Publisher    string  `json:"publisher,omitempty"`
	Contributors []Share `json:"contributors,omitempty"`
	Total        uint64  `json:"total,omitempty,string"`
	Edges        []Edge  `json:"edges,omitempty"`
	SelfWeight   uint64  `json:"selfWeight,omitempty,string"`
	EdgeTotal    uint64  `json:"edgeTotal,omitempty,string"`
	Agreement    string  `json:"agreement,omitempty"`
	OnWithdraw   string  `json:"onWithdraw,omitempty"`
	Pool         string  `json:"pool,omitempty"`

	// sign
	Party string `json:"party,omitempty"`

	// agreement, with Work, Total; Signers also of a node
	EffectivePeriod *credit.Period `json:"effectivePeriod,omitempty"`
	Retroactive     bool           `json:"retroactive,omitempty"`
	Supersedes      string         `json:"supersedes,omitempty"`
	Shares          []Share        `json:"shares,omitempty"`
	Required        []string       `json:"required,omitempty"`
	Signers         []string       `json:"signers,omitempty"`

	// event, resolution
	Node       string         `json:"node,omitempty"`
	Kind       string         `json:"kind,omitempty"`
	Currency   string         `json:"currency,omitempty"`
	NetMinor   *credit.Amount `json:"netMinor,omitempty"`
	Settlement string         `json:"settlement,omitempty"`
	Operator   bool           `json:"operator,omitempty"`
	Of         string         `json:"of,omitempty"`
	Ruling     string         `json:"ruling,omitempty"`

	// payout, payoutResult
	Rail     string `json:"rail,omitempty"`
	Lines    []Line `json:"lines,omitempty"`
	Payout   string `json:"payout,omitempty"`
	Index    int    `json:"index,omitempty"`
	Returned bool   `json:"returned,omitempty"`
}

// A Share is a party's weight.
type Share struct {
	ID     string `json:"id"`
	Weight uint64 `json:"weight,string"`
}

// An Edge is the weight of a parent.
type Edge struct {
	Statement string `json:"statement"`
	Weight    uint64 `json:"weight,string"`
}

// A Line is a payment.
type Line struct {
	Payee       string        `json:"payee"`
	AmountMinor credit.Amount `json:"amountMinor"`
}

// Read reads a world file. What is not of the form is fault.Invalid.
func Read(b []byte) (*World, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var w World
	if err := d.Decode(&w); err != nil {
		return nil, fault.New(fault.Invalid, "reading a world: %w", err)
	}
	if w.Format != Format {
		return nil, fault.New(fault.Invalid, "reading a world: the format is %s, not %s", fault.Quote(w.Format), Format)
	}
	return &w, nil
}

// Write returns the file of w, one effect a line.
func (w *World) Write() []byte {
	var b bytes.Buffer
	head, _ := json.Marshal(w.FirstPeriod)
	b.WriteString("{\"format\":\"" + Format + "\",\"firstPeriod\":" + string(head) + ",\"log\":[\n")
	for i, op := range w.Log {
		line, err := json.Marshal(op)
		if err != nil {
			panic(err) // an Op has nothing that JSON lacks
		}
		b.Write(line)
		if i < len(w.Log)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]}\n")
	return b.Bytes()
}

// Ledger returns a Ledger with the whole log.
func (w *World) Ledger() (*credit.Ledger, error) {
	l, err := credit.NewLedger(w.FirstPeriod)
	if err != nil {
		return nil, err
	}
	for i, op := range w.Log {
		if err := op.Apply(l); err != nil {
			return nil, fault.New(fault.Of(err), "entry %d: %w", i, err)
		}
	}
	return l, nil
}

// Digest returns the result digest of the world.
func (w *World) Digest() ([32]byte, error) {
	l, err := w.Ledger()
	if err != nil {
		return [32]byte{}, err
	}
	return l.Digest()
}

func weights(ss []Share) []credit.Weight {
	var ws []credit.Weight
	for _, s := range ss {
		ws = append(ws, credit.Weight{Key: s.ID, Weight: s.Weight})
	}
	return ws
}

// Apply adds the effect to l. What l refuses is its error; an unknown name is
// fault.Invalid.
func (op Op) Apply(l *credit.Ledger) error {
	period := func(p *credit.Period) credit.Period {
		if p == nil {
			return 0
		}
		return *p
	}
	switch op.Op {
	case "currency":
		return l.AddCurrency(credit.Currency{Code: op.Code, MinorDigits: op.MinorDigits, FineDigits: op.FineDigits})
	case "close":
		return l.ClosePeriod(period(op.Period))
	case "node":
		n := credit.Node{
			Statement: op.Statement, Work: op.Work, Publisher: op.Publisher, Contributors: weights(op.Contributors), Total: op.Total,
			Signers: op.Signers, SelfWeight: op.SelfWeight, EdgeTotal: op.EdgeTotal, Agreement: op.Agreement, OnWithdraw: op.OnWithdraw, Pool: op.Pool,
		}
		for _, e := range op.Edges {
			n.Edges = append(n.Edges, credit.Weight{Key: e.Statement, Weight: e.Weight})
		}
		return l.AddNode(n)
	case "sign":
		return l.AddSigner(op.Statement, op.Party)
	case "withdraw":
		return l.AddWithdrawal(op.Statement)
	case "agreement":
		return l.AddAgreement(credit.Agreement{
			Statement: op.Statement, Work: op.Work, Effective: period(op.EffectivePeriod), Retroactive: op.Retroactive, Supersedes: op.Supersedes,
			Shares: weights(op.Shares), Total: op.Total, Required: op.Required, Signers: op.Signers,
		})
	case "event":
		e := credit.Event{
			Statement: op.Statement, Node: op.Node, Kind: credit.EventKind(op.Kind), Period: period(op.Period), Currency: op.Currency,
			Settlement: credit.Settlement(op.Settlement), Operator: op.Operator, Of: op.Of, Rail: op.Rail,
		}
		if op.NetMinor != nil {
			e.NetMinor = *op.NetMinor
		}
		return l.AddEvent(e)
	case "resolution":
		return l.AddResolution(credit.Resolution{Statement: op.Statement, Node: op.Node, Ruling: credit.Ruling(op.Ruling), Shares: weights(op.Shares), Total: op.Total})
	case "payout":
		p := credit.Payout{Statement: op.Statement, Currency: op.Currency, Rail: op.Rail}
		for _, line := range op.Lines {
			p.Lines = append(p.Lines, credit.PayoutLine{Payee: line.Payee, AmountMinor: line.AmountMinor})
		}
		return l.AddPayout(p)
	case "adjustment":
		return l.AddAdjustment(credit.Adjustment{Statement: op.Statement, Period: period(op.Period), Currency: op.Currency, Agreement: op.Agreement})
	case "payoutResult":
		return l.AddPayoutResult(op.Payout, op.Index, op.Returned)
	}
	return fault.New(fault.Invalid, "no effect %s", fault.Quote(op.Op))
}
