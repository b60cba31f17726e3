package cjson_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	"github.com/ipld/go-ipld-prime/node/basicnode"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const aCID = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

func TestCanonicalize(t *testing.T) {
	for in, want := range map[string]string{
		" { \"b\" : 1 , \"a\" : [ ] } ":                   `{"a":[],"b":1}`,
		`"\u0041\u00e9\ud83e\udea8\/\n"`:                  "\"Aé🪨/\\n\"",
		`{"é":1,"e":2,"z":3,"￿":4}`:                       `{"e":2,"z":3,"é":1,"￿":4}`,
		`[true,false,null,-9007199254740991,0]`:           `[true,false,null,-9007199254740991,0]`,
		`{"/":"` + aCID + `"}`:                            `{"/":"` + aCID + `"}`,
		"\"\\\"\\\\\\t\\r\"":                              "\"\\\"\\\\\\t\\r\"",
		strings.Repeat("[", 60) + strings.Repeat("]", 60): strings.Repeat("[", 60) + strings.Repeat("]", 60),
	} {
		got, err := cjson.Canonicalize([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("Canonicalize(%s) = %s, %v, want %s", in, got, err, want)
		}
		if err := cjson.Check(got); err != nil {
			t.Errorf("Check(%s): %v", got, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, in := range map[string]string{
		"empty":                    "",
		"two values":               "1 2",
		"float":                    "1.0",
		"exponent":                 "1e3",
		"leading zero":             "01",
		"minus zero":               "-0",
		"54 bits":                  "9007199254740992",
		"huge":                     "99999999999999999999999999",
		"duplicate key":            `{"a":1,"a":1}`,
		"duplicate key, escaped":   `{"a":1,"\u0061":1}`,
		"control character":        `"\u0001"`,
		"raw newline":              "\"\n\"",
		"backspace":                `"\b"`,
		"line separator":           `"\u2028"`,
		"raw paragraph separator":  "\"\u2029\"",
		"key beyond the BMP":       `{"🪨":1}`,
		"invalid UTF-8":            "\"\xff\"",
		"half a surrogate":         `"\ud83e"`,
		"two high surrogates":      `"\ud83e\ud83e"`,
		"slash key":                `{"/":1}`,
		"slash key beside another": `{"/":"` + aCID + `","a":1}`,
		"slash key, no CID":        `{"/":"x"}`,
		"bytes form":               `{"/":{"bytes":"AA"}}`,
		"deep":                     strings.Repeat("[", 100000),
		"trailing comma":           "[1,]",
		"unquoted":                 "{a:1}",
		"byte order mark":          "\ufeff1",
		"NaN":                      "NaN",
	} {
		if got, err := cjson.Canonicalize([]byte(in)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := cjson.Canonicalize(bytes.Repeat([]byte(" "), cjson.MaxInput+1)); !errors.Is(err, fault.TooLarge) {
		t.Errorf("an oversized text: %v", err)
	}
}

func TestUnmarshalIsStrict(t *testing.T) {
	type doc struct {
		A int        `json:"a"`
		C cjson.CID  `json:"c,omitzero"`
		L cjson.Link `json:"l,omitzero"`
	}
	full := `{"a":1,"c":"` + aCID + `","l":{"/":"` + aCID + `"}}`
	var d doc
	if err := cjson.Unmarshal([]byte(full), &d); err != nil || d.C.String() != aCID || d.L.String() != aCID {
		t.Fatalf("%+v, %v", d, err)
	}
	again, err := cjson.Marshal(d)
	if err != nil || string(again) != full {
		t.Errorf("Marshal = %s, %v", again, err)
	}
	if b, err := cjson.Marshal(doc{A: 2}); err != nil || string(b) != `{"a":2}` {
		t.Errorf("undefined CIDs are not left out: %s, %v", b, err)
	}
	for _, in := range []string{
		` {"a":1}`, `{"a":1}` + "\n", `{"a":1,"b":2}`, `{"c":"` + aCID + `","a":1}`, `{"a":"1"}`, `{"A":1,"a":1,"B":1}`,
		`{"a":1,"c":"QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"}`, // CIDv0
		`{"a":1,"c":"bafkqaaa"}`, // identity
		`{"a":1,"c":"` + strings.ToUpper(aCID) + `"}`,
		`{"a":1,"l":"` + aCID + `"}`,
	} {
		if err := cjson.Unmarshal([]byte(in), new(doc)); !errors.Is(err, fault.Invalid) {
			t.Errorf("Unmarshal(%s): %v", in, err)
		}
	}
}

// FuzzCanonicalize holds three encoders equal: this one, a JCS library, and
// DAG-JSON of another project, on everything this one accepts.
func FuzzCanonicalize(f *testing.F) {
	for _, s := range []string{`{"b":[1,{"a":"é\n"}],"a":null}`, `{"/":"` + aCID + `"}`, `"\u007f\ufeff"`, `-1`, `{"é":1,"e":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := cjson.Canonicalize(b)
		if err != nil {
			return
		}
		again, err := cjson.Canonicalize(c)
		if err != nil || !bytes.Equal(again, c) {
			t.Fatalf("%s is not stable: %s, %v", c, again, err)
		}
		// The library takes objects and arrays only at the top.
		wrapped := append(append([]byte("["), c...), ']')
		if j, err := jcs.Transform(wrapped); err != nil || !bytes.Equal(j, wrapped) {
			t.Fatalf("JCS writes %s (%v) for %s", j, err, wrapped)
		}
		nb := basicnode.Prototype.Any.NewBuilder()
		if err := dagjson.Decode(nb, bytes.NewReader(wrapped)); err != nil {
			t.Fatalf("DAG-JSON does not read %s: %v", wrapped, err)
		}
		var out bytes.Buffer
		if err := dagjson.Encode(nb.Build(), &out); err != nil || !bytes.Equal(out.Bytes(), wrapped) {
			t.Fatalf("DAG-JSON writes %s (%v) for %s", out.Bytes(), err, wrapped)
		}
	})
}
