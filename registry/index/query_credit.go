package index

import (
	"encoding/json"
	"errors"
	"iter"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

// Effects are the effects of the entry at Index that credit is made of.
type Effects struct {
	Index   uint64
	Effects []fold.Effect
}

// Effects returns, in log order, what the entries from index from on did that
// credit is made of: all effects of an accepted entry, but those of profiles,
// keys and attestations. Filling a ledger with them gives what replaying the log
// gives. After an error there is nothing more.
func (s *Snapshot) Effects(from uint64) iter.Seq2[Effects, error] {
	return func(yield func(Effects, error) bool) {
		stopped := errors.New("stopped")
		err := s.scan(key(tEffects), key(tEffects, from), func(k, payload []byte) (bool, error) {
			var row effectsRow
			if err := json.Unmarshal(payload, &row); err != nil {
				return false, damaged("row %q: %w", k, err)
			}
			e := Effects{Index: lastIndex(k, asc)}
			var err error
			if e.Effects, err = s.effectsOf(e.Index, row); err != nil {
				return false, err
			}
			if !yield(e, nil) {
				return false, stopped
			}
			return true, nil
		})
		if err != nil && err != stopped {
			yield(Effects{}, err)
		}
	}
}

// Logged is an accepted statement by the effect that it had.
type Logged[E fold.Effect] struct {
	Index  uint64 `json:"index"`
	Effect E      `json:"effect"`
}

// An Agreement is an accepted agreement/v1 and what became of it.
type Agreement struct {
	Index           uint64    `json:"index"`
	Statement       cjson.CID `json:"statement"`
	Work            string    `json:"work"`
	EffectivePeriod string    `json:"effectivePeriod"`
	Retroactive     bool      `json:"retroactive,omitempty"`
	Supersedes      cjson.CID `json:"supersedes,omitzero"`
	Attribution     cjson.CID `json:"attribution,omitzero"`
	// Shares say of each party whether it has signed.
	Shares []Contributor `json:"shares"`
	Total  string        `json:"total"`

	// Complete says that everybody who had to sign did, with the entry Completed;
	// the shares count from the period From on.
	Complete  bool   `json:"complete"`
	Completed uint64 `json:"completed,omitempty"`
	From      string `json:"from,omitempty"`
	// Stale says that another agreement came first: this one stays without effect.
	Stale bool `json:"stale,omitempty"`
	// Missing have to sign before it can be complete, as the log stands. Empty
	// for one that is complete or stale.
	Missing []sign.KeyID `json:"missing,omitempty"`
	// Full says that more people have had shares than an agreement can ask, so
	// that it cannot become complete.
	Full bool `json:"full,omitempty"`
}

// Agreement returns an accepted agreement and who has yet to sign it.
func (s *Snapshot) Agreement(statement cid.Cid) (Agreement, error) {
	a, i, ok, err := s.reader.agreement(statement)
	if err != nil {
		return Agreement{}, err
	}
	if !ok {
		return Agreement{}, fault.New(fault.NotFound, "no agreement %s", statement)
	}
	signers, err := s.signers(statement)
	if err != nil {
		return Agreement{}, err
	}
	signed, keys := make(map[sign.KeyID]bool, len(signers)), make(map[sign.KeyID]sign.KeyID)
	for _, sg := range signers {
		signed[sg.ID], keys[sg.ID] = true, sg.Key
	}
	out := Agreement{
		Index:           i,
		Statement:       a.Statement,
		Work:            a.Work,
		EffectivePeriod: a.EffectivePeriod,
		Retroactive:     a.Retroactive,
		Supersedes:      a.Supersedes,
		Attribution:     a.Attribution,
		Total:           a.Total,
		Complete:        a.Complete,
		Completed:       a.Completed,
		From:            a.From,
	}
	for _, sh := range a.Shares {
		out.Shares = append(out.Shares, Contributor{ID: sh.ID, Weight: sh.Weight, Signed: signed[sh.ID], Key: keys[sh.ID]})
	}
	if a.Complete {
		return out, nil
	}
	v := view{reader: s.reader}
	w, _, err := v.Work(a.Work)
	if err != nil {
		return Agreement{}, err
	}
	if out.Stale = w.Agreement != a.Supersedes.Cid; out.Stale {
		return out, nil
	}
	p, err := fold.PartiesTo(v, a.AddAgreement)
	if err != nil {
		return Agreement{}, err
	}
	out.Full = p.Full
	out.Missing = slices.DeleteFunc(p.Must, func(id sign.KeyID) bool { return signed[id] })
	return out, nil
}

// Agreements returns the newest agreements on a work, newest first, at most
// MaxLimit, complete or not.
func (s *Snapshot) Agreements(work string) ([]Agreement, error) {
	if !fitsKey(work) {
		return nil, nil
	}
	var out []Agreement
	err := s.indexes(key(tAgreed, work), 0, MaxLimit, func(i uint64) error {
		e, err := s.Entry(i)
		if err != nil {
			return err
		}
		a, err := s.Agreement(e.Statement.Cid)
		out = append(out, a)
		return err
	})
	return out, err
}

// Shares are who gets what of a version, and where it says so.
type Shares struct {
	Agreement cjson.CID    `json:"agreement,omitzero"` // absent: the version's contributors
	Shares    []fold.Share `json:"shares"`
	Total     string       `json:"total"`
}

// SharesOf returns the shares of a version in a period: those of the newest
// complete agreement of its work that the version names or that was completed
// after it, and that has begun by then; else its contributors.
func (s *Snapshot) SharesOf(statement cid.Cid, period string) (Shares, error) {
	d, err := s.Version(statement)
	if err != nil {
		return Shares{}, err
	}
	v := view{reader: s.reader}
	w, _, err := v.Work(d.Work)
	if err != nil {
		return Shares{}, err
	}
	for next := w.Agreement; next.Defined(); {
		a, ok, err := v.Agreement(next)
		if err == nil && !ok {
			err = damaged("agreement %s of work %s is missing", next, d.Work)
		}
		if err != nil {
			return Shares{}, err
		}
		if a.Completed < d.Index && a.Statement != d.Agreement {
			break
		}
		if a.From <= period {
			return Shares{Agreement: a.Statement, Shares: a.Shares, Total: a.Total}, nil
		}
		next = a.Supersedes.Cid
	}
	out := Shares{Total: d.Total}
	for _, c := range d.Contributors {
		out.Shares = append(out.Shares, fold.Share{ID: c.ID, Weight: c.Weight})
	}
	return out, nil
}

// Revenue is an accepted revenue/v1 and what became of it.
type Revenue struct {
	Index uint64 `json:"index"`
	fold.AddRevenue
	Counted  *uint64 `json:"counted,omitempty"` // the entry with which it entered a run; absent: it is declared, or a receipt
	Received string  `json:"received"`          // Σ netMinor of its receipts
	Reversed string  `json:"reversed"`          // Σ netMinor of its refunds and chargebacks
}

// Revenue returns an accepted payment by its statement.
func (s *Snapshot) Revenue(statement cid.Cid) (Revenue, error) {
	r, row, ok, err := s.reader.revenue(statement)
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "no payment %s", statement)
	}
	if err != nil {
		return Revenue{}, err
	}
	return Revenue{Index: row.Index, AddRevenue: r.AddRevenue, Counted: row.Counted, Received: row.Received, Reversed: row.Reversed}, nil
}

