package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newRevenue(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "revenue",
		Short: "Record what was earned with a dataset or model",
		Long: `A payment names the version that earned it, by its statement. What an operator
records counts at once, in the open period. What the publisher of a version
records is declared, and counts when an operator records the receipt that
settles it. The figures are exact for what is recorded; what is not, cairn
cannot see.`,
	}
	group(c)
	c.AddCommand(newRevenueRecord(env), newRevenueList(env))
	return c
}

// A payment is one payment as a person writes it, on the command line or in a
// line of a CSV file.
type payment struct {
	id, subject, period, amount, currency string
	kind, settlement, occurredAt          string
	settles, reverses                     string
	deductions                            []string
}

type revenueOptions struct {
	issue
	payment
	csv      string
	declared bool
}

func newRevenueRecord(env *Env) *cobra.Command {
	var o revenueOptions
	c := &cobra.Command{
		Use:   "record --subject REF --amount N --currency CODE --id ID",
		Short: "Record a payment, or a file of them",
		Long: `record logs a payment and prints the CID of its statement. --id is the payment's
own name, such as the invoice number of the payment provider, and unique in the
log: recording the same payment again changes nothing, and another payment under
its id is refused. (--key names the key that signs.)

Amounts are written with a decimal point and never rounded: what has more
decimals than the currency is refused. --amount is what was paid; each
--deduction is taken off before the rest is shared.

With --csv each line of a file is a payment. Its first line names the columns:
id, subject, amount, currency, and any of period, kind, settlement, occurred-at,
settles, reverses, deductions (code=amount, separated by spaces). All lines are
checked before the first is logged. After an interruption the same command goes
on where it was.

` + refHelp,
		Example: `  cairn revenue record --subject weather-lm --period 2026-10 --amount 105.07 \
    --deduction vat=5.00 --currency USD --id stripe:in_123
  cairn revenue record --kind refund --reverses stripe:in_123 --subject weather-lm \
    --amount 20.00 --currency USD --id stripe:re_9
  cairn revenue record --csv october.csv`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runRevenueRecord(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.id, "id", "", "the payment's own `name`, unique in the log")
	f.StringVar(&o.subject, "subject", "", "`REF` of the version that earned it")
	f.StringVar(&o.period, "period", "", "`period` whose shares apply (default: that of the payment it settles or reverses, else the open one)")
	f.StringVar(&o.amount, "amount", "", "gross `amount`, such as 100.07")
	f.StringVar(&o.currency, "currency", "", "currency `code`")
	f.StringVar(&o.kind, "kind", manifests.RevenueIncome, "`kind`: income, receipt, refund or chargeback")
	f.StringVar(&o.settlement, "settlement", "", "`how`: gross (all was received; the default) or upstream-only (only what flows on)")
	f.StringVar(&o.occurredAt, "occurred-at", "", "`time` of the payment, such as 2026-10-31T12:00:00Z (default: now)")
	f.StringVar(&o.settles, "settles", "", "the declared income that a receipt settles: its `CID` or id")
	f.StringVar(&o.reverses, "reverses", "", "the income that a refund or chargeback reverses: its `CID` or id")
	f.StringArrayVar(&o.deductions, "deduction", nil, "`code=amount` that is not shared, such as vat=5.00 (repeatable)")
	f.BoolVar(&o.declared, "declared", false, "declare it as the publisher, even where the key is an operator's")
	f.StringVar(&o.csv, "csv", "", "`file` with a payment a line; - is stdin")
	o.issue.register(c)
	return c
}

func runRevenueRecord(ctx context.Context, env *Env, o *revenueOptions) error {
	payments, err := o.payments(env)
	if err != nil {
		return err
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		b, err := env.book(ctx, c.API, signer, o.declared)
		if err != nil {
			return err
		}
		if o.csv != "" {
			return b.recordAll(ctx, payments)
		}
		out, err := b.record(ctx, payments[0], o.issue)
		if err != nil {
			return err
		}
		return env.show(out)
	})
}

// A book records payments at a registry.
type book struct {
	env      *Env
	api      *client.Client
	signer   sign.Signer
	declared bool // the signer speaks as the publisher
	units    map[string]wire.Currency
	calendar *wire.Calendar
	// nodes are the versions that REFs named, so that a file asks once for each.
	nodes map[string]*wire.Node
}

func (env *Env) book(ctx context.Context, api *client.Client, signer sign.Signer, declared bool) (*book, error) {
	b := &book{env: env, api: api, signer: signer, nodes: make(map[string]*wire.Node)}
	reg, err := api.Registry(ctx)
	if err != nil {
		return nil, err
	}
	b.declared = declared || !slices.Contains(reg.Operators, signer.ID())
	if b.units, err = units(ctx, api); err != nil {
		return nil, err
	}
	b.calendar, err = api.Calendar(ctx)
	return b, err
}

