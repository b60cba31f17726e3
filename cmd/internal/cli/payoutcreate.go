package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

type payoutOptions struct {
	rail, currency, min, period, id  string
	destinations, payees, debtorFile string
	execution, remittance            string
	file, envelope                   string
}

func newPayoutCreate(env *Env) *cobra.Command {
	var o payoutOptions
	c := &cobra.Command{
		Use:   "create --rail RAIL --currency CODE -o RAILFILE",
		Short: "Pay what is payable",
		Long: `create pays out what is payable after the last closed period, less what was paid
since: to each payee who has at least --min and a destination, in whole minor
units. Who has none is listed, left out, and keeps the balance.

It writes the file for the rail, readable by you alone, then logs who gets how
much in it, without where. From then on that counts as paid. Give the file to
the bank or the chain after the command has succeeded. The same command under
the same --id answers with the first payout and pays nobody twice.

Rails: csv (a table for a person or a payment service) and pain.001 (ISO 20022)
pay to an IBAN with a name, and a BIC outside of EUR; oz-merkle, uniswap-merkle
and splits to a wallet's address; drips to a Drips account, with 1,000,000
divided in the proportion of the amounts.

--destinations is a CSV file with the columns payee, destination, and perhaps
name and bic; or JSON, {"PAYEE": {"account": …, "name": …, "bic": …}}. A payee is
a did:key, a handle, or a key of this home. Where a payee has committed in the
log to how they are paid, only what their opening file says is believed:
--payees is a folder with those files. --debtor, for pain.001, is a JSON file
with the account that pays: {"account": …, "name": …, "bic": …}.`,
		Example: `  cairn payout create --rail csv --currency USD --min 1.00 \
    --destinations accounts.csv -o transfers.csv
  cairn payout create --rail pain.001 --currency EUR --min 5.00 --payees openings \
    --debtor debtor.json -o transfers.xml`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runPayoutCreate(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.rail, "rail", "", "`how`: csv, pain.001, oz-merkle, uniswap-merkle, splits or drips")
	f.StringVar(&o.currency, "currency", "", "currency `code`")
	f.StringVar(&o.min, "min", "", "the smallest `amount` that is paid, such as 1.00 (default: one minor unit)")
	f.StringVar(&o.period, "period", "", "the last closed `period`, to be sure that it is the one you mean")
	f.StringVar(&o.id, "id", "", "the payout's own `name`, unique in the log (default: payout-PERIOD-CURRENCY-RAIL)")
	f.StringVar(&o.destinations, "destinations", "", "CSV or JSON `file` that says where payees are paid")
	f.StringVar(&o.payees, "payees", "", "`folder` with opening files of payees")
	f.StringVar(&o.debtorFile, "debtor", "", "JSON `file` with the account that pays, for pain.001")
	f.StringVar(&o.execution, "execution", "", "`day` on which the bank is to pay, such as 2026-12-01, for pain.001 (default: today)")
	f.StringVar(&o.remittance, "remittance", "", "`text` on the payees' statements of account, for csv and pain.001")
	f.StringVarP(&o.file, "output", "o", "", "`file` for the rail")
	f.StringVar(&o.envelope, "envelope", "", "write the signed statement to this `file` instead of logging it, for other operators to sign")
	return c
}

// An unpaid payee has something to be paid, and is left out.
type unpaid struct {
	Payee  string        `json:"payee"`
	Amount credit.Amount `json:"amountMinor"`
	Why    string        `json:"why"`
}

// A createdPayout is what "payout create" prints with --json.
type createdPayout struct {
	Payout      string        `json:"payout"` // the statement
	Key         string        `json:"key"`
	Rail        string        `json:"rail"`
	Currency    string        `json:"currency"`
	Period      credit.Period `json:"period"` // the last that is covered
	N           int64         `json:"n"`
	Total       credit.Amount `json:"totalMinor"`
	Lines       cjson.CID     `json:"lines"`
	Allocations []cjson.CID   `json:"allocations"`
	File        string        `json:"file"`   // where the rail's file is
	SHA256      string        `json:"sha256"` // of the rail's file
	Root        string        `json:"root,omitempty"`
	LeftOut     []unpaid      `json:"leftOut"`
	// Unverified are payees who have committed to no destination: the
	// destinations file is all that says where they are paid.
	Unverified []string `json:"unverified"`
	Unchanged  bool     `json:"unchanged,omitempty"` // it was in the log already
	Issued     *issued  `json:"issued,omitempty"`
}

// A payer makes one payout.
type payer struct {
	*payoutOptions
	env    *Env
	c      *daemon.Conn
	cur    credit.Currency
	least  credit.Amount
	debtor payfile.Destination
	to     *destinations
	out    createdPayout
}

func runPayoutCreate(ctx context.Context, env *Env, o *payoutOptions) error {
	if !slices.Contains(payoutRails, o.rail) {
		err := fault.New(fault.Invalid, "--rail %s is no rail", fault.Quote(o.rail))
		if o.rail == "" {
			err = fault.New(fault.Invalid, "--rail is missing: how is it to be paid?")
		}
		return fault.WithHint(err, "--rail csv, pain.001, oz-merkle, uniswap-merkle, splits or drips")
	}
	if o.file == "" || o.file == "-" {
		return fault.WithHint(fault.New(fault.Invalid, "-o FILE is missing: where the file for the rail goes"), "it is private, and kept as a file that only you can read")
	}
	p := &payer{payoutOptions: o, env: env}
	var err error
	if p.debtor, err = o.debtor(); err != nil {
		return err
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		p.c = c
		if err := p.settings(ctx); err != nil {
			return err
		}
		if p.to, err = env.readDestinations(ctx, c.API, o.rail, o.destinations, o.payees); err != nil {
			return err
		}
		known, err := c.API.Payouts(ctx, p.id)
		if err != nil {
			return err
		}
		if len(known.Payouts) > 0 {
			return p.again(ctx, &known.Payouts[0])
		}
		s := &manifests.Payout{Key: p.id, Rail: o.rail, Currency: p.cur.Code, MinMinor: p.least.String()}
		if s.Allocations, err = p.allocations(ctx); err != nil {
			return err
		}
		lines, err := p.payable(ctx)
		if err != nil {
			return err
		}
		if err := env.fresh(ctx, c.API, s); err != nil {
			return err
		}
		rail, root, err := p.railFile(lines, s.IssuedAt)
		if err != nil {
			return err
		}
		if s.Lines.Cid, err = p.storeLines(ctx, lines); err != nil {
			return err
		}
		sum := sha256.Sum256(rail)
		total, err := sumOf(lines)
		if err != nil {
			return err
		}
		s.N, s.TotalMinor, s.File, s.Root = int64(len(lines)), total.String(), hex.EncodeToString(sum[:]), root
		st := manifests.New(s)
		if err := st.Validate(); err != nil {
			return err
		}
		// The file is on disk before the log says that it pays.
		made, err := writeRail(o.file, rail)
		if err != nil {
			return err
		}
		p.out.Issued, err = env.release(ctx, c.API, st, signer, issue{o.envelope})
		if err != nil {
			return errors.Join(err, withdrawRail(err, o.file, made))
		}
		p.describe(s, p.out.Issued.Statement)
		return p.print()
	})
}

