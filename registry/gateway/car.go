package gateway

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/fetches"
)

const (
	// maxCARBlocks bounds the different blocks of all CARs that are on their way,
	// because each stream remembers which it has sent: some 40 bytes a block, so
	// 320 MiB at the very most. A dataset of a million files has two million.
	maxCARBlocks = 8 << 20
	// carShare is how many of them a stream takes at a time.
	carShare = 4096
	// maxCARDepth bounds nodes below each other, as boxo's traversal is bounded.
	maxCARDepth = 1024
)

// truncated stands where the next block would, in a CAR that could not be
// finished: no reader takes it for a block, and the connection is cut besides.
const truncated = "\n\n[Gateway Error: CAR stream truncated, response is incomplete]"

// A carScope is what of a DAG goes into a CAR, by the names of IPIP-402.
type carScope struct {
	scope    string // block, entity, all
	from, to int64  // of the bytes of an entity; below 0 from its end
	bounded  bool   // to is set
}

// carParams reads the parameters of a CAR; false leaves them to boxo, which
// knows more of them and says what is wrong with others.
func carParams(q *request) (s carScope, ok bool) {
	get := func(name string) string {
		if v := q.query.Get("car-" + name); v != "" {
			return v
		}
		return q.params[name]
	}
	if v := get("version"); v != "" && v != "1" {
		return s, false
	}
	if v := get("order"); v != "" && v != "dfs" {
		return s, false
	}
	if v := get("dups"); v != "" && v != "n" {
		return s, false
	}
	s.scope = "all"
	if q.query.Has("dag-scope") {
		s.scope = q.query.Get("dag-scope")
	}
	if s.scope != "all" && s.scope != "entity" && s.scope != "block" {
		return s, false
	}
	if q.query.Has("entity-bytes") {
		first, last, found := strings.Cut(q.query.Get("entity-bytes"), ":")
		var err error
		if s.from, err = strconv.ParseInt(first, 10, 64); err != nil || !found {
			return s, false
		}
		if last != "*" {
			s.bounded = true
			if s.to, err = strconv.ParseInt(last, 10, 64); err != nil {
				return s, false
			}
			if (s.from < 0) == (s.to < 0) && s.to < s.from {
				return s, false
			}
		}
	}
	return s, true
}

// window returns the range of a file of size bytes; it may be empty.
func (s carScope) window(size uint64) (off, end uint64) {
	at := func(n int64) uint64 {
		if n >= 0 {
			return min(uint64(n), size)
		}
		if back := uint64(-n); back < size {
			return size - back
		}
		return 0
	}
	off, end = at(s.from), size
	if s.bounded {
		end = min(at(s.to)+1, size)
		if s.to < 0 && uint64(-s.to) > size {
			end = 0
		}
	}
	return off, max(off, end)
}

