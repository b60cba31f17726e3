package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

func newGet(env *Env) *cobra.Command {
	from := sourceFlags{record: new(recording)}
	var out, links string
	c := &cobra.Command{
		Use:   "get REF -o PATH",
		Short: "Fetch a dataset, every byte verified",
		Long: `get writes a dataset to PATH: a file, or a folder. Every block is hashed on the
way. A file appears under its name only when it is whole. After an interruption
the same command goes on; what is there is compared, not believed, and not
fetched again.

` + fromHelp + `

` + recordHelp + `

Symlinks are written last, and only those that stay inside PATH.

` + refHelp,
		Example: `  cairn get seattle-weather -o ./weather
  cairn get bafybei… --from http://127.0.0.1:8411 -o ./weather
  cairn get bafybei… --from https://one.example --from https://two.example -o ./weather
  cairn get ana/interviews --from https://registry.example --policy registry.vkey --accept -o ./interviews
  cairn get seattle-weather --from http://127.0.0.1:8411 --fetch-record weather.fetch.json -o ./weather
  cairn get bafybei… --p2p --peer /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW… -o ./weather`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return fault.WithHint(fault.New(fault.Invalid, "where to? -o PATH is missing"), "cairn get %s -o ./data", args[0])
			}
			return env.data(c.Context(), args[0], from, true, func(ctx context.Context, f found) error {
				return runGet(ctx, env, f, out, links, from.record)
			})
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`path` to write to")
	c.Flags().StringVar(&links, "links", ingest.LinksInside, "`which` symlinks to write: inside, all or none")
	from.register(c)
	from.record.register(c)
	return c
}

func runGet(ctx context.Context, env *Env, f found, out, links string, record *recording) error {
	switch links {
	case ingest.LinksInside, ingest.LinksAll, ingest.LinksNone:
	default:
		return fault.New(fault.Invalid, "--links is %s, not inside, all or none", fault.Quote(links))
	}
	root := f.root
	if f.path != "" {
		var err error
		if root, err = unixfs.Find(ctx, f.blocks, f.root, f.path); err != nil {
			return err
		}
	}
	bar := env.bar("fetching")
	o := ingest.GetOptions{Links: links}
	if bar != nil {
		o.Progress = func(p ingest.Progress) {
			bar.Update(p.Bytes, p.TotalBytes, p.Files)
			bar.Note(perSource(f.reports()))
		}
	}
	r, err := ingest.Get(ctx, f.blocks, root, out, o)
	bar.Done()
	if err != nil {
		return err
	}
	for _, l := range r.LeftOut {
		if !env.json {
			env.warn("warning: symlink %s -> %s not written", fault.Printable(l.Path), fault.Printable(l.Target))
		}
	}
	env.note("%s in %s, verified", term.Bytes(r.Bytes), term.Files(r.Files))
	if sources := perSource(f.reports()); sources != "" {
		env.note("%s", sources)
	}
	done, err := record.end(ctx, env)
	if err != nil {
		return err
	}
	if !env.json {
		return nil
	}
	return env.print(struct {
		Root string `json:"root"`
		Path string `json:"path"`
		*ingest.GetResult
		Sources  []remote.Report `json:"sources,omitempty"`
		Accepted *agreed         `json:"accepted,omitempty"`
		Record   *fetchRecorded  `json:"fetchRecord,omitempty"`
	}{root.String(), out, r, f.reports(), f.accepted, done}, nil)
}
