// Package cjson is the JSON that cairn signs and hashes: RFC 8785 bytes, under
// a profile narrow enough that RFC 8785 and DAG-JSON agree on them. There is
// one encoding of a value, and a reader accepts no other.
//
// The profile refuses what the two encodings treat differently or what readers
// disagree on: duplicate keys, numbers that are not integers of at most 53
// bits, control characters other than \n, \t and \r, U+2028 and U+2029, object
// keys beyond U+FFFF, invalid UTF-8, and the key "/" except in a link.
package cjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// MaxDepth bounds nesting: the deepest document of cairn has 8 levels.
	MaxDepth = 64
	// MaxInput bounds a text: an envelope may have 1 MiB, and a manifest too;
	// the rest is room for white space in what is not canonical yet.
	MaxInput = 8 << 20
	// maxInteger is the largest integer that every JSON reader holds exactly.
	maxInteger = 1<<53 - 1
)

// Marshal returns the canonical bytes of v, encoded by the rules and struct
// tags of encoding/json. What the profile refuses is fault.Invalid.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	return Canonicalize(buf.Bytes())
}

// Canonicalize returns the canonical bytes of a JSON text, which may have any
// white space, key order and escapes. What the profile refuses is
// fault.Invalid; a text above MaxInput is fault.TooLarge.
func Canonicalize(b []byte) ([]byte, error) {
	v, err := parse(b)
	if err != nil {
		return nil, err
	}
	return v.append(make([]byte, 0, len(b))), nil
}

// Check returns nil when b is its own canonical form.
func Check(b []byte) error {
	c, err := Canonicalize(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, c) {
		return fault.New(fault.Invalid, "not in canonical form: differs at byte %d", firstDifference(b, c))
	}
	return nil
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Unmarshal decodes b, which must be its own canonical form, into v. Members
// that v does not know are refused. Whether an optional member may be empty is
// for v's own validation.
func Unmarshal(b []byte, v any) error {
	if err := Check(b); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fault.Mark(fault.Invalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "there is something behind the JSON value")
	}
	return nil
}
