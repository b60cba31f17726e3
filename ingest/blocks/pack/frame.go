package pack

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// MaxBlock is the largest block: what bitswap carries and every reader of
	// UnixFS must accept.
	MaxBlock = 2 << 20
	// maxCIDLen bounds the CID of a frame: a CIDv1 of a sha2-256 has 36 to 37 bytes.
	maxCIDLen = 40
	// maxFrameHeader is the longest varint and CID before a block's bytes.
	maxFrameHeader = 4 + maxCIDLen
	// minFrame is the shortest frame: its length, a CIDv0, no bytes.
	minFrame = 1 + 34
)

// header is the CARv1 header of every pack, with its length: version 1, and as
// its only root the empty identity CID bafkqaaa, which means "no root".
var header = []byte("\x19\xa2\x65roots\x81\xd8\x2a\x45\x00\x01\x55\x00\x00\x67version\x01")

// appendFrameHeader appends what stands before a block's bytes.
func appendFrameHeader(b []byte, c cid.Cid, size int) []byte {
	id := c.Bytes()
	b = binary.AppendUvarint(b, uint64(len(id)+size))
	return append(b, id...)
}

// digestOf returns the sha2-256 digest in c: fault.Invalid for another hash.
func digestOf(c cid.Cid) (d [32]byte, err error) {
	if !c.Defined() {
		return d, fault.New(fault.Invalid, "an undefined CID")
	}
	m, err := mh.Decode(c.Hash())
	if err != nil || m.Code != mh.SHA2_256 || m.Length != 32 {
		return d, fault.New(fault.Invalid, "the CID %s: only whole sha2-256 hashes are stored", c)
	}
	return [32]byte(m.Digest), nil
}

// A commit is the payload of a commit frame: a promise that everything before
// it in its pack is whole.
type commit struct {
	Type    string `json:"cairn"` // commitType
	Frames  int64  `json:"frames"`
	Headers string `json:"headers"` // lower hex SHA-256 of the frame headers since the last commit frame
	Offset  int64  `json:"offset"`  // of the commit frame itself
	Pack    string `json:"pack"`
	Sealed  bool   `json:"sealed,omitempty"` // no frame follows
}

const commitType = "commit/1"

// commitPrefix begins every commit payload.
var commitPrefix = []byte(`{"cairn":"commit/1"`)

// run is the state of a pack since its last commit frame.
type run struct {
	pack    string
	frames  int64
	headers hash.Hash
}

func newRun(pack string) *run { return &run{pack: pack, headers: sha256.New()} }

func (r *run) add(frameHeader []byte) {
	r.frames++
	r.headers.Write(frameHeader)
}

func (r *run) reset() { r.frames, r.headers = 0, sha256.New() }

func (r *run) sum() string { return hex.EncodeToString(r.headers.Sum(nil)) }

func (r *run) commit(offset int64, sealed bool) commit {
	return commit{commitType, r.frames, r.sum(), offset, r.pack, sealed}
}

// matches reports whether block is the commit frame that belongs at offset, and
// whether the frame headers before it are those it was made for. A commit of no
// frames does not exist. After damage the frames before it are not all known,
// and loose takes its own word for them.
func (r *run) matches(block []byte, offset int64, loose bool) (sealed, exact, ok bool) {
	if !isCommitLike(block) || r.frames == 0 && !loose {
		return false, false, false
	}
	var c commit
	if cjson.Unmarshal(block, &c) != nil || c.Offset != offset || c.Frames < 1 || c.Type != commitType {
		return false, false, false
	}
	if c.Pack != r.pack && !strings.HasPrefix(c.Pack, incomingPrefix) {
		return false, false, false
	}
	return c.Sealed, loose || c.Frames == r.frames && c.Headers == r.sum(), true
}

// A frame is one section of a pack as a scan sees it.
type frame struct {
	offset int64 // of the frame
	header []byte
	cid    cid.Cid
	data   []byte // valid until the next frame is read
}

func (f *frame) end() int64 { return f.offset + int64(len(f.header)) + int64(len(f.data)) }

var errBadFrame = errors.New("not a whole frame whose hash holds")

// A scanner reads the frames of a pack one after another.
type scanner struct {
	r      *bufio.Reader
	offset int64
	buf    []byte
	head   []byte
}

func newScanner(r io.Reader, offset int64) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, 1<<20), offset: offset, buf: make([]byte, MaxBlock)}
}

// next returns the next frame; io.EOF at a clean end. A frame that is cut off,
// malformed, or whose bytes are not those of its CID gives errBadFrame; the
// scanner is of no use after that.
func (s *scanner) next() (*frame, error) {
	f := &frame{offset: s.offset}
	s.head = s.head[:0]
	var size uint64
	for shift := 0; ; shift += 7 {
		b, err := s.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && len(s.head) == 0 {
				return nil, io.EOF
			}
			return nil, badFrame(err)
		}
		s.head = append(s.head, b)
		size |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		if len(s.head) > 3 {
			return nil, errBadFrame
		}
	}
	if size < minFrame-1 || size > MaxBlock+maxCIDLen || len(s.head) != uvarintLen(size) {
		return nil, errBadFrame
	}
	idLen := 34 // CIDv0: a bare sha2-256 multihash
	peek, err := s.r.Peek(min(int(size), maxCIDLen))
	if err != nil {
		return nil, badFrame(err)
	}
	if !(peek[0] == mh.SHA2_256 && peek[1] == 32) {
		n, c, err := cid.CidFromBytes(peek)
		if err != nil || c.Version() != 1 {
			return nil, errBadFrame
		}
		idLen = n
	}
	if f.cid, err = cid.Cast(peek[:idLen]); err != nil {
		return nil, errBadFrame
	}
	want, err := digestOf(f.cid)
	if err != nil {
		return nil, errBadFrame
	}
	s.head = append(s.head, peek[:idLen]...)
	s.r.Discard(idLen)
	n := int(size) - idLen
	if n > MaxBlock {
		return nil, errBadFrame
	}
	f.data = s.buf[:n]
	if _, err := io.ReadFull(s.r, f.data); err != nil {
		return nil, badFrame(err)
	}
	if sha256.Sum256(f.data) != want {
		return nil, errBadFrame
	}
	f.header = s.head
	s.offset = f.end()
	return f, nil
}

func badFrame(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errBadFrame
	}
	return fmt.Errorf("reading a pack: %w", err)
}

func uvarintLen(n uint64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], n)
}
