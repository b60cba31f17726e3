package ingest

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// The modes of everything in a tar stream: a DAG has none.
	tarFileMode = 0o644
	tarDirMode  = 0o755
	tarLinkMode = 0o777
	// maxMatches and maxGlob bound the work of a pattern.
	maxMatches = 256
	maxGlob    = unixfs.MaxPath
	// tarBuffer gathers headers and small files; a block goes past it.
	tarBuffer = 64 << 10
)

// incomplete is the name of the entry that ends a stream which fails between two
// entries: it announces a byte and is cut off before it.
const incomplete = "INCOMPLETE.cairn"

// TarOptions are the choices of a [Tar]. The zero value is good.
type TarOptions struct {
	Links string // as for Get: LinksInside when empty
	// Match, unless empty, takes only files and symlinks whose path matches one of
	// these globs; folders are then left out. *, ? and [a-z] are those of
	// [path.Match], ** as a whole element stands for any number of folders, and a
	// glob without a slash is held against the last element alone.
	Match []string
	// Name is that of a root which is a file or a symlink; "data" when empty.
	Name string
}

// A TarResult is what a [Tar] wrote.
type TarResult struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"` // of the files
	Links int64 `json:"links"`
	// LeftOut are the symlinks that were not written.
	LeftOut []LeftOut `json:"leftOut,omitempty"`
}

// Tar writes the tree under root to w as a tar stream (POSIX.1-1988 ustar, PAX
// where a name or a size needs it): depth first, the names of a directory by their
// bytes, a directory before what is in it. Modes are fixed, times are 0, there are
// no owners, and numbers are in the shortest form: the same bytes for the same
// root and options, as long as the format's writer is archive/tar. So files that
// WebDataset takes for one sample, those with a common stem, stand together.
//
// Nothing touches the disk. Blocks are verified before their bytes are written,
// and at most as many are held as by [Get]. When Tar fails, w has not seen the end
// of the archive, but the middle of an entry: readers take it for damaged. Codes
// are those of [Get]; fault.Invalid also for a glob that is malformed.
func Tar(ctx context.Context, src unixfs.Blocks, root cid.Cid, w io.Writer, o TarOptions) (*TarResult, error) {
	switch o.Links {
	case "":
		o.Links = LinksInside
	case LinksInside, LinksAll, LinksNone:
	default:
		return nil, fault.New(fault.Invalid, "links: %s is not inside, all or none", fault.Quote(o.Links))
	}
	if o.Name == "" {
		o.Name = "data"
	}
	if err := unixfs.CheckName(o.Name); err != nil {
		return nil, err
	}
	match, err := newMatcher(o.Match)
	if err != nil {
		return nil, err
	}
	buf := bufio.NewWriterSize(w, tarBuffer)
	t := &tarrer{w: tar.NewWriter(buf), o: o}
	err = stream(ctx, src, root, func(s *streamer) error {
		return (&treeReader{streamer: s, o: o, match: match}).entry("", unixfs.DirEntry{CID: root}, 0)
	}, t.emit)
	if err == nil {
		err = t.w.Close()
	}
	if err != nil {
		t.cut()
		buf.Flush() // a failure of w itself needs no mark, and leaves none
		return nil, err
	}
	if err := buf.Flush(); err != nil {
		return nil, err
	}
	return &t.result, nil
}

// A treeReader hands the paths of a tree in.
type treeReader struct {
	*streamer
	o     TarOptions
	match matcher
}

