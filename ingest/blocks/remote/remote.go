// Package remote reads blocks from a trustless gateway over HTTP. Every block
// is hashed before it is handed out: the gateway need not be trusted, only
// reached.
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
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 32
		t.ResponseHeaderTimeout = headerTimeout
		t.DisableCompression = true
		rt = t
	}
	return &Client{base: strings.TrimRight(base, "/"), http: &http.Client{Transport: rt}, sizes: make(map[cid.Cid]uint64)}, nil
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
		b, wait, err := c.fetch(ctx, id)
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

// fetch asks once. wait is what the gateway asks for before the next attempt.
func (c *Client) fetch(ctx context.Context, id cid.Cid) (b []byte, wait time.Duration, err error) {
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
		if s := resp.Header.Get("Retry-After"); s != "" {
			if d, err := time.ParseDuration(s + "s"); err == nil {
				wait = d
			}
		}
		detail := resp.Status
		var problem struct{ Detail string } // RFC 9457, where the gateway is a cairn
		if b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem)); err == nil && json.Unmarshal(b, &problem) == nil && problem.Detail != "" {
			detail = fault.Printable(problem.Detail)
		}
		return nil, wait, fault.New(code, "%s, asked for %s: %s", c.base, id, detail)
	}
	timer := time.AfterFunc(stall, func() { cancel(errors.New("the body stands still")) })
	defer timer.Stop()
	body := io.LimitReader(resp.Body, maxBlock+1)
	size := resp.ContentLength
	if size < 0 || size > maxBlock {
		size = 64 << 10
	}
	b = make([]byte, 0, size+512)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n > 0 {
			timer.Reset(stall)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, fault.New(fault.Busy, "fetching %s: %w", id, err)
		}
	}
	if len(b) > maxBlock {
		return nil, 0, fault.New(fault.Unverified, "%s sent more than %d bytes for %s", c.base, maxBlock, id)
	}
	return b, 0, nil
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
