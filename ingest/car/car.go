// Package car writes and reads CAR files, the interchange format of IPFS. What
// it writes is CARv1, one root, depth first, no block twice: the same bytes for
// the same dataset. What it reads may come from anywhere: every block is hashed,
// every length has a limit before anything is allocated, and a file counts as
// complete only when the whole DAG below its root is there.
package car

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/internal/direct"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// maxHeader bounds a CARv1 header: one root takes 60 bytes.
	maxHeader = 64 << 10
	// maxSection bounds a section: the largest block and its CID.
	maxSection = unixfs.MaxBlock + 256
	// minSection is the shortest: a CIDv0 and no bytes.
	minSection = 34
	maxCIDLen  = 64

	pragmaLen   = 11 // of a CARv2
	v2HeaderLen = 40
)

// noRoot is what the header of a pack names: the empty identity CID.
var noRoot = cid.MustParse("bafkqaaa")

// Stats count what was written or read.
type Stats struct {
	Blocks int64 `json:"blocks"`
	Bytes  int64 `json:"bytes"` // of blocks
}

// Export writes the DAG under root to w. progress, when set, is told after each
// block. Errors are those of src and w.
func Export(ctx context.Context, src unixfs.Blocks, root cid.Cid, w io.Writer, progress func(Stats)) (Stats, error) {
	bw := bufio.NewWriterSize(w, 1<<20)
	s, err := export(ctx, src, root, func(parts ...[]byte) error {
		for _, p := range parts {
			if _, err := bw.Write(p); err != nil {
				return err
			}
		}
		return nil
	}, progress)
	if err != nil {
		return s, err
	}
	return s, bw.Flush()
}

// ExportFile is Export into an empty file, of whose bytes the large part goes
// past the page cache. It is not synced.
func ExportFile(ctx context.Context, src unixfs.Blocks, root cid.Cid, f *os.File, progress func(Stats)) (Stats, error) {
	w, err := direct.NewWriter(f, 0)
	if err != nil {
		return Stats{}, err
	}
	defer w.Close()
	s, err := export(ctx, src, root, w.Write, progress)
	if err != nil {
		return s, err
	}
	return s, w.Flush()
}

func export(ctx context.Context, src unixfs.Blocks, root cid.Cid, write func(parts ...[]byte) error, progress func(Stats)) (Stats, error) {
	var s Stats
	if err := write(appendHeader(nil, root)); err != nil {
		return s, err
	}
	var head []byte
	err := unixfs.Closure(ctx, src, []cid.Cid{root}, 0, true, func(c cid.Cid, block []byte) error {
		id := c.Bytes()
		head = binary.AppendUvarint(head[:0], uint64(len(id)+len(block)))
		head = append(head, id...)
		if err := write(head, block); err != nil {
			return err
		}
		s.Blocks++
		s.Bytes += int64(len(block))
		if progress != nil {
			progress(s)
		}
		return nil
	})
	return s, err
}

// appendHeader appends the CARv1 header with its length: {roots: [root], version: 1}.
func appendHeader(b []byte, root cid.Cid) []byte {
	id := root.Bytes()
	var h []byte
	h = append(h, 0xa2, 0x65)
	h = append(h, "roots"...)
	h = append(h, 0x81, 0xd8, 0x2a)
	h = appendCBORBytesHead(h, len(id)+1)
	h = append(h, 0)
	h = append(h, id...)
	h = append(h, 0x67)
	h = append(h, "version"...)
	h = append(h, 0x01)
	b = binary.AppendUvarint(b, uint64(len(h)))
	return append(b, h...)
}

func appendCBORBytesHead(b []byte, n int) []byte {
	switch {
	case n < 24:
		return append(b, 0x40|byte(n))
	case n < 256:
		return append(b, 0x58, byte(n))
	}
	return append(b, 0x59, byte(n>>8), byte(n))
}

