package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/payslip"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newCreditExplain(env *Env) *cobra.Command {
	var from remoteFlags
	var party, event string
	c := &cobra.Command{
		Use:   "explain --event ID|CID [--party WHO]",
		Short: "Show how the money of a payment reached a party",
		Long: `explain follows one payment through the works that it passed on its way to a
party, with the integers at each: what came in, what flowed on and by which
weight, what the work kept, and the party's share of it. The payment is named by
its id or its statement.

A run adds payments up before it divides, so its lines can differ from the sum of
explanations by a few units in the last of all decimals.`,
		Example: `  cairn credit explain --event stripe:in_123 --party ana`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if event == "" {
				return fault.WithHint(fault.New(fault.Invalid, "--event is missing"), "\"cairn revenue list\" lists the payments")
			}
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runCreditExplain(ctx, env, api, party, event)
			})
		},
	}
	c.Flags().StringVar(&party, "party", "", "`who`: a did:key, a handle, or a key of this home (default: the key that signs)")
	c.Flags().StringVar(&event, "event", "", "the payment: its `id` or the CID of its statement")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// eventOf finds a payment by its statement or its id.
func eventOf(ctx context.Context, api *client.Client, text string) (cid.Cid, error) {
	if id, err := cjson.ParseCID(text); err == nil {
		return id, nil
	}
	page, err := api.Revenue(ctx, client.About{Key: text})
	if err != nil {
		return cid.Undef, err
	}
	if len(page.Revenue) == 0 {
		return cid.Undef, fault.WithHint(fault.New(fault.NotFound, "there is no payment %s", fault.Quote(text)), "\"cairn revenue list\" lists them")
	}
	return page.Revenue[0].Statement.Cid, nil
}

func runCreditExplain(ctx context.Context, env *Env, api *client.Client, party, event string) error {
	who, err := env.payee(ctx, api, party)
	if err != nil {
		return err
	}
	id, err := eventOf(ctx, api, event)
	if err != nil {
		return err
	}
	x, err := api.Explain(ctx, who, id, 0)
	if err != nil {
		return err
	}
	for x.Next != 0 {
		more, err := api.Explain(ctx, who, id, x.Next)
		if err != nil {
			return err
		}
		x.Hops, x.Next = append(x.Hops, more.Hops...), more.Next
	}
	return env.print(x, func(w io.Writer) { printExplanation(w, x) })
}

// printExplanation writes the hops, each work below those that lead to it.
func printExplanation(w io.Writer, x *wire.Explanation) {
	c := x.Currency
	fmt.Fprintf(w, "%s came in with %s\n", fine(x.Fine, c), x.Event)
	fmt.Fprintf(w, "%s of it are for %s\n", fine(x.Amount, c), x.Party)
	names, depth := make(map[string]string), make(map[string]int)
	for _, h := range x.Hops {
		names[h.Statement] = h.Name
		for _, e := range h.Edges {
			depth[e.Statement] = max(depth[e.Statement], depth[h.Statement]+1)
		}
	}
	for _, h := range x.Hops {
		indent := fmt.Sprintf("%*s", 2*depth[h.Statement], "")
		fmt.Fprintf(w, "\n%s%s  %s\n", indent, h.Name, h.Statement)
		line := func(label, format string, args ...any) {
			fmt.Fprintf(w, "%s  %-8s "+format+"\n", append([]any{indent, label}, args...)...)
		}
		line("in", "%s", payslip.Decimal(h.Inflow, c))
		for _, e := range h.Edges {
			share := e.Weight + " of " + e.Total
			if e.Weight == "0" {
				share = "as its pool"
			}
			line("on", "%s to %s, %s", payslip.Decimal(e.Amount, c), names[e.Statement], share)
		}
		line("kept", "%s", payslip.Decimal(h.Kept, c))
		if h.Weight != "" {
			note := ""
			if h.Retained {
				note = ", which stays with the licensee"
			}
			line("yours", "%s, %s of %s%s", payslip.Decimal(h.Amount, c), h.Weight, h.Total, note)
		}
	}
}
