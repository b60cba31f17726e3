package payfile

import (
	"bytes"
	"io"
	"slices"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A StandardTree is OpenZeppelin's StandardMerkleTree over (address, uint256):
// the Merkle tree whose root a distributor contract keeps and against which
// everybody claims their own amount.
//
// It needs about 120 bytes a line, and while it is made about 150 more.
type StandardTree struct {
	batch
	values []standardValue // in the order of the lines
	nodes  []eth.Hash      // 2n-1: node i has the children 2i+1 and 2i+2
}

type standardValue struct {
	address eth.Address
	amount  credit.Amount
	index   int32 // of its leaf in nodes
}

// NewStandardTree makes the tree of lines, of which it reads the address in
// To.Account. The order of the lines changes neither root nor proofs, only the
// order of the values in the dump. Errors are fault.Invalid.
func NewStandardTree(lines []Line) (*StandardTree, error) {
	c, lines := check(lines, MaxLines)
	addresses := c.addresses(lines)
	if err := c.err(); err != nil {
		return nil, err
	}
	values := make([]standardValue, len(lines))
	for i := range lines {
		values[i] = standardValue{address: addresses[i], amount: lines[i].Amount}
	}
	return newStandardTree(c.batch, values), nil
}

// newStandardTree makes the tree of values whose addresses differ, and sets
// their indexes.
func newStandardTree(b batch, values []standardValue) *StandardTree {
	type leaf struct {
		hash  eth.Hash
		value int32
	}
	n := len(values)
	leaves := make([]leaf, n)
	parallel(n, func(k *eth.Hasher, from, to int) {
		for i := from; i < to; i++ {
			leaves[i] = leaf{standardLeaf(k, values[i].address, values[i].amount), int32(i)}
		}
	})
	slices.SortFunc(leaves, func(a, b leaf) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	nodes := make([]eth.Hash, 2*n-1)
	for i, l := range leaves { // sorted leaves lie from the end of the array backwards
		at := len(nodes) - 1 - i
		nodes[at] = l.hash
		values[l.value].index = int32(at)
	}
	// Level by level from below: level d is [2^d-1, 2^(d+1)-1).
	inner := n - 1
	first := 0
	for 2*first+1 < inner {
		first = 2*first + 1
	}
	for to := inner; to > 0; first = (first - 1) / 2 {
		from := first
		parallel(to-from, func(k *eth.Hasher, a, b int) {
			for i := from + a; i < from+b; i++ {
				nodes[i] = pair(k, nodes[2*i+1], nodes[2*i+2])
			}
		})
		to = from
	}
	return &StandardTree{batch: b, values: values, nodes: nodes}
}

// standardLeaf hashes a value. It hashes twice: the preimage of a leaf has 64
// bytes as that of an inner node has, and must not pass for one.
func standardLeaf(k *eth.Hasher, a eth.Address, amount credit.Amount) eth.Hash {
	address, value := addressWord(a), amountWord(amount)
	once := k.Sum(address[:], value[:])
	return k.Sum(once[:])
}

// Root returns the root, which the contract is given.
func (t *StandardTree) Root() eth.Hash { return t.nodes[0] }

// Value returns what line i gives to whom.
func (t *StandardTree) Value(i int) (eth.Address, credit.Amount) {
	return t.values[i].address, t.values[i].amount
}

// Proof returns the proof of line i: the siblings from its leaf to below the
// root. Its holder needs it, with address and amount, to claim.
func (t *StandardTree) Proof(i int) []eth.Hash {
	proof := []eth.Hash{}
	for at := int(t.values[i].index); at > 0; at = (at - 1) / 2 {
		proof = append(proof, t.nodes[((at-1)^1)+1])
	}
	return proof
}

// VerifyStandard checks that the tree with the given root gives amount to a.
// The error is fault.Unverified when the proof does not show it.
func VerifyStandard(root eth.Hash, a eth.Address, amount credit.Amount, proof []eth.Hash) error {
	if amount.Sign() < 0 {
		return fault.New(fault.Unverified, "a tree holds no negative amount")
	}
	got, err := climb(standardLeaf(new(eth.Hasher), a, amount), proof)
	if err != nil {
		return err
	}
	if got != root {
		return fault.New(fault.Unverified, "the proof does not lead to the root")
	}
	return nil
}

// The fixed parts of a dump. Between them stand nodes and values.
const (
	dumpHead   = `{"format":"standard-v1","leafEncoding":["address","uint256"],"tree":[`
	dumpMiddle = `],"values":[`
	dumpValue  = `{"value":["`
	dumpAmount = `","`
	dumpIndex  = `"],"treeIndex":`
	dumpTail   = `]}`
)

// WriteTo writes the dump that OpenZeppelin's library loads, byte for byte as
// JSON.stringify prints the library's own: no white space, addresses with
// checksum. It holds no more than a buffer in memory.
func (t *StandardTree) WriteTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	out.text(dumpHead)
	for i := range t.nodes {
		out.comma(i)
		out.b = append(appendHash(append(out.b, '"'), t.nodes[i]), '"')
	}
	out.text(dumpMiddle)
	var k eth.Hasher
	for i, v := range t.values {
		out.comma(i)
		out.text(dumpValue)
		out.b = v.address.AppendChecksummed(out.b, &k)
		out.text(dumpAmount)
		out.b = v.amount.Append(out.b)
		out.text(dumpIndex)
		out.b = append(strconv.AppendInt(out.b, int64(v.index), 10), '}')
	}
	out.text(dumpTail)
	return out.close()
}
