package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/audit"
	"github.com/cairn-registry/cairn/registry/client"
)

func newAudit(env *Env) *cobra.Command {
	var from remoteFlags
	var out, blocks, since string
	var seed uint64
	c := &cobra.Command{
		Use:   "audit REF",
		Short: "Check the provenance of a dataset",
		Long: `audit checks, one by one: envelope, signatures and who they belong to, the
statement's encoding, leaf, inclusion in the log, checkpoint and origin, growth
since the last audit, every entry and hash of the log, key events, manifest,
terms and licence text, lineage, and the data: its structure and counts, its
blocks, and the SHA-256 of its files.

--blocks sample reads a seeded sample of the data's leaves, none reads none of
them; the report says so. --registry audits a registry elsewhere, which is not
trusted: its key must be in --policy or in this home's trust/.

Exit status: 0 it holds, 3 it does not hold; any other: it could not be checked.

` + refHelp,
		Example: `  cairn audit seattle-weather
  cairn audit ana/labels --registry https://registry.example --policy log.vkey -o report.json`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			mode, err := auditing.ParseMode(blocks)
			if err != nil {
				return err
			}
			o := audit.Options{Blocks: mode, Seed: seed}
			if since != "" {
				if o.Since, err = auditing.ReadBounded(since, proof.MaxCheckpoint); err != nil {
					return fmt.Errorf("--since: %w", err)
				}
			}
			run := func(ctx context.Context, src auditing.Source) error {
				return runAudit(ctx, env, src, args[0], o, from, out)
			}
			if from.url != "" {
				if err := validURL("--registry", from.url); err != nil {
					return err
				}
				src, err := auditing.Remote(from.url, nil)
				if err != nil {
					return err
				}
				return run(c.Context(), src)
			}
			return env.withHome(c.Context(), func(ctx context.Context, conn *daemon.Conn) error {
				return run(ctx, auditing.Source{Client: conn.API, Blocks: unixfs.Blocks(conn.Blocks)})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&blocks, "blocks", string(audit.All), "`which` blocks of the data to read: all, sample or none")
	f.Uint64Var(&seed, "seed", auditing.Seed(), "`number` that draws the sample (default: random; the report states it)")
	f.Lookup("seed").DefValue = "0"
	f.StringVar(&since, "since", "", "`file` with a checkpoint that was seen earlier")
	f.StringVarP(&out, "output", "o", "", "`file` for the report, as JSON")
	from.register(c, "registry", "audit at the registry at this `URL`", true)
	return c
}

func runAudit(ctx context.Context, env *Env, src auditing.Source, ref string, o audit.Options, from remoteFlags, out string) error {
	env.roomy()
	dir, _, err := env.homeDir()
	if err != nil {
		return err
	}
	p, err := auditing.Trust{Home: dir, PolicyFile: from.policy, FirstUse: from.firstUse}.At(ctx, src.Client)
	if err != nil {
		return err
	}
	d, err := env.one(ctx, src.Client, ref)
	if err != nil {
		return err
	}
	o.Policy, o.Trust = p.Policy, p.From
	if o.Since == nil {
		o.Since = p.Seen
	}
	bar := env.bar("auditing")
	if bar != nil {
		o.Progress = func(done, total int64) { bar.Update(done, total, 0) }
	}
	r, err := audit.Dataset(ctx, src, d.Statement.Cid, src.Options(o))
	bar.Done()
	if err != nil {
		return err
	}
	if err := p.Saw(r.Origin, r.Latest); err != nil {
		return err
	}
	if err := auditing.Print(env.Stdout, r, env.json, out); err != nil {
		return err
	}
	env.shown = r.Result == audit.DoesNotHold
	return r.Err()
}

func newReceipt(env *Env) *cobra.Command {
	var from remoteFlags
	var out string
	c := &cobra.Command{
		Use:   "receipt REF -o FILE.cairn.json",
		Short: "Write a proof that a dataset is registered, to keep",
		Long: `receipt writes a proof bundle: the signed statement, its place in the log, the
signed checkpoint, and the key events of its signers. "cairn-audit bundle"
checks it offline, without a registry.

` + refHelp,
		Example: `  cairn receipt seattle-weather -o weather.cairn.json`,
		Args:    exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return fault.New(fault.Invalid, "where to? -o FILE is missing; - is standard output")
			}
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				d, err := env.one(ctx, api, args[0])
				if err != nil {
					return err
				}
				b, err := api.Bundle(ctx, d.Statement.Cid)
				if err != nil {
					return err
				}
				w, finish, err := env.output(out)
				if err != nil {
					return err
				}
				_, err = w.Write(b)
				if err := finish(err); err != nil || out == "-" {
					return err
				}
				result := struct {
					Statement string `json:"statement"`
					Index     uint64 `json:"index"`
					File      string `json:"file"`
				}{d.Statement.String(), d.Index, out}
				return env.print(result, func(io.Writer) { env.note("%s: proof of entry %d", out, d.Index) })
			})
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`file` to write; - is standard output")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}
