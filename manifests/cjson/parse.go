package cjson

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cairn-registry/cairn/manifests/fault"
)

type kind byte

const (
	kindLiteral kind = iota // null, true, false, and integers: text is their bytes
	kindString
	kindArray
	kindObject
)

// A value is a parsed JSON value that keeps to the profile.
type value struct {
	kind    kind
	text    string
	items   []value
	members []member
}

type member struct {
	key   string
	value value
}

type parser struct {
	b   []byte
	pos int
}

func parse(b []byte) (value, error) {
	if len(b) > MaxInput {
		return value{}, fault.New(fault.TooLarge, "the JSON text has %d bytes, the limit is %d", len(b), MaxInput)
	}
	p := &parser{b: b}
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	p.space()
	if p.pos != len(b) {
		return value{}, p.fail("there is something behind the value")
	}
	return v, nil
}

func (p *parser) fail(what string) error {
	return fault.New(fault.Invalid, "JSON, byte %d: %s", p.pos, what)
}

func (p *parser) space() {
	for p.pos < len(p.b) {
		switch p.b[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) (value, error) {
	if depth > MaxDepth {
		return value{}, p.fail("nested more than " + strconv.Itoa(MaxDepth) + " deep")
	}
	p.space()
	if p.pos == len(p.b) {
		return value{}, p.fail("the text ends where a value should stand")
	}
	switch c := p.b[p.pos]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string()
		return value{kind: kindString, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.integer()
	}
	for _, word := range []string{"true", "false", "null"} {
		if end := p.pos + len(word); end <= len(p.b) && string(p.b[p.pos:end]) == word {
			p.pos = end
			return value{text: word}, nil
		}
	}
	return value{}, p.fail("no JSON value begins like this")
}

func (p *parser) integer() (value, error) {
	start := p.pos
	if p.b[p.pos] == '-' {
		p.pos++
	}
	digits := p.pos
	for p.pos < len(p.b) && p.b[p.pos] >= '0' && p.b[p.pos] <= '9' {
		p.pos++
	}
	if p.pos < len(p.b) && (p.b[p.pos] == '.' || p.b[p.pos] == 'e' || p.b[p.pos] == 'E') {
		return value{}, p.fail("only integers are allowed")
	}
	text := string(p.b[start:p.pos])
	switch {
	case p.pos == digits:
		return value{}, p.fail("a sign without a number")
	case p.b[digits] == '0' && p.pos-digits > 1:
		return value{}, p.fail("a number with a leading zero")
	case text == "-0":
		return value{}, p.fail("minus zero")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxInteger || n < -maxInteger {
		return value{}, p.fail("an integer beyond 53 bits")
	}
	return value{text: text}, nil
}

func (p *parser) array(depth int) (value, error) {
	v := value{kind: kindArray}
	p.pos++
	p.space()
	if p.pos < len(p.b) && p.b[p.pos] == ']' {
		p.pos++
		return v, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
		end, err := p.comma(']')
		if end || err != nil {
			return v, err
		}
	}
}

// comma reads what stands between two members, or the end of their container.
func (p *parser) comma(closing byte) (end bool, err error) {
	p.space()
	if p.pos < len(p.b) {
		switch p.b[p.pos] {
		case ',':
			p.pos++
			return false, nil
		case closing:
			p.pos++
			return true, nil
		}
	}
	return false, p.fail("a comma or " + strconv.Quote(string(closing)) + " is missing")
}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: kindObject}
	p.pos++
	p.space()
	if p.pos < len(p.b) && p.b[p.pos] == '}' {
		p.pos++
		return v, nil
	}
	for {
		p.space()
		if p.pos == len(p.b) || p.b[p.pos] != '"' {
			return value{}, p.fail("a key is missing")
		}
		at := p.pos
		key, err := p.string()
		if err != nil {
			return value{}, err
		}
		for _, r := range key {
			if r > 0xFFFF {
				p.pos = at
				return value{}, p.fail("a key with a character beyond U+FFFF")
			}
		}
		p.space()
		if p.pos == len(p.b) || p.b[p.pos] != ':' {
			return value{}, p.fail("a colon is missing")
		}
		p.pos++
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.members = append(v.members, member{key, item})
		end, err := p.comma('}')
		if err != nil {
			return value{}, err
		}
		if end {
			return v, p.finish(&v)
		}
	}
}

// finish sorts an object's members by UTF-16 code units, which for keys within
// U+FFFF is the order of their code points, and so of their UTF-8 bytes.
func (p *parser) finish(v *value) error {
	slices.SortFunc(v.members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	for i, m := range v.members {
		if i > 0 && v.members[i-1].key == m.key {
			return p.fail("the key " + fault.Quote(m.key) + " stands twice")
		}
		if m.key != "/" {
			continue
		}
		if len(v.members) != 1 || m.value.kind != kindString {
			return p.fail(`the key "/" is only for links`)
		}
		if _, err := ParseCID(m.value.text); err != nil {
			return p.fail("a link that is no CID")
		}
	}
	return nil
}

// plain reports whether a byte stands for itself in a string and needs no look.
func plain(c byte) bool { return c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' }

func (p *parser) string() (string, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.b) && plain(p.b[p.pos]) {
		p.pos++
	}
	if p.pos < len(p.b) && p.b[p.pos] == '"' {
		p.pos++
		return string(p.b[start : p.pos-1]), nil
	}
	out := slices.Clone(p.b[start:p.pos])
	for p.pos < len(p.b) {
		c := p.b[p.pos]
		switch {
		case c == '"':
			p.pos++
			return string(out), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			if err := p.allowed(r); err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < 0x20:
			return "", p.fail("a control character that is not escaped")
		default:
			r, n := utf8.DecodeRune(p.b[p.pos:])
			if r == utf8.RuneError && n == 1 {
				return "", p.fail("invalid UTF-8")
			}
			if err := p.allowed(r); err != nil {
				return "", err
			}
			out = append(out, p.b[p.pos:p.pos+n]...)
			p.pos += n
		}
	}
	return "", p.fail("the string has no end")
}

func (p *parser) allowed(r rune) error {
	if r < 0x20 && r != '\n' && r != '\t' && r != '\r' || r == 0x2028 || r == 0x2029 {
		return p.fail("the character U+" + strconv.FormatInt(int64(r), 16) + " is not allowed")
	}
	return nil
}

func (p *parser) escape() (rune, error) {
	p.pos++
	if p.pos == len(p.b) {
		return 0, p.fail("the string has no end")
	}
	c := p.b[p.pos]
	p.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, err := p.hex4()
		if err != nil || !utf16.IsSurrogate(r) {
			return r, err
		}
		if p.pos+1 < len(p.b) && p.b[p.pos] == '\\' && p.b[p.pos+1] == 'u' {
			p.pos += 2
			low, err := p.hex4()
			if err != nil {
				return 0, err
			}
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, nil
			}
		}
		return 0, p.fail("half a surrogate pair")
	}
	return 0, p.fail("an escape that JSON does not have")
}

