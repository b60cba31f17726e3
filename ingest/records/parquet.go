package records

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The limits of Parquet files. A file says how much memory its reader needs;
// these are looked at before the library that reads it sees anything.
const (
	// MaxFooter bounds the footer, which is held decoded: about 10,000 column
	// chunks.
	MaxFooter = 2 << 20
	// MaxPage bounds a page, decoded. Writers make them of 1 MiB.
	MaxPage = 8 << 20
	// MaxPages bounds the largest pages of all columns of a row group, which are
	// in memory at once.
	MaxPages = 24 << 20
	// maxDecimal bounds the bytes of a decimal number; 32 hold 76 digits.
	maxDecimal = 64
	// parquetRows are read at a time.
	parquetRows = 64
)

// ReadParquet reads the records of a Parquet file of size bytes, as [Read] does
// those of others. It reads r in many places, and holds a page of each column.
func ReadParquet(ctx context.Context, r io.ReaderAt, size int64, o Options) (out *Result, err error) {
	x := &run{ctx: ctx, o: o, r: &Result{Kind: Kind{Format: Parquet}}}
	in := &sourceAt{r: r, ctx: ctx}
	return x.finish(in.err, x.parquet(in, size))
}

// A sourceAt keeps the error of a file apart from what is wrong with its bytes.
type sourceAt struct {
	r   io.ReaderAt
	ctx context.Context
	err error
}

func (s *sourceAt) ReadAt(p []byte, off int64) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, errParquet
	}
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

var errParquet = errors.New("malformed Parquet")

func (x *run) parquet(in *sourceAt, size int64) (err error) {
	// The library panics on some malformed files.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errParquet, p)
		}
	}()
	var tail [8]byte
	if size < 12 {
		return errParquet
	}
	if _, err := in.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:4])); n > size-12 {
		return errParquet
	} else if n > MaxFooter {
		return fmt.Errorf("%w: a footer of %d bytes", errLimit, n)
	}
	f, err := parquet.OpenFile(in, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(64<<10))
	if err != nil {
		return err
	}
	leaves, err := x.columns(f)
	if err != nil {
		return err
	}
	left := decodedLimit(size)
	for i, g := range f.RowGroups() {
		if err := checkPages(in, size, f.Metadata().RowGroups[i].Columns); err != nil {
			return err
		}
		if err := x.rowGroup(g, leaves, &left); err != nil {
			return err
		}
	}
	return nil
}

