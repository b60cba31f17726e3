package index

import (
	"encoding/json"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

// effectsRow is what an entry did that credit is made of. A version stands in
// table dataset already and is not written twice.
type effectsRow struct {
	Version bool            `json:"version,omitempty"` // the first effect is the version of this entry
	Effects json.RawMessage `json:"effects"`           // the others, as the fold writes them
}

// agreementRow is what became of an agreement.
type agreementRow struct {
	Index     uint64  `json:"index"`
	Completed *uint64 `json:"completed,omitempty"` // index of the entry that completed it
	From      string  `json:"from,omitempty"`
}

type currencyRow struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	fold.Currency
}

// calendarRow opens a period.
type calendarRow struct {
	First     string    `json:"first"`
	Open      string    `json:"open"`
	Statement cjson.CID `json:"statement"` // registry/v1 or period/v1
}

// nodeRow is fold.NodeState.
type nodeRow struct {
	Kind      string           `json:"kind"`
	Index     uint64           `json:"index"`
	Work      string           `json:"work"`
	Publisher sign.KeyID       `json:"publisher"`
	Rules     *manifests.Rules `json:"rules,omitempty"`
	Depth     int              `json:"depth"`
	Floors    []fold.Reach     `json:"floors,omitempty"`
}

type paymentRow struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	Body      string    `json:"body"`
}

// settledRow is what became of a payment.
type settledRow struct {
	Index    uint64  `json:"index"`
	Counted  *uint64 `json:"counted,omitempty"` // index of the entry that lets it into a run
	Received string  `json:"received"`
	Reversed string  `json:"reversed"`
}

type resultRow struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	Status    string    `json:"status"`
}

// workRow is fold.Work.
type workRow struct {
	Agreement cjson.CID  `json:"agreement,omitzero"`
	Completed uint64     `json:"completed,omitempty"`
	Lists     []workList `json:"lists,omitempty"`
	Listed    int        `json:"listed,omitempty"`
	Full      bool       `json:"full,omitempty"`
}

type workList struct {
	Statement cjson.CID `json:"statement"`
	Index     uint64    `json:"index"`
	Agreement cjson.CID `json:"agreement,omitzero"`
}

func workRowOf(w fold.Work) workRow {
	r := workRow{Agreement: cjson.CID{Cid: w.Agreement}, Completed: w.Completed, Listed: w.Listed, Full: w.Full}
	for _, l := range w.Lists {
		r.Lists = append(r.Lists, workList{Statement: cjson.CID{Cid: l.Statement}, Index: l.Index, Agreement: cjson.CID{Cid: l.Agreement}})
	}
	return r
}

func (r workRow) work() fold.Work {
	w := fold.Work{Agreement: r.Agreement.Cid, Completed: r.Completed, Listed: r.Listed, Full: r.Full}
	for _, l := range r.Lists {
		w.Lists = append(w.Lists, fold.WorkList{Statement: l.Statement.Cid, Index: l.Index, Agreement: l.Agreement.Cid})
	}
	return w
}

// effects writes down the effects of the entry, when credit is made of them.
// What belongs to identities and attestations alone is left out.
func (w *rowWriter) effects(list []fold.Effect) {
	if len(list) == 0 {
		return
	}
	row := effectsRow{}
	switch list[0].(type) {
	case fold.SetProfile, fold.AddKey, fold.RotateKey, fold.RevokeKey, fold.AddAttestation:
		return
	case fold.AddVersion, fold.AddModel:
		row.Version, list = true, list[1:]
	}
	row.Effects = fold.EncodeEffects(list)
	w.put(encode(row), tEffects, w.index)
}

// constitution adds what a registry/v1 says of money.
func (w *rowWriter) constitution(e fold.SetRegistry) error {
	switch _, ok, err := w.calendar(); {
	case err != nil:
		return err
	case !ok:
		w.put(encode(calendarRow{First: e.FirstPeriod, Open: e.FirstPeriod, Statement: e.Statement}), tCalendar, w.index)
	}
	for _, c := range e.Currencies {
		if err := w.putOnce(encode(currencyRow{Index: w.index, Statement: e.Statement, Currency: c}), tCurrency, c.Code); err != nil {
			return err
		}
	}
	return nil
}

