package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

type payoutOptions struct {
	rail, currency, least, id, out string
	destinations                   []string
	debtor, execution, remittance  string
	unopened                       bool
}

func newPayoutCreate(env *Env) *cobra.Command {
	var o payoutOptions
	c := &cobra.Command{
		Use:   "create --rail RAIL --currency CODE --destinations FILE -o RAILFILE",
		Short: "Make the file that pays what is payable, and log who gets how much",
		Long: `create pays what is payable after the last closed period, less what was paid since.
It writes the rail's private file, stores the public lines (who, how much), and logs
payout/v1. Balances fall by what it says; a line that comes back is recorded with
"cairn payout record-results".

Rails: csv (a table for a bank), pain.001 (ISO 20022), oz-merkle and uniswap-merkle
(claims against a Merkle root), splits and drips (contracts that divide).

--destinations says where payees are paid (repeatable): an opening that "cairn payee
set" made, a CSV file "payee,account,name,bic", or a JSON object of the same by
payee. A payee with a commitment in the log is paid only to what it opens to.
Payees without a destination are left out, and said.

Doing it again with the same --id pays nobody twice: it writes the same file.`,
		Example: `  cairn payout create --rail csv --currency USD --min 1.00 --destinations payees.csv \
    --debtor us.json -o october.csv
  cairn payout create --rail oz-merkle --currency USD --destinations wallets.csv -o claims.json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runPayoutCreate(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.rail, "rail", "", "`rail`: csv, pain.001, oz-merkle, uniswap-merkle, splits or drips")
	f.StringVar(&o.currency, "currency", "", "currency `code`")
	f.StringVar(&o.least, "min", "", "the smallest `amount` that is paid, such as 1.00")
	f.StringVar(&o.id, "id", "", "the payout's own `name`, unique in the log (default: period-currency-rail)")
	f.StringArrayVar(&o.destinations, "destinations", nil, "`file` of where payees are paid (repeatable)")
	f.StringVar(&o.debtor, "debtor", "", "JSON `file` of who pays: name, account, bic (for csv and pain.001)")
	f.StringVar(&o.execution, "execution", "", "`day` on which the bank is to pay (default: the day after)")
	f.StringVar(&o.remittance, "remittance", "", "`text` on the payees' bank statements")
	f.BoolVar(&o.unopened, "unopened", false, "pay to a destination that does not open the payee's commitment")
	f.StringVarP(&o.out, "output", "o", "", "private `file` to write for the rail")
	return c
}

// A paid is what "payout create" prints with --json.
type paid struct {
	Statement string        `json:"statement"`
	ID        string        `json:"id"`
	Rail      string        `json:"rail"`
	Currency  string        `json:"currency"`
	N         int64         `json:"n"`
	Total     credit.Amount `json:"totalMinor"`
	Lines     string        `json:"lines"` // CID of the public lines
	File      string        `json:"file"`
	Root      string        `json:"root,omitempty"`
	Unchanged bool          `json:"unchanged,omitempty"`
	LeftOut   []string      `json:"leftOut,omitempty"` // payable, and without a destination
}

func runPayoutCreate(ctx context.Context, env *Env, o *payoutOptions) error {
	if o.out == "" || o.out == "-" || o.rail == "" || len(o.destinations) == 0 {
		return fault.New(fault.Invalid, "payout create needs --rail, --destinations and -o RAILFILE")
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		b := &batch{env: env, o: o, c: c, created: env.Now().UTC().Truncate(time.Second)}
		if err := b.read(ctx); err != nil {
			return err
		}
		if known, err := c.API.Payouts(ctx, o.id); err != nil {
			return err
		} else if len(known.Payouts) > 0 {
			return b.again(ctx, &known.Payouts[0])
		}
		if err := b.payable(ctx); err != nil {
			return err
		}
		file, root, err := b.render()
		if err != nil {
			return err
		}
		// The file is complete on disk before the log says that it was made; it gets
		// its name when the log does.
		tmp, err := writePrivate(o.out, file)
		if err != nil {
			return err
		}
		defer os.Remove(tmp)
		s, err := b.statement(ctx, file, root)
		if err != nil {
			return err
		}
		if err := env.fresh(ctx, c.API, s); err != nil {
			return err
		}
		s.IssuedAt = b.created.Format(time.RFC3339) // so that the file can be written again
		sub, err := env.release(ctx, c.API, manifests.New(s), signer, issue{})
		if err != nil {
			return err
		}
		if err := os.Rename(tmp, o.out); err != nil {
			return err
		}
		return b.print(paid{Statement: sub.Statement, Lines: s.Lines.String(), Root: root})
	})
}

// A batch is a payout on its way.
type batch struct {
	env *Env
	o   *payoutOptions
	c   *daemon.Conn

	cur     credit.Currency
	period  credit.Period
	least   credit.Amount
	debtor  payfile.Destination
	created time.Time
	to      *destinations
	lines   []payfile.Line
	total   credit.Amount
	leftOut []string
}

func (b *batch) read(ctx context.Context) error {
	s, err := b.c.API.Credit(ctx)
	if err != nil {
		return err
	}
	if b.cur, err = unit(s, b.o.currency); err != nil {
		return err
	}
	if b.period, err = closed(s, ""); err != nil {
		return err
	}
	b.least = credit.FromUint64(1)
	if b.o.least != "" {
		if b.least, err = credit.ParseDecimal(b.o.least, b.cur.MinorDigits); err != nil || b.least.Sign() <= 0 {
			return fault.New(fault.Invalid, "--min %s is no amount of %s above 0", fault.Quote(b.o.least), b.cur.Code)
		}
	}
	if b.o.id == "" {
		b.o.id = fmt.Sprintf("%s-%s-%s", b.period, b.cur.Code, b.o.rail)
	}
	if b.o.debtor != "" {
		text, err := auditing.ReadBounded(b.o.debtor, maxDebtor)
		if err != nil {
			return fmt.Errorf("--debtor: %w", err)
		}
		if err := json.Unmarshal(text, &b.debtor); err != nil {
			return fault.New(fault.Invalid, "--debtor %s: want an object of name, account and bic: %w", b.o.debtor, err)
		}
	} else if b.o.rail == "csv" || b.o.rail == "pain.001" {
		return fault.WithHint(fault.New(fault.Invalid, "--debtor is missing: from which account is it paid?"), "a JSON file with name, account (IBAN) and bic")
	}
	b.to, err = readDestinations(b.o.destinations)
	return err
}

// maxDebtor bounds the file that says who pays.
const maxDebtor = 64 << 10

// payable collects who gets how much.
func (b *batch) payable(ctx context.Context) error {
	var errs []error
	for after := uint64(0); ; {
		page, err := b.c.API.RunPayees(ctx, b.period, b.cur.Code, b.least, after)
		if err != nil {
			return err
		}
		for _, p := range page.Payees {
			if p.Payable.Sign() <= 0 {
				continue
			}
			to, err := b.to.of(ctx, b.c.API, p.Payee, b.o.rail, b.o.unopened)
			switch {
			case errors.Is(err, fault.NotFound):
				b.leftOut = append(b.leftOut, p.Payee)
				continue
			case err != nil:
				errs = append(errs, err)
				continue
			}
			b.lines = append(b.lines, payfile.Line{Payee: p.Payee, Amount: p.Payable, To: to})
			if b.total, err = b.total.Add(p.Payable); err != nil {
				return err
			}
		}
		if after = page.Next; after == 0 {
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(b.lines) == 0 {
		return fault.WithHint(fault.New(fault.Conflict, "nothing is payable in %s after %s to anybody with a destination (%s without one)", b.cur.Code, b.period, count(int64(len(b.leftOut)), "payee")),
			"\"cairn credit balance --party WHO\" says what somebody has; --min is %s", b.least.Decimal(b.cur.MinorDigits))
	}
	return nil
}

// render makes the rail's file, and the root of a contract that has one.
func (b *batch) render() (file []byte, root string, err error) {
	var w io.WriterTo
	sum := sha256.Sum256([]byte(b.o.id))
	if b.o.execution == "" {
		b.o.execution = b.created.AddDate(0, 0, 1).Format(time.DateOnly)
	}
	transfer := payfile.Transfer{
		MessageID: "cairn-" + hex.EncodeToString(sum[:8]), Created: b.created, Execution: b.o.execution, Debtor: b.debtor,
		Currency: b.cur.Code, MinorDigits: b.cur.MinorDigits, Remittance: b.o.remittance,
	}
	switch b.o.rail {
	case "csv":
		w, err = payfile.NewBankCSV(transfer, b.lines)
	case "pain.001":
		w, err = payfile.NewCreditTransfer(transfer, b.lines)
	case "oz-merkle":
		var t *payfile.StandardTree
		if t, err = payfile.NewStandardTree(b.lines); err == nil {
			r := t.Root()
			w, root = t, "0x"+hex.EncodeToString(r[:])
		}
	case "uniswap-merkle":
		var d *payfile.Distributor
		if d, err = payfile.NewDistributor(b.lines); err == nil {
			r := d.Root()
			w, root = d, "0x"+hex.EncodeToString(r[:])
		}
	case "splits":
		w, err = payfile.NewSplit(b.lines, 0)
	case "drips":
		var parts []payfile.Line
		if parts, err = dripsLines(b.lines); err == nil {
			w, err = payfile.NewDrips(parts)
		}
	default:
		return nil, "", fault.New(fault.Invalid, "--rail is %s, not csv, pain.001, oz-merkle, uniswap-merkle, splits or drips", fault.Quote(b.o.rail))
	}
	if err != nil {
		return nil, "", err
	}
	var out bytes.Buffer
	_, err = w.WriteTo(&out)
	return out.Bytes(), root, err
}

// dripsLines divides the contract's whole, a million, in the proportion of the
// lines.
func dripsLines(lines []payfile.Line) ([]payfile.Line, error) {
	weights := make([]credit.Weight, len(lines))
	at := make(map[string]int, len(lines))
	for i, l := range lines {
		n, ok := l.Amount.Uint64()
		if !ok {
			return nil, fault.New(fault.TooLarge, "the amount of %s is too large for drips", l.Payee)
		}
		weights[i], at[l.Payee] = credit.Weight{Key: l.Payee, Weight: n}, i
	}
	parts, err := credit.Apportion(credit.FromUint64(payfile.MaxDripsWeight), weights)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(lines)
	for _, p := range parts {
		out[at[p.Key]].Amount = p.Amount
	}
	return out, nil
}

// statement stores the public lines and makes the statement.
func (b *batch) statement(ctx context.Context, file []byte, root string) (*manifests.Payout, error) {
	public, err := payfile.NewPublicCSV(b.lines)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if _, err := public.WriteTo(&text); err != nil {
		return nil, err
	}
	run, err := b.c.API.Run(ctx, b.period, b.cur.Code)
	if err != nil {
		return nil, err
	}
	if len(run.Allocations) == 0 || !run.Allocations[0].Matches {
		return nil, fault.WithHint(fault.New(fault.Conflict, "the result of %s in %s is not published, and a payout names it", b.period, b.cur.Code),
			"cairn credit allocate --period %s --currency %s", b.period, b.cur.Code)
	}
	lines, err := b.env.storeFile(ctx, b.c, text.Bytes())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(file)
	return &manifests.Payout{
		Key: b.o.id, Allocations: []cjson.CID{run.Allocations[0].Statement}, Rail: b.o.rail, Currency: b.cur.Code, MinMinor: b.least.String(),
		Lines: cjson.CID{Cid: lines}, N: int64(len(b.lines)), TotalMinor: b.total.String(), File: hex.EncodeToString(sum[:]), Root: root,
	}, nil
}

// again writes the rail's file of a payout that is in the log: the same bytes, or
// none.
func (b *batch) again(ctx context.Context, known *wire.Payout) error {
	_, st, err := envelopeAt(ctx, b.c.API, known.Statement.Cid)
	if err != nil {
		return err
	}
	p, ok := st.Predicate.(*manifests.Payout)
	if !ok || p.Rail != b.o.rail || p.Currency != b.cur.Code {
		return fault.WithHint(fault.New(fault.Conflict, "the payout %s is in the log, by %s in %s", fault.Quote(b.o.id), known.Rail, known.Currency), "choose another --id")
	}
	lines, err := b.env.payoutLines(ctx, b.c, p)
	if err != nil {
		return err
	}
	for _, l := range lines {
		to, err := b.to.of(ctx, b.c.API, l.Payee, b.o.rail, true)
		if err != nil {
			return err
		}
		b.lines = append(b.lines, payfile.Line{Payee: l.Payee, Amount: l.AmountMinor, To: to})
	}
	if b.created, err = time.Parse(time.RFC3339, p.IssuedAt); err != nil {
		return err
	}
	if b.total, err = credit.ParseAmount(p.TotalMinor); err != nil {
		return err
	}
	out := paid{Statement: known.Statement.String(), Lines: p.Lines.String(), Root: p.Root, Unchanged: true}
	file, _, err := b.render()
	if sum := sha256.Sum256(file); err != nil || hex.EncodeToString(sum[:]) != p.File {
		return fault.WithHint(fault.New(fault.Conflict, "the payout %s is in the log (entry %d), and the file that went to the rail had other destinations or another day", fault.Quote(b.o.id), known.Index),
			"keep the file that was written then; another payout takes another --id")
	}
	tmp, err := writePrivate(b.o.out, file)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, b.o.out); err != nil {
		return err
	}
	return b.print(out)
}

func (b *batch) print(out paid) error {
	out.ID, out.Rail, out.Currency, out.File = b.o.id, b.o.rail, b.cur.Code, b.o.out
	out.N, out.Total, out.LeftOut = int64(len(b.lines)), b.total, b.leftOut
	if !b.env.json {
		for _, p := range out.LeftOut {
			b.env.warn("%s has no destination and stays unpaid", p)
		}
	}
	return b.env.print(out, func(w io.Writer) {
		if out.Unchanged {
			fmt.Fprintln(w, "in the log before; the file was written again")
		}
		fmt.Fprintf(w, "payout  %s\nid      %s\npays    %s %s to %s\nfile    %s\n", out.Statement, out.ID, out.Total.Decimal(b.cur.MinorDigits), out.Currency, count(out.N, "payee"), out.File)
		if out.Root != "" {
			fmt.Fprintf(w, "root    %s\n", out.Root)
		}
	})
}

// writePrivate writes a file beside name that only its owner reads, and returns
// where it is.
func writePrivate(name string, b []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".cairn-*.tmp") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
