package credit_test

import (
	"fmt"
	"log"

	"github.com/cairn-registry/cairn/manifests/credit"
)

// A model pays a tenth of its revenue to the dataset that it was trained on.
func Example() {
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	october, err := credit.ParsePeriod("2026-10")
	check(err)
	l, err := credit.NewLedger(october)
	check(err)
	usd := credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}
	check(l.AddCurrency(usd))
	check(l.AddNode(credit.Node{
		Statement: "dataset", Work: "wk:dataset", Publisher: "ana",
		Contributors: []credit.Weight{{Key: "ana", Weight: 2}, {Key: "ben", Weight: 1}}, Total: 3,
		Signers: []string{"ana", "ben"},
	}))
	check(l.AddNode(credit.Node{
		Statement: "model", Work: "wk:model", Publisher: "lab",
		Contributors: []credit.Weight{{Key: "lab", Weight: 1}}, Total: 1, Signers: []string{"lab"},
		Edges: []credit.Weight{{Key: "dataset", Weight: 100_000}}, SelfWeight: 900_000, EdgeTotal: 1_000_000,
	}))
	earned, err := credit.ParseDecimal("100.07", usd.MinorDigits)
	check(err)
	check(l.AddEvent(credit.Event{
		Statement: "invoice", Node: "model", Kind: credit.Income, Period: october, Currency: "USD", NetMinor: earned, Operator: true,
	}))
	check(l.ClosePeriod(october))

	run, err := l.Run(october, "USD")
	check(err)
	for i := range run.Len() {
		s := run.Statement(i)
		minor, carry, err := usd.Payable(s.Close, credit.FromUint64(100))
		check(err)
		fmt.Println(s.Payee, s.Close.Decimal(usd.FineDigits), "payable", minor.Decimal(usd.MinorDigits), "carried", carry.Decimal(usd.FineDigits))
	}
	// Output:
	// ana 6.671333333333 payable 6.67 carried 0.001333333333
	// ben 3.335666666667 payable 3.33 carried 0.005666666667
	// lab 90.063000000000 payable 90.06 carried 0.003000000000
}
