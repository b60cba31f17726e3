package config

import (
	"encoding"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Duration is a time.Duration written as Go writes it: 250ms, 1s, 2m.
type Duration time.Duration

// Std returns d as the rest of the program has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d as config.yaml has it: 100ms, 10s, 1h.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%s is not a duration such as 250ms or 1s", fault.Quote(string(b)))
	}
	*d = Duration(v)
	return nil
}

// UnmarshalYAML reads a duration, and says on which line one is wrong.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error { return onLine(n, d) }

func onLine(n *yaml.Node, u encoding.TextUnmarshaler) error {
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// Bytes is a number of bytes, written with a unit: 8KiB, 64MiB, 1GiB, or plain.
type Bytes int64

var units = []struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String writes b with the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range units[:len(units)-1] {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	s, size := string(text), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, size = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/size {
		return fmt.Errorf("%s is not a size such as 8KiB or 64MiB", fault.Quote(string(text)))
	}
	*b = Bytes(n * size)
	return nil
}

// UnmarshalYAML reads a size, and says on which line one is wrong.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error { return onLine(n, b) }

// A List is some words: in YAML a list or a single word, in the environment and
// in flags separated by commas.
type List []string

// String writes a list as a flag has it.
func (l List) String() string { return strings.Join(l, ",") }

// UnmarshalText reads words separated by commas.
func (l *List) UnmarshalText(b []byte) error {
	*l = nil
	for _, w := range strings.Split(string(b), ",") {
		if w = strings.TrimSpace(w); w != "" {
			*l = append(*l, w)
		}
	}
	return nil
}

// UnmarshalYAML reads a list or a single word.
func (l *List) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return l.UnmarshalText([]byte(n.Value))
	}
	var words []string
	if err := n.Decode(&words); err != nil {
		return err
	}
	*l = nil
	if len(words) > 0 {
		*l = words
	}
	return nil
}
