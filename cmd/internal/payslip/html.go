package payslip

import (
	_ "embed"
	"html/template"
	"io"
	"time"

	"github.com/cairn-registry/cairn/manifests/credit"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// money is an amount as the page shows it: the rest is set smaller.
type money struct{ Minor, Rest string }

// A view is what the page is made of.
type view struct {
	*Slip
	Month    string
	Due      string
	Lines    []viewLine
	Moves    []viewMove
	Account  []viewRow
	Carried  money
	Held     *money
	Standing string
	Check    string
}

type viewLine struct {
	Work, Statement, Weight, Total, State, Snapshot string
	Kept, Amount                                    money
}

type viewMove struct {
	Work, Statement, Kind string
	Amount                money
}

type viewRow struct {
	Key, Label, Sign string
	Amount           money
}

func (s *Slip) money(a credit.Amount) money {
	minor, rest := Split(a, s.Currency)
	return money{minor, rest}
}

// html writes one page that needs nothing else: no script, no font, no image.
func (s *Slip) html(w io.Writer) error {
	v := view{Slip: s, Due: s.Payable.Decimal(s.Currency.MinorDigits), Carried: s.money(s.Carry), Standing: s.standing(), Check: s.check()}
	month, err := time.Parse("2006-01", s.Period.String())
	if err != nil {
		return err
	}
	v.Month = month.Format("January 2006")
	for _, l := range s.body.Lines {
		v.Lines = append(v.Lines, viewLine{s.work(l.Statement), l.Statement, l.Weight, l.Total, string(l.State), s.snapshot(l.Period), s.money(l.Kept), s.money(l.Amount)})
	}
	for _, m := range s.body.Moves {
		v.Moves = append(v.Moves, viewMove{s.work(m.Statement), m.Statement, string(m.Kind), s.money(m.Amount)})
	}
	for _, r := range s.account() {
		v.Account = append(v.Account, viewRow{r.Key, r.Label, r.Sign, s.money(r.Amount)})
	}
	if !s.body.Held.IsZero() {
		held := s.money(s.body.Held)
		v.Held = &held
	}
	return page.Execute(w, v)
}
