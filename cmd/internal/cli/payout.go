package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newPayout(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "payout",
		Short: "Write the file that pays people, and record what became of it",
		Long: `cairn calculates and exports; it pays nobody. A payout is a file for a bank or a
chain, which is private, and a statement in the log with what each payee gets in
it. What is in a payout counts as paid at once, until a line is recorded as
returned.`,
	}
	group(c)
	c.AddCommand(newPayoutCreate(env), newPayoutList(env), newPayoutShow(env), newPayoutRecordResults(env))
	return c
}

// payout finds a payout by its statement or its id.
func (env *Env) payout(ctx context.Context, api *client.Client, text string) (*wire.Payout, error) {
	if id, err := cjson.ParseCID(text); err == nil {
		return api.Payout(ctx, id)
	}
	found, err := api.Payouts(ctx, text)
	if err != nil {
		return nil, err
	}
	if text == "" || len(found.Payouts) == 0 {
		return nil, fault.WithHint(fault.New(fault.NotFound, "there is no payout %s", fault.Quote(text)), "\"cairn payout list\" lists them")
	}
	return &found.Payouts[0], nil
}

// payoutLines reads all lines of a payout.
func payoutLines(ctx context.Context, api *client.Client, p *wire.Payout) ([]wire.PayoutLine, error) {
	var all []wire.PayoutLine
	for after := uint64(0); ; {
		page, err := api.PayoutLines(ctx, p.Statement.Cid, after)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Lines...)
		if after = page.Next; after == 0 {
			return all, nil
		}
	}
}

func newPayoutList(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the payouts, newest first",
		Example: `  cairn payout list`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				out, err := api.Payouts(ctx, "")
				if err != nil {
					return err
				}
				known, err := units(ctx, api)
				if err != nil {
					return err
				}
				if len(out.Payouts) == 0 {
					env.note("none")
				}
				return env.print(out, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
					for _, p := range out.Payouts {
						fmt.Fprintf(t, "%s\t%s\t%s\t%s %s\t%s\n", p.Key, p.Rail, count(p.N, "payee"), p.Total.Decimal(known[p.Currency].MinorDigits), p.Currency, p.Statement)
					}
					t.Flush()
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// A shownPayout is what "payout show" prints with --json.
type shownPayout struct {
	*wire.Payout
	Paid     int64             `json:"paid"`     // lines that were recorded as paid
	Returned int64             `json:"returned"` // as returned: they are payable again
	Open     int64             `json:"open"`     // lines of which nothing is known yet
	List     []wire.PayoutLine `json:"list"`
}

func newPayoutShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "show CID|ID",
		Short: "Show who gets what in a payout, and what became of it",
		Example: `  cairn payout show payout-2026-10
  cairn payout show bafkrei… --json`,
		Args: exactly(1, "one CID or ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runPayoutShow(ctx, env, api, args[0])
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func runPayoutShow(ctx context.Context, env *Env, api *client.Client, text string) error {
	p, err := env.payout(ctx, api, text)
	if err != nil {
		return err
	}
	out := shownPayout{Payout: p}
	if out.List, err = payoutLines(ctx, api, p); err != nil {
		return err
	}
	for _, l := range out.List {
		switch l.Status {
		case manifests.PayoutPaid:
			out.Paid++
		case manifests.PayoutReturned:
			out.Returned++
		default:
			out.Open++
		}
	}
	known, err := units(ctx, api)
	if err != nil {
		return err
	}
	digits := known[p.Currency].MinorDigits
	return env.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "payout    %s\n", p.Key)
		fmt.Fprintf(w, "rail      %s\n", p.Rail)
		fmt.Fprintf(w, "total     %s %s to %s, %s or more each\n", p.Total.Decimal(digits), p.Currency, count(p.N, "payee"), p.Min.Decimal(digits))
		fmt.Fprintf(w, "recorded  %d paid, %d returned, %d open\n", out.Paid, out.Returned, out.Open)
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, l := range out.List {
			status := l.Status
			if status == "" {
				status = "-"
			}
			fmt.Fprintf(t, "line %d\t%s\t%s\t%s\n", l.Line, l.Payee, l.Amount.Decimal(digits), status)
		}
		t.Flush()
		for _, a := range p.Allocations {
			fmt.Fprintf(w, "covers    %s\n", a)
		}
		fmt.Fprintf(w, "log       entry %d, %s\n", p.Index, p.Statement)
	})
}
