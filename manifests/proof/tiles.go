package proof

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// TileHeight is that of C2SP tlog-tiles: a full tile has 256 hashes.
	TileHeight = 8
	// TileWidth is the number of hashes in a full tile, and of entries in a full
	// entry bundle.
	TileWidth = 1 << TileHeight
	// MaxTile bounds a tile or entry bundle: 256 entries of the largest size.
	MaxTile = TileWidth * (2 + MaxLeaf)
	// LevelEntries stands in a path where tiles have their level.
	LevelEntries = "entries"
)

// emptyRoot is the root of a tree without entries, SHA-256 of nothing.
var emptyRoot = tlog.Hash(sha256.Sum256(nil))

// TilePath is the path of a tile or, with [LevelEntries], of an entry bundle
// below a log's prefix, with width hashes or entries: C2SP tlog-tiles.
func TilePath(level string, n uint64, width int) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	s = "tile/" + level + "/" + s
	if width < TileWidth {
		s += ".p/" + strconv.Itoa(width)
	}
	return s
}

// SplitEntries cuts count entries off an entry bundle. Entries share b's bytes.
// A bundle that ends before is fault.Unverified.
func SplitEntries(b []byte, count int) (entries [][]byte, rest []byte, err error) {
	for range count {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, nil, fault.New(fault.Unverified, "the entry bundle is cut off")
		}
		n := int(binary.BigEndian.Uint16(b))
		entries, b = append(entries, b[2:2+n]), b[2+n:]
	}
	return entries, b, nil
}

// A TileFunc returns the file of a log at a path: see [TilePath]. It returns an
// error that is not fault.Unverified when it cannot.
type TileFunc func(ctx context.Context, path string) ([]byte, error)

// RootAt computes the root that the log c had at an earlier size, out of tiles
// that are verified against c on the way: C2SP tlog-tiles, RFC 6962. Tiles that
// do not hash to c are fault.Unverified.
func RootAt(ctx context.Context, c Checkpoint, size uint64, tile TileFunc) ([32]byte, error) {
	switch {
	case size > c.Size:
		return emptyRoot, fault.New(fault.Invalid, "a log of %d entries had no size of %d", c.Size, size)
	case size == 0:
		return emptyRoot, nil
	}
	r := &tileReader{ctx: ctx, tile: tile}
	h, err := tlog.TreeHash(int64(size), tlog.TileHashReader(tlog.Tree{N: int64(c.Size), Hash: c.Root}, r))
	if err != nil && r.failed == nil {
		err = fault.Mark(fault.Unverified, err)
	}
	return h, errors.Join(r.failed, err)
}

type tileReader struct {
	ctx    context.Context
	tile   TileFunc
	failed error
}

func (*tileReader) Height() int                         { return TileHeight }
func (*tileReader) SaveTiles(_ []tlog.Tile, _ [][]byte) {}

