package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
)

// spoolMemory is how much of the chunk names of one file is kept in memory: those
// of 450 MiB. The rest goes to a file.
const spoolMemory = 256 << 10

// chunkName is the size of one chunk's record in a fingerprint.
const chunkName = sha256.Size + 4

// A spool holds the names of the chunks of one file until it is known that the
// file did not change while it was read.
type spool struct {
	dir string
	mem []byte
	f   *os.File
	n   int64 // bytes in f
	err error
}

func (s *spool) add(c attribution.Chunk) {
	if len(s.mem) >= spoolMemory && s.err == nil {
		s.flush()
	}
	s.mem = attribution.AppendChunk(s.mem, c)
}

func (s *spool) flush() {
	if s.f == nil {
		if s.f, s.err = os.CreateTemp(s.dir, ".chunks.*"); s.err != nil {
			return
		}
	}
	n, err := s.f.WriteAt(s.mem, s.n)
	s.n, s.err, s.mem = s.n+int64(n), err, s.mem[:0]
}

func (s *spool) reset() { s.n, s.mem, s.err = 0, s.mem[:0], nil }

func (s *spool) close() {
	if s.f != nil {
		s.f.Close()
		os.Remove(s.f.Name())
	}
}

// reader reads what was added.
func (s *spool) reader() io.Reader {
	if s.n == 0 {
		return bytes.NewReader(s.mem)
	}
	return io.MultiReader(io.NewSectionReader(s.f, 0, s.n), bytes.NewReader(s.mem))
}

// parts are what is known of a file beside its blocks and hash: the names of its
// chunks, in one of three places, and its records.
type parts struct {
	spool   *spool
	chunks  []byte
	at      *io.SectionReader // in the stat cache: the names, then the records
	names   int64             // bytes of names there
	records *records.Result   // nil when the file has none
}

// inspect makes the parts of a file that is one chunk, in a worker. digest is
// the SHA-256 of data if raw.
func (o *AddOptions) inspect(name string, data []byte, digest [32]byte, raw bool) (p parts) {
	if o.NoSketch {
		return p
	}
	var chunks [][]byte
	for b := data; len(b) > 0; {
		n := attribution.Cut(b)
		chunks, b = append(chunks, b[:n]), b[n:]
	}
	if raw && len(chunks) == 1 {
		p.chunks = attribution.AppendChunk(nil, attribution.Chunk{Hash: digest, Len: uint32(len(data))})
	} else {
		for _, c := range attribution.AppendChunksOf(nil, chunks) {
			p.chunks = attribution.AppendChunk(p.chunks, c)
		}
	}
	k, ok := records.Sniff(name, data[:min(len(data), records.HeadSize)])
	if !ok {
		return p
	}
	// What can fail is the context and the file; here is neither.
	r := bytes.NewReader(data)
	if k.Format == records.Parquet {
		p.records, _ = records.ReadParquet(context.Background(), r, r.Size(), o.recordOptions())
	} else {
		p.records, _ = records.Read(context.Background(), k, r, r.Size(), o.recordOptions())
	}
	return p
}

func (o *AddOptions) recordOptions() records.Options { return records.Options{Drop: o.Drop} }

// dropKey writes Drop, in one way.
func (o *AddOptions) dropKey() string {
	var names []string
	for n, drop := range o.Drop {
		if drop {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return fmt.Sprintf("%q", names)
}

// open returns the names of the chunks, and reads the records if they are in the
// cache.
func (p *parts) open() (io.Reader, error) {
	switch {
	case p.spool != nil:
		return p.spool.reader(), nil
	case p.at == nil:
		return bytes.NewReader(p.chunks), nil
	}
	b := make([]byte, p.at.Size()-p.names)
	if _, err := p.at.ReadAt(b, p.names); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var err error
	p.records, err = decodeRecords(b)
	return io.NewSectionReader(p.at, 0, p.names), err
}

// encodeRecords is how the stat cache keeps what was read of a file.
func encodeRecords(r *records.Result) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	x := *r
	x.Sketch = sketch.Sketch{}
	b, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	return append(append(binary.AppendUvarint(nil, uint64(len(b))), b...), r.Sketch.Encode()...), nil
}

func decodeRecords(b []byte) (*records.Result, error) {
	if len(b) == 0 {
		return nil, nil
	}
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, fault.New(fault.Internal, "the stat cache is damaged")
	}
	b = b[k:]
	r := new(records.Result)
	if err := json.Unmarshal(b[:n], r); err != nil {
		return nil, err
	}
	var err error
	r.Sketch, err = sketch.Decode(b[n:])
	return r, err
}

// Limits of the schemas of a dataset: those of a manifest of 1 MiB.
const (
	maxSchemas      = 64
	maxSchemaFields = 4096
	maxNotes        = 100
)

// A survey gathers what the files of a dataset hold.
type survey struct {
	a     *adder
	print *fileWriter // the fingerprint
	count int64       // its chunks
	buf   []byte

	hashes  sketch.Builder
	counted int64 // records of files that were read to their end
	tables  int   // files with records
	short   bool  // one of them was not
	schemas map[string]manifests.RecordSchema
	names   map[string]string // by the names of the fields
	fields  int
	notes   []Warning

	described map[string]string // AddOptions.Schemas, by the names of their fields
}

func newSurvey(a *adder) *survey {
	s := &survey{a: a, schemas: make(map[string]manifests.RecordSchema), names: make(map[string]string), described: make(map[string]string)}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(a.o.Schemas))) { // of two that are alike, the first
		s.described[fieldNames(a.o.Schemas[name].Fields, func(f manifests.Field) string { return f.Name })] = name
	}
	return s
}