// A Sink takes blocks. data is only valid during the call.
type Sink interface {
	Append(ctx context.Context, c cid.Cid, data []byte) (stored bool, err error)
}

// Import reads a CARv1 and hands every block to sink, hashed and with a CID of
// a kind that cairn stores. It returns the header's root; undefined for a pack,
// which names none. Whether the DAG below the root is complete is [Complete]'s
// question, asked when the blocks are stored.
//
// Malformed input is fault.Invalid with the offset; a block whose bytes are not
// those of its CID is fault.Unverified. A clean end proves nothing: a CAR may
// be cut between two sections.
func Import(ctx context.Context, r io.Reader, sink Sink, progress func(Stats)) (cid.Cid, Stats, error) {
	rd := &reader{r: bufio.NewReaderSize(r, 1<<20)}
	root, err := rd.header()
	if err != nil {
		return cid.Undef, Stats{}, err
	}
	var s Stats
	for {
		if err := ctx.Err(); err != nil {
			return cid.Undef, s, context.Cause(ctx)
		}
		c, data, err := rd.section()
		if errors.Is(err, io.EOF) {
			return root, s, nil
		}
		if err != nil {
			return cid.Undef, s, err
		}
		if _, err := sink.Append(ctx, c, data); err != nil {
			return cid.Undef, s, err
		}
		s.Blocks++
		s.Bytes += int64(len(data))
		if progress != nil {
			progress(s)
		}
	}
}

// ImportFile is [Import] for a local file, which may be a CARv2 too: its window
// is checked against the file's size, its index is ignored.
func ImportFile(ctx context.Context, r io.ReaderAt, size int64, sink Sink, progress func(Stats)) (cid.Cid, Stats, error) {
	pragma := make([]byte, pragmaLen+v2HeaderLen)
	n, err := r.ReadAt(pragma, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return cid.Undef, Stats{}, err
	}
	// {version: 2} as a CARv1 header would stand there.
	if n < len(pragma) || !bytes.Equal(pragma[:pragmaLen], []byte("\x0a\xa1\x67version\x02")) {
		return Import(ctx, io.NewSectionReader(r, 0, size), sink, progress)
	}
	off := binary.LittleEndian.Uint64(pragma[pragmaLen+16:])
	length := binary.LittleEndian.Uint64(pragma[pragmaLen+24:])
	if off < uint64(len(pragma)) || off > uint64(size) || length > uint64(size)-off {
		return cid.Undef, Stats{}, fault.New(fault.Invalid, "the CARv2 says that its data lies at %d+%d, outside its %d bytes", off, length, size)
	}
	return Import(ctx, io.NewSectionReader(r, int64(off), int64(length)), sink, progress)
}

// Complete returns nil when every block below root is in src. A missing one is
// fault.Invalid and is named.
func Complete(ctx context.Context, src unixfs.Blocks, root cid.Cid) error {
	return unixfs.Closure(ctx, src, []cid.Cid{root}, 0, false, func(c cid.Cid, block []byte) error {
		if block != nil {
			return nil
		}
		if _, err := src.Size(ctx, c); errors.Is(err, fault.NotFound) {
			return fault.New(fault.Invalid, "the DAG of %s is not complete: %s is missing", root, c)
		} else if err != nil {
			return err
		}
		return nil
	})
}

type reader struct {
	r   *bufio.Reader
	off int64
	buf []byte
}

func (r *reader) bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "CAR, byte %d: "+format, append([]any{r.off}, args...)...)
}

// length reads an unsigned varint in its shortest form, at most limit. io.EOF
// only when nothing is left.
func (r *reader) length(limit uint64) (uint64, error) {
	var n uint64
	for i := 0; ; i++ {
		b, err := r.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && i == 0 {
				return 0, io.EOF
			}
			return 0, r.cut(err)
		}
		r.off++
		if i == 9 {
			return 0, r.bad("a length of more than 63 bits")
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 {
				return 0, r.bad("a length that is not in its shortest form")
			}
			break
		}
	}
	if n > limit {
		return 0, r.bad("a length of %d, the limit is %d", n, limit)
	}
	return n, nil
}

