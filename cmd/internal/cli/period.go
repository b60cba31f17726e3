package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
)

func newPeriod(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "period",
		Short: "Close the month that is open, and open the next",
		Long: `Revenue counts in the period that is open when it is logged. A period is a month,
YYYY-MM, and the operators close it. Agreements, disputes and payment details
take effect with the next one.`,
	}
	group(c)
	c.AddCommand(newPeriodClose(env), newPeriodShow(env))
	return c
}

func newPeriodClose(env *Env) *cobra.Command {
	var o issue
	c := &cobra.Command{
		Use:   "close [PERIOD]",
		Short: "Close the open period",
		Long: `close closes the open period. Name it to be sure which one that is: another one is
refused. A closed period is never opened again.`,
		Example: `  cairn period close 2026-11`,
		Args:    atMost(1, "at most one PERIOD"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.issues(c.Context(), o, func(ctx context.Context, c *daemon.Conn, _ sign.Signer) (*manifests.Statement, error) {
				cal, err := c.API.Calendar(ctx)
				if err != nil {
					return nil, err
				}
				if len(args) == 1 && args[0] != cal.Open {
					return nil, fault.WithHint(fault.New(fault.Conflict, "the open period is %s, not %s", cal.Open, fault.Quote(args[0])), "periods are closed one after the other")
				}
				if cal.Open > env.Now().UTC().Format("2006-01") {
					env.warn("warning: the month %s has not begun", cal.Open)
				}
				p := &manifests.PeriodStatement{Closes: cal.Open}
				if err := env.fresh(ctx, c.API, p); err != nil {
					return nil, err
				}
				return manifests.New(p), nil
			})
		},
	}
	o.register(c)
	return c
}

func newPeriodShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:     "show",
		Short:   "Show which period is open, and those before",
		Example: `  cairn period show`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				cal, err := api.Calendar(ctx)
				if err != nil {
					return err
				}
				return env.print(cal, func(w io.Writer) {
					for _, p := range cal.Periods {
						if p.Closed == nil {
							fmt.Fprintf(w, "%s  open since entry %d\n", p.Period, p.Opened)
						} else {
							fmt.Fprintf(w, "%s  closed by entry %d\n", p.Period, *p.Closed)
						}
					}
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}
