package fold

import (
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A View is the state that the entries below an index left, as the fold needs
// it. Methods return the zero value and false for what is not there; an error
// only when the state could not be read, which says nothing about the entry.
type View interface {
	// Registry returns the newest accepted registry/v1.
	Registry() (SetRegistry, bool, error)
	// Statement returns how a statement was decided by the first index that did.
	Statement(c cid.Cid) (Decided, bool, error)
	// Signed reports whether id is a recorded signer of the accepted statement c.
	Signed(c cid.Cid, id sign.KeyID) (bool, error)
	// Head returns the newest accepted version of a publisher's name.
	Head(publisher sign.KeyID, name string) (Head, bool, error)
	// VersionTaken reports whether the name has an accepted version of that text.
	VersionTaken(publisher sign.KeyID, name, version string) (bool, error)
	// Handle returns the identity that owns a handle.
	Handle(handle string) (sign.KeyID, bool, error)
	// Key returns whose key it is and whether it still signs; false for one that has
	// signed nothing that was accepted, and is no key of a rotation. See [PartyOf].
	Key(key sign.KeyID) (KeyState, bool, error)
	// Chain returns what the key events of an identity come to; false when it has none.
	Chain(identity sign.KeyID) (Chain, bool, error)

	// Node returns an accepted contribution or model.
	Node(c cid.Cid) (NodeState, bool, error)
	// Version returns the same with its lists: contributors and edges.
	Version(c cid.Cid) (Node, bool, error)
	// Work returns who has had shares of a work.
	Work(work string) (Work, bool, error)
	// Agreement returns an accepted agreement/v1.
	Agreement(c cid.Cid) (AgreementState, bool, error)
	// Usage returns an accepted usage/v1.
	Usage(c cid.Cid) (AddUsage, bool, error)
	// Attribution returns an accepted attribution/v1.
	Attribution(c cid.Cid) (AddAttribution, bool, error)

	// Calendar returns the open period; false before the first registry/v1.
	Calendar() (Calendar, bool, error)
	// Currency returns what a currency code means.
	Currency(code string) (Currency, bool, error)
	// Payment returns the accepted revenue/v1 or payout/v1 that has a key; kind
	// says which of the two.
	Payment(kind, key string) (Payment, bool, error)
	// Revenue returns an accepted revenue/v1.
	Revenue(c cid.Cid) (RevenueState, bool, error)
	// Turnover returns Σ|netMinor| of what was counted while a period was open, in
	// one currency; "0" for nothing.
	Turnover(period, currency string) (string, error)

	// Allocation returns an accepted allocation/v1.
	Allocation(c cid.Cid) (AddAllocation, bool, error)
	// NewestAllocation returns the newest allocation/v1 of a period and currency.
	NewestAllocation(period, currency string) (cid.Cid, bool, error)
	// Payout returns an accepted payout/v1.
	Payout(c cid.Cid) (AddPayout, bool, error)
	// PayoutResult returns the newest status of a line of a payout.
	PayoutResult(payout cid.Cid, line int64) (string, bool, error)
	// Dispute returns an accepted dispute/v1.
	Dispute(c cid.Cid) (AddDispute, bool, error)

	// Accepted reports whether key is the party of an acceptance of a terms
	// document, or a fetcher of a newest one.
	Accepted(terms cid.Cid, key sign.KeyID) (bool, error)
	// Withdrawn reports whether the publisher of a version has withdrawn it.
	Withdrawn(c cid.Cid) (bool, error)
	// Logged returns what the state keeps of the entry at index i, from 1 on.
	Logged(i uint64) (LoggedState, bool, error)
}

// Decided is the fate of a statement: the first index that decided it.
type Decided struct {
	Index   uint64
	Verdict Verdict // Accepted or Rejected
	Kind    string  // statement kind such as "contribution/v1"; "" for one the fold could not read
}

// Head is the newest accepted version of a name.
type Head struct {
	Statement cid.Cid
	Work      string // "wk:" and the statement CID of the first accepted version
	Seq       uint64 // 1 for the first version
}

// NodeState is what later entries need of a version, without its lists.
type NodeState struct {
	Kind      string // statement kind
	Index     uint64
	Work      string
	Publisher sign.KeyID
	Rules     *manifests.Rules
	Depth     int
	Floors    []Reach
}

// Shares are integer weights with their total.
type Shares struct {
	Shares []Share
	Total  string
}

// AgreementState is an accepted agreement and what became of it.
type AgreementState struct {
	AddAgreement
	Complete  bool
	Completed uint64 // index of the entry that completed it, when Complete
	From      string // the first period with its shares, when Complete
}

// Calendar is where the log stands in time.
type Calendar struct {
	First string // the first period of all
	Open  string // the one that revenue is counted in
}

// Next returns the period after the open one; "" when there is none.
func (c Calendar) Next() string {
	next, err := manifests.NextPeriod(c.Open)
	if err != nil {
		return ""
	}
	return next
}

// Payment is the statement that first used a key.
type Payment struct {
	Statement cid.Cid
	Body      string // hex; equal for statements that say the same
}

// RevenueState is an accepted payment and what became of it.
type RevenueState struct {
	AddRevenue
	Counted  bool   // it enters a run
	Received string // Σ netMinor of the receipts that settle it; "0" for none
	Reversed string // Σ netMinor of its refunds and chargebacks; "0" for none
}

// Limits of what one agreement can ask: how many people may have had a share
// of a work while its agreement is judged.
const (
	maxLists  = 1024   // changes of the list of contributors
	maxListed = 65_536 // shares in those lists together
)

// A Work is who has had shares of a work: the newest complete agreement, and
// the versions whose contributors are not those of the version before.
type Work struct {
	Agreement cid.Cid // undefined for none
	Completed uint64  // index of the entry that completed Agreement
	Lists     []WorkList
	Listed    int  // shares in Lists together
	Full      bool // there were more than an agreement can ask
}

// A WorkList is a version whose contributors have shares in the work.
type WorkList struct {
	Statement cid.Cid
	Index     uint64
	Agreement cid.Cid // the one that the version names; until it begins, the contributors count
}

// Last returns the version whose contributors the next one is compared with:
// those of the newest list, unless an agreement has replaced them.
func (w Work) Last() (cid.Cid, bool) {
	if len(w.Lists) == 0 {
		return cid.Undef, false
	}
	l := w.Lists[len(w.Lists)-1]
	return l.Statement, !w.Agreement.Defined() || l.Index > w.Completed
}

// With returns w after a version n at index i. last is [Work.Last], if there is
// one.
func (w Work) With(n Node, i uint64, last Node) Work {
	switch {
	case last.Agreement == n.Agreement && last.Total == n.Total && slices.Equal(last.Contributors, n.Contributors):
	case len(w.Lists) == maxLists || w.Listed+len(n.Contributors) > maxListed:
		w.Full = true
	default:
		w.Lists = append(slices.Clone(w.Lists), WorkList{Statement: n.Statement.Cid, Index: i, Agreement: n.Agreement.Cid})
		w.Listed += len(n.Contributors)
	}
	return w
}
