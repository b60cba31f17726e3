package keyring

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	// openingSchema names the form of an [Opening].
	openingSchema = "cairn.payeeOpening/1"
	// saltSize is that of the salt of a commitment: a bank account is easy to
	// guess, 256 random bits are not.
	saltSize = 32
	// MaxDetails bounds the details of a payee: an account, a name, an address.
	MaxDetails = 64 << 10
	// maxOpening is an opening with its details in JSON.
	maxOpening = MaxDetails + 8<<10

	openingSuffix = ".payee.json"
	sealedSuffix  = ".age"
)

// An Opening opens the commitment of a payee/v1: how somebody is paid, and the
// salt. It is private: whoever has it knows the details.
type Opening struct {
	Schema     string          `json:"$schema"`
	Identity   sign.KeyID      `json:"identity"`
	Rail       string          `json:"rail"`
	Salt       string          `json:"salt"` // hex, 32 bytes
	Details    json.RawMessage `json:"details"`
	Commitment string          `json:"commitment"` // hex
}

// NewOpening commits to details, a JSON object: the commitment is
// SHA-256(salt ‖ RFC 8785 form of the details). Details that are no such object,
// or longer than [MaxDetails], are fault.Invalid.
func NewOpening(id sign.KeyID, rail string, details []byte) (*Opening, error) {
	canonical, err := canonicalDetails(details)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	return &Opening{
		Schema: openingSchema, Identity: id, Rail: rail, Salt: hex.EncodeToString(salt),
		Details: canonical, Commitment: commitment(salt, canonical),
	}, nil
}

func commitment(salt, details []byte) string {
	h := sha256.New()
	h.Write(salt)
	h.Write(details)
	return hex.EncodeToString(h.Sum(nil))
}

func canonicalDetails(b []byte) ([]byte, error) {
	if len(b) > MaxDetails {
		return nil, fault.New(fault.Invalid, "the details have more than %d bytes", MaxDetails)
	}
	canonical, err := cjson.Canonicalize(b)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the details are not JSON as cairn reads it: %w", err)
	}
	if len(canonical) < 3 || canonical[0] != '{' {
		return nil, fault.New(fault.Invalid, "the details are not a JSON object with members")
	}
	return canonical, nil
}

// ParseOpening reads an opening. Whether it opens its commitment is for
// [Opening.Verify].
func ParseOpening(b []byte) (*Opening, error) {
	if len(b) > maxOpening {
		return nil, fault.New(fault.Invalid, "an opening has at most %d bytes", maxOpening)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var o Opening
	if err := d.Decode(&o); err != nil {
		return nil, fault.New(fault.Invalid, "not the opening of a payee: %w", err)
	}
	if o.Schema != openingSchema {
		return nil, fault.New(fault.Invalid, "$schema is %s, not %s", fault.Quote(o.Schema), openingSchema)
	}
	return &o, nil
}

// Verify computes the commitment again. One that differs is fault.Unverified.
func (o *Opening) Verify() error {
	salt, err := hex.DecodeString(o.Salt)
	if err != nil || len(salt) != saltSize {
		return fault.New(fault.Invalid, "the salt is not %d bytes in hex", saltSize)
	}
	details, err := canonicalDetails(o.Details)
	if err != nil {
		return err
	}
	if got := commitment(salt, details); got != o.Commitment {
		return fault.New(fault.Unverified, "the details and the salt give the commitment %s, not %s", got, fault.Quote(o.Commitment))
	}
	return nil
}

// Encode writes the opening as a file.
func (o *Opening) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(o, "", "  ")
	return append(b, '\n'), err
}

// Seal encrypts the opening to an age X25519 recipient, in armor. A text that is
// none is fault.Invalid.
func (o *Opening) Seal(recipient string) ([]byte, error) {
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s is no age recipient", fault.Quote(recipient))
	}
	b, err := o.Encode()
	if err != nil {
		return nil, err
	}
	return armored(b, to)
}

// SaveOpening stores an opening beside the keys, readable by its owner alone,
// and with a recipient also encrypted to it. It returns the files' paths. Each
// commitment has files of its own: an older one is still needed for what is paid
// until the new one counts.
func (r *Ring) SaveOpening(o *Opening, recipient string) (private, sealed string, err error) {
	b, err := o.Encode()
	if err != nil {
		return "", "", err
	}
	name := o.Commitment[:16] + openingSuffix
	if err := r.writeNew(name, b); err != nil {
		return "", "", err
	}
	private = filepath.Join(r.dir, name)
	if recipient == "" {
		return private, "", nil
	}
	if b, err = o.Seal(recipient); err != nil {
		return private, "", err
	}
	return private, private + sealedSuffix, r.writeNew(name+sealedSuffix, b)
}

// writeNew stores a private file durably, making the folder if it is missing.
func (r *Ring) writeNew(name string, b []byte) error {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(r.dir, name), b, 0o600)
}

// ReadOpening reads an opening from a file that only its owner may read.
func ReadOpening(name string) (*Opening, error) {
	b, err := readOwn(name)
	if err != nil {
		return nil, err
	}
	return ParseOpening(b)
}

// readOwn reads a private file, which nobody else may be able to read.
func readOwn(name string) ([]byte, error) {
	f, err := OpenOwn(name, "private")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxOpening+1))
}
