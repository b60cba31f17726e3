package upload

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// readBuffer is what is read of a connection at once.
	readBuffer = 64 << 10
	// maxSection bounds a section: the largest block behind the longest CID.
	maxSection = unixfs.MaxBlock + maxCID
	// minCID and maxCID are the lengths of the CIDs that a shard may hold: version,
	// codec in one or two bytes, 0x12, 0x20, 32 bytes.
	minCID, maxCID = 36, 37
)

// codecs are those of the blocks that a shard may hold, as varints.
var codecs = [][]byte{{0x55}, {0x70}, {0x71}, {0xa9, 0x02}}

// ReadShard reads a shard of size bytes from r: the header, then sections. Each
// block is hashed, and handed to fn with its CID; data is valid during the call.
// It returns the SHA-256 of what it read, which is the whole shard when the error
// is nil. It needs at most 2.2 MiB of memory, whatever r says.
//
// Codes: fault.Invalid for bytes that are no such CAR, among them ones that end
// early; fault.Unverified for a block that is not its CID's, and for a CID of a
// kind that is not taken; fault.TooLarge for a block or a number of blocks above
// its limit. Errors of r that are no end are returned as they are.
func ReadShard(ctx context.Context, r io.Reader, size int64, root cid.Cid, fn func(c cid.Cid, data []byte) error) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	s := &shardReader{r: bufio.NewReaderSize(io.TeeReader(io.LimitReader(r, size), h), readBuffer), left: size}
	if err := s.header(root); err != nil {
		return sum, err
	}
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return sum, context.Cause(ctx)
		}
		c, data, err := s.section()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sum, err
		}
		if n == wire.MaxShardBlocks {
			return sum, fault.New(fault.TooLarge, "a shard has at most %d blocks", wire.MaxShardBlocks)
		}
		if err := fn(c, data); err != nil {
			return sum, err
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

type shardReader struct {
	r    *bufio.Reader
	left int64 // bytes that are still to come
	buf  []byte
}

func (s *shardReader) bad(what string) error {
	return fault.New(fault.Invalid, "the shard, %d bytes before its end: %s", s.left, what)
}

func (s *shardReader) full(p []byte) error {
	n, err := io.ReadFull(s.r, p)
	s.left -= int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return s.bad("it ends early")
	}
	return err
}

func (s *shardReader) header(root cid.Cid) error {
	want := wire.ShardHeader(root)
	have := make([]byte, len(want))
	if err := s.full(have); err != nil {
		return err
	}
	if string(have) != string(want) {
		return s.bad("it does not begin as a CARv1 whose one root is " + root.String())
	}
	return nil
}

// section reads a block; io.EOF when the declared size has been read.
func (s *shardReader) section() (cid.Cid, []byte, error) {
	if s.left == 0 {
		return cid.Undef, nil, io.EOF
	}
	n, err := s.length()
	if err != nil {
		return cid.Undef, nil, err
	}
	if n > s.left {
		return cid.Undef, nil, s.bad("a section that goes on behind it")
	}
	if int64(cap(s.buf)) < n {
		s.buf = make([]byte, min(max(n, 2*int64(cap(s.buf))), maxSection))
	}
	b := s.buf[:n]
	if err := s.full(b); err != nil {
		return cid.Undef, nil, err
	}
	id := cidLength(b)
	if id == 0 {
		return cid.Undef, nil, fault.New(fault.Unverified, "the shard, %d bytes before its end: a CID that is not taken: CIDv1, raw, dag-pb, dag-cbor or dag-json, with a whole sha2-256", s.left)
	}
	if len(b)-id > unixfs.MaxBlock {
		return cid.Undef, nil, tooLarge()
	}
	c, err := cid.Cast(b[:id])
	if err != nil {
		return cid.Undef, nil, s.bad("no CID")
	}
	if sum := sha256.Sum256(b[id:]); string(sum[:]) != string(b[id-sha256.Size:id]) {
		return cid.Undef, nil, fault.New(fault.Unverified, "the bytes of block %s are not its own", c)
	}
	return c, b[id:], nil
}

// length reads a section's length: a varint in its shortest form.
func (s *shardReader) length() (int64, error) {
	var n int64
	var b [1]byte
	for shift := 0; ; shift += 7 {
		if err := s.full(b[:]); err != nil {
			return 0, err
		}
		n |= int64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if b[0] == 0 && shift > 0 {
				return 0, s.bad("a length in more bytes than it needs")
			}
			break
		}
		if shift == 28 {
			return 0, s.bad("a length that no section has")
		}
	}
	switch {
	case n < minCID:
		return 0, s.bad("a section without a CID")
	case n > maxSection:
		return 0, tooLarge()
	}
	return n, nil
}

func tooLarge() error {
	return fault.New(fault.TooLarge, "a block has at most %d bytes", unixfs.MaxBlock)
}

// cidLength returns the length of the CID that a section begins with, 0 for none
// that is taken.
func cidLength(b []byte) int {
	for _, codec := range codecs {
		n := 1 + len(codec) + 2 + sha256.Size
		if len(b) >= n && b[0] == 1 && string(b[1:1+len(codec)]) == string(codec) && b[1+len(codec)] == 0x12 && b[2+len(codec)] == sha256.Size {
			return n
		}
	}
	return 0
}
