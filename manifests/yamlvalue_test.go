package manifests_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// TestYAMLReadsBack: what is written for people reads as what it was, whatever
// the texts look like.
func TestYAMLReadsBack(t *testing.T) {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "yes", "No", "null", "~", "1.10", "0x10", "2026-11-22", "1e3", "- a", "a: b", "# x", " lead", "trail ", "'", `"`, "|", "a\n b\n", "\n\nx", "  x\ny", "x\n\n", "@a", "%b", "!c", "&d", "*e", "<<", "a\tb", ".inf"}),
		rapid.StringMatching(`[ -~é漢\n]{0,20}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]any{"list": []any{}, "deep": map[string]any{"x": []any{map[string]any{"y": text.Draw(t, "y")}}}}
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			want["k"+text.Draw(t, "key")] = text.Draw(t, "text")
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		y, err := manifests.YAML(b, "a comment\nof two lines", "gone", "deep.gone", "list[].gone")
		if err != nil {
			t.Fatal(err)
		}
		got, err := manifests.YAMLValue(y)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: %q, want %q, from\n%s", err, got, want, y)
		}
	})
}

func TestYAMLLeavesOut(t *testing.T) {
	y, err := manifests.YAML([]byte(`{"a":1,"b":{"c":2,"d":3},"e":[{"f":4,"g":5},{"f":6}]}`), "", "a", "b.c", "e[].f", "no.such")
	if want := "b:\n  d: 3\ne:\n  - g: 5\n  - {}\n"; err != nil || string(y) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, y, want)
	}
}

func TestYAMLValue(t *testing.T) {
	got, err := manifests.YAMLValue([]byte("version: 1.10\nn: 0x10\nday: 2026-11-22\nno: [true, null, x]\n"))
	want := map[string]any{"version": "1.10", "n": "0x10", "day": "2026-11-22", "no": []any{true, nil, "x"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for in, code := range map[string]fault.Code{
		"a: &x 1\nb: *x": fault.Invalid, "a: 1\na: 2": fault.Invalid, "? [a]\n: b": fault.Invalid, "a: 1\n---\nb: 2": fault.Invalid,
		strings.Repeat("[", 100) + strings.Repeat("]", 100): fault.Invalid, strings.Repeat("#", manifests.MaxYAML+1): fault.TooLarge,
	} {
		if _, err := manifests.YAMLValue([]byte(in)); !errors.Is(err, code) {
			t.Errorf("%.20q: %v, want %s", in, err, code)
		}
	}
}
