package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
)

func newKeyRevoke(env *Env) *cobra.Command {
	var reason string
	var since int64
	c := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Log that a key signs no more",
		Long: `revoke logs a statement, signed by the key itself, that the key signs nothing
from the next entry on. Entries before stay as they are. It cannot be undone,
and the names that the key owns take no new versions: rotating to another key is
not built yet. Revoking again changes nothing.`,
		Example: `  cairn key revoke old-laptop --reason 'the laptop was stolen' --compromised-since 120`,
		Args:    exactly(1, "one NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return runKeyRevoke(c.Context(), env, args[0], reason, since)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "`text` for people")
	c.Flags().Int64Var(&since, "compromised-since", -1, "`index` of the log from which the key's entries are to be doubted")
	return c
}

func runKeyRevoke(ctx context.Context, env *Env, name, reason string, since int64) error {
	ring, _, err := env.keys()
	if err != nil {
		return err
	}
	signer, err := ring.Load(name, env.passphrase(name, false))
	if err != nil {
		return err
	}
	k := &manifests.Key{Identity: signer.ID(), Key: signer.ID(), Op: manifests.KeyRevoke, Reason: reason}
	if since >= 0 {
		index := uint64(since)
		k.CompromisedSince = &index
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		if e, err := revoked(ctx, c.API, signer.ID()); err != nil {
			return err
		} else if e != nil {
			return env.stated(&already{manifests.KindKey, e.Statement, e.Index, fmt.Sprintf("the key %s is revoked already, entry %d", name, e.Index), ""})
		}
		sub, err := env.state(ctx, c, k, signer)
		if err != nil {
			return err
		}
		return env.print(sub, func(w io.Writer) { fmt.Fprintf(w, "entry %d\n", sub.Index) })
	})
}
