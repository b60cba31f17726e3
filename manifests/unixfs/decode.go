// Package unixfs reads UnixFS files, directories and symlinks out of dag-pb and
// raw blocks, strictly: a block must be its own canonical encoding, sizes are
// computed and compared, names are checked, and everything a foreign DAG can
// make large has a limit. The blocks are handed in by an interface, so a
// contributor, a registry and an auditor run the same code, with no IPFS node.
//
// It reads what profiles unixfs-v1-2025 and unixfs-v0-2015 write, and older
// shapes too: trickle files, inline data, blocks without a leaf level.
package unixfs

import (
	"bytes"
	"math/bits"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// MaxBlock is the largest block: every reader of UnixFS must accept 2 MiB.
	MaxBlock = 2 << 20
	// maxLinks bounds the links of one node. A basic directory of the smallest
	// entries reaches about 5,000 at its threshold, a file node has 1,024.
	maxLinks = 8192
	// maxFanout bounds a HAMT's width: 256 is written, boxo reads up to 1,024.
	maxFanout = 1024

	hashMurmur3 = 0x22 // murmur3-x64-64: the one hash of a HAMT
)

// The types of UnixFS data.
const (
	typeRaw       = 0
	typeDirectory = 1
	typeFile      = 2
	typeMetadata  = 3
	typeSymlink   = 4
	typeHAMT      = 5
)

// A link is a link of a dag-pb node.
type link struct {
	cid   cid.Cid
	name  string
	tsize uint64
}

// A node is a decoded block.
type node struct {
	kind       uint64 // one of the types above; a raw block is typeFile
	raw        bool   // the block itself is the bytes
	data       []byte // inline bytes, or a symlink's target
	links      []link
	blockSizes []uint64
	fileSize   uint64 // claimed; computed for raw blocks
	fanout     uint64
	bitfield   []byte
}

// decode reads the block of c. What is malformed is fault.Invalid, with the CID.
func decode(c cid.Cid, block []byte) (*node, error) {
	bad := func(format string, args ...any) (*node, error) {
		return nil, fault.New(fault.Invalid, "block %s: "+format, append([]any{c}, args...)...)
	}
	if len(block) > MaxBlock {
		return bad("%d bytes, the limit is %d", len(block), MaxBlock)
	}
	switch codec := c.Prefix().Codec; codec {
	case cid.Raw:
		return &node{kind: typeFile, raw: true, data: block, fileSize: uint64(len(block))}, nil
	case cid.DagProtobuf:
	default:
		return bad("codec 0x%x is no part of a file tree", codec)
	}
	data, links, what := decodePB(block)
	if what != "" {
		return bad("%s", what)
	}
	n := &node{links: links}
	if what := n.decodeData(data); what != "" {
		return bad("%s", what)
	}
	return n, nil
}

// decodePB reads a dag-pb node: links before data, nothing else, in the one
// encoding.
func decodePB(b []byte) (data []byte, links []link, what string) {
	var again []byte
	hasData := false
	for rest := b; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 || typ != protowire.BytesType || num != 1 && num != 2 {
			return nil, nil, "not dag-pb"
		}
		v, m := protowire.ConsumeBytes(rest[n:])
		if m < 0 {
			return nil, nil, "not dag-pb: cut off"
		}
		rest = rest[n+m:]
		if num == 1 {
			if hasData {
				return nil, nil, "not dag-pb: data twice"
			}
			hasData, data = true, v
			continue
		}
		if hasData {
			return nil, nil, "not canonical dag-pb: a link behind the data"
		}
		if len(links) == maxLinks {
			return nil, nil, "more than 8192 links"
		}
		l, w := decodeLink(v)
		if w != "" {
			return nil, nil, w
		}
		links = append(links, l)
	}
	if !hasData {
		return nil, nil, "no UnixFS data"
	}
	for _, l := range links {
		again = protowire.AppendTag(again, 2, protowire.BytesType)
		again = protowire.AppendBytes(again, encodeLink(l))
	}
	again = protowire.AppendTag(again, 1, protowire.BytesType)
	again = protowire.AppendBytes(again, data)
	if !bytes.Equal(again, b) {
		return nil, nil, "not canonical dag-pb"
	}
	return data, links, ""
}

func decodeLink(b []byte) (l link, what string) {
	var hasName, hasSize bool
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return l, "not dag-pb: a malformed link"
		}
		b = b[n:]
		switch {
		case num == 1 && typ == protowire.BytesType && !l.cid.Defined():
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return l, "not dag-pb: a malformed link"
			}
			b = b[n:]
			c, err := cid.Cast(v)
			if err != nil || !allowed(c) {
				return l, "a link to something other than a sha2-256 block"
			}
			l.cid = c
		case num == 2 && typ == protowire.BytesType && !hasName:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return l, "not dag-pb: a malformed link"
			}
			b, l.name, hasName = b[n:], string(v), true
		case num == 3 && typ == protowire.VarintType && !hasSize:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return l, "not dag-pb: a malformed link"
			}
			b, l.tsize, hasSize = b[n:], v, true
		default:
			return l, "not dag-pb: an unknown member of a link"
		}
	}
	if !l.cid.Defined() {
		return l, "not dag-pb: a link without a CID"
	}
	return l, ""
}

// encodeLink writes a link as every tool does: name and size are always there.
func encodeLink(l link) []byte {
	b := protowire.AppendTag(nil, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, l.cid.Bytes())
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendString(b, l.name)
	b = protowire.AppendTag(b, 3, protowire.VarintType)
	return protowire.AppendVarint(b, l.tsize)
}

