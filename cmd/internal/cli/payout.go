package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newPayout(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "payout",
		Short: "Pay what is payable, and record what became of it",
		Long: `A payout says in the log who was paid how much, and nothing of where: that is in
the rail's file, which is private. cairn moves no money: it makes the file that a
bank or a contract is given.`,
	}
	group(c)
	c.AddCommand(newPayoutCreate(env), newPayoutList(env), newPayoutResults(env))
	return c
}

func newPayoutList(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:     "list",
		Short:   "List payouts, newest first",
		Example: `  cairn payout list`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				p, err := api.Payouts(ctx, "")
				if err != nil {
					return err
				}
				known, err := units(ctx, api)
				if err != nil {
					return err
				}
				return env.print(p, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
					for _, x := range p.Payouts {
						fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t%s\n", x.Key, x.Rail, decimal(x.TotalMinor, known[x.Currency]), x.Currency, count(x.N, "payee"), x.Statement)
					}
					t.Flush()
				})
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func newPayoutResults(env *Env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "record-results PAYOUT --csv FILE",
		Short: "Record which lines of a payout were paid or returned",
		Long: `record-results logs what became of lines of a payout: its CID or id. Each line of
the file is "index,status" or "index,status,ref": the number of the line from 0 on,
paid or returned, and the lower hex SHA-256 of a salt and the rail's document. What
is returned is owed again. All lines are checked first; what is recorded already
changes nothing, so the same command goes on after an interruption.`,
		Example: `  cairn payout record-results 2026-10-USD-csv --csv results.csv`,
		Args:    exactly(1, "one PAYOUT"),
		RunE: func(c *cobra.Command, args []string) error {
			return runPayoutResults(c.Context(), env, args[0], file)
		},
	}
	c.Flags().StringVar(&file, "csv", "", "`file` of index,status[,ref]; - is stdin")
	return c
}

type lineResult struct {
	index       int64
	status, ref string
}

// readResults reads a file of results, all problems at once.
func (env *Env) readResults(name string, n int64) (out []lineResult, err error) {
	in := env.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	var errs []error
	for {
		rec, err := r.Read()
		if err == io.EOF {
			return out, errors.Join(errs...)
		}
		if err != nil {
			return nil, fault.Mark(fault.Invalid, err)
		}
		at, _ := r.FieldPos(0)
		i, err := strconv.ParseInt(rec[0], 10, 64)
		switch {
		case at == 1 && rec[0] == "index":
		case len(rec) < 2 || len(rec) > 3 || err != nil || i < 0 || i >= n || rec[1] != manifests.PayoutPaid && rec[1] != manifests.PayoutReturned:
			errs = append(errs, fault.New(fault.Invalid, "%s line %d: want index,status[,ref] with an index below %d, and paid or returned", name, at, n))
		default:
			x := lineResult{index: i, status: rec[1]}
			if len(rec) == 3 {
				x.ref = rec[2]
			}
			out = append(out, x)
		}
	}
}

// payoutOf finds a payout by its statement or its id.
func payoutOf(ctx context.Context, api *client.Client, text string) (*wire.Payout, error) {
	all, err := api.Payouts(ctx, "")
	if err != nil {
		return nil, err
	}
	for i, p := range all.Payouts {
		if p.Key == text || p.Statement.String() == text {
			return &all.Payouts[i], nil
		}
	}
	return nil, fault.WithHint(fault.New(fault.NotFound, "there is no payout %s", fault.Quote(text)), "\"cairn payout list\" lists them")
}

func runPayoutResults(ctx context.Context, env *Env, payout, file string) error {
	if file == "" {
		return fault.New(fault.Invalid, "--csv is missing")
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		p, err := payoutOf(ctx, c.API, payout)
		if err != nil {
			return err
		}
		results, err := env.readResults(file, p.N)
		if err != nil {
			return err
		}
		known := make(map[int64]string)
		for from, more := uint64(0), true; more; {
			page, err := c.API.PayoutResults(ctx, p.Statement.Cid, from)
			if err != nil {
				return err
			}
			for _, r := range page.Results {
				known[int64(r.Line)] = r.Status
			}
			from, more = page.Next, page.Next != 0
		}
		out := struct {
			Payout    string `json:"payout"`
			Recorded  int    `json:"recorded"`
			Unchanged int    `json:"unchanged"`
		}{Payout: p.Statement.String()}
		bar := env.bar("recording")
		defer bar.Done()
		for i, r := range results {
			bar.Update(int64(i), int64(len(results)), 0)
			// A line that was returned had been paid before.
			if known[r.index] == r.status || known[r.index] == manifests.PayoutReturned {
				out.Unchanged++
				continue
			}
			s := &manifests.PayoutResult{Payout: p.Statement, Index: r.index, Status: r.status, Ref: r.ref}
			if _, err := env.state(ctx, c, s, signer); err != nil {
				return fmt.Errorf("line %d: %w", r.index, explained(err))
			}
			known[r.index] = r.status
			out.Recorded++
		}
		return env.print(out, func(w io.Writer) {
			fmt.Fprintf(w, "%s recorded, %d before\n", count(int64(out.Recorded), "result"), out.Unchanged)
		})
	})
}