// record logs one payment, unless it is in the log already.
func (b *book) record(ctx context.Context, p payment, o issue) (*issued, error) {
	r, err := b.read(ctx, p)
	if err != nil {
		return nil, err
	}
	known, old, err := b.known(ctx, p.id)
	if err != nil {
		return nil, err
	}
	if known != nil {
		return b.again(p, r, known, old)
	}
	if err := b.env.fresh(ctx, b.api, r); err != nil {
		return nil, err
	}
	return b.env.release(ctx, b.api, manifests.New(r), b.signer, o)
}

// known returns the payment that has an id, and its statement.
func (b *book) known(ctx context.Context, id string) (*wire.Revenue, *manifests.Statement, error) {
	page, err := b.api.Revenue(ctx, client.About{Key: id})
	if err != nil || len(page.Revenue) == 0 {
		return nil, nil, err
	}
	_, s, err := envelopeAt(ctx, b.api, page.Revenue[0].Statement.Cid)
	return &page.Revenue[0], s, err
}

// again answers for a payment whose id is in the log: with what is there when it
// says the same. What was left to its default counts as said the same.
func (b *book) again(p payment, r *manifests.Revenue, known *wire.Revenue, s *manifests.Statement) (*issued, error) {
	old, ok := s.Predicate.(*manifests.Revenue)
	if !ok {
		return nil, fault.New(fault.Internal, "the statement %s is no payment", known.Statement)
	}
	r.Common = old.Common
	if p.occurredAt == "" {
		r.OccurredAt = old.OccurredAt
	}
	if p.period == "" {
		r.Period = old.Period
	}
	now := manifests.New(r)
	body, err := now.Body()
	if err != nil {
		return nil, err
	}
	if body != known.Body {
		return nil, fault.WithHint(fault.New(fault.Conflict, "key-taken: the payment %s is in the log and says something else (entry %d)", fault.Quote(p.id), known.Index),
			"a correction is a refund and a new payment; \"cairn statement show %s\" says what is there", known.Statement)
	}
	return &issued{Statement: known.Statement.String(), Kind: manifests.KindRevenue, Says: words(s), Index: &known.Index, Unchanged: true}, nil
}