// allowed says which CIDs a tree may hold: raw or dag-pb, whole sha2-256.
func allowed(c cid.Cid) bool {
	p := c.Prefix()
	return p.MhType == mh.SHA2_256 && p.MhLength == 32 && (p.Codec == cid.Raw || p.Codec == cid.DagProtobuf)
}

// decodeData reads the UnixFS message of a dag-pb node.
func (n *node) decodeData(b []byte) (what string) {
	const malformed = "not UnixFS"
	var hasType, hasData, hasSize, hasHash, hasFanout bool
	var hash uint64
	for len(b) > 0 {
		num, typ, m := protowire.ConsumeTag(b)
		if m < 0 {
			return malformed
		}
		b = b[m:]
		if num == 2 {
			v, m := protowire.ConsumeBytes(b)
			if m < 0 || typ != protowire.BytesType || hasData {
				return malformed
			}
			b, n.data, hasData = b[m:], v, true
			continue
		}
		if num == 4 && typ == protowire.BytesType { // packed block sizes
			v, m := protowire.ConsumeBytes(b)
			if m < 0 {
				return malformed
			}
			b = b[m:]
			for len(v) > 0 {
				s, m := protowire.ConsumeVarint(v)
				if m < 0 || len(n.blockSizes) == maxLinks {
					return malformed
				}
				v, n.blockSizes = v[m:], append(n.blockSizes, s)
			}
			continue
		}
		if num == 8 { // mtime: read past, as no profile of cairn writes it
			m := protowire.ConsumeFieldValue(num, typ, b)
			if m < 0 {
				return malformed
			}
			b = b[m:]
			continue
		}
		v, m := protowire.ConsumeVarint(b)
		if m < 0 || typ != protowire.VarintType {
			return malformed
		}
		b = b[m:]
		switch {
		case num == 1 && !hasType:
			n.kind, hasType = v, true
		case num == 3 && !hasSize:
			n.fileSize, hasSize = v, true
		case num == 4 && len(n.blockSizes) < maxLinks:
			n.blockSizes = append(n.blockSizes, v)
		case num == 5 && !hasHash:
			hash, hasHash = v, true
		case num == 6 && !hasFanout:
			n.fanout, hasFanout = v, true
		case num == 7: // mode
		default:
			return malformed
		}
	}
	if !hasType {
		return malformed
	}
	switch n.kind {
	case typeRaw, typeFile:
		if len(n.blockSizes) != len(n.links) {
			return "the file node has not one size a link"
		}
		for _, l := range n.links {
			if l.name != "" {
				return "a link of a file node has a name"
			}
		}
		if !hasSize && (len(n.links) > 0 || len(n.data) > 0) {
			return "the file node does not say its size"
		}
		sum := uint64(len(n.data))
		for _, s := range n.blockSizes {
			var carry uint64
			if sum, carry = bits.Add64(sum, s, 0); carry != 0 {
				return "the block sizes overflow"
			}
		}
		if sum != n.fileSize {
			return "the file size is not the sum of its parts"
		}
	case typeDirectory:
		if len(n.data) > 0 || len(n.blockSizes) > 0 {
			return "a directory with file data"
		}
		for i, l := range n.links {
			if i > 0 && n.links[i-1].name >= l.name {
				return "the names of a directory are not sorted, or one stands there twice"
			}
		}
	case typeSymlink:
		if len(n.links) > 0 || len(n.data) == 0 {
			return "a symlink with links, or without a target"
		}
	case typeHAMT:
		return n.checkHAMT(hash)
	default:
		return "a UnixFS type that is no part of a file tree"
	}
	return ""
}

func (n *node) checkHAMT(hash uint64) string {
	f := n.fanout
	if hash != hashMurmur3 {
		return "a HAMT with a hash other than murmur3"
	}
	if f < 8 || f > maxFanout || f&(f-1) != 0 {
		return "a HAMT with an impossible fanout"
	}
	// The bitfield is a big-endian number without leading zero bytes.
	if uint64(len(n.data)) > f/8 {
		return "a HAMT bitfield that is too long"
	}
	n.bitfield = make([]byte, f/8)
	copy(n.bitfield[len(n.bitfield)-len(n.data):], n.data)
	ones := 0
	for _, b := range n.bitfield {
		ones += bits.OnesCount8(b)
	}
	if ones != len(n.links) {
		return "a HAMT whose bitfield does not count its links"
	}
	width := n.prefixLen()
	slot := -1
	for _, l := range n.links {
		if len(l.name) < width {
			return "a HAMT link without its prefix"
		}
		slot = n.nextSlot(slot)
		if l.name[:width] != hamtPrefix(slot, width) {
			return "a HAMT link whose prefix is not its slot"
		}
	}
	return ""
}

// prefixLen is how many hex digits a slot takes in a HAMT's link names.
func (n *node) prefixLen() int { return (bits.Len64(n.fanout-1) + 3) / 4 }

func (n *node) bit(slot int) bool {
	return n.bitfield[len(n.bitfield)-1-slot/8]&(1<<(slot%8)) != 0
}

func (n *node) nextSlot(after int) int {
	for s := after + 1; s < int(n.fanout); s++ {
		if n.bit(s) {
			return s
		}
	}
	return -1
}

func hamtPrefix(slot, width int) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = digits[slot&15]
		slot >>= 4
	}
	return string(b)
}

// slotOf returns the slot of a name's hash at a level of the HAMT.
func (n *node) slotOf(hash uint64, level int) int {
	width := bits.Len64(n.fanout - 1)
	shift := 64 - width*(level+1)
	if shift < 0 {
		return -1
	}
	return int(hash>>shift) & int(n.fanout-1)
}
