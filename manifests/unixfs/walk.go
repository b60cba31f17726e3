package unixfs

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spaolacci/murmur3"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Blocks is where blocks come from.
type Blocks interface {
	// Block returns the bytes of c, verified against it. A block that is not
	// there is fault.NotFound.
	Block(ctx context.Context, c cid.Cid) ([]byte, error)
	// Size returns the length of the block c. For a raw leaf this is asked
	// instead of its bytes, where they are not needed.
	Size(ctx context.Context, c cid.Cid) (uint64, error)
}

// Kind is what a path ends in.
type Kind byte

// The kinds of an entry.
const (
	File Kind = iota
	Directory
	Symlink
)

func (k Kind) String() string {
	return [...]string{"file", "directory", "symlink"}[k]
}

// An Entry is one path of a tree.
type Entry struct {
	Path   string // relative, with slashes; "" for the root itself
	Kind   Kind
	CID    cid.Cid
	Size   uint64 // bytes of a file
	Target string // of a symlink
	// Tsize is the length of all blocks of a file or symlink, as a directory
	// says it of its entry. Only [Walk] knows it.
	Tsize uint64
}

// Limits bound a walk. A zero member means its default.
type Limits struct {
	Depth     int    // nodes of one file or HAMT below each other, raw leaves not counted; default 32
	PathDepth int    // directories below each other; default 64
	Entries   uint64 // paths; default 2^32
	Nodes     uint64 // structure blocks read; default 2^32
	Bytes     uint64 // of all files, each path counted; default 2^53−1
}

func (l Limits) withDefaults() Limits {
	if l.Depth == 0 {
		l.Depth = 32
	}
	if l.PathDepth == 0 {
		l.PathDepth = MaxPathDepth
	}
	if l.Entries == 0 {
		l.Entries = 1 << 32
	}
	if l.Nodes == 0 {
		l.Nodes = 1 << 32
	}
	if l.Bytes == 0 {
		l.Bytes = 1<<53 - 1
	}
	return l
}

// A Summary counts what a walk passed.
type Summary struct {
	Files       int64 // paths that end in a file
	Directories int64 // the root included
	Symlinks    int64
	Bytes       int64 // Σ file size over paths
}

// What a DAG may cost beside its files. A few blocks that repeat each other have
// 2^40 paths to an empty directory, or read as 2^40 nodes: no list of files has to
// be as long as that. Each file pays for the directories above it and for a node
// for each MiB; the rest is free.
const (
	freePaths = 1 << 20 // directories and symlinks
	freeNodes = 1 << 22
	perFile   = MaxPathDepth
	perNode   = 1 << 20 // bytes
)

// maxMemo bounds the sizes that a walk remembers, so that a DAG which repeats
// itself costs its distinct blocks and not its paths.
const maxMemo = 1 << 18

type walker struct {
	ctx   context.Context
	b     Blocks
	l     Limits
	fn    func(Entry) error
	sum   Summary
	nodes uint64
	// sizes are those of files already measured: bytes, and cumulative size of
	// the blocks. Raw leaves are not remembered.
	sizes map[cid.Cid]measured
}

type measured struct {
	bytes      uint64
	cumulative uint64
	height     int // nodes below; −1 for a raw leaf, which is no node
}

// Walk visits every path below root in canonical order: depth first, the names
// of a directory by their bytes, a directory before what is in it. Structure
// blocks are read; raw leaves are only asked for their size. Claimed sizes are
// computed and compared. It returns the first error of fn as it is; a malformed
// DAG or one above its limits is fault.Invalid or fault.TooLarge, and names the
// path. So is one whose directories, symlinks or structure blocks are out of
// proportion to its files: see freePaths. One directory's names at a time are in memory, for each directory on
// the current path.
func Walk(ctx context.Context, b Blocks, root cid.Cid, l Limits, fn func(Entry) error) (Summary, error) {
	w := &walker{ctx: ctx, b: b, l: l.withDefaults(), fn: fn, sizes: make(map[cid.Cid]measured)}
	if !allowed(root) {
		return Summary{}, fault.New(fault.Invalid, "the root %s is neither raw nor dag-pb with sha2-256", root)
	}
	_, err := w.entry("", root, 0)
	return w.sum, err
}

// pathError names the path of an error, once.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return fault.Printable(e.path) + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

func at(path string, err error) error {
	var p *pathError
	if err == nil || path == "" || errors.As(err, &p) {
		return err
	}
	return &pathError{path, err}
}

