package fetches

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A journal is the file of one fetch, named by the hash of its ID: a line of JSON
// that says whose it is, then frames, each appended at once:
//
//	extents  uint32, little-endian like all that follows
//	from, to int64, Unix seconds of the first and last byte
//	extents × { first 16 bytes of the SHA-256 of the leaf's CIDv1, offset uint32, length uint32 }
//	CRC-32C of all that, uint32
//
// It is not synced: what a crash cuts, or leaves half written, is cut off, and
// the record says less.

const (
	suffix      = ".fetch"
	maxHead     = 32 << 10 // a DID, a CID, and a purpose of 4 KiB, escaped
	extentBytes = 24
	frameHead   = 20
	// buffered is how many extents are held in memory before they are written: 4 KiB.
	buffered = 170
	// heavy is how many sent bytes may wait in memory to be noted: what a crash
	// forgets, somebody on a fast network has to fetch again.
	heavy = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An extent is a run of bytes of a leaf.
type extent struct {
	key    [16]byte
	off, n uint32
}

// keyOf is how a leaf is named in an extent: by half of a hash of its whole CID, so
// that nobody can make it the name of a given other leaf. Its digest alone would not
// do: a CID that is its own block ends as its maker likes, and a block in a frame has
// the digest of the frame and the contents together.
func keyOf(c cid.Cid) [16]byte {
	sum := sha256.Sum256(cjson.V1(c).Bytes())
	return [16]byte(sum[:16])
}

// A header says whose fetch of what it is.
type header struct {
	Key       sign.KeyID `json:"key"`
	Statement cjson.CID  `json:"statement"`
	Purpose   string     `json:"purpose,omitempty"`
	OpenedAt  int64      `json:"openedAt"` // Unix seconds
}

// A fetch is an open fetch.
type fetch struct {
	sum  [sha256.Size]byte // of its ID
	head header
	name string // of its file

	mu     sync.Mutex
	used   time.Time // when something was sent last
	over   bool
	loaded bool  // the file was read through once
	size   int64 // of the file, as far as it is good
	stored int   // extents in it
	wait   []extent
	weight uint64 // bytes of those that wait
	// from and to are the first and last second of those that wait.
	from, to int64
	last     *counted      // the last count
	running  int           // requests that send under it
	idle     chan struct{} // closed when none is running any more; nil: nobody waits
}

func (x *fetch) empty() bool { return x.loaded && x.stored == 0 && len(x.wait) == 0 }

// create makes the file of a new fetch. It is not synced: a fetch that a crash
// loses is opened again.
func create(dir string, sum [sha256.Size]byte, h header, now time.Time) (*fetch, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	b = append(b, '\n')
	if len(b) > maxHead {
		return nil, fault.New(fault.Invalid, "the purpose is too long to be kept")
	}
	x := &fetch{sum: sum, head: h, name: filepath.Join(dir, hex.EncodeToString(sum[:])+suffix), used: now, loaded: true, size: int64(len(b))}
	if err := os.WriteFile(x.name, b, 0o600); err != nil {
		os.Remove(x.name)
		if errors.Is(durable.NoSpace(err), fault.NoSpace) {
			return nil, fault.WithHint(fault.New(fault.NoSpace, "the disk of the gateway is full: no fetch can be counted"), "fetch without a record, or try again later")
		}
		return nil, fault.Mark(fault.Internal, err)
	}
	return x, nil
}

// openAll finds the fetches of a folder. Files that are none are left alone, and
// those that cannot be read: one that is damaged stops no server.
func openAll(dir string, log *slog.Logger) ([]*fetch, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	var out []*fetch
	for _, e := range entries {
		text, ok := strings.CutSuffix(e.Name(), suffix)
		sum, err := hex.DecodeString(text)
		if !ok || err != nil || len(sum) != sha256.Size || len(out) == maxFetches {
			continue
		}
		x := &fetch{sum: [sha256.Size]byte(sum), name: filepath.Join(dir, e.Name())}
		if err := x.open(); errors.Is(err, fault.Invalid) {
			os.Remove(x.name) // a crash cut its first line: nothing was counted
			continue
		} else if err != nil {
			log.Error("a fetch cannot be read, and is over", "error", err)
			continue
		}
		out = append(out, x)
	}
	return out, nil
}

func (x *fetch) open() error {
	f, err := os.Open(x.name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n, head, err := readHead(bufio.NewReaderSize(f, maxHead))
	if err != nil {
		return err
	}
	x.head, x.size, x.used = head, info.Size(), info.ModTime()
	x.loaded = n == x.size // nothing was noted
	return nil
}

func readHead(r *bufio.Reader) (n int64, h header, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return 0, h, fault.Mark(fault.Internal, err)
	}
	if err != nil || json.Unmarshal(line, &h) != nil {
		return 0, h, fault.New(fault.Invalid, "no file of a fetch")
	}
	if _, err := sign.ParseKeyID(string(h.Key)); err != nil || !h.Statement.Defined() {
		return 0, h, fault.New(fault.Invalid, "no file of a fetch")
	}
	return int64(len(line)), h, nil
}

// notes are what a journal holds.
type notes struct {
	extents  []extent
	from, to int64
	size     int64 // of the file, as far as it is good
}

// scan reads a journal up to where it is good; extents are handed to fn.
func scan(r io.Reader, fn func(extent)) (n notes, count int, err error) {
	b := bufio.NewReaderSize(r, maxHead)
	if n.size, _, err = readHead(b); err != nil {
		return n, 0, err
	}
	var head [frameHead]byte
	frame := make([]byte, buffered*extentBytes+4)
	for {
		if _, err := io.ReadFull(b, head[:]); err != nil {
			return n, count, nil
		}
		k := int(binary.LittleEndian.Uint32(head[:]))
		if k == 0 || k > buffered || count+k > maxExtents {
			return n, count, nil
		}
		body := frame[:k*extentBytes+4]
		if _, err := io.ReadFull(b, body); err != nil {
			return n, count, nil
		}
		sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, body[:k*extentBytes])
		if sum != binary.LittleEndian.Uint32(body[k*extentBytes:]) {
			return n, count, nil
		}
		from, to := int64(binary.LittleEndian.Uint64(head[4:])), int64(binary.LittleEndian.Uint64(head[12:]))
		if count == 0 {
			n.from, n.to = from, to
		}
		n.from, n.to = min(n.from, from), max(n.to, to)
		for i := range k {
			e := body[i*extentBytes:]
			fn(extent{[16]byte(e), binary.LittleEndian.Uint32(e[16:]), binary.LittleEndian.Uint32(e[20:])})
		}
		count += k
		n.size += int64(len(head) + len(body))
	}
}

