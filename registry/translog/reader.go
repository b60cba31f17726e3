package translog

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
)

const (
	// tileHeight is that of C2SP tlog-tiles: 256 hashes a full tile.
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// maxBundle bounds an entry bundle on disk: 256 entries of the largest size.
	maxBundle = tileWidth * (2 + MaxLeaf)
)

// Published is a signed checkpoint.
type Published struct {
	Size uint64
	Root tlog.Hash
	Note []byte // the signed note
}

// formatTree returns the text of a checkpoint.
func formatTree(origin string, size uint64, root tlog.Hash) []byte {
	return proof.Checkpoint{Origin: origin, Size: size, Root: root}.Text()
}

// parseTree reads the text of a checkpoint of the given log.
func parseTree(text, origin string) (Published, error) {
	c, err := proof.ParseCheckpoint([]byte(text))
	if err != nil {
		return Published{}, err
	}
	if c.Origin != origin {
		return Published{}, fault.New(fault.Unverified, "the origin is %s, not %s", fault.Quote(c.Origin), origin)
	}
	return Published{Size: c.Size, Root: c.Root}, nil
}

// openNote reads a signed checkpoint that must carry v's signature and name v's
// log as its origin.
func openNote(b []byte, v note.Verifier) (Published, error) {
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		return Published{}, fault.New(fault.Unverified, "the signature does not hold: %w", err)
	}
	p, err := parseTree(n.Text, v.Name())
	p.Note = b
	return p, err
}

// A Reader answers from the files of a log, at the size of its published
// checkpoint. It is safe for concurrent use.
type Reader struct {
	dir  string
	v    note.Verifier
	vkey string

	mu        sync.Mutex // guards the rest
	published Published
	changed   chan struct{} // closed at the next change
}

func newReader(dir string, v note.Verifier, vkey string, p Published) *Reader {
	return &Reader{dir: dir, v: v, vkey: vkey, published: p, changed: make(chan struct{})}
}

// OpenReadOnly reads the log in cfg.Dir as it lies there, for looking at it;
// nothing is appended, signed or mended. A log folder without a checkpoint is
// fault.NotFound, a checkpoint that does not verify fault.Unverified.
func OpenReadOnly(cfg Config) (*Reader, error) {
	v, err := cfg.checkReader()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(cfg.Dir, checkpointName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no log in %s", cfg.Dir)
	}
	if err != nil {
		return nil, err
	}
	p, err := openNote(b, v)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint: %w", err)
	}
	return newReader(cfg.Dir, v, cfg.VKey, p), nil
}

func (r *Reader) current() (Published, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.published, r.changed
}

func (r *Reader) set(p Published) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Size < r.published.Size {
		return
	}
	r.published = p
	close(r.changed)
	r.changed = make(chan struct{})
}

// Origin returns the log's name.
func (r *Reader) Origin() string { return r.v.Name() }

// VKey returns the log's verifier key.
func (r *Reader) VKey() string { return r.vkey }

// Published returns the published checkpoint.
func (r *Reader) Published() Published {
	p, _ := r.current()
	return p
}

// Changed returns a channel that is closed when another checkpoint than p is
// published.
func (r *Reader) Changed(p Published) <-chan struct{} {
	now, changed := r.current()
	if string(now.Note) != string(p.Note) {
		done := make(chan struct{})
		close(done)
		return done
	}
	return changed
}

// Proof returns the path that proves entry index in the tree of size entries,
// from the leaf's sibling upwards. size is at most the published one.
func (r *Reader) Proof(index, size uint64) ([][32]byte, error) {
	t, err := r.treeAt(size)
	if err != nil {
		return nil, err
	}
	if index >= size {
		return nil, fault.New(fault.NotFound, "no entry %d in a log of %d", index, size)
	}
	path, err := tlog.ProveRecord(int64(size), int64(index), t.hashes())
	if err != nil {
		return nil, fmt.Errorf("proving entry %d: %w", index, err)
	}
	out := make([][32]byte, len(path))
	for i, h := range path {
		out[i] = h
	}
	return out, nil
}

