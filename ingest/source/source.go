// Package source walks a file or directory for adding: in one stable order,
// with bounded memory, without ever following a symlink or waiting for a FIFO.
// Everything it opens is opened relative to its parent directory, so a path
// that is exchanged for a symlink meanwhile leads nowhere.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	gitignore "github.com/crackcomm/go-gitignore"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// IgnoreFile holds patterns, as in .gitignore, for its directory and below.
	IgnoreFile = ".cairnignore"
	// maxIgnore bounds an ignore file.
	maxIgnore = 1 << 20
	// maxProblems bounds what one walk reports: enough to see a pattern.
	maxProblems = 20
	// maxWarnings bounds the warnings that are kept; more are dropped.
	maxWarnings = 1000
	// readBatch is how many names are read from a directory at a time.
	readBatch = 4096
)

// Kind is what an item is.
type Kind byte

// The kinds of an item. A directory comes twice: before and after what is in it.
const (
	File Kind = iota
	Symlink
	Enter
	Leave
)

// An Item is one step of a walk.
type Item struct {
	Kind Kind
	Name string // its own name; "" for the root
	Path string // relative to the root, with slashes; a single file's own name
	Stat Stat   // of a File
	// Target is where a Symlink points.
	Target string

	dir *dir
}

// Open opens the file of an Item, which must still be the one that was seen.
// Release must be called for every File item once it is not opened any more.
func (it *Item) Open() (*os.File, Stat, error) {
	f, info, err := it.dir.open(it.Name, it.Stat.Inode)
	if err != nil {
		return nil, Stat{}, named(it.Path, err)
	}
	return f, StatOf(info), nil
}

// Release lets go of what an Item needs to be opened.
func (it *Item) Release() { it.dir.release() }

// A dir is an open directory, shared by the items in it.
type dir struct {
	root *os.Root
	refs atomic.Int32
}

func (d *dir) acquire() { d.refs.Add(1) }

func (d *dir) release() {
	if d.refs.Add(-1) == 0 {
		d.root.Close()
	}
}

