package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	claimSchema = "cairn.claimOpening/1"
	claimSuffix = ".claim.json"
)

// A Claim opens the commitment of a commit/v1: a CID that was not shown, and the
// salt. Whoever has it can show that its owner held the CID at the entry.
type Claim struct {
	Schema     string     `json:"$schema"`
	Identity   sign.KeyID `json:"identity"`
	Salt       string     `json:"salt"` // hex, 32 bytes
	CID        cjson.CID  `json:"cid"`
	Commitment string     `json:"commitment"` // hex
}

// NewClaim commits to a CID: the commitment is SHA-256(salt ‖ text of the CIDv1).
func NewClaim(id sign.KeyID, c cid.Cid) (*Claim, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	v1 := cjson.V1(c)
	return &Claim{
		Schema: claimSchema, Identity: id, Salt: hex.EncodeToString(salt), CID: cjson.CID{Cid: v1},
		Commitment: commitment(salt, []byte(v1.String())),
	}, nil
}

// Verify computes the commitment again. One that differs is fault.Unverified.
func (c *Claim) Verify() error {
	salt, err := hex.DecodeString(c.Salt)
	if err != nil || len(salt) != saltSize {
		return fault.New(fault.Invalid, "the salt is not %d bytes in hex", saltSize)
	}
	if got := commitment(salt, []byte(c.CID.String())); got != c.Commitment {
		return fault.New(fault.Unverified, "the CID and the salt give the commitment %s, not %s", got, fault.Quote(c.Commitment))
	}
	return nil
}

// SaveClaim stores a claim's opening beside the keys, readable by its owner
// alone, and returns the file's path.
func (r *Ring) SaveClaim(c *Claim) (string, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", fault.Mark(fault.Internal, err)
	}
	name := c.Commitment[:16] + claimSuffix
	return filepath.Join(r.dir, name), r.writeNew(name, append(b, '\n'))
}

// ReadClaim reads a claim's opening from a file that only its owner may read.
func ReadClaim(name string) (*Claim, error) {
	b, err := readOwn(name)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var c Claim
	if err := d.Decode(&c); err != nil {
		return nil, fault.New(fault.Invalid, "not the opening of a claim: %w", err)
	}
	if c.Schema != claimSchema || !c.CID.Defined() {
		return nil, fault.New(fault.Invalid, "$schema is %s, not %s, or the CID is missing", fault.Quote(c.Schema), claimSchema)
	}
	return &c, nil
}
