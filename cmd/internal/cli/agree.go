package cli

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

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

func newAgree(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "agree",
		Short: "Agree on who gets which share of a work",
		Long: `An agreement says who gets which share of what a work keeps, from a period on. It
takes effect once everybody has signed whose part falls or who is new; until then
it is pending, and the shares before it hold. What was written about who made
the work stays as it is.`,
	}
	group(c)
	c.AddCommand(newAgreeNew(env), newAgreeTransfer(env), newAgreeSign(env), newAgreeSubmit(env), newAgreeShow(env))
	return c
}

type agreeOptions struct {
	issue
	shares      []string
	effective   string
	attribution string
	retroactive bool

	// of transfer
	from, to, weight string
}

func (o *agreeOptions) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.effective, "effective", "", "first `period` with the new shares (default: the one after the open period)")
	o.issue.register(c)
}

func newAgreeNew(env *Env) *cobra.Command {
	var o agreeOptions
	c := &cobra.Command{
		Use:   "new REF --share PARTY=N …",
		Short: "Make an agreement on the shares of a work, and sign it",
		Long: `new makes the agreement that follows the one in force and signs it. With -o it
goes to a file, which the others sign with "cairn agree sign"; without, it is
logged, and they sign it there with "cairn cosign". Both ways count alike.

A PARTY is a did:key, a handle, or the name of a key of this home. The shares are
whole numbers; their sum is the whole. new says who must sign.

` + refHelp,
		Example: `  cairn agree new labels --share did:key:z6Mk…=2 --share ana=1 -o agreement.json
  cairn agree new labels --share ana=1 --effective 2027-01`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			return runAgree(c.Context(), env, &o, args[0], func(ctx context.Context, api *client.Client, _ *wire.Node, _ *wire.Agreements) ([]manifests.Share, error) {
				return env.shares(ctx, api, o.shares)
			})
		},
	}
	c.Flags().StringArrayVar(&o.shares, "share", nil, "a `share`: PARTY=N (repeatable)")
	c.Flags().StringVar(&o.attribution, "attribution", "", "`CID` of the attribution/v1 that the shares follow")
	c.Flags().BoolVar(&o.retroactive, "retroactive", false, "begin in a period that has begun; everybody who had a share since must sign")
	o.register(c)
	return c
}

func newAgreeTransfer(env *Env) *cobra.Command {
	var o agreeOptions
	c := &cobra.Command{
		Use:   "transfer REF --from PARTY --to PARTY --weight N",
		Short: "Make the agreement that moves a part of a share",
		Long: `transfer makes an agreement with the shares as they are, but for N of them that go
from one party to another. Both must sign it. It changes who is paid, from the
next period on, never who made the work.

` + refHelp,
		Example: `  cairn agree transfer labels --from ana --to did:key:z6Mk… --weight 1 -o transfer.json`,
		Args:    exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			return runAgree(c.Context(), env, &o, args[0], func(ctx context.Context, api *client.Client, n *wire.Node, a *wire.Agreements) ([]manifests.Share, error) {
				return env.transferred(ctx, api, &o, n, a)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "`party` that gives")
	f.StringVar(&o.to, "to", "", "`party` that receives")
	f.StringVar(&o.weight, "weight", "", "`number` of shares that move")
	o.register(c)
	return c
}

// shares reads --share PARTY=N.
func (env *Env) shares(ctx context.Context, api *client.Client, list []string) ([]manifests.Share, error) {
	if len(list) == 0 {
		return nil, fault.WithHint(fault.New(fault.Invalid, "nobody gets a share"), "--share PARTY=N, once for each party")
	}
	var out []manifests.Share
	for _, text := range list {
		who, weight, err := pair("--share", text, "PARTY=N")
		if err != nil {
			return nil, err
		}
		id, err := env.party(ctx, api, who)
		if err != nil {
			return nil, fmt.Errorf("--share: %w", err)
		}
		if slices.ContainsFunc(out, func(s manifests.Share) bool { return s.ID == id }) {
			return nil, fault.New(fault.Invalid, "--share: %s is named twice", id)
		}
		out = append(out, manifests.Share{ID: id, Weight: weight})
	}
	return out, nil
}

// totalOf adds up weights. What is no number is left for the statement's own
// check to name.
func totalOf(shares []manifests.Share) string {
	sum := new(big.Int)
	for _, s := range shares {
		if w, ok := new(big.Int).SetString(s.Weight, 10); ok {
			sum.Add(sum, w)
		}
	}
	return sum.String()
}

// inForce returns the shares that a version has by now: those of the newest
// complete agreement, unless the version came after it with its own.
func inForce(n *wire.Node, a *wire.Agreements) []manifests.Share {
	list := n.Contributors
	for _, g := range a.Agreements {
		if g.Complete && g.Statement == a.Newest && (*g.Completed > n.Index || n.Agreement == g.Statement) {
			list = g.Shares
		}
	}
	out := make([]manifests.Share, len(list))
	for i, c := range list {
		out[i] = manifests.Share{ID: c.ID, Weight: c.Weight}
	}
	return out
}

// transferred returns the shares after a transfer.
func (env *Env) transferred(ctx context.Context, api *client.Client, o *agreeOptions, n *wire.Node, a *wire.Agreements) ([]manifests.Share, error) {
	if o.from == "" || o.to == "" || o.weight == "" {
		return nil, fault.New(fault.Invalid, "a transfer needs --from, --to and --weight")
	}
	from, err := env.party(ctx, api, o.from)
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	to, err := env.party(ctx, api, o.to)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	moved, ok := new(big.Int).SetString(o.weight, 10)
	switch {
	case !ok || moved.Sign() <= 0:
		return nil, fault.New(fault.Invalid, "--weight %s is not a whole number above 0", fault.Quote(o.weight))
	case from == to:
		return nil, fault.New(fault.Invalid, "--from and --to are the same party")
	}
	shares := inForce(n, a)
	i := slices.IndexFunc(shares, func(s manifests.Share) bool { return s.ID == from })
	if i < 0 {
		return nil, fault.WithHint(fault.New(fault.Invalid, "%s has no share of %s", from, n.Name), "\"cairn agree show\" says who has")
	}
	has, _ := new(big.Int).SetString(shares[i].Weight, 10)
	if has == nil || has.Cmp(moved) < 0 {
		return nil, fault.New(fault.Invalid, "%s has %s shares, and %s are to move", from, shares[i].Weight, moved)
	}
	if k := slices.IndexFunc(shares, func(s manifests.Share) bool { return s.ID == to }); k < 0 {
		shares = append(shares, manifests.Share{ID: to, Weight: moved.String()})
	} else {
		had, _ := new(big.Int).SetString(shares[k].Weight, 10)
		shares[k].Weight = had.Add(had, moved).String()
	}
	if has.Sub(has, moved); has.Sign() == 0 {
		return slices.Delete(shares, i, i+1), nil
	}
	shares[i].Weight = has.String()
	return shares, nil
}

type sharesFunc func(context.Context, *client.Client, *wire.Node, *wire.Agreements) ([]manifests.Share, error)

func runAgree(ctx context.Context, env *Env, o *agreeOptions, ref string, shares sharesFunc) error {
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		s, err := env.agreement(ctx, c.API, o, ref, shares)
		if err != nil {
			return err
		}
		missing, err := env.asked(ctx, c.API, s, signer)
		if err != nil {
			return err
		}
		out, err := env.release(ctx, c.API, s, signer, o.issue)
		if err != nil {
			return err
		}
		out.Missing = missing
		env.warnMissing(missing)
		return env.show(out)
	})
}

