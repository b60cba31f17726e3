package payfile_test

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// message is what a reader finds in a pain.001.
type message struct {
	XMLName xml.Name `xml:"urn:iso:std:iso:20022:tech:xsd:pain.001.001.10 Document"`
	Header  counts   `xml:"CstmrCdtTrfInitn>GrpHdr"`
	Batch   struct {
		counts
		Payments []struct {
			ID     string `xml:"PmtId>EndToEndId"`
			Amount struct {
				Currency string `xml:"Ccy,attr"`
				Value    string `xml:",chardata"`
			} `xml:"Amt>InstdAmt"`
			Name       string `xml:"Cdtr>Nm"`
			IBAN       string `xml:"CdtrAcct>Id>IBAN"`
			BIC        string `xml:"CdtrAgt>FinInstnId>BICFI"`
			Remittance string `xml:"RmtInf>Ustrd"`
		} `xml:"CdtTrfTxInf"`
	} `xml:"CstmrCdtTrfInitn>PmtInf"`
}

type counts struct{ NbOfTxs, CtrlSum string }

func readMessage(t fataler, s string) (m message) {
	t.Helper()
	if err := xml.Unmarshal([]byte(s), &m); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return m
}

func decimal(t fataler, s string, digits int) credit.Amount {
	t.Helper()
	a, err := credit.ParseDecimal(s, digits)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return a
}

// sumOfMessage adds up the payments of a message in EUR, and checks that the
// control sums and counts say the same.
func sumOfMessage(t fataler, s string) (total credit.Amount) {
	t.Helper()
	m := readMessage(t, s)
	for _, p := range m.Batch.Payments {
		var err error
		if total, err = total.Add(decimal(t, p.Amount.Value, 2)); err != nil {
			t.Fatalf("%v", err)
		}
	}
	want := counts{strconv.Itoa(len(m.Batch.Payments)), total.Decimal(2)}
	if m.Header != want || m.Batch.counts != want {
		t.Fatalf("the message counts %v and %v, want %v", m.Header, m.Batch.counts, want)
	}
	return total
}

func sumOfBankCSV(t fataler, s string) (total credit.Amount) {
	t.Helper()
	for _, row := range rows(t, s) {
		var err error
		if total, err = total.Add(decimal(t, row[5], 2)); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return total
}

func rows(t fataler, s string) [][]string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(s)).ReadAll()
	if err != nil || len(all) < 2 || strings.Join(all[0], ",") != "reference,payee,name,iban,bic,amount,currency,remittance" {
		t.Fatalf("%v in %s", err, s)
	}
	return all[1:]
}

// Both bank files say of every payment what its line says.
func TestBankFilesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLines(t, 10, 99_999_999_999, drawBank)
		m := readMessage(t, written(t, must(payfile.NewCreditTransfer(transfer(), lines))(t)))
		table := rows(t, written(t, must(payfile.NewBankCSV(transfer(), lines))(t)))
		if len(m.Batch.Payments) != len(lines) || len(table) != len(lines) {
			t.Fatalf("%d lines are %d payments and %d rows", len(lines), len(m.Batch.Payments), len(table))
		}
		for i, l := range lines {
			id := "cairn-2026-10-" + strconv.Itoa(i)
			p := m.Batch.Payments[i]
			if p.ID != id || p.Amount.Currency != "EUR" || decimal(t, p.Amount.Value, 2) != l.Amount || p.Remittance != "cairn credit 2026-10" ||
				p.Name != l.To.Name || p.IBAN != l.To.Account || p.BIC != l.To.BIC {
				t.Fatalf("line %+v is payment %+v", l, p)
			}
			want := strings.Join([]string{id, l.Payee, l.To.Name, l.To.Account, l.To.BIC, l.Amount.Decimal(2), "EUR", "cairn credit 2026-10"}, "|")
			if got := strings.Join(table[i], "|"); got != want {
				t.Fatalf("line %d is row %s, want %s", i, got, want)
			}
		}
	})
}