func (r *tileReader) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, w := range want {
		path := TilePath(strconv.Itoa(w.L), uint64(w.N), w.W)
		b, err := r.tile(r.ctx, path)
		if err == nil && len(b) != w.W*tlog.HashSize {
			err = fault.New(fault.Unverified, "%s has %d bytes, not %d", path, len(b), w.W*tlog.HashSize)
		}
		if err != nil {
			r.failed = err
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

// Recompute computes the whole log c from its entry bundles: every leaf hash,
// every tile that c implies, the root. leaf, unless nil, is called for each leaf
// in order; its error ends the work. What does not hold is handed to fail with
// the file's path; it reports whether nothing was. The error is for what could
// not be read. Memory is that of a tile for each level.
func Recompute(ctx context.Context, c Checkpoint, tile TileFunc, leaf func(i uint64, b []byte) error, fail func(path string, err error)) (holds bool, err error) {
	r := recomputer{ctx: ctx, tile: tile, holds: true}
	r.fail = func(path string, err error) { r.holds = false; fail(path, err) }
	for n := uint64(0); n*TileWidth < c.Size; n++ {
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
		width := int(min(c.Size-n*TileWidth, TileWidth))
		path := TilePath(LevelEntries, n, width)
		b, err := tile(ctx, path)
		var entries [][]byte
		if err == nil {
			var rest []byte
			if entries, rest, err = SplitEntries(b, width); err == nil && len(rest) > 0 {
				err = fault.New(fault.Unverified, "%d bytes stand behind its entries", len(rest))
			}
		}
		if errors.Is(err, fault.Unverified) {
			r.fail(path, err)
			return false, nil // nothing above it can be computed
		}
		if err != nil {
			return false, err
		}
		for i, e := range entries {
			if leaf != nil {
				if err := leaf(n*TileWidth+uint64(i), e); err != nil {
					return false, err
				}
			}
			if err := r.add(0, tlog.RecordHash(e)); err != nil {
				return false, err
			}
		}
	}
	root, err := r.finish()
	if err != nil {
		return false, err
	}
	if root != c.Root {
		r.fail("checkpoint", fault.New(fault.Unverified, "the entries have the root %s, the checkpoint says %s",
			base64.StdEncoding.EncodeToString(root[:]), base64.StdEncoding.EncodeToString(c.Root[:])))
	}
	return r.holds, nil
}

// A recomputer makes tiles as hashes come in, and compares each with the log's.
type recomputer struct {
	ctx    context.Context
	tile   TileFunc
	fail   func(string, error)
	holds  bool
	levels []level
}

type level struct {
	done uint64 // full tiles
	open []tlog.Hash
}

func (r *recomputer) add(l int, h tlog.Hash) error {
	if len(r.levels) <= l {
		r.levels = append(r.levels, level{})
	}
	lv := &r.levels[l]
	lv.open = append(lv.open, h)
	if len(lv.open) < TileWidth {
		return nil
	}
	if err := r.compare(l, lv.done, lv.open); err != nil {
		return err
	}
	root := subtree(lv.open)
	lv.done++
	lv.open = lv.open[:0]
	return r.add(l+1, root)
}

func (r *recomputer) compare(l int, n uint64, want []tlog.Hash) error {
	path := TilePath(strconv.Itoa(l), n, len(want))
	b, err := r.tile(r.ctx, path)
	if err == nil && len(b) != len(want)*tlog.HashSize {
		err = fault.New(fault.Unverified, "it has %d bytes, not %d", len(b), len(want)*tlog.HashSize)
	}
	if errors.Is(err, fault.Unverified) {
		r.fail(path, err)
		return nil
	}
	if err != nil {
		return err
	}
	for i, h := range want {
		if string(b[i*tlog.HashSize:(i+1)*tlog.HashSize]) != string(h[:]) {
			r.fail(path, fault.New(fault.Unverified, "hash %d of the tile is not that of the entries below it", i))
			return nil
		}
	}
	return nil
}

// finish compares the partial tiles at the right edge and returns the root.
func (r *recomputer) finish() (tlog.Hash, error) {
	root, have := emptyRoot, false
	for l := range r.levels {
		lv := &r.levels[l]
		if len(lv.open) == 0 {
			continue
		}
		if err := r.compare(l, lv.done, lv.open); err != nil {
			return root, err
		}
		// RFC 6962 hashes the largest power of two on the left, so the runs at
		// the right edge are folded from the smallest on.
		for hs := lv.open; len(hs) > 0; {
			n := 1 << bits.TrailingZeros(uint(len(hs)))
			h := subtree(hs[len(hs)-n:])
			if have {
				h = tlog.NodeHash(h, root)
			}
			root, have = h, true
			hs = hs[:len(hs)-n]
		}
	}
	return root, nil
}

// subtree is the root of a run of hashes whose count is a power of two.
func subtree(hs []tlog.Hash) tlog.Hash {
	if len(hs) == 1 {
		return hs[0]
	}
	return tlog.NodeHash(subtree(hs[:len(hs)/2]), subtree(hs[len(hs)/2:]))
}
