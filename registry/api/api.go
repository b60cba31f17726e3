// Package api serves /v1: what the index knows, receipts and bundles, and, for
// the owner of the home alone, the way in. Bodies are those of package wire;
// errors are RFC 9457 problems. Every answer about the registry names the size
// of the log that it describes.
package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// RequestID is the header that names a request, in answers and in the log.
const RequestID = "X-Request-Id"

// maxParam bounds a query parameter: an SPDX expression of the longest kind.
const maxParam = 4 << 10

// An API answers /v1.
type API struct {
	reg     *registry.Registry
	log     *slog.Logger
	version string
	graphs  chan struct{} // that are made now
}

// New returns the API of a registry. version is that of the program.
func New(reg *registry.Registry, version string, log *slog.Logger) *API {
	return &API{reg, log, version, make(chan struct{}, maxGraphs)}
}

// Register adds the read-only routes to mux.
func (a *API) Register(mux *http.ServeMux) {
	a.registerOpenAPI(mux)
	a.get(mux, "/v1/status", a.status)
	a.get(mux, "/v1/entries/{index}", a.entry)
	a.get(mux, "/v1/statements/{cid}", a.statement)
	a.get(mux, "/v1/statements/{cid}/lineage", a.lineage)
	a.get(mux, "/v1/datasets", a.datasets)
	a.get(mux, "/v1/datasets/{publisher}/{name}", a.history)
	mux.HandleFunc("GET /v1/datasets/{publisher}/{name}/{version}", a.versionOrData)
	mux.HandleFunc("GET /v1/datasets/{publisher}/{name}/{path...}", a.dataOf)
	a.get(mux, "/v1/resolve", a.resolve)
	a.get(mux, "/v1/keys/{did}", a.identity)
	a.registerCredit(mux)
	a.registerPayouts(mux)
	a.registerShares(mux)
	a.registerTerms(mux)
	a.registerLineage(mux)
	a.raw(mux, "/v1/statements/{cid}/envelope", "application/vnd.dsse+json", immutable, a.reg.Envelope)
	a.raw(mux, "/v1/statements/{cid}/receipt", "text/plain; charset=utf-8", fresh, a.reg.Receipt)
	a.raw(mux, "/v1/statements/{cid}/bundle", "application/json", fresh, a.reg.Bundle)
}

// Answers about the log change with it; bodies that a CID names never do, but
// whether they are served may, so nobody keeps them for ever.
const (
	fresh     = "no-cache"
	immutable = "public, max-age=3600"
)

// get registers a handler whose result is sent as JSON.
func (a *API) get(mux *http.ServeMux, path string, fn func(*http.Request) (any, error)) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		v, err := fn(r)
		if err != nil {
			Problem(w, r, a.log, err)
			return
		}
		a.send(w, r, v)
	})
}

func (a *API) send(w http.ResponseWriter, r *http.Request, v any) { Send(w, r, a.log, v) }

// Send answers with v as JSON.
func Send(w http.ResponseWriter, r *http.Request, log *slog.Logger, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		Problem(w, r, log, err)
		return
	}
	body(w, "application/json", fresh, append(b, '\n'))
}

func body(w http.ResponseWriter, contentType, cache string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b)
}

// Problem answers with err as a problem document, and logs what is internal.
func Problem(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	id := w.Header().Get(RequestID)
	if fault.Of(err) == fault.Internal && r.Context().Err() == nil {
		log.ErrorContext(r.Context(), "request failed", "request", id, "path", r.URL.Path, "error", err)
	}
	wire.NewProblem(err, id).Write(w)
}

func pathCID(r *http.Request) (cid.Cid, error) {
	c, err := cjson.ParseCID(r.PathValue("cid"))
	if err != nil {
		return cid.Undef, fault.New(fault.Invalid, "%s is not a CID: %w", fault.Quote(r.PathValue("cid")), err)
	}
	return c, nil
}

func (a *API) status(*http.Request) (any, error) { return a.Status(), nil }

