package payfile

import "io"

// An output gathers bytes and hands them on in pieces. After the first error of
// the writer it drops everything.
type output struct {
	w   io.Writer
	b   []byte // what the writer has not got yet
	n   int64  // what it has
	err error
}

// outputSize is how many bytes are gathered for one call of the writer.
const outputSize = 64 << 10

func newOutput(w io.Writer) *output {
	return &output{w: w, b: make([]byte, 0, outputSize+4096)}
}

func (o *output) flush() {
	if o.err == nil {
		n, err := o.w.Write(o.b)
		if err == nil && n < len(o.b) {
			err = io.ErrShortWrite
		}
		o.n, o.err = o.n+int64(n), err
	}
	o.b = o.b[:0]
}

// text appends s.
func (o *output) text(s string) {
	o.b = append(o.b, s...)
	if len(o.b) >= outputSize {
		o.flush()
	}
}

// comma appends a comma before all but the first of a list.
func (o *output) comma(i int) {
	if i > 0 {
		o.text(",")
	}
}

// close hands on the rest, and returns what WriteTo returns.
func (o *output) close() (int64, error) {
	o.flush()
	return o.n, o.err
}
