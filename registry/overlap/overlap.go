// Package overlap finds datasets that share records or chunks with earlier ones.
// It keeps an index of its own, hash to datasets, made from the sketches and
// fingerprints that manifests name (package manifests/sketch). The index stands
// beside the registry's: outside the fold, the digest and the dump, and nothing
// is decided by it. It can be deleted, and is made anew from the log and the
// blocks.
//
// A sketch is a claim of whoever made the dataset; see records.VerifySketch.
// Log order decides what is earlier, not who made something first.
package overlap

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// batchPostings are gathered before a segment is written: 16 MiB.
	batchPostings = 1 << 20
	// defaultStop is the number of works above which a hash says nothing: licence
	// texts, empty templates, and what everybody has copied.
	defaultStop = 16
	// stateFile names the segments and how far the index is.
	stateFile = "state.json"
	tableFile = "datasets.ndjson"
)

// Config is where an index lies and what it reads.
type Config struct {
	// Dir is the folder of the index; it is made when absent, and belongs to one
	// process.
	Dir string
	// Blocks gives manifests, sketches and fingerprints. It should see every
	// dataset, gated ones too: of what it reads, answers hold counts alone.
	Blocks unixfs.Blocks
	// Stop is the number of works above which a hash does not count; 0 means 16.
	Stop int
	Log  *slog.Logger
}

// An Index finds overlap between the datasets of one registry. It is safe for
// concurrent use; questions wait for each other.
type Index struct {
	reg *registry.Registry
	cfg Config

	questions chan struct{} // that are answered over HTTP

	// mu guards what follows.
	mu       sync.Mutex
	state    *state // nil until it is opened
	segments []*segment
	datasets map[uint64]dataset // by index
}

// A state is what stateFile holds. It is replaced at once, so that what it names
// is what counts.
type state struct {
	Origin   string   `json:"origin"`
	Applied  uint64   `json:"applied"` // entries of the log that are in
	Next     uint64   `json:"next"`    // number of the next segment
	Segments []string `json:"segments"`
	Table    int64    `json:"table"` // bytes of tableFile that count
}

// A dataset is what is kept of one: a line of tableFile.
type dataset struct {
	Index     uint64  `json:"index"`
	Statement string  `json:"statement"`
	Work      string  `json:"work"`
	Records   *sample `json:"records,omitempty"`
	Chunks    *sample `json:"chunks,omitempty"`
}

type sample struct {
	K uint8 `json:"k"`
	N int   `json:"n"`
}

// New returns the index of a registry's datasets. Nothing is opened before the
// first question.
func New(reg *registry.Registry, cfg Config) *Index {
	if cfg.Stop == 0 {
		cfg.Stop = defaultStop
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Index{reg: reg, cfg: cfg, questions: make(chan struct{}, maxQuestions)}
}

// Close closes the index's files.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shut()
}

func (x *Index) shut() error {
	var errs []error
	for _, s := range x.segments {
		errs = append(errs, s.close())
	}
	x.state, x.segments, x.datasets = nil, nil, nil
	return errors.Join(errs...)
}

// Rebuild deletes the index and makes it anew. It returns how many datasets have
// something to compare.
func (x *Index) Rebuild(ctx context.Context) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.shut(); err != nil {
		return 0, err
	}
	if err := os.RemoveAll(x.cfg.Dir); err != nil {
		return 0, err
	}
	if err := x.catchUp(ctx); err != nil {
		return 0, err
	}
	return len(x.datasets), nil
}

// CatchUp takes in the entries that the registry has applied since. It is called
// by every question; a server may call it earlier.
func (x *Index) CatchUp(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.catchUp(ctx)
}

// open reads the index's files. An index of another log, or one that is damaged,
// counts as none.
func (x *Index) open() error {
	if x.state != nil {
		return nil
	}
	if err := os.MkdirAll(x.cfg.Dir, 0o700); err != nil {
		return err
	}
	err := x.load()
	if err == nil && x.state.Origin == x.reg.Status().Origin {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		x.cfg.Log.Warn("the overlap index is made anew", "error", err)
	}
	if err := x.shut(); err != nil {
		return err
	}
	x.state, x.datasets = &state{Origin: x.reg.Status().Origin}, make(map[uint64]dataset)
	return nil
}

