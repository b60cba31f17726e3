package upload

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/wire"
)

// fromBase is the shard of a spot that lies in the store, below a base.
const fromBase = -1

// A spot is where a block of an upload lies.
type spot struct {
	shard int32 // index of the session's shards, or fromBase
	size  uint32
	off   int64
	codec uint16 // of a staged block: what it was sent as
	seen  uint8  // the codecs under which the walk has passed it
}

// A closure is what an upload may build upon: the blocks that its session
// received, and those of its bases. It reads nothing else, so nothing else can
// be registered. It is used by one goroutine.
type closure struct {
	s     *Server
	one   *session
	store unixfs.Blocks // the space that the upload goes to, where its bases are
	spots map[[sha256.Size]byte]spot
	files map[int32]*os.File // open shards, at most maxFiles
}

// maxFiles bounds the shards that a commit has open.
const maxFiles = 16

var _ unixfs.Blocks = (*closure)(nil)

// closure collects what the session may build upon.
func (s *Server) closure(ctx context.Context, one *session, space cid.Cid) (*closure, error) {
	c := &closure{s: s, one: one, store: s.o.Store.Store, files: make(map[int32]*os.File)}
	if space.Defined() {
		c.store = s.o.Store.Strict(space)
	}
	rows := int64(0)
	for _, sum := range one.sums {
		info, err := os.Stat(filepath.Join(one.dir, sum+indexExt))
		if err != nil {
			return nil, err
		}
		rows += info.Size() / indexRow
	}
	if rows > maxWalk {
		return nil, fault.New(fault.TooLarge, "the shards have %d blocks, an upload has at most %d", rows, maxWalk)
	}
	c.spots = make(map[[sha256.Size]byte]spot, rows)
	for i, sum := range one.sums {
		err := readIndex(filepath.Join(one.dir, sum+indexExt), func(d [sha256.Size]byte, off int64, size uint32, codec uint64) error {
			if _, dup := c.spots[d]; !dup {
				c.spots[d] = spot{shard: int32(i), off: off, size: size, codec: uint16(codec)}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, b := range one.rec.Open.Bases {
		if err := c.base(ctx, b.Cid); err != nil {
			return nil, fmt.Errorf("the base %s: %w", b, err)
		}
	}
	return c, nil
}

// base adds the blocks below the content of an earlier statement. What is gone
// of it is not there.
func (c *closure) base(ctx context.Context, statement cid.Cid) error {
	env, err := c.s.o.Registry.Envelope(ctx, statement)
	if err != nil {
		return err
	}
	p, err := c.s.o.Registry.Read(env)
	if err != nil {
		return err
	}
	store := c.store
	return walk(p.Statement.Content(), func(id cid.Cid, d [sha256.Size]byte) ([]cid.Cid, error) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		at, known := c.spots[d]
		if !known {
			size, err := store.Size(ctx, id)
			if errors.Is(err, fault.NotFound) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			at = spot{shard: fromBase, size: uint32(size)}
			if len(c.spots) == maxWalk {
				return nil, fault.New(fault.TooLarge, "the upload and its bases have more than %d blocks", maxWalk)
			}
		}
		bit := codecBit(id) << 4
		if at.seen&bit != 0 {
			return nil, nil
		}
		at.seen |= bit
		c.spots[d] = at
		if id.Prefix().Codec == cid.Raw {
			return nil, nil
		}
		b, err := store.Block(ctx, id)
		if errors.Is(err, fault.NotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return unixfs.Links(id, b)
	})
}

// codecBit tells apart under which codec a digest was linked: the same bytes may
// be a leaf here and a node there, with links that count.
func codecBit(c cid.Cid) uint8 {
	switch c.Prefix().Codec {
	case cid.Raw:
		return 1
	case cid.DagProtobuf:
		return 2
	case cid.DagJSON:
		return 4
	}
	return 8
}

// walk visits roots and what visit returns for each, depth first. Only sha2-256
// of the kinds that cairn reads are visited; another is fault.Invalid.
func walk(roots []cid.Cid, visit func(id cid.Cid, d [sha256.Size]byte) ([]cid.Cid, error)) error {
	stack := [][]cid.Cid{roots}
	for len(stack) > 0 {
		top := len(stack) - 1
		if len(stack[top]) == 0 {
			stack = stack[:top]
			continue
		}
		id := stack[top][0]
		stack[top] = stack[top][1:]
		if err := cjson.CheckCID(id); err != nil {
			return err
		}
		h := id.Hash()
		links, err := visit(id, [sha256.Size]byte(h[len(h)-sha256.Size:]))
		if err != nil {
			return err
		}
		if len(links) > 0 {
			stack = append(stack, links)
		}
	}
	return nil
}

// check walks the DAG below a statement's content: everything must be there,
// nothing may be left over, and the counts must be those that were declared.
func (c *closure) check(ctx context.Context, st *manifests.Statement) error {
	inc := &incompleteError{}
	missing := make(map[[sha256.Size]byte]bool)
	var blocks, bytes int64
	err := walk(st.Content(), func(id cid.Cid, d [sha256.Size]byte) ([]cid.Cid, error) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		at, ok := c.spots[d]
		if !ok {
			if !missing[d] {
				if missing[d] = true; len(missing) > maxWalk {
					return nil, fault.New(fault.TooLarge, "more than %d blocks are missing", maxWalk)
				}
				inc.miss(id)
			}
			return nil, nil
		}
		bit := codecBit(id)
		if at.seen&bit != 0 {
			return nil, nil
		}
		if at.seen&0x0f == 0 {
			blocks++
			bytes += int64(at.size)
		}
		at.seen |= bit
		c.spots[d] = at
		if id.Prefix().Codec == cid.Raw {
			return nil, nil
		}
		b, err := c.Block(ctx, id)
		if err != nil {
			return nil, err
		}
		links, err := unixfs.Links(id, b)
		if err != nil {
			return nil, fault.Mark(fault.Unverified, err) // signed and sent, and it does not hold
		}
		return links, nil
	})
	if err != nil {
		return err
	}
	for d, at := range c.spots {
		if at.shard != fromBase && at.seen&0x0f == 0 {
			inc.unreferenced(d, at.codec)
		}
	}
	if inc.missingTotal+inc.extraTotal > 0 {
		return inc
	}
	if o := c.one.rec.Open; blocks != o.TotalBlocks || bytes != o.TotalBytes {
		return fault.New(fault.Unverified, "the DAG has %d blocks of %d bytes, declared are %d of %d", blocks, bytes, o.TotalBlocks, o.TotalBytes)
	}
	return nil
}

// Block returns the bytes of a block that the session received or that lies
// below a base, verified.
func (c *closure) Block(ctx context.Context, id cid.Cid) ([]byte, error) {
	at, d, err := c.spot(id)
	if err != nil {
		return nil, err
	}
	if at.shard == fromBase {
		return c.store.Block(ctx, id)
	}
	f, err := c.open(at.shard)
	if err != nil {
		return nil, err
	}
	b := make([]byte, at.size)
	if _, err := f.ReadAt(b, at.off); err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != d {
		return nil, fault.New(fault.Internal, "the block %s was damaged after it was received", id)
	}
	return b, nil
}

// Size returns the length of such a block.
func (c *closure) Size(_ context.Context, id cid.Cid) (uint64, error) {
	at, _, err := c.spot(id)
	return uint64(at.size), err
}

func (c *closure) spot(id cid.Cid) (at spot, d [sha256.Size]byte, err error) {
	if err := cjson.CheckCID(id); err != nil {
		return at, d, err
	}
	h := id.Hash()
	d = [sha256.Size]byte(h[len(h)-sha256.Size:])
	at, ok := c.spots[d]
	if !ok {
		return at, d, fault.New(fault.NotFound, "the upload has no block %s", id)
	}
	return at, d, nil
}

func (c *closure) open(shard int32) (*os.File, error) {
	if f := c.files[shard]; f != nil {
		return f, nil
	}
	if len(c.files) == maxFiles {
		for i, f := range c.files {
			f.Close()
			delete(c.files, i)
			break
		}
	}
	f, err := os.Open(filepath.Join(c.one.dir, c.one.sums[shard]+shardExt))
	if err == nil {
		c.files[shard] = f
	}
	return f, err
}

func (c *closure) close() {
	for _, f := range c.files {
		f.Close()
	}
}

// An incompleteError says which blocks are missing, or too many: fault.Unverified.
type incompleteError struct {
	missing, extra           []cjson.CID
	missingTotal, extraTotal int64
}

func (e *incompleteError) miss(id cid.Cid) {
	if e.missingTotal++; len(e.missing) < wire.MaxReported {
		e.missing = append(e.missing, cjson.CID{Cid: cjson.V1(id)})
	}
}

func (e *incompleteError) unreferenced(d [sha256.Size]byte, codec uint16) {
	if e.extraTotal++; len(e.extra) < wire.MaxReported {
		h := append([]byte{0x12, sha256.Size}, d[:]...)
		e.extra = append(e.extra, cjson.CID{Cid: cid.NewCidV1(uint64(codec), h)})
	}
}

func (e *incompleteError) Error() string {
	text := ""
	name := func(n int64, what string, list []cjson.CID) {
		if n == 0 {
			return
		}
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%d blocks %s, the first is %s", n, what, list[0])
	}
	name(e.missingTotal, "are missing", e.missing)
	name(e.extraTotal, "belong to nothing", e.extra)
	return text
}

func (*incompleteError) Unwrap() error { return fault.Unverified }

func (e *incompleteError) problem(requestID string) wire.Incomplete {
	p := wire.Incomplete{
		Problem: wire.NewProblem(e, requestID),
		Missing: e.missing, MissingTotal: e.missingTotal, Unreferenced: e.extra, UnreferencedTotal: e.extraTotal,
	}
	p.Type, p.Title, p.Status = manifests.TypeBase+"problems/incomplete", "The blocks are not those of the DAG", http.StatusUnprocessableEntity
	return p
}
