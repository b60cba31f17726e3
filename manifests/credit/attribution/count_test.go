package attribution_test

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// attributionFiles is what the counters take.
type attributionFiles = iter.Seq2[attribution.File, error]

// text is a file of the dataset.
func text(path, mediaType, content string) attribution.File {
	return attribution.File{Path: path, MediaType: mediaType, Size: uint64(len(content)), Read: func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}}
}

// pieces hands b to w in pieces whose lengths come from seed.
func pieces(w io.Writer, b []byte, seed uint64) {
	for len(b) > 0 {
		n := min(len(b), 1+int(seed%5))
		w.Write(b[:n])
		b, seed = b[n:], seed/5+uint64(len(b))
	}
}

func rows(t testing.TB, mediaType string, b []byte, seed uint64) (uint64, error) {
	t.Helper()
	c, err := attribution.NewRowCounter(mediaType)
	if err != nil {
		t.Fatal(err)
	}
	pieces(c, b, seed)
	return c.Rows()
}

func TestRows(t *testing.T) {
	const plain, tsv, ndjson, jsonl, comma = "text/plain", "text/tab-separated-values", "application/x-ndjson", "application/jsonl", "text/csv"
	for _, test := range []struct {
		mediaType, content string
		want               uint64
	}{
		{plain, "", 0}, {plain, "\n\n\n", 0}, {plain, " \t\r\n", 0}, {plain, "a", 1}, {plain, "a\n", 1}, {plain, "a\nb", 2}, {plain, "a\r\n\r\nb\r\n", 2},
		{plain, "a\rb", 1}, {plain, "\"a\nb\"", 2}, {plain, "\x00\n", 1},
		{tsv, "id\ttext\n1\ta\n\t\n", 2},
		{ndjson, "{\"a\":\"x\\ny\"}\n\n{\"b\":1}", 2}, {jsonl, "1\n2\n3\n", 3},
		{comma, "", 0}, {comma, "a,b\n1,2\n", 2}, {comma, "\"a\nb\",c\n", 1}, {comma, "\"a\n\nb\"\n\n\"\"\"\n\"\nz", 3},
		{comma, "\"never closed\n\n\nend", 1}, {comma, "\"\"\n", 1}, {comma, ",\n", 1},
	} {
		for seed := range uint64(20) {
			if got, err := rows(t, test.mediaType, []byte(test.content), seed); err != nil || got != test.want {
				t.Errorf("%s %q: %d rows, %v, want %d", test.mediaType, test.content, got, err, test.want)
			}
		}
	}
	for _, mediaType := range []string{"", "text/markdown", "application/json", "text/csv; header=present", "audio/wav"} {
		if _, err := attribution.NewRowCounter(mediaType); fault.Of(err) != fault.Invalid {
			t.Errorf("%q: %v", mediaType, err)
		}
	}
}

// Another reader of CSV counts the same records in a file it writes.
func TestRowsOfCSVAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.StringOfN(rapid.SampledFrom([]rune("a,\"\n\r 1")), 0, 8, -1)
		records := rapid.SliceOfN(rapid.SliceOfN(field, 2, 3), 0, 8).Draw(t, "records")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.UseCRLF = rapid.Bool().Draw(t, "crlf")
		if err := w.WriteAll(records); err != nil {
			t.Fatal(err)
		}
		c, _ := attribution.NewRowCounter("text/csv")
		pieces(c, b.Bytes(), rapid.Uint64().Draw(t, "pieces"))
		if n, err := c.Rows(); err != nil || n != uint64(len(records)) {
			t.Fatalf("%q: %d rows, %v, want %d", b.Bytes(), n, err, len(records))
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add([]byte("a,\"b\nc\"\n\nd"), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var lines, records uint64
		blank := func(s []byte) bool { return len(bytes.Trim(s, " \t\r")) == 0 }
		for l := range bytes.SplitSeq(b, []byte("\n")) {
			if !blank(l) {
				lines++
			}
		}
		start := 0
		for i := 0; i <= len(b); i++ {
			if i == len(b) || b[i] == '\n' && bytes.Count(b[:i], []byte(`"`))%2 == 0 {
				if !blank(bytes.ReplaceAll(b[start:i], []byte("\n"), nil)) {
					records++
				}
				start = i + 1
			}
		}
		if n, err := rows(t, "text/plain", b, seed); err != nil || n != lines {
			t.Fatalf("%q: %d lines, %v, want %d", b, n, err, lines)
		}
		if n, err := rows(t, "text/csv", b, seed); err != nil || n != records {
			t.Fatalf("%q: %d records, %v, want %d", b, n, err, records)
		}
	})
}

