package dag

import (
	"context"
	"crypto/sha256"
	"slices"

	"github.com/spaolacci/murmur3"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxShardDepth is how many levels a HAMT of 256 slots has at most: each takes
// one byte of a 64-bit hash.
const maxShardDepth = 8

const hexDigits = "0123456789ABCDEF"

// hashed is an entry's place in the order of the hash. A shard is a run of
// these that agree in their first bytes.
type hashed struct {
	hash  uint64
	entry uint32
}

// finishHAMT builds the trie bottom-up from the entries in the order of their
// hashes, which needs no trie in memory. Every implementation that inserts
// one by one ends with the same blocks.
func (d *DirBuilder) finishHAMT(ctx context.Context) (Link, int64, error) {
	order := make([]hashed, d.n)
	for i := range order {
		order[i] = hashed{murmur3.Sum64(d.name(d.entry(i))), uint32(i)}
	}
	slices.SortFunc(order, func(a, b hashed) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return slices.Compare(d.name(d.entry(int(a.entry))), d.name(d.entry(int(b.entry))))
	})
	for i := 1; i < len(order); i++ {
		if order[i-1].hash != order[i].hash {
			continue
		}
		a, b := d.name(d.entry(int(order[i-1].entry))), d.name(d.entry(int(order[i].entry)))
		if string(a) == string(b) {
			return Link{}, 0, fault.New(fault.Invalid, "two entries named %s", fault.Quote(string(a)))
		}
		return Link{}, 0, fault.New(fault.Invalid, "names %s and %s have the same 64-bit hash: no UnixFS directory can hold both",
			fault.Quote(string(a)), fault.Quote(string(b)))
	}
	var blocks int64
	e, err := d.shard(ctx, order, 0, &blocks)
	if err != nil {
		return Link{}, 0, err
	}
	return Link{CID: e.kind.cid(&e.digest), Tsize: e.tsize}, blocks, nil
}

// shard writes the shard of a run whose hashes agree in the first depth bytes,
// after the shards below it, and returns its link.
func (d *DirBuilder) shard(ctx context.Context, run []hashed, depth int, blocks *int64) (dirEntry, error) {
	if depth == maxShardDepth {
		panic("dag: equal hashes reached the bottom of a HAMT") // finishHAMT refuses them
	}
	shift := 56 - 8*depth
	var bits [Fanout / 8]byte
	type slot struct {
		at    byte
		name  []byte
		entry *dirEntry
	}
	slots := make([]slot, 0, min(len(run), Fanout))
	size := 0
	for len(run) > 0 {
		at := byte(run[0].hash >> shift)
		n := 1
		for n < len(run) && byte(run[n].hash>>shift) == at {
			n++
		}
		s := slot{at: at}
		if n == 1 {
			s.entry = d.entry(int(run[0].entry))
			s.name = d.name(s.entry)
		} else {
			sub, err := d.shard(ctx, run[:n], depth+1, blocks)
			if err != nil {
				return dirEntry{}, err
			}
			s.entry = &sub
		}
		// Bit 0 is the lowest of the last byte.
		bits[len(bits)-1-int(at)/8] |= 1 << (at % 8)
		slots = append(slots, s)
		size += linkLen(s.entry.kind, 2+len(s.name), s.entry.tsize) + 4
		run = run[n:]
	}

	out := dirEntry{kind: d.p.nodeKind()}
	b := make([]byte, 0, size+64)
	for i := range slots {
		s := &slots[i]
		pre := [2]byte{hexDigits[s.at>>4], hexDigits[s.at&15]}
		b = appendLink(b, s.entry.kind, &s.entry.digest, s.entry.tsize, string(pre[:]), s.name)
		out.tsize += s.entry.tsize
	}
	field := bits[:]
	for field[0] == 0 { // leading zero bytes are left out; a shard is never empty
		field = field[1:]
	}
	inner := appendUint(nil, fsType, typeHAMTShard)
	inner = append(appendLen(inner, fsData, len(field)), field...)
	inner = appendUint(inner, fsHashType, hashMurmur3)
	inner = appendUint(inner, fsFanout, Fanout)
	b = append(appendLen(b, pbNodeData, len(inner)), inner...)

	out.digest = sha256.Sum256(b)
	out.tsize += uint64(len(b))
	*blocks++
	if _, err := d.sink.Append(ctx, d.p.NodeCID(out.digest), b); err != nil {
		return dirEntry{}, err
	}
	return out, nil
}
