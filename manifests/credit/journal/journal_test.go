package journal_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/journal"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const token = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"

var digits = map[string]int{"USD": 12, "EUR": 12, "JPY": 12, token: 18}

func fine(s string) credit.Amount {
	a, err := credit.ParseAmount(s)
	if err != nil {
		panic(err)
	}
	return a
}

// diamond is the worked example of a run: 100.07 USD to seven people, and the
// payout of one, with an exchange and a token beside it.
func diamond() []journal.Entry {
	run := journal.Entry{ID: "run-2026-10-USD", Date: "2026-11-01", Narration: "credit run 2026-10, USD", Postings: []journal.Posting{
		{Account: "revenue:bafkreimodel", Amount: fine("-100070000000000"), Currency: "USD"},
	}}
	for _, p := range [][2]string{
		{"did:key:zAna", "66713333334"}, {"did:key:zBen", "1334266666666"}, {"did:key:zCho", "66713333333"},
		{"did:key:zDia", "4405645897436"}, {"did:key:zEve", "3594822307692"}, {"did:key:zFay", "538838461539"},
		{"did:key:zLab", "90063000000000"},
	} {
		run.Postings = append(run.Postings, journal.Posting{Account: "payable:" + p[0], Amount: fine(p[1]), Currency: "USD"})
	}
	return []journal.Entry{
		{ID: "in-1", Date: "2026-10-31", Narration: "received stripe:in_123", Postings: []journal.Posting{
			{Account: "clearing:bank", Amount: fine("100070000000000"), Currency: "USD"},
			{Account: "revenue:bafkreimodel", Amount: fine("-100070000000000"), Currency: "USD"},
		}},
		run,
		{ID: "pay-1-0", Date: "2026-11-03", Narration: "payout of 133 minor units", Postings: []journal.Posting{
			{Account: "payable:did:key:zBen", Amount: fine("-1330000000000"), Currency: "USD"},
			{Account: "clearing:bank", Amount: fine("1330000000000"), Currency: "USD"},
		}},
		{ID: "fx-1", Date: "2026-11-03", Narration: "exchange (at 10/11)", Postings: []journal.Posting{
			{Account: "payable:did:key:zLab", Amount: fine("-11000000000000"), Currency: "USD"},
			{Account: "fx:USD/EUR", Amount: fine("11000000000000"), Currency: "USD"},
			{Account: "fx:USD/EUR", Amount: fine("-10000000000000"), Currency: "EUR"},
			{Account: "payable:did:key:zLab", Amount: fine("10000000000000"), Currency: "EUR"},
		}},
		{ID: "in-2", Date: "2026-11-04", Narration: "received in a token", Postings: []journal.Posting{
			{Account: "receivable:did:pkh:eip155:1:0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e", Amount: fine("1"), Currency: token},
			{Account: "held:bafkreidispute", Amount: fine("999999999999999999"), Currency: token},
			{Account: "retained:bafkreimodel", Amount: fine("1000000000000000000"), Currency: token},
			{Account: "fees:stripe", Amount: fine("-2000000000000000000"), Currency: token},
		}},
	}
}

type format struct {
	name  string
	write func(*journal.Journal, io.Writer) error
}

