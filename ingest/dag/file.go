package dag

import (
	"context"
	"crypto/sha256"

	"github.com/ipfs/go-cid"
)

// A Link is what a parent says of a child.
type Link struct {
	CID   cid.Cid
	Size  uint64 // bytes of file below it; 0 for directories and symlinks
	Tsize uint64 // bytes of all blocks below it, itself included, each path counted
}

// maxPending bounds the encoded inner nodes that a FileBuilder holds back
// until the file's last leaf is written. It is reached at about 80 GiB under
// unixfs-v1-2025; bigger files have their inner nodes between their leaves.
const maxPending = 4 << 20

// A FileBuilder builds the balanced DAG of one file from its leaves, in order.
// Leaves go to the Sink by the caller; inner nodes are written by the builder,
// behind the last leaf (except in very large files, see maxPending), so that
// a file's leaves lie one behind another.
//
// It holds one group of links per level, whatever the size of the file. The
// zero value is not usable; take one from [NewFile], and use it for one file
// at a time: [FileBuilder.Finish] makes it ready for the next.
type FileBuilder struct {
	p      Profile
	sink   Sink
	levels [][]fileLink // levels[i] are the links of the open node of height i+1

	pending      []pendingBlock
	pendingBytes int
	blocks       int64
}

type fileLink struct {
	digest Digest
	kind   cidKind
	size   uint64
	tsize  uint64
}

type pendingBlock struct {
	digest Digest
	data   []byte
}

// NewFile returns a builder that writes inner nodes to sink.
func NewFile(p Profile, sink Sink) *FileBuilder { return &FileBuilder{p: p, sink: sink} }

// AddLeaf adds the next leaf: its digest, the bytes of file in it, and the
// length of its block.
func (f *FileBuilder) AddLeaf(ctx context.Context, d Digest, size, block int) error {
	return f.add(ctx, 0, fileLink{digest: d, kind: f.p.leafKind(), size: uint64(size), tsize: uint64(block)})
}

// add puts a link into the open node of the given level. A full node is closed
// only when one more link comes, because the last node may be the root.
func (f *FileBuilder) add(ctx context.Context, level int, l fileLink) error {
	if level == len(f.levels) {
		if level < cap(f.levels) {
			f.levels = f.levels[:level+1] // with the room of an earlier file
		} else {
			f.levels = append(f.levels, nil)
		}
	}
	if len(f.levels[level]) == f.p.Width {
		if err := f.closeNode(ctx, level); err != nil {
			return err
		}
	}
	f.levels[level] = append(f.levels[level], l)
	return nil
}

// closeNode encodes the open node of a level and links it one level up.
func (f *FileBuilder) closeNode(ctx context.Context, level int) error {
	links := f.levels[level]
	out := fileLink{kind: f.p.nodeKind()}
	size := 0
	for i := range links {
		n := linkLen(links[i].kind, 0, links[i].tsize)
		size += 1 + varintLen(uint64(n)) + n + 1 + varintLen(links[i].size)
	}
	data := make([]byte, 0, size+32)
	for i := range links {
		data = appendLink(data, links[i].kind, &links[i].digest, links[i].tsize, "", "")
		out.size += links[i].size
		out.tsize += links[i].tsize
	}
	inner := make([]byte, 0, 16+10*len(links))
	inner = appendUint(inner, fsType, typeFile)
	inner = appendUint(inner, fsFilesize, out.size)
	for i := range links {
		inner = appendUint(inner, fsBlocksizes, links[i].size)
	}
	data = append(appendLen(data, pbNodeData, len(inner)), inner...)
	out.digest = sha256.Sum256(data)
	out.tsize += uint64(len(data))

	f.levels[level] = links[:0]
	f.pending = append(f.pending, pendingBlock{out.digest, data})
	f.pendingBytes += len(data)
	if f.pendingBytes > maxPending {
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
	return f.add(ctx, level+1, out)
}

func (f *FileBuilder) flush(ctx context.Context) error {
	for i := range f.pending {
		b := &f.pending[i]
		if _, err := f.sink.Append(ctx, f.p.NodeCID(b.digest), b.data); err != nil {
			return err
		}
		b.data = nil
	}
	f.blocks += int64(len(f.pending))
	f.pending, f.pendingBytes = f.pending[:0], 0
	return nil
}

// Finish closes every open node, writes what was held back, and returns the
// root and the number of inner nodes. A file needs at least one leaf: without
// data that is the empty one. After Finish the builder is ready for the next
// file, also when it returns an error.
func (f *FileBuilder) Finish(ctx context.Context) (Link, int64, error) {
	defer f.Reset()
	for level := 0; level < len(f.levels); level++ {
		top := level == len(f.levels)-1
		if top && len(f.levels[level]) == 1 {
			break
		}
		// A last group of one still gets its own node: all leaves of a
		// balanced DAG are equally deep.
		if err := f.closeNode(ctx, level); err != nil {
			return Link{}, 0, err
		}
	}
	if len(f.levels) == 0 {
		panic("dag: FileBuilder.Finish without a leaf")
	}
	if err := f.flush(ctx); err != nil {
		return Link{}, 0, err
	}
	root := f.levels[len(f.levels)-1][0]
	return Link{CID: root.kind.cid(&root.digest), Size: root.size, Tsize: root.tsize}, f.blocks, nil
}

// Reset forgets a file that was begun.
func (f *FileBuilder) Reset() {
	for i := range f.levels {
		f.levels[i] = f.levels[i][:0]
	}
	f.levels = f.levels[:0]
	clear(f.pending)
	f.pending, f.pendingBytes, f.blocks = f.pending[:0], 0, 0
}