func payments() []payfile.Line {
	return []payfile.Line{
		{Payee: payee(0), Amount: credit.FromUint64(133), To: payfile.Destination{Account: "DE89370400440532013000", Name: "Ben O'Hara, jr.", BIC: "COBADEFF"}},
		{Payee: payee(1), Amount: credit.FromUint64(10007), To: payfile.Destination{Account: "CH9300762011623852957", Name: "Dia Muster"}},
	}
}

const golden = `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.10">
  <CstmrCdtTrfInitn>
    <GrpHdr>
      <MsgId>cairn-2026-10</MsgId>
      <CreDtTm>2026-11-02T08:30:00Z</CreDtTm>
      <NbOfTxs>1</NbOfTxs>
      <CtrlSum>1.33</CtrlSum>
      <InitgPty>
        <Nm>Example Registry e.V.</Nm>
      </InitgPty>
    </GrpHdr>
    <PmtInf>
      <PmtInfId>cairn-2026-10</PmtInfId>
      <PmtMtd>TRF</PmtMtd>
      <NbOfTxs>1</NbOfTxs>
      <CtrlSum>1.33</CtrlSum>
      <PmtTpInf>
        <SvcLvl>
          <Cd>SEPA</Cd>
        </SvcLvl>
      </PmtTpInf>
      <ReqdExctnDt>
        <Dt>2026-11-03</Dt>
      </ReqdExctnDt>
      <Dbtr>
        <Nm>Example Registry e.V.</Nm>
      </Dbtr>
      <DbtrAcct>
        <Id>
          <IBAN>DE89370400440532013000</IBAN>
        </Id>
      </DbtrAcct>
      <DbtrAgt>
        <FinInstnId>
          <BICFI>COBADEFFXXX</BICFI>
        </FinInstnId>
      </DbtrAgt>
      <ChrgBr>SLEV</ChrgBr>
      <CdtTrfTxInf>
        <PmtId>
          <EndToEndId>cairn-2026-10-0</EndToEndId>
        </PmtId>
        <Amt>
          <InstdAmt Ccy="EUR">1.33</InstdAmt>
        </Amt>
        <CdtrAgt>
          <FinInstnId>
            <BICFI>COBADEFF</BICFI>
          </FinInstnId>
        </CdtrAgt>
        <Cdtr>
          <Nm>Ben O'Hara, jr.</Nm>
        </Cdtr>
        <CdtrAcct>
          <Id>
            <IBAN>DE89370400440532013000</IBAN>
          </Id>
        </CdtrAcct>
        <RmtInf>
          <Ustrd>cairn credit 2026-10</Ustrd>
        </RmtInf>
      </CdtTrfTxInf>
    </PmtInf>
  </CstmrCdtTrfInitn>
</Document>
`

func TestMessageGolden(t *testing.T) {
	if got := written(t, must(payfile.NewCreditTransfer(transfer(), payments()[:1]))(t)); got != golden {
		t.Errorf("got\n%s", got)
	}
}

