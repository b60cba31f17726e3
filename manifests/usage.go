package manifests

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The kinds of usage.
const (
	UsageTraining = "training-run" // what a training run read
	UsageMetered  = "metered"      // counted use of one work
	UsageHashOnly = "hash-only"    // that there is a private record, and nothing of it
)

const (
	maxInputs = 1024 // of one run: each is a lookup in the state
	// maxEpochsPpm bounds how often an input was read: a thousand million times.
	maxEpochsPpm = 1_000_000_000_000_000
)

// A Usage is the predicate of usage/v1: the public part of a record of use. A
// record of use is never refused for what its terms say; whether it was allowed
// is read later.
type Usage struct {
	Common

	// Run names the run: 128 random bits in unpadded base64url.
	Run string `json:"run"`
	// Type is the kind of use; the members below belong to some of them.
	Type string `json:"kind"`

	// Trainer signs a training-run and a hash-only record.
	Trainer sign.KeyID `json:"trainer,omitempty"`
	// Inputs are what a training-run read, sorted by statement.
	Inputs []Input `json:"inputs,omitempty"`
	// Lock is the CID of a training-run's list of pinned inputs.
	Lock cjson.CID `json:"lock,omitzero"`
	// Private is the lower hex salted SHA-256 of the record that the trainer
	// keeps. A hash-only record is nothing else.
	Private string `json:"private,omitempty"`

	// Payer signs a metered record, of the use of Statement between two instants.
	Payer     sign.KeyID `json:"payer,omitempty"`
	Statement cjson.CID  `json:"statement,omitzero"`
	Meter     string     `json:"meter,omitempty"` // what is counted, like inference-token
	Qty       string     `json:"qty,omitempty"`   // decimal, > 0
	From      string     `json:"from,omitempty"`
	To        string     `json:"to,omitempty"` // after From
}

// An Input is one registered work that a run read.
type Input struct {
	Statement cjson.CID `json:"statement"`
	Units     string    `json:"units"`     // decimal
	Unit      string    `json:"unit"`      // like token, record, byte
	EpochsPpm int64     `json:"epochsPpm"` // 1,000,000: once
	Terms     cjson.CID `json:"terms"`     // as the trainer read them
}

// Kind returns [KindUsage].
func (*Usage) Kind() Kind { return KindUsage }

func (u *Usage) subject(Subject) Subject {
	switch {
	case u.Lock.Defined():
		return statementSubject(u.Lock)
	case u.Statement.Defined():
		return statementSubject(u.Statement)
	}
	return Subject{Name: "private", Digest: map[string]string{"sha256": u.Private}}
}

// Signer returns who must sign: the trainer, or the payer of a metered record.
func (u *Usage) Signer() sign.KeyID {
	if u.Type == UsageMetered {
		return u.Payer
	}
	return u.Trainer
}

func (u *Usage) signers() (required, allowed []sign.KeyID) { return one(u.Signer()) }

func (u *Usage) validate(p *field.Problems) {
	p.Add(checkNonce(u.Run), "predicate.run")
	p.Add(field.OneOf(u.Type, UsageTraining, UsageMetered, UsageHashOnly), "predicate.kind")
	training, metered := u.Type == UsageTraining, u.Type == UsageMetered

	// The signer.
	if metered {
		p.Add(field.KeyID(u.Payer), "predicate.payer")
		absent(p, "predicate.trainer", u.Trainer != "")
	} else {
		p.Add(field.KeyID(u.Trainer), "predicate.trainer")
		absent(p, "predicate.payer", u.Payer != "")
	}

	// What a training run read.
	if training {
		p.Add(field.AnyCID(u.Lock), "predicate.lock")
		for i := range p.List("predicate.inputs", len(u.Inputs), maxInputs) {
			u.Inputs[i].validate(p, i)
			if i > 0 && u.Inputs[i-1].Statement.String() >= u.Inputs[i].Statement.String() {
				p.Add("the list must be sorted by statement and without repetitions", "predicate.inputs[%d].statement", i)
			}
		}
	} else {
		absent(p, "predicate.lock", u.Lock.Defined())
		absent(p, "predicate.inputs", len(u.Inputs) > 0)
	}
	if u.Private != "" || u.Type == UsageHashOnly {
		p.Add(field.SHA256(u.Private), "predicate.private")
	}

	// Metered use.
	if !metered {
		absent(p, "predicate.statement", u.Statement.Defined())
		absent(p, "predicate.meter", u.Meter != "")
		absent(p, "predicate.qty", u.Qty != "")
		absent(p, "predicate.from", u.From != "")
		absent(p, "predicate.to", u.To != "")
		return
	}
	p.Add(field.StatementCID(u.Statement), "predicate.statement")
	p.Add(field.Token(u.Meter), "predicate.meter")
	p.Add(checkPositiveAmount(u.Qty), "predicate.qty")
	p.Add(field.Time(u.From), "predicate.from")
	p.Add(field.Time(u.To), "predicate.to")
	if u.From >= u.To { // instants have one form, which sorts by time
		p.Add("must be after from", "predicate.to")
	}
}

func (n *Input) validate(p *field.Problems, i int) {
	p.Add(field.StatementCID(n.Statement), "predicate.inputs[%d].statement", i)
	p.Add(checkAmount(n.Units), "predicate.inputs[%d].units", i)
	p.Add(field.Token(n.Unit), "predicate.inputs[%d].unit", i)
	if n.EpochsPpm < 0 || n.EpochsPpm > maxEpochsPpm {
		p.Add("must be from 0 to 10^15", "predicate.inputs[%d].epochsPpm", i)
	}
	p.Add(field.DocumentCID(n.Terms), "predicate.inputs[%d].terms", i)
}

// absent reports a member that has no place in this kind of record.
func absent(p *field.Problems, path string, there bool) {
	if there {
		p.Add("does not belong to this kind", "%s", path)
	}
}

// one is the answer of signers for a kind with one signer.
func one(id sign.KeyID) (required, allowed []sign.KeyID) {
	return []sign.KeyID{id}, []sign.KeyID{id}
}
