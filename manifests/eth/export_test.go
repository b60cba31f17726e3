package eth

// The hashes between a consent and its digest, for the vectors that have them.
var (
	DomainSeparator = domainSeparator
	StructHash      = Consent.structHash
)
