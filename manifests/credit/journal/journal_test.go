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

var (
	usd  = credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}
	jpy  = credit.Currency{Code: "JPY", FineDigits: 12}
	usdc = credit.Currency{Code: token, MinorDigits: 6, FineDigits: 18}

	digits = map[string]int{"USD": 12, "JPY": 12, token: 18}
)

func month(s string) credit.Period {
	p, err := credit.ParsePeriod(s)
	if err != nil {
		panic(err)
	}
	return p
}

func fine(s string) credit.Amount {
	a, err := credit.ParseAmount(s)
	if err != nil {
		panic(err)
	}
	return a
}

// diamond is the worked example of a run: 100.07 USD to seven people, and the
// payout of one; the same with a fee, a token and another month beside it.
func diamond() []credit.Entry {
	division := credit.Entry{ID: "credit/1/2026-10/USD", Period: month("2026-10"), Currency: usd, Kind: "allocation", Postings: []credit.Posting{
		{Account: "revenue:bafkreimodel", Amount: fine("100070000000000")},
	}}
	for _, p := range [][2]string{
		{"did:key:zAna", "66713333334"}, {"did:key:zBen", "1334266666666"}, {"did:key:zCho", "66713333333"},
		{"did:key:zDia", "4405645897436"}, {"did:key:zEve", "3594822307692"}, {"did:key:zFay", "538838461539"},
		{"did:key:zLab", "90063000000000"},
	} {
		division.Postings = append(division.Postings, credit.Posting{Account: "payable:" + p[0], Amount: fine(p[1]).Neg()})
	}
	return []credit.Entry{
		{ID: "bafkreievent", Period: month("2026-10"), Currency: usd, Kind: "income", Postings: []credit.Posting{
			{Account: "clearing:stripe", Amount: fine("97070000000000")},
			{Account: "fees:vat", Amount: fine("3000000000000")},
			{Account: "revenue:bafkreimodel", Amount: fine("-100070000000000")},
		}},
		division,
		{ID: "bafkreipayout", Period: month("2026-10"), Currency: usd, Kind: "payout", Postings: []credit.Posting{
			{Account: "payable:did:key:zBen", Amount: fine("1330000000000")},
			{Account: "clearing:pain.001", Amount: fine("-1330000000000")},
		}},
		{ID: "bafkreipayout", Period: month("2026-10"), Currency: usd, Kind: "payout", Postings: []credit.Posting{
			{Account: "payable:did:key:zLab", Amount: fine("90060000000000")},
			{Account: "clearing:pain.001", Amount: fine("-90060000000000")},
		}},
		{ID: "bafkreitoken", Period: month("2024-02"), Currency: usdc, Kind: "income", Postings: []credit.Posting{
			{Account: "receivable:did:pkh:eip155:1:0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e", Amount: fine("1")},
			{Account: "held:bafkreimodel", Amount: fine("999999999999999999")},
			{Account: "retained:bafkreimodel", Amount: fine("1000000000000000000")},
			{Account: "fx:USD/token", Amount: fine("-2000000000000000000")},
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

func written(t fataler, f format, entries []credit.Entry) string {
	t.Helper()
	j, err := journal.New(entries)
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
;   USD  USD
;   TOKENA  eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48
;   Assets:Clearing:C1  clearing:pain.001
;   Assets:Clearing:C2  clearing:stripe
;   Expenses:Fees:F1  fees:vat
;   Equity:Exchange:X1  fx:USD/token
;   Liabilities:Held:H1  held:bafkreimodel
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
commodity 1000.000000000000 USD
commodity 1000.000000000000000000 TOKENA
account Assets:Clearing:C1
account Assets:Clearing:C2
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

2026-10-31 (bafkreievent) income
    Assets:Clearing:C2  97.070000000000 USD
    Expenses:Fees:F1  3.000000000000 USD
    Income:Revenue:N1  -100.070000000000 USD
`

func TestGolden(t *testing.T) {
	if got := written(t, formats[0], diamond()); !strings.HasPrefix(got, goldenHledger) {
		t.Errorf("got\n%s", got)
	}
	bean := written(t, formats[1], diamond())
	for _, want := range []string{
		"\n2024-02-29 commodity TOKENA\n", "\n2024-02-29 open Liabilities:Payable:P7\n",
		"\n2026-10-31 * \"allocation\"\n  id: \"credit/1/2026-10/USD\"\n  Income:Revenue:N1  100.070000000000 USD\n  Liabilities:Payable:P1  -0.066713333334 USD\n",
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

// drawEntry draws an entry that balances.
func drawEntry(t *rapid.T, i int) credit.Entry {
	e := credit.Entry{
		ID:       "e" + strconv.Itoa(i),
		Period:   month(rapid.SampledFrom([]string{"2026-01", "2025-12", "2028-02"}).Draw(t, "period")),
		Currency: rapid.SampledFrom([]credit.Currency{usd, jpy, usdc}).Draw(t, "currency"),
		Kind:     "income",
	}
	var sum credit.Amount
	for range rapid.IntRange(1, 6).Draw(t, "postings") {
		p := credit.Posting{Account: rapid.SampledFrom(accounts).Draw(t, "account"), Amount: credit.FromInt64(rapid.Int64().Draw(t, "amount"))}
		sum, _ = sum.Add(p.Amount)
		e.Postings = append(e.Postings, p)
	}
	e.Postings = append(e.Postings, credit.Posting{Account: "clearing:rest", Amount: sum.Neg()})
	return e
}

// I21 for journals: what is read back from the text is what was put in, to the
// last fine unit, in every format; and each entry sums to zero.
func TestReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []credit.Entry
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
				var sum credit.Amount
				code := in[i].Currency.Code
				if len(out[i]) != len(in[i].Postings) {
					t.Fatalf("%s: entry %d has %d postings", f.name, i, len(out[i]))
				}
				for k, want := range in[i].Postings {
					got := out[i][k]
					n := digits[code]
					amount, err := credit.ParseDecimal(got.amount, n)
					if err != nil || amount != want.Amount || labels[got.account] != want.Account || labels[got.currency] != code {
						t.Fatalf("%s: %+v became %+v, %v", f.name, want, got, err)
					}
					if decimals := len(got.amount) - strings.IndexByte(got.amount, '.') - 1; decimals != n {
						t.Fatalf("%s: %s has %d decimals, want %d", f.name, got.amount, decimals, n)
					}
					sum, _ = sum.Add(amount)
				}
				if !sum.IsZero() {
					t.Fatalf("%s: entry %d leaves %s of %s", f.name, i, sum, code)
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
				_, err := journal.New(entries)
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
	var entries []credit.Entry
	for i := range 30 {
		entries = append(entries, credit.Entry{ID: strconv.Itoa(i), Period: month("2026-01"), Kind: "income",
			Currency: credit.Currency{Code: "eip155:" + strconv.Itoa(1000+i) + "/slip44:60", FineDigits: i % (credit.MaxDigits + 1)},
			Postings: []credit.Posting{{Account: "clearing:a", Amount: credit.FromUint64(7)}, {Account: "fees:b", Amount: credit.FromInt64(-7)}}})
	}
	j, err := journal.New(entries)
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
	top := fine("340282366920938463463374607431768211455")
	for name, c := range map[string]struct {
		change func([]credit.Entry)
		want   []string
	}{
		"no id":            {func(e []credit.Entry) { e[0].ID = "" }, []string{"entries[0].id: must be"}},
		"id with a space":  {func(e []credit.Entry) { e[0].ID = "a b" }, []string{"entries[0].id: must be"}},
		"id with a paren":  {func(e []credit.Entry) { e[0].ID = "a)b" }, []string{"entries[0].id: must be"}},
		"id with a quote":  {func(e []credit.Entry) { e[0].ID = `a"b` }, []string{"entries[0].id: must be"}},
		"long id":          {func(e []credit.Entry) { e[0].ID = strings.Repeat("a", 257) }, []string{"entries[0].id: must be"}},
		"year 999":         {func(e []credit.Entry) { e[0].Period = month("0999-12") }, []string{"entries[0].period: must be from 1000-01 to 9999-12"}},
		"year 10000":       {func(e []credit.Entry) { e[0].Period = month("9999-12") + 1 }, []string{"entries[0].period: must be from 1000-01 to 9999-12"}},
		"no kind of entry": {func(e []credit.Entry) { e[0].Kind = "" }, []string{"entries[0].kind: must be"}},
		"a comment":        {func(e []credit.Entry) { e[0].Kind = "a;b" }, []string{"entries[0].kind: must be"}},
		"a line end":       {func(e []credit.Entry) { e[0].Kind = "a\n    Assets:X  1 USD" }, []string{"entries[0].kind: must be"}},
		"no postings":      {func(e []credit.Entry) { e[0].Postings = nil }, []string{"entries[0].postings: are missing"}},
		"one posting":      {func(e []credit.Entry) { e[0].Postings = e[0].Postings[:1] }, []string{"entries[0].postings: sum to 97070000000000 fine units"}},
		"kind":             {func(e []credit.Entry) { e[0].Postings[0].Account = "cash:x" }, []string{"entries[0].postings[0].account: must begin"}},
		"kind alone":       {func(e []credit.Entry) { e[0].Postings[0].Account = "clearing" }, []string{"entries[0].postings[0].account: must be 1 to"}},
		"account's spaces": {func(e []credit.Entry) { e[0].Postings[0].Account = "clearing:a b" }, []string{"entries[0].postings[0].account: must be 1 to"}},
		"account's end":    {func(e []credit.Entry) { e[0].Postings[0].Account = "clearing:a\nb" }, []string{"entries[0].postings[0].account: must be 1 to"}},
		"long account":     {func(e []credit.Entry) { e[0].Postings[0].Account = "clearing:" + strings.Repeat("a", 513) }, []string{"entries[0].postings[0].account: must be 1 to"}},
		"no currency":      {func(e []credit.Entry) { e[4].Currency.Code = "" }, []string{"entries[4].currency.code: must be"}},
		"currency's end":   {func(e []credit.Entry) { e[4].Currency.Code = "A\nB" }, []string{"entries[4].currency.code: must be"}},
		"two precisions":   {func(e []credit.Entry) { e[3].Currency.FineDigits = 11 }, []string{"entries[3].currency.fineDigits: is 11, but was 12 before"}},
		"-1 digits":        {func(e []credit.Entry) { e[4].Currency.FineDigits = -1 }, []string{"entries[4].currency.fineDigits: is -1"}},
		"25 digits":        {func(e []credit.Entry) { e[4].Currency.FineDigits = 25 }, []string{"entries[4].currency.fineDigits: is 25"}},
		"2^128": {func(e []credit.Entry) { e[4].Postings[0].Amount, e[4].Postings[1].Amount = top, top.Neg() },
			[]string{"entries[4].postings[1].amount: the currency moves"}},
		"several": {func(e []credit.Entry) { e[0].ID, e[0].Kind, e[2].Postings[0].Account = "", "", "x" },
			[]string{"entries[0].id: ", "entries[0].kind: ", "entries[2].postings[0].account: "}},
	} {
		t.Run(name, func(t *testing.T) {
			entries := diamond()
			c.change(entries)
			_, err := journal.New(entries)
			if fault.Of(err) != fault.Invalid {
				t.Fatalf("%v, want invalid", err)
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(got), len(c.want), err)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("problem %d is %q, want %q…", i, got[i], want)
				}
			}
		})
	}
	many := diamond()[:1]
	many[0].Postings = make([]credit.Posting, journal.MaxPostings+1)
	if _, err := journal.New(many); fault.Of(err) != fault.Invalid || !strings.HasPrefix(err.Error(), "entries: may have 4194304 postings") {
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
func large(units string, c credit.Currency) credit.Entry {
	return credit.Entry{ID: "large", Period: month("2026-01"), Currency: c, Kind: "income", Postings: []credit.Posting{
		{Account: "clearing:a", Amount: fine(units)}, {Account: "revenue:b", Amount: fine(units).Neg()}}}
}

func TestBeancountRefusesWhatItWouldRound(t *testing.T) {
	// Both legs count.
	j, err := journal.New([]credit.Entry{large("5000000000000000000000000000", usd)})
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
	if j, err = journal.New([]credit.Entry{large("4999999999999999999999999999", usd)}); err != nil {
		t.Fatal(err)
	}
	if err := j.WriteBeancount(&b); err != nil {
		t.Errorf("10^28-2 fine units: %v", err)
	}
}

func TestWriterFails(t *testing.T) {
	j, err := journal.New(diamond())
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
