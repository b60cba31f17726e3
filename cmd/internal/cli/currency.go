package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// isoFineDigits are the decimals in computations of every currency of ISO 4217.
	isoFineDigits = 12
	// tokenFineDigits are those that a token has beyond its own, unless it has
	// fineEnough.
	tokenFineDigits = 6
	fineEnough      = 18
)

func newCurrency(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "currency",
		Short: "Say which units of account there are",
	}
	group(c)
	c.AddCommand(newCurrencyAdd(env), newCurrencyList(env))
	return c
}

func newCurrencyAdd(env *Env) *cobra.Command {
	var o issue
	minor, fine := -1, -1
	c := &cobra.Command{
		Use:   "add CODE --minor-digits N",
		Short: "Add a unit of account, for ever",
		Long: `add logs what a currency code means: three capital letters of ISO 4217, or a
CAIP-19 asset. Minor digits are the decimals of what is invoiced and paid, fine
digits those of what is computed. An operator signs it; it is never changed.`,
		Example: `  cairn currency add SEK --minor-digits 2
  cairn currency add eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48 --minor-digits 6`,
		Args: exactly(1, "one CODE"),
		RunE: func(c *cobra.Command, args []string) error {
			unit, err := currency(args[0], minor, fine)
			if err != nil {
				return err
			}
			return env.issues(c.Context(), o, func(ctx context.Context, c *daemon.Conn, _ sign.Signer) (*manifests.Statement, error) {
				p := &manifests.CurrencyStatement{Currency: unit}
				if err := env.fresh(ctx, c.API, p); err != nil {
					return nil, err
				}
				return manifests.New(p), nil
			})
		},
	}
	c.Flags().IntVar(&minor, "minor-digits", -1, "decimals of invoices: a `number`")
	c.Flags().IntVar(&fine, "fine-digits", -1, "decimals of computations: a `number` (default: 12; 6 more than the minor digits for a token)")
	o.register(c)
	return c
}

// currency fills in the decimals of computations where they are not given.
func currency(code string, minor, fine int) (manifests.Currency, error) {
	if minor < 0 {
		return manifests.Currency{}, fault.New(fault.Invalid, "%s: how many decimals has an invoice? --minor-digits is missing", fault.Quote(code))
	}
	if fine < 0 {
		switch {
		case len(code) == 3:
			fine = isoFineDigits
		case minor < fineEnough:
			fine = minor + tokenFineDigits
		default:
			fine = minor
		}
	}
	return manifests.Currency{Code: code, MinorDigits: minor, FineDigits: fine}, nil
}

// parseCurrency reads CODE:N, as "cairn init" takes it. A CAIP-19 code has
// colons of its own.
func parseCurrency(text string) (manifests.Currency, error) {
	i := strings.LastIndexByte(text, ':')
	if i > 0 {
		if n, err := strconv.Atoi(text[i+1:]); err == nil {
			return currency(text[:i], n, -1)
		}
	}
	return manifests.Currency{}, fault.WithHint(fault.New(fault.Invalid, "--currency %s", fault.Quote(text)), "write CODE:DECIMALS, such as USD:2 or JPY:0")
}

func newCurrencyList(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the units of account",
		Example: `  cairn currency list`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				list, err := api.Currencies(ctx)
				if err != nil {
					return err
				}
				return env.print(list, func(w io.Writer) {
					for _, u := range list.Currencies {
						fmt.Fprintf(w, "%s  %d decimals, computed with %d\n", u.Code, u.MinorDigits, u.FineDigits)
					}
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// units are the units of account of a registry, by code.
func units(ctx context.Context, api *client.Client) (map[string]wire.Currency, error) {
	list, err := api.Currencies(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]wire.Currency, len(list.Currencies))
	for _, u := range list.Currencies {
		out[u.Code] = u
	}
	return out, nil
}

// minorUnits reads an amount as people write it, such as 100.07, in the minor
// units of a currency. What cannot be written exactly is refused.
func minorUnits(flag, text string, u wire.Currency) (credit.Amount, error) {
	a, err := credit.ParseDecimal(text, u.MinorDigits)
	if err != nil {
		return a, fault.WithHint(fmt.Errorf("%s: %w", flag, err), "%s has %d decimals, and amounts are never rounded", u.Code, u.MinorDigits)
	}
	if a.Sign() < 0 {
		return a, fault.WithHint(fault.New(fault.Invalid, "%s %s is below 0", flag, fault.Quote(text)), "money that went back is --kind refund or chargeback")
	}
	return a, nil
}
