package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// sweepEvery is the least time between two looks for files that nobody
	// committed.
	sweepEvery = 10 * time.Minute
	// copyBuffer is the memory of an upload.
	copyBuffer = 256 << 10
	partSuffix = ".part"
)

// A stage keeps what was sent and is not committed yet, in files named by their
// SHA-256, each token's in a folder of its own: nobody commits what others sent.
// A file is there whole or not at all. It is safe for concurrent use.
//
// A crash leaves at most files that end in .part, which the next start removes;
// whole ones wait for their commit until they are too old.
type stage struct {
	dir string
	l   Limits
	now func() time.Time

	// mu guards what follows, and every rename and removal below dir, so that
	// used is what lies there plus what is reserved.
	mu    sync.Mutex
	used  map[string]usage // by folder
	swept time.Time
}

type usage struct {
	bytes int64
	files int
}

// folder names the folder of a token.
func folder(token string) string {
	sum := sha256.Sum256([]byte("token\x00" + token))
	return hex.EncodeToString(sum[:16])
}

func openStage(dir string, l Limits, now func() time.Time) (*stage, error) {
	s := &stage{dir: filepath.Join(dir, "staged"), l: l, now: now, used: make(map[string]usage)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if err := s.walk(func(folder, path string, info fs.FileInfo) error {
		if strings.HasSuffix(path, partSuffix) || s.old(info) {
			return os.Remove(path)
		}
		s.count(folder, info.Size(), 1)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading the staged uploads: %w", err)
	}
	s.swept = now()
	return s, nil
}

func (s *stage) old(info fs.FileInfo) bool { return s.now().Sub(info.ModTime()) > s.l.Keep }

// walk visits the files of all folders.
func (s *stage) walk(fn func(folder, path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(filepath.Base(filepath.Dir(path)), path, info)
	})
}

// count changes what a folder uses. mu is held, or nobody else knows of s yet.
func (s *stage) count(folder string, bytes int64, files int) {
	u := s.used[folder]
	u.bytes += bytes
	u.files += files
	if u == (usage{}) {
		delete(s.used, folder)
		return
	}
	s.used[folder] = u
}

// room returns what a token may still send.
func (s *stage) room(token string) (bytes int64, files int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.used[folder(token)]
	return s.l.StagedBytes - u.bytes, s.l.StagedFiles - u.files
}

// sweep removes what waited too long for its commit, now and then.
func (s *stage) sweep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.swept) < sweepEvery {
		return nil
	}
	s.swept = s.now()
	return s.walk(func(folder, path string, info fs.FileInfo) error {
		// Whoever still writes a part has reserved it, and removes it.
		if strings.HasSuffix(path, partSuffix) || !s.old(info) {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		s.count(folder, -info.Size(), -1)
		return nil
	})
}

func (s *stage) path(token, oid string) string { return filepath.Join(s.dir, folder(token), oid) }

// has returns the size of a file that a token sent, and lets it wait anew.
func (s *stage) has(token, oid string) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.path(token, oid)
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	now := s.now()
	os.Chtimes(path, now, now)
	return info.Size(), true
}

func (s *stage) open(token, oid string) (*os.File, error) {
	return os.Open(s.path(token, oid))
}

// put takes a file of size bytes whose SHA-256 is oid. When it returns nil the
// file is durable. Room is reserved before a byte is read. fault.TooLarge is a
// token that has too much here, fault.Unverified bytes that are not those of oid,
// fault.Invalid fewer or more of them.
func (s *stage) put(ctx context.Context, token, oid string, size int64, body io.Reader) (err error) {
	if n, ok := s.has(token, oid); ok && n == size {
		return nil
	}
	name := folder(token)
	if err := s.reserve(name, size, 1); err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			s.release(name, size, 1)
		}
		if errors.Is(err, syscall.ENOSPC) {
			err = fault.Mark(fault.NoSpace, err)
		}
	}()
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, oid+"-*"+partSuffix)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if !kept {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(f, sum), io.LimitReader(onlyReader{body}, size+1), make([]byte, copyBuffer))
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return err
		}
		return fault.Mark(fault.Interrupted, fmt.Errorf("reading the file: %w", err))
	}
	if n != size {
		return fault.New(fault.Invalid, "the file has not the %d bytes that were announced", size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != oid {
		return fault.New(fault.Unverified, "the bytes have the SHA-256 %s, not %s", got, oid)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	// Its age is by the clock that [stage.old] asks.
	at := s.now()
	if err := os.Chtimes(f.Name(), at, at); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.path(token, oid)
	if _, err := os.Stat(path); err == nil {
		// Sent twice at once; the other one's room is taken already.
		os.Remove(f.Name())
		s.count(name, -size, -1)
		kept = true
		return nil
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	kept = true
	return durable.Sync(dir)
}

// drop removes files that a commit took.
func (s *stage) drop(token string, oids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, oid := range oids {
		path := s.path(token, oid)
		info, err := os.Stat(path)
		if err == nil && os.Remove(path) == nil {
			s.count(folder(token), -info.Size(), -1)
		}
	}
}

// A spool keeps the small files of a commit while it is worked on, in a file
// without a name. What it holds counts as sent by its token.
type spool struct {
	*os.File
	s      *stage
	folder string
	n      int64
}

func (s *stage) spool(token string) (*spool, error) {
	f, err := os.CreateTemp(s.dir, "commit-*"+partSuffix)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &spool{File: f, s: s, folder: folder(token)}, nil
}

// Write appends b. fault.TooLarge is a token that has too much here.
func (p *spool) Write(b []byte) (int, error) {
	n := int64(len(b))
	if err := p.s.reserve(p.folder, n, 0); err != nil {
		return 0, err
	}
	p.n += n
	w, err := p.File.Write(b)
	if errors.Is(err, syscall.ENOSPC) {
		err = fault.Mark(fault.NoSpace, err)
	}
	return w, err
}

// Close drops what the spool holds.
func (p *spool) Close() error {
	p.s.release(p.folder, p.n, 0)
	p.n = 0
	return p.File.Close()
}

// reserve takes room for bytes and files before they come.
func (s *stage) reserve(folder string, bytes int64, files int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.used[folder]
	if u.bytes > s.l.StagedBytes-bytes || u.files > s.l.StagedFiles-files {
		return fault.WithHint(fault.New(fault.TooLarge, "this token has %d bytes in %d files here that are not committed; %d bytes in %d files are allowed", u.bytes, u.files, s.l.StagedBytes, s.l.StagedFiles),
			"commit what was sent, or wait until it is dropped")
	}
	s.count(folder, bytes, files)
	return nil
}

func (s *stage) release(folder string, bytes int64, files int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(folder, -bytes, -files)
}

// onlyReader hides the other abilities of a reader, so that the buffer is used.
type onlyReader struct{ io.Reader }

// loadSecret reads the key that signs upload URLs, and makes it when there is
// none: URLs outlive a restart.
func loadSecret(dir string) (secret [32]byte, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return secret, err
	}
	path := filepath.Join(dir, "secret")
	b, err := os.ReadFile(path)
	if err == nil && len(b) == len(secret) {
		return [32]byte(b), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	rand.Read(secret[:])
	tmp := path + partSuffix
	if err := os.WriteFile(tmp, secret[:], 0o600); err != nil {
		return secret, err
	}
	return secret, os.Rename(tmp, path)
}
