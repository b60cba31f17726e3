package attribution

import (
	"encoding/binary"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/thrift"
)

// maxFooter bounds the footer of a Parquet file. Its size is columns times row
// groups times some 100 bytes; 16 MiB are 1,000 columns in 160 groups.
const maxFooter = 16 << 20

// parquetTail keeps the first 4 bytes of a file and enough of its end to hold
// the largest footer that is read.
type parquetTail struct {
	head [4]byte
	size uint64
	tail []byte
}

const (
	parquetMagic = "PAR1"
	// parquetTrailer stands at the end of the file: the footer's length,
	// little-endian, and the magic.
	parquetTrailer = 8
	keepTail       = maxFooter + parquetTrailer
)

func (t *parquetTail) write(p []byte) {
	if t.size < 4 {
		copy(t.head[t.size:], p)
	}
	t.size += uint64(len(p))
	if len(p) > keepTail {
		p = p[len(p)-keepTail:]
	}
	if len(t.tail)+len(p) > 2*keepTail {
		t.tail = t.tail[:copy(t.tail, t.tail[len(t.tail)-keepTail:])]
	}
	t.tail = append(t.tail, p...)
}

func (t *parquetTail) rows() (uint64, error) {
	b := t.tail
	if t.size < 4+parquetTrailer || string(t.head[:]) != parquetMagic || string(b[len(b)-4:]) != parquetMagic {
		return 0, fault.New(fault.Invalid, "no Parquet file with a readable footer: it begins or ends without %s", parquetMagic)
	}
	b = b[:len(b)-4]
	n := uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > maxFooter {
		return 0, fault.New(fault.TooLarge, "a Parquet footer may have %d bytes, this one has %d", maxFooter, n)
	}
	if n > t.size-4-parquetTrailer {
		return 0, fault.New(fault.Invalid, "the Parquet footer is longer than the file")
	}
	c := &thrift.Reader{B: b[uint64(len(b))-n:]}
	rows, groups := int64(-1), int64(0)
	c.Structure(0, func(id int64, typ byte) bool {
		switch {
		case id == 3 && typ == thrift.I64: // FileMetaData.num_rows
			rows = c.Zigzag()
		case id == 4 && typ == thrift.List: // FileMetaData.row_groups
			elem, count := c.List()
			if elem != thrift.Struct {
				c.Bad = true
			}
			for ; count > 0 && !c.Bad; count-- {
				c.Structure(1, func(id int64, typ byte) bool {
					if id != 3 || typ != thrift.I64 { // RowGroup.num_rows
						return false
					}
					k := c.Zigzag()
					if groups += k; k < 0 || groups < 0 {
						c.Bad = true
					}
					return true
				})
			}
		default:
			return false
		}
		return true
	})
	if c.Bad || rows < 0 || len(c.B) > 0 {
		return 0, fault.New(fault.Invalid, "the Parquet footer is malformed")
	}
	if rows != groups {
		return 0, fault.New(fault.Invalid, "the Parquet footer claims %d rows, and its row groups %d", rows, groups)
	}
	return uint64(rows), nil
}
