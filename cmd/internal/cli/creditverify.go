package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/creditaudit"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/audit"
)

type verifyOptions struct {
	from                  remoteFlags
	period, currency, out string
	all                   bool
}

func newCreditVerify(env *Env) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [ALLOCATION | --period P --currency CODE | --all]",
		Short: "Compute all credit again from the log, and compare",
		Long: `verify believes nothing. It verifies the log's signed checkpoint under your own
policy, recomputes the log from its entry bundles, fetches every statement by its
hash, judges every entry again, runs the engine, and compares what comes out with
what the operators published: allocations field by field, each line of each
payout with what was payable then, adjustments.

Without an argument it checks everything. A registry elsewhere is not trusted: its
key must be in --policy or in this home's trust/.

Exit status: 0 it holds, 3 it does not hold; any other: it could not be checked.`,
		Example: `  cairn credit verify
  cairn credit verify --period 2026-10 --currency USD
  cairn credit verify --registry https://registry.example --policy log.vkey -o report.json`,
		Args: atMost(1, "at most one ALLOCATION"),
		RunE: func(c *cobra.Command, args []string) error { return runCreditVerify(c.Context(), env, &o, args) },
	}
	f := c.Flags()
	f.StringVar(&o.period, "period", "", "only allocations of this `period`")
	f.StringVar(&o.currency, "currency", "", "only allocations in this currency `code`")
	f.BoolVar(&o.all, "all", false, "everything that was published (the default)")
	f.StringVarP(&o.out, "output", "o", "", "`file` for the report, as JSON")
	o.from.register(c, "registry", "check the registry at this `URL`", true)
	return c
}

func runCreditVerify(ctx context.Context, env *Env, o *verifyOptions, args []string) error {
	opts := creditaudit.Options{Period: o.period, Currency: o.currency}
	if (len(args) > 0 || o.all) && (o.period != "" || o.currency != "") || len(args) > 0 && o.all {
		return fault.New(fault.Invalid, "an ALLOCATION, --period and --currency, or --all: one of them")
	}
	if len(args) > 0 {
		c, err := statementCID("ALLOCATION", args[0])
		if err != nil {
			return err
		}
		opts.Allocation = c.Cid
	}
	env.roomy()
	check := func(ctx context.Context, src auditing.Source) error { return env.verifyCredit(ctx, src, opts, o) }
	if o.from.url != "" {
		if err := validURL("--registry", o.from.url); err != nil {
			return err
		}
		src, err := auditing.Remote(o.from.url, nil)
		if err != nil {
			return err
		}
		return check(ctx, src)
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		return check(ctx, auditing.Source{Client: c.API, Blocks: unixfs.Blocks(c.Blocks)})
	})
}

func (env *Env) verifyCredit(ctx context.Context, src auditing.Source, opts creditaudit.Options, o *verifyOptions) error {
	dir, _, err := env.homeDir()
	if err != nil {
		return err
	}
	p, err := auditing.Trust{Home: dir, PolicyFile: o.from.policy, FirstUse: o.from.firstUse}.At(ctx, src.Client)
	if err != nil {
		return err
	}
	opts.Policy, opts.Trust, opts.Since = p.Policy, p.From, p.Seen
	bar := env.counter("replaying", "entries")
	if bar != nil {
		opts.Entries = func(done, total uint64) { bar.Update(int64(done), int64(total), 0) }
	}
	r, err := creditaudit.Check(ctx, src, opts)
	bar.Done()
	if err != nil {
		return err
	}
	if err := p.Saw(r.Origin, r.Latest); err != nil {
		return err
	}
	if err := auditing.Print(env.Stdout, r, env.json, o.out); err != nil {
		return err
	}
	env.shown = r.Result == audit.DoesNotHold
	return r.Err()
}
