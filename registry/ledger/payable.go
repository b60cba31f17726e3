package ledger

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// MaxPayoutLines bounds the file of a payout's public lines, in bytes: a million
// lines of a did:key and an amount have about 80 MB.
const MaxPayoutLines = 256 << 20

// ReadLines reads the file of a payout's lines from verified blocks. More than
// [MaxPayoutLines] bytes are fault.TooLarge.
func ReadLines(ctx context.Context, blocks unixfs.Blocks, lines cid.Cid) ([]byte, error) {
	var out []byte
	err := unixfs.ReadFile(ctx, blocks, lines, func(p []byte) error {
		if len(out)+len(p) > MaxPayoutLines {
			return fault.New(fault.TooLarge, "the payout's lines have more than %d bytes", MaxPayoutLines)
		}
		out = append(out, p...)
		return nil
	})
	return out, err
}

// A Payable is what is payable after a run: closing balances, less what was paid
// in the periods after the run's, up to the open one.
type Payable struct {
	run   *credit.Run
	since map[string]credit.Amount
}

// PayableAfter returns what is payable after a run of l, as l stands.
func PayableAfter(l *credit.Ledger, run *credit.Run) (Payable, error) {
	p := Payable{run, make(map[string]credit.Amount)}
	for at := run.Period() + 1; at <= l.Open(); at++ {
		moved, err := l.Payments(at, run.Currency().Code)
		if err != nil {
			return Payable{}, err
		}
		for payee, m := range moved {
			if p.since[payee], err = p.since[payee].Add(m); err != nil {
				return Payable{}, err
			}
		}
	}
	return p, nil
}

// Minor returns what of a closing balance of the payee is payable, in minor
// units, when least is the smallest sum that is paid out; and what is carried
// on, in fine units.
func (p Payable) Minor(payee string, closing, least credit.Amount) (minor, carry credit.Amount, err error) {
	left, err := closing.Sub(p.since[payee])
	if err != nil {
		return minor, carry, err
	}
	return p.run.Currency().Payable(left, least)
}

// Of returns what is payable to a payee, in minor units: 0 for one without a
// statement in the run.
func (p Payable) Of(payee string) (credit.Amount, error) {
	i, err := p.run.Find(payee)
	if fault.Of(err) == fault.NotFound {
		return credit.Amount{}, nil
	}
	if err != nil {
		return credit.Amount{}, err
	}
	minor, _, err := p.Minor(payee, p.run.Statement(i).Close, credit.Amount{})
	return minor, err
}

// maxProblems bounds the lines of one payout that are reported.
const maxProblems = 20

// Check reports what is wrong with the lines of a payout, as joined errors that
// are fault.Invalid: their number and sum are not n and total, one is below
// least, or one is above what is payable to its payee.
func (p Payable) Check(lines []credit.PayoutLine, n int64, total, least credit.Amount) error {
	var problems problems
	if int64(len(lines)) != n {
		problems.add("the payout says %d lines, its file has %d", n, len(lines))
	}
	var sum credit.Amount
	digits := p.run.Currency().MinorDigits
	for i, l := range lines {
		var err error
		if sum, err = sum.Add(l.AmountMinor); err != nil {
			return fault.Mark(fault.Invalid, err)
		}
		if l.AmountMinor.Cmp(least) < 0 {
			problems.add("line %d: %s gets %s, the smallest sum is %s", i, l.Payee, l.AmountMinor.Decimal(digits), least.Decimal(digits))
		}
		have, err := p.Of(l.Payee)
		if err != nil {
			return err
		}
		if l.AmountMinor.Cmp(have) > 0 {
			problems.add("line %d: %s gets %s, payable are %s", i, l.Payee, l.AmountMinor.Decimal(digits), have.Decimal(digits))
		}
	}
	if sum != total {
		problems.add("the payout says %s in all, its lines add up to %s", total.Decimal(digits), sum.Decimal(digits))
	}
	return problems.err()
}
