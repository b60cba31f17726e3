package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

func newCosign(env *Env) *cobra.Command {
	var o issue
	c := &cobra.Command{
		Use:   "cosign REF|STATEMENT",
		Short: "Add my signature to a statement that is in the log",
		Long: `cosign signs a logged statement with one more key and logs it again: a
contributor accepts being credited, a party agrees to shares, later than the
others. It says in plain words what is signed. Signing twice changes nothing.

` + refHelp,
		Example: `  cairn cosign labels --key ana
  cairn cosign bafkrei… --key ana -o signed.json`,
		Args: exactly(1, "one REF or STATEMENT"),
		RunE: func(c *cobra.Command, args []string) error { return runCosign(c.Context(), env, o, args[0]) },
	}
	o.register(c)
	return c
}

func runCosign(ctx context.Context, env *Env, o issue, ref string) error {
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		id, err := env.statementOf(ctx, c.API, ref)
		if err != nil {
			return err
		}
		st, err := c.API.Statement(ctx, id)
		if err != nil {
			return err
		}
		if st.Verdict != "accepted" {
			return fault.New(fault.Conflict, "the statement was not accepted, so nobody signs it: %s (entry %d)", st.Code, st.Index)
		}
		logged, s, err := envelopeAt(ctx, c.API, id)
		if err != nil {
			return err
		}
		// Its signature alone: those that are recorded need not be said again.
		e, err := sign.Seal(logged.Payload, signer)
		if err != nil {
			return err
		}
		out := describeEnvelope(e, s)
		if signedAlready(st, keyring.Identity(signer)) {
			says := fmt.Sprintf("%s signed this already", keyring.Identity(signer))
			if o.file != "" {
				return env.unchanged(&already{kind: s.Kind, statement: st.Statement, index: st.Index, says: says}, o)
			}
			out.Index, out.Unchanged = &st.Index, true
			if !env.json {
				env.warn("unchanged: %s", says)
			}
			return env.show(out)
		}
		env.say("signed as "+string(signer.ID()), out.Says)
		if o.file != "" {
			if err := env.writeEnvelope(o.file, e, out); err != nil {
				return err
			}
			return env.show(out)
		}
		if err := env.logEnvelope(ctx, c.API, e, out); err != nil {
			return err
		}
		if err := env.tellMissing(ctx, c.API, out); err != nil {
			return err
		}
		return env.show(out)
	})
}
