package ingest

import (
	"context"
	"io"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/ingest/source"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/twin"
)

// A lane takes the bytes of large files beside assemble, in order, one chunk
// after another: a processor's full work for a large file. It is handed work by
// one goroutine.
type lane struct {
	in   chan laneStep
	take func(data, hints []byte)
}

// A laneStep is bytes to take in, with what to do once they are, or something to
// do between them.
type laneStep struct {
	data, hints []byte
	done        func()
}

func newLane(take func(data, hints []byte)) *lane {
	l := &lane{in: make(chan laneStep, inFlight>>20), take: take}
	go func() {
		for s := range l.in {
			if s.data != nil {
				l.take(s.data, s.hints)
			}
			s.done()
		}
	}()
	return l
}

// add takes in the next bytes of the file; done is called when they may be
// overwritten.
func (l *lane) add(s laneStep) { l.in <- s }

// do calls fn behind what was added, and waits for it.
func (l *lane) do(fn func()) {
	c := make(chan struct{})
	l.in <- laneStep{done: func() { fn(); close(c) }}
	<-c
}

func (l *lane) close() { close(l.in) }

// twinProcs is up to how many processors the hashes of a file and its blocks are
// computed in one go. That takes less of them, but is one after another: with
// more processors the blocks are hashed beside, and the file is done sooner.
const twinProcs = 2

// lanes are what is computed of a file's bytes beside its blocks: the SHA-256 of
// the whole, its fingerprint, and its records. Files that are one chunk do it in
// their worker instead. It belongs to assemble.
type lanes struct {
	o     *AddOptions
	twin  bool  // the hash of a file is computed with those of its blocks
	whole *lane // nil with twin, and with NoFileHash
	marks *lane // nil with NoSketch
	feed  *feed // of the file at hand; nil when it has no records

	sum     *twin.Stream         // owned by whole, or between begin and finish by hash
	hints   chan []byte          // memory for them
	chunker *attribution.Chunker // owned by marks, as is spool until finish
	spool   spool
}

func newLanes(o *AddOptions, dir string) *lanes {
	l := &lanes{o: o, spool: spool{dir: dir}, sum: twin.NewStream(), hints: make(chan []byte, inFlight>>20)}
	switch {
	case o.NoFileHash:
	case twin.Fast() && runtime.GOMAXPROCS(0) <= twinProcs:
		l.twin = true
	default:
		l.whole = newLane(func(p, _ []byte) { l.sum.Write(p) })
	}
	if !o.NoSketch {
		l.chunker = attribution.NewFingerprinter(func(c attribution.Chunk) error {
			l.spool.add(c)
			return nil
		})
		l.marks = newLane(func(p, hints []byte) { l.chunker.WriteHinted(p, hints) })
	}
	return l
}

func (l *lanes) close() {
	l.drop()
	if l.whole != nil {
		l.whole.close()
	}
	if l.marks != nil {
		l.marks.do(l.spool.close)
		l.marks.close()
	}
}

// begin turns to a file; what the lanes hold of another one is forgotten.
func (l *lanes) begin(ctx context.Context, it *source.Item, f *os.File, size int64) {
	l.drop()
	if l.whole != nil {
		l.whole.do(l.sum.Reset)
	} else {
		l.sum.Reset()
	}
	if l.o.NoSketch {
		return
	}
	l.marks.do(func() { l.chunker.Reset(); l.spool.reset() })
	head := make([]byte, min(size, records.HeadSize))
	if n, err := f.ReadAt(head, 0); n < len(head) || err != nil && err != io.EOF {
		return // the chunks will say so
	}
	k, ok := records.Sniff(it.Name, head)
	if !ok {
		return
	}
	x := &feed{out: make(chan *records.Result, 1)}
	if k.Format == records.Parquet {
		go func() {
			r, _ := records.ReadParquet(ctx, f, size, l.o.recordOptions())
			x.out <- r
		}()
	} else {
		x.in = make(chan laneStep, inFlight>>20)
		go func() {
			// An error is one of ctx: the bytes come from memory.
			r, _ := records.Read(ctx, k, x, size, l.o.recordOptions())
			x.drain()
			x.out <- r
		}()
	}
	l.feed = x
}

