package hub

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/api"
)

// What clients decide by: the header X-Error-Code.
const (
	repoNotFound     = "RepoNotFound"
	revisionNotFound = "RevisionNotFound"
	entryNotFound    = "EntryNotFound"
	gatedRepo        = "GatedRepo"
)

// disabled is the message, to the letter, by which clients know a repository
// that is not offered any more.
const disabled = "Access to this resource is disabled."

// An answerError is an error with what the protocol says of it beside its fault.
type answerError struct {
	error
	code   string // X-Error-Code
	status int    // 0: that of the fault
}

func (e *answerError) Unwrap() error { return e.error }

func noRepo(id string) error {
	return &answerError{error: fault.New(fault.NotFound, "there is no dataset %s here", fault.Printable(id)), code: repoNotFound}
}

func noRevision(id, rev string) error {
	return &answerError{error: fault.New(fault.NotFound, "the dataset %s has no revision %s", fault.Printable(id), fault.Quote(rev)), code: revisionNotFound}
}

func noEntry(path string) error {
	return &answerError{error: fault.New(fault.NotFound, "there is no %s in this revision", fault.Quote(path)), code: entryNotFound}
}

// fail answers with err as clients of the Hub read it.
func (h *Hub) fail(w http.ResponseWriter, r *http.Request, err error) {
	fc := fault.Of(err)
	status, message, code := fc.HTTPStatus(), err.Error(), ""
	if hint := fault.Hint(err); hint != "" {
		message += " (" + hint + ")"
	}
	var a *answerError
	if errors.As(err, &a) {
		code = a.code
		if a.status != 0 {
			status = a.status
		}
	}
	hdr := w.Header()
	switch {
	case fc == fault.Gone:
		status, message = http.StatusForbidden, disabled
	case fc == fault.Unauthenticated && code == "":
		hdr.Set("WWW-Authenticate", `Bearer realm="cairn"`)
	case fc.Retry():
		hdr.Set("Retry-After", "2")
		if fc == fault.Pending {
			status = http.StatusServiceUnavailable // 202 would read as success
		}
	case fc == fault.Internal:
		if r.Context().Err() == nil && !errors.Is(err, context.Canceled) {
			h.log.ErrorContext(r.Context(), "hub request failed", "request", hdr.Get(api.RequestID), "path", r.URL.Path, "error", err)
		}
		message = "an internal error; the operator finds it in the log under the request's ID"
	}
	if code != "" {
		hdr.Set("X-Error-Code", code)
	}
	hdr.Set("X-Error-Message", oneLine(message))
	for _, k := range []string{"ETag", "X-Linked-Etag", "X-Linked-Size", "Accept-Ranges", "Content-Disposition", "Last-Modified"} {
		hdr.Del(k)
	}
	hdr.Set("Cache-Control", "no-store")
	if code == gatedRepo {
		hdr.Set("Cache-Control", "private, no-store")
		hdr.Add("Vary", "Authorization, Signature-Input")
	}
	send(w, status, map[string]string{"error": message})
}

// maxHeaderLine bounds an error's message in a header.
const maxHeaderLine = 512

// oneLine makes a message fit for a header: printable ASCII, and not long.
func oneLine(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r == '\n':
			b = append(b, "; "...)
		case r < 0x20 || r > 0x7e:
			b = append(b, '?')
		default:
			b = append(b, byte(r))
		}
		if len(b) >= maxHeaderLine {
			break
		}
	}
	return string(b)
}

// send answers with v as JSON.
func send(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	w.WriteHeader(status)
	w.Write(b)
	return nil
}

// nothing answers for paths that are no route.
func nothing(_ http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return fault.New(fault.NotFound, "%s is not possible at this path", fault.Printable(r.Method))
	}
	return &answerError{error: fault.New(fault.NotFound, "there is nothing at this path"), code: repoNotFound}
}

// noXet answers who asks for the Xet protocol.
func noXet(http.ResponseWriter, *http.Request) error {
	return fault.WithHint(fault.New(fault.Invalid, "this registry does not speak the Xet protocol"),
		"set HF_HUB_DISABLE_XET=1 (Python) or useXet: false (JavaScript)")
}
