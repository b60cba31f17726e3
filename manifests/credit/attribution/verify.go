package attribution

import (
	"fmt"
	"iter"
	"slices"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
)

// A Record is what an attribution statement says about its vector, as far as
// checking it needs: the members of those names.
type Record struct {
	Method  Method
	Class   Class    // evidenceClass
	Params  Params   // by DecodeParams
	Parents []string // statement CIDs
	AtSize  uint64   // entries below it count
	N       int      // how many entries the vector has
	Total   uint64   // their sum
	Scale   uint64   // must be the method's
	// Negatives is what was done with values below 0: NegativesClip, or another
	// word where there can be none.
	Negatives string
	CapPpm    uint32 // with external/1, and with nothing else
}

// NegativesClip says that negative values count as 0.
const NegativesClip = "clip"

// Inputs are what a method computes from. A checker fills those of the record's
// method and leaves out what it does not have; nil is "not at hand".
type Inputs struct {
	// declared/1: the agreement's shares, and whether a key has signed it. When the
	// record names no agreement, [Verify] takes the published vector for the
	// shares, and Signed asks for a signature on the contribution that names the
	// record. For a statement, its publisher signs.
	Declared []Entry
	Signed   func(key string) bool
	// equal/1: the agreement's parties, or the parents of the record.
	Parties []string
	// bytes/1, rows/1, tokens/1. Files without Read will do for bytes/1.
	Parts []Part
	Files iter.Seq2[File, error]
	// chunk-first-seen/1: the child's fingerprint from the bytes of its data, and
	// the accepted contributions that have one.
	Child   iter.Seq2[Chunk, error]
	Earlier iter.Seq2[Earlier, error]
	// usage-meter/1. Usage is all that the log has from Params.From on and below
	// AtSize, with the meter and a parent of the record; Shares is as of AtSize.
	Usage  iter.Seq2[Usage, error]
	Shares func(statement string) (Vector, error)
	// knn-shapley/1.
	Train, Tests []Point
	// external/1, and may be left out: the vector before the cap.
	Uncapped *Vector
}

// Codes of a finding that fails or was not checked.
const (
	CodeUnknownMethod   = "unknown-method"   // not checked: this version does not know the method
	CodeNotRecomputable = "not-recomputable" // not checked: see the class
	CodeInputs          = "inputs"           // not checked: an input is not at hand
	CodeClass           = "class"            // fails: the method's evidence never has this class
	CodeParams          = "params"           // fails: not the parameters of the method
	CodeScale           = "scale"            // fails: not the method's scale
	CodeTotal           = "total"            // fails: n or total is not the vector's
	CodeNegatives       = "negatives"        // fails: the method clips, and the record says otherwise
	CodeParents         = "parents"          // fails: a key is a statement that is no parent
	CodeUnsigned        = "unsigned"         // fails: a party of declared weights has not signed
	CodeCap             = "cap"              // fails: no cap, a cap where none belongs, or a key above it
	CodeValue           = "value"            // fails: a key has another value
)

// A Finding is what came out of checking a vector.
type Finding struct {
	Method Method       `json:"method"`
	Class  Class        `json:"evidenceClass"`
	Status proof.Status `json:"status"`
	// Code is empty when the vector holds.
	Code string `json:"code,omitempty"`
	// Key, Have and Want name the first difference, in the order of keys, for
	// CodeValue and CodeCap: Have is published, Want computed or the most that is
	// allowed. A missing key counts as 0, but a key that is missing and should be
	// there with 0, or the other way round, is a difference too.
	Key  string `json:"key,omitempty"`
	Have uint64 `json:"have,omitempty,string"`
	Want uint64 `json:"want,omitempty,string"`
	// Detail says it for people: of a vector that holds, what the class leaves
	// to trust.
	Detail string `json:"detail,omitempty"`
	// Washed is the excluded usage of usage-meter/1.
	Washed []Wash `json:"-"`
}

// Line returns the finding as a line of a report about subject.
func (f Finding) Line(subject string) proof.Finding {
	d := fmt.Sprintf("%s, class %s", f.Method, f.Class)
	if f.Detail != "" {
		d += ": " + f.Detail
	}
	return proof.Finding{Check: "attribution", Status: f.Status, Subject: subject, Detail: d, Code: f.Code}
}

