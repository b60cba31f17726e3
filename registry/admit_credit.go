package registry

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// admitCredit checks a statement about computed credit against the engine's own
// run: what the fold records without a look, because a verdict must not depend
// on blocks or on arithmetic. An operator's mistake is told before it is logged;
// one that got past this door is found by whoever computes the run again.
//
// An allocation that is not the run's, an adjustment that posts other deltas than
// it says or nothing at all, and a payout whose lines do not hold, are fault.Conflict; lines that are not there are fault.NotFound.
func (r *Registry) admitCredit(ctx context.Context, p manifests.Predicate) error {
	switch p := p.(type) {
	case *manifests.Allocation:
		return r.admitAllocation(ctx, p)
	case *manifests.Adjustment:
		return r.admitAdjustment(ctx, p)
	case *manifests.Payout:
		return r.admitPayout(ctx, p)
	}
	return nil
}

// admitAdjustment checks the deltas of a retroactive agreement. Those of other
// reasons are not a function of the log, and move nothing.
func (r *Registry) admitAdjustment(ctx context.Context, p *manifests.Adjustment) error {
	if p.Reason != manifests.AdjustShares {
		return nil
	}
	var a fold.AddAllocation
	if err := r.View(func(s *index.Snapshot) (err error) {
		a, err = s.Allocation(p.Allocation.Cid)
		return err
	}); err != nil {
		return err
	}
	period, err := credit.ParsePeriod(a.Period)
	if err != nil {
		return err
	}
	return r.Credit(ctx, func(v *ledger.View, _ uint64) error {
		if v.Adjusted(period, a.Currency, p.Cause.String()) {
			return fault.New(fault.Conflict, "the agreement %s has adjusted the run of %s in %s already", p.Cause, a.Period, a.Currency)
		}
		deltas, err := v.Adjust(period, a.Currency, p.Cause.String())
		if err != nil {
			return err
		}
		tree := credit.DeltaTree(deltas)
		if p.Deltas.N == int64(tree.N) && p.Deltas.Root == base64.StdEncoding.EncodeToString(tree.Root[:]) {
			return nil
		}
		return fault.WithHint(fault.New(fault.Conflict, "the deltas are not those of the agreement %s", p.Cause),
			"\"cairn credit adjust --period %s --currency %s --agreement %s\" makes them", a.Period, a.Currency, p.Cause)
	})
}

func (r *Registry) admitAllocation(ctx context.Context, p *manifests.Allocation) error {
	period, err := credit.ParsePeriod(p.Period)
	if err != nil {
		return err
	}
	return r.Credit(ctx, func(v *ledger.View, _ uint64) error {
		run, err := v.Run(ctx, period, p.Currency)
		if err != nil {
			return err
		}
		err = ledger.Differs(run.Allocation(), fold.AddAllocation{
			Engine: p.Engine, Events: fold.Tree(p.Events), Nodes: fold.Tree(p.Nodes), Payees: fold.Tree(p.Payees), InFine: p.InFine, HeldFine: p.HeldFine,
		})
		if err == nil {
			return nil
		}
		return fault.WithHint(fault.New(fault.Conflict, "the allocation is not what the run of %s in %s comes to:\n%s", p.Period, p.Currency, err.Error()),
			"\"cairn credit allocate --period %s --currency %s\" makes the one that is", p.Period, p.Currency)
	})
}

func (r *Registry) admitPayout(ctx context.Context, p *manifests.Payout) error {
	// A payout that the log has already is for the fold: it is a repetition, or
	// its key is taken.
	if err := r.View(func(s *index.Snapshot) error {
		_, err := s.ByKey(manifests.KindPayout, p.Key)
		return err
	}); fault.Of(err) != fault.NotFound {
		return err
	}
	csv, err := r.PayoutLines(ctx, p.Lines.Cid)
	if err != nil {
		return fmt.Errorf("the payout's lines %s: %w", p.Lines, err)
	}
	lines, err := ledger.PayoutLines(csv, p.N, p.TotalMinor)
	if err != nil {
		return fmt.Errorf("the payout's lines %s: %w", p.Lines, err)
	}
	least, err := credit.ParseAmount(p.MinMinor)
	if err != nil {
		return err
	}
	return r.Credit(ctx, func(v *ledger.View, _ uint64) error {
		run, err := v.Run(ctx, v.Open()-1, p.Currency)
		if err != nil {
			return err
		}
		payable, err := ledger.PayableAfter(v.Ledger, run)
		if err != nil {
			return err
		}
		if err := payable.Check(lines, least); err != nil {
			return fault.WithHint(fault.New(fault.Conflict, "the payout does not hold:\n%s", err.Error()),
				"\"cairn payout create\" pays what is payable after the last closed period")
		}
		return nil
	})
}
