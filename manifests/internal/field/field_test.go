package field_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

func TestGrammars(t *testing.T) {
	limited := func(s string) string { return field.Line(s, 8) }
	for name, c := range map[string]struct {
		check     func(string) string
		good, bad []string
	}{
		"Line":     {limited, []string{"a", "ü b"}, []string{"", "a\nb", "a\tb", "123456789", "\xff"}},
		"Token":    {field.Token, []string{"a", "A_1", "_x", "robots.txt", "c++"}, []string{"", "-a", "a b", "ä", strings.Repeat("x", 65)}},
		"Time":     {field.Time, []string{"2026-11-22T08:00:00Z", "2024-02-29T23:59:59Z"}, []string{"", "2026-11-22", "2026-11-22T08:00:00.5Z", "2026-11-22T08:00:00+01:00", "2026-11-22t08:00:00z", "2026-11-22T24:00:00Z", "2026-11-22T08:00:60Z", "2025-02-29T00:00:00Z", "2026-1-22T08:00:00Z"}},
		"Month":    {field.Month, []string{"2026-11"}, []string{"", "2026-13", "2026-00", "2026-1", "26-11", "2026-11-01"}},
		"Day":      {field.Day, []string{"2026-11", "2026-11-30"}, []string{"", "2026", "2026-11-31", "2026-11-1"}},
		"SHA256":   {field.SHA256, []string{strings.Repeat("0f", 32)}, []string{"", strings.Repeat("0F", 32), strings.Repeat("0f", 31)}},
		"URL":      {field.URL, []string{"https://a.b/c?d=e#f", "hf:a/b", "mailto:a@b.c", "doi:10.1/x", "https://xn--n3h.example/%C3%BC"}, []string{"", "a", "/a", "https:", "://a", "HTTP://a", "1a:b", "https://a b", "https://ü", "https://a\"b", "https://a<b>", "x:" + strings.Repeat("a", 2047)}},
		"Language": {field.Language, []string{"de", "gsw", "gsw-CH", "zh-Hant-TW", "sl-rozaj-biske-1994", "de-1996"}, []string{"", "d", "de-", "-de", "de_CH", "d3", "de-CH-abcdefghi", "ö"}},
		"Place":    {field.Place, []string{"CH", "EU", "CH-ZH", "US-NY", "FR-2A", "155"}, []string{"", "ch", "CHE", "C1", "CH-", "CH-ABCD", "15", "CH-z"}},
		"Number":   {func(s string) string { return map[bool]string{false: "no"}[field.Number(s)] }, []string{"0", "1", "10", "99999999999999999999999"}, []string{"", "01", "-1", "+1", "1.0", " 1", "٣"}},
	} {
		for _, s := range c.good {
			if msg := c.check(s); msg != "" {
				t.Errorf("%s(%q): %s", name, s, msg)
			}
		}
		for _, s := range c.bad {
			if c.check(s) == "" {
				t.Errorf("%s(%q) is accepted", name, s)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	var p field.Problems
	if p.Any() || p.Err() != nil {
		t.Error("the zero value has problems")
	}
	p.Add("", "nothing")
	p.Add("is wrong", "a[%d].b", 3)
	p.Add("100 %", "c")
	err := p.Err()
	var fe *field.Error
	if !errors.As(err, &fe) || fe.Path != "a[3].b" || fe.Msg != "is wrong" || fault.Of(err) != fault.Invalid || err.Error() != "a[3].b: is wrong\nc: 100 %" {
		t.Errorf("%v", err)
	}
	for range 1000 {
		p.Add("again", "d")
	}
	if err := p.Err(); !strings.HasSuffix(err.Error(), "and 902 more problems") || strings.Count(err.Error(), "\n") != 100 || fault.Of(err) != fault.Invalid {
		t.Errorf("%d lines, …%s", strings.Count(err.Error(), "\n"), err.Error()[len(err.Error())-40:])
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"abc", "abc", 0}} {
		if got := field.Distance(c.a, c.b, 100); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ab]{0,6}`)
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		ab, ba := field.Distance(a, b, 100), field.Distance(b, a, 100)
		if ab != ba || (ab == 0) != (a == b) || ab > field.Distance(a, c, 100)+field.Distance(c, b, 100) {
			t.Fatalf("Distance(%q, %q) = %d, back %d, over %q", a, b, ab, ba, c)
		}
		if near := field.Distance(a, b, 3); ab < 3 && near != ab || ab >= 3 && near < 3 {
			t.Fatalf("Distance(%q, %q, 3) = %d, it is %d", a, b, near, ab)
		}
	})
}

type doc struct {
	Name  string           `json:"name"`
	Count *int64           `json:"count,omitempty"`
	Size  uint64           `json:"size,omitempty"`
	Flag  bool             `json:"flag,omitempty"`
	List  []string         `json:"list,omitempty"`
	Map   map[string]int64 `json:"map,omitempty"`
	CID   cjson.CID        `json:"cid,omitzero"`
	Link  cjson.Link       `json:"link,omitzero"`
	Raw   json.RawMessage  `json:"raw,omitempty"`
	Sub   *doc             `json:"sub,omitempty"`
}

// read is how each document of cairn is read.
func read(b string) error {
	d := new(doc)
	if err := json.Unmarshal([]byte(b), d); err != nil {
		return field.Unreadable([]byte(b), new(doc), err)
	}
	again, err := cjson.Marshal(d)
	return field.Same([]byte(b), again, err, func() error { return nil })
}

func TestStrictReading(t *testing.T) {
	const id = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
	for _, s := range []string{
		`{"name":""}`, `{"name":"x","sub":{"name":"y"}}`, `{"count":0,"name":""}`, `{"cid":"` + id + `","link":{"/":"` + id + `"},"name":""}`,
		`{"name":"","raw":{"a":[1,null,{"b":false}]}}`, `{"flag":true,"list":["a"],"map":{"k":1},"name":"","size":1}`,
	} {
		if err := read(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for s, want := range map[string]string{
		`{}`:                              "name: is missing",
		`{"Name":""}`:                     "Name: is empty, so it must be absent",
		`{"Name":"x"}`:                    "Name: is not a member known here",
		`{"name":"","size":0}`:            "size: is empty, so it must be absent",
		`{"flag":false,"name":""}`:        "flag: is empty, so it must be absent",
		`{"list":[],"name":""}`:           "list: is empty, so it must be absent",
		`{"map":{},"name":""}`:            "map: is empty, so it must be absent",
		`{"cid":null,"name":""}`:          "cid: is null, so it must be absent",
		`{"cid":"","name":""}`:            "cid: ",
		`{"name":null}`:                   "name: is null, which is never written",
		`{"name":"","size":-1}`:           "size: must not be negative",
		`{"name":"","size":"1"}`:          "size: must be a number, is text",
		`{"list":"a","name":""}`:          "list: must be a list, is text",
		`{"name":{}}`:                     "name: must be text, is an object",
		`{"name":"","sub":{"a":1}}`:       "sub.a: is not a member known here",
		`{"link":"` + id + `","name":""}`: "link: ",
		`[]`:                              "document: must be an object, is a list",
		`"x"`:                             "document: must be an object, is text",
		`null`:                            "document: is null, which is never written",
		`{"name":"" }`:                    "canonical",
		`{"name":"\/"}`:                   "canonical",
		`{"name":1.5}`:                    "JSON, byte",
		`{"name":"","name":""}`:           "name",
		``:                                "JSON",
	} {
		err := read(s)
		if fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", s, err, want)
		}
	}
}