// Verify computes the vector of r again from in, and compares it with the
// published one. It answers that it holds, that it fails and where, or that it
// was not checked, with the class and the reason: the method is not
// recomputable, unknown, or an input is not at hand.
//
// An error means that the check could not be made although its inputs were
// there: an iterator failed, an input breaks a rule of its format, or a limit
// was passed. It says nothing about the vector.
func Verify(r Record, published Vector, in Inputs) (Finding, error) {
	f := Finding{Method: r.Method, Class: r.Class}
	row, err := Lookup(r.Method, r.Class)
	switch fault.Of(err) {
	case "":
	case fault.NotFound:
		return f.unchecked(CodeUnknownMethod, "%v", err), nil
	default:
		return f.fails(CodeClass, "%v", err), nil
	}
	if code, why := r.check(row, published); code != "" {
		return f.fails(code, "%s", why), nil
	}
	if r.Method == ExternalV1 {
		return external(f, r, row, published, in.Uncapped)
	}
	if !row.Recomputable {
		return f.unchecked(CodeNotRecomputable, "%s", row.Why), nil
	}
	if r.Method == DeclaredV1 && !r.Params.Agreement.Defined() {
		in.Declared = published.entries
	}
	if !in.have(r.Method) {
		return f.unchecked(CodeInputs, "needs %s", row.Needs), nil
	}
	want, washed, err := Compute(r, in)
	switch {
	case fault.Of(err) == fault.Unverified && r.Method == DeclaredV1:
		return f.fails(CodeUnsigned, "%v", err), nil
	case err != nil:
		return f, fmt.Errorf("computing %s again: %w", r.Method, err)
	}
	f.Washed = washed
	return f.compare(published, want, row), nil
}

// check compares the record with its method's row and with its vector. It
// returns the code of what is wrong, and says it, or two empty texts.
func (r *Record) check(row Row, v Vector) (code, why string) {
	if err := r.Params.Check(r.Method, r.Class); err != nil {
		return CodeParams, err.Error()
	}
	if r.Scale != row.Scale {
		return CodeScale, fmt.Sprintf("the scale is %d, and %s has %d", r.Scale, r.Method, row.Scale)
	}
	if r.N != v.Len() || r.Total != v.Total() {
		return CodeTotal, fmt.Sprintf("the record says %d entries that add up to %d, and the vector has %d that add up to %d", r.N, r.Total, v.Len(), v.Total())
	}
	if r.Method == KNNShapleyV1 && r.Negatives != NegativesClip {
		return CodeNegatives, fmt.Sprintf("%s clips negative values, and the record says %s", r.Method, fault.Quote(r.Negatives))
	}
	if (r.Method == ExternalV1) != (r.CapPpm > 0) || r.CapPpm > ppm {
		return CodeCap, fmt.Sprintf("a cap of %d ppm; %s needs one from 1 to %d, and no other method has one", r.CapPpm, ExternalV1, ppm)
	}
	if r.Method == ChunkFirstSeenV1 || r.Method == UsageMeterV1 {
		for key := range v.All() {
			if key != Self && !slices.Contains(r.Parents, key) {
				return CodeParents, fmt.Sprintf("%s has a part and is not among the parents", key)
			}
		}
	}
	return "", ""
}

// have reports whether the inputs of m are at hand.
func (in *Inputs) have(m Method) bool {
	switch m {
	case DeclaredV1:
		return in.Declared != nil && in.Signed != nil
	case EqualV1:
		return in.Parties != nil
	case BytesV1, RowsV1, TokensV1:
		return in.Parts != nil && in.Files != nil
	case ChunkFirstSeenV1:
		return in.Child != nil && in.Earlier != nil
	case UsageMeterV1:
		return in.Usage != nil && in.Shares != nil
	case KNNShapleyV1:
		return in.Train != nil && in.Tests != nil
	case ExternalV1:
		return in.Uncapped != nil
	}
	return false
}

