// Package direct writes long runs of bytes past the page cache, where the file
// system can: a dataset that is written once and read later would only push
// other things out of memory, and copying it there costs more processor time
// than hashing it. What is short, not aligned, or on a file system that does
// not take part goes through the cache, which the kernel keeps coherent.
package direct

import (
	"io"
	"os"
	"unsafe"
)

const (
	// Align is what addresses, offsets and lengths of direct writes are
	// multiples of: the largest logical block of common devices.
	Align = 4096
	// BufferSize is the size of one direct write of a [Writer], of which there
	// are two: past it devices gain little.
	BufferSize = 2 << 20
)

// Buffer returns n bytes of memory that may be written directly. The collector
// does not move it.
func Buffer(n int) []byte {
	b := make([]byte, n+Align)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Align - 1))
	return b[skip : skip+n : skip+n]
}

// Aligned reports whether p can be written directly at offset off.
func Aligned(p []byte, off int64) bool {
	return len(p) > 0 && len(p)%Align == 0 && off%Align == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%Align == 0
}

// A Writer writes a stream of bytes into a file from an offset on: full buffers
// directly and in the background, while the next is filled. It is used by one
// goroutine, and it alone writes to that part of the file.
type Writer struct {
	f      *os.File
	d      *os.File // opened for direct writes; nil before the first, or when there are none
	failed bool     // direct writes do not work here

	at  int64  // offset of buf, a multiple of Align
	buf []byte // not yet written; its capacity is BufferSize

	spare   []byte
	running chan error // the outcome of the write in the background; nil when there is none
	err     error      // the first failure; the Writer is of no use after it
}

// NewWriter returns a Writer that appends to f from offset at on.
func NewWriter(f *os.File, at int64) (*Writer, error) {
	w := &Writer{f: f, at: at &^ (Align - 1), buf: Buffer(BufferSize)[:0]}
	if head := int(at - w.at); head > 0 {
		// The page that the stream begins in is written again with it.
		w.buf = w.buf[:head]
		if _, err := f.ReadAt(w.buf, w.at); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return w, nil
}

// Offset is where the next byte goes.
func (w *Writer) Offset() int64 { return w.at + int64(len(w.buf)) }

// Write appends parts, one behind another. They are copied.
func (w *Writer) Write(parts ...[]byte) error {
	for _, p := range parts {
		for len(p) > 0 {
			n := copy(w.buf[len(w.buf):cap(w.buf)], p)
			w.buf, p = w.buf[:len(w.buf)+n], p[n:]
			if len(w.buf) == cap(w.buf) {
				if err := w.full(); err != nil {
					return err
				}
			}
		}
	}
	return w.err
}

// full hands the buffer to a write in the background and takes the other one.
func (w *Writer) full() error {
	if err := w.wait(); err != nil {
		return err
	}
	if w.spare == nil {
		w.spare = Buffer(BufferSize)
	}
	buf, at := w.buf, w.at
	done := make(chan error, 1)
	w.running = done
	go func() { done <- w.put(buf, at) }()
	w.buf, w.spare = w.spare[:0], buf
	w.at += int64(len(buf))
	return nil
}

// put writes a full buffer, directly if that works. Only the write in the
// background touches d and failed.
func (w *Writer) put(buf []byte, at int64) error {
	if w.d == nil && !w.failed {
		d, err := open(w.f.Name())
		w.d, w.failed = d, err != nil
	}
	if !w.failed {
		_, err := w.d.WriteAt(buf, at)
		if err == nil || !unsupported(err) {
			return err
		}
		w.failed = true
	}
	_, err := w.f.WriteAt(buf, at)
	return err
}

// wait waits for the write in the background.
func (w *Writer) wait() error {
	if w.running != nil {
		if err := <-w.running; err != nil && w.err == nil {
			w.err = err
		}
		w.running = nil
	}
	return w.err
}

// Flush returns once everything is in the file; it is not synced.
func (w *Writer) Flush() error {
	if err := w.wait(); err != nil {
		return err
	}
	if len(w.buf) == 0 {
		return nil
	}
	if _, err := w.f.WriteAt(w.buf, w.at); err != nil {
		w.err = err
		return err
	}
	// What is written may be written again, with the page that it ends in.
	whole := len(w.buf) &^ (Align - 1)
	n := copy(w.buf[:cap(w.buf)], w.buf[whole:])
	w.buf, w.at = w.buf[:n], w.at+int64(whole)
	return nil
}

// Close waits for what is being written and drops what is not. It does not
// close the file that the Writer was made with.
func (w *Writer) Close() {
	w.wait()
	if w.d != nil {
		w.d.Close()
		w.d = nil
	}
}
