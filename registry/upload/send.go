package upload

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/registry/auth"
)

// send takes a shard: PUT /v1/uploads/{id}/shards/{sha256}. Whatever can be
// refused by the header is refused before a byte of the body is asked for.
func (s *Server) send(w http.ResponseWriter, r *http.Request, c auth.Caller) error {
	one, err := s.find(r, c)
	if err != nil {
		return err
	}
	sum := r.PathValue("sha256")
	one.mu.Lock()
	size, declared := one.declared[sum]
	committed := one.rec.Stage == stageCommitted
	one.mu.Unlock()
	if committed {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if !declared {
		return fault.New(fault.NotFound, "the upload declares no shard %s", fault.Quote(sum))
	}
	if err := s.checkSend(r, sum, size); err != nil {
		return err
	}
	release, err := s.slot(r.Context(), one.rec.Owner)
	if err != nil {
		return err
	}
	defer release()
	one.busy.RLock()
	defer one.busy.RUnlock()
	one.mu.Lock()
	gone, have, stage := one.gone, one.have[sum], one.rec.Stage
	one.mu.Unlock()
	switch {
	case gone:
		return errNoSession
	case have || stage != stageOpen:
		w.WriteHeader(http.StatusNoContent) // it is here: nothing is read
		return nil
	}
	if err := s.room(size); err != nil {
		return err
	}
	s.touch(one)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	woken := make(chan struct{})
	stop := context.AfterFunc(one.ctx, func() {
		defer close(woken)
		cancel()
		http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // wakes a read that waits
	})
	// Before anything is answered: a deadline is the connection's, and a read that it
	// wakes behind the body ends every later request on it. So there is none.
	settle := sync.OnceFunc(func() {
		if !stop() {
			<-woken
			http.NewResponseController(w).SetReadDeadline(time.Time{})
			w.Header().Set("Connection", "close")
		}
	})
	defer settle()
	if err := s.receive(ctx, one, sum, size, s.paced(w, r, r.Body)); err != nil {
		if one.ctx.Err() != nil {
			return errNoSession
		}
		return err
	}
	settle()
	s.touch(one)
	s.log.InfoContext(r.Context(), "shard received", "session", one.rec.ID, "shard", sum, "bytes", size)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkSend checks the head of a request with a shard of a declared size.
func (s *Server) checkSend(r *http.Request, sum string, size int64) error {
	if err := s.plain(r); err != nil {
		return err
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		if m, _, err := mime.ParseMediaType(t); err != nil || m != carType {
			return withStatus(http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "Content-Type %s: a shard is %s", fault.Quote(t), carType))
		}
	}
	switch {
	case r.ContentLength < 0 || len(r.TransferEncoding) > 0:
		return withStatus(http.StatusLengthRequired, fault.New(fault.Invalid, "a shard comes with its Content-Length"))
	case r.ContentLength > size:
		return fault.New(fault.TooLarge, "the shard has %d bytes, declared are %d", r.ContentLength, size)
	case r.ContentLength < size:
		return fault.New(fault.Invalid, "the shard has %d bytes, declared are %d", r.ContentLength, size)
	}
	want, err := hex.DecodeString(sum)
	if err != nil {
		return err
	}
	if d := r.Header.Values(httpsig.FieldDigest); len(d) > 0 {
		have, err := httpsig.ParseDigest(d)
		if err != nil {
			return err
		}
		if string(have[:]) != string(want) {
			return fault.New(fault.Unverified, "Content-Digest is that of another shard")
		}
	}
	if !auth.TakeBody(r, [32]byte(want)) {
		return fault.New(fault.Unverified, "Content-Digest is that of another shard")
	}
	return nil
}

// slot waits for a place among the shards that come in.
func (s *Server) slot(ctx context.Context, owner string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	busy := fault.New(fault.Busy, "too many shards come in at once")
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !s.take(owner) {
		select {
		case <-ctx.Done():
			return nil, busy
		case <-poll.C:
		}
	}
	give := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.receiving[owner]--; s.receiving[owner] == 0 {
			delete(s.receiving, owner)
		}
	}
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots; give() }, nil
	case <-ctx.Done():
		give()
		return nil, busy
	}
}

func (s *Server) take(owner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.receiving[owner] >= s.o.PerOwner {
		return false
	}
	s.receiving[owner]++
	return true
}

// receive reads a shard into the session's folder. Only one that is whole, and
// has its digest, gets its name; anything else leaves nothing.
func (s *Server) receive(ctx context.Context, one *session, sum string, size int64, r io.Reader) (err error) {
	temp := filepath.Join(one.dir, newID())
	pw, err := pack.CreateStaged(temp+shardExt+tempExt, packID(one.rec.ID, sum))
	if err != nil {
		return err
	}
	iw, err := createIndex(temp + indexExt + tempExt)
	if err != nil {
		return errors.Join(durable.NoSpace(err), pw.Abort())
	}
	open := true
	defer func() {
		if err != nil {
			if open {
				pw.Close()
				iw.close()
			}
			os.Remove(temp + shardExt + tempExt)
			os.Remove(temp + indexExt + tempExt)
			err = durable.NoSpace(err)
		}
	}()
	have, err := ReadShard(ctx, r, size, one.rec.Open.Root.Cid, func(c cid.Cid, data []byte) error {
		at, stored, err := pw.AppendAt(ctx, c, data)
		if err != nil || !stored {
			return err
		}
		return durable.NoSpace(iw.add(c, at, len(data)))
	})
	if err != nil {
		return cut(durable.NoSpace(err))
	}
	if hex.EncodeToString(have[:]) != sum {
		return fault.New(fault.Unverified, "the SHA-256 of the shard is %x, not %s", have, sum)
	}
	if err := pw.Commit(ctx); err != nil {
		return err
	}
	open = false
	if err := errors.Join(pw.Close(), iw.close()); err != nil {
		return err
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.have[sum] {
		// The same shard came twice at once.
		return errors.Join(os.Remove(temp+shardExt+tempExt), os.Remove(temp+indexExt+tempExt))
	}
	name := filepath.Join(one.dir, sum)
	if err := os.Rename(temp+indexExt+tempExt, name+indexExt); err != nil {
		return err
	}
	if err := os.Rename(temp+shardExt+tempExt, name+shardExt); err != nil {
		return err
	}
	if err := durable.Sync(one.dir); err != nil {
		return err
	}
	one.have[sum] = true
	return nil
}

// paced reads a request's body and does not wait for ever: 64 KiB take at most
// 8 s, the first 18 s.
func (s *Server) paced(w http.ResponseWriter, r *http.Request, body io.Reader) io.Reader {
	p := &pacer{r: body, rc: http.NewResponseController(w), window: s.patience(windowTime)}
	p.rc.SetReadDeadline(time.Now().Add(s.patience(graceTime + windowTime)))
	return p
}

func (s *Server) patience(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.o.Patience)
}

type pacer struct {
	r      io.Reader
	rc     *http.ResponseController
	n      int // bytes since the deadline was set
	window time.Duration
}

func (p *pacer) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.n += n; p.n >= windowBytes {
		p.n = 0
		p.rc.SetReadDeadline(time.Now().Add(p.window))
	}
	switch {
	case errors.Is(err, io.EOF):
		p.rc.SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fault.New(fault.Busy, "the body came too slowly")
	}
	return n, err
}
