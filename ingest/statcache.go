package ingest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/ingest/source"
	"github.com/cairn-registry/cairn/manifests"
)

const (
	cacheMagic = "cairn-stat/2\n"
	// racy is how close to the start of an Add a file's times may be: a file
	// system may keep times to two seconds, and a file written in the same tick
	// as it was read would not be told from an unchanged one.
	racy = 2 * time.Second
	// maxCachePath bounds a path in the cache, as in a dataset.
	maxCachePath = 4096
)

// cached is what is known of an unchanged file.
type cached struct {
	stat   source.Stat
	link   dag.Link
	sha256 [32]byte
	parts  parts
}

// A statCache remembers the files of one tree under one set of options, in the
// order of the walk, so that old and new are read and written in one pass. It
// counts only when the root that its Add made is still in the store. A cache
// that is damaged counts as none.
//
// The file is: magic; records; a zero byte; parts; the offset of the parts; the
// root's CID and a byte with its length; the xxh64 of all before. A record is the
// path's length and bytes, then the fields of cached, the last of them where its
// parts are: the names of its chunks, then its records.
type statCache struct {
	name    string
	started time.Time

	old  *os.File
	r    *bufio.Reader
	next cacheRecord
	more bool

	tmp *os.File
	w   *bufio.Writer
	n   int64 // bytes written to w
	sum hash.Hash64
	err error

	// The parts are written beside, and appended at the end.
	partsTmp *os.File
	partsW   *bufio.Writer
	partsN   int64
	partsAt  int64 // in the old file
	from     int64 // where the parts of the file at hand begin
}

type cacheRecord struct {
	path string
	cached
}

// openCache opens the old cache and begins a new one.
func (a *adder) openCache(path string) error {
	a.cache = &statCache{started: a.started}
	if a.o.CacheDir == "" {
		return nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.o.CacheDir, 0o700); err != nil {
		return err
	}
	key := xxhash.Sum64String(fmt.Sprintf("%q %s %s %t %t %t %t %s", abs, a.o.Profile.Name, a.chunker, a.o.Hidden, a.o.NoIgnore, a.o.NoFileHash, a.o.NoSketch, a.o.dropKey()))
	a.cache.name = filepath.Join(a.o.CacheDir, fmt.Sprintf("%016x.stat", key))
	root, ok := a.cache.open()
	if ok {
		if ok, err = a.batch.Has(root); err != nil {
			return err
		}
	}
	if !ok {
		a.cache.closeOld()
	}
	return a.cache.create()
}

// open reads the old cache's end and beginning, and its first record.
func (c *statCache) open() (root cid.Cid, ok bool) {
	f, err := os.Open(c.name)
	if err != nil {
		return cid.Undef, false
	}
	c.old = f
	info, err := f.Stat()
	if err != nil || info.Size() < int64(len(cacheMagic))+10 {
		return cid.Undef, false
	}
	// The whole file is hashed before a record of it is believed.
	h := xxhash.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, info.Size()-8)); err != nil {
		return cid.Undef, false
	}
	var tail [8]byte
	if _, err := f.ReadAt(tail[:], info.Size()-8); err != nil || binary.BigEndian.Uint64(tail[:]) != h.Sum64() {
		return cid.Undef, false
	}
	c.r = bufio.NewReaderSize(io.NewSectionReader(f, 0, info.Size()-8), 256<<10)
	head := make([]byte, len(cacheMagic))
	if _, err := io.ReadFull(c.r, head); err != nil || string(head) != cacheMagic {
		return cid.Undef, false
	}
	// The root stands at the end, where the Add knew it.
	var n [1]byte
	if _, err := f.ReadAt(n[:], info.Size()-9); err != nil || int64(n[0]) > info.Size()-9 {
		return cid.Undef, false
	}
	id := make([]byte, int(n[0])+8)
	at := info.Size() - 9 - int64(len(id))
	if _, err := f.ReadAt(id, at); err != nil {
		return cid.Undef, false
	}
	if c.partsAt = int64(binary.BigEndian.Uint64(id)); c.partsAt < 0 || c.partsAt > at {
		return cid.Undef, false
	}
	id = id[8:]
	if root, err = cid.Cast(id); err != nil {
		return cid.Undef, false
	}
	c.more = true
	c.advance()
	return root, true
}