func TestBankInputIsRefused(t *testing.T) {
	type change func(*payfile.Transfer, []payfile.Line)
	line := func(f func(*payfile.Line)) change {
		return func(_ *payfile.Transfer, l []payfile.Line) { f(&l[1]) }
	}
	head := func(f func(*payfile.Transfer)) change {
		return func(t *payfile.Transfer, _ []payfile.Line) { f(t) }
	}
	many := credit.FromUint64(1_000_000_000_000_000_000)
	for name, c := range map[string]struct {
		change change
		want   []string
	}{
		"check digits":     {line(func(l *payfile.Line) { l.To.Account = "CH9300762011623852958" }), []string{"lines[1].to.account: has wrong check digits"}},
		"length":           {line(func(l *payfile.Line) { l.To.Account = "CH930076201162385295" }), []string{"lines[1].to.account: has 20 characters, but an IBAN of CH has 21"}},
		"spaces":           {line(func(l *payfile.Line) { l.To.Account = "CH93 0076 2011 6238 5295 7" }), []string{"lines[1].to.account: must be an IBAN"}},
		"lower case":       {line(func(l *payfile.Line) { l.To.Account = "ch9300762011623852957" }), []string{"lines[1].to.account: must be an IBAN"}},
		"no IBAN":          {line(func(l *payfile.Line) { l.To.Account = "" }), []string{"lines[1].to.account: must be an IBAN"}},
		"outside SEPA":     {line(func(l *payfile.Line) { l.To.Account = "BR1800360305000010009795493C1" }), []string{"lines[1].to.account: is in a country outside SEPA"}},
		"account twice":    {line(func(l *payfile.Line) { l.To.Account = "DE89370400440532013000" }), []string{"lines[1].to.account: is the account of lines[0]"}},
		"BIC":              {line(func(l *payfile.Line) { l.To.BIC = "COBADEF" }), []string{"lines[1].to.bic: must be a BIC"}},
		"BIC's country":    {line(func(l *payfile.Line) { l.To.BIC = "COBA1EFF" }), []string{"lines[1].to.bic: must be a BIC"}},
		"no name":          {line(func(l *payfile.Line) { l.To.Name = "" }), []string{"lines[1].to.name: is missing"}},
		"long name":        {line(func(l *payfile.Line) { l.To.Name = strings.Repeat("a", 71) }), []string{"lines[1].to.name: may have 70 characters, has 71"}},
		"umlaut":           {line(func(l *payfile.Line) { l.To.Name = "Dia Müller" }), []string{"lines[1].to.name: has a character outside"}},
		"other script":     {line(func(l *payfile.Line) { l.To.Name = "Δία" }), []string{"lines[1].to.name: has a character outside"}},
		"ampersand":        {line(func(l *payfile.Line) { l.To.Name = "A & B" }), []string{"lines[1].to.name: has a character outside"}},
		"markup":           {line(func(l *payfile.Line) { l.To.Name = "A<B>" }), []string{"lines[1].to.name: has a character outside"}},
		"line end":         {line(func(l *payfile.Line) { l.To.Name = "A\nB" }), []string{"lines[1].to.name: has a character outside"}},
		"formula":          {line(func(l *payfile.Line) { l.To.Name = "=1+1" }), []string{"lines[1].to.name: has a character outside"}},
		"formula with +":   {line(func(l *payfile.Line) { l.To.Name = "+1" }), []string{"lines[1].to.name: must begin"}},
		"code word":        {line(func(l *payfile.Line) { l.To.Name = "/OCMT/" }), []string{"lines[1].to.name: must begin"}},
		"two slashes":      {line(func(l *payfile.Line) { l.To.Name = "A//B" }), []string{"lines[1].to.name: may not end"}},
		"space at the end": {line(func(l *payfile.Line) { l.To.Name = "A " }), []string{"lines[1].to.name: may not end"}},
		"a billion":        {line(func(l *payfile.Line) { l.Amount = credit.FromUint64(100_000_000_000) }), []string{"lines[1].amount: is above 999,999,999.99 EUR"}},
		"19 digits":        {line(func(l *payfile.Line) { l.Amount = many }), []string{"lines[1].amount: has more than 18 digits", "lines: the sum has more"}},
		"all at once": {func(t *payfile.Transfer, l []payfile.Line) {
			t.MessageID, l[0].To.Name, l[0].Amount, l[1].To.Account = "", "ß", credit.Amount{}, "x"
		}, []string{"lines[0].amount: ", "messageId: ", "lines[0].to.name: ", "lines[1].to.account: "}},
		"no id":             {head(func(t *payfile.Transfer) { t.MessageID = "" }), []string{"messageId: has 1 to 29"}},
		"long id":           {head(func(t *payfile.Transfer) { t.MessageID = strings.Repeat("a", 30) }), []string{"messageId: has 1 to 29"}},
		"id with a slash":   {head(func(t *payfile.Transfer) { t.MessageID = "a/b" }), []string{"messageId: is made of"}},
		"id with a hyphen":  {head(func(t *payfile.Transfer) { t.MessageID = "-a" }), []string{"messageId: is made of"}},
		"no time":           {head(func(t *payfile.Transfer) { t.Created = time.Time{} }), []string{"created: must be set"}},
		"no day":            {head(func(t *payfile.Transfer) { t.Execution = "2026-02-29" }), []string{"execution: must be a day"}},
		"year 0":            {head(func(t *payfile.Transfer) { t.Execution = "0000-01-01" }), []string{"execution: must be a day"}},
		"currency":          {head(func(t *payfile.Transfer) { t.Currency = "eur" }), []string{"currency: must be a code", "lines[1].to.bic: is needed"}},
		"EUR in milli":      {head(func(t *payfile.Transfer) { t.MinorDigits = 3 }), []string{"minorDigits: must be 2 for EUR"}},
		"six decimals":      {head(func(t *payfile.Transfer) { t.MinorDigits = 6 }), []string{"minorDigits: must be 0 to 5"}},
		"CHF without a BIC": {head(func(t *payfile.Transfer) { t.Currency = "CHF" }), []string{"lines[1].to.bic: is needed for every currency but EUR"}},
		"debtor":            {head(func(t *payfile.Transfer) { t.Debtor = payfile.Destination{} }), []string{"debtor.name: is missing", "debtor.account: must be an IBAN"}},
		"remittance":        {head(func(t *payfile.Transfer) { t.Remittance = strings.Repeat("a", 141) }), []string{"remittance: may have 140"}},
	} {
		t.Run(name, func(t *testing.T) {
			head, lines := transfer(), payments()
			c.change(&head, lines)
			_, err := payfile.NewCreditTransfer(head, lines)
			wantInvalid(t, err, c.want...)
			_, err = payfile.NewBankCSV(head, lines)
			if name == "debtor" {
				if err != nil {
					t.Errorf("a table has no debtor, and misses it: %v", err)
				}
				return
			}
			wantInvalid(t, err, c.want...)
		})
	}
	_, err := payfile.NewCreditTransfer(transfer(), make([]payfile.Line, payfile.MaxTransfers+1))
	wantInvalid(t, err, "lines: may have 100000 entries, has 100001")
}

