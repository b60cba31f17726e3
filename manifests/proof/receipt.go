package proof

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	receiptHeader = "c2sp.org/tlog-proof@v1"
	// maxPath is the longest inclusion path: a tree of 2^63 leaves.
	maxPath = 63
	// maxReceipt bounds a receipt: the path, and a checkpoint.
	maxReceipt = MaxCheckpoint + 4<<10
)

// A Receipt proves that a leaf is in a log: C2SP tlog-proof. It says nothing
// about the verdict on the entry.
type Receipt struct {
	Index      uint64
	Path       [][32]byte // from the leaf's sibling upwards
	Checkpoint []byte     // a signed note
}

// Encode returns the receipt's text.
func (r *Receipt) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(receiptHeader + "\nindex " + strconv.FormatUint(r.Index, 10) + "\n")
	for _, h := range r.Path {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(r.Checkpoint)
	return b.Bytes()
}

// ParseReceipt reads a receipt. It must be its own encoding; the optional
// "extra" line of tlog-proof, which nothing authenticates, is refused. What is
// malformed is fault.Unverified. The checkpoint is not looked at here.
func ParseReceipt(b []byte) (*Receipt, error) {
	bad := func(what string) (*Receipt, error) {
		return nil, fault.New(fault.Unverified, "the receipt is malformed: %s", what)
	}
	if len(b) > maxReceipt {
		return bad("too large")
	}
	head, note, ok := strings.Cut(string(b), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || lines[0] != receiptHeader {
		return bad("it does not begin with " + receiptHeader)
	}
	num, ok := strings.CutPrefix(lines[1], "index ")
	i, err := strconv.ParseUint(num, 10, 63)
	if !ok || err != nil {
		return bad("there is no index line")
	}
	if len(lines)-2 > maxPath {
		return bad("the path is too long")
	}
	r := &Receipt{Index: i, Checkpoint: []byte(note)}
	for _, line := range lines[2:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != 32 {
			return bad("a line of the path is no hash")
		}
		r.Path = append(r.Path, [32]byte(h))
	}
	if !bytes.Equal(r.Encode(), b) {
		return bad("it is not in its one encoding")
	}
	return r, nil
}

// Verify checks that leaf is in the log of the receipt's checkpoint, and that
// the policy accepts the checkpoint. What does not hold is fault.Unverified.
func (r *Receipt) Verify(leaf []byte, p *Policy) (Verified, error) {
	v, err := p.Verify(r.Checkpoint)
	if err != nil {
		return v, err
	}
	return v, r.included(leaf, v.Checkpoint)
}

func (r *Receipt) included(leaf []byte, c Checkpoint) error {
	path := make(tlog.RecordProof, len(r.Path))
	for i, h := range r.Path {
		path[i] = h
	}
	if r.Index >= c.Size {
		return fault.New(fault.Unverified, "entry %d is not in a log of %d entries", r.Index, c.Size)
	}
	if err := tlog.CheckRecord(path, int64(c.Size), c.Root, int64(r.Index), LeafHash(leaf)); err != nil {
		return fault.New(fault.Unverified, "the inclusion proof of entry %d in the tree of size %d does not hold", r.Index, c.Size)
	}
	return nil
}
