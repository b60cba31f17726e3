package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// The abuses of this file are about the graph of versions: its shape, its size and
// the ways through it.

// Sixteen by sixteen copies stand between a work and the model that uses it: 256
// ways. What flows is divided at each version, so that the work gets what it
// would get by a single way of the same rates.
func TestAbusePathInflation(t *testing.T) {
	run := func(copies int) (*court, *credit.Run) {
		c := newCourt(t)
		layer := []cid.Cid{c.work("ana", "work", nil)}
		to := func(rate int) map[cid.Cid]int {
			edges := make(map[cid.Cid]int)
			for _, v := range layer {
				edges[v] = rate / len(layer)
			}
			return edges
		}
		for k, rate := range []int{10_000, 160_000} {
			var next []cid.Cid
			for i := range copies {
				next = append(next, c.work("eve", fmt.Sprint("copy", k, "-", i), to(rate)))
			}
			layer = next
		}
		m := c.Model("lab", "net", "1.0.0")
		foldtest.SetEdges(&m.Edges, &m.SelfWeight, &m.EdgeTotal, to(160_000))
		c.income("k", c.log(ok, m, "lab"), 1_000_000)
		return c, c.close()
	}
	// 16 % of 16 % of 1 %.
	c, one := run(1)
	c.wants("one way", one, "ana", 256*fine)
	c, many := run(16)
	c.wants("256 ways", many, "ana", 256*fine)
	c.wants("the copies", many, "eve", c.credited(one, "eve"))
}

// Shells stand between a work and its users, each of which keeps nearly all. The
// work's floor holds for everything derived from it: the log refuses a version
// from which too little arrives, unless it has an edge to the work itself.
func TestAbuseDilution(t *testing.T) {
	shells := func(c *court, floor int64) (base, shell cid.Cid) {
		v := c.Contribution("ana", "base", "1.0.0")
		v.Rules = pays(50_000, floor)
		base = c.version(ok, v, "ana")
		return base, c.work("eve", "shell", map[cid.Cid]int{base: 50_000})
	}
	c := newCourt(t)
	_, shell := shells(c, 0)
	c.income("k", c.work("eve", "product", map[cid.Cid]int{shell: 50_000}), 1_000_000)
	c.wants("without a floor", c.close(), "ana", 2_500*fine)

	c = newCourt(t)
	base, shell := shells(c, 20_000)
	v := c.Contribution("eve", "product", "1.0.0")
	setEdges(v, map[cid.Cid]int{shell: 50_000})
	c.version(string(fold.Floor), v, "eve")
	v = c.Contribution("eve", "product", "1.0.0")
	setEdges(v, map[cid.Cid]int{shell: 50_000, base: 17_500})
	c.version(string(fold.Underpaid), v, "eve") // who has an edge owes the rate
	product := c.work("eve", "product", map[cid.Cid]int{shell: 50_000, base: 50_000})
	c.income("k", product, 1_000_000)
	c.wants("with a floor", c.close(), "ana", 52_500*fine)

	// A shell over the shell does not get around it.
	v = c.Contribution("eve", "again", "1.0.0")
	setEdges(v, map[cid.Cid]int{product: 300_000})
	c.version(string(fold.Floor), v, "eve")
	c.income("k2", c.work("eve", "again", map[cid.Cid]int{product: 400_000}), 1_000_000)
	c.wants("through the product", c.close(), "ana", 21_000*fine)
}

