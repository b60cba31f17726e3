package ledger

import (
	"encoding/base64"
	"errors"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
)

// problems collects what is wrong, up to a bound.
type problems struct {
	errs []error
	more int
}

func (p *problems) add(format string, args ...any) {
	if len(p.errs) == maxProblems {
		p.more++
		return
	}
	p.errs = append(p.errs, fault.New(fault.Invalid, format, args...))
}

func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.errs, fault.New(fault.Invalid, "… and %d more", p.more))...)
	}
	return errors.Join(p.errs...)
}

// Differs reports, field by field, how a published allocation differs from what
// the run comes to, as joined errors that are fault.Invalid; nil when it says the
// same. Period and currency are taken to be those of the run.
func Differs(run credit.Allocation, published fold.AddAllocation) error {
	var p problems
	field := func(name, says, is string) {
		if says != is {
			p.add("%s is %s, the run comes to %s", name, fault.Quote(says), is)
		}
	}
	tree := func(name string, says fold.Tree, is credit.Tree) {
		if says.N != int64(is.N) {
			p.add("%s.n is %d, the run comes to %d", name, says.N, is.N)
		}
		field(name+".root", says.Root, base64.StdEncoding.EncodeToString(is.Root[:]))
	}
	field("engine", published.Engine, run.Engine)
	tree("events", published.Events, run.Events)
	tree("nodes", published.Nodes, run.Nodes)
	tree("payeeStatements", published.Payees, run.PayeeStatements)
	field("inFine", published.InFine, run.InFine.String())
	field("heldFine", published.HeldFine, run.HeldFine.String())
	return p.err()
}
