package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
)

func newKeyRevoke(env *Env) *cobra.Command {
	var reason string
	var since int64
	c := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Log that a key signs no more",
		Long: `revoke logs that a key signs nothing from the next entry on. Entries before stay
as they are; --compromised-since says from where on they are to be doubted. It
cannot be undone.

The key that signs for the identity signs it. When that is the key itself, nobody
signs for the identity any more: its names take no new versions, and it can do
nothing. So rotate first ("cairn key rotate"), and revoke the key before, which is
then NAME.1 or so. Revoking again changes nothing.`,
		Example: `  cairn key revoke default.1 --reason 'the laptop was stolen' --compromised-since 120`,
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
	e, err := ring.Show(name)
	if err != nil {
		return err
	}
	newest, err := newestOf(ring, e)
	if err != nil {
		return err
	}
	signer, err := ring.Load(newest, env.passphrase(newest, false))
	if err != nil {
		return err
	}
	k := &manifests.Key{Identity: keyring.Identity(signer), Key: e.ID, Op: manifests.KeyRevoke, Reason: reason}
	if since >= 0 {
		index := uint64(since)
		k.CompromisedSince = &index
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		if e, err := revoked(ctx, c.API, k.Key); err != nil {
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

// newestOf returns the name of the key that signs for the identity that a key of the
// ring belonged to: its own, unless it was replaced.
func newestOf(ring *keyring.Ring, of keyring.Entry) (string, error) {
	all, err := ring.List()
	if err != nil {
		return "", err
	}
	for _, e := range all {
		chain, err := ring.Chain(e.Name)
		if err != nil {
			return "", err
		}
		if e.ID != of.ID && slices.Contains(chain, of.ID) {
			return e.Name, nil
		}
	}
	return of.Name, nil
}
