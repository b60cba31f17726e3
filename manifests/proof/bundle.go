package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	bundleVersion = 1
	// MaxBundle bounds a bundle: an envelope, and a few key events.
	MaxBundle = 4 << 20
	// MaxKeyEvents bounds the key events of a bundle: eight for each of 32 signers,
	// about 1 MiB with their proofs.
	MaxKeyEvents = 256
)

// A Bundle is all that offline verification of a statement needs besides the
// verifier's own policy: a .cairn.json file.
type Bundle struct {
	Entry
	// KeyEvents are the key/v1 entries of the signers' identities, in log order.
	KeyEvents []Entry
}

// An Entry is an entry of the log with its proof.
type Entry struct {
	Envelope []byte // normalised bytes
	Leaf     []byte // the log's entry
	Receipt  []byte // tlog-proof text
}

type entryJSON struct {
	Envelope json.RawMessage `json:"envelope"`
	Leaf     string          `json:"leaf"`
	Proof    string          `json:"proof"`
}

type bundleJSON struct {
	entryJSON
	KeyEvents []entryJSON `json:"keyEvents,omitempty"`
	V         int         `json:"v"`
}

func (e Entry) json() entryJSON {
	return entryJSON{json.RawMessage(e.Envelope), base64.StdEncoding.EncodeToString(e.Leaf), string(e.Receipt)}
}

func (j entryJSON) entry() (Entry, error) {
	leaf, err := base64.StdEncoding.Strict().DecodeString(j.Leaf)
	if err != nil {
		return Entry{}, fault.New(fault.Unverified, "the bundle's leaf is not base64")
	}
	return Entry{Envelope: []byte(j.Envelope), Leaf: leaf, Receipt: []byte(j.Proof)}, nil
}

// Encode returns the bundle's canonical bytes.
func (b *Bundle) Encode() ([]byte, error) {
	j := bundleJSON{entryJSON: b.Entry.json(), V: bundleVersion}
	for _, e := range b.KeyEvents {
		j.KeyEvents = append(j.KeyEvents, e.json())
	}
	return cjson.Marshal(j)
}

// ParseBundle reads a bundle, which must be its own canonical encoding. What is
// malformed is fault.Unverified: a bundle is evidence.
func ParseBundle(b []byte) (*Bundle, error) {
	if len(b) > MaxBundle {
		return nil, fault.New(fault.Unverified, "the bundle has %d bytes, the limit is %d", len(b), MaxBundle)
	}
	var j bundleJSON
	if err := cjson.Unmarshal(b, &j); err != nil {
		return nil, fault.New(fault.Unverified, "the bundle is malformed: %w", err)
	}
	if j.V != bundleVersion {
		return nil, fault.New(fault.Unverified, "a bundle of version %d", j.V)
	}
	if len(j.KeyEvents) > MaxKeyEvents {
		return nil, fault.New(fault.Unverified, "the bundle has %d key events, the limit is %d", len(j.KeyEvents), MaxKeyEvents)
	}
	var out Bundle
	var err error
	if out.Entry, err = j.entry(); err != nil {
		return nil, err
	}
	for _, k := range j.KeyEvents {
		e, err := k.entry()
		if err != nil {
			return nil, err
		}
		out.KeyEvents = append(out.KeyEvents, e)
	}
	again, err := out.Encode()
	if err != nil || !bytes.Equal(again, b) {
		return nil, fault.New(fault.Unverified, "the bundle is not in its one encoding")
	}
	return &out, nil
}
