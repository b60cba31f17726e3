package upload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/wire"
)

// carType is the media type of a shard.
const carType = "application/vnd.ipld.car"

// Register adds the routes to mux: /v1/uploads, and POST /v1/entries for
// statements that need no blocks. They authenticate by themselves, and refuse
// what a browser sends from another origin.
func (s *Server) Register(mux *http.ServeMux) {
	cross := http.NewCrossOriginProtection()
	route := func(pattern string, fn func(http.ResponseWriter, *http.Request, auth.Caller) error) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := s.o.Auth.Writer(r.Context())
			if err == nil {
				err = fn(w, r, c)
			}
			if err != nil {
				s.refuse(w, r, err)
			}
		})
		mux.Handle(pattern, cross.Handler(s.o.Auth.Middleware(h)))
	}
	route("POST /v1/uploads", s.open)
	route("GET /v1/uploads/{id}", s.ask)
	route("PUT /v1/uploads/{id}/shards/{sha256}", s.send)
	route("POST /v1/uploads/{id}/commit", s.commit)
	route("DELETE /v1/uploads/{id}", s.remove)
	route("POST /v1/entries", s.entry)
}

// statusError is a refusal with an HTTP status that its code does not have.
type statusError struct {
	error
	status int
}

func (e *statusError) Unwrap() error { return e.error }

func withStatus(status int, err error) error { return &statusError{err, status} }

// refuse answers with err as a problem.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.tally.refuse(err)
	var inc *incompleteError
	var st *statusError
	id := w.Header().Get(api.RequestID)
	switch {
	case errors.As(err, &inc):
		p := inc.problem(id)
		w.Header().Set("Content-Type", wire.ProblemType)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(p)
	case errors.As(err, &st):
		p := wire.NewProblem(err, id)
		p.Status = st.status
		p.Write(w)
	case errors.Is(err, errQuota) && fault.Of(err) == fault.Busy:
		p := wire.NewProblem(err, id)
		p.Status = http.StatusTooManyRequests
		p.Write(w)
	default:
		api.Problem(w, r, s.log, err)
	}
}

func (s *Server) answer(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
	return nil
}

// turn waits for a place among the declarations that are decoded.
func (s *Server) turn(ctx context.Context) (done func(), err error) {
	select {
	case s.reads <- struct{}{}:
		return func() { <-s.reads }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// body reads a JSON body of at most limit bytes. A large one takes a place among
// the shards while it comes in.
func (s *Server) body(w http.ResponseWriter, r *http.Request, c auth.Caller, limit int64) ([]byte, error) {
	if err := s.plain(r); err != nil {
		return nil, err
	}
	if r.ContentLength > limit {
		return nil, fault.New(fault.TooLarge, "the body has %d bytes, the limit is %d", r.ContentLength, limit)
	}
	if r.ContentLength < 0 || r.ContentLength > readBuffer {
		release, err := s.slot(r.Context(), ownerOf(c))
		if err != nil {
			return nil, err
		}
		defer release()
	}
	b, err := io.ReadAll(s.paced(w, r, http.MaxBytesReader(w, r.Body, limit)))
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return nil, fault.New(fault.TooLarge, "the body has more than %d bytes", limit)
		}
		return nil, cut(err)
	}
	return b, nil
}

// cut gives an error of reading a request's body its code: one that has none is
// of the connection.
func cut(err error) error {
	if fault.Of(err) != fault.Internal {
		return err
	}
	return fault.New(fault.Invalid, "the body ended early: %w", err)
}

// plain refuses a body that is encoded: nothing is unpacked for strangers.
func (s *Server) plain(r *http.Request) error {
	if e := r.Header.Values("Content-Encoding"); len(e) > 0 && !(len(e) == 1 && strings.EqualFold(e[0], "identity")) {
		return withStatus(http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "Content-Encoding %s: bodies come as they are", fault.Quote(strings.Join(e, ", "))))
	}
	return nil
}

// find returns the caller's session; another's is as good as none.
func (s *Server) find(r *http.Request, c auth.Caller) (*session, error) {
	s.mu.Lock()
	one := s.sessions[r.PathValue("id")]
	s.mu.Unlock()
	if one == nil || one.rec.Owner != ownerOf(c) {
		return nil, errNoSession
	}
	one.mu.Lock()
	over := one.gone || !one.expires.After(s.now())
	one.mu.Unlock()
	if over {
		return nil, errNoSession
	}
	return one, nil
}

var errNoSession = fault.New(fault.NotFound, "there is no such upload; it may have expired")

