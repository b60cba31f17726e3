package credit_test

import (
	"slices"
	"testing"

	"github.com/cairn-registry/cairn/manifests/credit"
)

type dag struct {
	Name      string
	FinePer   string `json:"fine_per_minor"`
	MinPayout uint64 `json:"min_payout_minor"`
	Nodes     []struct {
		ID      string
		Parents map[string]uint64
		Shares  map[string]string
	} `json:"nodes_in_log_order"`
	Inflow map[string]string `json:"inflow_minor"`
	NodeIn map[string]string `json:"node_inflow_fine"`
	Flows  [][3]string       `json:"flows_fine"`
	Kept   map[string]string `json:"node_kept_fine"`
	Lines  [][3]string       `json:"lines_fine"`
	Payees []struct {
		Payee   string
		Credit  string `json:"credit_fine"`
		Payable string `json:"payable_minor"`
		Carry   string `json:"carry_fine"`
	}
}

func period(t testing.TB, s string) credit.Period {
	t.Helper()
	p, err := credit.ParsePeriod(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func weight(t testing.TB, s string) uint64 {
	t.Helper()
	w, ok := amount(t, s).Uint64()
	if !ok {
		t.Fatalf("no weight %s", s)
	}
	return w
}

// ledger returns the case as a Ledger with its first period closed.
func (c *dag) ledger(t testing.TB) (*credit.Ledger, credit.Currency) {
	t.Helper()
	l, err := credit.NewLedger(period(t, "2026-10"))
	must(t, err)
	cur := credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}
	if c.FinePer == "1000000000000" {
		cur = credit.Currency{Code: "JPY", FineDigits: 12}
	}
	must(t, l.AddCurrency(cur))
	for _, v := range c.Nodes {
		n := credit.Node{Statement: v.ID, Work: "wk:" + v.ID, Publisher: "pub", SelfWeight: credit.PPM, EdgeTotal: credit.PPM}
		for p, w := range v.Shares {
			n.Contributors = append(n.Contributors, credit.Weight{Key: p, Weight: weight(t, w)})
			n.Signers = append(n.Signers, p)
			n.Total += weight(t, w)
		}
		for p, w := range v.Parents {
			n.Edges = append(n.Edges, credit.Weight{Key: p, Weight: w})
			n.SelfWeight -= w
		}
		must(t, l.AddNode(n))
	}
	for id, minor := range c.Inflow {
		must(t, l.AddEvent(credit.Event{Statement: "event:" + id, Node: id, Kind: credit.Income, Period: l.Open(), Currency: cur.Code, NetMinor: amount(t, minor), Operator: true}))
	}
	must(t, l.ClosePeriod(l.Open()))
	return l, cur
}

func TestDiamondVectors(t *testing.T) {
	var cases []dag
	readVectors(t, "credit-dag.json", &cases)
	if len(cases) != 2 {
		t.Fatalf("%d cases, want 2", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			l, cur := c.ledger(t)
			run, err := l.Run(l.First(), cur.Code)
			must(t, err)
			nodes := 0
			for n := range run.Nodes() {
				nodes++
				if got := n.Inflow.String(); got != c.NodeIn[n.Statement] {
					t.Errorf("%s: inflow %s, want %s", n.Statement, got, c.NodeIn[n.Statement])
				}
				if got := n.Kept.String(); got != c.Kept[n.Statement] {
					t.Errorf("%s: kept %s, want %s", n.Statement, got, c.Kept[n.Statement])
				}
			}
			if nodes != len(c.NodeIn) {
				t.Errorf("%d nodes, want %d", nodes, len(c.NodeIn))
			}
			var lines [][3]string
			if run.Len() != len(c.Payees) {
				t.Fatalf("%d payees, want %d", run.Len(), len(c.Payees))
			}
			for i, want := range c.Payees {
				s := run.Statement(i)
				minor, carry, err := cur.Payable(s.Close, credit.FromUint64(c.MinPayout))
				must(t, err)
				if s.Payee != want.Payee || s.Credit.String() != want.Credit || minor.String() != want.Payable || carry.String() != want.Carry {
					t.Errorf("got %s %s %s %s, want %v", s.Payee, s.Credit, minor, carry, want)
				}
				for _, line := range s.Lines {
					lines = append(lines, [3]string{line.Statement, s.Payee, line.Amount.String()})
				}
			}
			sortLines(lines)
			want := slices.Clone(c.Lines)
			sortLines(want)
			if !slices.Equal(lines, want) {
				t.Errorf("lines %v, want %v", lines, want)
			}
			// With a single event, explanations give the flows of the run.
			flows := map[[2]string]string{}
			for id := range c.Inflow {
				for _, p := range c.Payees {
					x, err := l.Explain(p.Payee, "event:"+id, 0, 0)
					must(t, err)
					if x.Amount.String() != p.Credit {
						t.Errorf("explained %s to %s, want %s", x.Amount, p.Payee, p.Credit)
					}
					for _, h := range x.Hops {
						for _, e := range h.Edges {
							flows[[2]string{h.Statement, e.Statement}] = e.Amount.String()
						}
					}
				}
			}
			for _, f := range c.Flows {
				if got := flows[[2]string{f[0], f[1]}]; got != f[2] {
					t.Errorf("%s to %s: %s, want %s", f[0], f[1], got, f[2])
				}
			}
			if len(flows) != len(c.Flows) {
				t.Errorf("%d flows, want %d", len(flows), len(c.Flows))
			}
		})
	}
}

func sortLines(ls [][3]string) {
	slices.SortFunc(ls, func(a, b [3]string) int { return slices.Compare(a[:], b[:]) })
}
