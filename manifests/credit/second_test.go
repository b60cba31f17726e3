package credit_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
)

// second runs the engine of testdata/second, which was written from FORMAT.md
// alone, over worlds, and returns a line for each: the result digest and the
// digest of the trees, or "refused".
func second(t *testing.T, worlds []*credittest.World) []string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("NOT RUN: there is no node on this machine, and the second engine needs it")
	}
	var in, stderr bytes.Buffer
	for _, w := range worlds {
		in.Write(bytes.ReplaceAll(w.Write(), []byte("\n"), nil))
		in.WriteByte('\n')
	}
	cmd := exec.CommandContext(t.Context(), node, "testdata/second/credit.mjs", "--trees")
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if stderr.Len() > 0 || len(lines) != len(worlds) {
		t.Fatalf("node: %v, %d lines for %d worlds, %s", err, len(lines), len(worlds), &stderr)
	}
	return lines
}

// first returns the line of [second] for the engine of this package.
func first(t *testing.T, w *credittest.World) string {
	t.Helper()
	l, err := w.Ledger()
	if err != nil {
		return "refused " + err.Error()
	}
	digest, err := l.Digest()
	must(t, err)
	trees := sha256.New()
	var runners []*credit.Runner
	for _, c := range l.Currencies() {
		r, err := l.Runner(c.Code)
		must(t, err)
		runners = append(runners, r)
	}
	for p := l.First(); p < l.Open(); p++ {
		for _, r := range runners {
			run, err := r.Next()
			must(t, err)
			if a := run.Allocation(); a.PayeeStatements.N > 0 || a.Events.N > 0 {
				fmt.Fprintf(trees, "%s %s %x %x %x %s %s\n", p, a.Currency, a.PayeeStatements.Root, a.Events.Root, a.Nodes.Root, a.InFine, a.HeldFine)
			}
		}
	}
	return fmt.Sprintf("%x %x", digest, trees.Sum(nil))
}

// sameLine holds the two engines to each other. Both may refuse a world, each for
// a reason in its own words.
func sameLine(t *testing.T, of string, one, two string) bool {
	t.Helper()
	if one == two || strings.HasPrefix(one, "refused ") && strings.HasPrefix(two, "refused ") {
		return true
	}
	t.Errorf("%s: the engine gives %s, the second %s", of, one, two)
	return false
}

// TestSecondEngine: what cairn credits is what a stranger's engine credits, who
// had only FORMAT.md to go by.
func TestSecondEngine(t *testing.T) {
	n := 200
	if os.Getenv("CAIRN_BIG") != "" {
		n = 1000
	}
	var worlds []*credittest.World
	for seed := range n {
		worlds = append(worlds, credittest.Random(uint64(seed), credittest.Options{Token: true}))
	}
	seen := map[string]int{}
	for i, two := range second(t, worlds) {
		one := first(t, worlds[i])
		if strings.HasPrefix(one, "refused ") {
			t.Fatalf("seed %d: %s", i, one)
		}
		sameLine(t, fmt.Sprintf("seed %d", i), one, two)
		if i < 200 {
			count(t, worlds[i], seen)
		}
	}
	for _, what := range occurrences {
		if seen[what] < 5 {
			t.Errorf("%s: %d in 200 worlds", what, seen[what])
		}
	}
	for what := range seen {
		if !slices.Contains(occurrences, what) {
			t.Errorf("%s is counted and not asked for", what)
		}
	}
}

// occurrences are what the random worlds must have for their digests to say much.
var occurrences = []string{
	"income in USD", "income in JPY", "income in " + credittest.TokenCode, "income gross", "income upstream-only",
	"income late", "income declared", "income declared, settled", "income declared, settled late",
	"receipt", "refund", "chargeback", "refund of declared",
	"agreement complete", "agreement pending", "agreement completed later", "agreement superseding", "agreement retroactive",
	"agreement named by a node", "agreement out of turn",
	"contributor unsigned", "sign later", "hold", "release", "dismiss", "reallocate",
	"payout", "payout returned", "withdraw keep", "withdraw hold", "withdraw pool", "withdraw pool, kept before",
	"line credited", "line held", "line retained", "line negative", "line agreed", "line of two passes",
	"move released", "move reallocated", "move forfeited", "move negative", "close negative", "held negative",
}

