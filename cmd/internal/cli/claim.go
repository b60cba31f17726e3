package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

func newClaim(env *Env) *cobra.Command {
	var o issue
	var profile string
	c := &cobra.Command{
		Use:   "claim PATH|CID",
		Short: "Commit to data before you show it",
		Long: `claim logs a salted hash of a data root: nobody learns what it is, and opened later
it proves that you held the data at that entry. PATH is hashed as "cairn add"
would, and nothing of it is stored. The salt goes into a private file beside the
keys: keep it, without it the claim opens nothing. It prints the statement's CID.`,
		Example: `  cairn claim ./unpublished
  cairn claim verify ~/.cairn/keys/3f6c….claim.json`,
		Args: exactly(1, "one PATH or CID"),
		RunE: func(c *cobra.Command, args []string) error { return runClaim(c.Context(), env, o, args[0], profile) },
	}
	c.Flags().StringVar(&profile, "profile", dag.ProfileV1_2025.Name, "CID `profile` for a PATH: unixfs-v1-2025 or unixfs-v0-2015, as of \"cairn add\"")
	o.register(c)
	c.AddCommand(newClaimVerify(env))
	return c
}

func runClaim(ctx context.Context, env *Env, o issue, what, profile string) error {
	root, err := env.claimed(ctx, what, profile)
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
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		claim, err := keyring.NewClaim(keyring.Identity(signer), root)
		if err != nil {
			return err
		}
		p := &manifests.Commit{Identity: keyring.Identity(signer), Commitment: claim.Commitment}
		if err := env.fresh(ctx, c.API, p); err != nil {
			return err
		}
		// The opening is on disk before its commitment is anywhere else.
		private, err := ring.SaveClaim(claim)
		if err != nil {
			return err
		}
		out, err := env.release(ctx, c.API, manifests.New(p), signer, o)
		if err != nil {
			return err
		}
		out.Private = private
		if !env.json {
			env.warn("the salt is in %s: keep it, and to yourself until you show the data", private)
		}
		return env.show(out)
	})
}

// claimed is the CID that a claim is about: that of a path, as add would make it,
// or the one that is given.
func (env *Env) claimed(ctx context.Context, what, profile string) (cid.Cid, error) {
	if _, err := os.Lstat(what); errors.Is(err, os.ErrNotExist) {
		c, err := cjson.ParseCID(what)
		if err != nil {
			return cid.Undef, fault.New(fault.NotFound, "%s is neither a path nor a CID", fault.Quote(what))
		}
		return c, nil
	}
	p, err := dag.ParseProfile(profile)
	if err != nil {
		return cid.Undef, fmt.Errorf("--profile: %w", err)
	}
	bar := env.bar("hashing")
	o := ingest.AddOptions{NoSketch: true, Profile: p, PreScan: bar != nil, Progress: func(p ingest.Progress) { bar.Update(p.Bytes, p.TotalBytes, p.Files) }}
	r, err := ingest.Add(ctx, what, nil, o)
	bar.Done()
	if err != nil {
		return cid.Undef, err
	}
	return r.Root, nil
}

// A verifiedClaim is what claim verify prints with --json.
type verifiedClaim struct {
	Identity   sign.KeyID `json:"identity"`
	CID        cjson.CID  `json:"cid"`
	Commitment string     `json:"commitment"`
}

func newClaimVerify(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Check that the file of a claim opens its commitment",
		Long: `verify computes the commitment from the CID and the salt in the file. Exit status 3
means that it does not hold. That the commitment is in the log, and where, says
"cairn statement show" with the claim's CID.`,
		Example: `  cairn claim verify ~/.cairn/keys/3f6c….claim.json`,
		Args:    exactly(1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := keyring.ReadClaim(args[0])
			if err != nil {
				return err
			}
			if err := c.Verify(); err != nil {
				return err
			}
			return env.print(verifiedClaim{c.Identity, c.CID, c.Commitment}, func(w io.Writer) {
				fmt.Fprintf(w, "holds  %s opens %s\n", c.CID, c.Commitment)
			})
		},
	}
}
