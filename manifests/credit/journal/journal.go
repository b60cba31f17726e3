package journal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// An Entry is one transaction: postings that sum to zero in each currency.
type Entry struct {
	ID        string // unique in a journal: 1 to 128 ASCII characters without space and ()";|\
	Date      string // YYYY-MM-DD
	Narration string // for people: one line of at most 200 ASCII characters without ";|\
	Postings  []Posting
}

// A Posting is one leg of an entry.
type Posting struct {
	Account  string        // as in payable:did:key:z6Mk…
	Amount   credit.Amount // fine units
	Currency string        // its code in the registry
}

const (
	// MaxPostings bounds a journal: a payout to a million people has about two
	// million, and hledger takes 2.5 GB for each million.
	MaxPostings = 1 << 22

	maxID        = 128
	maxNarration = 200
	maxAccount   = 512 // a kind and a CID or DID, or two CAIP-19 codes
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
	entries    []Entry
	opened     string            // the first date
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
// must not be changed afterwards. fineDigits gives the decimals of each
// currency's fine unit: 12 for those of ISO 4217.
//
// It is fault.Invalid when an entry does not sum to zero in each currency, when
// it mixes currencies but for an exchange (two currencies, both with a posting
// to an account of kind fx), when a kind of account or a currency is not known,
// or when a text does not follow its grammar; all problems are reported at
// once. Sums of 2^128 or more are fault.Invalid, too.
func New(entries []Entry, fineDigits map[string]int) (*Journal, error) {
	c := checker{
		Journal:    Journal{entries: entries, labels: map[string]string{}, symbols: map[string]int{}},
		fineDigits: fineDigits,
		volumes:    map[string]credit.Amount{},
		ids:        make(map[string]int, len(entries)),
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
	fineDigits map[string]int
	volumes    map[string]credit.Amount // by currency
	ids        map[string]int           // the entry that has it
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
			c.Add(`must be 1 to 128 printable ASCII characters without space and ()";|\`, "entries[%d].id", i)
		} else if first, again := c.ids[e.ID]; again {
			c.Add(fmt.Sprintf("is the id of entries[%d], too", first), "entries[%d].id", i)
		} else {
			c.ids[e.ID] = i
		}
		if d, err := time.Parse(time.DateOnly, e.Date); err != nil || d.Year() < 1000 {
			c.Add("must be a day of the calendar, as in 2026-11-30", "entries[%d].date", i)
		} else if c.opened == "" || e.Date < c.opened {
			c.opened = e.Date
		}
		if !printable(e.Narration, "\";|\\", maxNarration) {
			c.Add(`must be 1 to 200 printable ASCII characters without ";|\`, "entries[%d].narration", i)
		}
		c.postings(i)
	}
}

// postings checks the legs of entry i, and counts what they move.
func (c *checker) postings(i int) {
	type leg struct {
		code string
		sum  credit.Amount
		fx   bool
	}
	var legs []leg // by currency: one or two
	if len(c.entries[i].Postings) < 2 {
		c.Add("must be at least two", "entries[%d].postings", i)
	}
	for j := range c.entries[i].Postings {
		p := &c.entries[i].Postings[j]
		kind, rest, _ := strings.Cut(p.Account, ":")
		if _, ok := c.labels[p.Account]; !ok {
			if _, known := kinds[kind]; !known {
				c.Add("must begin with a kind of account, as in payable:", "entries[%d].postings[%d].account", i, j)
			} else if !printable(rest, " ;", maxAccount) {
				c.Add("must be at most 512 printable ASCII characters without space and semicolon", "entries[%d].postings[%d].account", i, j)
			}
			c.labels[p.Account] = ""
		}
		digits, known := c.fineDigits[p.Currency]
		if !known || !printable(p.Currency, " ;", maxAccount) {
			c.Add("is not a known currency", "entries[%d].postings[%d].currency", i, j)
			continue
		}
		if digits < 0 || digits > credit.MaxDigits {
			c.Add(fmt.Sprintf("has %d decimals: want 0 to %d", digits, credit.MaxDigits), "entries[%d].postings[%d].currency", i, j)
		}
		at := slices.IndexFunc(legs, func(l leg) bool { return l.code == p.Currency })
		if at < 0 {
			at = len(legs)
			legs = append(legs, leg{code: p.Currency})
		}
		sum, err := legs[at].sum.Add(p.Amount)
		volume, err2 := c.volumes[p.Currency].Add(p.Amount.Abs())
		if err != nil || err2 != nil {
			c.Add("the sum up to here is 2^128 or more", "entries[%d].postings[%d].amount", i, j)
			continue
		}
		legs[at].sum, legs[at].fx = sum, legs[at].fx || kind == "fx"
		c.volumes[p.Currency] = volume
	}
	for _, l := range legs {
		if !l.sum.IsZero() {
			c.Add(fmt.Sprintf("sum to %s fine units of %s, not to 0", l.sum, l.code), "entries[%d].postings", i)
		}
	}
	if len(legs) > 2 || len(legs) == 2 && !(legs[0].fx && legs[1].fx) {
		c.Add("mix currencies, which only an exchange may: two currencies, each with a posting to an fx: account", "entries[%d].postings", i)
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
	for a := range c.labels {
		c.accounts = append(c.accounts, a)
	}
	slices.Sort(c.accounts)
	last := map[string]int{}
	for _, a := range c.accounts {
		kind, _, _ := strings.Cut(a, ":")
		last[kind]++
		c.labels[a] = kinds[kind].parent + ":" + kinds[kind].letter + strconv.Itoa(last[kind])
	}
	codes := make([]string, 0, len(c.volumes))
	for code := range c.volumes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	tokens := 0
	for i, code := range codes {
		label := code
		if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			label = "TOKEN" + letters(tokens)
			tokens++
		}
		c.currencies = append(c.currencies, currency{code, label, c.fineDigits[code], c.volumes[code]})
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
