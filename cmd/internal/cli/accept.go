package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/ipfs/go-cid"
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

func newAccept(env *Env) *cobra.Command {
	var o issue
	var fetchers []string
	var url string
	var again bool
	c := &cobra.Command{
		Use:   "accept REF|TERMS",
		Short: "Accept the terms of a dataset, by signature",
		Long: `accept logs that you accept a terms document, and prints the CID of the statement.
It covers every version that names the same document, later ones too. Read them
first: "cairn terms explain REF". TERMS is the CID of the document itself.

--fetcher names further keys that fetch for you, such as that of a training
cluster or an IPFS node. An acceptance cannot be taken back. "cairn accepted" lists
acceptances.

Accepting what you have accepted, with no fetcher that is new, logs nothing. With
new ones the list is replaced, so name all of them; --again replaces it in any
case, also by a shorter one.

With --registry the acceptance goes into the log of the registry at URL, which must
take statements of your key. Data whose terms must be accepted first is then given
out to you there: "cairn access" gets a token. An acceptance opens nothing anywhere
else, and what another server already holds cannot be called back by anybody.

` + refHelp,
		Example: `  cairn accept ana/interviews
  cairn accept ana/interviews --fetcher did:key:z6Mk… --registry https://registry.example
  cairn accept ana/interviews --again   # and nobody fetches for me any more`,
		Args: exactly(1, "one REF or TERMS"),
		RunE: func(c *cobra.Command, args []string) error {
			build := func(ctx context.Context, api *client.Client, signer sign.Signer) (*manifests.Statement, error) {
				terms, err := env.termsNamed(ctx, api, args[0])
				if err != nil {
					return nil, err
				}
				a := &manifests.Accept{Party: keyring.Identity(signer), Terms: cjson.CID{Cid: terms}}
				for _, text := range fetchers {
					id, err := env.party(ctx, api, text)
					if err != nil {
						return nil, fmt.Errorf("--fetcher: %w", err)
					}
					if id != a.Party {
						a.Fetchers = append(a.Fetchers, id)
					}
				}
				slices.Sort(a.Fetchers)
				a.Fetchers = slices.Compact(a.Fetchers)
				if !again {
					if err := standingAcceptance(ctx, api, a); err != nil {
						return nil, err
					}
				}
				if err := env.fresh(ctx, api, a); err != nil {
					return nil, err
				}
				return manifests.New(a), nil
			}
			if url != "" {
				return env.acceptAt(c.Context(), url, o, build)
			}
			return env.issues(c.Context(), o, func(ctx context.Context, c *daemon.Conn, signer sign.Signer) (*manifests.Statement, error) {
				return build(ctx, c.API, signer)
			})
		},
	}
	c.Flags().StringArrayVar(&fetchers, "fetcher", nil, "`DID` of a key that fetches for you (repeatable)")
	c.Flags().BoolVar(&again, "again", false, "accept again even when nothing is new, and replace the list of fetchers")
	c.Flags().StringVar(&url, "registry", "", "accept at the registry at this `URL`, by a signed request")
	o.register(c)
	return c
}

// standingAcceptance returns an [already] when the log has an acceptance by the same
// party of the same terms, with all the fetchers that a names.
func standingAcceptance(ctx context.Context, api *client.Client, a *manifests.Accept) error {
	old, err := acceptance(ctx, api, a.Terms.Cid, a.Party)
	if err != nil || old == nil {
		return err
	}
	for _, f := range a.Fetchers {
		if !slices.Contains(old.Fetchers, f) {
			return nil
		}
	}
	says := fmt.Sprintf("%s accepted the terms %s already, entry %d", a.Party, a.Terms, old.Index)
	hint := ""
	switch n := len(old.Fetchers); n {
	case 0:
	case 1:
		says += ", with 1 fetcher"
	default:
		says += fmt.Sprintf(", with %d fetchers", n)
	}
	if len(old.Fetchers) > len(a.Fetchers) {
		hint = "--again replaces the list of fetchers by what you name now"
	}
	return &already{manifests.KindAccept, old.Statement, old.Index, says, hint}
}

