package credittest

import (
	"math/rand/v2"

	"github.com/cairn-registry/cairn/manifests/credit"
)

// BigSeed is the seed of [Big].
const BigSeed = 20261126

// Size is the size of a world for benchmarks.
type Size struct {
	Parties  int
	Versions int
	Depth    int
	Events   int
}

// Full is the size that the engine's figures are about.
var Full = Size{Parties: 1_000_000, Versions: 100_000, Depth: 50, Events: 10_000}

// Times returns a world k times as large, of the same depth.
func (s Size) Times(k int) Size {
	return Size{s.Parties * k, s.Versions * k, s.Depth, s.Events * k}
}

// Counts is what a world of a Size has, and one of its events.
type Counts struct {
	Nodes, Edges, Shares, Events int

	Event string
}

// Big returns a Ledger of a size, with one closed period and revenue in USD: the
// same for every seed on every machine. Versions stand in Depth layers; each but
// those of the first has 1 to 5 parents, one of them in the layer before, and 1
// to 61 contributors, all of whom have signed.
func Big(seed uint64, s Size) (*credit.Ledger, Counts, error) {
	rng := rand.New(rand.NewPCG(seed, 0x626967))
	first, _ := credit.ParsePeriod("2026-10")
	l, err := credit.NewLedger(first)
	if err != nil {
		return nil, Counts{}, err
	}
	if err := l.AddCurrency(credit.Currency{Code: "USD", MinorDigits: 2, FineDigits: 12}); err != nil {
		return nil, Counts{}, err
	}
	parties := make([]string, s.Parties)
	for i := range parties {
		parties[i] = "did:key:z6Mk" + text(rng, 44, base58)
	}
	ids := make([]string, s.Versions)
	var c Counts
	for i := range ids {
		ids[i] = "bafkrei" + text(rng, 52, base32)
		n := credit.Node{Statement: ids[i], Work: "wk:" + ids[i], Publisher: parties[rng.IntN(s.Parties)]}
		if layer := i * s.Depth / s.Versions; layer > 0 {
			from, to := layerStart(layer-1, s), layerStart(layer, s)
			n.SelfWeight, n.EdgeTotal = credit.PPM, credit.PPM
			seen := map[int]bool{}
			for k := range 1 + rng.IntN(5) {
				p := rng.IntN(to)
				if k == 0 {
					p = from + rng.IntN(to-from)
				}
				if seen[p] {
					continue
				}
				seen[p] = true
				w := uint64(10_000 * (1 + rng.IntN(15)))
				n.SelfWeight -= w
				n.Edges = append(n.Edges, credit.Weight{Key: ids[p], Weight: w})
			}
		}
		seen := map[int]bool{}
		for range 1 + rng.IntN(61) {
			p := rng.IntN(s.Parties)
			if seen[p] {
				continue
			}
			seen[p] = true
			w := uint64(1 + rng.IntN(100))
			n.Contributors = append(n.Contributors, credit.Weight{Key: parties[p], Weight: w})
			n.Signers = append(n.Signers, parties[p])
			n.Total += w
		}
		if err := l.AddNode(n); err != nil {
			return nil, Counts{}, err
		}
		c.Nodes++
		c.Edges += len(n.Edges)
		c.Shares += len(n.Contributors)
	}
	for i := range s.Events {
		e := credit.Event{
			Statement: "bafkrei" + text(rng, 52, base32), Node: ids[rng.IntN(s.Versions)], Kind: credit.Income, Period: first, Currency: "USD",
			NetMinor: credit.FromUint64(uint64(100 + rng.IntN(5_000_000))), Operator: true,
		}
		if err := l.AddEvent(e); err != nil {
			return nil, Counts{}, err
		}
		if i == 0 {
			c.Event = e.Statement
		}
		c.Events++
	}
	return l, c, l.ClosePeriod(first)
}

// layerStart returns the first version of a layer.
func layerStart(layer int, s Size) int { return (layer*s.Versions + s.Depth - 1) / s.Depth }

const (
	base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	base32 = "abcdefghijklmnopqrstuvwxyz234567"
)

func text(rng *rand.Rand, n int, alphabet string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return string(b)
}