func (x *Index) load() error {
	b, err := os.ReadFile(filepath.Join(x.cfg.Dir, stateFile))
	if err != nil {
		return err
	}
	s := new(state)
	if err := json.Unmarshal(b, s); err != nil {
		return err
	}
	x.datasets = make(map[uint64]dataset)
	if s.Table > 0 {
		f, err := os.Open(filepath.Join(x.cfg.Dir, tableFile))
		if err != nil {
			return err
		}
		defer f.Close()
		for d := json.NewDecoder(io.NewSectionReader(f, 0, s.Table)); ; {
			var row dataset
			if err := d.Decode(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			x.datasets[row.Index] = row
		}
	}
	for _, name := range s.Segments {
		seg, err := openSegment(x.cfg.Dir, name)
		if err != nil {
			return err
		}
		x.segments = append(x.segments, seg)
	}
	x.state = s
	return nil
}

func (x *Index) catchUp(ctx context.Context) error {
	if err := x.open(); err != nil {
		return err
	}
	size := x.reg.Status().Applied
	if x.state.Applied > size {
		// A log that is shorter than it was is another one.
		if err := x.shut(); err != nil {
			return err
		}
		if err := os.RemoveAll(x.cfg.Dir); err != nil {
			return err
		}
		return x.catchUp(ctx)
	}
	for x.state.Applied < size {
		if err := x.take(ctx, size); err != nil {
			// What is half in memory is not in the files.
			return errors.Join(err, x.shut())
		}
	}
	return nil
}

// take reads entries until a batch is full, and commits it.
func (x *Index) take(ctx context.Context, size uint64) error {
	var list []posting
	var rows []dataset
	i := x.state.Applied
	for ; i < size && len(list) < batchPostings; i++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		d, ok, err := x.entry(i)
		if err != nil {
			return err
		}
		registry.Tell(ctx, registry.StageOverlap, i+1, size)
		if !ok {
			continue
		}
		row := dataset{Index: i, Statement: d.Statement.String(), Work: d.Work}
		records, chunks, err := x.samples(ctx, d)
		if err != nil {
			return fmt.Errorf("%s@%s: %w", d.Name, d.Version, err)
		}
		for _, s := range []struct {
			of   *sketch.Sketch
			kind uint64
			row  **sample
		}{{records, ofRecord, &row.Records}, {chunks, ofChunk, &row.Chunks}} {
			if s.of == nil {
				continue
			}
			*s.row = &sample{s.of.K, len(s.of.Hashes)}
			for _, h := range s.of.Hashes {
				list = append(list, posting{h, i | s.kind})
			}
		}
		if row.Records != nil || row.Chunks != nil {
			rows = append(rows, row)
		}
	}
	return x.commit(i, rows, list)
}

// entry returns the version of a dataset that an entry registered.
func (x *Index) entry(i uint64) (d index.Dataset, ok bool, err error) {
	err = x.reg.View(func(s *index.Snapshot) error {
		e, err := s.Entry(i)
		if err != nil || e.Verdict != fold.Accepted || e.Kind != string(manifests.KindContribution) {
			return err
		}
		d, err = s.Dataset(e.Statement.Cid)
		ok = err == nil && d.Index == i
		return err
	})
	return d, ok, err
}

// samples reads what a dataset has to compare, without what is in its licence
// texts. What is not there, or malformed, is not compared.
func (x *Index) samples(ctx context.Context, d index.Dataset) (records, chunks *sketch.Sketch, err error) {
	skip := func(err error) error {
		switch fault.Of(err) {
		case fault.NotFound, fault.Invalid, fault.Unverified, fault.TooLarge, fault.Gone, fault.Denied:
			x.cfg.Log.WarnContext(ctx, "a dataset is not compared", "statement", d.Statement, "error", err)
			return nil
		}
		return err
	}
	b, err := x.cfg.Blocks.Block(ctx, d.Manifest.Cid)
	if err != nil {
		return nil, nil, skip(err)
	}
	m, err := manifests.DecodeManifest(b)
	if err != nil {
		return nil, nil, skip(err)
	}
	if sketch.Comparable(m.Sketch) {
		b, err := x.cfg.Blocks.Block(ctx, m.Sketch.CID.Cid)
		if err == nil {
			var s sketch.Sketch
			if s, err = sketch.Decode(b); err == nil {
				records = &s
			}
		}
		if err != nil && skip(err) != nil {
			return nil, nil, err
		}
	}
	if sketch.FastCDC(m.Fingerprint) {
		s, err := sketch.Chunks(sketch.ReadFingerprint(ctx, x.cfg.Blocks, m.Fingerprint.CID.Cid))
		if err == nil {
			chunks = &s
		} else if skip(err) != nil {
			return nil, nil, err
		}
	}
	lines, pieces, err := boilerplate(ctx, x.cfg.Blocks, m)
	if err != nil {
		return records, chunks, skip(err) // they count, then
	}
	without(records, lines)
	without(chunks, pieces)
	return records, chunks, nil
}

