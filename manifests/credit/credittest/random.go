package credittest

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"

	"github.com/cairn-registry/cairn/manifests/credit"
)

// Options are the size of a random world.
type Options struct {
	Parties int // 0 means 12
	Entries int // 0 means 120
	Months  int // 0 means 6

	// Token adds the currency [TokenCode] to USD and JPY.
	Token bool
}

// TokenCode is a token on a chain, of 18 decimals, all of them payable.
const TokenCode = "eip155:1/erc20:0x6b175474e89094c44da98b954eedeac495271d0f"

// Random returns the world of a seed: the same on every machine. It has all
// kinds of effects, and every one is accepted.
func Random(seed uint64, o Options) *World {
	if o.Parties == 0 {
		o.Parties = 12
	}
	if o.Entries == 0 {
		o.Entries = 120
	}
	if o.Months == 0 {
		o.Months = 6
	}
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0x637265646974)), parties: o.Parties}
	first, _ := credit.ParsePeriod("2026-01")
	g.world = &World{Format: Format, FirstPeriod: first}
	g.ledger, _ = credit.NewLedger(first)
	g.try(Op{Op: "currency", Code: "USD", MinorDigits: 2, FineDigits: 12})
	g.try(Op{Op: "currency", Code: "JPY", MinorDigits: 0, FineDigits: 12})
	g.currencies = []string{"USD", "JPY"}
	if o.Token {
		g.try(Op{Op: "currency", Code: TokenCode, MinorDigits: 18, FineDigits: 18})
		g.currencies = append(g.currencies, TokenCode)
	}
	for m := range o.Months {
		for range o.Entries / o.Months {
			g.entry()
		}
		p := first + credit.Period(m)
		g.try(Op{Op: "close", Period: &p})
	}
	return g.world
}

type generator struct {
	rng     *rand.Rand
	world   *World
	ledger  *credit.Ledger
	parties int

	currencies []string

	nodes      []Op
	works      []string
	agreements []Op
	incomes    []Op
	payouts    []Op
}

// try adds op when the Ledger takes it.
func (g *generator) try(op Op) bool {
	if op.Apply(g.ledger) != nil {
		return false
	}
	g.world.Log = append(g.world.Log, op)
	return true
}

func (g *generator) n(n int) int { return g.rng.IntN(n) }

// cid returns a text of the form of a statement CID, and of its length.
func (g *generator) cid() string { return "bafkrei" + text(g.rng, 52, base32) }

func (g *generator) party() string { return PartyID(g.n(g.parties)) }

// PartyID returns the did:key-like text of party i.
func PartyID(i int) string {
	return "did:key:z6Mk" + text(rand.New(rand.NewPCG(uint64(i), 0x7061727479)), 44, base58)
}

// shares returns parties with weights, and their total.
func (g *generator) shares() (ss []Share, total uint64) {
	most := []int{1, 3, 1000, 1 << 40}[g.n(4)]
	seen := map[string]bool{}
	for range 1 + g.n(5) {
		p := g.party()
		if seen[p] {
			continue
		}
		seen[p] = true
		w := uint64(1 + g.n(most))
		ss = append(ss, Share{p, w})
		total += w
	}
	return ss, total
}

func ids(ss []Share) (out []string) {
	for _, s := range ss {
		out = append(out, s.ID)
	}
	return out
}

