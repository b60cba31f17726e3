// Package records reads the records of data files as a stream: CSV and TSV,
// JSON lines and JSON arrays, Parquet, and lines of text, plain or compressed
// with gzip or zstd. Of each file it says how many records there are, what
// fields they have, and their sketch (package manifests/sketch).
//
// The readers take foreign bytes. What is malformed, or beyond a limit, ends the
// reading of that file with a note; it is never an error. What was read until
// then is in the result all the same, so the result depends on the file's name
// and bytes alone.
package records

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
)

// The limits of what is read. They are a part of what a sketch is made from, so
// that two readers agree on where reading ends; FORMAT.md of manifests/sketch
// names them.
const (
	// MaxRecord bounds one record's bytes: a line, a CSV row, an element of a
	// JSON array. It is what a reader holds in memory.
	MaxRecord = 4 << 20
	// MaxDepth bounds the nesting of JSON.
	MaxDepth = 64
	// MaxFields bounds the fields of a schema, as a manifest does.
	MaxFields = 1024
	// MaxName bounds a field's name in a schema, as a manifest does.
	MaxName = 256
	// MaxDecoded bounds a file's bytes once decoded: 1 TiB.
	MaxDecoded = 1 << 40
	// MaxRatio bounds a file's decoded bytes by its size, above FreeDecoded:
	// text shrinks to a hundredth at most, and a bomb by far more.
	MaxRatio = 200
	// FreeDecoded may come out of any file.
	FreeDecoded = 16 << 20
	// MaxRows bounds the records of a file: 2^33, an empty line each in 8 GiB.
	MaxRows = 1 << 33
	// MaxWindow bounds the memory of a zstd stream. Levels up to 19 stay below.
	MaxWindow = 8 << 20
	// HeadSize is how much of a file's beginning Sniff looks at.
	HeadSize = 4096
)

// A Format is a way of writing records.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	TSV     Format = "tsv"
	JSONL   Format = "jsonl"
	JSON    Format = "json" // an array of records
	Parquet Format = "parquet"
	Text    Format = "text" // a line is a record, with no fields
)

// A Kind says how a file is to be read. The zero value: not at all.
type Kind struct {
	Format      Format
	Compression string // "", gzip or zstd, around the format
}

// Options are the choices of reading.
type Options struct {
	// Drop names fields that are left out of the sketch, beside those that
	// [sketch.IDName] knows: those that a manifest gives the role "id".
	Drop map[string]bool
	// NoSketch leaves the sketch out, and only counts.
	NoSketch bool
}

// DropOf returns the names of the fields that a manifest calls identifiers.
func DropOf(m *manifests.Manifest) map[string]bool {
	drop := make(map[string]bool)
	for _, s := range m.RecordSchema {
		for _, f := range s.Fields {
			if f.Role == "id" {
				drop[f.Name] = true
			}
		}
	}
	return drop
}

// The types of fields.
const (
	String   = "string"
	Integer  = "integer"
	Number   = "number"
	Boolean  = "boolean"
	Date     = "date"     // a day: 2006-01-02
	Time     = "time"     // of a day; only Parquet has it
	DateTime = "datetime" // RFC 3339
	Bytes    = "bytes"
	List     = "list"
	Object   = "object"
	Null     = "null" // nothing but null, or empty, was seen
)

// A Field is a column, or a member of the records.
type Field struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable,omitempty"` // it is null, empty or missing somewhere
}

// A Result is what was read of a file.
type Result struct {
	Kind
	Fields  []Field // nil for Text, and where records are no objects
	Records int64   // how many were read
	// Note says why reading ended before the file did; "" when all was read.
	Note   string
	Sketch sketch.Sketch
}

// Complete reports whether all of the file was read: only then Records counts
// its records.
func (r *Result) Complete() bool { return r.Note == "" }

// extensions say what a name promises.
var extensions = map[string]Format{
	".csv": CSV, ".tsv": TSV, ".tab": TSV, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSON,
	".parquet": Parquet, ".txt": Text, ".text": Text,
}

