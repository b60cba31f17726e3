// Package credit turns reported revenue into exact amounts for the people it is
// owed to. It is the engine credit/1, which FORMAT.md beside it defines.
//
// Revenue arrives at a version of a dataset or model, flows along the weighted
// edges to what that version was made from, and what each version keeps is
// shared among its contributors. Every division is [Apportion], so every sum is
// exact. A [Ledger] is filled with the effects of the log, in the order of the
// log; a run is then a pure function of the Ledger, a period and a currency,
// and gives the same bytes on every machine and at every later size of the log.
//
// The package is not a payment system: it holds no money, knows no payee's
// details, and has no clock. It is exact for the revenue that was reported, and
// cannot see revenue that was not.
package credit
