package payfile_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// What every file of the package is.
type file interface {
	io.WriterTo
	Len() int
	Total() credit.Amount
}

var _ = []file{
	(*payfile.StandardTree)(nil), (*payfile.Distributor)(nil), (*payfile.Split)(nil), (*payfile.Drips)(nil),
	(*payfile.CreditTransfer)(nil), (*payfile.BankCSV)(nil), (*payfile.PublicCSV)(nil),
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func amount(t fataler, s string) credit.Amount {
	t.Helper()
	a, err := credit.ParseAmount(s)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return a
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func hash(t testing.TB, s string) eth.Hash {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil || len(b) != 32 {
		t.Fatalf("%q is no hash", s)
	}
	return eth.Hash(b)
}

func text(h eth.Hash) string { return "0x" + hex.EncodeToString(h[:]) }

// written is what f writes; the count must be that of the bytes.
func written(t fataler, f io.WriterTo) string {
	t.Helper()
	var b bytes.Buffer
	if n, err := f.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v, wrote %d bytes", n, err, b.Len())
	}
	return b.String()
}

func payee(i int) string { return "did:key:zPayee" + strconv.Itoa(i) }

// must unwraps a constructor's result.
func must[F any](f F, err error) func(fataler) F {
	return func(t fataler) F {
		t.Helper()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return f
	}
}

// Lines are drawn with the account of the rail they are for.

func drawWallet(t *rapid.T, i int) payfile.Destination {
	a := eth.Address(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "address"))
	a[0], a[1] = byte(i>>8), byte(i)+1 // no two equal, none 0
	return payfile.Destination{Account: rapid.SampledFrom([]string{a.String(), a.Lower()}).Draw(t, "case")}
}

func drawBank(t *rapid.T, i int) payfile.Destination {
	d := payfile.Destination{
		Account: iban(rapid.SampledFrom([]string{"DE", "AT", "CH", "BE", "ES"}).Draw(t, "country"), i),
		Name:    rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9?:().,'+ -]{0,60}[A-Za-z0-9]`).Draw(t, "name"),
	}
	if rapid.Bool().Draw(t, "with BIC") {
		d.BIC = rapid.StringMatching(`[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?`).Draw(t, "bic")
	}
	return d
}

var ibanLengths = map[string]int{"DE": 22, "AT": 20, "CH": 21, "BE": 16, "ES": 24}

// iban makes an IBAN of account number i: the check digits come from a second,
// slower way of counting than the checker's.
func iban(country string, i int) string {
	number := strconv.Itoa(i)
	number = strings.Repeat("0", ibanLengths[country]-4-len(number)) + number
	var s strings.Builder
	for _, c := range number + country + "00" {
		if c >= 'A' {
			s.WriteString(strconv.Itoa(int(c-'A') + 10))
		} else {
			s.WriteRune(c)
		}
	}
	n, _ := new(big.Int).SetString(s.String(), 10)
	check := strconv.Itoa(98 - int(n.Mod(n, big.NewInt(97)).Int64()))
	if len(check) == 1 {
		check = "0" + check
	}
	return country + check + number
}

func drawDrips(t *rapid.T, i int) payfile.Destination {
	return payfile.Destination{Account: strconv.Itoa(i + 1)}
}

func drawLines(t *rapid.T, most int, largest uint64, to func(*rapid.T, int) payfile.Destination) []payfile.Line {
	lines := make([]payfile.Line, rapid.IntRange(1, most).Draw(t, "lines"))
	for i := range lines {
		lines[i] = payfile.Line{
			Payee:  payee(i),
			Amount: credit.FromUint64(rapid.Uint64Range(1, largest).Draw(t, "amount")),
			To:     to(t, i),
		}
	}
	return lines
}