var compressions = map[string]string{".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}

// mediaTypes are those of the formats.
var mediaTypes = map[Format]string{
	CSV: "text/csv", TSV: "text/tab-separated-values", JSONL: "application/x-ndjson", JSON: "application/json",
	Parquet: "application/vnd.apache.parquet", Text: "text/plain",
}

// MediaType returns the media type of what k reads, inside its compression.
func (k Kind) MediaType() string { return mediaTypes[k.Format] }

// Sniff says how to read a file of this name that begins with head: the first
// [HeadSize] bytes, or all of it. A file that is not what its name says is not
// read. Without an extension that says more, Parquet and JSON lines are known
// by their beginning.
func Sniff(name string, head []byte) (Kind, bool) {
	ext := strings.ToLower(path.Ext(name))
	if c, ok := compressions[ext]; ok {
		f, ok := extensions[strings.ToLower(path.Ext(name[:len(name)-len(ext)]))]
		magic := map[string]string{"gzip": "\x1f\x8b", "zstd": "\x28\xb5\x2f\xfd"}[c]
		// Parquet is read at its end first, which a stream does not have.
		return Kind{f, c}, ok && f != Parquet && bytes.HasPrefix(head, []byte(magic))
	}
	f, known := extensions[ext]
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return Kind{Format: Parquet}, !known || f == Parquet
	case f == Parquet || len(head) == 0 || bytes.IndexByte(head, 0) >= 0:
		return Kind{}, false
	case f == JSON || ext == "":
		f, ok := sniffJSON(head)
		return Kind{Format: f}, ok && (ext != "" || f == JSONL)
	}
	return Kind{Format: f}, known
}

// sniffJSON tells an array from lines. A file that is one object is no records.
func sniffJSON(head []byte) (Format, bool) {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, bom), " \t\r\n")
	if bytes.HasPrefix(head, []byte("[")) {
		return JSON, true
	}
	line, rest, more := bytes.Cut(head, []byte("\n"))
	var p parser
	if !bytes.HasPrefix(line, []byte("{")) || !more || len(bytes.TrimSpace(rest)) == 0 || p.parse(line, nil) != nil {
		return "", false
	}
	return JSONL, true
}

var bom = []byte("\xef\xbb\xbf")

// decodedLimit is how much may come out of a file.
func decodedLimit(size int64) int64 {
	if size > (MaxDecoded-FreeDecoded)/MaxRatio {
		return MaxDecoded
	}
	return FreeDecoded + MaxRatio*size
}

// errLimit is wrapped by notes about limits.
var errLimit = errors.New("beyond a limit")

// A run is the reading of one file.
type run struct {
	ctx    context.Context
	o      Options
	r      *Result
	schema schema
	rec    sketch.Record
	hashes sketch.Builder
}

// Read reads the records of a file of size bytes, as its Kind says, from a stream. It returns
// an error only when ctx ends, or when r fails; what is wrong with the bytes is
// a note in the result. It holds a few MiB. Parquet is for [ReadParquet].
func Read(ctx context.Context, k Kind, r io.Reader, size int64, o Options) (*Result, error) {
	x := &run{ctx: ctx, o: o, r: &Result{Kind: k}}
	in := &source{r: r, ctx: ctx}
	d, stop, err := decoded(k.Compression, in, size)
	if err == nil {
		switch k.Format {
		case CSV, TSV:
			err = x.csv(d, k.Format)
		case JSONL:
			err = x.jsonl(d)
		case JSON:
			err = x.array(d)
		case Text:
			err = x.text(d)
		default:
			err = fmt.Errorf("%s is not read as a stream", fault.Quote(string(k.Format)))
		}
		stop()
	}
	return x.finish(in.err, err)
}

func (x *run) finish(failed, err error) (*Result, error) {
	if cause := context.Cause(x.ctx); cause != nil {
		return nil, cause
	}
	if failed != nil {
		return nil, failed
	}
	if err != nil && err != io.EOF {
		x.r.Note = fmt.Sprintf("reading ended after %d records: %s", x.r.Records, fault.Printable(err.Error()))
	}
	x.r.Fields = x.schema.fields(x.r.Records)
	x.r.Sketch = x.hashes.Sketch()
	return x.r, nil
}

// record ends a record whose values were added.
func (x *run) record() error {
	x.r.Records++
	if x.r.Records&0xfff == 0 {
		if err := x.ctx.Err(); err != nil {
			return err
		}
	}
	if x.r.Records > MaxRows {
		x.r.Records--
		return fmt.Errorf("%w: more than %d records", errLimit, int64(MaxRows))
	}
	if !x.o.NoSketch {
		if h, ok := x.rec.Hash(); ok {
			x.hashes.Add(h)
		}
	}
	x.rec.Reset()
	return nil
}

// dropped reports whether a field is left out of the sketch.
func (x *run) dropped(name string) bool { return sketch.IDName(name) || x.o.Drop[name] }
