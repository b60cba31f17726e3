package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestTokens(t *testing.T) {
	one, two := []string{"https://a.example"}, []string{"https://a.example/", "https://b.example"}
	for _, tt := range []struct {
		text string
		urls []string
		want []string // nil: refused
	}{
		{"", two, []string{"", ""}},
		{"t0ken\n", one, []string{"t0ken"}},
		{"t0ken\n", two, nil},
		{"# tokens\nhttps://b.example/ tb\n\nhttps://a.example ta\n", two, []string{"ta", "tb"}},
		{"https://c.example tc\n", one, []string{""}},
		{"https://a.example.evil ta\n", one, []string{""}},
		{"a b c", one, nil},
	} {
		got, err := parseTokens(tt.text, "tokens", tt.urls)
		if tt.want == nil && fault.Of(err) != fault.Invalid || tt.want != nil && (err != nil || !slices.Equal(got, tt.want)) {
			t.Errorf("%q: %q, %v", tt.text, got, err)
		}
	}
}

// FuzzTokens: what is refused is invalid, a token comes from the text, and a refusal
// does not repeat one.
func FuzzTokens(f *testing.F) {
	f.Add("s3cret\n")
	f.Add("https://a.example s3cret\n# x")
	f.Add("s3cret s3cret s3cret")
	f.Fuzz(func(t *testing.T, text string) {
		out, err := parseTokens(text, "tokens", []string{"https://a.example", "https://b.example"})
		if err != nil {
			if fault.Of(err) != fault.Invalid || strings.Contains(err.Error(), "s3cret") {
				t.Error(err)
			}
			return
		}
		for _, token := range out {
			if !strings.Contains(text, token) {
				t.Errorf("%q from %q", token, text)
			}
		}
	})
}