// entry visits a path and returns the cumulative size of its blocks.
func (w *walker) entry(path string, c cid.Cid, depth int) (cumulative uint64, err error) {
	if depth > w.l.PathDepth {
		return 0, at(path, fault.New(fault.TooLarge, "directories more than %d deep", w.l.PathDepth))
	}
	if n := uint64(w.sum.Files + w.sum.Directories + w.sum.Symlinks); n >= w.l.Entries {
		return 0, at(path, fault.New(fault.TooLarge, "more than %d entries", w.l.Entries))
	}
	if bare := w.sum.Directories + w.sum.Symlinks; bare > freePaths && bare-freePaths > perFile*w.sum.Files {
		return 0, at(path, fault.New(fault.TooLarge, "%d directories and symlinks for %d files", bare, w.sum.Files))
	}
	if c.Prefix().Codec == cid.Raw {
		size, err := w.b.Size(w.ctx, c)
		if err != nil {
			return 0, at(path, err)
		}
		return size, w.file(path, c, size, size)
	}
	n, size, err := w.node(c)
	if err != nil {
		return 0, at(path, err)
	}
	switch n.kind {
	case typeFile, typeRaw:
		m, err := w.measure(c, n, size, 0)
		if err != nil {
			return 0, at(path, err)
		}
		return m.cumulative, w.file(path, c, m.bytes, m.cumulative)
	case typeSymlink:
		target := string(n.data)
		if len(target) > maxTarget || strings.ContainsRune(target, 0) {
			return 0, at(path, fault.New(fault.Invalid, "a symlink with an impossible target"))
		}
		w.sum.Symlinks++
		return size, w.fn(Entry{Path: path, Kind: Symlink, CID: c, Target: target, Tsize: size})
	}
	w.sum.Directories++
	if err := w.fn(Entry{Path: path, Kind: Directory, CID: c}); err != nil {
		return 0, err
	}
	return w.directory(path, n, size, depth)
}

func (w *walker) file(path string, c cid.Cid, size, tsize uint64) error {
	total, carry := bits.Add64(uint64(w.sum.Bytes), size, 0)
	if carry != 0 || total > w.l.Bytes {
		return at(path, fault.New(fault.TooLarge, "the files have more than %d bytes", w.l.Bytes))
	}
	w.sum.Files++
	w.sum.Bytes = int64(total)
	return w.fn(Entry{Path: path, Kind: File, CID: c, Size: size, Tsize: tsize})
}

// node reads and decodes a structure block; size is its length.
func (w *walker) node(c cid.Cid) (n *node, size uint64, err error) {
	if err := w.ctx.Err(); err != nil {
		return nil, 0, context.Cause(w.ctx)
	}
	if w.nodes++; w.nodes > w.l.Nodes {
		return nil, 0, fault.New(fault.TooLarge, "more than %d structure blocks", w.l.Nodes)
	}
	if allowed := freeNodes + perFile*uint64(w.sum.Files) + uint64(w.sum.Bytes)/perNode; w.nodes > allowed {
		return nil, 0, fault.New(fault.TooLarge, "more than %d structure blocks for %d files", allowed, w.sum.Files)
	}
	if ns, ok := w.b.(Nodes); ok {
		d, err := ns.Node(w.ctx, c)
		if err != nil {
			return nil, 0, err
		}
		return d.n, d.size, nil
	}
	b, err := w.b.Block(w.ctx, c)
	if err != nil {
		return nil, 0, err
	}
	n, err = decode(c, b)
	return n, uint64(len(b)), err
}

// measure computes the bytes of a file and the cumulative size of its blocks,
// and compares every claim on the way. n may be nil for a file that is in sizes.
func (w *walker) measure(c cid.Cid, n *node, size uint64, depth int) (measured, error) {
	m, known := w.sizes[c]
	if depth+m.height > w.l.Depth {
		return measured{}, fault.New(fault.TooLarge, "a file of nodes more than %d deep", w.l.Depth)
	}
	if known {
		return m, nil
	}
	m = measured{bytes: uint64(len(n.data)), cumulative: size}
	for i, l := range n.links {
		var child measured
		if l.cid.Prefix().Codec == cid.Raw {
			s, err := w.b.Size(w.ctx, l.cid)
			if err != nil {
				return m, err
			}
			child = measured{s, s, -1}
		} else {
			var cn *node
			var csize uint64
			var err error
			if _, known := w.sizes[l.cid]; !known {
				if cn, csize, err = w.node(l.cid); err != nil {
					return m, err
				}
				if cn.kind != typeFile && cn.kind != typeRaw {
					return m, fault.New(fault.Invalid, "block %s: a file that holds something else", c)
				}
			}
			if child, err = w.measure(l.cid, cn, csize, depth+1); err != nil {
				return m, err
			}
		}
		if child.bytes != n.blockSizes[i] {
			return m, fault.New(fault.Invalid, "block %s: link %d claims %d bytes, there are %d", c, i, n.blockSizes[i], child.bytes)
		}
		if child.cumulative != l.tsize {
			return m, fault.New(fault.Invalid, "block %s: link %d claims a cumulative size of %d, it is %d", c, i, l.tsize, child.cumulative)
		}
		m.height = max(m.height, child.height+1)
		var c1, c2 uint64
		m.bytes, c1 = bits.Add64(m.bytes, child.bytes, 0)
		m.cumulative, c2 = bits.Add64(m.cumulative, child.cumulative, 0)
		if c1 != 0 || c2 != 0 {
			return m, fault.New(fault.TooLarge, "block %s: sizes overflow", c)
		}
	}
	if m.bytes != n.fileSize {
		return m, fault.New(fault.Invalid, "block %s: claims %d bytes, there are %d", c, n.fileSize, m.bytes)
	}
	if len(w.sizes) < maxMemo && len(n.links) > 0 {
		w.sizes[c] = m
	}
	return m, nil
}

