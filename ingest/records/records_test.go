package records_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests"
)

// read reads a file as an add does.
func read(t testing.TB, name string, b []byte, o records.Options) *records.Result {
	t.Helper()
	k, ok := records.Sniff(name, b[:min(len(b), records.HeadSize)])
	if !ok {
		return nil
	}
	var r *records.Result
	var err error
	if k.Format == records.Parquet {
		r, err = records.ReadParquet(t.Context(), bytes.NewReader(b), int64(len(b)), o)
	} else {
		r, err = records.Read(t.Context(), k, bytes.NewReader(b), int64(len(b)), o)
	}
	if err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return r
}

// every writes the same values in the encodings and types that row has not.
type every struct {
	ID    int64    `parquet:"id,delta"`
	Text  string   `parquet:"text,delta"`
	Price *float64 `parquet:"price,optional,split"`
	OK    bool     `parquet:"ok"`
	Label string   `parquet:"label,dict"`
}

type row struct {
	ID    int64   `json:"id" parquet:"id"`
	Text  string  `json:"text" parquet:"text"`
	Price float64 `json:"price" parquet:"price"`
	OK    bool    `json:"ok" parquet:"ok"`
	Label string  `json:"label" parquet:"label"`
}

func drawRows(t *rapid.T) []row {
	text := rapid.StringMatching(`[a-zA-Zäöüß"',; \n]{12,40}`)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		return row{
			ID: rapid.Int64().Draw(t, "id"), Text: text.Draw(t, "text"), Price: float64(rapid.IntRange(-1e6, 1e6).Draw(t, "cents")) / 100,
			OK: rapid.Bool().Draw(t, "ok"), Label: rapid.SampledFrom([]string{"spam", "ham", ""}).Draw(t, "label"),
		}
	}), 1, 20).Draw(t, "rows")
}

func asJSONL(rows []row) []byte {
	var b bytes.Buffer
	for _, r := range rows {
		x, _ := json.Marshal(r)
		b.Write(append(x, '\n'))
	}
	return b.Bytes()
}

func asArray(rows []row) []byte {
	b, _ := json.MarshalIndent(rows, "", "  ")
	return b
}

func asCSV(rows []row, comma rune) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Comma = comma
	w.Write([]string{"id", "text", "price", "ok", "label"})
	for _, r := range rows {
		w.Write([]string{fmt.Sprint(r.ID), r.Text, fmt.Sprint(r.Price), fmt.Sprint(r.OK), r.Label})
	}
	w.Flush()
	return b.Bytes()
}