// count adds what stands in w and what comes of it to seen.
func count(t *testing.T, w *credittest.World, seen map[string]int) {
	t.Helper()
	l, err := credit.NewLedger(w.FirstPeriod)
	must(t, err)
	nodes, incomes, pending := map[string]credittest.Op{}, map[string]credittest.Op{}, map[string]bool{}
	for _, op := range w.Log {
		must(t, op.Apply(l))
		switch op.Op {
		case "node":
			nodes[op.Statement] = op
			if op.Agreement != "" {
				seen["agreement named by a node"]++
			}
			if len(op.Signers) < len(op.Contributors) {
				seen["contributor unsigned"]++
			}
		case "sign":
			if _, ok := nodes[op.Statement]; ok {
				seen["sign later"]++
			} else if done, from, _ := l.AgreementState(op.Statement); done && pending[op.Statement] {
				delete(pending, op.Statement)
				if from != 0 {
					seen["agreement completed later"]++
				} else {
					seen["agreement out of turn"]++
				}
			}
		case "agreement":
			done, from, _ := l.AgreementState(op.Statement)
			switch {
			case !done:
				seen["agreement pending"]++
				pending[op.Statement] = true
			case from == 0:
				seen["agreement out of turn"]++
			default:
				seen["agreement complete"]++
				if op.Supersedes != "" {
					seen["agreement superseding"]++
				}
				if op.Retroactive {
					seen["agreement retroactive"]++
				}
			}
		case "event":
			countEvent(l, op, incomes, seen)
		case "resolution":
			seen[op.Ruling]++
		case "payout":
			seen["payout"]++
		case "payoutResult":
			if op.Returned {
				seen["payout returned"]++
			}
		case "withdraw":
			seen["withdraw "+cmp.Or(nodes[op.Statement].OnWithdraw, "keep")]++
		}
	}
	for id, op := range incomes {
		if p, counts, err := l.Counts(id); err == nil && counts && !op.Operator {
			seen["income declared, settled"]++
			if p > *op.Period {
				seen["income declared, settled late"]++
			}
		}
	}
	for _, c := range l.Currencies() {
		r, err := l.Runner(c.Code)
		must(t, err)
		for range l.Open() - l.First() {
			run, err := r.Next()
			must(t, err)
			countRun(run, nodes, seen)
		}
	}
}

func countEvent(l *credit.Ledger, op credittest.Op, incomes map[string]credittest.Op, seen map[string]int) {
	if op.Kind != "income" {
		seen[op.Kind]++
		if op.Kind != "receipt" && !incomes[op.Of].Operator {
			seen["refund of declared"]++
		}
		return
	}
	incomes[op.Statement] = op
	seen["income in "+op.Currency]++
	seen["income "+op.Settlement]++
	if *op.Period < l.Open() {
		seen["income late"]++
	}
	if !op.Operator {
		seen["income declared"]++
	}
}

func countRun(run *credit.Run, nodes map[string]credittest.Op, seen map[string]int) {
	for n := range run.Nodes() {
		if nodes[n.Statement].OnWithdraw == "pool" && n.Kept.IsZero() && !n.Up.IsZero() {
			seen["withdraw pool, kept before"]++
		}
	}
	negative := map[string]bool{}
	for e := range run.Events() {
		if e.Fine.Sign() < 0 {
			negative[e.Node+e.Snapshot.String()] = true
		}
	}
	for e := range run.Events() {
		if e.Fine.Sign() > 0 && negative[e.Node+e.Snapshot.String()] {
			seen["line of two passes"]++
		}
	}
	for i := range run.Len() {
		s := run.Statement(i)
		for _, line := range s.Lines {
			seen["line "+cmp.Or(string(line.State), "credited")]++
			if line.Amount.Sign() < 0 {
				seen["line negative"]++
			}
			if !slices.ContainsFunc(nodes[line.Statement].Contributors, func(c credittest.Share) bool { return c.ID == s.Payee }) {
				seen["line agreed"]++
			}
		}
		for _, m := range s.Moves {
			seen["move "+string(m.Kind)]++
			if m.Amount.Sign() < 0 {
				seen["move negative"]++
			}
		}
		if s.Close.Sign() < 0 {
			seen["close negative"]++
		}
		if s.Held.Sign() < 0 {
			seen["held negative"]++
		}
	}
}

