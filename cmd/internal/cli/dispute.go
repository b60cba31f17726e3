package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newDispute(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "dispute",
		Short: "Contest a statement, and rule on it",
		Long: `Anyone may contest a statement; that alone moves no money. The arbiters of the
registry rule: what the version keeps can be held from the next period on,
released, or given to others. No ruling changes shares or who made what.`,
	}
	group(c)
	c.AddCommand(newDisputeOpen(env), newDisputeResolve(env), newDisputeList(env))
	return c
}

func newDisputeOpen(env *Env) *cobra.Command {
	var o issue
	var kind string
	var evidence []string
	c := &cobra.Command{
		Use:   "open REF|STATEMENT --kind KIND",
		Short: "Contest a statement",
		Long: `open logs that a statement is contested, and prints the CID of the dispute. Evidence
is named by its CID: register it with "cairn add", or store it elsewhere. The same
again, with the same evidence, logs nothing.

` + refHelp,
		Example: `  cairn dispute open ana/labels --kind plagiarism --evidence bafybei…`,
		Args:    exactly(1, "one REF or STATEMENT"),
		RunE: func(c *cobra.Command, args []string) error {
			if kind == "" {
				return fault.WithHint(fault.New(fault.Invalid, "--kind is missing: what is wrong with it?"), "it is plagiarism, share, wash, duplicate or error")
			}
			return env.issues(c.Context(), o, func(ctx context.Context, c *daemon.Conn, signer sign.Signer) (*manifests.Statement, error) {
				target, err := env.statementOf(ctx, c.API, args[0])
				if err != nil {
					return nil, err
				}
				d := &manifests.Dispute{Disputant: keyring.Identity(signer), Target: cjson.CID{Cid: target}, Type: kind}
				if d.Evidence, err = sortedCIDs("--evidence", evidence); err != nil {
					return nil, err
				}
				if err := standingDispute(ctx, c.API, d); err != nil {
					return nil, err
				}
				if err := env.fresh(ctx, c.API, d); err != nil {
					return nil, err
				}
				return manifests.New(d), nil
			})
		},
	}
	c.Flags().StringVar(&kind, "kind", "", "`kind`: plagiarism, share, wash, duplicate or error")
	c.Flags().StringArrayVar(&evidence, "evidence", nil, "`CID` of evidence (repeatable)")
	o.register(c)
	return c
}

// standingDispute returns an [already] when the same party has contested the same
// statement before, for the same kind of reason and with the same evidence.
func standingDispute(ctx context.Context, api *client.Client, d *manifests.Dispute) error {
	for q := (client.About{Statement: d.Target.Cid, Limit: pageSize}); ; {
		p, err := api.Disputes(ctx, q)
		if err != nil {
			return err
		}
		for _, old := range p.Disputes {
			if old.Disputant != d.Disputant || old.Kind != d.Type {
				continue
			}
			_, s, err := envelopeAt(ctx, api, old.Statement.Cid)
			if fault.Of(err) == fault.Gone {
				continue
			}
			if err != nil {
				return err
			}
			if o, ok := s.Predicate.(*manifests.Dispute); ok && slices.Equal(o.Evidence, d.Evidence) {
				return &already{manifests.KindDispute, old.Statement, old.Index, fmt.Sprintf("you have contested %s so already, entry %d", d.Target, old.Index), ""}
			}
		}
		if q.After = p.Next; q.After == 0 {
			return nil
		}
	}
}

// sortedCIDs reads a list of CIDs, each once.
func sortedCIDs(flag string, list []string) ([]cjson.CID, error) {
	out, err := cids(flag, list)
	slices.SortFunc(out, compareCIDs)
	return slices.Compact(out), err
}

type resolveOptions struct {
	issue
	statement string
	ruling    string
	shares    []string
	evidence  []string
}

