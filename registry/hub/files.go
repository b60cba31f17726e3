package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	readme = "README.md"
	// scanLines is the stretch of a file list that is read on the way to a path
	// before it is searched for.
	scanLines = 256
	// window is the stretch of a file list that a search reads to its end.
	window = 4 * manifests.MaxFileLine
)

// A content is what a version's manifest says, as it is kept between requests.
// It is not changed.
type content struct {
	m *manifests.Manifest
	// list is the file list where the manifest has one, and its length.
	list cid.Cid
	size uint64
	// card is the virtual README.md, nil when the dataset has its own.
	card *card
}

// A file is a path that clients see.
type file struct {
	manifests.File
	virtual []byte // the bytes of a file that is in no dataset
}

// content reads the manifest of a version. Blocks are asked for on behalf of
// ctx, also when what they say is known.
func (h *Hub) content(ctx context.Context, v *revision) (*content, error) {
	if _, err := h.blocks.Size(ctx, v.Manifest.Cid); err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	// What the card says of the statement is not in the manifest.
	key := v.Statement.String()
	if c, ok := h.docs.get(key); ok {
		return c, nil
	}
	b, err := h.blocks.Block(ctx, v.Manifest.Cid)
	if err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	c := new(content)
	if c.m, err = manifests.DecodeManifest(b); err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	if c.m.Data.FileList.Defined() {
		c.list = c.m.Data.FileList.Cid
		if c.size, err = fileSize(ctx, h.blocks, c.list); err != nil {
			return nil, fmt.Errorf("the file list: %w", err)
		}
	}
	_, own, err := c.own(ctx, h.blocks, readme)
	if err != nil {
		return nil, err
	}
	if !own {
		c.card = newCard(&v.Dataset, c.m)
	}
	h.docs.put(key, c)
	return c, nil
}

// fileSize returns the length of a UnixFS file.
func fileSize(ctx context.Context, b blocks.Reader, c cid.Cid) (uint64, error) {
	if c.Prefix().Codec == cid.Raw {
		return b.Size(ctx, c)
	}
	e, err := unixfs.Stat(ctx, b, c)
	return e.Size, err
}

// file returns the file at path.
func (c *content) file(ctx context.Context, b blocks.Reader, path string) (file, bool, error) {
	if path == readme && c.card != nil {
		return c.card.file(), true, nil
	}
	f, ok, err := c.own(ctx, b, path)
	return file{File: f}, ok, err
}

// own returns the dataset's file at path.
func (c *content) own(ctx context.Context, b blocks.Reader, path string) (f manifests.File, ok bool, err error) {
	for f, err := range c.ownFrom(ctx, b, path) {
		return f, err == nil && f.Path == path, err
	}
	return f, false, nil
}

// from gives the files that clients see, in canonical order, beginning with the
// first that is not before path.
func (c *content) from(ctx context.Context, b blocks.Reader, path string) iter.Seq2[file, error] {
	return func(yield func(file, error) bool) {
		pending := c.card != nil && manifests.ComparePaths(readme, path) >= 0
		for f, err := range c.ownFrom(ctx, b, path) {
			if err != nil {
				yield(file{}, err)
				return
			}
			if pending && manifests.ComparePaths(readme, f.Path) < 0 {
				pending = false
				if !yield(c.card.file(), nil) {
					return
				}
			}
			if !yield(file{File: f}, nil) {
				return
			}
		}
		if pending {
			yield(c.card.file(), nil)
		}
	}
}

