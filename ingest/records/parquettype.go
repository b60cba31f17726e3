package records

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"time"
)

// Physical types.
const (
	kindBoolean = 0
	kindInt32   = 1
	kindInt64   = 2
	kindInt96   = 3
	kindFloat   = 4
	kindDouble  = 5
	kindBytes   = 6
	kindFixed   = 7
)

// widths are the bytes of a value of a physical type; 0 where it varies, or the
// schema says.
var widths = [...]int{kindBoolean: 1, kindInt32: 4, kindInt64: 8, kindInt96: 12, kindFloat: 4, kindDouble: 8, kindBytes: 0, kindFixed: 0}

// Logical types: the fields of the union LogicalType.
const (
	logicalString    = 1
	logicalList      = 3
	logicalEnum      = 4
	logicalDecimal   = 5
	logicalDate      = 6
	logicalTime      = 7
	logicalTimestamp = 8
	logicalInteger   = 10
	logicalJSON      = 12
	logicalUUID      = 14
)

// Converted types, which came before logical ones.
const (
	convertedUTF8      = 0
	convertedList      = 3
	convertedEnum      = 4
	convertedDecimal   = 5
	convertedDate      = 6
	convertedTime      = 7 // of milliseconds; 8 of microseconds
	convertedMillis    = 9
	convertedMicros    = 10
	convertedUnsigned8 = 11
	convertedUnsigned  = 14
	convertedJSON      = 19
)

// maxDecimal bounds the bytes of a decimal number; 64 hold 153 digits.
const maxDecimal = 64

// julianEpoch is the Julian day of 1970-01-01, from which INT96 counts.
const julianEpoch = 2440588

// meaning is the logical type of e, where only its converted type says so.
func (e element) meaning() int64 {
	if e.logical != 0 {
		return e.logical
	}
	switch e.converted {
	case convertedUTF8:
		return logicalString
	case convertedList:
		return logicalList
	case convertedEnum:
		return logicalEnum
	case convertedDecimal:
		return logicalDecimal
	case convertedDate:
		return logicalDate
	case convertedTime, convertedTime + 1:
		return logicalTime
	case convertedMillis, convertedMicros:
		return logicalTimestamp
	case convertedJSON:
		return logicalJSON
	}
	return 0
}

// fieldType is the type of the field that e is.
func (e element) fieldType() string {
	switch m := e.meaning(); {
	case e.repetition == repeated || m == logicalList:
		return List
	case e.kind < 0 || e.children > 0:
		return Object
	case m == logicalString || m == logicalEnum || m == logicalJSON || m == logicalUUID:
		return String
	case m == logicalDate:
		return Date
	case m == logicalTime:
		return Time
	case m == logicalTimestamp || e.kind == kindInt96:
		return DateTime
	case m == logicalDecimal:
		if e.scale == 0 {
			return Integer
		}
		return Number
	case e.kind == kindBoolean:
		return Boolean
	case e.kind == kindInt32 || e.kind == kindInt64:
		return Integer
	case e.kind == kindFloat || e.kind == kindDouble:
		return Number
	}
	return Bytes
}

// text returns how values are written: as CSV and JSON would have them, so that
// the same value is the same in every format.
func (e element) text() func(dst, raw []byte) []byte {
	integer := func(raw []byte) int64 {
		if len(raw) == 4 {
			return int64(int32(binary.LittleEndian.Uint32(raw)))
		}
		return int64(binary.LittleEndian.Uint64(raw))
	}
	whole := e.kind == kindInt32 || e.kind == kindInt64
	switch m := e.meaning(); {
	case m == logicalDate && e.kind == kindInt32:
		return func(dst, raw []byte) []byte {
			return time.Unix(integer(raw)*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
		}
	case m == logicalTimestamp && e.kind == kindInt64:
		per := int64(time.Second)
		if e.unit == 1 || e.unit == 0 && e.converted == convertedMillis {
			per = 1e3
		} else if e.unit == 2 || e.unit == 0 && e.converted == convertedMicros {
			per = 1e6
		}
		return func(dst, raw []byte) []byte {
			n := integer(raw)
			return time.Unix(n/per, n%per*(int64(time.Second)/per)).UTC().AppendFormat(dst, time.RFC3339Nano)
		}
	case m == logicalDecimal:
		return func(dst, raw []byte) []byte {
			n := new(big.Int)
			switch {
			case whole:
				n.SetInt64(integer(raw))
			case len(raw) > maxDecimal:
				return append(dst, raw...)
			default:
				n.SetBytes(raw)
				if len(raw) > 0 && raw[0] >= 0x80 {
					n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
				}
			}
			dst = append(n.Append(dst, 10), 'e')
			return strconv.AppendInt(dst, -e.scale, 10)
		}
	case m == logicalUUID:
		return func(dst, _ []byte) []byte { return dst } // an identifier
	case whole && (e.unsigned || e.converted >= convertedUnsigned8 && e.converted <= convertedUnsigned):
		return func(dst, raw []byte) []byte {
			n := uint64(integer(raw))
			if len(raw) == 4 {
				n = uint64(uint32(n))
			}
			return strconv.AppendUint(dst, n, 10)
		}
	case whole:
		return func(dst, raw []byte) []byte { return strconv.AppendInt(dst, integer(raw), 10) }
	}
	switch e.kind {
	case kindBoolean:
		return func(dst, raw []byte) []byte { return strconv.AppendBool(dst, raw[0] != 0) }
	case kindFloat:
		return func(dst, raw []byte) []byte {
			return strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))), 'g', -1, 32)
		}
	case kindDouble:
		return func(dst, raw []byte) []byte {
			return strconv.AppendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(raw)), 'g', -1, 64)
		}
	case kindInt96: // nanoseconds of the day, and the Julian day
		return func(dst, raw []byte) []byte {
			day := int64(int32(binary.LittleEndian.Uint32(raw[8:]))) - julianEpoch
			return time.Unix(day*86400, int64(binary.LittleEndian.Uint64(raw))).UTC().AppendFormat(dst, time.RFC3339Nano)
		}
	}
	return func(dst, raw []byte) []byte { return append(dst, raw...) }
}
