package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/lineage"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newLineage(env *Env) *cobra.Command {
	var from remoteFlags
	var depth int
	var format, direction string
	c := &cobra.Command{
		Use:   "lineage REF",
		Short: "Show what a version comes from, and what comes from it",
		Long: `lineage prints the graph around a dataset or model: its sources, registered and
external, what was run to make it, the training runs, and what is made from it.
What is withdrawn, erased, disputed or flagged is marked, and so is everything
that comes from it.

The format is text, dot (Graphviz), mermaid, prov (PROV-JSON, for provenance
tools) or json; --json is the same as --format json.

` + refHelp,
		Example: `  cairn lineage labels
  cairn lineage ana/labels --depth 5 --direction up --format dot | dot -Tsvg > labels.svg
  cairn lineage labels --format prov > labels.prov.json`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			draw, err := drawer(format)
			if err != nil {
				return err
			}
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				n, err := env.node(ctx, api, args[0])
				if err != nil {
					return err
				}
				g, err := api.Graph(ctx, n.Statement.Cid, direction, depth)
				if err != nil {
					return err
				}
				if g.Truncated {
					env.note("there is more than one answer holds: ask for less depth, or for one direction")
				}
				if env.json || draw == nil {
					json := *env
					json.json = true
					return json.print(g, nil)
				}
				return draw(&g.Graph, env.Stdout)
			})
		},
	}
	f := c.Flags()
	f.IntVar(&depth, "depth", 3, "how many `steps` to go")
	f.StringVar(&direction, "direction", lineage.Both, "`way`: up (what it comes from), down or both")
	f.StringVar(&format, "format", "text", "`format`: text, dot, mermaid, prov or json")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// drawer returns how a graph is written; nil for json.
func drawer(format string) (func(*lineage.Graph, io.Writer) error, error) {
	switch format {
	case "text":
		return (*lineage.Graph).Text, nil
	case "dot":
		return (*lineage.Graph).DOT, nil
	case "mermaid":
		return (*lineage.Graph).Mermaid, nil
	case "prov":
		return (*lineage.Graph).PROV, nil
	case "json":
		return nil, nil
	}
	return nil, fault.New(fault.Invalid, "the format is text, dot, mermaid, prov or json, not %s", fault.Quote(format))
}

func newImpact(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "impact REF",
		Short: "List all that is made from a version: datasets, models, runs",
		Long: `impact prints everything registered that comes from a version, at any distance:
what has to be looked at when it is withdrawn, disputed or found wrong, with how
many steps away it is. Only what is declared and logged is known.

` + refHelp,
		Example: `  cairn impact labels
  cairn impact ana/labels --json`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				n, err := env.node(ctx, api, args[0])
				if err != nil {
					return err
				}
				out, err := api.Impact(ctx, n.Statement.Cid)
				if err != nil {
					return err
				}
				return env.print(out, func(w io.Writer) { printImpact(w, out) })
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func printImpact(w io.Writer, out *wire.Impact) {
	v := out.Version
	fmt.Fprintf(w, "%s  %s%s\n", fault.Printable(v.Label()), v.Statement, flagText(v.Flags))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, list := range []struct {
		what  string
		nodes []lineage.Node
	}{{"dataset", out.Derived}, {"model", out.Models}, {"run", out.Usages}} {
		for _, n := range list.nodes {
			fmt.Fprintf(t, "  %s\t%d\t%s\t%s%s\n", list.what, n.Distance, fault.Printable(n.Label()), n.Statement, flagText(n.Flags))
		}
	}
	t.Flush()
	switch {
	case out.Truncated:
		fmt.Fprintln(w, "  … and more")
	case len(out.Derived)+len(out.Models)+len(out.Usages) == 0:
		fmt.Fprintln(w, "  nothing registered comes from it")
	}
}

func flagText(f lineage.Flags) string {
	s := ""
	for i, word := range f.Words() {
		if i == 0 {
			s = "  ["
		} else {
			s += ", "
		}
		s += word
	}
	if s != "" {
		s += "]"
	}
	return s
}
