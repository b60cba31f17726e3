package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
)

func newRegistry(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "registry",
		Short: "Show and change who runs the registry, and by which keys",
	}
	group(c)
	c.AddCommand(newRegistryShow(env), newRegistryUpdate(env))
	return c
}

func newRegistryShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the registry/v1 in force",
		Long: `show prints what the newest accepted registry/v1 says: whose signatures count as the
operators', who decides disputes, which gateways' fetch records hold, to which key
people encrypt how they are paid. "cairn log key" prints the log's own key.`,
		Example: `  cairn registry show
  cairn registry show --registry https://registry.example --json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				r, err := api.Registry(ctx)
				if err != nil {
					return err
				}
				status, err := api.Status(ctx)
				if err != nil {
					return err
				}
				return env.print(r, func(w io.Writer) {
					line := func(name, format string, args ...any) {
						fmt.Fprintf(w, "%-17s%s\n", name, fmt.Sprintf(format, args...))
					}
					line("origin", "%s", status.Origin)
					line("statement", "%s (entry %d)", r.Statement, r.Index)
					line("operators", "%s", keyLines(r.Operators, r.OperatorThreshold))
					line("arbiters", "%s", keyLines(r.Arbiters, r.ArbiterThreshold))
					line("gateway keys", "%s", keyLines(r.GatewayKeys, 0))
					if r.PayeeRecipient != "" {
						line("payee recipient", "%s", r.PayeeRecipient)
					}
					line("first period", "%s", r.FirstPeriod)
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// keyLines lists keys, and how many of them must sign.
func keyLines(ids []sign.KeyID, threshold int) string {
	if len(ids) == 0 {
		return "none"
	}
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	if threshold > 0 {
		texts[0] += fmt.Sprintf("  (%d must sign)", threshold)
	}
	return strings.Join(texts, "\n"+strings.Repeat(" ", 17))
}

// A keyChange is what the flags say of one list of keys.
type keyChange struct {
	what      string // in flags: --add-what, --remove-what
	add, drop []string
	threshold int // -1: as it is
}

func (k *keyChange) register(c *cobra.Command, what, about string, threshold bool) {
	k.what, k.threshold = what, -1
	c.Flags().StringArrayVar(&k.add, "add-"+what, nil, "a `did:key`, or key of this home, that becomes "+about+" (repeatable)")
	c.Flags().StringArrayVar(&k.drop, "remove-"+what, nil, "a `did:key`, or key of this home, that is "+about+" no more (repeatable)")
	if threshold {
		c.Flags().IntVar(&k.threshold, what+"-threshold", -1, "`number` of them who must sign")
	}
}

// apply changes a list and its threshold.
func (k *keyChange) apply(ring *keyring.Ring, ids *[]sign.KeyID, threshold *int) error {
	add, err := keysNamed(ring, "--add-"+k.what, k.add)
	if errors.Is(err, fault.NotFound) {
		return fault.WithHint(err, `"cairn key new NAME" makes one`)
	}
	if err != nil {
		return err
	}
	drop, err := keysNamed(ring, "--remove-"+k.what, k.drop)
	if err != nil {
		return err
	}
	list := slices.Clone(*ids)
	for _, id := range drop {
		i := slices.Index(list, id)
		if i < 0 {
			return fault.WithHint(fault.New(fault.Conflict, "--remove-%s: %s is not on the list", k.what, id), `"cairn registry show" prints it`)
		}
		list = slices.Delete(list, i, i+1)
	}
	for _, id := range add {
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	*ids = list
	if threshold == nil {
		return nil
	}
	if k.threshold >= 0 {
		*threshold = k.threshold
	}
	if *threshold > len(list) || *threshold == 0 && len(list) > 0 {
		return fault.WithHint(fault.New(fault.Invalid, "%d of %d keys would have to sign", *threshold, len(list)), "give --%s-threshold", k.what)
	}
	return nil
}

func newRegistryUpdate(env *Env) *cobra.Command {
	var o issue
	var operators, arbiters, gateways keyChange
	var recipient string
	c := &cobra.Command{
		Use:   "update",
		Short: "Change who runs the registry, and by which keys",
		Long: `update logs a registry/v1 that says what the one in force says, but for what the flags
change. It is signed by the operators' threshold in force and holds from the next
entry on. Where several must sign, write it to a file with -o; the others sign that
with "cairn statement sign", and one submits it.

A gateway key signs fetch records, the receipts of downloads: they hold as long as the
key is listed. So a key that signs no more stays on the list; one that was stolen goes.
The server signs with the key that gateway.key of its config names, "gateway" by default.`,
		Example: `  cairn key new gateway
  cairn registry update --add-gateway-key gateway
  cairn registry update --add-operator did:key:z6Mk… --operator-threshold 2
  cairn registry update --add-arbiter did:key:z6Mk… --arbiter-threshold 1 -o update.json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			changed := false
			for _, name := range []string{"add-operator", "remove-operator", "operator-threshold", "add-arbiter", "remove-arbiter", "arbiter-threshold", "add-gateway-key", "remove-gateway-key", "payee-recipient"} {
				changed = changed || c.Flags().Changed(name)
			}
			if !changed {
				return fault.WithHint(fault.New(fault.Invalid, "what is to change? No flag says it"), "see %q", c.CommandPath()+" --help")
			}
			ring, _, err := env.keys()
			if err != nil {
				return err
			}
			return env.issues(c.Context(), o, func(ctx context.Context, conn *daemon.Conn, _ sign.Signer) (*manifests.Statement, error) {
				now, err := conn.API.Registry(ctx)
				if err != nil {
					return nil, err
				}
				_, s, err := envelopeAt(ctx, conn.API, now.Statement.Cid)
				if err != nil {
					return nil, err
				}
				was, ok := s.Predicate.(*manifests.Registry)
				if !ok {
					return nil, fault.New(fault.Internal, "%s is a %s", now.Statement, s.Kind)
				}
				r := *was
				if err := env.fresh(ctx, conn.API, &r); err != nil {
					return nil, err
				}
				err = errors.Join(operators.apply(ring, &r.Operators, &r.OperatorThreshold), arbiters.apply(ring, &r.Arbiters, &r.ArbiterThreshold), gateways.apply(ring, &r.GatewayKeys, nil))
				if err != nil {
					return nil, err
				}
				if c.Flags().Changed("payee-recipient") {
					r.PayeeRecipient = recipient
				}
				if sameConstitution(was, &r) {
					return nil, &already{kind: s.Kind, statement: now.Statement, index: now.Index, says: "the registry/v1 in force says that already"}
				}
				return manifests.New(&r), nil
			})
		},
	}
	operators.register(c, "operator", "an operator", true)
	arbiters.register(c, "arbiter", "an arbiter", true)
	gateways.register(c, "gateway-key", "a gateway key", false)
	c.Flags().StringVar(&recipient, "payee-recipient", "", "`age` recipient to which people encrypt how they are paid; \"\" for none")
	o.register(c)
	return c
}

func sameConstitution(a, b *manifests.Registry) bool {
	return slices.Equal(a.Operators, b.Operators) && a.OperatorThreshold == b.OperatorThreshold &&
		slices.Equal(a.Arbiters, b.Arbiters) && a.ArbiterThreshold == b.ArbiterThreshold &&
		slices.Equal(a.GatewayKeys, b.GatewayKeys) && a.PayeeRecipient == b.PayeeRecipient
}
