package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func newServe(env *Env) *cobra.Command {
	var listen string
	var w writeFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve this home over HTTP",
		Long: `serve answers anyone who can reach the address, reading only unless --write says who may upload: blocks, CARs and
files under /ipfs, the log under /checkpoint and /tile, questions under /v1.
The first line on standard output is the URL it listens on; requests are logged
on standard error. Files are served on loopback addresses only.

The home's other commands go on working: they talk to the server through the
home's socket, which also has /metrics. An interrupt ends it in an orderly way.`,
		Example: `  cairn serve --listen 127.0.0.1:8411
  curl --unix-socket ~/.cairn/cairn.sock http://home/metrics`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runServe(c.Context(), env, listen, &w) },
	}
	c.Flags().StringVar(&listen, "listen", "", "`address` to listen on (default: the config's, else 127.0.0.1:0)")
	w.register(c)
	return c
}

func runServe(ctx context.Context, env *Env, listen string, w *writeFlags) (err error) {
	dir, cfg, err := env.homeDir()
	if err != nil {
		return err
	}
	if !daemon.HasLog(dir) {
		return noRegistry(dir)
	}
	if listen == "" {
		listen = cfg.Listen
	}
	env.roomy()
	o := env.options(cfg)
	o.Log = env.logger(slog.LevelInfo)
	if o.Writes, err = w.writes(); err != nil {
		return err
	}
	c, err := daemon.Connect(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = joinClose(ctx, err, c) }()
	if c.Home == nil {
		return fault.New(fault.Conflict, "another server has this home open")
	}
	return c.Home.Serve(ctx, listen, func(url string) error {
		_, err := fmt.Fprintln(env.Stdout, url)
		return err
	})
}
