package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func newCreditJournal(env *Env) *cobra.Command {
	var format, currency, out string
	c := &cobra.Command{
		Use:   "journal --format FORMAT --currency CODE",
		Short: "Write the books for a double-entry program to check",
		Long: `journal writes the double entries of all closed periods as a complete journal:
each payment, how it was divided, what was held, what was paid. Programs that
know nothing of cairn then check that every entry sums to zero.`,
		Example: `  cairn credit journal --format hledger --currency USD -o usd.journal && hledger -f usd.journal check --strict
  cairn credit journal --format beancount --currency USD -o usd.beancount && bean-check usd.beancount`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if currency == "" {
				return fault.New(fault.Invalid, "--currency is missing")
			}
			env.roomy()
			return env.withHome(c.Context(), func(ctx context.Context, conn *daemon.Conn) error {
				w, finish, err := env.output(out)
				if err != nil {
					return err
				}
				return finish(conn.API.Journal(ctx, currency, format, w))
			})
		},
	}
	c.Flags().StringVar(&format, "format", "hledger", "`program`: hledger, beancount or ledger")
	c.Flags().StringVar(&currency, "currency", "", "currency `code`")
	c.Flags().StringVarP(&out, "output", "o", "", "`file` to write; - is standard output")
	return c
}
