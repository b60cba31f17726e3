package dag

import (
	"crypto/sha256"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// The two messages of a UnixFS block, written by hand so that the bytes are
// ours to keep. Field numbers are those of dag-pb (PBNode, PBLink) and of
// unixfs.proto (Data). dag-pb puts Links before Data although their numbers
// are 2 and 1.
const (
	pbNodeData  protowire.Number = 1
	pbNodeLinks protowire.Number = 2

	pbLinkHash  protowire.Number = 1
	pbLinkName  protowire.Number = 2
	pbLinkTsize protowire.Number = 3

	fsType       protowire.Number = 1
	fsData       protowire.Number = 2
	fsFilesize   protowire.Number = 3
	fsBlocksizes protowire.Number = 4
	fsHashType   protowire.Number = 5
	fsFanout     protowire.Number = 6

	typeDirectory = 1
	typeFile      = 2
	typeSymlink   = 4
	typeHAMTShard = 5

	// hashMurmur3 is the multicodec of murmur3-x64-64, the only hash a HAMT
	// may use.
	hashMurmur3 = 0x22
)

// leafOverhead bounds what [Profile.LeafFrame] puts around a chunk: at most 6
// bytes of PBNode.Data, 2 of Type, 6 of Data and 6 of filesize.
const leafOverhead = 24

func appendUint(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func appendLen(b []byte, n protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.BytesType), uint64(size))
}

// varintLen returns the length of v as a protobuf varint.
func varintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// linkLen returns the length of a PBLink without its own tag and length.
func linkLen(k cidKind, nameLen int, tsize uint64) int {
	c := len(prefix[k]) + sha256.Size
	return 1 + varintLen(uint64(c)) + c + 1 + varintLen(uint64(nameLen)) + nameLen + 1 + varintLen(tsize)
}

// appendLink appends PBNode.Links. The name is given in two parts so that a
// shard's prefix needs no copy.
func appendLink[S ~string | ~[]byte](b []byte, k cidKind, d *Digest, tsize uint64, pre string, name S) []byte {
	n := len(pre) + len(name)
	b = appendLen(b, pbNodeLinks, linkLen(k, n, tsize))
	b = appendLen(b, pbLinkHash, len(prefix[k])+len(d))
	b = append(b, prefix[k]...)
	b = append(b, d[:]...)
	b = appendLen(b, pbLinkName, n)
	b = append(b, pre...)
	b = append(b, name...)
	return appendUint(b, pbLinkTsize, tsize)
}

// LeafFrame returns what a leaf block of n bytes of file has before and after
// those bytes: nothing under a profile with raw leaves. The two together are
// never longer than [Profile.LeafOverhead].
func (p Profile) LeafFrame(n int) (before, after []byte) {
	if p.RawLeaves {
		return nil, nil
	}
	var inner []byte
	inner = appendUint(inner, fsType, typeFile)
	if n > 0 {
		inner = appendLen(inner, fsData, n)
	}
	after = appendUint(nil, fsFilesize, uint64(n))
	before = appendLen(nil, pbNodeData, len(inner)+n+len(after))
	return append(before, inner...), after
}

// LeafOverhead is the most bytes that a leaf block is longer than its chunk.
func (p Profile) LeafOverhead() int {
	if p.RawLeaves {
		return 0
	}
	return leafOverhead
}

// encodeSymlink returns the block of a symlink.
func encodeSymlink(target string) []byte {
	inner := appendUint(nil, fsType, typeSymlink)
	inner = append(appendLen(inner, fsData, len(target)), target...)
	return append(appendLen(nil, pbNodeData, len(inner)), inner...)
}
