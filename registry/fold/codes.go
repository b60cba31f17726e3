package fold

// A Code is the reason of a rejection. The list is closed: it is part of the
// digest, so a code is added, or its meaning changed, only with a new [Version].
type Code string

// The codes, in the order in which the rules are applied: of several broken
// rules the first one names the entry. FORMAT.md says the rules in full.
const (
	// NoRegistry: no registry/v1 has been accepted yet, and this entry is not
	// one that could be.
	NoRegistry Code = "no-registry"

	// MalformedLeaf: the entry's bytes are not a canonical leaf.
	MalformedLeaf Code = "malformed-leaf"
	// LeafMismatch: the leaf does not say what the envelope and its statement say.
	LeafMismatch Code = "leaf-mismatch"
	// MalformedEnvelope: the body is not a normalised DSSE envelope within its limits.
	MalformedEnvelope Code = "malformed-envelope"
	// BadSignature: a signature of the envelope does not verify under its keyid.
	BadSignature Code = "bad-signature"

	// UnknownKind: the predicate type is not one that this version decides.
	UnknownKind Code = "unknown-kind"
	// Malformed: the payload is not a canonical statement, or breaks its grammar.
	Malformed Code = "malformed"
	// Subject: subject[0] does not name what the predicate is about.
	Subject Code = "subject"
	// WrongRegistry: the statement was signed for another log.
	WrongRegistry Code = "wrong-registry"

	// UnexpectedSigner: somebody signed who has no part in the statement.
	UnexpectedSigner Code = "unexpected-signer"
	// KeyRevoked: a signing key, or the one to be revoked, was revoked at a
	// smaller index.
	KeyRevoked Code = "key-revoked"
	// KeyReplaced: another key took the place of a signing key at a smaller index.
	KeyReplaced Code = "key-replaced"
	// MissingSignature: the party that must sign did not.
	MissingSignature Code = "missing-signature"
	// Threshold: a statement of a group, the operators or the arbiters, has fewer
	// of their signatures than it needs.
	Threshold Code = "threshold"

	// Anchor: the statement claims to have seen a log larger than its own index.
	Anchor Code = "anchor"
	// Reference: a statement that must have been accepted before was not.
	Reference Code = "reference"
	// VersionTaken: the publisher has used this version of this name already.
	VersionTaken Code = "version-taken"
	// Stale: supersedes is not the newest accepted statement of the name.
	Stale Code = "stale"

	// Edges: more edges than a version may have, or more inputs of runs than
	// they could pay.
	Edges Code = "edges"
	// Depth: the version lies too deep in the graph.
	Depth Code = "depth"
	// Underpaid: an edge is below what its parent's rules ask.
	Underpaid Code = "underpaid"
	// Cap: the edges to other works together are above a parent's cap.
	Cap Code = "cap"
	// Ancestors: the version has too many ancestors with a floor.
	Ancestors Code = "ancestors"
	// Floor: too little reaches an ancestor that set a floor.
	Floor Code = "floor"
	// Consent: somebody's part of the work falls with this version, and they
	// have not signed. Another envelope may carry their signatures.
	Consent Code = "consent"

	// HandleTaken: the handle belongs to another identity.
	HandleTaken Code = "handle-taken"
	// UnknownKey: the key that is named is not one of the identity's.
	UnknownKey Code = "unknown-key"
	// CompromisedSince: a revocation names an index above its own.
	CompromisedSince Code = "compromised-since"
	// KeyExists: a first key event, and the identity has key events already; or a
	// new key that is somebody's already, or has signed something.
	KeyExists Code = "key-exists"
	// NextKey: the identity said before which key follows, and it is not this one.
	NextKey Code = "next-key"

	// TooManyParties: more people had a share of the work than one agreement can
	// ask, or too many of its agreements have not begun.
	TooManyParties Code = "too-many-parties"
	// NotPublisher: the issuer is not the publisher of the version.
	NotPublisher Code = "not-publisher"
	// WrongPeriod: the period is not one that this statement can be about.
	WrongPeriod Code = "wrong-period"
	// PastPeriod: an agreement begins in a period that has begun.
	PastPeriod Code = "past-period"
	// UnknownCurrency: nobody has said what the currency code means.
	UnknownCurrency Code = "unknown-currency"
	// CurrencyTaken: the currency code has a meaning already.
	CurrencyTaken Code = "currency-taken"
	// Mismatch: the statement does not agree with the one that it is about.
	Mismatch Code = "mismatch"
	// KeyTaken: another payment has this key.
	KeyTaken Code = "key-taken"
	// OverClaim: more is settled or reversed than there is.
	OverClaim Code = "over-claim"
	// Overflow: the amounts of a period reach 2^127 fine units.
	Overflow Code = "overflow"
	// ResultTaken: the line of the payout has a result that this one cannot follow.
	ResultTaken Code = "result-taken"

	// LaterKey: somebody who is listed is a later key of another identity.
	LaterKey Code = "later-key"
)

// undecided are the codes that say nothing about the statement: the entry was
// unreadable, or carried signatures that cannot stand. Its statement may be
// logged again in another envelope.
var undecided = map[Code]bool{
	NoRegistry:        true,
	MalformedLeaf:     true,
	MalformedEnvelope: true,
	LeafMismatch:      true,
	BadSignature:      true,
	UnexpectedSigner:  true,
	KeyRevoked:        true,
	KeyReplaced:       true,
	MissingSignature:  true,
	Threshold:         true,
	Consent:           true,
}

// Decides reports whether a rejection with this code is final for the
// statement, so that every later entry with the same statement is a duplicate.
// The others are caused by the envelope alone: the statement can be logged
// again with other signatures.
func (c Code) Decides() bool { return !undecided[c] }

// Codes returns the closed list, in the order in which the rules are applied.
func Codes() []Code {
	return []Code{
		NoRegistry, MalformedLeaf, LeafMismatch, MalformedEnvelope, BadSignature,
		UnknownKind, Malformed, Subject, WrongRegistry,
		UnexpectedSigner, KeyRevoked, KeyReplaced, MissingSignature, Threshold,
		Anchor, Reference, VersionTaken, Stale,
		Edges, Depth, Underpaid, Cap, Ancestors, Floor, Consent,
		HandleTaken, UnknownKey, CompromisedSince, KeyExists, NextKey,
		TooManyParties, NotPublisher, WrongPeriod, PastPeriod, UnknownCurrency, CurrencyTaken,
		Mismatch, KeyTaken, OverClaim, Overflow, ResultTaken,
		LaterKey,
	}
}