// ByKey returns the statement of the given kind, revenue/v1 or payout/v1, that
// has a key.
func (s *Snapshot) ByKey(kind manifests.Kind, k string) (cid.Cid, error) {
	if !fitsKey(k) {
		return cid.Undef, fault.New(fault.NotFound, "no such key")
	}
	p, ok, err := view{reader: s.reader}.Payment(string(kind), k)
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "no %s has the key %s", kind, fault.Quote(k))
	}
	return p.Statement, err
}

// RevenueOf returns payments about a version, newest first: at most limit below
// index after (0: from the newest), and the index to go on after (0: there are
// no more).
func (s *Snapshot) RevenueOf(statement cid.Cid, after uint64, limit int) ([]Revenue, uint64, error) {
	limit, err := pageLimit(limit)
	if err != nil {
		return nil, 0, err
	}
	var out []Revenue
	err = s.indexes(key(tRevenue, statement.String()), after, limit+1, func(i uint64) error {
		e, err := s.Entry(i)
		if err != nil {
			return err
		}
		r, err := s.Revenue(e.Statement.Cid)
		out = append(out, r)
		return err
	})
	if err != nil || len(out) <= limit {
		return out, 0, err
	}
	return out[:limit], out[limit-1].Index, nil
}

// A Period is a month of the calendar.
type Period struct {
	Period string    `json:"period"`
	Opened uint64    `json:"opened"`           // the entry that opened it
	By     cjson.CID `json:"by"`               // that entry's statement
	Closed *uint64   `json:"closed,omitempty"` // the entry that closed it; absent while it is open
}

