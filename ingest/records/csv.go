package records

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
)

// csv reads RFC 4180 with the separator that the first line has most of. The
// first row names the columns when it can: its cells differ, none but the first is
// empty, and none is a number. Rows have as many cells as the first. A column
// without a name is no field: a reader finds columns by what is in the file.
func (x *run) csv(r io.Reader, f Format) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if b, _ := in.Peek(len(bom)); bytes.Equal(b, bom) {
		in.Discard(len(bom))
	}
	comma := '\t'
	if f == CSV {
		head, _ := in.Peek(HeadSize)
		if comma = separator(head); comma == '\t' {
			x.r.Format = TSV // whatever it is called: readers of CSV find no column
		}
	}
	row := &rowLimit{r: in}
	c := csv.NewReader(row)
	c.Comma, c.ReuseRecord = comma, true
	var columns []int
	var drop []bool
	for first := true; ; first = false {
		row.left = MaxRecord + 64<<10
		from := c.InputOffset()
		cells, err := c.Read()
		if err == nil && c.InputOffset()-from > MaxRecord {
			err = errRow
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			var p *csv.ParseError
			if errors.As(err, &p) {
				err = fmt.Errorf("line %d: %w", p.Line, p.Err)
			}
			return err
		}
		if first {
			named := header(cells)
			for _, cell := range cells {
				column := -1
				if named && cell != "" {
					column = x.schema.column([]byte(cell))
				}
				columns = append(columns, column)
				drop = append(drop, named && (cell == "" || x.dropped(cell)))
			}
			if named {
				continue
			}
		}
		for i, cell := range cells {
			v := []byte(cell)
			if at := columns[i]; at >= 0 && at < len(x.schema.list) {
				x.schema.saw(at, typeOf(v, x.schema.list[at].typ))
			}
			if !drop[i] && !x.o.NoSketch {
				x.rec.Add(v)
			}
		}
		if err := x.record(); err != nil {
			return err
		}
	}
}

var errRow = fmt.Errorf("%w: a row of more than %d bytes", errLimit, MaxRecord)

// rowLimit bounds what is read for one row: a quote that is never closed would
// take in the rest of the file.
type rowLimit struct {
	r    io.Reader
	left int
}

func (l *rowLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRow
	}
	n, err := l.r.Read(p)
	l.left -= n
	return n, err
}

// separator counts, outside of quotes, in the first line.
func separator(head []byte) rune {
	quoted := false
	var n [256]int
	for _, c := range head {
		if c == '"' {
			quoted = !quoted
		}
		if !quoted {
			if c == '\n' {
				break
			}
			n[c]++
		}
	}
	best := ','
	for _, c := range ";\t|" {
		if n[c] > n[best] {
			best = c
		}
	}
	return best
}

func header(cells []string) bool {
	seen := make(map[string]bool, len(cells))
	for i, c := range cells {
		// The first name is empty where pandas wrote its row numbers.
		t := typeOf([]byte(c), "")
		if i > 0 && t == Null || t != Null && t != String || len(c) > MaxName || seen[c] {
			return false
		}
		seen[c] = true
	}
	return true
}