// treeAt returns the published tree, cut to size.
func (r *Reader) treeAt(size uint64) (tree, error) {
	p := r.Published()
	if size > p.Size {
		return tree{}, fault.New(fault.NotFound, "the published log has %d entries, not %d", p.Size, size)
	}
	return tree{dir: r.dir, Published: p}, nil
}

// Receipt returns a receipt of entry index against the published checkpoint.
func (r *Reader) Receipt(index uint64) (*proof.Receipt, error) {
	p := r.Published()
	if index >= p.Size {
		return nil, fault.New(fault.Pending, "entry %d is not published yet", index)
	}
	path, err := tlog.ProveRecord(int64(p.Size), int64(index), tree{r.dir, p}.hashes())
	if err != nil {
		return nil, fmt.Errorf("proving entry %d: %w", index, err)
	}
	rec := &proof.Receipt{Index: index, Checkpoint: p.Note}
	for _, h := range path {
		rec.Path = append(rec.Path, h)
	}
	return rec, nil
}

// extends checks that the tree on disk of new contains the tree of old.
func (r *Reader) extends(old, new Published) error {
	root, err := tree{r.dir, new}.rootAt(old.Size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForked, err)
	}
	if root != old.Root {
		return fmt.Errorf("%w: another root at size %d", ErrForked, old.Size)
	}
	return nil
}