// car answers with a CAR: the blocks on the path, then what is at its end, depth
// first, no block twice. False, before anything is sent, leaves it to boxo: a
// path that leads nowhere, whose CAR proves it; codecs that are no file tree.
func (g *content) car(w *sealed, r *http.Request, q *request) bool {
	scope, ok := carParams(q)
	if !ok {
		return false
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	way := &trail{guard: g.guard}
	steps, err := unixfs.Trace(ctx, way, q.root, q.names)
	if errors.Is(err, fault.Gone) {
		Problem(w, r, g.log, err)
		return true
	}
	if err != nil {
		return false
	}
	c := steps[len(steps)-1]
	var first []byte
	if first, err = g.guard.Block(ctx, q.root); err == nil && !q.root.Equals(c) {
		_, err = g.guard.Size(ctx, c)
	}
	if err == nil && !isTree(c) {
		return false
	}
	if err != nil {
		Problem(w, r, g.log, err)
		return true
	}
	if c.Prefix().Codec == cid.DagProtobuf {
		if _, err := g.guard.Node(ctx, c); err != nil {
			return false
		}
	}
	set := &carSet{sent: make(map[[16]byte]struct{}), full: make(map[[16]byte]struct{}), all: &g.carBlocks}
	defer set.release()
	if !set.reserve() {
		Problem(w, r, g.log, fault.New(fault.Busy, "too many large CARs are being sent"))
		return true
	}
	h := w.Header()
	roots := make([]string, len(steps))
	for i, s := range steps {
		roots[i] = s.String()
	}
	h.Set("X-Ipfs-Roots", strings.Join(roots, ","))
	name := q.query.Get("filename")
	if name == "" {
		if name = q.root.String(); q.last() != "" {
			name += "_" + q.last()
		}
		name += ".car"
	}
	h.Set("Content-Disposition", disposition("attachment", name))
	h.Set("Content-Type", carType+"; version=1; order=dfs; dups=n")
	h.Set("Cache-Control", immutable)
	h.Set("Accept-Ranges", "none")
	etag := carEtag(q, scope)
	h.Set("Etag", etag)
	if q.query.Get("format") == "" {
		h.Set("Content-Location", location(r.URL.Path, q, "car"))
	}
	if none := r.Header["If-None-Match"]; len(none) > 0 && matches(none, etag, false) {
		notModified(w)
		return true
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return true
	}
	sent := fetches.FromContext(ctx)
	frames := make(chan frame, 1)
	var failed error // set before frames is closed
	go func() {
		defer close(frames)
		walk := &carWalk{guard: g.guard, set: set, count: sent != nil, hand: func(f frame) error {
			select {
			case frames <- f:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		defer func() { // nothing above this goroutine would catch it
			if p := recover(); p != nil {
				g.log.Error("panic", "panic", p, "stack", string(debug.Stack()))
				failed = fault.New(fault.Internal, "panic")
			}
		}()
		failed = walk.run(ctx, append(way.seen, c), first, c, scope)
	}()
	defer func() { // the walk has ended when set is released
		cancel()
		for range frames {
		}
	}()
	out := newCarOut(w, sent)
	defer out.settle() // whether or not the CAR is whole
	out.Write(carHeader(c))
	for f := range frames {
		var head [binary.MaxVarintLen64]byte
		id := f.c.Bytes()
		out.Write(binary.AppendUvarint(head[:0], uint64(len(id))+f.n))
		out.Write(id)
		for src := sourceOf(nil, f.piece); ; {
			b, err := src.next()
			if errors.Is(err, io.EOF) {
				src.close()
				break
			}
			if err == nil {
				_, err = out.Write(b)
			}
			if err != nil {
				src.close()
				panic(http.ErrAbortHandler)
			}
		}
		out.wrote(f.mark)
	}
	if failed != nil {
		io.WriteString(out, truncated)
		out.Flush()
		w.Flush()
		g.abort(r, failed)
	}
	if err := out.Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
	return true
}

// A carOut is the way of a CAR to the connection: many small blocks at a time. What
// is on it counts as sent when the connection has taken it.
type carOut struct {
	*bufio.Writer
	to   *sealed
	sent *fetches.Sent // nil: nothing is counted
	// wait are the blocks that the connection has not taken yet, and where in the CAR
	// each ends: as many as have room in the buffer, and one.
	wait   []carMark
	passed int64 // bytes that left the buffer
	failed bool
}

type carMark struct {
	mark
	end int64
}

func newCarOut(w *sealed, sent *fetches.Sent) *carOut {
	o := &carOut{to: w, sent: sent}
	o.Writer = bufio.NewWriterSize(carPass{o}, 64<<10)
	return o
}

// A carPass is what is behind the buffer.
type carPass struct{ o *carOut }

func (p carPass) Write(b []byte) (int, error) {
	n, err := p.o.to.Write(b)
	p.o.passed += int64(n)
	p.o.failed = p.o.failed || err != nil
	return n, err
}

// wrote says that a block was written, with what it holds of files.
func (o *carOut) wrote(m mark) {
	if o.sent == nil || m.n == 0 {
		return
	}
	o.wait = append(o.wait, carMark{m, o.passed + int64(o.Buffered())})
	if o.wait[0].end <= o.passed {
		o.settle()
	}
}

// settle adds what the connection has taken to what was sent.
func (o *carOut) settle() {
	if len(o.wait) == 0 {
		return
	}
	taken := o.passed
	if o.failed || o.to.FlushError() != nil {
		o.failed = true
		taken -= unsure
	}
	i := 0
	for ; i < len(o.wait) && o.wait[i].end <= taken; i++ {
		o.sent.Add(o.wait[i].leaf, o.wait[i].off, o.wait[i].n)
	}
	o.wait = append(o.wait[:0], o.wait[i:]...)
}

func isTree(c cid.Cid) bool {
	codec := c.Prefix().Codec
	return codec == cid.Raw || codec == cid.DagProtobuf
}

// A trail is a guard that remembers which nodes were asked for: the blocks that
// prove a path.
type trail struct {
	*guard
	seen []cid.Cid
}

func (t *trail) Node(ctx context.Context, c cid.Cid) (*unixfs.Node, error) {
	n, err := t.guard.Node(ctx, c)
	if err == nil {
		t.seen = append(t.seen, c)
	}
	return n, err
}

// carEtag is weak: the same request may be answered by other bytes one day, in
// another order.
func carEtag(q *request, s carScope) string {
	h := xxhash.New()
	for _, part := range append([]string{s.scope}, q.names...) {
		h.WriteString(part)
		h.WriteString("/")
	}
	if q.query.Has("entity-bytes") {
		h.WriteString("\x00" + q.query.Get("entity-bytes"))
	}
	return `W/"` + q.root.String() + ".car." + strconv.FormatUint(h.Sum64(), 32) + `"`
}

// carHeader is the header of a CARv1 with one root: {"roots":[root],"version":1}
// in DAG-CBOR, behind its length.
func carHeader(root cid.Cid) []byte {
	id := root.Bytes()
	b := []byte("\xa2\x65roots\x81\xd8\x2a")
	if n := len(id) + 1; n < 24 {
		b = append(b, 0x40|byte(n))
	} else if n < 256 {
		b = append(b, 0x58, byte(n))
	} else {
		b = append(b, 0x59, byte(n>>8), byte(n))
	}
	b = append(append(b, 0), id...)
	b = append(b, "\x67version\x01"...)
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

type frame struct {
	c cid.Cid
	piece
}

func whole(b []byte) piece { return piece{b: b, n: uint64(len(b))} }

// A carSet knows what a stream has sent.
type carSet struct {
	sent, full map[[16]byte]struct{}
	all        *atomic.Int64 // blocks that all streams may still remember
	share      int
}

func (s *carSet) reserve() bool {
	if s.all.Add(-carShare) < 0 {
		s.all.Add(carShare)
		return false
	}
	s.share += carShare
	return true
}

func (s *carSet) release() { s.all.Add(int64(s.share)) }

// add reports whether c is new. A hash is told from others by half of it, which
// nobody can make collide.
func (s *carSet) add(in map[[16]byte]struct{}, c cid.Cid) (bool, error) {
	h := c.Hash()
	if len(h) < 32 {
		return true, nil
	}
	k := [16]byte(h[len(h)-16:])
	if _, ok := in[k]; ok {
		return false, nil
	}
	if len(s.sent)+len(s.full) >= s.share && !s.reserve() {
		return false, fault.New(fault.Busy, "too many large CARs are being sent")
	}
	in[k] = struct{}{}
	return true, nil
}

// A carWalk hands out the frames of a CAR in order.
type carWalk struct {
	guard *guard
	set   *carSet
	count bool // what is sent of files is counted
	hand  func(frame) error
}

func (w *carWalk) run(ctx context.Context, way []cid.Cid, first []byte, end cid.Cid, s carScope) error {
	for i, c := range way {
		if _, ok, _ := inline(c); ok {
			continue // it is its own block
		}
		b := first
		if i > 0 {
			first = nil
			var err error
			if b, err = w.guard.Block(ctx, c); err != nil {
				return err
			}
		}
		if err := w.send(c, w.marked(c, b)); err != nil {
			return err
		}
	}
	if s.scope == "block" || end.Prefix().Codec == cid.Raw {
		return nil
	}
	n, err := w.guard.Node(ctx, end)
	if err != nil {
		return err
	}
	switch {
	case s.scope == "all":
		return w.below(ctx, n, 0, 1<<64-1, 0, false, 0)
	case n.Kind() == unixfs.File:
		off, to := s.window(n.Size())
		return w.below(ctx, n, off, to, 0, false, 0)
	case n.Kind() == unixfs.Directory:
		return w.below(ctx, n, 0, 1<<64-1, 0, true, 0)
	}
	return nil
}

// marked is a block on the way to what the CAR is about.
func (w *carWalk) marked(c cid.Cid, b []byte) piece {
	p := whole(b)
	if w.count {
		p.mark = markOf(c, b)
	}
	return p
}

func (w *carWalk) send(c cid.Cid, p piece) error {
	fresh, err := w.set.add(w.set.sent, c)
	if err != nil || !fresh {
		return err
	}
	return w.hand(frame{c, p})
}

// below sends what is below a node whose first byte stands at pos: all, if it
// is no file, and what lies in the window from off to end, if it is one.
func (w *carWalk) below(ctx context.Context, n *unixfs.Node, off, end, pos uint64, shards bool, depth int) error {
	if depth > maxCARDepth {
		return fault.New(fault.TooLarge, "nodes more than %d deep", maxCARDepth)
	}
	file := n.Kind() == unixfs.File
	pos += n.Inline()
	for l := range n.Children() {
		if shards && !l.Shard {
			continue
		}
		start := pos
		pos += l.Size
		if file && (start >= end || pos <= off) && l.Size > 0 {
			continue
		}
		if l.CID.Prefix().Codec == cid.Raw {
			if _, sent := w.set.sent[[16]byte(l.CID.Hash()[18:])]; sent {
				continue
			}
			p, err := w.guard.piece(ctx, l.CID)
			if err != nil {
				return err
			}
			p.mark = mark{l.CID, 0, p.n}
			if err := w.send(l.CID, p); err != nil {
				return err
			}
			continue
		}
		// What was sent with all below it is not walked again: a DAG that repeats
		// itself costs its blocks, not its paths.
		if !file || off <= start && pos <= end {
			fresh, err := w.set.add(w.set.full, l.CID)
			if err != nil {
				return err
			}
			if !fresh {
				continue
			}
		}
		b, err := w.guard.Block(ctx, l.CID)
		if err != nil {
			return err
		}
		child, err := unixfs.DecodeNode(l.CID, b)
		if err != nil {
			return fault.Mark(fault.Unverified, err)
		}
		p := whole(b)
		p.mark = markOfNode(l.CID, child)
		if err := w.send(l.CID, p); err != nil {
			return err
		}
		if err := w.below(ctx, child, off, end, start, shards, depth+1); err != nil {
			return err
		}
	}
	return nil
}
