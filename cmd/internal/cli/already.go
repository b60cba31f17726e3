package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// An already is what the builder of a statement returns instead when the log says
// the same: nothing is signed, nothing is appended, and the command succeeds.
type already struct {
	kind      manifests.Kind
	statement cjson.CID
	index     uint64
	says      string // what the log has, in plain words
	hint      string // what to do for a new one, where there is something
}

func (a *already) Error() string { return a.says }

// unchanged prints what the log has already. A file that was asked for is not
// written, so that is a conflict.
func (env *Env) unchanged(a *already, o issue) error {
	if o.file != "" {
		err := fault.New(fault.Conflict, "%s: statement %s; %s is not written", a.says, a.statement, fault.Quote(o.file))
		if a.hint != "" {
			err = fault.WithHint(err, "%s", a.hint)
		}
		return err
	}
	if !env.json {
		env.warn("unchanged: %s", a.says)
		if a.hint != "" {
			env.note("%s", a.hint)
		}
	}
	return env.show(&issued{
		Statement: a.statement.String(), Kind: a.kind, Signers: []sign.KeyID{}, Says: []string{a.says}, Index: &a.index, Unchanged: true,
	})
}

// stated is unchanged for the commands that print an entry.
func (env *Env) stated(a *already) error {
	if !env.json {
		env.warn("unchanged: %s", a.says)
	}
	out := struct {
		Index     uint64    `json:"index"`
		Statement cjson.CID `json:"statement"`
		Verdict   string    `json:"verdict"`
		Unchanged bool      `json:"unchanged"`
	}{a.index, a.statement, "accepted", true}
	return env.print(out, func(w io.Writer) { fmt.Fprintf(w, "entry %d\n", a.index) })
}

// acceptance returns the newest acceptance of a terms document that party itself
// signed; nil for none.
func acceptance(ctx context.Context, api *client.Client, terms cid.Cid, party sign.KeyID) (*wire.Acceptance, error) {
	p, err := api.Acceptances(ctx, terms, party, "")
	if err != nil {
		return nil, err
	}
	for _, a := range p.Acceptances {
		// The answer may also be that of somebody for whom party fetches.
		if a.Party == party && a.Terms.Equals(terms) {
			return &a, nil
		}
	}
	return nil, nil
}

// revoked returns the entry that revoked a key; nil for none.
func revoked(ctx context.Context, api *client.Client, id sign.KeyID) (*wire.KeyEvent, error) {
	who, err := keyHistory(ctx, api, id)
	if fault.Of(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range who.Events {
		if e.Op == manifests.KeyRevoke && e.Key == id {
			return &e, nil
		}
	}
	return nil, nil
}

// profileOf returns the profile in force of an identity, and where it is; nil for
// none, and for one whose body is erased.
func profileOf(ctx context.Context, api *client.Client, id sign.KeyID) (*manifests.Profile, *wire.Profile, error) {
	who, err := api.Identity(ctx, id)
	if fault.Of(err) == fault.NotFound || err == nil && who.Profile == nil {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	_, s, err := envelopeAt(ctx, api, who.Profile.Statement.Cid)
	if fault.Of(err) == fault.Gone {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	p, _ := s.Predicate.(*manifests.Profile)
	return p, who.Profile, nil
}
