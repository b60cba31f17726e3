package dag

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxName is the longest name of an entry, in bytes. The compact form of an
// entry relies on it; the rules for names are those of the caller.
const maxName = 255

// entryChunk is how many entries share one allocation. Growing by chunks
// costs a directory of a million entries no copies of what it has.
const entryChunk = 4096

// nameChunk is how many bytes of names share one allocation.
const nameChunk = 64 << 10

// A DirBuilder builds one directory from its entries: a basic one, or a HAMT
// when the profile's measure of it passes the threshold. The choice is made
// on the finished directory and is exact.
//
// An entry takes its name and 56 bytes, so a million of them stay below
// 100 MiB. After [DirBuilder.Finish] the builder is empty and ready for the
// next directory.
type DirBuilder struct {
	p    Profile
	sink Sink

	chunks  [][]dirEntry // all but the last are full
	names   [][]byte     // entries point into these
	n       int
	sorted  bool // entries came in the byte order of their names
	last    string
	measure int // what the profile's Estimate says so far

	block []byte // scratch for encoding
}

// dirEntry is 48 bytes.
type dirEntry struct {
	digest  Digest
	tsize   uint64
	nameOff uint16 // in names[nameIdx]
	nameIdx uint32
	nameLen uint8
	kind    cidKind
}

// NewDir returns a builder that writes its blocks to sink.
func NewDir(p Profile, sink Sink) *DirBuilder {
	d := &DirBuilder{p: p, sink: sink}
	d.Reset()
	return d
}

// Reset forgets the entries added so far.
func (d *DirBuilder) Reset() {
	if len(d.chunks) > 1 {
		d.chunks = d.chunks[:1]
	}
	if len(d.chunks) == 1 {
		d.chunks[0] = d.chunks[0][:0]
	}
	if len(d.names) > 1 {
		clear(d.names[1:])
		d.names = d.names[:1]
	}
	if len(d.names) == 1 {
		d.names[0] = d.names[0][:0]
	}
	d.n, d.sorted, d.last = 0, true, ""
	d.measure = 0
	if d.p.HAMTEstimate == BlockBytes {
		d.measure = 4 // Data: tag, length, and Type with its tag
	}
}

// Len returns the number of entries added.
func (d *DirBuilder) Len() int { return d.n }

// Add adds an entry. Names must differ; they may come in any order, and the
// byte order is the quickest. It returns [fault.Invalid] for an empty name,
// one of more than 255 bytes, and a CID that no profile gives.
func (d *DirBuilder) Add(name string, c cid.Cid, tsize uint64) error {
	k, digest, err := split(c)
	if err != nil {
		return fault.Mark(fault.Invalid, err)
	}
	if len(name) == 0 || len(name) > maxName {
		return fault.New(fault.Invalid, "entry name of %d bytes", len(name))
	}

	if d.n > 0 && name <= d.last {
		d.sorted = false
	}
	d.last = name
	switch d.p.HAMTEstimate {
	case BlockBytes:
		l := linkLen(k, len(name), tsize)
		d.measure += 1 + varintLen(uint64(l)) + l
	case LinksBytes:
		d.measure += len(name) + len(prefix[k]) + sha256.Size
	}

	last := len(d.names) - 1
	if last < 0 || len(d.names[last])+len(name) > nameChunk {
		room := nameChunk
		if last < 0 {
			room = 1 << 10 // most directories are small
		}
		d.names = append(d.names, make([]byte, 0, room))
		last++
	}
	e := dirEntry{digest: digest, tsize: tsize, kind: k, nameIdx: uint32(last), nameOff: uint16(len(d.names[last])), nameLen: uint8(len(name))}
	d.names[last] = append(d.names[last], name...)

	lc := len(d.chunks) - 1
	if lc < 0 || len(d.chunks[lc]) == entryChunk {
		room := entryChunk
		if lc < 0 {
			room = 16
		}
		d.chunks = append(d.chunks, make([]dirEntry, 0, room))
		lc++
	}
	d.chunks[lc] = append(d.chunks[lc], e)
	d.n++
	return nil
}

func (d *DirBuilder) entry(i int) *dirEntry { return &d.chunks[i/entryChunk][i%entryChunk] }

func (d *DirBuilder) name(e *dirEntry) []byte {
	return d.names[e.nameIdx][e.nameOff : int(e.nameOff)+int(e.nameLen)]
}

// Sharded reports whether the entries added so far make a HAMT.
func (d *DirBuilder) Sharded() bool { return d.measure > d.p.HAMTThreshold }

// Finish writes the directory's blocks, a shard behind the shards it links,
// and returns its link and the number of blocks. It returns [fault.Invalid]
// when two entries have one name.
func (d *DirBuilder) Finish(ctx context.Context) (Link, int64, error) {
	defer d.Reset()
	if d.Sharded() {
		return d.finishHAMT(ctx)
	}
	return d.finishBasic(ctx)
}

func (d *DirBuilder) finishBasic(ctx context.Context) (Link, int64, error) {
	order := make([]uint32, d.n)
	for i := range order {
		order[i] = uint32(i)
	}
	if !d.sorted {
		slices.SortFunc(order, func(a, b uint32) int {
			return slices.Compare(d.name(d.entry(int(a))), d.name(d.entry(int(b))))
		})
	}
	b := d.block[:0]
	var tsize uint64
	var prev []byte
	for n, i := range order {
		e := d.entry(int(i))
		name := d.name(e)
		if n > 0 && string(name) == string(prev) {
			return Link{}, 0, fault.New(fault.Invalid, "two entries named %s", fault.Quote(string(name)))
		}
		prev = name
		b = appendLink(b, e.kind, &e.digest, e.tsize, "", name)
		tsize += e.tsize
	}
	b = appendLen(b, pbNodeData, 2)
	b = appendUint(b, fsType, typeDirectory)
	d.block = b
	digest := sha256.Sum256(b)
	c := d.p.NodeCID(digest)
	if _, err := d.sink.Append(ctx, c, b); err != nil {
		return Link{}, 0, err
	}
	return Link{CID: c, Tsize: tsize + uint64(len(b))}, 1, nil
}

// Symlink writes the block of a symlink to sink and returns its link.
func Symlink(ctx context.Context, p Profile, sink Sink, target string) (Link, error) {
	b := encodeSymlink(target)
	if len(b) > MaxBlock {
		return Link{}, fault.New(fault.TooLarge, "symlink target of %d bytes", len(target))
	}
	c := p.NodeCID(sha256.Sum256(b))
	if _, err := sink.Append(ctx, c, b); err != nil {
		return Link{}, fmt.Errorf("writing a symlink: %w", err)
	}
	return Link{CID: c, Tsize: uint64(len(b))}, nil
}
