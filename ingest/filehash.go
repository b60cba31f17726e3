package ingest

import "crypto/sha256"

// A fileHash computes the SHA-256 of whole files beside assemble: their chunks
// are hashed in order, one after another, which is a processor's full work for
// a large file. It is used by one goroutine.
type fileHash struct {
	in chan hashStep
}

// A hashStep is one of: bytes to take in, with what to do once they are; a
// question for the sum; neither, to begin anew.
type hashStep struct {
	data []byte
	done func()
	sum  chan<- [sha256.Size]byte
}

// newFileHash starts the hashing; close ends it.
func newFileHash() *fileHash {
	h := &fileHash{in: make(chan hashStep, inFlight>>20)}
	go func() {
		sum := sha256.New()
		for s := range h.in {
			switch {
			case s.done != nil:
				sum.Write(s.data)
				s.done()
			case s.sum != nil:
				var d [sha256.Size]byte
				sum.Sum(d[:0])
				s.sum <- d
				sum.Reset()
			default:
				sum.Reset()
			}
		}
	}()
	return h
}

// add takes in the next bytes of the file; done is called when they may be
// overwritten.
func (h *fileHash) add(data []byte, done func()) { h.in <- hashStep{data: data, done: done} }

// sum returns the hash of what was added, and begins the next file.
func (h *fileHash) sum() [sha256.Size]byte {
	c := make(chan [sha256.Size]byte, 1)
	h.in <- hashStep{sum: c}
	return <-c
}

// reset forgets what was added.
func (h *fileHash) reset() { h.in <- hashStep{} }

func (h *fileHash) close() { close(h.in) }
