package manifests

import (
	"math/big"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The kinds of revenue.
const (
	RevenueIncome     = "income"
	RevenueReceipt    = "receipt"    // money for an income that was declared has come in
	RevenueRefund     = "refund"     // some of an income went back
	RevenueChargeback = "chargeback" // some of an income was taken back
)

// How revenue is settled.
const (
	SettlementGross    = "gross"         // all of it was received
	SettlementUpstream = "upstream-only" // the licensee remits what flows on, and retains its own part
)

const (
	maxDeductions = 32 // taxes and fees of one payment
	maxDeduction  = 32 // of a deduction's code
)

// A Revenue is the predicate of revenue/v1: one payment for the use of a
// version. Without an issuer it is the operators' word. An income by the
// publisher of the version is declared, and counts once the operators' receipt
// settles it.
type Revenue struct {
	Common

	// Key is the payment's own name, unique in the log: a second statement with
	// the same key is a repetition or an error.
	Key string `json:"key"`
	// Issuer declares an income and signs it: the publisher of Statement. Empty
	// for the operators.
	Issuer sign.KeyID `json:"issuer,omitempty"`

	Statement  cjson.CID `json:"statement"`
	Type       string    `json:"kind"`
	Settlement string    `json:"settlement"`
	// Period picks the shares and edges that apply; at most the open one.
	Period     string `json:"period"`
	OccurredAt string `json:"occurredAt"` // evidence; decides nothing

	// Amounts are in minor units of Currency. NetMinor = GrossMinor − Σ Deductions > 0.
	Currency   string      `json:"currency"`
	GrossMinor string      `json:"grossMinor"`
	Deductions []Deduction `json:"deductions,omitempty"`
	NetMinor   string      `json:"netMinor"`

	// Settles is the declared income of a receipt.
	Settles cjson.CID `json:"settles,omitzero"`
	// Reverses is the income of a refund or chargeback.
	Reverses cjson.CID `json:"reverses,omitzero"`
	// Ref is the lower hex salted SHA-256 of the document behind the payment.
	Ref string `json:"ref,omitempty"`
}

// A Deduction is a part of the gross amount that is not shared.
type Deduction struct {
	Code        string `json:"code"` // like vat
	AmountMinor string `json:"amountMinor"`
}

// Kind returns [KindRevenue].
func (*Revenue) Kind() Kind { return KindRevenue }

func (r *Revenue) subject(Subject) Subject { return statementSubject(r.Statement) }

func (r *Revenue) signers() (required, allowed []sign.KeyID) {
	if r.Issuer == "" {
		return nil, nil
	}
	return one(r.Issuer)
}

func (r *Revenue) authority() Authority {
	if r.Issuer == "" {
		return Operators
	}
	return ""
}

func (r *Revenue) validate(p *field.Problems) {
	p.Add(checkPaymentKey(r.Key), "predicate.key")
	if r.Issuer != "" {
		p.Add(field.KeyID(r.Issuer), "predicate.issuer")
		if r.Type != RevenueIncome {
			p.Add("declares an income only; everything else is the operators'", "predicate.issuer")
		}
	}
	p.Add(field.StatementCID(r.Statement), "predicate.statement")
	p.Add(field.OneOf(r.Type, RevenueIncome, RevenueReceipt, RevenueRefund, RevenueChargeback), "predicate.kind")
	p.Add(field.OneOf(r.Settlement, SettlementGross, SettlementUpstream), "predicate.settlement")
	p.Add(field.Month(r.Period), "predicate.period")
	p.Add(field.Time(r.OccurredAt), "predicate.occurredAt")
	p.Add(checkCurrencyCode(r.Currency), "predicate.currency")
	r.validateAmounts(p)
	belongs(p, "predicate.settles", r.Settles, r.Type == RevenueReceipt)
	belongs(p, "predicate.reverses", r.Reverses, r.Type == RevenueRefund || r.Type == RevenueChargeback)
	if r.Ref != "" {
		p.Add(field.SHA256(r.Ref), "predicate.ref")
	}
}

func (r *Revenue) validateAmounts(p *field.Problems) {
	gross, msg := parseAmount(r.GrossMinor)
	p.Add(msg, "predicate.grossMinor")
	net, netMsg := parseAmount(r.NetMinor)
	p.Add(netMsg, "predicate.netMinor")
	whole := msg == "" && netMsg == ""
	rest := new(big.Int)
	if whole {
		rest.Set(gross)
	}
	for i := range p.List("predicate.deductions", len(r.Deductions), maxDeductions) {
		d := r.Deductions[i]
		if len(d.Code) > maxDeduction || field.Token(d.Code) != "" {
			p.Add("must be a short word like vat", "predicate.deductions[%d].code", i)
		}
		n, msg := parseAmount(d.AmountMinor)
		p.Add(msg, "predicate.deductions[%d].amountMinor", i)
		if msg != "" {
			whole = false
			continue
		}
		rest.Sub(rest, n)
	}
	switch {
	case !whole:
	case rest.Cmp(net) != 0:
		p.Add("is "+r.NetMinor+", but gross less deductions is "+rest.String(), "predicate.netMinor")
	case net.Sign() == 0:
		p.Add("must be greater than 0", "predicate.netMinor")
	}
}

// belongs checks a statement that some kinds must name and others must not.
func belongs(p *field.Problems, path string, c cjson.CID, here bool) {
	if here {
		p.Add(field.StatementCID(c), "%s", path)
	} else {
		absent(p, path, c.Defined())
	}
}
