package attribution

import (
	"encoding/json"
	"slices"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// WordsTokenizer is the tokenizer of tokens/1 that cairn runs itself.
const WordsTokenizer = "cairn-words/1"

// MaxParams bounds the bytes of parameters: at most three CIDs and a number.
const MaxParams = 4096

// Params are the parameters of a method, the member "params" of a record. Each
// method has some of them, and the others must be absent; see [Params.Check].
type Params struct {
	// Agreement is the statement whose shares declared/1 and equal/1 take. Without
	// it, declared/1 takes the published vector, which those who sign the
	// contribution have then declared, and equal/1 the record's parents.
	Agreement cjson.CID `json:"agreement,omitzero"`
	// Parts is the parts file of bytes/1, rows/1 and tokens/1.
	Parts cjson.CID `json:"parts,omitzero"`
	// Tokenizer of tokens/1: [WordsTokenizer] with class A, the name or CID of
	// another with class B.
	Tokenizer string `json:"tokenizer,omitempty"`
	// Meter of usage-meter/1, and the first index whose records count; the last
	// is the one before atSize.
	Meter string `json:"meter,omitempty"`
	From  uint64 `json:"from,omitempty"`
	// K of knn-shapley/1, and its two points files.
	K     int       `json:"k,omitempty"`
	Train cjson.CID `json:"train,omitzero"`
	Tests cjson.CID `json:"tests,omitzero"`
	// Evidence is the evidence record of external/1; Uncapped its vector file
	// before the cap, which may be left out.
	Evidence cjson.CID `json:"evidence,omitzero"`
	Uncapped cjson.CID `json:"uncapped,omitzero"`
}

// DecodeParams reads the parameters of a record: canonical JSON with members of
// [Params] only. No bytes are no parameters. Anything else is fault.Invalid,
// and more than [MaxParams] bytes are fault.TooLarge. Whether they are those of
// a method is [Params.Check]'s question.
func DecodeParams(b []byte) (Params, error) {
	var p Params
	switch {
	case len(b) == 0:
		return p, nil
	case len(b) > MaxParams:
		return p, fault.New(fault.TooLarge, "parameters may have %d bytes, these have %d", MaxParams, len(b))
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return Params{}, field.Unreadable(b, new(Params), err)
	}
	again, err := cjson.Marshal(p)
	if err := field.Same(b, again, err, func() error { return nil }); err != nil {
		return Params{}, err
	}
	if p == (Params{}) {
		return p, fault.New(fault.Invalid, "empty parameters: leave them out")
	}
	return p, nil
}

// Check reports everything that keeps p from being the parameters of m with
// evidence of class c, as joined errors that are marked fault.Invalid: a member
// that m does not have, one that it needs, one with a value that cannot be.
func (p Params) Check(m Method, c Class) error {
	bad := new(field.Problems)
	member := func(name string, has bool, allowed, needed []Method) {
		switch {
		case !has && slices.Contains(needed, m):
			bad.Add("is missing", "%s", name)
		case has && !slices.Contains(needed, m) && !slices.Contains(allowed, m):
			bad.Add("is no parameter of "+string(m), "%s", name)
		}
	}
	member("agreement", p.Agreement.Defined(), []Method{DeclaredV1, EqualV1}, nil)
	member("parts", p.Parts.Defined(), nil, []Method{BytesV1, RowsV1, TokensV1})
	member("tokenizer", p.Tokenizer != "", nil, []Method{TokensV1})
	member("meter", p.Meter != "", nil, []Method{UsageMeterV1})
	member("from", p.From != 0, []Method{UsageMeterV1}, nil)
	member("k", p.K != 0, nil, []Method{KNNShapleyV1})
	member("train", p.Train.Defined(), nil, []Method{KNNShapleyV1})
	member("tests", p.Tests.Defined(), nil, []Method{KNNShapleyV1})
	member("evidence", p.Evidence.Defined(), nil, []Method{ExternalV1})
	member("uncapped", p.Uncapped.Defined(), []Method{ExternalV1}, nil)

	if p.K < 0 || p.K > MaxTrain {
		bad.Add("must be from 1 to the number of training points", "k")
	}
	for _, x := range []struct{ name, s string }{{"tokenizer", p.Tokenizer}, {"meter", p.Meter}} {
		if x.s != "" && checkName(x.s) != nil {
			bad.Add("must be a name as a vector's keys are", "%s", x.name)
		}
	}
	if m == TokensV1 && (c == A) != (p.Tokenizer == WordsTokenizer) {
		bad.Add("class A is for "+WordsTokenizer+", class B for another", "tokenizer")
	}
	return bad.Err()
}
