package sketch

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// InManifest says of s, whose bytes are the raw block id, what a manifest says.
func (s Sketch) InManifest(id cid.Cid) *manifests.Sketch {
	return &manifests.Sketch{Algo: Algo, Canon: Canon, Scale: s.Scale(), CID: cjson.Link{Cid: id}, Count: int64(len(s.Hashes))}
}

// Comparable reports whether a manifest's sketch is of this package's kind.
func Comparable(s *manifests.Sketch) bool {
	return s != nil && s.Algo == Algo && s.Canon == Canon && s.Scale >= 1 && s.Scale <= 1<<MaxK && s.Scale&(s.Scale-1) == 0 && s.Count <= MaxHashes
}

// Fingerprint says of a fingerprint file of so many chunks what a manifest says.
func Fingerprint(id cid.Cid, chunks int64) *manifests.Fingerprint {
	return &manifests.Fingerprint{
		Algo: "fastcdc", Min: attribution.MinChunk, Avg: attribution.AvgChunk, Max: attribution.MaxChunk, Hash: "sha2-256",
		CID: cjson.Link{Cid: id}, Count: chunks,
	}
}

// FastCDC reports whether a manifest's fingerprint is of the one kind that
// counts: that of chunk-first-seen/1.
func FastCDC(f *manifests.Fingerprint) bool {
	return f != nil && *f == *Fingerprint(f.CID.Cid, f.Count)
}

// Chunks returns the sketch of a fingerprint: the hash of a chunk is the first 8
// bytes of its SHA-256, big-endian. An error of the sequence is returned.
func Chunks(list iter.Seq2[attribution.Chunk, error]) (Sketch, error) {
	var b Builder
	for c, err := range list {
		if err != nil {
			return Sketch{}, err
		}
		b.Add(binary.BigEndian.Uint64(c.Hash[:]))
	}
	return b.Sketch(), nil
}

// ReadFingerprint gives the chunks of a fingerprint file that lies in blocks. It
// is read as it is gone through, once; an error ends it.
func ReadFingerprint(ctx context.Context, b unixfs.Blocks, file cid.Cid) iter.Seq2[attribution.Chunk, error] {
	return func(yield func(attribution.Chunk, error) bool) {
		r, w := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.CloseWithError(unixfs.ReadFile(ctx, b, file, func(p []byte) error {
				_, err := w.Write(p)
				return err
			}))
		}()
		defer func() {
			r.Close()
			<-done
		}()
		for c, err := range attribution.ReadFingerprint(r) {
			if err != nil {
				err = fmt.Errorf("the fingerprint %s: %w", file, err)
			}
			if !yield(c, err) {
				return
			}
		}
	}
}
