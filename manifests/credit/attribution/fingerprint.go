package attribution

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"iter"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/twin"
)

// A Chunk names a chunk: the SHA-256 of its bytes, and how many there are.
type Chunk struct {
	Hash [sha256.Size]byte
	Len  uint32 // 1 to MaxChunk
}

// ChunkOf names the chunk b, which must have 1 to [MaxChunk] bytes.
func ChunkOf(b []byte) Chunk { return Chunk{sha256.Sum256(b), uint32(len(b))} }

// AppendChunksOf appends the names of chunks, which it hashes two at once. The
// chunks must be as for [ChunkOf].
func AppendChunksOf(names []Chunk, chunks [][]byte) []Chunk {
	sums := make([][sha256.Size]byte, len(chunks))
	twin.Sum256(sums, chunks)
	for i, b := range chunks {
		names = append(names, Chunk{sums[i], uint32(len(b))})
	}
	return names
}

// NewFingerprinter returns a [Chunker] of one file that hands out the names of
// its chunks. The fingerprint of a dataset is the chunks of its files, each
// file cut on its own, in the manifest's path order.
func NewFingerprinter(emit func(Chunk) error) *Chunker {
	var names []Chunk
	return newChunker(func(chunks [][]byte) error {
		names = AppendChunksOf(names[:0], chunks)
		for _, c := range names {
			if err := emit(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// FingerprintHeader begins a fingerprint file. Records of 36 bytes follow: the
// hash and the length of a chunk, big-endian. See [AppendChunk].
const FingerprintHeader = "cairn-fastcdc/1\n"

const chunkRecord = sha256.Size + 4

// AppendChunk appends the record of c in a fingerprint file.
func AppendChunk(b []byte, c Chunk) []byte {
	b = append(b, c.Hash[:]...)
	return binary.BigEndian.AppendUint32(b, c.Len)
}

// ReadFingerprint gives the chunks of a fingerprint file in order. What is no
// fingerprint file ends the sequence with fault.Invalid, and an error of r with
// that error. It reads r as it goes and holds a few kilobytes; the sequence can
// be gone through once.
func ReadFingerprint(r io.Reader) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		r := &source{r: r}
		head := make([]byte, len(FingerprintHeader))
		if _, _ = io.ReadFull(r, head); r.err != nil {
			yield(Chunk{}, r.err)
			return
		}
		if string(head) != FingerprintHeader {
			yield(Chunk{}, fault.New(fault.Invalid, "a fingerprint file begins with the line %q", FingerprintHeader))
			return
		}
		buf := make([]byte, 256*chunkRecord)
		for {
			n, end := io.ReadFull(r, buf)
			if r.err != nil {
				yield(Chunk{}, r.err)
				return
			}
			for b := buf[:n]; len(b) > 0; b = b[chunkRecord:] {
				if len(b) < chunkRecord {
					yield(Chunk{}, fault.New(fault.Invalid, "a fingerprint file ends within a record"))
					return
				}
				c := Chunk{[sha256.Size]byte(b), binary.BigEndian.Uint32(b[sha256.Size:])}
				if err := c.check(); err != nil {
					yield(Chunk{}, err)
					return
				}
				if !yield(c, nil) {
					return
				}
			}
			if end != nil {
				return
			}
		}
	}
}

// A source keeps the error of r that is not its end: io.ReadFull reports a
// short end as io.ErrUnexpectedEOF, which is also how a reader reports that
// its own source broke off, and the two must not be taken for each other.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (c Chunk) check() error {
	if c.Len < 1 || c.Len > MaxChunk {
		return fault.New(fault.Invalid, "a chunk of %d bytes; chunks have 1 to %d", c.Len, MaxChunk)
	}
	return nil
}
