package payfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
)

type standardVector struct {
	Total, Root string
	Dump        json.RawMessage
	DumpKeccak  string `json:"dump_tree_keccak"`
	Values      [][2]string
	Leaves      []string
	Payees      []struct {
		Index     int
		Address   string
		Amount    string
		Leaf      string
		TreeIndex int
		Proof     []string
	}
}

func TestStandardVectors(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 7, 1000} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			var v standardVector
			readJSON(t, fmt.Sprintf("oz-standard-%d.json", n), &v)
			if n != 1000 { // the samples are all there is
				for i := range v.Payees {
					v.Payees[i].Index = i
					v.Values = append(v.Values, [2]string{v.Payees[i].Address, v.Payees[i].Amount})
				}
			}
			var lines []payfile.Line
			for i, value := range v.Values {
				lines = append(lines, payfile.Line{Payee: payee(i), Amount: amount(t, value[1]), To: payfile.Destination{Account: value[0]}})
			}
			if len(lines) != n || len(v.Payees) == 0 {
				t.Fatalf("the vector has %d values and %d payees", len(lines), len(v.Payees))
			}
			tree, err := payfile.NewStandardTree(lines)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(tree.Root()); got != v.Root {
				t.Errorf("the root is %s, want %s", got, v.Root)
			}
			if got := tree.Total().String(); got != v.Total {
				t.Errorf("the total is %s, want %s", got, v.Total)
			}
			nodes := tree.Nodes()
			for i, leaf := range v.Leaves {
				if got := text(eth.Hash(nodes[tree.LeafIndex(i)])); got != leaf {
					t.Errorf("leaf %d is %s, want %s", i, got, leaf)
				}
			}
			for _, p := range v.Payees {
				if tree.LeafIndex(p.Index) != p.TreeIndex || text(eth.Hash(nodes[p.TreeIndex])) != p.Leaf {
					t.Errorf("payee %d: leaf at %d, want %d", p.Index, tree.LeafIndex(p.Index), p.TreeIndex)
				}
				var want []eth.Hash
				for _, s := range p.Proof {
					want = append(want, hash(t, s))
				}
				if got := tree.Proof(p.Index); !slices.Equal(got, want) {
					t.Errorf("payee %d: the proof is %x, want %x", p.Index, got, want)
				}
				a, err := eth.ParseAddress(p.Address)
				if err != nil {
					t.Fatal(err)
				}
				if err := payfile.VerifyStandard(hash(t, v.Root), a, amount(t, p.Amount), want); err != nil {
					t.Errorf("payee %d: %v", p.Index, err)
				}
			}
			dump := written(t, tree)
			if v.Dump != nil {
				var want bytes.Buffer
				if err := json.Compact(&want, v.Dump); err != nil {
					t.Fatal(err)
				}
				if dump != want.String() {
					t.Errorf("the dump is\n%s\nwant\n%s", dump, want.String())
				}
			} else if got := text(eth.Keccak256(nodes...)); got != v.DumpKeccak {
				t.Errorf("the nodes hash to %s, want %s", got, v.DumpKeccak)
			}
			again, err := payfile.LoadStandardTree(strings.NewReader(dump))
			if err != nil {
				t.Fatal(err)
			}
			if written(t, again) != dump || again.Total() != tree.Total() || again.Len() != n {
				t.Error("the dump does not load to itself")
			}
		})
	}
}

func TestUniswapVectors(t *testing.T) {
	for _, n := range []int{1, 5} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			var v struct {
				Input       map[string]string
				Distributor json.RawMessage
			}
			readJSON(t, fmt.Sprintf("uniswap-%d.json", n), &v)
			var lines []payfile.Line
			for a, units := range v.Input { // in any order
				lines = append(lines, payfile.Line{Payee: payee(len(lines)), Amount: amount(t, units), To: payfile.Destination{Account: a}})
			}
			if len(lines) != n {
				t.Fatalf("the vector has %d lines", len(lines))
			}
			d, err := payfile.NewDistributor(lines)
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := json.Compact(&want, v.Distributor); err != nil {
				t.Fatal(err)
			}
			if got := written(t, d); got != want.String() {
				t.Errorf("the file is\n%s\nwant\n%s", got, want.String())
			}
		})
	}
}

