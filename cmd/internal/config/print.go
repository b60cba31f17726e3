package config

import (
	"fmt"
	"reflect"
	"strings"
)

// width is where a comment is broken.
const width = 92

const head = `# cairn: settings of this home. Every key is optional; what stands here after a #
# is the default. A key can also be set by an environment variable, CAIRN_ and its
# path in capitals (CAIRN_LIMITS_MIN_RATE), and by a flag of "cairn serve"
# (--set limits.minRate=16KiB). A flag wins over the environment, the environment
# over this file.
`

// Template returns the file that "cairn init" writes: every key with its
// comment, commented out, with its default.
func Template() string {
	cfg := Default()
	return write(&cfg, true)
}

// Print returns cfg as a file that Load reads as cfg, every key with its comment.
func Print(cfg Config) string { return write(&cfg, false) }

func write(cfg *Config, commented bool) string {
	var b strings.Builder
	b.WriteString(head)
	for _, k := range keys(cfg) {
		depth := strings.Count(k.Path, ".")
		indent := strings.Repeat("  ", depth)
		name := k.Path[strings.LastIndex(k.Path, ".")+1:]
		if depth == 0 {
			b.WriteByte('\n')
		}
		before, off := indent+"# ", indent // of a comment and of a key
		if commented {
			before, off = "## "+indent, "# "+indent
		}
		if strings.Contains(k.Path, "[]") { // of an element: what it may say
			comment(&b, before, name+": "+k.Doc)
			continue
		}
		comment(&b, before, k.Doc)
		switch {
		case k.section:
			fmt.Fprintf(&b, "%s%s:", off, name)
		case k.list && k.value.Len() > 0:
			fmt.Fprintf(&b, "%s%s:", indent, name)
			for i := range k.value.Len() {
				fmt.Fprintf(&b, "\n%s  - %s", indent, element(k.value.Index(i)))
			}
		default:
			fmt.Fprintf(&b, "%s%s: %s", off, name, scalar(k))
		}
		if facts := k.facts(); facts != "" {
			b.WriteString("  # " + facts)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// facts are the unit and the limits of a key.
func (k key) facts() string {
	var facts []string
	if k.Unit != "" {
		facts = append(facts, k.Unit)
	}
	if len(k.OneOf) > 0 {
		facts = append(facts, strings.Join(k.OneOf, ", "))
	}
	switch {
	case k.Min != "" && k.Max != "":
		facts = append(facts, k.Min+" to "+k.Max)
	case k.Min != "":
		facts = append(facts, "at least "+k.Min)
	case k.Max != "":
		facts = append(facts, "at most "+k.Max)
	}
	return strings.Join(facts, "; ")
}

// comment writes a sentence in lines.
func comment(b *strings.Builder, before, text string) {
	line := before
	for _, w := range strings.Fields(text) {
		if len(line)+len(w) > width {
			fmt.Fprintln(b, strings.TrimRight(line, " "))
			line = before
		}
		line += w + " "
	}
	fmt.Fprintln(b, strings.TrimRight(line, " "))
}

// scalar is a value as YAML.
func scalar(k key) string {
	switch v := k.value.Interface().(type) {
	case List:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = quote(w)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case string:
		return quote(v)
	}
	if k.value.Kind() == reflect.Slice {
		return "[]"
	}
	return k.text()
}

// element is a struct of strings in a list as YAML.
func element(v reflect.Value) string {
	var members []string
	for i := range v.NumField() {
		if s := v.Field(i).String(); s != "" {
			members = append(members, v.Type().Field(i).Tag.Get("yaml")+": "+quote(s))
		}
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// quote writes a word so that YAML reads it as a string.
func quote(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("-_./", c) || c >= '0' && c <= '9')
	})
	if plain && strings.ContainsFunc(s, func(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }) &&
		s[0] != '-' && s != "true" && s != "false" && s != "null" && s != "yes" && s != "no" && s != "on" && s != "off" {
		return s
	}
	return fmt.Sprintf("%q", s)
}
