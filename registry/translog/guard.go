package translog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// guardName is the file in the trust folder that holds the last note
	// this log signed.
	guardName      = "last-signed"
	checkpointName = "checkpoint"
)

// Why a log is not opened for appending. In each case nothing was signed and
// nothing was changed.
var (
	// ErrNoGuard: the trust folder does not remember this log.
	ErrNoGuard = errors.New("the trust folder has no record of what this log signed last")
	// ErrNoState: the log folder, or Tessera's part of it, is missing.
	ErrNoState = errors.New("the log folder has no tree state")
	// ErrBehind: the log is smaller than one that was already signed.
	ErrBehind = errors.New("the log is older than what it has signed already")
	// ErrForked: the log has another history than the one signed, or its
	// tiles are damaged.
	ErrForked = errors.New("the log does not contain the tree it signed last")
)

// guard signs checkpoints, each only after it is on disk in the trust folder,
// and refuses what would be a second history: a smaller size, another root for
// one size, a tree that does not extend the last one. It is the one way to the
// log's key.
type guard struct {
	path     string
	verifier note.Verifier
	signer   note.Signer

	// extends reports whether the tree on disk of the second checkpoint
	// contains the first; nil before the log is open.
	extends func(old, new Published) error
	// refused is told of an error of Sign, signed of a new note.
	refused func(error) error
	signed  func()

	// mu guards last and stopped; it is held while the guard file is
	// written, so that signatures leave one after another.
	mu      sync.Mutex
	last    Published
	stopped error
}

var _ note.Signer = (*guard)(nil)

func newGuard(trustDir string, v note.Verifier) *guard {
	return &guard{path: filepath.Join(trustDir, guardName), verifier: v}
}

// loadGuard reads the guard file. Without one the error is ErrNoGuard; one that
// does not verify under v is fault.Unverified.
func loadGuard(trustDir string, v note.Verifier) (*guard, error) {
	g := newGuard(trustDir, v)
	b, err := os.ReadFile(g.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoGuard
	}
	if err != nil {
		return nil, fmt.Errorf("reading what the log signed last: %w", err)
	}
	g.last, err = openNote(b, v)
	if err != nil {
		return nil, fault.WithHint(fault.New(fault.Unverified, "%s, the record of what this log signed last: %w", g.path, err),
			"if the log key was not changed, the file is damaged: put it back from a copy, or copy the log's newest published checkpoint there")
	}
	return g, nil
}

func (g *guard) Name() string    { return g.verifier.Name() }
func (g *guard) KeyHash() uint32 { return g.verifier.KeyHash() }

// Last returns the note signed last.
func (g *guard) Last() Published {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last
}

// stop makes every later Sign fail with err.
func (g *guard) stop(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped == nil {
		g.stopped = err
	}
}

// Sign implements [note.Signer]. When it returns a signature, the note it
// makes is on disk in the trust folder. An error of Sign is final.
func (g *guard) Sign(msg []byte) ([]byte, error) {
	g.mu.Lock()
	if g.stopped != nil {
		defer g.mu.Unlock()
		return nil, g.stopped
	}
	sig, err := g.sign(msg)
	if err != nil {
		err = fmt.Errorf("signing a checkpoint: %w", err)
		g.stopped = err
	}
	g.mu.Unlock()
	switch {
	case err != nil && g.refused != nil:
		return nil, g.refused(err)
	case err != nil:
		return nil, err
	case g.signed != nil:
		g.signed()
	}
	return sig, nil
}

func (g *guard) sign(msg []byte) ([]byte, error) {
	next, err := parseTree(string(msg), g.Name())
	if err != nil {
		return nil, err
	}
	if err := g.allow(next); err != nil {
		return nil, err
	}
	sig, err := g.signer.Sign(msg)
	if err != nil {
		return nil, err
	}
	next.Note = formatNote(msg, g.Name(), g.KeyHash(), sig)
	if _, err := openNote(next.Note, g.verifier); err != nil {
		return nil, fmt.Errorf("the log key made a signature that does not verify: %w", err)
	}
	if !bytes.Equal(next.Note, g.last.Note) {
		if err := durable.WriteFile(g.path, next.Note, 0o600); err != nil {
			return nil, fmt.Errorf("recording it first: %w", err)
		}
	}
	g.last = next
	return sig, nil
}

// allow holds next against the last signed tree.
func (g *guard) allow(next Published) error {
	last := g.last
	switch {
	case last.Note == nil:
		if next.Size != 0 {
			return fmt.Errorf("%w: a first checkpoint of size %d", ErrNoGuard, next.Size)
		}
	case next.Size < last.Size:
		return fmt.Errorf("%w: asked to sign size %d after %d", ErrBehind, next.Size, last.Size)
	case next.Size == last.Size && next.Root != last.Root:
		return fmt.Errorf("%w: a second root for size %d", ErrForked, next.Size)
	case next.Size > last.Size && g.extends != nil:
		return g.extends(last, next)
	}
	if next.Size == 0 && next.Root != emptyRoot {
		return fmt.Errorf("%w: an empty log with a root", ErrForked)
	}
	return nil
}

// state is Tessera's record of the integrated tree.
type state struct {
	Size uint64    `json:"size"`
	Root []byte    `json:"root"`
	hash tlog.Hash // Root, checked
}