var formats = []format{
	{"hledger", (*journal.Journal).WriteHledger},
	{"Beancount", (*journal.Journal).WriteBeancount},
	{"Ledger", (*journal.Journal).WriteLedger},
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func written(t fataler, f format, entries []journal.Entry) string {
	t.Helper()
	j, err := journal.New(entries, digits)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var b strings.Builder
	if err := f.write(j, &b); err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	return b.String()
}

const goldenHledger = `; cairn journal for hledger
;
; Labels:
;   EUR  EUR
;   USD  USD
;   TOKENA  eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48
;   Assets:Clearing:C1  clearing:bank
;   Expenses:Fees:F1  fees:stripe
;   Equity:Exchange:X1  fx:USD/EUR
;   Liabilities:Held:H1  held:bafkreidispute
;   Liabilities:Payable:P1  payable:did:key:zAna
;   Liabilities:Payable:P2  payable:did:key:zBen
;   Liabilities:Payable:P3  payable:did:key:zCho
;   Liabilities:Payable:P4  payable:did:key:zDia
;   Liabilities:Payable:P5  payable:did:key:zEve
;   Liabilities:Payable:P6  payable:did:key:zFay
;   Liabilities:Payable:P7  payable:did:key:zLab
;   Assets:Receivable:R1  receivable:did:pkh:eip155:1:0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e
;   Equity:Retained:K1  retained:bafkreimodel
;   Income:Revenue:N1  revenue:bafkreimodel

decimal-mark .
commodity 1000.000000000000 EUR
commodity 1000.000000000000 USD
commodity 1000.000000000000000000 TOKENA
account Assets:Clearing:C1
account Expenses:Fees:F1
account Equity:Exchange:X1
account Liabilities:Held:H1
account Liabilities:Payable:P1
account Liabilities:Payable:P2
account Liabilities:Payable:P3
account Liabilities:Payable:P4
account Liabilities:Payable:P5
account Liabilities:Payable:P6
account Liabilities:Payable:P7
account Assets:Receivable:R1
account Equity:Retained:K1
account Income:Revenue:N1

2026-10-31 (in-1) received stripe:in_123
    Assets:Clearing:C1  100.070000000000 USD
    Income:Revenue:N1  -100.070000000000 USD
`

func TestGolden(t *testing.T) {
	if got := written(t, formats[0], diamond()); !strings.HasPrefix(got, goldenHledger) {
		t.Errorf("got\n%s", got)
	}
	bean := written(t, formats[1], diamond())
	for _, want := range []string{
		"\n2026-10-31 commodity TOKENA\n", "\n2026-10-31 open Liabilities:Payable:P7\n",
		"\n2026-11-01 * \"credit run 2026-10, USD\"\n  id: \"run-2026-10-USD\"\n  Income:Revenue:N1  -100.070000000000 USD\n  Liabilities:Payable:P1  0.066713333334 USD\n",
		"\n  Assets:Receivable:R1  0.000000000000000001 TOKENA\n",
	} {
		if !strings.Contains(bean, want) {
			t.Errorf("Beancount lacks %q in\n%s", want, bean)
		}
	}
	if ledger := written(t, formats[2], diamond()); !strings.Contains(ledger, "\ncommodity TOKENA\n    format 1000.000000000000000000 TOKENA\n") {
		t.Errorf("Ledger:\n%s", ledger)
	}
}

// A reader of our own: what the three formats have in common.
type posting struct{ account, amount, currency string }

func read(t fataler, s string) (labels map[string]string, entries [][]posting) {
	t.Helper()
	labels = map[string]string{}
	for line := range strings.SplitSeq(s, "\n") {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, ";   "):
			if labels[f[1]] != "" {
				t.Fatalf("label %s stands twice", f[1])
			}
			labels[f[1]] = f[2]
		case len(line) > 0 && line[0] >= '0' && line[0] <= '9' && (strings.Contains(line, " (") || strings.Contains(line, " * ")):
			entries = append(entries, nil)
		case strings.HasPrefix(line, "  ") && len(f) == 3 && len(entries) > 0:
			last := &entries[len(entries)-1]
			*last = append(*last, posting{f[0], f[1], f[2]})
		}
	}
	return labels, entries
}

var accounts = []string{"clearing:a", "receivable:b", "payable:did:key:zA", "payable:did:key:zB", "held:c", "retained:d", "fx:e", "revenue:f", "fees:g"}

// drawEntry draws an entry that balances in one currency, or two.
func drawEntry(t *rapid.T, i int) journal.Entry {
	e := journal.Entry{ID: "e" + strconv.Itoa(i), Date: rapid.SampledFrom([]string{"2026-01-31", "2025-12-01", "2026-02-28"}).Draw(t, "date"), Narration: "entry"}
	codes := rapid.SampledFrom([][]string{{"USD"}, {"JPY"}, {token}, {"USD", "EUR"}}).Draw(t, "currencies")
	for _, code := range codes {
		var sum credit.Amount
		for range rapid.IntRange(1, 6).Draw(t, "postings") {
			p := journal.Posting{Account: rapid.SampledFrom(accounts).Draw(t, "account"), Amount: credit.FromInt64(rapid.Int64().Draw(t, "amount")), Currency: code}
			sum, _ = sum.Add(p.Amount)
			e.Postings = append(e.Postings, p)
		}
		account := "clearing:rest"
		if len(codes) == 2 {
			account = "fx:rest"
		}
		e.Postings = append(e.Postings, journal.Posting{Account: account, Amount: sum.Neg(), Currency: code})
	}
	return e
}