// The largest batch still has references of 35 characters.
func TestReferenceFits(t *testing.T) {
	head := transfer()
	head.MessageID = strings.Repeat("m", 29)
	lines := make([]payfile.Line, payfile.MaxTransfers)
	for i := range lines {
		lines[i] = payfile.Line{Payee: payee(i), Amount: credit.FromUint64(1), To: payfile.Destination{Account: iban("DE", i), Name: "A"}}
	}
	got := written(t, must(payfile.NewBankCSV(head, lines))(t))
	last := got[strings.LastIndexByte(got[:len(got)-1], '\n')+1:]
	if ref, _, _ := strings.Cut(last, ","); len(ref) != 35 {
		t.Errorf("the last reference is %s", ref)
	}
}

// Other currencies: digits of the minor unit, no SEPA, a BIC for each.
func TestOtherCurrencies(t *testing.T) {
	for _, c := range []struct {
		currency string
		digits   int
		want     string
	}{
		{"JPY", 0, `<InstdAmt Ccy="JPY">10007</InstdAmt>`},
		{"KWD", 3, `<InstdAmt Ccy="KWD">10.007</InstdAmt>`},
		{"USD", 2, `<InstdAmt Ccy="USD">100.07</InstdAmt>`},
	} {
		head, lines := transfer(), payments()
		head.Currency, head.MinorDigits, head.Remittance = c.currency, c.digits, ""
		lines[1].To.BIC, lines[1].To.Account = "POFICHBEXXX", "BR1800360305000010009795493C1"
		got := written(t, must(payfile.NewCreditTransfer(head, lines))(t))
		if !strings.Contains(got, c.want) || !strings.Contains(got, "<ChrgBr>SHAR</ChrgBr>") {
			t.Errorf("%s: no %s in %s", c.currency, c.want, got)
		}
		for _, not := range []string{"SEPA", "RmtInf"} {
			if strings.Contains(got, not) {
				t.Errorf("%s: there is %s", c.currency, not)
			}
		}
	}
}

