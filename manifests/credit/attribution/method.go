package attribution

import (
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Method names a way to fill a vector, with its version. What a name means
// never changes; another rule is another version.
type Method string

// The methods.
const (
	DeclaredV1       Method = "declared/1"
	EqualV1          Method = "equal/1"
	BytesV1          Method = "bytes/1"
	RowsV1           Method = "rows/1"
	TokensV1         Method = "tokens/1"
	ChunkFirstSeenV1 Method = "chunk-first-seen/1"
	UsageMeterV1     Method = "usage-meter/1"
	KNNShapleyV1     Method = "knn-shapley/1"
	ExternalV1       Method = "external/1"
)

// A Class says how far a vector can be checked. It is a property of the
// evidence, not a grade of the result.
type Class string

// The classes.
const (
	A Class = "A" // exact, from the log and the blocks it names, while they exist
	B Class = "B" // exact, with computation on further published inputs
	C Class = "C" // statistical: a second run gives other numbers within a tolerance
	D Class = "D" // somebody's word, attested
)

// A Row of the table of methods.
type Row struct {
	Method Method
	Class  Class
	// Needs says what a checker must have at hand.
	Needs string
	// Recomputable says that [Verify] computes the vector again from Needs.
	Recomputable bool
	// Why says what a class leaves to trust, or why there is no second
	// computation. It is empty for a method that leaves nothing.
	Why string
	// Scale is what a value of 1 is counted in: a value v means v/Scale.
	Scale uint64
}

// ScoreScale is the scale of scores: a score s is published as ⌊s·10^9⌋.
const ScoreScale = 1_000_000_000

var table = []Row{
	{DeclaredV1, A, "the declared weights and who signed them", true,
		"the weights are what the parties agreed on; nothing measures them", 1},
	{EqualV1, A, "the list of parties", true,
		"that no two parties are one person is not checked", 1},
	{BytesV1, A, "the manifest's files and the parts file", true,
		"who brought which file is the parts file's claim", 1},
	{RowsV1, A, "the bytes of the files that the parts file names", true,
		"who brought which file is the parts file's claim", 1},
	{TokensV1, A, "the bytes of the files that the parts file names; the tokenizer is cairn-words/1", true,
		"who brought which file is the parts file's claim", 1},
	{TokensV1, B, "the files and the tokenizer that the record names", false,
		"the counts are declared: cairn runs no tokenizer but cairn-words/1", 1},
	{ChunkFirstSeenV1, A, "fingerprints of the child and of every accepted entry below atSize that has one", true, "", 1},
	{UsageMeterV1, A, "the usage records, each signed by its payer", true,
		"that a payer used what it paid for is the payer's word", 1},
	{UsageMeterV1, D, "the usage records of somebody else's meter", true,
		"the sum is exact, the records are the meter's word", 1},
	{KNNShapleyV1, B, "K, the training points and the test points", true,
		"embeddings and the choice of test points are the record's claim", ScoreScale},
	{ExternalV1, C, "the evidence record; the vector before the cap", false,
		"the computation is statistical and took place elsewhere; only the cap is checked", ScoreScale},
	{ExternalV1, D, "the evidence record; the vector before the cap", false,
		"the values are an attested judgement; only the cap is checked", ScoreScale},
}

// Methods returns the table: one row for each method and each class its
// evidence may have, in a fixed order. The caller owns the slice.
func Methods() []Row { return slices.Clone(table) }

// Lookup returns the row of a method and a class. The error is fault.NotFound
// for a method that this version does not know, and fault.Invalid for a known
// method whose evidence cannot have that class.
func Lookup(m Method, c Class) (Row, error) {
	known := false
	for _, r := range table {
		if r.Method != m {
			continue
		}
		if known = true; r.Class == c {
			return r, nil
		}
	}
	if known {
		return Row{}, fault.New(fault.Invalid, "the evidence of %s is never of class %s", m, fault.Quote(string(c)))
	}
	return Row{}, fault.New(fault.NotFound, "no method %s is known", fault.Quote(string(m)))
}
