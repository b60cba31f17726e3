package payslip

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/cairn-registry/cairn/manifests/credit"
)

// A row is a figure of the account, in the order in which it is added up.
type row struct {
	Key, Label, Sign string
	Amount           credit.Amount
}

func (s *Slip) account() []row {
	b := s.body
	rows := []row{{"open", "brought forward", "", b.Open}, {"credit", "credited", "+", b.Credit}}
	if !b.Debit.IsZero() {
		rows = append(rows, row{"debit", "taken back", "−", b.Debit})
	}
	if !b.Paid.IsZero() {
		rows = append(rows, row{"paid", "paid out", "−", b.Paid})
	}
	return append(rows, row{"close", "balance", "=", b.Close})
}

// check is how a reader checks the slip.
func (s *Slip) check() string {
	if s.Proof.Allocation.Defined() {
		return "cairn credit verify " + s.Proof.Allocation.String()
	}
	return fmt.Sprintf("cairn credit verify --period %s --currency %s", s.Period, s.Currency.Code)
}

// standing says what the proof was held against.
func (s *Slip) standing() string {
	at := fmt.Sprintf("This statement is number %d of %d under the root below", s.Proof.Index+1, s.Proof.N)
	if !s.Proof.Allocation.Defined() {
		return at + ". No allocation is published yet: the root is the registry's word, and no promise of the operators."
	}
	return at + fmt.Sprintf(", which the operators signed and published in entry %d of the log.", s.Proof.Entry)
}

// snapshot notes the period whose shares a line has, where it is another.
func (s *Slip) snapshot(p credit.Period) string {
	if p == s.Period {
		return ""
	}
	return p.String()
}