func TestConfigurationVectors(t *testing.T) {
	var v struct {
		Splits struct {
			Split json.RawMessage
			ABI   string `json:"abi_encoded"`
			Hash  string `json:"split_hash"`
		} `json:"splits_v2"`
		Drips struct {
			Receivers json.RawMessage
			ABI       string `json:"abi_encoded"`
			Hash      string `json:"splits_hash"`
		} `json:"drips_splits"`
	}
	readJSON(t, "misc.json", &v)

	var split struct {
		Recipients, Allocations []string
		DistributionIncentive   uint16
	}
	parse(t, string(v.Splits.Split), &split)
	var lines []payfile.Line
	for i, r := range split.Recipients {
		lines = append(lines, payfile.Line{Payee: payee(i), Amount: amount(t, split.Allocations[i]), To: payfile.Destination{Account: r}})
	}
	s := must(payfile.NewSplit(lines, split.DistributionIncentive))(t)
	if got := fmt.Sprintf("0x%x", payfile.SplitABI(s)); got != v.Splits.ABI {
		t.Errorf("the split encodes to %s, want %s", got, v.Splits.ABI)
	}
	if got := text(s.Hash()); got != v.Splits.Hash {
		t.Errorf("the split's hash is %s, want %s", got, v.Splits.Hash)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, v.Splits.Split); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSuffix(compact.String(), "}") + `,"splitHash":"` + v.Splits.Hash + `"}`
	if got := written(t, s); got != want {
		t.Errorf("the split is %s, want %s", got, want)
	}

	var receivers []struct {
		AccountID string
		Weight    uint64
	}
	parse(t, string(v.Drips.Receivers), &receivers)
	lines = nil
	for i, r := range receivers {
		lines = append(lines, payfile.Line{Payee: payee(i), Amount: credit.FromUint64(r.Weight), To: payfile.Destination{Account: r.AccountID}})
	}
	slices.Reverse(lines) // the order does not matter
	d := must(payfile.NewDrips(lines))(t)
	if got := fmt.Sprintf("0x%x", payfile.DripsABI(d)); got != v.Drips.ABI {
		t.Errorf("the receivers encode to %s, want %s", got, v.Drips.ABI)
	}
	if got := text(d.Hash()); got != v.Drips.Hash {
		t.Errorf("the receivers' hash is %s, want %s", got, v.Drips.Hash)
	}
	compact.Reset()
	if err := json.Compact(&compact, v.Drips.Receivers); err != nil {
		t.Fatal(err)
	}
	want = `{"receivers":` + compact.String() + `,"splitsHash":"` + v.Drips.Hash + `"}`
	if got := written(t, d); got != want {
		t.Errorf("the receivers are %s, want %s", got, want)
	}
}

