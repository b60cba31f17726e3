package sign_test

import (
	"bytes"
	"crypto/ed25519"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// fill returns the envelope of one signer, whose payload is JSON of n bytes.
func fill(t *testing.T, n int) *sign.Envelope {
	t.Helper()
	e, err := sign.Seal([]byte(`"`+strings.Repeat("x", n-2)+`"`), ed(3))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// largest returns an envelope of exactly sign.MaxEnvelope bytes: of another
// payloadType, since no statement within MaxPayload fills one.
func largest(t *testing.T) []byte {
	t.Helper()
	b, err := fill(t, sign.MaxPayload).Encode()
	if err != nil {
		t.Fatal(err)
	}
	e := fill(t, sign.MaxPayload)
	e.PayloadType += strings.Repeat("x", sign.MaxEnvelope-len(b))
	if b, err = e.Encode(); err != nil || len(b) != sign.MaxEnvelope {
		t.Fatalf("an envelope of %d bytes, %v", len(b), err)
	}
	return b
}

func TestEnvelopeLimit(t *testing.T) {
	b := largest(t)
	if _, err := sign.Decode(b); fault.Of(err) != fault.Invalid { // of another type, not too large
		t.Errorf("%d bytes: %v", len(b), err)
	}
	over := bytes.Replace(b, []byte("json"), []byte("json-"), 1)
	if _, err := sign.Decode(over); fault.Of(err) != fault.TooLarge {
		t.Errorf("%d bytes: %v, want too large", len(over), err)
	}
	e := fill(t, sign.MaxPayload)
	small, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	e.PayloadType += strings.Repeat("x", sign.MaxEnvelope-len(small)+1)
	if _, err := e.Encode(); fault.Of(err) != fault.TooLarge {
		t.Errorf("an envelope of one byte more is written: %v", err)
	}
	// What another tool wrote may have white space, as much again.
	for name, c := range map[string]struct {
		size int
		code fault.Code
	}{
		"as much":       {2 * sign.MaxEnvelope, ""},
		"one byte more": {2*sign.MaxEnvelope + 1, fault.TooLarge},
	} {
		loose := append(slices.Clone(small), bytes.Repeat([]byte(" "), c.size-len(small))...)
		if _, err := sign.Normalize(loose, nil); fault.Of(err) != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
		if _, err := sign.Peek(loose); fault.Of(err) != c.code {
			t.Errorf("%s: Peek: %v, want %q", name, err, c.code)
		}
	}
	if _, err := sign.Seal(bytes.Repeat([]byte("1"), sign.MaxPayload+1), ed(3)); fault.Of(err) != fault.TooLarge {
		t.Errorf("a payload of one byte more: %v", err)
	}
}

// TestNothingBehindAnEnvelope: one envelope, and then nothing but white space,
// and that only where foreign tools are read.
func TestNothingBehindAnEnvelope(t *testing.T) {
	good, err := fill(t, 10).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tail  string
		loose fault.Code // of Normalize and Peek
	}{
		"a newline":         {"\n", ""},
		"a letter":          {"x", fault.Invalid},
		"a NUL":             {"\x00", fault.Invalid},
		"a brace":           {"}", fault.Invalid},
		"the same again":    {string(good), fault.Invalid},
		"on another line":   {"\n{}", fault.Invalid},
		"a number":          {" 1", fault.Invalid},
		"a comma":           {",", fault.Invalid},
		"a byte order mark": {"\ufeff", fault.Invalid},
	} {
		b := append(slices.Clone(good), c.tail...)
		if _, err := sign.Decode(b); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: Decode: %v, want invalid", name, err)
		}
		if _, err := sign.Normalize(b, nil); fault.Of(err) != c.loose {
			t.Errorf("%s: Normalize: %v, want %q", name, err, c.loose)
		}
		if _, err := sign.Peek(b); fault.Of(err) != c.loose {
			t.Errorf("%s: Peek: %v, want %q", name, err, c.loose)
		}
	}
}

// TestOneSignatureForAMessage: S and S+L satisfy the same equation, so a verifier
// that takes both lets anybody make a second envelope out of the first.
func TestOneSignatureForAMessage(t *testing.T) {
	order, ok := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	if !ok {
		t.Fatal("the order of the group is no number")
	}
	key, err := ed(3).ID().PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	e := fill(t, 10)
	msg := sign.PAE(e.PayloadType, e.Payload)
	good := e.Signatures[0].Sig
	if err := key.Verify(msg, good); err != nil {
		t.Fatal(err)
	}
	le := slices.Clone(good[32:])
	slices.Reverse(le)
	s := new(big.Int).SetBytes(le)
	for i := range 8 { // S+8L has more than 32 bytes from there on
		if s.Add(s, order); s.BitLen() > 256 {
			if i == 0 {
				t.Fatal("no second form was tried")
			}
			break
		}
		b := s.FillBytes(make([]byte, 32))
		slices.Reverse(b)
		bad := append(slices.Clone(good[:32]), b...)
		if err := key.Verify(msg, bad); fault.Of(err) != fault.Unverified {
			t.Errorf("S + %dL: %v, want unverified", i+1, err)
		}
		e.Signatures[0].Sig = bad
		enc, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		d, err := sign.Decode(enc)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.Open(); fault.Of(err) != fault.Unverified {
			t.Errorf("S + %dL: the envelope opens: %v", i+1, err)
		}
		if _, err := sign.Normalize(enc, []sign.KeyID{ed(3).ID()}); fault.Of(err) != fault.Unverified {
			t.Errorf("S + %dL: the envelope is normalised: %v", i+1, err)
		}
	}
	for name, sig := range map[string][]byte{
		"none":      nil,
		"cut":       good[:ed25519.SignatureSize-1],
		"one more":  append(slices.Clone(good), 0),
		"two of it": append(slices.Clone(good), good...),
	} {
		if err := key.Verify(msg, sig); fault.Of(err) != fault.Unverified {
			t.Errorf("%s: %v, want unverified", name, err)
		}
	}
}