func FuzzWords(f *testing.F) {
	f.Add([]byte("two words"), uint64(0))
	f.Add([]byte("a\u2003b\u3000c\u00a0d\u1680e\u205ff\u0085\xe2\x80"), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var c attribution.WordCounter
		pieces(&c, b, seed)
		if !utf8.Valid(b) {
			return // counted by bytes; that it ends is all there is to say
		}
		want := len(strings.FieldsFunc(string(b), func(r rune) bool { return unicode.Is(unicode.White_Space, r) }))
		if got := c.Words(); got != uint64(want) {
			t.Fatalf("%q: %d words, want %d", b, got, want)
		}
	})
}

func TestWords(t *testing.T) {
	for s, want := range map[string]uint64{
		"": 0, " \n": 0, "a": 1, "a b": 2, "\xff\xfe \xe2\x80": 2, "\xe2\x80": 1, "a\xe2\x80 b": 2, "\xe2\x80\xe2\x80\x83": 1, "\xc2\xc2\xa0": 1, "don't stop": 2,
		"a\u200bb": 1, "漢字": 1, "a\u2028b": 2, "a\x1cb": 1,
	} {
		for seed := range uint64(20) {
			var c attribution.WordCounter
			pieces(&c, []byte(s), seed)
			if got := c.Words(); got != want {
				t.Errorf("%q: %d words, want %d", s, got, want)
			}
		}
	}
	// Every code point, between two letters.
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		var c attribution.WordCounter
		c.Write([]byte("a" + string(r) + "a"))
		if got := c.Words() == 2; got != unicode.Is(unicode.White_Space, r) {
			t.Errorf("%U: white space is %v", r, got)
		}
	}
}

