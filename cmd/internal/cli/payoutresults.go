package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newPayoutRecordResults(env *Env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "record-results PAYOUT --csv FILE",
		Short: "Record which lines of a payout were paid, and which came back",
		Long: `record-results logs what became of the lines of a payout, one statement a line.
The file's first line names its columns: index, status, and perhaps ref. index is
the line in the payout, from 0 on, as "cairn payout show" prints it; status is
paid or returned; ref is the SHA-256, in hex, of the rail's own document with a
salt. PAYOUT is the payout's CID or id.

A line is paid or returned once, and may be returned after it was paid. What was
returned is payable again. All lines of the file are checked before the first is
logged; what is in the log already changes nothing.`,
		Example: `  cairn payout record-results payout-2026-10 --csv results.csv`,
		Args:    exactly(1, "one PAYOUT"),
		RunE: func(c *cobra.Command, args []string) error {
			return runPayoutRecordResults(c.Context(), env, args[0], file)
		},
	}
	c.Flags().StringVar(&file, "csv", "", "`file` with a result a line; - is stdin")
	return c
}

// A lineResult is a line of the file.
type lineResult struct {
	index       int64
	status, ref string
}

// recordedResults is what record-results prints with --json.
type recordedResults struct {
	Payout    string   `json:"payout"`
	Logged    int      `json:"logged"`
	Unchanged int      `json:"unchanged"`  // were in the log already
	Results   []string `json:"statements"` // those that were logged
}

func runPayoutRecordResults(ctx context.Context, env *Env, payout, file string) error {
	if file == "" {
		return fault.WithHint(fault.New(fault.Invalid, "--csv is missing"), "a file with the columns index,status,ref")
	}
	b, err := env.readCSV(file)
	if err != nil {
		return fmt.Errorf("--csv: %w", err)
	}
	results, err := readResults(b)
	if err != nil {
		return err
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		p, err := env.payout(ctx, c.API, payout)
		if err != nil {
			return err
		}
		lines, err := payoutLines(ctx, c.API, p)
		if err != nil {
			return err
		}
		out := recordedResults{Payout: p.Statement.String(), Results: []string{}}
		fresh, err := newResults(results, lines)
		if err != nil {
			return err
		}
		out.Unchanged = len(results) - len(fresh)
		for _, r := range fresh {
			id, err := env.logResult(ctx, c.API, p, r, signer)
			if err != nil {
				return fmt.Errorf("line %d of the payout: %w", r.index, err)
			}
			out.Results, out.Logged = append(out.Results, id), out.Logged+1
		}
		return env.print(out, func(w io.Writer) {
			fmt.Fprintf(w, "%d logged, %d in the log already\n", out.Logged, out.Unchanged)
		})
	})
}

// readCSV reads a CSV file, - for stdin.
func (env *Env) readCSV(name string) ([]byte, error) {
	if name != "-" {
		return auditing.ReadBounded(name, maxCSV)
	}
	b, err := io.ReadAll(io.LimitReader(env.Stdin, maxCSV+1))
	if err == nil && len(b) > maxCSV {
		err = fault.New(fault.TooLarge, "the file has more than %d bytes", maxCSV)
	}
	return b, err
}

// table reads a CSV file whose first line names the columns: those of need, and
// perhaps those of may. Each further line is handed to row by column.
func table(flag string, b []byte, need, may []string, row func(line int, cell func(string) string) error) error {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	r.TrimLeadingSpace = true
	lines, err := r.ReadAll()
	if err != nil {
		return fault.New(fault.Invalid, "%s: %w", flag, err)
	}
	if len(lines) < 2 {
		return fault.New(fault.Invalid, "%s: the file has no lines behind the first, which names the columns", flag)
	}
	at := make(map[string]int)
	var errs []error
	for i, name := range lines[0] {
		if !slices.Contains(need, name) && !slices.Contains(may, name) {
			errs = append(errs, fault.New(fault.Invalid, "%s: there is no column %s", flag, fault.Quote(name)))
		}
		if _, twice := at[name]; twice {
			errs = append(errs, fault.New(fault.Invalid, "%s: the column %s is there twice", flag, fault.Quote(name)))
		}
		at[name] = i
	}
	for _, name := range need {
		if _, ok := at[name]; !ok {
			errs = append(errs, fault.New(fault.Invalid, "%s: the column %s is missing", flag, name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, line := range lines[1:] {
		err := row(i+2, func(name string) string {
			if k, ok := at[name]; ok {
				return line[k]
			}
			return ""
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: line %d: %w", flag, i+2, err))
		}
		if len(errs) == maxProblems {
			break
		}
	}
	return errors.Join(errs...)
}

// readResults reads the file, all problems at once.
func readResults(b []byte) ([]lineResult, error) {
	var out []lineResult
	err := table("--csv", b, []string{"index", "status"}, []string{"ref"}, func(_ int, cell func(string) string) error {
		i, err := strconv.ParseUint(cell("index"), 10, 31)
		if err != nil {
			return fault.New(fault.Invalid, "%s is not the index of a line", fault.Quote(cell("index")))
		}
		r := lineResult{int64(i), cell("status"), cell("ref")}
		if r.status != manifests.PayoutPaid && r.status != manifests.PayoutReturned {
			return fault.New(fault.Invalid, "the status is %s, not paid or returned", fault.Quote(r.status))
		}
		if d, err := hex.DecodeString(r.ref); r.ref != "" && (err != nil || len(d) != 32) {
			return fault.New(fault.Invalid, "ref is no SHA-256 in hex: the rail's own numbers are private")
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// newResults returns those results that are not in the log. What the log would
// refuse is an error, all of it at once.
func newResults(results []lineResult, lines []wire.PayoutLine) ([]lineResult, error) {
	var fresh []lineResult
	var errs []error
	now := make(map[int64]string)   // what a line is by now
	came := make(map[int64]string)  // what the log had at first
	final := make(map[int64]string) // what the file ends in
	for _, r := range results {
		final[r.index] = r.status
	}
	for _, r := range results {
		if r.index >= int64(len(lines)) {
			errs = append(errs, fault.New(fault.Invalid, "--csv: the payout has no line %d: there are %d, from 0 on", r.index, len(lines)))
			continue
		}
		if _, seen := came[r.index]; !seen {
			came[r.index] = lines[r.index].Status
			now[r.index] = lines[r.index].Status
		}
		switch was := now[r.index]; {
		case was == r.status:
			// said before
		case was == "" || was == manifests.PayoutPaid:
			fresh, now[r.index] = append(fresh, r), r.status
		case came[r.index] == manifests.PayoutReturned && final[r.index] == manifests.PayoutReturned:
			// a file that says paid and then returned, recorded before
		default:
			errs = append(errs, fault.New(fault.Conflict, "--csv: line %d of the payout was returned, and cannot be paid any more: another payout pays it", r.index))
		}
		if len(errs) == maxProblems {
			break
		}
	}
	return fresh, errors.Join(errs...)
}

func (env *Env) logResult(ctx context.Context, api *client.Client, p *wire.Payout, r lineResult, signer sign.Signer) (string, error) {
	s := &manifests.PayoutResult{Payout: p.Statement, Index: r.index, Status: r.status, Ref: r.ref}
	if err := env.fresh(ctx, api, s); err != nil {
		return "", err
	}
	quiet := *env
	quiet.json = true // one sentence for each of many lines helps nobody
	out, err := quiet.release(ctx, api, manifests.New(s), signer, issue{})
	if err != nil {
		return "", err
	}
	return out.Statement, nil
}
