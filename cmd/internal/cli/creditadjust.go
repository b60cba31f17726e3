package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/payslip"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

type adjustOptions struct {
	issue
	period, currency, agreement string
}

func newCreditAdjust(env *Env) *cobra.Command {
	var o adjustOptions
	c := &cobra.Command{
		Use:   "adjust --period P --currency CODE --agreement CID",
		Short: "Let a retroactive agreement change what a closed period brought",
		Long: `adjust computes a closed run once more under a retroactive agreement that
everybody signed, and logs the differences as adjustment/v1, which operators sign.
They are posted in the open period: who got too little is credited, who got too
much debited, and what somebody then owes is made up by later credit. They sum to
zero. The statements of the closed period stay as they are.`,
		Example: `  cairn credit adjust --period 2026-10 --currency USD --agreement bafkrei…`,
		Args:    exactly(0, "no arguments"),
		RunE:    func(c *cobra.Command, _ []string) error { return runCreditAdjust(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.period, "period", "", "closed `period` whose run is adjusted (default: the last)")
	f.StringVar(&o.currency, "currency", "", "currency `code`")
	f.StringVar(&o.agreement, "agreement", "", "`CID` of the retroactive agreement")
	o.issue.register(c)
	return c
}

// An adjusted is what "credit adjust" prints with --json.
type adjusted struct {
	Period   credit.Period   `json:"period"`
	Currency credit.Currency `json:"currency"`
	*wire.Deltas
	Issued *issued `json:"issued"`
}

func runCreditAdjust(ctx context.Context, env *Env, o *adjustOptions) error {
	agreement, err := cjson.ParseCID(o.agreement)
	if err != nil {
		if o.agreement == "" {
			err = fault.New(fault.Invalid, "--agreement is missing")
		} else {
			err = fmt.Errorf("--agreement: %w", err)
		}
		return fault.WithHint(err,
			"\"cairn agree show REF\" lists those of a work")
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		run, err := runOf(ctx, c.API, o.period, o.currency)
		if err != nil {
			return err
		}
		p, cur := run.Period, run.Currency
		if len(run.Allocations) == 0 || !run.Allocations[0].Matches {
			return fault.WithHint(fault.New(fault.NotFound, "what %s comes to in %s is not published, or not rightly", p, cur.Code),
				"\"cairn credit allocate --period %s --currency %s\"", p, cur.Code)
		}
		d, err := c.API.Deltas(ctx, p, cur.Code, agreement)
		if err != nil {
			return err
		}
		if len(d.Deltas) == 0 {
			return fault.New(fault.Conflict, "the agreement changes nothing of %s in %s", p, cur.Code)
		}
		signer, err := env.mine()
		if err != nil {
			return err
		}
		a := &manifests.Adjustment{
			Allocation: run.Allocations[0].Statement, Reason: manifests.AdjustShares, Cause: cjson.CID{Cid: agreement}, Deltas: manifests.Tree(d.Tree),
		}
		if err := env.fresh(ctx, c.API, a); err != nil {
			return err
		}
		out := adjusted{Period: p, Currency: cur, Deltas: d}
		if out.Issued, err = env.release(ctx, c.API, manifests.New(a), signer, o.issue); err != nil {
			return err
		}
		if o.issue.file != "" && !env.json {
			return env.show(out.Issued)
		}
		return env.print(out, func(w io.Writer) { out.text(w) })
	})
}

func (a *adjusted) text(w io.Writer) {
	fmt.Fprintf(w, "adjusts     the run of %s in %s\n", a.Period, a.Currency.Code)
	for _, d := range a.Deltas.Deltas {
		amount, err := d.New.Sub(d.Old)
		if err != nil {
			continue // both are below 2^127: their difference is an amount
		}
		sign := "+"
		if amount.Sign() < 0 {
			sign = "−"
		}
		fmt.Fprintf(w, "%s %s  %s, instead of %s %s\n", sign, payslip.Decimal(amount.Abs(), a.Currency), payslip.Decimal(d.New, a.Currency), payslip.Decimal(d.Old, a.Currency), d.Payee)
	}
	fmt.Fprintf(w, "adjustment  %s\n", a.Issued.Statement)
}