// agreement makes the statement.
func (env *Env) agreement(ctx context.Context, api *client.Client, o *agreeOptions, ref string, shares sharesFunc) (*manifests.Statement, error) {
	n, err := env.newest(ctx, api, ref)
	if err != nil {
		return nil, err
	}
	known, err := api.Agreements(ctx, n.Work)
	if err != nil {
		return nil, err
	}
	p := &manifests.Agreement{Work: n.Work, Supersedes: known.Newest, EffectivePeriod: o.effective, Retroactive: o.retroactive}
	if p.Shares, err = shares(ctx, api, n, known); err != nil {
		return nil, err
	}
	p.Total = totalOf(p.Shares)
	if p.Attribution, err = optionalStatement("--attribution", o.attribution); err != nil {
		return nil, err
	}
	if p.EffectivePeriod == "" {
		cal, err := api.Calendar(ctx)
		if err != nil {
			return nil, err
		}
		p.EffectivePeriod = cal.Next
	}
	if err := env.fresh(ctx, api, p); err != nil {
		return nil, err
	}
	return manifests.New(p), nil
}

// newest is the newest version of the work that REF names: its shares are the
// ones that an agreement changes.
func (env *Env) newest(ctx context.Context, api *client.Client, ref string) (*wire.Node, error) {
	n, err := env.node(ctx, api, ref)
	if err != nil {
		return nil, err
	}
	return api.NamedNode(ctx, string(n.Publisher), n.Name, "")
}

// asked returns who must sign a new agreement beside the signer, who must be
// one of those that may.
func (env *Env) asked(ctx context.Context, api *client.Client, s *manifests.Statement, signer sign.Signer) ([]sign.KeyID, error) {
	payload, err := manifests.Encode(s)
	if err != nil {
		return nil, fmt.Errorf("the agreement: %w", err)
	}
	p, err := api.Parties(ctx, payload)
	if err != nil {
		return nil, err
	}
	if p.Full {
		return nil, fault.New(fault.Conflict, "more people had a share of this work than one agreement can ask")
	}
	if !slices.Contains(p.All, keyring.Identity(signer)) {
		return nil, fault.WithHint(fault.New(fault.Invalid, "%s has no share of this work, neither now nor by the agreement", keyring.Identity(signer)),
			"choose the key of a party with --key")
	}
	return slices.DeleteFunc(p.Must, func(id sign.KeyID) bool { return id == keyring.Identity(signer) }), nil
}