// Periods returns all periods that have begun, oldest first.
func (s *Snapshot) Periods() ([]Period, error) {
	var out []Period
	var closed *uint64
	err := s.scan(key(tCalendar), nil, func(k, payload []byte) (bool, error) {
		var c calendarRow
		if err := json.Unmarshal(payload, &c); err != nil {
			return false, damaged("row %q: %w", k, err)
		}
		i := lastIndex(k, desc)
		out = append(out, Period{Period: c.Open, Opened: i, By: c.Statement, Closed: closed})
		closed = &i
		return true, nil
	})
	slices.Reverse(out)
	return out, err
}

// A CurrencyOf is what a currency code means, and since when.
type CurrencyOf struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	fold.Currency
}

// Currencies returns the units of account, by their codes.
func (s *Snapshot) Currencies() ([]CurrencyOf, error) {
	return rowsOf[CurrencyOf](s.reader, key(tCurrency))
}

// Allocations returns the allocations of a period and currency, newest first, at
// most MaxLimit.
func (s *Snapshot) Allocations(period, currency string) ([]Logged[fold.AddAllocation], error) {
	return logged[fold.AddAllocation](s, key(tAllocation, period, currency), period, currency)
}

// Allocation returns an accepted allocation by its statement.
func (s *Snapshot) Allocation(statement cid.Cid) (fold.AddAllocation, error) {
	a, ok, err := view{reader: s.reader}.Allocation(statement)
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "no allocation %s", statement)
	}
	return a, err
}

// Adjustments returns the adjustments of an allocation, newest first, at most
// MaxLimit.
func (s *Snapshot) Adjustments(allocation cid.Cid) ([]Logged[fold.AddAdjustment], error) {
	return logged[fold.AddAdjustment](s, key(tAdjustment, allocation.String()))
}

// Payouts returns the payouts, newest first, at most MaxLimit.
func (s *Snapshot) Payouts() ([]Logged[fold.AddPayout], error) {
	return logged[fold.AddPayout](s, key(tPayout))
}

// A PayoutResult is what became of a line of a payout.
type PayoutResult struct {
	Line      uint64    `json:"line"`
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	Status    string    `json:"status"`
}

// PayoutResults returns the newest result of each line of a payout that has
// one, from line from on, at most MaxLimit.
func (s *Snapshot) PayoutResults(payout cid.Cid, from uint64) ([]PayoutResult, error) {
	var out []PayoutResult
	err := s.scan(key(tResult, payout.String()), key(tResult, payout.String(), from), func(k, payload []byte) (bool, error) {
		r := PayoutResult{Line: lastIndex(k, asc)}
		if err := json.Unmarshal(payload, &r); err != nil {
			return false, damaged("row %q: %w", k, err)
		}
		out = append(out, r)
		return len(out) < MaxLimit, nil
	})
	return out, err
}

