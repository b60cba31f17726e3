package index

import (
	"context"
	"encoding/hex"
	"maps"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
)

// A transaction takes entries up to these limits, and at least one. The
// database would take 2,202,009 bytes and 22,937 keys; the largest statement
// that the formats allow stays below that.
const (
	maxTxnKeys  = 2000
	maxTxnBytes = 2 << 20
)

// An Outcome is what became of one applied entry.
type Outcome struct {
	Index  uint64
	Result fold.Result
	Digest [32]byte // the fold's, after this entry
}

// Apply judges entries, which are those of the log from index first on, and
// stores what follows from them. first must be the number of entries applied
// so far, else fault.Conflict. Entries see the effects of those before them.
// Concurrent calls wait for each other.
//
// Effects, verdicts, entry records, applied size and digest of a run of entries
// are one transaction; a long batch is cut into several, between entries. When
// Apply returns an error, the outcomes that it returns with it are applied and
// nothing else is. After a commit that failed the index takes no more entries:
// close it, open it again, and see where it stands.
func (x *Index) Apply(ctx context.Context, first uint64, entries []*fold.Entry) ([]Outcome, error) {
	x.applying.Lock()
	defer x.applying.Unlock()
	x.mu.RLock()
	defer x.mu.RUnlock()
	switch {
	case x.db == nil:
		return nil, fault.Mark(fault.Internal, errClosed)
	case x.failed != nil:
		return nil, x.failed
	case first != x.meta.Applied:
		return nil, fault.New(fault.Conflict, "applying entry %d to an index of %d entries", first, x.meta.Applied)
	}
	done := make([]Outcome, 0, len(entries))
	b := x.begin()
	defer func() { b.txn.Discard() }()
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return done, fault.Mark(fault.Interrupted, err)
		}
		r, err := e.Judge(view{b.reader, b.inForce}, x.origin, b.meta.Applied)
		if err != nil {
			return done, err
		}
		digest := fold.Next(b.digest, b.meta.Applied, e.LeafHash, r)
		rows, err := b.rows(e, r, digest)
		if err != nil {
			return done, err
		}
		if b.full(rows) {
			if err := x.commit(b); err != nil {
				return done, err
			}
			done = append(done, b.outcomes...)
			b = x.begin()
		}
		if err := b.add(r, digest, rows); err != nil {
			return done, err
		}
	}
	if err := x.commit(b); err != nil {
		return done, err
	}
	return append(done, b.outcomes...), nil
}

// batch is one transaction in the making.
type batch struct {
	reader
	meta     metaRow
	digest   [32]byte
	counts   map[byte]uint64
	inForce  *fold.SetRegistry
	outcomes []Outcome
	keys     int
	bytes    int
}

func (x *Index) begin() *batch {
	return &batch{
		reader:  reader{x.db.NewTransaction(true)},
		meta:    x.meta,
		digest:  x.digest,
		counts:  maps.Clone(x.counts),
		inForce: x.inForce,
	}
}

// row is a row to be written, or taken away. It is counted when it is new or gone.
type row struct {
	key     []byte
	payload []byte
	fresh   bool
	gone    bool
}

// full reports whether rows belong into the next transaction.
func (b *batch) full(rows []row) bool {
	if len(b.outcomes) == 0 {
		return false
	}
	bytes := b.bytes
	for _, r := range rows {
		bytes += len(r.key) + len(r.payload) + frameSize
	}
	return b.keys+len(rows) > maxTxnKeys || bytes > maxTxnBytes
}

// add writes the rows of an entry and moves on to the next.
func (b *batch) add(r fold.Result, digest [32]byte, rows []row) error {
	for _, row := range rows {
		if err := b.set(row); err != nil {
			return err
		}
		switch {
		case row.fresh:
			b.counts[row.key[0]]++
		case row.gone:
			b.counts[row.key[0]]--
		}
	}
	for _, effect := range r.Effects {
		if reg, ok := effect.(fold.SetRegistry); ok {
			b.inForce = &reg
		}
	}
	b.digest = digest
	b.outcomes = append(b.outcomes, Outcome{Index: b.meta.Applied, Result: r, Digest: b.digest})
	b.meta.Applied++
	b.meta.Digest = hex.EncodeToString(b.digest[:])
	return nil
}

func (b *batch) set(r row) error {
	if r.gone {
		if err := b.txn.Delete(r.key); err != nil {
			return fault.New(fault.Internal, "removing row %q from the index: %w", r.key, err)
		}
		b.keys++
		b.bytes += len(r.key)
		return nil
	}
	v := seal(r.key, r.payload)
	if err := b.txn.Set(r.key, v); err != nil {
		return fault.New(fault.Internal, "writing row %q of %d bytes to the index: %w", r.key, len(v), err)
	}
	b.keys++
	b.bytes += len(r.key) + len(v)
	return nil
}

// commit writes counters and meta, and makes the batch durable. A commit that
// fails may still have happened: only the disk knows, at the next open.
func (x *Index) commit(b *batch) error {
	if len(b.outcomes) == 0 {
		return nil
	}
	for _, t := range tables {
		if b.counts[t.letter] != x.counts[t.letter] {
			if err := b.set(countRow(t, b.counts[t.letter])); err != nil {
				return err
			}
		}
	}
	if err := b.set(row{key: key(tMeta, metaIndex), payload: encode(b.meta)}); err != nil {
		return err
	}
	if err := b.txn.Commit(); err != nil {
		x.failed = fault.New(fault.Internal, "committing entries %d to %d to the index: %w", x.meta.Applied, b.meta.Applied, err)
		return x.failed
	}
	x.meta, x.digest, x.counts, x.inForce = b.meta, b.digest, b.counts, b.inForce
	return nil
}

// rows returns what entry e with result r adds, at index b.meta.Applied.
func (b *batch) rows(e *fold.Entry, r fold.Result, digest [32]byte) ([]row, error) {
	i := b.meta.Applied
	w := &rowWriter{reader: b.reader, index: i, entry: e}
	w.put(encode(Entry{
		Index:     i,
		Verdict:   r.Verdict,
		Code:      r.Code,
		Kind:      e.Leaf.T,
		Statement: e.Leaf.Stmt,
		Envelope:  e.Leaf.Env,
		Size:      e.Leaf.Size,
		Keys:      e.Leaf.Keys,
		Digest:    hex.EncodeToString(digest[:]),
	}), tEntry, i)
	if e.Matches {
		if err := w.putOnce(encode(i), tEnvelope, e.Leaf.Env.String()); err != nil {
			return nil, err
		}
	}
	if r.Decides() {
		s := statementRow{Index: i, Verdict: r.Verdict, Code: r.Code, Kind: e.Kind(), Envelope: e.Leaf.Env}
		w.put(encode(s), tStatement, e.Leaf.Stmt.String())
	}
	if err := w.acted(r.Effects); err != nil {
		return nil, err
	}
	for _, effect := range r.Effects {
		if err := w.effect(effect); err != nil {
			return nil, err
		}
	}
	w.effects(r.Effects)
	if err := w.standIn(e, r); err != nil {
		return nil, err
	}
	return w.rows, nil
}
