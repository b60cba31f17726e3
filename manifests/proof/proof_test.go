package proof_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	origin     = "cairn.example/log"
	logVKey    = "cairn.example/log+9528b2a6+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	witVKey    = "witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
	exampleLog = `cairn.example/log
3
nPZCYZ/L+HxNfTWNOQtEf2tPW7HyB6Es2PstztH56UI=
`
	logLine     = "— cairn.example/log lSiypvQk0ElKgmwqzx0ixzheCxjkJdJclnP6QbbHgdZz8LRa9yOBBVT9rWDTNwBQeq7fEU20t1sYSx0QNky3Kd/Lfg0=\n"
	witLine     = "— witness.example/w1 3xwKNQAAAABpVbkAK8wAF5j4u/5n3aSwxCzSFwdmi7z1roV9I72ruHjBP0hKWz7pr+SksNC47YKMjtkStYlmryJ8pH/30yfxKKN9Cg==\n"
	exampleLeaf = `{"env":"bafkreigsuayo4pop6jcd6we7ezm2hw26dgliu5kkm5zqdmmugmnloybpd4","keys":["did:key:z6MkvRXNYcE7MMduynWTgeKbDaT1iijDSC8pZqXZc8rHPrf2"],"size":736,"stmt":"bafkreibhtztx6ivnieavtrad6bm2wwphphfwxdm34kqf2kf72zyvpyuaha","subj":["bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"],"t":"contribution/v1","v":1}`
	examplePath = "Aippeebat6pa5MPl5F9+l3ESp+Y1k4INvsHsc4ok+Tw=\nWX/LMSgtNGVMIA00GPylcFxkjr8ybsc9jd7xGEH4dtg=\n"
)

func exampleNote() []byte { return []byte(exampleLog + "\n" + logLine + witLine) }

func policy(t testing.TB, text string) *proof.Policy {
	t.Helper()
	p, err := proof.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const witnessed = "log " + logVKey + " https://cairn.example/log/\nwitness w1 " + witVKey + "\nquorum w1\n"

// TestPublishedExample reads the checkpoint, the leaf and the receipt that the
// format document prints.
func TestPublishedExample(t *testing.T) {
	v, err := policy(t, witnessed).Verify(exampleNote())
	if err != nil || v.Size != 3 || v.Origin != origin || len(v.Witnesses) != 1 {
		t.Fatalf("Verify = %+v, %v", v, err)
	}
	l, err := proof.DecodeLeaf([]byte(exampleLeaf))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := l.Encode(); err != nil || string(b) != exampleLeaf {
		t.Errorf("the leaf encodes to %s, %v", b, err)
	}
	h := proof.LeafHash([]byte(exampleLeaf))
	if got := base64.StdEncoding.EncodeToString(h[:]); got != "HZcuNU9Iz0GsK/XhPINUHKtO3mx6Oama1KYJFxL7ZRc=" {
		t.Errorf("leaf hash %s", got)
	}
	text := "c2sp.org/tlog-proof@v1\nindex 1\n" + examplePath + "\n" + string(exampleNote())
	r, err := proof.ParseReceipt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.Encode(), []byte(text)) {
		t.Error("the receipt does not encode to itself")
	}
	if _, err := r.Verify([]byte(exampleLeaf), policy(t, witnessed)); err != nil {
		t.Error(err)
	}
	if _, err := r.Verify([]byte("a"), policy(t, witnessed)); !errors.Is(err, fault.Unverified) {
		t.Errorf("another leaf: %v", err)
	}
	for i := range text {
		bad := []byte(text)
		bad[i] ^= 1
		r, err := proof.ParseReceipt(bad)
		if err == nil {
			_, err = r.Verify([]byte(exampleLeaf), policy(t, witnessed))
		}
		if !errors.Is(err, fault.Unverified) {
			t.Errorf("byte %d, %q for %q: %v", i, bad[i], text[i], err)
		}
	}
}

