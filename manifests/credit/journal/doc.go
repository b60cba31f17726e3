// Package journal prints double-entry bookkeeping for programs that anybody can
// check it with: hledger, Beancount and Ledger. FORMAT.md of package payfile has
// a section on it.
//
// It renders the entries of runs, [credit.Entry]. An entry is dated on the last
// day of its period. Debits are positive.
//
// A journal is complete: it declares its currencies and accounts, and its first
// lines say which account of cairn each short label stands for. Labels are
// needed because a DID or a CID is no account name in Beancount, and they are
// the same in all three formats.
//
// Every amount is printed with all decimals of its currency's fine unit, those
// of banks included. That is not for beauty: hledger (before 1.44) and
// Beancount take the tolerance of a sum from the decimals they see, and with
// "100.00" in an entry they accept one that is wrong by 10^-12.
//
// The package is pure, and equal entries give equal bytes.
package journal
