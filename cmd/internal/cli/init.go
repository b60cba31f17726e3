package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
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

// A constitution is what entry 0 says of a registry beside its origin and keys.
type constitution struct {
	currencies       []string
	firstPeriod      string
	arbiters         []string
	arbiterThreshold int
	payeeRecipient   string
	gatewayKeys      []string
}

func (k *constitution) register(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&k.currencies, "currency", nil, "a unit of account: `CODE:DECIMALS` (repeatable; default: CHF:2, EUR:2, GBP:2, JPY:0, USD:2)")
	f.StringVar(&k.firstPeriod, "first-period", "", "first `month` that revenue counts in (default: this one)")
	f.StringArrayVar(&k.arbiters, "arbiter", nil, "a `did:key`, or key of this home, that decides disputes (repeatable)")
	f.IntVar(&k.arbiterThreshold, "arbiter-threshold", 0, "`number` of arbiters who must sign a ruling (default: more than half of them)")
	f.StringArrayVar(&k.gatewayKeys, "gateway-key", nil, "a `did:key`, or key of this home, that signs fetch records; \"none\" for none (repeatable; default: the home's key \"gateway\", which is made)")
	f.StringVar(&k.payeeRecipient, "payee-recipient", "", "`age` recipient to which people encrypt how they are paid")
}

// fill sets the members that the flags speak of.
func (k *constitution) fill(r *manifests.Registry, ring *keyring.Ring) error {
	r.Currencies = firstCurrencies
	if len(k.currencies) > 0 {
		r.Currencies = nil
	}
	for _, text := range k.currencies {
		c, err := parseCurrency(text)
		if err != nil {
			return err
		}
		r.Currencies = append(r.Currencies, c)
	}
	if k.firstPeriod != "" {
		r.FirstPeriod = k.firstPeriod
	}
	var err error
	if r.Arbiters, err = keysNamed(ring, "--arbiter", k.arbiters); err != nil {
		return err
	}
	if !k.noGateway() {
		if r.GatewayKeys, err = keysNamed(ring, "--gateway-key", k.gatewayKeys); err != nil {
			return err
		}
	}
	if r.ArbiterThreshold = k.arbiterThreshold; r.ArbiterThreshold == 0 && len(r.Arbiters) > 0 {
		r.ArbiterThreshold = len(r.Arbiters)/2 + 1
	}
	r.PayeeRecipient = k.payeeRecipient
	return nil
}

// noGateway reports whether nobody is to sign fetch records.
func (k *constitution) noGateway() bool { return slices.Equal(k.gatewayKeys, []string{"none"}) }

// keysNamed reads what a flag was given: a did:key, or the name of a key in the ring.
func keysNamed(ring *keyring.Ring, flag string, texts []string) ([]sign.KeyID, error) {
	var ids []sign.KeyID
	for _, text := range texts {
		id, err := sign.ParseKeyID(text)
		if !strings.HasPrefix(text, "did:") {
			var e keyring.Entry
			e, err = ring.Show(text)
			id = e.ID
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// holds reports whether a registry that is there already says what the flags
// say; else it is fault.Conflict.
func (k *constitution) holds(ctx context.Context, api *client.Client, ring *keyring.Ring) error {
	want := manifests.Registry{}
	if err := k.fill(&want, ring); err != nil {
		return err
	}
	reg, err := api.Registry(ctx)
	if err != nil {
		return err
	}
	known, err := units(ctx, api)
	if err != nil {
		return err
	}
	same := (k.firstPeriod == "" || k.firstPeriod == reg.FirstPeriod) &&
		(len(k.arbiters) == 0 || slices.Equal(want.Arbiters, reg.Arbiters)) &&
		(len(k.gatewayKeys) == 0 || slices.Equal(want.GatewayKeys, reg.GatewayKeys)) &&
		(k.arbiterThreshold == 0 || k.arbiterThreshold == reg.ArbiterThreshold) &&
		(k.payeeRecipient == "" || k.payeeRecipient == reg.PayeeRecipient)
	if len(k.currencies) > 0 {
		for _, c := range want.Currencies {
			same = same && known[c.Code] == (wire.Currency{Code: c.Code, MinorDigits: c.MinorDigits, FineDigits: c.FineDigits})
		}
	}
	if !same {
		return fault.WithHint(fault.New(fault.Conflict, "this home has a registry that says something else"),
			"init makes a registry once; \"cairn registry update\" changes it, \"cairn currency add\" adds a unit of account")
	}
	return nil
}

func newInit(env *Env) *cobra.Command {
	var origin string
	var k constitution
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a home: a key, a log, an empty registry",
		Long: `init makes the home folder with a key to sign with, a log key, and a log whose
entry 0 says who operates it: the home's own key. Doing it again changes
nothing. The first "cairn add" in an empty home does the same.

The origin names the log for ever. The default is unique and made from the log
key; a registry for others takes a name of its own, without scheme. Entry 0 also
says which units of account there are, with which month the calendar begins,
who decides disputes, and whose word a receipt of a download is: a key "gateway"
that the home's server signs them with. "cairn registry update" changes it.`,
		Example: `  cairn init
  cairn init --origin registry.example/log --currency USD:2 --first-period 2026-10 --arbiter did:key:z6Mk…`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runInit(c.Context(), env, origin, &k) },
	}
	c.Flags().StringVar(&origin, "origin", "", "`name` of the log (default: cairn.invalid/ and a hash of the log key)")
	k.register(c)
	return c
}

func runInit(ctx context.Context, env *Env, origin string, k *constitution) error {
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
			status, err := c.API.Status(ctx)
			if err != nil {
				return err
			}
			if origin != "" && origin != status.Origin {
				return fault.New(fault.Conflict, "this home's log has another origin, and an origin cannot be changed")
			}
		} else if err := createRegistry(ctx, env, c.Home, origin, signer, k); err != nil {
			return err
		}
		if err := k.holds(ctx, c.API, ring); err != nil {
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

// ensureNamed makes a key, if the ring has none of that name. It is not encrypted: it
// is for a server, which has nobody to ask.
func ensureNamed(ring *keyring.Ring, name string) (keyring.Entry, error) {
	e, err := ring.Create(name, keyring.Ed25519, nil)
	if errors.Is(err, fault.Conflict) {
		return ring.Show(name)
	}
	return e, err
}

// createRegistry makes the home's log, with the signer as its only operator.
func createRegistry(ctx context.Context, env *Env, home *daemon.Home, origin string, signer sign.Signer, k *constitution) error {
	ring := keyring.Open(home.Dir)
	// Checked before anything is made: a log is made once.
	if err := k.fill(new(manifests.Registry), ring); err != nil {
		return err
	}
	return home.Create(ctx, origin, func(origin, vkey string) ([]byte, error) {
		common, err := env.common(origin)
		if err != nil {
			return nil, err
		}
		r := &manifests.Registry{
			Common:            common,
			Origin:            origin,
			LogKeys:           []string{vkey},
			Operators:         []sign.KeyID{signer.ID()},
			OperatorThreshold: 1,
			FirstPeriod:       env.Now().UTC().Format("2006-01"),
		}
		if err := k.fill(r, ring); err != nil {
			return nil, err
		}
		if name := home.Config.Gateway.Key; len(k.gatewayKeys) == 0 && name != "" {
			e, err := ensureNamed(ring, name)
			if err != nil {
				return nil, fmt.Errorf("the gateway's key: %w", err)
			}
			r.GatewayKeys = []sign.KeyID{e.ID}
		}
		return seal(manifests.New(r), signer)
	})
}
