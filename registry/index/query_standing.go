package index

import (
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

const kindProfile = string(manifests.KindProfile)

func digestOf(e Entry) (d [32]byte, err error) {
	b, err := hex.DecodeString(e.Digest)
	if err != nil || len(b) != len(d) {
		return d, damaged("the digest of entry %d is %s", e.Index, fault.Quote(e.Digest))
	}
	copy(d[:], b)
	return d, nil
}

// An Acceptance is the newest accept/v1 of a party and terms document.
type Acceptance struct {
	Index     uint64       `json:"index"`
	Statement cjson.CID    `json:"statement"`
	Party     sign.KeyID   `json:"party"`
	Terms     cjson.CID    `json:"terms"`
	Fetchers  []sign.KeyID `json:"fetchers,omitempty"`
}

// Acceptance returns the newest acceptance by which id may fetch what a terms
// document gates: as the party, or as a fetcher of one. fault.NotFound for none.
func (s *Snapshot) Acceptance(terms cid.Cid, id sign.KeyID) (Acceptance, error) {
	party := string(id)
	_, ok, err := s.get(key(tAcceptance, terms.String(), party))
	if err == nil && !ok {
		err = s.scan(key(tFetcher, terms.String(), party), nil, func(k, _ []byte) (bool, error) {
			_, parts, parsed := parseKey(k)
			if !parsed {
				return false, damaged("row %q is no fetcher", k)
			}
			party, ok = parts[2].(string), true
			return false, nil
		})
	}
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "%s has not accepted %s", id, terms)
	}
	if err != nil {
		return Acceptance{}, err
	}
	return s.acceptance(terms.String(), party)
}

func (s *Snapshot) acceptance(terms, party string) (Acceptance, error) {
	r, ok, err := getRow[acceptanceRow](s.reader, key(tAcceptance, terms, party))
	if err == nil && !ok {
		err = damaged("the acceptance of %s by %s is missing", terms, party)
	}
	if err != nil {
		return Acceptance{}, err
	}
	t, err := cjson.ParseCID(terms)
	if err != nil {
		return Acceptance{}, damaged("an acceptance of %s", fault.Quote(terms))
	}
	return Acceptance{Index: r.Index, Statement: r.Statement, Party: sign.KeyID(party), Terms: cjson.CID{Cid: t}, Fetchers: r.Fetchers}, nil
}

// Acceptances returns the newest acceptances of a terms document, by party: at
// most limit after the party named after ("" for the first page), and the party
// to go on after ("": there are no more).
func (s *Snapshot) Acceptances(terms cid.Cid, after sign.KeyID, limit int) ([]Acceptance, sign.KeyID, error) {
	limit, err := pageLimit(limit)
	if err != nil {
		return nil, "", err
	}
	if !fitsKey(string(after)) {
		return nil, "", fault.New(fault.Invalid, "after is no party")
	}
	prefix := key(tAcceptance, terms.String())
	var from []byte
	if after != "" {
		from = append(key(tAcceptance, terms.String(), string(after)), 0)
	}
	var parties []string
	err = s.scan(prefix, from, func(k, _ []byte) (bool, error) {
		_, parts, ok := parseKey(k)
		if !ok {
			return false, damaged("row %q is no acceptance", k)
		}
		parties = append(parties, parts[1].(string))
		return len(parties) <= limit, nil
	})
	if err != nil {
		return nil, "", err
	}
	var next sign.KeyID
	if len(parties) > limit {
		parties = parties[:limit]
		next = sign.KeyID(parties[limit-1])
	}
	out := []Acceptance{}
	for _, p := range parties {
		a, err := s.acceptance(terms.String(), p)
		if err != nil {
			return nil, "", err
		}
		out = append(out, a)
	}
	return out, next, nil
}

// AcceptancesBy returns the acceptances that a party has signed and that no
// newer one of the same terms replaces, newest first, from at most MaxLimit
// statements.
func (s *Snapshot) AcceptancesBy(party sign.KeyID) ([]Acceptance, error) {
	list, err := logged[fold.AddAcceptance](s, key(tAccepts, string(party)), string(party))
	if err != nil {
		return nil, err
	}
	out := []Acceptance{}
	for _, l := range list {
		if slices.ContainsFunc(out, func(a Acceptance) bool { return a.Terms == l.Effect.Terms }) {
			continue
		}
		e := l.Effect
		out = append(out, Acceptance{Index: l.Index, Statement: e.Statement, Party: e.Party, Terms: e.Terms, Fetchers: e.Fetchers})
	}
	return out, nil
}