// Compute returns the vector of r's method, parameters, atSize and cap from in:
// what its author publishes, and what [Verify] compares with. For
// usage-meter/1 there is also the usage that was excluded. The scale and n and
// total of the record are those of the result, and are not read.
//
// An input that is not at hand, and tokens/1 with a tokenizer that cairn does
// not run, are fault.Invalid.
func Compute(r Record, in Inputs) (v Vector, washed []Wash, err error) {
	if !in.have(r.Method) {
		return Vector{}, nil, fault.New(fault.Invalid, "the inputs of %s are not at hand", fault.Quote(string(r.Method)))
	}
	switch r.Method {
	case DeclaredV1:
		v, err = Declared(in.Declared, in.Signed)
	case EqualV1:
		v, err = Equal(in.Parties)
	case BytesV1:
		v, err = CountBytes(in.Parts, in.Files)
	case RowsV1:
		v, err = CountRows(in.Parts, in.Files)
	case TokensV1:
		if r.Params.Tokenizer != WordsTokenizer {
			return Vector{}, nil, fault.New(fault.Invalid, "cairn runs no tokenizer %s, only %s", fault.Quote(r.Params.Tokenizer), WordsTokenizer)
		}
		v, err = CountWords(in.Parts, in.Files)
	case ChunkFirstSeenV1:
		v, err = FirstSeen(in.Child, in.Earlier, r.AtSize)
	case UsageMeterV1:
		v, washed, err = MeterUsage(r.Params.Meter, in.Usage, in.Shares)
	case KNNShapleyV1:
		v, err = KNNShapley(r.Params.K, in.Train, in.Tests)
	case ExternalV1:
		v, err = Cap(*in.Uncapped, r.CapPpm)
	}
	return v, washed, err
}

// external checks what can be checked of a vector from outside: its cap.
func external(f Finding, r Record, row Row, published Vector, uncapped *Vector) (Finding, error) {
	most, err := capOf(published.Total(), r.CapPpm)
	if err != nil {
		return f, err
	}
	for key, have := range published.All() {
		if key != Self && have > most {
			f.Key, f.Have, f.Want = key, have, most
			return f.fails(CodeCap, "%s has %d; the cap of %d ppm is %d", key, have, r.CapPpm, most), nil
		}
	}
	if uncapped != nil {
		want, err := Cap(*uncapped, r.CapPpm)
		if err != nil {
			return f, err
		}
		if g := f.compare(published, want, row); g.Status == proof.Fails {
			return g, nil
		}
	}
	return f.unchecked(CodeNotRecomputable, "%s", row.Why), nil
}

// compare finds the first key, in order, on which the vectors differ.
func (f Finding) compare(published, want Vector, row Row) Finding {
	for i := 0; i < len(published.entries) || i < len(want.entries); i++ {
		var have, should Entry
		switch {
		case i == len(published.entries):
			should = want.entries[i]
		case i == len(want.entries):
			have = published.entries[i]
		case published.entries[i].Key < want.entries[i].Key:
			have = published.entries[i]
		case published.entries[i].Key > want.entries[i].Key:
			should = want.entries[i]
		case published.entries[i] != want.entries[i]:
			have, should = published.entries[i], want.entries[i]
		default:
			continue
		}
		f.Key, f.Have, f.Want = max(have.Key, should.Key), have.Value, should.Value
		switch {
		case have.Key == "":
			return f.fails(CodeValue, "%s is missing; computed: %d", f.Key, f.Want)
		case should.Key == "":
			return f.fails(CodeValue, "%s has %d; computed: it has no part", f.Key, f.Have)
		}
		return f.fails(CodeValue, "%s has %d; computed: %d", f.Key, f.Have, f.Want)
	}
	f.Status, f.Detail = proof.Holds, row.Why
	return f
}

func (f Finding) fails(code, format string, args ...any) Finding {
	f.Status, f.Code, f.Detail = proof.Fails, code, fmt.Sprintf(format, args...)
	return f
}

func (f Finding) unchecked(code, format string, args ...any) Finding {
	f.Status, f.Code, f.Detail = proof.NotChecked, code, fmt.Sprintf(format, args...)
	return f
}
