package records

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cairn-registry/cairn/manifests/thrift"
)

// Parquet is read by code of our own, because the bytes are foreign: what a
// page claims to hold is never made room for before it is there, and levels and
// indexes are unpacked as they are asked for. A library that decodes whole pages
// into arrays can be made to take any amount of memory by a few bytes.
const (
	// MaxFooter bounds the footer: some 20,000 column chunks.
	MaxFooter = 2 << 20
	// MaxPage bounds a page, decoded. Writers make them of 1 MiB.
	MaxPage = 8 << 20
	// MaxPages bounds the dictionaries and pages of all columns, which are in
	// memory at once.
	MaxPages = 24 << 20
	// MaxRow bounds the values of a row, each with spanCost more: what a record
	// holds in memory. A row without lists has no more than the pages have.
	MaxRow   = MaxPages
	spanCost = 8
	// valueCost is what a value counts at least: a run of equal values, or of
	// nulls, takes a few bytes however long it is.
	valueCost = 4
	// maxPageHeader bounds a page's header, statistics and all.
	maxPageHeader = 64 << 10
)

// ReadParquet reads the records of a Parquet file of size bytes, as [Read] does
// those of others. It reads r in many places, and holds a page of each column.
func ReadParquet(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Result, error) {
	x := &run{ctx: ctx, o: o, r: &Result{Kind: Kind{Format: Parquet}}}
	in := &sourceAt{r: r, ctx: ctx, size: size}
	err := x.parquet(in)
	return x.finish(in.err, err)
}

// A sourceAt keeps the error of a file apart from what is wrong with its bytes.
type sourceAt struct {
	r    io.ReaderAt
	ctx  context.Context
	size int64
	err  error
}

// read fills p from off on; bytes that are not there are malformed Parquet.
func (s *sourceAt) read(p []byte, off int64) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if off < 0 || off > s.size-int64(len(p)) {
		return errParquet
	}
	n, err := s.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	s.err = err
	return err
}

var errParquet = errors.New("malformed Parquet")

func (x *run) parquet(in *sourceAt) error {
	var tail [8]byte
	if err := in.read(tail[:], in.size-8); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(tail[4:]) != "PAR1" || n > in.size-12 {
		return errParquet
	}
	if n > MaxFooter {
		return fmt.Errorf("%w: a footer of %d bytes", errLimit, n)
	}
	b := make([]byte, n)
	if err := in.read(b, in.size-8-n); err != nil {
		return err
	}
	f, ok := readFooter(b)
	if !ok {
		return errParquet
	}
	rows := f.rows
	for _, g := range f.groups {
		if g.rows < 0 || g.rows > rows {
			return errParquet
		}
		rows -= g.rows
	}
	if rows != 0 {
		return errParquet
	}
	columns, err := x.columns(f)
	if err != nil {
		return err
	}
	p := &parquetReader{in: in, columns: columns, left: decodedLimit(in.size)}
	defer p.close()
	for _, g := range f.groups {
		if err := p.group(x, g); err != nil {
			return err
		}
	}
	return nil
}

// A footer is what the end of a Parquet file says, as far as it is needed here.
type footer struct {
	schema []element // depth first, the root first
	rows   int64
	groups []group
}

// An element is a node of the schema.
type element struct {
	name       string
	kind       int64 // physical type; -1 for an inner node
	length     int64 // of kindFixed
	repetition int64
	children   int64
	converted  int64 // -1 for none
	scale      int64
	logical    int64 // field of the union; 0 for none
	unit       int64 // of a timestamp: 1 ms, 2 µs, 3 ns
	unsigned   bool
}

type group struct {
	rows   int64
	chunks []chunk
}

// A chunk is a column in a group of rows.
type chunk struct {
	elsewhere  bool
	codec      int64
	size       int64 // compressed
	data, dict int64 // offsets
}

func readFooter(b []byte) (f footer, ok bool) {
	r := &thrift.Reader{B: b}
	elements := func(typ byte, one func()) {
		elem, n := r.List()
		if typ != thrift.List || n > 0 && elem != thrift.Struct {
			r.Bad = true
		}
		for ; n > 0 && !r.Bad; n-- {
			one()
		}
	}
	r.Structure(0, func(id int64, typ byte) bool {
		switch id {
		case 2: // FileMetaData.schema
			elements(typ, func() { f.schema = append(f.schema, readElement(r)) })
		case 3: // FileMetaData.num_rows
			return number(r, typ, &f.rows)
		case 4: // FileMetaData.row_groups
			elements(typ, func() {
				var g group
				r.Structure(1, func(id int64, typ byte) bool {
					switch id {
					case 1: // RowGroup.columns
						elements(typ, func() { g.chunks = append(g.chunks, readChunk(r)) })
					case 3: // RowGroup.num_rows
						return number(r, typ, &g.rows)
					default:
						return false
					}
					return true
				})
				f.groups = append(f.groups, g)
			})
		default:
			return false
		}
		return true
	})
	return f, !r.Bad
}

