package records_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/ingest/records"
)

type nested struct {
	Tags  []string          `parquet:"tags,list" json:"tags"`
	Marks []nestedMark      `parquet:"marks" json:"marks"`
	When  time.Time         `parquet:"when,timestamp(microsecond)" json:"when"`
	Attrs map[string]string `parquet:"attrs" json:"-"`
	Small *int32            `parquet:"small,optional" json:"small"`
	Body  string            `parquet:"body,dict" json:"body"`
}

type nestedMark struct {
	Score float32 `parquet:"score" json:"score"`
	Notes []byte  `parquet:"notes,optional" json:"-"`
	Words []int64 `parquet:"words" json:"words"`
}

// TestNestedParquet: lists in lists, nulls and empty lists come out of Parquet
// as out of JSON, across pages and row groups.
func TestNestedParquet(t *testing.T) {
	t.Parallel()
	draw := rapid.Custom(func(t *rapid.T) nested {
		word := rapid.StringMatching(`[a-z]{0,6}`)
		n := nested{
			Tags: rapid.SliceOfN(word, 0, 4).Draw(t, "tags"), Body: rapid.StringMatching(`[a-z ]{16,20}x`).Draw(t, "body"),
			When: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "when")).UTC(),
		}
		for range rapid.IntRange(0, 3).Draw(t, "marks") {
			n.Marks = append(n.Marks, nestedMark{Score: rapid.Float32Range(-1e6, 1e6).Draw(t, "score"), Words: rapid.SliceOfN(rapid.Int64(), 0, 3).Draw(t, "words")})
		}
		if rapid.Bool().Draw(t, "has small") {
			v := rapid.Int32().Draw(t, "small")
			n.Small = &v
		}
		return n
	})
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(draw, 1, 40).Draw(t, "rows")
		var lines, file bytes.Buffer
		for _, r := range rows {
			b, _ := json.Marshal(r)
			lines.Write(append(b, '\n'))
		}
		w := parquet.NewGenericWriter[nested](&file, parquet.PageBufferSize(rapid.SampledFrom([]int{100, 1 << 20}).Draw(t, "page")),
			parquet.DataPageVersion(rapid.IntRange(1, 2).Draw(t, "version")), parquet.Compression(&parquet.Zstd))
		for i, r := range rows {
			if _, err := w.Write([]nested{r}); err != nil {
				t.Fatal(err)
			}
			if i == len(rows)/2 {
				w.Flush()
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := records.ReadParquet(t.Context(), bytes.NewReader(file.Bytes()), int64(file.Len()), records.Options{})
		if err != nil || got.Note != "" || got.Records != int64(len(rows)) {
			t.Fatalf("%d rows: %+v, %v", len(rows), got, err)
		}
		want, err := records.Read(t.Context(), records.Kind{Format: records.JSONL}, &lines, int64(lines.Len()), records.Options{})
		if err != nil || !slices.Equal(got.Sketch.Hashes, want.Sketch.Hashes) {
			t.Fatalf("%d rows: another sketch than JSONL, %v", len(rows), err)
		}
	})
	var b bytes.Buffer
	w := parquet.NewGenericWriter[nested](&b)
	w.Write([]nested{{}})
	w.Close()
	r, err := records.ReadParquet(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), records.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []records.Field{{Name: "tags", Type: "list"}, {Name: "marks", Type: "list"}, {Name: "when", Type: "datetime"}, {Name: "attrs", Type: "object"}, {Name: "small", Type: "integer", Nullable: true}, {Name: "body", Type: "string"}}
	slices.SortFunc(want, func(a, b records.Field) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	got := slices.SortedFunc(slices.Values(r.Fields), func(a, b records.Field) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	if !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
}

// TestDamagedParquet flips bytes of good files: nothing panics, and no few bytes
// take many megabytes.
func TestDamagedParquet(t *testing.T) {
	t.Parallel()
	rows := []row{{1, "a text that is long enough", 1.5, true, "x"}, {2, "another one, also long", -3, false, ""}}
	r := rand.New(rand.NewPCG(1, 1))
	for _, base := range [][]byte{
		asParquet(t, rows), asEvery(t, rows, parquet.Compression(&parquet.Snappy)), asEvery(t, rows, parquet.Compression(&parquet.Gzip)),
		asEvery(t, rows, parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(2)), asParquet(t, rows, parquet.Compression(&parquet.Lz4Raw)),
	} {
		for range 2000 {
			b := bytes.Clone(base)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			got, err := records.ReadParquet(t.Context(), bytes.NewReader(b), int64(len(b)), records.Options{})
			if err != nil || got.Note == "" && got.Records > 2 {
				t.Fatalf("%x: %+v, %v", b, got, err)
			}
		}
	}
}

// TestParquetTime: a time of day is one, not the number that stands for it.
func TestParquetTime(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := parquet.NewWriter(&b, parquet.NewSchema("x", parquet.Group{"at": parquet.Time(parquet.Microsecond), "n": parquet.Int(64)}))
	if err := w.Write(map[string]any{"at": int64(3_600_000_000), "n": int64(1)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := records.ReadParquet(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), records.Options{})
	want := []records.Field{{Name: "at", Type: records.Time}, {Name: "n", Type: records.Integer}}
	if err != nil || r.Note != "" || !slices.Equal(r.Fields, want) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestParquetRow: a row of a list whose values are all one entry of the
// dictionary takes a few bytes in the file, and is not gathered without end.
func TestParquetRow(t *testing.T) {
	t.Parallel()
	type row struct {
		Words []string `parquet:"words,dict"`
	}
	random := rand.NewChaCha8([32]byte{9})
	word := make([]byte, 8<<10)
	random.Read(word)
	var rows []row // that make the file large enough for what comes out of it
	for range 100 {
		other := make([]byte, 8<<10)
		random.Read(other)
		rows = append(rows, row{[]string{string(other)}})
	}
	file := func(n int) []byte {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[row](&b)
		words := make([]string, n)
		for i := range words {
			words[i] = string(word)
		}
		if _, err := w.Write(append(rows[:100:100], row{words})); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for n, want := range map[int]bool{2560: true, 5120: false} {
		b := file(n)
		r, err := records.ReadParquet(t.Context(), bytes.NewReader(b), int64(len(b)), records.Options{})
		if err != nil || r.Complete() != want {
			t.Errorf("%d words in a row, out of %d bytes: %q, %v", n, len(b), r.Note, err)
		}
	}
}
