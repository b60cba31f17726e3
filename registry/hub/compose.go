package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// maxInlineList is how many bytes of file lines a manifest of a commit holds
// itself; more are a file list.
const maxInlineList = 512 << 10

// hashAhead is how many chunks wait to be hashed as parts of their file.
const hashAhead = 8

// A source is where the bytes of a change come from: exactly one of the two.
type source struct {
	// open returns the bytes of a file that was sent.
	open func() (io.Reader, func() error, error)
	// known is a file that the dataset had in some version: its DAG is taken as
	// it is.
	known *manifests.File
}

// A composition is a new version's tree on its way: the old tree with the
// changes of a commit. Files that stay are linked, not read. Both come in
// canonical order and are merged, so that memory holds one directory at each
// level and the changes, whatever the size of the dataset.
type composition struct {
	ctx     context.Context
	blocks  blocks.Reader
	batch   ingest.Batch
	profile dag.Profile
	chunker dag.Chunker
	req     *commitRequest
	source  func(change) (source, error)

	next    int // of req.changes
	gone    map[string]bool
	matched map[string]bool // deletions that deleted something

	file *dag.FileBuilder
	dirs []openDir
	last string // the path placed last

	root      dag.Link
	bytes     int64
	count     int64
	diff      manifests.Difference
	files     []manifests.File // while list is not begun
	listBytes int
	list      *dag.FileBuilder
	line      []byte
	fileList  cid.Cid
}

type openDir struct {
	path string // with a slash at its end; "" for the root
	name string
	b    *dag.DirBuilder
}

// run builds the tree on top of base, which is nil for a first version.
func (c *composition) run(base *content) error {
	c.file = dag.NewFile(c.profile, c.batch)
	c.dirs = []openDir{{b: dag.NewDir(c.profile, c.batch)}}
	c.gone, c.matched = make(map[string]bool), make(map[string]bool)
	for _, p := range c.req.deleted {
		c.gone[p] = true
	}
	if base != nil {
		if err := c.merge(base); err != nil {
			return err
		}
	}
	for c.next < len(c.req.changes) {
		if err := c.add(nil); err != nil {
			return err
		}
	}
	for _, p := range append(slices.Clone(c.req.deleted), c.req.folders...) {
		if !c.matched[p] {
			return noEntry(p)
		}
	}
	for len(c.dirs) > 0 {
		if err := c.leave(); err != nil {
			return err
		}
	}
	return c.finishList()
}

// merge walks the old tree beside its file list, and the changes between.
func (c *composition) merge(base *content) error {
	lines, stop := iter.Pull2(base.m.ListedFiles(c.ctx, c.blocks))
	defer stop()
	_, err := unixfs.Walk(c.ctx, c.blocks, base.m.Data.Root.Cid, unixfs.Limits{}, func(e unixfs.Entry) error {
		if e.Kind == unixfs.Directory {
			return nil // made again when something is placed in it
		}
		var old *manifests.File
		if e.Kind == unixfs.File {
			f, err, ok := lines()
			if err != nil {
				return err
			}
			if e.Path == "" {
				e.Path = f.Path // a dataset of one file
			}
			if !ok || f.Path != e.Path {
				return fault.New(fault.Internal, "the file list of the version before has not the files of its data at %s", fault.Quote(e.Path))
			}
			old = &f
		}
		for c.next < len(c.req.changes) {
			order := manifests.ComparePaths(c.req.changes[c.next].path, e.Path)
			if order > 0 {
				break
			}
			if order == 0 {
				return c.add(old)
			}
			if err := c.add(nil); err != nil {
				return err
			}
		}
		if c.deletes(e.Path) {
			c.diff.Removed++
			return nil
		}
		if old != nil {
			if err := c.listed(*old); err != nil {
				return err
			}
		}
		return c.place(e.Path, e.CID, e.Tsize)
	})
	return err
}

// deletes reports whether the commit takes away the path.
func (c *composition) deletes(path string) bool {
	found := c.gone[path]
	if found {
		c.matched[path] = true
	}
	for _, f := range c.req.folders {
		if strings.HasPrefix(path, f) && len(path) > len(f) && path[len(f)] == '/' {
			c.matched[f], found = true, true
		}
	}
	return found
}

// add places the next change; old is the file that it replaces.
func (c *composition) add(old *manifests.File) error {
	ch := c.req.changes[c.next]
	c.next++
	c.deletes(ch.path) // in a folder that is deleted and filled anew
	s, err := c.source(ch)
	if err != nil {
		return err
	}
	f := manifests.File{Path: ch.path, MediaType: ingest.MediaType(ch.path)}
	var tsize uint64
	if s.known != nil {
		f.CID, f.Size, f.SHA256, f.SWHID = s.known.CID, s.known.Size, s.known.SHA256, s.known.SWHID
		if tsize, err = c.tsize(f.CID.Cid); err != nil {
			return err
		}
	} else {
		l, err := c.build(ch, s, &f)
		if err != nil {
			return fmt.Errorf("%s: %w", fault.Printable(ch.path), err)
		}
		f.CID, tsize = cjson.Link{Cid: l.CID}, l.Tsize
	}
	switch {
	case old == nil:
		c.diff.Added++
	case old.SHA256 == f.SHA256:
		f = *old // what was said of it still holds; its DAG stays
		if tsize, err = c.tsize(f.CID.Cid); err != nil {
			return err
		}
	default:
		c.diff.Changed++
		f.Split, f.Config = old.Split, old.Config
	}
	if err := c.listed(f); err != nil {
		return err
	}
	return c.place(f.Path, f.CID.Cid, tsize)
}

