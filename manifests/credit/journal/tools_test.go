package journal_test

import (
	"encoding/csv"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
	"github.com/cairn-registry/cairn/manifests/credit/journal"
	"github.com/cairn-registry/cairn/manifests/toolstest"
)

// The tests of this file let foreign programs judge. .ci/install installs them.

// A judge runs one program on a journal.
type judge struct {
	format
	program string
	args    []string // before the file
	after   []string // and after it
}

var judges = []judge{
	{formats[0], "hledger", []string{"check", "--strict", "-f"}, nil},
	{formats[1], "bean-check", []string{"--no-cache"}, nil},
	{formats[2], "ledger", []string{"--init-file", "/dev/null", "--strict", "--pedantic", "-f"}, []string{"balance"}},
}

// run returns what the program says of text, and an error if it refuses it.
func (j judge) run(t *testing.T, text string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), j.program, append(append(append([]string(nil), j.args...), file), j.after...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// amounts finds the amounts of postings: the parts that a change must not
// survive.
var amounts = regexp.MustCompile(`(?m)^ +[A-Z][A-Za-z:0-9]+  -?([0-9.]+) [A-Z]+$`)

func TestProgramsAcceptAndFindEveryDigit(t *testing.T) {
	for _, j := range judges {
		t.Run(j.program, func(t *testing.T) {
			t.Parallel()
			toolstest.Program(t, j.program)
			text := written(t, j.format, diamond())
			if out, err := j.run(t, text); err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, text)
			}
			found := amounts.FindAllStringSubmatchIndex(text, -1)
			if len(found) != 19 {
				t.Fatalf("%d postings found, want 19", len(found))
			}
			// The first digit, the last, and two between, of amounts all over.
			tried := 0
			for i := 0; i < len(found); i += 3 {
				from, to := found[i][2], found[i][3]
				at := []int{from, to - 1, to - 6, strings.IndexByte(text[from:to], '.') + from - 1}[i/3%4]
				changed := text[:at] + string('0'+(text[at]-'0'+1)%10) + text[at+1:]
				if out, err := j.run(t, changed); err == nil {
					t.Errorf("%s became %s, and is accepted: %s", text[from:to], changed[from:to], out)
				}
				tried++
			}
			if tried != 7 {
				t.Errorf("%d digits tried", tried)
			}
		})
	}
}

type balance struct{ account, currency string }

