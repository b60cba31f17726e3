package payfile

// The encodings under the hashes, for the vectors that have them.
var (
	SplitABI = (*Split).abi
	DripsABI = (*Drips).abi
)

// Nodes returns the nodes of the tree, for vectors of all of them.
func (t *StandardTree) Nodes() [][]byte {
	all := make([][]byte, len(t.nodes))
	for i := range t.nodes {
		all[i] = t.nodes[i][:]
	}
	return all
}

// LeafIndex returns where the leaf of line i stands.
func (t *StandardTree) LeafIndex(i int) int { return int(t.values[i].index) }
