package payslip_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/cairn-registry/cairn/cmd/internal/payslip"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	ana = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
	bob = "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf"
)

// answer is what a registry says of ana: two works, one of them shared with
// somebody who has not signed.
func answer(t *testing.T) (credit.Currency, *wire.PayeeStatement) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first, err := credit.ParsePeriod("2026-10")
	ok(err)
	l, err := credit.NewLedger(first)
	ok(err)
	usd := credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}
	ok(l.AddCurrency(usd))
	weather, labels := cjson.RawCID([]byte("weather")).String(), cjson.RawCID([]byte("labels")).String()
	ok(l.AddNode(credit.Node{Statement: weather, Work: "wk:" + weather, Publisher: ana, Contributors: []credit.Weight{{Key: ana, Weight: 1}}, Total: 1, Signers: []string{ana}}))
	ok(l.AddNode(credit.Node{Statement: labels, Work: "wk:" + labels, Publisher: ana, Contributors: []credit.Weight{{Key: ana, Weight: 2}, {Key: bob, Weight: 1}}, Total: 3, Signers: []string{ana},
		Edges: []credit.Weight{{Key: weather, Weight: 333333}}, SelfWeight: 666667, EdgeTotal: 1000000}))
	ok(l.AddEvent(credit.Event{Statement: cjson.RawCID([]byte("invoice")).String(), Node: labels, Kind: credit.Income, Period: first, Currency: "USD",
		NetMinor: credit.FromUint64(10007), Settlement: credit.Gross, Operator: true}))
	ok(l.ClosePeriod(first))
	run, err := l.Run(first, "USD")
	ok(err)
	i, err := run.Find(ana)
	ok(err)
	path, err := run.Prove(i)
	ok(err)
	root := run.Root()
	out := &wire.PayeeStatement{Statement: json.RawMessage(run.Append(nil, i)), Index: i, Tree: wire.Tree{N: int64(run.Len()), Root: base64.StdEncoding.EncodeToString(root[:])},
		Nodes: map[string]string{weather: "weather@1.0.0", labels: "labels@1.0.0"}}
	for _, h := range path {
		out.Proof = append(out.Proof, base64.StdEncoding.EncodeToString(h[:]))
	}
	return usd, out
}

func published(a *wire.PayeeStatement) *manifests.Allocation {
	return &manifests.Allocation{Engine: credit.Engine, Period: "2026-10", Currency: "USD", Payees: manifests.Tree(a.Tree)}
}

func TestFormats(t *testing.T) {
	usd, a := answer(t)
	s, err := payslip.New("registry.example/log", ana, usd, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Hold(cjson.CID{Cid: cjson.RawCID([]byte("allocation"))}, 7, published(a)); err != nil {
		t.Fatal(err)
	}
	s.Handle = "ana"
	for format, name := range map[string]string{payslip.Text: "slip.txt", payslip.Markdown: "slip.md", payslip.CSV: "slip.csv", payslip.HTML: "slip.html", payslip.JSON: "slip.json"} {
		var got bytes.Buffer
		if err := s.Write(&got, format); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is\n%s\nwant\n%s", name, got.Bytes(), want)
		}
	}
}

// TestLies changes what a registry answers, one thing at a time: none is shown.
func TestLies(t *testing.T) {
	for name, lie := range map[string]func(*wire.PayeeStatement){
		"an amount": func(a *wire.PayeeStatement) {
			a.Statement = bytes.Replace(a.Statement, []byte(`"openFine":"0"`), []byte(`"openFine":"1"`), 1)
		},
		"an index":         func(a *wire.PayeeStatement) { a.Index++ },
		"a size":           func(a *wire.PayeeStatement) { a.Tree.N++ },
		"no proof":         func(a *wire.PayeeStatement) { a.Proof = nil },
		"no hash":          func(a *wire.PayeeStatement) { a.Proof[0] = "!" },
		"another payee":    func(a *wire.PayeeStatement) { a.Statement = bytes.Replace(a.Statement, []byte(ana), []byte(bob), 1) },
		"no statement":     func(a *wire.PayeeStatement) { a.Statement = json.RawMessage(`{}`) },
		"a foreign member": func(a *wire.PayeeStatement) { a.Statement = json.RawMessage(`{"x":1}`) },
	} {
		usd, a := answer(t)
		lie(a)
		if _, err := payslip.New("registry.example/log", ana, usd, a); !errors.Is(err, fault.Unverified) {
			t.Errorf("%s: %v, want it unverified", name, err)
		}
	}
	usd, a := answer(t)
	s, err := payslip.New("registry.example/log", ana, usd, a)
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*manifests.Allocation){
		"period":   func(p *manifests.Allocation) { p.Period = "2026-11" },
		"currency": func(p *manifests.Allocation) { p.Currency = "EUR" },
		"root":     func(p *manifests.Allocation) { p.Payees.Root = "AAAA" },
		"size":     func(p *manifests.Allocation) { p.Payees.N++ },
	} {
		p := published(a)
		lie(p)
		if err := s.Hold(cjson.CID{}, 7, p); !errors.Is(err, fault.Unverified) {
			t.Errorf("an allocation of another %s: %v, want it unverified", name, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, x := range []struct {
		fine, minor, rest string
		c                 credit.Currency
	}{
		{"33356663331000", "33.35", "6663331", credit.Currency{MinorDigits: 2, FineDigits: 12}},
		{"100070000000000", "100.07", "", credit.Currency{MinorDigits: 2, FineDigits: 12}},
		{"-1", "-0.00", "0000000001", credit.Currency{MinorDigits: 2, FineDigits: 12}},
		{"1500000000000", "1", ".5", credit.Currency{FineDigits: 12}},
		{"1000000000000", "1", "", credit.Currency{FineDigits: 12}},
		{"107", "1.07", "", credit.Currency{MinorDigits: 2, FineDigits: 2}},
	} {
		a, err := credit.ParseAmount(x.fine)
		if err != nil {
			t.Fatal(err)
		}
		if minor, rest := payslip.Split(a, x.c); minor != x.minor || rest != x.rest {
			t.Errorf("Split(%s) = %q, %q, want %q, %q", x.fine, minor, rest, x.minor, x.rest)
		}
	}
}
