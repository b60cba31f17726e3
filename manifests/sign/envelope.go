package sign

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// PayloadType is the type of every payload: an in-toto statement.
	PayloadType = "application/vnd.in-toto+json"
	// MaxEnvelope bounds a normalised envelope: it is one block.
	MaxEnvelope = 1 << 20
	// MaxPayload bounds a statement, so that its base64 and 32 signatures fit.
	MaxPayload = 700 << 10
	// MaxSignatures bounds the work of one entry; statements of more people are
	// logged again to add signers.
	MaxSignatures = 32
	// maxSignature bounds one signature: a DER one of P-256 has at most 72 bytes.
	maxSignature = 128
)

// PAE returns the bytes that a DSSE v1 signature covers.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(payloadType)+32)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// A Signature is one party's signature over an envelope's payload.
type Signature struct {
	KeyID KeyID
	Sig   []byte
}

// An Envelope is a DSSE envelope in normalised form: signatures sorted by key
// ID, each by another key.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature
}

// Seal signs payload with every signer.
func Seal(payload []byte, signers ...Signer) (*Envelope, error) {
	if len(payload) > MaxPayload {
		return nil, fault.New(fault.TooLarge, "the payload has %d bytes, the limit is %d", len(payload), MaxPayload)
	}
	e := &Envelope{PayloadType: PayloadType, Payload: payload}
	for _, s := range signers {
		if err := e.Add(s); err != nil {
			return nil, err
		}
	}
	if len(e.Signatures) == 0 {
		return nil, fault.New(fault.Invalid, "nobody signs the envelope")
	}
	return e, nil
}

// Add signs the envelope with one more key. A key that signed already is
// fault.Conflict.
func (e *Envelope) Add(s Signer) error {
	id := s.ID()
	i, found := slices.BinarySearchFunc(e.Signatures, id, bySigner)
	if found {
		return fault.New(fault.Conflict, "%s signed already", id)
	}
	if len(e.Signatures) == MaxSignatures {
		return fault.New(fault.TooLarge, "an envelope carries at most %d signatures", MaxSignatures)
	}
	sig, err := s.Sign(PAE(e.PayloadType, e.Payload))
	if err != nil {
		return err
	}
	e.Signatures = slices.Insert(e.Signatures, i, Signature{id, sig})
	return nil
}

func bySigner(s Signature, id KeyID) int { return bytes.Compare([]byte(s.KeyID), []byte(id)) }

type signatureJSON struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

type envelopeJSON struct {
	Payload     string          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []signatureJSON `json:"signatures"`
}

// Encode returns the canonical bytes of the envelope. They are what is stored,
// logged and named by a CID.
func (e *Envelope) Encode() ([]byte, error) {
	j := envelopeJSON{Payload: base64.StdEncoding.EncodeToString(e.Payload), PayloadType: e.PayloadType}
	for _, s := range e.Signatures {
		j.Signatures = append(j.Signatures, signatureJSON{string(s.KeyID), base64.StdEncoding.EncodeToString(s.Sig)})
	}
	b, err := cjson.Marshal(j)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxEnvelope {
		return nil, fault.New(fault.TooLarge, "the envelope has %d bytes, the limit is %d", len(b), MaxEnvelope)
	}
	return b, nil
}

// Decode reads an envelope that must be exactly its own normalised encoding:
// no white space, no unknown members, strict base64, signatures sorted by key
// ID and without repetition. It does not verify the signatures: see [Envelope.Open].
func Decode(b []byte) (*Envelope, error) {
	if len(b) > MaxEnvelope {
		return nil, fault.New(fault.TooLarge, "the envelope has %d bytes, the limit is %d", len(b), MaxEnvelope)
	}
	var j envelopeJSON
	if err := cjson.Unmarshal(b, &j); err != nil {
		return nil, err
	}
	e, err := j.decode()
	if err != nil {
		return nil, err
	}
	for i, s := range e.Signatures {
		if _, err := ParseKeyID(string(s.KeyID)); err != nil {
			return nil, err
		}
		if i > 0 && e.Signatures[i-1].KeyID >= s.KeyID {
			return nil, fault.New(fault.Invalid, "the signatures are not sorted by keyid, or a key signed twice")
		}
	}
	again, err := e.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fault.New(fault.Invalid, "the envelope is not in its normalised form")
	}
	return e, nil
}

