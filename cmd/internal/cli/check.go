package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newCheck(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check everything in this home, byte by byte",
		Long: `check reads every byte of every pack and every file of the log, recomputes every
hash, tile and root, replays every entry, and compares the verdicts, the fold's
digest and the index with those of the replay. It mends nothing.

Exit status: 0 all holds, 3 something does not hold; any other: it could not be
checked.`,
		Example: "  cairn check --json",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withHome(c.Context(), func(ctx context.Context, conn *daemon.Conn) error {
				return runCheck(ctx, env, conn)
			})
		},
	}
}

func runCheck(ctx context.Context, env *Env, conn *daemon.Conn) error {
	env.roomy()
	r := new(wire.CheckReport)
	ctx, end := env.stages(ctx)
	defer end()
	if conn.Home != nil {
		// The files first, as they lie there: opening the log mends what a crash
		// leaves, and refuses what is not the tree that was signed.
		findings, err := conn.Home.CheckLog(ctx)
		if err != nil {
			return err
		}
		r.Findings = findings
	}
	if len(r.Findings) == 0 {
		var err error
		if r, err = conn.API.Check(ctx); err != nil {
			return err
		}
	}
	end()
	err := env.print(r, func(w io.Writer) {
		for _, f := range r.Findings {
			fmt.Fprintln(w, f)
		}
		if r.Root != "" {
			fmt.Fprintf(w, "size     %d\nroot     %s\ndigest   %s\nblocks   %d\n", r.Size, r.Root, r.Digest, r.Blocks)
			for _, v := range slices.Sorted(maps.Keys(r.Verdicts)) {
				fmt.Fprintf(w, "entries  %d %s\n", r.Verdicts[v], v)
			}
		}
		if proof.AnyFails(r.Findings) {
			fmt.Fprintln(w, "DOES NOT HOLD")
		} else {
			fmt.Fprintln(w, "holds")
		}
	})
	if err != nil {
		return err
	}
	if proof.AnyFails(r.Findings) {
		env.shown = true
		return fault.New(fault.Unverified, "it does not hold")
	}
	return nil
}

func newRebuild(env *Env) *cobra.Command {
	var overlap bool
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Make the index anew from the log",
		Long: `rebuild deletes the index and replays the log into a new one. The index holds
nothing of its own, so the result is the same to the last byte; "cairn check"
compares it.

With --overlap it leaves that index alone and makes the one that "cairn overlap"
asks anew, from the sketches and fingerprints that manifests name.`,
		Example: "  cairn rebuild",
		Args:    exactly(0, "no arguments"),
		RunE:    func(c *cobra.Command, _ []string) error { return runRebuild(c.Context(), env, overlap) },
	}
	c.Flags().BoolVar(&overlap, "overlap", false, "make the index of overlap anew instead")
	return c
}

func runRebuild(ctx context.Context, env *Env, overlap bool) (err error) {
	dir, cfg, err := env.homeDir()
	if err != nil {
		return err
	}
	if !daemon.HasLog(dir) {
		return noRegistry(dir)
	}
	c, err := daemon.Connect(ctx, dir, env.options(cfg))
	if err != nil {
		return err
	}
	defer func() { err = joinClose(ctx, err, c) }()
	if c.Home == nil {
		return fault.WithHint(fault.New(fault.Busy, "a server has this home open"), "stop \"cairn serve\" first")
	}
	env.roomy()
	if overlap {
		return rebuildOverlap(ctx, env, c.Home)
	}
	start := env.Now()
	work, end := env.stages(ctx)
	n, digest, err := c.Home.Rebuild(work, nil)
	end()
	if err != nil {
		return err
	}
	out := struct {
		Entries uint64 `json:"entries"`
		Digest  string `json:"digest"`
	}{n, hex.EncodeToString(digest[:])}
	env.note("%d entries in %v", n, env.Now().Sub(start).Round(time.Millisecond))
	return env.print(out, func(w io.Writer) { fmt.Fprintf(w, "entries  %d\ndigest   %s\n", out.Entries, out.Digest) })
}
