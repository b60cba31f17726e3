package field

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Node is a value of a document as somebody wrote it, before it is known what
// it means.
type Node struct {
	Kind  NodeKind
	Text  string   // of String and Number, and of Bool "true" or "false"
	Keys  []string // of Object, in the order of Items
	Items []*Node  // of Object and Array
	Line  int      // 1 for the first; 0 when lines mean nothing
}

// A NodeKind is a kind of value.
type NodeKind uint8

// The kinds of values.
const (
	Null NodeKind = iota
	Bool
	Integer
	String
	Array
	Object
)

func (k NodeKind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// Fill writes n into v, a pointer to a struct with JSON tags, and reports every
// member that is not known or does not fit, with its path and line. A null
// counts as absent. What is not in n stays as it is in v.
func Fill(n *Node, v any) error {
	f := &filler{}
	f.value(n, reflect.ValueOf(v).Elem(), "")
	return f.Err()
}

type filler struct {
	Problems
	strict bool // null is an error
}

func (f *filler) add(n *Node, path, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	if n.Line > 0 {
		msg += " (line " + strconv.Itoa(n.Line) + ")"
	}
	if path == "" {
		path = "document"
	}
	f.Add(msg, "%s", path)
}

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	rawMessage  = reflect.TypeFor[json.RawMessage]()
	linkType    = reflect.TypeFor[cjson.Link]()
)

func (f *filler) value(n *Node, v reflect.Value, path string) {
	if n.Kind == Null {
		if f.strict {
			f.add(n, path, "is null, so it must be absent")
		}
		return
	}
	switch {
	case v.Type() == rawMessage:
		f.raw(n, v, path)
		return
	case v.Type() == linkType && n.Kind == String && !f.strict:
		// People write the CID alone.
		n = &Node{Kind: Object, Keys: []string{"/"}, Items: []*Node{n}, Line: n.Line}
		fallthrough
	case reflect.PointerTo(v.Type()).Implements(unmarshaler):
		f.unmarshal(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Interface:
		f.value(n, v.Elem().Elem(), path) // holds a pointer to what is expected
	case reflect.Pointer:
		to := reflect.New(v.Type().Elem())
		f.value(n, to.Elem(), path)
		v.Set(to)
	case reflect.Struct:
		f.object(n, v, path)
	case reflect.Map:
		f.mapping(n, v, path)
	case reflect.Slice:
		f.list(n, v, path)
	case reflect.String:
		if n.Kind != String {
			hint := ""
			if n.Kind == Integer || n.Kind == Bool {
				hint = ": write it in quotes"
			}
			f.add(n, path, "must be text, is %s%s", n.Kind, hint)
			return
		}
		v.SetString(n.Text)
	case reflect.Bool:
		if n.Kind != Bool {
			f.add(n, path, "must be true or false, is %s", n.Kind)
			return
		}
		v.SetBool(n.Text == "true")
	case reflect.Int, reflect.Int64:
		if i, ok := f.integer(n, path); ok {
			v.SetInt(i)
		}
	case reflect.Uint64:
		i, ok := f.integer(n, path)
		if ok && i < 0 {
			f.add(n, path, "must not be negative")
			return
		}
		v.SetUint(uint64(max(i, 0)))
	default:
		panic("field: no rule for " + v.Type().String())
	}
}

// integer reads a whole number within ±[MaxInt].
func (f *filler) integer(n *Node, path string) (int64, bool) {
	if n.Kind != Integer {
		f.add(n, path, "must be a number, is %s", n.Kind)
		return 0, false
	}
	i, err := strconv.ParseInt(n.Text, 10, 64)
	if err != nil || !Number(strings.TrimPrefix(n.Text, "-")) || i > MaxInt || i < -MaxInt {
		f.add(n, path, "must be a whole number of at most 2^53-1, in decimal digits")
		return 0, false
	}
	return i, true
}

func (f *filler) object(n *Node, v reflect.Value, path string) {
	if n.Kind != Object {
		f.add(n, path, "must be an object, is %s", n.Kind)
		return
	}
	for i, k := range n.Keys {
		at := strings.TrimPrefix(path+"."+fault.Printable(k), ".")
		if member, ok := memberOf(v, k); ok {
			f.value(n.Items[i], member, at)
		} else if like := nearest(k, memberNames(v.Type())); like != "" {
			f.add(n.Items[i], at, "is not a member known here; is %s meant?", like)
		} else {
			f.add(n.Items[i], at, "is not a member known here")
		}
	}
}

// memberOf returns the field of the struct v whose JSON name is name.
func memberOf(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		t := v.Type().Field(i)
		if t.Anonymous {
			if m, ok := memberOf(v.Field(i), name); ok {
				return m, true
			}
		} else if tag, _, _ := strings.Cut(t.Tag.Get("json"), ","); tag == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func memberNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			names = append(names, memberNames(f.Type)...)
		} else {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, tag)
		}
	}
	return names
}