// advance reads the next old record.
func (c *statCache) advance() {
	c.more = false
	n, err := binary.ReadUvarint(c.r)
	if err != nil || n == 0 || n > maxCachePath {
		return
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return
	}
	var v [9]uint64
	for i := range v {
		if v[i], err = binary.ReadUvarint(c.r); err != nil {
			return
		}
	}
	var e cacheRecord
	e.path = string(b)
	e.stat = source.Stat{Size: int64(v[0]), Mtime: int64(v[1]), Ctime: int64(v[2]), Inode: v[3]}
	e.link.Size, e.link.Tsize = v[0], v[4]
	if v[5] > 64 || max(v[6], v[7], v[8]) > 1<<48 {
		return
	}
	id := make([]byte, v[5])
	e.parts.at = io.NewSectionReader(c.old, c.partsAt+int64(v[6]), int64(v[7]+v[8]))
	e.parts.names = int64(v[7])
	if _, err := io.ReadFull(c.r, id); err != nil {
		return
	}
	if e.link.CID, err = cid.Cast(id); err != nil {
		return
	}
	if _, err := io.ReadFull(c.r, e.sha256[:]); err != nil {
		return
	}
	c.next, c.more = e, true
}

// lookup returns what is known of a file that has not changed, or nil.
func (c *statCache) lookup(it *source.Item) *cached {
	for c.more {
		switch d := manifests.ComparePaths(c.next.path, it.Path); {
		case d < 0:
			c.advance()
		case d > 0:
			return nil
		default:
			e := c.next.cached
			c.advance()
			if e.stat != it.Stat {
				return nil
			}
			return &e
		}
	}
	return nil
}

func (c *statCache) create() error {
	f, err := os.CreateTemp(filepath.Dir(c.name), "."+filepath.Base(c.name)+".*")
	if err != nil {
		return err
	}
	c.tmp, c.sum = f, xxhash.New()
	c.w = bufio.NewWriterSize(io.MultiWriter(f, c.sum), 64<<10)
	if c.partsTmp, err = os.CreateTemp(filepath.Dir(c.name), "."+filepath.Base(c.name)+".*"); err != nil {
		return err
	}
	c.partsW = bufio.NewWriterSize(c.partsTmp, 64<<10)
	return c.write([]byte(cacheMagic))
}

func (c *statCache) write(b []byte) error {
	if c.err == nil {
		c.n += int64(len(b))
		_, c.err = c.w.Write(b)
	}
	return c.err
}

// Write takes parts of the file at hand.
func (c *statCache) Write(b []byte) (int, error) {
	if c.err == nil {
		c.partsN += int64(len(b))
		_, c.err = c.partsW.Write(b)
	}
	return len(b), nil // the cache is no reason to fail
}

// begin says whether a file is to be remembered, and where the names of its
// chunks go then. One is not that is so young that a change might go unseen.
func (c *statCache) begin(e *cached) (io.Writer, bool) {
	if c.w == nil || c.err != nil {
		return nil, false
	}
	if limit := c.started.Add(-racy).UnixNano(); e.stat.Mtime >= limit || e.stat.Ctime >= limit || e.stat.Mtime < 0 {
		return nil, false
	}
	c.from = c.partsN
	return c, true
}

// add remembers a file whose names of chunks came since begin.
func (c *statCache) add(path string, e *cached) {
	names := c.partsN - c.from
	rec, err := encodeRecords(e.parts.records)
	if err != nil {
		c.err = err
	}
	c.Write(rec)
	b := binary.AppendUvarint(nil, uint64(len(path)))
	b = append(b, path...)
	id := e.link.CID.Bytes()
	for _, v := range []uint64{uint64(e.stat.Size), uint64(e.stat.Mtime), uint64(e.stat.Ctime), e.stat.Inode, e.link.Tsize, uint64(len(id)), uint64(c.from), uint64(names), uint64(len(rec))} {
		b = binary.AppendUvarint(b, v)
	}
	c.write(append(append(b, id...), e.sha256[:]...))
}

// finish puts the new cache in place, after the commit of what it speaks of.
func (c *statCache) finish(root cid.Cid) error {
	if c.w == nil {
		return nil
	}
	id := root.Bytes()
	c.write([]byte{0})
	at := c.n
	err := errors.Join(c.err, c.partsW.Flush())
	if err == nil {
		_, err = io.Copy(c.w, io.NewSectionReader(c.partsTmp, 0, c.partsN))
	}
	_, werr := c.w.Write(append(append(binary.BigEndian.AppendUint64(nil, uint64(at)), id...), byte(len(id))))
	err = errors.Join(err, werr, c.w.Flush())
	if err == nil {
		_, err = c.tmp.Write(binary.BigEndian.AppendUint64(nil, c.sum.Sum64()))
	}
	if err = errors.Join(err, c.tmp.Close()); err == nil {
		err = os.Rename(c.tmp.Name(), c.name)
	}
	if err == nil {
		c.tmp = nil
	}
	return err
}

func (c *statCache) closeOld() {
	if c.old != nil {
		c.old.Close()
		c.old, c.more = nil, false
	}
}

// close lets go of the files; a new cache that was not finished is removed.
func (c *statCache) close() {
	c.closeOld()
	if c.tmp != nil {
		c.tmp.Close()
		os.Remove(c.tmp.Name())
	}
	if c.partsTmp != nil {
		c.partsTmp.Close()
		os.Remove(c.partsTmp.Name())
	}
}
