package payfile

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-registry/cairn/manifests/credit"
)

// A CreditTransfer is an ISO 20022 pain.001.001.10 message: the order to a bank
// to pay many people from one account. In EUR it is a SEPA credit transfer.
type CreditTransfer struct{ *transfers }

// NewCreditTransfer makes the message for at most [MaxTransfers] lines, of
// which it reads all of To: Account is an IBAN, Name is needed, BIC is needed
// unless the currency is EUR. Payments stand in the order of the lines. It
// keeps lines, which must not be changed afterwards. Errors are fault.Invalid.
func NewCreditTransfer(t Transfer, lines []Line) (*CreditTransfer, error) {
	checked, err := newTransfers(t, lines, true)
	if err != nil {
		return nil, err
	}
	return &CreditTransfer{checked}, nil
}

// reference is the EndToEndId of payment i.
func (t *transfers) reference(i int) string { return t.MessageID + "-" + strconv.Itoa(i) }

// decimal is an amount in the major unit.
func (t *transfers) decimal(a credit.Amount) string { return a.Decimal(t.MinorDigits) }

// WriteTo writes the message. It holds no more than a buffer in memory.
func (t *CreditTransfer) WriteTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	x := &xmlWriter{out: out}
	out.text(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	out.text(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.10">` + "\n")
	x.depth++
	x.in("CstmrCdtTrfInitn", func() {
		x.in("GrpHdr", func() {
			x.text("MsgId", t.MessageID)
			x.text("CreDtTm", t.Created.UTC().Format(time.RFC3339))
			x.text("NbOfTxs", strconv.Itoa(t.n))
			x.text("CtrlSum", t.decimal(t.total))
			x.in("InitgPty", func() { x.text("Nm", t.Debtor.Name) })
		})
		x.in("PmtInf", func() { t.payments(x) })
	})
	out.text("</Document>\n")
	return out.close()
}

func (t *CreditTransfer) payments(x *xmlWriter) {
	// A SEPA transfer is charged by following its scheme, any other by halves.
	bearer := "SHAR"
	x.text("PmtInfId", t.MessageID)
	x.text("PmtMtd", "TRF")
	x.text("NbOfTxs", strconv.Itoa(t.n))
	x.text("CtrlSum", t.decimal(t.total))
	if t.Currency == euro {
		bearer = "SLEV"
		x.in("PmtTpInf", func() { x.in("SvcLvl", func() { x.text("Cd", "SEPA") }) })
	}
	x.in("ReqdExctnDt", func() { x.text("Dt", t.Execution) })
	x.in("Dbtr", func() { x.text("Nm", t.Debtor.Name) })
	x.account("DbtrAcct", t.Debtor)
	x.bank("DbtrAgt", t.Debtor)
	x.text("ChrgBr", bearer)
	for i := range t.lines {
		l := &t.lines[i]
		x.in("CdtTrfTxInf", func() {
			x.in("PmtId", func() { x.text("EndToEndId", t.reference(i)) })
			x.in("Amt", func() { x.amount(t.Currency, t.decimal(l.Amount)) })
			if l.To.BIC != "" {
				x.bank("CdtrAgt", l.To)
			}
			x.in("Cdtr", func() { x.text("Nm", l.To.Name) })
			x.account("CdtrAcct", l.To)
			if t.Remittance != "" {
				x.in("RmtInf", func() { x.text("Ustrd", t.Remittance) })
			}
		})
	}
}

// An xmlWriter writes elements, one a line, indented.
type xmlWriter struct {
	out   *output
	depth int
}

// indent is deep enough for the deepest element.
const indent = "                    "

func (x *xmlWriter) line(s string) { x.out.text(indent[:2*x.depth] + s + "\n") }

func (x *xmlWriter) in(name string, inside func()) {
	x.line("<" + name + ">")
	x.depth++
	inside()
	x.depth--
	x.line("</" + name + ">")
}

// escaper is complete for the texts that are written: they have passed
// checkText or a narrower grammar, and it is here so that no change of those
// can break the document.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (x *xmlWriter) text(name, s string) {
	x.line("<" + name + ">" + escaper.Replace(s) + "</" + name + ">")
}

func (x *xmlWriter) amount(currency, s string) {
	x.line(`<InstdAmt Ccy="` + currency + `">` + s + `</InstdAmt>`)
}

func (x *xmlWriter) account(name string, d Destination) {
	x.in(name, func() { x.in("Id", func() { x.text("IBAN", d.Account) }) })
}

// bank writes an agent. The debtor's is mandatory: without a BIC it is said not
// to be provided.
func (x *xmlWriter) bank(name string, d Destination) {
	x.in(name, func() {
		x.in("FinInstnId", func() {
			if d.BIC != "" {
				x.text("BICFI", d.BIC)
			} else {
				x.in("Othr", func() { x.text("Id", "NOTPROVIDED") })
			}
		})
	})
}
