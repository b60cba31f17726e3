package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// acceptFlag is --accept of the commands that fetch data. Without it, terms are
// never accepted on the way.
type acceptFlag struct{ on bool }

func (a *acceptFlag) register(c *cobra.Command) {
	c.Flags().BoolVar(&a.on, "accept", false, "where the registry asks for it, accept the terms of the data by signature, and fetch it with a token for that")
}

const acceptHelp = `Data whose terms must be accepted first is refused with the terms named; nothing is
accepted on the way. With --accept, get, cat and car export show the terms in a few
words, sign that you accept them (with a key that is made in a home without any), log
that at the registry of --from, and fetch with a token that is kept nowhere. Whose
log that goes to is checked against --policy, or the keys in this home's trust/, for
a CID as well. Terms that were accepted before are not accepted again.`

// check refuses --accept where nobody could ask for it.
func (a acceptFlag) check(f *sourceFlags) error {
	switch {
	case !a.on:
		return nil
	case f.peers.on:
		return fault.WithHint(fault.New(fault.Invalid, "--accept does not go with --p2p: peers know who may fetch by the key they are known by"),
			`"cairn accept REF --registry URL --fetcher KEY", then --peer-key KEY`)
	case len(f.urls) == 0:
		return fault.WithHint(fault.New(fault.Invalid, "--accept belongs to --from: the home itself gives its owner everything"), `"cairn accept REF" accepts terms in the home's own log`)
	}
	return nil
}

// An agreed is what --accept came to, as get and car export print it with --json.
type agreed struct {
	Registry  string    `json:"registry"`
	Terms     cjson.CID `json:"terms"`
	Statement string    `json:"statement"` // the acceptance
	Index     uint64    `json:"index"`
	Unchanged bool      `json:"unchanged,omitempty"` // it was in the log already
	Says      []string  `json:"says"`                // what was signed, in plain words
	Trust     string    `json:"trust"`               // whose word the registry's log was verified with
}

// A gate is data that a registry gives out to who has accepted its terms.
type gate struct {
	api *client.Client
	at  int // of api in the list of sources
	d   *wire.Dataset
}

// gateOf returns what stands between the caller and the data below root, of which a
// registry refused a block; nil when that is not terms that could be accepted. ref
// tells versions of the same data apart.
func (env *Env) gateOf(ctx context.Context, api *client.Client, at int, ref string, root cid.Cid) (*gate, error) {
	res, err := api.Resolve(ctx, root.String())
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	gated := slices.DeleteFunc(slices.Clone(res.Datasets), func(d wire.Dataset) bool {
		return !d.Rules.GatesBytes() || !d.Root.Equals(root) || d.Withdrawn != nil || d.Erased != nil
	})
	// The version that REF names goes first; its terms need not be the only ones.
	if named, err := env.resolve(ctx, api, ref); err == nil && len(named.Datasets) == 1 {
		if i := slices.IndexFunc(gated, func(d wire.Dataset) bool { return d.Statement == named.Datasets[0].Statement }); i >= 0 {
			gated = gated[i : i+1]
		}
	}
	if len(gated) == 0 {
		return nil, nil
	}
	for _, d := range gated[1:] {
		if d.Terms != gated[0].Terms {
			return nil, severalTerms(ref, gated)
		}
	}
	return &gate{api, at, &gated[0]}, nil
}

func severalTerms(ref string, list []wire.Dataset) error {
	var all []string
	for _, d := range list {
		all = append(all, fmt.Sprintf("  %s  %s/%s@%s, terms %s", d.Statement, d.Publisher, d.Name, d.Version, d.Terms))
	}
	return fault.WithHint(fault.New(fault.Conflict, "%s is given out under several terms:\n%s", fault.Quote(ref), strings.Join(all, "\n")),
		"name one of the statements by its CID")
}

// refused adds to a refusal what may be done about it, where that is to accept
// terms.
func (env *Env) refused(ctx context.Context, err error, api *client.Client, list []remote.Source, at int, ref string, root cid.Cid) error {
	if fault.Of(err) != fault.Denied {
		return err
	}
	g, failed := env.gateOf(ctx, api, at, ref, root)
	if failed != nil || g == nil {
		return err
	}
	return fault.WithHint(err, `"cairn terms explain %s --registry %s" says what they allow; the same command with --accept accepts them by signature and goes on; or "cairn accept", then "cairn access" for a --bearer-file`,
		g.d.Terms, fault.Printable(list[at].URL))
}

// pass accepts the terms of a gate, if the key has not done so before, and returns
// a token that opens it.
func (env *Env) pass(ctx context.Context, g *gate, url string, from *remoteFlags) (token string, out *agreed, err error) {
	policy, origin, t, err := env.vouchedTerms(ctx, g, from)
	if err != nil {
		return "", nil, err
	}
	if err := env.brief(g, url, t); err != nil {
		return "", nil, err
	}
	signer, err := env.mineOrNew()
	if err != nil {
		return "", nil, err
	}
	api, err := env.signed(url, signer)
	if err != nil {
		return "", nil, err
	}
	out = &agreed{Registry: url, Terms: g.d.Terms, Trust: policy.From}
	a := &manifests.Accept{Party: keyring.Identity(signer), Terms: g.d.Terms}
	var done *already
	switch err := standingAcceptance(ctx, g.api, a); {
	case errors.As(err, &done):
		if !env.json {
			env.warn("unchanged: %s", done.says)
		}
		out.Statement, out.Index, out.Unchanged, out.Says = done.statement.String(), done.index, true, []string{done.says}
	case err != nil:
		return "", nil, err
	default:
		// The origin is that of the log that was verified, not what the server says now.
		if a.Common, err = env.common(origin); err != nil {
			return "", nil, err
		}
		logged, err := env.release(ctx, api, manifests.New(a), signer, issue{})
		if err != nil {
			return "", nil, notTaken(err, url, signer.ID())
		}
		out.Statement, out.Index, out.Says = logged.Statement, *logged.Index, logged.Says
	}
	if err := onRecord(ctx, g.api, policy, out.Statement, a); err != nil {
		return "", nil, err
	}
	access, err := access(ctx, api)
	if err != nil {
		return "", nil, fmt.Errorf("the terms are accepted; getting a token: %w", err)
	}
	return access.Token, out, nil
}

