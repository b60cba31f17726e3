// Package creditaudit computes what a log says about money from nothing but the
// log, and compares it with what the operators published: every allocation, the
// lines of every payout, every adjustment. It believes no registry. The
// checkpoint is verified under the auditor's own policy, the log is recomputed
// from its entry bundles, every envelope is fetched by its CID, the fold is
// replayed, and the engine runs on what came out.
package creditaudit

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/audit"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// The checks of this audit, beside those of the log.
const (
	CheckReplay     = "replay"     // every entry, judged again
	CheckAllocation = "allocation" // a published run
	CheckPayout     = "payout"     // the lines of a payout
	CheckAdjustment = "adjustment" // the published difference to a run
)

// WrongCredit is the code of a finding: what was published is not what the log
// comes to.
const WrongCredit = "wrong-credit"

// Superseded is the code of a wrong allocation over which another was published.
const Superseded = "superseded"

const (
	batch    = 256 // entries that are fetched and read ahead of the replay
	fetchers = 16  // requests for envelopes at a time
)

// Options are the choices of an audit of credit.
type Options struct {
	audit.Options
	// Allocation, when defined, is the one statement that is looked at; else
	// Period and Currency select, when not empty. With none of them everything is
	// looked at, payouts and adjustments too.
	Allocation       cid.Cid
	Period, Currency string
	// Entries, when set, is told how many entries of how many were replayed.
	Entries func(done, total uint64)
}

func (o Options) all() bool { return !o.Allocation.Defined() && o.Period == "" && o.Currency == "" }

func (o Options) selects(a fold.AddAllocation) bool {
	if o.Allocation.Defined() {
		return a.Statement.Cid.Equals(o.Allocation)
	}
	return (o.Period == "" || a.Period == o.Period) && (o.Currency == "" || a.Currency == o.Currency)
}

// A Report is the outcome.
type Report struct {
	audit.Report
	// Engine is the one that was run, and Digest the fold's after the last entry,
	// in hex: whoever replays the same log gets the same.
	Engine string `json:"engine"`
	Digest string `json:"digest,omitempty"`

	unable []error
}

// Err returns what the exit status follows from, as [audit.Report.Err] does.
func (r *Report) Err() error {
	if r.Result == audit.DoesNotHold {
		return r.Report.Err()
	}
	return errors.Join(r.Report.Err(), errors.Join(r.unable...))
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) {
	if r.Digest != "" {
		fmt.Fprintf(w, "the fold's digest after %d entries is %s\n", r.Size, r.Digest)
	}
	r.Report.Text(w)
}

func (r *Report) judge(check, subject string, err error, code, detail string) {
	f := proof.Finding{Check: check, Status: proof.Holds, Subject: subject, Detail: detail}
	switch c := fault.Of(err); c {
	case "":
	case fault.Unverified, fault.Invalid:
		f.Status, f.Detail, f.Code = proof.Fails, err.Error(), code
		r.Result = audit.DoesNotHold
	default:
		f.Status, f.Detail, f.Code = proof.NotChecked, err.Error(), string(c)
		if r.Result == audit.Holds {
			r.Result = audit.Incomplete
		}
		r.unable = append(r.unable, fmt.Errorf("%s: %w", check, err))
	}
	r.Findings = append(r.Findings, f)
}

// Check audits the credit of a log. The error is for Options that no audit can
// be made with; what could not be read is in the report, and so is that nothing
// was published of what was asked for.
func Check(ctx context.Context, ev audit.Evidence, o Options) (*Report, error) {
	r := &Report{Engine: credit.Engine}
	p := &replay{ctx: ctx, ev: ev, o: o, r: r}
	o.Options.Leaf = p.leaf
	log, err := audit.Log(ctx, ev, o.Options)
	if err != nil {
		return nil, err
	}
	if p.failed == nil {
		p.failed = p.flush()
	}
	// What the replay found counts only when the entries are those of the log.
	own := r.Findings
	r.Report = *log
	r.Kind = "credit"
	if log.Err() != nil {
		return r, nil
	}
	r.Findings = append(r.Findings, own...)
	if p.wrong {
		r.Result = audit.DoesNotHold
	} else if len(r.unable) > 0 {
		r.Result = audit.Incomplete
	}
	if p.failed != nil {
		r.judge(CheckReplay, fmt.Sprintf("entry %d", p.at), p.failed, WrongCredit, "")
		return r, nil
	}
	digest := p.state.Digest()
	r.Digest = hex.EncodeToString(digest[:])
	r.judge(CheckReplay, "", nil, "", fmt.Sprintf("%d entries judged again", p.state.Size()))
	p.allocations()
	return r, nil
}

