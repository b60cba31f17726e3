package unixfs

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// ReadFile hands the bytes of a file to fn, in order, a block at a time. p is
// valid during the call. The bytes handed out add up to the file's size, or an
// error is returned: fault.Invalid for a malformed DAG or something that is no
// file.
func ReadFile(ctx context.Context, b Blocks, c cid.Cid, fn func(p []byte) error) error {
	return ReadRange(ctx, b, c, 0, 1<<63, fn)
}

// ReadRange is [ReadFile] for n bytes from off on; what lies behind the file's
// end is left out. Only blocks of the range are read.
func ReadRange(ctx context.Context, b Blocks, c cid.Cid, off, n uint64, fn func(p []byte) error) error {
	n = min(n, ^uint64(0)-off) // no file ends behind that
	r := &reader{walker{ctx: ctx, b: b, l: Limits{}.withDefaults()}, off, n, fn}
	_, err := r.read(c, 0, 0, nil)
	return err
}

type reader struct {
	walker
	off, n uint64
	fn     func([]byte) error
}

// read handles the node c whose first byte stands at pos; want is its claimed
// size. It returns the node's size.
func (r *reader) read(c cid.Cid, pos uint64, depth int, want *uint64) (uint64, error) {
	if depth > r.l.Depth && c.Prefix().Codec != cid.Raw { // a raw leaf is no node
		return 0, fault.New(fault.TooLarge, "a file of nodes more than %d deep", r.l.Depth)
	}
	n, _, err := r.node(c)
	if err != nil {
		return 0, err
	}
	if n.kind != typeFile && n.kind != typeRaw {
		return 0, fault.New(fault.Invalid, "%s is no file", c)
	}
	if want != nil && *want != n.fileSize {
		return 0, fault.New(fault.Invalid, "block %s: its parent claims %d bytes, there are %d", c, *want, n.fileSize)
	}
	if len(n.data) > 0 {
		if err := r.hand(n.data, pos); err != nil {
			return 0, err
		}
		pos += uint64(len(n.data))
	}
	for i, l := range n.links {
		size := n.blockSizes[i]
		if pos < r.off+r.n && pos+size > r.off || size == 0 {
			if _, err := r.read(l.cid, pos, depth+1, &size); err != nil {
				return 0, err
			}
		}
		pos += size
	}
	return n.fileSize, nil
}

// hand gives fn the part of p, which stands at pos, that lies in the range.
func (r *reader) hand(p []byte, pos uint64) error {
	end := r.off + r.n
	if pos >= end || pos+uint64(len(p)) <= r.off {
		return nil
	}
	if pos < r.off {
		p = p[r.off-pos:]
		pos = r.off
	}
	if pos+uint64(len(p)) > end {
		p = p[:end-pos]
	}
	return r.fn(p)
}

// Data returns the file bytes that the leaf block of c holds.
func Data(c cid.Cid, block []byte) ([]byte, error) {
	n, err := decode(c, block)
	if err != nil {
		return nil, err
	}
	if n.kind != typeFile && n.kind != typeRaw || len(n.links) > 0 {
		return nil, fault.New(fault.Invalid, "block %s is no leaf of a file", c)
	}
	return n.data, nil
}

// Links returns the CIDs that a block names: those of a dag-pb node, those of a
// DAG-JSON document ({"/":…}), none of a raw block; always in the same order. What is malformed is
// fault.Invalid, with the CID.
func Links(c cid.Cid, block []byte) ([]cid.Cid, error) {
	switch c.Prefix().Codec {
	case cid.Raw:
		return nil, nil
	case cid.DagProtobuf:
		n, err := decode(c, block)
		if err != nil {
			return nil, err
		}
		out := make([]cid.Cid, len(n.links))
		for i, l := range n.links {
			out[i] = l.cid
		}
		return out, nil
	case cid.DagJSON:
		out, err := documentLinks(block)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", c, err)
		}
		return out, nil
	}
	return nil, fault.New(fault.Invalid, "block %s: codec 0x%x is not read here", c, c.Prefix().Codec)
}

func documentLinks(block []byte) ([]cid.Cid, error) {
	if err := cjson.Check(block); err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(block, &v); err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	var out []cid.Cid
	err := jsonLinks(v, &out)
	return out, err
}

func jsonLinks(v any, out *[]cid.Cid) error {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if err := jsonLinks(x, out); err != nil {
				return err
			}
		}
	case map[string]any:
		if s, ok := v["/"].(string); ok {
			c, err := cjson.ParseCID(s)
			*out = append(*out, c)
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(v)) { // always the same order
			if err := jsonLinks(v[k], out); err != nil {
				return err
			}
		}
	}
	return nil
}

// Closure visits every block that is reachable from roots, each digest once,
// depth first, a block before what it links to. Raw leaves are handed out with
// a nil block unless leaves is set. More than maxBlocks different blocks is
// fault.TooLarge; 0 means 2^27.
func Closure(ctx context.Context, b Blocks, roots []cid.Cid, maxBlocks int, leaves bool, fn func(c cid.Cid, block []byte) error) error {
	if maxBlocks == 0 {
		maxBlocks = 1 << 27
	}
	seen := make(map[[32]byte]struct{})
	type frame struct{ todo []cid.Cid }
	stack := []frame{{roots}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if len(top.todo) == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		c := top.todo[0]
		top.todo = top.todo[1:]
		if err := cjson.CheckCID(c); err != nil {
			return err
		}
		h := c.Hash()
		d := [32]byte(h[len(h)-32:])
		if _, ok := seen[d]; ok {
			continue
		}
		if len(seen) == maxBlocks {
			return fault.New(fault.TooLarge, "more than %d different blocks", maxBlocks)
		}
		seen[d] = struct{}{}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if c.Prefix().Codec == cid.Raw && !leaves {
			if err := fn(c, nil); err != nil {
				return err
			}
			continue
		}
		block, err := b.Block(ctx, c)
		if err != nil {
			return err
		}
		if err := fn(c, block); err != nil {
			return err
		}
		links, err := Links(c, block)
		if err != nil {
			return err
		}
		if len(links) > 0 {
			stack = append(stack, frame{links})
		}
	}
	return nil
}