// settings reads what the flags say against the registry.
func (p *payer) settings(ctx context.Context) error {
	s, err := p.c.API.Credit(ctx)
	if err != nil {
		return err
	}
	if p.cur, err = unit(s, p.currency); err != nil {
		return err
	}
	if p.out.Period, err = closed(s, p.period); err != nil {
		return err
	}
	if last := s.Open - 1; p.out.Period != last {
		return fault.WithHint(fault.New(fault.Invalid, "--period %s is not the last closed one, %s", p.period, last), "what is payable follows from all periods up to %s", last)
	}
	p.least = credit.FromUint64(1)
	if p.min != "" {
		if p.least, err = minorUnits("--min", p.min, wire.Currency{Code: p.cur.Code, MinorDigits: p.cur.MinorDigits}); err != nil {
			return err
		}
	}
	if p.id == "" {
		p.id = "payout-" + p.out.Period.String() + "-" + p.cur.Code + "-" + p.rail
	}
	return nil
}

// maxCovered bounds the periods that one payout names: two decades.
const maxCovered = 240

// allocations returns the published results that the payout pays: those of the
// last closed period, and of those before it that no payout has named.
func (p *payer) allocations(ctx context.Context) ([]cjson.CID, error) {
	s, err := p.c.API.Credit(ctx)
	if err != nil {
		return nil, err
	}
	before, err := p.c.API.Payouts(ctx, "")
	if err != nil {
		return nil, err
	}
	named := make(map[cjson.CID]bool)
	for _, o := range before.Payouts {
		for _, a := range o.Allocations {
			named[a] = true
		}
	}
	var out []cjson.CID
	for at := p.out.Period; at >= s.First && at > p.out.Period-maxCovered; at-- {
		run, err := p.c.API.Run(ctx, at, p.cur.Code)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(run.Allocations, func(a wire.Allocation) bool { return a.Matches })
		if i < 0 {
			if at == p.out.Period {
				return nil, fault.WithHint(fault.New(fault.NotFound, "what %s comes to in %s is not published, or not rightly", at, p.cur.Code),
					"\"cairn credit allocate --period %s --currency %s\"", at, p.cur.Code)
			}
			continue
		}
		a := run.Allocations[i].Statement
		if named[a] && at < p.out.Period {
			break
		}
		out = append(out, a)
	}
	slices.SortFunc(out, compareCIDs)
	return out, nil
}

