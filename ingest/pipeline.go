package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/ingest/source"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// inFlight bounds the bytes of chunks between being read and being written,
	// whatever the number of processors.
	inFlight = 12 << 20
	// queued bounds the items between the walk and the writer: enough small
	// files to keep all workers busy.
	queued = 1024
	// retries is how often a file that changed while it was read is read again.
	retries = 2
	// smallCost is what a small file counts at least against inFlight, so that
	// a million empty files cannot all be in flight.
	smallCost = 4 << 10
)

// The way of a file through an Add:
//
//	walk ─▶ dispatch ─▶ workers: read a chunk, hash it ─┐
//	             └───────▶ queue, in the walk's order ───▶ assemble: leaves, inner nodes, directories ─▶ batch
//
// dispatch takes the bytes of a chunk from a semaphore in the walk's order
// before a worker may read it; assemble gives them back once they are written.
// As it writes in the same order, the chunk it waits for is never one that
// waits for memory. Where there are few processors the chunks of a large file are
// not hashed by the workers but on their way to assemble, in order: see lanes.
type adder struct {
	o       AddOptions
	chunker dag.Chunker
	batch   Batch
	started time.Time
	cache   *statCache

	sem  *semaphore.Weighted
	jobs chan *chunk
	free chan []byte // buffers of one chunk

	// What follows belongs to assemble.
	result   Result
	progress Progress
	reported time.Time
	file     *dag.FileBuilder
	dirs     []*openDir
	spare    []*dag.DirBuilder
	list     *listBuilder
	survey   *survey
	lanes    *lanes
}

// A step is one item on its way to assemble.
type step struct {
	item *source.Item
	// A file is either known from the cache, or a sequence of chunks.
	known  *cached
	chunks chan *chunk // in order; closed after the last
	file   *opened
}

// An opened file is shared by the chunks that are read from it.
type opened struct {
	f    *os.File
	stat source.Stat
}

// A chunk is one leaf on its way.
type chunk struct {
	file  *opened      // with off and n: to be read here
	item  *source.Item // or: a whole small file, to be opened here
	off   int64
	n     int
	data  []byte // bytes of the file; within buf
	buf   []byte // the whole leaf block
	hints []byte // of data, for the fingerprint; nil where nobody has looked
	cost  int64

	digest [32]byte
	stat   source.Stat // of a small file, when it was read
	parts  parts       // of a small file
	err    error
	ready  chan struct{}
	lent   bool // to the lanes, which give it back
}

