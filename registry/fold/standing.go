package fold

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// AddAcceptance makes an acceptance the newest of its party and terms.
type AddAcceptance struct {
	Statement cjson.CID    `json:"statement"`
	Party     sign.KeyID   `json:"party"`
	Terms     cjson.CID    `json:"terms"`
	Fetchers  []sign.KeyID `json:"fetchers,omitempty"` // sorted
}

// AddWithdrawal ends the offer of a version; with Flag it only marks it.
type AddWithdrawal struct {
	Statement cjson.CID  `json:"statement"`
	About     cjson.CID  `json:"about"`
	Party     sign.KeyID `json:"party"`
	// Flag says that the party is a contributor and not the publisher.
	Flag bool `json:"flag,omitempty"`
	// From is the first period in which OnWithdraw counts; "" beside Flag.
	From string `json:"from,omitempty"`
}

// AddTombstone says that the body of an entry is erased.
type AddTombstone struct {
	Statement cjson.CID `json:"statement"`
	About     cjson.CID `json:"about"` // the statement of the entry
	Index     uint64    `json:"index"` // of the entry
	Reason    string    `json:"reason,omitempty"`
}

// LoggedState is what the state keeps of every entry.
type LoggedState struct {
	Statement     cid.Cid  // as the leaf names it; undefined for a malformed leaf
	Before, After [32]byte // the digests around the entry
}

// accept judges an accept/v1.
func (j *judge) accept(p *manifests.Accept) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Party, []sign.KeyID{p.Party}); code != "" || err != nil {
		return nil, code, err
	}
	return []Effect{AddAcceptance{Statement: j.stmt(), Party: p.Party, Terms: p.Terms, Fetchers: p.Fetchers}}, "", nil
}

// withdraw judges a withdraw/v1: the publisher withdraws, another listed
// contributor flags.
func (j *judge) withdraw(p *manifests.Withdraw) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Party, []sign.KeyID{p.Party}); code != "" || err != nil {
		return nil, code, err
	}
	n, ok, err := j.Version(p.Statement.Cid)
	if err != nil || !ok {
		return nil, Reference, err
	}
	w := AddWithdrawal{Statement: j.stmt(), About: p.Statement, Party: p.Party}
	if n.Publisher == p.Party {
		c, _, err := j.Calendar()
		if err != nil {
			return nil, "", err
		}
		if w.From = c.Next(); w.From == "" {
			return nil, WrongPeriod, nil
		}
		return []Effect{w}, "", nil
	}
	if !slices.ContainsFunc(n.Contributors, func(s Share) bool { return s.ID == p.Party }) {
		return nil, NotPublisher, nil
	}
	w.Flag = true
	return []Effect{w}, "", nil
}

// tombstone judges a tombstone/v1: what it says of the entry must hash into the
// chain at the entry's index.
func (j *judge) tombstone(p *manifests.Tombstone) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Operators); code != "" || err != nil {
		return nil, code, err
	}
	if p.Index >= j.index {
		return nil, Reference, nil
	}
	e, ok, err := j.Logged(p.Index)
	if err != nil || !ok || e.Statement != p.Statement.Cid {
		return nil, Reference, err
	}
	leaf, r, err := standIn(p)
	if err != nil || Next(e.Before, p.Index, leaf, r) != e.After {
		return nil, Mismatch, nil
	}
	return []Effect{AddTombstone{Statement: j.stmt(), About: p.Statement, Index: p.Index, Reason: p.Reason}}, "", nil
}

// standIn reads what a tombstone says of its entry. fault.Invalid for what the
// fold cannot have said, and for what is never erased: the entries before the
// first registry/v1, every registry/v1, and tombstones.
func standIn(p *manifests.Tombstone) (leaf [32]byte, r Result, err error) {
	b, err := p.Result()
	if err != nil {
		return leaf, r, fault.Mark(fault.Invalid, err)
	}
	if r, err = DecodeResult(b); err != nil {
		return leaf, r, err
	}
	if r.Code == NoRegistry {
		return leaf, r, fault.New(fault.Invalid, "an entry before the first registry/v1 has no tombstone")
	}
	for _, e := range r.Effects {
		switch e.(type) {
		case SetRegistry, AddTombstone:
			return leaf, r, fault.New(fault.Invalid, "an entry with %s has no tombstone", e.Op())
		}
	}
	if n, err := hex.Decode(leaf[:], []byte(p.Leaf)); err != nil || n != len(leaf) {
		return leaf, r, fault.New(fault.Invalid, "leaf is no hash")
	}
	return leaf, r, nil
}

// NewTombstone returns the tombstone of the entry at index i with the given leaf
// and result, but for the members that every predicate has. fault.Invalid for
// an entry that cannot be erased.
func NewTombstone(i uint64, leaf []byte, r Result) (*manifests.Tombstone, error) {
	l, err := proof.DecodeLeaf(leaf)
	if err != nil {
		return nil, err
	}
	hash := proof.LeafHash(leaf)
	t := &manifests.Tombstone{Statement: l.Stmt, Index: i, Leaf: hex.EncodeToString(hash[:]), Verdict: string(r.Verdict), Code: string(r.Code)}
	if len(r.Effects) > 0 {
		if err := json.Unmarshal(EncodeEffects(r.Effects), &t.Effects); err != nil {
			return nil, fault.Mark(fault.Internal, err)
		}
	}
	if _, _, err := standIn(t); err != nil {
		return nil, err
	}
	return t, nil
}