func readState(dir string) (state, error) {
	b, err := os.ReadFile(filepath.Join(dir, ".state", "treeState"))
	if err != nil {
		return state{}, fmt.Errorf("reading the log's tree state: %w", err)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil || len(s.Root) != tlog.HashSize {
		return state{}, fault.New(fault.Unverified, "the log's tree state, %s, is damaged", filepath.Join(dir, ".state", "treeState"))
	}
	s.hash = tlog.Hash(s.Root)
	return s, nil
}

// verifyStart decides whether this log may be signed again, and returns the
// guard to sign it with. It changes nothing but the guard file, and that only
// upwards: a valid checkpoint file that is ahead of the guard, and whose tree
// the log holds, becomes the guard.
func verifyStart(cfg Config, v note.Verifier, log *slog.Logger) (*guard, state, error) {
	restore := func(err error) error {
		return fault.WithHint(fault.Mark(fault.Conflict, err),
			"nothing was signed; put the newest copy of the whole log folder (%s, with its hidden .state folder) and of %s back, or start a new registry",
			cfg.Dir, filepath.Join(cfg.TrustDir, guardName))
	}
	g, gerr := loadGuard(cfg.TrustDir, v)
	st, serr := readState(cfg.Dir)
	noState := errors.Is(serr, fs.ErrNotExist)
	switch {
	case errors.Is(gerr, ErrNoGuard) && noState:
		return nil, st, fault.WithHint(fault.New(fault.NotFound, "there is no log in %s", cfg.Dir), "make one with \"cairn init\"")
	case errors.Is(gerr, ErrNoGuard):
		return nil, st, restore(ErrNoGuard)
	case gerr != nil:
		return nil, st, gerr
	case noState:
		return nil, st, restore(fmt.Errorf("%w, and %d entries were signed", ErrNoState, g.last.Size))
	case serr != nil:
		return nil, st, fault.WithHint(serr, "put the newest copy of the log folder back")
	}

	// A checkpoint that was published has been seen: it binds as the guard does.
	if b, err := os.ReadFile(filepath.Join(cfg.Dir, checkpointName)); err == nil {
		if p, err := openNote(b, v); err == nil && p.Size > g.last.Size {
			log.Warn("guard is older than the published checkpoint", "guard", g.last.Size, "published", p.Size)
			if st.Size >= p.Size {
				if err := holds(cfg.Dir, st, p); err != nil {
					return nil, st, restore(err)
				}
			}
			if err := holds(cfg.Dir, st, g.last); err != nil {
				return nil, st, restore(err)
			}
			if st.Size < p.Size {
				return nil, st, restore(fmt.Errorf("%w: %d entries, %d published", ErrBehind, st.Size, p.Size))
			}
			if err := durable.WriteFile(g.path, p.Note, 0o600); err != nil {
				return nil, st, fmt.Errorf("recording the published checkpoint: %w", err)
			}
			g.last = p
		}
	}
	if st.Size < g.last.Size {
		return nil, st, restore(fmt.Errorf("%w: %d entries, %d signed", ErrBehind, st.Size, g.last.Size))
	}
	if st.Size < cfg.KnownSize {
		return nil, st, restore(fmt.Errorf("%w: %d entries, and %d are known to have been published", ErrBehind, st.Size, cfg.KnownSize))
	}
	if err := holds(cfg.Dir, st, g.last); err != nil {
		return nil, st, restore(err)
	}
	return g, st, nil
}

// holds checks, from the tiles on disk, that the tree of st is what its root
// says and contains the tree of p.
func holds(dir string, st state, p Published) error {
	if st.Size < p.Size {
		return fmt.Errorf("%w: %d entries, %d signed", ErrBehind, st.Size, p.Size)
	}
	t := tree{dir: dir, Published: Published{Size: st.Size, Root: st.hash}}
	root, err := t.rootAt(p.Size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForked, err)
	}
	if root != p.Root {
		return fmt.Errorf("%w: another root at size %d", ErrForked, p.Size)
	}
	return nil
}

// publishGuard makes the checkpoint file the guard's note, if it is not: it
// may be missing or damaged, or a crash came between signing and publishing.
func publishGuard(dir string, g *guard) error {
	name := filepath.Join(dir, checkpointName)
	if b, err := os.ReadFile(name); err == nil && bytes.Equal(b, g.last.Note) {
		return nil
	}
	if err := durable.WriteFile(name, g.last.Note, 0o644); err != nil {
		return fmt.Errorf("publishing the last signed checkpoint: %w", err)
	}
	return nil
}

// unstick sets a checkpoint file from the future to now; Tessera publishes
// only when that file is old enough.
func unstick(dir string) error {
	name := filepath.Join(dir, checkpointName)
	fi, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("looking at the checkpoint's time: %w", err)
	}
	// Tessera uses the process's clock, so an injected one would not do.
	if now := time.Now(); fi.ModTime().After(now) {
		if err := os.Chtimes(name, now, now); err != nil {
			return fmt.Errorf("mending the checkpoint's time: %w", err)
		}
	}
	return nil
}

// formatNote puts a note of one signature together.
func formatNote(text []byte, name string, hash uint32, sig []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, hash)
	b = append(b, sig...)
	return fmt.Appendf(nil, "%s\n— %s %s\n", text, name, base64.StdEncoding.EncodeToString(b))
}

// mkdirSynced makes dir and its missing parents, each synced into its parent.
func mkdirSynced(dir string, perm fs.FileMode) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := mkdirSynced(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.Sync(filepath.Dir(dir))
}
