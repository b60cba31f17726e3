package attribution

import (
	"crypto/sha256"
	"fmt"
	"iter"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxChunks bounds the distinct chunks of a child: some 300 GB of data, for
// which 600 MB of memory are used, 140 bytes for each chunk.
const MaxChunks = 1 << 22

// Earlier is the fingerprint of an accepted contribution.
type Earlier struct {
	Index     uint64                  // of its leaf in the log
	Statement string                  // its statement's CID: the key in the vector
	Chunks    iter.Seq2[Chunk, error] // in any order; gone through at most once
}

// FirstSeen computes chunk-first-seen/1: the bytes of each distinct chunk of
// the child count for the earliest entry that holds the chunk, of the entries
// with an index below atSize; for [Self] when none does; a chunk's second
// occurrence in the child counts for nobody. So the total is the number of
// distinct bytes of the child, and keys that get nothing are left out.
//
// Entries may come in any order, and entries at atSize or later are passed
// over, so a caller can hand in all it has. Only verbatim reuse is seen:
// reordered or sampled rows count for [Self].
//
// It holds the distinct chunks of the child, at most [MaxChunks] (more are
// fault.TooLarge), and one name for each entry that shares a chunk with it;
// everything earlier streams by. Two statements at one index, and two lengths
// of one hash in the child, are fault.Invalid. An error of an iterator is
// returned.
func FirstSeen(child iter.Seq2[Chunk, error], earlier iter.Seq2[Earlier, error], atSize uint64) (Vector, error) {
	chunks := make(map[[sha256.Size]byte]holder)
	for c, err := range child {
		if err != nil {
			return Vector{}, fmt.Errorf("the child's fingerprint: %w", err)
		}
		if err := c.check(); err != nil {
			return Vector{}, fmt.Errorf("the child's fingerprint: %w", err)
		}
		if h, ok := chunks[c.Hash]; ok {
			if h.len != c.Len {
				return Vector{}, fault.New(fault.Invalid, "the child's fingerprint gives chunk %x two lengths", c.Hash)
			}
			continue
		}
		if len(chunks) == MaxChunks {
			return Vector{}, fault.New(fault.TooLarge, "the child has more than %d distinct chunks", MaxChunks)
		}
		chunks[c.Hash] = holder{len: c.Len}
	}

	names := make(map[uint64]string)
	for e, err := range earlier {
		if err != nil {
			return Vector{}, err
		}
		if e.Index >= atSize {
			continue
		}
		if err := checkName(e.Statement); err != nil {
			return Vector{}, err
		}
		for c, err := range e.Chunks {
			if err != nil {
				return Vector{}, fmt.Errorf("the fingerprint of entry %d: %w", e.Index, err)
			}
			h, ok := chunks[c.Hash]
			if !ok || h.len != c.Len || h.held && h.index < e.Index {
				continue
			}
			if name, ok := names[e.Index]; ok && name != e.Statement {
				return Vector{}, fault.New(fault.Invalid, "entry %d is both %s and %s", e.Index, name, e.Statement)
			}
			names[e.Index] = e.Statement
			h.held, h.index = true, e.Index
			chunks[c.Hash] = h
		}
	}

	t := make(tally)
	for _, h := range chunks {
		key := Self
		if h.held {
			key = names[h.index]
		}
		if err := t.add(key, uint64(h.len)); err != nil {
			return Vector{}, err
		}
	}
	return t.vector(false)
}

// A holder is the earliest entry so far that holds a chunk of the child.
type holder struct {
	index uint64
	len   uint32
	held  bool
}

// checkName is CheckKey for the name of a thing, which Self is not.
func checkName(s string) error {
	if s == Self {
		return fault.New(fault.Invalid, "%s stands for nothing in the log or among the points", Self)
	}
	return CheckKey(s)
}
