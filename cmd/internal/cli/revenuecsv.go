package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// maxCSV bounds a file of payments: about 100,000 lines.
	maxCSV = 16 << 20
	// maxProblems bounds what is told about a file at once.
	maxProblems = 20
)

// payments returns the one of the flags, or those of the file.
func (o *revenueOptions) payments(env *Env) ([]payment, error) {
	if o.csv == "" {
		return []payment{o.payment}, nil
	}
	if o.file != "" {
		return nil, fault.New(fault.Invalid, "-o takes one payment, and --csv gives many")
	}
	if o.id != "" || o.subject != "" || o.amount != "" || o.currency != "" || o.settles != "" || o.reverses != "" || len(o.deductions) > 0 {
		return nil, fault.New(fault.Invalid, "with --csv the payments are in the file, not in flags")
	}
	var b []byte
	var err error
	if o.csv == "-" {
		if b, err = io.ReadAll(io.LimitReader(env.Stdin, maxCSV+1)); err == nil && len(b) > maxCSV {
			err = fault.New(fault.TooLarge, "the file has more than %d bytes", maxCSV)
		}
	} else {
		b, err = auditing.ReadBounded(o.csv, maxCSV)
	}
	if err != nil {
		return nil, fmt.Errorf("--csv: %w", err)
	}
	return readPayments(b)
}

// readPayments reads a CSV file whose first line names the columns.
func readPayments(b []byte) ([]payment, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	r.TrimLeadingSpace = true
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fault.New(fault.Invalid, "--csv: %w", err)
	}
	if len(lines) < 2 {
		return nil, fault.New(fault.Invalid, "--csv: the file has no payments: its first line names the columns")
	}
	var errs []error
	for i, name := range lines[0] {
		if columns[name] == nil {
			errs = append(errs, fault.New(fault.Invalid, "--csv: there is no column %s", fault.Quote(name)))
		}
		if slices.Contains(lines[0][:i], name) {
			errs = append(errs, fault.New(fault.Invalid, "--csv: the column %s is there twice", fault.Quote(name)))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	out := make([]payment, len(lines)-1)
	for i, line := range lines[1:] {
		for k, value := range line {
			columns[lines[0][k]](&out[i], value)
		}
	}
	return out, nil
}

// A recorded is what record --csv prints with --json.
type recorded struct {
	Payments  []*issued `json:"payments"`
	Logged    int       `json:"logged"`
	Unchanged int       `json:"unchanged"` // were in the log already
}

// recordAll checks all payments, then logs those that are not in the log. It
// stops at the first that is refused; run again it goes on there.
func (b *book) recordAll(ctx context.Context, payments []payment) error {
	if err := b.check(ctx, payments); err != nil {
		return err
	}
	out := recorded{Payments: []*issued{}}
	for i, p := range payments {
		one, err := b.record(ctx, p, issue{})
		if err != nil {
			if out.Logged+out.Unchanged > 0 && fault.Hint(err) == "" {
				err = fault.WithHint(err, "%d lines before are in the log; the same command goes on here", i)
			}
			return fmt.Errorf("line %d: %w", i+2, err)
		}
		if one.Unchanged {
			out.Unchanged++
		} else {
			out.Logged++
		}
		out.Payments = append(out.Payments, one)
	}
	return b.env.print(out, func(w io.Writer) {
		for _, p := range out.Payments {
			fmt.Fprintln(w, p.Statement)
		}
	})
}

// check reads every payment without logging any. What a payment settles or
// reverses may stand in an earlier line.
func (b *book) check(ctx context.Context, payments []payment) error {
	var errs []error
	seen := make(map[string]int, len(payments))
	for i, p := range payments {
		fail := func(err error) { errs = append(errs, fmt.Errorf("line %d: %w", i+2, err)) }
		if first, ok := seen[p.id]; ok {
			fail(fault.New(fault.Invalid, "the id %s is that of line %d", fault.Quote(p.id), first))
		}
		ahead := false
		for _, rel := range []*string{&p.settles, &p.reverses} {
			if _, ok := seen[*rel]; ok && *rel != "" {
				*rel, ahead = "", true
			}
		}
		seen[p.id] = i + 2
		r, err := b.read(ctx, p)
		switch {
		case err != nil:
			fail(err)
		case !ahead:
			if err := b.valid(ctx, p, r); err != nil {
				fail(err)
			}
		}
		if len(errs) == maxProblems {
			errs = append(errs, fault.New(fault.Invalid, "and perhaps more"))
			break
		}
	}
	return errors.Join(errs...)
}

// valid checks a payment's statement, and its id against the log.
func (b *book) valid(ctx context.Context, p payment, r *manifests.Revenue) error {
	known, old, err := b.known(ctx, p.id)
	if err != nil {
		return err
	}
	if known != nil {
		_, err := b.again(p, r, known, old)
		return err
	}
	if err := b.env.fresh(ctx, b.api, r); err != nil {
		return err
	}
	return manifests.New(r).Validate()
}