func TestIBAN(t *testing.T) {
	// Examples that the registry of IBANs publishes.
	for _, s := range []string{
		"AL47212110090000000235698741", "AT611904300234573201", "BE68539007547034", "CH9300762011623852957",
		"DE89370400440532013000", "ES9121000418450200051332", "FR1420041010050500013M02606", "GB29NWBK60161331926819",
		"MT84MALT011000012345MTLCAST001S", "NL91ABNA0417164300", "NO9386011117947", "BR1800360305000010009795493C1",
	} {
		if msg := payfile.CheckIBAN(s); msg != "" {
			t.Errorf("%s %s", s, msg)
		}
		// Every changed digit is found, and so is every exchange of neighbours.
		for i := range len(s) {
			b := []byte(s)
			switch {
			case b[i] == '9':
				b[i] = '0'
			case b[i] >= '0' && b[i] < '9':
				b[i]++
			default:
				continue
			}
			if payfile.CheckIBAN(string(b)) == "" {
				t.Errorf("%s is accepted, it was %s", b, s)
			}
		}
		for i := 4; i+1 < len(s); i++ {
			b := []byte(s)
			if b[i], b[i+1] = b[i+1], b[i]; string(b) != s && payfile.CheckIBAN(string(b)) == "" {
				t.Errorf("%s is accepted, it was %s", b, s)
			}
		}
	}
	// 97 and 98 have second names, which are refused: 00 is 97, 01 is 98, 99 is 02.
	found := map[string]bool{}
	for i := range 1000 {
		good := iban("DE", i)
		if other, ok := map[string]string{"97": "00", "98": "01", "02": "99"}[good[2:4]]; ok {
			found[other] = true
			if payfile.CheckIBAN("DE"+other+good[4:]) == "" {
				t.Errorf("DE%s is accepted, it is %s", other+good[4:], good)
			}
		}
	}
	if len(found) != 3 {
		t.Errorf("only %v were tried", found)
	}
}

func FuzzIBAN(f *testing.F) {
	f.Add("DE89370400440532013000")
	f.Add("MT84MALT011000012345MTLCAST001S")
	f.Add("BR1800360305000010009795493C1")
	f.Fuzz(func(t *testing.T, s string) {
		if payfile.CheckIBAN(s) != "" {
			return // refusing is always right
		}
		if len(s) < 15 || len(s) > 34 || strings.ToUpper(s) != s {
			t.Fatalf("accepted %q", s)
		}
		// No other check digits are right for the same account.
		for i := range 100 {
			other := s[:2] + strconv.Itoa(i/10) + strconv.Itoa(i%10) + s[4:]
			if other != s && payfile.CheckIBAN(other) == "" {
				t.Fatalf("both %q and %q are accepted", s, other)
			}
		}
	})
}

// I23: the public table is made of payee and amount alone, whatever is known of
// where they are paid.
func TestPublicCSVKnowsNoDetails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLines(t, 10, 1<<63, drawBank)
		got := written(t, must(payfile.NewPublicCSV(lines))(t))
		bare := make([]payfile.Line, len(lines))
		for i, l := range lines {
			bare[i] = payfile.Line{Payee: l.Payee, Amount: l.Amount}
			for _, detail := range []string{l.To.Account, l.To.Account[4:], l.To.BIC} {
				if detail != "" && strings.Contains(got, detail) {
					t.Fatalf("%s is in %s", detail, got)
				}
			}
		}
		bare = rapid.Permutation(bare).Draw(t, "order")
		if other := written(t, must(payfile.NewPublicCSV(bare))(t)); got != other {
			t.Fatalf("with the details the table is %s, without %s", got, other)
		}
	})
	// A name is a long text that no DID holds by chance.
	lines := payments()
	got := written(t, must(payfile.NewPublicCSV(lines))(t))
	for _, l := range lines {
		if strings.Contains(got, l.To.Name) {
			t.Errorf("%q is in the public table", l.To.Name)
		}
	}
	if want := "payee,amountMinor\ndid:key:zPayee0,133\ndid:key:zPayee1,10007\n"; got != want {
		t.Errorf("the table is %q, want %q", got, want)
	}
}