// node adds what later entries need of a version.
func (w *rowWriter) node(d *datasetRow) error {
	w.put(encode(nodeRow{
		Kind: d.Kind, Index: w.index, Work: d.Work, Publisher: d.Publisher, Rules: d.Rules, Depth: d.Depth, Floors: d.Floors,
	}), tNode, d.Statement.String())
	row, _, err := getRow[workRow](w.reader, key(tWork, d.Work))
	if err != nil {
		return err
	}
	work, last := row.work(), fold.Node{}
	if l, ok := work.Last(); ok {
		if last, _, err = w.versionOf(l); err != nil {
			return err
		}
	}
	return w.replace(encode(workRowOf(work.With(d.Node, w.index, last))), tWork, d.Work)
}

// change reads a row, as this entry has left it, and writes it again.
func change[T any](w *rowWriter, fn func(*T), letter byte, parts ...any) error {
	k := key(letter, parts...)
	var v T
	if r, ok := w.pending(k); ok {
		if err := json.Unmarshal(r.payload, &v); err != nil {
			return damaged("row %q: %w", k, err)
		}
	} else {
		var err error
		if v, _, err = getRow[T](w.reader, k); err != nil {
			return err
		}
	}
	fn(&v)
	return w.replace(encode(v), letter, parts...)
}

// credit adds the rows of one effect of the kinds that credit is made of.
func (w *rowWriter) credit(effect fold.Effect) error {
	i := w.index
	switch e := effect.(type) {
	case fold.AddUsage:
		used := e.Inputs
		if e.About.Defined() {
			used = append(used, fold.Input{Statement: e.About})
		}
		for _, in := range used {
			w.put(nil, tUsage, in.Statement.String(), i)
		}
	case fold.AddAttribution:
		w.put(nil, tAttribution, e.Data.String(), i)
	case fold.AddAgreement:
		w.put(encode(agreementRow{Index: i}), tAgreement, e.Statement.String())
		w.put(nil, tAgreed, e.Work, i)
	case fold.PendingAgreement: // follows from the signers
	case fold.CompleteAgreement:
		if err := change(w, func(a *agreementRow) { a.Completed, a.From = &i, e.From }, tAgreement, e.Statement.String()); err != nil {
			return err
		}
		return change(w, func(r *workRow) { r.Agreement, r.Completed = e.Statement, i }, tWork, e.Work)
	case fold.ClosePeriod:
		c, _, err := w.calendar()
		if err != nil {
			return err
		}
		w.put(encode(calendarRow{First: c.First, Open: e.Opens, Statement: e.Statement}), tCalendar, i)
	case fold.AddCurrency:
		w.put(encode(currencyRow{Index: i, Statement: e.Statement, Currency: e.Currency}), tCurrency, e.Code)
	case fold.AddRevenue:
		return w.revenue(e)
	case fold.CountRevenue:
		if err := change(w, func(r *settledRow) { r.Counted = &i }, tSettled, e.Statement.String()); err != nil {
			return err
		}
		return change(w, func(sum *string) { *sum = fold.AddMinor(*sum, e.NetMinor) }, tTurnover, e.In, e.Currency)
	case fold.AddAllocation:
		w.put(nil, tAllocation, e.Period, e.Currency, i)
	case fold.AddAdjustment:
		w.put(nil, tAdjustment, e.Allocation.String(), i)
	case fold.AddPayout:
		w.payment(manifests.KindPayout, e.Key, e.Statement, e.Body)
		w.put(nil, tPayout, i)
	case fold.AddPayoutResult:
		return w.replace(encode(resultRow{Index: i, Statement: e.Statement, Status: e.Status}), tResult, e.Payout.String(), uint64(e.Index))
	case fold.SetPayee:
		w.put(nil, tPayee, string(e.Identity), i)
	case fold.AddDispute:
		w.put(nil, tDispute, e.Target.String(), i)
	case fold.AddResolution:
		w.put(nil, tResolution, e.About.String(), i)
	case fold.AddCommit:
		w.put(nil, tCommitment, string(e.Identity), i)
	case fold.AddAcceptance:
		return w.acceptance(e)
	case fold.AddWithdrawal:
		return w.withdrawal(e)
	case fold.AddTombstone:
		return w.tombstone(e)
	default:
		panic(fmt.Sprintf("index: effect %T has no rows", effect))
	}
	return nil
}

