package export

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxValues bounds the values of a JSON document of others, each of which takes
// some hundred bytes of memory, and two of the document.
const MaxValues = 1 << 20

// JSON reads a JSON document of others, one value, into nil, bool, string,
// json.Number, []any and map[string]any. It fails with fault.Invalid, and with
// fault.TooLarge beyond [MaxValues]; the caller bounds the bytes.
func JSON(b []byte) (any, error) {
	if !few(b) {
		return nil, fault.New(fault.TooLarge, "the document has more than %d values", MaxValues)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fault.Mark(fault.Invalid, fmt.Errorf("the document is not JSON: %w", err))
	}
	if d.More() {
		return nil, fault.New(fault.Invalid, "the document goes on behind its end")
	}
	return v, nil
}

func few(b []byte) bool {
	n, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n <= MaxValues
}
