package manifests

import (
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The states of a line of a payout.
const (
	PayoutPaid     = "paid"
	PayoutReturned = "returned"
)

// Why a past allocation is adjusted.
const (
	AdjustShares     = "retro-contributor" // a retroactive agreement
	AdjustRuling     = "ruling"            // a resolution
	AdjustInput      = "input-fix"         // an input was wrong
	AdjustWithdrawal = "withdrawal"
)

const maxAllocations = 256 // of one payout: two decades of months

// An Allocation is the predicate of allocation/v1: the operators publish the
// result of a run. Everybody can compute it again, and balances are computed,
// never read from here.
type Allocation struct {
	Common

	Engine   string `json:"engine"` // "credit/1"
	Period   string `json:"period"` // a closed one
	Currency string `json:"currency"`
	// Checkpoint is the size of the log that was read. It is information: the
	// result is the same at every later size.
	Checkpoint Anchor `json:"checkpoint"`
	// Events, Nodes and Payees are RFC 6962 trees of the run.
	Events Tree `json:"events"`
	Nodes  Tree `json:"nodes"`
	Payees Tree `json:"payeeStatements"`
	// Amounts in fine units; they may be below zero.
	InFine   string `json:"inFine"`
	HeldFine string `json:"heldFine"`
	// Supersedes is the newest allocation of the period and currency; undefined
	// for the first.
	Supersedes cjson.CID `json:"supersedes,omitzero"`
}

// A Tree is the number of leaves of a Merkle tree and its root, standard base64
// of 32 bytes.
type Tree struct {
	N    int64  `json:"n"`
	Root string `json:"root"`
}

func (t Tree) validate(p *field.Problems, path string) {
	p.Add(field.Count(t.N), "%s.n", path)
	p.Add(checkHash(t.Root), "%s.root", path)
}

// Kind returns [KindAllocation].
func (*Allocation) Kind() Kind { return KindAllocation }

func (a *Allocation) subject(Subject) Subject { return textSubject(a.Registry) }

func (*Allocation) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*Allocation) authority() Authority { return Operators }

func (a *Allocation) validate(p *field.Problems) {
	p.Add(checkMethod(a.Engine), "predicate.engine")
	p.Add(field.Month(a.Period), "predicate.period")
	p.Add(checkCurrencyCode(a.Currency), "predicate.currency")
	a.Checkpoint.validate(p, "predicate.checkpoint")
	a.Events.validate(p, "predicate.events")
	a.Nodes.validate(p, "predicate.nodes")
	a.Payees.validate(p, "predicate.payeeStatements")
	p.Add(checkSignedAmount(a.InFine), "predicate.inFine")
	p.Add(checkSignedAmount(a.HeldFine), "predicate.heldFine")
	if a.Supersedes.Defined() {
		p.Add(field.StatementCID(a.Supersedes), "predicate.supersedes")
	}
}

// A Payout is the predicate of payout/v1: the operators pay what allocations
// made payable. The lines are public; what a bank or a chain needs beside is not.
type Payout struct {
	Common

	// Key is the payout's own name, unique in the log.
	Key         string      `json:"key"`
	Allocations []cjson.CID `json:"allocations"` // sorted
	Rail        string      `json:"rail"`        // like pain.001 or oz-merkle
	Currency    string      `json:"currency"`
	MinMinor    string      `json:"minMinor"` // the smallest amount that is paid
	// Lines is the CID of a CSV of N lines "payee,amountMinor" that add up to
	// TotalMinor, each at most what is payable.
	Lines      cjson.CID `json:"lines"`
	N          int64     `json:"n"`
	TotalMinor string    `json:"totalMinor"`
	// File is the lower hex SHA-256 of the file that went to the rail.
	File string `json:"file,omitempty"`
	// Root is the root of an on-chain distributor, 0x and 64 hex digits.
	Root string `json:"root,omitempty"`
}

// Kind returns [KindPayout].
func (*Payout) Kind() Kind { return KindPayout }

