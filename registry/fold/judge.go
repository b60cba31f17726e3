package fold

import (
	"slices"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Judge gives the entry its verdict at index i of the log of the given origin,
// against the state v that the entries below i left. See [Apply].
func (e *Entry) Judge(v View, origin string, i uint64) (Result, error) {
	if e.erased != nil {
		return *e.erased, nil
	}
	j := judge{View: v, origin: origin, index: i, entry: e}
	r, err := j.entryResult()
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// judge is the judgement of one entry. Its rules return the code of the first
// rule that is broken, "" when none is; an error is the View's.
type judge struct {
	View
	origin string
	index  uint64
	entry  *Entry

	inForce    SetRegistry // the registry/v1 in force, when hasInForce
	hasInForce bool
	signed     []signature // whose the entry's signatures are, in the order of their keys
}

func reject(c Code) Result { return Result{Verdict: Rejected, Code: c} }

// entryResult applies the rules in the order of the list of codes: first what
// makes the entry unreadable, then whether its statement was decided before,
// then what is wrong with the statement itself, then who signed, then the
// order of things. So a rejection that somebody else can cause with a
// statement that is not theirs never comes after one that decides it.
func (j *judge) entryResult() (Result, error) {
	var err error
	if j.inForce, j.hasInForce, err = j.Registry(); err != nil {
		return Result{}, err
	}
	e := j.entry
	if !j.hasInForce && (e.Statement == nil || e.Statement.Kind != manifests.KindRegistry) {
		return reject(NoRegistry), nil
	}
	if !e.Matches {
		return reject(e.code), nil
	}
	if j.signed, err = signatures(j, e.signers); err != nil {
		return Result{}, err
	}
	switch d, ok, err := j.Statement(e.Leaf.Stmt.Cid); {
	case err != nil:
		return Result{}, err
	case ok:
		return j.again(d)
	}
	if e.code != "" {
		return reject(e.code), nil
	}
	if e.Statement.Predicate.Base().Registry != j.origin {
		return reject(WrongRegistry), nil
	}
	return j.first()
}

// again judges an entry whose statement was decided at a smaller index: it can
// add signatures to an accepted statement of a kind that several sign, and
// nothing else. Signatures that are recorded already are not judged again;
// those that had to be there at first need not be there.
func (j *judge) again(d Decided) (Result, error) {
	if d.Verdict != Accepted || j.entry.Statement == nil {
		return Result{Verdict: Duplicate}, nil
	}
	allowed, completed, err := j.cosigners()
	if allowed == nil || err != nil {
		return Result{Verdict: Duplicate}, err
	}
	var added []signature
	for _, s := range j.signed {
		signed, err := j.Signed(j.stmt().Cid, s.party)
		if err != nil {
			return Result{}, err
		}
		if !signed {
			added = append(added, s)
		}
	}
	if len(added) == 0 {
		return Result{Verdict: Duplicate}, nil
	}
	if code := may(added, allowed); code != "" {
		return reject(code), nil
	}
	effects := []Effect{AddSigners{Statement: j.stmt(), Signers: partiesOf(added)}}
	more, err := completed()
	if err != nil {
		return Result{}, err
	}
	return Result{Verdict: Accepted, Effects: append(effects, more...)}, nil
}

// cosigners returns who may add a signature to the entry's accepted statement,
// nil for a kind that is not signed by several, and what follows from the
// signatures of this entry.
func (j *judge) cosigners() (allowed []sign.KeyID, completed func() ([]Effect, error), err error) {
	nothing := func() ([]Effect, error) { return nil, nil }
	switch p := j.entry.Statement.Predicate.(type) {
	case *manifests.Contribution:
		b := contributionBody(p)
		return b.signers(), nothing, nil
	case *manifests.Model:
		b := modelBody(p)
		return b.signers(), nothing, nil
	case *manifests.Agreement:
		g, ok, err := j.Agreement(j.stmt().Cid)
		if err != nil || !ok {
			return nil, nil, err
		}
		parties, err := PartiesTo(j, g.AddAgreement)
		if err != nil {
			return nil, nil, err
		}
		return parties.All, func() ([]Effect, error) { return j.completes(g, parties) }, nil
	}
	return nil, nil, nil
}

// rule judges a predicate of one kind. It returns the effect of the statement
// and what else follows from it, or the code of the first rule that is broken;
// neither for a statement that repeats another one.
func (j *judge) rule() ([]Effect, Code, error) {
	switch p := j.entry.Statement.Predicate.(type) {
	case *manifests.Registry:
		return j.registry(p)
	case *manifests.Contribution:
		return j.version(p)
	case *manifests.Model:
		return j.model(p)
	case *manifests.Profile:
		return j.profile(p)
	case *manifests.Key:
		return j.key(p)
	case *manifests.Attestation:
		return j.attestation(p)
	case *manifests.Usage:
		return j.usage(p)
	case *manifests.Attribution:
		return j.attribution(p)
	case *manifests.Agreement:
		return j.agreement(p)
	case *manifests.PeriodStatement:
		return j.period(p)
	case *manifests.CurrencyStatement:
		return j.currency(p)
	case *manifests.Revenue:
		return j.revenue(p)
	case *manifests.Allocation:
		return j.allocation(p)
	case *manifests.Adjustment:
		return j.adjustment(p)
	case *manifests.Payout:
		return j.payout(p)
	case *manifests.PayoutResult:
		return j.payoutResult(p)
	case *manifests.Payee:
		return j.payee(p)
	case *manifests.Dispute:
		return j.dispute(p)
	case *manifests.Resolution:
		return j.resolution(p)
	case *manifests.Commit:
		return j.commit(p)
	case *manifests.Accept:
		return j.accept(p)
	case *manifests.Withdraw:
		return j.withdraw(p)
	case *manifests.Tombstone:
		return j.tombstone(p)
	}
	return nil, UnknownKind, nil
}

// first judges the first entry of a readable statement.
func (j *judge) first() (Result, error) {
	effects, code, err := j.rule()
	switch {
	case err != nil:
		return Result{}, err
	case code != "":
		return reject(code), nil
	case len(effects) == 0:
		return Result{Verdict: Duplicate}, nil
	}
	if code, err := j.firstKeys(effects); code != "" || err != nil {
		return reject(code), err
	}
	signed := AddSigners{Statement: j.stmt(), Signers: j.recorded()}
	return Result{Verdict: Accepted, Effects: slices.Insert(effects, 1, Effect(signed))}, nil
}

// stmt is the CID of the statement. The leaf's is that of the payload: Read compared them.
func (j *judge) stmt() cjson.CID { return j.entry.Leaf.Stmt }

// signedBy checks that the one party that must sign did, nobody else but the
// allowed did, and the anchor: what all kinds with one responsible party share.
func (j *judge) signedBy(required sign.KeyID, allowed []sign.KeyID) (Code, error) {
	if code := j.mayAll(allowed); code != "" {
		return code, nil
	}
	if !slices.Contains(j.parties(), required) {
		return MissingSignature, nil
	}
	return j.anchor(), nil
}

// anchor checks that the statement does not claim to have seen this log larger
// than it is. The anchored root is an auditor's to check.
func (j *judge) anchor() Code {
	if a := j.entry.Statement.Predicate.Base().Anchor; a != nil && a.Size > j.index {
		return Anchor
	}
	return ""
}

// registry judges a registry/v1: the first is signed by its own operators'
// threshold, a later one by that of the registry/v1 in force.
func (j *judge) registry(p *manifests.Registry) ([]Effect, Code, error) {
	operators, threshold := p.Operators, p.OperatorThreshold
	if j.hasInForce {
		operators, threshold = j.inForce.Operators, j.inForce.OperatorThreshold
	}
	if code := j.keysAmong(slices.Concat(operators, p.Operators)); code != "" {
		return nil, code, nil
	}
	n := 0
	for _, id := range j.entry.signers {
		if slices.Contains(operators, id) {
			n++
		}
	}
	if n < threshold {
		return nil, Threshold, nil
	}
	if code := j.anchor(); code != "" {
		return nil, code, nil
	}
	currencies := make([]Currency, len(p.Currencies))
	for i, c := range p.Currencies {
		currencies[i] = currencyOf(c)
		switch known, ok, err := j.Currency(c.Code); {
		case err != nil:
			return nil, "", err
		case ok && known != currencies[i]:
			return nil, CurrencyTaken, nil
		}
	}
	return []Effect{SetRegistry{
		Statement:         j.stmt(),
		LogKeys:           p.LogKeys,
		Operators:         p.Operators,
		OperatorThreshold: p.OperatorThreshold,
		Arbiters:          p.Arbiters,
		ArbiterThreshold:  p.ArbiterThreshold,
		GatewayKeys:       p.GatewayKeys,
		PayeeRecipient:    p.PayeeRecipient,
		FirstPeriod:       p.FirstPeriod,
		Currencies:        currencies,
	}}, "", nil
}

// profile judges a profile/v1: the first accepted one owns its handle for ever.
func (j *judge) profile(p *manifests.Profile) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Identity, []sign.KeyID{p.Identity}); code != "" || err != nil {
		return nil, code, err
	}
	if p.Handle != "" {
		switch owner, ok, err := j.Handle(p.Handle); {
		case err != nil:
			return nil, "", err
		case ok && owner != p.Identity:
			return nil, HandleTaken, nil
		}
	}
	return []Effect{SetProfile{Statement: j.stmt(), Identity: p.Identity, Handle: p.Handle}}, "", nil
}

// attestation judges an attestation/v1: anyone's word about an accepted statement.
func (j *judge) attestation(p *manifests.Attestation) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Attester, []sign.KeyID{p.Attester}); code != "" || err != nil {
		return nil, code, err
	}
	if ok, err := j.accepted(p.About.Cid); !ok || err != nil {
		return nil, Reference, err
	}
	return []Effect{AddAttestation{
		Statement: j.stmt(),
		Attester:  p.Attester,
		Type:      p.Type,
		About:     p.About,
		Report:    p.Report,
		Result:    p.Result,
	}}, "", nil
}
