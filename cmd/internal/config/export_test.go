package config

import (
	"reflect"
	"strings"
)

// A Row is a key as tests see it.
type Row struct {
	key
	Example string // a value that it takes; "" for a section or a list
}

// Keys returns the whole table.
func Keys() []Row {
	cfg := Default()
	var all []Row
	for _, k := range keys(&cfg) {
		r := Row{key: k}
		switch v := k.value; {
		case k.section, k.list, strings.Contains(k.Path, "[]"):
		case len(k.OneOf) > 0:
			r.Example = k.OneOf[len(k.OneOf)-1]
		case k.Path == "tls.certFile", k.Path == "tls.keyFile": // one is nothing without the other
		case v.Kind() == reflect.Bool:
			r.Example = "true"
		case v.Kind() == reflect.String, v.Kind() == reflect.Slice:
			r.Example = "word: #1"
		case k.Max != "":
			r.Example = k.Max
		default:
			r.Example = "7"
		}
		all = append(all, r)
	}
	return all
}