func without(s *sketch.Sketch, gone map[uint64]bool) {
	if s != nil && len(gone) > 0 {
		s.Hashes = slices.DeleteFunc(s.Hashes, func(h uint64) bool { return gone[h] })
	}
}

// commit writes a batch: its segment and rows, then the state that names them. A
// crash before leaves files that nothing names, and that are written over.
func (x *Index) commit(applied uint64, rows []dataset, list []posting) error {
	s := *x.state
	s.Applied = applied
	if len(rows) > 0 {
		f, err := os.OpenFile(filepath.Join(x.cfg.Dir, tableFile), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		var b []byte
		for _, r := range rows {
			line, err := json.Marshal(r)
			if err != nil {
				return errors.Join(err, f.Close())
			}
			b = append(append(b, line...), '\n')
		}
		_, err = f.WriteAt(b, s.Table)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		s.Table += int64(len(b))
	}
	segments := slices.Clone(x.segments)
	var gone []*segment
	add := func(next func() (posting, bool, error)) error {
		name := fmt.Sprintf("%08d.seg", s.Next)
		s.Next++
		if err := writeSegment(x.cfg.Dir, name, next); err != nil {
			return err
		}
		seg, err := openSegment(x.cfg.Dir, name)
		if err == nil {
			segments = append(segments, seg)
		}
		return err
	}
	if len(list) > 0 {
		if err := add(sortedPostings(list)); err != nil {
			return err
		}
		// As in a binary counter: each segment is at least twice as large as the next.
		for n := len(segments); n > 1 && segments[n-2].n < 2*segments[n-1].n; n = len(segments) {
			a, b := segments[n-2], segments[n-1]
			segments = segments[:n-2]
			gone = append(gone, a, b)
			if err := add(merged(a.all(), b.all())); err != nil {
				return err
			}
		}
	}
	s.Segments = nil
	for _, seg := range segments {
		s.Segments = append(s.Segments, seg.name)
	}
	if err := writeState(x.cfg.Dir, s); err != nil {
		return err
	}
	x.state, x.segments = &s, segments
	for _, r := range rows {
		x.datasets[r.Index] = r
	}
	for _, seg := range gone {
		seg.close()
		os.Remove(filepath.Join(x.cfg.Dir, seg.name))
	}
	return nil
}

func writeState(dir string, s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, stateFile), b, 0o600)
}

// owners counts, for each earlier dataset, the hashes of s that it has too, and
// returns those of s that count: a hash that more than Stop works have does not.
func (x *Index) owners(ctx context.Context, s sketch.Sketch, kind, before uint64) (shared map[uint64]int, counted []uint64, err error) {
	shared = make(map[uint64]int)
	var list []uint64
	for i, h := range s.Hashes {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		list = list[:0]
		for _, seg := range x.segments {
			if list, err = seg.owners(list, h); err != nil {
				return nil, nil, err
			}
		}
		works := make(map[string]bool)
		list = slices.DeleteFunc(list, func(o uint64) bool { return o&ofChunk != kind })
		for _, o := range list {
			works[x.datasets[o&^ofChunk].Work] = true
		}
		if len(works) > x.cfg.Stop {
			continue
		}
		counted = append(counted, h)
		for _, o := range list {
			if i := o &^ ofChunk; i < before {
				shared[i]++
			}
		}
	}
	return shared, counted, nil
}

// estimate is the part of counted that another dataset, with a sample of the
// sampling k, shares.
func estimate(counted []uint64, mine, theirs uint8, shared int) sketch.Estimate {
	k := max(mine, theirs)
	return sketch.Estimate{Shared: shared, Of: len(sketch.Sketch{K: mine, Hashes: counted}.At(k).Hashes), K: k}
}

// byShare orders matches: those that share most first, then the earlier.
func byShare(a, b match) int {
	return cmp.Or(-cmp.Compare(max(a.records.Share(), a.chunks.Share()), max(b.records.Share(), b.chunks.Share())), cmp.Compare(a.row.Index, b.row.Index))
}