// vouchedTerms returns the terms that the statement of a gate names, and the origin
// of the log, once its bundle verifies: nobody signs for a log whose key is not
// known, or for terms that only a server's answer brought up.
func (env *Env) vouchedTerms(ctx context.Context, g *gate, from *remoteFlags) (*auditing.Policy, string, *terms.Terms, error) {
	dir, _, err := env.homeDir()
	if err != nil {
		return nil, "", nil, err
	}
	p, err := auditing.Trust{Home: dir, PolicyFile: from.policy, FirstUse: from.firstUse}.At(ctx, g.api)
	if err != nil {
		return nil, "", nil, fmt.Errorf("before terms are accepted: %w", err)
	}
	r, err := proofOf(ctx, g.api, p, g.d.Statement.Cid)
	if err != nil {
		return nil, "", nil, err
	}
	c, ok := r.Predicate().(*manifests.Contribution)
	root, rootErr := r.Subject()
	if !r.Holds() || !ok || !r.Statement.Equals(g.d.Statement.Cid) || c.Terms != g.d.Terms || rootErr != nil || !root.Equals(g.d.Root.Cid) {
		return nil, "", nil, fault.New(fault.Unverified, "the registry's proof that %s@%s has the terms %s does not hold: nothing is accepted", g.d.Name, g.d.Version, g.d.Terms)
	}
	// What is shown is what is proved.
	g.d.Publisher, g.d.Name, g.d.Version = c.Publisher, c.Dataset.Name, c.Dataset.Version
	doc, err := g.api.Terms(ctx, g.d.Terms.Cid)
	if err != nil {
		return nil, "", nil, err
	}
	t, err := terms.Decode(doc)
	return p, r.Origin, t, err
}

// onRecord checks the registry's proof that the acceptance a is in its log.
func onRecord(ctx context.Context, api *client.Client, policy *auditing.Policy, statement string, a *manifests.Accept) error {
	id, err := cjson.ParseCID(statement)
	if err != nil {
		return err
	}
	r, err := proofOf(ctx, api, policy, id)
	if err != nil {
		return err
	}
	logged, ok := r.Predicate().(*manifests.Accept)
	if !r.Holds() || !r.Statement.Equals(id) || !ok || logged.Party != a.Party || logged.Terms != a.Terms {
		return fault.New(fault.Unverified, "the registry's proof that it has the acceptance %s does not hold", statement)
	}
	return nil
}

// brief shows on stderr what is about to be accepted.
func (env *Env) brief(g *gate, url string, t *terms.Terms) error {
	now, err := env.at("")
	if err != nil {
		return err
	}
	x, err := terms.DefaultTable().Explain(t, g.d.Terms, now)
	if err != nil {
		return err
	}
	if env.json {
		return nil
	}
	env.warn("%s/%s@%s is given out to who accepts its terms:", g.d.Publisher, g.d.Name, g.d.Version)
	briefly(env.Stderr, t, x)
	fmt.Fprintf(env.Stderr, "  \"cairn terms explain %s --registry %s\" says why. %s\n", g.d.Terms, fault.Printable(url), x.Notice)
	return nil
}

// briefly writes an explanation of terms in a few lines: the answer for each use,
// and each thing that is owed once.
func briefly(w io.Writer, t *terms.Terms, x *terms.Explanation) {
	if t.Title != "" {
		fmt.Fprintf(w, "  %s\n", fault.Printable(t.Title))
	}
	fmt.Fprintf(w, "  licence %s\n  terms   %s\n", fault.Printable(x.License), x.Terms)
	for _, id := range x.Unknown {
		fmt.Fprintf(w, "  %s: not in the licence table; what it allows is not known\n", fault.Printable(id))
	}
	var owed []string
	for i := 0; i+1 < len(x.Uses); i += 2 {
		commercial, free := x.Uses[i], x.Uses[i+1]
		if commercial.Verdict == free.Verdict {
			fmt.Fprintf(w, "  %s: %s\n", useWords[commercial.Use], verdictWords[commercial.Verdict])
		} else {
			fmt.Fprintf(w, "  %s: %s; when commercial, %s\n", useWords[commercial.Use], verdictWords[free.Verdict], verdictWords[commercial.Verdict])
		}
		for _, o := range append(slices.Clone(commercial.Obligations), free.Obligations...) {
			// To accept is what is being done.
			if words := o.Words(); o.Kind != terms.OweAccept && !slices.Contains(owed, words) {
				owed = append(owed, words)
			}
		}
	}
	for _, words := range owed {
		fmt.Fprintf(w, "  must, for some uses: %s\n", fault.Printable(words))
	}
	for _, n := range x.Notes {
		fmt.Fprintf(w, "  %s\n", fault.Printable(n))
	}
}
