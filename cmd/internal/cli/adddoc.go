package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/wire"
)

// lineage adds what --from and --relation say to the manifest's lineage. A URL
// or a CID that this registry does not know is external; a registered work is
// named by its statement.
func (a *addition) lineage(ctx context.Context) error {
	a.base.Lineage = slices.Clone(a.base.Lineage)
	for i, from := range a.o.from {
		l := manifests.Lineage{Rel: manifests.DerivedFrom}
		if i < len(a.o.relation) {
			l.Rel = manifests.Rel(a.o.relation[i])
		}
		if strings.Contains(from, "://") {
			l.Target.URL = from
			a.base.Lineage = append(a.base.Lineage, l)
			continue
		}
		id, err := cjson.ParseCID(from)
		external := err == nil
		res, err := auditing.Resolve(ctx, a.conn.API, from, keyring.Identity(a.signer))
		switch {
		case errors.Is(err, fault.NotFound) && external:
			l.Target.CID = cjson.CID{Cid: cjson.V1(id)}
		case err != nil:
			return fmt.Errorf("--from %s: %w", from, err)
		default:
			d, err := auditing.One(from, res)
			if err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			l.Target.Statement = d.Statement
		}
		a.base.Lineage = append(a.base.Lineage, l)
	}
	return nil
}

// flows works out the edges: those of --edge, and what the registered sources
// ask of versions derived from them.
func (a *addition) flows(ctx context.Context) (err error) {
	g := a.env.edging(a.conn.API, manifests.KindContribution, keyring.Identity(a.signer), a.o.name)
	if err := g.give(ctx, "--edge", a.o.edge); err != nil {
		return err
	}
	for _, l := range a.base.Lineage {
		if !l.Target.Statement.Defined() || l.Rel == manifests.Obsoletes || l.Rel == manifests.DeduplicatedAgainst {
			continue // nothing was copied
		}
		if err := g.ask(ctx, l.Target.Statement.Cid); err != nil {
			return err
		}
	}
	a.edges, err = g.edges(ctx)
	return err
}

// manifest is the dataset's manifest but for version and createdAt.
func (a *addition) manifest() (*manifests.Manifest, error) {
	r := a.data
	chunking, err := manifests.ParseChunking(r.Chunker)
	if err != nil {
		return nil, err
	}
	m := *a.base
	m.Schema = manifests.ManifestSchema
	m.Name = a.o.name
	m.Publisher = keyring.Identity(a.signer)
	if a.o.title != "" {
		m.Title = a.o.title
	}
	if a.o.description != "" {
		m.Description = a.o.description
	}
	if len(a.o.keywords) > 0 {
		m.Keywords = a.o.keywords
	}
	m.Terms = cjson.Link{Cid: a.o.cid}
	m.Data = manifests.Data{
		Root: cjson.Link{Cid: cjson.V1(r.Root)}, Bytes: r.Bytes, FileCount: r.FileCount, Profile: a.profile.Name,
		Chunking: chunking, FileList: cjson.Link{Cid: r.FileList}, SWHID: a.base.Data.SWHID,
	}
	if m.Sketch == nil {
		m.Sketch = r.Sketch
	}
	if m.Fingerprint == nil {
		m.Fingerprint = r.Fingerprint
	}
	if m.RecordSchema == nil {
		m.RecordSchema = r.Schemas
	}
	if r.Records != nil && (m.Stats == nil || m.Stats.Records == nil) {
		var stats manifests.Stats
		if m.Stats != nil {
			stats = *m.Stats
		}
		stats.Records = r.Records
		m.Stats = &stats
	}
	m.Files, err = describe(a.base.Files, r)
	return &m, err
}

