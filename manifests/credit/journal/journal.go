package journal

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

const (
	// MaxPostings bounds a journal: a payout to a million people has about two
	// million, and hledger takes 2.5 GB for each million.
	MaxPostings = 1 << 22

	maxID      = 256 // a statement's CID, or an engine, a period, a CAIP-19 code and a word
	maxKind    = 32
	maxAccount = 512 // a CID or DID, or two CAIP-19 codes
)

// kinds says where each kind of account stands in the books, and the letter of
// its labels. Beancount knows these five roots and no other.
var kinds = map[string]struct{ parent, letter string }{
	"clearing":   {"Assets:Clearing", "C"},
	"receivable": {"Assets:Receivable", "R"},
	"payable":    {"Liabilities:Payable", "P"},
	"held":       {"Liabilities:Held", "H"},
	"retained":   {"Equity:Retained", "K"},
	"fx":         {"Equity:Exchange", "X"},
	"revenue":    {"Income:Revenue", "N"},
	"fees":       {"Expenses:Fees", "F"},
}

// A Journal is a checked list of entries. It may be used concurrently.
type Journal struct {
	entries    []credit.Entry
	opened     string            // the last day of the first period
	accounts   []string          // sorted
	labels     map[string]string // of accounts
	currencies []currency        // sorted by code
	symbols    map[string]int    // a code's place in currencies
}

type currency struct {
	code   string
	label  string
	digits int
	// volume is the sum of what is posted, all signs dropped: no balance on the
	// way is larger.
	volume credit.Amount
}

// New checks entries and returns them as a journal; it keeps entries, which
// must not be changed afterwards.
//
// It is fault.Invalid when an entry does not sum to zero, when a kind of
// account is not known, when one currency has two fineDigits, when a text has
// characters that one of the programs would misread, or when a currency moves
// 2^128 fine units or more; all problems are reported at once. IDs need not be
// unique: a payout has an entry for each payee.
func New(entries []credit.Entry) (*Journal, error) {
	c := checker{
		Journal:  Journal{entries: entries, labels: map[string]string{}, symbols: map[string]int{}},
		currency: map[string]*currency{},
	}
	c.check()
	if err := c.Err(); err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	c.label()
	return &c.Journal, nil
}

type checker struct {
	field.Problems
	Journal
	currency map[string]*currency // by code
}

func (c *checker) check() {
	n := 0
	for i := range c.entries {
		n += len(c.entries[i].Postings)
	}
	if n > MaxPostings {
		c.Add(fmt.Sprintf("may have %d postings in all, have %d", MaxPostings, n), "entries")
		return
	}
	for i := range c.entries {
		e := &c.entries[i]
		if !printable(e.ID, " ()\";|\\", maxID) {
			c.Add(`must be 1 to 256 printable ASCII characters without space and ()";|\`, "entries[%d].id", i)
		}
		if e.Kind == "" || len(e.Kind) > maxKind || !field.Only(e.Kind, "-") {
			c.Add("must be a word of 1 to 32 ASCII letters, digits and hyphens", "entries[%d].kind", i)
		}
		if e.Period < firstPeriod || e.Period > lastPeriod {
			c.Add(fmt.Sprintf("must be from %s to %s", firstPeriod, lastPeriod), "entries[%d].period", i)
		} else if day := lastDay(e.Period); c.opened == "" || day < c.opened {
			c.opened = day
		}
		c.postings(i)
	}
}

// The programs read years of four digits.
const firstPeriod, lastPeriod credit.Period = 1000 * 12, 9999*12 + 11

// lastDay returns the date of a period's entries: its last day.
func lastDay(p credit.Period) string {
	return time.Date(int(p/12), time.Month(p%12+2), 0, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// postings checks the legs of entry i, and counts what they move.
func (c *checker) postings(i int) {
	e := &c.entries[i]
	cur, known := c.currency[e.Currency.Code]
	if !known {
		cur = &currency{code: e.Currency.Code, digits: e.Currency.FineDigits}
		c.currency[cur.code] = cur
		if !printable(cur.code, " ;", maxAccount) {
			c.Add("must be 1 to 512 printable ASCII characters without space and semicolon", "entries[%d].currency.code", i)
		}
		if cur.digits < 0 || cur.digits > credit.MaxDigits {
			c.Add(fmt.Sprintf("is %d, but must be 0 to %d", cur.digits, credit.MaxDigits), "entries[%d].currency.fineDigits", i)
		}
	} else if cur.digits != e.Currency.FineDigits {
		c.Add(fmt.Sprintf("is %d, but was %d before", e.Currency.FineDigits, cur.digits), "entries[%d].currency.fineDigits", i)
	}
	if len(e.Postings) == 0 {
		c.Add("are missing", "entries[%d].postings", i)
	}
	var sum credit.Amount
	for j := range e.Postings {
		p := &e.Postings[j]
		if _, ok := c.labels[p.Account]; !ok {
			kind, rest, _ := strings.Cut(p.Account, ":")
			if _, known := kinds[kind]; !known {
				c.Add("must begin with a kind of account, as in payable:", "entries[%d].postings[%d].account", i, j)
			} else if !printable(rest, " ;", maxAccount) {
				c.Add("must be 1 to 512 printable ASCII characters after its kind, without space and semicolon", "entries[%d].postings[%d].account", i, j)
			}
			c.labels[p.Account] = ""
		}
		next, err := sum.Add(p.Amount)
		volume, err2 := cur.volume.Add(p.Amount.Abs())
		if err != nil || err2 != nil {
			c.Add("the currency moves 2^128 fine units or more up to here", "entries[%d].postings[%d].amount", i, j)
			return
		}
		sum, cur.volume = next, volume
	}
	if !sum.IsZero() {
		c.Add(fmt.Sprintf("sum to %s fine units, not to 0", sum), "entries[%d].postings", i)
	}
}

// printable reports whether s is 1 to limit printable ASCII characters, none of
// them in not, without a space at either end or two in a row: the programs end
// a text there.
func printable(s, not string, limit int) bool {
	if s == "" || len(s) > limit || s[0] == ' ' || s[len(s)-1] == ' ' || strings.Contains(s, "  ") {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return !strings.ContainsAny(s, not)
}

// label gives every account and currency its short name. Numbers follow the
// order of the accounts' bytes, so that they depend on the accounts alone.
func (c *checker) label() {
	c.accounts = slices.Sorted(maps.Keys(c.labels))
	last := map[string]int{}
	for _, a := range c.accounts {
		kind, _, _ := strings.Cut(a, ":")
		last[kind]++
		c.labels[a] = kinds[kind].parent + ":" + kinds[kind].letter + strconv.Itoa(last[kind])
	}
	tokens := 0
	for i, code := range slices.Sorted(maps.Keys(c.currency)) {
		cur := c.currency[code]
		cur.label = code
		if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			cur.label = "TOKEN" + letters(tokens)
			tokens++
		}
		c.currencies = append(c.currencies, *cur)
		c.symbols[code] = i
	}
}

// letters counts A, B … Z, AA, AB …: no program takes digits for part of a
// symbol without quotes.
func letters(n int) string {
	s := ""
	for n++; n > 0; n = (n - 1) / 26 {
		s = string(rune('A'+(n-1)%26)) + s
	}
	return s
}
