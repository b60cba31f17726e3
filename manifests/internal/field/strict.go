package field

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Same is the rule of strict decoding: b must be the bytes that its own content
// encodes to, again. That refuses every second way to write a document at once
// (unknown members, empty optional members, names in another case, another
// order, spaces). The rest of the function finds the words for it. validate
// says what is wrong with content that cannot be encoded, and err why not.
func Same(b, again []byte, err error, validate func() error) error {
	if err == nil && bytes.Equal(b, again) {
		return nil
	}
	if bad := cjson.Check(b); bad != nil {
		return fault.Mark(fault.Invalid, bad)
	}
	if err != nil {
		if bad := validate(); bad != nil {
			return bad
		}
		return fault.Mark(fault.Invalid, err)
	}
	var in, out any
	if err := errors.Join(json.Unmarshal(b, &in), json.Unmarshal(again, &out)); err != nil {
		return fault.Mark(fault.Invalid, err)
	}
	var p Problems
	difference(&p, "", in, out)
	if !p.Any() {
		return fault.New(fault.Invalid, "the document is not in canonical form")
	}
	return p.Err()
}

// Unreadable turns err, with which encoding/json refused to read b into v, into
// one that names each member that does not fit.
func Unreadable(b []byte, v any, err error) error {
	if bad := cjson.Check(b); bad != nil {
		return fault.Mark(fault.Invalid, bad)
	}
	n, bad := parseJSON(b)
	if bad != nil {
		return fault.Mark(fault.Invalid, bad)
	}
	f := &filler{strict: true}
	f.value(n, reflect.ValueOf(v).Elem(), "")
	if f.Any() {
		return f.Err()
	}
	return fault.Mark(fault.Invalid, err)
}

// difference reports where a document differs from what it was understood as.
func difference(p *Problems, path string, in, out any) {
	here := path
	if here == "" {
		here = "document"
	}
	switch in := in.(type) {
	case map[string]any:
		o, ok := out.(map[string]any)
		if !ok {
			break
		}
		for _, k := range allKeys(in, o) {
			at := strings.TrimPrefix(path+"."+fault.Printable(k), ".")
			a, isIn := in[k]
			b, isOut := o[k]
			switch {
			case isIn && isOut:
				difference(p, at, a, b)
			case isIn && isEmpty(a):
				p.Add("is empty, so it must be absent", "%s", at)
			case isIn:
				p.Add("is not a member known here", "%s", at)
			default:
				p.Add("is missing", "%s", at)
			}
		}
		return
	case []any:
		o, ok := out.([]any)
		if !ok || len(o) != len(in) {
			break
		}
		for i := range in {
			difference(p, path+"["+strconv.Itoa(i)+"]", in[i], o[i])
		}
		return
	case nil:
		if out != nil {
			p.Add("is null, which is never written", "%s", here)
		}
		return
	default:
		if in == out {
			return
		}
	}
	p.Add(fmt.Sprintf("is not in canonical form, which would be %s", brief(out)), "%s", here)
}

// brief is a value as a message shows it.
func brief(v any) string {
	b, err := json.Marshal(v)
	if err != nil || len(b) > 80 {
		return "of another shape"
	}
	return fault.Printable(string(b))
}

func allKeys(a, b map[string]any) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
