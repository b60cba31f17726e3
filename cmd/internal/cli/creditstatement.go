package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/payslip"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

type slipOptions struct {
	from                    remoteFlags
	party, period, currency string
	format, out             string
}

func newCreditStatement(env *Env) *cobra.Command {
	var o slipOptions
	c := &cobra.Command{
		Use:   "statement [--party WHO]",
		Short: "Show what a payee was credited in a period, with its proof",
		Long: `statement shows each work that brought a payee something, by which share, and
what it comes to. Before it prints anything it checks that the statement is part
of what the operators published; where nothing is published yet, it says so.

The format follows from the ending of -o: .html is one page that needs nothing
else and prints well, .md, .csv, .json; else it is text.`,
		Example: `  cairn credit statement
  cairn credit statement --party ana --period 2026-10 --currency USD -o october.html`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runCreditStatement(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.party, "party", "", "`who`: a did:key, a handle, or a key of this home (default: the key that signs)")
	f.StringVar(&o.period, "period", "", "closed `period` (default: the last)")
	f.StringVar(&o.currency, "currency", "", "currency `code` (default: the one in which the party has something)")
	f.StringVar(&o.format, "format", "", "`format`: text, md, html, csv or json")
	f.StringVarP(&o.out, "output", "o", "", "`file` to write; - is standard output")
	o.from.register(c, "registry", "ask the registry at this `URL`", true)
	return c
}

func runCreditStatement(ctx context.Context, env *Env, o *slipOptions) error {
	format, err := payslip.Format(o.format, o.out)
	if err != nil {
		return err
	}
	if env.json {
		format = payslip.JSON
	}
	return env.ask(ctx, o.from.url, func(ctx context.Context, api *client.Client) error {
		slip, err := env.slip(ctx, api, o)
		if err != nil {
			return err
		}
		w, finish, err := env.output(o.out)
		if err != nil {
			return err
		}
		return finish(slip.Write(w, format))
	})
}

// slip asks for a statement and checks it.
func (env *Env) slip(ctx context.Context, api *client.Client, o *slipOptions) (*payslip.Slip, error) {
	s, err := api.Credit(ctx)
	if err != nil {
		return nil, err
	}
	p, err := closed(s, o.period)
	if err != nil {
		return nil, err
	}
	who, err := env.payee(ctx, api, o.party)
	if err != nil {
		return nil, err
	}
	cur, answer, err := env.statementIn(ctx, api, s, p, o.currency, who)
	if err != nil {
		return nil, err
	}
	trusted, err := env.trusted(ctx, api, o.from)
	if err != nil {
		return nil, err
	}
	slip, err := payslip.New(trusted.origin, who, cur, answer)
	if err != nil {
		return nil, err
	}
	if slip.Period != p {
		return nil, fault.New(fault.Unverified, "the registry sent the statement of %s, not of %s", slip.Period, p)
	}
	if id, err := api.Identity(ctx, sign.KeyID(who)); err == nil && id.Profile != nil {
		slip.Handle = id.Profile.Handle
	}
	if len(answer.Allocations) == 0 {
		env.warn("no allocation of %s in %s is published yet: the statement is the registry's word", p, cur.Code)
		return slip, nil
	}
	a := answer.Allocations[0]
	index, published, err := trusted.allocation(ctx, a)
	if err != nil {
		return nil, err
	}
	return slip, slip.Hold(a.Statement, index, published)
}

// statementIn asks for a party's statement in a currency, or in the only one in
// which there is one.
func (env *Env) statementIn(ctx context.Context, api *client.Client, s *wire.CreditStatus, p credit.Period, code, who string) (credit.Currency, *wire.PayeeStatement, error) {
	list := s.Currencies
	if code != "" {
		c, err := unit(s, code)
		if err != nil {
			return c, nil, err
		}
		list = []credit.Currency{c}
	}
	var cur credit.Currency
	var found *wire.PayeeStatement
	for _, c := range list {
		a, err := api.PayeeStatement(ctx, p, c.Code, who)
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return cur, nil, err
		}
		if found != nil {
			return cur, nil, fault.WithHint(fault.New(fault.Invalid, "%s has statements of %s in %s and in %s", who, p, cur.Code, c.Code), "choose one with --currency")
		}
		cur, found = c, a
	}
	if found == nil {
		return cur, nil, fault.WithHint(fault.New(fault.NotFound, "%s has no statement for %s", who, p), "\"cairn credit status\" lists the periods; --party says whose")
	}
	return cur, found, nil
}

// A trusted registry is one whose log's key is believed, for reasons of the
// caller's own.
type trusted struct {
	api    *client.Client
	origin string
	policy *auditing.Policy
}

func (env *Env) trusted(ctx context.Context, api *client.Client, from remoteFlags) (*trusted, error) {
	dir, _, err := env.homeDir()
	if err != nil {
		return nil, err
	}
	status, err := api.Status(ctx)
	if err != nil {
		return nil, err
	}
	p, err := auditing.Trust{Home: dir, PolicyFile: from.policy, FirstUse: from.firstUse}.At(ctx, api)
	if err != nil {
		return nil, err
	}
	return &trusted{api, status.Origin, p}, nil
}

// allocation returns a published allocation, once its signatures and its place in
// the log are verified.
func (t *trusted) allocation(ctx context.Context, a wire.Allocation) (uint64, *manifests.Allocation, error) {
	v, err := proofOf(ctx, t.api, t.policy, a.Statement.Cid)
	if err != nil {
		return 0, nil, err
	}
	p, ok := v.Predicate().(*manifests.Allocation)
	if !v.Holds() || !ok || !v.Statement.Equals(a.Statement.Cid) {
		return 0, nil, fault.WithHint(fault.New(fault.Unverified, "the registry's proof for the allocation %s does not hold", a.Statement), "\"cairn credit verify\" says what")
	}
	return v.Index, p, nil
}

// fine names an amount with its currency.
func fine(a credit.Amount, c credit.Currency) string {
	return fmt.Sprintf("%s %s", payslip.Decimal(a, c), c.Code)
}