// directory visits the entries of a directory in order, and checks their
// cumulative sizes.
func (w *walker) directory(path string, n *node, size uint64, depth int) (uint64, error) {
	var entries []link
	if n.kind == typeDirectory {
		entries = n.links
	} else {
		var err error
		if entries, err = w.shards(n, 0, 0); err != nil {
			return 0, at(path, err)
		}
		slices.SortFunc(entries, func(a, b link) int { return strings.Compare(a.name, b.name) })
	}
	prefix := path
	if prefix != "" {
		prefix += "/"
	}
	total := size
	for i, l := range entries {
		if err := CheckName(l.name); err != nil {
			return 0, at(path, err)
		}
		if i > 0 && entries[i-1].name == l.name {
			return 0, at(path, fault.New(fault.Invalid, "the name %s stands there twice", fault.Quote(l.name)))
		}
		if len(prefix)+len(l.name) > MaxPath {
			return 0, at(path, fault.New(fault.TooLarge, "a path of more than %d bytes", MaxPath))
		}
		child, err := w.entry(prefix+l.name, l.cid, depth+1)
		if err != nil {
			return 0, err
		}
		if n.kind == typeDirectory && child != l.tsize {
			return 0, at(prefix+l.name, fault.New(fault.Invalid, "its directory claims a cumulative size of %d, it is %d", l.tsize, child))
		}
		if n.kind == typeHAMT && child != l.tsize {
			return 0, at(prefix+l.name, fault.New(fault.Invalid, "its directory claims a cumulative size of %d, it is %d", l.tsize, child))
		}
		var carry uint64
		if total, carry = bits.Add64(total, child, 0); carry != 0 {
			return 0, at(path, fault.New(fault.TooLarge, "sizes overflow"))
		}
	}
	if n.kind == typeHAMT {
		// Shards below the first count too.
		extra, err := w.shardBytes(n, 0)
		if err != nil {
			return 0, at(path, err)
		}
		var carry uint64
		if total, carry = bits.Add64(total, extra, 0); carry != 0 {
			return 0, at(path, fault.New(fault.TooLarge, "sizes overflow"))
		}
	}
	return total, nil
}

// shards collects the entries of a HAMT shard and those below it. path is the
// hash of the slots above, level their count: a name must hash to its place.
func (w *walker) shards(n *node, path uint64, level int) ([]link, error) {
	width := n.prefixLen()
	wbits := bits.Len64(n.fanout - 1)
	if (level+1)*wbits > 64 || level > w.l.Depth { // no name has a place here
		return nil, fault.New(fault.Invalid, "a HAMT deeper than its hash")
	}
	var out []link
	slot := -1
	for _, l := range n.links {
		slot = n.nextSlot(slot)
		here := path<<wbits | uint64(slot)
		if len(l.name) > width { // an entry
			name := l.name[width:]
			h := murmur3.Sum64([]byte(name))
			if h>>(64-wbits*(level+1)) != here {
				return nil, fault.New(fault.Invalid, "the name %s does not hash to its place in the HAMT", fault.Quote(name))
			}
			out = append(out, link{l.cid, name, l.tsize})
			continue
		}
		child, _, err := w.node(l.cid)
		if err != nil {
			return nil, err
		}
		if child.kind != typeHAMT || child.fanout != n.fanout {
			return nil, fault.New(fault.Invalid, "block %s: a shard of a HAMT that is none", l.cid)
		}
		sub, err := w.shards(child, here, level+1)
		if err != nil {
			return nil, err
		}
		if len(sub) == 0 {
			return nil, fault.New(fault.Invalid, "block %s: an empty shard", l.cid)
		}
		if out = append(out, sub...); uint64(len(out)) > w.l.Entries {
			return nil, fault.New(fault.TooLarge, "more than %d entries", w.l.Entries)
		}
	}
	return out, nil
}

