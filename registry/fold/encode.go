package fold

import (
	"encoding/json"
	"fmt"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// The wire form of an effect is its members and "op". These types say so to
// the JSON encoder, one for each op.
type (
	taggedSetRegistry struct {
		Name Op `json:"op"`
		SetRegistry
	}
	taggedAddVersion struct {
		Name Op `json:"op"`
		AddVersion
	}
	taggedAddSigners struct {
		Name Op `json:"op"`
		AddSigners
	}
	taggedSetProfile struct {
		Name Op `json:"op"`
		SetProfile
	}
	taggedAddKey struct {
		Name Op `json:"op"`
		AddKey
	}
	taggedRevokeKey struct {
		Name Op `json:"op"`
		RevokeKey
	}
	taggedAddAttestation struct {
		Name Op `json:"op"`
		AddAttestation
	}
)

func tag(e Effect) any {
	switch e := e.(type) {
	case SetRegistry:
		return taggedSetRegistry{e.Op(), e}
	case AddVersion:
		return taggedAddVersion{e.Op(), e}
	case AddSigners:
		return taggedAddSigners{e.Op(), e}
	case SetProfile:
		return taggedSetProfile{e.Op(), e}
	case AddKey:
		return taggedAddKey{e.Op(), e}
	case RevokeKey:
		return taggedRevokeKey{e.Op(), e}
	case AddAttestation:
		return taggedAddAttestation{e.Op(), e}
	}
	panic(fmt.Sprintf("fold: effect %T is not one of this package's", e))
}

// Encode returns the canonical JSON of r, {"code","effects","verdict"}: what
// the digest chain hashes. Each effect is an object whose member "op" is its
// name. All three members are always there; code is "" unless r is rejected,
// effects [] unless it is accepted.
func (r Result) Encode() []byte {
	b, err := r.encode()
	if err != nil {
		// Effects are copied from a statement that passed the same profile.
		panic(fmt.Sprintf("fold: encoding a result: %v", err))
	}
	return b
}

func (r Result) encode() ([]byte, error) {
	effects := make([]any, len(r.Effects))
	for i, e := range r.Effects {
		effects[i] = tag(e)
	}
	return cjson.Marshal(map[string]any{
		"verdict": r.Verdict,
		"code":    r.Code,
		"effects": effects,
	})
}

// DecodeResult reads what [Result.Encode] wrote, strictly: b must be its own
// canonical encoding, verdict, code and ops known, no member unknown. Anything
// else gives fault.Invalid.
func DecodeResult(b []byte) (Result, error) {
	var w struct {
		Verdict Verdict           `json:"verdict"`
		Code    Code              `json:"code"`
		Effects []json.RawMessage `json:"effects"`
	}
	if err := cjson.Unmarshal(b, &w); err != nil {
		return Result{}, fault.Mark(fault.Invalid, fmt.Errorf("reading a fold result: %w", err))
	}
	r := Result{Verdict: w.Verdict, Code: w.Code}
	for i, raw := range w.Effects {
		e, err := decodeEffect(raw)
		if err != nil {
			return Result{}, fault.Mark(fault.Invalid, fmt.Errorf("reading effect %d of a fold result: %w", i, err))
		}
		r.Effects = append(r.Effects, e)
	}
	if err := r.validate(); err != nil {
		return Result{}, err
	}
	// Bytes of others can lack what every result of the fold has, such as a CID.
	if again, err := r.encode(); err != nil || string(again) != string(b) {
		return Result{}, fault.New(fault.Invalid, "a fold result is not in its canonical form")
	}
	return r, nil
}

func (r Result) validate() error {
	switch {
	case r.Verdict == Rejected && known[r.Code] && len(r.Effects) == 0:
	case r.Verdict == Accepted && r.Code == "" && len(r.Effects) > 0:
	case r.Verdict == Duplicate && r.Code == "" && len(r.Effects) == 0:
	default:
		return fault.New(fault.Invalid, "verdict %s, code %s and %d effects do not go together",
			fault.Quote(string(r.Verdict)), fault.Quote(string(r.Code)), len(r.Effects))
	}
	return nil
}

var known = func() map[Code]bool {
	m := make(map[Code]bool)
	for _, c := range Codes() {
		m[c] = true
	}
	return m
}()

func decodeEffect(b []byte) (Effect, error) {
	var head struct {
		Op Op `json:"op"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, err
	}
	switch head.Op {
	case OpSetRegistry:
		var t taggedSetRegistry
		err := cjson.Unmarshal(b, &t)
		return t.SetRegistry, err
	case OpAddVersion:
		var t taggedAddVersion
		err := cjson.Unmarshal(b, &t)
		return t.AddVersion, err
	case OpAddSigners:
		var t taggedAddSigners
		err := cjson.Unmarshal(b, &t)
		return t.AddSigners, err
	case OpSetProfile:
		var t taggedSetProfile
		err := cjson.Unmarshal(b, &t)
		return t.SetProfile, err
	case OpAddKey:
		var t taggedAddKey
		err := cjson.Unmarshal(b, &t)
		return t.AddKey, err
	case OpRevokeKey:
		var t taggedRevokeKey
		err := cjson.Unmarshal(b, &t)
		return t.RevokeKey, err
	case OpAddAttestation:
		var t taggedAddAttestation
		err := cjson.Unmarshal(b, &t)
		return t.AddAttestation, err
	}
	return nil, fmt.Errorf("unknown op %s", fault.Quote(string(head.Op)))
}
