package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A key is a row of the table: what the tags of a field say, and the field.
type key struct {
	Path    string // limits.body
	Doc     string
	Default string
	Unit    string
	Min     string
	Max     string
	OneOf   []string

	section bool // a struct; its keys follow
	list    bool // a list of structs, which only the file can say; its keys follow as Path[].…
	value   reflect.Value
}

// Env is the environment variable of a key: CAIRN_ and its path in capitals,
// words separated by _.
func (k key) Env() string {
	var b strings.Builder
	b.WriteString("CAIRN_")
	upper := false // the letter before was one
	for _, c := range k.Path {
		isUpper := c >= 'A' && c <= 'Z'
		switch {
		case c == '.':
			b.WriteByte('_')
		case isUpper && !upper && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
			b.WriteRune(c)
		default:
			b.WriteString(strings.ToUpper(string(c)))
		}
		upper = isUpper
	}
	return b.String()
}

// keys lists the table over the fields of cfg, in their order. Fields of
// elements of lists of structs are listed over a blank element.
func keys(cfg *Config) []key {
	var all []key
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			k := key{
				Path: prefix + name, Doc: f.Tag.Get("doc"), Default: f.Tag.Get("default"), Unit: f.Tag.Get("unit"),
				Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), value: v.Field(i),
			}
			if words := f.Tag.Get("oneof"); words != "" {
				k.OneOf = strings.Split(words, "|")
			}
			k.section = f.Type.Kind() == reflect.Struct
			k.list = f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct
			all = append(all, k)
			switch {
			case k.section:
				walk(k.Path+".", v.Field(i))
			case k.list:
				walk(k.Path+"[].", reflect.New(f.Type.Elem()).Elem())
			}
		}
	}
	walk("", reflect.ValueOf(cfg).Elem())
	return all
}

func find(all []key, path string) (key, bool) {
	for _, k := range all {
		if k.Path == path && !k.section && !k.list && !strings.Contains(path, "[]") {
			return k, true
		}
	}
	return key{}, false
}

// Default returns the settings in force where nothing else is said.
func Default() Config {
	var cfg Config
	for _, k := range keys(&cfg) {
		if k.Default == "" {
			continue
		}
		if err := k.set(k.Default, k.Path); err != nil {
			panic(err) // the table is wrong: its test would have said so
		}
	}
	return cfg
}

// set gives the key's field a value from text.
func (k key) set(text, where string) error {
	if err := setValue(k.value, text); err != nil {
		return fault.New(fault.Invalid, "%s: %w", where, err)
	}
	return nil
}

func setValue(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s is not true or false", fault.Quote(text))
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is not a whole number", fault.Quote(text))
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f != f {
			return fmt.Errorf("%s is not a number", fault.Quote(text))
		}
		v.SetFloat(f)
	default:
		panic("config: a field of kind " + v.Kind().String())
	}
	return nil
}

// text is a field's value as set reads it.
func (k key) text() string { return fmt.Sprint(k.value.Interface()) }

// check holds a field against its limits.
func (k key) check(where string) error {
	if k.section || k.list || strings.Contains(k.Path, "[]") {
		return nil
	}
	if len(k.OneOf) > 0 {
		for _, w := range k.OneOf {
			if k.value.String() == w {
				return nil
			}
		}
		return fault.New(fault.Invalid, "%s is %s, not %s", where, fault.Quote(k.value.String()), strings.Join(k.OneOf, " or "))
	}
	for _, bound := range []struct {
		text string
		sign float64
		word string
	}{{k.Min, 1, "below"}, {k.Max, -1, "above"}} {
		if bound.text == "" {
			continue
		}
		limit := reflect.New(k.value.Type()).Elem()
		if err := setValue(limit, bound.text); err != nil {
			panic(err)
		}
		if (number(k.value)-number(limit))*bound.sign < 0 {
			return fault.WithHint(fault.New(fault.Invalid, "%s is %s, %s %s", where, k.text(), bound.word, bound.text), "%s: %s", k.Path, k.Doc)
		}
	}
	return nil
}

func number(v reflect.Value) float64 {
	if v.Kind() == reflect.Float64 {
		return v.Float()
	}
	return float64(v.Int())
}
