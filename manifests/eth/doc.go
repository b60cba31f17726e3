// Package eth holds what cairn needs of Ethereum, and no more: the hash, the
// address with its checksum, the did:pkh name of a wallet, and the recovery of
// the wallet that signed a message or a [Consent].
//
// It knows nothing of chains, transactions or contracts: a wallet that is a
// contract (EIP-1271) has no signature that can be checked offline, and is
// refused like any other signature that does not recover to its address.
//
// The package is pure. Everything in it may be called concurrently.
package eth
