package manifests

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	// TypeBase comes before a [Kind] in a predicate type.
	TypeBase = "https://github.com/cairn-registry/cairn/"

	// StatementType is the _type of every statement: cairn's statements are
	// in-toto statements, so that in-toto tools read them.
	StatementType = "https://in-toto.io/Statement/v1"
)

// A Kind is a kind of statement with its version; TypeBase + Kind is the
// predicate type. A new member of a predicate makes a new version of its kind;
// all versions are read for ever.
type Kind string

// The kinds that this package reads and writes.
const (
	KindRegistry     Kind = "registry/v1"
	KindContribution Kind = "contribution/v1"
	KindProfile      Kind = "profile/v1"
	KindKey          Kind = "key/v1"
	KindAttestation  Kind = "attestation/v1"

	KindModel       Kind = "model/v1"
	KindUsage       Kind = "usage/v1"
	KindAttribution Kind = "attribution/v1"
	KindAgreement   Kind = "agreement/v1"

	KindPeriod   Kind = "period/v1"
	KindCurrency Kind = "currency/v1"
	KindRevenue  Kind = "revenue/v1"

	KindAllocation   Kind = "allocation/v1"
	KindAdjustment   Kind = "adjustment/v1"
	KindPayout       Kind = "payout/v1"
	KindPayoutResult Kind = "payoutResult/v1"
	KindPayee        Kind = "payee/v1"

	KindDispute    Kind = "dispute/v1"
	KindResolution Kind = "resolution/v1"
	KindCommit     Kind = "commit/v1"

	KindAccept    Kind = "accept/v1"
	KindWithdraw  Kind = "withdraw/v1"
	KindTombstone Kind = "tombstone/v1"
)

// kinds are the known kinds, each with its predicate.
var kinds = []struct {
	kind Kind
	make func() Predicate
}{
	{KindRegistry, func() Predicate { return new(Registry) }},
	{KindContribution, func() Predicate { return new(Contribution) }},
	{KindProfile, func() Predicate { return new(Profile) }},
	{KindKey, func() Predicate { return new(Key) }},
	{KindAttestation, func() Predicate { return new(Attestation) }},
	{KindModel, func() Predicate { return new(Model) }},
	{KindUsage, func() Predicate { return new(Usage) }},
	{KindAttribution, func() Predicate { return new(Attribution) }},
	{KindAgreement, func() Predicate { return new(Agreement) }},
	{KindPeriod, func() Predicate { return new(PeriodStatement) }},
	{KindCurrency, func() Predicate { return new(CurrencyStatement) }},
	{KindRevenue, func() Predicate { return new(Revenue) }},
	{KindAllocation, func() Predicate { return new(Allocation) }},
	{KindAdjustment, func() Predicate { return new(Adjustment) }},
	{KindPayout, func() Predicate { return new(Payout) }},
	{KindPayoutResult, func() Predicate { return new(PayoutResult) }},
	{KindPayee, func() Predicate { return new(Payee) }},
	{KindDispute, func() Predicate { return new(Dispute) }},
	{KindResolution, func() Predicate { return new(Resolution) }},
	{KindCommit, func() Predicate { return new(Commit) }},
	{KindAccept, func() Predicate { return new(Accept) }},
	{KindWithdraw, func() Predicate { return new(Withdraw) }},
	{KindTombstone, func() Predicate { return new(Tombstone) }},
}

// Kinds returns the known kinds.
func Kinds() []Kind {
	list := make([]Kind, len(kinds))
	for i, k := range kinds {
		list[i] = k.kind
	}
	return list
}

// PredicateType returns the in-toto predicate type of k.
func (k Kind) PredicateType() string { return TypeBase + string(k) }

// newPredicate returns an empty predicate of kind k, nil for an unknown one.
func (k Kind) newPredicate() Predicate {
	for _, known := range kinds {
		if known.kind == k {
			return known.make()
		}
	}
	return nil
}

// ErrUnknownKind is wrapped by the error of [Decode] for a statement whose
// predicate type is not one of [Kinds]; errors.As gives the [UnknownKindError].
var ErrUnknownKind = errors.New("unknown kind of statement")

// An UnknownKindError says which predicate type was not known. The payload
// around it was canonical JSON of the form of a statement.
type UnknownKindError struct{ PredicateType string }

// Error names the predicate type.
func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("predicateType: %v %s", ErrUnknownKind, fault.Quote(e.PredicateType))
}

// Kind returns the kind that the predicate type names, whether or not anybody
// knows it; "" for a predicate type that is not cairn's.
func (e *UnknownKindError) Kind() Kind {
	k, ok := strings.CutPrefix(e.PredicateType, TypeBase)
	if !ok {
		return ""
	}
	return Kind(k)
}