func sum(t fataler, lines []payfile.Line) credit.Amount {
	t.Helper()
	var total credit.Amount
	for _, l := range lines {
		var err error
		if total, err = total.Add(l.Amount); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return total
}

func transfer() payfile.Transfer {
	return payfile.Transfer{
		MessageID:   "cairn-2026-10",
		Created:     time.Date(2026, 11, 2, 9, 30, 0, 0, time.FixedZone("", 3600)),
		Execution:   "2026-11-03",
		Debtor:      payfile.Destination{Account: "DE89370400440532013000", Name: "Example Registry e.V.", BIC: "COBADEFFXXX"},
		Currency:    "EUR",
		MinorDigits: 2,
		Remittance:  "cairn credit 2026-10",
	}
}

// wantInvalid checks that err is fault.Invalid and reports exactly the problems
// whose beginnings are given, in order.
func wantInvalid(t *testing.T, err error, want ...string) {
	t.Helper()
	if fault.Of(err) != fault.Invalid || !errors.Is(err, fault.Invalid) {
		t.Errorf("the error is %q: %v, want invalid", fault.Of(err), err)
		return
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Errorf("got %d problems, want %d:\n%v", len(got), len(want), err)
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("problem %d is %q, want %q…", i, got[i], want[i])
		}
	}
}

func TestLinesOfEveryRail(t *testing.T) {
	good := func() []payfile.Line {
		return []payfile.Line{
			{Payee: payee(0), Amount: credit.FromUint64(1), To: payfile.Destination{Account: "0xb29c73d6d2909f75a5d3c7ff75557e4aa1d4065e"}},
			{Payee: payee(1), Amount: credit.FromUint64(2), To: payfile.Destination{Account: "0x585bf941855e694994314a7a156c417731025be8"}},
		}
	}
	if _, err := payfile.NewStandardTree(good()); err != nil {
		t.Fatal(err)
	}
	half := amount(t, "85070591730234615865843651857942052864") // 2^126
	for name, c := range map[string]struct {
		change func([]payfile.Line) []payfile.Line
		want   []string
	}{
		"nothing":     {func([]payfile.Line) []payfile.Line { return nil }, []string{"lines: a payout has"}},
		"no payee":    {func(l []payfile.Line) []payfile.Line { l[0].Payee = ""; return l }, []string{"lines[0].payee: must be a DID"}},
		"a name":      {func(l []payfile.Line) []payfile.Line { l[1].Payee = "Ana Example"; return l }, []string{"lines[1].payee: must be a DID"}},
		"an IBAN":     {func(l []payfile.Line) []payfile.Line { l[1].Payee = "DE89370400440532013000"; return l }, []string{"lines[1].payee: must be a DID"}},
		"a comma":     {func(l []payfile.Line) []payfile.Line { l[1].Payee = "did:key:a,b"; return l }, []string{"lines[1].payee: must be a DID"}},
		"a line end":  {func(l []payfile.Line) []payfile.Line { l[1].Payee = "did:key:a\n"; return l }, []string{"lines[1].payee: must be a DID"}},
		"no method":   {func(l []payfile.Line) []payfile.Line { l[1].Payee = "did:key"; return l }, []string{"lines[1].payee: must be a DID"}},
		"long payee":  {func(l []payfile.Line) []payfile.Line { l[1].Payee = "did:key:" + strings.Repeat("z", 249); return l }, []string{"lines[1].payee: may have 256 bytes, has 257"}},
		"payee twice": {func(l []payfile.Line) []payfile.Line { l[1].Payee = l[0].Payee; return l }, []string{"lines[1].payee: is the payee of lines[0]"}},
		"zero":        {func(l []payfile.Line) []payfile.Line { l[0].Amount = credit.Amount{}; return l }, []string{"lines[0].amount: must be more than 0"}},
		"negative":    {func(l []payfile.Line) []payfile.Line { l[0].Amount = credit.FromInt64(-1); return l }, []string{"lines[0].amount: must be more than 0"}},
		"2^127":       {func(l []payfile.Line) []payfile.Line { l[0].Amount, l[1].Amount = half, half; return l }, []string{"lines[1].amount: the sum"}},
		"beyond 2^128": {func(l []payfile.Line) []payfile.Line {
			l[0].Amount, l[1].Amount = amount(t, "340282366920938463463374607431768211455"), amount(t, "340282366920938463463374607431768211455")
			return l
		}, []string{"lines[0].amount: the sum"}},
		"account twice": {func(l []payfile.Line) []payfile.Line {
			l[1].To.Account = "0xB29C73D6D2909F75A5D3C7FF75557E4AA1D4065E"
			return l
		}, []string{"lines[1].to.account: is the account of lines[0]"}},
		"no account": {func(l []payfile.Line) []payfile.Line { l[1].To.Account = ""; return l }, []string{"lines[1].to.account: an address is"}},
		"checksum": {func(l []payfile.Line) []payfile.Line {
			l[1].To.Account = "0x585bf941855e694994314A7a156c417731025be8"
			return l
		}, []string{"lines[1].to.account: the checksum"}},
		"address 0": {func(l []payfile.Line) []payfile.Line { l[1].To.Account = "0x" + strings.Repeat("0", 40); return l }, []string{"lines[1].to.account: is the address 0"}},
		"several": {func(l []payfile.Line) []payfile.Line {
			l[0].Amount, l[1].Payee, l[1].To.Account = credit.Amount{}, "x", "y"
			return l
		}, []string{"lines[0].amount: ", "lines[1].payee: ", "lines[1].to.account: "}},
		"too many lines": {func([]payfile.Line) []payfile.Line { return make([]payfile.Line, payfile.MaxLines+1) }, []string{"lines: may have 4194304 entries, has 4194305"}},
	} {
		lines := c.change(good())
		_, err := payfile.NewStandardTree(lines)
		t.Run(name, func(t *testing.T) { wantInvalid(t, err, c.want...) })
		if name == "too many lines" {
			continue // once is enough
		}
		_, err = payfile.NewDistributor(lines)
		t.Run(name, func(t *testing.T) { wantInvalid(t, err, c.want...) })
		_, err = payfile.NewSplit(lines, 0)
		t.Run(name, func(t *testing.T) { wantInvalid(t, err, c.want...) })
	}
	// The largest sum is accepted, and exact.
	lines := good()
	lines[0].Amount, lines[1].Amount = half, amount(t, "85070591730234615865843651857942052863")
	tree := must(payfile.NewStandardTree(lines))(t)
	if got := tree.Total().String(); got != "170141183460469231731687303715884105727" || tree.Len() != 2 {
		t.Errorf("2^127-1 is counted as %s", got)
	}
}

