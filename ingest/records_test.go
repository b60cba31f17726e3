package ingest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
)

type tweet struct {
	ID   int    `json:"id" parquet:"id"`
	Text string `json:"text" parquet:"text"`
}

func tweets(from, to int) (jsonl []byte, rows []tweet) {
	var b bytes.Buffer
	for i := from; i < to; i++ {
		t := tweet{i, fmt.Sprintf("The text of tweet number %d, %x", i, uint64(i)*0x9e3779b97f4a7c15)}
		line, _ := json.Marshal(t)
		b.Write(append(line, '\n'))
		rows = append(rows, t)
	}
	return b.Bytes(), rows
}

// recordTree holds records in files of one chunk and of several, and files
// without any.
func recordTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	small, _ := tweets(0, 500)
	large, _ := tweets(500, 40000)
	_, rows := tweets(40000, 60000)
	var z, p bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(small)
	w.Close()
	pw := parquet.NewGenericWriter[tweet](&p)
	pw.Write(rows)
	pw.Close()
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{3}).Read(noise)
	put("a.jsonl", small)
	put("b.jsonl", large)
	put("c.jsonl.gz", z.Bytes())
	put("d.parquet", p.Bytes())
	put("e.bin", noise)
	put("f.csv", []byte("name,score\nAda,1\nBob,2.5\n"))
	put("g.txt", []byte("a line of text that counts\n"))
	put("h", nil)
	return dir
}

func manifestOf(r *ingest.Result) *manifests.Manifest {
	m := &manifests.Manifest{
		Data:   manifests.Data{Root: cjson.Link{Cid: r.Root}, Bytes: r.Bytes, FileCount: r.FileCount, FileList: cjson.Link{Cid: r.FileList}},
		Sketch: r.Sketch, Fingerprint: r.Fingerprint, RecordSchema: r.Schemas,
	}
	for _, f := range r.Files {
		m.Files = append(m.Files, ingest.ManifestFile(f))
	}
	return m
}

