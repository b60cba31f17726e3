package upload

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A session's folder holds its record and its shards:
//
//	<id>/envelope.json    the statement, signed; written before the record
//	<id>/session.json     the record
//	<id>/<sha256>.car     a shard that is whole: a private pack, with a commit frame
//	<id>/<sha256>.idx     where its blocks lie
//	<id>/*.tmp            a shard that is coming in
//
// The record is written before the session is answered. A shard counts once its
// .car stands under its name, which is after both files are synced.
const (
	recordFile = "session.json"
	signedFile = "envelope.json"
	shardExt   = ".car"
	indexExt   = ".idx"
	tempExt    = ".tmp"
)

// The stages of a session. What is promoted is in the store, or on its way.
const (
	stageOpen      = "open"
	stagePromoting = "promoting"
	stageCommitted = "committed"
)

// A record is what is kept of a session on disk.
type record struct {
	ID        string          `json:"id"`
	Owner     string          `json:"owner"`         // key, or token:NAME
	Key       sign.KeyID      `json:"key,omitempty"` // whose statements are bases
	Stage     string          `json:"stage"`
	Opened    int64           `json:"opened"`  // Unix seconds
	Expires   int64           `json:"expires"` // Unix seconds, as it was when written
	Statement cjson.CID       `json:"statement"`
	Envelope  cjson.CID       `json:"envelopeCID"`
	Open      wire.OpenUpload `json:"open,omitzero"` // without the envelope; without shards once committed
	Claims    int64           `json:"claims"`        // bytes of files that the statement adds to what is stored
	Result    *wire.Submitted `json:"result,omitempty"`
}

// A session is an upload on its way.
type session struct {
	dir  string
	hold holding

	// busy is held shared while a shard comes in, and alone while the session is
	// committed or dropped.
	busy sync.RWMutex
	// ctx ends when the session is dropped, so that shards that are coming in stop.
	ctx  context.Context
	stop context.CancelFunc

	mu sync.Mutex // guards what follows; held for moments
	// rec's ID, Owner, Key, Statement and Envelope never change.
	rec      record
	sums     []string // of the declared shards, in their order; none once committed
	expires  time.Time
	declared map[string]int64 // bytes by SHA-256
	have     map[string]bool
	gone     bool
	commit   *commitRun // running, or the last one that failed
}

// holding is what the declaration adds up to.
func (r *record) holding() holding {
	h := holding{sessions: 1, blocks: r.Open.TotalBlocks, shards: int64(len(r.Open.Shards))}
	for _, s := range r.Open.Shards {
		h.bytes += s.Bytes
	}
	h.claims = max(r.Claims, h.bytes)
	return h
}

// envelope reads the signed statement.
func (s *session) envelope() ([]byte, error) {
	return os.ReadFile(filepath.Join(s.dir, signedFile))
}

// forget gives back the memory of the shards of a session that is committed.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums, s.declared, s.have = nil, nil, nil
}

func newSession(dir string, rec record) *session {
	s := &session{dir: dir, rec: rec, hold: rec.holding(), expires: time.Unix(rec.Expires, 0), declared: make(map[string]int64), have: make(map[string]bool)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, sh := range rec.Open.Shards {
		s.declared[sh.SHA256] = sh.Bytes
		s.sums = append(s.sums, sh.SHA256)
	}
	return s
}

// loadSession reads a session's folder as a crash may have left it.
func loadSession(dir string) (*session, error) {
	b, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return nil, err
	}
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, err
	}
	if rec.ID != filepath.Base(dir) {
		return nil, fault.New(fault.Internal, "the record in %s is that of another session", dir)
	}
	s := newSession(dir, rec)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		switch sum, ext := cutExt(name); {
		case name == recordFile, name == signedFile:
		case ext == shardExt && s.declared[sum] > 0 && rec.Stage != stageCommitted:
			s.have[sum] = true
			if info, err := e.Info(); err == nil {
				s.expires = maxTime(s.expires, info.ModTime().Add(time.Unix(rec.Expires, 0).Sub(time.Unix(rec.Opened, 0))))
			}
		case ext == indexExt && s.declared[sum] > 0 && rec.Stage == stagePromoting:
		case ext == indexExt && s.declared[sum] > 0:
			if _, err := os.Lstat(filepath.Join(dir, sum+shardExt)); errors.Is(err, fs.ErrNotExist) {
				os.Remove(filepath.Join(dir, name))
			}
		default:
			os.RemoveAll(filepath.Join(dir, name)) // half a shard, or half a record
		}
	}
	return s, nil
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func cutExt(name string) (base, ext string) {
	ext = filepath.Ext(name)
	return name[:len(name)-len(ext)], ext
}

// save writes the record durably; s.mu is held, or nobody else has s yet.
func (s *session) save() error {
	b, err := json.Marshal(s.rec)
	if err != nil {
		return err
	}
	return durable.NoSpace(durable.WriteFile(filepath.Join(s.dir, recordFile), b, 0o600))
}

// missing lists the declared shards that are not here, each once; s.mu is held.
func (s *session) missing() []string {
	out := []string{}
	if s.rec.Stage != stageOpen {
		return out
	}
	seen := make(map[string]bool)
	for _, sum := range s.sums {
		if !s.have[sum] && !seen[sum] {
			out = append(out, sum)
			seen[sum] = true
		}
	}
	return out
}

// state describes the session.
func (s *session) state() wire.Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := wire.Upload{ID: s.rec.ID, State: wire.UploadOpen, ExpiresAt: s.expires.UTC().Format(time.RFC3339), Missing: s.missing(), Result: s.rec.Result}
	switch {
	case s.rec.Stage == stageCommitted:
		u.State = wire.UploadCommitted
	case s.commit != nil && s.commit.running():
		u.State = wire.UploadCommitting
	}
	return u
}

// indexRow is the length of a row of a shard's index: digest, offset of the
// block's bytes in the .car, their length, the CID's codec.
const indexRow = sha256.Size + 8 + 4 + 4

// An indexWriter writes a shard's index.
type indexWriter struct {
	f *os.File
	w *bufio.Writer
}

func createIndex(name string) (*indexWriter, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &indexWriter{f, bufio.NewWriterSize(f, 16<<10)}, nil
}

func (w *indexWriter) add(c cid.Cid, offset int64, size int) error {
	h := c.Hash()
	row := append(make([]byte, 0, indexRow), h[len(h)-sha256.Size:]...)
	row = binary.BigEndian.AppendUint64(row, uint64(offset))
	row = binary.BigEndian.AppendUint32(row, uint32(size))
	row = binary.BigEndian.AppendUint32(row, uint32(c.Prefix().Codec))
	_, err := w.w.Write(row)
	return err
}

func (w *indexWriter) close() error {
	err := w.w.Flush()
	if err == nil {
		err = w.f.Sync()
	}
	return errors.Join(err, w.f.Close())
}

// readIndex hands every row of a shard's index to fn.
func readIndex(name string, fn func(d [sha256.Size]byte, offset int64, size uint32, codec uint64) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, readBuffer)
	var row [indexRow]byte
	for {
		if _, err := io.ReadFull(r, row[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		at := row[sha256.Size:]
		err := fn([sha256.Size]byte(row[:sha256.Size]), int64(binary.BigEndian.Uint64(at)), binary.BigEndian.Uint32(at[8:]), uint64(binary.BigEndian.Uint32(at[12:])))
		if err != nil {
			return err
		}
	}
}

// isSum reports whether a text is a SHA-256 as shards are named.
func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && hex.EncodeToString(b) == s
}
