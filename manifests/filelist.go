package manifests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// maxLine bounds a line of a file list: a path of 4 KiB, escaped, and a few
// hashes and names.
const maxLine = 64 << 10

// ListedFiles gives the files of m in order, inline or out of its file list,
// whose blocks come from b. An error ends the sequence: fault.Invalid for a
// list that breaks a rule, else b's own.
func (m *Manifest) ListedFiles(ctx context.Context, b unixfs.Blocks) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		if !m.Data.FileList.Defined() {
			for _, f := range m.Files {
				if !yield(f, nil) {
					return
				}
			}
			return
		}
		stop := errors.New("stop")
		var rest []byte
		err := unixfs.ReadFile(ctx, b, m.Data.FileList.Cid, func(p []byte) error {
			rest = append(rest, p...)
			used := 0
			for {
				n := bytes.IndexByte(rest[used:], '\n')
				if n < 0 {
					break
				}
				f, err := DecodeFileLine(rest[used : used+n+1])
				if err != nil {
					return err
				}
				if !yield(f, nil) {
					return stop
				}
				used += n + 1
			}
			if rest = rest[:copy(rest, rest[used:])]; len(rest) > maxLine {
				return fault.New(fault.Invalid, "a line of the file list is longer than %d bytes", maxLine)
			}
			return nil
		})
		if err == nil && len(rest) > 0 {
			err = fault.New(fault.Invalid, "the last line of the file list has no end")
		}
		if err != nil && !errors.Is(err, stop) {
			yield(File{}, fmt.Errorf("the file list: %w", err))
		}
	}
}