// checkPages reads the headers of a row group's pages: the library makes the
// room that they claim before it looks at what is there.
func checkPages(in *sourceAt, size int64, columns []format.ColumnChunk) error {
	var protocol thrift.CompactProtocol
	buf := bufio.NewReaderSize(nil, 4<<10)
	total := int64(0)
	for _, c := range columns {
		from := c.MetaData.DataPageOffset
		if d := c.MetaData.DictionaryPageOffset; d > 0 && d < from {
			from = d
		}
		n := c.MetaData.TotalCompressedSize
		if from < 4 || n < 0 || from > size-n {
			return errParquet
		}
		dictionary, largest := int64(0), int64(0)
		s := io.NewSectionReader(in, from, n)
		for at := int64(0); at < n; {
			if _, err := s.Seek(at, io.SeekStart); err != nil {
				return err
			}
			counted := &counter{r: s}
			buf.Reset(counted)
			var h format.PageHeader
			if err := thrift.NewDecoder(protocol.NewReader(buf)).Decode(&h); err != nil {
				return fmt.Errorf("%w: a page's header: %w", errParquet, err)
			}
			if h.CompressedPageSize < 0 || h.UncompressedPageSize < 0 {
				return errParquet
			}
			// Levels and dictionary indexes are decoded to 4 bytes or fewer each.
			values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
			room := int64(max(h.CompressedPageSize, h.UncompressedPageSize)) + 4*int64(values)
			if room > MaxPage {
				return fmt.Errorf("%w: a page that takes %d bytes of memory", errLimit, room)
			}
			if h.Type == format.DictionaryPage {
				dictionary = max(dictionary, room)
			} else {
				largest = max(largest, room)
			}
			at += counted.n - int64(buf.Buffered()) + int64(h.CompressedPageSize)
		}
		if total += dictionary + largest; total > MaxPages {
			return fmt.Errorf("%w: the pages of %d columns take more than %d bytes of memory at once", errLimit, len(columns), MaxPages)
		}
	}
	return nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A parquetLeaf is a column that holds values.
type parquetLeaf struct {
	drop bool
	text func(dst []byte, v parquet.Value) []byte
}

// columns makes the schema of a file, and tells how its values are written.
func (x *run) columns(f *parquet.File) ([]parquetLeaf, error) {
	leaves := make([]parquetLeaf, len(f.Schema().Columns()))
	var visit func(c *parquet.Column, drop bool)
	visit = func(c *parquet.Column, drop bool) {
		drop = drop || x.dropped(c.Name())
		if !c.Leaf() {
			for _, child := range c.Columns() {
				visit(child, drop)
			}
			return
		}
		if i := c.Index(); i >= 0 && i < len(leaves) {
			leaves[i] = parquetLeaf{drop, textOf(c.Type())}
		}
	}
	for _, c := range f.Root().Columns() {
		if i := x.schema.column([]byte(c.Name())); i >= 0 {
			// What a file declares needs no counting.
			x.schema.list[i] = column{name: c.Name(), typ: parquetType(c), null: c.Optional(), seen: MaxRows}
		}
		visit(c, false)
	}
	for _, l := range leaves {
		if l.text == nil {
			return nil, errParquet
		}
	}
	return leaves, nil
}

func parquetType(c *parquet.Column) string {
	if c.Repeated() {
		return List
	}
	if !c.Leaf() {
		if _, ok := logicalOf(c.Type()).(*format.ListType); ok {
			return List
		}
		return Object
	}
	switch lt := logicalOf(c.Type()).(type) {
	case *format.StringType, *format.EnumType, *format.JsonType, *format.UUIDType:
		return String
	case *format.DateType:
		return Date
	case *format.TimestampType:
		return DateTime
	case *format.DecimalType:
		if lt.Scale == 0 {
			return Integer
		}
		return Number
	}
	switch c.Type().Kind() {
	case parquet.Boolean:
		return Boolean
	case parquet.Int32, parquet.Int64:
		return Integer
	case parquet.Int96:
		return DateTime
	case parquet.Float, parquet.Double:
		return Number
	}
	return Bytes
}

func logicalOf(t parquet.Type) format.LogicalTypeValue {
	if lt := t.LogicalType(); lt != nil {
		return lt.Value
	}
	return nil
}

// textOf returns how values of a type are written: as CSV and JSON would have
// them, so that the same value is the same in every format.
func textOf(t parquet.Type) func(dst []byte, v parquet.Value) []byte {
	switch lt := logicalOf(t).(type) {
	case *format.DateType:
		return func(dst []byte, v parquet.Value) []byte {
			return time.Unix(int64(v.Int32())*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
		}
	case *format.TimestampType:
		unit := time.Nanosecond
		switch lt.Unit.Value.(type) {
		case *format.MilliSeconds:
			unit = time.Millisecond
		case *format.MicroSeconds:
			unit = time.Microsecond
		}
		per := int64(time.Second / unit)
		return func(dst []byte, v parquet.Value) []byte {
			n := v.Int64()
			return time.Unix(n/per, n%per*int64(unit)).UTC().AppendFormat(dst, time.RFC3339Nano)
		}
	case *format.DecimalType:
		scale := int64(lt.Scale)
		return func(dst []byte, v parquet.Value) []byte {
			n := new(big.Int)
			switch v.Kind() {
			case parquet.Int32:
				n.SetInt64(int64(v.Int32()))
			case parquet.Int64:
				n.SetInt64(v.Int64())
			default:
				b := v.ByteArray()
				if len(b) > maxDecimal {
					return append(dst, b...)
				}
				n.SetBytes(b)
				if len(b) > 0 && b[0] >= 0x80 {
					n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
				}
			}
			dst = append(n.Append(dst, 10), 'e')
			return strconv.AppendInt(dst, -scale, 10)
		}
	case *format.IntType:
		if !lt.IsSigned {
			return func(dst []byte, v parquet.Value) []byte {
				if v.Kind() == parquet.Int32 {
					return strconv.AppendUint(dst, uint64(v.Uint32()), 10)
				}
				return strconv.AppendUint(dst, v.Uint64(), 10)
			}
		}
	case *format.UUIDType:
		return func(dst []byte, _ parquet.Value) []byte { return dst } // an identifier
	}
	return plainText
}

func plainText(dst []byte, v parquet.Value) []byte {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(dst, v.Boolean())
	case parquet.Int32:
		return strconv.AppendInt(dst, int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case parquet.Int96:
		return v.Int96().Int().Append(dst, 10)
	case parquet.Float:
		return strconv.AppendFloat(dst, float64(v.Float()), 'g', -1, 32)
	case parquet.Double:
		return strconv.AppendFloat(dst, v.Double(), 'g', -1, 64)
	}
	return append(dst, v.ByteArray()...)
}

// rowGroup reads the rows of one group; what its values have in bytes is taken
// from left.
func (x *run) rowGroup(g parquet.RowGroup, leaves []parquetLeaf, left *int64) (err error) {
	rows := g.Rows()
	defer func() { err = errors.Join(err, rows.Close()) }()
	buf := make([]parquet.Row, parquetRows)
	var text []byte
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			for _, v := range row {
				if v.IsNull() {
					continue
				}
				i := v.Column()
				if i < 0 || i >= len(leaves) {
					return errParquet
				}
				text = leaves[i].text(text[:0], v)
				if *left -= int64(len(text)) + 1; *left < 0 {
					return fmt.Errorf("%w: too many bytes come out of it", errLimit)
				}
				if !leaves[i].drop && !x.o.NoSketch {
					x.rec.Add(text)
				}
			}
			if *left--; *left < 0 {
				return fmt.Errorf("%w: too many rows come out of it", errLimit)
			}
			if err := x.record(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return errParquet // it would go on for ever
		}
	}
}