func asParquet(t interface{ Fatal(...any) }, rows []row, o ...parquet.WriterOption) []byte {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, o...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asEvery(t interface{ Fatal(...any) }, rows []row, o ...parquet.WriterOption) []byte {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[every](&b, o...)
	for i, r := range rows {
		if _, err := w.Write([]every{{r.ID, r.Text, &rows[i].Price, r.OK, r.Label}}); err != nil {
			t.Fatal(err)
		}
		if i == len(rows)/2 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zst(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

// TestFormatsAgree: the same rows have the same sketch, count and fields
// whatever they are written in.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rows := drawRows(rt)
		want := read(t, "a.jsonl", asJSONL(rows), records.Options{})
		if want == nil || want.Records != int64(len(rows)) || !want.Complete() || len(want.Sketch.Hashes) == 0 {
			rt.Fatalf("%d rows as JSONL: %+v", len(rows), want)
		}
		for name, b := range map[string][]byte{
			"a.json": asArray(rows), "a.csv": asCSV(rows, ','), "b.csv": asCSV(rows, ';'), "a.tsv": asCSV(rows, '\t'),
			"a.parquet": asParquet(rt, rows), "b.parquet": asParquet(rt, rows, parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(2)),
			"c.parquet": asEvery(rt, rows, parquet.Compression(&parquet.Snappy)), "d.parquet": asEvery(rt, rows, parquet.Compression(&parquet.Gzip), parquet.DataPageVersion(2)), "e.parquet": asEvery(rt, rows, parquet.DataPageVersion(1), parquet.PageBufferSize(64)),
			"a.jsonl.gz": gz(asJSONL(rows)), "a.csv.zst": zst(asCSV(rows, ',')), "noext": append(asJSONL(rows), "{}\n"...)[:len(asJSONL(rows))],
		} {
			if name == "noext" && len(rows) < 2 {
				continue // one object is no lines
			}
			got := read(t, name, b, records.Options{})
			if got == nil || got.Records != want.Records || got.Note != "" {
				rt.Fatalf("%s: %+v, want %d records", name, got, want.Records)
			}
			if got.Sketch.K != want.Sketch.K || !slices.Equal(got.Sketch.Hashes, want.Sketch.Hashes) {
				rt.Fatalf("%s: another sketch than JSONL", name)
			}
			if len(got.Fields) != len(want.Fields) {
				rt.Fatalf("%s: fields %v, want %v", name, got.Fields, want.Fields)
			}
			for i, f := range got.Fields {
				if f.Name != want.Fields[i].Name {
					rt.Fatalf("%s: field %d is %v, want %v", name, i, f, want.Fields[i])
				}
			}
		}
	})
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"a.csv", "a,b,c,d,e\n1,x,2.5,true,2026-01-02\n,y,3,false,2026-01-03\n", "a integer null|b string|c number|d boolean|e date"},
		{"a.csv", "1,2\n3,4\n", ""}, // no reader finds a column that has no name
		{"a.csv", ",name\n0,Ada\n1,Bob\n", "name string"},
		{"a.csv", ",column1\n0,Ada\n1,Bob\n", "column1 string"},
		{"a.csv", "zip,when\n08001,2026-01-02T03:04:05Z\n", "zip string|when datetime"},
		{"a.csv", "d\n2026-02-30\n", "d string"},
		{"a.csv", "d\n2026-19-01\n", "d string"},
		{"a.jsonl", `{"d":"2026-02-29"}` + "\n" + `{"d":"2026-12-31"}` + "\n", "d date"},
		{"a.tsv", "x\ty\n1\tz\n", "x integer|y string"},
		{"a.jsonl", `{"a":1,"b":[1],"c":{"d":1}}` + "\n" + `{"a":1.5,"c":null}` + "\n", "a number|b list null|c object null"},
		{"a.jsonl", "[1,2]\n3\n", ""},
		{"a.json", `[{"t":"2026-01-02"},{"t":"x"}]`, "t string"},
		{"a.txt", "one line\n\nanother\n", ""},
	} {
		r := read(t, c.name, []byte(c.in), records.Options{})
		if r == nil || r.Note != "" {
			t.Errorf("%s %q: %+v", c.name, c.in, r)
			continue
		}
		var got []string
		for _, f := range r.Fields {
			s := f.Name + " " + f.Type
			if f.Nullable {
				s += " null"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s %q: %s, want %s", c.name, c.in, s, c.want)
		}
	}
}

