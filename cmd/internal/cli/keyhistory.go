package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newKeyHistory(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "history [NAME|DID|HANDLE]",
		Short: "Print the keys of an identity, and from when to when each signs",
		Long: `history prints what a log says about the keys of an identity: yours, or that of a
key of this home, a handle, or a did:key, which may be any key of it. A key signs
the entries above the one that brought it, up to the one that replaced or revoked
it.`,
		Example: `  cairn key history
  cairn key history ana --registry https://registry.example --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				id := env.own()
				if len(args) == 1 {
					var err error
					if id, err = env.party(ctx, api, args[0]); err != nil {
						return err
					}
				}
				if id == "" {
					return fault.WithHint(fault.New(fault.NotFound, "this home has no key to ask about"), "name one")
				}
				return runKeyHistory(ctx, env, api, id)
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func runKeyHistory(ctx context.Context, env *Env, api *client.Client, id sign.KeyID) error {
	all, err := keyHistory(ctx, api, id)
	if err != nil {
		return err
	}
	return env.print(all, func(w io.Writer) {
		fmt.Fprintf(w, "identity  %s\n", all.Identity)
		for _, k := range all.Keys {
			fmt.Fprintf(w, "key       %s  %s\n", k.Key, span(k))
		}
		if all.Key == "" {
			fmt.Fprintln(w, "nobody signs for it any more")
		}
		if all.Announced != "" {
			fmt.Fprintf(w, "announced the key that follows has the SHA-256 %s\n", all.Announced)
		}
	})
}

// keyHistory returns what a registry knows of an identity, with all its key events.
func keyHistory(ctx context.Context, api *client.Client, id sign.KeyID) (*wire.Identity, error) {
	all, err := api.Identity(ctx, id)
	if err != nil {
		return nil, err
	}
	for next := all.Next; next != 0; {
		page, err := api.IdentityAfter(ctx, id, next)
		if err != nil {
			return nil, err
		}
		if page.Next != 0 && page.Next <= next {
			return nil, fault.New(fault.Unverified, "the registry's list of key events goes back from entry %d to %d", next, page.Next)
		}
		all.Events = append(all.Events, page.Events...)
		for _, k := range page.Keys {
			if !slices.ContainsFunc(all.Keys, func(have wire.Key) bool { return have.Key == k.Key }) {
				all.Keys = append(all.Keys, k)
			}
		}
		next = page.Next
	}
	all.Next = 0
	return all, nil
}

// span says from when to when a key signs.
func span(k wire.Key) string {
	text := "from the start"
	if k.From != nil {
		text = fmt.Sprintf("from entry %d", *k.From)
	}
	if k.Replaced != nil {
		text += fmt.Sprintf(", replaced at entry %d", *k.Replaced)
	}
	if k.Revoked != nil {
		text += fmt.Sprintf(", revoked at entry %d", *k.Revoked)
	}
	return text
}
