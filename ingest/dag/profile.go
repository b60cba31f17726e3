package dag

import (
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxBlock is the size over which no block may be written: other IPFS nodes
// refuse bigger ones (bitswap's limit).
const MaxBlock = 2 << 20

// An Estimate is the way a profile measures a directory before it decides to
// shard it.
type Estimate uint8

const (
	// BlockBytes measures the encoded dag-pb block, exactly.
	BlockBytes Estimate = iota
	// LinksBytes adds up the lengths of names and CIDs alone, as Kubo did
	// until 2025.
	LinksBytes
)

// A Profile is a set of parameters that makes a CID a function of the bytes
// alone (IPIP-499). The two of them that cairn writes are [ProfileV1_2025] and
// [ProfileV0_2015].
type Profile struct {
	Name          string   // as it is recorded in a manifest
	CIDVersion    int      // 0 or 1; version 0 can only be dag-pb
	ChunkSize     int      // bytes of a leaf under the default chunker
	Width         int      // links of an inner node of a file
	RawLeaves     bool     // leaves are raw blocks, not dag-pb
	HAMTThreshold int      // a directory measured above this is sharded
	HAMTEstimate  Estimate // how it is measured
}

// Fanout is the number of slots of a HAMT shard. Both profiles use it.
const Fanout = 256

var (
	// ProfileV1_2025 is unixfs-v1-2025, the default.
	ProfileV1_2025 = Profile{Name: "unixfs-v1-2025", CIDVersion: 1, ChunkSize: 1 << 20, Width: 1024, RawLeaves: true, HAMTThreshold: 256 << 10, HAMTEstimate: BlockBytes}
	// ProfileV0_2015 is unixfs-v0-2015, which gives the CIDs that Kubo gave
	// by default for ten years.
	ProfileV0_2015 = Profile{Name: "unixfs-v0-2015", CIDVersion: 0, ChunkSize: 256 << 10, Width: 174, RawLeaves: false, HAMTThreshold: 256 << 10, HAMTEstimate: LinksBytes}
)

// ParseProfile returns the profile of that name; "" is the default one. It
// returns [fault.Invalid] for a name it does not know.
func ParseProfile(name string) (Profile, error) {
	switch name {
	case "", ProfileV1_2025.Name:
		return ProfileV1_2025, nil
	case ProfileV0_2015.Name:
		return ProfileV0_2015, nil
	}
	return Profile{}, fault.WithHint(
		fault.New(fault.Invalid, "unknown CID profile %s", fault.Quote(name)),
		"use %s or %s", ProfileV1_2025.Name, ProfileV0_2015.Name)
}

// A Digest is the SHA-256 of a block.
type Digest = [sha256.Size]byte

// leafKind and nodeKind tell how a digest becomes a CID.
type cidKind uint8

const (
	kindRaw cidKind = iota // CIDv1 raw
	kindPB                 // CIDv1 dag-pb
	kindV0                 // CIDv0
)

func (p Profile) nodeKind() cidKind {
	if p.CIDVersion == 0 {
		return kindV0
	}
	return kindPB
}

func (p Profile) leafKind() cidKind {
	if p.RawLeaves {
		return kindRaw
	}
	return p.nodeKind()
}

// prefix holds the bytes of a CID before its digest.
var prefix = [...]string{
	kindRaw: "\x01\x55\x12\x20",
	kindPB:  "\x01\x70\x12\x20",
	kindV0:  "\x12\x20",
}

func (k cidKind) cid(d *Digest) cid.Cid {
	if k == kindV0 {
		return cid.NewCidV0(multihash.Multihash(append([]byte(prefix[kindV0]), d[:]...)))
	}
	codec := uint64(cid.Raw)
	if k == kindPB {
		codec = cid.DagProtobuf
	}
	return cid.NewCidV1(codec, multihash.Multihash(append([]byte(prefix[kindV0]), d[:]...)))
}

// LeafCID returns the CID of a leaf block of a file whose SHA-256 is d.
func (p Profile) LeafCID(d Digest) cid.Cid { return p.leafKind().cid(&d) }

// NodeCID returns the CID of a dag-pb block whose SHA-256 is d.
func (p Profile) NodeCID(d Digest) cid.Cid { return p.nodeKind().cid(&d) }

// split takes a CID apart into its digest and kind. It refuses what a profile
// cannot have made.
func split(c cid.Cid) (cidKind, Digest, error) {
	s := c.KeyString()
	for k, pre := range prefix {
		if len(s) == len(pre)+sha256.Size && s[:len(pre)] == pre {
			return cidKind(k), Digest([]byte(s[len(pre):])), nil
		}
	}
	return 0, Digest{}, fmt.Errorf("link to %s: neither raw nor dag-pb with SHA-256", c)
}