// Status is what GET /v1/status answers.
func (a *API) Status() wire.Status {
	s := a.reg.Status()
	return wire.Status{
		Origin: s.Origin, VKey: s.VKey, Size: s.Size, Root: s.RootText(), Applied: s.Applied, Digest: s.DigestText(),
		FoldVersion: fold.Version, Ready: s.Ready, Reason: s.Reason, Version: a.version,
	}
}

func (a *API) entry(r *http.Request) (any, error) {
	i, err := strconv.ParseUint(r.PathValue("index"), 10, 63)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s is not the index of an entry", fault.Quote(r.PathValue("index")))
	}
	var out wire.Entry
	err = a.reg.View(func(s *index.Snapshot) error {
		e, err := s.Entry(i)
		out = wireEntry(e)
		out.Size = s.Applied()
		return err
	})
	return out, err
}

func (a *API) statement(r *http.Request) (any, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	var out wire.Statement
	err = a.reg.View(func(s *index.Snapshot) error {
		st, err := s.Statement(c)
		if err != nil {
			return err
		}
		out = wireStatement(st)
		out.Size = s.Applied()
		d, err := s.Dataset(c)
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		out.Dataset = new(wire.Dataset)
		*out.Dataset = wireDataset(d)
		return nil
	})
	return out, err
}

func (a *API) lineage(r *http.Request) (any, error) {
	c, err := pathCID(r)
	if err != nil {
		return nil, err
	}
	after, limit, err := paging(r.URL.Query())
	if err != nil {
		return nil, err
	}
	out := wire.Lineage{Parents: []wire.Relative{}, Children: []wire.Relative{}}
	err = a.reg.View(func(s *index.Snapshot) error {
		d, err := s.Dataset(c)
		if err != nil {
			return err
		}
		parents, err := s.Parents(c)
		if err != nil {
			return err
		}
		children, next, err := s.Children(c, after, limit)
		if err != nil {
			return err
		}
		out.Size, out.Dataset, out.Next = s.Applied(), wireDataset(d), next
		for _, p := range parents {
			out.Parents = append(out.Parents, wire.Relative{Rel: p.Rel, Dataset: wireDataset(p.Dataset)})
		}
		for _, p := range children {
			out.Children = append(out.Children, wire.Relative{Rel: p.Rel, Dataset: wireDataset(p.Dataset)})
		}
		return nil
	})
	return out, err
}

// paging reads after and limit.
func paging(q url.Values) (after uint64, limit int, err error) {
	if text := q.Get("after"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 63); err != nil {
			return 0, 0, fault.New(fault.Invalid, "after is %s, not the next of a page", fault.Quote(text))
		}
	}
	limit = index.DefaultLimit
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > index.MaxLimit {
			return 0, 0, fault.New(fault.Invalid, "limit is %s, not 1 to %d", fault.Quote(text), index.MaxLimit)
		}
	}
	return after, limit, nil
}

// parameters are those that GET /v1/datasets knows. An unknown one is refused:
// ignored, it would select more than was asked for.
var parameters = map[string]bool{
	"license": true, "contributor": true, "keyword": true, "publisher": true, "name": true,
	"root": true, "source": true, "latest": true, "after": true, "limit": true,
}

func (a *API) datasets(r *http.Request) (any, error) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	for k, values := range v {
		if !parameters[k] {
			return nil, fault.New(fault.Invalid, "there is no parameter %s", fault.Quote(k))
		}
		if len(values) != 1 || len(values[0]) > maxParam {
			return nil, fault.New(fault.Invalid, "the parameter %s is given more than once, or longer than %d bytes", k, maxParam)
		}
	}
	q := index.Query{License: v.Get("license"), Keyword: v.Get("keyword"), Name: v.Get("name"), Source: v.Get("source")}
	if q.After, q.Limit, err = paging(v); err != nil {
		return nil, err
	}
	if text := v.Get("root"); text != "" {
		if q.Root, err = cjson.ParseCID(text); err != nil {
			return nil, fault.New(fault.Invalid, "root is %s, not a CID", fault.Quote(text))
		}
	}
	if text := v.Get("latest"); text != "" {
		if q.Latest, err = strconv.ParseBool(text); err != nil {
			return nil, fault.New(fault.Invalid, "latest is %s, not true or false", fault.Quote(text))
		}
	}
	var page index.Page
	err = a.reg.View(func(s *index.Snapshot) (err error) {
		if text := v.Get("contributor"); text != "" {
			if q.Contributor, err = s.Who(text); err != nil {
				return err
			}
		}
		if text := v.Get("publisher"); text != "" {
			if q.Publisher, err = s.Who(text); err != nil {
				return err
			}
		}
		page, err = s.List(q)
		return err
	})
	return wirePage(page), err
}

