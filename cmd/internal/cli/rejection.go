package cli

import (
	"regexp"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// rejected finds the fold's code in the error of a submission.
var rejected = regexp.MustCompile(`the log (?:would reject the statement: |recorded the statement as [a-z]+: )([a-z-]+)`)

// rejections say what to do about a statement that the log refuses, by the
// fold's code.
var rejections = map[string]string{
	"unexpected-signer": "the signing key has no part in this; choose another with --key, or, when it took another's place elsewhere, \"cairn key rotate\" tells this log",
	"missing-signature": "the party that the statement names must sign it; choose its key with --key",
	"key-revoked":       "the signing key was revoked; choose another with --key",
	"key-replaced":      "another key took the place of the signing key: \"cairn key history\" says which; choose it with --key",
	"key-exists":        "the key has signed in this log already, and a rotation is to one that has not: make a new one with \"cairn key new\"",
	"next-key":          "the identity announced another key with --next, and no other may follow: choose it with --to",
	"later-key":         "somebody is named by a later key; name their identity, which \"cairn key history DID\" prints",
	"threshold":         "more of the group must sign: write the envelope with -o FILE, let others add theirs with \"cairn statement sign FILE\", then \"cairn statement submit FILE\"",
	"underpaid":         "an edge is below what the terms of its parent ask: raise it with --edge",
	"cap":               "the edges together are above what a parent allows",
	"floor":             "too little reaches an ancestor that set a floor: add an edge to it with --edge",
	"consent":           "somebody who shares the version before gets less of this one: repeat its contributors, let them sign too, or change the shares with \"cairn agree\"",
	"too-many-parties":  "more people had a share of this work than one agreement can ask, or too many of its agreements wait for their period",
	"not-publisher":     "only the publisher of a version declares income for it; only the publisher and listed contributors withdraw it",
	"wrong-period":      "\"cairn period show\" says which period is open",
	"past-period":       "choose a later --effective, or --retroactive with everybody's signature",
	"unknown-currency":  "\"cairn currency list\" lists the units of account; an operator adds one with \"cairn currency add\"",
	"currency-taken":    "what a currency code means never changes",
	"mismatch":          "version, currency, period and settlement must be those of the statement that is named",
	"key-taken":         "another payment has this id and says something else; a correction is a refund and a new payment",
	"over-claim":        "more would be settled or reversed than there is",
	"overflow":          "the amounts of a period may not reach 2^127 fine units",
	"stale":             "another one was accepted meanwhile; make it again on top of that one",
	"depth":             "the version lies too deep in the graph of works",
	"edges":             "too many edges",
}

// explained adds to the refusal of a statement what to do about it.
func explained(err error) error {
	m := rejected.FindStringSubmatch(err.Error())
	if m == nil || fault.Of(err) != fault.Conflict {
		return err
	}
	if hint, ok := rejections[m[1]]; ok {
		return fault.WithHint(err, "%s", hint)
	}
	return err
}
