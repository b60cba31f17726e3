package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// The abuses of this file are about who may change a work's shares, and where
// money is sent.

// Somebody who shares a work with others agrees with herself on more. Whoever
// falls has to sign: until all have, nothing changes, and what they signed begins
// with a later period.
func TestAbuseShareChangeByAgreement(t *testing.T) {
	c := newCourt(t)
	set := c.version(ok, c.shared("set", "eve", 1, "ana", 1), "eve", "ana")
	work := foldtest.Work(set)
	grab := c.Agreement(work, "2026-12", cid.Undef, "eve", 99, "ana", 1)
	c.log(string(fold.UnexpectedSigner), grab, "eve", "zoe")
	c.log(ok, grab, "eve")
	if missing := effect[fold.PendingAgreement](c).Missing; missing != 1 {
		t.Errorf("%d signatures are missing, want ana's", missing)
	}
	c.log(string(fold.PastPeriod), c.Agreement(work, foldtest.FirstPeriod, cid.Undef, "eve", 1), "eve")
	past := c.Agreement(work, foldtest.FirstPeriod, cid.Undef, "eve", 99, "ana", 1)
	past.Retroactive = true
	c.log(ok, past, "eve")
	c.income("k1", set, 1000)
	c.close()
	c.income("k2", set, 1000)
	run := c.close()
	c.wants("pending", run, "eve", 500*fine)
	c.wants("pending", run, "ana", 500*fine)

	// With her signature it counts, from the next period on.
	c.log(ok, grab, "ana")
	c.income("k3", set, 1000)
	c.wants("signed in this period", c.close(), "ana", 500*fine)
	c.income("k4", set, 1000)
	c.wants("signed in the last", c.close(), "ana", 10*fine)
}

// Somebody publishes the next version of a shared work with shares of her own
// choice. The log asks for the signatures of those who fall, as an agreement
// would; what she does not log brings nothing.
func TestAbuseShareChangeByVersion(t *testing.T) {
	c := newCourt(t)
	v1 := c.version(ok, c.shared("set", "eve", 1, "ana", 1), "eve", "ana")
	next := func(namesAndWeights ...any) *manifests.Contribution {
		v := c.shared("set", namesAndWeights...)
		v.Dataset.Version, v.Supersedes = "2.0.0", cjson.CID{Cid: v1}
		return v
	}
	c.version(string(fold.Consent), next("eve", 1), "eve")
	c.version(string(fold.Consent), next("eve", 99, "ana", 1), "eve")
	c.version(string(fold.Consent), next("eve", 2, "ana", 2, "zoe", 1), "eve", "zoe")
	whole := next("eve", 1)
	setEdges(whole, map[cid.Cid]int{v1: 1}) // an edge that no attribution asks for
	c.version(string(fold.Consent), whole, "eve")
	fresh := next("eve", 1)
	fresh.Supersedes = cjson.CID{}
	c.version(string(fold.Stale), fresh, "eve") // the name is the work's

	v2 := c.version(ok, next("eve", 3, "ana", 3), "eve", "ana")
	c.income("k1", v2, 1000)
	c.wants("the same parts", c.close(), "ana", 500*fine)
	v := c.shared("set", "eve", 3, "ana", 1)
	v.Dataset.Version, v.Supersedes = "3.0.0", cjson.CID{Cid: v2}
	c.version(string(fold.Consent), v, "eve")
	c.income("k2", c.version(ok, v, "eve", "ana"), 1000)
	c.wants("less, as she signed", c.close(), "ana", 250*fine)
}

