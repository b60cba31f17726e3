package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A graph is a registry of versions that answers /v1/nodes.
type graph struct {
	order []*wire.Node
	nodes map[string]*wire.Node
}

func (g *graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := g.nodes[strings.TrimPrefix(r.URL.Path, "/v1/nodes/")]
	if n == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err := json.NewEncoder(w).Encode(n); err != nil {
		panic(err)
	}
}

// rulesOf are a version's rules as the fold hands them to the engine.
func rulesOf(n *wire.Node, kind manifests.Kind) *credit.EdgeRules {
	y := asks(n, kind)
	if y == nil {
		return nil
	}
	r := &credit.EdgeRules{RatePpm: uint64(y.RatePpm), Stacking: y.Stacking, FloorPpm: uint64(y.FloorPpm), PoolPpm: uint64(y.PoolPpm)}
	if y.Pool.Defined() {
		r.Pool = y.Pool.String()
	}
	return r
}

// judged is what the fold says of a child with these edges whose sources are
// the versions of asked.
func (g *graph) judged(t *rapid.T, e edges, kind manifests.Kind, asked []*wire.Node) (credit.Edges, credit.EdgeCode) {
	c := credit.Child{Work: "wk:child", SelfWeight: credit.PPM, EdgeTotal: credit.PPM, ShareTotal: 1}
	weights := make(map[string]uint64)
	for _, x := range e.list {
		w, err := strconv.ParseUint(x.Weight, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		weights[x.Statement.String()] = w
		c.SelfWeight -= w
	}
	for _, n := range g.order {
		id := n.Statement.String()
		if weights[id] == 0 && !slices.Contains(asked, n) {
			continue
		}
		p := credit.Parent{Statement: id, Work: n.Work, Weight: weights[id], Rules: rulesOf(n, kind), Depth: n.Depth}
		for _, f := range n.Floors {
			p.Ancestors = append(p.Ancestors, credit.Ancestor{Statement: f.Statement.String(), Work: f.Work, FloorPpm: f.FloorPpm, Eff: f.Eff})
		}
		c.Parents = append(c.Parents, p)
	}
	out, code, err := credit.CheckEdges(c)
	if err != nil {
		t.Fatal(err)
	}
	return out, code
}

// TestEdgesMeetTheRules grows graphs of versions whose terms ask for rates,
// floors and pools, each with the edges that the command finds, and has the
// fold's own rules judge every one. Without floors and pools each edge is
// exactly the rate.
func TestEdgesMeetTheRules(t *testing.T) {
	kind := manifests.KindContribution
	rapid.Check(t, func(t *rapid.T) {
		g := &graph{nodes: make(map[string]*wire.Node)}
		env := &Env{Stderr: new(bytes.Buffer)}
		api := client.New("http://home", client.InProcess(g))
		for i := range rapid.IntRange(2, 12).Draw(t, "versions") {
			n := &wire.Node{Statement: cjson.CID{Cid: cjson.RawCID(fmt.Append(nil, i))}, Work: fmt.Sprint("wk:", i), Name: fmt.Sprint("n", i), Version: "1.0.0", Publisher: "did:key:x", Terms: cjson.CID{Cid: cjson.JSONCID([]byte("{}"))}}
			var asked []*wire.Node
			if len(g.order) > 0 {
				asked = rapid.SliceOfNDistinct(rapid.SampledFrom(g.order), 0, min(4, len(g.order)), func(n *wire.Node) string { return n.Name }).Draw(t, "sources")
			}
			e, err := edgesOf(t, env, api, kind, asked)
			if err != nil && strings.Contains(err.Error(), "more than the whole") {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			out, code := g.judged(t, e, kind, asked)
			if code != "" {
				t.Fatalf("version %d with edges %v: %s", i, e.list, code)
			}
			plain := true
			for _, p := range asked {
				y := asks(p, kind)
				plain = plain && len(p.Floors) == 0 && (y == nil || y.FloorPpm == 0 && y.Stacking == credit.StackSum)
			}
			if plain {
				for _, x := range e.list {
					if want := fmt.Sprint(g.nodes[x.Statement.String()].Rules.Payment.RatePpm); x.Weight != want {
						t.Fatalf("an edge of %s where %s is asked", x.Weight, want)
					}
				}
			}
			n.Depth = out.Depth
			for _, a := range out.Ancestors {
				c, err := cjson.ParseCID(a.Statement)
				if err != nil {
					t.Fatal(err)
				}
				n.Floors = append(n.Floors, wire.Floor{Statement: cjson.CID{Cid: c}, Work: a.Work, FloorPpm: a.FloorPpm, Eff: a.Eff})
			}
			n.Rules = drawRules(t, g)
			g.order, g.nodes[n.Statement.String()] = append(g.order, n), n
		}
	})
}

func edgesOf(t *rapid.T, env *Env, api *client.Client, kind manifests.Kind, asked []*wire.Node) (edges, error) {
	ctx := t.Context()
	e := env.edging(api, kind, "did:key:child", "child")
	for _, p := range asked {
		if err := e.ask(ctx, p.Statement.Cid); err != nil {
			return edges{}, err
		}
	}
	return e.edges(ctx)
}

// drawRules draws what a version asks: nothing, a rate, a rate with a floor, or
// a pool that is there.
func drawRules(t *rapid.T, g *graph) *manifests.Rules {
	y := &manifests.PaymentRules{Stacking: credit.StackSum, ToDerived: rapid.Bool().Draw(t, "toDerived")}
	switch rapid.IntRange(0, 3).Draw(t, "rules") {
	case 0:
		return nil
	case 1:
		y.RatePpm = rapid.Int64Range(0, 200_000).Draw(t, "rate")
	case 2:
		y.RatePpm = rapid.Int64Range(0, 200_000).Draw(t, "rate")
		y.FloorPpm = rapid.Int64Range(0, 50_000).Draw(t, "floor")
	case 3:
		if len(g.order) == 0 {
			return nil
		}
		y.Stacking, y.PoolPpm = credit.StackPool, rapid.Int64Range(1, 50_000).Draw(t, "pool")
		y.Pool = rapid.SampledFrom(g.order).Draw(t, "pool's statement").Statement
	}
	return &manifests.Rules{Payment: y}
}

func TestAmountsAreExactOrRefused(t *testing.T) {
	usd := wire.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}
	for text, want := range map[string]string{"100.07": "10007", "0.5": "50", "7": "700", "0": "0"} {
		if a, err := minorUnits("--amount", text, usd); err != nil || a.String() != want {
			t.Errorf("%s is %s, %v, want %s", text, a, err, want)
		}
	}
	for _, text := range []string{"", "1.005", "1,5", "1e2", "-1", " 1", "1.", ".5", "01"} {
		if a, err := minorUnits("--amount", text, usd); err == nil {
			t.Errorf("%q is %s, want an error", text, a)
		}
	}
}

func TestCurrencies(t *testing.T) {
	const token = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
	for text, want := range map[string]manifests.Currency{
		"USD:2":       {Code: "USD", MinorDigits: 2, FineDigits: 12},
		"JPY:0":       {Code: "JPY", MinorDigits: 0, FineDigits: 12},
		token + ":6":  {Code: token, MinorDigits: 6, FineDigits: 12},
		token + ":18": {Code: token, MinorDigits: 18, FineDigits: 18},
	} {
		if c, err := parseCurrency(text); err != nil || c != want {
			t.Errorf("%s is %v, %v, want %v", text, c, err, want)
		}
	}
	for _, text := range []string{"USD", ":2", "USD:two", "USD:-1"} {
		if c, err := parseCurrency(text); err == nil {
			t.Errorf("%s is %v, want an error", text, c)
		}
	}
}

func TestPaymentsOfAFile(t *testing.T) {
	got, err := readPayments([]byte("\ufeffid,amount,deductions\nin_1,\"1.00\",vat=0.10 fee=0.05\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].id != "in_1" || got[0].amount != "1.00" || !slices.Equal(got[0].deductions, []string{"vat=0.10", "fee=0.05"}) {
		t.Errorf("read %+v", got)
	}
	for _, bad := range []string{"", "id\n", "id,id\na,b\n", "id,price\na,1\n", "id,amount\na\n", "id\n\"a\n"} {
		if p, err := readPayments([]byte(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, p)
		}
	}
}
