// Package terms reads and writes terms documents (cairn.terms/1) and SPDX
// licence expressions, and says by published rules what may be done with data
// under them, alone or mixed: [Decide]. FORMAT.md is normative for the document,
// the licence table and the rules. What it says is computed from facts about
// licences that no lawyer has reviewed; none of it is legal advice.
//
// Everything here is pure: the same question has the same answer, byte for byte,
// under the same licence table, which every answer names.
//
// The SPDX list is looked at when an expression is written ([ParseExpression],
// [Minimal]) and never when a document is read: a list grows, a document stays.
package terms

import (
	"encoding/json"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// Schema is the $schema of a terms document of this version.
const Schema = "cairn.terms/1"

// MaxTerms bounds a terms document. The text of a licence is a file of its own.
const MaxTerms = 256 << 10

// Terms is a terms document, an immutable DAG-JSON document in RFC 8785 form,
// named by [cjson.JSONCID]. Only Schema and Base are required; a document with
// nothing else says "this licence, as it is".
type Terms struct {
	Schema   string     `json:"$schema"`
	ID       string     `json:"id,omitempty"` // did:key:…#fragment
	Title    string     `json:"title,omitempty"`
	Licensor []Licensor `json:"licensor,omitempty"`
	Base     Base       `json:"base"`

	Grants     []Grant       `json:"grants,omitempty"`
	Prohibits  []Prohibition `json:"prohibits,omitempty"` // beats a grant
	Conditions *Conditions   `json:"conditions,omitempty"`
	Payment    *Payment      `json:"payment,omitempty"`
	Signals    *Signals      `json:"signals,omitempty"`
	Privacy    *Privacy      `json:"privacy,omitempty"`

	// ValidFrom and ValidUntil bound what may be decided under the terms, never
	// money.
	ValidFrom    string `json:"validFrom,omitempty"`
	ValidUntil   string `json:"validUntil,omitempty"`
	Revocable    bool   `json:"revocable,omitempty"`
	GoverningLaw string `json:"governingLaw,omitempty"`
	Disputes     string `json:"disputes,omitempty"`
	// NotLegalAdvice says that whoever wrote the document is not the reader's lawyer.
	NotLegalAdvice bool `json:"notLegalAdvice,omitempty"`
}

// A Licensor grants the licence.
type Licensor struct {
	ID      sign.KeyID `json:"id"`
	Name    string     `json:"name,omitempty"`
	Contact string     `json:"contact,omitempty"`
}

// Base is the licence that the rest of the document adds to.
type Base struct {
	SPDX string `json:"spdx"` // an expression in normal form
	// Text is the licence's text, for terms that no list holds: a UnixFS file,
	// with the SHA-256 of its bytes. The two stand together.
	Text       cjson.Link `json:"text,omitzero"`
	TextSHA256 string     `json:"textSha256,omitempty"`
}

// A Grant allows uses beyond the base licence.
type Grant struct {
	Use        []string `json:"use"` // of [Uses]
	Commercial bool     `json:"commercial"`
	Territory  []string `json:"territory,omitempty"` // places, or "*"
	Sublicense bool     `json:"sublicense,omitempty"`
	Exclusive  bool     `json:"exclusive,omitempty"`
}

// A Prohibition forbids a use or a purpose.
type Prohibition struct {
	Use     []string `json:"use,omitempty"` // of [Uses]
	Purpose []string `json:"purpose,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

// Conditions are duties that go with the uses.
type Conditions struct {
	// Accept says what needs an acceptance on record first: "use", or the "bytes" too.
	Accept             string              `json:"accept,omitempty"`
	Attribution        *Attribution        `json:"attribution,omitempty"`
	ShareAlike         *ShareAlike         `json:"shareAlike,omitempty"`
	Notice             bool                `json:"notice,omitempty"`
	ReportUsage        *ReportUsage        `json:"reportUsage,omitempty"`
	DeleteOnWithdrawal *DeleteOnWithdrawal `json:"deleteOnWithdrawal,omitempty"`
}

// Attribution says how to name the licensor.
type Attribution struct {
	Required bool     `json:"required"`
	Text     string   `json:"text,omitempty"`
	Where    []string `json:"where,omitempty"` // model-card, report, …
}

// ShareAlike says what must carry the same terms.
type ShareAlike struct {
	DerivedData bool `json:"derivedData"`
	Weights     bool `json:"weights"`
}

// ReportUsage asks for a record of use.
type ReportUsage struct {
	Required   bool  `json:"required"`
	WithinDays int64 `json:"withinDays,omitempty"`
}

// DeleteOnWithdrawal says what ends with a withdrawal.
type DeleteOnWithdrawal struct {
	Required bool   `json:"required"`
	Scope    string `json:"scope,omitempty"` // future-training
}

// Payment is a share of revenue. Rates are parts per million.
type Payment struct {
	Model       string    `json:"model"`            // none, revenue-share; the rest belongs to the latter
	Policy      string    `json:"policy,omitempty"` // relative
	RatePpm     int64     `json:"ratePpm"`
	Base        string    `json:"base,omitempty"`     // net-revenue
	Stacking    string    `json:"stacking,omitempty"` // weighted, sum, pool
	FloorPpm    int64     `json:"floorPpm,omitempty"`
	CapPpm      int64     `json:"capPpm,omitempty"` // 0: no cap
	Pool        cjson.CID `json:"pool,omitzero"`    // the pool's statement
	PoolPpm     int64     `json:"poolPpm,omitempty"`
	Attribution string    `json:"attribution,omitempty"` // the id of a method
	ToDerived   bool      `json:"toDerived"`             // derived versions must carry an edge
	OnWithdraw  string    `json:"onWithdraw,omitempty"`  // keep, hold, pool
	Currency    string    `json:"currency,omitempty"`
	SettleEvery string    `json:"settleEvery,omitempty"` // ISO 8601 duration
	Free        *Free     `json:"free,omitempty"`
}

// Free is use without payment.
type Free struct {
	NonCommercial     bool   `json:"nonCommercial,omitempty"`
	RevenueBelowMinor string `json:"revenueBelowMinor,omitempty"` // decimal, minor units
}

// Signals are what gateways say to crawlers about the data.
type Signals struct {
	AIPref         *AIPref `json:"aipref,omitempty"`
	TDMReservation *int64  `json:"tdmReservation,omitempty"` // 0 or 1
	TDMPolicy      string  `json:"tdmPolicy,omitempty"`
	RSL            *RSL    `json:"rsl,omitempty"`
	CCSignal       string  `json:"ccSignal,omitempty"` // cr, cr-dc, cr-ec, cr-op
}

// AIPref are the IETF's usage preferences, y or n.
type AIPref struct {
	TrainAI string `json:"trainAi,omitempty"`
	Search  string `json:"search,omitempty"`
}

// RSL is what an RSL document would say.
type RSL struct {
	Usage   []string `json:"usage,omitempty"`
	Payment string   `json:"payment,omitempty"`
}

// Privacy says what the data tells about people, as far as the terms rest on it.
type Privacy struct {
	PersonalData      string      `json:"personalData,omitempty"` // none, pseudonymised, present
	SpecialCategories *bool       `json:"specialCategories,omitempty"`
	Consents          []cjson.CID `json:"consents,omitempty"`
	Jurisdictions     []string    `json:"jurisdictions,omitempty"`
}

// Minimal returns the canonical bytes of the terms document that says nothing
// but the licence, {"$schema":"cairn.terms/1","base":{"spdx":EXPR}}, so that
// the same expression has the same CID for everyone. It reads expr with
// [ParseExpression] and returns its errors.
func Minimal(expr string) ([]byte, error) {
	normalised, _, err := ParseExpression(expr)
	if err != nil {
		return nil, err
	}
	return Encode(&Terms{Schema: Schema, Base: Base{SPDX: normalised}})
}

// Encode returns the canonical bytes of t. It refuses what [Terms.Validate]
// refuses, with the same error, and with [fault.TooLarge] more than [MaxTerms]
// bytes.
func Encode(t *Terms) ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	b, err := cjson.Marshal(t)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	if len(b) > MaxTerms {
		return nil, fault.New(fault.TooLarge, "the terms have %d bytes, more than %d", len(b), MaxTerms)
	}
	return b, nil
}

// Decode reads a terms document. It accepts exactly the bytes that [Encode]
// returns for some document. The error joins all problems found, each with its
// path.
func Decode(b []byte) (*Terms, error) {
	if len(b) > MaxTerms {
		return nil, fault.New(fault.TooLarge, "the terms have %d bytes, more than %d", len(b), MaxTerms)
	}
	t := new(Terms)
	if err := json.Unmarshal(b, t); err != nil {
		return nil, field.Unreadable(b, new(Terms), err)
	}
	again, err := cjson.Marshal(t)
	if err := field.Same(b, again, err, t.Validate); err != nil {
		return nil, err
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}