// The laws of both trees: every proof holds; whatever is changed, it does not;
// the order of the lines changes neither root nor proof.
func TestTreeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLines(t, 40, 1<<63, drawWallet)
		shuffled := rapid.Permutation(lines).Draw(t, "order")
		tree, other := must(payfile.NewStandardTree(lines))(t), must(payfile.NewStandardTree(shuffled))(t)
		dist, otherDist := must(payfile.NewDistributor(lines))(t), must(payfile.NewDistributor(shuffled))(t)
		if tree.Root() != other.Root() {
			t.Fatalf("the order of the lines changes the root")
		}
		if written(t, dist) != written(t, otherDist) {
			t.Fatalf("the order of the lines changes the claims")
		}
		if tree.Root() == dist.Root() {
			t.Fatalf("the two trees have one root")
		}
		where := map[eth.Address]int{}
		for i := range shuffled {
			a, _ := other.Value(i)
			where[a] = i
		}
		for i := range lines {
			a, units := tree.Value(i)
			proof := tree.Proof(i)
			if units != lines[i].Amount || !strings.EqualFold(a.Lower(), lines[i].To.Account) {
				t.Fatalf("line %d became %s %s", i, a, units)
			}
			if err := payfile.VerifyStandard(tree.Root(), a, units, proof); err != nil {
				t.Fatalf("line %d: %v", i, err)
			}
			if !slices.Equal(proof, other.Proof(where[a])) {
				t.Fatalf("the order of the lines changes the proof of %s", a)
			}
			c := dist.Claim(i)
			if err := payfile.VerifyClaim(dist.Root(), c, dist.Proof(i)); err != nil {
				t.Fatalf("claim %d: %v", i, err)
			}
		}
		// One byte of one thing is changed.
		i := rapid.IntRange(0, len(lines)-1).Draw(t, "which")
		bit := byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
		a, units := tree.Value(i)
		root, proof := tree.Root(), tree.Proof(i)
		claim, claimRoot, claimProof := dist.Claim(i), dist.Root(), dist.Proof(i)
		more, err := units.Add(credit.FromUint64(uint64(bit)))
		if err != nil {
			t.Fatal(err)
		}
		what := rapid.SampledFrom([]string{"root", "address", "amount", "proof", "longer", "shorter"}).Draw(t, "what")
		at := rapid.IntRange(0, 19).Draw(t, "byte")
		switch what {
		case "root":
			root[at] ^= bit
			claimRoot[at] ^= bit
		case "address":
			a[at] ^= bit
			claim.Address[at] ^= bit
		case "amount":
			units, claim.Amount = more, more
		case "longer":
			proof, claimProof = append(proof, eth.Hash{bit}), append(claimProof, eth.Hash{bit})
		default:
			if len(proof) == 0 || len(claimProof) == 0 {
				return
			}
			if what == "shorter" {
				proof, claimProof = proof[1:], claimProof[1:]
			} else {
				proof[at%len(proof)][at] ^= bit
				claimProof[at%len(claimProof)][at] ^= bit
			}
		}
		if err := payfile.VerifyStandard(root, a, units, proof); !errors.Is(err, fault.Unverified) {
			t.Fatalf("with %s changed: %v, want unverified", what, err)
		}
		if err := payfile.VerifyClaim(claimRoot, claim, claimProof); !errors.Is(err, fault.Unverified) {
			t.Fatalf("claim with %s changed: %v, want unverified", what, err)
		}
	})
}

func TestVerifyRefusesNegativeAndEndless(t *testing.T) {
	var a eth.Address
	minus := credit.FromInt64(-1)
	for name, err := range map[string]error{
		"amount":       payfile.VerifyStandard(eth.Hash{}, a, minus, nil),
		"long":         payfile.VerifyStandard(eth.Hash{}, a, credit.FromUint64(1), make([]eth.Hash, payfile.MaxProof+1)),
		"claim amount": payfile.VerifyClaim(eth.Hash{}, payfile.Claim{Amount: minus}, nil),
		"claim index":  payfile.VerifyClaim(eth.Hash{}, payfile.Claim{Index: -1}, nil),
		"long claim":   payfile.VerifyClaim(eth.Hash{}, payfile.Claim{}, make([]eth.Hash, payfile.MaxProof+1)),
	} {
		if !errors.Is(err, fault.Unverified) {
			t.Errorf("%s: %v, want unverified", name, err)
		}
	}
}

// An inner node has 64 bytes under its hash, as a leaf has under the first of
// its two: the second hash keeps a node from being claimed as a value.
func TestInnerNodeIsNoLeaf(t *testing.T) {
	lines := manyWallets(4)
	tree := must(payfile.NewStandardTree(lines))(t)
	nodes := tree.Nodes()
	a, units := eth.Address(nodes[3][12:]), credit.Amount{}
	if err := payfile.VerifyStandard(tree.Root(), a, units, []eth.Hash{eth.Hash(nodes[2])}); !errors.Is(err, fault.Unverified) {
		t.Errorf("%v, want unverified", err)
	}
}

