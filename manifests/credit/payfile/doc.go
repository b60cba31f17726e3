// Package payfile writes what a payment rail takes: from the lines of a payout
// it makes the one file that a Merkle distributor, a split contract, a bank or
// a person with a spreadsheet is given. FORMAT.md beside it is normative.
//
//	[NewStandardTree]    oz-merkle       OpenZeppelin StandardMerkleTree, standard-v1
//	[NewDistributor]     uniswap-merkle  Uniswap MerkleDistributor claims
//	[NewSplit]           splits          0xSplits v2 configuration
//	[NewDrips]           drips           Drips splits receivers
//	[NewCreditTransfer]  pain.001        ISO 20022 pain.001.001.10
//	[NewBankCSV]         csv             the same payments as a table
//	[NewPublicCSV]       (none)          payee and amount, for payout/v1.lines
//
// A constructor checks the whole batch and reports all problems at once, each
// at its line; what it returns cannot fail but for the writer. Its sum is
// exactly the batch's. Equal lines in equal order give equal bytes. Except
// where a constructor says otherwise, the order of the lines changes no root
// and no proof.
//
// All files but the public table hold payee details (where somebody is paid,
// and under which name): they are private, and never enter the log. No error of
// this package quotes an IBAN, a name or a BIC, so that errors may be logged.
//
// The package pays nobody, and does not know whether an address has an owner or
// a bank an account. It is pure; values are immutable once made, and may be
// used concurrently.
package payfile
