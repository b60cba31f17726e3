// Package creditaudit computes what a log says about money from nothing but the
// log, and compares it with what the operators published: every allocation, the
// lines of every payout, every adjustment. It believes no registry. The
// checkpoint is verified under the auditor's own policy, the log is recomputed
// from its entry bundles, every envelope is fetched by its CID, the fold is
// replayed, and the engine runs on what came out.
package creditaudit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/manifests"
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
	// maxWaiting bounds the leaves that wait while a body is missing, for a
	// tombstone that stands in for it: some 50 MiB.
	maxWaiting = 100_000
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
		p.failed = p.flush(true)
	}
	if p.failed == nil && len(p.standIns) > 0 {
		p.failed = fault.New(fault.Unverified, "the log does not accept a tombstone that stands for an entry without a body")
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
	// lacking says that the first entries that wait lack a body; stones are the
	// tombstones read so far, by the entries they are about; standIns those that
	// were taken at their word and have not been judged yet.
	lacking  bool
	stones   map[uint64]stone
	standIns map[cid.Cid]uint64
	at       uint64 // the entry that is worked on
	failed   error  // why the replay did not go on
	wrong    bool   // a payout or an adjustment does not hold

	books map[string]*book
	// published are the allocations in the order of the log, by statement.
	published []fold.AddAllocation
	outcomes  map[cid.Cid]error
	newest    map[cid.Cid]bool
}

// A stone is a tombstone in the log.
type stone struct {
	statement cid.Cid
	predicate *manifests.Tombstone
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
		p.stones, p.standIns = make(map[uint64]stone), make(map[cid.Cid]uint64)
		p.books, p.outcomes, p.newest = make(map[string]*book), make(map[cid.Cid]error), make(map[cid.Cid]bool)
	}
	if p.failed != nil {
		return nil
	}
	p.waiting = append(p.waiting, append([]byte(nil), leaf...))
	if err := p.tombstone(c.Origin, leaf); err != nil {
		p.failed = err
	}
	if p.failed == nil && (len(p.waiting)%batch == 0 && !p.lacking || len(p.waiting) == maxWaiting) {
		p.failed = p.flush(len(p.waiting) == maxWaiting)
	}
	return p.ctx.Err()
}

// tombstone keeps a tombstone for the entry that it is about.
func (p *replay) tombstone(origin string, leaf []byte) error {
	if !bytes.Contains(leaf, []byte(manifests.KindTombstone)) {
		return nil
	}
	l, err := proof.DecodeLeaf(leaf)
	if err != nil || l.T != string(manifests.KindTombstone) {
		return nil
	}
	b, err := p.ev.Block(p.ctx, l.Env.Cid)
	if absent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the tombstone %s: %w", l.Stmt, err)
	}
	if id, t, ok := fold.ReadTombstone(origin, b); ok {
		p.stones[t.Index] = stone{id, t}
	}
	return nil
}

// absent reports whether a body is not to be had, as opposed to not now.
func absent(err error) bool { return errors.Is(err, fault.NotFound) || errors.Is(err, fault.Gone) }

// flush replays the waiting entries. One without a body has to wait for a
// tombstone, and all behind it with it; at the end there is none to come.
func (p *replay) flush(end bool) error {
	for len(p.waiting) > 0 {
		n := min(batch, len(p.waiting))
		entries, err := p.read(p.waiting[:n])
		if absent(err) && !end {
			p.lacking = true
			return nil
		}
		if err != nil {
			if p.state != nil {
				p.at = p.state.Size()
			}
			return err
		}
		p.waiting = p.waiting[n:]
		for _, e := range entries {
			if err := p.judge(e); err != nil {
				return err
			}
		}
		if p.o.Entries != nil && p.state != nil {
			p.o.Entries(p.state.Size(), p.total)
		}
	}
	p.waiting, p.lacking = nil, false
	return nil
}

// read fetches the envelopes of the next entries; a tombstone stands in for one
// that is not to be had.
func (p *replay) read(leaves [][]byte) ([]*fold.Entry, error) {
	entries := make([]*fold.Entry, len(leaves))
	var g errgroup.Group
	g.SetLimit(fetchers)
	for i, leaf := range leaves {
		g.Go(func() error {
			at := p.state.Size() + uint64(i)
			var envelope []byte
			if l, err := proof.DecodeLeaf(leaf); err == nil {
				envelope, err = p.ev.Block(p.ctx, l.Env.Cid)
				if t, ok := p.stones[at]; ok && absent(err) {
					entries[i], err = fold.Erased(at, leaf, t.statement, t.predicate)
					return err
				}
				if err != nil {
					return fmt.Errorf("the envelope %s of entry %d: %w", l.Env, at, err)
				}
			}
			entries[i] = fold.Read(leaf, envelope)
			return nil
		})
	}
	return entries, g.Wait()
}

// judge applies the next entry.
func (p *replay) judge(e *fold.Entry) error {
	p.at = p.state.Size()
	if t, ok := e.Tombstone(); ok {
		p.standIns[t] = p.at
	}
	res := p.state.Apply(e)
	if i, ok := p.standIns[e.Leaf.Stmt.Cid]; ok && res.Verdict == fold.Accepted {
		delete(p.standIns, e.Leaf.Stmt.Cid)
	} else if ok && res.Decides() {
		return fault.New(fault.Unverified, "entry %d has no body, and the tombstone that stands for it is rejected: %s", i, res.Code)
	}
	return p.apply(res)
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
