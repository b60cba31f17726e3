package manifests

import (
	"fmt"
	"slices"

	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Limits of a registry statement.
const (
	maxLogKeys    = 16  // a rotation needs two at a time
	maxAuthority  = 64  // operators, arbiters, gateway keys: people who act together
	maxCurrencies = 256 // ISO 4217 has about 180
	maxDigits     = 24  // amounts stay below 2^127 fine units
	isoFineDigits = 12  // of every ISO 4217 currency
)

// A Registry is the predicate of registry/v1: the constitution of a log. The
// first one is entry 0; a later one needs the operators' threshold in force and
// holds from the next entry.
type Registry struct {
	Common // its Registry member must equal Origin

	Origin string `json:"origin"`
	// LogKeys are the signed-note verifier keys of the log; their name is the origin.
	LogKeys []string `json:"logKeys"`

	Operators         []sign.KeyID `json:"operators"`
	OperatorThreshold int          `json:"operatorThreshold"`
	// Arbiters decide disputes. Without them both members are absent.
	Arbiters         []sign.KeyID `json:"arbiters,omitempty"`
	ArbiterThreshold int          `json:"arbiterThreshold,omitempty"`
	GatewayKeys      []sign.KeyID `json:"gatewayKeys,omitempty"`

	PayeeRecipient string     `json:"payeeRecipient,omitempty"` // an age X25519 recipient
	FirstPeriod    string     `json:"firstPeriod"`              // "2026-11": where the calendar begins
	Currencies     []Currency `json:"currencies,omitempty"`
}

// A Currency is a unit of account.
type Currency struct {
	Code        string `json:"code"`        // ISO 4217, or CAIP-19
	FineDigits  int    `json:"fineDigits"`  // decimals of the engine
	MinorDigits int    `json:"minorDigits"` // decimals of invoices
}

// Kind returns [KindRegistry].
func (*Registry) Kind() Kind { return KindRegistry }

func (r *Registry) subject(Subject) Subject { return textSubject(r.Origin) }

// signers names no required key: a threshold decides.
func (r *Registry) signers() (required, allowed []sign.KeyID) {
	return nil, slices.Clone(r.Operators)
}

func (*Registry) authority() Authority { return Operators }

func (r *Registry) validate(p *field.Problems) {
	p.Add(checkOrigin(r.Origin), "predicate.origin")
	if r.Origin != r.Registry {
		p.Add("must equal predicate.registry", "predicate.origin")
	}
	if len(r.LogKeys) == 0 {
		p.Add("must have an entry", "predicate.logKeys")
	}
	for i := range p.List("predicate.logKeys", len(r.LogKeys), maxLogKeys) {
		p.Add(checkVKey(r.LogKeys[i], r.Origin), "predicate.logKeys[%d]", i)
		if slices.Contains(r.LogKeys[:i], r.LogKeys[i]) {
			p.Add("is there already", "predicate.logKeys[%d]", i)
		}
	}
	if len(r.Operators) == 0 {
		p.Add("must have an entry", "predicate.operators")
	}
	validateKeys(p, "predicate.operators", r.Operators)
	checkThreshold(p, "predicate.operatorThreshold", r.OperatorThreshold, max(1, len(r.Operators)))
	validateKeys(p, "predicate.arbiters", r.Arbiters)
	checkThreshold(p, "predicate.arbiterThreshold", r.ArbiterThreshold, len(r.Arbiters))
	validateKeys(p, "predicate.gatewayKeys", r.GatewayKeys)
	if r.PayeeRecipient != "" {
		p.Add(checkAgeRecipient(r.PayeeRecipient), "predicate.payeeRecipient")
	}
	p.Add(field.Month(r.FirstPeriod), "predicate.firstPeriod")
	for i := range p.List("predicate.currencies", len(r.Currencies), maxCurrencies) {
		c := r.Currencies[i]
		c.validate(p, fmt.Sprintf("predicate.currencies[%d]", i))
		if slices.ContainsFunc(r.Currencies[:i], func(o Currency) bool { return o.Code == c.Code }) {
			p.Add("is there already", "predicate.currencies[%d].code", i)
		}
	}
}

func validateKeys(p *field.Problems, path string, keys []sign.KeyID) {
	for i := range p.List(path, len(keys), maxAuthority) {
		p.Add(field.KeyID(keys[i]), "%s[%d]", path, i)
		if slices.Contains(keys[:i], keys[i]) {
			p.Add("is there already", "%s[%d]", path, i)
		}
	}
}

// checkThreshold wants 1 to n; 0 exactly when there is nobody to count.
func checkThreshold(p *field.Problems, path string, threshold, n int) {
	if threshold < min(1, n) || threshold > n {
		p.Add(fmt.Sprintf("is %d, but must be from %d to %d", threshold, min(1, n), n), "%s", path)
	}
}