// hash computes the digest of a chunk of the file at hand, the next, takes it
// into the hash of the file, and looks for where the chunks of the fingerprint may
// end.
func (l *lanes) hash(c *chunk) {
	if l.marks == nil {
		c.digest = l.sum.WriteSum(c.data, c.buf)
		return
	}
	var room []byte
	select {
	case room = <-l.hints:
	default:
	}
	c.digest, c.hints = l.sum.WriteSumRoll(c.data, c.buf, attribution.Roll, room[:0])
}

// hashAhead hashes the chunks that come in, and hands them on. It ends with in,
// or with ctx, and then closes what it returns.
func (l *lanes) hashAhead(ctx context.Context, in <-chan *chunk) <-chan *chunk {
	out := make(chan *chunk, inFlight>>20)
	go func() {
		defer close(out)
		for c := range in {
			select {
			case <-c.ready:
			case <-ctx.Done():
				return
			}
			if c.err == nil {
				l.hash(c)
			}
			select {
			case out <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// add lends the lanes a chunk, whose memory is given back by done once all of
// them have taken it. It reports false when none takes it.
func (l *lanes) add(c *chunk, done func()) bool {
	var in []func(laneStep)
	if l.whole != nil {
		in = append(in, l.whole.add)
	}
	if l.marks != nil {
		in = append(in, l.marks.add)
	}
	if l.feed != nil && l.feed.in != nil {
		in = append(in, l.feed.add)
	}
	if len(in) == 0 || len(c.data) == 0 {
		return false
	}
	var left atomic.Int32
	left.Store(int32(len(in)))
	for _, add := range in {
		add(laneStep{c.data, c.hints, func() {
			if left.Add(-1) == 0 {
				done()
			}
		}})
	}
	return true
}

// finish completes a file, whose chunks are in the spool until the next begin.
func (l *lanes) finish(e *cached) error {
	var err error
	if l.whole != nil {
		l.whole.do(func() { e.sha256 = l.sum.Sum() })
	} else if l.twin {
		e.sha256 = l.sum.Sum()
	}
	if l.marks != nil {
		l.marks.do(func() {
			if err = l.chunker.Close(); err == nil {
				err = l.spool.err
			}
		})
		e.parts.spool = &l.spool
	}
	if l.feed != nil {
		e.parts.records = l.feed.end()
		l.feed = nil
	}
	return err
}

// drop ends the reading of records of a file that did not come to its end.
func (l *lanes) drop() {
	if l.feed != nil {
		l.feed.end()
		l.feed = nil
	}
}

// A feed hands the chunks of a file to the reader of its records.
type feed struct {
	in   chan laneStep // nil when the reader reads the file itself
	out  chan *records.Result
	step laneStep // what is being read
}

func (f *feed) add(s laneStep) { f.in <- s }

// end says that all chunks were added, and waits for the result: nil after the
// context has ended.
func (f *feed) end() *records.Result {
	if f.in != nil {
		close(f.in)
	}
	return <-f.out
}

func (f *feed) Read(p []byte) (int, error) {
	for len(f.step.data) == 0 {
		f.release()
		s, ok := <-f.in
		if !ok {
			return 0, io.EOF
		}
		f.step = s
	}
	n := copy(p, f.step.data)
	f.step.data = f.step.data[n:]
	return n, nil
}

func (f *feed) release() {
	if f.step.done != nil {
		f.step.done()
		f.step = laneStep{}
	}
}

// drain gives back what is added after the reader has ended.
func (f *feed) drain() {
	f.release()
	for s := range f.in {
		s.done()
	}
}