func (f *filler) mapping(n *Node, v reflect.Value, path string) {
	if n.Kind != Object {
		f.add(n, path, "must be an object, is %s", n.Kind)
		return
	}
	if len(n.Keys) == 0 {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Keys))
	for i, k := range n.Keys {
		item := reflect.New(v.Type().Elem()).Elem()
		f.value(n.Items[i], item, path+"."+fault.Printable(k))
		m.SetMapIndex(reflect.ValueOf(k), item)
	}
	v.Set(m)
}

func (f *filler) list(n *Node, v reflect.Value, path string) {
	if n.Kind != Array {
		f.add(n, path, "must be a list, is %s", n.Kind)
		return
	}
	if len(n.Items) == 0 {
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if item.Kind == Null {
			f.add(item, at, "is null, and an entry of a list is something")
			continue
		}
		f.value(item, s.Index(i), at)
	}
	v.Set(s)
}

func (f *filler) unmarshal(n *Node, v reflect.Value, path string) {
	b, err := n.JSON()
	if err == nil {
		err = json.Unmarshal(b, v.Addr().Interface())
	}
	if err != nil {
		f.add(n, path, "%v", err)
	}
}

func (f *filler) raw(n *Node, v reflect.Value, path string) {
	if n.Kind == Object && len(n.Keys) == 0 {
		return
	}
	b, err := n.JSON()
	if err == nil {
		b, err = cjson.Canonicalize(b)
	}
	if err != nil {
		f.add(n, path, "%v", err)
		return
	}
	v.SetBytes(b)
}

// JSON returns n as JSON text. Numbers are written as they were; whether they
// are numbers of JSON is for the reader of the text to say.
func (n *Node) JSON() ([]byte, error) {
	var b bytes.Buffer
	if err := n.json(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (n *Node) json(b *bytes.Buffer) error {
	switch n.Kind {
	case Null:
		b.WriteString("null")
	case Bool, Integer:
		b.WriteString(n.Text)
	case String:
		return writeString(b, n.Text)
	case Array:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.json(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case Object:
		b.WriteByte('{')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeString(b, n.Keys[i]); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := item.json(b); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	}
	return nil
}

func writeString(b *bytes.Buffer, s string) error {
	text, err := json.Marshal(s)
	b.Write(text)
	return err
}

// parseJSON reads JSON text that cjson.Check has accepted.
func parseJSON(b []byte) (*Node, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return fromAny(v), nil
}

func fromAny(v any) *Node {
	switch v := v.(type) {
	case bool:
		return &Node{Kind: Bool, Text: strconv.FormatBool(v)}
	case json.Number:
		return &Node{Kind: Integer, Text: v.String()}
	case string:
		return &Node{Kind: String, Text: v}
	case []any:
		n := &Node{Kind: Array}
		for _, item := range v {
			n.Items = append(n.Items, fromAny(item))
		}
		return n
	case map[string]any:
		n := &Node{Kind: Object}
		for k := range v {
			n.Keys = append(n.Keys, k)
		}
		slices.Sort(n.Keys)
		for _, k := range n.Keys {
			n.Items = append(n.Items, fromAny(v[k]))
		}
		return n
	}
	return &Node{Kind: Null}
}

// nearest returns the one of names that s was probably meant to be: equal but
// for case and separators, or one or two edits away.
func nearest(s string, names []string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	best, least := "", 3
	for _, n := range names {
		if d := Distance(plain(s), plain(n), least); d < least && d < len(n)-1 {
			best, least = n, d
		}
	}
	return best
}

// Distance returns the number of single-byte edits that make b of a, or some
// number >= limit when there are that many.
func Distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
