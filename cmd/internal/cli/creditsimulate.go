package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/payslip"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

type simulateOptions struct {
	amount, currency, settlement, terms string
	contributors, edges                 []string
	ratePpm                             int64
}

func newCreditSimulate(env *Env) *cobra.Command {
	var o simulateOptions
	c := &cobra.Command{
		Use:   "simulate --amount N --currency CODE",
		Short: "Show who would get what, before anything is logged",
		Long: `simulate divides an amount that would be earned with a work that does not exist
yet: made from the --edge works, shared by the --contributor parties. An --edge
without its ppm takes --rate-ppm or the rate of the --terms file, which answers:
what would a work with such terms get from mine? Nothing is logged.

` + refHelp,
		Example: `  cairn credit simulate --amount 100.00 --currency USD --edge weather=50000 --edge labels=120000
  cairn credit simulate --amount 100.00 --currency USD --edge weather --rate-ppm 80000 \
    --contributor ana=2 --contributor did:key:z6Mk…=1`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runCreditSimulate(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.amount, "amount", "", "net `amount` that would be earned")
	f.StringVar(&o.currency, "currency", "", "currency `code`")
	f.StringArrayVar(&o.contributors, "contributor", nil, "`'WHO=weight'` (repeatable; default: the key that signs)")
	f.StringArrayVar(&o.edges, "edge", nil, "`'REF=ppm'` of what flows on to a work (repeatable)")
	f.Int64Var(&o.ratePpm, "rate-ppm", 0, "`ppm` of an --edge that has none")
	f.StringVar(&o.terms, "terms", "", "terms `file` whose rate is that of an --edge that has none")
	f.StringVar(&o.settlement, "settlement", "gross", "`how`: gross or upstream-only")
	return c
}

// rate returns the ppm of an edge that does not say it; 0 for none.
func (o *simulateOptions) rate() (int64, error) {
	if o.terms == "" {
		return o.ratePpm, nil
	}
	if o.ratePpm != 0 {
		return 0, fault.New(fault.Invalid, "--terms and --rate-ppm: one of them is enough")
	}
	b, err := auditing.ReadBounded(o.terms, manifests.MaxYAML)
	if err != nil {
		return 0, fmt.Errorf("--terms: %w", err)
	}
	t, err := manifests.TermsFromYAML(b)
	if err != nil {
		return 0, fmt.Errorf("--terms %s: %w", o.terms, err)
	}
	rules := manifests.RulesOf(t)
	if rules == nil || rules.Payment == nil {
		return 0, fault.New(fault.Invalid, "--terms %s ask no payment", o.terms)
	}
	return rules.Payment.RatePpm, nil
}

func runCreditSimulate(ctx context.Context, env *Env, o *simulateOptions) error {
	rate, err := o.rate()
	if err != nil {
		return err
	}
	if o.amount == "" {
		return fault.New(fault.Invalid, "--amount is missing")
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		s, err := c.API.Credit(ctx)
		if err != nil {
			return err
		}
		cur, err := unit(s, o.currency)
		if err != nil {
			return err
		}
		in := wire.Simulation{Settlement: o.settlement, Currency: cur.Code}
		if in.AmountMinor, err = credit.ParseDecimal(o.amount, cur.MinorDigits); err != nil {
			return fmt.Errorf("--amount: %w", err)
		}
		if err := env.simulated(ctx, c.API, o, rate, &in); err != nil {
			return err
		}
		out, err := c.API.Simulate(ctx, in)
		if err != nil {
			return err
		}
		return env.print(out, func(w io.Writer) {
			fmt.Fprintf(w, "of %s\n", fine(out.Fine, cur))
			t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
			for _, p := range out.Shares {
				fmt.Fprintf(t, "  %s\t%s", p.Payee, payslip.Decimal(p.Amount, cur))
				if !p.Retained.IsZero() {
					fmt.Fprintf(t, "\tkeeps %s as licensee", payslip.Decimal(p.Retained, cur))
				}
				fmt.Fprintln(t)
			}
			t.Flush()
		})
	})
}

// simulated fills in the parties and edges of a simulation.
func (env *Env) simulated(ctx context.Context, api *client.Client, o *simulateOptions, rate int64, in *wire.Simulation) error {
	own, err := env.payee(ctx, api, "")
	if err != nil {
		return err
	}
	in.Publisher = own
	for _, text := range o.contributors {
		who, weight, err := pair("--contributor", text, "WHO=weight")
		if err != nil {
			return err
		}
		id, err := env.payee(ctx, api, who)
		if err != nil {
			return fmt.Errorf("--contributor: %w", err)
		}
		in.Contributors = append(in.Contributors, wire.Share{ID: id, Weight: weight})
	}
	if len(in.Contributors) == 0 {
		in.Contributors = []wire.Share{{ID: own, Weight: "1"}}
	}
	left := int64(credit.PPM)
	for _, text := range o.edges {
		ref, ppm := text, rate
		if i := strings.LastIndexByte(text, '='); i > 0 {
			if ppm, err = strconv.ParseInt(text[i+1:], 10, 32); err != nil {
				return fault.New(fault.Invalid, "--edge %s: %s is no number of parts per million", fault.Quote(text), fault.Quote(text[i+1:]))
			}
			ref = text[:i]
		}
		if ppm <= 0 {
			return fault.WithHint(fault.New(fault.Invalid, "--edge %s does not say how much", fault.Quote(text)), "write --edge '%s=50000', or --rate-ppm", text)
		}
		n, err := env.node(ctx, api, ref)
		if err != nil {
			return fmt.Errorf("--edge: %w", err)
		}
		if left -= ppm; left < 0 {
			return fault.New(fault.Invalid, "the edges take more than all of it: above %d ppm", credit.PPM)
		}
		in.Edges = append(in.Edges, wire.Edge{Statement: cjson.CID{Cid: n.Statement.Cid}, Weight: strconv.FormatInt(ppm, 10)})
	}
	if len(in.Edges) > 0 {
		in.SelfWeight = strconv.FormatInt(left, 10)
	}
	return nil
}
