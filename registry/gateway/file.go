package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/gabriel-vasile/mimetype"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/fetches"
)

// block answers with the block of c, as the Trustless Gateway specification
// says.
func (g *content) block(w *sealed, r *http.Request, q *request, c cid.Cid) {
	size, err := g.guard.Size(r.Context(), c)
	if err != nil {
		Problem(w, r, g.log, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", rawType)
	name := q.query.Get("filename")
	if name == "" {
		name = c.String() + ".bin"
	}
	h.Set("Content-Disposition", disposition("attachment", name))
	h.Set("Cache-Control", immutable)
	if q.query.Get("format") == "" {
		h.Set("Content-Location", location(r.URL.Path, q, "raw"))
	}
	g.deliver(w, r, size, `"`+c.String()+`.raw"`, func(ctx context.Context, s span) (source, error) {
		p, err := g.guard.piece(ctx, c)
		if err == nil && p.n != size {
			err = fault.New(fault.Unverified, "the block %s has %d bytes, not %d", c, p.n, size)
		}
		if err != nil {
			return nil, err
		}
		sent := fetches.FromContext(ctx)
		cut := p.cut(s.off, s.off+s.n)
		switch {
		case sent == nil:
		case c.Prefix().Codec == cid.Raw:
			cut.mark = mark{c, s.off, s.n}
		case s.n == size && c.Prefix().Codec == cid.DagProtobuf:
			if n, err := g.guard.Node(ctx, c); err == nil {
				cut.mark = markOfNode(c, n)
			}
		}
		return sourceOf(sent, cut), nil
	})
}

// location is the URL that gives the same answer without an Accept header.
func location(path string, q *request, format string) string {
	v := url.Values{}
	for k, values := range q.query {
		v[k] = values
	}
	v.Set("format", format)
	for k, p := range q.params {
		if !v.Has(format + "-" + k) {
			v.Set(format+"-"+k, p)
		}
	}
	return path + "?" + v.Encode()
}

// file answers with the file c. Its media type follows from name, else from the
// head of the file, whatever range is asked for.
func (g *content) file(w *sealed, r *http.Request, q *request, c cid.Cid, name, etag string) {
	ctx := r.Context()
	var size uint64
	var err error
	if c.Prefix().Codec == cid.Raw {
		size, err = g.guard.Size(ctx, c)
	} else {
		var n *unixfs.Node
		if n, err = g.guard.Node(ctx, c); err == nil {
			size = n.Size()
		}
	}
	if err != nil {
		Problem(w, r, g.log, err)
		return
	}
	h := w.Header()
	if f := q.query.Get("filename"); f != "" {
		name = f
		how := "inline"
		if q.query.Get("download") == "true" {
			how = "attachment"
		}
		h.Set("Content-Disposition", disposition(how, f))
	}
	ctype := mime.TypeByExtension(path.Ext(name))
	if ctype == "" {
		if ctype, err = g.sniff(ctx, c, size); err != nil {
			Problem(w, r, g.log, err)
			return
		}
	}
	if strings.HasPrefix(ctype, "text/html;") {
		ctype = "text/html" // the page says in which encoding it is
	}
	h.Set("Content-Type", ctype)
	h.Set("Cache-Control", immutable)
	g.deliver(w, r, size, etag, func(ctx context.Context, s span) (source, error) { return g.open(ctx, c, s) })
}

// sniffed is how much of a file's head tells its media type.
const sniffed = 3072

// sniff tells the media type from the head of a file. As much of it as can be
// read is looked at: the rest of a damaged file is served all the same.
func (g *content) sniff(ctx context.Context, c cid.Cid, size uint64) (string, error) {
	if t := g.typed.get(c); t != "" {
		// The caller has asked whether c is there for whom it serves.
		return t, nil
	}
	var head []byte
	if size > 0 {
		s, err := g.open(fetches.NewContext(ctx, nil), c, span{0, min(size, sniffed)})
		if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Unverified) {
			return "application/octet-stream", nil
		}
		if err != nil {
			return "", err
		}
		defer s.close()
		for {
			b, err := s.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Unverified) {
				return mimetype.Detect(head).String(), nil
			}
			if err != nil {
				return "", err
			}
			head = append(head, b...)
		}
	}
	t := mimetype.Detect(head).String()
	g.typed.set(c, t)
	return t, nil
}

