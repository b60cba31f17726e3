package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
)

func newWithdraw(env *Env) *cobra.Command {
	var o issue
	var reason string
	c := &cobra.Command{
		Use:   "withdraw REF",
		Short: "Withdraw a version: this registry offers it no more",
		Long: `withdraw logs that a version is offered no more, and prints the CID of the
statement. The publisher withdraws; another listed contributor only flags the
version. The record stays, and so does everything made from it, marked: see
"cairn impact". What others hold already cannot be called back, and a licence
that cannot be revoked stays theirs. From the next period on, what the version
keeps of its revenue goes where its terms say. Withdrawing again changes nothing.

` + refHelp,
		Example: `  cairn impact interviews
  cairn withdraw interviews --reason "a participant withdrew consent"`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.issues(c.Context(), o, func(ctx context.Context, c *daemon.Conn, signer sign.Signer) (*manifests.Statement, error) {
				n, err := env.node(ctx, c.API, args[0])
				if err != nil {
					return nil, err
				}
				w, err := c.API.Withdrawals(ctx, n.Statement.Cid)
				if err != nil {
					return nil, err
				}
				for _, x := range w.Withdrawals {
					if x.Party == keyring.Identity(signer) {
						did := "withdrawn"
						if x.Flag {
							did = "flagged"
						}
						return nil, &already{manifests.KindWithdraw, x.Statement, x.Index, fmt.Sprintf("you have %s %s already, entry %d", did, nodeName(n), x.Index), ""}
					}
				}
				d := &manifests.Withdraw{Party: keyring.Identity(signer), Statement: n.Statement, Reason: reason}
				if err := env.fresh(ctx, c.API, d); err != nil {
					return nil, err
				}
				if keyring.Identity(signer) != n.Publisher {
					env.warn("you are not the publisher: this flags the version, it is still offered")
				}
				return manifests.New(d), nil
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in one `line`; it is public")
	o.register(c)
	return c
}

func newTombstone(env *Env) *cobra.Command {
	var o issue
	var entry, reason string
	c := &cobra.Command{
		Use:   "tombstone REF|STATEMENT",
		Short: "Erase the body of a statement, as an operator",
		Long: `tombstone logs that the body of a statement is erased, and prints the CID of the
tombstone. From then on the registry answers 410 for it, and forgets its title,
keywords and other text; verdict, effects and proofs stay, and the log can be
replayed without the body. A threshold of the operators signs: use -o FILE where
one is not enough.

Every entry that carries the statement needs a tombstone: one for the first, and
one for each that added signatures, with --entry. The bytes themselves are not
removed from the packs: that is garbage collection, which is not built yet.

The reason is one of legal-order, personal-data, illegal-content, infringement
and other. The log up to the entry is replayed first, which takes a while on a
long one.`,
		Example: `  cairn tombstone ana/interviews@1.0.0 --reason personal-data
  cairn tombstone bafkrei… --entry 1204 --reason legal-order`,
		Args: exactly(1, "one REF or STATEMENT"),
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return fault.WithHint(fault.New(fault.Invalid, "--reason is missing: what is erased is gone for ever"), "it is legal-order, personal-data, illegal-content, infringement or other")
			}
			return env.issues(c.Context(), o, func(ctx context.Context, c *daemon.Conn, _ sign.Signer) (*manifests.Statement, error) {
				id, err := env.statementOf(ctx, c.API, args[0])
				if err != nil {
					return nil, err
				}
				st, err := c.API.Statement(ctx, id)
				if err != nil {
					return nil, err
				}
				if entry == "" {
					if err := standingTombstone(ctx, c.API, id); err != nil {
						return nil, err
					}
				}
				i := st.Index
				if entry != "" {
					if i, err = strconv.ParseUint(entry, 10, 63); err != nil {
						return nil, fault.New(fault.Invalid, "--entry %s is not the index of an entry", fault.Quote(entry))
					}
				}
				work, end := env.stages(ctx)
				w, err := c.API.Tombstone(work, i)
				end()
				if err != nil {
					return nil, err
				}
				if w.Statement.Cid != id {
					return nil, fault.New(fault.Invalid, "entry %d carries the statement %s, not %s", i, w.Statement, id)
				}
				t := &manifests.Tombstone{
					Statement: cjson.CID{Cid: id}, Index: w.Index, Leaf: w.Leaf, Verdict: w.Verdict, Code: w.Code, Effects: w.Effects, Reason: reason,
				}
				if err := env.fresh(ctx, c.API, t); err != nil {
					return nil, err
				}
				s := manifests.New(t)
				if err := s.Validate(); err != nil {
					return nil, fmt.Errorf("the tombstone: %w", err)
				}
				return s, nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&entry, "entry", "", "`index` of the entry, when it is not the one that decided the statement")
	f.StringVar(&reason, "reason", "", "`reason`: legal-order, personal-data, illegal-content, infringement or other")
	o.register(c)
	return c
}

// standingTombstone returns an [already] when the statement of a version is erased.
func standingTombstone(ctx context.Context, api *client.Client, id cid.Cid) error {
	w, err := api.Withdrawals(ctx, id)
	if errors.Is(err, fault.NotFound) || err == nil && (w.Gone == nil || !w.Gone.Erased) {
		return nil // no version, or not erased
	}
	if err != nil {
		return err
	}
	return &already{manifests.KindTombstone, w.Gone.Statement, w.Gone.Index, fmt.Sprintf("the body of %s is erased already, entry %d says so", id, w.Gone.Index), "--entry erases another entry that carries it"}
}