// ReadTombstone returns the tombstone in an envelope that a leaf of kind
// tombstone/v1 names, and its statement; false for anything else, and when a
// signature does not hold. Who signed is not asked: whether the log accepts it
// is known when the replay comes to it.
func ReadTombstone(origin string, envelope []byte) (cid.Cid, *manifests.Tombstone, bool) {
	e, err := sign.Decode(envelope)
	if err != nil {
		return cid.Undef, nil, false
	}
	payload, _, err := e.Open()
	if err != nil {
		return cid.Undef, nil, false
	}
	s, err := manifests.Decode(payload)
	if err != nil {
		return cid.Undef, nil, false
	}
	t, ok := s.Predicate.(*manifests.Tombstone)
	if !ok || t.Registry != origin {
		return cid.Undef, nil, false
	}
	return manifests.StatementCID(payload), t, true
}

// Erased returns the entry at index i without its body, as the tombstone t says
// it was judged; its Judge gives that result. statement is t's own. The caller has to know that t is signed
// and logged, and stops for good if the log does not accept it. fault.Unverified
// when t is not about this entry.
func Erased(i uint64, leaf []byte, statement cid.Cid, t *manifests.Tombstone) (*Entry, error) {
	e := &Entry{LeafHash: proof.LeafHash(leaf), tombstone: statement}
	var err error
	if e.Leaf, err = proof.DecodeLeaf(leaf); err != nil {
		return nil, err
	}
	hash, r, err := standIn(t)
	if err != nil {
		return nil, err
	}
	if t.Index != i || hash != e.LeafHash || t.Statement != e.Leaf.Stmt {
		return nil, fault.New(fault.Unverified, "the tombstone is not about entry %d", i)
	}
	e.erased = &r
	switch r.Code {
	case MalformedLeaf, LeafMismatch, MalformedEnvelope, BadSignature:
	default:
		e.Matches = true
	}
	return e, nil
}

// Tombstone returns the tombstone that stands for an entry without a body.
func (e *Entry) Tombstone() (cid.Cid, bool) { return e.tombstone, e.erased != nil }

// Kind returns the kind of statement in an entry that decides one; "" when it has
// none that is known.
func (e *Entry) Kind() string {
	switch {
	case e.Statement != nil:
		return string(e.Statement.Kind)
	case e.erased != nil && e.Matches && e.erased.Code != UnknownKind && e.erased.Code != Malformed:
		return e.Leaf.T
	}
	return ""
}

// withdrawn returns those of a list that are withdrawn, sorted, each once.
func (j *judge) withdrawn(list []cjson.CID) ([]cjson.CID, error) {
	var out []cjson.CID
	seen := make(map[cid.Cid]bool, len(list))
	for _, c := range list {
		if seen[c.Cid] {
			continue
		}
		seen[c.Cid] = true
		gone, err := j.Withdrawn(c.Cid)
		if err != nil {
			return nil, err
		}
		if gone {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b cjson.CID) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

// unaccepted reports whether a version asks for an acceptance that id has not given.
func (j *judge) unaccepted(c cid.Cid, n NodeState, id sign.KeyID) (bool, error) {
	if n.Rules == nil || n.Rules.Accept == "" {
		return false, nil
	}
	v, ok, err := j.Version(c)
	if err == nil && !ok {
		err = fault.New(fault.Internal, "version %s is a node and not there", c)
	}
	if err != nil {
		return false, err
	}
	accepted, err := j.Accepted(v.Terms.Cid, id)
	return !accepted, err
}

// standingState is the part of a [State] that these kinds need.
type standingState struct {
	entries     []LoggedState
	acceptances map[acceptance][]sign.KeyID // fetchers
	fetchers    map[acceptance]int          // how many acceptances list the key
	withdrawals map[cid.Cid]bool
}

type acceptance struct {
	terms cid.Cid
	key   sign.KeyID
}

func newStandingState() standingState {
	return standingState{
		acceptances: make(map[acceptance][]sign.KeyID),
		fetchers:    make(map[acceptance]int),
		withdrawals: make(map[cid.Cid]bool),
	}
}

func (s *standingState) apply(effect Effect) {
	switch e := effect.(type) {
	case AddAcceptance:
		a := acceptance{e.Terms.Cid, e.Party}
		for _, f := range s.acceptances[a] {
			s.fetchers[acceptance{e.Terms.Cid, f}]--
		}
		for _, f := range e.Fetchers {
			s.fetchers[acceptance{e.Terms.Cid, f}]++
		}
		s.acceptances[a] = e.Fetchers
	case AddWithdrawal:
		if !e.Flag {
			s.withdrawals[e.About.Cid] = true
		}
	}
}

// Accepted implements [View].
func (s *standingState) Accepted(terms cid.Cid, key sign.KeyID) (bool, error) {
	_, party := s.acceptances[acceptance{terms, key}]
	return party || s.fetchers[acceptance{terms, key}] > 0, nil
}

// Withdrawn implements [View].
func (s *standingState) Withdrawn(c cid.Cid) (bool, error) { return s.withdrawals[c], nil }

// Logged implements [View].
func (s *standingState) Logged(i uint64) (LoggedState, bool, error) {
	if i >= uint64(len(s.entries)) {
		return LoggedState{}, false, nil
	}
	return s.entries[i], true, nil
}
