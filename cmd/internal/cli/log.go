package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/registry/client"
)

func newLog(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Show the log's key and its checkpoint",
	}
	group(c)
	var from remoteFlags
	key := &cobra.Command{
		Use:   "key",
		Short: "Print the log's verifier key",
		Long: `key prints the verifier key of the home's log, a line of the C2SP signed-note
form. Auditors need it, from somebody they believe: it is their --policy.`,
		Example: "  cairn log key > log.vkey",
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			dir, _, err := env.homeDir()
			if err != nil {
				return err
			}
			vkey, err := daemon.VKey(dir)
			if err != nil {
				return err
			}
			return env.print(struct {
				VKey string `json:"vkey"`
			}{vkey}, func(w io.Writer) { fmt.Fprintln(w, vkey) })
		},
	}
	checkpoint := &cobra.Command{
		Use:     "checkpoint",
		Short:   "Print the log's latest signed checkpoint",
		Example: "  cairn log checkpoint > today.checkpoint",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				b, err := api.Checkpoint(ctx)
				if err != nil {
					return err
				}
				return env.print(struct {
					Checkpoint string `json:"checkpoint"`
				}{string(b)}, func(w io.Writer) { w.Write(b) })
			})
		},
	}
	from.register(checkpoint, "registry", "ask the registry at this `URL`", false)
	c.AddCommand(key, checkpoint)
	return c
}
