package manifests

import (
	"encoding/json"
	"fmt"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A Withdraw is the predicate of withdraw/v1. When the party is the publisher
// of the version, the registry offers it no more; when it is another listed
// contributor, the version is flagged and nothing else. It is never
// retroactive: what was used before was used under its terms.
type Withdraw struct {
	Common

	Party     sign.KeyID `json:"party"`     // signs
	Statement cjson.CID  `json:"statement"` // the version
	Reason    string     `json:"reason,omitempty"`
}

// Kind returns [KindWithdraw].
func (*Withdraw) Kind() Kind { return KindWithdraw }

func (w *Withdraw) subject(Subject) Subject { return statementSubject(w.Statement) }

func (w *Withdraw) signers() (required, allowed []sign.KeyID) { return one(w.Party) }

func (w *Withdraw) validate(p *field.Problems) {
	p.Add(field.KeyID(w.Party), "predicate.party")
	p.Add(field.StatementCID(w.Statement), "predicate.statement")
	p.Line("predicate.reason", w.Reason, maxReason)
}

// The verdicts that a tombstone repeats, as the fold writes them.
const (
	verdictAccepted  = "accepted"
	verdictRejected  = "rejected"
	verdictDuplicate = "duplicate"
)

// Why a body is erased: a closed list, so that a tombstone holds no free text.
const (
	EraseLegalOrder     = "legal-order"
	ErasePersonalData   = "personal-data"
	EraseIllegalContent = "illegal-content"
	EraseInfringement   = "infringement"
	EraseOther          = "other"
)

// A Tombstone is the predicate of tombstone/v1: the body of an entry is erased,
// or may be. Verdict, Code and Effects are the entry's result, so that the log
// can be replayed without the body; Leaf is the hash of the entry's leaf. The
// fold accepts it only if these hash into the chain of digests at Index.
type Tombstone struct {
	Common

	Statement cjson.CID `json:"statement"` // as the entry's leaf names it
	Index     uint64    `json:"index"`     // of the entry
	Leaf      string    `json:"leaf"`      // lower hex RFC 6962 hash of the leaf
	Verdict   string    `json:"verdict"`
	Code      string    `json:"code,omitempty"` // of a rejection
	// Effects are those of an accepted entry, each an object as FORMAT.md has it.
	Effects []json.RawMessage `json:"effects,omitempty"`
	Reason  string            `json:"reason,omitempty"`
}

// Kind returns [KindTombstone].
func (*Tombstone) Kind() Kind { return KindTombstone }

func (t *Tombstone) subject(Subject) Subject { return statementSubject(t.Statement) }

func (*Tombstone) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*Tombstone) authority() Authority { return Operators }

// Result returns the canonical JSON of the result that t repeats,
// {"code","effects","verdict"}, as the chain of digests hashes it.
func (t *Tombstone) Result() ([]byte, error) {
	effects := t.Effects
	if effects == nil {
		effects = []json.RawMessage{}
	}
	return cjson.Marshal(map[string]any{"verdict": t.Verdict, "code": t.Code, "effects": effects})
}

func (t *Tombstone) validate(p *field.Problems) {
	p.Add(field.StatementCID(t.Statement), "predicate.statement")
	if t.Index < 1 || t.Index > field.MaxInt {
		p.Add("must be from 1 to 2^53-1: entry 0 makes the log", "predicate.index")
	}
	p.Add(field.SHA256(t.Leaf), "predicate.leaf")
	p.Add(field.OneOf(t.Verdict, verdictAccepted, verdictRejected, verdictDuplicate), "predicate.verdict")
	if t.Verdict == verdictRejected {
		p.Add(field.Token(t.Code), "predicate.code")
	} else {
		absent(p, "predicate.code", t.Code != "")
	}
	if accepted := t.Verdict == verdictAccepted; accepted && len(t.Effects) == 0 {
		p.Add("an accepted entry has effects", "predicate.effects")
	} else if !accepted {
		absent(p, "predicate.effects", len(t.Effects) > 0)
	}
	for i := range p.List("predicate.effects", len(t.Effects), MaxEffects) {
		p.Object(fmt.Sprintf("predicate.effects[%d]", i), t.Effects[i], sign.MaxPayload)
	}
	p.Enum("predicate.reason", t.Reason, EraseLegalOrder, ErasePersonalData, EraseIllegalContent, EraseInfringement, EraseOther)
}

// MaxEffects bounds the effects of one entry: that of its kind, its signers, and
// what else follows.
const MaxEffects = 16
