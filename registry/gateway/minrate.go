package gateway

import (
	"context"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

const (
	// paceChunk is after how many bytes a deadline moves on.
	paceChunk = 64 << 10
	// minRate is the slowest transfer that is waited for, in bytes a second: a
	// modem of 1998 passes, a client that holds a connection open does not.
	minRate = 8 << 10
	// paceGrace is how long a transfer may stand still before the minimum rate
	// is asked of it.
	paceGrace = 10 * time.Second
)

// A pace holds one direction of a transfer to a minimum rate. Only the time
// that is spent waiting for the peer counts, never the server's own. What is
// faster than the minimum saves up time, but no more than grace: a client that
// was fast for an hour may not stand still for the next.
type pace struct {
	min   float64 // bytes a second
	grace time.Duration
	left  time.Duration // until a peer that moves nothing is cut off
}

func newPace(min int64, grace time.Duration) *pace {
	return &pace{min: float64(min), grace: grace, left: grace}
}

func (p *pace) worth(n int) time.Duration {
	return time.Duration(float64(n) / p.min * float64(time.Second))
}

// deadline is by when the next n bytes have to be through.
func (p *pace) deadline(now time.Time, n int) time.Time {
	return now.Add(max(p.left, 0) + p.worth(n))
}

// moved counts n bytes that took d.
func (p *pace) moved(n int, d time.Duration) {
	p.left = min(p.grace, p.left+p.worth(n)-d)
}

// A pacedWriter sends an answer no slower than its pace allows, and no faster
// than the client's share of bytes.
type pacedWriter struct {
	http.ResponseWriter
	rc    *http.ResponseController
	pace  *pace         // nil: as slowly as it likes
	share *rate.Limiter // nil: as fast as it can
	ctx   context.Context
}

func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) Write(p []byte) (n int, err error) {
	for {
		part := p[:min(len(p), paceChunk)]
		m, err := w.write(part)
		n += m
		if err != nil {
			return n, err
		}
		if p = p[len(part):]; len(p) == 0 {
			return n, nil
		}
	}
}

func (w *pacedWriter) write(p []byte) (int, error) {
	if err := waitShare(w.ctx, w.share, len(p)); err != nil {
		return 0, err
	}
	if w.pace == nil {
		return w.ResponseWriter.Write(p)
	}
	start := time.Now()
	w.rc.SetWriteDeadline(w.pace.deadline(start, len(p))) // a writer without deadlines has no peer that stalls
	n, err := w.ResponseWriter.Write(p)
	w.pace.moved(n, time.Since(start))
	w.rest(err)
	return n, err
}

// rest takes the deadline away while the handler works: HTTP/2 ends a stream
// whose deadline passes, whether or not anything waits to be sent.
func (w *pacedWriter) rest(err error) {
	if err == nil {
		w.rc.SetWriteDeadline(time.Time{})
	}
}

// Flush sends what is buffered.
func (w *pacedWriter) Flush() { w.FlushError() }

// FlushError is Flush, and reports whether the connection took it.
func (w *pacedWriter) FlushError() error {
	if w.pace == nil {
		return w.rc.Flush()
	}
	start := time.Now()
	w.rc.SetWriteDeadline(w.pace.deadline(start, paceChunk))
	err := w.rc.Flush()
	w.pace.moved(0, time.Since(start))
	w.rest(err)
	return err
}

// finish leaves what net/http still has to send after the handler as much time
// as any other part has.
func (w *pacedWriter) finish() {
	if w.pace != nil {
		w.rc.SetWriteDeadline(w.pace.deadline(time.Now(), paceChunk))
	}
}

// waitShare waits until n more bytes are the client's to move.
func waitShare(ctx context.Context, share *rate.Limiter, n int) error {
	if share == nil || n == 0 {
		return nil
	}
	return share.WaitN(ctx, min(n, share.Burst()))
}

// A pacedBody reads a request's body no slower than its pace allows.
type pacedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	pace  *pace
	share *rate.Limiter
	ctx   context.Context
	done  bool
}

func (b *pacedBody) Read(p []byte) (int, error) {
	p = p[:min(len(p), paceChunk)]
	if b.pace == nil {
		n, err := b.ReadCloser.Read(p)
		return n, orWait(err, b.ctx, b.share, n)
	}
	start := time.Now()
	// A Read may return after one byte, so that no more than one is waited for.
	b.rc.SetReadDeadline(b.pace.deadline(start, 1))
	n, err := b.ReadCloser.Read(p)
	b.pace.moved(n, time.Since(start))
	b.done = b.done || err != nil
	if err == nil || err == io.EOF {
		// Behind the body net/http reads ahead for the next request, and a deadline
		// would make it think that the client is gone. With HTTP/2 a deadline that
		// passes ends the body even while nobody reads.
		b.rc.SetReadDeadline(time.Time{})
	}
	return n, orWait(err, b.ctx, b.share, n)
}

func orWait(err error, ctx context.Context, share *rate.Limiter, n int) error {
	if err != nil {
		return err
	}
	return waitShare(ctx, share, n)
}

// finish bounds how long net/http reads on in a body that the handler left.
func (b *pacedBody) finish() {
	if b.pace != nil && !b.done {
		b.rc.SetReadDeadline(time.Now().Add(b.pace.grace))
	}
}
