package payfile

import (
	"fmt"
	"strings"
	"time"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

const (
	// MaxTransfers bounds a batch for a bank: a larger message is refused by
	// banks before it is refused here.
	MaxTransfers = 100_000

	maxID         = 35 // bytes of an identifier in ISO 20022 (Max35Text)
	maxMessageID  = maxID - len("-99999")
	maxName       = 70  // bytes of a name in a SEPA message, half of what ISO 20022 allows
	maxRemittance = 140 // bytes of unstructured remittance (Max140Text)
	maxDecimals   = 5   // decimals of an amount in ISO 20022

	minIBAN, maxIBAN = 15, 34 // characters of an IBAN of a country without a row in ibanLength

	euro = "EUR"
)

var (
	// maxAmount bounds each amount, and the sum, of a bank's batch: ISO 20022
	// writes at most 18 digits.
	maxAmount = credit.FromUint64(999_999_999_999_999_999)
	// maxEuro is the largest SEPA transfer: 999,999,999.99 EUR.
	maxEuro = credit.FromUint64(99_999_999_999)
)

// A Transfer says what the payments of a bank's batch have in common.
type Transfer struct {
	// MessageID names the batch to the bank: 1 to 29 letters, digits, dots and
	// hyphens, a letter or digit first. Payment i, counted from 0, has the
	// EndToEndId MessageID-i. A CID is too long for it.
	MessageID string
	// Created is written in UTC, to the second.
	Created time.Time
	// Execution is the day on which the bank is to pay, as YYYY-MM-DD.
	Execution string
	// Debtor is who pays: name, IBAN, and BIC where the currency needs it. A
	// [BankCSV] does not read it.
	Debtor Destination
	// Currency is an ISO 4217 code, MinorDigits the decimals of its minor unit:
	// at most 5.
	Currency    string
	MinorDigits int
	// Remittance is what every payee reads on the statement of their account;
	// it may be empty.
	Remittance string
}

// A transfers is a checked batch for a bank.
type transfers struct {
	batch
	Transfer
	lines []Line
}

// newTransfers checks what both bank files share, and who pays where the file
// says so. It keeps lines.
func newTransfers(t Transfer, lines []Line, debtor bool) (*transfers, error) {
	c, lines := check(lines, MaxTransfers)
	c.transfer(t)
	if debtor {
		c.bankAccount("debtor", t.Debtor, t.Currency)
	}
	accounts := newOnce[string](len(lines))
	for i := range lines {
		l := &lines[i]
		path := fmt.Sprintf("lines[%d].to", i)
		if !c.bankAccount(path, l.To, t.Currency) {
			// what is no account is nobody's
		} else if first, again := accounts.seen(l.To.Account, i); again {
			c.Add(fmt.Sprintf("is the account of lines[%d], too", first), "%s.account", path)
		}
		switch {
		case l.Amount.Cmp(maxAmount) > 0:
			c.Add("has more than 18 digits", "lines[%d].amount", i)
		case t.Currency == euro && l.Amount.Cmp(maxEuro) > 0:
			c.Add("is above 999,999,999.99 EUR, the most that one SEPA transfer carries", "lines[%d].amount", i)
		}
	}
	if c.total.Cmp(maxAmount) > 0 {
		c.Add("the sum has more than 18 digits", "lines")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return &transfers{c.batch, t, lines}, nil
}

func (c *checker) transfer(t Transfer) {
	switch {
	case len(t.MessageID) == 0 || len(t.MessageID) > maxMessageID:
		c.Add(fmt.Sprintf("has 1 to %d characters", maxMessageID), "messageId")
	case !field.Only(t.MessageID, ".-") || !field.Only(t.MessageID[:1], ""):
		c.Add("is made of letters, digits, dots and hyphens, a letter or digit first", "messageId")
	}
	if y := t.Created.UTC().Year(); y < 1000 || y > 9999 {
		c.Add("must be set", "created")
	}
	if d, err := time.Parse(time.DateOnly, t.Execution); err != nil || d.Year() < 1000 {
		c.Add("must be a day of the calendar, as in 2026-11-30", "execution")
	}
	if len(t.Currency) != 3 || strings.Trim(t.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		c.Add("must be a code of ISO 4217, three capital letters", "currency")
	}
	if t.MinorDigits < 0 || t.MinorDigits > maxDecimals {
		c.Add(fmt.Sprintf("must be 0 to %d", maxDecimals), "minorDigits")
	} else if t.Currency == euro && t.MinorDigits != 2 {
		c.Add("must be 2 for EUR", "minorDigits")
	}
	if t.Remittance != "" {
		c.Add(checkText(t.Remittance, maxRemittance), "remittance")
	}
}

// bankAccount checks an account for transfers in a currency, and reports
// whether the IBAN is one.
func (c *checker) bankAccount(path string, d Destination, currency string) (ok bool) {
	c.Add(checkText(d.Name, maxName), "%s.name", path)
	msg := CheckIBAN(d.Account)
	if _, sepa := ibanLength[country(d.Account)]; msg == "" && currency == euro && !sepa {
		msg = "is in a country outside SEPA"
	}
	c.Add(msg, "%s.account", path)
	switch {
	case d.BIC != "":
		c.Add(CheckBIC(d.BIC), "%s.bic", path)
	case currency != euro:
		c.Add("is needed for every currency but EUR", "%s.bic", path)
	}
	return msg == ""
}

// checkText checks a text that travels through SEPA: the basic Latin letters,
// digits, space and / - ? : ( ) . , ' + . It begins with a letter or digit, so
// that no bank takes it for a code word (/) and no spreadsheet for a formula
// (+, -); and no // stands in it.
func checkText(s string, limit int) string {
	switch {
	case len(s) == 0:
		return "is missing"
	case len(s) > limit:
		return fmt.Sprintf("may have %d characters, has %d", limit, len(s))
	case !field.Only(s, "/-?:().,'+ "):
		return "has a character outside of A-Z a-z 0-9 / - ? : ( ) . , ' + and space, which SEPA refuses: spell it in basic Latin"
	case !field.Only(s[:1], ""):
		return "must begin with a letter or digit"
	case s[len(s)-1] == ' ' || s[len(s)-1] == '/' || strings.Contains(s, "//"):
		return "may not end with a space or slash, nor have two slashes in a row"
	}
	return ""
}

// ibanLength is the length of an IBAN in each country of SEPA, from the IBAN
// registry.
var ibanLength = map[string]int{
	"AD": 24, "AL": 28, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18,
	"EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GI": 23, "GR": 27, "HR": 21,
	"HU": 28, "IE": 22, "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24,
	"ME": 22, "MK": 19, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "RS": 22, "SE": 24,
	"SI": 19, "SK": 24, "SM": 27, "VA": 22,
}

func country(s string) string { return s[:min(2, len(s))] }

// CheckIBAN returns what is wrong with an IBAN, "" for nothing: the electronic
// form (no spaces, capital letters), the length where the country's is known,
// and the check digits (ISO 7064, mod 97-10). It does not quote the IBAN.
func CheckIBAN(s string) string {
	if len(s) < minIBAN || len(s) > maxIBAN || !upperAlnum(s) || !letters(s[:2]) || !digits(s[2:4]) {
		return fmt.Sprintf("must be an IBAN: two letters, two digits, and up to 30 capital letters and digits, %d to %d in all, without spaces", minIBAN, maxIBAN)
	}
	if n, ok := ibanLength[s[:2]]; ok && len(s) != n {
		return fmt.Sprintf("has %d characters, but an IBAN of %s has %d", len(s), s[:2], n)
	}
	// The number that the text makes with A = 10 … Z = 35, the first four
	// characters last, leaves 1 when divided by 97. The check digits 00, 01 and
	// 99 would be second names of 97, 98 and 02.
	rest := 0
	for _, c := range []byte(s[4:] + s[:4]) {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	if check := s[2:4]; rest != 1 || check == "00" || check == "01" || check == "99" {
		return "has wrong check digits: a character of the IBAN was changed"
	}
	return ""
}

// CheckBIC returns what is wrong with a BIC (ISO 9362), "" for nothing.
func CheckBIC(s string) string {
	if len(s) != 8 && len(s) != 11 || !upperAlnum(s) || !letters(s[4:6]) {
		return "must be a BIC: 8 or 11 capital letters and digits, the fifth and sixth the country"
	}
	return ""
}

func upperAlnum(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
func letters(s string) bool { return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" }
func digits(s string) bool  { return strings.Trim(s, "0123456789") == "" }
