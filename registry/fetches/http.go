package fetches

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/wire"
)

// Path is where fetches are opened, and below it their records are asked for: who
// asks there must be known.
const Path = "/v1/fetches"

// maxBody bounds what opens a fetch: a CID, and a purpose of 4 KiB, escaped.
const maxBody = 32 << 10

// Register adds the routes to mux.
func (f *Fetches) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+Path, f.answer("application/json", f.open))
	mux.HandleFunc("POST "+Path+"/record", f.answer("application/vnd.dsse+json", f.record))
}

// answer answers a caller with what fn makes of the body. Nobody else keeps it.
func (f *Fetches) answer(contentType string, fn func(r *http.Request, key sign.KeyID, body []byte) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "private, no-store")
		b, err := api.ReadBody(w, r, maxBody)
		var key sign.KeyID
		if err == nil {
			key, err = caller(r)
		}
		if err == nil {
			b, err = fn(r, key, b)
		}
		if err != nil {
			api.Problem(w, r, f.log, err)
			return
		}
		h.Set("Content-Type", contentType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b)
	}
}

// caller is the key that sent a request: a record names who proved itself.
func caller(r *http.Request) (sign.KeyID, error) {
	c, ok := auth.FromContext(r.Context())
	if !ok || c.Key == "" {
		return "", fault.WithHint(fault.New(fault.Unauthenticated, "a fetch is counted for a key that proves itself"),
			"the request is signed as RFC 9421 has it, or carries a token that is bound to a key")
	}
	return c.Key, nil
}

func (f *Fetches) open(r *http.Request, key sign.KeyID, body []byte) ([]byte, error) {
	var ask wire.OpenFetch
	if err := api.Strict(body, &ask); err != nil {
		return nil, fmt.Errorf("the body: %w", err)
	}
	if !ask.Statement.Defined() {
		return nil, fault.New(fault.Invalid, `of which version? The member "statement" is missing`)
	}
	o, err := f.Open(r.Context(), key, ask.Statement.Cid, ask.Purpose)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire.Fetch{
		Fetch: o.ID, Statement: o.Version.Statement, Root: o.Version.Root, Bytes: o.Version.Bytes, Fetcher: key, Gateway: f.o.Signer.ID(),
	})
}

func (f *Fetches) record(r *http.Request, key sign.KeyID, body []byte) ([]byte, error) {
	var ask wire.AskRecord
	if err := api.Strict(body, &ask); err != nil {
		return nil, fmt.Errorf("the body: %w", err)
	}
	return f.Record(r.Context(), key, ask.Fetch)
}
