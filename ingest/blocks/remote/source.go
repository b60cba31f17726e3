package remote

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// firstWindow and maxWindow bound the requests that one source has at a
	// time. The window grows by one with each block that came in time, and is
	// halved by each failure: what TCP does, for the same reason.
	firstWindow = 8
	maxWindow   = 64
	// newFailures and knownFailures are how often in a row a source may fail
	// before it is dropped: one that has never sent a block (a wrong port, a
	// host that is down) about two seconds long, one that has (a restart) about
	// half a minute.
	newFailures   = 4
	knownFailures = 9
	// maxStrikes is how often in a row a source may be overtaken by another
	// one that was asked later, before it is dropped as slow.
	maxStrikes = 6
	// maxRetryAfter is the longest Retry-After that is waited for: a source
	// that asks for more is dropped.
	maxRetryAfter = 2 * time.Minute
	// missRun is how many blocks in a row a source may lack before others are
	// asked first.
	missRun = 4
	// smoothing weighs a new measurement of a rate against those before.
	smoothing = 0.2
	// overhead is what a request costs besides its bytes, in bytes.
	overhead = 16 << 10
)

// A LieError says that a source sent bytes that are not those of the CID it was
// asked for. It is fault.Unverified.
type LieError struct {
	Source string // its URL
	CID    cid.Cid
	Bytes  int      // how many it sent
	SHA256 [32]byte // of what it sent
}

func (e *LieError) Error() string {
	return fmt.Sprintf("%s sent wrong bytes for %s: %d bytes with the SHA-256 %x", e.Source, e.CID, e.Bytes, e.SHA256)
}

func (e *LieError) Unwrap() error { return fault.Unverified }

// A Report is what became of one source so far.
type Report struct {
	URL string `json:"url"`
	// Blocks and Bytes came from it, verified, and first.
	Blocks int64 `json:"blocks"`
	Bytes  int64 `json:"bytes"`
	// Missing counts the answers that it has not, or does not give, a block.
	Missing int64 `json:"missing"`
	// Errors counts failed requests: no connection, cut bodies, server errors.
	Errors int64 `json:"errors"`
	// Overtaken counts the requests that another source answered first,
	// though it was asked later.
	Overtaken int64 `json:"overtaken"`
	// Lied is true for a source that sent wrong bytes.
	Lied bool `json:"lied"`
	// Dropped says why the source is asked no more; "" while it is.
	Dropped string `json:"dropped,omitempty"`
}

// A source is a gateway and what is known of it. All but its first two members
// are guarded by Sources.mu.
type source struct {
	client *Client
	idle   interface{ CloseIdleConnections() } // nil when the transport is the caller's

	report  Report
	dropped error // not nil: asked no more

	window  float64
	running int     // requests
	units   float64 // of them, see work
	rate    float64 // units a second, all requests together; 0 before the first block

	failures, strikes, misses int       // in a row
	rest                      time.Time // asked again from then on
	failedAt                  time.Time // requests that are older do not count against it again
	cause                     error     // of the last failure
}

// work is what a block costs to fetch.
func work(bytes int) float64 { return float64(bytes + overhead) }

// wait estimates how long a further block would take, in seconds: what is under
// way and the block itself at the measured rate. A source without measurements
// is taken for quick.
func (c *source) wait(bytes int) float64 {
	if c.rate == 0 {
		return float64(c.running) / 1e6
	}
	return (c.units + work(bytes)) / c.rate
}

// begin and end frame a request. end learns from its outcome.
func (c *source) begin(bytes int) {
	c.running++
	c.units += work(bytes)
}

func (c *source) end(bytes int) {
	c.running--
	if c.units -= work(bytes); c.running == 0 {
		c.units = 0
	}
}

// delivered notes a block that came in time; units are what was under way with it.
func (c *source) delivered(took time.Duration, units float64) {
	rate := units / max(took.Seconds(), 1e-6)
	if c.rate == 0 {
		c.rate = rate
	}
	c.rate += smoothing * (rate - c.rate)
	c.window = min(c.window+1, maxWindow)
	c.failures, c.strikes, c.misses, c.cause = 0, 0, 0, nil
}

// lacks notes that the source has not got a block.
func (c *source) lacks() {
	c.report.Missing++
	c.misses++
	c.failures = 0
}

// failed notes a failure of a request that began at some time, and says how
// long the source asks to be left alone.
func (c *source) failed(err error, began, now time.Time, pause, wait time.Duration) {
	c.report.Errors++
	c.cause = err
	if wait > maxRetryAfter {
		c.drop(fmt.Errorf("asks to be left alone for %v: %w", wait, err))
		return
	}
	if !began.After(c.failedAt) {
		return // it went down with one that counts already
	}
	c.failures++
	limit := newFailures
	if c.report.Blocks > 0 {
		limit = knownFailures
	}
	if c.failures >= limit {
		c.drop(fmt.Errorf("failed %d times in a row: %w", c.failures, err))
		return
	}
	c.backOff(now, pause<<(c.failures-1), wait)
}

func (c *source) backOff(now time.Time, pause, wait time.Duration) {
	c.window = max(c.window/2, 1)
	c.failedAt = now
	pause = min(pause, maxPause)
	// Half of the pause is random, so that many clients do not come back as one.
	c.rest = now.Add(max(pause/2+rand.N(pause/2+1), wait))
}

// overtaken notes that another source was quicker, though asked later.
func (c *source) overtaken(began, now time.Time, pause time.Duration, others bool) {
	c.report.Overtaken++
	if !began.After(c.failedAt) {
		return
	}
	if c.strikes++; c.strikes >= maxStrikes && others {
		c.drop(errors.New("too slow: others were quicker, though asked later"))
		return
	}
	c.backOff(now, pause<<(c.strikes-1), 0)
}

func (c *source) drop(err error) {
	if c.dropped == nil {
		c.dropped = err
		c.report.Dropped = fault.Printable(err.Error())
	}
}

// ask fetches a block once and says what kind of answer it is.
func (c *source) ask(ctx context.Context, id cid.Cid, digest []byte, reserved int, grow func(int) bool) (b []byte, wait time.Duration, err error) {
	b, wait, err = c.client.fetch(ctx, id, reserved, grow)
	if err == nil {
		if h := sha256.Sum256(b); string(h[:]) != string(digest) {
			return nil, 0, &LieError{c.client.base, id, len(b), h}
		}
	} else if errors.Is(err, errTooBig) {
		err = &LieError{Source: c.client.base, CID: id, Bytes: maxBlock + 1}
	}
	return b, wait, err
}

var _ http.RoundTripper = (*telling)(nil)