// read makes the predicate of a payment, all problems at once. Common is missing.
func (b *book) read(ctx context.Context, p payment) (*manifests.Revenue, error) {
	r := &manifests.Revenue{Key: p.id, Type: p.kind, Settlement: p.settlement, Period: p.period, OccurredAt: p.occurredAt, Currency: p.currency}
	var errs []error
	for _, need := range []struct{ flag, value string }{{"id", p.id}, {"subject", p.subject}, {"amount", p.amount}, {"currency", p.currency}} {
		if need.value == "" {
			errs = append(errs, fault.New(fault.Invalid, "--%s is missing", need.flag))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if r.Type == "" {
		r.Type = manifests.RevenueIncome
	}
	if r.OccurredAt == "" {
		r.OccurredAt = b.env.Now().UTC().Format(time.RFC3339)
	}
	if b.declared && r.Type == manifests.RevenueIncome {
		r.Issuer = keyring.Identity(b.signer)
	}
	n, err := b.subject(ctx, p.subject)
	if err != nil {
		errs = append(errs, fmt.Errorf("--subject: %w", err))
	} else {
		r.Statement = n.Statement
	}
	errs = append(errs, b.amounts(r, p), b.relations(ctx, r, p))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if r.Settlement == "" {
		r.Settlement = manifests.SettlementGross
	}
	if r.Period == "" {
		r.Period = b.calendar.Open
	}
	return r, nil
}

func (b *book) subject(ctx context.Context, ref string) (*wire.Node, error) {
	if n := b.nodes[ref]; n != nil {
		return n, nil
	}
	n, err := b.env.node(ctx, b.api, ref)
	if err != nil {
		return nil, err
	}
	b.nodes[ref] = n
	return n, nil
}

// amounts converts the amounts, exactly or not at all.
func (b *book) amounts(r *manifests.Revenue, p payment) error {
	u, ok := b.units[p.currency]
	if !ok {
		return fault.WithHint(fault.New(fault.Invalid, "--currency %s is no unit of account here", fault.Quote(p.currency)), "\"cairn currency list\" lists them")
	}
	gross, err := minorUnits("--amount", p.amount, u)
	if err != nil {
		return err
	}
	net := gross
	for _, text := range p.deductions {
		code, value, err := pair("--deduction", text, "code=amount")
		if err != nil {
			return err
		}
		a, err := minorUnits("--deduction "+code, value, u)
		if err != nil {
			return err
		}
		if net, err = net.Sub(a); err != nil {
			return err
		}
		r.Deductions = append(r.Deductions, manifests.Deduction{Code: code, AmountMinor: a.String()})
	}
	if net.Sign() <= 0 {
		return fault.New(fault.Invalid, "--amount %s less deductions leaves %s: there is nothing to share", p.amount, net.Decimal(u.MinorDigits))
	}
	r.GrossMinor, r.NetMinor = gross.String(), net.String()
	return nil
}

// relations finds the payments that this one settles or reverses. Period and
// settlement must be theirs, and are unless something else is said.
func (b *book) relations(ctx context.Context, r *manifests.Revenue, p payment) error {
	for _, rel := range []struct {
		flag, text string
		to         *cjson.CID
	}{{"--settles", p.settles, &r.Settles}, {"--reverses", p.reverses, &r.Reverses}} {
		if rel.text == "" {
			continue
		}
		of, err := b.other(ctx, rel.text)
		if err != nil {
			return fmt.Errorf("%s: %w", rel.flag, err)
		}
		*rel.to = of.Statement
		if r.Period == "" {
			r.Period = of.Period
		}
		if r.Settlement == "" {
			r.Settlement = of.Settlement
		}
	}
	return nil
}

// other finds a payment by its statement or its id.
func (b *book) other(ctx context.Context, text string) (*wire.Revenue, error) {
	key := text
	if id, err := cjson.ParseCID(text); err == nil {
		_, s, err := envelopeAt(ctx, b.api, id)
		if err != nil {
			return nil, err
		}
		p, ok := s.Predicate.(*manifests.Revenue)
		if !ok {
			return nil, fault.New(fault.Invalid, "%s is of kind %s, not a payment", text, s.Kind)
		}
		key = p.Key
	}
	page, err := b.api.Revenue(ctx, client.About{Key: key})
	if err != nil {
		return nil, err
	}
	if len(page.Revenue) == 0 {
		return nil, fault.New(fault.NotFound, "there is no payment %s", fault.Quote(text))
	}
	return &page.Revenue[0], nil
}

func newRevenueList(env *Env) *cobra.Command {
	var from remoteFlags
	var subject, period string
	c := &cobra.Command{
		Use:   "list",
		Short: "List recorded payments",
		Long: `list prints the payments of a version, newest first, or all of them in the order of
the log. A declared one that no receipt has settled does not count yet.`,
		Example: `  cairn revenue list --subject weather-lm --period 2026-10
  cairn revenue list --json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runRevenueList(ctx, env, api, subject, period)
			})
		},
	}
	c.Flags().StringVar(&subject, "subject", "", "`REF` of the version that earned it")
	c.Flags().StringVar(&period, "period", "", "`period` whose shares apply")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func runRevenueList(ctx context.Context, env *Env, api *client.Client, subject, period string) error {
	q := client.About{Period: period, Limit: pageSize}
	if subject != "" {
		n, err := env.node(ctx, api, subject)
		if err != nil {
			return err
		}
		q.Statement = n.Statement.Cid
	}
	known, err := units(ctx, api)
	if err != nil {
		return err
	}
	out := wire.RevenuePage{Revenue: []wire.Revenue{}}
	t := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	for {
		p, err := api.Revenue(ctx, q)
		if err != nil {
			return err
		}
		if q.After == 0 && len(p.Revenue) == 0 {
			env.note("none")
		}
		out.Size = p.Size
		if env.json {
			out.Revenue = append(out.Revenue, p.Revenue...)
		}
		for _, r := range p.Revenue {
			if !env.json {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s %s\t%s\t%s\t%s\n", r.Period, r.Kind, r.Key, decimal(r.NetMinor, known[r.Currency]), r.Currency, standing(r), r.Statement, r.About)
			}
		}
		if q.After = p.Next; q.After == 0 {
			break
		}
	}
	if env.json {
		return env.print(out, nil)
	}
	return t.Flush()
}

// decimal writes minor units as people do.
func decimal(minor string, u wire.Currency) string {
	a, err := credit.ParseAmount(minor)
	if err != nil {
		return minor
	}
	return a.Decimal(u.MinorDigits)
}

// standing says in a word what a payment is by now.
func standing(r wire.Revenue) string {
	switch {
	case r.Kind == manifests.RevenueReceipt:
		return "settles"
	case r.Counted == nil:
		return "declared"
	case r.Reversed != "0" && r.Reversed != "":
		return "counted,reversed"
	}
	return "counted"
}

// columns of a file of payments, and where they go.
var columns = map[string]func(*payment, string){
	"id":          func(p *payment, s string) { p.id = s },
	"subject":     func(p *payment, s string) { p.subject = s },
	"period":      func(p *payment, s string) { p.period = s },
	"amount":      func(p *payment, s string) { p.amount = s },
	"currency":    func(p *payment, s string) { p.currency = s },
	"kind":        func(p *payment, s string) { p.kind = s },
	"settlement":  func(p *payment, s string) { p.settlement = s },
	"occurred-at": func(p *payment, s string) { p.occurredAt = s },
	"settles":     func(p *payment, s string) { p.settles = s },
	"reverses":    func(p *payment, s string) { p.reverses = s },
	"deductions":  func(p *payment, s string) { p.deductions = strings.Fields(s) },
}
