package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
)

func newPayee(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "payee",
		Short: "Say how you are paid, without saying it in public",
		Long: `What stands in the log about how somebody is paid is a commitment alone: the
SHA-256 of a random salt and the details. The details stay in a private file, and
with the operator.`,
	}
	group(c)
	c.AddCommand(newPayeeSet(env), newPayeeVerify(env), newPayeeShow(env))
	return c
}

type payeeOptions struct {
	issue
	rail, details string
}

func newPayeeSet(env *Env) *cobra.Command {
	var o payeeOptions
	c := &cobra.Command{
		Use:   "set --rail RAIL --details FILE",
		Short: "Commit to how you are paid, from the next period on",
		Long: `set reads the details, a JSON object in the form that the rail needs, and writes a
private opening file beside the keys: the details and a random salt. Where the
registry has a recipient for them, it also writes that file encrypted for the
operator, to be sent to them. The log gets the rail and the commitment, signed
by you; it counts from the next period on. It prints the statement's CID.

Keep the opening file: without it nobody can show what was committed to.`,
		Example: `  cairn payee set --rail csv --details account.json --key ana`,
		Args:    exactly(0, "no arguments"),
		RunE:    func(c *cobra.Command, _ []string) error { return runPayeeSet(c.Context(), env, &o) },
	}
	c.Flags().StringVar(&o.rail, "rail", "", "`how`: csv, pain.001, oz-merkle, …")
	c.Flags().StringVar(&o.details, "details", "", "JSON `file` with the details; - is stdin")
	o.issue.register(c)
	return c
}

func runPayeeSet(ctx context.Context, env *Env, o *payeeOptions) error {
	if o.rail == "" || o.details == "" {
		return fault.New(fault.Invalid, "payee set needs --rail and --details")
	}
	details, err := env.readDetails(o.details)
	if err != nil {
		return err
	}
	ring, _, err := env.keys()
	if err != nil {
		return err
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	opening, err := keyring.NewOpening(keyring.Identity(signer), o.rail, details)
	if err != nil {
		return fmt.Errorf("--details: %w", err)
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		reg, err := c.API.Registry(ctx)
		if err != nil {
			return err
		}
		p := &manifests.Payee{Identity: keyring.Identity(signer), Rail: o.rail, Commitment: opening.Commitment}
		if err := env.fresh(ctx, c.API, p); err != nil {
			return err
		}
		s := manifests.New(p)
		if err := s.Validate(); err != nil {
			return err
		}
		// The opening is on disk before its commitment is anywhere else.
		private, sealed, err := ring.SaveOpening(opening, reg.PayeeRecipient)
		if err != nil {
			return err
		}
		out, err := env.release(ctx, c.API, s, signer, o.issue)
		if err != nil {
			return err
		}
		out.Private, out.Sealed = private, sealed
		if !env.json {
			env.warn("the details and their salt are in %s: keep it, and to yourself", private)
			if sealed != "" {
				env.warn("send %s to the operator: only they can read it", sealed)
			} else {
				env.warn("the registry names no recipient for it: ask the operator how to hand it in")
			}
		}
		return env.show(out)
	})
}

// readDetails reads the details of a payee.
func (env *Env) readDetails(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(env.Stdin, keyring.MaxDetails+1))
	}
	b, err := auditing.ReadBounded(name, keyring.MaxDetails)
	if err != nil {
		return nil, fmt.Errorf("--details: %w", err)
	}
	return b, nil
}

func newPayeeVerify(env *Env) *cobra.Command {
	var from remoteFlags
	var offline bool
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check that an opening file opens its commitment",
		Long: `verify computes the commitment from the details and the salt in an opening file and
compares it with the file's own, and with what the log says of the party. Exit
status 3 means that it does not hold.`,
		Example: `  cairn payee verify ~/.cairn/keys/3f6c….payee.json`,
		Args:    exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return runPayeeVerify(c.Context(), env, from.url, args[0], offline)
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "check the file alone")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// A verifiedPayee is what payee verify prints with --json.
type verifiedPayee struct {
	Identity   sign.KeyID `json:"identity"`
	Rail       string     `json:"rail"`
	Commitment string     `json:"commitment"`
	// Statement is the payee/v1 with the commitment that counts now or next.
	Statement string `json:"statement,omitempty"`
	From      string `json:"from,omitempty"`
}

func runPayeeVerify(ctx context.Context, env *Env, url, name string, offline bool) error {
	o, err := keyring.ReadOpening(name)
	if err != nil {
		return err
	}
	if err := o.Verify(); err != nil {
		return err
	}
	out := verifiedPayee{Identity: o.Identity, Rail: o.Rail, Commitment: o.Commitment}
	if !offline {
		err := env.ask(ctx, url, func(ctx context.Context, api *client.Client) error { return out.look(ctx, api) })
		if err != nil {
			return err
		}
	}
	return env.print(out, func(w io.Writer) {
		if out.Statement == "" {
			fmt.Fprintf(w, "holds  the file opens %s\n", out.Commitment)
			return
		}
		fmt.Fprintf(w, "holds  the file opens %s, by which %s is paid from %s on\n", out.Commitment, out.Identity, out.From)
	})
}

// look finds the commitment among those of the party that count.
func (v *verifiedPayee) look(ctx context.Context, api *client.Client) error {
	said, err := api.Payees(ctx, v.Identity)
	if err != nil {
		return err
	}
	for _, p := range said.Payees {
		if p.Commitment == v.Commitment && p.Rail == v.Rail {
			v.Statement, v.From = p.Statement.String(), p.From
			return nil
		}
	}
	return fault.WithHint(fault.New(fault.Unverified, "the log has another commitment of %s, or none, for now and the next period", v.Identity), "--offline checks the file alone")
}

func newPayeeShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:     "show [PARTY]",
		Short:   "Show what the log says of how a party is paid",
		Example: `  cairn payee show ana`,
		Args:    atMost(1, "at most one PARTY"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				id := env.own()
				if len(args) == 1 {
					var err error
					if id, err = env.party(ctx, api, args[0]); err != nil {
						return err
					}
				}
				said, err := api.Payees(ctx, id)
				if err != nil {
					return err
				}
				if len(said.Payees) == 0 {
					env.note("none")
				}
				return env.print(said, func(w io.Writer) {
					for _, p := range said.Payees {
						fmt.Fprintf(w, "%s  from %s on, commitment %s, entry %d\n", p.Rail, p.From, p.Commitment, p.Index)
					}
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}
