package journal

import (
	"bufio"
	"io"
	"strings"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// beancountLimit is 10^28. Beancount adds in decimals of 28 digits, and rounds
// what is longer without a word: above it an entry that is wrong may pass.
var beancountLimit = func() credit.Amount {
	a, err := credit.FromUint64(1).Scale(14)
	if err == nil {
		a, err = a.Scale(14)
	}
	if err != nil {
		panic(err) // 10^28 is below 2^128
	}
	return a
}()

// WriteHledger writes the journal for hledger 1.25 or later. It passes
// hledger check --strict.
func (j *Journal) WriteHledger(w io.Writer) error {
	out := bufio.NewWriter(w)
	j.mapping(out, "hledger")
	p := func(parts ...string) { put(out, parts...) }
	p("\ndecimal-mark .\n")
	for _, c := range j.currencies {
		p("commodity 1000.", strings.Repeat("0", c.digits), " ", c.label, "\n")
	}
	for _, a := range j.accounts {
		p("account ", j.labels[a], "\n")
	}
	j.plain(out)
	return out.Flush()
}

// WriteLedger writes the journal for Ledger 3.3 or later. It passes
// --strict --pedantic.
func (j *Journal) WriteLedger(w io.Writer) error {
	out := bufio.NewWriter(w)
	j.mapping(out, "Ledger")
	p := func(parts ...string) { put(out, parts...) }
	p("\n")
	for _, c := range j.currencies {
		p("commodity ", c.label, "\n    format 1000")
		if c.digits > 0 {
			p(".", strings.Repeat("0", c.digits))
		}
		p(" ", c.label, "\n")
	}
	for _, a := range j.accounts {
		p("account ", j.labels[a], "\n")
	}
	j.plain(out)
	return out.Flush()
}

// plain writes the entries as hledger and Ledger both read them.
func (j *Journal) plain(out *bufio.Writer) {
	for i := range j.entries {
		e := &j.entries[i]
		put(out, "\n", lastDay(e.Period), " (", e.ID, ") ", e.Kind, "\n")
		j.legs(out, e, "    ")
	}
}

// WriteBeancount writes the journal for Beancount 2.3.5 or later. It passes
// bean-check. It is fault.TooLarge, and nothing is written, when the postings
// of a currency move 10^28 fine units or more in all: that is where Beancount
// begins to round.
func (j *Journal) WriteBeancount(w io.Writer) error {
	for _, c := range j.currencies {
		if c.volume.Cmp(beancountLimit) >= 0 {
			return fault.New(fault.TooLarge, "the journal moves 10^28 fine units of %s or more, which Beancount does not add exactly", c.code)
		}
	}
	out := bufio.NewWriter(w)
	j.mapping(out, "Beancount")
	p := func(parts ...string) { put(out, parts...) }
	p("\noption \"title\" \"cairn\"\n")
	for _, c := range j.currencies {
		p("option \"operating_currency\" \"", c.label, "\"\n")
	}
	for _, c := range j.currencies {
		p(j.opened, " commodity ", c.label, "\n")
	}
	for _, a := range j.accounts {
		p(j.opened, " open ", j.labels[a], "\n")
	}
	for i := range j.entries {
		e := &j.entries[i]
		p("\n", lastDay(e.Period), " * \"", e.Kind, "\"\n  id: \"", e.ID, "\"\n")
		j.legs(out, e, "  ")
	}
	return out.Flush()
}

// mapping writes what the labels stand for, as comments.
func (j *Journal) mapping(out *bufio.Writer, format string) {
	put(out, "; cairn journal for ", format, "\n;\n; Labels:\n")
	for _, c := range j.currencies {
		put(out, ";   ", c.label, "  ", c.code, "\n")
	}
	for _, a := range j.accounts {
		put(out, ";   ", j.labels[a], "  ", a, "\n")
	}
}

// legs writes the postings of e. All amounts of a currency have all its
// decimals.
func (j *Journal) legs(out *bufio.Writer, e *credit.Entry, indent string) {
	c := &j.currencies[j.symbols[e.Currency.Code]]
	for i := range e.Postings {
		p := &e.Postings[i]
		put(out, indent, j.labels[p.Account], "  ", p.Amount.Decimal(c.digits), " ", c.label, "\n")
	}
}

// put writes parts. An error stays in out until it is flushed.
func put(out *bufio.Writer, parts ...string) {
	for _, s := range parts {
		_, _ = out.WriteString(s)
	}
}