func (a *API) history(r *http.Request) (any, error) {
	if _, _, ok := strings.Cut(r.PathValue("name"), "@"); ok {
		d, size, err := a.named(r)
		return wire.Page{Size: size, Datasets: []wire.Dataset{wireDataset(d)}}, err
	}
	after, limit, err := paging(r.URL.Query())
	if err != nil {
		return nil, err
	}
	var page index.Page
	err = a.reg.View(func(s *index.Snapshot) error {
		id, err := s.Who(r.PathValue("publisher"))
		if err != nil {
			return err
		}
		page, err = s.History(id, r.PathValue("name"), after, limit)
		return err
	})
	return wirePage(page), err
}

func (a *API) datasetVersion(r *http.Request) (any, error) {
	var out wire.Page
	err := a.reg.View(func(s *index.Snapshot) error {
		id, err := s.Who(r.PathValue("publisher"))
		if err != nil {
			return err
		}
		d, err := s.ByVersion(id, r.PathValue("name"), r.PathValue("version"))
		out = wire.Page{Size: s.Applied(), Datasets: []wire.Dataset{wireDataset(d)}}
		return err
	})
	return out, err
}

func (a *API) resolve(r *http.Request) (any, error) {
	ref := r.URL.Query().Get("ref")
	if ref == "" || len(ref) > maxParam {
		return nil, fault.New(fault.Invalid, "the parameter ref is missing, or longer than %d bytes", maxParam)
	}
	res, err := a.reg.Resolve(ref)
	if err != nil {
		return nil, err
	}
	out := wire.Resolution{Size: res.Applied, Kind: res.Kind, Root: cjson.CID{Cid: res.Root}}
	for _, d := range res.Datasets {
		out.Statements = append(out.Statements, d.Statement)
		out.Datasets = append(out.Datasets, wireDataset(d))
	}
	return out, nil
}

func (a *API) identity(r *http.Request) (any, error) {
	q := r.URL.Query()
	after, limit, err := paging(q)
	if err != nil {
		return nil, err
	}
	from := &after
	if !q.Has("after") {
		from = nil
	}
	var out wire.Identity
	err = a.reg.View(func(s *index.Snapshot) error {
		id, err := s.Who(r.PathValue("did"))
		if err != nil {
			return err
		}
		out = wire.Identity{Size: s.Applied(), Identity: id, Events: []wire.KeyEvent{}, Keys: []wire.Key{}}
		if key, ok, err := s.CurrentKey(id); err != nil {
			return err
		} else if ok {
			out.Key = key
		}
		if out.Announced, err = s.Announced(id); err != nil {
			return err
		}
		events, next, err := s.KeyEvents(id, from, limit)
		if err != nil {
			return err
		}
		if next != nil {
			out.Next = *next
		}
		keys := []sign.KeyID{}
		if from == nil {
			keys = append(keys, id)
		}
		for _, e := range events {
			out.Events = append(out.Events, wire.KeyEvent(e))
			if !slices.Contains(keys, e.Key) {
				keys = append(keys, e.Key)
			}
		}
		for _, k := range keys {
			key, err := s.Key(k)
			if err != nil {
				return err
			}
			out.Keys = append(out.Keys, wire.Key(key))
		}
		p, err := s.Profile(id)
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		out.Profile = (*wire.Profile)(&p)
		return err
	})
	return out, err
}