var asciiOnly = func(r rune) rune {
	if r > 0x7e {
		return '_'
	}
	return r
}

// disposition writes a Content-Disposition. The name is escaped, so that nothing
// in it can end the header.
func disposition(how, name string) string {
	return how + `; filename="` + url.PathEscape(strings.Map(asciiOnly, name)) + `"; filename*=UTF-8''` + url.PathEscape(name)
}

// A piece is a run of bytes: b, or n bytes of r from off on. mark says what of a
// file they are.
type piece struct {
	b      []byte
	r      io.ReaderAt
	off, n uint64
	mark   mark
}

// A mark is n bytes of a file's contents, from off on in a leaf: what counts as sent
// with a piece.
type mark struct {
	leaf   cid.Cid
	off, n uint64
}

// markOf is all that a block holds of a file's contents: nothing, if it is no leaf.
func markOf(c cid.Cid, b []byte) mark {
	if c.Prefix().Codec == cid.Raw {
		return mark{c, 0, uint64(len(b))}
	}
	n, err := unixfs.DecodeNode(c, b)
	if err != nil {
		return mark{}
	}
	return markOfNode(c, n)
}

func markOfNode(c cid.Cid, n *unixfs.Node) mark {
	if n.Kind() == unixfs.File && n.Inline() == n.Size() {
		return mark{c, 0, n.Size()}
	}
	return mark{}
}

// cut returns the bytes of p from from to before to.
func (p piece) cut(from, to uint64) piece {
	if p.r == nil {
		p.b = p.b[from:to]
	}
	return piece{b: p.b, r: p.r, off: p.off + from, n: to - from}
}

// A source hands out bytes in order. next returns io.EOF after the last; what
// it returned is valid until the next call of next or close. took says that the
// connection took n more of them; counts, whether anybody wants to know.
type source interface {
	next() ([]byte, error)
	counts() bool
	took(n int)
	close()
}

var buffers = sync.Pool{New: func() any { return new([slice]byte) }}

// pieces is a source of what more returns, until that is false. What was sent of
// files is added to sent.
type pieces struct {
	sent *fetches.Sent
	now  piece
	mark mark   // of now, until it is noted
	size uint64 // of now, when it was whole
	done uint64 // what the connection took of it
	more func() (piece, bool, error)
	stop func()
	buf  *[slice]byte
}

func sourceOf(sent *fetches.Sent, p piece) *pieces {
	return &pieces{sent: sent, now: p, mark: p.mark, size: p.n, more: func() (piece, bool, error) { return piece{}, false, nil }, stop: func() {}}
}

func (s *pieces) next() ([]byte, error) {
	for s.now.n == 0 {
		s.note()
		p, ok, err := s.more()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, io.EOF
		}
		s.now, s.mark, s.size, s.done = p, p.mark, p.n, 0
	}
	if s.now.r == nil {
		b := s.now.b
		s.now = piece{}
		return b, nil
	}
	if s.buf == nil {
		s.buf = buffers.Get().(*[slice]byte)
	}
	b := s.buf[:min(slice, s.now.n)]
	if _, err := s.now.r.ReadAt(b, int64(s.now.off)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	s.now.off, s.now.n = s.now.off+uint64(len(b)), s.now.n-uint64(len(b))
	return b, nil
}

func (s *pieces) counts() bool { return s.sent != nil }

func (s *pieces) took(n int) { s.done += uint64(n) }