func TestPolicy(t *testing.T) {
	// The bare key trusts the log and nobody else: a cosignature is an extra
	// that nothing verifies.
	bare := policy(t, logVKey+"\n")
	if _, err := bare.Verify([]byte(exampleLog + "\n" + logLine)); err != nil {
		t.Error(err)
	}
	for name, note := range map[string]string{
		"an unknown cosignature":  string(exampleNote()),
		"no signature":            exampleLog + "\n",
		"the log's twice":         exampleLog + "\n" + logLine + logLine,
		"an extension line":       exampleLog + "more\n\n" + logLine,
		"text behind":             exampleLog + "\n" + logLine + "x",
		"no last newline":         strings.TrimSuffix(exampleLog+"\n"+logLine, "\n"),
		"a size with a zero":      strings.Replace(exampleLog, "\n3\n", "\n03\n", 1) + "\n" + logLine,
		"a million signatures":    exampleLog + "\n" + strings.Repeat(logLine, 1000),
		"carriage returns":        strings.ReplaceAll(exampleLog+"\n"+logLine, "\n", "\r\n"),
		"a signature that is off": exampleLog + "\n" + strings.Replace(logLine, "lSiypvQk", "lSiypvQl", 1),
	} {
		if _, err := bare.Verify([]byte(note)); !errors.Is(err, fault.Unverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := policy(t, witnessed).Verify([]byte(exampleLog + "\n" + logLine)); !errors.Is(err, fault.Unverified) {
		t.Errorf("without its quorum: %v", err)
	}
	for name, text := range map[string]string{
		"empty":                "",
		"rubbish":              "trust me",
		"no quorum":            "log " + logVKey + "\n",
		"two quorums":          witnessed + "quorum none\n",
		"an unknown member":    strings.Replace(witnessed, "quorum w1", "group g 1 w2\nquorum g", 1),
		"a group of zero":      strings.Replace(witnessed, "quorum w1", "group g 0 w1\nquorum g", 1),
		"a group too large":    strings.Replace(witnessed, "quorum w1", "group g 2 w1\nquorum g", 1),
		"a member twice":       strings.Replace(witnessed, "quorum w1", "group g 1 w1 w1\nquorum g", 1),
		"a key twice":          strings.Replace(witnessed, "quorum", "witness w2 "+witVKey+"\nquorum", 1),
		"a log as witness":     strings.Replace(witnessed, witVKey, logVKey, 1),
		"a hash that is wrong": strings.Replace(witnessed, "9528b2a6", "9528b2a7", 1),
		"only witnesses":       "witness w1 " + witVKey + "\nquorum w1\n",
	} {
		if _, err := proof.ParsePolicy([]byte(text)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A world is a small log made by hand, with its key.
type world struct {
	t      testing.TB
	log    note.Signer
	hashes []tlog.Hash
	leaves [][]byte
}

type hashReader []tlog.Hash

func (h hashReader) ReadHashes(idx []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range idx {
		out = append(out, h[i])
	}
	return out, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	vkey, err := note.NewEd25519VerifierKey(origin, priv.Public().(ed25519.PublicKey))
	if err != nil || vkey != logVKey {
		t.Fatalf("vkey %s, %v", vkey, err)
	}
	hash, err := hex.DecodeString(strings.Split(vkey, "+")[1])
	if err != nil {
		t.Fatal(err)
	}
	skey := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, binary.BigEndian.Uint32(hash), base64.StdEncoding.EncodeToString(append([]byte{1}, priv.Seed()...)))
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, log: s}
}

func (w *world) append(leaf []byte) uint64 {
	w.t.Helper()
	n := int64(len(w.leaves))
	hs, err := tlog.StoredHashes(n, leaf, hashReader(w.hashes))
	if err != nil {
		w.t.Fatal(err)
	}
	w.hashes = append(w.hashes, hs...)
	w.leaves = append(w.leaves, leaf)
	return uint64(n)
}

func (w *world) receipt(i uint64) []byte {
	w.t.Helper()
	size := int64(len(w.leaves))
	root, err := tlog.TreeHash(size, hashReader(w.hashes))
	if err != nil {
		w.t.Fatal(err)
	}
	path, err := tlog.ProveRecord(size, int64(i), hashReader(w.hashes))
	if err != nil {
		w.t.Fatal(err)
	}
	text := origin + "\n" + strconv.FormatInt(size, 10) + "\n" + root.String() + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	r := proof.Receipt{Index: i, Checkpoint: signed}
	for _, h := range path {
		r.Path = append(r.Path, h)
	}
	return r.Encode()
}

func contributor(seed byte) sign.Signer {
	return sign.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
}

// submit logs a statement and returns its entry, without a receipt.
func (w *world) submit(s *manifests.Statement, signers ...sign.Signer) (proof.Entry, uint64) {
	w.t.Helper()
	payload, err := manifests.Encode(s)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := sign.Seal(payload, signers...)
	if err != nil {
		w.t.Fatal(err)
	}
	enc, err := e.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := proof.NewLeaf(e, enc)
	if err != nil {
		w.t.Fatal(err)
	}
	leaf, err := l.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	return proof.Entry{Envelope: enc, Leaf: leaf}, w.append(leaf)
}

func common(n byte) manifests.Common {
	return manifests.Common{Registry: origin, Nonce: base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{n}, 16)), IssuedAt: "2026-11-24T08:00:00Z"}
}

func profile(n byte, who sign.Signer) *manifests.Statement {
	return manifests.New(&manifests.Profile{Common: common(n), Identity: who.ID(), Name: "Ana"})
}

func revoke(n byte, who sign.Signer) *manifests.Statement {
	return manifests.New(&manifests.Key{Common: common(n), Identity: who.ID(), Key: who.ID(), Op: manifests.KeyRevoke})
}

func failing(r *proof.BundleReport) []string {
	var all []string
	for _, f := range r.Findings {
		if f.Status == proof.Fails {
			all = append(all, f.Check)
		}
	}
	return all
}

func TestBundle(t *testing.T) {
	w := newWorld(t)
	ana := contributor(3)
	w.append([]byte("a"))
	entry, i := w.submit(profile(1, ana), ana)
	key, k := w.submit(revoke(2, ana), ana)
	late, j := w.submit(profile(3, ana), ana)
	entry.Receipt, key.Receipt, late.Receipt = w.receipt(i), w.receipt(k), w.receipt(j)
	p := policy(t, logVKey)

	verify := func(b proof.Bundle) *proof.BundleReport {
		t.Helper()
		enc, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		r, err := proof.VerifyBundle(enc, p)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := verify(proof.Bundle{Entry: entry, KeyEvents: []proof.Entry{key}})
	if !good.Holds() || good.Index != i || good.Origin != origin || good.Size != 4 || good.Kind != manifests.KindProfile {
		t.Errorf("a good bundle: %+v", good)
	}
	for name, c := range map[string]struct {
		b    proof.Bundle
		want string
	}{
		"signed after the revocation": {proof.Bundle{Entry: late, KeyEvents: []proof.Entry{key}}, proof.CheckKeys},
		"another entry's leaf":        {proof.Bundle{Entry: proof.Entry{Envelope: entry.Envelope, Leaf: late.Leaf, Receipt: late.Receipt}}, proof.CheckLeaf},
		"another entry's receipt":     {proof.Bundle{Entry: proof.Entry{Envelope: entry.Envelope, Leaf: entry.Leaf, Receipt: late.Receipt}}, proof.CheckInclusion},
		"a profile as key event":      {proof.Bundle{Entry: entry, KeyEvents: []proof.Entry{late}}, proof.CheckKeys},
	} {
		if got := failing(verify(c.b)); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: fails %v, want %s", name, got, c.want)
		}
	}
	other := policy(t, "log "+strings.Replace(witVKey, witVKey, logVKey, 1)+"\nquorum none")
	enc, err := (&proof.Bundle{Entry: entry}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := proof.VerifyBundle(enc, other); err != nil || !r.Holds() {
		t.Errorf("a policy with the same log: %v, %v", r, err)
	}
}

// TestEveryByteOfABundleCounts changes each byte of a bundle: none may hold.
func TestEveryByteOfABundleCounts(t *testing.T) {
	w := newWorld(t)
	ana := contributor(3)
	w.append([]byte("a"))
	key, k := w.submit(manifests.New(&manifests.Key{Common: common(9), Identity: ana.ID(), Key: ana.ID(), Op: manifests.KeyFirst}), ana)
	entry, i := w.submit(profile(1, ana), ana)
	entry.Receipt, key.Receipt = w.receipt(i), w.receipt(k)
	enc, err := (&proof.Bundle{Entry: entry, KeyEvents: []proof.Entry{key}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t, logVKey)
	if r, err := proof.VerifyBundle(enc, p); err != nil || !r.Holds() {
		t.Fatalf("the bundle itself: %+v, %v", r, err)
	}
	for i := range enc {
		bad := bytes.Clone(enc)
		bad[i] ^= 1 << (i % 8)
		if r, err := proof.VerifyBundle(bad, p); err != nil || r.Holds() {
			t.Errorf("byte %d, %q for %q: holds", i, bad[i], enc[i])
		}
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 1\n" + examplePath + "\n" + string(exampleNote())))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := proof.ParseReceipt(b); err == nil && !bytes.Equal(r.Encode(), b) {
			t.Fatalf("accepted %q, which encodes to %q", b, r.Encode())
		}
	})
}

func FuzzVerifyNote(f *testing.F) {
	f.Add(exampleNote(), witnessed)
	f.Add([]byte(exampleLog+"\n"+logLine), logVKey)
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		p, err := proof.ParsePolicy([]byte(text))
		if err != nil {
			return
		}
		if v, err := p.Verify(b); err == nil && !bytes.HasPrefix(b, v.Text()) {
			t.Fatalf("accepted %q as %+v", b, v)
		}
	})
}

func FuzzDecodeLeaf(f *testing.F) {
	f.Add([]byte(exampleLeaf))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := proof.DecodeLeaf(b); err == nil {
			if again, err := l.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
			}
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte(`{"envelope":{},"leaf":"YQ==","proof":"x","v":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := proof.ParseBundle(b); err == nil {
			if again, err := v.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
			}
		}
	})
}