// rows.parquet was written by parquet-go v0.32.0: 101 rows in three groups,
// with nested columns and key-value metadata.
func TestParquetRows(t *testing.T) {
	const mediaType = "application/vnd.apache.parquet"
	b := golden(t, "rows.parquet")
	for seed := range uint64(4) {
		if n, err := rows(t, mediaType, b, seed); err != nil || n != 101 {
			t.Fatalf("%d rows, %v", n, err)
		}
	}
	// Behind 40 MiB of pages, the footer is the same.
	c, err := attribution.NewRowCounter(mediaType)
	if err != nil {
		t.Fatal(err)
	}
	c.Write(b[:4])
	for range 40 {
		c.Write(make([]byte, 1<<20))
	}
	c.Write(make([]byte, 20<<20))
	c.Write(b[4:])
	if n, err := c.Rows(); err != nil || n != 101 {
		t.Errorf("in a large file: %d rows, %v", n, err)
	}

	for name, bad := range map[string][]byte{
		"empty": {}, "only magic": []byte("PAR1PAR1"), "no head": append([]byte("PAR2"), b[4:]...), "encrypted": append(slices.Clone(b[:len(b)-4]), "PARE"...),
		"cut": b[:len(b)-1], "a long footer": append(slices.Clone(b[:len(b)-8]), "\xff\xff\x00\x00PAR1"...), "an empty footer": []byte("PAR1\x00\x00\x00\x00PAR1"),
		"a short footer": append(slices.Clone(b[:len(b)-8]), "\x10\x00\x00\x00PAR1"...),
		// num_rows = 5 and no row groups; a struct that nests for ever; a list of 2^63 booleans.
		"groups disagree": []byte("PAR1\x36\x0a\x19\x0c\x00\x05\x00\x00\x00PAR1"),
		"behind the end":  []byte("PAR1\x36\x00\x19\x0c\x00\x00\x06\x00\x00\x00PAR1"),
		"deep":            []byte("PAR1" + strings.Repeat("\x1c", 200) + "\xc8\x00\x00\x00PAR1"),
		"a huge list":     []byte("PAR1\x19\xf1\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x0b\x00\x00\x00PAR1"),
	} {
		if n, err := rows(t, mediaType, bad, 1); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %d rows, %v", name, n, err)
		}
	}
	if n, err := rows(t, mediaType, []byte("PAR1\x36\x00\x19\x0c\x00\x05\x00\x00\x00PAR1"), 1); err != nil || n != 0 {
		t.Errorf("no rows: %d, %v", n, err)
	}
	// Fields of every type before, between and behind those that are read.
	other := "\x01\xc8\x01" + "\x12" + "\x13\x07" + "\x14\x08" + "\x15\x09" + "\x16\xff\x01" + "\x1712345678" + "\x18\x03abc" + "\x19\x31\x01\x02\x01" +
		"\x1a\x15\x04" + "\x1b\x00" + "\x1b\x02\x85\x01a\x02\x01b\x04" + "\x1c\x15\x02\x1c\x00\x00" + "\x1d0123456789abcdef"
	footer := other + "\x06\x06\x04" + other + "\x09\x08\x2c" + "\x36\x02" + other + "\x00" + "\x36\x02\x00" + other + "\x00"
	file := binary.LittleEndian.AppendUint32([]byte("PAR1"+footer), uint32(len(footer)))
	if n, err := rows(t, mediaType, append(file, "PAR1"...), 1); err != nil || n != 2 {
		t.Errorf("with other fields: %d rows, %v", n, err)
	}
	for cut := range footer { // whatever is missing at the end is missed
		short := binary.LittleEndian.AppendUint32([]byte("PAR1"+footer[:cut]), uint32(cut))
		if n, err := rows(t, mediaType, append(short, "PAR1"...), 1); fault.Of(err) != fault.Invalid {
			t.Errorf("a footer cut at %d: %d rows, %v", cut, n, err)
		}
	}
	if n, err := rows(t, mediaType, []byte("PAR1\x00\x01\x00\x00\x01PAR1"), 1); fault.Of(err) != fault.TooLarge {
		t.Errorf("a footer of 16 MiB and more: %d, %v", n, err)
	}
}

func FuzzParquet(f *testing.F) {
	f.Add(golden(f, "rows.parquet"))
	f.Add([]byte("PAR1\x36\x0a\x19\x0c\x00\x05\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := rows(t, "application/vnd.apache.parquet", b, 2)
		if err != nil {
			refused(t, err)
		} else if n > 1<<63-1 {
			t.Fatalf("%d rows", n)
		}
	})
}

