// Package httpsig signs HTTP requests and checks such signatures: the part of
// RFC 9421 that cairn's requests use, with Ed25519 keys that name themselves as
// did:key, and the Content-Digest field of RFC 9530 with sha-256.
//
// A signature covers components: derived ones (@method, @target-uri,
// @authority, @path, @query) and fields, all without parameters. There is one
// signature in a request. Everything else that the RFCs allow is refused: a
// reader that is strict about what it signs for has less to be wrong about.
//
// The package does no I/O and looks at no clock. Whether a signature is fresh,
// and its nonce new, is for the caller to judge by [Params].
package httpsig

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The fields of a signed request.
const (
	FieldInput     = "Signature-Input"
	FieldSignature = "Signature"
	FieldDigest    = "Content-Digest"
)

// Alg is the algorithm that is read and written; RFC 9421, 3.3.6.
const Alg = "ed25519"

// Label is what [Sign] calls its signature. Any other is read too.
const Label = "cairn"

// Limits of what is read. A request that cairn signs is far below them.
const (
	maxInput      = 4 << 10 // bytes of Signature-Input: some twenty components and their parameters
	maxComponents = 32      // each is a lookup
	maxValue      = 8 << 10 // bytes of one component's value: a URL is the longest
	maxString     = 512     // bytes of a parameter
)

// A Message is what a signature is over.
type Message struct {
	Method string
	// TargetURI is the absolute URI of the request: scheme, authority, path and
	// query as they stand in the request line.
	TargetURI string
	// Field returns the values of a field, by its lower-case name; nil when it is
	// not there.
	Field func(name string) []string
}

// Params are what a signature says of itself.
type Params struct {
	Components []string // in the order in which they are signed
	Created    int64    // Unix seconds; 0 when absent
	Expires    int64    // Unix seconds; 0 when absent
	Nonce      string
	KeyID      string
	Alg        string
	Tag        string
}

// A Signature is a signature with its parameters, as a request carries it.
type Signature struct {
	Label string
	Params
	Sig []byte

	// params is the member of Signature-Input as it stands there: the last line
	// of the signature base, byte for byte.
	params string
}

// Covers reports whether the signature is over all of the components.
func (p Params) Covers(components ...string) bool {
	return !slices.ContainsFunc(components, func(c string) bool { return !slices.Contains(p.Components, c) })
}

// String returns the parameters as Signature-Input has them.
func (p Params) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for i, c := range p.Components {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Quote(c))
	}
	b.WriteByte(')')
	number := func(name string, v int64) {
		if v != 0 {
			b.WriteString(";" + name + "=" + strconv.FormatInt(v, 10))
		}
	}
	text := func(name, v string) {
		if v != "" {
			b.WriteString(";" + name + "=" + quote(v))
		}
	}
	number("created", p.Created)
	number("expires", p.Expires)
	text("nonce", p.Nonce)
	text("keyid", p.KeyID)
	text("alg", p.Alg)
	text("tag", p.Tag)
	return b.String()
}

// quote writes a string of RFC 8941, 4.1.6.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Base returns the signature base of RFC 9421, 2.5: what is signed. A component
// that the message does not have, or that is not known here, is fault.Invalid.
func Base(m Message, p Params) ([]byte, error) { return base(m, p.Components, p.String()) }

func base(m Message, components []string, params string) ([]byte, error) {
	var b []byte
	for _, c := range components {
		v, err := m.component(c)
		if err != nil {
			return nil, err
		}
		if len(v) > maxValue || strings.ContainsAny(v, "\r\n\x00") {
			return nil, fault.New(fault.Invalid, "the component %s cannot be signed", fault.Quote(c))
		}
		b = append(b, '"')
		b = append(b, c...)
		b = append(b, `": `...)
		b = append(b, v...)
		b = append(b, '\n')
	}
	return append(append(b, `"@signature-params": `...), params...), nil
}

