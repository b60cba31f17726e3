package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func newProfile(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "profile",
		Short: "Say how your key wants to be called",
	}
	group(c)
	c.AddCommand(newProfileSet(env))
	return c
}

func newProfileSet(env *Env) *cobra.Command {
	var p manifests.Profile
	c := &cobra.Command{
		Use:   "set",
		Short: "Log a profile: handle, name, links",
		Long: `set logs a profile of the signing key. It replaces the one before, as a whole. A handle is
owned by the first key that takes it, for ever; others can then write
handle/name instead of did:key:…/name. All of it is public and stays in the log.`,
		Example: `  cairn profile set --handle ana --name 'Ana Ruiz' --orcid 0000-0002-1825-0097`,
		Args:    exactly(0, "no arguments"),
		RunE:    func(c *cobra.Command, _ []string) error { return runProfileSet(c.Context(), env, &p) },
	}
	f := c.Flags()
	f.StringVar(&p.Handle, "handle", "", "short unique `name`: a-z, 0-9 and -")
	f.StringVar(&p.Name, "name", "", "`name` for people")
	f.StringVar(&p.URL, "url", "", "`URL` of your home page")
	f.StringVar(&p.ORCID, "orcid", "", "ORCID `id` of a person")
	f.StringVar(&p.ROR, "ror", "", "ROR `id` of an organisation")
	return c
}

func runProfileSet(ctx context.Context, env *Env, p *manifests.Profile) error {
	if p.Handle == "" && p.Name == "" && p.URL == "" && p.ORCID == "" && p.ROR == "" {
		return fault.WithHint(fault.New(fault.Invalid, "a profile says nothing"), "see \"cairn profile set --help\"")
	}
	ring, cfg, err := env.keys()
	if err != nil {
		return err
	}
	signer, err := env.signer(ring, cfg)
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		p.Identity = keyring.Identity(signer)
		switch old, at, err := profileOf(ctx, c.API, p.Identity); {
		case err != nil:
			return err
		case old != nil:
			if old.Common = (manifests.Common{}); *old == *p {
				return env.stated(&already{manifests.KindProfile, at.Statement, at.Index, fmt.Sprintf("your profile says this already, entry %d", at.Index), ""})
			}
		}
		sub, err := env.state(ctx, c, p, signer)
		if err != nil {
			return err
		}
		return env.print(sub, func(w io.Writer) { fmt.Fprintf(w, "entry %d\n", sub.Index) })
	})
}