// Somebody has a key of another's and sends her money elsewhere. A payee counts
// from the next period on, so that what is being paid is not touched and there is
// time; the log shows it, the owner says it again, and revokes the key.
func TestAbuseKeyTheft(t *testing.T) {
	c := newCourt(t)
	var said []fold.SetPayee
	payee := func(want, details, signer string) {
		p := c.Payee("ana")
		sum := sha256.Sum256([]byte(details))
		p.Commitment = hex.EncodeToString(sum[:])
		if c.log(want, p, signer); want == ok {
			said = append(said, effect[fold.SetPayee](c))
		}
	}
	// paid is where a period's money goes: the newest payee that has begun, which is
	// what registry/index answers.
	paid := func(period string) string {
		for _, s := range slices.Backward(said) {
			if s.From <= period {
				return s.Commitment
			}
		}
		return ""
	}
	payee(ok, "ana's account", "ana")
	hers := said[0].Commitment
	c.close()
	if paid("2026-12") != hers || paid("2026-11") != "" {
		t.Fatalf("ana's own payee counts from %s", said[0].From)
	}

	payee(string(fold.UnexpectedSigner), "eve's account", "eve")
	payee(ok, "eve's account", "ana") // signed with the stolen key
	if paid(c.open) != hers {
		t.Error("a payee counts in the period in which it was said")
	}
	if paid("2027-01") == hers {
		t.Error("a payee does not count from the next period on: the test shows nothing")
	}
	payee(ok, "ana's account", "ana")
	c.log(ok, c.Revoke("ana"), "ana")
	payee(string(fold.KeyRevoked), "eve's account", "ana")
	if paid("2027-01") != hers || paid("2030-01") != hers {
		t.Error("what was put right within the period still counts")
	}
	// The key is worth nothing for other statements either.
	c.version(string(fold.KeyRevoked), c.Contribution("ana", "set", "1.0.0"), "ana")
}

// A stolen key is rotated away by its owner: name, shares and what is owed stay hers,
// the thief signs nothing more, and neither does a second rotation of his.
func TestAbuseKeyTheftRotated(t *testing.T) {
	c := newCourt(t)
	shared := c.shared("set", "eve", 1, "ana", 1)
	set := c.version(ok, shared, "eve") // ana has not signed yet
	own := c.version(ok, c.Contribution("ana", "own", "1.0.0"), "ana")
	c.log(ok, c.Rotate("ana", "ana2"), "ana", "ana2")
	old := map[string]manifests.Predicate{
		"payee": c.Payee("ana"), "withdrawal": c.Withdraw("ana", own), "dispute": c.Dispute("ana", set), "acceptance": c.Accept("ana", "terms"),
		"commit": c.Commit("ana"), "profile": c.Profile("ana", "ana"), "attestation": c.Attestation("ana", set), "usage": c.Usage("ana", set),
		"metered use": c.Metered("ana", set), "attribution": c.Attribution("ana", foldtest.RawCID("x"), 1, set), "income": c.Declared("ana", "k0", own, "10"),
		"agreement": c.Agreement(foldtest.Work(set), "2026-12", cid.Undef, "eve", 1, "ana", 1), "first key": c.FirstKey("ana"), "revocation": c.Revoke("ana"),
		"rotation": c.Rotate("ana", "thief"),
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		t.Log(name)
		signers := []string{"ana"}
		if name == "rotation" {
			signers = append(signers, "thief")
		}
		c.log(string(fold.KeyReplaced), old[name], signers...)
	}
	c.version(string(fold.KeyReplaced), c.Contribution("ana", "more", "1.0.0"), "ana")
	c.version(string(fold.KeyReplaced), shared, "eve", "ana")
	c.income("k1", set, 1000)
	c.income("k2", own, 1000)
	c.wants("held until she signs", c.close(), "ana", 1000*fine)

	// Her new key signs for what she had no time to sign before.
	c.version(ok, shared, "eve", "ana2")
	next := c.Contribution("ana", "own", "1.1.0")
	next.Supersedes = cjson.CID{Cid: own}
	c.version(ok, next, "ana2")
	c.log(ok, c.Declared("ana", "k0", own, "10"), "ana2")
	c.log(ok, c.Payee("ana"), "ana2")
	c.income("k3", set, 1000)
	c.income("k4", own, 1000)
	c.wants("hers as before, and what was held", c.close(), "ana", (1000+500+500)*fine)
	c.wants("nothing is the key's", c.close(), "ana2", 0)
}