// note adds what the connection took of the piece to what was sent. Part of a piece
// is part of the file only where it holds nothing else.
func (s *pieces) note() {
	n := s.mark.n
	if s.done < s.size {
		if n = s.done; s.mark.n != s.size {
			n = 0
		}
	}
	s.sent.Add(s.mark.leaf, s.mark.off, n)
	s.mark = mark{}
}

func (s *pieces) close() {
	s.note()
	s.stop()
	if s.buf != nil {
		buffers.Put(s.buf)
		s.buf = nil
	}
}

// deliver sends a representation of size bytes: all of it, a range, or several,
// or none if what the request knows of it is current. The first bytes are read,
// and verified, before the status is sent; an error after that cuts the
// connection.
func (g *content) deliver(w *sealed, r *http.Request, size uint64, etag string, open func(context.Context, span) (source, error)) {
	h := w.Header()
	h.Set("Etag", etag)
	h.Set("Accept-Ranges", "bytes")
	if match := r.Header["If-Match"]; len(match) > 0 && !matches(match, etag, true) {
		g.problem(w, r, http.StatusPreconditionFailed, fault.New(fault.Conflict, "the entity tag is another"))
		return
	}
	if none := r.Header["If-None-Match"]; len(none) > 0 && matches(none, etag, false) {
		notModified(w)
		return
	}
	var spans []span
	if header := strings.Join(r.Header["Range"], ","); header != "" && r.Method == http.MethodGet && current(r, etag) {
		var err error
		if spans, err = parseRanges(header, size); err != nil {
			drop(h)
			if errors.Is(err, errUnsatisfiable) {
				h.Set("Content-Range", "bytes */"+strconv.FormatUint(size, 10))
				g.problem(w, r, http.StatusRequestedRangeNotSatisfiable, err)
				return
			}
			Problem(w, r, g.log, err)
			return
		}
		total := uint64(0)
		for _, s := range spans {
			total += s.n
		}
		if len(spans) > 1 && total > size {
			spans = nil // ranges that overlap: all of it is less
		}
	}
	whole := len(spans) == 0
	if whole {
		spans = []span{{0, size}}
	}
	if r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.FormatUint(size, 10))
		w.WriteHeader(http.StatusOK)
		return
	}
	var src source = sourceOf(nil, piece{})
	if spans[0].n > 0 {
		var err error
		if src, err = open(r.Context(), spans[0]); err != nil {
			drop(h)
			Problem(w, r, g.log, err)
			return
		}
	}
	first, err := src.next()
	if err != nil && !errors.Is(err, io.EOF) {
		src.close()
		drop(h)
		Problem(w, r, g.log, err)
		return
	}
	status := http.StatusPartialContent
	if whole {
		status = http.StatusOK
	}
	if len(spans) == 1 {
		if !whole {
			h.Set("Content-Range", contentRange(spans[0], size))
		}
		h.Set("Content-Length", strconv.FormatUint(spans[0].n, 10))
		w.WriteHeader(status)
		g.copy(w, r, src, first, spans[0].n)
		return
	}
	ctype := h.Get("Content-Type")
	parts := multipart.NewWriter(w)
	h.Set("Content-Length", strconv.FormatUint(multipartSize(spans, ctype, size, parts.Boundary()), 10))
	h.Set("Content-Type", "multipart/byteranges; boundary="+parts.Boundary())
	w.WriteHeader(status)
	for i, s := range spans {
		if i > 0 {
			if src, err = open(r.Context(), s); err != nil {
				g.abort(r, err)
			}
			if first, err = src.next(); err != nil {
				src.close()
				g.abort(r, err)
			}
		}
		if _, err := parts.CreatePart(partHeader(s, ctype, size)); err != nil {
			src.close()
			panic(http.ErrAbortHandler)
		}
		g.copy(w, r, src, first, s.n)
	}
	parts.Close()
}

