package credit

import (
	"math/bits"
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// An Agreement is who shares a work from a period on.
type Agreement struct {
	Statement string
	Work      string
	Effective Period
	// Retroactive allows an Effective period that is not ahead. It changes no
	// run; [Ledger.Adjust] says what it would have changed.
	Retroactive bool
	Supersedes  string // the agreement that this one replaces, or empty
	Shares      []Weight
	Total       uint64
	// Required are the parties without whose signature the agreement is
	// pending: see [RequiredSigners]. Signers are those who had signed.
	Required []string
	Signers  []string
}

// AddAgreement adds an agreement. When every required party has signed, now or
// by [Ledger.AddSigner], it is complete. It then takes effect at the later of
// Effective and the period after the open one, if Supersedes is then the newest
// agreement of the work that took effect, and otherwise never.
func (l *Ledger) AddAgreement(a Agreement) error {
	if err := checkID("agreement", a.Statement); err != nil {
		return err
	}
	if _, twice := l.agreementIDs[a.Statement]; twice {
		return fault.New(fault.Invalid, "the agreement %s stands twice", a.Statement)
	}
	work := l.works.find(a.Work)
	if work == none {
		return fault.New(fault.Invalid, "%s: no work %s", a.Statement, fault.Quote(a.Work))
	}
	if a.Effective < l.first || a.Effective > lastPeriod || !a.Retroactive && a.Effective <= l.open {
		return fault.New(fault.Invalid, "%s: %d is no period that is ahead", a.Statement, a.Effective)
	}
	v := agreement{work: work, effective: a.Effective, retro: a.Retroactive, supersedes: none, missing: map[uint32]bool{}}
	if a.Supersedes != "" {
		s, ok := l.agreementIDs[a.Supersedes]
		if !ok || l.agreements[s].work != work {
			return fault.New(fault.Invalid, "%s: %s is no agreement of its work", a.Statement, fault.Quote(a.Supersedes))
		}
		v.supersedes = s
	}
	for _, p := range slices.Concat(a.Required, a.Signers) {
		if err := checkID("party", p); err != nil {
			return err
		}
	}
	var err error
	if v.shares, err = l.addShares(a.Statement, a.Shares, a.Total); err != nil {
		return err
	}
	for _, p := range a.Required {
		id, _ := l.parties.add(p)
		v.missing[id] = true
	}
	id := uint32(len(l.agreements))
	l.agreements = append(l.agreements, v)
	l.agreementIDs[a.Statement] = id
	for _, p := range a.Signers {
		l.signAgreement(id, p)
	}
	if len(a.Required) == 0 {
		l.completeAgreement(id)
	}
	return nil
}

func (l *Ledger) signAgreement(id uint32, party string) {
	a := &l.agreements[id]
	if a.done {
		return
	}
	if p := l.parties.find(party); p != none {
		delete(a.missing, p)
	}
	if len(a.missing) == 0 {
		l.completeAgreement(id)
	}
}

func (l *Ledger) completeAgreement(id uint32) {
	a := &l.agreements[id]
	if a.done {
		return
	}
	a.done, a.missing = true, nil
	newest := uint32(none)
	if done := l.complete[a.work]; len(done) > 0 {
		newest = done[len(done)-1]
	}
	if newest != a.supersedes {
		return
	}
	a.inForce = true
	a.from = max(a.effective, l.open+1)
	a.nodes = uint32(len(l.nodes))
	l.complete[a.work] = append(l.complete[a.work], id)
}

// AgreementState tells what became of an agreement: whether every required
// party has signed, and from which period it takes effect, 0 for never or not
// yet. No such agreement is fault.NotFound.
func (l *Ledger) AgreementState(statement string) (complete bool, from Period, err error) {
	id, ok := l.agreementIDs[statement]
	if !ok {
		return false, 0, fault.New(fault.NotFound, "no agreement %s", fault.Quote(statement))
	}
	return l.agreements[id].done, l.agreements[id].from, nil
}

// sharesAt returns who shares what node n keeps of revenue of period p: the
// newest agreement of its work that was completed after n, or that n names, and
// that is in effect in p; else the contributors of n. retro are agreements that
// count as if they took effect when they say.
func (l *Ledger) sharesAt(n uint32, p Period, retro []uint32) (s shares, agreed bool) {
	v := &l.nodes[n]
	if len(l.complete) == 0 {
		return v.shares, false
	}
	done := l.complete[v.work]
	for i := len(done) - 1; i >= 0; i-- {
		a := &l.agreements[done[i]]
		if a.nodes <= n {
			break // those before it were completed earlier still
		}
		if l.inEffect(done[i], p, retro) {
			return a.shares, true
		}
	}
	if v.agreement != none && l.inEffect(v.agreement, p, retro) {
		return l.agreements[v.agreement].shares, true
	}
	return v.shares, false
}

func (l *Ledger) inEffect(id uint32, p Period, retro []uint32) bool {
	a := &l.agreements[id]
	from := a.from
	if slices.Contains(retro, id) {
		from = a.effective
	}
	return a.inForce && from <= p
}

// RequiredSigners returns the parties whose signature an agreement needs, sorted:
// those who have a smaller part of the whole than in one of the lists before,
// and those who stand in none of them. before are the shares in force of every
// version of the work that the agreement changes. Lists of the wrong form are
// fault.Invalid.
func RequiredSigners(before [][]Weight, after []Weight) ([]string, error) {
	total := func(ws []Weight) (t uint64, err error) {
		for _, w := range ws {
			if w.Weight > MaxWeight-t {
				return 0, fault.New(fault.Invalid, "the shares sum to 2^63 or more")
			}
			t += w.Weight
		}
		if t == 0 {
			return 0, fault.New(fault.Invalid, "the shares sum to 0")
		}
		return t, nil
	}
	afterTotal, err := total(after)
	if err != nil {
		return nil, err
	}
	now := make(map[string]uint64, len(after))
	for _, w := range after {
		now[w.Key] = w.Weight
	}
	need, known := map[string]bool{}, map[string]bool{}
	for _, list := range before {
		t, err := total(list)
		if err != nil {
			return nil, err
		}
		for _, w := range list {
			known[w.Key] = true
			// now/afterTotal < w/t, by cross products of 126 bits.
			h0, l0 := bits.Mul64(now[w.Key], t)
			h1, l1 := bits.Mul64(w.Weight, afterTotal)
			if h0 < h1 || h0 == h1 && l0 < l1 {
				need[w.Key] = true
			}
		}
	}
	for _, w := range after {
		if !known[w.Key] {
			need[w.Key] = true
		}
	}
	var out []string
	for p := range need {
		out = append(out, p)
	}
	slices.Sort(out)
	return out, nil
}
