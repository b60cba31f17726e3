package payfile_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/toolstest"
)

// The tests of this file let foreign programs judge. .ci/install installs them.

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenZeppelinJudgesTheDump(t *testing.T) {
	node := toolstest.Program(t, "node")
	tools := toolstest.Packages(t, "@openzeppelin/merkle-tree")
	judge := func(lines []payfile.Line, change func(dump string) string) (string, error) {
		tree := must(payfile.NewStandardTree(lines))(t)
		var p struct {
			Root   string     `json:"root"`
			Proofs [][]string `json:"proofs"`
		}
		p.Root = text(tree.Root())
		for i := range tree.Len() {
			proof := []string{}
			for _, h := range tree.Proof(i) {
				proof = append(proof, text(h))
			}
			p.Proofs = append(p.Proofs, proof)
		}
		proofs, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), node, "testdata/standard.mjs", tools,
			writeFile(t, "dump.json", change(written(t, tree))), writeFile(t, "proofs.json", string(proofs))).CombinedOutput()
		return string(out), err
	}
	same := func(s string) string { return s }
	for _, n := range []int{1, 2, 3, 7, 100} {
		lines := manyWallets(n)
		// The largest amount of a record, and the smallest.
		lines[0].Amount = credit.FromUint64(1)
		if n > 1 {
			lines[1].Amount = amount(t, "170141183460469231722463931679029329919") // 2^127 - 2^63 - 1
			for i := 2; i < n; i++ {
				lines[i].Amount = credit.FromUint64(uint64(i))
			}
		}
		out, err := judge(lines, same)
		if err != nil || strings.TrimSpace(out) != strconv.Itoa(n)+" values hold" {
			t.Errorf("%d values: %v\n%s", n, err, out)
		}
	}
	// It does judge: another amount under the same nodes is refused.
	out, err := judge(manyWallets(3), func(s string) string {
		at := strings.Index(s, `","`+manyWallets(1)[0].Amount.String()) + 3
		return s[:at] + string('1'+(s[at]-'0')%9) + s[at+1:]
	})
	if err == nil {
		t.Errorf("a changed amount is accepted: %s", out)
	}
}