func (s *Slip) text(w io.Writer) error {
	var out bytes.Buffer
	line := func(label, value string) { fmt.Fprintf(&out, "%-16s %s\n", label, value) }
	fmt.Fprintf(&out, "CREDIT STATEMENT  %s  %s\n\n", s.Period, s.Currency.Code)
	line("payee", s.Payee)
	if s.Handle != "" {
		line("", s.Handle)
	}
	line("registry", s.Registry)
	out.WriteString("\n")
	t := tabwriter.NewWriter(&out, 0, 8, 2, ' ', tabwriter.AlignRight)
	if len(s.body.Lines) > 0 {
		fmt.Fprintln(t, "work\tshare\tkept\tamount\t\t")
	}
	for _, l := range s.body.Lines {
		fmt.Fprintf(t, "%s\t%s/%s\t%s\t%s\t%s\t\n", s.work(l.Statement), l.Weight, l.Total, s.decimal(l.Kept), s.decimal(l.Amount), strings.TrimSpace(string(l.State)+" "+s.snapshot(l.Period)))
	}
	for _, m := range s.body.Moves {
		fmt.Fprintf(t, "%s\t\t\t%s\t%s\t\n", s.work(m.Statement), s.decimal(m.Amount), m.Kind)
	}
	t.Flush()
	if len(s.body.Lines)+len(s.body.Moves) > 0 {
		out.WriteString("\n")
	}
	t = tabwriter.NewWriter(&out, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, r := range s.account() {
		fmt.Fprintf(t, "%s\t%s\t%s\t\n", r.Label, r.Sign, s.decimal(r.Amount))
	}
	fmt.Fprintf(t, "payable\t\t%s\t\n", s.Payable.Decimal(s.Currency.MinorDigits))
	fmt.Fprintf(t, "carried on\t\t%s\t\n", s.decimal(s.Carry))
	if !s.body.Held.IsZero() {
		fmt.Fprintf(t, "held\t\t%s\t\n", s.decimal(s.body.Held))
	}
	t.Flush()
	fmt.Fprintf(&out, "\n%s\n", s.standing())
	line("root", s.Proof.Root)
	if s.Proof.Allocation.Defined() {
		line("allocation", s.Proof.Allocation.String())
	}
	line("check it", s.check())
	_, err := out.WriteTo(w)
	return err
}

func (s *Slip) decimal(a credit.Amount) string { return Decimal(a, s.Currency) }

func (s *Slip) markdown(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Credit statement, %s, %s\n\n", s.Period, s.Currency.Code)
	fmt.Fprintf(&out, "- Payee: `%s`%s\n- Registry: `%s`\n", s.Payee, paren(s.Handle), s.Registry)
	fmt.Fprintf(&out, "- **Payable: %s %s**\n\n", s.Payable.Decimal(s.Currency.MinorDigits), s.Currency.Code)
	if len(s.body.Lines) > 0 {
		out.WriteString("| Work | Share | Kept by the work | Amount | |\n|---|---:|---:|---:|---|\n")
		for _, l := range s.body.Lines {
			fmt.Fprintf(&out, "| %s | %s/%s | %s | %s | %s |\n", s.work(l.Statement), l.Weight, l.Total, s.decimal(l.Kept), s.decimal(l.Amount), strings.TrimSpace(string(l.State)+" "+s.snapshot(l.Period)))
		}
		out.WriteString("\n")
	}
	if len(s.body.Moves) > 0 {
		out.WriteString("| Work | What happened | Amount |\n|---|---|---:|\n")
		for _, m := range s.body.Moves {
			fmt.Fprintf(&out, "| %s | %s | %s |\n", s.work(m.Statement), m.Kind, s.decimal(m.Amount))
		}
		out.WriteString("\n")
	}
	out.WriteString("| Account | | Amount |\n|---|---|---:|\n")
	for _, r := range s.account() {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", r.Label, r.Sign, s.decimal(r.Amount))
	}
	fmt.Fprintf(&out, "| carried on | | %s |\n", s.decimal(s.Carry))
	if !s.body.Held.IsZero() {
		fmt.Fprintf(&out, "| held | | %s |\n", s.decimal(s.body.Held))
	}
	fmt.Fprintf(&out, "\n## How to check it\n\n%s\n\n- Root: `%s`\n", s.standing(), s.Proof.Root)
	if s.Proof.Allocation.Defined() {
		fmt.Fprintf(&out, "- Allocation: `%s`\n", s.Proof.Allocation)
	}
	fmt.Fprintf(&out, "\n    %s\n", s.check())
	_, err := out.WriteTo(w)
	return err
}

func paren(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// csv writes a line for each line, move and figure. Amounts are exact decimals.
func (s *Slip) csv(w io.Writer) error {
	c := csv.NewWriter(w)
	b := s.body
	c.Write([]string{"row", "payee", "period", "currency", "work", "statement", "snapshot", "weight", "total", "kept", "amount", "state"})
	put := func(kind string, rest ...string) {
		c.Write(append([]string{kind, s.Payee, s.Period.String(), s.Currency.Code}, rest...))
	}
	for _, l := range b.Lines {
		put("line", s.work(l.Statement), l.Statement, l.Period.String(), l.Weight, l.Total, s.decimal(l.Kept), s.decimal(l.Amount), string(l.State))
	}
	for _, m := range b.Moves {
		put("move", s.work(m.Statement), m.Statement, "", "", "", "", s.decimal(m.Amount), string(m.Kind))
	}
	figure := func(name, amount string) { put(name, "", "", "", "", "", "", amount, "") }
	for _, r := range []row{{Key: "open", Amount: b.Open}, {Key: "credit", Amount: b.Credit}, {Key: "debit", Amount: b.Debit}, {Key: "paid", Amount: b.Paid}, {Key: "close", Amount: b.Close}, {Key: "held", Amount: b.Held}} {
		figure(r.Key, s.decimal(r.Amount))
	}
	figure("payable", s.Payable.Decimal(s.Currency.MinorDigits))
	figure("carry", s.decimal(s.Carry))
	c.Flush()
	return c.Error()
}
