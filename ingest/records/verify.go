package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// Mismatch begins the message of an error about a sketch or a fingerprint that
// is not that of its data.
const Mismatch = "sketch-mismatch"

// keptBlocks are the blocks that reading a Parquet file in many places keeps.
const keptBlocks = 16

// VerifySketch computes the sketch and the fingerprint that m names from the
// data's blocks, in one pass. Another one than the manifest's is
// fault.Unverified, with [Mismatch] in front; a block that is not there is
// fault.NotFound. A manifest that names neither makes no claim, and one of
// another kind is not compared: nil. It reads all of the data, and holds a few
// MiB.
func VerifySketch(ctx context.Context, b unixfs.Blocks, m *manifests.Manifest) error {
	v := &verifier{ctx: ctx, b: &recent{Blocks: b}, o: Options{Drop: DropOf(m), NoSketch: !sketch.Comparable(m.Sketch)}}
	if sketch.FastCDC(m.Fingerprint) {
		next, stop := iter.Pull2(sketch.ReadFingerprint(ctx, b, m.Fingerprint.CID.Cid))
		defer stop()
		v.next = next
		v.chunker = attribution.NewFingerprinter(v.chunk)
	}
	if v.o.NoSketch && v.next == nil {
		return nil
	}
	for f, err := range m.ListedFiles(ctx, b) {
		if err != nil {
			return err
		}
		if err := v.file(f); err != nil {
			return fmt.Errorf("%s: %w", fault.Printable(f.Path), err)
		}
	}
	if v.next != nil {
		if _, err, more := v.next(); err != nil {
			return err
		} else if more || v.count != m.Fingerprint.Count {
			return mismatch("the data has %d chunks, and its fingerprint others", v.count)
		}
	}
	if v.o.NoSketch {
		return nil
	}
	want, err := b.Block(ctx, m.Sketch.CID.Cid)
	if err != nil {
		return fmt.Errorf("the sketch: %w", err)
	}
	got := v.hashes.Sketch()
	if string(got.Encode()) != string(want) || got.Scale() != m.Sketch.Scale || int64(len(got.Hashes)) != m.Sketch.Count {
		return mismatch("the records have a sketch of %d hashes at the scale %d, and the manifest names another", len(got.Hashes), got.Scale())
	}
	return nil
}

func mismatch(format string, args ...any) error {
	return fault.New(fault.Unverified, Mismatch+": "+format, args...)
}

type verifier struct {
	ctx     context.Context
	b       *recent
	o       Options
	hashes  sketch.Builder
	chunker *attribution.Chunker
	next    func() (attribution.Chunk, error, bool) // nil without a fingerprint
	count   int64
}

// chunk compares the next chunk of the data with that of the fingerprint.
func (v *verifier) chunk(c attribution.Chunk) error {
	want, err, ok := v.next()
	if err != nil {
		return err
	}
	if v.count++; !ok || want != c {
		return mismatch("chunk %d of the data is not that of the fingerprint", v.count-1)
	}
	return nil
}

// file reads one file, once.
func (v *verifier) file(f manifests.File) error {
	var head []byte
	err := unixfs.ReadRange(v.ctx, v.b, f.CID.Cid, 0, HeadSize, func(p []byte) error { head = append(head, p...); return nil })
	if err != nil {
		return err
	}
	k, known := Sniff(path.Base(f.Path), head)
	known = known && !v.o.NoSketch
	var out io.Writer = io.Discard
	if v.chunker != nil {
		v.chunker.Reset()
		out = v.chunker
	}
	wait := func() error { return nil }
	switch {
	case known && k.Format == Parquet:
		r, err := ReadParquet(v.ctx, blockReader{v.ctx, v.b, f.CID.Cid}, f.Size, v.o)
		if err != nil {
			return err
		}
		v.hashes.AddSketch(r.Sketch)
	case known:
		pr, pw := io.Pipe()
		type answer struct {
			r   *Result
			err error
		}
		done := make(chan answer, 1)
		go func() {
			var a answer
			defer func() { // whoever verifies what strangers sent goes on
				if p := recover(); p != nil {
					a.err = fault.New(fault.Internal, "reading %s: panic: %v", fault.Quote(f.Path), p)
				}
				pr.CloseWithError(errEnded)
				done <- a
			}()
			a.r, a.err = Read(v.ctx, k, pr, f.Size, v.o)
		}()
		wait = func() error {
			pw.Close()
			a := <-done
			if a.err == nil {
				v.hashes.AddSketch(a.r.Sketch)
			}
			return a.err
		}
		out = io.MultiWriter(out, untilEnded{pw})
	}
	if v.chunker == nil && (!known || k.Format == Parquet) {
		return nil
	}
	err = unixfs.ReadFile(v.ctx, v.b.Blocks, f.CID.Cid, func(p []byte) error {
		_, err := out.Write(p)
		return err
	})
	if werr := wait(); err == nil {
		err = werr
	}
	if err == nil && v.chunker != nil {
		err = v.chunker.Close()
	}
	return err
}

// errEnded tells the writer of a pipe that its reader wants no more.
var errEnded = errors.New("reading ended")

type untilEnded struct{ w *io.PipeWriter }

func (u untilEnded) Write(p []byte) (int, error) {
	n, err := u.w.Write(p)
	if errors.Is(err, errEnded) {
		return len(p), nil
	}
	return n, err
}

// A blockReader reads a file at any place.
type blockReader struct {
	ctx context.Context
	b   unixfs.Blocks
	c   cid.Cid
}

func (r blockReader) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	err := unixfs.ReadRange(r.ctx, r.b, r.c, uint64(off), uint64(len(p)), func(b []byte) error {
		n += copy(p[n:], b)
		return nil
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// recent keeps the blocks that were read last.
type recent struct {
	unixfs.Blocks
	ids  [keptBlocks]cid.Cid
	data [keptBlocks][]byte
	at   int
}

func (r *recent) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	for i, id := range r.ids {
		if id.Equals(c) {
			return r.data[i], nil
		}
	}
	b, err := r.Blocks.Block(ctx, c)
	if err == nil {
		r.ids[r.at], r.data[r.at] = c, b
		r.at = (r.at + 1) % keptBlocks
	}
	return b, err
}
