package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// MaxCheckpoint bounds a signed checkpoint: sixteen signatures, some of them
	// post-quantum, of about 5 kB each, fit in hex.
	MaxCheckpoint = 64 << 10
	// maxSignatureLines bounds the work of one note.
	maxSignatureLines = 64

	typeEd25519     = 0x01 // C2SP signed-note: a log's signature
	typeCosignature = 0x04 // C2SP tlog-cosignature: a witness's, with a time
)

// A verifierKey is a C2SP verifier key: name+hash+base64(type ‖ public key).
type verifierKey struct {
	name string
	hash uint32
	kind byte
	pub  ed25519.PublicKey
	text string
}

// parseVKey reads a verifier key whose type is Ed25519 or Ed25519 cosignature.
func parseVKey(s string) (verifierKey, error) {
	bad := func(what string) (verifierKey, error) {
		return verifierKey{}, fault.New(fault.Invalid, "verifier key %s: %s", fault.Quote(s), what)
	}
	name, rest, _ := strings.Cut(s, "+")
	hash, key, ok := strings.Cut(rest, "+")
	if !ok || name == "" || len(s) > 1024 || !utf8.ValidString(name) || strings.ContainsAny(name, " \t\r\n") {
		return bad("not of the form name+hash+key")
	}
	h, err := hex.DecodeString(hash)
	if err != nil || len(h) != 4 || hex.EncodeToString(h) != hash {
		return bad("the hash is not eight lower-case hex digits")
	}
	k, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil || len(k) != 1+ed25519.PublicKeySize || k[0] != typeEd25519 && k[0] != typeCosignature {
		return bad("the key is not an Ed25519 key")
	}
	sum := sha256.Sum256(append(append([]byte(name), '\n'), k...))
	if !bytes.Equal(sum[:4], h) {
		return bad("the hash does not belong to name and key")
	}
	return verifierKey{name, binary.BigEndian.Uint32(h), k[0], ed25519.PublicKey(k[1:]), s}, nil
}

// verify checks the bytes of a signature line after the key hash over the text
// of a note. For a cosignature it returns the witness's time, in Unix seconds.
func (k verifierKey) verify(text, sig []byte) (time uint64, ok bool) {
	if k.kind == typeEd25519 {
		return 0, ed25519.Verify(k.pub, text, sig)
	}
	if len(sig) != 8+ed25519.SignatureSize {
		return 0, false
	}
	time = binary.BigEndian.Uint64(sig)
	msg := append([]byte("cosignature/v1\ntime "+strconv.FormatUint(time, 10)+"\n"), text...)
	return time, ed25519.Verify(k.pub, msg, sig[8:])
}

// A signatureLine is one line below a note's text.
type signatureLine struct {
	name string
	hash uint32
	sig  []byte
}

// parseNote splits a signed note into its text (with its last newline) and its
// signature lines. Only the one encoding of each line is read.
func parseNote(b []byte) (text []byte, sigs []signatureLine, err error) {
	bad := func(what string) ([]byte, []signatureLine, error) {
		return nil, nil, fault.New(fault.Unverified, "the signed note is malformed: %s", what)
	}
	if len(b) > MaxCheckpoint {
		return bad("larger than 64 KiB")
	}
	if !utf8.Valid(b) || bytes.ContainsAny(b, "\x00\r\t") {
		return bad("not plain text")
	}
	i := bytes.LastIndex(b, []byte("\n\n"))
	if i < 0 || b[len(b)-1] != '\n' {
		return bad("there is no blank line, or the last line has no end")
	}
	text = b[:i+1]
	for line := range strings.Lines(string(b[i+2:])) {
		name, enc, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if name != "—" || !ok {
			return bad("a signature line does not begin with a dash")
		}
		name, enc, ok = strings.Cut(enc, " ")
		raw, err := base64.StdEncoding.Strict().DecodeString(enc)
		if !ok || err != nil || len(raw) < 5 || name == "" || base64.StdEncoding.EncodeToString(raw) != enc {
			return bad("a signature line is not name and base64")
		}
		sigs = append(sigs, signatureLine{name, binary.BigEndian.Uint32(raw), raw[4:]})
		if len(sigs) > maxSignatureLines {
			return bad("too many signatures")
		}
	}
	if len(sigs) == 0 {
		return bad("no signature")
	}
	return text, sigs, nil
}

// A Checkpoint is the head of a log: C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
}

// ParseCheckpoint reads the text of a checkpoint: origin, size, root, nothing
// else. Extension lines cannot be audited and are refused.
func ParseCheckpoint(text []byte) (Checkpoint, error) {
	bad := func(what string) (Checkpoint, error) {
		return Checkpoint{}, fault.New(fault.Unverified, "the checkpoint is malformed: %s", what)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] == "" {
		return bad("it has not exactly three lines")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return bad("the size is no number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return bad("the root is no hash")
	}
	return Checkpoint{lines[0], size, [32]byte(root)}, nil
}

// Text returns the checkpoint's text, the bytes that are signed.
func (c Checkpoint) Text() []byte {
	return []byte(c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n")
}