// payable returns the lines of who is paid, sorted by payee, and notes who is
// left out.
func (p *payer) payable(ctx context.Context) ([]payfile.Line, error) {
	var lines []payfile.Line
	var errs []error
	for after := uint64(0); ; {
		page, err := p.c.API.RunPayees(ctx, p.out.Period, p.cur.Code, p.least, after)
		if err != nil {
			return nil, err
		}
		for _, l := range page.Payees {
			if l.Payable.Sign() <= 0 {
				continue
			}
			to, why, err := p.to.of(ctx, p.c.API, l.Payee)
			switch {
			case err != nil:
				if fault.Of(err) == fault.Internal || len(errs) == maxProblems {
					return nil, errors.Join(append(errs, err)...)
				}
				errs = append(errs, err)
			case why != "":
				p.out.LeftOut = append(p.out.LeftOut, unpaid{l.Payee, l.Payable, why})
			default:
				lines = append(lines, payfile.Line{Payee: l.Payee, Amount: l.Payable, To: to})
			}
		}
		if after = page.Next; after == 0 {
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		err := fault.New(fault.NotFound, "nobody is paid: no payee has %s %s or more", p.least.Decimal(p.cur.MinorDigits), p.cur.Code)
		if n := len(p.out.LeftOut); n > 0 {
			p.tellLeftOut()
			err = fault.New(fault.NotFound, "nobody is paid: %s left out", count(int64(n), "payee"))
		}
		return nil, fault.WithHint(err, "\"cairn credit balance --party WHO\" shows what somebody has")
	}
	slices.SortFunc(lines, func(a, b payfile.Line) int { return bytes.Compare([]byte(a.Payee), []byte(b.Payee)) })
	return lines, nil
}

// again answers for a payout whose id is in the log: with what is there, if it
// is the one that is asked for. The rail's file is made again from the lines in
// the log, and only if that gives the file that was logged.
func (p *payer) again(ctx context.Context, old *wire.Payout) error {
	if old.Rail != p.rail || old.Currency != p.cur.Code || old.Min != p.least {
		return fault.WithHint(fault.New(fault.Conflict, "the payout %s is in the log and says something else: %s, %s, from %s on (entry %d)",
			fault.Quote(p.id), old.Rail, old.Currency, old.Min.Decimal(p.cur.MinorDigits), old.Index), "another payout has another --id")
	}
	_, st, err := envelopeAt(ctx, p.c.API, old.Statement.Cid)
	if err != nil {
		return err
	}
	s, ok := st.Predicate.(*manifests.Payout)
	if !ok {
		return fault.New(fault.Internal, "the statement %s is no payout", old.Statement)
	}
	logged, err := payoutLines(ctx, p.c.API, old)
	if err != nil {
		return err
	}
	lines := make([]payfile.Line, len(logged))
	complete := true
	for i, l := range logged {
		to, why, err := p.to.of(ctx, p.c.API, l.Payee)
		complete = complete && err == nil && why == ""
		lines[i] = payfile.Line{Payee: l.Payee, Amount: l.Amount, To: to}
	}
	same := false
	if complete {
		rail, _, err := p.railFile(lines, s.IssuedAt)
		sum := sha256.Sum256(rail)
		if same = err == nil && hex.EncodeToString(sum[:]) == s.File; same {
			if _, err := writeRail(p.file, rail); err != nil {
				return err
			}
		}
	}
	p.out.Unchanged = true
	p.describe(s, old.Statement.String())
	if !same {
		p.out.File = ""
		p.env.warn("the destinations are not those of the payout in the log: %s is not written", p.file)
	}
	return p.print()
}

func (p *payer) describe(s *manifests.Payout, statement string) {
	o := &p.out
	o.Payout, o.Key, o.Rail, o.Currency = statement, s.Key, s.Rail, s.Currency
	o.N, o.Lines, o.Allocations = s.N, s.Lines, s.Allocations
	o.File, o.SHA256, o.Root = p.file, s.File, s.Root
	o.Total, _ = credit.ParseAmount(s.TotalMinor) // it was validated
	if o.LeftOut == nil {
		o.LeftOut = []unpaid{}
	}
	if o.Unverified = p.to.unverified(); o.Unverified == nil {
		o.Unverified = []string{}
	}
}

// tellLeftOut lists on stderr who is not paid.
func (p *payer) tellLeftOut() {
	if p.env.json {
		return
	}
	for _, l := range p.out.LeftOut {
		p.env.warn("left out: %s, who has %s %s: %s", l.Payee, l.Amount.Decimal(p.cur.MinorDigits), p.cur.Code, l.Why)
	}
}

func (p *payer) print() error {
	o := &p.out
	if !p.env.json {
		p.tellLeftOut()
		if n := len(o.Unverified); n > 0 && o.File != "" {
			p.env.warn("NOT VERIFIED: %s committed to no destination, and %s is all that says where they are paid. They commit with \"cairn payee set\"", count(int64(n), "payee"), p.destinations)
		}
	}
	return p.env.print(o, func(w io.Writer) {
		fmt.Fprintf(w, "payout     %s, by %s\n", o.Key, o.Rail)
		fmt.Fprintf(w, "pays       %s %s to %s\n", o.Total.Decimal(p.cur.MinorDigits), o.Currency, count(o.N, "payee"))
		fmt.Fprintf(w, "covers     %s up to %s\n", count(int64(len(o.Allocations)), "allocation"), o.Period)
		if len(o.LeftOut) > 0 {
			fmt.Fprintf(w, "left out   %s\n", count(int64(len(o.LeftOut)), "payee"))
		}
		if o.Root != "" {
			fmt.Fprintf(w, "root       %s\n", o.Root)
		}
		if o.File != "" {
			fmt.Fprintf(w, "file       %s (private)\n", o.File)
		}
		switch {
		case o.Unchanged:
			fmt.Fprintln(w, "logged     before, and it pays nobody again")
		case o.Issued.File != "":
			fmt.Fprintf(w, "not logged %s waits for the other operators\n", o.Issued.File)
		}
		fmt.Fprintf(w, "statement  %s\n", o.Payout)
	})
}

func sumOf(lines []payfile.Line) (total credit.Amount, err error) {
	for _, l := range lines {
		if total, err = total.Add(l.Amount); err != nil {
			return total, err
		}
	}
	return total, nil
}

// messageID names the batch to a bank: the payout's id, where a bank takes it,
// else a hash of it.
func messageID(id string) string {
	if len(id) <= 29 && !bytes.ContainsAny([]byte(id), "_:/+") {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "cairn-" + hex.EncodeToString(sum[:10])
}

// railFile makes the file for the rail, and for a Merkle distributor its root.
// The same lines and time give the same bytes.
func (p *payer) railFile(lines []payfile.Line, issuedAt string) (file []byte, root string, err error) {
	created, err := time.Parse(time.RFC3339, issuedAt)
	if err != nil {
		return nil, "", fault.Mark(fault.Internal, err)
	}
	t := payfile.Transfer{
		MessageID: messageID(p.id), Created: created, Execution: p.execution, Debtor: p.debtor,
		Currency: p.cur.Code, MinorDigits: p.cur.MinorDigits, Remittance: p.remittance,
	}
	if t.Execution == "" {
		t.Execution = created.UTC().Format(time.DateOnly)
	}
	var made io.WriterTo
	switch p.rail {
	case "csv":
		made, err = payfile.NewBankCSV(t, lines)
	case "pain.001":
		made, err = payfile.NewCreditTransfer(t, lines)
	case "oz-merkle":
		var tree *payfile.StandardTree
		if tree, err = payfile.NewStandardTree(lines); err == nil {
			made, root = tree, hexHash(tree.Root())
		}
	case "uniswap-merkle":
		var d *payfile.Distributor
		if d, err = payfile.NewDistributor(lines); err == nil {
			made, root = d, hexHash(d.Root())
		}
	case "splits":
		made, err = payfile.NewSplit(lines, 0)
	case "drips":
		if lines, err = dripsWeights(lines); err == nil {
			made, err = payfile.NewDrips(lines)
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("the file for %s (lines are counted from 0, in the order of the payees): %w", p.rail, err)
	}
	var b bytes.Buffer
	_, err = made.WriteTo(&b)
	return b.Bytes(), root, err
}

// hexHash writes a hash as chains do.
func hexHash(h eth.Hash) string { return "0x" + hex.EncodeToString(h[:]) }

// dripsWeights divides 1,000,000 in the proportion of the amounts. Amounts of
// more than 63 bits are first cut to as many digits as fit.
func dripsWeights(lines []payfile.Line) ([]payfile.Line, error) {
	total, err := sumOf(lines)
	if err != nil {
		return nil, err
	}
	cut := 0
	for n, ok := total.Uint64(); !ok || n > credit.MaxWeight; n, ok = total.Uint64() {
		if total, _, err = total.Unscale(1); err != nil {
			return nil, err
		}
		cut++
	}
	weights := make([]credit.Weight, len(lines))
	for i, l := range lines {
		a, _, err := l.Amount.Unscale(cut)
		if err != nil {
			return nil, err
		}
		n, _ := a.Uint64()
		weights[i] = credit.Weight{Key: l.Payee, Weight: n}
	}
	parts, err := credit.Apportion(credit.FromUint64(payfile.MaxDripsWeight), weights)
	if err != nil {
		return nil, err
	}
	of := make(map[string]credit.Amount, len(parts))
	for _, x := range parts {
		of[x.Key] = x.Amount
	}
	out := slices.Clone(lines)
	for i := range out {
		out[i].Amount = of[out[i].Payee]
		if out[i].Amount.IsZero() {
			return nil, fault.WithHint(fault.New(fault.Invalid, "%s gets less than a millionth of the whole, which Drips cannot express", out[i].Payee), "a larger --min")
		}
	}
	return out, nil
}