// drop takes away headers that are about the bytes, before an error is answered.
func drop(h http.Header) {
	for _, k := range []string{"Etag", "Cache-Control", "Content-Disposition", "Content-Location", "Accept-Ranges"} {
		h.Del(k)
	}
}

func notModified(w http.ResponseWriter) {
	h := w.Header()
	for _, k := range []string{"Content-Type", "Content-Length", "Content-Disposition", "Accept-Ranges"} {
		h.Del(k)
	}
	w.WriteHeader(http.StatusNotModified)
}

// unsure is how much of what net/http took may lie in its buffers, of 2 and of 4 KiB,
// when the connection breaks.
const unsure = 6 << 10

// copy sends what a source holds, n bytes, and closes it.
func (g *content) copy(w *sealed, r *http.Request, src source, first []byte, n uint64) {
	defer src.close()
	before := true // something else may lie in buffers before the bytes
	for b := first; ; {
		if uint64(len(b)) > n {
			g.abort(r, fault.New(fault.Unverified, "a file is longer than it says"))
		}
		m, err := w.Write(b)
		if src.counts() {
			if err == nil {
				err = w.FlushError()
				before = before || err != nil
			}
			if err != nil && before {
				m -= min(m, unsure)
			}
			src.took(m)
			before = false
		}
		if err != nil {
			panic(http.ErrAbortHandler) // nobody reads any more, or too slowly
		}
		n -= uint64(len(b))
		if b, err = src.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			g.abort(r, err)
		}
	}
	if n != 0 {
		g.abort(r, fault.New(fault.Unverified, "a file is %d bytes shorter than it says", n))
	}
}

