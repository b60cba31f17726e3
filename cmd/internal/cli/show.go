package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

const refHelp = `A REF is a CID (of a statement, a manifest or data), did:key:…/name[@version],
handle/name[@version], or a name[@version] of your own.`

func newShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "show REF",
		Short: "Show what is registered under a REF",
		Long:  "show prints what the log knows about a dataset. Data that several statements\nregister is shown with all of them. Of a model it prints what \"cairn model show\"\ndoes.\n\n" + refHelp,
		Example: `  cairn show seattle-weather
  cairn show ana/labels@1.2.0 --json
  cairn show weather-lm`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				res, err := env.resolve(ctx, api, args[0])
				if errors.Is(err, fault.NotFound) {
					n, err := env.node(ctx, api, args[0])
					if err != nil {
						return err
					}
					return env.showModel(ctx, api, n)
				}
				if err != nil {
					return err
				}
				return env.print(res, func(w io.Writer) {
					for i, d := range res.Datasets {
						if i > 0 {
							fmt.Fprintln(w)
						}
						describeDataset(w, d)
					}
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func describeDataset(w io.Writer, d wire.Dataset) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s"+format+"\n", append([]any{name}, args...)...)
	}
	line("name", "%s@%s", d.Name, d.Version)
	if d.Title != "" {
		line("title", "%s", fault.Printable(d.Title))
	}
	line("publisher", "%s", d.Publisher)
	if d.Withdrawn != nil {
		line("withdrawn", "by its publisher, entry %d: offered no more", *d.Withdrawn)
	}
	for _, c := range d.AfterWithdrawal {
		line("made from", "%s, which was withdrawn before", c)
	}
	if d.Erased != nil {
		line("erased", "by the operators, entry %d: what its statement says is forgotten here", *d.Erased)
	} else {
		line("licence", "%s", d.License)
	}
	line("data", "%s", d.Root)
	if d.Erased == nil {
		line("size", "%s in %s", term.Bytes(d.Bytes), term.Files(d.FileCount))
	}
	for _, c := range d.Contributors {
		signed := "signed"
		if !c.Signed {
			signed = "not signed yet"
		}
		line("contributor", "%s  %s of %s, %s", c.ID, c.Weight, d.Total, signed)
		if c.Key != "" {
			line("signed by", "%s, a key of %s", c.Key, c.ID)
		}
	}
	for _, s := range d.Sources {
		line("source", "%s %s", s.Rel, target(s))
	}
	if len(d.Keywords) > 0 {
		line("keywords", "%s", strings.Join(d.Keywords, ", "))
	}
	if d.Erased != nil {
		line("entry", "%d", d.Index)
	} else {
		line("entry", "%d, signed %s by the signer's clock", d.Index, d.IssuedAt)
	}
	line("statement", "%s", d.Statement)
	line("manifest", "%s", d.Manifest)
	line("terms", "%s", d.Terms)
	if d.Supersedes.Defined() {
		line("supersedes", "%s", d.Supersedes)
	}
}

// target is what a source names.
func target(s wire.Source) string {
	switch {
	case s.Statement.Defined():
		return s.Statement.String()
	case s.CID.Defined():
		return s.CID.String()
	}
	return fault.Printable(s.URL)
}

func newHistory(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "history NAME",
		Short: "List the versions of a dataset, newest first",
		Long:  "history lists the versions of a name: your own, or publisher/name.",
		Example: `  cairn history seattle-weather
  cairn history ana/labels --json`,
		Args: exactly(1, "one NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				res, err := env.resolve(ctx, api, args[0])
				if err != nil {
					return err
				}
				d := res.Datasets[0]
				return list(ctx, env, 0, func(after uint64, _ int) (*wire.Page, error) {
					return api.History(ctx, string(d.Publisher), d.Name, after)
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}
