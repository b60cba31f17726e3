package access

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// Register adds POST /v1/access to mux.
func (a *Access) Register(mux *http.ServeMux) { mux.HandleFunc("POST /v1/access", a.grant) }

// Issued finds the caller whose token has the hash sum, for auth.Options.Issued. It
// may read, and nothing else.
func (a *Access) Issued(sum [sha256.Size]byte) (auth.Caller, bool) {
	key, ok := a.tokens.find(sum)
	return auth.Caller{Key: key, Role: auth.Reader, Token: "access"}, ok
}

func (a *Access) problem(w http.ResponseWriter, r *http.Request, err error) {
	api.Problem(w, r, a.log, err)
}

// grant trades a signed request for a token.
func (a *Access) grant(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "private, no-store")
	out, err := a.token(w, r)
	if err != nil {
		a.problem(w, r, err)
		return
	}
	b, err := json.Marshal(out)
	if err != nil {
		a.problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

func (a *Access) token(w http.ResponseWriter, r *http.Request) (*wire.Access, error) {
	if n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1)); err != nil || n > 0 {
		if errors.Is(err, fault.Unauthenticated) {
			return nil, err
		}
		return nil, fault.New(fault.Invalid, "a request for access has no body")
	}
	if !a.o.Store.Gated() {
		return nil, fault.New(fault.Denied, "nothing is gated here: no access is needed")
	}
	c, ok := auth.FromContext(r.Context())
	if !ok || c.Token != "" || c.Signed == "" {
		return nil, fault.WithHint(fault.New(fault.Unauthenticated, "access is given for a signed request"),
			"the request is signed as RFC 9421 has it, by the key that accepted the terms")
	}
	terms, err := a.Opened(c.Key)
	if err != nil {
		return nil, err
	}
	if len(terms) == 0 {
		part, err := a.party(c.Key)
		if err != nil {
			return nil, err
		}
		if !part {
			return nil, fault.WithHint(fault.New(fault.Denied, "%s has accepted no terms of gated data here", c.Key),
				`"cairn accept" accepts them by signature`)
		}
	}
	// The token is the key's, and ends with it.
	token, expires, err := a.tokens.give(c.Signed, a.o.Life)
	if err != nil {
		return nil, err
	}
	out := &wire.Access{Token: token, Key: c.Key, ExpiresAt: expires.UTC().Format(time.RFC3339), Terms: []cjson.CID{}}
	for _, t := range terms {
		out.Terms = append(out.Terms, cjson.CID{Cid: t})
	}
	return out, nil
}

// party reports whether a key published or contributed to anything: it reads its
// own.
func (a *Access) party(id sign.KeyID) (yes bool, err error) {
	err = a.o.Registry.View(func(s *index.Snapshot) error {
		for _, q := range []index.Query{{Publisher: id, Limit: 1}, {Contributor: id, Limit: 1}} {
			page, err := s.List(q)
			if err != nil {
				return err
			}
			yes = yes || len(page.Datasets) > 0
		}
		return nil
	})
	return yes, err
}