// component returns a component's value; RFC 9421, 2.1 and 2.2.
func (m Message) component(name string) (string, error) {
	if !strings.HasPrefix(name, "@") {
		values := m.Field(name)
		if len(values) == 0 {
			return "", fault.New(fault.Invalid, "there is no field %s", fault.Quote(name))
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.Trim(v, " \t")
		}
		return strings.Join(trimmed, ", "), nil
	}
	scheme, rest, ok := strings.Cut(m.TargetURI, "://")
	if !ok {
		return "", fault.New(fault.Invalid, "the target URI is not absolute")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	path, query, asked := strings.Cut(path, "?")
	switch name {
	case "@method":
		return m.Method, nil
	case "@target-uri":
		return m.TargetURI, nil
	case "@authority":
		authority = strings.ToLower(authority)
		if port := map[string]string{"http": ":80", "https": ":443"}[scheme]; port != "" {
			authority = strings.TrimSuffix(authority, port)
		}
		return authority, nil
	case "@path":
		if path == "" {
			path = "/"
		}
		return path, nil
	case "@query":
		if !asked {
			return "?", nil
		}
		return "?" + query, nil
	}
	return "", fault.New(fault.Invalid, "the component %s is not known here", fault.Quote(name))
}

// Sign signs a message and returns the values of Signature-Input and Signature.
// KeyID and Alg of p are set from the signer, which must have an Ed25519 key:
// else fault.Invalid.
func Sign(m Message, p Params, s sign.Signer) (input, signature string, err error) {
	p.KeyID, p.Alg = string(s.ID()), Alg
	if !ed25519Key(p.KeyID) {
		return "", "", fault.WithHint(fault.New(fault.Invalid, "%s is no Ed25519 key, and requests are signed by those alone", s.ID()),
			"use a token that is bound to the key")
	}
	b, err := Base(m, p)
	if err != nil {
		return "", "", err
	}
	sig, err := s.Sign(b)
	if err != nil {
		return "", "", err
	}
	return Label + "=" + p.String(), Label + "=:" + base64.StdEncoding.EncodeToString(sig) + ":", nil
}

// ed25519Key reports whether a keyid is the did:key of an Ed25519 key: the
// multicodec of that kind always begins the text so.
func ed25519Key(id string) bool { return strings.HasPrefix(id, "did:key:z6Mk") }

// Verify checks the signature over m by the key that its keyid names, which must
// be a did:key of an Ed25519 key. An alg that is there must be ed25519. Errors
// are fault.Unverified for a signature that does not hold and fault.Invalid for
// what cannot be checked.
func (s *Signature) Verify(m Message) error {
	if !ed25519Key(s.KeyID) {
		return fault.New(fault.Invalid, "keyid %s is no did:key of an Ed25519 key", fault.Quote(s.KeyID))
	}
	key, err := sign.KeyID(s.KeyID).PublicKey()
	if err != nil {
		return err
	}
	return s.VerifyBy(m, key)
}

// VerifyBy is [Signature.Verify] by a given Ed25519 key, whatever keyid says.
func (s *Signature) VerifyBy(m Message, key sign.PublicKey) error {
	if s.Alg != "" && s.Alg != Alg || !ed25519Key(string(key.ID())) {
		return fault.New(fault.Invalid, "alg %s: only %s is known", fault.Quote(s.Alg), Alg)
	}
	b, err := base(m, s.Components, s.params)
	if err != nil {
		return err
	}
	return key.Verify(b, s.Sig)
}

// Digest returns the value of Content-Digest for a body with this SHA-256.
func Digest(sum [sha256.Size]byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// ParseDigest reads a Content-Digest. It must hold exactly one digest, a
// sha-256; anything else is fault.Invalid.
func ParseDigest(values []string) (sum [sha256.Size]byte, err error) {
	if len(values) != 1 {
		return sum, fault.New(fault.Invalid, "there are %d fields Content-Digest", len(values))
	}
	b64, ok := strings.CutPrefix(strings.Trim(values[0], " \t"), "sha-256=:")
	b64, ok2 := strings.CutSuffix(b64, ":")
	if !ok || !ok2 || len(b64) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return sum, fault.New(fault.Invalid, "Content-Digest is not one sha-256")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(b) != sha256.Size {
		return sum, fault.New(fault.Invalid, "Content-Digest is not one sha-256")
	}
	return [sha256.Size]byte(b), nil
}