// open declares an upload: POST /v1/uploads.
func (s *Server) open(w http.ResponseWriter, r *http.Request, c auth.Caller) error {
	b, err := s.body(w, r, c, wire.MaxOpen)
	if err != nil {
		return err
	}
	ask, p, err := s.declaration(r.Context(), b)
	if err != nil {
		return err
	}
	key, err := signedBy(c, p)
	if err != nil {
		return err
	}
	if known, err := s.decided(r, ownerOf(c), p); known != nil || err != nil {
		if err != nil {
			return err
		}
		return s.answer(w, http.StatusOK, known)
	}
	if err := s.checkOpen(ask, p); err != nil {
		return err
	}
	if err := s.checkBases(key, spaceOf(p.Statement), ask.Bases); err != nil {
		return err
	}
	one, fresh, err := s.begin(ownerOf(c), key, p, *ask)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if fresh {
		status = http.StatusCreated
	}
	w.Header().Set("Location", "/v1/uploads/"+one.rec.ID)
	return s.answer(w, status, one.state())
}

// declaration reads the body that opens an upload, and the statement in it.
func (s *Server) declaration(ctx context.Context, b []byte) (*wire.OpenUpload, *registry.Parcel, error) {
	done, err := s.turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	ask := new(wire.OpenUpload)
	if err := api.Strict(b, ask); err != nil {
		return nil, nil, fmt.Errorf("not an upload's declaration: %w", err)
	}
	p, err := s.o.Registry.Read(ask.Envelope)
	ask.Envelope = nil // from here on it is the parcel's, in its normal form
	return ask, p, err
}

// signedBy returns the identity whose data the caller may build upon: the caller's
// own, or the publisher for a token that is bound to none. It must have signed the
// statement.
func signedBy(c auth.Caller, p *registry.Parcel) (sign.KeyID, error) {
	key := c.Key
	if key == "" {
		if required, _ := p.Statement.Signers(); len(required) > 0 {
			key = required[0]
		} else if len(p.Parties) > 0 {
			key = p.Parties[0]
		}
	}
	// A place in a group is a key's own.
	if slices.Contains(p.Parties, key) || c.Signed != "" && slices.Contains(p.Signers, c.Signed) {
		return key, nil
	}
	return "", fault.WithHint(fault.New(fault.Denied, "the statement is not signed by the key that sends it"), "whoever signs a statement pushes it")
}

// entry takes a statement that needs no blocks, or whose content is registered
// by it already: POST /v1/entries.
func (s *Server) entry(w http.ResponseWriter, r *http.Request, c auth.Caller) error {
	b, err := s.body(w, r, c, 2*sign.MaxEnvelope)
	if err != nil {
		return err
	}
	done, err := s.turn(r.Context())
	if err != nil {
		return err
	}
	p, err := s.o.Registry.Read(b)
	done()
	if err != nil {
		return err
	}
	if _, err := signedBy(c, p); err != nil {
		return err
	}
	if known, err := s.decided(r, ownerOf(c), p); known != nil || err != nil {
		if err != nil {
			return err
		}
		return s.answer(w, http.StatusOK, known.Result)
	}
	if len(p.Statement.Content()) > 0 {
		return fault.WithHint(fault.New(fault.Invalid, "a statement of kind %s comes with its content", p.Statement.Kind), "open an upload: POST /v1/uploads")
	}
	if err := s.book.statement(ownerOf(c), s.now()); err != nil {
		return err
	}
	out, err := s.o.Registry.Submit(r.Context(), p.Envelope)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, submitted(out))
}

func submitted(s *registry.Submitted) *wire.Submitted {
	return &wire.Submitted{
		Index: s.Index, Statement: cjson.CID{Cid: s.Statement}, Envelope: cjson.CID{Cid: s.Envelope},
		Verdict: string(s.Verdict), Code: string(s.Code), Receipt: string(s.Receipt), Warnings: s.Warnings,
	}
}

// ask says how far an upload is: GET /v1/uploads/{id}.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, c auth.Caller) error {
	one, err := s.find(r, c)
	if err != nil {
		return err
	}
	s.touch(one)
	return s.answer(w, http.StatusOK, one.state())
}

// remove drops an upload: DELETE /v1/uploads/{id}.
func (s *Server) remove(w http.ResponseWriter, r *http.Request, c auth.Caller) error {
	one, err := s.find(r, c)
	if err != nil {
		return err
	}
	if !one.idle() {
		return fault.New(fault.Conflict, "the upload is being committed")
	}
	if ok, err := s.drop(one); err != nil {
		return err
	} else if !ok {
		return errNoSession
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
