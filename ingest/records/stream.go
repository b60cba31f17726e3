package records

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A source keeps the error of a file apart from what is wrong with its bytes.
type source struct {
	r   io.Reader
	ctx context.Context
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// decoded returns the bytes inside a compression, up to the limits.
func decoded(compression string, in *source, size int64) (io.Reader, func(), error) {
	switch compression {
	case "":
		return in, func() {}, nil
	case "gzip":
		z, err := gzip.NewReader(bufio.NewReaderSize(in, 64<<10))
		if err != nil {
			return nil, nil, err
		}
		return &bounded{z, decodedLimit(size)}, func() { z.Close() }, nil
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxWindow))
		if err != nil {
			return nil, nil, err
		}
		return &bounded{z, decodedLimit(size)}, z.Close, nil
	}
	return nil, nil, fmt.Errorf("the compression %q is not known", compression)
}

// bounded ends behind so many bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, fmt.Errorf("%w: too many bytes come out of it", errLimit)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// lines hands out the lines of r without their ends. A line of MaxRecord or more
// ends them.
func lines(r io.Reader, fn func(line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), MaxRecord)
	for first := true; s.Scan(); first = false {
		b := s.Bytes()
		if first && len(b) >= len(bom) && string(b[:len(bom)]) == string(bom) {
			b = b[len(bom):]
		}
		if err := fn(b); err != nil {
			return err
		}
	}
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: a line of %d bytes or more", errLimit, MaxRecord)
	} else if err != nil {
		return err
	}
	return nil
}

// text reads lines that are not blank.
func (x *run) text(r io.Reader) error {
	return lines(r, func(line []byte) error {
		if blank(line) {
			return nil
		}
		x.rec.Add(line)
		return x.record()
	})
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}
