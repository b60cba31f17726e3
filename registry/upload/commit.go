package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A commitRun is a commit that runs, and what became of it.
type commitRun struct {
	done chan struct{}
	err  error // once done is closed
}

func (c *commitRun) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// commit takes an upload in: POST /v1/uploads/{id}/commit. The commit goes on when
// its client does not wait; whoever asks again meanwhile joins it.
func (s *Server) commit(w http.ResponseWriter, r *http.Request, c auth.Caller) error {
	one, err := s.find(r, c)
	if err != nil {
		return err
	}
	if err := s.plain(r); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, s.paced(w, r, http.MaxBytesReader(w, r.Body, 1<<10))); err != nil {
		return cut(err)
	} else if n > 0 {
		return fault.New(fault.Invalid, "a commit has no body")
	}
	if k := r.Header.Get("Idempotency-Key"); k != "" && k != one.rec.Statement.String() {
		return fault.New(fault.Invalid, "Idempotency-Key is %s, the statement of this upload is %s", fault.Quote(k), one.rec.Statement)
	}
	s.touch(one)
	run := s.startCommit(one)
	if run != nil {
		wait := time.NewTimer(s.o.CommitWait)
		defer wait.Stop()
		select {
		case <-run.done:
			if run.err != nil {
				return run.err
			}
		case <-wait.C:
			w.Header().Set("Location", "/v1/uploads/"+one.rec.ID)
			w.Header().Set("Retry-After", "2")
			return s.answer(w, http.StatusAccepted, one.state())
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
	}
	one.mu.Lock()
	result := one.rec.Result
	one.mu.Unlock()
	return s.answer(w, http.StatusCreated, result)
}

// startCommit returns the running commit of a session, begun now if none runs;
// nil when it is committed already.
func (s *Server) startCommit(one *session) *commitRun {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.rec.Stage == stageCommitted {
		return nil
	}
	if one.commit != nil && one.commit.running() {
		return one.commit
	}
	run := &commitRun{done: make(chan struct{})}
	one.commit = run
	s.commits.Add(1)
	go func() {
		defer s.commits.Done()
		defer close(run.done)
		run.err = s.takeInSafely(one)
		if errors.Is(run.err, context.Canceled) {
			run.err = fault.New(fault.Busy, "the server is stopping; the upload is as it was")
		}
		if run.err != nil {
			s.log.Info("upload not committed", "session", one.rec.ID, "error", run.err)
		}
	}()
	return run
}

// takeInSafely is takeIn, where a panic over what somebody sent ends this commit
// alone: no handler stands above it.
func (s *Server) takeInSafely(one *session) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "session", one.rec.ID, "panic", p, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "panic")
		}
	}()
	return s.takeIn(s.life, one)
}

// takeIn is the way of an upload into the registry. A crash leaves behind:
//
//   - before the stage promoting is written: the session as it was;
//   - while packs are adopted: the session, some of whose shards are the store's;
//     the rest is adopted when the commit is repeated;
//   - before all documents of gated data are public: the same;
//   - before the statement is logged: blocks that no statement names, and the
//     session; repeating the commit submits;
//   - before the result is written: the same, and Submit gives the same answer.
func (s *Server) takeIn(ctx context.Context, one *session) error {
	one.busy.Lock()
	defer one.busy.Unlock()
	defer s.lockOwner(one.rec.Owner)()
	one.mu.Lock()
	stage, missing, gone := one.rec.Stage, one.missing(), one.gone
	one.mu.Unlock()
	switch {
	case gone:
		return errNoSession
	case stage == stageCommitted:
		return nil
	case len(missing) > 0:
		return fault.New(fault.Unverified, "%d of %d shards are not here, the first is %s", len(missing), len(one.sums), missing[0])
	}
	b, err := one.envelope()
	if err != nil {
		return err
	}
	p, err := s.o.Registry.Read(b)
	if err != nil {
		return err
	}
	if !p.CID.Equals(one.rec.Statement.Cid) {
		return fault.New(fault.Internal, "the envelope of the session %s is that of another statement", one.rec.ID)
	}
	if stage == stageOpen {
		if err := s.examine(ctx, one, p); err != nil {
			return err
		}
		if err := one.set(func(r *record) { r.Stage = stagePromoting }); err != nil {
			return err
		}
	}
	space := spaceOf(p.Statement)
	for _, sum := range one.sums {
		if err := s.adopt(ctx, one, space, sum); err != nil {
			return err
		}
	}
	if space.Defined() {
		if err := s.publish(ctx, space, p.Statement); err != nil {
			return err
		}
	}
	out, err := s.o.Registry.Submit(ctx, p.Envelope)
	if err != nil {
		return err
	}
	stored := int64(0)
	if out.Verdict == registry.Accepted {
		stored = claimed(p.Statement)
	}
	more, err := s.charge(one, stored)
	if err != nil {
		return err
	}
	if err := one.set(func(r *record) {
		r.Stage, r.Result, r.Open = stageCommitted, submitted(out), wire.OpenUpload{}
		r.Expires = s.now().Add(s.o.Lease).Unix()
	}); err != nil {
		return err
	}
	s.book.release(one.rec.Owner, one.hold, stored+more)
	for _, sum := range one.sums {
		os.Remove(filepath.Join(one.dir, sum+indexExt)) // what stays goes with the session
	}
	one.forget()
	s.tally.commit()
	s.log.Info("upload committed", "session", one.rec.ID, "statement", out.Statement, "index", out.Index, "verdict", out.Verdict)
	return nil
}

