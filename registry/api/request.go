package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// BaseURL is the URL that the absolute URLs of an answer begin with, without a
// slash at its end: own, which the operator says, or without it what the request
// names. A request may name any host, so a URL from there is good for whoever
// asked, and for no cache that others share.
func BaseURL(own string, r *http.Request) string {
	if own != "" {
		return own
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// ReadBody reads a request's body of at most limit bytes: fault.TooLarge is one
// that has more, after which the connection is closed, fault.Interrupted one that
// does not come whole, fault.Unauthenticated one that is not what was signed. The body lies in memory, so limit is what one request may
// take of it.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fault.New(fault.TooLarge, "the body has more than %d bytes", limit)
	}
	if errors.Is(err, fault.Unauthenticated) {
		return nil, err
	}
	if err != nil {
		return nil, fault.New(fault.Interrupted, "reading the body: %w", err)
	}
	return b, nil
}

// Strict reads one JSON value with no unknown members into v; anything else is
// fault.Invalid. A member that was passed over would make the answer another than
// that to the question.
func Strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fault.New(fault.Invalid, "%w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "more than one value")
	}
	return nil
}
