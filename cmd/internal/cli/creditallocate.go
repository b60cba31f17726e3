package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/payslip"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

type allocateOptions struct {
	issue
	period, currency string
	supersede        bool
}

func newCreditAllocate(env *Env) *cobra.Command {
	var o allocateOptions
	c := &cobra.Command{
		Use:   "allocate --period P --currency CODE",
		Short: "Publish what a closed period comes to",
		Long: `allocate asks the engine for the run of a closed period, shows its totals, and
logs them with the roots of its Merkle trees as allocation/v1, which operators
sign. Balances follow from the log whether or not it is published: what it adds
is a promise that everybody can hold the operators to.

Doing it again changes nothing. An allocation that is published and is not what
the run comes to is said loudly; --supersede publishes another one over it.`,
		Example: `  cairn credit allocate --period 2026-10 --currency USD
  cairn credit allocate --period 2026-10 --currency USD -o allocation.json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runCreditAllocate(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.period, "period", "", "closed `period`, such as 2026-10 (default: the last)")
	f.StringVar(&o.currency, "currency", "", "currency `code`")
	f.BoolVar(&o.supersede, "supersede", false, "publish over an allocation that is not what the run comes to")
	o.issue.register(c)
	return c
}

// An allocated is what "credit allocate" prints with --json.
type allocated struct {
	*wire.CreditRun
	Allocation string  `json:"allocation"` // the statement
	Unchanged  bool    `json:"unchanged,omitempty"`
	Issued     *issued `json:"issued,omitempty"`
}

func runCreditAllocate(ctx context.Context, env *Env, o *allocateOptions) error {
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		run, err := runOf(ctx, c.API, o.period, o.currency)
		if err != nil {
			return err
		}
		p, cur := run.Period, run.Currency
		out := allocated{CreditRun: run}
		if len(run.Allocations) > 0 {
			newest := run.Allocations[0]
			out.Allocation = newest.Statement.String()
			if newest.Matches {
				out.Unchanged = true
				env.note("published already, in entry %d", newest.Index)
				return env.printAllocated(out)
			}
			if !o.supersede {
				return fault.WithHint(fault.New(fault.Conflict, "THE PUBLISHED ALLOCATION IS WRONG: %s (entry %d) is not what the run of %s in %s comes to", newest.Statement, newest.Index, p, cur.Code),
					"\"cairn credit verify %s\" says where; --supersede publishes the right one over it", newest.Statement)
			}
		}
		signer, err := env.mine()
		if err != nil {
			return err
		}
		a, err := allocationOf(ctx, c, run)
		if err != nil {
			return err
		}
		if err := env.fresh(ctx, c.API, a); err != nil {
			return err
		}
		if out.Issued, err = env.release(ctx, c.API, manifests.New(a), signer, o.issue); err != nil {
			return err
		}
		out.Allocation = out.Issued.Statement
		if o.issue.file != "" && !env.json {
			return env.show(out.Issued)
		}
		return env.printAllocated(out)
	})
}

// allocationOf makes the statement of a run, over the log as it stands.
func allocationOf(ctx context.Context, c *daemon.Conn, run *wire.CreditRun) (*manifests.Allocation, error) {
	status, err := c.API.Status(ctx)
	if err != nil {
		return nil, err
	}
	a := &manifests.Allocation{
		Engine: run.Engine, Period: run.Period.String(), Currency: run.Currency.Code,
		Checkpoint: manifests.Anchor{Size: status.Size, Root: status.Root},
		Events:     manifests.Tree(run.Events), Nodes: manifests.Tree(run.Nodes), Payees: manifests.Tree(run.Payees),
		InFine: run.In.String(), HeldFine: run.Held.String(),
	}
	if len(run.Allocations) > 0 {
		a.Supersedes = run.Allocations[0].Statement
	}
	return a, nil
}

func (env *Env) printAllocated(a allocated) error {
	return env.print(a, func(w io.Writer) {
		fmt.Fprintf(w, "run         %s, %s, %s\n", a.Period, a.Currency.Code, a.Engine)
		fmt.Fprintf(w, "events      %d\n", a.Events.N)
		fmt.Fprintf(w, "came in     %s\n", payslip.Decimal(a.In, a.Currency))
		fmt.Fprintf(w, "held        %s\n", payslip.Decimal(a.Held, a.Currency))
		fmt.Fprintf(w, "payees      %d\n", a.Payees.N)
		fmt.Fprintf(w, "roots       events %s\n            nodes  %s\n            payees %s\n", a.Events.Root, a.Nodes.Root, a.Payees.Root)
		if a.Unchanged {
			fmt.Fprintln(w, "published   before, and it is the same")
		}
		fmt.Fprintf(w, "allocation  %s\n", a.Allocation)
	})
}
