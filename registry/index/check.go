package index

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/dgraph-io/badger/v4"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Dump writes all rows as text, one line a row in key order: the table's name,
// the fields of the key, and the value, parted by tabs. Two indexes of the same
// log write the same bytes, however they were filled.
func (x *Index) Dump(ctx context.Context, w io.Writer) error {
	return x.View(func(s *Snapshot) error {
		b := bufio.NewWriter(w)
		err := s.every(ctx, func(t table, parts []any, payload []byte) error {
			b.WriteString(t.name)
			for _, p := range parts {
				b.WriteByte('\t')
				if i, ok := p.(uint64); ok {
					b.WriteString(strconv.FormatUint(i, 10))
				} else {
					b.WriteString(asciiText(p.(string)))
				}
			}
			b.WriteByte('\t')
			b.Write(payload)
			return b.WriteByte('\n')
		})
		if err != nil {
			return err
		}
		return b.Flush()
	})
}

// asciiText is s, or s in quotes when it is not printable ASCII.
func asciiText(s string) string {
	if q := strconv.QuoteToASCII(s); len(q) != len(s)+2 {
		return q
	}
	return s
}

// every calls fn for every row but the first and the last, in key order.
func (r reader) every(ctx context.Context, fn func(t table, parts []any, payload []byte) error) error {
	it := r.txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	first, last := false, false
	n := 0
	for it.Rewind(); it.Valid(); it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return fault.Mark(fault.Interrupted, ctx.Err())
		}
		k := it.Item().Key()
		payload, err := value(it.Item(), k)
		if err != nil {
			return err
		}
		switch {
		case last || first == (string(k) == firstKey):
			return damaged("row %q stands where no row can be", k)
		case string(k) == firstKey:
			first = true
			continue
		case string(k) == lastKey:
			last = true
			continue
		}
		t, parts, ok := parseKey(k)
		if !ok {
			return damaged("row %q is of no table", k)
		}
		if err := fn(t, parts, payload); err != nil {
			return err
		}
	}
	if !last {
		return damaged("the rows end before the last key")
	}
	return nil
}

// A CheckSummary is what [Index.Check] read.
type CheckSummary struct {
	Applied uint64            `json:"applied"`
	Rows    map[string]uint64 `json:"rows"` // by table
}

// Check reads every row and holds it against what is counted: the frames, the
// counters, the run of entries, and the database's own checksums. It returns
// ErrRebuild when something does not hold. What it cannot see is a database
// that somebody wrote on purpose: replaying the log into another index and
// comparing digests and dumps does that.
func (x *Index) Check(ctx context.Context) (CheckSummary, error) {
	sum := CheckSummary{Rows: make(map[string]uint64)}
	err := x.View(func(s *Snapshot) error {
		if err := x.db.VerifyChecksum(); err != nil {
			return damaged("its tables: %w", err)
		}
		sum.Applied = s.applied
		rows := make(map[byte]uint64)
		err := s.every(ctx, func(t table, parts []any, payload []byte) error {
			if t.letter == tEntry && parts[0].(uint64) != rows[tEntry] {
				return damaged("entry %d follows entry %d", parts[0], rows[tEntry])
			}
			rows[t.letter]++
			return nil
		})
		if err != nil {
			return err
		}
		want, err := s.counts()
		if err != nil {
			return err
		}
		want[tMeta] = uint64(len(tables)) // a counter for each but meta, and the index's own row
		for _, t := range tables {
			if rows[t.letter] != want[t.letter] {
				return damaged("table %s has %d rows, and %d are counted", t.name, rows[t.letter], want[t.letter])
			}
			sum.Rows[t.name] = rows[t.letter]
		}
		if rows[tEntry] != s.applied {
			return damaged("%d entries, and %d applied", rows[tEntry], s.applied)
		}
		return nil
	})
	if err != nil {
		return CheckSummary{}, fmt.Errorf("checking the index: %w", err)
	}
	return sum, nil
}