// I21: each export's sum is the batch's total, counted from the file itself.
func TestSumOfEveryExport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		check := func(f file, want credit.Amount, n int, inFile credit.Amount) {
			t.Helper()
			if f.Total() != want || f.Len() != n || inFile != want {
				t.Fatalf("%T: Total %s, in the file %s, want %s; Len %d, want %d", f, f.Total(), inFile, want, f.Len(), n)
			}
		}
		add := func(total *credit.Amount, s string) {
			t.Helper()
			var err error
			if *total, err = total.Add(amount(t, s)); err != nil {
				t.Fatalf("%v", err)
			}
		}
		quantity := func(s string) string {
			n, ok := new(big.Int).SetString(strings.TrimPrefix(s, "0x"), 16)
			if !ok || len(s)%2 != 0 {
				t.Fatalf("%q is no quantity", s)
			}
			return n.String()
		}
		wallets := drawLines(t, 12, 1<<63, drawWallet)
		want := sum(t, wallets)

		tree := must(payfile.NewStandardTree(wallets))(t)
		var dump struct{ Values []struct{ Value [2]string } }
		parse(t, written(t, tree), &dump)
		var total credit.Amount
		for _, v := range dump.Values {
			add(&total, v.Value[1])
		}
		check(tree, want, len(wallets), total)

		dist := must(payfile.NewDistributor(wallets))(t)
		var claims struct {
			TokenTotal string
			Claims     map[string]struct{ Amount string }
		}
		parse(t, written(t, dist), &claims)
		total = credit.Amount{}
		for _, c := range claims.Claims {
			add(&total, quantity(c.Amount))
		}
		check(dist, want, len(wallets), total)
		if quantity(claims.TokenTotal) != want.String() {
			t.Fatalf("tokenTotal is %s, want %s", claims.TokenTotal, want)
		}

		split := must(payfile.NewSplit(wallets, 7))(t)
		var conf struct {
			Allocations     []string
			TotalAllocation string
		}
		parse(t, written(t, split), &conf)
		total = credit.Amount{}
		for _, a := range conf.Allocations {
			add(&total, a)
		}
		check(split, want, len(wallets), total)
		if conf.TotalAllocation != want.String() {
			t.Fatalf("totalAllocation is %s, want %s", conf.TotalAllocation, want)
		}

		weights := drawLines(t, 12, payfile.MaxDripsWeight/12, drawDrips)
		drips := must(payfile.NewDrips(weights))(t)
		var receivers struct {
			Receivers []struct{ Weight json.Number }
		}
		parse(t, written(t, drips), &receivers)
		total = credit.Amount{}
		for _, r := range receivers.Receivers {
			add(&total, r.Weight.String())
		}
		check(drips, sum(t, weights), len(weights), total)

		payments := drawLines(t, 12, 99_999_999_999, drawBank)
		want = sum(t, payments)
		xml := must(payfile.NewCreditTransfer(transfer(), payments))(t)
		check(xml, want, len(payments), sumOfMessage(t, written(t, xml)))
		table := must(payfile.NewBankCSV(transfer(), payments))(t)
		check(table, want, len(payments), sumOfBankCSV(t, written(t, table)))
		public := must(payfile.NewPublicCSV(payments))(t)
		total = credit.Amount{}
		for _, line := range strings.Split(strings.TrimSpace(written(t, public)), "\n")[1:] {
			add(&total, line[strings.IndexByte(line, ',')+1:])
		}
		check(public, want, len(payments), total)
	})
}