func (r *reader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.bad("the file is cut off")
	}
	return fmt.Errorf("reading a CAR: %w", err)
}

// header reads the CARv1 header: exactly one root.
func (r *reader) header() (cid.Cid, error) {
	n, err := r.length(maxHeader)
	if errors.Is(err, io.EOF) {
		return cid.Undef, r.bad("the file is empty")
	}
	if err != nil {
		return cid.Undef, err
	}
	h := make([]byte, n)
	if _, err := io.ReadFull(r.r, h); err != nil {
		return cid.Undef, r.cut(err)
	}
	r.off += int64(n)
	root, ok := parseHeader(h)
	if !ok {
		return cid.Undef, r.bad("not the header of a CARv1 with one root")
	}
	if root.Equals(noRoot) {
		return cid.Undef, nil
	}
	if err := cjson.CheckCID(root); err != nil {
		return cid.Undef, err
	}
	return root, nil
}

// parseHeader reads a CARv1 header whose members may stand in either order.
func parseHeader(h []byte) (root cid.Cid, ok bool) {
	rest, ok := bytes.CutPrefix(h, []byte{0xa2})
	if !ok {
		return cid.Undef, false
	}
	version := false
	for range 2 {
		if after, ok := bytes.CutPrefix(rest, []byte("\x67version\x01")); ok && !version {
			version, rest = true, after
			continue
		}
		after, ok := bytes.CutPrefix(rest, []byte("\x65roots\x81\xd8\x2a"))
		if !ok || root.Defined() || len(after) < 2 {
			return cid.Undef, false
		}
		n, skip := 0, 0
		switch b := after[0]; {
		case b >= 0x40 && b < 0x58:
			n, skip = int(b&0x1f), 1
		case b == 0x58 && after[1] >= 24:
			n, skip = int(after[1]), 2
		default:
			return cid.Undef, false
		}
		if after = after[skip:]; len(after) < n || n < 2 || after[0] != 0 {
			return cid.Undef, false
		}
		c, err := cid.Cast(after[1:n])
		if err != nil {
			return cid.Undef, false
		}
		root, rest = c, after[n:]
	}
	return root, version && root.Defined() && len(rest) == 0
}

// section reads a block and hashes it. The bytes are valid until the next call.
func (r *reader) section() (cid.Cid, []byte, error) {
	n, err := r.length(maxSection)
	if err != nil {
		return cid.Undef, nil, err
	}
	if n < minSection {
		return cid.Undef, nil, r.bad("a section of %d bytes is too short for a block", n)
	}
	if uint64(cap(r.buf)) < n {
		r.buf = make([]byte, n, max(n, 64<<10))
	}
	b := r.buf[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return cid.Undef, nil, r.cut(err)
	}
	idLen, c, err := cid.CidFromBytes(b[:min(len(b), maxCIDLen)])
	if err != nil {
		return cid.Undef, nil, r.bad("a section without a CID")
	}
	if err := cjson.CheckCID(c); err != nil {
		return cid.Undef, nil, r.bad("%w", err)
	}
	data := b[idLen:]
	if len(data) > unixfs.MaxBlock {
		return cid.Undef, nil, r.bad("a block of %d bytes, the limit is %d", len(data), unixfs.MaxBlock)
	}
	m, err := mh.Decode(c.Hash())
	if err != nil {
		return cid.Undef, nil, r.bad("a section without a CID")
	}
	if h := sha256.Sum256(data); !bytes.Equal(h[:], m.Digest) {
		return cid.Undef, nil, fault.New(fault.Unverified, "CAR, byte %d: the bytes are not those of %s", r.off, c)
	}
	r.off += int64(n)
	return c, data, nil
}