// A replay is the log as it is read.
type replay struct {
	ctx context.Context
	ev  audit.Evidence
	o   Options
	r   *Report

	state   *fold.State
	builder *ledger.Builder
	total   uint64
	waiting [][]byte
	at      uint64 // the entry that is worked on
	failed  error  // why the replay did not go on
	wrong   bool   // a payout or an adjustment does not hold

	books map[string]*book
	// published are the allocations in the order of the log, by statement.
	published []fold.AddAllocation
	outcomes  map[cid.Cid]error
	newest    map[cid.Cid]bool
}

// A book is the runs of a currency so far: all summaries, and the last run.
type book struct {
	runner *credit.Runner
	last   *credit.Run
	sums   map[credit.Period]credit.Allocation
}

// leaf takes an entry. Its errors are kept: the log is recomputed all the same.
func (p *replay) leaf(c proof.Checkpoint, i uint64, leaf []byte) error {
	if p.state == nil {
		p.total = c.Size
		p.state = fold.NewState(c.Origin)
		p.builder = ledger.NewBuilder(func(ctx context.Context, lines cid.Cid) ([]byte, error) { return ledger.ReadLines(ctx, p.ev, lines) })
		p.books, p.outcomes, p.newest = make(map[string]*book), make(map[cid.Cid]error), make(map[cid.Cid]bool)
	}
	if p.failed != nil {
		return nil
	}
	p.waiting = append(p.waiting, append([]byte(nil), leaf...))
	if len(p.waiting) == batch {
		p.failed = p.flush()
	}
	return p.ctx.Err()
}