// Unwrap gives [ErrUnknownKind] and [fault.Invalid].
func (e *UnknownKindError) Unwrap() []error { return []error{ErrUnknownKind, fault.Invalid} }

// A Statement is what is signed: the payload of an envelope. Subject[0] and the
// predicate tell the same thing twice, once for in-toto tools and once for
// cairn; see [Statement.CheckSubject].
type Statement struct {
	Kind      Kind
	Subject   []Subject
	Predicate Predicate // a pointer to the type of Kind
}

// A Predicate is a pointer to one of this package's types, one for each of
// [Kinds].
type Predicate interface {
	// Kind returns the kind of statement that the predicate makes.
	Kind() Kind
	// Base returns the members that every predicate has.
	Base() *Common

	validate(p *field.Problems)
	// subject returns what subject[0] must be. given is the one that is there,
	// for what the predicate does not repeat.
	subject(given Subject) Subject
	signers() (required, allowed []sign.KeyID)
}

// Common are the members that every predicate has.
type Common struct {
	// Registry is the origin of the log that the statement is for. It keeps a
	// statement from being replayed in another registry.
	Registry string `json:"registry"`
	// Nonce is 128 random bits in unpadded base64url; see [NewNonce].
	Nonce string `json:"nonce"`
	// IssuedAt is the signer's clock, RFC 3339 in UTC with whole seconds. It is
	// a claim and decides nothing.
	IssuedAt string `json:"issuedAt"`
	// Anchor is the newest checkpoint that the signer saw; nil for none.
	Anchor *Anchor `json:"anchor,omitempty"`
}

// An Anchor is a checkpoint as a statement quotes it: a lower bound in time for
// the statement, and evidence against a forked log.
type Anchor struct {
	Root string `json:"root"` // standard base64 of 32 bytes
	Size uint64 `json:"size"`
}

// Base returns c.
func (c *Common) Base() *Common { return c }

func (c *Common) validate(p *field.Problems) {
	p.Add(checkOrigin(c.Registry), "predicate.registry")
	p.Add(checkNonce(c.Nonce), "predicate.nonce")
	p.Add(field.Time(c.IssuedAt), "predicate.issuedAt")
	if a := c.Anchor; a != nil {
		a.validate(p, "predicate.anchor")
	}
}

func (a Anchor) validate(p *field.Problems, path string) {
	p.Add(checkHash(a.Root), "%s.root", path)
	if a.Size < 1 || a.Size > field.MaxInt {
		p.Add("must be from 1 to 2^53-1", "%s.size", path)
	}
}

// NewNonce reads 128 bits from rand and returns them as a nonce.
func NewNonce(rand io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fault.Mark(fault.Internal, fmt.Errorf("reading randomness for a nonce: %w", err))
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// New returns the statement that p makes, with the subject that p demands. For
// a contribution use [NewContribution].
func New(p Predicate) *Statement {
	return &Statement{Kind: p.Kind(), Subject: []Subject{p.subject(Subject{})}, Predicate: p}
}

// NewContribution returns the statement that c makes about the data under root.
func NewContribution(c *Contribution, root cid.Cid) *Statement {
	given := Subject{URI: ipfsScheme + cjson.V1(root).String()}
	return &Statement{Kind: KindContribution, Subject: []Subject{c.subject(given)}, Predicate: c}
}

// Encode returns the payload that is signed: the RFC 8785 bytes of s. It
// refuses what [Statement.Validate] refuses, with the same error, and with
// [fault.TooLarge] what is longer than [sign.MaxPayload]. It does not check the
// subject against the predicate: [New] and [NewContribution] make it right.
func Encode(s *Statement) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	b, err := s.marshal()
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	if len(b) > sign.MaxPayload {
		return nil, fault.New(fault.TooLarge, "the statement has %d bytes, more than the %d that an envelope carries", len(b), sign.MaxPayload)
	}
	return b, nil
}

// marshal writes s in its form on the wire.
func (s *Statement) marshal() ([]byte, error) {
	return cjson.Marshal(struct {
		Type          string    `json:"_type"`
		Predicate     any       `json:"predicate"`
		PredicateType string    `json:"predicateType"`
		Subject       []Subject `json:"subject"`
	}{StatementType, s.Predicate, s.Kind.PredicateType(), s.Subject})
}

