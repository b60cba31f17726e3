package foldtest

import (
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/registry/fold"
)

// standing returns an entry of one of the kinds that say what holds of others:
// acceptances, withdrawals, tombstones.
func (g *generator) standing(i int) (b Body) {
	version := g.statements[g.r.IntN(len(g.statements))]
	switch g.r.IntN(6) {
	case 0, 1:
		who := g.person()
		var fetchers []string
		for _, p := range g.people {
			if p != who && g.one(3) {
				fetchers = append(fetchers, p)
			}
		}
		b, _ = g.signed(g.Accept(who, []string{"terms", "other terms"}[g.r.IntN(2)], fetchers...), who)
	case 2, 3:
		who := version.publisher
		if g.one(3) {
			who = g.person() // who may be a contributor, or nobody
		}
		b, _ = g.signed(g.Withdraw(who, version.cid), who)
	default:
		at := g.r.IntN(i)
		t, err := fold.NewTombstone(uint64(at), g.bodies[at].Leaf, g.results[at])
		if err != nil || at == 0 {
			return g.again() // nothing that can be erased
		}
		t.Common = g.Common()
		switch g.r.IntN(8) {
		case 0:
			t.Index++
		case 1:
			t.Verdict, t.Code, t.Effects = string(fold.Rejected), string(fold.Malformed), nil
		case 2:
			t.Reason = manifests.ErasePersonalData
		}
		b, _ = g.signed(t, "op")
	}
	return b
}