// fieldNames is a key for the names of fields, whatever their order.
func fieldNames[F any](fields []F, name func(F) string) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = name(f)
	}
	slices.Sort(list)
	return strings.Join(list, "\x00")
}

// take adds a file, and says in f what was found. What goes into the fingerprint
// also goes to keep, when it is set.
func (s *survey) take(ctx context.Context, f *File, p *parts, keep io.Writer) error {
	names, err := p.open()
	if err != nil {
		return err
	}
	if s.buf == nil {
		s.buf = make([]byte, 32<<10/chunkName*chunkName)
	}
	for {
		n, err := io.ReadFull(names, s.buf)
		if n > 0 {
			if keep != nil {
				if _, err := keep.Write(s.buf[:n]); err != nil {
					return err
				}
			}
			if err := s.mark(ctx, s.buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	r := p.records
	if r == nil {
		return nil
	}
	s.hashes.AddSketch(r.Sketch)
	if !r.Complete() && len(s.notes) < maxNotes {
		s.notes = append(s.notes, Warning{Path: f.Path, What: r.Note})
	}
	// How it was read says more than the name: of .json that is lines, of what has
	// no extension, and of what is inside a compression.
	f.MediaType, f.Compression = r.MediaType(), r.Compression
	if r.Format == records.Text {
		return nil
	}
	s.tables++
	if !r.Complete() {
		s.short = true
		return nil
	}
	s.counted += r.Records
	f.Records = &r.Records
	f.SchemaRef = s.schema(r.Fields)
	return nil
}

// mark adds names of chunks to the fingerprint.
func (s *survey) mark(ctx context.Context, b []byte) error {
	if s.print == nil {
		s.print = newFileWriter(s.a)
		if err := s.print.write(ctx, []byte(attribution.FingerprintHeader)); err != nil {
			return err
		}
	}
	s.count += int64(len(b) / chunkName)
	return s.print.write(ctx, b)
}

// schema returns the name of the schema with these fields: the same for all
// files that have the same names in the same order, whatever their types.
func (s *survey) schema(fields []records.Field) string {
	if len(fields) == 0 {
		return ""
	}
	var key strings.Builder
	for _, f := range fields {
		key.WriteString(f.Name)
		key.WriteByte(0)
	}
	name, ok := s.names[key.String()]
	if !ok {
		if len(s.names) == maxSchemas || s.fields+len(fields) > maxSchemaFields {
			return ""
		}
		s.fields += len(fields)
		if name = "default"; len(s.names) > 0 {
			name = fmt.Sprintf("default-%d", len(s.names)+1)
		}
		s.names[key.String()] = name
		list := make([]manifests.Field, len(fields))
		for i, f := range fields {
			list[i] = manifests.Field{Name: f.Name, Type: f.Type}
			if sketch.IDName(f.Name) {
				list[i].Role = "id"
			}
		}
		s.schemas[name] = manifests.RecordSchema{Fields: list}
		return name
	}
	for i, f := range fields {
		old := &s.schemas[name].Fields[i]
		old.Type = records.Wider(old.Type, f.Type)
	}
	return name
}

// finish stores sketch and fingerprint, and says what was found in the result.
func (s *survey) finish(ctx context.Context, r *Result) error {
	r.Warnings = append(r.Warnings, s.notes...)
	if s.tables > 0 && !s.short {
		r.Records = &s.counted
	}
	for name, x := range s.schemas {
		for i := range x.Fields {
			if x.Fields[i].Type == records.Null {
				x.Fields[i].Type = records.String // nothing was ever there
			}
		}
		if r.Schemas == nil {
			r.Schemas = make(map[string]manifests.RecordSchema)
		}
		r.Schemas[name] = x
	}
	if x := s.hashes.Sketch(); len(x.Hashes) > 0 {
		b := x.Encode()
		id := cjson.RawCID(b)
		if _, err := s.a.counted().Append(ctx, id, b); err != nil {
			return err
		}
		r.Sketch = x.InManifest(id)
	}
	if s.print == nil {
		return nil
	}
	id, err := s.print.finish(ctx)
	r.Fingerprint = sketch.Fingerprint(id, s.count)
	return err
}

// A fileWriter writes a file of the store's own making, under unixfs-v1-2025.
type fileWriter struct {
	a    *adder
	file *dag.FileBuilder
	buf  []byte
}

func newFileWriter(a *adder) *fileWriter {
	return &fileWriter{a: a, file: dag.NewFile(dag.ProfileV1_2025, a.counted())}
}

func (w *fileWriter) write(ctx context.Context, p []byte) error {
	w.buf = append(w.buf, p...)
	return w.cut(ctx)
}

// cut writes the leaves that are full.
func (w *fileWriter) cut(ctx context.Context) error {
	for size := dag.ProfileV1_2025.ChunkSize; len(w.buf) >= size; {
		if err := w.leaf(ctx, w.buf[:size]); err != nil {
			return err
		}
		w.buf = w.buf[:copy(w.buf, w.buf[size:])]
	}
	return nil
}

func (w *fileWriter) leaf(ctx context.Context, b []byte) error {
	d := sha256.Sum256(b)
	if _, err := w.a.counted().Append(ctx, dag.ProfileV1_2025.LeafCID(d), b); err != nil {
		return err
	}
	return w.file.AddLeaf(ctx, d, len(b), len(b))
}

func (w *fileWriter) finish(ctx context.Context) (cid.Cid, error) {
	if len(w.buf) > 0 {
		if err := w.leaf(ctx, w.buf); err != nil {
			return cid.Undef, err
		}
	}
	link, _, err := w.file.Finish(ctx)
	return link.CID, err
}