// ownFrom is from for the dataset's own files. A file list is searched, not read.
func (c *content) ownFrom(ctx context.Context, b blocks.Reader, path string) iter.Seq2[manifests.File, error] {
	if !c.list.Defined() {
		return func(yield func(manifests.File, error) bool) {
			i := sort.Search(len(c.m.Files), func(i int) bool { return manifests.ComparePaths(c.m.Files[i].Path, path) >= 0 })
			for _, f := range c.m.Files[i:] {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
	return func(yield func(manifests.File, error) bool) {
		off, err := c.seek(ctx, b, path)
		if err != nil {
			yield(manifests.File{}, err)
			return
		}
		for f, err := range c.lines(ctx, b, off) {
			if err == nil && manifests.ComparePaths(f.Path, path) < 0 {
				continue
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// lines gives the lines of the file list from the one that begins at off.
func (c *content) lines(ctx context.Context, b blocks.Reader, off uint64) iter.Seq2[manifests.File, error] {
	return func(yield func(manifests.File, error) bool) {
		stop := errors.New("stop")
		var rest []byte
		err := unixfs.ReadRange(ctx, b, c.list, off, 1<<62, func(p []byte) error {
			rest = append(rest, p...)
			used := 0
			for {
				n := bytes.IndexByte(rest[used:], '\n')
				if n < 0 {
					break
				}
				f, err := manifests.DecodeFileLine(rest[used : used+n+1])
				if err != nil {
					return err
				}
				if !yield(f, nil) {
					return stop
				}
				used += n + 1
			}
			if rest = rest[:copy(rest, rest[used:])]; len(rest) > manifests.MaxFileLine {
				return fault.New(fault.Invalid, "a line of the file list is longer than %d bytes", manifests.MaxFileLine)
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(manifests.File{}, fmt.Errorf("the file list: %w", err))
		}
	}
}

// seek returns the beginning of a line of the file list that is not behind the
// first line whose path is path or comes after it, and near it.
func (c *content) seek(ctx context.Context, b blocks.Reader, path string) (uint64, error) {
	if path == "" {
		return 0, nil
	}
	// The line that is looked for does not begin before low, which is the
	// beginning of a line, and not behind high.
	low, high := uint64(0), c.size
	for high-low > window {
		mid := low + (high-low)/2
		var p []byte
		err := unixfs.ReadRange(ctx, b, c.list, mid, 2*manifests.MaxFileLine, func(q []byte) error {
			p = append(p, q...)
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("the file list: %w", err)
		}
		begin := bytes.IndexByte(p, '\n') + 1
		n := bytes.IndexByte(p[begin:], '\n') + 1
		if begin == 0 || n == 0 {
			return 0, fault.New(fault.Invalid, "a line of the file list is longer than %d bytes", manifests.MaxFileLine)
		}
		f, err := manifests.DecodeFileLine(p[begin : begin+n])
		if err != nil {
			return 0, fmt.Errorf("the file list: %w", err)
		}
		if manifests.ComparePaths(f.Path, path) >= 0 {
			high = mid + uint64(begin)
		} else {
			low = mid + uint64(begin+n)
		}
	}
	return low, nil
}

// An entry is a line of a listing: a file, or a directory that holds some.
type entry struct {
	file
	dir bool
}

// beyond is before every path that comes after dir and all below it.
func beyond(dir string) string { return dir + "\x01" }

// below gives the entries in the directory dir ("" is the root) that come after
// the path after: files and directories, in canonical order. Unless recursive,
// what lies in further directories is left out.
func (c *content) below(ctx context.Context, b blocks.Reader, dir, after string, recursive bool) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		prefix := ""
		if dir != "" {
			prefix = dir + "/"
		}
		last, start := after, after
		if manifests.ComparePaths(prefix, after) > 0 {
			start = prefix
		}
		for {
			again, skipped := "", 0
			for f, err := range c.from(ctx, b, start) {
				if err != nil {
					yield(entry{}, err)
					return
				}
				rest, ok := strings.CutPrefix(f.Path, prefix)
				if !ok {
					return // behind the directory
				}
				deeper := false
				for at := 0; ; {
					n := strings.IndexByte(rest[at:], '/')
					if n < 0 {
						break
					}
					deeper = true
					d := prefix + rest[:at+n]
					if manifests.ComparePaths(d, last) > 0 {
						last = d
						if !yield(entry{file: file{File: manifests.File{Path: d}}, dir: true}, nil) {
							return
						}
					}
					if !recursive {
						break
					}
					at += n + 1
				}
				switch {
				case deeper && !recursive:
					skipped++
				case manifests.ComparePaths(f.Path, last) > 0:
					last, skipped = f.Path, 0
					if !yield(entry{file: f}, nil) {
						return
					}
				}
				if skipped > scanLines {
					again = beyond(last)
					break
				}
			}
			if start = again; again == "" {
				return
			}
		}
	}
}

// directory reports whether some file lies below path.
func (c *content) directory(ctx context.Context, b blocks.Reader, path string) (bool, error) {
	for f, err := range c.from(ctx, b, path+"/") {
		return err == nil && strings.HasPrefix(f.Path, path+"/"), err
	}
	return false, nil
}

// splits are the patterns of data files by configuration and split, as the
// manifest names them, each list sorted.
func splits(m *manifests.Manifest) []configuration {
	var out []configuration
	for _, f := range m.Files {
		if f.Split == "" {
			continue
		}
		name := f.Config
		if name == "" {
			name = "default"
		}
		i := slices.IndexFunc(out, func(c configuration) bool { return c.name == name })
		if i < 0 {
			i = len(out)
			out = append(out, configuration{name: name})
		}
		c := &out[i]
		j := slices.IndexFunc(c.splits, func(s split) bool { return s.name == f.Split })
		if j < 0 {
			j = len(c.splits)
			c.splits = append(c.splits, split{name: f.Split})
		}
		c.splits[j].paths = append(c.splits[j].paths, f.Path)
	}
	return out
}

// A configuration is a subset of a dataset that is loaded by its name.
type configuration struct {
	name   string
	splits []split
}

type split struct {
	name  string
	paths []string
}
