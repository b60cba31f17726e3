package attribution

import (
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A RowCounter counts the rows of a file whose bytes are written to it, in
// pieces of any size. What a row is depends on the media type:
//
//   - text/plain, text/tab-separated-values, application/x-ndjson and
//     application/jsonl: a line that is not blank. Lines end at LF, the last one
//     also at the file's end; blank is a line of spaces, tabs and CRs only.
//   - text/csv: the same, but only such an LF ends a row that has an even number
//     of quotes before it in the file. So a quoted line break is part of its row.
//   - application/vnd.apache.parquet: num_rows of the footer, which must equal
//     the sum over the row groups. The pages are not read: it is the writer's
//     word.
//
// A header line counts as a row: no media type says whether there is one.
type RowCounter struct {
	csv     bool
	parquet *parquetTail

	rows   uint64
	filled bool // the row at hand is not blank
	quoted bool // an odd number of quotes so far
}

// NewRowCounter returns a counter for one file of a media type. One for which
// no rule defines rows is fault.Invalid.
func NewRowCounter(mediaType string) (*RowCounter, error) {
	switch mediaType {
	case "text/plain", "text/tab-separated-values", "application/x-ndjson", "application/jsonl":
		return &RowCounter{}, nil
	case "text/csv":
		return &RowCounter{csv: true}, nil
	case "application/vnd.apache.parquet":
		return &RowCounter{parquet: &parquetTail{}}, nil
	}
	return nil, fault.New(fault.Invalid, "no rule says what a row of %s is", fault.Quote(mediaType))
}

// Write counts on. It never fails.
func (r *RowCounter) Write(p []byte) (int, error) {
	if r.parquet != nil {
		r.parquet.write(p)
		return len(p), nil
	}
	for _, c := range p {
		switch c {
		case '\n':
			if r.quoted {
				continue
			}
			if r.filled {
				r.rows++
			}
			r.filled = false
		case ' ', '\t', '\r':
		case '"':
			r.quoted = r.csv && !r.quoted
			r.filled = true
		default:
			r.filled = true
		}
	}
	return len(p), nil
}

// Rows returns the number of rows, were the file to end here. A file that is
// not Parquet under Parquet's media type is fault.Invalid, and one whose footer
// is above the limit fault.TooLarge.
func (r *RowCounter) Rows() (uint64, error) {
	switch {
	case r.parquet != nil:
		return r.parquet.rows()
	case r.filled:
		return r.rows + 1, nil
	}
	return r.rows, nil
}