// TestRecords: what an add finds is what is there, the same in one chunk and in
// many, read and out of the cache, and what the registry computes again.
func TestRecords(t *testing.T) {
	dir, cache := recordTree(t), t.TempDir()
	m := newMemory()
	time.Sleep(2100 * time.Millisecond) // files are too young to be remembered until then
	o := ingest.AddOptions{CacheDir: cache}
	r := add(t, m, dir, o)
	if len(r.Warnings) > 0 || r.Records == nil || *r.Records != 60502 {
		t.Fatalf("records %v, warnings %v", r.Records, r.Warnings)
	}
	for i, want := range []string{
		"a.jsonl 500 default application/x-ndjson ", "b.jsonl 39500 default application/x-ndjson ", "c.jsonl.gz 500 default application/x-ndjson gzip",
		"d.parquet 20000 default application/vnd.apache.parquet ", "e.bin 0   ", "f.csv 2 default-2 text/csv ", "g.txt 0  text/plain ", "h 0   ",
	} {
		f, n := r.Files[i], int64(0)
		if f.Records != nil {
			n = *f.Records
		}
		if got := fmt.Sprintf("%s %d %s %s %s", f.Path, n, f.SchemaRef, f.MediaType, f.Compression); got != want {
			t.Errorf("file %d: %q, want %q", i, got, want)
		}
	}
	schema, _ := json.Marshal(r.Schemas)
	if want := `{"default":{"fields":[{"name":"id","type":"integer","role":"id"},{"name":"text","type":"string"}]},"default-2":{"fields":[{"name":"name","type":"string"},{"name":"score","type":"number"}]}}`; string(schema) != want {
		t.Errorf("schemas %s, want %s", schema, want)
	}

	// The sketch is that of the records, once each.
	var all sketch.Builder
	jsonl, _ := tweets(0, 60000)
	for name, b := range map[string][]byte{"x.jsonl": jsonl, "x.txt": []byte("a line of text that counts\n")} {
		k, _ := records.Sniff(name, b[:20])
		x, err := records.Read(t.Context(), k, bytes.NewReader(b), int64(len(b)), records.Options{})
		if err != nil {
			t.Fatal(err)
		}
		all.AddSketch(x.Sketch)
	}
	if b, err := m.Block(t.Context(), r.Sketch.CID.Cid); err != nil || !bytes.Equal(b, all.Sketch().Encode()) || r.Sketch.Scale < 2 {
		t.Errorf("the sketch in the store is another one, %v", err)
	}
	// The fingerprint is the chunks of each file.
	var chunks []attribution.Chunk
	for _, f := range r.Files {
		c := attribution.NewFingerprinter(func(k attribution.Chunk) error { chunks = append(chunks, k); return nil })
		in, err := os.Open(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(c, in)
		in.Close()
		c.Close()
	}
	if r.Fingerprint.Count != int64(len(chunks)) {
		t.Errorf("%d chunks in the fingerprint, want %d", r.Fingerprint.Count, len(chunks))
	}
	if err := records.VerifySketch(t.Context(), m, manifestOf(r)); err != nil {
		t.Errorf("VerifySketch: %v", err)
	}

	same := func(what string, got *ingest.Result) {
		t.Helper()
		x, _ := json.Marshal(manifestOf(r))
		y, _ := json.Marshal(manifestOf(got))
		if !bytes.Equal(x, y) {
			t.Errorf("%s: another manifest:\n%s\n%s", what, y, x)
		}
	}
	again := add(t, m, dir, o)
	if again.Reused != 8 {
		t.Errorf("%d of 8 files were not read again", again.Reused)
	}
	same("out of the cache", again)
	same("without a cache", add(t, m, dir, ingest.AddOptions{}))
	cut := add(t, m, dir, ingest.AddOptions{Chunker: "rabin-1000-5000-9000"})
	cut.Root, cut.Files = r.Root, r.Files
	same("cut otherwise", cut)

	// A changed file is read, and the others are not.
	if err := os.WriteFile(filepath.Join(dir, "a.jsonl"), []byte("{\"text\":\"something else that is long enough\"}\n{"), 0o666); err != nil {
		t.Fatal(err)
	}
	changed := add(t, m, dir, o)
	if changed.Reused != 7 || changed.Records != nil || len(changed.Warnings) != 1 || !strings.Contains(changed.Warnings[0].What, "malformed JSON") || changed.Files[0].Records != nil {
		t.Errorf("after a change: %d files reused, records %v, warnings %v", changed.Reused, changed.Records, changed.Warnings)
	}
	if err := records.VerifySketch(t.Context(), m, manifestOf(changed)); err != nil {
		t.Errorf("VerifySketch after a change: %v", err)
	}

	// A claim about other data is found out.
	less := all.Sketch()
	less.Hashes = less.Hashes[1:]
	lessCID := cjson.RawCID(less.Encode())
	m.Append(t.Context(), lessCID, less.Encode())
	for what, lie := range map[string]func(*manifests.Manifest){
		"sketch":      func(x *manifests.Manifest) { x.Sketch = less.InManifest(lessCID) },
		"fingerprint": func(x *manifests.Manifest) { x.Fingerprint = r.Fingerprint },
		"count":       func(x *manifests.Manifest) { f := *x.Fingerprint; f.Count++; x.Fingerprint = &f },
		"scale":       func(x *manifests.Manifest) { s := *x.Sketch; s.Scale *= 2; x.Sketch = &s },
	} {
		x := manifestOf(changed)
		lie(x)
		if err := records.VerifySketch(t.Context(), m, x); !errors.Is(err, fault.Unverified) || !strings.Contains(err.Error(), records.Mismatch) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if none := add(t, m, dir, ingest.AddOptions{NoSketch: true}); none.Sketch != nil || none.Fingerprint != nil || none.Schemas != nil || none.Records != nil {
		t.Errorf("NoSketch: %+v", none)
	}
}

// BenchmarkAddSketch adds a file with and without fingerprint and sketch: noise,
// which has no records, and JSON lines.
func BenchmarkAddSketch(b *testing.B) {
	noise, size := bigFile(b)
	lines := filepath.Join(b.TempDir(), "big.jsonl")
	f, err := os.Create(lines)
	if err != nil {
		b.Fatal(err)
	}
	n, written := 0, int64(0)
	for written < size {
		jsonl, _ := tweets(n, n+10000)
		n += 10000
		k, err := f.Write(jsonl)
		if err != nil {
			b.Fatal(err)
		}
		written += int64(k)
	}
	f.Close()
	for _, c := range []struct {
		name, path string
		size       int64
		o          ingest.AddOptions
	}{
		{"noise/without", noise, size, ingest.AddOptions{NoSketch: true}}, {"noise/with", noise, size, ingest.AddOptions{}},
		{"jsonl/without", lines, written, ingest.AddOptions{NoSketch: true}}, {"jsonl/with", lines, written, ingest.AddOptions{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(c.size)
			measureAdd(b, c.path, c.o)
		})
	}
}

// TestRecordsMediaType: the media type says how the records were read, where the
// name says something else or nothing.
func TestRecordsMediaType(t *testing.T) {
	dir := t.TempDir()
	lines := "{\"text\":\"one\"}\n{\"text\":\"two\"}\n"
	for name, text := range map[string]string{"a.json": lines, "b": lines, "c.json": `[{"text":"one"}]`, "d.json": `{"text":"one"}`, "e.tab": "x\ty\n1\t2\n", "f.csv": "x\ty\n1\t2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := add(t, newMemory(), dir, ingest.AddOptions{})
	for i, want := range []string{"a.json application/x-ndjson", "b application/x-ndjson", "c.json application/json", "d.json application/json", "e.tab text/tab-separated-values", "f.csv text/tab-separated-values"} {
		if got := r.Files[i].Path + " " + r.Files[i].MediaType; got != want {
			t.Errorf("file %d: %q, want %q", i, got, want)
		}
	}
}