// describe joins what the manifest file says of files (split, records, …) with
// what was found.
func describe(said []manifests.File, r *ingest.Result) ([]manifests.File, error) {
	if r.FileList.Defined() {
		if len(said) > 0 {
			return nil, fault.New(fault.Invalid, "--manifest: files are described, and there are %d: only up to %d can be", r.FileCount, ingest.DefaultInlineFiles)
		}
		return nil, nil
	}
	known := make(map[string]manifests.File, len(said))
	for _, f := range said {
		known[f.Path] = f
	}
	var out []manifests.File
	for _, f := range r.Files {
		found := ingest.ManifestFile(f)
		if d, ok := known[f.Path]; ok {
			delete(known, f.Path)
			d.Path, d.CID, d.Size, d.SHA256 = found.Path, found.CID, found.Size, found.SHA256
			if d.MediaType == "" {
				d.MediaType = found.MediaType
			}
			if d.Records == nil {
				d.Records = found.Records
			}
			if d.SchemaRef == "" {
				d.SchemaRef = found.SchemaRef
			}
			if d.Compression == "" {
				d.Compression = found.Compression
			}
			found = d
		}
		out = append(out, found)
	}
	var errs []error
	for _, f := range said {
		if _, ok := known[f.Path]; ok {
			errs = append(errs, fault.New(fault.Invalid, "--manifest: files: there is no %s in the dataset", fault.Quote(f.Path)))
		}
	}
	return out, errors.Join(errs...)
}

// unchanged reports whether the newest version says the same as m, but for
// version and time.
func (a *addition) unchanged(ctx context.Context, head *wire.Dataset, m *manifests.Manifest) (bool, error) {
	if !a.edges.same(head.Edges) || !head.Root.Equals(cjson.V1(a.data.Root)) || !head.Terms.Equals(a.o.cid) || head.Total != a.o.total ||
		!slices.EqualFunc(head.Contributors, a.o.shares, func(c wire.Contributor, s manifests.Share) bool { return c.ID == s.ID && c.Weight == s.Weight }) {
		return false, nil
	}
	old, err := a.manifestOf(ctx, head)
	if err != nil {
		return false, err
	}
	now := *m
	old.Version, old.CreatedAt, now.Version, now.CreatedAt = "", "", "", ""
	x, err := cjson.Marshal(old)
	if err != nil {
		return false, err
	}
	y, err := cjson.Marshal(&now)
	return string(x) == string(y), err
}

func (a *addition) manifestOf(ctx context.Context, d *wire.Dataset) (*manifests.Manifest, error) {
	b, err := a.conn.Blocks.Block(ctx, d.Manifest.Cid)
	if err != nil {
		return nil, fmt.Errorf("the manifest of %s@%s: %w", d.Name, d.Version, err)
	}
	return manifests.DecodeManifest(b)
}

// version is the one that was asked for, else the next free one after head.
func (a *addition) version(ctx context.Context, head *wire.Dataset, m *manifests.Manifest) (string, error) {
	if a.o.version != "" {
		return a.o.version, nil
	}
	if head == nil {
		return manifests.FirstVersion, nil
	}
	old, err := a.manifestOf(ctx, head)
	if err != nil {
		return "", err
	}
	d, err := a.difference(ctx, old, m)
	if err != nil {
		return "", err
	}
	const most = 1000 // versions that somebody may have taken ahead by hand
	v := manifests.NextVersion(head.Version, d)
	for range most {
		_, err := a.conn.API.Resolve(ctx, fmt.Sprintf("%s/%s@%s", keyring.Identity(a.signer), a.o.name, v))
		if errors.Is(err, fault.NotFound) {
			return v, nil
		}
		if err != nil {
			return "", err
		}
		v = manifests.NextVersion(v, d)
	}
	return "", fault.WithHint(fault.New(fault.Conflict, "the next %d versions are taken", most), "choose one with --version")
}

// difference merges the file lists of two manifests.
func (a *addition) difference(ctx context.Context, old, now *manifests.Manifest) (d manifests.Difference, err error) {
	nextOld, stopOld := iter.Pull2(old.ListedFiles(ctx, a.conn.Blocks))
	defer stopOld()
	nextNow, stopNow := iter.Pull2(now.ListedFiles(ctx, a.conn.Blocks))
	defer stopNow()
	x, err, more := nextOld()
	y, err2, more2 := nextNow()
	for more || more2 {
		if err := errors.Join(err, err2); err != nil {
			return d, err
		}
		order := 0
		switch {
		case !more:
			order = 1
		case !more2:
			order = -1
		default:
			order = manifests.ComparePaths(x.Path, y.Path)
		}
		switch {
		case order < 0:
			d.Removed++
		case order > 0:
			d.Added++
		case x.SHA256 != y.SHA256:
			d.Changed++
		}
		if order <= 0 {
			x, err, more = nextOld()
		}
		if order >= 0 {
			y, err2, more2 = nextNow()
		}
	}
	return d, errors.Join(err, err2)
}
