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

// A Distributor is the claims file of Uniswap's MerkleDistributor. It is
// another tree than [StandardTree]: leaves are hashed once and with an index.
//
// It needs about 125 bytes a line, and while it is made about 170 more. The
// file has a proof in every claim: about 1.5 GB for a million.
type Distributor struct {
	batch
	claims []Claim      // by index
	at     []int32      // of the claim's leaf in layers[0]
	layers [][]eth.Hash // leaves first, root last
}

// A Claim is one entry of the claims file.
type Claim struct {
	Index   int // the position of the address among all, sorted as EIP-55 text
	Address eth.Address
	Amount  credit.Amount
}

// NewDistributor makes the claims of lines, of which it reads the address in
// To.Account. The order of the lines changes nothing. Errors are fault.Invalid.
func NewDistributor(lines []Line) (*Distributor, error) {
	c, lines := check(lines, MaxLines)
	addresses := c.addresses(lines)
	if err := c.err(); err != nil {
		return nil, err
	}
	d := &Distributor{batch: c.batch, claims: claimsOf(lines, addresses)}
	n := len(lines)
	type leaf struct {
		hash  eth.Hash
		index int32
	}
	leaves := make([]leaf, n)
	parallel(n, func(k *eth.Hasher, from, to int) {
		for i := from; i < to; i++ {
			leaves[i] = leaf{d.claims[i].leaf(k), int32(i)}
		}
	})
	slices.SortFunc(leaves, func(a, b leaf) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	d.at = make([]int32, n)
	layer := make([]eth.Hash, n)
	for i, l := range leaves {
		layer[i], d.at[l.index] = l.hash, int32(i)
	}
	d.layers = append(d.layers, layer)
	for len(layer) > 1 {
		below := layer
		layer = make([]eth.Hash, (len(below)+1)/2)
		parallel(len(below)/2, func(k *eth.Hasher, from, to int) {
			for i := from; i < to; i++ {
				layer[i] = pair(k, below[2*i], below[2*i+1])
			}
		})
		if len(below)%2 == 1 { // the odd one is promoted as it is
			layer[len(layer)-1] = below[len(below)-1]
		}
		d.layers = append(d.layers, layer)
	}
	return d, nil
}

// claimsOf numbers the lines in the order of their addresses as EIP-55 text.
// That is not the order of the addresses: upper case sorts before lower.
func claimsOf(lines []Line, addresses []eth.Address) []Claim {
	type entry struct {
		text [len("0x") + 2*len(eth.Address{})]byte
		line int32
	}
	order := make([]entry, len(lines))
	parallel(len(lines), func(k *eth.Hasher, from, to int) {
		for i := from; i < to; i++ {
			addresses[i].AppendChecksummed(order[i].text[:0], k)
			order[i].line = int32(i)
		}
	})
	slices.SortFunc(order, func(a, b entry) int { return bytes.Compare(a.text[:], b.text[:]) })
	claims := make([]Claim, len(lines))
	for i, e := range order {
		claims[i] = Claim{Index: i, Address: addresses[e.line], Amount: lines[e.line].Amount}
	}
	return claims
}

// leaf hashes the packed encoding of the claim: 32 + 20 + 32 bytes.
func (c Claim) leaf(k *eth.Hasher) eth.Hash {
	index, amount := smallWord(uint64(c.Index)), amountWord(c.Amount)
	return k.Sum(index[:], c.Address[:], amount[:])
}

// Root returns the root, which the contract is given.
func (d *Distributor) Root() eth.Hash { return d.layers[len(d.layers)-1][0] }

// Claim returns claim i of Len, in the order of their indexes.
func (d *Distributor) Claim(i int) Claim { return d.claims[i] }

// Proof returns the proof of claim i.
func (d *Distributor) Proof(i int) []eth.Hash {
	proof := []eth.Hash{}
	d.climb(i, func(h *eth.Hash) { proof = append(proof, *h) })
	return proof
}

// climb calls do for each sibling on the way from claim i to the root.
func (d *Distributor) climb(i int, do func(*eth.Hash)) {
	at := int(d.at[i])
	for _, layer := range d.layers {
		if sibling := at ^ 1; sibling < len(layer) {
			do(&layer[sibling])
		}
		at /= 2
	}
}

// VerifyClaim checks that the distributor with the given root holds c. The
// error is fault.Unverified when the proof does not show it.
func VerifyClaim(root eth.Hash, c Claim, proof []eth.Hash) error {
	if c.Index < 0 || c.Amount.Sign() < 0 {
		return fault.New(fault.Unverified, "a claim has no negative numbers")
	}
	got, err := climb(c.leaf(new(eth.Hasher)), proof)
	if err != nil {
		return err
	}
	if got != root {
		return fault.New(fault.Unverified, "the proof does not lead to the root")
	}
	return nil
}

// WriteTo writes the file, as JSON.stringify prints it: no white space, claims
// in the order of their indexes. It holds no more than a buffer in memory.
func (d *Distributor) WriteTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	out.text(`{"merkleRoot":"`)
	out.b = appendHash(out.b, d.Root())
	out.text(`","tokenTotal":"`)
	out.b = amountWord(d.total).appendQuantity(out.b)
	out.text(`","claims":{`)
	var k eth.Hasher
	for i, c := range d.claims {
		out.comma(i)
		out.b = c.Address.AppendChecksummed(append(out.b, '"'), &k)
		out.text(`":{"index":`)
		out.b = strconv.AppendInt(out.b, int64(c.Index), 10)
		out.text(`,"amount":"`)
		out.b = amountWord(c.Amount).appendQuantity(out.b)
		out.text(`","proof":[`)
		first := true
		d.climb(i, func(h *eth.Hash) {
			if !first {
				out.b = append(out.b, ',')
			}
			first = false
			out.b = append(appendHash(append(out.b, '"'), *h), '"')
		})
		out.text(`]}`)
	}
	out.text(`}}`)
	return out.close()
}
