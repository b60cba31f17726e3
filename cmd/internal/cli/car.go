package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/ingest/car"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func newCar(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "car",
		Short: "Write and read CAR files, the interchange format of IPFS",
	}
	group(c)
	c.AddCommand(newCarExport(env), newCarImport(env))
	return c
}

func newCarExport(env *Env) *cobra.Command {
	var from sourceFlags
	var out string
	c := &cobra.Command{
		Use:   "export REF -o FILE",
		Short: "Write the blocks of a dataset as CARv1",
		Long: `export writes all blocks of a dataset, depth first, none twice: the same bytes
for the same dataset. -o - writes to standard output.

` + fromHelp + `

` + refHelp,
		Example: `  cairn car export seattle-weather -o weather.car
  cairn car export bafybei… -o - | ipfs dag import`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return fault.New(fault.Invalid, "where to? -o FILE is missing; - is standard output")
			}
			return env.data(c.Context(), args[0], from, false, func(ctx context.Context, f found) error {
				return runExport(ctx, env, f, out)
			})
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`file` to write; - is standard output")
	from.register(c)
	return c
}

func runExport(ctx context.Context, env *Env, f found, out string) error {
	w, finish, err := env.output(out)
	if err != nil {
		return err
	}
	bar := env.bar("exporting")
	var s car.Stats
	if file, ok := w.(*os.File); ok && out != "-" {
		s, err = car.ExportFile(ctx, f.blocks, f.root, file, carBar(bar))
	} else {
		s, err = car.Export(ctx, f.blocks, f.root, w, carBar(bar))
	}
	bar.Done()
	if err := finish(err); err != nil {
		return err
	}
	if out == "-" {
		return nil
	}
	return env.print(carResult{f.root.String(), s, f.accepted}, func(w io.Writer) { fmt.Fprintln(w, f.root) })
}

type carResult struct {
	Root string `json:"root"`
	car.Stats
	Accepted *agreed `json:"accepted,omitempty"`
}

// carBar returns a progress callback that draws bar, or nil.
func carBar(bar *term.Bar) func(car.Stats) {
	if bar == nil {
		return nil
	}
	return func(s car.Stats) { bar.Update(s.Bytes, 0, 0) }
}

func newCarImport(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Take the blocks of a CAR file into the home",
		Long: `import reads CARv1, or CARv2 from a file, hashes every block, stores them, and
prints the root once everything below it is there. - reads standard input.
Nothing is registered: "cairn add" does that.`,
		Example: `  cairn car import weather.car
  curl -s 'http://127.0.0.1:8411/ipfs/bafybei…?format=car' | cairn car import -`,
		Args: exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error { return runImport(c.Context(), env, args[0]) },
	}
}

func runImport(ctx context.Context, env *Env, name string) error {
	dir, cfg, err := env.homeDir()
	if err != nil {
		return err
	}
	var f *os.File
	if name != "-" {
		if f, err = os.Open(name); err != nil {
			return err
		}
		defer f.Close()
	}
	return env.connect(ctx, dir, cfg, func(ctx context.Context, c *daemon.Conn) error {
		sink, err := openSink(ctx, c, cid.Undef)
		if err != nil {
			return err
		}
		defer sink.Close()
		b, err := sink.Batch(ctx)
		if err != nil {
			return err
		}
		defer b.Close()
		bar := env.bar("importing")
		var root cid.Cid
		var s car.Stats
		if f == nil {
			root, s, err = car.Import(ctx, env.Stdin, b, carBar(bar))
		} else {
			info, serr := f.Stat()
			if serr != nil {
				return serr
			}
			root, s, err = car.ImportFile(ctx, f, info.Size(), b, carBar(bar))
		}
		bar.Done()
		if err != nil {
			return err
		}
		if err := b.Commit(ctx); err != nil {
			return err
		}
		if err := sink.Finish(ctx); err != nil {
			return err
		}
		if !root.Defined() {
			return env.print(carResult{"", s, nil}, func(io.Writer) { env.note("%s blocks; the file names no root", term.Count(s.Blocks)) })
		}
		if err := car.Complete(ctx, c.Blocks, root); err != nil {
			return fault.WithHint(fmt.Errorf("the CAR is not complete: %w", err), "the blocks that came are kept; import the rest")
		}
		return env.print(carResult{root.String(), s, nil}, func(w io.Writer) { fmt.Fprintln(w, root) })
	})
}