// I21 for journals: what is read back from the text is what was put in, to the
// last fine unit, in every format; and each entry sums to zero.
func TestReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []journal.Entry
		for i := range rapid.IntRange(1, 8).Draw(t, "entries") {
			in = append(in, drawEntry(t, i))
		}
		for _, f := range formats {
			text := written(t, f, in)
			labels, out := read(t, text)
			if len(out) != len(in) {
				t.Fatalf("%s: %d entries became %d:\n%s", f.name, len(in), len(out), text)
			}
			for i := range in {
				sums := map[string]credit.Amount{}
				if len(out[i]) != len(in[i].Postings) {
					t.Fatalf("%s: entry %d has %d postings", f.name, i, len(out[i]))
				}
				for k, want := range in[i].Postings {
					got := out[i][k]
					n := digits[want.Currency]
					amount, err := credit.ParseDecimal(got.amount, n)
					if err != nil || amount != want.Amount || labels[got.account] != want.Account || labels[got.currency] != want.Currency {
						t.Fatalf("%s: %+v became %+v, %v", f.name, want, got, err)
					}
					if decimals := len(got.amount) - strings.IndexByte(got.amount, '.') - 1; decimals != n {
						t.Fatalf("%s: %s has %d decimals, want %d", f.name, got.amount, decimals, n)
					}
					sums[want.Currency], _ = sums[want.Currency].Add(amount)
				}
				for code, s := range sums {
					if !s.IsZero() {
						t.Fatalf("%s: entry %d leaves %s of %s", f.name, i, s, code)
					}
				}
			}
			if written(t, f, in) != text {
				t.Fatalf("%s: another text for the same entries", f.name)
			}
		}
	})
}

// One fine unit more or less anywhere is refused.
func TestEveryFineUnitCounts(t *testing.T) {
	for i := range diamond() {
		for k := range diamond()[i].Postings {
			for _, d := range []int64{1, -1} {
				entries := diamond()
				p := &entries[i].Postings[k]
				p.Amount, _ = p.Amount.Add(credit.FromInt64(d))
				_, err := journal.New(entries, digits)
				if fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "entries["+strconv.Itoa(i)+"].postings: sum to "+strconv.FormatInt(d, 10)+" fine units") {
					t.Errorf("entry %d posting %d %+d: %v", i, k, d, err)
				}
			}
		}
	}
}

func TestLabelsDependOnAccountsAlone(t *testing.T) {
	entries := diamond()
	want, _ := read(t, written(t, formats[0], entries))
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	got, _ := read(t, written(t, formats[0], entries))
	if len(got) != len(want) {
		t.Fatalf("%d labels, want %d", len(got), len(want))
	}
	for l, a := range want {
		if got[l] != a {
			t.Errorf("%s stands for %s, want %s", l, got[l], a)
		}
	}
}

func TestManyTokens(t *testing.T) {
	many := map[string]int{}
	var entries []journal.Entry
	for i := range 30 {
		code := "eip155:" + strconv.Itoa(1000+i) + "/slip44:60"
		many[code] = i % (credit.MaxDigits + 1)
		entries = append(entries, journal.Entry{ID: strconv.Itoa(i), Date: "2026-01-01", Narration: "n", Postings: []journal.Posting{
			{Account: "clearing:a", Amount: credit.FromUint64(7), Currency: code}, {Account: "fees:b", Amount: credit.FromInt64(-7), Currency: code}}})
	}
	j, err := journal.New(entries, many)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := j.WriteLedger(&b); err != nil {
		t.Fatal(err)
	}
	labels, _ := read(t, b.String())
	for label, want := range map[string]string{"TOKENA": "eip155:1000/slip44:60", "TOKENZ": "eip155:1025/slip44:60", "TOKENAA": "eip155:1026/slip44:60", "TOKENAD": "eip155:1029/slip44:60"} {
		if labels[label] != want {
			t.Errorf("%s stands for %s, want %s", label, labels[label], want)
		}
	}
	for name, format := range map[string]string{"no decimals": "    format 1000 TOKENA\n", "24 decimals": "    format 1000." + strings.Repeat("0", 24) + " TOKENY\n"} {
		if !strings.Contains(b.String(), format) {
			t.Errorf("%s: no %q", name, format)
		}
	}
}