// flush fetches the envelopes of the waiting entries and replays them.
func (p *replay) flush() error {
	entries := make([]*fold.Entry, len(p.waiting))
	var g errgroup.Group
	g.SetLimit(fetchers)
	for i, leaf := range p.waiting {
		g.Go(func() error {
			var envelope []byte
			if l, err := proof.DecodeLeaf(leaf); err == nil {
				if envelope, err = p.ev.Block(p.ctx, l.Env.Cid); err != nil {
					return fmt.Errorf("the envelope %s of entry %d: %w", l.Env, p.state.Size()+uint64(i), err)
				}
			}
			entries[i] = fold.Read(leaf, envelope)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		if p.state != nil {
			p.at = p.state.Size()
		}
		return err
	}
	p.waiting = p.waiting[:0]
	for _, e := range entries {
		p.at = p.state.Size()
		if err := p.apply(p.state.Apply(e)); err != nil {
			return err
		}
	}
	if p.o.Entries != nil && p.state != nil {
		p.o.Entries(p.state.Size(), p.total)
	}
	return nil
}

func (p *replay) apply(res fold.Result) error {
	for _, e := range res.Effects {
		switch e := e.(type) {
		case fold.AddAllocation:
			if err := p.allocation(e); err != nil {
				return err
			}
		case fold.AddPayout:
			if err := p.payout(e); err != nil {
				return err
			}
		case fold.AddAdjustment:
			if err := p.adjustment(e); err != nil {
				return err
			}
		}
	}
	return p.builder.Apply(p.ctx, p.at, res.Effects)
}

// run brings the runs of a currency up to a closed period.
func (p *replay) run(code string, to credit.Period) (*book, error) {
	b := p.books[code]
	if b == nil {
		r, err := p.builder.Ledger().Runner(code)
		if err != nil {
			return nil, err
		}
		b = &book{runner: r, sums: make(map[credit.Period]credit.Allocation)}
		p.books[code] = b
	}
	for b.last == nil || b.last.Period() < to {
		if err := p.ctx.Err(); err != nil {
			return nil, context.Cause(p.ctx)
		}
		next, err := b.runner.Next()
		if err != nil {
			return nil, err
		}
		b.last = next
		b.sums[next.Period()] = next.Allocation()
	}
	return b, nil
}

func (p *replay) allocation(e fold.AddAllocation) error {
	p.newest[e.Statement.Cid] = true
	delete(p.newest, e.Supersedes.Cid)
	p.published = append(p.published, e)
	if !p.o.selects(e) {
		return nil
	}
	period, err := credit.ParsePeriod(e.Period)
	if err != nil {
		return err
	}
	b, err := p.run(e.Currency, period)
	if err != nil {
		return err
	}
	p.outcomes[e.Statement.Cid] = ledger.Differs(b.sums[period], e)
	return nil
}

// allocations reports on what was published, in the order of the log.
func (p *replay) allocations() {
	found := false
	for _, e := range p.published {
		if !p.o.selects(e) {
			continue
		}
		found = true
		subject := fmt.Sprintf("%s of %s in %s", e.Statement, e.Period, e.Currency)
		err := p.outcomes[e.Statement.Cid]
		if err != nil && !p.newest[e.Statement.Cid] && !p.o.Allocation.Defined() {
			p.r.Findings = append(p.r.Findings, proof.Finding{Check: CheckAllocation, Status: proof.NotChecked, Subject: subject, Code: Superseded,
				Detail: "it was wrong, and another was published over it"})
			continue
		}
		p.r.judge(CheckAllocation, subject, err, WrongCredit, fmt.Sprintf("%d events, %d payee statements, root %s", e.Events.N, e.Payees.N, e.Payees.Root))
	}
	if !found && !p.o.all() {
		p.r.judge(CheckAllocation, "", fault.New(fault.NotFound, "the log has no accepted allocation of what was asked for"), "", "")
	}
}

// payout compares the lines of a payout with what was payable when it was logged.
func (p *replay) payout(e fold.AddPayout) error {
	csv, err := ledger.ReadLines(p.ctx, p.ev, e.Lines.Cid)
	if err != nil {
		return fmt.Errorf("the lines of payout %s: %w", e.Statement, err)
	}
	lines, err := ledger.PayoutLines(csv, e.N, e.TotalMinor)
	if err == nil {
		err = p.payable(e, lines)
	}
	if fault.Of(err) != "" && fault.Of(err) != fault.Invalid {
		return err
	}
	if p.o.all() {
		p.wrong = p.wrong || err != nil
		p.r.judge(CheckPayout, fmt.Sprintf("%s, entry %d", e.Statement, p.at), err, WrongCredit, fmt.Sprintf("%d lines, each at most what was payable", len(lines)))
	}
	return nil
}

func (p *replay) payable(e fold.AddPayout, lines []credit.PayoutLine) error {
	l := p.builder.Ledger()
	b, err := p.run(e.Currency, l.Open()-1)
	if err != nil {
		return err
	}
	payable, err := ledger.PayableAfter(l, b.last)
	if err != nil {
		return err
	}
	least, err := credit.ParseAmount(e.MinMinor)
	if err != nil {
		return err
	}
	return payable.Check(lines, least)
}

// adjustment computes the deltas of a retroactive agreement again. What another
// reason comes to, the engine does not say.
func (p *replay) adjustment(e fold.AddAdjustment) error {
	if !p.o.all() {
		return nil
	}
	subject := fmt.Sprintf("%s, entry %d", e.Statement, p.at)
	if e.Reason != "retro-contributor" {
		p.r.Findings = append(p.r.Findings, proof.Finding{Check: CheckAdjustment, Status: proof.NotChecked, Subject: subject,
			Detail: fmt.Sprintf("the engine computes the deltas of retroactive agreements, not those of %s", fault.Quote(e.Reason))})
		return nil
	}
	for _, a := range p.published {
		if a.Statement != e.Allocation {
			continue
		}
		period, err := credit.ParsePeriod(a.Period)
		if err != nil {
			return err
		}
		deltas, err := p.builder.Ledger().Adjust(period, a.Currency, e.Cause.String())
		if err == nil {
			tree := credit.DeltaTree(deltas)
			if root := base64.StdEncoding.EncodeToString(tree.Root[:]); e.Deltas != (fold.Tree{N: int64(tree.N), Root: root}) {
				err = fault.New(fault.Unverified, "it publishes %d deltas under %s, the agreement comes to %d under %s", e.Deltas.N, e.Deltas.Root, tree.N, root)
			}
		} else if fault.Of(err) == fault.Conflict || fault.Of(err) == fault.NotFound {
			err = fault.Mark(fault.Unverified, err)
		}
		p.wrong = p.wrong || fault.Of(err) == fault.Unverified
		p.r.judge(CheckAdjustment, subject, err, WrongCredit, fmt.Sprintf("%d deltas", e.Deltas.N))
	}
	return nil
}
