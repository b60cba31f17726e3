package ingest

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/ingest/source"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Batch is one transaction on a block store. Blocks appended are safe, all
// or none of those since the last Commit, when Commit returns nil; Close
// without a Commit leaves nothing behind. It is used by one goroutine.
type Batch interface {
	dag.Sink
	Has(c cid.Cid) (bool, error)
	Commit(ctx context.Context) error
	Close() error
}

// A Store opens batches. [PackStore] makes one of a pack store.
type Store interface {
	Batch(ctx context.Context) (Batch, error)
}

// PackStore returns s as a store for [Add]: blocks go to its data packs.
func PackStore(s *pack.Store) Store { return packStore{s} }

type packStore struct{ s *pack.Store }

func (p packStore) Batch(ctx context.Context) (Batch, error) { return p.s.Batch(ctx, pack.Data) }

// A File is one path of the input that ends in a file.
type File struct {
	// Path is relative to the directory that was added, with slashes. When a
	// single file was added it is that file's own name.
	Path      string
	CID       cid.Cid
	Size      int64
	SHA256    [32]byte // of the file's bytes; zero with NoFileHash
	MediaType string   // of records, how they were read, inside a compression; else what the extension says, "" for nothing

	// What follows is set for files of records, unless NoSketch: see package
	// records.
	Records     *int64 // nil when the file could not be read to its end
	SchemaRef   string // of Result.Schemas
	Compression string // around the records: gzip, zstd
}

// A Progress is a state of an Add or a Get. Totals are 0 until, and unless,
// they are known.
type Progress struct {
	Files, Bytes           int64
	TotalFiles, TotalBytes int64
}

// DefaultInlineFiles is how many files a [Result] lists itself. More become a
// file list in the store.
const DefaultInlineFiles = 1000

// progressEvery is the least time between two calls of AddOptions.Progress.
const progressEvery = 100 * time.Millisecond

// AddOptions are the choices of an [Add]. The zero value is good.
type AddOptions struct {
	Profile     dag.Profile // zero: dag.ProfileV1_2025
	Chunker     string      // as dag.ParseChunker reads it; "" is the profile's
	Hidden      bool        // take entries whose names begin with a dot
	Portable    bool        // refuse names that some system cannot hold, instead of warning
	NoIgnore    bool        // do not read .cairnignore
	CrossMounts bool        // descend into other mounts

	// CacheDir is where the stat cache of each tree is kept; "" for none. It is
	// made when absent.
	CacheDir string

	// InlineFiles is the most files that Result.Files holds; 0 means
	// DefaultInlineFiles, below 0 none.
	InlineFiles int

	// NoFileHash leaves out the SHA-256 of whole files where it costs a second
	// hash. It is there to measure that cost, and for nothing else.
	NoFileHash bool

	// NoSketch leaves out the reading of records, the sketch and the fingerprint.
	NoSketch bool
	// Drop names fields of records that are left out of the sketch: identifiers.
	Drop map[string]bool
	// Schemas, when not nil, are those that the contributor describes. A file whose
	// records have the fields of one, in any order, names it; others name none.
	// With nil, files name the schemas of Result.Schemas.
	Schemas map[string]manifests.RecordSchema

	// Progress, when set, is called from one goroutine, at most a few times a
	// second, and once at the end. It must not block.
	Progress func(Progress)
	// PreScan counts files and bytes before anything is read, so that Progress
	// has totals.
	PreScan bool
}

// A Warning is something about the input that works here and may not elsewhere.
type Warning = source.Warning

// A Result is what an Add made.
type Result struct {
	Root      cid.Cid
	Bytes     int64 // of files, each path counted
	FileCount int64 // paths that end in a file
	Dirs      int64 // directories, the root among them
	Symlinks  int64

	Blocks    int64 // blocks of the DAG that were handed to the store
	NewBlocks int64 // of these, written to the store by this Add
	NewBytes  int64
	Reused    int64 // files that the stat cache knew, and that were not read

	// Files lists the files, in canonical order, when there are few enough;
	// else FileList is a UnixFS file of their lines, under unixfs-v1-2025.
	Files    []File
	FileList cid.Cid

	// What was found in the files, unless NoSketch. Records is the sum over all
	// files of records, nil when one of them could not be read to its end. Sketch
	// and Fingerprint are nil when there is nothing to make them from; what they
	// name is in the store.
	Records     *int64
	Schemas     map[string]manifests.RecordSchema
	Sketch      *manifests.Sketch
	Fingerprint *manifests.Fingerprint

	Chunker  string // as it is recorded in a manifest
	Warnings []Warning
}

// Add chunks and hashes the file or directory at path and hands its blocks to
// store, in an order that depends on the input alone. When it returns nil they
// are durable. A nil store is a dry run: everything is computed, nothing kept.
//
// Memory is bounded whatever the input: 12 MiB of blocks in flight, the names
// of one directory at each level, what a directory's entries take, and a few MiB
// for the records of a file. Records, sketch and fingerprint are made in the same
// pass; a file whose records are malformed gives a warning.
//
// A file that changes while it is read is read again, at most twice; then it is
// fault.Conflict, by name. What cannot be added is fault.Invalid, by name, up
// to 20 at once. On any error nothing of this Add is visible.
func Add(ctx context.Context, path string, store Store, o AddOptions) (*Result, error) {
	if o.Profile.Name == "" {
		o.Profile = dag.ProfileV1_2025
	}
	if o.InlineFiles == 0 {
		o.InlineFiles = DefaultInlineFiles
	}
	chunker, err := dag.ParseChunker(o.Chunker, o.Profile)
	if err != nil {
		return nil, err
	}
	var batch Batch = dryRun{}
	if store != nil {
		if batch, err = store.Batch(ctx); err != nil {
			return nil, err
		}
		defer batch.Close()
	}
	a := &adder{o: o, chunker: chunker, batch: batch, started: time.Now()}
	a.result.Chunker = chunker.String()
	if o.PreScan {
		if err := a.scan(ctx, path); err != nil {
			return nil, err
		}
	}
	if err := a.openCache(path); err != nil {
		return nil, err
	}
	defer a.cache.close()
	if err := a.run(ctx, path); err != nil {
		return nil, err
	}
	if err := batch.Commit(ctx); err != nil {
		return nil, err
	}
	if err := a.cache.finish(a.result.Root); err != nil {
		// The data is safe; the next Add reads it again.
		a.result.Warnings = append(a.result.Warnings, Warning{Path: a.cache.name, What: "the stat cache was not written: " + err.Error()})
	}
	a.report(true)
	return &a.result, nil
}

// scan counts what there is to do.
func (a *adder) scan(ctx context.Context, path string) error {
	_, err := source.Walk(ctx, path, a.walkOptions(), func(it *source.Item) error {
		if it.Kind == source.File {
			it.Release()
			a.progress.TotalFiles++
			a.progress.TotalBytes += it.Stat.Size
		}
		return nil
	})
	return err
}

func (a *adder) walkOptions() source.Options {
	return source.Options{Hidden: a.o.Hidden, Portable: a.o.Portable, NoIgnore: a.o.NoIgnore, CrossMounts: a.o.CrossMounts}
}

// dryRun is the batch of an Add without a store.
type dryRun struct{}

func (dryRun) Append(ctx context.Context, c cid.Cid, b []byte) (bool, error) {
	return dag.Discard.Append(ctx, c, b)
}
func (dryRun) Has(cid.Cid) (bool, error)    { return false, nil }
func (dryRun) Commit(context.Context) error { return nil }
func (dryRun) Close() error                 { return nil }

var errChanged = fault.New(fault.Conflict, "it changes while it is being read")