// Somebody logs versions that cost the readers dearly: with thousands of edges,
// or at the end of a chain without end. Both are bounded when a version is logged.
func TestAbuseFanOutAndDepth(t *testing.T) {
	c := newCourt(t)
	// The edges lead nowhere: what is in bounds fails for that reason.
	list := make([]cid.Cid, credit.MaxEdges+1)
	for i := range list {
		list[i] = foldtest.RawCID(fmt.Sprint("parent ", i))
	}
	all := foldtest.Sorted(list...)
	edges := make(map[cid.Cid]int)
	for _, p := range all[:credit.MaxEdges] {
		edges[p.Cid] = 1
	}
	wide := c.Contribution("eve", "wide", "1.0.0")
	setEdges(wide, edges)
	edge := func(p cjson.CID) string {
		b, err := json.Marshal(manifests.Edge{Statement: p, Weight: "1"})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	st, root := foldtest.Version(wide), foldtest.RawCID("data of wide 1.0.0")
	last, more := edge(all[credit.MaxEdges-1]), edge(all[credit.MaxEdges])
	c.body(string(fold.Malformed), altered(t, st, root, "eve", last, last+","+more,
		wide.SelfWeight, fmt.Sprint(credit.PPM-credit.MaxEdges-1)))
	c.body(string(fold.Reference), altered(t, st, root, "eve", last, more)) // as many as there may be

	v := c.work("ana", "base", nil)
	for i := range credit.MaxDepth - 1 {
		v = c.work("eve", fmt.Sprint("shell-", i), map[cid.Cid]int{v: 999_999})
	}
	deep := c.Contribution("eve", "too-deep", "1.0.0")
	setEdges(deep, map[cid.Cid]int{v: 1})
	c.version(string(fold.Depth), deep, "eve")
	c.income("k", v, 1_000_000)
	if got := c.credited(c.close(), "ana"); got < 999_936*fine || got > 1_000_000*fine {
		t.Errorf("at the end of the longest chain ana is credited %d", got)
	}
}

// Somebody asks for the ways by which money went in a graph that has millions of
// them. An explanation lists the versions on the way, each once, page by page.
func TestAbusePathEnumeration(t *testing.T) {
	const layers, width = 12, 4 // 4^12 ways: 16 million
	c := newCourt(t)
	layer := []cid.Cid{c.work("ana", "work", nil)}
	for k := range layers {
		edges := make(map[cid.Cid]int)
		for _, p := range layer {
			edges[p] = 1_000_000 / width
		}
		if k == 0 {
			edges[layer[0]] = 500_000
		}
		layer = nil
		for i := range width {
			v := c.Contribution("eve", fmt.Sprint("layer-", k, "-", i), "1.0.0")
			setEdges(v, edges)
			layer = append(layer, c.version(ok, v, "eve"))
		}
	}
	edges := make(map[cid.Cid]int)
	for _, p := range layer {
		edges[p] = 250_000
	}
	event := c.income("k", c.work("lab", "top", edges), 1_000_000).String()
	run := c.close()
	l, ana := c.builder.Ledger(), string(foldtest.ID("ana"))
	x, err := l.Explain(ana, event, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := layers*width + 2; len(x.Hops) != want || x.More {
		t.Errorf("%d hops, more: %t, want the %d versions", len(x.Hops), x.More, want)
	}
	if got, _ := x.Amount.Uint64(); got != 500_000*fine || got != c.credited(run, "ana") {
		t.Errorf("the explanation comes to %d, the run to %d", got, c.credited(run, "ana"))
	}
	page, err := l.Explain(ana, event, 10, 5)
	if err != nil || len(page.Hops) != 5 || !page.More || fmt.Sprint(page.Hops) != fmt.Sprint(x.Hops[10:15]) {
		t.Errorf("a page of 5 has %d hops, more: %t, %v", len(page.Hops), page.More, err)
	}
	if _, err := l.Explain(ana, event, 0, credit.MaxHops+1); !errors.Is(err, fault.Invalid) {
		t.Errorf("a page above the limit: %v, want invalid", err)
	}
}

// Somebody registers hundreds of packages that lean on each other and on a work
// that is used, to stand well in the graph. Money comes with a payment that names
// a version, and from there goes up: where a version stands is worth nothing.
func TestAbuseRankFarming(t *testing.T) {
	run := func(spam int) (*court, *credit.Run) {
		c := newCourt(t)
		base := c.work("ana", "base", nil)
		used := c.work("lab", "used", map[cid.Cid]int{base: 100_000})
		last := c.work("eve", "spam", nil)
		for i := range spam {
			last = c.work("eve", fmt.Sprint("spam-", i), map[cid.Cid]int{last: 400_000, base: 1, used: 1})
			if i%32 == 31 { // a new chain, as none may be deeper
				last = used
			}
		}
		r := c.Income("k", used, "1000")
		r.Nonce = "AAAAAAAAAAAAAAAAAAAAAA" // the same statement in both logs
		c.log(ok, r, "op")
		return c, c.close()
	}
	c, honest := run(0)
	c.wants("honest", honest, "ana", 100*fine)
	c, farmed := run(200)
	c.wants("farmed", farmed, "eve", 0)
	if honest.Root() != farmed.Root() {
		t.Error("200 packages change a statement")
	}
}