// tsize is the length of all blocks of a file that is stored.
func (c *composition) tsize(id cid.Cid) (tsize uint64, err error) {
	_, err = unixfs.Walk(c.ctx, c.blocks, id, unixfs.Limits{}, func(e unixfs.Entry) error {
		tsize = e.Tsize
		return nil
	})
	return tsize, err
}

// build cuts and stores a file that was sent, and holds it against what was said
// of it.
func (c *composition) build(ch change, s source, f *manifests.File) (dag.Link, error) {
	r, done, err := s.open()
	if err != nil {
		return dag.Link{}, err
	}
	// The hashes of the whole are a processor's work of their own.
	whole, git := sha256.New(), sha1.New()
	fmt.Fprintf(git, "blob %d\x00", ch.size)
	ahead, hashed := make(chan []byte, hashAhead), make(chan struct{})
	go func() {
		defer close(hashed)
		for b := range ahead {
			whole.Write(b)
			git.Write(b)
		}
	}()
	err = c.leaves(r, func(b []byte) {
		f.Size += int64(len(b))
		ahead <- b
	})
	close(ahead)
	<-hashed
	if err := errors.Join(err, done()); err != nil {
		return dag.Link{}, err
	}
	l, _, err := c.file.Finish(c.ctx)
	if err != nil {
		return dag.Link{}, err
	}
	f.SHA256 = hex.EncodeToString(whole.Sum(nil))
	if f.SHA256 != ch.sha256 || f.Size != ch.size {
		return dag.Link{}, fault.New(fault.Internal, "the bytes that were kept are not those that were sent")
	}
	f.SWHID = "swh:1:cnt:" + hex.EncodeToString(git.Sum(nil))
	return l, nil
}

// leaves cuts r, and stores the chunks; fn is shown each, to keep.
func (c *composition) leaves(r io.Reader, fn func([]byte)) error {
	split := c.chunker.Split(r)
	for n := 0; ; n++ {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		b, err := split.NextBytes()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return c.leaf(nil)
			}
			return nil
		}
		if err != nil {
			return err
		}
		fn(b)
		if err := c.leaf(b); err != nil {
			return err
		}
	}
}

func (c *composition) leaf(b []byte) error {
	before, after := c.profile.LeafFrame(len(b))
	block := b
	if len(before)+len(after) > 0 {
		block = slices.Concat(before, b, after)
	}
	d := sha256.Sum256(block)
	if _, err := c.batch.Append(c.ctx, c.profile.LeafCID(d), block); err != nil {
		return err
	}
	return c.file.AddLeaf(c.ctx, d, len(b), len(block))
}

// place puts a link into the tree, below directories that are opened and closed
// on the way.
func (c *composition) place(path string, id cid.Cid, tsize uint64) error {
	if c.last != "" && strings.HasPrefix(path, c.last) && path[len(c.last)] == '/' {
		return fault.New(fault.Invalid, "%s cannot be a file and a folder", fault.Quote(c.last))
	}
	c.last = path
	for !strings.HasPrefix(path, c.dirs[len(c.dirs)-1].path) {
		if err := c.leave(); err != nil {
			return err
		}
	}
	for {
		at := len(c.dirs[len(c.dirs)-1].path)
		n := strings.IndexByte(path[at:], '/')
		if n < 0 {
			return c.dirs[len(c.dirs)-1].b.Add(path[at:], id, tsize)
		}
		c.dirs = append(c.dirs, openDir{path: path[:at+n+1], name: path[at : at+n], b: dag.NewDir(c.profile, c.batch)})
	}
}

// leave closes the innermost directory.
func (c *composition) leave() error {
	d := c.dirs[len(c.dirs)-1]
	c.dirs = c.dirs[:len(c.dirs)-1]
	l, _, err := d.b.Finish(c.ctx)
	if err != nil {
		return err
	}
	if len(c.dirs) == 0 {
		c.root = l
		return nil
	}
	return c.dirs[len(c.dirs)-1].b.Add(d.name, l.CID, l.Tsize)
}

// listed counts a file and puts it into the list: in the manifest while there
// are few, else a UnixFS file of lines, as package ingest makes it.
func (c *composition) listed(f manifests.File) error {
	c.count++
	c.bytes += f.Size
	b, err := manifests.EncodeFileLine(f)
	if err != nil {
		return err
	}
	if c.list == nil {
		if len(c.files) < ingest.DefaultInlineFiles && c.listBytes+len(b) <= maxInlineList {
			c.files = append(c.files, f)
			c.listBytes += len(b)
			return nil
		}
		c.list = dag.NewFile(dag.ProfileV1_2025, c.batch)
		for _, f := range c.files {
			b, err := manifests.EncodeFileLine(f)
			if err != nil {
				return err
			}
			c.line = append(c.line, b...)
		}
		c.files = nil
	}
	c.line = append(c.line, b...)
	for size := dag.ProfileV1_2025.ChunkSize; len(c.line) >= size; {
		if err := c.listLeaf(c.line[:size]); err != nil {
			return err
		}
		c.line = c.line[:copy(c.line, c.line[size:])]
	}
	return nil
}

func (c *composition) listLeaf(b []byte) error {
	d := sha256.Sum256(b)
	if _, err := c.batch.Append(c.ctx, dag.ProfileV1_2025.LeafCID(d), b); err != nil {
		return err
	}
	return c.list.AddLeaf(c.ctx, d, len(b), len(b))
}

func (c *composition) finishList() error {
	if c.list == nil {
		return nil
	}
	if len(c.line) > 0 {
		if err := c.listLeaf(c.line); err != nil {
			return err
		}
	}
	l, _, err := c.list.Finish(c.ctx)
	c.fileList = l.CID
	return err
}
