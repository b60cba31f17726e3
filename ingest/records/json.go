package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// A parser reads one JSON text (RFC 8259), as strictly as encoding/json, and
// hands out its leaves.
type parser struct {
	b     []byte
	i     int
	depth int
	text  []byte // the string that was read last, when it had escapes

	// leaf is called for each value that is no list and no object; name is that
	// of the innermost member it belongs to.
	leaf func(name, value []byte)
	// member is called for each member of the outermost object, before its
	// leaves, and again with its type behind them.
	member func(name []byte) int
	typed  func(column int, typ string)
}

var errJSON = errors.New("malformed JSON")

func (p *parser) parse(b []byte, leaf func(name, value []byte)) error {
	p.b, p.i, p.depth, p.leaf = b, 0, 0, leaf
	p.space()
	if _, err := p.value(nil); err != nil {
		return err
	}
	p.space()
	if p.i < len(p.b) {
		return errJSON
	}
	return nil
}

func (p *parser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return
		}
	}
}

func (p *parser) next(c byte) bool {
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) emit(name, v []byte) {
	if p.leaf != nil {
		p.leaf(name, v)
	}
}

func (p *parser) value(name []byte) (string, error) {
	if p.i >= len(p.b) {
		return "", errJSON
	}
	switch c := p.b[p.i]; c {
	case '{':
		return Object, p.object()
	case '[':
		return List, p.list(name)
	case '"':
		s, err := p.string()
		if err != nil {
			return "", err
		}
		p.emit(name, s)
		if len(s) > 9 && '0' <= s[0] && s[0] <= '9' && s[4] == '-' {
			return temporal(s), nil
		}
		return String, nil
	case 't':
		return Boolean, p.word(name, "true")
	case 'f':
		return Boolean, p.word(name, "false")
	case 'n':
		return Null, p.word(nil, "null")
	default:
		return p.number(name)
	}
}

func (p *parser) word(name []byte, w string) error {
	if !bytes.HasPrefix(p.b[p.i:], []byte(w)) {
		return errJSON
	}
	if p.i += len(w); w != "null" {
		p.emit(name, []byte(w))
	}
	return nil
}

func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return fmt.Errorf("%w: JSON nested more than %d deep", errLimit, MaxDepth)
	}
	p.i++
	p.space()
	return nil
}

func (p *parser) object() error {
	if err := p.enter(); err != nil {
		return err
	}
	top := p.depth == 1
	if !p.next('}') {
		for {
			if p.i >= len(p.b) || p.b[p.i] != '"' {
				return errJSON
			}
			name, err := p.string()
			if err != nil {
				return err
			}
			if len(p.text) > 0 && len(name) > 0 && &name[0] == &p.text[0] {
				name = bytes.Clone(name) // the value may have escapes too
			}
			p.space()
			if !p.next(':') {
				return errJSON
			}
			p.space()
			column := -1
			if top && p.member != nil {
				column = p.member(name)
			}
			typ, err := p.value(name)
			if err != nil {
				return err
			}
			if top && p.typed != nil {
				p.typed(column, typ)
			}
			p.space()
			if p.next('}') {
				break
			}
			if !p.next(',') {
				return errJSON
			}
			p.space()
		}
	}
	p.depth--
	return nil
}

func (p *parser) list(name []byte) error {
	if err := p.enter(); err != nil {
		return err
	}
	if !p.next(']') {
		for {
			if _, err := p.value(name); err != nil {
				return err
			}
			p.space()
			if p.next(']') {
				break
			}
			if !p.next(',') {
				return errJSON
			}
			p.space()
		}
	}
	p.depth--
	return nil
}

func (p *parser) number(name []byte) (string, error) {
	from, typ := p.i, Integer
	digits := func() bool {
		n := p.i
		for p.i < len(p.b) && '0' <= p.b[p.i] && p.b[p.i] <= '9' {
			p.i++
		}
		return p.i > n
	}
	p.next('-')
	if !p.next('0') && !digits() {
		return "", errJSON
	}
	if p.next('.') {
		if typ = Number; !digits() {
			return "", errJSON
		}
	}
	if p.next('e') || p.next('E') {
		typ = Number
		_ = p.next('+') || p.next('-')
		if !digits() {
			return "", errJSON
		}
	}
	if p.i-from > 18 {
		typ = Number
	}
	p.emit(name, p.b[from:p.i])
	return typ, nil
}

