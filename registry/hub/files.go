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
	// window is the stretch of a file list that a search reads to its end.
	window = 4 * manifests.MaxFileLine
)

// scanLines is the stretch of a file list that is read on the way to a path
// before it is searched for: about as much as a search reads. Tests make it
// shorter.
var scanLines = 4096

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
	if v.denied != nil {
		return c, nil // what is said of the files lies with them
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

// An item is a file on its way out of a list: its path is read at once, the rest
// when it is asked for, because many are passed over.
type item struct {
	path string
	raw  []byte // its line of a file list, valid until the next one is taken; nil: known
	file file
}

// get returns the file.
func (i *item) get() (file, error) {
	if i.raw == nil {
		return i.file, nil
	}
	f, err := manifests.DecodeFileLine(i.raw)
	if err != nil {
		err = fmt.Errorf("the file list: %w", err)
	}
	return file{File: f}, err
}

// linePath returns the path in a line of a file list, as canonical JSON has it:
// no member that comes before it can hold a quotation mark.
func linePath(line []byte) (string, error) {
	const member = `"path":"`
	i := bytes.Index(line, []byte(member))
	if i < 0 {
		return "", fault.New(fault.Invalid, "a line of the file list has no path")
	}
	text := line[i+len(member):]
	for n := 0; n < len(text); n++ {
		switch text[n] {
		case '"':
			if bytes.IndexByte(text[:n], '\\') < 0 {
				return string(text[:n]), nil
			}
			return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(string(text[:n])), nil
		case '\\':
			n++
		}
	}
	return "", fault.New(fault.Invalid, "a line of the file list has no end of its path")
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
func (c *content) own(ctx context.Context, b blocks.Reader, path string) (manifests.File, bool, error) {
	for i, err := range c.ownFrom(ctx, b, path) {
		if err != nil || i.path != path {
			return manifests.File{}, false, err
		}
		f, err := i.get()
		return f.File, err == nil, err
	}
	return manifests.File{}, false, nil
}

// from gives the files that clients see, in canonical order, beginning with the
// first that is not before path.
func (c *content) from(ctx context.Context, b blocks.Reader, path string) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		pending := c.card != nil && manifests.ComparePaths(readme, path) >= 0
		for i, err := range c.ownFrom(ctx, b, path) {
			if err == nil && pending && manifests.ComparePaths(readme, i.path) < 0 {
				pending = false
				if !yield(item{path: readme, file: c.card.file()}, nil) {
					return
				}
			}
			if !yield(i, err) || err != nil {
				return
			}
		}
		if pending {
			yield(item{path: readme, file: c.card.file()}, nil)
		}
	}
}

// all gives the dataset's own files, whole.
func (c *content) all(ctx context.Context, b blocks.Reader) iter.Seq2[manifests.File, error] {
	return c.m.ListedFiles(ctx, b)
}

// ownFrom is from for the dataset's own files. A file list is searched, not read.
func (c *content) ownFrom(ctx context.Context, b blocks.Reader, path string) iter.Seq2[item, error] {
	if !c.list.Defined() {
		return func(yield func(item, error) bool) {
			i := sort.Search(len(c.m.Files), func(i int) bool { return manifests.ComparePaths(c.m.Files[i].Path, path) >= 0 })
			for _, f := range c.m.Files[i:] {
				if !yield(item{path: f.Path, file: file{File: f}}, nil) {
					return
				}
			}
		}
	}
	return func(yield func(item, error) bool) {
		off, err := c.seek(ctx, b, path)
		if err == nil {
			err = c.lines(ctx, b, off, func(i item) bool {
				return manifests.ComparePaths(i.path, path) < 0 || yield(i, nil)
			})
		}
		if err != nil {
			yield(item{}, fmt.Errorf("the file list: %w", err))
		}
	}
}

// lines hands out the lines of the file list from the one that begins at off,
// while fn wants more.
func (c *content) lines(ctx context.Context, b blocks.Reader, off uint64, fn func(item) bool) error {
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
			line := rest[used : used+n+1]
			path, err := linePath(line)
			if err != nil {
				return err
			}
			if !fn(item{path: path, raw: line}) {
				return stop
			}
			used += n + 1
		}
		if rest = rest[:copy(rest, rest[used:])]; len(rest) > manifests.MaxFileLine {
			return fault.New(fault.Invalid, "a line is longer than %d bytes", manifests.MaxFileLine)
		}
		return nil
	})
	if errors.Is(err, stop) {
		return nil
	}
	return err
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
			return 0, err
		}
		begin := bytes.IndexByte(p, '\n') + 1
		n := bytes.IndexByte(p[begin:], '\n') + 1
		if begin == 0 || n == 0 {
			return 0, fault.New(fault.Invalid, "a line is longer than %d bytes", manifests.MaxFileLine)
		}
		at, err := linePath(p[begin : begin+n])
		if err != nil {
			return 0, err
		}
		if manifests.ComparePaths(at, path) >= 0 {
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
			for i, err := range c.from(ctx, b, start) {
				if err != nil {
					yield(entry{}, err)
					return
				}
				rest, ok := strings.CutPrefix(i.path, prefix)
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
						last, skipped = d, 0
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
				case manifests.ComparePaths(i.path, last) > 0:
					last, skipped = i.path, 0
					f, err := i.get()
					if !yield(entry{file: f}, err) || err != nil {
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
	for i, err := range c.from(ctx, b, path+"/") {
		return err == nil && strings.HasPrefix(i.path, path+"/"), err
	}
	return false, nil
}

// splits are the files by configuration and split, as the manifest names them.
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