// Decode reads a payload. It accepts exactly the bytes that [Encode] returns
// for some statement: canonical JSON, no unknown member, no empty optional
// member. The error joins all problems that were found, each with its path.
// For a statement of a kind that is not known it wraps [ErrUnknownKind]. The
// subject is checked for its form only: whether it is the predicate's is
// [Statement.CheckSubject].
func Decode(payload []byte) (*Statement, error) {
	if len(payload) > sign.MaxPayload {
		return nil, fault.New(fault.TooLarge, "the statement has %d bytes, more than %d", len(payload), sign.MaxPayload)
	}
	var head struct {
		Type          string          `json:"_type"`
		Predicate     json.RawMessage `json:"predicate"`
		PredicateType string          `json:"predicateType"`
		Subject       []Subject       `json:"subject"`
	}
	if err := json.Unmarshal(payload, &head); err != nil {
		return nil, field.Unreadable(payload, &head, err)
	}
	if head.Type != StatementType {
		if err := cjson.Check(payload); err != nil {
			return nil, fault.Mark(fault.Invalid, err)
		}
		return nil, &FieldError{Path: "_type", Msg: "must be " + StatementType}
	}
	s := &Statement{Subject: head.Subject}
	if k, ok := strings.CutPrefix(head.PredicateType, TypeBase); ok {
		s.Kind = Kind(k)
	}
	if s.Predicate = s.Kind.newPredicate(); s.Predicate == nil {
		return nil, unknownKind(payload, head.PredicateType)
	}
	if err := json.Unmarshal(head.Predicate, s.Predicate); err != nil {
		whole := struct {
			Type          string    `json:"_type"`
			Predicate     Predicate `json:"predicate"`
			PredicateType string    `json:"predicateType"`
			Subject       []Subject `json:"subject"`
		}{Predicate: s.Predicate}
		return nil, field.Unreadable(payload, &whole, err)
	}
	again, err := s.marshal()
	if err := field.Same(payload, again, err, s.Validate); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// unknownKind tells a statement of another kind from what is no statement.
func unknownKind(payload []byte, predicateType string) error {
	if err := cjson.Check(payload); err != nil {
		return fault.Mark(fault.Invalid, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || len(members) != 4 {
		return fault.New(fault.Invalid, "not a statement: it must have _type, predicate, predicateType and subject, and nothing else")
	}
	return &UnknownKindError{PredicateType: predicateType}
}

// Validate reports everything that is wrong with s, apart from whether its
// subject is the predicate's, as joined [*FieldError]s.
func (s *Statement) Validate() error {
	var p field.Problems
	if s.Predicate == nil || s.Predicate.Kind() != s.Kind {
		p.Add("does not belong to the statement's kind", "predicate")
		return p.Err()
	}
	validateSubjects(&p, s.Subject)
	s.Predicate.Base().validate(&p)
	s.Predicate.validate(&p)
	return p.Err()
}

// StatementCID returns the CID of a statement, from its exact bytes: CIDv1,
// raw, SHA-256.
func StatementCID(payload []byte) cid.Cid { return cjson.RawCID(payload) }

// Signers returns who must sign the statement and who may, by the statement
// alone; allowed contains required. They are identities, but for the groups of a
// registry statement and the new key of a rotation: which key signs for an
// identity at an entry of the log depends on the log, and so does who else may
// sign, or must, when [Statement.StateSigners] says so.
//
//   - contribution, model: the publisher must; the contributors may.
//   - registry: the operators it lists may; a threshold of those in force must.
//   - agreement: those with a share may.
//   - key, profile, payee, commit: the identity must; in a rotation its new key, too.
//   - the other kinds: the one party that the predicate names, or nobody when
//     [Statement.Authority] names a group.
func (s *Statement) Signers() (required, allowed []sign.KeyID) { return s.Predicate.signers() }

// An Authority is a group of keys that the registry statement in force names. A
// threshold of the group acts for it.
type Authority string

// The groups.
const (
	Operators Authority = "operators"
	Arbiters  Authority = "arbiters"
)

// Authority returns the group whose threshold must sign the statement; "" when
// the statement itself says who must.
func (s *Statement) Authority() Authority {
	if a, ok := s.Predicate.(interface{ authority() Authority }); ok {
		return a.authority()
	}
	return ""
}

// StateSigners reports whether the state of the log names signers that the
// statement does not: a group, or the parties to an earlier distribution.
func (s *Statement) StateSigners() bool {
	_, ok := s.Predicate.(interface{ signersInState() })
	return ok || s.Authority() != ""
}

// Body returns the lower hex SHA-256 of the canonical JSON of s's predicate
// without nonce, issuedAt and anchor: two statements with one body say the same.
func (s *Statement) Body() (string, error) {
	b, err := cjson.Marshal(s.Predicate)
	if err != nil {
		return "", fault.Mark(fault.Invalid, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return "", fault.Mark(fault.Invalid, err)
	}
	for _, m := range []string{"nonce", "issuedAt", "anchor"} {
		delete(members, m)
	}
	if b, err = cjson.Marshal(members); err != nil {
		return "", fault.Mark(fault.Invalid, err)
	}
	return digestHex(cjson.RawCID(b)), nil
}