// TestSecondEngineGolden: twenty worlds in files give the digests beside them in
// both engines, for ever.
func TestSecondEngineGolden(t *testing.T) {
	const dir, digests = "testdata/second/worlds", "testdata/second/worlds/digests.txt"
	if *update {
		var all strings.Builder
		for i := range 20 {
			w := credittest.Random(uint64(9000+i), credittest.Options{Parties: 5, Entries: 27, Months: 3, Token: true})
			name := fmt.Sprintf("%02d.json", i)
			must(t, os.WriteFile(filepath.Join(dir, name), w.Write(), 0o644))
			fmt.Fprintf(&all, "%s %s\n", name, first(t, w))
		}
		must(t, os.WriteFile(digests, []byte(all.String()), 0o644))
	}
	b, err := os.ReadFile(digests)
	must(t, err)
	var names, want []string
	var worlds []*credittest.World
	for line := range strings.Lines(string(b)) {
		name, digest, _ := strings.Cut(strings.TrimSpace(line), " ")
		file, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		w, err := credittest.Read(file)
		must(t, err)
		names, want, worlds = append(names, name), append(want, digest), append(worlds, w)
	}
	if len(worlds) != 20 {
		t.Fatalf("%d worlds, want 20", len(worlds))
	}
	for i, w := range worlds {
		if got := first(t, w); got != want[i] {
			t.Errorf("%s: the engine gives %s, want %s", names[i], got, want[i])
		}
	}
	for i, got := range second(t, worlds) {
		if got != want[i] {
			t.Errorf("%s: the second engine gives %s, want %s", names[i], got, want[i])
		}
	}
}

// TestSecondEngineSeesAnInteger: one integer more in a world is another digest,
// and the same one in both engines.
func TestSecondEngineSeesAnInteger(t *testing.T) {
	one := credit.FromUint64(1)
	var names []string
	var worlds, before []*credittest.World
	for seed := range uint64(4) {
		w := credittest.Random(seed, credittest.Options{Token: true})
		returned := map[string]bool{} // payouts that may have moved nothing
		for _, op := range w.Log {
			if op.Returned {
				returned[op.Payout] = true
			}
		}
		for i, op := range w.Log {
			m := clone(w)
			switch {
			case op.Op == "event" && op.Kind == "income" && op.Operator:
				v, err := op.NetMinor.Add(one)
				must(t, err)
				m.Log[i].NetMinor = &v
			case op.Op == "payout" && !returned[op.Statement]:
				v, err := op.Lines[0].AmountMinor.Add(one)
				must(t, err)
				m.Log[i].Lines = slices.Clone(op.Lines)
				m.Log[i].Lines[0].AmountMinor = v
			default:
				continue
			}
			names = append(names, fmt.Sprintf("seed %d, entry %d, %s", seed, i, op.Op))
			worlds, before = append(worlds, m), append(before, w)
		}
	}
	if len(worlds) < 40 {
		t.Fatalf("%d changed worlds", len(worlds))
	}
	was := second(t, before)
	for i, two := range second(t, worlds) {
		got := first(t, worlds[i])
		sameLine(t, names[i], got, two)
		if strings.HasPrefix(got, "refused ") || got[:64] == first(t, before[i])[:64] || two[:64] == was[i][:64] {
			t.Errorf("%s: one more makes no difference", names[i])
		}
	}
}

// TestSecondEngineRefuses: worlds with a flaw are refused by both engines, or
// mean the same to both.
func TestSecondEngineRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0x7365636f6e64))
	var worlds []*credittest.World
	var names []string
	for seed := range uint64(300) {
		w := credittest.Random(seed, credittest.Options{Entries: 60, Months: 3, Token: true})
		i := rng.IntN(len(w.Log))
		flaw := ""
		w.Log[i], flaw = flawed(rng, w.Log[i])
		if flaw == "gone" {
			w.Log = slices.Delete(w.Log, i, i+1)
		}
		worlds = append(worlds, w)
		names = append(names, fmt.Sprintf("seed %d, entry %d: %s", seed, i, flaw))
	}
	refused := 0
	for i, two := range second(t, worlds) {
		one := first(t, worlds[i])
		if !sameLine(t, names[i], one, two) {
			continue
		}
		if strings.HasPrefix(one, "refused ") {
			refused++
		}
	}
	if refused < 50 || refused > 250 {
		t.Errorf("%d of 300 worlds were refused: the flaws say little", refused)
	}
}

func clone(w *credittest.World) *credittest.World {
	c := *w
	c.Log = slices.Clone(w.Log)
	return &c
}