func (j *envelopeJSON) decode() (*Envelope, error) {
	if j.PayloadType != PayloadType {
		return nil, fault.New(fault.Invalid, "payloadType is %s, not %s", fault.Quote(j.PayloadType), PayloadType)
	}
	if n := len(j.Signatures); n < 1 || n > MaxSignatures {
		return nil, fault.New(fault.Invalid, "the envelope has %d signatures; 1 to %d are taken", n, MaxSignatures)
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(j.Payload)
	if err != nil {
		return nil, fault.New(fault.Invalid, "payload: %w", err)
	}
	if len(payload) > MaxPayload {
		return nil, fault.New(fault.TooLarge, "the payload has %d bytes, the limit is %d", len(payload), MaxPayload)
	}
	e := &Envelope{PayloadType: j.PayloadType, Payload: payload}
	for i, s := range j.Signatures {
		sig, err := base64.StdEncoding.Strict().DecodeString(s.Sig)
		if err != nil || len(sig) == 0 || len(sig) > maxSignature {
			return nil, fault.New(fault.Invalid, "signatures[%d].sig is no signature in base64", i)
		}
		e.Signatures = append(e.Signatures, Signature{KeyID(s.KeyID), sig})
	}
	return e, nil
}

// Open verifies every signature and returns the payload with the keys that
// signed it, sorted. One signature that does not hold spoils the envelope:
// fault.Unverified.
func (e *Envelope) Open() (payload []byte, signers []KeyID, err error) {
	msg := PAE(e.PayloadType, e.Payload)
	for _, s := range e.Signatures {
		key, err := s.KeyID.PublicKey()
		if err != nil {
			return nil, nil, err
		}
		if err := key.Verify(msg, s.Sig); err != nil {
			return nil, nil, err
		}
		signers = append(signers, s.KeyID)
	}
	if len(signers) == 0 {
		return nil, nil, fault.New(fault.Unverified, "nobody signed the envelope")
	}
	return e.Payload, signers, nil
}

// Normalize reads an envelope as any DSSE tool may have written it and returns
// it in normalised form. Unknown members are dropped, as DSSE asks; duplicate
// keys are refused. A keyid is only a hint: each signature gets the did:key
// that verifies it, the hint itself if it is one, else one of candidates. A
// signature that nothing verifies is fault.Unverified; one key twice counts once.
func Normalize(b []byte, candidates []KeyID) (*Envelope, error) {
	raw, err := parse(b)
	if err != nil {
		return nil, err
	}
	e := &Envelope{PayloadType: raw.PayloadType, Payload: raw.Payload}
	msg := PAE(raw.PayloadType, raw.Payload)
	for i, s := range raw.Signatures {
		id, ok := whoSigned(msg, s, candidates)
		if !ok {
			return nil, fault.New(fault.Unverified, "signatures[%d] is by none of the keys it may be by", i)
		}
		if at, found := slices.BinarySearchFunc(e.Signatures, id, bySigner); !found {
			e.Signatures = slices.Insert(e.Signatures, at, Signature{id, s.Sig})
		}
	}
	return e, nil
}

// Peek returns the payload of an envelope that [Normalize] would read. Nothing
// is verified: it is for finding out whose keys to try.
func Peek(b []byte) ([]byte, error) {
	e, err := parse(b)
	if err != nil {
		return nil, err
	}
	return e.Payload, nil
}

// parse reads a DSSE envelope of any tool; keyids are as they stand there.
func parse(b []byte) (*Envelope, error) {
	if len(b) > 2*MaxEnvelope {
		return nil, fault.New(fault.TooLarge, "the envelope has %d bytes, the limit is %d", len(b), 2*MaxEnvelope)
	}
	canonical, err := cjson.Canonicalize(b)
	if err != nil {
		return nil, err
	}
	var j envelopeJSON
	if err := json.Unmarshal(canonical, &j); err != nil {
		return nil, fault.New(fault.Invalid, "not a DSSE envelope: %w", err)
	}
	return j.decode()
}

func whoSigned(msg []byte, s Signature, candidates []KeyID) (KeyID, bool) {
	try := func(id KeyID) bool {
		key, err := id.PublicKey()
		return err == nil && key.Verify(msg, s.Sig) == nil
	}
	if try(s.KeyID) {
		return s.KeyID, true
	}
	i := slices.IndexFunc(candidates, try)
	if i < 0 {
		return "", false
	}
	return candidates[i], true
}