// open opens the regular file of that name in d, and nothing else. inode is the
// file's when it was last seen there, or 0.
func (d *dir) open(name string, inode uint64) (*os.File, fs.FileInfo, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.New(fault.Invalid, "it is no file, or none any more")
	}
	if err == nil && (inode == 0 || StatOf(info).Inode != inode) {
		// A Root follows a symlink that stays inside it, O_NOFOLLOW or not. What
		// is open must be what stands under the name.
		var now fs.FileInfo
		if now, err = d.root.Lstat(name); err == nil {
			switch {
			case now.Mode()&fs.ModeSymlink != 0:
				err = syscall.ELOOP
			case !os.SameFile(info, now):
				err = fault.New(fault.Conflict, "it was exchanged while it was being opened")
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Stat is what tells a changed file from an unchanged one.
type Stat struct {
	Size         int64
	Mtime, Ctime int64 // nanoseconds since 1970
	Inode        uint64
}

// A Warning is something about the input that works here and may not elsewhere.
type Warning struct {
	Path string `json:"path"`
	What string `json:"what"`
}

func (w Warning) String() string { return fault.Printable(w.Path) + ": " + w.What }

// Options are the choices of a walk.
type Options struct {
	Hidden      bool // take entries whose names begin with a dot
	Portable    bool // refuse what would be a warning
	NoIgnore    bool // do not read ignore files
	CrossMounts bool // descend into other mounts
}

// A Walker walks one tree. It is used by one goroutine.
type Walker struct {
	o        Options
	fn       func(*Item) error
	ctx      context.Context
	device   uint64
	problems []error
	Warnings []Warning
}

// Walk visits path and hands each item to fn in canonical order: depth first,
// the names of a directory by their bytes. An error of fn ends the walk and is
// returned. What cannot be added (a FIFO, a socket, a device, an unreadable
// entry, a name that no dataset may hold) is fault.Invalid or fault.Denied; up
// to 20 such problems are reported at once, and none is skipped in silence.
func Walk(ctx context.Context, path string, o Options, fn func(*Item) error) (warnings []Warning, err error) {
	w := &Walker{o: o, fn: fn, ctx: ctx}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	if err := w.start(abs); err != nil {
		return w.Warnings, err
	}
	return w.Warnings, errors.Join(w.problems...)
}

// start opens the root: a directory, or the directory of a single file.
func (w *Walker) start(abs string) error {
	info, err := os.Stat(abs) // the path that was given may itself be a symlink
	if err != nil {
		return named(abs, err)
	}
	if info.IsDir() {
		root, err := os.OpenRoot(abs)
		if err != nil {
			return named(abs, err)
		}
		w.device = deviceOf(info)
		d := &dir{root: root}
		d.acquire()
		defer d.release()
		return w.directory(d, "", "", nil, 0)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return named(abs, err)
	}
	name := filepath.Base(abs)
	if link, err := os.Lstat(abs); err == nil && link.Mode()&fs.ModeSymlink != 0 {
		real, err := filepath.EvalSymlinks(abs)
		if err != nil {
			return named(abs, err)
		}
		parent, name = filepath.Dir(real), filepath.Base(real)
	}
	root, err := os.OpenRoot(parent)
	if err != nil {
		return named(abs, err)
	}
	d := &dir{root: root}
	d.acquire()
	defer d.release()
	if err := unixfs.CheckName(name); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return refused(name, info.Mode())
	}
	d.acquire()
	return w.fn(&Item{Kind: File, Name: name, Path: name, Stat: StatOf(info), dir: d})
}

// named gives an error the path it is about, and its code.
func named(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	out := fmt.Errorf("%s: %w", fault.Printable(path), err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.Mark(fault.NotFound, out)
	case errors.Is(err, fs.ErrPermission):
		return fault.Mark(fault.Denied, out)
	case errors.Is(err, syscall.ELOOP):
		return fault.New(fault.Invalid, "%s is a symlink, or became one while it was being added", fault.Printable(path))
	}
	return out
}

func refused(path string, mode fs.FileMode) error {
	what := "something that is no file"
	switch {
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return fault.WithHint(fault.New(fault.Invalid, "%s is %s; a dataset holds files, directories and symlinks", fault.Printable(path), what),
		"take it away, or list it in %s", IgnoreFile)
}

// problem records an error that does not end the walk at once.
func (w *Walker) problem(err error) error {
	w.problems = append(w.problems, err)
	if len(w.problems) < maxProblems {
		return nil
	}
	all := errors.Join(w.problems...)
	w.problems = nil
	return all
}

// warn records a warning; with Portable it is a problem.
func (w *Walker) warn(path, what string) error {
	if w.o.Portable {
		return w.problem(fault.New(fault.Invalid, "%s: %s", fault.Printable(path), what))
	}
	if len(w.Warnings) < maxWarnings {
		w.Warnings = append(w.Warnings, Warning{path, what})
	}
	return nil
}

// ignorer is the patterns of one directory and those above it.
type ignorer struct {
	above *ignorer
	base  string // path of its directory, with a slash unless it is the root
	g     *gitignore.GitIgnore
}

func (i *ignorer) ignores(path string, isDir bool) bool {
	for ; i != nil; i = i.above {
		rel := strings.TrimPrefix(path, i.base)
		if i.g.MatchesPath(rel) || isDir && i.g.MatchesPath(rel+"/") {
			return true
		}
	}
	return false
}

func (w *Walker) readIgnore(d *dir, path string, above *ignorer) (*ignorer, error) {
	if w.o.NoIgnore {
		return above, nil
	}
	// One that is there and no file is refused: patterns that are not read would
	// let out what was to stay in.
	info, err := d.root.Lstat(IgnoreFile)
	if errors.Is(err, fs.ErrNotExist) {
		return above, nil
	}
	if err != nil {
		return nil, named(join(path, IgnoreFile), err)
	}
	f, _, err := d.open(IgnoreFile, StatOf(info).Inode)
	if err != nil {
		return nil, named(join(path, IgnoreFile), err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIgnore+1))
	if err == nil && len(b) > maxIgnore {
		err = fault.New(fault.TooLarge, "more than %d bytes of patterns", maxIgnore)
	}
	if err != nil {
		return nil, named(join(path, IgnoreFile), err)
	}
	g, err := gitignore.CompileIgnoreLines(strings.Split(string(b), "\n")...)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s: %w", fault.Printable(join(path, IgnoreFile)), err)
	}
	base := path
	if base != "" {
		base += "/"
	}
	return &ignorer{above, base, g}, nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// directory visits what is in d. d stays open until its last item is released.
func (w *Walker) directory(d *dir, name, path string, ig *ignorer, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	if depth > unixfs.MaxPathDepth {
		return w.problem(fault.New(fault.TooLarge, "%s: directories more than %d deep", fault.Printable(path), unixfs.MaxPathDepth))
	}
	ig, err := w.readIgnore(d, path, ig)
	if err != nil {
		return w.problem(err)
	}
	names, err := w.names(d, path, ig)
	if err != nil {
		return err
	}
	if err := w.fn(&Item{Kind: Enter, Name: name, Path: path}); err != nil {
		return err
	}
	if err := w.collisions(path, names); err != nil {
		return err
	}
	for _, n := range names {
		if err := w.entry(d, n, join(path, n), ig, depth); err != nil {
			return err
		}
	}
	return w.fn(&Item{Kind: Leave, Name: name, Path: path})
}

// names lists a directory, filtered and sorted.
func (w *Walker) names(d *dir, path string, ig *ignorer) ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, w.problem(named(path, err))
	}
	defer f.Close()
	var names []string
	for {
		entries, err := f.ReadDir(readBatch)
		for _, e := range entries {
			n := e.Name()
			if !w.o.Hidden && strings.HasPrefix(n, ".") || ig.ignores(join(path, n), e.IsDir()) {
				continue
			}
			if err := unixfs.CheckName(n); err != nil {
				if err := w.problem(fmt.Errorf("in %s: %w", fault.Quote("/"+path), err)); err != nil {
					return nil, err
				}
				continue
			}
			if len(path)+1+len(n) > unixfs.MaxPath {
				if err := w.problem(fault.New(fault.TooLarge, "%s: a path of more than %d bytes", fault.Quote(join(path, n)), unixfs.MaxPath)); err != nil {
					return nil, err
				}
				continue
			}
			names = append(names, strings.Clone(n))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, w.problem(named(path, err))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (w *Walker) entry(d *dir, name, path string, ig *ignorer, depth int) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return w.problem(named(path, err))
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		d.acquire()
		return w.fn(&Item{Kind: File, Name: name, Path: path, Stat: StatOf(info), dir: d})
	case mode&fs.ModeSymlink != 0:
		target, err := d.root.Readlink(name)
		if err != nil {
			return w.problem(named(path, err))
		}
		return w.fn(&Item{Kind: Symlink, Name: name, Path: path, Target: target})
	case mode.IsDir():
		if dev := deviceOf(info); dev != w.device && !w.o.CrossMounts {
			return w.problem(fault.WithHint(fault.New(fault.Invalid, "%s is on another file system", fault.Printable(path)),
				"add it by itself, or list it in %s", IgnoreFile))
		}
		sub, err := d.root.OpenRoot(name)
		if err != nil {
			return w.problem(named(path, err))
		}
		child := &dir{root: sub}
		child.acquire()
		defer child.release()
		// OpenRoot follows a link that stays inside, and this may be one by now.
		if now, err := sub.Stat("."); err != nil {
			return w.problem(named(path, err))
		} else if !os.SameFile(info, now) {
			return w.problem(fault.New(fault.Invalid, "%s was exchanged while it was being added", fault.Printable(path)))
		}
		return w.directory(child, name, path, ig, depth+1)
	default:
		return w.problem(refused(path, mode))
	}
}
