package payfile

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/eth"
)

const (
	// MaxRecipients bounds a split: distribute pays all recipients in one
	// transaction, and a block has only so much gas.
	MaxRecipients = 500
	// MaxReceivers and MaxDripsWeight are limits of the Drips contract.
	MaxReceivers   = 200
	MaxDripsWeight = 1_000_000
)

// A Split is the configuration of a 0xSplits v2 contract: what arrives there
// later is divided in the proportion of the lines' amounts.
type Split struct {
	batch
	incentive  uint16
	recipients []eth.Address
	lines      []Line
}

// NewSplit makes a split of at most [MaxRecipients] lines, of which it reads
// the address in To.Account. A recipient's allocation is its amount, and the
// total allocation their sum, so that a distribution of exactly the sum owes
// each exactly its amount. (The contract keeps one unit, and what its division
// leaves, for the next distribution.) incentive is what whoever calls
// distribute is paid, in parts per million.
//
// The order of the recipients is part of the hash, and is that of the lines.
// Errors are fault.Invalid.
func NewSplit(lines []Line, incentive uint16) (*Split, error) {
	c, lines := check(lines, MaxRecipients)
	s := &Split{incentive: incentive, recipients: c.addresses(lines), lines: slices.Clone(lines)}
	if err := c.err(); err != nil {
		return nil, err
	}
	s.batch = c.batch
	return s, nil
}

// Hash returns the hash that the contract keeps of its configuration:
// Keccak-256 of abi.encode((address[], uint256[], uint256, uint16)).
func (s *Split) Hash() eth.Hash { return eth.Keccak256(s.abi()) }

func (s *Split) abi() []byte {
	n := uint64(len(s.recipients))
	var b []byte
	put := func(w word) { b = append(b, w[:]...) }
	put(smallWord(32))               // where the tuple starts
	put(smallWord(4 * 32))           // in it: where the recipients start
	put(smallWord((4 + 1 + n) * 32)) // and the allocations
	put(amountWord(s.total))
	put(smallWord(uint64(s.incentive)))
	put(smallWord(n))
	for _, a := range s.recipients {
		put(addressWord(a))
	}
	put(smallWord(n))
	for i := range s.lines {
		put(amountWord(s.lines[i].Amount))
	}
	return b
}

// WriteTo writes the configuration as JSON, with its hash as splitHash.
func (s *Split) WriteTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	out.text(`{"recipients":[`)
	for i, a := range s.recipients {
		out.comma(i)
		out.text(`"` + a.String() + `"`)
	}
	out.text(`],"allocations":[`)
	for i := range s.lines {
		out.comma(i)
		out.text(`"` + s.lines[i].Amount.String() + `"`)
	}
	out.text(`],"totalAllocation":"` + s.total.String())
	out.text(`","distributionIncentive":` + strconv.Itoa(int(s.incentive)) + `,"splitHash":"`)
	out.b = appendHash(out.b, s.Hash())
	out.text(`"}`)
	return out.close()
}

// A Drips is the list of receivers of a Drips account's splits.
type Drips struct {
	batch
	receivers []receiver // ascending by account
}

type receiver struct {
	account word
	text    string // of account, decimal
	weight  uint32
}

// NewDrips makes the receivers of at most [MaxReceivers] lines. To.Account is
// the decimal id of a Drips account, a uint256. Amounts are weights: together
// at most [MaxDripsWeight]; what they leave of it stays with the account. To
// divide other amounts, apportion 1,000,000 by them first.
//
// The order of the lines changes nothing. Errors are fault.Invalid.
func NewDrips(lines []Line) (*Drips, error) {
	c, lines := check(lines, MaxReceivers)
	d := &Drips{receivers: make([]receiver, 0, len(lines))}
	once := newOnce[word](len(lines))
	for i := range lines {
		l := &lines[i]
		account, ok := parseWord(l.To.Account)
		if !ok {
			c.Add("must be the decimal number of a Drips account", "lines[%d].to.account", i)
		} else if first, again := once.seen(account, i); again {
			c.Add(fmt.Sprintf("is the account of lines[%d], too", first), "lines[%d].to.account", i)
		}
		weight, ok := l.Amount.Uint64()
		if !ok && l.Amount.Sign() > 0 || weight > MaxDripsWeight {
			c.Add(fmt.Sprintf("is a weight, and may be at most %d", MaxDripsWeight), "lines[%d].amount", i)
		}
		d.receivers = append(d.receivers, receiver{account, l.To.Account, uint32(weight)})
	}
	if sum, ok := c.total.Uint64(); !ok || sum > MaxDripsWeight {
		c.Add(fmt.Sprintf("weights are together at most %d, these are %s", MaxDripsWeight, c.total), "lines")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	d.batch = c.batch
	slices.SortFunc(d.receivers, func(a, b receiver) int { return bytes.Compare(a.account[:], b.account[:]) })
	return d, nil
}

// Hash returns the hash that the Drips contract keeps of the receivers:
// Keccak-256 of abi.encode((uint256, uint32)[]).
func (d *Drips) Hash() eth.Hash { return eth.Keccak256(d.abi()) }

func (d *Drips) abi() []byte {
	var b []byte
	put := func(w word) { b = append(b, w[:]...) }
	put(smallWord(32)) // where the list starts
	put(smallWord(uint64(len(d.receivers))))
	for _, r := range d.receivers {
		put(r.account)
		put(smallWord(uint64(r.weight)))
	}
	return b
}

// WriteTo writes the receivers as JSON, ascending by account, with their hash
// as splitsHash.
func (d *Drips) WriteTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	out.text(`{"receivers":[`)
	for i, r := range d.receivers {
		out.comma(i)
		out.text(`{"accountId":"` + r.text + `","weight":` + strconv.FormatUint(uint64(r.weight), 10) + `}`)
	}
	out.text(`],"splitsHash":"`)
	out.b = appendHash(out.b, d.Hash())
	out.text(`"}`)
	return out.close()
}
