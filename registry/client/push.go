package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// parallelShards are how many shards are on their way at once.
	parallelShards = 4
	// maxTries bounds how often a request is tried before a push gives up; with the
	// pauses between, about two minutes without an answer.
	maxTries = 12
	// firstPause and maxPause bound the random pause before the next try; maxAsked
	// what a server may ask for.
	firstPause, maxPause, maxAsked = 500 * time.Millisecond, 20 * time.Second, 2 * time.Minute
	// slowest is the rate, in bytes per second, below which a shard is given up and
	// tried again.
	slowest = 16 << 10
	// dropWait bounds the wait for a registry to forget an upload.
	dropWait = 10 * time.Second
	// maxState bounds a state file: an envelope, and the shards of 1 TiB.
	maxState = 8 << 20
)

// PushOptions say what is pushed. Blocks, Content and Seal must be set.
type PushOptions struct {
	// Blocks are where the data is read from.
	Blocks unixfs.Blocks
	// Content are the statement's: [manifests.Statement.Content].
	Content []cid.Cid
	// Seal makes the signed statement. It is called once, unless StateFile has the
	// one of a push that was cut short.
	Seal func(context.Context) ([]byte, error)
	// Bases are the content of earlier statements of the same key that the registry
	// has, by statement; their blocks are not sent. All of them must be in Blocks.
	Bases map[cid.Cid][]cid.Cid
	// StateFile keeps what a push needs to go on after it was killed: it is there
	// from before the first byte is sent until the registry has answered. "" for none.
	StateFile string
	// Policy is what the receipt is verified with; nil for not at all.
	Policy *proof.Policy
	// Hashing and Sending are told how far the push is: bytes of shards that are
	// hashed, and that the registry has acknowledged.
	Hashing, Sending func(done, total int64)
	// ShardBytes is the size of a shard; 0 means the largest there may be.
	ShardBytes int64
}

// Pushed is the outcome of a push.
type Pushed struct {
	*wire.Submitted
	// Bundle is the registry's proof, verified if there was a policy.
	Bundle []byte
	Shards int   // of the upload
	Sent   int64 // bytes of shards that this call sent
	Blocks int64 // of the DAG
	Bytes  int64
	// Resumed says that a push that was cut short was gone on with.
	Resumed bool
}

// A pushState is the state file.
type pushState struct {
	Registry string          `json:"registry"`
	Envelope json.RawMessage `json:"envelope"`
	Content  []cjson.CID     `json:"content"`
	Bases    []cjson.CID     `json:"bases,omitempty"`
	ID       string          `json:"id,omitempty"`
	Shards   []wire.Shard    `json:"shards,omitempty"`
}

// Push sends a statement with its data and returns once the registry has logged
// it. It goes on where an earlier call with the same StateFile was cut short:
// shards that the registry has are not sent again. Calls may be repeated at will.
//
// Errors are those of the registry. fault.Conflict and others after which the same
// statement will not do remove the state file, and the upload; after fault.Busy or an interruption
// the same call goes on. A receipt that does not verify is fault.Unverified.
func (c *Client) Push(ctx context.Context, o PushOptions) (*Pushed, error) {
	p := &push{c: c, o: o}
	out, err := p.run(ctx)
	if final(err) {
		p.drop(ctx)
	}
	if o.StateFile != "" && (err == nil || final(err)) {
		if rerr := os.Remove(o.StateFile); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return out, err
}

// final reports whether trying the same again gives the same.
func final(err error) bool {
	switch fault.Of(err) {
	case fault.Invalid, fault.Conflict, fault.Unverified, fault.TooLarge, fault.Gone:
		return true
	}
	return false
}

// drop gives back what a push that came to nothing holds at the registry; if that
// fails the registry does so itself, later.
func (p *push) drop(ctx context.Context) {
	if p.state.ID == "" || p.out.Submitted != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dropWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, p.c.base+"/v1/uploads/"+p.state.ID, nil)
	if err != nil {
		return
	}
	if resp, err := p.c.rt.RoundTrip(req); err == nil {
		drain(resp)
	}
}

