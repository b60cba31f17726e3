package ledger_test

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
)

// TestWithdrawalInTheBooks: from the period after a withdrawal on, what the
// version keeps goes where its rules say; what flows on to its parents does not
// change, and a contributor's flag moves nothing.
func TestWithdrawalInTheBooks(t *testing.T) {
	const fine = 10_000_000_000 // of a minor unit
	for onWithdraw, want := range map[string]struct{ author, pool uint64 }{
		"":     {90 * fine, 0},
		"keep": {90 * fine, 0},
		"hold": {0, 0},
		"pool": {0, 90 * fine},
	} {
		t.Run("on withdraw "+onWithdraw, func(t *testing.T) {
			c := newCourt(t)
			base := c.work("bea", "base", nil)
			pool := c.work("pia", "pool", nil)
			v := c.Contribution("ana", "talks", "1.0.0")
			setEdges(v, map[cid.Cid]int{base: 100_000})
			if onWithdraw != "" {
				v.Rules = &manifests.Rules{OnWithdraw: onWithdraw, Payment: &manifests.PaymentRules{
					RatePpm: 0, Stacking: credit.StackSum, Pool: cjson.CID{Cid: pool}, PoolPpm: 1,
				}}
			}
			v.Contributors = append(v.Contributors, manifests.Share{ID: c.Contribution("cem", "x", "1.0.0").Publisher, Weight: "1"})
			v.Total = "2"
			talks := c.version(ok, v, "ana", "cem")

			c.log(ok, c.Withdraw("cem", talks), "cem")
			c.income("flag", talks, 100)
			c.wants("flagged", c.close(), "ana", 45*fine)

			c.log(ok, c.Withdraw("ana", talks), "ana")
			c.income("same", talks, 100)
			c.wants("in the period of the withdrawal", c.close(), "ana", 45*fine)

			c.log(ok, c.Withdraw("ana", talks), "ana") // a second one changes nothing
			c.income("after", talks, 100)
			run := c.close()
			c.wants("after it", run, "ana", want.author/2)
			c.wants("after it", run, "cem", want.author/2)
			c.wants("after it", run, "pia", want.pool)
			c.wants("after it", run, "bea", 10*fine)
		})
	}
}