func manyWallets(n int) []payfile.Line {
	r := rand.New(rand.NewPCG(1, 2))
	lines := make([]payfile.Line, n)
	for i := range lines {
		var a eth.Address
		for j := range a {
			a[j] = byte(r.Uint32())
		}
		lines[i] = payfile.Line{Payee: payee(i), Amount: credit.FromUint64(r.Uint64()>>1 + 1), To: payfile.Destination{Account: a.Lower()}}
	}
	return lines
}

// Work that is divided among goroutines gives what one goroutine gives.
func TestLargeTreesDoNotDependOnTheCut(t *testing.T) {
	lines := manyWallets(20_011)
	var roots [2][2]eth.Hash
	for i, procs := range []int{1, 4} {
		withProcs(procs, func() {
			roots[i] = [2]eth.Hash{must(payfile.NewStandardTree(lines))(t).Root(), must(payfile.NewDistributor(lines))(t).Root()}
		})
	}
	if roots[0] != roots[1] {
		t.Errorf("one goroutine makes %x, several %x", roots[0], roots[1])
	}
}

func withProcs(n int, do func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	do()
}

func TestSplitAndDripsLimits(t *testing.T) {
	_, err := payfile.NewSplit(manyWallets(payfile.MaxRecipients+1), 0)
	wantInvalid(t, err, "lines: may have 500 entries, has 501")
	must(payfile.NewSplit(manyWallets(payfile.MaxRecipients), 65535))(t)

	line := func(i int, account string, units uint64) payfile.Line {
		return payfile.Line{Payee: payee(i), Amount: credit.FromUint64(units), To: payfile.Destination{Account: account}}
	}
	largest := "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	d := must(payfile.NewDrips([]payfile.Line{line(0, largest, 999_999), line(1, "0", 1)}))(t)
	if got, want := written(t, d), `{"receivers":[{"accountId":"0","weight":1},{"accountId":"`+largest+`","weight":999999}],`; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s…", got, want)
	}
	for name, c := range map[string]struct {
		lines []payfile.Line
		want  []string
	}{
		"2^256":         {[]payfile.Line{line(0, largest[:77]+"6", 1)}, []string{"lines[0].to.account: must be the decimal"}},
		"79 digits":     {[]payfile.Line{line(0, largest+"0", 1)}, []string{"lines[0].to.account: must be the decimal"}},
		"leading zero":  {[]payfile.Line{line(0, "01", 1)}, []string{"lines[0].to.account: must be the decimal"}},
		"sign":          {[]payfile.Line{line(0, "+1", 1)}, []string{"lines[0].to.account: must be the decimal"}},
		"hex":           {[]payfile.Line{line(0, "0x1", 1)}, []string{"lines[0].to.account: must be the decimal"}},
		"nothing":       {[]payfile.Line{line(0, "", 1)}, []string{"lines[0].to.account: must be the decimal"}},
		"twice":         {[]payfile.Line{line(0, "1", 1), line(1, "1", 1)}, []string{"lines[1].to.account: is the account of lines[0]"}},
		"no weight":     {[]payfile.Line{line(0, "1", 0)}, []string{"lines[0].amount: must be more than 0"}},
		"a weight":      {[]payfile.Line{line(0, "1", 1_000_001)}, []string{"lines[0].amount: is a weight", "lines: weights are together"}},
		"their sum":     {[]payfile.Line{line(0, "1", 1_000_000), line(1, "2", 1)}, []string{"lines: weights are together at most 1000000, these are 1000001"}},
		"too many":      {make([]payfile.Line, payfile.MaxReceivers+1), []string{"lines: may have 200 entries, has 201"}},
		"a huge amount": {[]payfile.Line{{Payee: payee(0), Amount: amount(t, "18446744073709551617"), To: payfile.Destination{Account: "1"}}}, []string{"lines[0].amount: is a weight", "lines: weights are together"}},
	} {
		_, err := payfile.NewDrips(c.lines)
		t.Run(name, func(t *testing.T) { wantInvalid(t, err, c.want...) })
	}
}