// Withdrawals returns the withdrawals and flags of a version, newest first, at
// most MaxLimit.
func (s *Snapshot) Withdrawals(version cid.Cid) ([]Logged[fold.AddWithdrawal], error) {
	return logged[fold.AddWithdrawal](s, key(tWithdrawal, version.String()))
}

// A Gone says why something is offered no more.
type Gone struct {
	Index     uint64    `json:"index"`     // of the entry that ended it
	Statement cjson.CID `json:"statement"` // withdraw/v1 or tombstone/v1
	About     cjson.CID `json:"about"`     // the version
	Erased    bool      `json:"erased,omitempty"`
	Reason    string    `json:"reason,omitempty"` // of a tombstone
}

// Gone reports whether a version, by its statement, is offered no more: its
// publisher withdrew it, or its body is erased.
func (s *Snapshot) Gone(statement cid.Cid) (Gone, bool, error) {
	st, ok, err := s.reader.statement(statement)
	if err != nil || !ok {
		return Gone{}, false, err
	}
	t, ok, err := s.Tombstone(st.Index)
	if err != nil || ok {
		return t, ok, err
	}
	i, ok, err := getRow[uint64](s.reader, key(tWithdrawn, statement.String()))
	if err != nil || !ok {
		return Gone{}, false, err
	}
	e, err := s.Entry(i)
	return Gone{Index: i, Statement: e.Statement, About: cjson.CID{Cid: statement}}, err == nil, err
}

// Tombstone returns the tombstone of the entry at index i.
func (s *Snapshot) Tombstone(i uint64) (Gone, bool, error) {
	t, ok, err := getRow[tombstoneRow](s.reader, key(tTombstone, i))
	if err != nil || !ok {
		return Gone{}, false, err
	}
	return Gone{Index: t.Index, Statement: t.Statement, About: t.About, Erased: true, Reason: t.Reason}, true, nil
}

// GoneRoot reports whether the data under a root is offered no more: there are
// versions with it, at most MaxLimit of which are looked at, newest first, and
// each of them is gone. It returns the newest of the entries that ended them.
func (s *Snapshot) GoneRoot(root cid.Cid) (Gone, bool, error) {
	p, err := s.List(Query{Root: root, Limit: MaxLimit})
	if err != nil || len(p.Datasets) == 0 || p.Next != 0 {
		return Gone{}, false, err
	}
	var newest Gone
	for _, d := range p.Datasets {
		g, ok, err := s.Gone(d.Statement.Cid)
		if err != nil || !ok {
			return Gone{}, false, err
		}
		if g.Index >= newest.Index {
			newest = g
		}
	}
	return newest, true, nil
}

// StandIns returns the entries that were applied without their bodies and whose
// tombstones have not been applied yet, in no order, at most MaxLimit.
func (s *Snapshot) StandIns() ([]uint64, error) {
	var out []uint64
	err := s.scan(key(tStandIn), nil, func(k, payload []byte) (bool, error) {
		var i uint64
		if err := json.Unmarshal(payload, &i); err != nil {
			return false, damaged("row %q: %w", k, err)
		}
		out = append(out, i)
		return len(out) < MaxLimit, nil
	})
	return out, err
}

// GoneCID reports whether a CID that somebody asks for is offered no more:
//
//   - data, by its root: every version with it is withdrawn or erased;
//   - a manifest: every version that names it is erased;
//   - a statement or an envelope: the body of its entry is erased.
//
// A withdrawal leaves the record: its statement and manifest stay. What lies
// below a root is not looked at.
func (s *Snapshot) GoneCID(c cid.Cid) (Gone, bool, error) {
	if st, ok, err := s.reader.statement(c); err != nil {
		return Gone{}, false, err
	} else if ok {
		if g, erased, err := s.Tombstone(st.Index); err != nil || erased {
			return g, erased, err
		}
	}
	if i, ok, err := getRow[uint64](s.reader, key(tEnvelope, c.String())); err != nil {
		return Gone{}, false, err
	} else if ok {
		if g, erased, err := s.Tombstone(i); err != nil || erased {
			return g, erased, err
		}
	}
	p, err := s.List(Query{Manifest: c, Limit: MaxLimit})
	if err != nil {
		return Gone{}, false, err
	}
	if len(p.Datasets) > 0 && p.Next == 0 {
		var newest Gone
		for _, d := range p.Datasets {
			g, erased, err := s.Tombstone(d.Index)
			if err != nil || !erased {
				return Gone{}, false, err
			}
			if g.Index >= newest.Index {
				newest = g
			}
		}
		return newest, true, nil
	}
	return s.GoneRoot(c)
}
