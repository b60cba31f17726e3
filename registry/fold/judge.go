package fold

import (
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Judge gives the entry its verdict at index i of the log of the given origin,
// against the state v that the entries below i left. See [Apply].
func (e *Entry) Judge(v View, origin string, i uint64) (Result, error) {
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
// add signatures to an accepted contribution, and nothing else. Signatures that
// are recorded already are not judged again; the publisher's need not be there.
func (j *judge) again(d Decided) (Result, error) {
	c, ok := j.contribution()
	if !ok || d.Verdict != Accepted {
		return Result{Verdict: Duplicate}, nil
	}
	var added []sign.KeyID
	for _, id := range j.entry.signers {
		signed, err := j.Signed(j.stmt().Cid, id)
		if err != nil {
			return Result{}, err
		}
		if !signed {
			added = append(added, id)
		}
	}
	if len(added) == 0 {
		return Result{Verdict: Duplicate}, nil
	}
	if code, err := j.signers(added, contributionSigners(c)); code != "" || err != nil {
		return reject(code), err
	}
	return Result{Verdict: Accepted, Effects: []Effect{AddSigners{Statement: j.stmt(), Signers: added}}}, nil
}

// first judges the first entry of a readable statement.
func (j *judge) first() (Result, error) {
	var rule func() (Effect, Code, error)
	switch p := j.entry.Statement.Predicate.(type) {
	case *manifests.Registry:
		rule = func() (Effect, Code, error) { return j.registry(p) }
	case *manifests.Contribution:
		rule = func() (Effect, Code, error) { return j.version(p) }
	case *manifests.Profile:
		rule = func() (Effect, Code, error) { return j.profile(p) }
	case *manifests.Key:
		rule = func() (Effect, Code, error) { return j.key(p) }
	case *manifests.Attestation:
		rule = func() (Effect, Code, error) { return j.attestation(p) }
	default:
		return reject(UnknownKind), nil
	}
	effect, code, err := rule()
	if err != nil {
		return Result{}, err
	}
	if code != "" {
		return reject(code), nil
	}
	return Result{Verdict: Accepted, Effects: []Effect{
		effect,
		AddSigners{Statement: j.stmt(), Signers: j.entry.signers},
	}}, nil
}

// stmt is the CID of the statement. The leaf's is that of the payload: Read compared them.
func (j *judge) stmt() cjson.CID { return j.entry.Leaf.Stmt }

func (j *judge) contribution() (*manifests.Contribution, bool) {
	if j.entry.Statement == nil {
		return nil, false
	}
	c, ok := j.entry.Statement.Predicate.(*manifests.Contribution)
	return c, ok
}

// signers checks that each of ids may sign, and that none is revoked.
func (j *judge) signers(ids, allowed []sign.KeyID) (Code, error) {
	for _, id := range ids {
		if !slices.Contains(allowed, id) {
			return UnexpectedSigner, nil
		}
	}
	for _, id := range ids {
		k, ok, err := j.Key(id)
		if err != nil {
			return "", err
		}
		if ok && k.Revoked {
			return KeyRevoked, nil
		}
	}
	return "", nil
}

// signedBy checks that the one party that must sign did, nobody else but the
// allowed did, and the anchor: what all kinds with one responsible party share.
func (j *judge) signedBy(required sign.KeyID, allowed []sign.KeyID) (Code, error) {
	if code, err := j.signers(j.entry.signers, allowed); code != "" || err != nil {
		return code, err
	}
	if !slices.Contains(j.entry.signers, required) {
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
func (j *judge) registry(p *manifests.Registry) (Effect, Code, error) {
	operators, threshold := p.Operators, p.OperatorThreshold
	if j.hasInForce {
		operators, threshold = j.inForce.Operators, j.inForce.OperatorThreshold
	}
	if code, err := j.signers(j.entry.signers, slices.Concat(operators, p.Operators)); code != "" || err != nil {
		return nil, code, err
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
		currencies[i] = Currency{Code: c.Code, MinorDigits: c.MinorDigits, FineDigits: c.FineDigits}
	}
	return SetRegistry{
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
	}, "", nil
}

// contributionSigners are the keys that may sign a contribution: the
// publisher's and those of the listed contributors.
func contributionSigners(c *manifests.Contribution) []sign.KeyID {
	ids := make([]sign.KeyID, 0, 1+len(c.Contributors))
	ids = append(ids, c.Publisher)
	for _, s := range c.Contributors {
		ids = append(ids, s.ID)
	}
	return ids
}

// version judges a contribution/v1.
func (j *judge) version(p *manifests.Contribution) (Effect, Code, error) {
	if code, err := j.signedBy(p.Publisher, contributionSigners(p)); code != "" || err != nil {
		return nil, code, err
	}
	if code, err := j.references(p); code != "" || err != nil {
		return nil, code, err
	}
	switch taken, err := j.VersionTaken(p.Publisher, p.Dataset.Name, p.Dataset.Version); {
	case err != nil:
		return nil, "", err
	case taken:
		return nil, VersionTaken, nil
	}
	head, ok, err := j.Head(p.Publisher, p.Dataset.Name)
	if err != nil {
		return nil, "", err
	}
	// A name without versions has a zero Head, and its first version
	// supersedes nothing: both sides are the undefined CID.
	if p.Supersedes.Cid != head.Statement {
		return nil, Stale, nil
	}
	work := head.Work
	if !ok {
		work = "wk:" + j.stmt().String()
	}
	return newVersion(p, j.stmt(), j.entry.Leaf.Subj[0], work, head.Seq+1), "", nil
}

// newVersion is the effect of an accepted contribution.
func newVersion(p *manifests.Contribution, stmt, root cjson.CID, work string, seq uint64) AddVersion {
	a := AddVersion{
		Statement:  stmt,
		Work:       work,
		Seq:        seq,
		Publisher:  p.Publisher,
		Name:       p.Dataset.Name,
		Version:    p.Dataset.Version,
		Root:       root,
		Manifest:   p.Dataset.Manifest,
		Terms:      p.Terms,
		Total:      p.Total,
		SelfWeight: p.SelfWeight,
		EdgeTotal:  p.EdgeTotal,
		Supersedes: p.Supersedes,
	}
	if len(p.Edges) == 0 {
		a.SelfWeight, a.EdgeTotal = "1", "1"
	}
	for _, s := range p.Contributors {
		a.Contributors = append(a.Contributors, Share{ID: s.ID, Weight: s.Weight})
	}
	for _, e := range p.Edges {
		a.Edges = append(a.Edges, Edge{Statement: e.Statement, Weight: e.Weight})
	}
	for _, s := range p.Sources {
		if s.URL == "" {
			a.Sources = append(a.Sources, Source{Rel: string(s.Rel), Statement: s.Statement, CID: s.CID})
		}
	}
	return a
}

// references checks that the statements that a contribution names are accepted
// contributions at smaller indexes.
func (j *judge) references(p *manifests.Contribution) (Code, error) {
	var names []cid.Cid
	if p.Supersedes.Defined() {
		names = append(names, p.Supersedes.Cid)
	}
	for _, e := range p.Edges {
		names = append(names, e.Statement.Cid)
	}
	for _, s := range p.Sources {
		if s.Statement.Defined() {
			names = append(names, s.Statement.Cid)
		}
	}
	for _, c := range names {
		d, ok, err := j.Statement(c)
		if err != nil {
			return "", err
		}
		if !ok || d.Verdict != Accepted || d.Kind != string(manifests.KindContribution) {
			return Reference, nil
		}
	}
	return "", nil
}

// profile judges a profile/v1: the first accepted one owns its handle for ever.
func (j *judge) profile(p *manifests.Profile) (Effect, Code, error) {
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
	return SetProfile{Statement: j.stmt(), Identity: p.Identity, Handle: p.Handle}, "", nil
}

// key judges a key/v1. An identity is named by its first key, so in this
// version the only key that is ever an identity's is the identity itself.
func (j *judge) key(p *manifests.Key) (Effect, Code, error) {
	if code, err := j.signedBy(p.Key, []sign.KeyID{p.Key}); code != "" || err != nil {
		return nil, code, err
	}
	if p.Key != p.Identity {
		return nil, UnknownKey, nil
	}
	if p.Op == manifests.KeyRevoke {
		if p.CompromisedSince != nil && *p.CompromisedSince > j.index {
			return nil, CompromisedSince, nil
		}
		return RevokeKey{Statement: j.stmt(), Identity: p.Identity, Key: p.Key, CompromisedSince: p.CompromisedSince}, "", nil
	}
	switch _, ok, err := j.Key(p.Identity); {
	case err != nil:
		return nil, "", err
	case ok:
		return nil, KeyExists, nil
	}
	return AddKey{Statement: j.stmt(), Identity: p.Identity, Key: p.Key, Next: p.Next}, "", nil
}

// attestation judges an attestation/v1: anyone's word about an accepted statement.
func (j *judge) attestation(p *manifests.Attestation) (Effect, Code, error) {
	if code, err := j.signedBy(p.Attester, []sign.KeyID{p.Attester}); code != "" || err != nil {
		return nil, code, err
	}
	switch d, ok, err := j.Statement(p.About.Cid); {
	case err != nil:
		return nil, "", err
	case !ok || d.Verdict != Accepted:
		return nil, Reference, nil
	}
	return AddAttestation{
		Statement: j.stmt(),
		Attester:  p.Attester,
		Type:      p.Type,
		About:     p.About,
		Report:    p.Report,
		Result:    p.Result,
	}, "", nil
}