func (w *rowWriter) payment(kind manifests.Kind, k string, statement cjson.CID, body string) {
	w.put(encode(paymentRow{Index: w.index, Statement: statement, Body: body}), tPayment, string(kind), k)
}

func (w *rowWriter) revenue(e fold.AddRevenue) error {
	w.payment(manifests.KindRevenue, e.Key, e.Statement, e.Body)
	w.put(nil, tRevenue, e.About.String(), w.index)
	w.put(encode(settledRow{Index: w.index, Received: "0", Reversed: "0"}), tSettled, e.Statement.String())
	if e.Settles.Defined() {
		return change(w, func(r *settledRow) { r.Received = fold.AddMinor(r.Received, e.NetMinor) }, tSettled, e.Settles.String())
	}
	if e.Reverses.Defined() {
		return change(w, func(r *settledRow) { r.Reversed = fold.AddMinor(r.Reversed, e.NetMinor) }, tSettled, e.Reverses.String())
	}
	return nil
}

// calendar returns the newest row of the calendar.
func (r reader) calendar() (c calendarRow, ok bool, err error) {
	err = r.scan(key(tCalendar), nil, func(k, payload []byte) (bool, error) {
		if err := json.Unmarshal(payload, &c); err != nil {
			return false, damaged("row %q: %w", k, err)
		}
		ok = true
		return false, nil
	})
	return c, ok, err
}

// versionOf returns an accepted version with its lists.
func (r reader) versionOf(c cid.Cid) (fold.Node, bool, error) {
	s, ok, err := r.statement(c)
	if err != nil || !ok {
		return fold.Node{}, false, err
	}
	d, ok, err := getRow[datasetRow](r, key(tDataset, s.Index))
	return d.Node, ok, err
}

// effectsAt returns the effects that table effects holds of an entry.
func (r reader) effectsAt(i uint64) ([]fold.Effect, bool, error) {
	row, ok, err := getRow[effectsRow](r, key(tEffects, i))
	if err != nil || !ok {
		return nil, false, err
	}
	list, err := r.effectsOf(i, row)
	return list, err == nil, err
}

func (r reader) effectsOf(i uint64, row effectsRow) ([]fold.Effect, error) {
	list, err := fold.DecodeEffects(row.Effects)
	if err != nil {
		return nil, damaged("the effects of entry %d: %w", i, err)
	}
	if !row.Version {
		return list, nil
	}
	d, ok, err := getRow[datasetRow](r, key(tDataset, i))
	if err == nil && !ok {
		err = damaged("the version of entry %d is missing", i)
	}
	if err != nil {
		return nil, err
	}
	return append([]fold.Effect{d.effect()}, list...), nil
}

// made returns the effect that the accepted statement c made; false when c made
// none of that type.
func made[E fold.Effect](r reader, c cid.Cid) (e E, i uint64, ok bool, err error) {
	if !c.Defined() {
		return e, 0, false, nil
	}
	s, ok, err := r.statement(c)
	if err != nil || !ok || s.Verdict != fold.Accepted {
		return e, 0, false, err
	}
	list, ok, err := r.effectsAt(s.Index)
	if err != nil || !ok || len(list) == 0 {
		return e, 0, false, err
	}
	e, ok = list[0].(E)
	return e, s.Index, ok, nil
}

func (v view) Node(c cid.Cid) (fold.NodeState, bool, error) {
	n, ok, err := getRow[nodeRow](v.reader, key(tNode, c.String()))
	return fold.NodeState(n), ok, err
}

func (v view) Version(c cid.Cid) (fold.Node, bool, error) { return v.versionOf(c) }