func TestCounts(t *testing.T) {
	files := []attribution.File{
		text("a.csv", "text/csv", "id,t\n1,one two\n"), text("b.txt", "text/plain", "three little words\n"),
		text("c.jsonl", "application/jsonl", "{}\n{}\n{}\n"), text("LICENSE", "text/plain", "not counted at all"),
		{Path: "unreadable", Size: 1 << 40, Read: func(io.Writer) error { return errors.New("must not be read") }},
	}
	parts := []attribution.Part{{Key: "ana", Path: "a.csv"}, {Key: "ben", Path: "b.txt"}, {Key: "ana", Path: "c.jsonl"}}
	for seed := range uint64(5) {
		for name, test := range map[string]struct {
			count func([]attribution.Part, attributionFiles) (attribution.Vector, error)
			want  attribution.Vector
		}{
			"bytes": {attribution.CountBytes, vec(t, "ana", 15+9, "ben", 19)},
			"rows":  {attribution.CountRows, vec(t, "ana", 5, "ben", 1)},
			"words": {attribution.CountWords, vec(t, "ana", 6, "ben", 3)},
		} {
			v, err := test.count(shuffled(parts, seed), seq(shuffled(files, seed)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			equal(t, v, test.want)
		}
	}

	// A Sybil gains nothing: the parts of two keys are the part of one.
	split := []attribution.Part{{Key: "ana1", Path: "a.csv"}, {Key: "ben", Path: "b.txt"}, {Key: "ana2", Path: "c.jsonl"}}
	v, err := attribution.CountBytes(split, seq(files))
	if err != nil {
		t.Fatal(err)
	}
	one, err := v.Group(func(k string) string { return strings.TrimRight(k, "12") })
	if err != nil {
		t.Fatal(err)
	}
	equal(t, one, vec(t, "ana", 24, "ben", 19))
}

func TestCountsRefuse(t *testing.T) {
	a := text("a", "text/plain", "x")
	zip := a
	zip.Compression = "gzip"
	part := []attribution.Part{{Key: "ana", Path: "a"}}
	broken := errors.New("broken")
	bad := a
	bad.Read = func(io.Writer) error { return broken }
	huge := attribution.File{Path: "b", Size: 1<<63 - 1}
	for name, test := range map[string]struct {
		parts []attribution.Part
		files []attribution.File
		count func([]attribution.Part, attributionFiles) (attribution.Vector, error)
	}{
		"a missing file":     {part, nil, attribution.CountBytes},
		"a file twice":       {part, []attribution.File{a, a}, attribution.CountBytes},
		"a path twice":       {append(part, attribution.Part{Key: "ben", Path: "a"}), []attribution.File{a}, attribution.CountBytes},
		"a bad key":          {[]attribution.Part{{Key: "~x", Path: "a"}}, []attribution.File{a}, attribution.CountBytes},
		"a path with a line": {[]attribution.Part{{Key: "x", Path: "a\nb"}}, []attribution.File{a}, attribution.CountBytes},
		"no rule for rows":   {part, []attribution.File{text("a", "audio/wav", "x")}, attribution.CountRows},
		"compressed rows":    {part, []attribution.File{zip}, attribution.CountRows},
		"compressed words":   {part, []attribution.File{zip}, attribution.CountWords},
		"too many bytes":     {append(part, attribution.Part{Key: "ana", Path: "b"}), []attribution.File{a, huge}, attribution.CountBytes},
	} {
		if v, err := test.count(test.parts, seq(test.files)); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	if _, err := attribution.CountRows(part, seq([]attribution.File{bad})); !errors.Is(err, broken) {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if _, err := attribution.CountWords(part, failing([]attribution.File{a}, broken)); !errors.Is(err, broken) {
		t.Errorf("files that cannot be listed: %v", err)
	}
	many := make([]attribution.Part, attribution.MaxParts+1)
	for i := range many {
		many[i] = attribution.Part{Key: "k", Path: fmt.Sprint(i)}
	}
	if _, err := attribution.EncodeParts(many); fault.Of(err) != fault.TooLarge {
		t.Errorf("one part too many: %v", err)
	}
}

func BenchmarkRows(b *testing.B) {
	data := bytes.Repeat([]byte("1,\"some text, quoted\",0.25,2026-11-26\n"), 1<<18)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		c, err := attribution.NewRowCounter("text/csv")
		if err != nil {
			b.Fatal(err)
		}
		c.Write(data)
	}
}

func BenchmarkWords(b *testing.B) {
	data := bytes.Repeat([]byte("so viele W\u00f6rter\u2003und ein paar mehr\n"), 1<<18)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var c attribution.WordCounter
		c.Write(data)
	}
}
