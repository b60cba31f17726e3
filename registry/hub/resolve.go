package hub

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// resolve serves a file's bytes: all of them, or one range. What people upload
// must not run in this server's origin: it is sent as an attachment, under no
// type that a browser acts on.
func (h *Hub) resolve(w http.ResponseWriter, r *http.Request) error {
	p := r.PathValue("path")
	if len(p) > maxPath {
		return noEntry(p)
	}
	v, c, err := h.readable(r)
	if err != nil {
		return err
	}
	// A client remembers that a path is not there, if it knows of which commit.
	w.Header().Set("X-Repo-Commit", v.sha)
	f, ok, err := c.file(r.Context(), h.blocks, p)
	if err != nil {
		return err
	}
	if !ok {
		return noEntry(p)
	}
	hdr := w.Header()
	v.headers(hdr)
	if h.o.Signals != nil {
		h.o.Signals(hdr, v.Dataset)
	}
	etag := `"` + f.SHA256 + `"`
	size := strconv.FormatInt(f.Size, 10)
	hdr.Set("ETag", etag)
	hdr.Set("X-Linked-Etag", etag)
	hdr.Set("X-Linked-Size", size)
	hdr.Set("Accept-Ranges", "bytes")
	hdr.Set("Content-Type", contentType(f.MediaType))
	hdr.Set("X-Content-Type-Options", "nosniff")
	hdr.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	name := p[strings.LastIndexByte(p, '/')+1:]
	hdr.Set("Content-Disposition", "attachment; filename*=UTF-8''"+strings.ReplaceAll(url.QueryEscape(name), "+", "%20"))

	if match := r.Header.Get("If-None-Match"); match != "" && matches(match, etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	off, n, status := int64(0), f.Size, http.StatusOK
	if text := r.Header.Get("Range"); text != "" && r.Method == http.MethodGet && ifRange(r, etag) {
		switch from, count, kind := parseRange(text, f.Size); {
		case kind == noRange:
		case f.Size == 0:
			// There is no range of nothing, but some clients read the size here.
			hdr.Set("Content-Range", "bytes */0")
		case kind == badRange:
			hdr.Set("Content-Range", "bytes */"+size)
			return &answerError{error: fault.New(fault.Invalid, "the range %s lies outside the file of %s bytes", fault.Quote(text), size), status: http.StatusRequestedRangeNotSatisfiable}
		default:
			off, n, status = from, count, http.StatusPartialContent
			hdr.Set("Content-Range", "bytes "+strconv.FormatInt(off, 10)+"-"+strconv.FormatInt(off+n-1, 10)+"/"+size)
		}
	}
	hdr.Set("Content-Length", strconv.FormatInt(n, 10))
	if r.Method == http.MethodHead || n == 0 {
		w.WriteHeader(status)
		return nil
	}
	if f.virtual != nil {
		w.WriteHeader(status)
		w.Write(f.virtual[off : off+n])
		return nil
	}
	begun := false
	err = unixfs.ReadRange(r.Context(), h.blocks, f.CID.Cid, uint64(off), uint64(n), func(p []byte) error {
		if !begun {
			begun = true
			w.WriteHeader(status)
		}
		_, err := w.Write(p)
		return err
	})
	if err != nil && begun {
		if fault.Of(err) == fault.Unverified || fault.Of(err) == fault.NotFound {
			h.log.ErrorContext(r.Context(), "a file was cut off", "path", r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler) // the answer is cut off, and seen to be
	}
	if err != nil {
		hdr.Del("Content-Range")
		hdr.Del("Content-Disposition")
		// A block that is not there is a defect of this server, not an answer
		// that clients may remember.
		if fault.Of(err) == fault.NotFound {
			err = fault.New(fault.Internal, "reading %s: %w", fault.Printable(p), err)
		}
	}
	return err
}

// contentType is what bytes are sent as: text to be read, the rest to be kept.
func contentType(mediaType string) string {
	switch mediaType {
	case "text/plain", "text/csv", "text/tab-separated-values", "text/markdown", "application/x-ndjson", "application/yaml":
		return "text/plain; charset=utf-8"
	case "application/json", "application/vnd.apache.parquet", "application/x-tar", "application/gzip", "application/zip", "application/zstd":
		return mediaType
	}
	return "application/octet-stream"
}

// matches reports whether an If-None-Match names the entity.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == "*" || part == etag {
			return true
		}
	}
	return false
}

// ifRange reports whether a range is wanted of this very entity.
func ifRange(r *http.Request, etag string) bool {
	v := r.Header.Get("If-Range")
	return v == "" || v == etag
}

type rangeKind int

const (
	noRange  rangeKind = iota // none, several, or of another unit: the whole is sent, as RFC 9110 allows
	badRange                  // outside the file
	oneRange
)

// parseRange reads a Range header (RFC 9110, 14.2) for a file of size bytes.
func parseRange(s string, size int64) (off, n int64, kind rangeKind) {
	spec, ok := strings.CutPrefix(s, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, 0, noRange
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, 0, noRange
	}
	if first == "" {
		k, ok := digits(last)
		if !ok {
			return 0, 0, noRange
		}
		if k = min(k, size); k == 0 {
			return 0, 0, badRange
		}
		return size - k, k, oneRange
	}
	from, ok := digits(first)
	if !ok {
		return 0, 0, noRange
	}
	to := size - 1
	if last != "" {
		k, ok := digits(last)
		if !ok || k < from {
			return 0, 0, noRange
		}
		to = min(to, k)
	}
	if from >= size {
		return 0, 0, badRange
	}
	return from, to - from + 1, oneRange
}

// digits reads a number; one that no file reaches is as good as the largest.
func digits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}