// examine checks everything that can be checked before a block is promoted.
func (s *Server) examine(ctx context.Context, one *session, p *registry.Parcel) error {
	if err := s.whole(ctx, one, p); err != nil {
		return err
	}
	return s.verifySketch(ctx, one, p)
}

// whole checks that the DAG is whole, and what the registry checks of a
// statement and its content.
func (s *Server) whole(ctx context.Context, one *session, p *registry.Parcel) error {
	select {
	case s.walks <- struct{}{}:
		defer func() { <-s.walks }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// A base may have been withdrawn since the upload was opened.
	space := spaceOf(p.Statement)
	if err := s.checkBases(one.rec.Key, space, one.rec.Open.Bases); err != nil {
		return err
	}
	c, err := s.closure(ctx, one, space)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.check(ctx, p.Statement); err != nil {
		return err
	}
	return s.o.Registry.Examine(ctx, p, c)
}

// spaceOf is the terms in whose gated space the content of a statement belongs; not
// defined for the public space.
func spaceOf(st *manifests.Statement) cid.Cid {
	if c, ok := st.Predicate.(*manifests.Contribution); ok && c.Rules.GatesBytes() {
		return c.Terms.Cid
	}
	return cid.Undef
}

// adopt makes a shard a pack of a space. One that is not in the session's folder
// any more is on its way, or there.
func (s *Server) adopt(ctx context.Context, one *session, space cid.Cid, sum string) error {
	id := packID(one.rec.ID, sum)
	err := s.o.Store.Lend(filepath.Join(one.dir, sum+shardExt), id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := s.o.Store.Adopt(ctx, space, id); err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	return nil
}

// publish copies what of gated content everybody may read out of its space: the
// manifest, the terms with the text of their licence, and the attachments. A gated
// space is whole by itself, so they stay there too.
func (s *Server) publish(ctx context.Context, space cid.Cid, st *manifests.Statement) error {
	c, ok := st.Predicate.(*manifests.Contribution)
	if !ok {
		return nil
	}
	gated := s.o.Store.Strict(space)
	put := func(c cid.Cid, b []byte) error {
		blk, err := block.NewBlockWithCid(b, c)
		if err != nil {
			return err
		}
		return s.o.Store.PutRecords(ctx, blk)
	}
	document, err := gated.Block(ctx, c.Terms.Cid)
	if err != nil {
		return fmt.Errorf("the terms: %w", err)
	}
	t, err := terms.Decode(document)
	if err != nil {
		return fmt.Errorf("the terms: %w", err)
	}
	if err := put(c.Terms.Cid, document); err != nil {
		return err
	}
	manifest, err := gated.Block(ctx, c.Dataset.Manifest.Cid)
	if err != nil {
		return fmt.Errorf("the manifest: %w", err)
	}
	if err := put(c.Dataset.Manifest.Cid, manifest); err != nil {
		return err
	}
	var whole []cid.Cid
	if t.Base.Text.Defined() {
		whole = append(whole, t.Base.Text.Cid)
	}
	if c.Attachments.Defined() {
		whole = append(whole, c.Attachments.Cid)
	}
	return unixfs.Closure(ctx, gated, whole, 0, true, put)
}

// set changes the record and writes it.
func (one *session) set(change func(*record)) error {
	one.mu.Lock()
	defer one.mu.Unlock()
	was := one.rec
	change(&one.rec)
	if err := one.save(); err != nil {
		one.rec = was
		return err
	}
	return nil
}