func (t *treeReader) entry(name string, d unixfs.DirEntry, depth int) error {
	if depth > unixfs.MaxPathDepth || len(name) > unixfs.MaxPath {
		return fault.New(fault.TooLarge, "%s: the path is too deep or too long", fault.Quote(name))
	}
	e, err := unixfs.Stat(t.ctx, t.src, d.CID)
	if err != nil {
		return atPath(name, err)
	}
	e.Path = name
	if e.Kind != unixfs.Directory {
		if name == "" {
			e.Path = t.o.Name
		}
		if !t.match.path(e.Path) {
			return nil
		}
		open := e.CID.Prefix().Codec == cid.Raw
		if err := t.send(&promise{piece: piece{entry: &streamEntry{e, open}}}); err != nil || e.Kind == unixfs.Symlink {
			return err
		}
		if open {
			e.Size = d.Cumulative
		}
		if err := t.file(e); err != nil {
			return atPath(e.Path, err)
		}
		return t.send(&promise{piece: piece{last: true}})
	}
	entries, err := unixfs.ReadDir(t.ctx, t.src, d.CID)
	if err != nil {
		return atPath(name, err)
	}
	if name != "" && len(t.match) == 0 {
		if err := t.send(&promise{piece: piece{entry: &streamEntry{Entry: e}}}); err != nil {
			return err
		}
	}
	for _, child := range entries {
		if err := t.entry(path.Join(name, child.Name), child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func atPath(name string, err error) error {
	if err == nil || name == "" || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %w", fault.Printable(name), err)
}

// A tarrer writes pieces into a tar stream.
type tarrer struct {
	w      *tar.Writer
	o      TarOptions
	result TarResult

	entry *streamEntry // the file whose bytes are being written
	begun bool         // its header is written
	left  uint64       // bytes of it that are to come
}

func (t *tarrer) emit(p piece) error {
	switch {
	case p.entry != nil && p.entry.Kind == unixfs.File:
		t.entry, t.begun, t.left = p.entry, false, 0
		if p.entry.open {
			return nil // its block says how long it is
		}
		return t.begin(p.entry.Size)
	case p.entry != nil:
		return t.other(p.entry)
	case p.last:
		if !t.begun || t.left > 0 {
			return atPath(t.entry.Path, fault.New(fault.Invalid, "claims %d bytes more than there are", t.left))
		}
		t.result.Files++
		return nil
	}
	if !t.begun {
		if err := t.begin(uint64(len(p.data))); err != nil {
			return err
		}
	}
	if uint64(len(p.data)) > t.left {
		return atPath(t.entry.Path, fault.New(fault.Invalid, "claims fewer bytes than there are"))
	}
	n, err := t.w.Write(p.data)
	t.left -= uint64(n)
	t.result.Bytes += int64(n)
	return err
}

func (t *tarrer) begin(size uint64) error {
	if size > 1<<53-1 {
		return atPath(t.entry.Path, fault.New(fault.TooLarge, "claims %d bytes", size))
	}
	t.begun, t.left = true, size
	return t.header(tar.TypeReg, t.entry.Path, "", tarFileMode, int64(size))
}

func (t *tarrer) other(e *streamEntry) error {
	if e.Kind == unixfs.Directory {
		return t.header(tar.TypeDir, e.Path+"/", "", tarDirMode, 0)
	}
	if t.o.Links == LinksNone || t.o.Links == LinksInside && !inside(e.Path, e.Target) {
		t.result.LeftOut = append(t.result.LeftOut, LeftOut{e.Path, e.Target})
		return nil
	}
	t.result.Links++
	return t.header(tar.TypeSymlink, e.Path, e.Target, tarLinkMode, 0)
}

func (t *tarrer) header(kind byte, name, target string, mode, size int64) error {
	err := t.w.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: mode, Size: size, ModTime: time.Unix(0, 0)})
	if errors.Is(err, tar.ErrHeader) {
		err = fault.Mark(fault.Invalid, err)
	}
	return atPath(name, err)
}

// cut makes sure that the stream ends inside an entry.
func (t *tarrer) cut() {
	if t.left == 0 {
		_ = t.header(tar.TypeReg, incomplete, "", tarFileMode, 1)
	}
}

// A matcher is a list of globs; an empty one takes everything.
type matcher [][]string

func newMatcher(globs []string) (matcher, error) {
	if len(globs) > maxMatches {
		return nil, fault.New(fault.TooLarge, "more than %d globs", maxMatches)
	}
	var m matcher
	for _, g := range globs {
		elems := strings.Split(g, "/")
		for _, e := range elems {
			if _, err := path.Match(e, ""); err != nil || e == "" || len(g) > maxGlob {
				return nil, fault.New(fault.Invalid, "%s is no glob of a path", fault.Quote(g))
			}
		}
		if len(elems) == 1 {
			elems = []string{"**", g}
		}
		m = append(m, elems)
	}
	return m, nil
}

func (m matcher) path(name string) bool {
	elems := strings.Split(name, "/")
	for _, glob := range m {
		if matchElems(glob, elems) {
			return true
		}
	}
	return len(m) == 0
}

// matchElems holds a path against a glob, element by element, with one row of what
// may come next: time is the product of both, whatever the glob.
func matchElems(glob, elems []string) bool {
	row := make([]bool, len(elems)+1) // row[i]: the glob so far takes elems[:i]
	row[0] = true
	for _, g := range glob {
		next := make([]bool, len(row))
		for i := range row {
			switch {
			case g == "**":
				next[i] = row[i] || i > 0 && next[i-1]
			case i > 0 && row[i-1]:
				next[i], _ = path.Match(g, elems[i-1])
			}
		}
		row = next
	}
	return row[len(elems)]
}