func (a *adder) run(ctx context.Context, root string) error {
	a.sem = semaphore.NewWeighted(inFlight)
	a.jobs = make(chan *chunk, queued)
	a.free = make(chan []byte, inFlight>>20)
	a.file = dag.NewFile(a.o.Profile, a.counted())
	a.list = &listBuilder{a: a, file: newFileWriter(a)}
	a.survey = newSurvey(a)
	a.lanes = newLanes(&a.o, a.o.CacheDir)
	defer a.lanes.close()

	g, run := errgroup.WithContext(ctx)
	order := make(chan *step, queued)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for c := range a.jobs {
				a.readChunk(c)
			}
			return nil
		})
	}
	var warnings []Warning
	g.Go(func() (err error) {
		defer close(order)
		defer close(a.jobs)
		warnings, err = source.Walk(run, root, a.walkOptions(), func(it *source.Item) error { return a.dispatch(run, it, order) })
		return err
	})
	g.Go(func() error {
		for s := range order {
			if err := a.assemble(run, s); err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	// After an error steps may be left: their files are to be closed.
	for s := range order {
		s.drop()
	}
	if err != nil {
		return err
	}
	a.result.Warnings = warnings
	if err := a.survey.finish(ctx, &a.result); err != nil {
		return err
	}
	return a.list.finish(ctx)
}

// drop closes what a step that is not assembled holds.
func (s *step) drop() {
	if s.file != nil {
		s.file.f.Close()
	}
	if s.item.Kind == source.File {
		s.item.Release()
	}
}

// dispatch turns an item into a step, hands its chunks to the workers, and puts
// it into the order.
func (a *adder) dispatch(ctx context.Context, it *source.Item, order chan<- *step) error {
	s := &step{item: it}
	send := func() error {
		select {
		case order <- s:
			return nil
		case <-ctx.Done():
			s.drop()
			return context.Cause(ctx)
		}
	}
	if it.Kind != source.File {
		return send()
	}
	if s.known = a.cache.lookup(it); s.known != nil {
		return send()
	}
	if a.chunker.Single(it.Stat.Size) {
		c := &chunk{item: it, n: int(it.Stat.Size), ready: make(chan struct{})}
		s.chunks = make(chan *chunk, 1)
		s.chunks <- c
		close(s.chunks)
		if err := a.queue(ctx, c); err != nil {
			it.Release()
			return err
		}
		return send()
	}
	f, stat, err := it.Open()
	if err != nil {
		it.Release()
		return err
	}
	s.file = &opened{f, stat}
	s.chunks = make(chan *chunk, queued)
	// The step goes first: assemble takes the chunks while they are dispatched.
	if err := send(); err != nil {
		return err
	}
	defer close(s.chunks)
	if fixed := a.chunker.Fixed(); fixed > 0 {
		for off := int64(0); off < stat.Size; off += int64(fixed) {
			c := &chunk{file: s.file, off: off, n: int(min(int64(fixed), stat.Size-off)), ready: make(chan struct{})}
			if err := a.next(ctx, s, c); err != nil {
				return err
			}
		}
		return nil
	}
	// The content says where to cut, which only a reader in sequence knows.
	split := a.chunker.Split(io.NewSectionReader(f, 0, stat.Size))
	for {
		b, err := split.NextBytes()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", fault.Printable(it.Path), err)
		}
		c := &chunk{data: b, n: len(b), ready: make(chan struct{})}
		if err := a.next(ctx, s, c); err != nil {
			return err
		}
	}
}

func (a *adder) next(ctx context.Context, s *step, c *chunk) error {
	if err := a.queue(ctx, c); err != nil {
		return err
	}
	select {
	case s.chunks <- c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// queue takes the memory of a chunk and hands it to the workers.
func (a *adder) queue(ctx context.Context, c *chunk) error {
	c.cost = int64(max(c.n, smallCost))
	if err := a.sem.Acquire(ctx, c.cost); err != nil {
		return context.Cause(ctx)
	}
	select {
	case a.jobs <- c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// buffer returns a buffer of n bytes; done gives it back.
func (a *adder) buffer(n int) []byte {
	if n > 1<<20+64 || n < 256<<10 {
		return make([]byte, n)
	}
	select {
	case b := <-a.free:
		return b[:n]
	default:
		return make([]byte, n, 1<<20+64)
	}
}

func (a *adder) done(c *chunk) {
	if cap(c.buf) == 1<<20+64 {
		select {
		case a.free <- c.buf:
		default:
		}
	}
	if c.hints != nil {
		select {
		case a.lanes.hints <- c.hints:
		default:
		}
	}
	c.buf, c.data, c.hints = nil, nil, nil
	a.sem.Release(c.cost)
}

// readChunk reads one chunk, and hashes it unless the lanes do, in a worker.
func (a *adder) readChunk(c *chunk) {
	defer close(c.ready)
	switch {
	case c.item != nil:
		c.err = a.readSmall(c)
	case c.file != nil:
		c.err = a.fill(c, c.file.f)
	default:
		before, after := a.o.Profile.LeafFrame(c.n)
		if len(before)+len(after) == 0 {
			c.buf = c.data
		} else {
			c.buf = append(append(append(make([]byte, 0, len(before)+c.n+len(after)), before...), c.data...), after...)
			c.data = c.buf[len(before) : len(before)+c.n]
		}
	}
	if c.err != nil {
		return
	}
	if c.item == nil && a.lanes.twin {
		return // hashed in order
	}
	c.digest = sha256.Sum256(c.buf)
	if c.item != nil {
		c.parts = a.o.inspect(c.item.Name, c.data, c.digest, a.o.Profile.RawLeaves)
	}
}

// fill reads c.n bytes at c.off into a leaf block.
func (a *adder) fill(c *chunk, f io.ReaderAt) error {
	before, after := a.o.Profile.LeafFrame(c.n)
	c.buf = a.buffer(len(before) + c.n + len(after))
	copy(c.buf, before)
	c.data = c.buf[len(before) : len(before)+c.n]
	copy(c.buf[len(before)+c.n:], after)
	if c.n == 0 {
		return nil
	}
	n, err := f.ReadAt(c.data, c.off)
	if n == c.n {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return errChanged // it is shorter than it was
	}
	return err
}

// readSmall opens, reads and closes a file of one chunk.
func (a *adder) readSmall(c *chunk) error {
	for try := 0; ; try++ {
		f, before, err := c.item.Open()
		if err != nil {
			return err
		}
		after := before
		if before.Size != int64(c.n) {
			err = errChanged
		} else if err = a.fill(c, f); err == nil {
			after, err = restat(f)
		}
		f.Close()
		if err == nil && after == before {
			c.stat = before
			return nil
		}
		if err != nil && !errors.Is(err, errChanged) {
			return fmt.Errorf("%s: %w", fault.Printable(c.item.Path), err)
		}
		if try == retries || before.Size != int64(c.n) {
			// Its size is not the one that was planned for: read it in sequence.
			return errChanged
		}
	}
}

func restat(f *os.File) (source.Stat, error) {
	info, err := f.Stat()
	if err != nil {
		return source.Stat{}, err
	}
	return source.StatOf(info), nil
}

// counted is the batch, counting what goes through it.
func (a *adder) counted() dag.Sink { return countedSink{a} }

type countedSink struct{ a *adder }

func (s countedSink) Append(ctx context.Context, c cid.Cid, b []byte) (bool, error) {
	stored, err := s.a.batch.Append(ctx, c, b)
	if err == nil {
		s.a.result.Blocks++
		if stored {
			s.a.result.NewBlocks++
			s.a.result.NewBytes += int64(len(b))
		}
	}
	return stored, err
}

// An openDir is a directory whose entries are coming in.
type openDir struct {
	name string
	b    *dag.DirBuilder
}

// assemble takes one step, in order.
func (a *adder) assemble(ctx context.Context, s *step) error {
	switch s.item.Kind {
	case source.Enter:
		d := &openDir{name: s.item.Name}
		if n := len(a.spare); n > 0 {
			d.b, a.spare = a.spare[n-1], a.spare[:n-1]
		} else {
			d.b = dag.NewDir(a.o.Profile, a.counted())
		}
		a.dirs = append(a.dirs, d)
		return nil
	case source.Leave:
		d := a.dirs[len(a.dirs)-1]
		a.dirs = a.dirs[:len(a.dirs)-1]
		l, _, err := d.b.Finish(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", fault.Printable("/"+s.item.Path), err)
		}
		a.spare = append(a.spare, d.b)
		a.result.Dirs++
		return a.place(d.name, l)
	case source.Symlink:
		l, err := dag.Symlink(ctx, a.o.Profile, a.counted(), s.item.Target)
		if err != nil {
			return fmt.Errorf("%s: %w", fault.Printable(s.item.Path), err)
		}
		a.result.Symlinks++
		return a.place(s.item.Name, l)
	}
	defer s.item.Release()
	e := s.known
	if e == nil {
		var err error
		if e, err = a.readFile(ctx, s); err != nil {
			return err
		}
	} else {
		a.result.Reused++
		a.progress.Bytes += e.stat.Size
	}
	return a.fileDone(ctx, s.item, e)
}

// place puts a finished link into the directory it belongs to; without one it
// is the root.
func (a *adder) place(name string, l dag.Link) error {
	if len(a.dirs) == 0 {
		a.result.Root = l.CID
		return nil
	}
	return a.dirs[len(a.dirs)-1].b.Add(name, l.CID, l.Tsize)
}

func (a *adder) fileDone(ctx context.Context, it *source.Item, e *cached) error {
	a.result.FileCount++
	a.result.Bytes += int64(e.link.Size)
	if err := a.place(it.Name, e.link); err != nil {
		return fmt.Errorf("%s: %w", fault.Printable(it.Path), err)
	}
	f := File{Path: it.Path, CID: e.link.CID, Size: int64(e.link.Size), SHA256: e.sha256, MediaType: MediaType(it.Name)}
	keep, known := a.cache.begin(e)
	if err := a.survey.take(ctx, &f, &e.parts, keep); err != nil {
		return fmt.Errorf("%s: %w", fault.Printable(it.Path), err)
	}
	if known {
		a.cache.add(it.Path, e)
	}
	if a.o.Schemas != nil && f.SchemaRef != "" {
		f.SchemaRef = a.survey.described[fieldNames(e.parts.records.Fields, func(f records.Field) string { return f.Name })]
	}
	a.progress.Files++
	a.report(false)
	return a.list.add(ctx, f)
}

// readFile takes the chunks of a file as they become ready.
func (a *adder) readFile(ctx context.Context, s *step) (*cached, error) {
	e, err := a.takeChunks(ctx, s)
	for try := 0; errors.Is(err, errChanged); try++ {
		if try == retries {
			return nil, fault.WithHint(fault.New(fault.Conflict, "%s: %w", fault.Printable(s.item.Path), errChanged),
				"add it again when nothing writes to it, or add a copy")
		}
		e, err = a.readAgain(ctx, s.item)
	}
	return e, err
}

func (a *adder) takeChunks(ctx context.Context, s *step) (*cached, error) {
	if s.file != nil {
		defer s.file.f.Close()
	}
	e := new(cached)
	var failed error
	n := 0
	if s.file != nil {
		a.lanes.begin(ctx, s.item, s.file.f, s.file.stat.Size)
	}
	// Nothing may read the file any more when it is closed, nor when it is read again.
	defer a.lanes.drop()
	a.file.Reset()
	chunks := (<-chan *chunk)(s.chunks)
	if s.file != nil && a.lanes.twin {
		chunks = a.lanes.hashAhead(ctx, chunks)
		defer func() {
			for range chunks { // when it is closed nothing touches the hash any more
			}
		}()
	}
	for c := range chunks {
		select {
		case <-c.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if failed == nil {
			failed = c.err
		}
		if failed == nil {
			n++
			single := s.file == nil
			e.stat, e.parts = c.stat, c.parts
			failed = a.leaf(ctx, c, single, e)
		}
		if !c.lent {
			a.done(c)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if failed == nil && s.file != nil {
		now, err := restat(s.file.f)
		if err != nil {
			return nil, err
		}
		if e.stat = s.file.stat; now != s.file.stat {
			failed = errChanged
		}
	}
	if failed != nil {
		return nil, failed
	}
	return a.finishFile(ctx, e, n, s.file == nil)
}

// leaf writes a leaf and takes it into the file's DAG, and hands it to the lanes.
// When the file is one raw leaf, its hash is that of the whole file.
func (a *adder) leaf(ctx context.Context, c *chunk, single bool, e *cached) error {
	if _, err := a.counted().Append(ctx, a.o.Profile.LeafCID(c.digest), c.buf); err != nil {
		return err
	}
	size := len(c.buf)
	switch {
	case single && a.o.Profile.RawLeaves:
		e.sha256 = c.digest
	case single && !a.o.NoFileHash:
		e.sha256 = sha256.Sum256(c.data)
	case !single:
		c.lent = a.lanes.add(c, func() { a.done(c) })
	}
	a.progress.Bytes += int64(c.n)
	a.report(false)
	return a.file.AddLeaf(ctx, c.digest, c.n, size)
}

func (a *adder) finishFile(ctx context.Context, e *cached, chunks int, single bool) (*cached, error) {
	if chunks == 0 { // only an empty file cut by its content
		before, after := a.o.Profile.LeafFrame(0)
		c := &chunk{buf: append(before, after...)}
		c.digest = sha256.Sum256(c.buf)
		if err := a.leaf(ctx, c, false, e); err != nil {
			return nil, err
		}
	}
	var err error
	if e.link, _, err = a.file.Finish(ctx); err != nil {
		return nil, err
	}
	if single {
		return e, nil
	}
	return e, a.lanes.finish(e)
}

// readAgain reads a file that changed, in sequence and with one buffer.
func (a *adder) readAgain(ctx context.Context, it *source.Item) (*cached, error) {
	f, stat, err := it.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e := &cached{stat: stat}
	a.lanes.begin(ctx, it, f, stat.Size)
	defer a.lanes.drop()
	a.file.Reset()
	split := a.chunker.Split(io.NewSectionReader(f, 0, stat.Size))
	n, read := 0, int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		b, err := split.NextBytes()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fault.Printable(it.Path), err)
		}
		c := &chunk{data: b, n: len(b), ready: make(chan struct{})}
		a.readChunk(c)
		if c.err != nil {
			return nil, c.err
		}
		if a.lanes.twin {
			a.lanes.hash(c)
		}
		if err := a.leaf(ctx, c, false, e); err != nil {
			return nil, err
		}
		n++
		read += int64(len(b))
	}
	now, err := restat(f)
	if err != nil {
		return nil, err
	}
	if now != stat || read != stat.Size {
		return nil, errChanged
	}
	return a.finishFile(ctx, e, n, false)
}

// report calls Progress, now and then.
func (a *adder) report(last bool) {
	if a.o.Progress == nil {
		return
	}
	if now := time.Now(); last || now.Sub(a.reported) >= progressEvery {
		a.reported = now
		a.o.Progress(a.progress)
	}
}

// A listBuilder keeps the first files in the result, and makes a file list of
// all of them once they are too many.
type listBuilder struct {
	a    *adder
	file *fileWriter
	long bool
}

func (l *listBuilder) add(ctx context.Context, f File) error {
	if !l.long {
		if len(l.a.result.Files) < l.a.o.InlineFiles {
			l.a.result.Files = append(l.a.result.Files, f)
			return nil
		}
		l.long = true
		for _, f := range l.a.result.Files {
			if err := l.line(ctx, f); err != nil {
				return err
			}
		}
		l.a.result.Files = nil
	}
	return l.line(ctx, f)
}

func (l *listBuilder) line(ctx context.Context, f File) error {
	var err error
	if l.file.buf, err = manifests.AppendFileLine(l.file.buf, ManifestFile(f)); err != nil {
		return err
	}
	return l.file.cut(ctx)
}

func (l *listBuilder) finish(ctx context.Context) error {
	if !l.long {
		return nil
	}
	var err error
	l.a.result.FileList, err = l.file.finish(ctx)
	return err
}

// ManifestFile is a file as a manifest lists it.
func ManifestFile(f File) manifests.File {
	return manifests.File{
		Path: f.Path, CID: cjson.Link{Cid: f.CID}, Size: f.Size, SHA256: fmt.Sprintf("%x", f.SHA256), MediaType: f.MediaType,
		Records: f.Records, SchemaRef: f.SchemaRef, Compression: f.Compression,
	}
}

// mediaTypes are those of data, by extension. The system's own table is not
// asked: the same tree must give the same manifest everywhere.
var mediaTypes = map[string]string{
	".csv": "text/csv", ".tsv": "text/tab-separated-values", ".txt": "text/plain", ".md": "text/markdown",
	".html": "text/html", ".htm": "text/html", ".xml": "application/xml", ".json": "application/json",
	".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson", ".geojson": "application/geo+json",
	".yaml": "application/yaml", ".yml": "application/yaml", ".parquet": "application/vnd.apache.parquet",
	".arrow": "application/vnd.apache.arrow.file", ".feather": "application/vnd.apache.arrow.file",
	".avro": "application/vnd.apache.avro", ".pdf": "application/pdf", ".png": "image/png", ".jpg": "image/jpeg",
	".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".svg": "image/svg+xml", ".tif": "image/tiff",
	".tiff": "image/tiff", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".ogg": "audio/ogg",
	".opus": "audio/ogg", ".mp4": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska",
	".zip": "application/zip", ".gz": "application/gzip", ".zst": "application/zstd", ".bz2": "application/x-bzip2",
	".xz": "application/x-xz", ".tar": "application/x-tar", ".sqlite": "application/vnd.sqlite3", ".warc": "application/warc",
	".npy": "application/x-npy", ".npz": "application/zip", ".h5": "application/x-hdf5", ".wasm": "application/wasm",
}

// MediaType returns the media type that the extension of name suggests, "" when
// it says nothing.
func MediaType(name string) string { return mediaTypes[strings.ToLower(path.Ext(name))] }
