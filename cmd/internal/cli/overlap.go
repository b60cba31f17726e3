package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newOverlap(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "overlap REF [REF]",
		Short: "What a dataset shares with earlier ones, or with one other",
		Long: `overlap compares the records of a dataset, whatever their order, format and field
names, and its content-defined chunks, with those of the datasets that were
registered before it; with two REFs, with that one. Shares are estimates: behind
each stands its standard error, in points.

A share of one percent or more with an earlier dataset that no lineage, edge or
version leads to is the finding overlap-undeclared. It says what is the same, not
who made it first, and holds no money: it is where a dispute may begin.

Datasets that were added with --no-sketch are not compared.`,
		Example: `  cairn overlap labels
  cairn overlap did:key:z6Mk…/corpus@2.0.0 weather --json`,
		Args: between(1, 2, "one REF or two"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runOverlap(ctx, env, api, args)
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func runOverlap(ctx context.Context, env *Env, api *client.Client, refs []string) error {
	var ids [2]cid.Cid
	for i, ref := range refs {
		d, err := env.one(ctx, api, ref)
		if err != nil {
			return err
		}
		ids[i] = d.Statement.Cid
	}
	work, end := env.stages(ctx)
	o, err := api.Overlap(work, ids[0], ids[1])
	end()
	if err != nil {
		return err
	}
	return env.print(o, func(w io.Writer) {
		if o.Records == nil && o.Chunks == nil {
			fmt.Fprintf(w, "%s@%s has neither sketch nor fingerprint: not compared\n", o.Dataset.Name, o.Dataset.Version)
			return
		}
		for _, m := range o.Matches {
			fmt.Fprintf(w, "%s@%s  records %s  chunks %s", m.Name, m.Version, percent(m.Records), percent(m.Chunks))
			switch {
			case m.Finding != "":
				fmt.Fprintf(w, "  %s", m.Finding)
			case m.Declared != "":
				fmt.Fprintf(w, "  declared: %s", m.Declared)
			}
			fmt.Fprintf(w, "  %s\n", m.Statement)
		}
		if len(o.Matches) == 0 {
			fmt.Fprintf(w, "%s@%s shares nothing with an earlier dataset\n", o.Dataset.Name, o.Dataset.Version)
		}
	})
}

func percent(s *wire.OverlapShare) string {
	if s == nil {
		return "not compared"
	}
	return fmt.Sprintf("%.1f %% ± %.1f", float64(s.SharePpm)/1e4, float64(s.StdErrPpm)/1e4)
}

func rebuildOverlap(ctx context.Context, env *Env, h *daemon.Home) error {
	work, end := env.stages(ctx)
	n, err := h.RebuildOverlap(work)
	end()
	if err != nil {
		return err
	}
	out := struct {
		Datasets int `json:"datasets"` // that have something to compare
	}{n}
	return env.print(out, func(w io.Writer) { fmt.Fprintf(w, "datasets  %d\n", out.Datasets) })
}