func (v view) Work(work string) (fold.Work, bool, error) {
	w, ok, err := getRow[workRow](v.reader, key(tWork, work))
	return w.work(), ok, err
}

func (v view) Agreement(c cid.Cid) (fold.AgreementState, bool, error) {
	a, _, ok, err := v.agreement(c)
	return a, ok, err
}

func (r reader) agreement(c cid.Cid) (a fold.AgreementState, i uint64, ok bool, err error) {
	if a.AddAgreement, i, ok, err = made[fold.AddAgreement](r, c); err != nil || !ok {
		return a, i, false, err
	}
	row, ok, err := getRow[agreementRow](r, key(tAgreement, c.String()))
	if err == nil && !ok {
		err = damaged("agreement %s has no row", c)
	}
	if row.Completed != nil {
		a.Complete, a.Completed, a.From = true, *row.Completed, row.From
	}
	return a, i, err == nil, err
}

func (v view) Usage(c cid.Cid) (fold.AddUsage, bool, error) {
	e, _, ok, err := made[fold.AddUsage](v.reader, c)
	return e, ok, err
}

func (v view) Attribution(c cid.Cid) (fold.AddAttribution, bool, error) {
	e, _, ok, err := made[fold.AddAttribution](v.reader, c)
	return e, ok, err
}

func (v view) Calendar() (fold.Calendar, bool, error) {
	c, ok, err := v.calendar()
	return fold.Calendar{First: c.First, Open: c.Open}, ok, err
}

func (v view) Currency(code string) (fold.Currency, bool, error) {
	c, ok, err := getRow[currencyRow](v.reader, key(tCurrency, code))
	return c.Currency, ok, err
}

func (v view) Payment(kind, k string) (fold.Payment, bool, error) {
	p, ok, err := getRow[paymentRow](v.reader, key(tPayment, kind, k))
	return fold.Payment{Statement: p.Statement.Cid, Body: p.Body}, ok, err
}

func (v view) Revenue(c cid.Cid) (fold.RevenueState, bool, error) {
	r, _, ok, err := v.revenue(c)
	return r, ok, err
}

func (r reader) revenue(c cid.Cid) (v fold.RevenueState, row settledRow, ok bool, err error) {
	if v.AddRevenue, _, ok, err = made[fold.AddRevenue](r, c); err != nil || !ok {
		return v, row, false, err
	}
	row, ok, err = getRow[settledRow](r, key(tSettled, c.String()))
	if err == nil && !ok {
		err = damaged("payment %s has no row", c)
	}
	v.Counted, v.Received, v.Reversed = row.Counted != nil, row.Received, row.Reversed
	return v, row, err == nil, err
}

func (v view) Turnover(period, currency string) (string, error) {
	sum, ok, err := getRow[string](v.reader, key(tTurnover, period, currency))
	if !ok {
		sum = "0"
	}
	return sum, err
}

func (v view) Allocation(c cid.Cid) (fold.AddAllocation, bool, error) {
	e, _, ok, err := made[fold.AddAllocation](v.reader, c)
	return e, ok, err
}

func (v view) NewestAllocation(period, currency string) (newest cid.Cid, ok bool, err error) {
	prefix := key(tAllocation, period, currency)
	err = v.scan(prefix, nil, func(k, _ []byte) (bool, error) {
		e, found, err := v.entry(lastIndex(k, desc))
		if err == nil && !found {
			err = damaged("row %q has no entry", k)
		}
		newest, ok = e.Statement.Cid, true
		return false, err
	})
	return newest, ok, err
}

func (v view) Payout(c cid.Cid) (fold.AddPayout, bool, error) {
	e, _, ok, err := made[fold.AddPayout](v.reader, c)
	return e, ok, err
}

func (v view) PayoutResult(payout cid.Cid, line int64) (string, bool, error) {
	r, ok, err := getRow[resultRow](v.reader, key(tResult, payout.String(), uint64(line)))
	return r.Status, ok, err
}

func (v view) Dispute(c cid.Cid) (fold.AddDispute, bool, error) {
	e, _, ok, err := made[fold.AddDispute](v.reader, c)
	return e, ok, err
}