// string reads a string. Its bytes are valid until the next one is read.
func (p *parser) string() ([]byte, error) {
	p.i++
	from := p.i
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return p.b[from : p.i-1], nil
		case c == '\\':
			return p.escaped(from)
		case c < ' ':
			return nil, errJSON
		}
	}
	return nil, errJSON
}

func (p *parser) escaped(from int) ([]byte, error) {
	out := append(p.text[:0], p.b[from:p.i]...)
	for p.i < len(p.b) {
		c := p.b[p.i]
		p.i++
		switch {
		case c == '"':
			p.text = out
			return out, nil
		case c < ' ':
			return nil, errJSON
		case c != '\\':
			out = append(out, c)
			continue
		}
		if p.i >= len(p.b) {
			return nil, errJSON
		}
		c = p.b[p.i]
		p.i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := p.hex4()
			if !ok {
				return nil, errJSON
			}
			if utf16.IsSurrogate(r) {
				at := p.i
				low := rune(-1)
				if p.next('\\') && p.next('u') {
					if low, ok = p.hex4(); !ok {
						return nil, errJSON
					}
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					p.i = at // what follows stands for itself
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, errJSON
		}
	}
	return nil, errJSON
}

func (p *parser) hex4() (rune, bool) {
	if p.i+4 > len(p.b) {
		return 0, false
	}
	r := rune(0)
	for _, c := range p.b[p.i : p.i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	p.i += 4
	return r, true
}

// A jsonReader takes JSON texts as records.
type jsonReader struct {
	x *run
	p parser
	// drops remembers which of the names are left out.
	drops map[string]bool
}

func (x *run) json() *jsonReader {
	j := &jsonReader{x: x, drops: make(map[string]bool)}
	j.p.member = x.schema.column
	j.p.typed = x.schema.saw
	return j
}

func (j *jsonReader) leaf(name, v []byte) {
	if len(name) > 0 {
		drop, ok := j.drops[string(name)]
		if !ok {
			if drop = j.x.dropped(string(name)); len(j.drops) < MaxFields && len(name) <= MaxName {
				j.drops[string(name)] = drop
			}
		}
		if drop {
			return
		}
	}
	j.x.rec.Add(v)
}

func (j *jsonReader) record(b []byte) error {
	leaf := j.leaf
	if j.x.o.NoSketch {
		leaf = nil
	}
	if err := j.p.parse(b, leaf); err != nil {
		j.x.rec.Reset()
		return fmt.Errorf("record %d: %w", j.x.r.Records+1, err)
	}
	return j.x.record()
}

func (x *run) jsonl(r io.Reader) error {
	j := x.json()
	return lines(r, func(line []byte) error {
		if blank(line) {
			return nil
		}
		return j.record(line)
	})
}

// array reads the elements of a JSON array, one at a time.
func (x *run) array(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if b, _ := in.Peek(len(bom)); bytes.Equal(b, bom) {
		in.Discard(len(bom))
	}
	j := x.json()
	skip := func() (byte, error) {
		for {
			c, err := in.ReadByte()
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				return c, err
			}
		}
	}
	if c, err := skip(); err != nil || c != '[' {
		return errors.Join(err, errJSON)
	}
	var element []byte
	for first := true; ; first = false {
		c, err := skip()
		if err != nil {
			return err
		}
		if first && c == ']' {
			break
		}
		in.UnreadByte()
		var end byte
		if element, end, err = oneElement(in, element[:0]); err != nil {
			return err
		}
		if err := j.record(element); err != nil {
			return err
		}
		if end == ']' {
			break
		}
	}
	if c, err := skip(); err == nil {
		return fmt.Errorf("%w: %q behind the array", errJSON, c)
	} else if !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}

// oneElement reads to the comma or bracket that ends an element of the array.
func oneElement(in *bufio.Reader, b []byte) ([]byte, byte, error) {
	depth, quoted, escape := 0, false, false
	for {
		c, err := in.ReadByte()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return b, 0, err
		}
		switch {
		case escape:
			escape = false
		case quoted:
			escape, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case (c == ',' || c == ']') && depth == 0:
			return b, c, nil
		case c == '}' || c == ']':
			depth--
		}
		if len(b) == MaxRecord {
			return b, 0, fmt.Errorf("%w: an element of more than %d bytes", errLimit, MaxRecord)
		}
		b = append(b, c)
	}
}
