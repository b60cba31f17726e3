package unixfs

import (
	"context"
	"iter"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Node is a decoded block of a file tree. It never changes, so that it can be
// kept and shared.
type Node struct {
	n    *node
	size uint64 // of the block
}

// DecodeNode reads the block of c. What is malformed is fault.Invalid.
func DecodeNode(c cid.Cid, block []byte) (*Node, error) {
	n, err := decode(c, block)
	if err != nil {
		return nil, err
	}
	return &Node{n, uint64(len(block))}, nil
}

// Nodes is what a [Blocks] may offer besides: decoded blocks, kept from an
// earlier time. Whoever offers it answers for the block being there, and for
// its being the caller's to read, as Block would.
type Nodes interface {
	Node(ctx context.Context, c cid.Cid) (*Node, error)
}

// Kind says what a path that ends in the node is. The node of a shard below
// the first of a directory is a Directory too.
func (n *Node) Kind() Kind {
	switch n.n.kind {
	case typeDirectory, typeHAMT:
		return Directory
	case typeSymlink:
		return Symlink
	}
	return File
}

// Size is the length of a file in bytes, as the node claims it; reading the
// file checks it.
func (n *Node) Size() uint64 { return n.n.fileSize }

// Memory is about how many bytes the node holds.
func (n *Node) Memory() int { return 256 + 2*int(n.size) + 96*len(n.n.links) }

// A Child is a link of a node.
type Child struct {
	CID cid.Cid
	// Size is how many bytes of a file lie below, as claimed; 0 in directories.
	Size uint64
	// Shard is true for a link to another shard of the same directory.
	Shard bool
}

// Children returns the links of the node in order.
func (n *Node) Children() iter.Seq[Child] {
	return func(yield func(Child) bool) {
		width := 0
		if n.n.kind == typeHAMT {
			width = n.n.prefixLen()
		}
		for i, l := range n.n.links {
			c := Child{CID: l.cid, Shard: width > 0 && len(l.name) == width}
			if i < len(n.n.blockSizes) {
				c.Size = n.n.blockSizes[i]
			}
			if !yield(c) {
				return
			}
		}
	}
}

// Inline is how many bytes of a file lie in the node itself, before those of
// its children.
func (n *Node) Inline() uint64 {
	if n.Kind() != File {
		return 0
	}
	return uint64(len(n.n.data))
}

// Trace follows names from root and returns the CID that each step reaches,
// root's own first: one more than there are names. A name that is not there is
// fault.NotFound. Only the blocks of the directories on the way are read;
// symlinks are not followed.
func Trace(ctx context.Context, b Blocks, root cid.Cid, names []string) ([]cid.Cid, error) {
	w := &walker{ctx: ctx, b: b, l: Limits{}.withDefaults()}
	out := append(make([]cid.Cid, 0, len(names)+1), root)
	done := ""
	for _, name := range names {
		next, err := w.step(out[len(out)-1], name)
		if err != nil {
			return nil, at(done, err)
		}
		if !next.Defined() {
			return nil, fault.New(fault.NotFound, "there is no %s in %s", fault.Quote(name), fault.Quote("/"+done))
		}
		out = append(out, next)
		if done != "" {
			done += "/"
		}
		done += name
	}
	return out, nil
}
