package manifests

import (
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// MaxFetchers bounds the keys that one acceptance lists: each is a row of the
// state.
const MaxFetchers = 64

// An Accept is the predicate of accept/v1: a party accepts a terms document. It
// covers every statement that names that document, earlier and later ones. The
// newest acceptance of a party and document is the one that counts: it says
// anew which keys fetch for the party.
type Accept struct {
	Common

	Party sign.KeyID `json:"party"` // signs
	Terms cjson.CID  `json:"terms"` // a terms document
	// Fetchers are further keys that may fetch what the terms gate, on the
	// party's behalf; sorted, each once, without the party's own.
	Fetchers []sign.KeyID `json:"fetchers,omitempty"`
}

// Kind returns [KindAccept].
func (*Accept) Kind() Kind { return KindAccept }

func (a *Accept) subject(Subject) Subject { return statementSubject(a.Terms) }

func (a *Accept) signers() (required, allowed []sign.KeyID) { return one(a.Party) }

func (a *Accept) validate(p *field.Problems) {
	p.Add(field.KeyID(a.Party), "predicate.party")
	p.Add(field.DocumentCID(a.Terms), "predicate.terms")
	for i := range p.List("predicate.fetchers", len(a.Fetchers), MaxFetchers) {
		p.Add(field.KeyID(a.Fetchers[i]), "predicate.fetchers[%d]", i)
		if a.Fetchers[i] == a.Party {
			p.Add("is the party, who needs no mention", "predicate.fetchers[%d]", i)
		}
		if i > 0 && a.Fetchers[i-1] >= a.Fetchers[i] {
			p.Add("the list must be sorted and without repetitions", "predicate.fetchers[%d]", i)
		}
	}
}
