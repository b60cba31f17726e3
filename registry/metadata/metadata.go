// Package metadata serves the descriptions of datasets in the formats of others:
//
//	GET /v1/metadata                 the formats
//	GET /v1/metadata/FORMAT/REF      the description of a dataset
//
// REF is PUBLISHER/NAME, PUBLISHER/NAME@VERSION, or the CID of a statement, a
// manifest or a data root. What a document says is package export's business;
// here are only the facts that the registry knows, and where the data is served.
package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/export/croissant"
	"github.com/cairn-registry/cairn/manifests/export/formats"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// maxWriting is how many documents are made at once: each holds one of up to 16
// MiB, and may read a file list of 200,000 files.
const maxWriting = 2

// maxRef bounds a REF, as /v1/resolve does.
const maxRef = 4 << 10

// Options are the settings of a [Metadata]. The zero value is good.
type Options struct {
	// URL is how clients reach this server, without a slash at its end: contentUrls
	// begin with it. "" is what the request says.
	URL string
	// Access is asked for each dataset, with the request's context, before its
	// description is made: fault.Gone for one that was withdrawn, fault.Denied for
	// one that the caller may not know. nil allows everything.
	Access func(ctx context.Context, d index.Dataset) error
	Log    *slog.Logger // nil discards
}

// A Metadata makes the documents of one registry. It is safe for concurrent use.
type Metadata struct {
	reg     *registry.Registry
	blocks  blocks.Reader
	o       Options
	writing *semaphore.Weighted
}

// New returns the documents of a registry, whose manifests, terms and file lists
// are read through b with the request's context. It refuses a URL that is none.
func New(reg *registry.Registry, b blocks.Reader, o Options) (*Metadata, error) {
	if o.URL = strings.TrimSuffix(o.URL, "/"); o.URL != "" {
		if err := export.CheckBase(o.URL); err != nil {
			return nil, err
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Metadata{reg: reg, blocks: b, o: o, writing: semaphore.NewWeighted(maxWriting)}, nil
}

// Register adds the routes to mux.
func (m *Metadata) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/metadata", m.list)
	mux.HandleFunc("GET /v1/metadata/{format}/{ref...}", m.get)
}

// Document describes a version in a format. base is the URL that contentUrls
// begin with; "" is that of the options. A version without a manifest (a model)
// is fault.NotFound; when too many documents are being made, and ctx ends before
// it is this one's turn, fault.Busy.
func (m *Metadata) Document(ctx context.Context, f export.Format, base string, d index.Dataset) (export.Document, error) {
	if base == "" {
		base = m.o.URL
	}
	if m.o.Access != nil {
		if err := m.o.Access(ctx, d); err != nil {
			return export.Document{}, err
		}
	}
	if !d.Manifest.Defined() {
		return export.Document{}, fault.New(fault.NotFound, "%s@%s is no dataset: it has no manifest", d.Name, d.Version)
	}
	if err := m.writing.Acquire(ctx, 1); err != nil {
		return export.Document{}, fault.Mark(fault.Busy, fmt.Errorf("too many descriptions are asked for: %w", err))
	}
	defer m.writing.Release(1)
	// When the log took the statement is not in it; the signer's time is.
	in, err := export.Load(ctx, m.blocks, export.Facts{Manifest: d.Manifest.Cid, Statement: d.Statement.Cid, PublishedAt: d.IssuedAt, Base: base})
	if err != nil {
		return export.Document{}, err
	}
	return f.Write(in)
}

// Croissant is Document for the Hub API: the bytes of a version's Croissant document.
func (m *Metadata) Croissant(ctx context.Context, base string, d index.Dataset) ([]byte, error) {
	doc, err := m.Document(ctx, croissant.Format, base, d)
	return doc.Bytes, err
}

func (m *Metadata) list(w http.ResponseWriter, r *http.Request) {
	out := wire.MetadataFormats{Formats: []wire.MetadataFormat{}}
	for _, f := range formats.All() {
		out.Formats = append(out.Formats, wire.MetadataFormat{Name: f.Name, Title: f.Title, MediaType: f.MediaType, Extension: f.Extension})
	}
	b, err := json.Marshal(out)
	if err != nil {
		api.Problem(w, r, m.o.Log, err)
		return
	}
	answer(w, "application/json", append(b, '\n'))
}

func (m *Metadata) get(w http.ResponseWriter, r *http.Request) {
	if err := m.serve(w, r); err != nil {
		api.Problem(w, r, m.o.Log, err)
	}
}

func (m *Metadata) serve(w http.ResponseWriter, r *http.Request) error {
	f, err := formats.ByName(r.PathValue("format"))
	if err != nil {
		return err
	}
	ref := r.PathValue("ref")
	if ref == "" || len(ref) > maxRef {
		return fault.New(fault.Invalid, "REF is missing, or longer than %d bytes", maxRef)
	}
	res, err := m.reg.Resolve(ref)
	if err != nil {
		return err
	}
	if n := len(res.Datasets); n > 1 {
		return fault.WithHint(fault.New(fault.Conflict, "%s is the data of %d statements", fault.Quote(ref), n), "GET /v1/resolve?ref=%s lists them: name one by its CID", ref)
	} else if n == 0 {
		return fault.New(fault.NotFound, "%s is no dataset of this registry", fault.Quote(ref))
	}
	d := res.Datasets[0]
	doc, err := m.Document(r.Context(), f, api.BaseURL(m.o.URL, r), d)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Disposition", fmt.Sprintf("inline; filename=%q", d.Name+"-"+d.Version+"."+f.Name+f.Extension))
	h.Set("Link", "</v1/statements/"+d.Statement.String()+`>; rel="describedby"; type="application/json"`)
	answer(w, f.MediaType, doc.Bytes)
	return nil
}

func answer(w http.ResponseWriter, mediaType string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-cache") // it names this host, and may be withdrawn
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b)
}
