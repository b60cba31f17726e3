package sketch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"
)

const (
	// MinRecord is the least canonical bytes of a record that counts: what is
	// shorter ("yes", a class label) is the same in datasets that have nothing
	// to do with each other.
	MinRecord = 16
	// maxNumber bounds the text of what is taken for a number, and
	// maxExponent its exponent; longer ones are text.
	maxNumber   = 64
	maxExponent = 9999
)

// A Record takes the values of one record and hashes them. The zero value is
// ready; a Record is used again after Reset, by one goroutine.
type Record struct {
	buf    []byte
	values []span
	sum    []byte
}

type span struct{ from, to int }

// Reset begins a new record.
func (r *Record) Reset() { r.buf, r.values = r.buf[:0], r.values[:0] }

// Add takes a value, as its text: of a number, the digits; of a boolean, true
// or false; bytes as they are. A value that is empty in canonical form, or
// looks like an identifier, is left out.
func (r *Record) Add(value []byte) {
	from := len(r.buf)
	r.buf = AppendValue(r.buf, value)
	if len(r.buf) > from {
		r.values = append(r.values, span{from, len(r.buf)})
	}
}

// Hash returns the hash of the record, and false when it has fewer than
// [MinRecord] bytes and does not count.
func (r *Record) Hash() (uint64, bool) {
	if len(r.buf) < MinRecord {
		return 0, false
	}
	slices.SortFunc(r.values, func(a, b span) int { return bytes.Compare(r.buf[a.from:a.to], r.buf[b.from:b.to]) })
	r.sum = r.sum[:0]
	for _, v := range r.values {
		r.sum = binary.AppendUvarint(r.sum, uint64(v.to-v.from))
		r.sum = append(r.sum, r.buf[v.from:v.to]...)
	}
	d := sha256.Sum256(r.sum)
	return binary.BigEndian.Uint64(d[:]), true
}

// AppendValue appends the canonical form of a value: nothing when the value is
// left out.
func AppendValue(dst, value []byte) []byte {
	ascii := true
	for _, c := range value {
		if c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if !ascii {
		if !utf8.Valid(value) {
			return append(dst, value...)
		}
		return appendFolded(dst, bytes.TrimFunc(value, unicode.IsSpace))
	}
	for len(value) > 0 && asciiSpace(value[0]) {
		value = value[1:]
	}
	for n := len(value); n > 0 && asciiSpace(value[n-1]); n-- {
		value = value[:n-1]
	}
	if identifier(value) {
		return dst
	}
	if out, ok := appendNumber(dst, value); ok {
		return out
	}
	for _, c := range value {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func asciiSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// identifier reports whether v is a UUID, or 32 or more hexadecimal digits: what
// one copy of a record has and another one need not.
func identifier(v []byte) bool {
	if len(v) < 32 {
		return false
	}
	uuid := len(v) == 36
	for i, c := range v {
		if uuid && (i == 8 || i == 13 || i == 18 || i == 23) {
			if c != '-' {
				return false
			}
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// appendNumber appends the normal form of a decimal number: the sign if it is
// below zero, the digits without zeros at either end, and the power of ten they
// are multiplied with.
func appendNumber(dst, v []byte) ([]byte, bool) {
	if len(v) == 0 || len(v) > maxNumber || v[len(v)-1] > '9' {
		return dst, false
	}
	negative := false
	if v[0] == '-' || v[0] == '+' {
		negative = v[0] == '-'
		v = v[1:]
	}
	var digits [maxNumber]byte
	n, seen, exponent, point := 0, 0, 0, false
	i := 0
	for ; i < len(v); i++ {
		c := v[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen++
		if point {
			exponent--
		}
		if n > 0 || c != '0' {
			digits[n] = c
			n++
		}
	}
	if seen == 0 || v[i-1] == '.' || v[0] == '.' {
		return dst, false
	}
	if i < len(v) {
		if v[i] != 'e' && v[i] != 'E' {
			return dst, false
		}
		e := v[i+1:]
		down := false
		if len(e) > 0 && (e[0] == '-' || e[0] == '+') {
			down = e[0] == '-'
			e = e[1:]
		}
		if len(e) == 0 {
			return dst, false
		}
		x := 0
		for _, c := range e {
			if c < '0' || c > '9' {
				return dst, false
			}
			if x = 10*x + int(c-'0'); x > maxExponent {
				return dst, false
			}
		}
		if down {
			x = -x
		}
		exponent += x
	}
	for n > 0 && digits[n-1] == '0' {
		n--
		exponent++
	}
	if n == 0 {
		return append(dst, "0e0"...), true
	}
	if negative {
		dst = append(dst, '-')
	}
	dst = append(dst, digits[:n]...)
	dst = append(dst, 'e')
	return strconv.AppendInt(dst, int64(exponent), 10), true
}

// idNames are names of fields that number or name records.
var idNames = map[string]bool{
	"id": true, "_id": true, "uid": true, "uuid": true, "guid": true, "idx": true, "index": true, "row": true,
	"rowid": true, "row_id": true, "row_number": true, "line_number": true, "unnamed: 0": true, "__index_level_0__": true,
}

// IDName reports whether a field of this name is left out of records whatever
// it holds: a key that is given anew when a dataset is copied.
func IDName(name string) bool {
	return len(name) <= len("__index_level_0__") && idNames[string(bytes.ToLower(bytes.TrimSpace([]byte(name))))]
}