// hledgerBalances returns what hledger counts in a journal: every balance that
// is not 0.
func hledgerBalances(t *testing.T, text string) map[balance]credit.Amount {
	t.Helper()
	hledger := judge{formats[0], "hledger", []string{"balance", "--flat", "--no-total", "-O", "csv", "-f"}, nil}
	toolstest.Program(t, hledger.program)
	out, err := hledger.run(t, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	all := map[balance]credit.Amount{}
	labels, _ := read(t, text)
	for _, row := range rows[1:] {
		for part := range strings.SplitSeq(row[1], ", ") {
			units, symbol, _ := strings.Cut(part, " ")
			code := labels[symbol]
			a, err := credit.ParseDecimal(units, digits[code])
			if err != nil {
				t.Fatalf("%q in %s: %v", part, row, err)
			}
			all[balance{labels[row[0]], code}] = a
		}
	}
	return all
}

// I21: the balances that hledger counts are those of the entries.
func TestHledgerCountsTheSame(t *testing.T) {
	want := map[balance]credit.Amount{}
	for _, e := range diamond() {
		for _, p := range e.Postings {
			b := balance{p.Account, e.Currency.Code}
			var err error
			if want[b], err = want[b].Add(p.Amount); err != nil {
				t.Fatal(err)
			}
		}
	}
	maps.DeleteFunc(want, func(_ balance, a credit.Amount) bool { return a.IsZero() })
	if got := hledgerBalances(t, written(t, formats[0], diamond())); !maps.Equal(got, want) {
		t.Errorf("hledger counts %v, want %v", got, want)
	}
}

// runs returns the entries of all runs of a random world, and what each payee
// is owed after the last.
func runs(t *testing.T, seed uint64) (entries []credit.Entry, owed map[balance]credit.Amount) {
	t.Helper()
	ledger, err := credittest.Random(seed, credittest.Options{}).Ledger()
	if err != nil {
		t.Fatal(err)
	}
	owed = map[balance]credit.Amount{}
	for _, c := range ledger.Currencies() {
		for p := ledger.First(); p < ledger.Open(); p++ {
			run, err := ledger.Run(p, c.Code)
			if err != nil {
				t.Fatal(err)
			}
			entries = slices.AppendSeq(entries, run.Entries())
			for i := range run.Len() {
				s := run.Statement(i)
				owed[balance{"payable:" + s.Payee, c.Code}] = s.Close
			}
		}
	}
	maps.DeleteFunc(owed, func(_ balance, a credit.Amount) bool { return a.IsZero() })
	return entries, owed
}

// What the engine books is a journal, and hledger finds in it what the
// statements of the payees say: payable accounts hold it with the other sign.
func TestRunsOfTheEngine(t *testing.T) {
	for seed := range uint64(20) {
		entries, owed := runs(t, seed)
		if len(entries) == 0 || len(owed) == 0 {
			t.Errorf("seed %d: %d entries, %d payees", seed, len(entries), len(owed))
		}
		text := written(t, formats[0], entries)
		if seed >= 2 {
			continue // one program is asked about two worlds
		}
		got := map[balance]credit.Amount{}
		for b, a := range hledgerBalances(t, text) {
			if strings.HasPrefix(b.account, "payable:") {
				got[b] = a.Neg()
			}
		}
		if !maps.Equal(got, owed) {
			t.Errorf("seed %d: hledger counts %v, the statements say %v", seed, got, owed)
		}
	}
	entries, _ := runs(t, 0)
	for _, j := range judges {
		t.Run(j.program, func(t *testing.T) {
			toolstest.Program(t, j.program)
			if out, err := j.run(t, written(t, j.format, entries)); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// All decimals that a currency may have, and the largest amounts.
func TestProgramsTakeEveryPrecision(t *testing.T) {
	places := map[string]int{"AAA": 0, "BBB": 6, "CCC": 18, "DDD": 24}
	for _, j := range judges {
		t.Run(j.program, func(t *testing.T) {
			t.Parallel()
			toolstest.Program(t, j.program)
			for _, units := range []string{"4999999999999999999999999999", "170141183460469231731687303715884105727"} {
				if len(units) > 28 && j.program == "bean-check" {
					continue // not exported
				}
				var entries []credit.Entry
				for code, n := range places {
					entries = append(entries, large(units, credit.Currency{Code: code, FineDigits: n}))
				}
				made, err := journal.New(entries)
				if err != nil {
					t.Fatal(err)
				}
				var b strings.Builder
				if err := j.write(made, &b); err != nil {
					t.Fatal(err)
				}
				if out, err := j.run(t, b.String()); err != nil {
					t.Fatalf("%v\n%s\n%s", err, out, b.String())
				}
				// The last digit of the last leg of one of them.
				at := strings.LastIndex(b.String(), " DDD\n") - 1
				changed := b.String()[:at] + string('0'+(b.String()[at]-'0'+1)%10) + b.String()[at+1:]
				if out, err := j.run(t, changed); err == nil {
					t.Errorf("%s: a changed last digit is accepted: %s", units, out)
				}
			}
		})
	}
}

// The traps that the exports avoid, held so that a newer version of a program
// that changes its ways is noticed.
func TestPrecisionTraps(t *testing.T) {
	const accepts, refuses = true, false
	const hledgerEntry = "\n2026-01-01 x\n    a  66.670000000001 USD\n    b  33.33 USD\n    c  -100.00 USD\n"
	bean := func(a, b, c string) string {
		return "2026-01-01 open Assets:A\n2026-01-01 open Assets:B\n2026-01-01 open Assets:C\n\n2026-01-01 * \"x\"\n" +
			"  Assets:A  " + a + " USD\n  Assets:B  " + b + " USD\n  Assets:C  " + c + " USD\n"
	}
	plainLedger := judges[2]
	plainLedger.args = []string{"--init-file", "/dev/null", "-f"}
	plainHledger := judges[0]
	plainHledger.args = []string{"check", "-f"}
	for name, c := range map[string]struct {
		judge
		text string
		want bool
	}{
		// 10^-12 too much in each.
		"hledger, a directive of 2 decimals":  {plainHledger, "commodity 1000.00 USD\n" + hledgerEntry, accepts},
		"hledger, a directive of 12 decimals": {plainHledger, "commodity 1000.000000000000 USD\n" + hledgerEntry, refuses},
		"hledger, no directive":               {plainHledger, hledgerEntry, refuses},
		"Ledger":                              {plainLedger, hledgerEntry, refuses},
		"Beancount, one amount of 2 decimals": {judges[1], bean("66.670000000001", "33.330000000000", "-100.00"), accepts},
		"Beancount, 12 decimals everywhere":   {judges[1], bean("66.670000000001", "33.330000000000", "-100.000000000000"), refuses},
		// 29 digits, of which Beancount drops the last.
		"Beancount, 28 digits": {judges[1], bean("1000000000000000.000000000001", "0.000000000001", "-1000000000000000.000000000001"), refuses},
		"Beancount, 30 digits": {judges[1], bean("100000000000000000.000000000001", "0.000000000001", "-100000000000000000.000000000001"), accepts},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			toolstest.Program(t, c.program)
			if c.program == "hledger" && c.want == accepts && !hledgerBefore(t, 1, 44) {
				t.Log("hledger 1.44 and later take the precision from the entry: not a trap any more")
				return
			}
			out, err := c.run(t, c.text)
			if got := err == nil; got != c.want {
				t.Errorf("accepted: %v, want %v: %v\n%s", got, c.want, err, out)
			}
		})
	}
}

// hledgerBefore reports whether hledger is older than a version.
func hledgerBefore(t *testing.T, major, minor int) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "hledger", "--version").Output()
	m := regexp.MustCompile(`^hledger ([0-9]+)\.([0-9]+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("hledger --version: %v %s", err, out)
	}
	a, _ := strconv.Atoi(string(m[1]))
	b, _ := strconv.Atoi(string(m[2]))
	return a < major || a == major && b < minor
}
