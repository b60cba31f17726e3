package httpsig_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/sign"
)

func message(method, uri string, h http.Header) httpsig.Message {
	return httpsig.Message{Method: method, TargetURI: uri, Field: func(name string) []string { return h.Values(name) }}
}

// rfcRequest is the test request of RFC 9421, B.2.
func rfcRequest() httpsig.Message {
	return message("POST", "https://example.com/foo?param=Value&Pet=dog", http.Header{
		"Date":           {"Tue, 20 Apr 2021 02:07:55 GMT"},
		"Content-Type":   {"application/json"},
		"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"},
		"Content-Length": {"18"},
	})
}

const rfcBase = `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`

// TestRFC9421Ed25519 is section B.2.6 of the RFC.
func TestRFC9421Ed25519(t *testing.T) {
	pub, err := base64.StdEncoding.DecodeString("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.PublicKeyOf(ed25519.PublicKey(pub))
	if err != nil {
		t.Fatal(err)
	}
	s, err := httpsig.Parse(
		[]string{`sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`},
		[]string{`sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:`})
	if err != nil {
		t.Fatal(err)
	}
	b, err := httpsig.Base(rfcRequest(), s.Params)
	if err != nil || string(b) != rfcBase {
		t.Fatalf("the base is\n%s\n%v, want\n%s", b, err, rfcBase)
	}
	if err := s.VerifyBy(rfcRequest(), key); err != nil {
		t.Error(err)
	}
	other := rfcRequest()
	other.Method = "PUT"
	if err := s.VerifyBy(other, key); !errors.Is(err, fault.Unverified) {
		t.Errorf("another method: %v", err)
	}
}

// TestComponents are the examples of RFC 9421, 2.2.
func TestComponents(t *testing.T) {
	for _, c := range []struct{ uri, name, want string }{
		{"https://www.example.com/path?param=value", "@method", "POST"},
		{"https://www.example.com/path?param=value", "@target-uri", "https://www.example.com/path?param=value"},
		{"https://WWW.Example.com:443/path?param=value", "@authority", "www.example.com"},
		{"http://www.example.com:8080/", "@authority", "www.example.com:8080"},
		{"https://www.example.com/path?param=value", "@path", "/path"},
		{"https://www.example.com", "@path", "/"},
		{"https://www.example.com/path?param=value&foo=bar&baz=bat%2Dman", "@query", "?param=value&foo=bar&baz=bat%2Dman"},
		{"https://www.example.com/path?", "@query", "?"},
	} {
		b, err := httpsig.Base(message("POST", c.uri, nil), httpsig.Params{Components: []string{c.name}})
		want := `"` + c.name + `": ` + c.want + "\n" + `"@signature-params": ("` + c.name + `")`
		if err != nil || string(b) != want {
			t.Errorf("%s of %s: %q, %v, want %q", c.name, c.uri, b, err, want)
		}
	}
}

func signer(seed byte) sign.Signer {
	return sign.NewEd25519(ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)))
}

// Whatever is signed verifies; whatever is changed afterwards does not.
func TestSignVerify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-zA-Z0-9_/.-]{1,40}`)
		digest := httpsig.Digest(sha256.Sum256([]byte(text.Draw(t, "body"))))
		h := http.Header{"Content-Digest": {digest}}
		uri := "http://h.example/" + text.Draw(t, "path")
		p := httpsig.Params{
			Components: []string{"@method", "@target-uri", "content-digest"},
			Created:    rapid.Int64Range(1, 1e10).Draw(t, "created"), Expires: rapid.Int64Range(1, 1e10).Draw(t, "expires"),
			Nonce: rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "nonce"),
		}
		input, sig, err := httpsig.Sign(message("PUT", uri, h), p, signer(1))
		if err != nil {
			t.Fatal(err)
		}
		s, err := httpsig.Parse([]string{input}, []string{sig})
		if err != nil {
			t.Fatal(err)
		}
		if s.Nonce != p.Nonce || s.Created != p.Created || s.Expires != p.Expires || s.KeyID != string(signer(1).ID()) {
			t.Fatalf("read %+v, wrote %+v", s.Params, p)
		}
		if err := s.Verify(message("PUT", uri, h)); err != nil {
			t.Fatal(err)
		}
		changed := http.Header{"Content-Digest": {httpsig.Digest(sha256.Sum256([]byte("other")))}}
		for _, m := range []httpsig.Message{message("POST", uri, h), message("PUT", uri+"x", h), message("PUT", uri, changed), message("PUT", uri, nil)} {
			if s.Verify(m) == nil {
				t.Fatalf("verifies for %s %s too", m.Method, m.TargetURI)
			}
		}
		for _, edit := range []string{`created=`, `expires=`, `keyid="did:key:z6Mk`} {
			forged := strings.Replace(input, edit, edit+"1", 1)
			if f, err := httpsig.Parse([]string{forged}, []string{sig}); err == nil && f.Verify(message("PUT", uri, h)) == nil {
				t.Fatalf("verifies with %s", forged)
			}
		}
	})
}