type push struct {
	c     *Client
	o     PushOptions
	state pushState
	plan  *plan
	out   Pushed

	mu    sync.Mutex // guards acked and out.Sent
	acked int64
	total int64
}

func (p *push) run(ctx context.Context) (*Pushed, error) {
	if err := p.load(); err != nil {
		return nil, err
	}
	if p.state.Envelope == nil {
		if err := p.begin(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		result, err := p.upload(ctx)
		if errors.Is(err, fault.NotFound) && p.state.ID != "" && try == 0 {
			p.state.ID = "" // it has expired: from the beginning
			continue
		}
		if err != nil {
			return nil, err
		}
		p.out.Submitted = result
		break
	}
	return &p.out, p.verify(ctx)
}

// load reads the state file, if it is of a push of this content to this registry.
func (p *push) load() error {
	if p.o.StateFile == "" {
		return nil
	}
	f, err := os.Open(p.o.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return err
	}
	var s pushState
	if len(b) > maxState || json.Unmarshal(b, &s) != nil || s.Registry != p.c.base || len(s.Content) != len(p.o.Content) {
		return nil
	}
	for i, c := range s.Content {
		if !c.Equals(cjson.V1(p.o.Content[i])) {
			return nil
		}
	}
	for _, b := range s.Bases {
		if p.o.Bases[b.Cid] == nil {
			return nil // that version is not here any more: the shards would be others
		}
	}
	p.state, p.out.Resumed = s, true
	return nil
}

func (p *push) begin(ctx context.Context) (err error) {
	p.state = pushState{Registry: p.c.base}
	if p.state.Envelope, err = p.o.Seal(ctx); err != nil {
		return err
	}
	for _, c := range p.o.Content {
		p.state.Content = append(p.state.Content, cjson.CID{Cid: cjson.V1(c)})
	}
	for b := range p.o.Bases {
		p.state.Bases = append(p.state.Bases, cjson.CID{Cid: b})
	}
	return p.save()
}

func (p *push) save() error {
	if p.o.StateFile == "" {
		return nil
	}
	b, err := json.Marshal(p.state)
	if err != nil {
		return fault.Mark(fault.Internal, err)
	}
	if err := os.MkdirAll(filepath.Dir(p.o.StateFile), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(p.o.StateFile, b, 0o600)
}

// prepare cuts the data into shards, and hashes them unless that was done before.
func (p *push) prepare(ctx context.Context) (err error) {
	limit := p.o.ShardBytes
	if limit <= 0 || limit > wire.MaxShard {
		limit = wire.MaxShard
	}
	var bases []cid.Cid
	for _, b := range p.state.Bases {
		bases = append(bases, p.o.Bases[b.Cid]...)
	}
	if p.plan, err = makePlan(ctx, p.o.Blocks, p.o.Content, bases, limit); err != nil {
		return err
	}
	if !p.plan.same(p.state.Shards) {
		if err := p.plan.hash(ctx, p.o.Blocks, p.o.Hashing); err != nil {
			return err
		}
		p.state.Shards, p.state.ID = p.plan.declared(), ""
		if err := p.save(); err != nil {
			return err
		}
	}
	for _, s := range p.plan.shards {
		p.total += s.Bytes
	}
	p.out.Shards, p.out.Blocks, p.out.Bytes = len(p.plan.shards), p.plan.blocks, p.plan.bytes
	return nil
}

// upload opens the session, or finds it again, sends what is missing, and commits.
func (p *push) upload(ctx context.Context) (*wire.Submitted, error) {
	up, err := p.session(ctx)
	if err != nil {
		return nil, err
	}
	if up.State == wire.UploadCommitted && up.Result != nil {
		return up.Result, nil
	}
	missing := make(map[string]bool, len(up.Missing))
	for _, s := range up.Missing {
		missing[s] = true
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelShards)
	p.acked = 0
	for _, s := range p.plan.shards {
		if up.State != wire.UploadOpen || !missing[s.SHA256] {
			p.ack(s, false)
			continue
		}
		g.Go(func() error {
			if err := p.send(gctx, s); err != nil {
				return fmt.Errorf("sending a shard: %w", err)
			}
			p.ack(s, true)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return p.commit(ctx)
}

func (p *push) ack(s *shard, sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked += s.Bytes
	if sent {
		p.out.Sent += s.Bytes
	}
	if p.o.Sending != nil {
		p.o.Sending(p.acked, p.total)
	}
}

func (p *push) session(ctx context.Context) (*wire.Upload, error) {
	if p.state.ID != "" {
		up := new(wire.Upload)
		err := p.retry(ctx, http.MethodGet, "/v1/uploads/"+p.state.ID, nil, up)
		if !errors.Is(err, fault.NotFound) {
			return up, err
		}
		p.state.ID = ""
	}
	body, err := json.Marshal(wire.OpenUpload{
		Envelope: p.state.Envelope, Root: cjson.CID{Cid: p.plan.root}, TotalBlocks: p.plan.blocks, TotalBytes: p.plan.bytes,
		Shards: p.plan.declared(), Bases: p.state.Bases,
	})
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	up := new(wire.Upload)
	if err := p.retry(ctx, http.MethodPost, "/v1/uploads", body, up); err != nil {
		return nil, err
	}
	if up.State != wire.UploadCommitted {
		p.state.ID = up.ID
		return up, p.save()
	}
	return up, nil
}

// commit asks for the commit until there is an answer.
func (p *push) commit(ctx context.Context) (*wire.Submitted, error) {
	e, err := sign.Decode(p.state.Envelope)
	if err != nil {
		return nil, err
	}
	for {
		out := new(wire.Submitted)
		err := p.retry(ctx, http.MethodPost, "/v1/uploads/"+p.state.ID+"/commit", nil, out, "Idempotency-Key", manifests.StatementCID(e.Payload).String())
		if !errors.Is(err, errAccepted) {
			return out, err
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// errAccepted is a 202: the registry works on it.
var errAccepted = errors.New("the registry works on it")

// retry sends a small request until it has an answer, and reads that into out.
func (p *push) retry(ctx context.Context, method, path string, body []byte, out any, header ...string) error {
	return tries(ctx, func() (time.Duration, error) {
		rctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(rctx, method, p.c.base+path, nil)
		if err != nil {
			return 0, fault.Mark(fault.Invalid, err)
		}
		if body != nil {
			req.Body, req.GetBody, req.ContentLength = io.NopCloser(bytes.NewReader(body)), bodyOf(body), int64(len(body))
			req.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := p.c.rt.RoundTrip(req)
		if err != nil {
			return 0, p.c.unreachable(ctx, err)
		}
		defer drain(resp)
		switch resp.StatusCode {
		case http.StatusOK, http.StatusCreated:
		case http.StatusAccepted:
			return 0, errAccepted
		default:
			return retryAfter(resp), wire.ReadProblem(resp)
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxBody))
		if err != nil {
			return 0, p.c.unreachable(ctx, err)
		}
		if err := json.Unmarshal(b, out); err != nil {
			return 0, fault.New(fault.Internal, "the registry's answer to %s is not what was asked for: %w", path, err)
		}
		return 0, nil
	})
}

// send sends a shard until it is acknowledged.
func (p *push) send(ctx context.Context, s *shard) error {
	sum, err := hex.DecodeString(s.SHA256)
	if err != nil {
		return err
	}
	return tries(ctx, func() (time.Duration, error) {
		rctx, cancel := context.WithTimeout(ctx, answerTimeout+time.Duration(s.Bytes/slowest)*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(rctx, http.MethodPut, p.c.base+"/v1/uploads/"+p.state.ID+"/shards/"+s.SHA256, nil)
		if err != nil {
			return 0, fault.Mark(fault.Invalid, err)
		}
		req.GetBody = func() (io.ReadCloser, error) { return p.plan.open(rctx, p.o.Blocks, s), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = s.Bytes
		req.Header.Set("Content-Type", "application/vnd.ipld.car; version=1")
		req.Header.Set("Expect", "100-continue")
		req.Header.Set(httpsig.FieldDigest, httpsig.Digest([32]byte(sum)))
		resp, err := p.c.rt.RoundTrip(req)
		if err != nil {
			if errors.Is(err, errSource) {
				return 0, err
			}
			return 0, p.c.unreachable(ctx, err)
		}
		defer drain(resp)
		if resp.StatusCode != http.StatusNoContent {
			return retryAfter(resp), wire.ReadProblem(resp)
		}
		return 0, nil
	})
}

func drain(resp *http.Response) {
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
}

// unreachable says why a request got no answer. A certificate that is not trusted
// is fault.Internal, "could not check": trying again does not help.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if bad := new(tls.CertificateVerificationError); errors.As(err, &bad) {
		return fault.WithHint(fault.New(fault.Internal, "the certificate of the registry %s is not trusted: %w", c.base, bad.Err),
			"to trust one that was made for it, set SSL_CERT_FILE to a file with that certificate")
	}
	return fault.WithHint(fault.New(fault.Busy, "the registry %s cannot be reached: %w", c.base, err), "is the address right, and does a server run there?")
}

// retryAfter reads how long a server asks to wait.
func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxAsked)
}

// maxUnknown is how often a request that is not authenticated is tried again:
// its signature may have been made by a wrong clock, which the answer corrects, or
// for a server that has just begun and takes nothing older than itself.
const maxUnknown = 3

// tries calls fn until it has an answer: fn returns the least pause before the
// next try. Pauses grow, and are random, so that many clients do not come back
// together.
func tries(ctx context.Context, fn func() (time.Duration, error)) error {
	ceiling := firstPause
	for try, unknown := 1, 0; ; try++ {
		least, err := fn()
		switch {
		case err == nil || ctx.Err() != nil:
			if err != nil {
				return context.Cause(ctx)
			}
			return nil
		case errors.Is(err, fault.Unauthenticated):
			if unknown++; unknown == maxUnknown {
				return err
			}
			least = max(least, time.Second)
		case errors.Is(err, errAccepted), !fault.Of(err).Retry() && fault.Of(err) != fault.NoSpace, try == maxTries:
			return err
		}
		if err := pause(ctx, least+time.Duration(rand.Int64N(int64(ceiling)))); err != nil {
			return err
		}
		ceiling = min(2*ceiling, maxPause)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// named reports whether a statement names all keys that signed it: others belong to
// somebody whom it names by rotations, which the bundle must show.
func named(e *sign.Envelope, s *manifests.Statement) bool {
	_, allowed := s.Signers()
	return !slices.ContainsFunc(e.Signatures, func(g sign.Signature) bool { return !slices.Contains(allowed, g.KeyID) })
}

// verify checks the receipt, and makes the bundle that is kept.
func (p *push) verify(ctx context.Context) error {
	e, err := sign.Decode(p.state.Envelope)
	if err != nil {
		return err
	}
	id := manifests.StatementCID(e.Payload)
	if !p.out.Statement.Equals(id) {
		return fault.New(fault.Unverified, "the registry answers for the statement %s, sent was %s", p.out.Statement, id)
	}
	s, err := manifests.Decode(e.Payload)
	if err != nil {
		return err
	}
	if cjson.RawCID(p.state.Envelope).Equals(p.out.Envelope.Cid) && named(e, s) {
		l, err := proof.NewLeaf(e, p.state.Envelope)
		if err != nil {
			return err
		}
		leaf, err := l.Encode()
		if err != nil {
			return err
		}
		b := proof.Bundle{Entry: proof.Entry{Envelope: p.state.Envelope, Leaf: leaf, Receipt: []byte(p.out.Receipt)}}
		if p.out.Bundle, err = b.Encode(); err != nil {
			return err
		}
	} else if p.out.Bundle, err = p.c.Bundle(ctx, id); err != nil {
		return err // it was logged before, with other signatures; or it takes key events
	}
	if p.o.Policy == nil {
		return nil
	}
	r, err := proof.VerifyBundle(p.out.Bundle, p.o.Policy)
	if err != nil {
		return err
	}
	if !r.Holds() || !r.Statement.Equals(id) || r.Index != p.out.Index {
		return fault.New(fault.Unverified, "the registry's receipt does not hold: %s", firstFailure(r.Findings))
	}
	return nil
}

func firstFailure(all []proof.Finding) string {
	for _, f := range all {
		if f.Status == proof.Fails {
			return f.Check + ": " + f.Detail
		}
	}
	return "it is that of another entry"
}
