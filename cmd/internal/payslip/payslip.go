// Package payslip shows a payee statement to the person whom it is about: as
// text, Markdown, CSV, JSON, or a page that needs nothing but a browser. What it
// shows it has read from the statement's own bytes, and it checks that those
// bytes are part of what the operators published.
package payslip

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A Slip is a payee statement with what makes it readable and checkable.
type Slip struct {
	Registry string          `json:"registry"` // the origin of the log
	Payee    string          `json:"payee"`
	Handle   string          `json:"handle,omitempty"` // that the payee goes by, or ""
	Period   credit.Period   `json:"period"`
	Currency credit.Currency `json:"currency"`
	// Statement are the exact bytes that the proof is about.
	Statement json.RawMessage `json:"statement"`
	// Works names the versions of the lines.
	Works map[string]string `json:"works"`
	// Payable is what of the closing balance can be paid out, in minor units;
	// Carry is carried on, in fine units.
	Payable credit.Amount `json:"payableMinor"`
	Carry   credit.Amount `json:"carryFine"`
	Proof   Proof         `json:"proof"`

	body body
}

// A Proof says where a statement stands in its tree.
type Proof struct {
	Index int      `json:"index"`
	N     int64    `json:"n"`
	Root  string   `json:"root"` // base64
	Path  []string `json:"path"` // base64, from the leaf's sibling upwards
	// Allocation is the published allocation/v1 with this root, and the entry in
	// which it was logged; absent while none is published.
	Allocation cjson.CID `json:"allocation,omitzero"`
	Entry      uint64    `json:"entry,omitempty"`
}

// body is a payee statement as its bytes have it.
type body struct {
	Close    credit.Amount `json:"closeFine"`
	Credit   credit.Amount `json:"creditFine"`
	Currency string        `json:"currency"`
	Debit    credit.Amount `json:"debitFine"`
	Engine   string        `json:"engine"`
	Held     credit.Amount `json:"heldFine"`
	Lines    []line        `json:"lines"`
	Moves    []move        `json:"moves"`
	Open     credit.Amount `json:"openFine"`
	Paid     credit.Amount `json:"paidFine"`
	Payee    string        `json:"payee"`
	Period   credit.Period `json:"period"`
}

type line struct {
	Amount    credit.Amount    `json:"amountFine"`
	Kept      credit.Amount    `json:"keptFine"`
	Period    credit.Period    `json:"period"`
	State     credit.LineState `json:"state"`
	Statement string           `json:"statement"`
	Total     string           `json:"total"`
	Weight    string           `json:"weight"`
}

type move struct {
	Amount    credit.Amount   `json:"amountFine"`
	Kind      credit.MoveKind `json:"kind"`
	Statement string          `json:"statement"`
}

// New reads what a registry answered about a payee, and checks that the
// statement is in the tree that came with it. A statement about somebody or
// something else, and one that the proof does not hold for, is
// fault.Unverified.
func New(origin, payee string, c credit.Currency, a *wire.PayeeStatement) (*Slip, error) {
	s := &Slip{
		Registry: origin, Payee: payee, Currency: c, Statement: a.Statement, Works: a.Nodes,
		Proof: Proof{Index: a.Index, N: a.Tree.N, Root: a.Tree.Root, Path: a.Proof},
	}
	d := json.NewDecoder(bytes.NewReader(a.Statement))
	d.DisallowUnknownFields()
	if err := d.Decode(&s.body); err != nil {
		return nil, fault.New(fault.Unverified, "the registry's statement cannot be read: %w", err)
	}
	if b := s.body; b.Payee != payee || b.Currency != c.Code || b.Engine != credit.Engine {
		return nil, fault.New(fault.Unverified, "the registry sent a statement of %s for %s in %s", fault.Quote(b.Engine), fault.Quote(b.Payee), fault.Quote(b.Currency))
	}
	s.Period = s.body.Period
	var err error
	if s.Payable, s.Carry, err = c.Payable(s.body.Close, credit.Amount{}); err != nil {
		return nil, err
	}
	return s, s.verify()
}

// Hold checks that the statement is part of a published allocation, which the
// caller has found in entry index of the log. What does not hold is
// fault.Unverified.
func (s *Slip) Hold(id cjson.CID, index uint64, a *manifests.Allocation) error {
	switch {
	case a.Period != s.Period.String() || a.Currency != s.Currency.Code || a.Engine != s.body.Engine:
		return fault.New(fault.Unverified, "%s is the allocation of %s in %s by %s", id, a.Period, a.Currency, a.Engine)
	case a.Payees.N != s.Proof.N || a.Payees.Root != s.Proof.Root:
		return fault.New(fault.Unverified, "%s published the root %s over %d statements, not %s over %d", id, a.Payees.Root, a.Payees.N, s.Proof.Root, s.Proof.N)
	}
	s.Proof.Allocation, s.Proof.Entry = id, index
	return nil
}

func (s *Slip) verify() error {
	root, err := hash(s.Proof.Root)
	if err != nil {
		return err
	}
	path := make([][32]byte, len(s.Proof.Path))
	for i, text := range s.Proof.Path {
		if path[i], err = hash(text); err != nil {
			return err
		}
	}
	return credit.VerifyStatement(root, int(s.Proof.N), s.Proof.Index, s.Statement, path)
}

func hash(text string) (h [32]byte, err error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, fault.New(fault.Unverified, "%s is no hash", fault.Quote(text))
	}
	return [32]byte(b), nil
}

// work names the version that a statement made.
func (s *Slip) work(statement string) string {
	if name := s.Works[statement]; name != "" {
		return fault.Printable(name)
	}
	return statement
}

// The formats of a slip.
const (
	Text     = "text"
	Markdown = "md"
	HTML     = "html"
	CSV      = "csv"
	JSON     = "json"
)

// Format returns the format that a flag or, without one, a file's ending names.
func Format(flag, file string) (string, error) {
	if flag == "" {
		i := strings.LastIndexByte(file, '.')
		switch strings.ToLower(file[i+1:]) {
		case "html", "htm":
			return HTML, nil
		case "md", "markdown":
			return Markdown, nil
		case "csv":
			return CSV, nil
		case "json":
			return JSON, nil
		}
		return Text, nil
	}
	switch flag {
	case Text, Markdown, HTML, CSV, JSON:
		return flag, nil
	}
	return "", fault.New(fault.Invalid, "--format is %s, not text, md, html, csv or json", fault.Quote(flag))
}

// Write writes the slip in a format.
func (s *Slip) Write(w io.Writer, format string) error {
	switch format {
	case Markdown:
		return s.markdown(w)
	case HTML:
		return s.html(w)
	case CSV:
		return s.csv(w)
	case JSON:
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(s)
	}
	return s.text(w)
}

// Split writes an amount of fine units as people do, in two parts: up to the
// minor unit, and the exact rest without trailing zeros.
func Split(a credit.Amount, c credit.Currency) (minor, rest string) {
	d := a.Decimal(c.FineDigits)
	cut := len(d) - (c.FineDigits - c.MinorDigits)
	if c.MinorDigits == 0 && c.FineDigits > 0 {
		cut-- // the point
	}
	return d[:cut], strings.TrimSuffix(strings.TrimRight(d[cut:], "0"), ".")
}

// Decimal writes an amount of fine units exactly: with the decimals of the minor
// unit, and as many more as it has.
func Decimal(a credit.Amount, c credit.Currency) string {
	minor, rest := Split(a, c)
	return minor + rest
}
