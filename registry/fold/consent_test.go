package fold_test

import (
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// An attributed is what an edge says of a parent: weight of 10,000,000, share of 10.
type attributed struct{ weight, share string }

// consent goes on with a log in whose open period, 2026-12, no work of kim's is
// known: next versions that take from somebody, beside those that do not.
func (s *scenario) consent() {
	none, open := cid.Undef, "2026-12"
	next := func(name, version string, of cid.Cid, shares ...any) *manifests.Contribution {
		c := s.contribution("kim", name, version, of)
		c.Contributors, c.Total = foldtest.Shares(shares...)
		return c
	}
	// edge makes c share its revenue with an earlier version, by an attribution of
	// its data.
	edge := func(c *manifests.Contribution, to cid.Cid, e attributed) *manifests.Contribution {
		data := foldtest.RawCID("data of " + c.Dataset.Name + " " + c.Dataset.Version)
		c.Attribution = cjson.CID{Cid: s.made(ok, s.Attribution("kim", data, len(s.bodies), to), "kim")}
		c.Edges = []manifests.Edge{{Statement: cjson.CID{Cid: to}, Weight: e.weight, Share: e.share}}
		c.SelfWeight, c.EdgeTotal = "6000000", "10000000"
		if e.weight == "3999999" {
			c.SelfWeight = "6000001"
		}
		return c
	}

	// Whoever falls has to sign, in the same envelope as the others.
	v1 := s.version(ok, next("set", "1.0.0", none, "kim", 2, "lea", 1, "max", 1), "kim")
	s.version(code(fold.Consent), next("set", "1.1.0", v1, "kim", 2), "kim")
	less := next("set", "1.1.0", v1, "kim", 3, "lea", 1, "max", 1)
	s.version(code(fold.Consent), less, "kim")
	s.version(code(fold.Consent), less, "kim", "lea")
	s.version(code(fold.Consent), less, "kim", "max") // the two do not add up
	v2 := s.version(ok, less, "kim", "lea", "max")
	s.version(dup, less, "kim")

	// Equal parts in other weights, and more for the others, ask nobody.
	v3 := s.version(ok, next("set", "1.2.0", v2, "kim", 6, "lea", 2, "max", 2), "kim")
	v4 := s.version(ok, next("set", "1.3.0", v3, "kim", 1, "lea", 1, "max", 1), "kim")

	// Somebody new takes from all.
	s.version(code(fold.Consent), next("set", "1.4.0", v4, "kim", 1, "lea", 1, "max", 1, "nia", 1), "kim", "nia")
	s.version(ok, next("other", "1.0.0", none, "kim", 1, "nia", 1), "kim")

	// Who is dropped cannot sign. An edge with a share pays for the old version.
	s.version(code(fold.UnexpectedSigner), next("set", "2.0.0", v4, "kim", 1, "lea", 1), "kim", "lea", "max")
	s.version(code(fold.Consent), next("set", "2.0.0", v4, "kim", 1, "lea", 1), "kim", "lea")
	s.version(code(fold.Consent), edged(next("set", "2.0.0", v4, "kim", 1), map[cid.Cid]int{v4: 1_000_000}), "kim") // by no attribution
	s.version(code(fold.Consent), edge(next("set", "2.0.0", v4, "kim", 1), v4, attributed{"3999999", "4"}), "kim")
	s.version(code(fold.Consent), edge(next("set", "2.0.0", v4, "kim", 1), v3, attributed{"4000000", "4"}), "kim") // another version
	v5 := s.version(ok, edge(next("set", "2.0.0", v4, "kim", 1), v4, attributed{"4000000", "4"}), "kim")

	// What it owes, the next one owes too: to that one, or to the one before.
	s.version(code(fold.Consent), next("set", "3.0.0", v5, "kim", 1), "kim")
	v6 := s.version(ok, edge(next("set", "3.0.0", v5, "kim", 1), v4, attributed{"4000000", "4"}), "kim")
	s.version(code(fold.Consent), next("set", "4.0.0", v6, "kim", 1), "kim")
	v7 := s.version(ok, edge(next("set", "4.0.0", v6, "kim", 1), v6, attributed{"4000000", "4"}), "kim")
	s.version(code(fold.Consent), next("set", "5.0.0", v7, "kim", 1), "kim")
	s.version(code(fold.Consent), next("set", "5.0.0", v7, "kim", 3, "lea", 1, "max", 1), "kim")
	paid := s.version(ok, next("set", "5.0.0", v7, "kim", 1, "lea", 1, "max", 1), "kim") // or it gives the parts back
	s.version(ok, next("set", "5.1.0", paid, "kim", 2, "lea", 2, "max", 2), "kim")

	// Agreements: the parts of the version before are those of the newest that it
	// has, and until that begins those that count now.
	a1 := s.version(ok, next("agreed", "1.0.0", none, "kim", 1, "lea", 1), "kim")
	work := foldtest.Work(a1)
	g := s.made(ok, s.Agreement(work, "2027-01", none, "kim", 3, "lea", 1), "lea")
	s.version(code(fold.Consent), next("agreed", "1.1.0", a1, "kim", 3, "lea", 1), "kim") // until then lea has half
	a2 := s.version(ok, next("agreed", "1.1.0", a1, "kim", 1, "lea", 1), "kim")           // and from then on more: a version of its own
	named := next("agreed", "1.2.0", a2, "kim", 1, "lea", 1)
	named.Agreement = cjson.CID{Cid: g}
	s.version(code(fold.Consent), named, "kim") // older than 1.1.0, and takes a quarter
	a3 := s.version(ok, named, "kim", "lea")
	s.predicate(ok, s.Period(open), "op3")
	s.version(code(fold.Consent), next("agreed", "1.3.0", a3, "kim", 1), "kim")
	a4 := s.version(ok, next("agreed", "1.3.0", a3, "kim", 3, "lea", 1), "kim") // lea's half is past
	named = next("agreed", "1.4.0", a4, "kim", 1)
	named.Agreement = cjson.CID{Cid: g}
	a5 := s.version(ok, named, "kim") // her part is that of the agreement, which has begun

	// Two that begin later, the older one never: it asks nothing.
	g1 := s.made(ok, s.Agreement(work, "2027-05", g, "kim", 1, "lea", 1), "kim")
	s.version(code(fold.Consent), next("agreed", "1.5.0", a5, "kim", 3, "lea", 1), "kim")
	g2 := s.made(ok, s.Agreement(work, "2027-04", g1, "kim", 3, "lea", 1), "kim", "lea")
	a6 := s.version(ok, next("agreed", "1.5.0", a5, "kim", 3, "lea", 1), "kim")

	// One that is in force, one that is to come: both count.
	g3 := s.made(ok, s.Agreement(work, "2027-03", g2, "kim", 2, "lea", 1), "kim", "lea")
	s.version(code(fold.Consent), next("agreed", "1.6.0", a6, "kim", 3, "lea", 1), "kim")
	named = next("agreed", "1.6.0", a6, "kim", 4, "lea", 1)
	named.Agreement = cjson.CID{Cid: g3}
	s.version(code(fold.Consent), named, "kim")
	named = next("agreed", "1.6.0", a6, "kim", 3, "lea", 1)
	named.Agreement = cjson.CID{Cid: g3}
	s.version(ok, named, "kim")
}