func TestParseRefuses(t *testing.T) {
	good, sig := `a=("@method");created=1;keyid="k"`, `a=:AAAA:`
	if _, err := httpsig.Parse([]string{good}, []string{sig}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ input, sig []string }{
		"none":               {nil, nil},
		"two fields":         {[]string{good, good}, []string{sig}},
		"two members":        {[]string{good + `, b=("@method")`}, []string{sig}},
		"another label":      {[]string{good}, []string{`b=:AAAA:`}},
		"no list":            {[]string{`a="@method"`}, []string{sig}},
		"a component twice":  {[]string{`a=("@method" "@method")`}, []string{sig}},
		"a parameter twice":  {[]string{`a=("@method");created=1;created=2`}, []string{sig}},
		"two spaces":         {[]string{`a=("@method"  "@path")`}, []string{sig}},
		"a component's own":  {[]string{`a=("@method";req)`}, []string{sig}},
		"upper case":         {[]string{`a=("Content-Digest")`}, []string{sig}},
		"itself":             {[]string{`a=("@signature-params")`}, []string{sig}},
		"negative":           {[]string{`a=("@method");created=-1`}, []string{sig}},
		"leading zero":       {[]string{`a=("@method");created=01`}, []string{sig}},
		"huge":               {[]string{`a=("@method");created=99999999999999999999`}, []string{sig}},
		"decimal":            {[]string{`a=("@method");created=1.5`}, []string{sig}},
		"an unknown one":     {[]string{`a=("@method");sig=1`}, []string{sig}},
		"bare":               {[]string{`a=("@method");nonce`}, []string{sig}},
		"open string":        {[]string{`a=("@method");nonce="x`}, []string{sig}},
		"control character":  {[]string{"a=(\"@method\");nonce=\"x\x01\""}, []string{sig}},
		"url-safe base64":    {[]string{good}, []string{`a=:A-_A:`}},
		"unpadded":           {[]string{good}, []string{`a=:AAA:`}},
		"trailing":           {[]string{good}, []string{`a=:AAAA:x`}},
		"too long":           {[]string{`a=("@method");nonce="` + strings.Repeat("x", 5000) + `"`}, []string{sig}},
		"trailing semicolon": {[]string{`a=("@method");`}, []string{sig}},
	} {
		if _, err := httpsig.Parse(c.input, c.sig); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestOnlyEd25519(t *testing.T) {
	m := message("GET", "http://h/", nil)
	p := httpsig.Params{Components: []string{"@method"}}
	input, sig, err := httpsig.Sign(m, p, signer(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"hmac-sha256", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "none"} {
		s, err := httpsig.Parse([]string{strings.Replace(input, `alg="ed25519"`, `alg="`+alg+`"`, 1)}, []string{sig})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(m); !errors.Is(err, fault.Invalid) {
			t.Errorf("alg %s: %v", alg, err)
		}
	}
}

func TestDigest(t *testing.T) {
	sum := sha256.Sum256([]byte(`{"hello": "world"}`))
	text := httpsig.Digest(sum)
	if want := "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"; text != want { // RFC 9530, appendix D
		t.Errorf("Digest = %s, want %s", text, want)
	}
	if got, err := httpsig.ParseDigest([]string{text}); err != nil || got != sum {
		t.Errorf("ParseDigest = %x, %v", got, err)
	}
	for _, bad := range [][]string{nil, {text, text}, {text + ", " + text}, {"sha-512=:AAAA:"}, {"sha-256=X48E"}, {"sha-256=::"}, {text + ";x"}, {strings.Replace(text, "PE=", "PF=", 1)}} {
		if _, err := httpsig.ParseDigest(bad); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What is read is written again as it was, up to white space at the ends.
func FuzzParse(f *testing.F) {
	f.Add(`sig1=("@method" "content-digest");created=1618884473;expires=1618884773;nonce="b3k2pp5k7z-50gnwp.yemd";keyid="k";alg="ed25519"`, `sig1=:AAAA:`)
	f.Add(`a=();tag="x\"y\\"`, `a=::`)
	f.Add(`a=("@method");created=-1`, `a=:A:`)
	f.Fuzz(func(t *testing.T, input, sig string) {
		s, err := httpsig.Parse([]string{input}, []string{sig})
		if err != nil {
			if !errors.Is(err, fault.Invalid) {
				t.Fatalf("the code of %v", err)
			}
			return
		}
		again, err := httpsig.Parse([]string{s.Label + "=" + s.Params.String()}, []string{sig})
		if err != nil {
			t.Fatalf("read %q as %+v, which is not read: %v", input, s.Params, err)
		}
		if again.Params.String() != s.Params.String() || again.Label != s.Label {
			t.Fatalf("%q is read as %q, and that as %q", input, s.Params, again.Params)
		}
	})
}
