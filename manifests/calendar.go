package manifests

import (
	"fmt"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A PeriodStatement is the predicate of period/v1: the operators close the open month,
// and the next one is open.
type PeriodStatement struct {
	Common

	Closes string `json:"closes"` // "2026-11"
}

// Kind returns [KindPeriod].
func (*PeriodStatement) Kind() Kind { return KindPeriod }

func (c *PeriodStatement) subject(Subject) Subject { return textSubject(c.Registry) }

func (*PeriodStatement) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*PeriodStatement) authority() Authority { return Operators }

func (c *PeriodStatement) validate(p *field.Problems) {
	p.Add(field.Month(c.Closes), "predicate.closes")
}

// NextPeriod returns the month after a period, "2027-01" after "2026-12". What
// is no period gives [fault.Invalid].
func NextPeriod(period string) (string, error) {
	if msg := field.Month(period); msg != "" {
		return "", fault.New(fault.Invalid, "the period %s %s", fault.Quote(period), msg)
	}
	t, err := time.Parse("2006-01", period)
	if err != nil {
		return "", fault.Mark(fault.Invalid, err)
	}
	next := t.AddDate(0, 1, 0).Format("2006-01")
	if msg := field.Month(next); msg != "" {
		return "", fault.New(fault.Invalid, "there is no period after %s", period)
	}
	return next, nil
}

// A CurrencyStatement is the predicate of currency/v1: the operators add a unit
// of account. What a code means never changes.
type CurrencyStatement struct {
	Common
	Currency
}

// Kind returns [KindCurrency].
func (*CurrencyStatement) Kind() Kind { return KindCurrency }

func (c *CurrencyStatement) subject(Subject) Subject { return textSubject(c.Registry) }

func (*CurrencyStatement) signers() (required, allowed []sign.KeyID) { return nil, nil }

func (*CurrencyStatement) authority() Authority { return Operators }

func (c *CurrencyStatement) validate(p *field.Problems) { c.Currency.validate(p, "predicate") }

func (c Currency) validate(p *field.Problems, path string) {
	p.Add(checkCurrencyCode(c.Code), "%s.code", path)
	if c.MinorDigits < 0 || c.MinorDigits > c.FineDigits || c.FineDigits > maxDigits {
		p.Add(fmt.Sprintf("0 <= minorDigits <= fineDigits <= %d does not hold", maxDigits), "%s.fineDigits", path)
	}
	if isISO4217(c.Code) && c.FineDigits != isoFineDigits {
		p.Add(fmt.Sprintf("must be %d for an ISO 4217 currency", isoFineDigits), "%s.fineDigits", path)
	}
}
