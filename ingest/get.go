package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/ingest/internal/direct"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// getFiles bounds the files that are written at a time, from blocks that are
	// near; getFarFiles from those that are not: each has a file or two open.
	getFiles    = 8
	getFarFiles = 128
	// minDirect is the smallest leaf that is worth a write past the page cache.
	minDirect = 128 << 10
	// partSuffix ends the name of a file that is not whole yet.
	partSuffix = ".cairn-part"
)

// What to do with symlinks.
const (
	LinksInside = "inside" // write those whose target stays inside the tree
	LinksAll    = "all"    // write them all
	LinksNone   = "none"   // write none
)

// GetOptions are the choices of a [Get]. The zero value is good.
type GetOptions struct {
	Links string // LinksInside when empty
	// Progress, when set, is called from several goroutines, after each block.
	Progress func(Progress)
}

// A GetResult is what a [Get] wrote.
type GetResult struct {
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
	Skipped int64 `json:"skipped"` // bytes that were there already, and verified
	Links   int64 `json:"links"`
	// LeftOut are the symlinks that were not written.
	LeftOut []LeftOut `json:"leftOut,omitempty"`
}

// LeftOut is a symlink that [Get] did not write.
type LeftOut struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// Get writes the file, directory or symlink under root to dst. Blocks are
// verified by src, claimed sizes here; a file appears under its name only when
// it is whole. What is there already is hashed against the DAG and kept, so a
// Get that was cut short goes on where it stopped, and asks src for no leaf that
// is on disk. Nothing is written outside dst, and nothing through a symlink;
// symlinks come last.
//
// At most 16 MiB of blocks are held at a time, and 16 blocks are asked for. A src
// that is far away, such as [remote.Sources], may say how many blocks of how many
// bytes it wants to be asked for, by a method InFlight, and take a hint of what
// will be read, by a method Follow.
//
// Codes: fault.Conflict when something of another kind stands in the way;
// fault.Invalid for a DAG that is malformed; else those of src.
func Get(ctx context.Context, src unixfs.Blocks, root cid.Cid, dst string, o GetOptions) (*GetResult, error) {
	switch o.Links {
	case "":
		o.Links = LinksInside
	case LinksInside, LinksAll, LinksNone:
	default:
		return nil, fault.New(fault.Invalid, "links: %s is not inside, all or none", fault.Quote(o.Links))
	}
	top, err := unixfs.Stat(ctx, src, root)
	if err != nil {
		return nil, err
	}
	base := dst
	name := "."
	if top.Kind != unixfs.Directory {
		base, name = filepath.Dir(dst), filepath.Base(dst)
	}
	if err := os.MkdirAll(base, 0o777); err != nil {
		if errors.Is(err, fs.ErrExist) || isNotDir(err) {
			err = fault.Mark(fault.Conflict, err)
		}
		return nil, err
	}
	dir, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	g := &getter{src: src, dir: dir, o: o, room: roomFor(src)}
	g.group, g.ctx = errgroup.WithContext(ctx)
	files := getFiles
	if g.room.far {
		files = getFarFiles
	}
	g.group.SetLimit(files + 1)
	defer follow(g.ctx, src, root)()
	g.total.Store(int64(top.Size))
	g.group.Go(func() error { return g.entry(name, root, 0) })
	if err := g.group.Wait(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	if err := g.writeLinks(); err != nil {
		return nil, err
	}
	g.result.Files, g.result.Bytes, g.result.Skipped = g.files.Load(), g.bytes.Load(), g.skipped.Load()
	return &g.result, nil
}

func isNotDir(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && strings.Contains(p.Err.Error(), "not a directory")
}

type getter struct {
	src   unixfs.Blocks
	dir   *os.Root
	o     GetOptions
	group *errgroup.Group
	ctx   context.Context
	room  *room // for the blocks in flight

	files, bytes, skipped, total atomic.Int64

	mu     sync.Mutex // guards links
	links  []LeftOut
	result GetResult
}

// entry writes what is at a path. Directories are done at once, files by the
// group.
func (g *getter) entry(name string, c cid.Cid, depth int) error {
	if err := context.Cause(g.ctx); err != nil {
		return err
	}
	if depth > unixfs.MaxPathDepth || len(name) > unixfs.MaxPath {
		return fault.New(fault.TooLarge, "%s: the path is too deep or too long", fault.Quote(name))
	}
	e, err := unixfs.Stat(g.ctx, g.src, c)
	if err != nil {
		return fmt.Errorf("%s: %w", fault.Printable(name), err)
	}
	switch e.Kind {
	case unixfs.Symlink:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.links = append(g.links, LeftOut{name, e.Target})
		return nil
	case unixfs.File:
		if g.room.far {
			// While its blocks are on their way, so may be the next file's.
			g.group.Go(func() error { return g.file(name, e) })
			return nil
		}
		return g.file(name, e)
	}
	entries, err := unixfs.ReadDir(g.ctx, g.src, c)
	if err != nil {
		return fmt.Errorf("%s: %w", fault.Printable(name), err)
	}
	if name != "." {
		if err := g.mkdir(name); err != nil {
			return err
		}
	} else {
		for _, d := range entries {
			g.total.Add(int64(min(d.Cumulative, 1<<50)))
		}
	}
	for _, d := range entries {
		child := path.Join(name, d.Name)
		if d.CID.Prefix().Codec == cid.Raw {
			g.group.Go(func() error { return g.file(child, unixfs.Entry{Kind: unixfs.File, CID: d.CID, Size: d.Cumulative}) })
			continue
		}
		if err := g.entry(child, d.CID, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes a directory, or takes one that is there; nothing else may be.
func (g *getter) mkdir(name string) error {
	err := g.dir.Mkdir(name, 0o777)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := g.dir.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fault.New(fault.Conflict, "%s is there already, and is no directory", fault.Printable(name))
	}
	return err
}

// file writes one file: into a part file beside it, block by block, then under
// its name.
func (g *getter) file(name string, e unixfs.Entry) error {
	err := g.writeFile(name, e)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", fault.Printable(name), err)
	}
	return err
}

func partName(name string) string {
	dir, base := path.Split(name)
	part := "." + base + partSuffix
	if len(part) > unixfs.MaxName {
		h := sha256.Sum256([]byte(base))
		part = fmt.Sprintf(".%x%s", h[:16], partSuffix)
	}
	return dir + part
}

func (g *getter) writeFile(name string, e unixfs.Entry) error {
	if info, err := g.dir.Lstat(name); err == nil {
		if !info.Mode().IsRegular() {
			return fault.New(fault.Conflict, "something is there already, and is no file")
		}
		if e.CID.Prefix().Codec == cid.Raw || uint64(info.Size()) == e.Size {
			whole, err := g.present(name, e, info.Size())
			if err != nil || whole {
				return err
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	part := partName(name)
	f, info, err := g.openPart(part)
	if err != nil {
		return err
	}
	w := &leafWriter{f: f, open: func() (*os.File, error) { return g.reopen(part, os.O_WRONLY|direct.Flag, info) }}
	size, err := g.fill(w, e)
	w.close()
	if err == nil {
		err = f.Truncate(size)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := g.dir.Rename(part, name); err != nil {
		return err
	}
	g.files.Add(1)
	return nil
}

// openPart opens a part file, and makes it when it is not there. A Root follows a
// symlink that stays inside it, whatever the flags say: so a part is made only
// where nothing is, and one that is there must be the file that Lstat sees.
func (g *getter) openPart(part string) (*os.File, fs.FileInfo, error) {
	info, err := g.dir.Lstat(part)
	if errors.Is(err, fs.ErrNotExist) {
		f, err := g.dir.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			err = inTheWay(part)
		}
		if err != nil {
			return nil, nil, err
		}
		if info, err = f.Stat(); err != nil {
			f.Close()
			return nil, nil, err
		}
		return f, info, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, inTheWay(part)
	}
	f, err := g.reopen(part, os.O_RDWR, info)
	return f, info, err
}

// reopen opens a file that is there, and must be the one that info is of.
func (g *getter) reopen(name string, flag int, info fs.FileInfo) (*os.File, error) {
	f, err := g.dir.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = inTheWay(name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func inTheWay(part string) error {
	return fault.New(fault.Conflict, "%s is in the way", fault.Printable(part))
}

// present reports whether the file under its name is whole already.
func (g *getter) present(name string, e unixfs.Entry, size int64) (bool, error) {
	f, err := g.dir.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	whole := true
	differs := errors.New("differs")
	ok, err := unixfs.Plan(g.ctx, g.src, e.CID, func(l unixfs.Leaf) error {
		if !l.Known {
			l.Size = uint64(size)
		}
		if !holds(f, l) {
			whole = false
			return differs
		}
		return nil
	})
	if errors.Is(err, differs) || err == nil && !ok {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if whole {
		g.files.Add(1)
		g.skipped.Add(size)
		g.advance(size)
	}
	return whole, nil
}

// maxHeld is the largest leaf that is looked for in a file that is there.
const maxHeld = unixfs.MaxBlock

var holdBuffers = sync.Pool{New: func() any { b := make([]byte, maxHeld); return &b }}

// holds reports whether f has the bytes of a raw leaf at its place.
func holds(f io.ReaderAt, l unixfs.Leaf) bool {
	if l.CID.Prefix().Codec != cid.Raw || l.Size > maxHeld {
		return false
	}
	m, err := mh.Decode(l.CID.Hash())
	if err != nil {
		return false
	}
	buf := holdBuffers.Get().(*[]byte)
	defer holdBuffers.Put(buf)
	p := (*buf)[:l.Size]
	if n, err := f.ReadAt(p, int64(l.Off)); n < len(p) || err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	h := sha256.Sum256(p)
	return string(h[:]) == string(m.Digest)
}

// fill writes the leaves of a file that f does not hold yet, several at a time,
// and returns the file's size.
func (g *getter) fill(w *leafWriter, e unixfs.Entry) (int64, error) {
	f := w.f
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	had := uint64(info.Size())
	var end atomic.Int64
	group, ctx := errgroup.WithContext(g.ctx)
	ok, err := unixfs.Plan(ctx, g.src, e.CID, func(l unixfs.Leaf) error {
		if l.Known && l.Off+l.Size <= had && l.Size > 0 && holds(f, l) {
			g.skipped.Add(int64(l.Size))
			g.advance(int64(l.Size))
			raise(&end, int64(l.Off+l.Size))
			return nil
		}
		guess := l.Size
		if !l.Known {
			guess = e.Size // what the directory says
		}
		n, err := g.room.take(ctx, guess)
		if err != nil {
			return err
		}
		group.Go(func() error {
			defer func() { g.room.give(n) }()
			b, err := g.src.Block(ctx, l.CID)
			if err == nil && int64(len(b)) > n && !l.Known {
				// The directory lied: wait for memory that is enough.
				b = nil
				g.room.give(n)
				if n, err = g.room.take(ctx, unixfs.MaxBlock); err == nil {
					b, err = g.src.Block(ctx, l.CID)
				}
			}
			if err != nil {
				return err
			}
			done, err := g.leaf(w, l, b)
			raise(&end, int64(l.Off)+done)
			return err
		})
		return nil
	})
	if err := errors.Join(group.Wait(), err); err != nil {
		return 0, err
	}
	if ok {
		return end.Load(), nil
	}
	// Bytes in inner nodes: an old shape of file, read in one go.
	var at int64
	err = unixfs.ReadFile(g.ctx, g.src, e.CID, func(p []byte) error {
		n, err := f.WriteAt(p, at)
		at += int64(n)
		g.advance(int64(n))
		return err
	})
	return at, err
}

func raise(a *atomic.Int64, n int64) {
	for {
		old := a.Load()
		if n <= old || a.CompareAndSwap(old, n) {
			return
		}
	}
}

func (g *getter) leaf(w *leafWriter, l unixfs.Leaf, b []byte) (int64, error) {
	p, err := unixfs.Data(l.CID, b)
	if err != nil {
		return 0, err
	}
	if l.Known && uint64(len(p)) != l.Size {
		return 0, fault.New(fault.Invalid, "block %s: its parent claims %d bytes, there are %d", l.CID, l.Size, len(p))
	}
	n, err := w.writeAt(p, int64(l.Off))
	g.advance(int64(n))
	return int64(n), err
}

// A leafWriter writes leaves into a file, large ones directly. Its methods but
// close may be called concurrently.
type leafWriter struct {
	f    *os.File
	open func() (*os.File, error) // the same file for direct writes

	once sync.Once
	d    *os.File // nil where direct writes do not work
}

func (w *leafWriter) writeAt(p []byte, off int64) (int, error) {
	if len(p) < minDirect || !direct.Aligned(p, off) {
		return w.f.WriteAt(p, off)
	}
	w.once.Do(func() { w.d, _ = w.open() })
	if w.d != nil {
		if n, err := w.d.WriteAt(p, off); err == nil {
			return n, nil
		}
	}
	return w.f.WriteAt(p, off) // says what is wrong, if it is not the way
}

func (w *leafWriter) close() {
	if w.d != nil {
		w.d.Close()
	}
}

func (g *getter) advance(n int64) {
	done := g.bytes.Add(n)
	if g.o.Progress != nil {
		g.o.Progress(Progress{Files: g.files.Load(), Bytes: done, TotalBytes: g.total.Load()})
	}
}

// writeLinks writes the symlinks, when everything else is there.
func (g *getter) writeLinks() error {
	for _, l := range g.links {
		if g.o.Links == LinksNone || g.o.Links == LinksInside && !inside(l.Path, l.Target) {
			g.result.LeftOut = append(g.result.LeftOut, l)
			continue
		}
		if err := g.symlink(l); err != nil {
			return fmt.Errorf("%s: %w", fault.Printable(l.Path), err)
		}
		g.result.Links++
	}
	return nil
}

func (g *getter) symlink(l LeftOut) error {
	info, err := g.dir.Lstat(l.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return g.dir.Symlink(l.Target, l.Path)
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink == 0:
		return fault.New(fault.Conflict, "something is there already, and is no symlink")
	}
	if have, err := g.dir.Readlink(l.Path); err == nil && have == l.Target {
		return nil
	}
	if err := g.dir.Remove(l.Path); err != nil {
		return err
	}
	return g.dir.Symlink(l.Target, l.Path)
}

// inside reports whether a symlink's target, taken by its text, stays below the
// tree's root.
func inside(link, target string) bool {
	if target == "" || path.IsAbs(target) || strings.ContainsRune(target, '\\') {
		return false
	}
	// Each step is taken by itself: a path may not leave the tree on its way.
	at := path.Dir(link)
	for _, step := range strings.Split(target, "/") {
		if at = path.Join(at, step); at == ".." || strings.HasPrefix(at, "../") {
			return false
		}
	}
	return true
}