func TestLoadStandardTreeIsStrict(t *testing.T) {
	dump := written(t, must(payfile.NewStandardTree(manyWallets(3)))(t))
	if _, err := payfile.LoadStandardTree(strings.NewReader(dump)); err != nil {
		t.Fatal(err)
	}
	// Whatever single byte is changed, removed or added, the dump is refused.
	for i := range len(dump) {
		for _, bad := range []string{
			dump[:i] + string(dump[i]^1) + dump[i+1:],
			dump[:i] + string(dump[i]^0x20) + dump[i+1:],
			dump[:i] + dump[i+1:],
			dump[:i] + " " + dump[i:],
			dump[:i],
		} {
			if _, err := payfile.LoadStandardTree(strings.NewReader(bad)); fault.Of(err) != fault.Invalid && fault.Of(err) != fault.Unverified {
				t.Fatalf("at byte %d: %v, for %s", i, err, bad)
			}
		}
	}
	if _, err := payfile.LoadStandardTree(strings.NewReader(dump + "\n")); !errors.Is(err, fault.Invalid) {
		t.Errorf("with a line end: %v", err)
	}
	if _, err := payfile.LoadStandardTree(&broken{strings.NewReader(dump[:100])}); !errors.Is(err, errFull) {
		t.Errorf("with a broken reader: %v", err)
	}
}

type broken struct{ r *strings.Reader }

func (b *broken) Read(p []byte) (int, error) {
	if b.r.Len() == 0 {
		return 0, errFull
	}
	return b.r.Read(p)
}

func TestLoadStandardTreeVerdicts(t *testing.T) {
	a, b := eth.Address{1, 0xab, 0xcd, 0xef}.String(), eth.Address{2}.String()
	lines := []payfile.Line{
		{Payee: payee(0), Amount: credit.FromUint64(1), To: payfile.Destination{Account: a}},
		{Payee: payee(1), Amount: credit.FromUint64(2), To: payfile.Destination{Account: b}},
	}
	tree := must(payfile.NewStandardTree(lines))(t)
	dump := written(t, tree)
	root := text(tree.Root())
	for name, c := range map[string]struct {
		old, new string
		want     fault.Code
	}{
		"another amount":    {`"1"`, `"3"`, fault.Unverified},
		"another root":      {root[:10], root[:9] + "0", fault.Unverified},
		"indexes exchanged": {`"treeIndex":1`, `"treeIndex":2`, fault.Unverified},
		"index out of tree": {`"treeIndex":1`, `"treeIndex":9`, fault.Unverified},
		"one address":       {b, a, fault.Invalid},
		"lower case":        {a, strings.ToLower(a), fault.Invalid},
		"an amount of 0":    {`"1"`, `"0"`, fault.Invalid},
		"2^127":             {`"1"`, `"170141183460469231731687303715884105728"`, fault.Invalid},
		"a node too many":   {`"tree":[`, `"tree":["` + root + `",`, fault.Invalid},
	} {
		if name == "another root" && root[9] == '0' {
			c.new = root[:9] + "1"
		}
		changed := strings.Replace(dump, c.old, c.new, 1)
		_, err := payfile.LoadStandardTree(strings.NewReader(changed))
		if got := fault.Of(err); got != c.want {
			t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
		}
	}
}

func FuzzLoadStandardTree(f *testing.F) {
	for _, n := range []int{1, 2, 5} {
		var b bytes.Buffer
		tree, err := payfile.NewStandardTree(manyWallets(n))
		if err != nil {
			f.Fatal(err)
		}
		if _, err := tree.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := payfile.LoadStandardTree(bytes.NewReader(b))
		if err != nil {
			if c := fault.Of(err); c != fault.Invalid && c != fault.Unverified {
				t.Fatalf("%v is %q", err, c)
			}
			return
		}
		if written(t, tree) != string(b) {
			t.Fatalf("accepted %s", b)
		}
	})
}

// The size that credit.md sets a goal for: a million payees to a finished file.
func BenchmarkStandardMillion(b *testing.B) {
	lines := manyWallets(1_000_000)
	for b.Loop() {
		tree, err := payfile.NewStandardTree(lines)
		if err != nil {
			b.Fatal(err)
		}
		n, err := tree.WriteTo(discard{})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