// abort cuts an answer off, so that nobody takes it for whole.
func (g *content) abort(r *http.Request, err error) {
	if r.Context().Err() == nil {
		g.log.WarnContext(r.Context(), "answer cut off", "path", r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}

func contentRange(s span, size uint64) string {
	return "bytes " + strconv.FormatUint(s.off, 10) + "-" + strconv.FormatUint(s.off+s.n-1, 10) + "/" + strconv.FormatUint(size, 10)
}

func partHeader(s span, ctype string, size uint64) textproto.MIMEHeader {
	return textproto.MIMEHeader{"Content-Range": {contentRange(s, size)}, "Content-Type": {ctype}}
}

func multipartSize(spans []span, ctype string, size uint64, boundary string) uint64 {
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	parts.SetBoundary(boundary)
	n := uint64(0)
	for _, s := range spans {
		parts.CreatePart(partHeader(s, ctype, size))
		n += s.n
	}
	parts.Close()
	return n + uint64(b.Len())
}

// matches compares entity tags, as sections 8.8.3 and 13.1 of RFC 9110 say.
func matches(header []string, etag string, strong bool) bool {
	for _, h := range header {
		for {
			h = strings.TrimLeft(h, " \t,")
			if h == "" {
				break
			}
			if h[0] == '*' {
				return true
			}
			weak := strings.HasPrefix(h, "W/")
			tag := strings.TrimPrefix(h, "W/")
			if tag == "" || tag[0] != '"' {
				break
			}
			end := strings.IndexByte(tag[1:], '"')
			if end < 0 {
				break
			}
			tag, h = tag[:end+2], tag[end+2:]
			ours, weakly := strings.CutPrefix(etag, "W/")
			if tag == ours && !(strong && (weak || weakly)) {
				return true
			}
		}
	}
	return false
}

// current reports whether a Range may be answered: there is no If-Range, or it
// names, strongly, what there is. A date never does: nothing here has one.
func current(r *http.Request, etag string) bool {
	h := r.Header.Get("If-Range")
	return h == "" || h == etag && !strings.HasPrefix(etag, "W/")
}

// open returns a range of a file. A range that lies in one block is read at
// once. For a longer one the blocks are found, and verified if they were not,
// one ahead of whoever takes them.
func (g *content) open(ctx context.Context, c cid.Cid, s span) (source, error) {
	if c.Prefix().Codec == cid.Raw {
		p, err := g.leaf(ctx, unixfs.Leaf{CID: c}, s)
		return sourceOf(fetches.FromContext(ctx), p), err
	}
	var leaves []unixfs.Leaf
	enough := errors.New("enough")
	ok, err := unixfs.PlanRange(ctx, g.guard, c, s.off, s.off+s.n, func(l unixfs.Leaf) error {
		if leaves = append(leaves, l); len(leaves) == 2 {
			return enough
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, enough):
		return nil, err
	case ok && len(leaves) == 1:
		p, err := g.leaf(ctx, leaves[0], s)
		return sourceOf(fetches.FromContext(ctx), p), err
	}
	if err := g.denied(ctx, c, s); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ready := make(chan piece, 1)
	hand := func(p piece) error {
		select {
		case ready <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var failed error // set before ready is closed
	go func() {
		defer close(ready)
		sent := uint64(0)
		whole, err := unixfs.PlanRange(ctx, g.guard, c, s.off, s.off+s.n, func(l unixfs.Leaf) error {
			p, err := g.leaf(ctx, l, s)
			if err != nil {
				return err
			}
			sent += p.n
			return hand(p)
		})
		if err == nil && !whole {
			// Bytes in inner nodes: rare, and read in order.
			err = unixfs.ReadRange(ctx, g.guard, c, s.off+sent, s.n-sent, func(b []byte) error { return hand(piece{b: b, n: uint64(len(b))}) })
		}
		failed = err
	}()
	more := func() (piece, bool, error) {
		p, ok := <-ready
		if !ok {
			return p, false, failed
		}
		return p, true, nil
	}
	stop := func() { // ends the goroutine and waits for it
		cancel()
		for range ready {
		}
	}
	return &pieces{sent: fetches.FromContext(ctx), more: more, stop: stop}, nil
}

// denied looks at the blocks of a range before the first of it is sent, when
// there is a denylist.
func (g *content) denied(ctx context.Context, c cid.Cid, s span) error {
	if g.deny.empty() {
		return nil
	}
	_, err := unixfs.PlanRange(ctx, g.guard, c, s.off, s.off+s.n, func(l unixfs.Leaf) error { return g.deny.block(l.CID) })
	return err
}

// leaf returns the bytes of a leaf that lie in a range.
func (g *content) leaf(ctx context.Context, l unixfs.Leaf, s span) (p piece, err error) {
	if l.CID.Prefix().Codec == cid.Raw {
		p, err = g.guard.piece(ctx, l.CID)
	} else {
		p, err = g.pbLeaf(ctx, l.CID)
	}
	if err != nil {
		return p, err
	}
	if l.Known && p.n != l.Size {
		return p, fault.New(fault.Unverified, "block %s has %d bytes of a file, its parent claims %d", l.CID, p.n, l.Size)
	}
	from, to := uint64(0), p.n
	if s.off > l.Off {
		from = min(s.off-l.Off, to)
	}
	if end := s.off + s.n; end < l.Off+to {
		to = max(end, l.Off) - l.Off
	}
	p = p.cut(from, max(to, from))
	p.mark = mark{l.CID, from, p.n}
	return p, nil
}

// pbLeaf returns the bytes of a file in a dag-pb leaf, which lie in one run
// somewhere in the block.
func (g *content) pbLeaf(ctx context.Context, c cid.Cid) (piece, error) {
	b, err := g.guard.Block(ctx, c)
	if err != nil {
		return piece{}, err
	}
	data, err := unixfs.Data(c, b)
	if err != nil {
		return piece{}, fault.Mark(fault.Unverified, err)
	}
	if len(data) < slice {
		return whole(data), nil
	}
	p, err := g.guard.piece(ctx, c)
	if err != nil {
		return p, err
	}
	at := uint64(bytes.Index(b, data)) // an equal run is as good
	return p.cut(at, at+uint64(len(data))), nil
}
