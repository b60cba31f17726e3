package translog

import (
	"context"
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
	tileHeight = proof.TileHeight
	tileWidth  = proof.TileWidth
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

// file reads the file of a tile or bundle by its path.
func (d tiles) file(_ context.Context, path string) ([]byte, error) {
	level, n, width, ok := parseTilePath(path)
	if !ok {
		return nil, fault.New(fault.Invalid, "%s is no path of a tile", fault.Quote(path))
	}
	if level == proof.LevelEntries {
		return readFile(d.dir, level, n, width, cutBundle(width))
	}
	l, err := strconv.ParseUint(level, 10, 8)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	return readTile(d.dir, l, n, width)
}

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

// readFile reads a tile or bundle of exactly the given width. Where the partial
// one is gone because the full one exists, it is cut from that by cut.
func readFile(dir, level string, n uint64, width int, cut func([]byte) ([]byte, error)) ([]byte, error) {
	name := filepath.Join(dir, filepath.FromSlash(proof.TilePath(level, n, width)))
	b, err := readBounded(name)
	if errors.Is(err, fs.ErrNotExist) && width < tileWidth {
		full := filepath.Join(dir, filepath.FromSlash(proof.TilePath(level, n, tileWidth)))
		if b, err = readBounded(full); err == nil {
			return cut(b)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Unverified, "the log lacks %s", proof.TilePath(level, n, width))
	}
	return b, err
}

func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > proof.MaxTile {
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
		return nil, fault.New(fault.Unverified, "%s has %d bytes, not %d", proof.TilePath(strconv.FormatUint(level, 10), n, width), len(b), width*tlog.HashSize)
	}
	return b, nil
}

// bundle returns the entries of bundle n, as many as the tree's size implies.
func (t tree) bundle(n uint64) ([][]byte, error) {
	width := int(min(t.Size-n*tileWidth, tileWidth))
	b, err := readFile(t.dir, "entries", n, width, cutBundle(width))
	if err != nil {
		return nil, err
	}
	entries, rest, err := proof.SplitEntries(b, width)
	if err == nil && len(rest) > 0 {
		err = errors.New("there is something behind its entries")
	}
	if err != nil {
		return nil, fault.New(fault.Unverified, "%s is damaged: %w", proof.TilePath("entries", n, width), err)
	}
	return entries, nil
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
	if uint64(width) > have {
		return nil, missing
	}
	// A partial that an earlier checkpoint implied is the head of what is there
	// now: a client that follows that checkpoint still gets it.
	if level == "entries" {
		b, err := readFile(r.dir, level, n, int(have), cutBundle(int(have)))
		if err != nil || width == int(have) {
			return b, err
		}
		return cutBundle(width)(b)
	}
	b, err := readTile(r.dir, shift/tileHeight, n, int(have))
	if err != nil {
		return nil, err
	}
	return b[:width*tlog.HashSize], nil
}

// cutBundle returns a function that cuts a bundle after width entries.
func cutBundle(width int) func([]byte) ([]byte, error) {
	return func(full []byte) ([]byte, error) {
		_, rest, err := proof.SplitEntries(full, width)
		return full[:len(full)-len(rest)], err
	}
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
	return level, n, width, proof.TilePath(level, n, width) == path
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
	_, err = proof.Recompute(ctx, proof.Checkpoint{Origin: r.Origin(), Size: p.Size, Root: p.Root}, tiles{r.dir}.file, leaf, fail)
	return p, err
}
