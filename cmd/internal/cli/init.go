package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// firstCurrencies are the units of account of a new registry. The operators
// add others by a later statement.
var firstCurrencies = []manifests.Currency{
	{Code: "CHF", FineDigits: 12, MinorDigits: 2},
	{Code: "EUR", FineDigits: 12, MinorDigits: 2},
	{Code: "GBP", FineDigits: 12, MinorDigits: 2},
	{Code: "JPY", FineDigits: 12, MinorDigits: 0},
	{Code: "USD", FineDigits: 12, MinorDigits: 2},
}

func newInit(env *Env) *cobra.Command {
	var origin string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a home: a key, a log, an empty registry",
		Long: `init makes the home folder with a key to sign with, a log key, and a log whose
entry 0 says who operates it: the home's own key. Doing it again changes
nothing. The first "cairn add" in an empty home does the same.

The origin names the log for ever. The default is unique and made from the log
key; a registry for others takes a name of its own, without scheme.`,
		Example: `  cairn init
  cairn init --origin registry.example/log`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runInit(c.Context(), env, origin) },
	}
	c.Flags().StringVar(&origin, "origin", "", "`name` of the log (default: cairn.invalid/ and a hash of the log key)")
	return c
}

func runInit(ctx context.Context, env *Env, origin string) error {
	ring, cfg, err := env.keys()
	if err != nil {
		return err
	}
	if err := ensureKey(env, ring, cfg); err != nil {
		return err
	}
	signer, err := env.signer(ring, cfg)
	if err != nil {
		return err
	}
	dir, _, err := env.homeDir()
	if err != nil {
		return err
	}
	return env.connect(ctx, dir, cfg, func(ctx context.Context, c *daemon.Conn) error {
		if c.Home == nil {
			if status, err := c.API.Status(ctx); err != nil || origin == "" || origin == status.Origin {
				return err
			}
			return fault.New(fault.Conflict, "this home's log has another origin, and an origin cannot be changed")
		}
		if err := createRegistry(ctx, env, c.Home, origin, signer); err != nil {
			return err
		}
		status, err := c.API.Status(ctx)
		if err != nil {
			return err
		}
		out := struct {
			Home   string     `json:"home"`
			Origin string     `json:"origin"`
			VKey   string     `json:"vkey"`
			Key    sign.KeyID `json:"key"`
			Size   uint64     `json:"size"`
		}{dir, status.Origin, status.VKey, signer.ID(), status.Size}
		return env.print(out, func(w io.Writer) {
			fmt.Fprintf(w, "home    %s\norigin  %s\nvkey    %s\nkey     %s\n", out.Home, out.Origin, out.VKey, out.Key)
		})
	})
}

// ensureKey makes the signing key when the home has no key at all. It never
// makes one when another name was asked for: that is a mistake to be told.
func ensureKey(env *Env, ring *keyring.Ring, cfg config.Config) error {
	keys, err := ring.List()
	if err != nil {
		return err
	}
	name := env.keyName(cfg)
	if len(keys) > 0 || name != config.Default().Key {
		return nil
	}
	if _, err := ring.Create(name, keyring.Ed25519, nil); err != nil && !errors.Is(err, fault.Conflict) {
		return fmt.Errorf("making the first key: %w", err)
	}
	return nil
}

// createRegistry makes the home's log, with the signer as its only operator.
func createRegistry(ctx context.Context, env *Env, home *daemon.Home, origin string, signer sign.Signer) error {
	return home.Create(ctx, origin, func(origin, vkey string) ([]byte, error) {
		common, err := env.common(origin)
		if err != nil {
			return nil, err
		}
		return seal(manifests.New(&manifests.Registry{
			Common:            common,
			Origin:            origin,
			LogKeys:           []string{vkey},
			Operators:         []sign.KeyID{signer.ID()},
			OperatorThreshold: 1,
			FirstPeriod:       env.Now().UTC().Format("2006-01"),
			Currencies:        firstCurrencies,
		}), signer)
	})
}