// No error quotes a detail of a payee.
func TestErrorsKeepSecrets(t *testing.T) {
	head, lines := transfer(), payments()
	lines[0].To = payfile.Destination{Account: "DE89370400440532013001", Name: "Ben Ö'Hara", BIC: "COBADEF"}
	lines[1].To = payfile.Destination{Account: "DE89370400440532013001", Name: "Dia Müster", BIC: "SECRET"}
	_, err := payfile.NewCreditTransfer(head, lines)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, secret := range []string{"DE89", "3704", "Ben", "Dia", "COBA", "SECRET"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in %v", secret, err)
		}
	}
}

func TestLoadPublicCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLines(t, 20, 1<<63, drawDrips)
		made := must(payfile.NewPublicCSV(lines))(t)
		again := must(payfile.LoadPublicCSV(strings.NewReader(written(t, made))))(t)
		if written(t, again) != written(t, made) || again.Total() != sum(t, lines) || again.Len() != len(lines) || len(again.Lines()) != len(lines) {
			t.Fatalf("%s is read as %s", written(t, made), written(t, again))
		}
	})
	for name, s := range map[string]string{
		"nothing":        "",
		"head alone":     "payee,amountMinor\n",
		"no head":        "did:key:a,1\n",
		"another head":   "payee,amount\ndid:key:a,1\n",
		"no last end":    "payee,amountMinor\ndid:key:a,1",
		"CRLF":           "payee,amountMinor\r\ndid:key:a,1\r\n",
		"quoted":         "payee,amountMinor\n\"did:key:a\",1\n",
		"unsorted":       "payee,amountMinor\ndid:key:b,1\ndid:key:a,1\n",
		"twice":          "payee,amountMinor\ndid:key:a,1\ndid:key:a,1\n",
		"zero":           "payee,amountMinor\ndid:key:a,0\n",
		"negative":       "payee,amountMinor\ndid:key:a,-1\n",
		"decimals":       "payee,amountMinor\ndid:key:a,1.0\n",
		"leading zero":   "payee,amountMinor\ndid:key:a,01\n",
		"three columns":  "payee,amountMinor\ndid:key:a,1,DE89370400440532013000\n",
		"no amount":      "payee,amountMinor\ndid:key:a\n",
		"empty line":     "payee,amountMinor\ndid:key:a,1\n\n",
		"a name":         "payee,amountMinor\nAna,1\n",
		"2^127":          "payee,amountMinor\ndid:key:a,170141183460469231731687303715884105727\ndid:key:b,1\n",
		"a line of 1 MB": "payee,amountMinor\ndid:key:" + strings.Repeat("a", 1<<20) + ",1\n",
	} {
		if _, err := payfile.LoadPublicCSV(strings.NewReader(s)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if _, err := payfile.LoadPublicCSV(&broken{strings.NewReader("payee,")}); !errors.Is(err, errFull) {
		t.Errorf("with a broken reader: %v", err)
	}
}

func FuzzLoadPublicCSV(f *testing.F) {
	f.Add("payee,amountMinor\ndid:key:a,1\ndid:pkh:eip155:1:0xab,20\n")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := payfile.LoadPublicCSV(strings.NewReader(s))
		if err != nil {
			if !errors.Is(err, fault.Invalid) {
				t.Fatalf("%v has no code", err)
			}
			return
		}
		if written(t, p) != s {
			t.Fatalf("accepted %q", s)
		}
	})
}