// TestNotes: what is malformed or too much ends the reading, and what came
// before counts.
func TestNotes(t *testing.T) {
	t.Parallel()
	good := asJSONL([]row{{1, "a text that is long enough", 1, true, ""}, {2, "another long enough text", 2, true, ""}})
	long := bytes.Repeat([]byte("x"), records.MaxRecord+1)
	deep := strings.Repeat("[", records.MaxDepth+1) + strings.Repeat("]", records.MaxDepth+1)
	pq := asParquet(t, []row{{Text: "a text that is long enough"}})
	for _, c := range []struct {
		name string
		in   []byte
		n    int64
		note string
	}{
		{"a.jsonl", append(bytes.Clone(good), "{\"a\":\n"...), 2, "malformed JSON"},
		{"a.jsonl", append(bytes.Clone(good), long...), 2, "beyond a limit"},
		{"a.jsonl", append(bytes.Clone(good), deep...), 2, "nested"},
		{"a.json", []byte(`[{"a":1},{"a":2}`), 1, "unexpected EOF"},
		{"a.json", []byte(`[{"a":1}] x`), 1, "malformed JSON"},
		{"a.csv", []byte("a,b\n1,2\n1,2,3\n1,2\n"), 1, "line 3"},
		{"a.csv", append(append([]byte("a,b\n1,2\n1,\""), long...), long...), 1, "beyond a limit"},
		{"a.txt", append([]byte("a line\n"), long...), 1, "beyond a limit"},
		{"a.jsonl.gz", gz(good)[:40], 0, "EOF"},
		{"a.txt.gz", gz(bytes.Repeat([]byte("0123456789abcdef\n"), 2<<20)), 986895, "too many bytes"},
		{"a.parquet", pq[:len(pq)-1], 0, "malformed Parquet"},
		{"a.parquet", append([]byte("PAR1"), make([]byte, 100)...), 0, ""},
	} {
		r := read(t, c.name, c.in, records.Options{})
		if r == nil || r.Note == "" || !strings.Contains(r.Note, c.note) {
			t.Errorf("%s (%d bytes): %+v, want a note with %q", c.name, len(c.in), r, c.note)
			continue
		}
		if r.Records != c.n && c.name != "a.txt.gz" {
			t.Errorf("%s: %d records before %q, want %d", c.name, r.Records, r.Note, c.n)
		}
		if c.name == "a.txt.gz" && (r.Records == 0 || r.Records > 2<<20-1) {
			t.Errorf("%s: %d records before %q", c.name, r.Records, r.Note)
		}
	}
}

func TestSniff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, head string
		want       records.Kind
	}{
		{"a.csv", "a,b\n", records.Kind{Format: records.CSV}},
		{"a.CSV", "a,b\n", records.Kind{Format: records.CSV}},
		{"a.csv", "a\x00b\n", records.Kind{}},
		{"a.csv", "", records.Kind{}},
		{"a.csv.gz", "\x1f\x8b\x08", records.Kind{Format: records.CSV, Compression: "gzip"}},
		{"a.csv.gz", "a,b\n", records.Kind{}},
		{"a.parquet.gz", "\x1f\x8b\x08", records.Kind{}},
		{"a.gz", "\x1f\x8b\x08", records.Kind{}},
		{"a.json", " [", records.Kind{Format: records.JSON}},
		{"a.json", "{\"a\":1}\n", records.Kind{}},
		{"a.json", "{\"a\":1}\n{", records.Kind{Format: records.JSONL}},
		{"part-0", "{\"a\":1}\n{", records.Kind{Format: records.JSONL}},
		{"part-0", "PAR1", records.Kind{Format: records.Parquet}},
		{"part-0", "hello", records.Kind{}},
		{"a.png", "\x89PNG", records.Kind{}},
	} {
		got, ok := records.Sniff(c.name, []byte(c.head))
		if ok != (c.want != records.Kind{}) || ok && got != c.want {
			t.Errorf("Sniff(%q, %q) = %v, %t; want %v", c.name, c.head, got, ok, c.want)
		}
	}
}