// read returns all that is written down.
func (x *fetch) read() (notes, error) {
	f, err := os.Open(x.name)
	if err != nil {
		return notes{}, fault.Mark(fault.Internal, err)
	}
	defer f.Close()
	var list []extent
	n, _, err := scan(f, func(e extent) { list = append(list, e) })
	n.extents = list
	return n, err
}

// load finds out how far the file is good. The caller holds x.mu.
func (f *Fetches) load(x *fetch) error {
	if x.loaded || x.over {
		return nil
	}
	before := x.size
	if err := x.load(); err != nil {
		return err
	}
	f.stored.Add(x.size - before)
	return nil
}

func (x *fetch) load() error {
	f, err := os.Open(x.name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, count, err := scan(f, func(extent) {})
	if err != nil {
		return err
	}
	if n.size < x.size {
		if err := os.Truncate(x.name, n.size); err != nil {
			return err
		}
	}
	x.loaded, x.size, x.stored = true, n.size, count
	return nil
}

// add notes e. The caller holds x.mu.
func (f *Fetches) add(x *fetch, e extent) {
	if x.over || x.stored+len(x.wait) >= maxExtents {
		return
	}
	now := f.o.Now()
	x.used = now
	x.weight += uint64(e.n)
	if at := now.Unix(); len(x.wait) == 0 {
		x.from, x.to = at, at
	} else {
		x.from, x.to = min(x.from, at), max(x.to, at) // the clock may have been set back
		if last := &x.wait[len(x.wait)-1]; last.key == e.key && last.off+last.n == e.off && last.n+e.n > last.n {
			last.n += e.n
			return
		}
	}
	if x.wait = append(x.wait, e); len(x.wait) == buffered || x.weight >= heavy {
		f.write(x)
	}
}

// write appends what waits. What cannot be written is not counted, and logged. The
// caller holds x.mu.
func (f *Fetches) write(x *fetch) {
	if len(x.wait) == 0 || x.over {
		return
	}
	list := x.wait
	x.wait, x.weight = x.wait[:0], 0
	if err := f.load(x); err != nil {
		f.log.Error("a fetch cannot be counted", "error", err)
		return
	}
	list = list[:min(len(list), maxExtents-x.stored)]
	if len(list) == 0 || f.stored.Load() >= maxStored {
		return
	}
	var b bytes.Buffer
	le := binary.LittleEndian
	b.Write(le.AppendUint32(nil, uint32(len(list))))
	b.Write(le.AppendUint64(nil, uint64(x.from)))
	b.Write(le.AppendUint64(nil, uint64(x.to)))
	for _, e := range list {
		b.Write(e.key[:])
		b.Write(le.AppendUint32(le.AppendUint32(nil, e.off), e.n))
	}
	b.Write(le.AppendUint32(nil, crc32.Checksum(b.Bytes(), castagnoli)))
	if err := appendAt(x.name, x.size, b.Bytes()); err != nil {
		f.log.Error("a fetch cannot be counted", "error", err)
		return
	}
	x.size += int64(b.Len())
	x.stored += len(list)
	f.stored.Add(int64(b.Len()))
}

// appendAt writes b at the end of a file that is good up to size, or cuts it there.
func appendAt(name string, size int64, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, size)
	if err != nil {
		err = errors.Join(err, f.Truncate(size))
	}
	return errors.Join(err, f.Close())
}