func newDisputeResolve(env *Env) *cobra.Command {
	var o resolveOptions
	c := &cobra.Command{
		Use:   "resolve DISPUTE --ruling RULING",
		Short: "Rule on a dispute, as an arbiter",
		Long: `resolve logs a ruling about what one version keeps, from the next period on: hold
it, release what is held, reallocate what is held to the parties of --share, or
dismiss the dispute. A hold lapses after twelve periods unless it is ruled again.
The version is the one that the dispute is about; where that is no version, name
it with --statement. A threshold of the arbiters must sign: use -o FILE where one
is not enough.`,
		Example: `  cairn dispute resolve bafkrei… --ruling hold
  cairn dispute resolve bafkrei… --ruling reallocate --share did:key:z6Mk…=1`,
		Args: exactly(1, "one DISPUTE"),
		RunE: func(c *cobra.Command, args []string) error {
			if o.ruling == "" {
				return fault.WithHint(fault.New(fault.Invalid, "--ruling is missing"), "it is hold, release, reallocate or dismiss")
			}
			return env.issues(c.Context(), o.issue, func(ctx context.Context, c *daemon.Conn, _ sign.Signer) (*manifests.Statement, error) {
				return env.resolution(ctx, c.API, &o, args[0])
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.statement, "statement", "", "`REF` of the version that the ruling is about")
	f.StringVar(&o.ruling, "ruling", "", "`ruling`: hold, release, reallocate or dismiss")
	f.StringArrayVar(&o.shares, "share", nil, "who gets what is held: `PARTY=N` (repeatable; with reallocate)")
	f.StringArrayVar(&o.evidence, "evidence", nil, "`CID` of what the ruling rests on (repeatable)")
	o.issue.register(c)
	return c
}

func (env *Env) resolution(ctx context.Context, api *client.Client, o *resolveOptions, dispute string) (*manifests.Statement, error) {
	id, err := statementCID("the dispute", dispute)
	if err != nil {
		return nil, err
	}
	_, s, err := envelopeAt(ctx, api, id.Cid)
	if err != nil {
		return nil, err
	}
	d, ok := s.Predicate.(*manifests.Dispute)
	if !ok {
		return nil, fault.WithHint(fault.New(fault.Invalid, "%s is of kind %s, not a dispute", dispute, s.Kind), "\"cairn dispute list\" lists them")
	}
	r := &manifests.Resolution{Dispute: id, Ruling: o.ruling, Statement: d.Target}
	if o.statement != "" {
		n, err := env.node(ctx, api, o.statement)
		if err != nil {
			return nil, fmt.Errorf("--statement: %w", err)
		}
		r.Statement = n.Statement
	} else if _, err := api.Node(ctx, d.Target.Cid); errors.Is(err, fault.NotFound) {
		return nil, fault.WithHint(fault.New(fault.Invalid, "the dispute is about %s, which is no version", d.Target), "name the version with --statement REF")
	} else if err != nil {
		return nil, err
	}
	if len(o.shares) > 0 {
		if r.Shares, err = env.shares(ctx, api, o.shares); err != nil {
			return nil, err
		}
		r.Total = totalOf(r.Shares)
	}
	if r.Evidence, err = sortedCIDs("--evidence", o.evidence); err != nil {
		return nil, err
	}
	if err := env.fresh(ctx, api, r); err != nil {
		return nil, err
	}
	return manifests.New(r), nil
}

func newDisputeList(env *Env) *cobra.Command {
	var from remoteFlags
	var about string
	c := &cobra.Command{
		Use:   "list",
		Short: "List disputes, and the rulings on them",
		Long: `list prints the disputes about a statement, newest first, or all of them in the
order of the log.`,
		Example: `  cairn dispute list --about labels`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runDisputeList(ctx, env, api, about)
			})
		},
	}
	c.Flags().StringVar(&about, "about", "", "`REF` or CID of the contested statement")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func runDisputeList(ctx context.Context, env *Env, api *client.Client, about string) error {
	q := client.About{Limit: pageSize}
	if about != "" {
		id, err := env.statementOf(ctx, api, about)
		if err != nil {
			return err
		}
		q.Statement = id
	}
	out := wire.DisputePage{Disputes: []wire.Dispute{}}
	for {
		p, err := api.Disputes(ctx, q)
		if err != nil {
			return err
		}
		out.Size = p.Size
		out.Disputes = append(out.Disputes, p.Disputes...)
		if q.After = p.Next; q.After == 0 {
			break
		}
	}
	if len(out.Disputes) == 0 {
		env.note("none")
	}
	return env.print(out, func(w io.Writer) {
		for _, d := range out.Disputes {
			fmt.Fprintf(w, "%s  %s, entry %d\n  about  %s\n  by     %s\n", d.Statement, d.Kind, d.Index, d.Target, d.Disputant)
			for _, r := range d.Rulings {
				fmt.Fprintf(w, "  ruled  %s from %s on, entry %d\n", r.Ruling, r.From, r.Index)
			}
		}
	})
}
