package index

import (
	"bytes"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

// acceptanceRow is the newest acceptance of a party and terms document.
type acceptanceRow struct {
	Index     uint64       `json:"index"`
	Statement cjson.CID    `json:"statement"`
	Fetchers  []sign.KeyID `json:"fetchers,omitempty"`
}

// tombstoneRow is the tombstone of an entry.
type tombstoneRow struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	About     cjson.CID `json:"about"`
	Reason    string    `json:"reason,omitempty"`
}

// remove takes a row away, if it is there.
func (w *rowWriter) remove(letter byte, parts ...any) error {
	k := key(letter, parts...)
	for i := range w.rows {
		if bytes.Equal(w.rows[i].key, k) {
			return fault.New(fault.Internal, "index: row %q is written and removed by one entry", k)
		}
	}
	_, ok, err := w.get(k)
	if err == nil && ok {
		w.rows = append(w.rows, row{key: k, gone: true})
	}
	return err
}

func (w *rowWriter) acceptance(e fold.AddAcceptance) error {
	terms, party := e.Terms.String(), string(e.Party)
	before, _, err := getRow[acceptanceRow](w.reader, key(tAcceptance, terms, party))
	if err != nil {
		return err
	}
	now := make(map[sign.KeyID]bool, len(e.Fetchers))
	for _, f := range e.Fetchers {
		now[f] = true
		if err := w.replace(nil, tFetcher, terms, string(f), party); err != nil {
			return err
		}
	}
	for _, f := range before.Fetchers {
		if now[f] {
			continue
		}
		if err := w.remove(tFetcher, terms, string(f), party); err != nil {
			return err
		}
	}
	w.put(nil, tAccepts, party, w.index)
	return w.replace(encode(acceptanceRow{Index: w.index, Statement: e.Statement, Fetchers: e.Fetchers}), tAcceptance, terms, party)
}

func (w *rowWriter) withdrawal(e fold.AddWithdrawal) error {
	w.put(nil, tWithdrawal, e.About.String(), w.index)
	if e.Flag {
		return nil
	}
	return w.putOnce(encode(w.index), tWithdrawn, e.About.String())
}

// tombstone records a tombstone, and forgets what only the body of its entry
// said, so that the rows are those of a replay without the body.
func (w *rowWriter) tombstone(e fold.AddTombstone) error {
	if err := w.remove(tStandIn, e.Statement.String()); err != nil {
		return err
	}
	row := tombstoneRow{Index: w.index, Statement: e.Statement, About: e.About, Reason: e.Reason}
	if err := w.putOnce(encode(row), tTombstone, e.Index); err != nil {
		return err
	}
	d, ok, err := getRow[datasetRow](w.reader, key(tDataset, e.Index))
	if err != nil {
		return err
	}
	if ok {
		if err := w.forgetVersion(e.Index, d); err != nil {
			return err
		}
	}
	return w.forgetProfile(e.Index)
}

func (w *rowWriter) forgetVersion(i uint64, d datasetRow) error {
	lists := map[string][]string{termKeyword: keywordTerms(d.Keywords), termLicense: licenseTerms(d.License)}
	for _, s := range d.Declared {
		if s.URL != "" {
			lists[termSource] = append(lists[termSource], s.URL)
		}
	}
	for kind, terms := range lists {
		seen := make(map[string]bool, len(terms))
		for _, t := range terms {
			if t = boundTerm(t); seen[t] {
				continue
			}
			seen[t] = true
			if err := w.remove(tTerm, kind, t, i); err != nil {
				return err
			}
		}
	}
	d.IssuedAt, d.Title, d.License, d.Keywords, d.MediaTypes, d.Bytes, d.FileCount, d.Declared = "", "", "", nil, nil, 0, 0, nil
	return w.replace(encode(d), tDataset, i)
}

// forgetProfile takes the texts out of an identity's current profile, when the
// entry at index i made it.
func (w *rowWriter) forgetProfile(i uint64) error {
	entry, ok, err := w.reader.entry(i)
	if err != nil || !ok || entry.Kind != kindProfile || len(entry.Keys) != 1 {
		return err
	}
	identity, _, err := fold.PartyOf(view{reader: w.reader}, entry.Keys[0])
	if err != nil {
		return err
	}
	p, ok, err := getRow[Profile](w.reader, key(tProfile, string(identity)))
	if err != nil || !ok || p.Index != i {
		return err
	}
	p.Name, p.URL = "", ""
	return w.replace(encode(p), tProfile, string(p.Identity))
}

// standIn keeps that an entry was applied without its body, until the tombstone
// that stood in for it is applied; and stops when that one is not accepted.
func (w *rowWriter) standIn(e *fold.Entry, r fold.Result) error {
	if t, ok := e.Tombstone(); ok {
		return w.replace(encode(w.index), tStandIn, t.String())
	}
	if r.Verdict != fold.Rejected || !r.Decides() {
		return nil
	}
	i, ok, err := getRow[uint64](w.reader, key(tStandIn, e.Leaf.Stmt.String()))
	if err == nil && ok {
		err = fault.New(fault.Unverified, "entry %d has no body, and the tombstone %s that stands for it is rejected at entry %d: %s",
			i, e.Leaf.Stmt, w.index, r.Code)
	}
	return err
}

func (v view) Accepted(terms cid.Cid, id sign.KeyID) (bool, error) {
	if _, ok, err := v.get(key(tAcceptance, terms.String(), string(id))); ok || err != nil {
		return ok, err
	}
	found := false
	err := v.scan(key(tFetcher, terms.String(), string(id)), nil, func(k, _ []byte) (bool, error) {
		found = true
		return false, nil
	})
	return found, err
}

func (v view) Withdrawn(c cid.Cid) (bool, error) {
	_, ok, err := v.get(key(tWithdrawn, c.String()))
	return ok, err
}

func (v view) Logged(i uint64) (out fold.LoggedState, ok bool, err error) {
	if i == 0 {
		return out, false, nil
	}
	before, ok, err := v.entry(i - 1)
	if err != nil || !ok {
		return out, false, err
	}
	e, ok, err := v.entry(i)
	if err != nil || !ok {
		return out, false, err
	}
	out.Statement = e.Statement.Cid
	if out.Before, err = digestOf(before); err != nil {
		return out, false, err
	}
	out.After, err = digestOf(e)
	return out, err == nil, err
}
