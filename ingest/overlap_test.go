package ingest_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/sketch"
)

// A review is a row as such datasets have them: an id, a text, facts about it.
type review struct {
	ID     string  `json:"review_id" parquet:"review_id"`
	Title  string  `json:"title" parquet:"title"`
	Body   string  `json:"body" parquet:"body"`
	Stars  int64   `json:"stars" parquet:"stars"`
	Price  float64 `json:"price" parquet:"price"`
	Vendor string  `json:"vendor" parquet:"vendor"`
	On     string  `json:"date" parquet:"date"`
}

// renamed is a review with another name for its text.
type renamed struct {
	ID     string  `json:"review_id" parquet:"review_id"`
	Title  string  `json:"title" parquet:"title"`
	Body   string  `json:"text" parquet:"text"`
	Stars  int64   `json:"stars" parquet:"stars"`
	Price  float64 `json:"price" parquet:"price"`
	Vendor string  `json:"vendor" parquet:"vendor"`
	On     string  `json:"date" parquet:"date"`
}

// words are a vocabulary with frequencies like those of a language.
var words = func() []string {
	r := rand.New(rand.NewPCG(4, 4))
	out := make([]string, 5000)
	for i := range out {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			b.WriteByte("bcdfghklmnprstvw"[r.IntN(16)])
			b.WriteString([]string{"a", "e", "i", "o", "u", "ou", "ä", "ei"}[r.IntN(8)])
		}
		out[i] = b.String()
	}
	return out
}()

func sentence(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		x := r.Float64()
		b.WriteString(words[int(float64(len(words))*x*x*x)])
	}
	return b.String() + "."
}

func reviews(seed uint64, n, length int) []review {
	r := rand.New(rand.NewPCG(seed, 99))
	day := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	out := make([]review, n)
	for i := range out {
		out[i] = review{
			ID: fmt.Sprintf("R%09d", r.IntN(1e9)), Title: sentence(r, 2+r.IntN(4)), Body: sentence(r, length/4+r.IntN(length)),
			Stars: int64(1 + r.IntN(5)), Price: float64(r.IntN(20000)) / 100, Vendor: words[r.IntN(200)], On: day.AddDate(0, 0, r.IntN(2000)).Format(time.DateOnly),
		}
	}
	return out
}

// A written is a format that rows are written in.
type written struct {
	name   string
	write  func([]review) []byte
	rename func([]review) []byte
}

func lines[T any](rows []T) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func columns[T any](rows []T) []byte { return packed(rows, &parquet.Snappy) }

func packed[T any](rows []T, codec compress.Codec) []byte {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.Compression(codec), parquet.MaxRowsPerRowGroup(20000))
	if _, err := w.Write(rows); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func table(text string) func([]review) []byte {
	return func(rows []review) []byte {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.Write([]string{"review_id", "title", text, "stars", "price", "vendor", "date"})
		for _, r := range rows {
			w.Write([]string{r.ID, r.Title, r.Body, fmt.Sprint(r.Stars), fmt.Sprint(r.Price), r.Vendor, r.On})
		}
		w.Flush()
		return b.Bytes()
	}
}

func withText(rows []review) []renamed {
	out := make([]renamed, len(rows))
	for i, r := range rows {
		out[i] = renamed(r)
	}
	return out
}

var formats = []written{
	{"a.jsonl", lines[review], func(r []review) []byte { return lines(withText(r)) }},
	{"a.csv", table("body"), table("text")},
	{"a.parquet", columns[review], func(r []review) []byte { return columns(withText(r)) }},
}