// Disputes returns the disputes about a statement, newest first, at most MaxLimit.
func (s *Snapshot) Disputes(target cid.Cid) ([]Logged[fold.AddDispute], error) {
	return logged[fold.AddDispute](s, key(tDispute, target.String()))
}

// Resolutions returns the rulings about a version, newest first, at most MaxLimit.
func (s *Snapshot) Resolutions(version cid.Cid) ([]Logged[fold.AddResolution], error) {
	return logged[fold.AddResolution](s, key(tResolution, version.String()))
}

// Usages returns the uses of a version, newest first, at most MaxLimit.
func (s *Snapshot) Usages(version cid.Cid) ([]Logged[fold.AddUsage], error) {
	return logged[fold.AddUsage](s, key(tUsage, version.String()))
}

// Use returns a record of use by its statement; fault.NotFound when there is none.
func (s *Snapshot) Use(statement cid.Cid) (fold.AddUsage, error) {
	u, ok, err := view{reader: s.reader}.Usage(statement)
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "there is no record of use %s", statement)
	}
	return u, err
}

// Attributions returns the attributions of data, newest first, at most MaxLimit.
func (s *Snapshot) Attributions(data cid.Cid) ([]Logged[fold.AddAttribution], error) {
	return logged[fold.AddAttribution](s, key(tAttribution, cjson.V1(data).String()))
}

// Commits returns the commitments of an identity, newest first, at most MaxLimit.
func (s *Snapshot) Commits(identity sign.KeyID) ([]Logged[fold.AddCommit], error) {
	return logged[fold.AddCommit](s, key(tCommitment, string(identity)), string(identity))
}

// Payee returns how a party is paid in a period: the newest statement that has
// begun by then.
func (s *Snapshot) Payee(identity sign.KeyID, period string) (Logged[fold.SetPayee], error) {
	list, err := logged[fold.SetPayee](s, key(tPayee, string(identity)), string(identity))
	if err != nil {
		return Logged[fold.SetPayee]{}, err
	}
	for _, p := range list {
		if p.Effect.From <= period {
			return p, nil
		}
	}
	return Logged[fold.SetPayee]{}, fault.New(fault.NotFound, "%s has not said how to be paid in %s", identity, fault.Quote(period))
}

// logged reads the effects of the entries that rows with the prefix name, newest
// first, at most MaxLimit. parts are the foreign texts in the prefix.
func logged[E fold.Effect](s *Snapshot, prefix []byte, parts ...string) ([]Logged[E], error) {
	return loggedFew[E](s, MaxLimit, prefix, parts...)
}

// loggedFew is logged for at most limit.
func loggedFew[E fold.Effect](s *Snapshot, limit int, prefix []byte, parts ...string) ([]Logged[E], error) {
	if !fitsKey(parts...) {
		return nil, nil
	}
	var out []Logged[E]
	err := s.indexes(prefix, 0, limit, func(i uint64) error {
		list, ok, err := s.effectsAt(i)
		if err != nil {
			return err
		}
		if ok && len(list) > 0 {
			if e, is := list[0].(E); is {
				out = append(out, Logged[E]{Index: i, Effect: e})
				return nil
			}
		}
		return damaged("entry %d has not the effect that row %q says", i, prefix)
	})
	return out, err
}

// indexes calls fn for the entries that rows with the prefix name, newest first:
// at most limit of those below index after (0: from the newest).
func (s *Snapshot) indexes(prefix []byte, after uint64, limit int, fn func(i uint64) error) error {
	n := 0
	return s.scan(prefix, seekBelow(prefix, after), func(k, _ []byte) (bool, error) {
		if err := fn(lastIndex(k, desc)); err != nil {
			return false, err
		}
		n++
		return n < limit, nil
	})
}
