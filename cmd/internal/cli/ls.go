package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newLs(env *Env) *cobra.Command {
	var q client.Query
	var from remoteFlags
	var contributor, publisher string
	var all bool
	c := &cobra.Command{
		Use:   "ls",
		Short: "List datasets, newest first",
		Long: `ls lists the newest version of each dataset, or all of them with --all. The
flags select; several must all hold.`,
		Example: `  cairn ls --license CC-BY-4.0 --keyword weather
  cairn ls --contributor did:key:z6Mk… --all --json
  cairn ls --source https://example.org/iris`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			q.Contributor, q.Publisher, q.Latest = sign.KeyID(contributor), sign.KeyID(publisher), !all
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return list(ctx, env, q.Limit, func(after uint64, limit int) (*wire.Page, error) {
					q.After, q.Limit = after, limit
					return api.Datasets(ctx, q)
				})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&q.License, "license", "", "SPDX `id` in the licence, or the whole expression")
	f.StringVar(&contributor, "contributor", "", "contributor's `did:key` or handle")
	f.StringVar(&publisher, "publisher", "", "publisher's `did:key` or handle")
	f.StringVar(&q.Keyword, "keyword", "", "`keyword`, or a word of one")
	f.StringVar(&q.Name, "name", "", "`name` of the dataset")
	f.StringVar(&q.Source, "source", "", "what it comes from: a `URL` or CID")
	f.StringVar(&q.Root, "root", "", "`CID` of the data")
	f.BoolVar(&all, "all", false, "all versions, not only the newest")
	f.IntVar(&q.Limit, "limit", 0, "at most this `many` (default: all)")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// pageSize is how many datasets are asked for at once.
const pageSize = 500

// list prints pages of datasets as they come.
func list(ctx context.Context, env *Env, limit int, page func(after uint64, limit int) (*wire.Page, error)) error {
	if limit < 0 {
		return fault.New(fault.Invalid, "--limit is below 0")
	}
	out := wire.Page{Datasets: []wire.Dataset{}}
	t := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	shown := 0
	for {
		ask := pageSize
		if limit > 0 {
			ask = min(ask, limit-shown)
		}
		p, err := page(out.Next, ask)
		if err != nil {
			return err
		}
		shown += len(p.Datasets)
		out.Size, out.Next = p.Size, p.Next
		if env.json {
			out.Datasets = append(out.Datasets, p.Datasets...)
		} else {
			for _, d := range p.Datasets {
				row(t, d)
			}
		}
		if p.Next == 0 || limit > 0 && shown >= limit {
			break
		}
	}
	if env.json {
		return env.print(out, nil)
	}
	if shown == 0 {
		env.note("none")
	}
	return t.Flush()
}

func row(t io.Writer, d wire.Dataset) {
	mark := ""
	switch {
	case d.Erased != nil:
		mark = "\terased"
	case d.Withdrawn != nil:
		mark = "\twithdrawn"
	}
	fmt.Fprintf(t, "%s@%s\t%s\t%s\t%s\t%s\t%s%s\n", d.Name, d.Version, d.License, term.Bytes(d.Bytes), term.Files(d.FileCount), d.Root, d.Publisher, mark)
}