// Leaves calls fn for the leaves from index from up to, not including, to, in
// order. The bytes are valid during the call. to is at most the published size.
func (r *Reader) Leaves(ctx context.Context, from, to uint64, fn func(i uint64, leaf []byte) error) error {
	t, err := r.treeAt(to)
	if err != nil {
		return err
	}
	for n := from / tileWidth; n*tileWidth < to; n++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		entries, err := t.bundle(n)
		if err != nil {
			return err
		}
		for i, e := range entries {
			if at := n*tileWidth + uint64(i); at >= from && at < to {
				if err := fn(at, e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// A tree reads the files that a checkpoint implies: never a file that only a
// later size has, nor one that a crash left behind.
type tree struct {
	dir string
	Published
}

// rootAt computes the root of the first size entries. Tiles are verified
// against the tree's own root on the way.
func (t tree) rootAt(size uint64) (tlog.Hash, error) {
	if size == 0 {
		return emptyRoot, nil
	}
	return tlog.TreeHash(int64(size), t.hashes())
}

// hashes reads hashes out of tiles, each verified up to the tree's root.
func (t tree) hashes() tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(t.Size), Hash: t.Root}, tiles{t.dir})
}

type tiles struct{ dir string }

func (tiles) Height() int                     { return tileHeight }
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (d tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, w := range want {
		var err error
		if out[i], err = readTile(d.dir, uint64(w.L), uint64(w.N), w.W); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tilePath is the path of a tile or, with level "entries", of a bundle below
// the log's prefix: C2SP tlog-tiles.
func tilePath(level string, n uint64, width int) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	s = "tile/" + level + "/" + s
	if width < tileWidth {
		s += ".p/" + strconv.Itoa(width)
	}
	return s
}

// readFile reads a tile or bundle of exactly the given width. Where the partial
// one is gone because the full one exists, it is cut from that by cut.
func readFile(dir, level string, n uint64, width int, cut func([]byte) ([]byte, error)) ([]byte, error) {
	name := filepath.Join(dir, filepath.FromSlash(tilePath(level, n, width)))
	b, err := readBounded(name)
	if errors.Is(err, fs.ErrNotExist) && width < tileWidth {
		full := filepath.Join(dir, filepath.FromSlash(tilePath(level, n, tileWidth)))
		if b, err = readBounded(full); err == nil {
			return cut(b)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Unverified, "the log lacks %s", tilePath(level, n, width))
	}
	return b, err
}

func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBundle {
		return nil, fault.New(fault.Unverified, "%s has %d bytes: no tile", name, info.Size())
	}
	return os.ReadFile(name)
}

func readTile(dir string, level, n uint64, width int) ([]byte, error) {
	b, err := readFile(dir, strconv.FormatUint(level, 10), n, width, func(full []byte) ([]byte, error) {
		return full[:min(len(full), width*tlog.HashSize)], nil
	})
	if err != nil {
		return nil, err
	}
	if len(b) != width*tlog.HashSize {
		return nil, fault.New(fault.Unverified, "%s has %d bytes, not %d", tilePath(strconv.FormatUint(level, 10), n, width), len(b), width*tlog.HashSize)
	}
	return b, nil
}

// bundle returns the entries of bundle n, as many as the tree's size implies.
func (t tree) bundle(n uint64) ([][]byte, error) {
	width := int(min(t.Size-n*tileWidth, tileWidth))
	b, err := readFile(t.dir, "entries", n, width, func(full []byte) ([]byte, error) {
		_, rest, err := splitBundle(full, width)
		return full[:len(full)-len(rest)], err
	})
	if err != nil {
		return nil, err
	}
	entries, rest, err := splitBundle(b, width)
	if err == nil && len(rest) > 0 {
		err = errors.New("there is something behind its entries")
	}
	if err != nil {
		return nil, fault.New(fault.Unverified, "%s is damaged: %w", tilePath("entries", n, width), err)
	}
	return entries, nil
}

// splitBundle cuts count entries off a bundle.
func splitBundle(b []byte, count int) (entries [][]byte, rest []byte, err error) {
	for range count {
		if len(b) < 2 {
			return nil, nil, errors.New("it is cut off")
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < n {
			return nil, nil, errors.New("it is cut off")
		}
		entries, b = append(entries, b[:n]), b[n:]
	}
	return entries, b, nil
}

// Tile returns the resource at path, such as tile/0/000 or
// tile/entries/x001/234.p/7, if the published checkpoint implies it; anything
// else is fault.NotFound, so that nothing provisional is ever cached.
func (r *Reader) Tile(path string) ([]byte, error) {
	level, n, width, ok := parseTilePath(path)
	missing := fault.New(fault.NotFound, "the published log implies no %s", fault.Quote(path))
	if !ok {
		return nil, missing
	}
	p := r.Published()
	shift := uint64(0)
	if level != "entries" {
		l, err := strconv.ParseUint(level, 10, 8)
		if err != nil || l > 63/tileHeight || level != strconv.FormatUint(l, 10) {
			return nil, missing
		}
		shift = l * tileHeight
	}
	count := p.Size >> shift // hashes at this level
	have := uint64(0)
	if n < 1<<50 && n*tileWidth < count {
		have = min(count-n*tileWidth, tileWidth)
	}
	if have == 0 || uint64(width) > have || width < tileWidth && (have == tileWidth || uint64(width) != have) {
		// A partial is served only at the right edge, with the width it has now;
		// of a full tile no partial is needed any more.
		return nil, missing
	}
	if level == "entries" {
		return readFile(r.dir, level, n, width, func(full []byte) ([]byte, error) {
			_, rest, err := splitBundle(full, width)
			return full[:len(full)-len(rest)], err
		})
	}
	return readTile(r.dir, shift/tileHeight, n, width)
}

// parseTilePath reads tile/L/N[.p/W] and tile/entries/N[.p/W] in their one
// spelling.
func parseTilePath(path string) (level string, n uint64, width int, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return "", 0, 0, false
	}
	level, rest, ok = strings.Cut(rest, "/")
	if !ok {
		return "", 0, 0, false
	}
	width = tileWidth
	num, w, partial := strings.Cut(rest, ".p/")
	if partial {
		v, err := strconv.Atoi(w)
		if err != nil || v < 1 || v >= tileWidth {
			return "", 0, 0, false
		}
		width = v
	}
	for _, group := range strings.Split(num, "/") {
		v, err := strconv.ParseUint(strings.TrimPrefix(group, "x"), 10, 16)
		if err != nil || n > 1<<50 {
			return "", 0, 0, false
		}
		n = n*1000 + v
	}
	return level, n, width, tilePath(level, n, width) == path
}

// CheckLog recomputes the whole published log from its entry bundles: every
// leaf hash, every tile that the checkpoint implies, the root, the signature,
// and that the guard agrees. What does not hold is handed to fail, with the
// file's path. Files that the checkpoint does not imply are not looked at. leaf,
// when set, is called for each leaf in order.
func (r *Reader) CheckLog(ctx context.Context, leaf func(i uint64, b []byte) error, fail func(file string, err error)) (Published, error) {
	p := r.Published()
	b, err := os.ReadFile(filepath.Join(r.dir, checkpointName))
	if err != nil {
		return p, err
	}
	if onDisk, err := openNote(b, r.v); err != nil {
		fail(checkpointName, err)
	} else if string(onDisk.Note) != string(p.Note) && onDisk.Size <= p.Size {
		fail(checkpointName, fault.New(fault.Unverified, "the checkpoint on disk is not the one that was published"))
	}
	t := tree{r.dir, p}
	c := &checker{t: t, fail: fail}
	for n := uint64(0); n*tileWidth < p.Size; n++ {
		if err := ctx.Err(); err != nil {
			return p, context.Cause(ctx)
		}
		entries, err := t.bundle(n)
		if err != nil {
			if fault.Of(err) != fault.Unverified {
				return p, err
			}
			fail(tilePath("entries", n, int(min(p.Size-n*tileWidth, tileWidth))), err)
			return p, nil // nothing above can be computed
		}
		for i, e := range entries {
			if leaf != nil {
				if err := leaf(n*tileWidth+uint64(i), e); err != nil {
					return p, err
				}
			}
			c.add(0, tlog.RecordHash(e))
		}
	}
	root, err := c.finish()
	if err != nil {
		return p, err
	}
	if root != p.Root {
		fail("checkpoint", fault.New(fault.Unverified, "the entries have the root %s, the checkpoint says %s",
			base64.StdEncoding.EncodeToString(root[:]), base64.StdEncoding.EncodeToString(p.Root[:])))
	}
	return p, nil
}

// A checker recomputes tiles as hashes come in, a full tile at a time.
type checker struct {
	t      tree
	fail   func(string, error)
	levels []level
}

type level struct {
	done uint64 // full tiles
	open []tlog.Hash
}

func (c *checker) add(l int, h tlog.Hash) {
	for len(c.levels) <= l {
		c.levels = append(c.levels, level{})
	}
	lv := &c.levels[l]
	lv.open = append(lv.open, h)
	if len(lv.open) < tileWidth {
		return
	}
	c.compare(l, lv.done, lv.open)
	root := subtree(lv.open)
	lv.done++
	lv.open = lv.open[:0]
	c.add(l+1, root)
}

// subtree is the root of a run of hashes whose count is a power of two.
func subtree(hs []tlog.Hash) tlog.Hash {
	if len(hs) == 1 {
		return hs[0]
	}
	return tlog.NodeHash(subtree(hs[:len(hs)/2]), subtree(hs[len(hs)/2:]))
}

func (c *checker) compare(l int, n uint64, want []tlog.Hash) {
	path := tilePath(strconv.Itoa(l), n, len(want))
	b, err := readTile(c.t.dir, uint64(l), n, len(want))
	if err != nil {
		c.fail(path, err)
		return
	}
	for i, h := range want {
		if string(b[i*tlog.HashSize:(i+1)*tlog.HashSize]) != string(h[:]) {
			c.fail(path, fault.New(fault.Unverified, "hash %d of the tile is not that of the entries below it", i))
			return
		}
	}
}

// finish compares the partial tiles at the right edge and returns the root.
func (c *checker) finish() (tlog.Hash, error) {
	root, have := emptyRoot, false
	for l := range c.levels {
		lv := &c.levels[l]
		if len(lv.open) == 0 {
			continue
		}
		c.compare(l, lv.done, lv.open)
		// Fold the open hashes from the right: RFC 6962 hashes the largest
		// power of two on the left.
		h := fold(lv.open)
		for i := len(h) - 1; i >= 0; i-- {
			if have {
				root = tlog.NodeHash(h[i], root)
			} else {
				root, have = h[i], true
			}
		}
	}
	return root, nil
}

// fold cuts hashes into runs of falling powers of two and returns their roots,
// the largest first.
func fold(hs []tlog.Hash) []tlog.Hash {
	var out []tlog.Hash
	for len(hs) > 0 {
		n := 1
		for n*2 <= len(hs) {
			n *= 2
		}
		out = append(out, subtree(hs[:n]))
		hs = hs[n:]
	}
	return out
}
