package fold

import (
	"encoding/json"
	"fmt"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// The wire form of an effect is its members and "op".
func encodeEffect(e Effect) (json.RawMessage, error) {
	members, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	name, err := json.Marshal(e.Op())
	if err != nil {
		return nil, err
	}
	// Every effect has a member, so the object is not empty.
	b := append([]byte(`{"op":`), name...)
	return append(append(b, ','), members[1:]...), nil
}

// EncodeEffects returns the canonical JSON of effects as they stand in a
// result, for [DecodeEffects]. It panics on what the fold cannot have made.
func EncodeEffects(effects []Effect) []byte {
	b, err := cjson.Marshal(effectList(effects))
	if err != nil {
		panic(fmt.Sprintf("fold: encoding effects: %v", err))
	}
	return b
}

// DecodeEffects reads what [EncodeEffects] wrote; fault.Invalid for anything
// that is no list of effects.
func DecodeEffects(b []byte) ([]Effect, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fault.Mark(fault.Invalid, fmt.Errorf("reading effects: %w", err))
	}
	effects := make([]Effect, len(raw))
	for i, r := range raw {
		e, err := decodeEffect(r)
		if err != nil {
			return nil, fault.Mark(fault.Invalid, fmt.Errorf("reading effect %d: %w", i, err))
		}
		effects[i] = e
	}
	return effects, nil
}

// effectList is effects in their wire form.
type effectList []Effect

func (l effectList) MarshalJSON() ([]byte, error) {
	list := make([]json.RawMessage, len(l))
	for i, e := range l {
		b, err := encodeEffect(e)
		if err != nil {
			return nil, err
		}
		list[i] = b
	}
	return json.Marshal(list)
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
	return cjson.Marshal(map[string]any{
		"verdict": r.Verdict,
		"code":    r.Code,
		"effects": effectList(r.Effects),
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
	decode := ops[head.Op]
	if decode == nil {
		return nil, fmt.Errorf("unknown op %s", fault.Quote(string(head.Op)))
	}
	return decode(b)
}
