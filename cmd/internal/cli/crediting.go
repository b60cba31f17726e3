package cli

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A crediting is who is credited for a dataset or a model: the flag, then what
// it comes to.
type crediting struct {
	contributors []string

	people []manifests.Contributor
	shares []manifests.Share
	total  string
	// implied says that nobody said who: a next version credits those of the
	// version before.
	implied bool
	// agreement is the one by which a next version shares its revenue.
	agreement cjson.CID
}

func (k *crediting) register(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&k.contributors, "contributor", nil, "a `contributor`: 'Name <did:key…>;share=N;role=r1,r2' (repeatable; default: those of the version before, else the signing key alone)")
}

// resolve works out who is credited: those of --contributor, else those of said,
// each with one share, else the signer alone.
func (k *crediting) resolve(said []manifests.Contributor, signer sign.KeyID) error {
	weights := make(map[sign.KeyID]string)
	for _, text := range k.contributors {
		p, weight, err := manifests.ParseContributor(text)
		if err != nil {
			return fmt.Errorf("--contributor: %w", err)
		}
		if weights[p.ID] != "" {
			return fault.New(fault.Invalid, "--contributor: %s is named twice", p.ID)
		}
		k.people = append(k.people, p)
		weights[p.ID] = weight
	}
	if len(k.people) == 0 {
		k.people = said
	}
	if k.implied = len(k.people) == 0; k.implied {
		k.people = []manifests.Contributor{{ID: signer}}
	}
	sum := new(big.Int)
	for _, p := range k.people {
		weight := weights[p.ID]
		if weight == "" {
			weight = "1"
		}
		w, ok := new(big.Int).SetString(weight, 10)
		if !ok {
			return fault.New(fault.Invalid, "share %s of %s is not a number", fault.Quote(weight), p.ID)
		}
		sum.Add(sum, w)
		k.shares = append(k.shares, manifests.Share{ID: p.ID, Weight: weight})
	}
	k.total = sum.String()
	return nil
}

// takeOver credits those of an earlier version, with their weights. people are
// what is known of them by name.
func (k *crediting) takeOver(people []manifests.Contributor, list []wire.Contributor, total string) {
	k.people, k.shares, k.total, k.agreement = nil, nil, total, cjson.CID{}
	for _, c := range list {
		p := manifests.Contributor{ID: c.ID}
		if i := slices.IndexFunc(people, func(p manifests.Contributor) bool { return p.ID == c.ID }); i >= 0 {
			p = people[i]
		}
		k.people = append(k.people, p)
		k.shares = append(k.shares, manifests.Share{ID: c.ID, Weight: c.Weight})
	}
}

// follow names the newest complete agreement that the version before shares its
// revenue by, after takeOver. While that has not begun, the new version's own
// contributors count, so that they are those of the agreement in force.
func (k *crediting) follow(ctx context.Context, api *client.Client, before cid.Cid) error {
	n, err := api.Node(ctx, before)
	if err != nil {
		return err
	}
	known, err := api.Agreements(ctx, n.Work)
	if err != nil || !known.Newest.Defined() {
		return err
	}
	cal, err := api.Calendar(ctx)
	if err != nil {
		return err
	}
	for next := known.Newest; next.Defined(); {
		g, err := api.Agreement(ctx, next.Cid)
		if err != nil {
			return err
		}
		if *g.Completed < n.Index && g.Statement != n.Agreement {
			return nil // the version came after it, with shares of its own
		}
		newest := next == known.Newest
		switch begun := g.From <= cal.Open; {
		case begun && !newest:
			named := k.agreement
			k.takeOver(k.people, g.Shares, g.Total)
			k.agreement = named
			return nil
		case newest:
			k.agreement = next
			if begun {
				return nil
			}
		}
		next = g.Supersedes
	}
	return nil
}

// credited says whose shares the version after before takes over, where that is
// not plain.
func (env *Env) credited(k *crediting, before string, signer sign.KeyID) {
	switch {
	case k.agreement.Defined():
		env.warn("note: revenue is shared like that of %s, by the agreement %s; with --contributor by others", before, k.agreement)
	case len(k.shares) != 1 || k.shares[0].ID != signer:
		env.warn("note: the contributors are those of %s; with --contributor they are others", before)
	}
}
