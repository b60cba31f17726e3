package unixfs

import (
	"context"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Stat describes what c is without reading more than its own block; a raw block
// is not read at all, and its Size is 0: unknown. The size of a file is its
// node's claim, which reading it checks.
func Stat(ctx context.Context, b Blocks, c cid.Cid) (Entry, error) {
	if !allowed(c) {
		return Entry{}, fault.New(fault.Invalid, "%s is neither raw nor dag-pb with sha2-256", c)
	}
	if c.Prefix().Codec == cid.Raw {
		return Entry{Kind: File, CID: c}, nil
	}
	w := &walker{ctx: ctx, b: b, l: Limits{}.withDefaults()}
	n, _, err := w.node(c)
	if err != nil {
		return Entry{}, err
	}
	switch n.kind {
	case typeSymlink:
		if len(n.data) > maxTarget || slices.Contains(n.data, 0) {
			return Entry{}, fault.New(fault.Invalid, "block %s: a symlink with an impossible target", c)
		}
		return Entry{Kind: Symlink, CID: c, Target: string(n.data)}, nil
	case typeDirectory, typeHAMT:
		return Entry{Kind: Directory, CID: c}, nil
	}
	return Entry{Kind: File, CID: c, Size: n.fileSize}, nil
}

// A DirEntry is a name in a directory.
type DirEntry struct {
	Name string
	CID  cid.Cid
	// Cumulative is the claimed length of all blocks below: a little more than
	// the bytes of the files.
	Cumulative uint64
}

// ReadDir returns the entries of a directory, sorted by the bytes of their
// names. All shards are read; names are checked, and that none stands there
// twice. Something that is no directory is fault.Invalid.
func ReadDir(ctx context.Context, b Blocks, c cid.Cid) ([]DirEntry, error) {
	return ReadDirAtMost(ctx, b, c, 0)
}

// ReadDirAtMost is [ReadDir] for a directory of at most limit entries. A larger
// one is fault.TooLarge, before it is read whole. 0 means any size.
func ReadDirAtMost(ctx context.Context, b Blocks, c cid.Cid, limit int) ([]DirEntry, error) {
	w := &walker{ctx: ctx, b: b, l: Limits{}.withDefaults()}
	if limit > 0 {
		w.l.Entries, w.l.Nodes = uint64(limit), 2*uint64(limit)+16
	}
	n, _, err := w.node(c)
	if err != nil {
		return nil, err
	}
	links := n.links
	switch n.kind {
	case typeDirectory:
	case typeHAMT:
		if links, err = w.shards(n, 0, 0); err != nil {
			return nil, err
		}
		slices.SortFunc(links, func(a, b link) int { return strings.Compare(a.name, b.name) })
	default:
		return nil, fault.New(fault.Invalid, "%s is no directory", c)
	}
	if limit > 0 && len(links) > limit {
		return nil, fault.New(fault.TooLarge, "more than %d entries", limit)
	}
	out := make([]DirEntry, len(links))
	for i, l := range links {
		if err := CheckName(l.name); err != nil {
			return nil, err
		}
		if i > 0 && links[i-1].name == l.name {
			return nil, fault.New(fault.Invalid, "the name %s stands there twice", fault.Quote(l.name))
		}
		out[i] = DirEntry{l.name, l.cid, l.tsize}
	}
	return out, nil
}

// A Leaf is a block whose bytes are a run of a file's.
type Leaf struct {
	CID  cid.Cid
	Off  uint64
	Size uint64 // as its parent claims; reading it checks
	// Known is false for a file of one raw leaf, whose size nobody claims.
	Known bool
}

// Plan calls fn for the leaves of a file in order, by what inner nodes say:
// leaves are neither read nor asked for their size. A file that keeps bytes in
// its inner nodes is not made of leaves alone: ok is false, and [ReadFile] is
// the way.
func Plan(ctx context.Context, b Blocks, c cid.Cid, fn func(Leaf) error) (ok bool, err error) {
	return PlanRange(ctx, b, c, 0, 1<<64-1, fn)
}

// PlanRange is [Plan] for the leaves that hold any of the bytes from off to
// before end. Inner nodes outside the range are not read.
func PlanRange(ctx context.Context, b Blocks, c cid.Cid, off, end uint64, fn func(Leaf) error) (ok bool, err error) {
	if c.Prefix().Codec == cid.Raw {
		return true, fn(Leaf{CID: c})
	}
	w := &walker{ctx: ctx, b: b, l: Limits{}.withDefaults()}
	n, _, err := w.node(c)
	if err != nil {
		return false, err
	}
	return w.plan(c, n, window{off, end}, 0, 0, fn)
}

// A window is a range of a file's bytes.
type window struct{ off, end uint64 }

func (w *walker) plan(c cid.Cid, n *node, in window, off uint64, depth int, fn func(Leaf) error) (bool, error) {
	if depth > w.l.Depth {
		return false, fault.New(fault.TooLarge, "a file of nodes more than %d deep", w.l.Depth)
	}
	if n.kind != typeFile && n.kind != typeRaw {
		return false, fault.New(fault.Invalid, "%s is no file", c)
	}
	if len(n.links) == 0 {
		return true, fn(Leaf{c, off, n.fileSize, true})
	}
	if len(n.data) > 0 {
		return false, nil
	}
	for i, l := range n.links {
		size := n.blockSizes[i]
		if size > 0 && off+size <= in.off || off >= in.end {
			off += size
			continue
		}
		if l.cid.Prefix().Codec == cid.Raw {
			if err := fn(Leaf{l.cid, off, size, true}); err != nil {
				return true, err
			}
		} else {
			child, _, err := w.node(l.cid)
			if err != nil {
				return false, err
			}
			if child.fileSize != size {
				return false, fault.New(fault.Invalid, "block %s: link %d claims %d bytes, the node claims %d", c, i, size, child.fileSize)
			}
			if ok, err := w.plan(l.cid, child, in, off, depth+1, fn); !ok || err != nil {
				return ok, err
			}
		}
		off += size
	}
	return true, nil
}
