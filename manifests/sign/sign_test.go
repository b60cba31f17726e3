package sign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The published example: contributor seed 32 × 0x03.
const (
	examplePayload = `{"_type":"https://in-toto.io/Statement/v1","predicate":{"nonce":"AAAAAAAAAAAAAAAAAAAAAA","registry":"cairn.example/log"},"predicateType":"https://cairn.example/contribution/v1","subject":[{"digest":{"sha256":"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"},"name":"hello@1","uri":"ipfs://bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"}]}`
	exampleKey     = sign.KeyID("did:key:z6MkvRXNYcE7MMduynWTgeKbDaT1iijDSC8pZqXZc8rHPrf2")
	exampleSig     = "3xUNE/EvdbMGSkJkgsYX4KfYotBphSokNTcxqckcGwvJaiaPllh9rnCVicbJKiniqFxtBbpyjdHAiBchmcSBAg=="
	examplePAE     = "d9ba7b827bc54717277b2b10aa2adef2931e3bf28588c1ba4ca730749be054e6"
	exampleEnv     = "bafkreigsuayo4pop6jcd6we7ezm2hw26dgliu5kkm5zqdmmugmnloybpd4"
	exampleStmt    = "bafkreibhtztx6ivnieavtrad6bm2wwphphfwxdm34kqf2kf72zyvpyuaha"
)

func ed(seed byte) sign.Signer {
	return sign.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
}

func p256(t testing.TB) sign.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.NewP256(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExample(t *testing.T) {
	sum := sha256.Sum256(sign.PAE(sign.PayloadType, []byte(examplePayload)))
	if got := hex.EncodeToString(sum[:]); got != examplePAE {
		t.Errorf("SHA-256 of the PAE is %s, want %s", got, examplePAE)
	}
	e, err := sign.Seal([]byte(examplePayload), ed(3))
	if err != nil {
		t.Fatal(err)
	}
	if e.Signatures[0].KeyID != exampleKey || base64.StdEncoding.EncodeToString(e.Signatures[0].Sig) != exampleSig {
		t.Errorf("signature %+v", e.Signatures[0])
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got := cjson.RawCID(b).String(); got != exampleEnv || len(b) != 736 {
		t.Errorf("envelope %s of %d bytes, want %s of 736", got, len(b), exampleEnv)
	}
	if got := cjson.RawCID([]byte(examplePayload)).String(); got != exampleStmt {
		t.Errorf("statement %s, want %s", got, exampleStmt)
	}
}

func TestSealOpenRoundTrip(t *testing.T) {
	signers := []sign.Signer{ed(9), p256(t), ed(1), p256(t)}
	e, err := sign.Seal([]byte("{}"), signers...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	d, err := sign.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	payload, ids, err := d.Open()
	if err != nil || string(payload) != "{}" || len(ids) != len(signers) {
		t.Fatalf("Open = %q, %v, %v", payload, ids, err)
	}
	for _, s := range signers {
		if got, err := sign.ParseKeyID(string(s.ID())); err != nil || got != s.ID() {
			t.Errorf("ParseKeyID(%s) = %s, %v", s.ID(), got, err)
		}
	}
	if err := e.Add(signers[0]); !errors.Is(err, fault.Conflict) {
		t.Errorf("signing twice: %v", err)
	}
}

// TestEveryByteOfAnEnvelopeCounts changes each byte of a sealed envelope: none
// may decode and open.
func TestEveryByteOfAnEnvelopeCounts(t *testing.T) {
	e, err := sign.Seal([]byte(examplePayload), ed(3), p256(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(b)
			bad[i] ^= bit
			d, err := sign.Decode(bad)
			if err != nil {
				continue
			}
			if _, _, err := d.Open(); err == nil {
				t.Errorf("byte %d, %q for %q: still opens", i, bad[i], b[i])
			}
		}
	}
}

func TestNormalize(t *testing.T) {
	a, b := ed(1), p256(t)
	e, err := sign.Seal([]byte("{}"), a, b)
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sig := func(id sign.KeyID) string {
		for _, s := range e.Signatures {
			if s.KeyID == id {
				return base64.StdEncoding.EncodeToString(s.Sig)
			}
		}
		return ""
	}
	text := func(sigs ...string) string {
		return fmt.Sprintf(`{ "signatures": [%s], "payloadType":%q, "payload":"e30=", "comment":{"x":[1]} }`, strings.Join(sigs, ","), sign.PayloadType)
	}
	one := func(keyid, sig string) string { return fmt.Sprintf(`{"sig":%q,"keyid":%q,"cert":"x"}`, sig, keyid) }
	for name, in := range map[string]string{
		"hints are names of any kind": text(one("ana", sig(a.ID())), one("", sig(b.ID()))),
		"hints are swapped":           text(one(string(b.ID()), sig(a.ID())), one(string(a.ID()), sig(b.ID()))),
		"a key twice":                 text(one("", sig(a.ID())), one("", sig(b.ID())), one("", sig(a.ID()))),
	} {
		got, err := sign.Normalize([]byte(in), []sign.KeyID{a.ID(), b.ID()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		enc, err := got.Encode()
		if err != nil || !bytes.Equal(enc, want) {
			t.Errorf("%s: %s, %v", name, enc, err)
		}
	}
	for name, c := range map[string]struct {
		in   string
		code fault.Code
	}{
		"a stranger signed":  {text(one("", sig(b.ID()))), fault.Unverified},
		"URL-safe base64":    {strings.Replace(text(one("", sig(a.ID()))), "e30=", "-_-_", 1), fault.Invalid},
		"duplicate key":      {strings.Replace(text(one("", sig(a.ID()))), `"comment"`, `"payload"`, 1), fault.Invalid},
		"other payload type": {strings.Replace(text(one("", sig(a.ID()))), "in-toto", "other", 1), fault.Invalid},
		"no signature":       {text(), fault.Invalid},
		"33 signatures":      {text(slices.Repeat([]string{one("", sig(a.ID()))}, 33)...), fault.Invalid},
		"not JSON":           {"DSSE", fault.Invalid},
	} {
		if _, err := sign.Normalize([]byte(c.in), []sign.KeyID{a.ID()}); fault.Of(err) != c.code {
			t.Errorf("%s: %v (%s), want %s", name, err, fault.Of(err), c.code)
		}
	}
}

func TestParseKeyIDRefuses(t *testing.T) {
	good := string(exampleKey)
	for _, s := range []string{"", "did:key:", good + "1", good[:len(good)-1], strings.ToUpper(good), "did:key:z" + strings.Repeat("1", 200),
		"did:web:example.org", "did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F" /* X25519 */} {
		if id, err := sign.ParseKeyID(s); !errors.Is(err, fault.Invalid) {
			t.Errorf("ParseKeyID(%q) = %s, %v", s, id, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	e, err := sign.Seal([]byte(examplePayload), ed(3))
	if err != nil {
		f.Fatal(err)
	}
	b, err := e.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := sign.Normalize(b, nil); err == nil {
			enc, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sign.Decode(enc); err != nil {
				t.Fatalf("normalised, but not decodable: %v\n%s", err, enc)
			}
		}
		e, err := sign.Decode(b)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
		}
	})
}

func FuzzParseKeyID(f *testing.F) {
	f.Add(string(exampleKey))
	f.Add(string(p256(f).ID()))
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := sign.ParseKeyID(s); err == nil && string(id) != s {
			t.Fatalf("%q became %q", s, id)
		}
	})
}