// number reads an integer of any width into n, or leaves what is none.
func number(r *thrift.Reader, typ byte, n *int64) bool {
	if typ != thrift.I16 && typ != thrift.I32 && typ != thrift.I64 {
		return false
	}
	*n = r.Zigzag()
	return true
}

func readElement(r *thrift.Reader) element {
	e := element{kind: -1, converted: -1}
	r.Structure(2, func(id int64, typ byte) bool {
		switch id {
		case 1:
			return number(r, typ, &e.kind)
		case 2:
			return number(r, typ, &e.length)
		case 3:
			return number(r, typ, &e.repetition)
		case 4:
			if typ != thrift.Binary {
				return false
			}
			e.name = string(r.Take(r.Varint()))
			return true
		case 5:
			return number(r, typ, &e.children)
		case 6:
			return number(r, typ, &e.converted)
		case 7:
			return number(r, typ, &e.scale)
		case 10:
			if typ != thrift.Struct {
				return false
			}
			r.Structure(3, func(id int64, typ byte) bool {
				e.logical = id
				if typ != thrift.Struct {
					return false
				}
				r.Structure(4, func(member int64, typ byte) bool {
					switch {
					case id == logicalDecimal && member == 1:
						return number(r, typ, &e.scale)
					case id == logicalInteger && member == 2:
						e.unsigned = typ == thrift.False
					case id == logicalTimestamp && member == 2 && typ == thrift.Struct:
						r.Structure(5, func(unit int64, _ byte) bool { e.unit = unit; return false })
						return true
					}
					return false
				})
				return true
			})
			return true
		}
		return false
	})
	return e
}

func readChunk(r *thrift.Reader) (c chunk) {
	r.Structure(2, func(id int64, typ byte) bool {
		switch {
		case id == 1: // ColumnChunk.file_path
			c.elsewhere = true
		case id == 3 && typ == thrift.Struct: // ColumnChunk.meta_data
			r.Structure(3, func(id int64, typ byte) bool {
				switch id {
				case 4:
					return number(r, typ, &c.codec)
				case 7:
					return number(r, typ, &c.size)
				case 9:
					return number(r, typ, &c.data)
				case 11:
					return number(r, typ, &c.dict)
				}
				return false
			})
			return true
		}
		return false
	})
	return c
}

// Repetitions of a node.
const (
	optional = 1
	repeated = 2
)

// columns makes the schema of a file, and a reader for each of its leaves.
func (x *run) columns(f footer) ([]*parquetColumn, error) {
	if len(f.schema) == 0 {
		return nil, errParquet
	}
	var out []*parquetColumn
	at := 1
	var visit func(c parquetColumn, depth int) error
	visit = func(c parquetColumn, depth int) error {
		if at >= len(f.schema) || depth > MaxDepth {
			return errParquet
		}
		e := f.schema[at]
		at++
		switch e.repetition {
		case optional:
			c.maxDef++
		case repeated:
			c.maxDef++
			c.maxRep++
		}
		c.drop = c.drop || x.dropped(e.name)
		if depth == 1 {
			if i := x.schema.column([]byte(e.name)); i >= 0 {
				// What a file declares needs no counting.
				x.schema.list[i] = column{name: e.name, typ: e.fieldType(), null: e.repetition == optional, seen: MaxRows}
			}
		}
		if e.kind < 0 || e.children > 0 {
			for range e.children {
				if err := visit(c, depth+1); err != nil {
					return err
				}
			}
			return nil
		}
		if len(out) == MaxFields {
			return fmt.Errorf("%w: more than %d columns", errLimit, MaxFields)
		}
		if e.kind > kindFixed || e.kind == kindFixed && (e.length < 1 || e.length > MaxRecord) {
			return errParquet
		}
		c.kind, c.width, c.text = e.kind, widths[e.kind], e.text()
		if c.kind == kindFixed {
			c.width = int(e.length)
		}
		out = append(out, &c)
		return nil
	}
	for range f.schema[0].children {
		if err := visit(parquetColumn{}, 1); err != nil {
			return nil, err
		}
	}
	if at != len(f.schema) {
		return nil, errParquet
	}
	return out, nil
}

// A parquetReader reads the groups of rows of a file.
type parquetReader struct {
	in      *sourceAt
	columns []*parquetColumn
	left    int64 // bytes that may still come out
	row     int64 // of them, of the row that is read
	held    int64 // bytes of the columns' pages
	packed  []byte
	codecs  codecs
}

func (p *parquetReader) close() { p.codecs.close() }

// group reads the rows of one group.
func (p *parquetReader) group(x *run, g group) error {
	if len(g.chunks) != len(p.columns) || len(p.columns) == 0 {
		return errParquet
	}
	for i, c := range p.columns {
		if err := c.begin(g.chunks[i]); err != nil {
			return err
		}
	}
	for range g.rows {
		p.row = 0
		for _, c := range p.columns {
			if err := c.row(p, x); err != nil {
				return err
			}
		}
		if err := x.record(); err != nil {
			return err
		}
	}
	for _, c := range p.columns {
		if c.left > 0 {
			return errParquet
		}
	}
	return nil
}
