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
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
)

func newKeyTake(env *Env) *cobra.Command {
	var registry string
	c := &cobra.Command{
		Use:   "take FILE",
		Short: "Take over an identity that is handed to your key",
		Long: `take adds the signature of your key to a rotation that somebody else signed with
"cairn key rotate --to YOUR-DID -o FILE", logs it, and from then on your key signs
for that identity: its names, handle and credit are yours. So whoever uploaded by a
custodial key over the Hub API comes to own what was uploaded: the operator's key
signs nothing more for it.

Your key must not have signed anything in that log yet: make a new one for it. A
registry that takes no statements of your key gets it from its operator: "cairn
statement sign FILE", and hand the file back for "cairn statement submit FILE".
Run take when that is done: it sees that the log has it.`,
		Example: `  cairn key new ada
  cairn key take ada.rotation.json --key ada --registry https://registry.example`,
		Args: exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return runKeyTake(c.Context(), env, args[0], registry)
		},
	}
	c.Flags().StringVar(&registry, "registry", "", "log it at the registry at this `URL`, by a signed request")
	return c
}

func runKeyTake(ctx context.Context, env *Env, file, registry string) error {
	e, s, err := env.readEnvelope(file)
	if err != nil {
		return err
	}
	ring, cfg, err := env.keys()
	if err != nil {
		return err
	}
	name := env.keyName(cfg)
	signer, err := env.signer(ring, cfg)
	if err != nil {
		return err
	}
	k, ok := s.Predicate.(*manifests.Key)
	switch {
	case !ok || k.Op != manifests.KeyRotate:
		return fault.New(fault.Invalid, "%s holds no rotation of a key", file)
	case k.Key != signer.ID():
		return fault.WithHint(fault.New(fault.Invalid, "%s hands %s to the key %s, and the key that signs is %s", file, k.Identity, k.Key, signer.ID()), "choose it with --key")
	}
	if err := mayFollow(ring, k.Next); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if !slices.ContainsFunc(e.Signatures, func(g sign.Signature) bool { return g.KeyID == signer.ID() }) {
		if err := e.Add(signer); err != nil {
			return err
		}
	}
	out := describeEnvelope(e, s)
	env.say("signed as "+string(signer.ID()), out.Says)
	log := func(ctx context.Context, api *client.Client) error {
		known, err := reader(api, registry).Identity(ctx, k.Identity)
		if err != nil {
			return err
		}
		if known.Key != k.Key {
			if err := env.logEnvelope(ctx, api, e, out); err != nil {
				return err
			}
		}
		// The log has it: until the ring says so too, the same command does it again.
		if err := ring.Join(name, k.Identity); err != nil {
			return err
		}
		done := rotated{
			Identity: k.Identity, Key: k.Key, Name: name, Statements: []string{out.Statement}, Index: out.Index, Registry: registry,
			Unchanged: known.Key == k.Key,
		}
		return env.print(done, func(w io.Writer) { fmt.Fprintln(w, k.Identity) })
	}
	if registry == "" {
		return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error { return log(ctx, c.API) })
	}
	api, err := env.signed(registry, signer)
	if err != nil {
		return err
	}
	return log(ctx, api)
}

// mayFollow refuses to sign a rotation that announces, by its digest, a key that is not
// in this home. Whoever hands an identity over could else keep the key that follows: the
// identity would be theirs again with the next rotation, or never be rotated.
func mayFollow(ring *keyring.Ring, next string) error {
	if next == "" {
		return nil
	}
	all, err := ring.List()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(e keyring.Entry) bool { return manifests.KeyDigest(e.ID) == next }) {
		return nil
	}
	return fault.WithHint(fault.New(fault.Denied, "the rotation lets only the key with the SHA-256 %s follow yours, and that is not in this home", next),
		"ask for a rotation without it: cairn key rotate NAME --to YOUR-DID -o FILE")
}