// acceptAt logs an acceptance at another registry.
func (env *Env) acceptAt(ctx context.Context, url string, o issue, build func(context.Context, *client.Client, sign.Signer) (*manifests.Statement, error)) error {
	if err := validURL("--registry", url); err != nil {
		return err // before a key is made
	}
	signer, err := env.mineOrNew()
	if err != nil {
		return err
	}
	api, err := env.signed(url, signer)
	if err != nil {
		return err
	}
	if err := knows(ctx, signer, url); err != nil {
		return err
	}
	s, err := build(ctx, client.New(url, nil), signer)
	var a *already
	if errors.As(err, &a) {
		return env.unchanged(a, o)
	}
	if err != nil {
		return err
	}
	out, err := env.release(ctx, api, s, signer, o)
	if err != nil {
		return notTaken(err, url, signer.ID())
	}
	return env.show(out)
}

// notTaken says what it means that a registry elsewhere did not take the acceptance
// of a key: it takes none from outside, or none of this key.
func notTaken(err error, url string, id sign.KeyID) error {
	switch fault.Of(err) {
	case fault.NotFound:
		err = fault.New(fault.Denied, "the registry at %s takes no statements from outside", fault.Printable(url))
	case fault.Denied, fault.Unauthenticated:
		err = fmt.Errorf("the registry at %s does not take statements of %s: %w", fault.Printable(url), id, err)
	default:
		return err
	}
	return fault.WithHint(err, "write it with \"cairn accept REF --registry %s -o FILE\", and hand the file to its operator: \"cairn statement submit FILE\" logs it", fault.Printable(url))
}

// termsNamed returns the terms document of a version, or the one whose CID the
// text is.
func (env *Env) termsNamed(ctx context.Context, api *client.Client, text string) (cid.Cid, error) {
	n, err := env.node(ctx, api, text)
	if err == nil {
		return n.Terms.Cid, nil
	}
	if id, bad := cjson.ParseCID(text); bad == nil && id.Prefix().Codec == cid.DagJSON && errors.Is(err, fault.NotFound) {
		if _, err := api.Terms(ctx, id); errors.Is(err, fault.NotFound) {
			return cid.Undef, fault.New(fault.NotFound, "%s is neither a version nor a terms document that this registry has", id)
		} else if err != nil {
			return cid.Undef, err
		}
		return id, nil
	}
	return cid.Undef, err
}

func newAccepted(env *Env) *cobra.Command {
	var from remoteFlags
	var who, of string
	c := &cobra.Command{
		Use:   "accepted",
		Short: "List who accepted which terms",
		Long: `accepted lists acceptances: those of the terms of one version with --of, those of
one party with --party, or your own. With both, the one by which that party, or
a key that fetches for it, may fetch the version.`,
		Example: `  cairn accepted --of ana/interviews
  cairn accepted --party did:key:z6Mk… --json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				var terms cid.Cid
				var party sign.KeyID
				var err error
				if of != "" {
					if terms, err = env.termsNamed(ctx, api, of); err != nil {
						return err
					}
				}
				if who != "" {
					if party, err = env.party(ctx, api, who); err != nil {
						return err
					}
				} else if of == "" {
					if party = env.own(); party == "" {
						return fault.WithHint(fault.New(fault.Invalid, "whose?"), "give --of REF or --party DID")
					}
				}
				out := wire.AcceptancePage{Acceptances: []wire.Acceptance{}}
				for after := sign.KeyID(""); ; {
					p, err := api.Acceptances(ctx, terms, party, after)
					if err != nil {
						return err
					}
					out.Size, out.Acceptances = p.Size, append(out.Acceptances, p.Acceptances...)
					if after = p.Next; after == "" {
						break
					}
				}
				if len(out.Acceptances) == 0 {
					env.note("none")
				}
				return env.print(out, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
					for _, a := range out.Acceptances {
						fmt.Fprintf(t, "%s\t%s\t%s\t%d fetchers\n", a.Party, a.Terms, a.Statement, len(a.Fetchers))
					}
					t.Flush()
				})
			})
		},
	}
	c.Flags().StringVar(&of, "of", "", "`REF` of a version, or the CID of its terms")
	c.Flags().StringVar(&who, "party", "", "`DID`, handle or key of who accepted")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}
