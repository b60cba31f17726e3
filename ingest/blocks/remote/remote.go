// Package remote reads blocks from trustless gateways over HTTP. Every block is
// hashed before it is handed out: a gateway need not be trusted, only reached.
// A [Client] reads from one, [Sources] from several at once.
package remote

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	// maxProblem bounds the text of a refusal.
	maxProblem = 8 << 10
	maxBlock   = 2 << 20 // what every reader of UnixFS must accept
	// attempts and firstPause bound the patience with a gateway that is busy or
	// cuts connections: about six seconds.
	attempts   = 5
	firstPause = 200 * time.Millisecond
	maxPause   = 10 * time.Second
	// stall is how long a body may stand still. A slow transfer has no limit.
	stall = 30 * time.Second
	// headerTimeout is how long a gateway may think.
	headerTimeout = 60 * time.Second
	// maxSizes bounds the lengths that are remembered for Size.
	maxSizes = 1 << 16
	// maxRedirects is how often a gateway may send a request elsewhere.
	maxRedirects = 5
	// firstBuffer is what a body is given before any of it has come: a length
	// is only a claim.
	firstBuffer = 64 << 10
)

// Options are the choices of a client. The zero value is good.
type Options struct {
	Transport http.RoundTripper // nil: one of its own
}

// A Client reads blocks from one gateway. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client

	mu    sync.Mutex
	sizes map[cid.Cid]uint64
}

// New returns a client of the gateway at base, such as http://127.0.0.1:8411.
// Anything but an http or https URL is fault.Invalid.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.WithHint(fault.New(fault.Invalid, "%s is no URL of a gateway", fault.Quote(base)), "for example http://127.0.0.1:8411")
	}
	rt := o.Transport
	if rt == nil {
		rt = newTransport()
	}
	return &Client{base: strings.TrimRight(base, "/"), http: &http.Client{Transport: rt, CheckRedirect: redirect}, sizes: make(map[cid.Cid]uint64)}, nil
}

func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, maxWindow
	t.ResponseHeaderTimeout = headerTimeout
	t.DisableCompression = true
	return t
}

// redirect follows a gateway elsewhere a few times, and never from https to http.
func redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("a redirect from https to http is not followed")
	}
	return nil
}

// Block returns the bytes of c. Codes: fault.NotFound and fault.Gone as the
// gateway says; fault.Unverified for bytes that are not those of c; fault.Busy
// when the gateway cannot be reached or stays busy.
func (c *Client) Block(ctx context.Context, id cid.Cid) ([]byte, error) {
	m, err := mh.Decode(id.Hash())
	if err != nil || m.Code != mh.SHA2_256 || m.Length != 32 {
		return nil, fault.New(fault.Invalid, "the CID %s: only whole sha2-256 hashes are fetched", id)
	}
	pause := firstPause
	for try := 1; ; try++ {
		b, wait, err := c.fetch(ctx, id, 0, nil)
		if err == nil {
			if string(m.Digest) != string(hash(b)) {
				return nil, fault.New(fault.Unverified, "%s sent wrong bytes for %s", c.base, id)
			}
			c.remember(id, uint64(len(b)))
			return b, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if fault.Of(err) != fault.Busy || try == attempts {
			return nil, err
		}
		timer := time.NewTimer(min(max(pause, wait), maxPause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
		pause *= 2
	}
}

func hash(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// errTooBig says that a body is longer than any block.
var errTooBig = fault.New(fault.Unverified, "more than %d bytes", maxBlock)

// errNoRoom says that a body needs more memory than is there for it.
var errNoRoom = errors.New("no room")

// fetch asks once. wait is what the gateway asks for before the next attempt.
// The body may take as many bytes as reserved; grow, unless nil, is asked for
// more, and ends the attempt with errNoRoom by saying no.
func (c *Client) fetch(ctx context.Context, id cid.Cid, reserved int, grow func(more int) bool) (b []byte, wait time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/ipfs/"+id.String()+"?format=raw", nil)
	if err != nil {
		return nil, 0, fault.Mark(fault.Invalid, err)
	}
	req.Header.Set("Accept", "application/vnd.ipld.raw")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, fault.New(fault.Busy, "fetching %s: %w", id, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		code := fault.FromHTTP(resp.StatusCode)
		if code == fault.Internal {
			code = fault.Busy // 5xx: another attempt may help
		}
		wait = retryAfter(resp.Header.Get("Retry-After"))
		detail := resp.Status
		var problem struct{ Detail, Hint string } // RFC 9457, where the gateway is a cairn
		if b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem)); err == nil && json.Unmarshal(b, &problem) == nil && problem.Detail != "" {
			detail = fault.Printable(problem.Detail)
		}
		err := fault.New(code, "%s, asked for %s: %s", c.base, id, detail)
		if problem.Hint != "" {
			err = fault.WithHint(err, "%s", fault.Printable(problem.Hint))
		}
		return nil, wait, err
	}
	timer := time.AfterFunc(stall, func() { cancel(errors.New("the body stands still")) })
	defer timer.Stop()
	size := int(min(resp.ContentLength, maxBlock))
	if size < 0 || size > reserved {
		size = min(max(size, 512), firstBuffer)
	}
	b = make([]byte, 0, size+1) // one more, in which the end is found
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := resp.Body.Read(b[len(b):min(cap(b), maxBlock+1)])
		b = b[:len(b)+n]
		if n > 0 {
			timer.Reset(stall)
		}
		switch {
		case len(b) > maxBlock:
			return nil, 0, fmt.Errorf("%s, asked for %s, sent %w", c.base, id, errTooBig)
		case grow != nil && len(b) > reserved:
			if more := min(max(len(b), 2*reserved), maxBlock) - reserved; !grow(more) {
				return nil, 0, errNoRoom
			} else {
				reserved += more
			}
		}
		if errors.Is(err, io.EOF) {
			return b, 0, nil
		}
		if err != nil {
			return nil, 0, fault.New(fault.Busy, "fetching %s: %w", id, err)
		}
	}
}

// retryAfter reads the seconds or the date of a Retry-After header; 0 when
// there is none that can be read.
func retryAfter(text string) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

func (c *Client) remember(id cid.Cid, size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sizes) >= maxSizes {
		clear(c.sizes)
	}
	c.sizes[id] = size
}

// Size returns the length of the block c. A gateway's word for it is not
// trusted, so the block is fetched, unless this client has seen it.
func (c *Client) Size(ctx context.Context, id cid.Cid) (uint64, error) {
	c.mu.Lock()
	n, ok := c.sizes[id]
	c.mu.Unlock()
	if ok {
		return n, nil
	}
	b, err := c.Block(ctx, id)
	return uint64(len(b)), err
}

// Claimed returns the gateway's word for the length of the block c, without
// fetching it. For what only guides work, and is checked by reading.
func (c *Client) Claimed(ctx context.Context, id cid.Cid) (uint64, error) {
	c.mu.Lock()
	n, ok := c.sizes[id]
	c.mu.Unlock()
	if ok {
		return n, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.base+"/ipfs/"+id.String()+"?format=raw", nil)
	if err != nil {
		return 0, fault.Mark(fault.Invalid, err)
	}
	req.Header.Set("Accept", "application/vnd.ipld.raw")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fault.New(fault.Busy, "asking for %s: %w", id, err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK && resp.ContentLength >= 0 {
		return uint64(resp.ContentLength), nil
	}
	return c.Size(ctx, id)
}

func (c *Client) String() string { return fmt.Sprintf("gateway %s", c.base) }