func TestRefuses(t *testing.T) {
	top := credit.MaxAmount()
	for name, c := range map[string]struct {
		change func([]journal.Entry)
		want   []string
	}{
		"no id":            {func(e []journal.Entry) { e[0].ID = "" }, []string{"entries[0].id: must be"}},
		"id with a space":  {func(e []journal.Entry) { e[0].ID = "a b" }, []string{"entries[0].id: must be"}},
		"id with a paren":  {func(e []journal.Entry) { e[0].ID = "a)b" }, []string{"entries[0].id: must be"}},
		"id twice":         {func(e []journal.Entry) { e[1].ID = "in-1" }, []string{"entries[1].id: is the id of entries[0]"}},
		"no day":           {func(e []journal.Entry) { e[0].Date = "2026-11-31" }, []string{"entries[0].date: must be"}},
		"year 1":           {func(e []journal.Entry) { e[0].Date = "0001-01-01" }, []string{"entries[0].date: must be"}},
		"no narration":     {func(e []journal.Entry) { e[0].Narration = "" }, []string{"entries[0].narration: must be"}},
		"a comment":        {func(e []journal.Entry) { e[0].Narration = "a ; b" }, []string{"entries[0].narration: must be"}},
		"a quote":          {func(e []journal.Entry) { e[0].Narration = `a "b"` }, []string{"entries[0].narration: must be"}},
		"a line end":       {func(e []journal.Entry) { e[0].Narration = "a\n    Assets:X  1 USD" }, []string{"entries[0].narration: must be"}},
		"two spaces":       {func(e []journal.Entry) { e[0].Narration = "a  b" }, []string{"entries[0].narration: must be"}},
		"one posting":      {func(e []journal.Entry) { e[0].Postings = e[0].Postings[:1] }, []string{"entries[0].postings: must be at least two", "entries[0].postings: sum to 100070000000000"}},
		"kind":             {func(e []journal.Entry) { e[0].Postings[0].Account = "cash:x" }, []string{"entries[0].postings[0].account: must begin"}},
		"no kind":          {func(e []journal.Entry) { e[0].Postings[0].Account = "clearing" }, []string{"entries[0].postings[0].account: must be at most"}},
		"account's spaces": {func(e []journal.Entry) { e[0].Postings[0].Account = "clearing:a b" }, []string{"entries[0].postings[0].account: must be at most"}},
		"account's end":    {func(e []journal.Entry) { e[0].Postings[0].Account = "clearing:a\nb" }, []string{"entries[0].postings[0].account: must be at most"}},
		"long account":     {func(e []journal.Entry) { e[0].Postings[0].Account = "clearing:" + strings.Repeat("a", 513) }, []string{"entries[0].postings[0].account: must be at most"}},
		"currency":         {func(e []journal.Entry) { e[2].Postings[0].Currency, e[2].Postings[1].Currency = "XXX", "XXX" }, []string{"entries[2].postings[0].currency: is not", "entries[2].postings[1].currency: is not"}},
		"mixed":            {func(e []journal.Entry) { e[3].Postings[1].Account = "clearing:bank" }, []string{"entries[3].postings: mix currencies"}},
		"2^128": {func(e []journal.Entry) { e[0].Postings[0].Amount, e[0].Postings[1].Amount = top, top.Neg() },
			[]string{"entries[0].postings[1].amount: the sum up to here", "entries[1].postings[0].amount: the sum", "entries[0].postings"}},
	} {
		t.Run(name, func(t *testing.T) {
			entries := diamond()
			c.change(entries)
			_, err := journal.New(entries, digits)
			if fault.Of(err) != fault.Invalid {
				t.Fatalf("%v, want invalid", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in\n%v", want, err)
				}
			}
			if n := strings.Count(err.Error(), "\n") + 1; name != "2^128" && n != len(c.want) {
				t.Errorf("%d problems, want %d:\n%v", n, len(c.want), err)
			}
		})
	}
	for _, n := range []int{-1, credit.MaxDigits + 1} {
		if _, err := journal.New(diamond()[:1], map[string]int{"USD": n}); fault.Of(err) != fault.Invalid {
			t.Errorf("with %d decimals: %v", n, err)
		}
	}
	many := diamond()[:1]
	many[0].Postings = make([]journal.Posting, journal.MaxPostings+1)
	if _, err := journal.New(many, digits); fault.Of(err) != fault.Invalid || !strings.HasPrefix(err.Error(), "entries: may have 4194304 postings") {
		t.Errorf("too many postings: %v", err)
	}
}

func TestNothing(t *testing.T) {
	for _, f := range formats {
		if _, entries := read(t, written(t, f, nil)); len(entries) != 0 {
			t.Errorf("%s: %d entries", f.name, len(entries))
		}
	}
}

// large is an entry that moves units there and back.
func large(units credit.Amount) []journal.Entry {
	return []journal.Entry{{ID: "large", Date: "2026-01-01", Narration: "large", Postings: []journal.Posting{
		{Account: "clearing:a", Amount: units, Currency: "USD"}, {Account: "revenue:b", Amount: units.Neg(), Currency: "USD"}}}}
}

func TestBeancountRefusesWhatItWouldRound(t *testing.T) {
	// Both legs count.
	j, err := journal.New(large(fine("5000000000000000000000000000")), digits)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := j.WriteBeancount(&b); !errors.Is(err, fault.TooLarge) || b.Len() > 0 {
		t.Errorf("10^28 fine units: %v, %d bytes", err, b.Len())
	}
	if err := j.WriteHledger(&b); err != nil {
		t.Errorf("hledger: %v", err)
	}
	if j, err = journal.New(large(fine("4999999999999999999999999999")), digits); err != nil {
		t.Fatal(err)
	}
	if err := j.WriteBeancount(&b); err != nil {
		t.Errorf("10^28-2 fine units: %v", err)
	}
}

func TestWriterFails(t *testing.T) {
	j, err := journal.New(diamond(), digits)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range formats {
		if err := f.write(j, full{}); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
