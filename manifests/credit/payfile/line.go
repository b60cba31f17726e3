package payfile

import (
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

const (
	// MaxLines bounds a batch: four times the largest payout that was measured,
	// and about 2 GiB of memory for the costliest rail.
	MaxLines = 1 << 22
	// maxPayee bounds the id of a payee in bytes: the longest DID that cairn
	// knows, a wallet on a chain of 20 digits, has 78.
	maxPayee = 256
)

// A Line is one payment of a batch.
type Line struct {
	Payee  string        // the party's DID
	Amount credit.Amount // minor units of the batch's currency, more than 0
	To     Destination
}

// A Destination says where a payee is paid. Which members a rail reads, it says.
type Destination struct {
	Account string `json:"account"`        // a wallet's address, an IBAN, or a Drips account id
	Name    string `json:"name,omitempty"` // the account's holder, for banks
	BIC     string `json:"bic,omitempty"`  // the account's bank
}

// batch is what every file knows of the lines it was made from.
type batch struct {
	n     int
	total credit.Amount
}

// Len returns the number of payments.
func (b *batch) Len() int { return b.n }

// Total returns the sum of the payments in minor units.
func (b *batch) Total() credit.Amount { return b.total }

// A checker collects the problems of a batch. Paths look like lines[3].amount,
// counted from 0.
type checker struct {
	field.Problems
	batch
}

// check looks at what every rail demands of lines: their number, payees that
// are DIDs and stand once, and amounts above 0 whose sum is below 2^127. It
// returns no lines when there are too many to look at.
func check(lines []Line, limit int) (*checker, []Line) {
	c := &checker{batch: batch{n: len(lines)}}
	if len(lines) == 0 {
		c.Add("a payout has at least one line", "lines")
	}
	if len(lines) > limit {
		c.Add(fmt.Sprintf("may have %d entries, has %d", limit, len(lines)), "lines")
		return c, nil
	}
	once := newOnce[string](len(lines))
	overflow := false
	for i := range lines {
		l := &lines[i]
		if msg := checkPayee(l.Payee); msg != "" {
			c.Add(msg, "lines[%d].payee", i)
		} else if first, again := once.seen(l.Payee, i); again {
			c.Add(fmt.Sprintf("is the payee of lines[%d], too", first), "lines[%d].payee", i)
		}
		if l.Amount.Sign() <= 0 {
			c.Add("must be more than 0", "lines[%d].amount", i)
			continue
		}
		sum, err := c.total.Add(l.Amount)
		if (err != nil || !sum.InLimit()) && !overflow {
			overflow = true
			c.Add("the sum of the lines up to here is 2^127 or more", "lines[%d].amount", i)
		}
		if !overflow {
			c.total = sum
		}
	}
	return c, lines
}

// err returns the problems found.
func (c *checker) err() error {
	if err := c.Err(); err != nil {
		return fault.Mark(fault.Invalid, err)
	}
	return nil
}

// checkPayee holds a payee to the characters of a DID. What has another form is
// a mistake: a name or an account number among the ids would be published.
func checkPayee(s string) string {
	switch {
	case len(s) > maxPayee:
		return fmt.Sprintf("may have %d bytes, has %d", maxPayee, len(s))
	case !strings.HasPrefix(s, "did:") || strings.Count(s, ":") < 2 || s[len(s)-1] == ':' || !field.Only(s, ":.-_%"):
		return "must be a DID, as in did:key:z6Mk…"
	}
	return ""
}

// once finds what stands in two lines.
type once[K comparable] map[K]int32

func newOnce[K comparable](n int) once[K] { return make(once[K], n) }

// seen notes that k stands in line i. If it stood in a line before, it returns
// that line.
func (o once[K]) seen(k K, i int) (first int, again bool) {
	if at, ok := o[k]; ok {
		return int(at), true
	}
	o[k] = int32(i)
	return 0, false
}

// addresses reads the account of every line as a wallet's address; each may
// stand once.
func (c *checker) addresses(lines []Line) []eth.Address {
	all := make([]eth.Address, len(lines))
	once := newOnce[eth.Address](len(lines))
	for i := range lines {
		a, err := eth.ParseAddress(lines[i].To.Account)
		switch {
		case err != nil:
			c.Add(err.Error(), "lines[%d].to.account", i)
			continue
		case a == eth.Address{}:
			c.Add("is the address 0, which nobody owns", "lines[%d].to.account", i)
		}
		if first, again := once.seen(a, i); again {
			c.Add(fmt.Sprintf("is the account of lines[%d], too", first), "lines[%d].to.account", i)
		}
		all[i] = a
	}
	return all
}
