package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
)

// announced returns the key that --next names, if it names one that there is.
func (r *rotating) announced(ctx context.Context) (e keyring.Entry, err error) {
	switch {
	case r.o.next == "" || r.o.next == "new":
		return e, nil
	case strings.HasPrefix(r.o.next, "did:"):
		e.ID, err = sign.ParseKeyID(r.o.next)
	default:
		e, err = r.ring.Show(r.o.next)
	}
	if err == nil {
		err = r.unused(ctx, e.ID)
	}
	if err != nil {
		return e, fmt.Errorf("--next: %w", err)
	}
	return e, nil
}

// unused refuses a key that is to be announced and cannot follow: one that the log
// knows. What is announced binds for ever, and the log sees its digest only. By what is
// asked here, a key that has signed only statements of other kinds is not found out.
func (r *rotating) unused(ctx context.Context, id sign.KeyID) error {
	api := reader(r.api, r.o.registry)
	who, err := api.Identity(ctx, id)
	if err != nil {
		return err
	}
	reg, err := api.Registry(ctx)
	if err != nil {
		return err
	}
	page, err := api.Datasets(ctx, client.Query{Publisher: id, Limit: 1})
	if err != nil {
		return err
	}
	if who.Identity == id && len(who.Events) == 0 && who.Profile == nil && len(page.Datasets) == 0 &&
		!slices.Contains(reg.Operators, id) && !slices.Contains(reg.Arbiters, id) {
		return nil
	}
	return fault.WithHint(fault.New(fault.Conflict, "the log knows %s already, and would never let it follow", id), "announce a key that has signed nothing: --next new")
}

// agrees refuses what this run asks for beside what was begun: that is finished as it is.
func (r *rotating) agrees(rot keyring.Rotation) error {
	if r.o.to != "" && r.o.to != rot.ToName {
		return r.otherwise("to %s, the key %q, and not to %q", rot.To, rot.ToName, r.o.to)
	}
	same := true
	switch next := r.o.next; {
	case next == "":
	case next == "new":
		same = rot.Next != ""
	case strings.HasPrefix(next, "did:"):
		same = rot.Next == manifests.KeyDigest(sign.KeyID(next))
	default:
		e, err := r.ring.Show(next)
		if err != nil {
			return fmt.Errorf("--next: %w", err)
		}
		same = rot.Next == manifests.KeyDigest(e.ID)
	}
	if !same {
		return r.otherwise("and it does not announce the key that --next names")
	}
	return nil
}

func (r *rotating) otherwise(format string, args ...any) error {
	return fault.WithHint(fault.New(fault.Conflict, "a rotation of the key %q was begun and not finished, "+format, append([]any{r.name}, args...)...),
		"finish it first, without --to and --next: cairn key rotate %s", r.name)
}
