package payfile

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A BankCSV is the payments of a [CreditTransfer] as a table, for a person or a
// payment service that takes no XML.
type BankCSV struct{ *transfers }

// NewBankCSV checks as [NewCreditTransfer] does, but for the debtor, whom the
// table does not name; and keeps lines as it does.
func NewBankCSV(t Transfer, lines []Line) (*BankCSV, error) {
	checked, err := newTransfers(t, lines, false)
	if err != nil {
		return nil, err
	}
	return &BankCSV{checked}, nil
}

// WriteTo writes the table: RFC 4180 but for the line ends, which are \n. The
// columns are reference, payee, name, iban, bic, amount in the major unit,
// currency and remittance.
func (t *BankCSV) WriteTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	c := csv.NewWriter(writerFunc(func(b []byte) (int, error) {
		out.text(string(b))
		return len(b), out.err
	}))
	// An error of w stays in out, which close returns.
	_ = c.Write([]string{"reference", "payee", "name", "iban", "bic", "amount", "currency", "remittance"})
	for i := range t.lines {
		l := &t.lines[i]
		_ = c.Write([]string{t.reference(i), l.Payee, l.To.Name, l.To.Account, l.To.BIC, t.decimal(l.Amount), t.Currency, t.Remittance})
	}
	c.Flush()
	return out.close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// publicHead is the first line of the public table.
const publicHead = "payee,amountMinor"

// A PublicCSV says who was paid how much, and nothing of where: the file that
// payout/v1.lines names by CID.
type PublicCSV struct {
	batch
	lines []PublicLine
}

// A PublicLine is one line of it.
type PublicLine struct {
	Payee  string
	Amount credit.Amount // minor units
}

// NewPublicCSV makes the public table of lines, of which it reads nothing but
// payee and amount. The order of the lines changes nothing. Errors are
// fault.Invalid.
func NewPublicCSV(lines []Line) (*PublicCSV, error) {
	c, lines := check(lines, MaxLines)
	if err := c.err(); err != nil {
		return nil, err
	}
	p := &PublicCSV{c.batch, make([]PublicLine, len(lines))}
	for i := range lines {
		p.lines[i] = PublicLine{lines[i].Payee, lines[i].Amount}
	}
	slices.SortFunc(p.lines, func(a, b PublicLine) int { return cmp.Compare(a.Payee, b.Payee) })
	return p, nil
}

// Lines returns the lines, sorted by payee. They must not be changed.
func (p *PublicCSV) Lines() []PublicLine { return p.lines }

// WriteTo writes the table: a head, then a line for each payee, sorted by the
// bytes of the payee, each ended by \n. Nothing in it needs quoting.
func (p *PublicCSV) WriteTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	out.text(publicHead + "\n")
	for _, l := range p.lines {
		out.b = append(append(out.b, l.Payee...), ',')
		out.b = l.Amount.Append(out.b)
		out.text("\n")
	}
	return out.close()
}

// LoadPublicCSV reads a table back. It accepts exactly what
// [PublicCSV.WriteTo] writes; all else is fault.Invalid, at its line. An error
// of r is returned as it is.
func LoadPublicCSV(r io.Reader) (*PublicCSV, error) {
	in := bufio.NewReaderSize(r, outputSize)
	var p PublicCSV
	for at := 1; ; at++ {
		text, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(text) == 0 && at > 2:
			return &p, nil
		case errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull):
			return nil, fault.New(fault.Invalid, "line %d is not ended, or there are no payments", at)
		case err != nil:
			return nil, err
		}
		line := string(text[:len(text)-1])
		if at == 1 {
			if line != publicHead {
				return nil, fault.New(fault.Invalid, "line 1 must be %q", publicHead)
			}
			continue
		}
		if p.n == MaxLines {
			return nil, fault.New(fault.Invalid, "there are more than %d payments", MaxLines)
		}
		payee, digits, _ := strings.Cut(line, ",")
		if msg := checkPayee(payee); msg != "" {
			return nil, fault.New(fault.Invalid, "line %d: the payee %s", at, msg)
		}
		if p.n > 0 && p.lines[p.n-1].Payee >= payee {
			return nil, fault.New(fault.Invalid, "line %d: payees must be sorted, and each stand once", at)
		}
		amount, err := credit.ParseAmount(digits)
		if err != nil || amount.Sign() <= 0 {
			return nil, fault.New(fault.Invalid, "line %d: the amount must be a whole number above 0", at)
		}
		total, err := p.total.Add(amount)
		if err != nil || !total.InLimit() {
			return nil, fault.New(fault.Invalid, "line %d: the sum up to here is 2^127 or more", at)
		}
		p.lines = append(p.lines, PublicLine{payee, amount})
		p.n, p.total = p.n+1, total
	}
}