// some keeps each of the texts three times out of four.
func (g *generator) some(all []string) (out []string) {
	for _, s := range all {
		if g.n(4) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func (g *generator) entry() {
	if len(g.nodes) < 3 {
		g.node()
		return
	}
	switch k := g.n(100); {
	case k < 25:
		g.node()
	case k < 60:
		g.event()
	case k < 70:
		n := g.nodes[g.n(len(g.nodes))]
		g.try(Op{Op: "sign", Statement: n.Statement, Party: n.Contributors[g.n(len(n.Contributors))].ID})
	case k < 78:
		g.agreement()
	case k < 83 && len(g.agreements) > 0:
		a := g.agreements[g.n(len(g.agreements))]
		g.try(Op{Op: "sign", Statement: a.Statement, Party: a.Required[g.n(len(a.Required))]})
	case k < 91:
		op := Op{Op: "resolution", Statement: g.cid(), Node: g.nodes[g.n(len(g.nodes))].Statement}
		op.Ruling = []string{"hold", "hold", "hold", "release", "reallocate", "dismiss"}[g.n(6)]
		if op.Ruling == "reallocate" {
			op.Shares, op.Total = g.shares()
		}
		g.try(op)
	case k < 96:
		g.payout()
	case k < 98:
		g.try(Op{Op: "withdraw", Statement: g.nodes[g.n(len(g.nodes))].Statement})
	default:
		if len(g.payouts) > 0 {
			p := g.payouts[g.n(len(g.payouts))]
			g.try(Op{Op: "payoutResult", Payout: p.Statement, Index: g.n(len(p.Lines)), Returned: g.n(2) == 0})
		}
	}
}

func (g *generator) node() {
	op := Op{Op: "node", Statement: g.cid(), Publisher: g.party()}
	op.Contributors, op.Total = g.shares()
	op.Signers = g.some(ids(op.Contributors))
	if len(g.works) == 0 || g.n(3) > 0 {
		op.Work = "wk:" + op.Statement
	} else {
		op.Work = g.works[g.n(len(g.works))]
		for _, a := range g.agreements {
			if a.Work == op.Work && g.n(2) == 0 {
				op.Agreement = a.Statement
			}
		}
	}
	if len(g.nodes) > 0 && g.n(4) > 0 {
		op.EdgeTotal = credit.PPM
		op.SelfWeight = credit.PPM
		for _, i := range g.rng.Perm(len(g.nodes))[:min(len(g.nodes), 1+g.n(4))] {
			w := uint64(1 + g.n(250_000))
			if g.n(12) == 0 {
				w = op.SelfWeight // nothing is kept
			}
			if w == 0 || w > op.SelfWeight {
				continue
			}
			op.SelfWeight -= w
			op.Edges = append(op.Edges, Edge{g.nodes[i].Statement, w})
		}
		op.OnWithdraw = []string{"", "keep", "hold", "pool"}[g.n(4)]
		if op.OnWithdraw == "pool" {
			op.Pool = g.nodes[g.n(len(g.nodes))].Statement
		}
	}
	if g.try(op) {
		g.nodes = append(g.nodes, op)
		if !slices.Contains(g.works, op.Work) {
			g.works = append(g.works, op.Work)
		}
	}
}

func (g *generator) agreement() {
	work := g.works[g.n(len(g.works))]
	p := g.ledger.Open() + credit.Period(1+g.n(2))
	op := Op{Op: "agreement", Statement: g.cid(), Work: work, EffectivePeriod: &p}
	if g.n(4) == 0 {
		op.Retroactive = true
		p = max(g.ledger.First(), g.ledger.Open()-credit.Period(g.n(3)))
	}
	for _, a := range g.agreements {
		if _, from, _ := g.ledger.AgreementState(a.Statement); a.Work == work && from != 0 {
			op.Supersedes = a.Statement // the last one that took effect, most of the time
		}
	}
	op.Shares, op.Total = g.shares()
	var before [][]credit.Weight
	for _, n := range g.nodes {
		if n.Work == work {
			before = append(before, weights(n.Contributors))
		}
	}
	op.Required, _ = credit.RequiredSigners(before, weights(op.Shares))
	if len(op.Required) == 0 {
		op.Required = []string{op.Shares[0].ID}
	}
	op.Signers = op.Required
	if g.n(3) == 0 {
		op.Signers = g.some(op.Required)
	}
	if g.try(op) {
		g.agreements = append(g.agreements, op)
	}
}

func (g *generator) event() {
	v := credit.FromUint64(uint64(g.rng.Int64N([]int64{2, 1000, 1e6, 1e12}[g.n(4)])))
	op := Op{Op: "event", Statement: g.cid(), NetMinor: &v, Rail: "bank"}
	if k := g.n(10); k < 7 || len(g.incomes) == 0 {
		p := max(g.ledger.First(), g.ledger.Open()-credit.Period(max(0, g.n(6)-3)))
		op.Kind, op.Node, op.Period = "income", g.nodes[g.n(len(g.nodes))].Statement, &p
		op.Currency = slices.Concat([]string{"USD"}, g.currencies)[g.n(1+len(g.currencies))]
		if op.Currency == TokenCode {
			v, _ = v.Scale(g.n(19)) // as many digits as tokens have
		}
		op.Settlement = []string{"gross", "gross", "upstream-only"}[g.n(3)]
		op.Operator = g.n(3) > 0
		if g.try(op) {
			g.incomes = append(g.incomes, op)
		}
		return
	}
	in := g.incomes[g.n(len(g.incomes))]
	op.Node, op.Currency, op.Of, op.Operator = in.Node, in.Currency, in.Statement, true
	if !in.Operator && g.n(3) > 0 {
		op.Kind = "receipt"
		v, _ = g.ledger.Due(in.Statement)
		g.try(op)
		return
	}
	op.Kind = []string{"refund", "chargeback"}[g.n(2)]
	if g.n(2) == 0 {
		v = *in.NetMinor // all of it, when nothing was reversed before
	}
	g.try(op)
}

func (g *generator) payout() {
	op := Op{Op: "payout", Statement: g.cid(), Currency: g.currencies[g.n(len(g.currencies))], Rail: "bank"}
	for range 1 + g.n(3) {
		op.Lines = append(op.Lines, Line{g.party(), credit.FromUint64(uint64(1 + g.n(5000)))})
	}
	if g.try(op) {
		g.payouts = append(g.payouts, op)
	}
}

// Hex returns a digest as tests print it.
func Hex(d [32]byte) string { return hex.EncodeToString(d[:]) }
