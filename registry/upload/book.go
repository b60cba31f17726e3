package upload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/auth"
)

const (
	// extraDir is the folder, beside the sessions, of what owners have stored that
	// the log does not count: what comes with the files of a version, and uploads
	// that were taken in and named by no accepted statement.
	extraDir = "extra"
	// freeExtra is how much of it an upload has free: a manifest, the nodes of a
	// tree, a sketch.
	freeExtra = 256 << 10
)

// An extra is what is kept of an owner's. Last is the session that was counted
// last, so that none counts twice when a commit is repeated after a crash.
type extra struct {
	Owner string `json:"owner"`
	Bytes int64  `json:"bytes"`
	Last  string `json:"last"`
}

func (s *Server) extraFile(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return filepath.Join(s.o.Dir, extraDir, hex.EncodeToString(sum[:]))
}

func (s *Server) extra(owner string) (x extra, err error) {
	b, err := os.ReadFile(s.extraFile(owner))
	if errors.Is(err, fs.ErrNotExist) {
		return extra{Owner: owner}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &x)
	}
	return x, err
}

// charge counts what a session put into the store beyond the bytes that the log
// counts. It is durable when charge returns nil. The owner is locked.
func (s *Server) charge(one *session, counted int64) (int64, error) {
	more := one.hold.bytes - counted
	if more <= freeExtra {
		return 0, nil
	}
	x, err := s.extra(one.rec.Owner)
	if err != nil || x.Last == one.rec.ID {
		return more, err
	}
	x.Bytes, x.Last = x.Bytes+more, one.rec.ID
	b, err := json.Marshal(x)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Join(s.o.Dir, extraDir), 0o700); err != nil {
		return 0, err
	}
	return more, durable.NoSpace(durable.WriteFile(s.extraFile(one.rec.Owner), b, 0o600))
}

// stored is what an owner has in the store already: the versions of a key, and
// what is counted beside them.
func (s *Server) stored(owner string, key sign.KeyID) (int64, error) {
	n, err := storedBy(s.o.Registry, key)
	if err != nil {
		return 0, err
	}
	x, err := s.extra(owner)
	return n + x.Bytes, err
}

// Reserve takes from a caller's quota for a version of a key's that comes by
// another way than an upload, with the given bytes of files. It counts as a
// statement, and its bytes as stored, until done says how many were in the end.
// Codes: fault.Busy for too many statements, fault.TooLarge for too many bytes,
// fault.NoSpace. A nil Server has no quotas.
func (s *Server) Reserve(c auth.Caller, key sign.KeyID, bytes int64) (done func(stored int64), err error) {
	if s == nil {
		return func(int64) {}, nil
	}
	if bytes < 0 {
		return nil, fault.New(fault.Invalid, "%d bytes", bytes)
	}
	owner, h := ownerOf(c), holding{claims: bytes}
	if err := s.book.reserve(owner, h, s.now(), func() (int64, error) { return s.stored(owner, key) }); err != nil {
		return nil, err
	}
	return func(stored int64) { s.book.release(owner, h, stored) }, nil
}

// Room returns fault.NoSpace when the file system is nearly full once need more
// bytes are on it. A nil Server does not look.
func (s *Server) Room(need int64) error {
	if s == nil {
		return nil
	}
	return s.room(need)
}