func TestXmllintJudgesTheMessage(t *testing.T) {
	xmllint := toolstest.Program(t, "xmllint")
	const schema = "testdata/pain.001.001.10-subset.xsd"
	judge := func(t *testing.T, message string) (string, error) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), xmllint, "--noout", "--schema", schema, writeFile(t, "pain.xml", message)).CombinedOutput()
		return string(out), err
	}
	usd := transfer()
	usd.Currency, usd.Remittance = "USD", ""
	kwd := transfer()
	kwd.Currency, kwd.MinorDigits = "KWD", 3
	five := transfer()
	five.Currency, five.MinorDigits, five.Debtor.BIC = "XTS", 5, "COBADEFF"
	noBIC := transfer()
	noBIC.Debtor.BIC = ""
	abroad := payments()
	abroad[1].To.BIC = "POFICHBEXXX"
	large := payments()
	large[0].To.BIC, large[1].To.BIC = "COBADEFF", "POFICHBEXXX"
	large[0].Amount, large[1].Amount = credit.FromUint64(999_999_999_999_999_998), credit.FromUint64(1)
	longest := payments()
	longest[0].To.Name = strings.Repeat("N", 70)
	longestHead := transfer()
	longestHead.MessageID, longestHead.Remittance = strings.Repeat("m", 29), strings.Repeat("r", 140)
	for name, c := range map[string]struct {
		head  payfile.Transfer
		lines []payfile.Line
	}{
		"EUR": {transfer(), payments()}, "no BIC": {noBIC, payments()}, "USD": {usd, abroad}, "KWD": {kwd, abroad},
		"18 digits": {usd, large}, "five decimals": {five, large}, "longest texts": {longestHead, longest},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := judge(t, written(t, must(payfile.NewCreditTransfer(c.head, c.lines))(t))); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	// It does judge: each rule that is broken is a refusal.
	for name, c := range map[string]struct{ old, new string }{
		"namespace":            {"pain.001.001.10", "pain.001.001.03"},
		"MsgId of 36":          {"<MsgId>cairn-2026-10<", "<MsgId>" + strings.Repeat("x", 36) + "<"},
		"empty MsgId":          {"<MsgId>cairn-2026-10<", "<MsgId><"},
		"no NbOfTxs":           {"      <NbOfTxs>1</NbOfTxs>\n      <CtrlSum>1.33</CtrlSum>\n      <InitgPty>", "      <CtrlSum>1.33</CtrlSum>\n      <InitgPty>"},
		"NbOfTxs of 16 digits": {"<NbOfTxs>1<", "<NbOfTxs>1234567890123456<"},
		"NbOfTxs of letters":   {"<NbOfTxs>1<", "<NbOfTxs>one<"},
		"CtrlSum of 19 digits": {"<CtrlSum>1.33<", "<CtrlSum>12345678901234567.89<"},
		"order of the header":  {"<MsgId>cairn-2026-10</MsgId>\n      <CreDtTm>2026-11-02T08:30:00Z</CreDtTm>", "<CreDtTm>2026-11-02T08:30:00Z</CreDtTm>\n      <MsgId>cairn-2026-10</MsgId>"},
		"time":                 {"2026-11-02T08:30:00Z", "2026-11-02 08:30"},
		"method":               {"<PmtMtd>TRF<", "<PmtMtd>XXX<"},
		"bare date":            {"<ReqdExctnDt>\n        <Dt>2026-11-03</Dt>\n      </ReqdExctnDt>", "<ReqdExctnDt>2026-11-03</ReqdExctnDt>"},
		"day":                  {"<Dt>2026-11-03<", "<Dt>2026-11-31<"},
		"bearer":               {"<ChrgBr>SLEV<", "<ChrgBr>SELF<"},
		"IBAN in lower case":   {"<IBAN>DE89", "<IBAN>de89"},
		"IBAN with spaces":     {"<IBAN>DE89", "<IBAN>DE89 "},
		"BIC of 9":             {"<BICFI>COBADEFF<", "<BICFI>COBADEFFX<"},
		"no debtor's agent":    {"<DbtrAgt>\n        <FinInstnId>\n          <BICFI>COBADEFFXXX</BICFI>\n        </FinInstnId>\n      </DbtrAgt>\n", ""},
		"six decimals":         {">1.33</InstdAmt>", ">1.330001</InstdAmt>"},
		"19 digits":            {">1.33</InstdAmt>", ">12345678901234567.89</InstdAmt>"},
		"below 0":              {">1.33</InstdAmt>", ">-1.33</InstdAmt>"},
		"exponent":             {">1.33</InstdAmt>", ">1e3</InstdAmt>"},
		"no currency":          {` Ccy="EUR"`, ""},
		"currency":             {` Ccy="EUR"`, ` Ccy="euro"`},
		"EndToEndId of 36":     {"<EndToEndId>cairn-2026-10-0<", "<EndToEndId>" + strings.Repeat("x", 36) + "<"},
		"BIC for BICFI":        {"<BICFI>COBADEFF</BICFI>", "<BIC>COBADEFF</BIC>"},
		"creditor before bank": {"<CdtrAcct>", "<CdtrAgt/><CdtrAcct>"},
		"Ustrd of 141":         {"<Ustrd>cairn credit 2026-10<", "<Ustrd>" + strings.Repeat("x", 141) + "<"},
		"Nm of 141":            {"<Nm>Ben O'Hara, jr.<", "<Nm>" + strings.Repeat("x", 141) + "<"},
		"no payment":           {golden[strings.Index(golden, "      <CdtTrfTxInf>"):strings.Index(golden, "    </PmtInf>")], ""},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(golden, c.old, c.new, 1)
			if broken == golden {
				t.Fatal("nothing was broken")
			}
			if out, err := judge(t, broken); err == nil || !strings.Contains(out, "fails to validate") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