// shardBytes sums the lengths of the shards below n.
func (w *walker) shardBytes(n *node, level int) (uint64, error) {
	width := n.prefixLen()
	var total uint64
	for _, l := range n.links {
		if len(l.name) > width {
			continue
		}
		child, size, err := w.node(l.cid)
		if err != nil {
			return 0, err
		}
		below, err := w.shardBytes(child, level+1)
		if err != nil {
			return 0, err
		}
		total += size + below
	}
	return total, nil
}

// A Listed is a file as a list claims it.
type Listed struct {
	Path string
	CID  cid.Cid
	Size uint64
}

// Check walks root and holds it against a list of its files in canonical
// order, which next hands out one by one; ok is false at its end. The first
// difference is fault.Invalid and names the path. A dataset that is a single
// file has one line, whose path is that file's own name.
func Check(ctx context.Context, b Blocks, root cid.Cid, l Limits, next func() (line Listed, ok bool, err error)) (Summary, error) {
	sum, err := Walk(ctx, b, root, l, func(e Entry) error {
		if e.Kind != File {
			return nil
		}
		line, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.Invalid, "the file list ends before %s", fault.Quote(e.Path))
		}
		if e.Path == "" {
			if err := CheckName(line.Path); err != nil {
				return err
			}
			e.Path = line.Path
		}
		switch {
		case line.Path != e.Path:
			return fault.New(fault.Invalid, "the file list has %s where the data has %s", fault.Quote(line.Path), fault.Quote(e.Path))
		case !cjson.V1(line.CID).Equals(cjson.V1(e.CID)):
			return fault.New(fault.Invalid, "%s: the file list says %s, the data %s", fault.Printable(e.Path), line.CID, e.CID)
		case line.Size != e.Size:
			return fault.New(fault.Invalid, "%s: the file list says %d bytes, the data has %d", fault.Printable(e.Path), line.Size, e.Size)
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	line, ok, err := next()
	if err == nil && ok {
		err = fault.New(fault.Invalid, "the file list has %s, the data does not", fault.Quote(line.Path))
	}
	return sum, err
}

// Resolve finds the entry at a path below root, "" being root itself. A path
// that is not there is fault.NotFound. Symlinks are not followed. A file is
// measured: every leaf is asked for its size.
func Resolve(ctx context.Context, b Blocks, root cid.Cid, path string) (Entry, error) {
	names := namesOf(path)
	steps, err := Trace(ctx, b, root, names)
	if err != nil {
		return Entry{}, err
	}
	w := &walker{ctx: ctx, b: b, l: Limits{}.withDefaults(), sizes: make(map[cid.Cid]measured)}
	var found Entry
	stop := errors.New("found")
	w.fn = func(e Entry) error { found = e; return stop }
	if _, err := w.entry(strings.Join(names, "/"), steps[len(names)], 0); !errors.Is(err, stop) {
		return Entry{}, err
	}
	return found, nil
}

// Find is [Resolve] for who reads the entry next: it returns what the path leads
// to, of which no block has been read.
func Find(ctx context.Context, b Blocks, root cid.Cid, path string) (cid.Cid, error) {
	steps, err := Trace(ctx, b, root, namesOf(path))
	if err != nil {
		return cid.Undef, err
	}
	return steps[len(steps)-1], nil
}

// namesOf returns the names on a path.
func namesOf(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool { return name == "" })
}

// step returns what a directory has under a name; cid.Undef for nothing.
func (w *walker) step(c cid.Cid, name string) (cid.Cid, error) {
	if c.Prefix().Codec == cid.Raw {
		return cid.Undef, nil
	}
	n, _, err := w.node(c)
	if err != nil {
		return cid.Undef, err
	}
	return w.lookup(n, name, murmur3.Sum64([]byte(name)), 0)
}

func (w *walker) lookup(n *node, name string, hash uint64, level int) (cid.Cid, error) {
	switch n.kind {
	case typeDirectory:
		i, ok := slices.BinarySearchFunc(n.links, name, func(l link, name string) int { return strings.Compare(l.name, name) })
		if !ok {
			return cid.Undef, nil
		}
		return n.links[i].cid, nil
	case typeHAMT:
	default:
		return cid.Undef, nil
	}
	slot := n.slotOf(hash, level)
	if slot < 0 || level > w.l.Depth {
		return cid.Undef, fault.New(fault.Invalid, "a HAMT deeper than its hash")
	}
	width := n.prefixLen()
	prefix := hamtPrefix(slot, width)
	for _, l := range n.links {
		switch {
		case l.name == prefix+name:
			return l.cid, nil
		case l.name == prefix:
			child, _, err := w.node(l.cid)
			if err != nil {
				return cid.Undef, err
			}
			if child.kind != typeHAMT || child.fanout != n.fanout {
				return cid.Undef, fault.New(fault.Invalid, "block %s: a shard of a HAMT that is none", l.cid)
			}
			return w.lookup(child, name, hash, level+1)
		}
	}
	return cid.Undef, nil
}