// sketches returns the record sketch of a file, and the sketch of its chunks.
func sketches(t testing.TB, name string, b []byte) (rows, chunks sketch.Sketch) {
	t.Helper()
	k, ok := records.Sniff(name, b[:min(len(b), records.HeadSize)])
	if !ok {
		t.Fatalf("%s has no records", name)
	}
	var r *records.Result
	var err error
	if k.Format == records.Parquet {
		r, err = records.ReadParquet(t.Context(), bytes.NewReader(b), int64(len(b)), records.Options{})
	} else {
		r, err = records.Read(t.Context(), k, bytes.NewReader(b), int64(len(b)), records.Options{})
	}
	if err != nil || !r.Complete() {
		t.Fatalf("%s: %v %s", name, err, r.Note)
	}
	chunks, err = sketch.Chunks(func(yield func(attribution.Chunk, error) bool) {
		for rest := b; len(rest) > 0; {
			n := attribution.Cut(rest)
			if !yield(attribution.ChunkOf(rest[:n]), nil) {
				return
			}
			rest = rest[n:]
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Sketch, chunks
}

// TestOverlapTable holds the sketch against the ten variants of a dataset by
// which ways to find reuse were measured: the part of the variant's records that
// are in the original, within two points or three standard errors. Chunks find
// only what is verbatim and contiguous.
func TestOverlapTable(t *testing.T) {
	t.Parallel()
	overlapTable(t, 20000, 8, 1)
}

// TestE2EOverlapTable is the same over 20 seeds, and over 40 MiB.
func TestE2EOverlapTable(t *testing.T) {
	if os.Getenv("CAIRN_BIG") == "" {
		t.Skip("NOT RUN: overlap over 40 MiB and 20 seeds (set CAIRN_BIG=1; the gate does)")
	}
	t.Run("20 seeds", func(t *testing.T) { overlapTable(t, 20000, 8, 20) })
	t.Run("40 MiB", func(t *testing.T) { overlapTable(t, 90000, 80, 2) })
}

// overlapTable makes n rows with texts of some length for each seed.
func overlapTable(t *testing.T, n, length, seeds int) {
	worst := make(map[string]float64)
	for seed := range uint64(seeds) {
		original := reviews(1000+seed, n, length)
		own := reviews(5000+seed, n, length)
		for _, f := range formats {
			r := rand.New(rand.NewPCG(seed, 7))
			keep := func(part float64) []review {
				out := make([]review, 0, n)
				for _, x := range original {
					if r.Float64() < part {
						out = append(out, x)
					}
				}
				return out
			}
			shuffled := slices.Clone(original)
			r.Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			mixed := slices.Concat(own[:n*55/100], keep(0.25))
			file := f.write(original)
			a, chunksA := sketches(t, f.name, file)
			if a.K == 0 {
				t.Fatalf("%d rows are not sampled", n)
			}
			if seed == 0 {
				t.Logf("%s: %d rows in %.1f MiB, sketch %.1f KiB, fingerprint %.1f KiB", f.name, n, float64(len(file))/(1<<20), float64(len(a.Encode()))/1024, float64(36*len(chunksA.Hashes))/1024)
			}
			zstd := func(b []byte) []byte {
				w, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
				defer w.Close()
				return w.EncodeAll(b, nil)
			}
			name := f.name
			for _, v := range []struct {
				what   string
				name   string
				file   []byte
				want   float64
				chunks [2]float64 // the least and the most, in percent, at the full size
			}{
				{"append 5 %", name, f.write(slices.Concat(original, own[:n/20])), float64(n) / float64(n+n/20), [2]float64{85, 100}},
				{"prepend 1 row", name, f.write(slices.Concat(own[:1], original)), float64(n) / float64(n+1), [2]float64{90, 100}},
				{"first half", name, f.write(original[:n/2]), 1, [2]float64{90, 100}},
				{"drop 0.1 %", name, f.write(keep(0.999)), 1, [2]float64{50, 99}},
				{"drop 1 %", name, f.write(keep(0.99)), 1, [2]float64{5, 60}},
				{"keep random 50 %", name, f.write(keep(0.5)), 1, [2]float64{0, 1}},
				{"shuffle rows", name, f.write(shuffled), 1, [2]float64{0, 1}},
				{"rename a key", name, f.rename(original), 1, [2]float64{0, 1}},
				{"zstd", name + ".zst", zstd(f.write(original)), 1, [2]float64{0, 1}},
				{"own rows and copied rows", name, f.write(mixed), float64(len(mixed)-n*55/100) / float64(len(mixed)), [2]float64{0, 1}},
				{"unrelated", name, f.write(own), 0, [2]float64{0, 0}},
			} {
				if f.name == "a.parquet" {
					if v.what == "zstd" { // Parquet is compressed inside
						v.name, v.file = name, packed(original, &parquet.Zstd)
					}
					v.chunks = [2]float64{0, 100} // pages shift as a whole
				}
				if v.what == "rename a key" && f.name == "a.csv" {
					v.chunks = [2]float64{90, 100} // it stands in the first line alone
				}
				b, chunksB := sketches(t, v.name, v.file)
				e := sketch.Containment(a, b)
				off := math.Abs(e.Share() - v.want)
				worst[f.name+" "+v.what] = max(worst[f.name+" "+v.what], off)
				if off > max(0.02, 3*e.StdErr()) {
					t.Errorf("%s, %s, seed %d: %.4f ± %.4f, want %.4f", f.name, v.what, seed, e.Share(), e.StdErr(), v.want)
				}
				if v.what == "unrelated" && e.Shared > 0 {
					t.Errorf("%s, seed %d: %d hashes shared with what is unrelated", f.name, seed, e.Shared)
				}
				if c := 100 * sketch.Containment(chunksA, chunksB).Share(); n > 50000 && (c < v.chunks[0] || c > v.chunks[1]) {
					t.Errorf("%s, %s, seed %d: %.1f %% of the chunks, want %v", f.name, v.what, seed, c, v.chunks)
				}
			}
		}
	}
	t.Logf("farthest from the truth over %d seeds, in points:", seeds)
	for _, what := range slices.Sorted(maps.Keys(worst)) {
		t.Logf("  %-34s %.2f", what, 100*worst[what])
	}
}

// BenchmarkRecords reads 40 MiB in each format: MB per processor second.
func BenchmarkRecords(b *testing.B) {
	rows := reviews(1, 90000, 80)
	for _, f := range formats {
		file := f.write(rows)
		for _, zip := range []bool{false, true} {
			name := f.name
			content := file
			if zip {
				if f.name == "a.parquet" {
					continue
				}
				w, _ := zstd.NewWriter(nil)
				name, content = name+".zst", w.EncodeAll(file, nil)
				w.Close()
			}
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(file)))
				before := cpu(b)
				n := 0
				for b.Loop() {
					k, _ := records.Sniff(name, content[:records.HeadSize])
					var err error
					if k.Format == records.Parquet {
						_, err = records.ReadParquet(b.Context(), bytes.NewReader(content), int64(len(content)), records.Options{})
					} else {
						_, err = records.Read(b.Context(), k, bytes.NewReader(content), int64(len(content)), records.Options{})
					}
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				b.ReportMetric(float64(len(file))*float64(n)/1e6/(cpu(b)-before), "MB/cpu-s")
			})
		}
	}
}