// TestReaderFails: an error of the file is an error, not a note about the bytes.
func TestReaderFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is on fire")
	k := records.Kind{Format: records.JSONL}
	_, err := records.Read(t.Context(), k, io.MultiReader(strings.NewReader("{\"a\":1}\n"), iotest.ErrReader(broken)), 100, records.Options{})
	if !errors.Is(err, broken) {
		t.Errorf("the reader's error came back as %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := records.Read(ctx, k, strings.NewReader("{}\n"), 3, records.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

// TestDrop: a field that the manifest calls an identifier does not count.
func TestDrop(t *testing.T) {
	t.Parallel()
	drop := records.DropOf(&manifests.Manifest{RecordSchema: map[string]manifests.RecordSchema{"x": {Fields: []manifests.Field{{Name: "key", Type: "string", Role: "id"}}}}})
	a := read(t, "a.csv", []byte("key,text\nk1,a text that is long enough\n"), records.Options{Drop: drop})
	b := read(t, "b.jsonl", []byte(`{"body":"A text that is long enough","_id":7}`+"\n"), records.Options{})
	if !slices.Equal(a.Sketch.Hashes, b.Sketch.Hashes) || len(a.Sketch.Hashes) != 1 {
		t.Errorf("%x and %x are to be one hash", a.Sketch.Hashes, b.Sketch.Hashes)
	}
}

// FuzzJSON holds the parser against encoding/json: they accept the same, but for
// depth.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u00e9\ud83d\ude00\n",null,true]}`, `"\ud800x"`, `01`, `{"a"}`, `[1,]`, `-`, `"a` + "\x01" + `"`, `{"":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.ContainsAny(b, "\n") || len(bytes.TrimSpace(b)) == 0 {
			return
		}
		r := read(t, "a.jsonl", b, records.Options{})
		if r == nil {
			return
		}
		line := bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		if len(bytes.Trim(line, " \t\r")) == 0 {
			return
		}
		if got, want := r.Records == 1, json.Valid(line); got != want && !strings.Contains(r.Note, "limit") {
			t.Fatalf("%q: read %t (%s), encoding/json says %t", b, got, r.Note, want)
		}
	})
}

// FuzzStream: no bytes break a reader, and the pieces in which they come do not
// matter.
func FuzzStream(f *testing.F) {
	rows := []row{{1, "a text\nwith \"quotes\"", 1.5, true, "x"}, {2, "ünïcode, long enough text", -3, false, ""}}
	for i, b := range [][]byte{asJSONL(rows), asArray(rows), asCSV(rows, ','), asCSV(rows, '\t'), gz(asJSONL(rows)), zst(asCSV(rows, ','))} {
		f.Add(b, uint8(i))
	}
	names := []string{"a.jsonl", "a.json", "a.csv", "a.tsv", "a.jsonl.gz", "a.csv.zst", "a.txt"}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		name := names[int(which)%len(names)]
		r := read(t, name, b, records.Options{})
		if r == nil {
			return
		}
		again, err := records.Read(t.Context(), r.Kind, iotest.OneByteReader(bytes.NewReader(b)), int64(len(b)), records.Options{})
		if err != nil || again.Records != r.Records || !slices.Equal(again.Sketch.Hashes, r.Sketch.Hashes) || !slices.Equal(again.Fields, r.Fields) {
			t.Fatalf("%s %q: %+v at once, %+v, %v a byte at a time", name, b, r, again, err)
		}
	})
}

// FuzzParquet: no bytes break the reader, or have it take more than its limits.
func FuzzParquet(f *testing.F) {
	rows := []row{{1, "a text that is long enough", 1.5, true, "x"}, {2, "another", -3, false, ""}}
	f.Add(asParquet(f, rows))
	f.Add(asParquet(f, rows, parquet.Compression(&parquet.Snappy)))
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := records.ReadParquet(t.Context(), bytes.NewReader(b), int64(len(b)), records.Options{}); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var rows []row
	for i := range 20000 {
		rows = append(rows, row{int64(i), strings.Repeat(fmt.Sprintf("Sentence number %d of a text. ", i), 8), float64(i) / 100, i%2 == 0, "label"})
	}
	for name, content := range map[string][]byte{"a.jsonl": asJSONL(rows), "a.csv": asCSV(rows, ','), "a.parquet": asParquet(b, rows), "a.jsonl.zst": zst(asJSONL(rows)), "a.txt": asCSV(rows, ',')} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				read(b, name, content, records.Options{})
			}
		})
	}
}
