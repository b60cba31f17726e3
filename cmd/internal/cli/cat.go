package cli

import (
	"context"
	"fmt"
	"io"
	"path"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

func newCat(env *Env) *cobra.Command {
	var from sourceFlags
	var tar bool
	var o ingest.TarOptions
	c := &cobra.Command{
		Use:   "cat REF[/path]",
		Short: "Print a file of a dataset, or all of it as a tar stream, verified",
		Long: `cat prints one file of a dataset. Bytes are handed out a block at a time, each
hashed before it is printed.

With --tar it prints the dataset, or the folder at the path, as a tar stream:
files in canonical order, no times or owners, the same bytes for the same data
each time, and none of it on this machine's disk. --match takes only the files
whose path matches; a pattern without a slash is held against the name alone,
and ** stands for any number of folders. A stream that fails is cut off in the
middle of an entry, so that whoever reads it notices.

` + fromHelp + `

` + refHelp,
		Example: `  cairn cat seattle-weather/daily.csv | head
  cairn cat seattle-weather --tar | tar -x -C ./copy
  cairn cat bafybei… --tar --match '*.jpg' --from http://127.0.0.1:8411 | train`,
		Args: exactly(1, "one REF, perhaps with a path"),
		RunE: func(c *cobra.Command, args []string) error {
			if !tar && (len(o.Match) > 0 || c.Flags().Changed("links")) {
				return fault.New(fault.Invalid, "--match and --links belong to --tar")
			}
			if tar && env.json {
				return fault.New(fault.Invalid, "a tar stream has no JSON form: --json does not go with --tar")
			}
			return env.data(c.Context(), args[0], from, true, func(ctx context.Context, f found) error {
				if tar {
					return runTar(ctx, env, f, o)
				}
				return runCat(ctx, env, f, args[0])
			})
		},
	}
	c.Flags().BoolVar(&tar, "tar", false, "print everything as a tar stream")
	c.Flags().StringArrayVar(&o.Match, "match", nil, "with --tar, only files whose path matches this `glob` (repeatable)")
	c.Flags().StringVar(&o.Links, "links", ingest.LinksInside, "with --tar, `which` symlinks to write: inside, all or none")
	from.register(c)
	return c
}

func runCat(ctx context.Context, env *Env, f found, ref string) error {
	id, err := unixfs.Find(ctx, f.blocks, f.root, f.path)
	if err != nil {
		return err
	}
	e, err := unixfs.Stat(ctx, f.blocks, id)
	if err != nil {
		return err
	}
	if e.Kind != unixfs.File {
		return fault.WithHint(fault.New(fault.Invalid, "%s is a %s", fault.Quote(ref), e.Kind), `name a file below it, add --tar, or use "cairn get"`)
	}
	return ingest.Cat(ctx, f.blocks, id, printer{env.Stdout})
}

func runTar(ctx context.Context, env *Env, f found, o ingest.TarOptions) error {
	root, err := unixfs.Find(ctx, f.blocks, f.root, f.path)
	if err != nil {
		return err
	}
	o.Name = root.String() // of a dataset that is one file, and whose name REF does not say
	if f.path != "" {
		o.Name = path.Base(f.path)
	}
	r, err := ingest.Tar(ctx, f.blocks, root, printer{env.Stdout}, o)
	if err != nil {
		return err
	}
	for _, l := range r.LeftOut {
		env.warn("warning: symlink %s -> %s not written", fault.Printable(l.Path), fault.Printable(l.Target))
	}
	return nil
}

// A printer says in its errors what it was doing.
type printer struct{ io.Writer }

func (p printer) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if err != nil {
		err = fmt.Errorf("writing: %w", err)
	}
	return n, err
}
