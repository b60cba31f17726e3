package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/translog"
)

// Rebuild deletes the index and replays the log into a new one. The registry
// answers nothing meanwhile. It returns the entries applied and the fold's
// digest, which are those from before, unless the old index was wrong.
// progress, when set, is told how many entries of how many are applied.
func Rebuild(ctx context.Context, cfg Config, progress func(done, total uint64)) (applied uint64, digest [32]byte, err error) {
	if err := os.RemoveAll(cfg.indexDir()); err != nil {
		return 0, digest, err
	}
	if err := os.RemoveAll(cfg.indexDir() + ".aside"); err != nil {
		return 0, digest, err
	}
	if progress != nil {
		ctx = WithProgress(ctx, func(s Stage, done, total uint64) {
			if s == StageReplay {
				progress(done, total)
			}
		})
	}
	r, err := Open(ctx, cfg)
	if err != nil {
		return 0, digest, err
	}
	s := r.Status()
	if !s.Ready {
		err = fault.New(fault.Internal, "the rebuild stopped: %s", s.Reason)
	}
	return s.Applied, s.Digest, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
}

// CheckFiles checks the log in the home dir as its files lie there, without
// opening it: the checkpoint's signature, every entry bundle and tile that it
// implies, the root. It returns what does not hold.
func CheckFiles(ctx context.Context, dir, vkey string) ([]proof.Finding, error) {
	var out []proof.Finding
	fail := func(file string, err error) {
		out = append(out, proof.Finding{Check: "log", Status: proof.Fails, Subject: file, Detail: err.Error(), Code: string(fault.Of(err))})
	}
	log, err := translog.OpenReadOnly(Config{Dir: dir, VKey: vkey}.translog(0))
	if errors.Is(err, fault.Unverified) {
		fail("checkpoint", err)
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = log.CheckLog(ctx, telling(ctx, log.Published().Size), fail)
	return out, err
}

// telling returns a function to hand leaves to, that says how many of size there were.
func telling(ctx context.Context, size uint64) func(i uint64, leaf []byte) error {
	return func(i uint64, _ []byte) error {
		Tell(ctx, StageLog, i+1, max(size, i+1))
		return nil
	}
}

// A CheckReport is the outcome of [Registry.Check].
type CheckReport struct {
	Size     uint64
	Root     [32]byte
	Digest   [32]byte // recomputed
	Verdicts map[string]uint64
	Findings []proof.Finding // what does not hold
}

// Check recomputes everything from the log's entry bundles: every tile that the
// checkpoint implies, the root, the signature; every body; every verdict, the
// digest chain, and the index, whose rows are compared with those of a replay
// into a temporary one. What does not hold becomes a finding. The error is for
// what could not be checked.
func (r *Registry) Check(ctx context.Context, progress func(done, total uint64)) (*CheckReport, error) {
	out := &CheckReport{Verdicts: make(map[string]uint64)}
	fail := func(check, subject string, err error) {
		out.Findings = append(out.Findings, proof.Finding{Check: check, Status: proof.Fails, Subject: subject, Detail: err.Error(), Code: string(fault.Of(err))})
	}
	p, err := r.tlog.CheckLog(ctx, telling(ctx, r.tlog.Published().Size), func(file string, err error) { fail("log", file, err) })
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	out.Size, out.Root = p.Size, p.Root
	if len(out.Findings) > 0 {
		return out, nil // what the entries are is not known
	}

	dir, err := os.MkdirTemp(r.cfg.Dir, "check-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	x, err := index.Open(filepath.Join(dir, "index"), index.Options{Origin: r.origin, Rebuild: true, Log: r.log})
	if err != nil {
		return nil, err
	}
	defer x.Close()
	out.Digest = fold.Genesis(r.origin)
	err = x.Replay(ctx, 0, r.bodies(ctx, r.tlog.Reader, 0, p.Size), func(o index.Outcome) error {
		v := string(o.Result.Verdict)
		if o.Result.Code != "" {
			v += ": " + string(o.Result.Code)
		}
		out.Verdicts[v]++
		out.Digest = o.Digest
		if progress != nil {
			progress(o.Index+1, p.Size)
		}
		return nil
	})
	if err == nil {
		err = confirmed(x)
	}
	switch {
	case errors.Is(err, errMissingBody), errors.Is(err, fault.Unverified):
		fail("bodies", "", err)
		return out, nil
	case err != nil:
		return nil, fmt.Errorf("replaying the log: %w", err)
	}

	return out, r.compare(ctx, x, p.Size, out, fail)
}

// compare holds the index against one that was made from the log alone.
func (r *Registry) compare(ctx context.Context, fresh *index.Index, size uint64, out *CheckReport, fail func(check, subject string, err error)) error {
	r.mu.Lock()
	idx, applied, digest := r.idx, r.applied, r.digest
	r.mu.Unlock()
	if applied != size {
		if applied < size {
			fail("index", "", fault.New(fault.Unverified, "the index stands at entry %d of %d", applied, size))
		}
		return nil // it went on meanwhile: another check tells
	}
	if digest != out.Digest {
		fail("digest", "", fault.New(fault.Unverified, "the index has the digest %x, a replay of the log gives %x", digest, out.Digest))
	}
	if _, err := idx.Check(ctx); err != nil {
		if !errors.Is(err, index.ErrRebuild) {
			return err
		}
		fail("index", "", err)
		return nil
	}
	have, err := dumpHash(ctx, idx)
	if err != nil {
		return err
	}
	want, err := dumpHash(ctx, fresh)
	if err != nil {
		return err
	}
	if have != want {
		fail("index", "", fault.New(fault.Unverified, "the rows of the index hash to %s, those of a replay to %s", have[:16], want[:16]))
	}
	return nil
}

func dumpHash(ctx context.Context, x *index.Index) (string, error) {
	h := sha256.New()
	if err := x.Dump(ctx, h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
