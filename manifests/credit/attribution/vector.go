package attribution

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Self is the key of what stays with the dataset itself. It sorts behind every
// other key.
const Self = credit.SelfKey

// Limits of a vector.
const (
	// MaxEntries bounds the entries of a vector: data points are keys too, and a
	// million of them are more than any exact method here can score.
	MaxEntries = 1 << 20
	// MaxVector bounds a vector file: MaxEntries lines of some 64 bytes.
	MaxVector = 64 << 20
	// MaxKey bounds a key: a did:pkh or a CID has about 60 bytes, and the rest is
	// room for names of data points.
	MaxKey = 256
	// MaxTotal bounds each value and their sum, as everywhere a weight stands.
	MaxTotal = credit.MaxWeight
)

const vectorHeader = "key,integer\n"

// An Entry is one line of a vector.
type Entry struct {
	Key   string
	Value uint64
}

// A Vector is what an attribution method ends in: for each of its keys, which
// are unique, an integer from 0 to [MaxTotal]; the sum is at most MaxTotal too.
// The zero Vector is empty. A Vector never changes.
type Vector struct {
	entries []Entry // sorted by the bytes of Key
	total   uint64
}

// NewVector returns the vector of some entries, which may come in any order. A
// malformed key, a key twice and a sum above [MaxTotal] are fault.Invalid; more
// than [MaxEntries] entries, or [MaxVector] bytes of a file, are fault.TooLarge.
func NewVector(entries []Entry) (Vector, error) {
	e := slices.Clone(entries)
	slices.SortFunc(e, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return sorted(e)
}

// sorted takes entries over that are in order of their keys.
func sorted(e []Entry) (Vector, error) {
	if len(e) > MaxEntries {
		return Vector{}, fault.New(fault.TooLarge, "a vector may have %d entries, this one has %d", MaxEntries, len(e))
	}
	v := Vector{entries: e}
	var digits [20]byte
	size := len(vectorHeader)
	for i, x := range e {
		if err := CheckKey(x.Key); err != nil {
			return Vector{}, err
		}
		if i > 0 && e[i-1].Key == x.Key {
			return Vector{}, fault.New(fault.Invalid, "the key %s stands twice", fault.Quote(x.Key))
		}
		total, err := add(v.total, x.Value)
		if err != nil {
			return Vector{}, err
		}
		v.total = total
		size += len(x.Key) + len(strconv.AppendUint(digits[:0], x.Value, 10)) + len(",\n")
	}
	if size > MaxVector {
		return Vector{}, fault.New(fault.TooLarge, "a vector file may have %d bytes, this one would have %d", MaxVector, size)
	}
	return v, nil
}

// add is a + b as long as that is at most MaxTotal.
func add(a, b uint64) (uint64, error) {
	if a > MaxTotal || b > MaxTotal-a {
		return 0, fault.New(fault.Invalid, "a vector's values add up to more than %d", uint64(MaxTotal))
	}
	return a + b, nil
}

// CheckKey returns nil for a key that a vector may hold: [Self], or a letter or
// digit and then up to 255 visible ASCII characters without comma and quote
// (so that a line of CSV is a key, a comma and a number, in any reader). Other
// text is fault.Invalid.
func CheckKey(s string) error {
	if s == Self {
		return nil
	}
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '"' }
	switch {
	case s == "":
		return fault.New(fault.Invalid, "a key is empty")
	case len(s) > MaxKey:
		return fault.New(fault.Invalid, "a key may have %d bytes, one has %d", MaxKey, len(s))
	case !isAlnum(s[0]) || strings.ContainsFunc(s, bad):
		return fault.New(fault.Invalid, "%s is no key: visible ASCII without comma and quote, a letter or digit first, or %s", fault.Quote(s), Self)
	}
	return nil
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// Len returns the number of entries.
func (v Vector) Len() int { return len(v.entries) }

// Total returns the sum of all values.
func (v Vector) Total() uint64 { return v.total }

// All gives the entries in the order of their keys' bytes.
func (v Vector) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for _, e := range v.entries {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// Get returns the value of key and whether the vector holds the key.
func (v Vector) Get(key string) (uint64, bool) {
	i, ok := slices.BinarySearchFunc(v.entries, key, func(e Entry, k string) int { return strings.Compare(e.Key, k) })
	if !ok {
		return 0, false
	}
	return v.entries[i].Value, true
}

// Equal reports whether v and w hold the same keys and values.
func (v Vector) Equal(w Vector) bool { return slices.Equal(v.entries, w.entries) }

// Group returns the vector in which the values of all keys with one owner are
// added up under that owner: points become parties. Its total is v's.
func (v Vector) Group(owner func(key string) string) (Vector, error) {
	t := make(tally)
	for _, e := range v.entries {
		if err := t.add(owner(e.Key), e.Value); err != nil {
			return Vector{}, err
		}
	}
	return t.vector(true)
}

// Encode returns the vector file: a header line, then a line "key,integer" for
// each entry in order.
func (v Vector) Encode() []byte {
	b := make([]byte, 0, len(vectorHeader)+len(v.entries)*72)
	b = append(b, vectorHeader...)
	for _, e := range v.entries {
		b = append(b, e.Key...)
		b = append(b, ',')
		b = strconv.AppendUint(b, e.Value, 10)
		b = append(b, '\n')
	}
	return b
}

// Decode reads a vector file. It accepts the bytes that [Vector.Encode] gives
// and no others; the rest is fault.Invalid, a file above [MaxVector] or with
// more than [MaxEntries] entries is fault.TooLarge.
func Decode(b []byte) (Vector, error) {
	if len(b) > MaxVector {
		return Vector{}, fault.New(fault.TooLarge, "a vector file may have %d bytes, this one has %d", MaxVector, len(b))
	}
	rest, ok := bytes.CutPrefix(b, []byte(vectorHeader))
	if !ok {
		return Vector{}, fault.New(fault.Invalid, "a vector file begins with the line %q", vectorHeader)
	}
	n := bytes.Count(rest, []byte("\n"))
	if n > MaxEntries {
		return Vector{}, fault.New(fault.TooLarge, "a vector may have %d entries, this one has %d", MaxEntries, n)
	}
	e := make([]Entry, 0, n)
	for line := 2; len(rest) > 0; line++ {
		var text []byte
		if text, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return Vector{}, fault.New(fault.Invalid, "line %d of the vector file has no end", line)
		}
		key, number, ok := strings.Cut(string(text), ",")
		value, err := parseValue(number)
		if !ok || err != nil {
			return Vector{}, fault.New(fault.Invalid, "line %d of the vector file: %s is no key, comma and integer", line, fault.Quote(string(text)))
		}
		if len(e) > 0 && e[len(e)-1].Key >= key {
			return Vector{}, fault.New(fault.Invalid, "line %d of the vector file: %s is out of order", line, fault.Quote(key))
		}
		e = append(e, Entry{key, value})
	}
	return sorted(e)
}

// parseValue reads a decimal from 0 to MaxTotal without sign or leading zero.
func parseValue(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fault.New(fault.Invalid, "%s is no decimal from 0 to %d", fault.Quote(s), uint64(MaxTotal))
	}
	return n, nil
}

// A tally adds up values by key.
type tally map[string]uint64

func (t tally) add(key string, n uint64) error {
	sum, err := add(t[key], n)
	t[key] = sum
	return err
}

// vector returns what was added up; keys that came to 0 only if zeros is true.
func (t tally) vector(zeros bool) (Vector, error) {
	e := make([]Entry, 0, len(t))
	for k, n := range t {
		if n > 0 || zeros {
			e = append(e, Entry{k, n})
		}
	}
	return NewVector(e)
}