// tellMissing looks up whose signatures a logged agreement still waits for.
func (env *Env) tellMissing(ctx context.Context, api *client.Client, out *issued) error {
	if out.Kind != manifests.KindAgreement {
		return nil
	}
	id, err := cjson.ParseCID(out.Statement)
	if err != nil {
		return err
	}
	a, err := api.Agreement(ctx, id)
	if err != nil {
		return err
	}
	out.Missing, out.Period = a.Missing, a.From
	switch {
	case a.Complete:
		env.note("complete: these shares hold from %s on", a.From)
	case a.Stale:
		env.warn("another agreement of the work was complete first: this one never takes effect")
	default:
		env.warnMissing(a.Missing)
	}
	return nil
}

func (env *Env) warnMissing(missing []sign.KeyID) {
	if env.json || len(missing) == 0 {
		return
	}
	env.warn("not in force: an agreement counts once everybody has signed whose part falls or who is new. Missing:")
	for _, id := range missing {
		fmt.Fprintf(env.Stderr, "  %s\n", id)
	}
}

func newAgreeSign(env *Env) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "sign FILE",
		Short: "Add my signature to an agreement in a file",
		Long: `sign says what the agreement says, and adds a signature to the file. No registry
is needed for it.`,
		Example: `  cairn agree sign agreement.json --key ana`,
		Args:    exactly(1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return runStatementSign(env, args[0], out, manifests.KindAgreement)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`file` to write instead of FILE")
	return c
}

func newAgreeSubmit(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "submit FILE",
		Short: "Log an agreement from a file",
		Long: `submit logs the agreement with the signatures that the file has. When some are
missing it is pending, and submit names who has to sign.`,
		Example: `  cairn agree submit agreement.json`,
		Args:    exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return runStatementSubmit(c.Context(), env, args[0], manifests.KindAgreement)
		},
	}
}

func newAgreeShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "show REF",
		Short: "Show the agreements of a work: in force, and pending",
		Long: `show prints the shares at birth of the newest version and the agreements of its
work, newest first: in force; complete, and to begin with a later period;
replaced; pending, with who is missing; or overtaken by another one.

` + refHelp,
		Example: `  cairn agree show labels`,
		Args:    exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runAgreeShow(ctx, env, api, args[0])
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func runAgreeShow(ctx context.Context, env *Env, api *client.Client, ref string) error {
	n, err := env.newest(ctx, api, ref)
	if err != nil {
		return err
	}
	all, err := api.Agreements(ctx, n.Work)
	if err != nil {
		return err
	}
	cal, err := api.Calendar(ctx)
	if err != nil {
		return err
	}
	now := begun(all, cal.Open)
	out := struct {
		*wire.Agreements
		Version *wire.Node `json:"version"`
		// InForce is the agreement whose shares hold in the open period; absent
		// where those at birth do.
		InForce cjson.CID `json:"inForce,omitzero"`
	}{all, n, now}
	return env.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "work       %s\n", n.Work)
		fmt.Fprintf(w, "at birth   %s@%s, entry %d\n", n.Name, n.Version, n.Index)
		printShares(w, n.Contributors, n.Total)
		for _, a := range all.Agreements {
			fmt.Fprintf(w, "%-10s %s, entry %d%s\n", state(a, now, cal.Open), a.Statement, a.Index, since(a))
			printShares(w, a.Shares, a.Total)
			for _, id := range a.Missing {
				fmt.Fprintf(w, "  missing  %s\n", id)
			}
		}
	})
}

func printShares(w io.Writer, shares []wire.Contributor, total string) {
	for _, c := range shares {
		signed := "signed"
		if !c.Signed {
			signed = "not signed"
		}
		fmt.Fprintf(w, "  %s  %s of %s, %s\n", c.ID, c.Weight, total, signed)
	}
}

// begun is the newest complete agreement that has begun by a period, undefined
// for none.
func begun(all *wire.Agreements, period string) cjson.CID {
	next := all.Newest
	for _, a := range all.Agreements { // newest first, and each supersedes an older one
		if a.Statement != next {
			continue
		}
		if a.From <= period {
			return next
		}
		next = a.Supersedes
	}
	return cjson.CID{}
}

// state is what an agreement is by now.
func state(a wire.Agreement, inForce cjson.CID, open string) string {
	switch {
	case a.Complete && a.Statement == inForce:
		return "in force"
	case a.Complete && a.From > open:
		return "complete"
	case a.Complete:
		return "replaced"
	case a.Stale:
		return "overtaken"
	}
	return "pending"
}

func since(a wire.Agreement) string {
	var b strings.Builder
	if a.Complete {
		fmt.Fprintf(&b, ", from %s on", a.From)
	} else {
		fmt.Fprintf(&b, ", asked for from %s on", a.EffectivePeriod)
	}
	if a.Retroactive {
		b.WriteString(", retroactive")
	}
	return b.String()
}