func parse(t fataler, s string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
}

// The writer's error comes back, and what it took is counted.
func TestWriterFails(t *testing.T) {
	var lines []payfile.Line
	for i := range 3000 {
		lines = append(lines, payfile.Line{Payee: payee(i), Amount: credit.FromUint64(uint64(i + 1)),
			To: payfile.Destination{Account: iban("DE", i), Name: "A", BIC: "COBADEFF"}})
	}
	wallets := make([]payfile.Line, len(lines))
	for i, l := range lines {
		wallets[i] = l
		wallets[i].To.Account = eth.Address{1, byte(i >> 8), byte(i)}.String()
	}
	for _, f := range []file{
		must(payfile.NewStandardTree(wallets))(t), must(payfile.NewDistributor(wallets))(t),
		must(payfile.NewCreditTransfer(transfer(), lines))(t), must(payfile.NewBankCSV(transfer(), lines))(t),
		must(payfile.NewPublicCSV(lines))(t),
	} {
		whole := len(written(t, f))
		for _, room := range []int{0, 1, whole / 2, whole - 1} {
			w := &narrow{room: room}
			n, err := f.WriteTo(w)
			if !errors.Is(err, errFull) || n != int64(room) {
				t.Errorf("%T into %d bytes: %d, %v", f, room, n, err)
			}
		}
	}
}

var errFull = errors.New("full")

type narrow struct{ room int }

func (w *narrow) Write(b []byte) (int, error) {
	if len(b) > w.room {
		n := w.room
		w.room = 0
		return n, errFull
	}
	w.room -= len(b)
	return len(b), nil
}