func (p *parser) hex4() (rune, error) {
	if p.pos+4 > len(p.b) {
		return 0, p.fail("an escape that is cut off")
	}
	n, err := strconv.ParseUint(string(p.b[p.pos:p.pos+4]), 16, 32)
	if err != nil {
		return 0, p.fail("an escape without four hex digits")
	}
	p.pos += 4
	return rune(n), nil
}

// append writes the canonical form.
func (v value) append(b []byte) []byte {
	switch v.kind {
	case kindString:
		return appendString(b, v.text)
	case kindArray:
		b = append(b, '[')
		for i, item := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.append(b)
		}
		return append(b, ']')
	case kindObject:
		b = append(b, '{')
		for i, m := range v.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, m.key)
			b = append(b, ':')
			b = m.value.append(b)
		}
		return append(b, '}')
	}
	return append(b, v.text...)
}

// appendString writes a string as RFC 8785 does: the five short escapes where
// they exist, everything else as it is. Other control characters do not occur.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		short := byte(0)
		switch s[i] {
		case '"', '\\':
			short = s[i]
		case '\n':
			short = 'n'
		case '\r':
			short = 'r'
		case '\t':
			short = 't'
		default:
			continue
		}
		b = append(append(b, s[from:i]...), '\\', short)
		from = i + 1
	}
	return append(append(b, s[from:]...), '"')
}
