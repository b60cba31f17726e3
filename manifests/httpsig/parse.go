package httpsig

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Parse reads the values of Signature-Input and Signature of a request. Each
// must be one field with one member, under the same label; the member of
// Signature-Input is a list of strings without parameters, and parameters of the
// kinds that [Params] has, each at most once. Everything else is fault.Invalid.
func Parse(input, signature []string) (*Signature, error) {
	if len(input) != 1 || len(signature) != 1 {
		return nil, fault.New(fault.Invalid, "there must be one %s and one %s", FieldInput, FieldSignature)
	}
	if len(input[0]) > maxInput || len(signature[0]) > maxInput {
		return nil, fault.New(fault.Invalid, "%s or %s is too long", FieldInput, FieldSignature)
	}
	p := parser{strings.Trim(input[0], " ")}
	s := &Signature{}
	var ok bool
	if s.Label, ok = p.key(); !ok || !p.take("=") {
		return nil, fault.New(fault.Invalid, "%s begins with no label", FieldInput)
	}
	s.params = p.rest
	if err := p.member(&s.Params); err != nil {
		return nil, err
	}
	q := parser{strings.Trim(signature[0], " ")}
	label, ok := q.key()
	if !ok || label != s.Label || !q.take("=:") {
		return nil, fault.New(fault.Invalid, "%s does not begin with the label of %s", FieldSignature, FieldInput)
	}
	b64, ok := strings.CutSuffix(q.rest, ":")
	sig, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || err != nil || strings.ContainsAny(b64, "\r\n") {
		return nil, fault.New(fault.Invalid, "%s is not one byte sequence", FieldSignature)
	}
	s.Sig = sig
	return s, nil
}

// A parser reads the parts of RFC 8941 that a signature's parameters are made
// of, from the front.
type parser struct{ rest string }

func (p *parser) take(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	if ok {
		p.rest = rest
	}
	return ok
}

// key reads a key: RFC 8941, 3.1.2.
func (p *parser) key() (string, bool) {
	n := 0
	for n < len(p.rest) {
		c := p.rest[n]
		first := c >= 'a' && c <= 'z' || c == '*'
		if !first && (n == 0 || !(c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.')) {
			break
		}
		n++
	}
	k := p.rest[:n]
	p.rest = p.rest[n:]
	return k, n > 0 && n <= 64
}

// text reads a string: RFC 8941, 3.3.3.
func (p *parser) text() (string, bool) {
	if !p.take(`"`) {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(p.rest) && b.Len() <= maxString; i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\':
			i++
			if i >= len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", false
			}
			b.WriteByte(p.rest[i])
		case c < 0x20 || c > 0x7e:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// integer reads a time in seconds: a positive integer without leading zeros.
func (p *parser) integer() (int64, bool) {
	n := 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 15 || p.rest[0] == '0' {
		return 0, false
	}
	v, err := strconv.ParseInt(p.rest[:n], 10, 64)
	p.rest = p.rest[n:]
	return v, err == nil
}

// component checks the name of a component: a derived one, or a field's in lower case.
func component(s string) bool {
	if s == "" || s == "@signature-params" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '@' && i == 0) {
			return false
		}
	}
	return true
}

// member reads an inner list of components and the parameters behind it, to the end.
func (p *parser) member(out *Params) error {
	bad := func(what string) error { return fault.New(fault.Invalid, "%s: %s", FieldInput, what) }
	if !p.take("(") {
		return bad("no list of components")
	}
	for !p.take(")") {
		if len(out.Components) > 0 && !p.take(" ") {
			return bad("components are separated by one space")
		}
		c, ok := p.text()
		if !ok || !component(c) || out.Covers(c) {
			return bad("not a component, or one that stands there twice")
		}
		if out.Components = append(out.Components, c); len(out.Components) > maxComponents {
			return bad("too many components")
		}
	}
	seen := make(map[string]bool)
	for p.rest != "" {
		if !p.take(";") {
			return bad("more than one signature, or something behind it")
		}
		k, ok := p.key()
		if !ok || !p.take("=") || seen[k] {
			return bad("not a parameter, or one that stands there twice")
		}
		seen[k] = true
		switch k {
		case "created":
			out.Created, ok = p.integer()
		case "expires":
			out.Expires, ok = p.integer()
		case "nonce":
			out.Nonce, ok = p.text()
		case "keyid":
			out.KeyID, ok = p.text()
		case "alg":
			out.Alg, ok = p.text()
		case "tag":
			out.Tag, ok = p.text()
		default:
			ok = false
		}
		if !ok {
			return bad("the parameter " + fault.Quote(k) + " is not known, or not of its kind")
		}
	}
	return nil
}