func (o *Payout) subject(Subject) Subject {
	if len(o.Allocations) == 0 {
		return Subject{}
	}
	return statementSubject(o.Allocations[0])
}

func (*Payout) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*Payout) authority() Authority { return Operators }

func (o *Payout) validate(p *field.Problems) {
	p.Add(checkPaymentKey(o.Key), "predicate.key")
	if len(o.Allocations) == 0 {
		p.Add("must have an entry", "predicate.allocations")
	}
	validateStatements(p, "predicate.allocations", o.Allocations, maxAllocations)
	p.Add(checkRail(o.Rail), "predicate.rail")
	p.Add(checkCurrencyCode(o.Currency), "predicate.currency")
	p.Add(checkAmount(o.MinMinor), "predicate.minMinor")
	p.Add(field.AnyCID(o.Lines), "predicate.lines")
	p.Add(field.Count(o.N), "predicate.n")
	if o.N == 0 {
		p.Add("must have a line", "predicate.n")
	}
	p.Add(checkPositiveAmount(o.TotalMinor), "predicate.totalMinor")
	if o.File != "" {
		p.Add(field.SHA256(o.File), "predicate.file")
	}
	if o.Root != "" {
		digits, ok := strings.CutPrefix(o.Root, "0x")
		if !ok || field.SHA256(digits) != "" {
			p.Add("must be 0x and 64 lower-case hex digits", "predicate.root")
		}
	}
}

// A PayoutResult is the predicate of payoutResult/v1: what became of one line
// of a payout. A line that was paid may be returned later.
type PayoutResult struct {
	Common

	Payout cjson.CID `json:"payout"`
	Index  int64     `json:"index"` // of the line, from 0 on
	Status string    `json:"status"`
	// Ref is the lower hex salted SHA-256 of the rail's own document.
	Ref string `json:"ref,omitempty"`
}

// Kind returns [KindPayoutResult].
func (*PayoutResult) Kind() Kind { return KindPayoutResult }

func (r *PayoutResult) subject(Subject) Subject { return statementSubject(r.Payout) }

func (*PayoutResult) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*PayoutResult) authority() Authority { return Operators }

func (r *PayoutResult) validate(p *field.Problems) {
	p.Add(field.StatementCID(r.Payout), "predicate.payout")
	p.Add(field.Count(r.Index), "predicate.index")
	p.Add(field.OneOf(r.Status, PayoutPaid, PayoutReturned), "predicate.status")
	if r.Ref != "" {
		p.Add(field.SHA256(r.Ref), "predicate.ref")
	}
}

// An Adjustment is the predicate of adjustment/v1: the difference between an
// allocation and what it comes to with corrected inputs. It changes no earlier
// statement; the deltas are posted in the open period.
type Adjustment struct {
	Common

	Allocation cjson.CID `json:"allocation"`
	Reason     string    `json:"reason"`
	// Cause is the statement that makes the difference: a complete retroactive
	// agreement for "retro-contributor", a resolution for "ruling".
	Cause cjson.CID `json:"cause,omitzero"`
	// Deltas is the RFC 6962 tree of the differences by payee.
	Deltas Tree `json:"deltas"`
}

// Kind returns [KindAdjustment].
func (*Adjustment) Kind() Kind { return KindAdjustment }

func (a *Adjustment) subject(Subject) Subject { return statementSubject(a.Allocation) }

func (*Adjustment) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*Adjustment) authority() Authority { return Operators }

func (a *Adjustment) validate(p *field.Problems) {
	p.Add(field.StatementCID(a.Allocation), "predicate.allocation")
	p.Add(field.OneOf(a.Reason, AdjustShares, AdjustRuling, AdjustInput, AdjustWithdrawal), "predicate.reason")
	if a.Cause.Defined() || a.Reason == AdjustShares || a.Reason == AdjustRuling {
		p.Add(field.StatementCID(a.Cause), "predicate.cause")
	}
	a.Deltas.validate(p, "predicate.deltas")
}