// flawed returns op with one member changed, and the name of the change; gone
// asks to leave op out.
func flawed(rng *rand.Rand, op credittest.Op) (credittest.Op, string) {
	type change struct {
		name string
		do   func()
	}
	changes := []change{
		{"gone", func() {}}, {"gone", func() {}},
		{"total", func() { op.Total++ }},
		{"selfWeight", func() { op.SelfWeight++ }},
		{"statement", func() { op.Statement += "x" }},
		{"party", func() { op.Party += "x" }},
		{"supersedes", func() { op.Supersedes = "" }},
		{"retroactive", func() { op.Retroactive = !op.Retroactive }},
		{"operator", func() { op.Operator = !op.Operator }},
		{"index", func() { op.Index++ }},
		{"of", func() { op.Of = "" }},
		{"minorDigits", func() { op.MinorDigits++ }},
		{"signers", func() { op.Signers = append(slices.Clone(op.Signers), "x") }},
		{"required", func() { op.Required = append(slices.Clone(op.Required), "x") }},
		{"agreement", func() { op.Agreement = "x" }},
		{"onWithdraw", func() { op.OnWithdraw = "pool" }},
		{"publisher", func() { op.Publisher = "" }},
		{"work", func() { op.Work = "x" }},
		{"settlement", func() { op.Settlement = "net" }},
		{"node", func() { op.Node = "x" }},
		{"currency", func() { op.Currency = "EUR" }},
		{"ruling", func() { op.Ruling = "reallocate" }},
	}
	if op.Period != nil {
		changes = append(changes, change{"period", func() { p := *op.Period + 1; op.Period = &p }})
	}
	if op.EffectivePeriod != nil {
		changes = append(changes, change{"effectivePeriod", func() { p := *op.EffectivePeriod - 1; op.EffectivePeriod = &p }})
	}
	was := fmt.Sprintf("%+v", op)
	for {
		before := op
		c := changes[rng.IntN(len(changes))]
		c.do()
		if c.name == "gone" {
			return op, c.name
		}
		if relevant(before, c.name) && fmt.Sprintf("%+v", op) != was {
			return op, before.Op + " " + c.name
		}
		op = before
	}
}

// relevant reports whether an effect has the member.
func relevant(op credittest.Op, member string) bool {
	members := map[string]string{
		"currency":     "minorDigits",
		"close":        "period",
		"node":         "statement work publisher total selfWeight signers agreement onWithdraw",
		"sign":         "statement party",
		"withdraw":     "statement",
		"agreement":    "statement work effectivePeriod retroactive supersedes total required signers",
		"event":        "statement node period currency settlement operator of",
		"resolution":   "statement node ruling total",
		"payout":       "statement currency",
		"payoutResult": "index",
	}
	return slices.Contains(strings.Fields(members[op.Op]), member)
}

// TestSecondEngineAdjusts posts what retroactive agreements change into random
// worlds: all that are in force, for every closed period and currency, some twice.
func TestSecondEngineAdjusts(t *testing.T) {
	var worlds []*credittest.World
	adjusted := 0
	for seed := range uint64(60) {
		w := credittest.Random(seed, credittest.Options{Token: true})
		l, err := credit.NewLedger(w.FirstPeriod)
		must(t, err)
		log := w.Log
		w.Log = nil
		n := 0
		add := func(op credittest.Op) bool {
			if op.Apply(l) != nil {
				return false
			}
			w.Log = append(w.Log, op)
			return true
		}
		for _, op := range log {
			if !add(op) {
				t.Fatalf("seed %d: %s does not go with adjustments", seed, op.Op)
			}
			if op.Op != "close" || *op.Period == w.FirstPeriod+5 {
				continue
			}
			for _, a := range log {
				if a.Op != "agreement" || !a.Retroactive {
					continue
				}
				for p := w.FirstPeriod; p < l.Open(); p++ {
					for _, c := range l.Currencies() {
						n++
						add(credittest.Op{Op: "adjustment", Statement: fmt.Sprintf("adjustment-%d", n), Period: &p, Currency: c.Code, Agreement: a.Statement})
					}
				}
			}
		}
		worlds = append(worlds, w)
		r, err := l.Runner("USD")
		must(t, err)
		for p := l.First(); p < l.Open(); p++ {
			run, err := r.Next()
			must(t, err)
			for i := range run.Len() {
				for _, m := range run.Statement(i).Moves {
					if m.Kind == credit.Adjusted {
						adjusted++
					}
				}
			}
		}
	}
	if adjusted < 50 {
		t.Errorf("%d moves were adjusted: the worlds show little", adjusted)
	}
	for i, two := range second(t, worlds) {
		sameLine(t, fmt.Sprintf("seed %d", i), first(t, worlds[i]), two)
	}
}
