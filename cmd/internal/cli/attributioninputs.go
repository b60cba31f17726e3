package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/sketch"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// An evidence gathers what attribution methods compute from: out of the log, and
// out of the blocks of a home.
type evidence struct {
	api    *client.Client
	blocks unixfs.Blocks

	// data is the child; versions are the registered ones that have it, newest
	// first.
	data     cid.Cid
	versions []wire.Dataset
}

// child finds the data that a statement is about, and who registered it.
func (e *evidence) child(ctx context.Context, data cid.Cid) error {
	e.data = data
	res, err := e.api.Resolve(ctx, data.String())
	if errors.Is(err, fault.NotFound) {
		return nil // its statement comes later
	}
	if err != nil {
		return err
	}
	e.versions = res.Datasets
	return nil
}

// manifest reads the manifest of a registered version.
func (e *evidence) manifest(ctx context.Context, d wire.Dataset) (*manifests.Manifest, error) {
	b, err := e.blocks.Block(ctx, d.Manifest.Cid)
	if err != nil {
		return nil, fmt.Errorf("the manifest of %s@%s: %w", d.Name, d.Version, err)
	}
	return manifests.DecodeManifest(b)
}

// file reads a whole file of at most limit bytes.
func (e *evidence) file(ctx context.Context, c cid.Cid, limit int) ([]byte, error) {
	var out []byte
	err := unixfs.ReadFile(ctx, e.blocks, c, func(p []byte) error {
		if len(out)+len(p) > limit {
			return fault.New(fault.TooLarge, "the file %s has more than %d bytes", c, limit)
		}
		out = append(out, p...)
		return nil
	})
	return out, err
}

// reader returns what writes a file's bytes to a writer.
func (e *evidence) reader(ctx context.Context, c cid.Cid) func(io.Writer) error {
	return func(w io.Writer) error {
		return unixfs.ReadFile(ctx, e.blocks, c, func(p []byte) error {
			_, err := w.Write(p)
			return err
		})
	}
}

// files gives the child's files, as its manifest has them. Data that nobody has
// registered has no media types.
func (e *evidence) files(ctx context.Context) (iter.Seq2[attribution.File, error], error) {
	if len(e.versions) > 0 && e.versions[0].Manifest.Defined() {
		m, err := e.manifest(ctx, e.versions[0])
		if err != nil {
			return nil, err
		}
		return func(yield func(attribution.File, error) bool) {
			for f, err := range m.ListedFiles(ctx, e.blocks) {
				if !yield(attribution.File{
					Path: f.Path, Size: uint64(f.Size), MediaType: f.MediaType, Compression: f.Compression, Read: e.reader(ctx, f.CID.Cid),
				}, err) {
					return
				}
			}
		}, nil
	}
	return func(yield func(attribution.File, error) bool) {
		stop := errors.New("stop")
		_, err := unixfs.Walk(ctx, e.blocks, e.data, unixfs.Limits{}, func(x unixfs.Entry) error {
			if x.Kind == unixfs.File && !yield(attribution.File{Path: x.Path, Size: x.Size, Read: e.reader(ctx, x.CID)}, nil) {
				return stop
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(attribution.File{}, err)
		}
	}, nil
}

// chunks gives the fingerprint of the child, from its bytes.
func (e *evidence) chunks(ctx context.Context) iter.Seq2[attribution.Chunk, error] {
	return func(yield func(attribution.Chunk, error) bool) {
		stop := errors.New("stop")
		_, err := unixfs.Walk(ctx, e.blocks, e.data, unixfs.Limits{}, func(x unixfs.Entry) error {
			if x.Kind != unixfs.File {
				return nil
			}
			c := attribution.NewFingerprinter(func(k attribution.Chunk) error {
				if !yield(k, nil) {
					return stop
				}
				return nil
			})
			if err := e.reader(ctx, x.CID)(c); err != nil {
				return err
			}
			return c.Close()
		})
		if err != nil && !errors.Is(err, stop) {
			yield(attribution.Chunk{}, err)
		}
	}
}

// earlier gives the fingerprints of the contributions below an index that have
// one of chunk-first-seen/1's kind.
func (e *evidence) earlier(ctx context.Context, below uint64) iter.Seq2[attribution.Earlier, error] {
	return func(yield func(attribution.Earlier, error) bool) {
		for q := (client.Query{Limit: pageSize}); ; {
			page, err := e.api.Datasets(ctx, q)
			if err != nil {
				yield(attribution.Earlier{}, err)
				return
			}
			for _, d := range page.Datasets {
				if d.Index >= below || !d.Manifest.Defined() {
					continue
				}
				m, err := e.manifest(ctx, d)
				if err == nil && !sketch.FastCDC(m.Fingerprint) {
					continue
				}
				x := attribution.Earlier{Index: d.Index, Statement: d.Statement.String()}
				if err == nil {
					x.Chunks = sketch.ReadFingerprint(ctx, e.blocks, m.Fingerprint.CID.Cid)
				}
				if !yield(x, err) || err != nil {
					return
				}
			}
			if q.After = page.Next; q.After == 0 {
				return
			}
		}
	}
}

// shares returns who shares an agreement, and who of them has signed it.
func (e *evidence) shares(ctx context.Context, agreement cid.Cid) ([]attribution.Entry, func(string) bool, error) {
	a, err := e.api.Agreement(ctx, agreement)
	if err != nil {
		return nil, nil, err
	}
	entries, err := weights(a.Shares)
	return entries, signedBy(a.Shares), err
}

func weights(list []wire.Contributor) ([]attribution.Entry, error) {
	out := make([]attribution.Entry, len(list))
	for i, c := range list {
		w, err := strconv.ParseUint(c.Weight, 10, 63)
		if err != nil {
			return nil, fault.Mark(fault.Invalid, err)
		}
		out[i] = attribution.Entry{Key: string(c.ID), Value: w}
	}
	return out, nil
}

func signedBy(list []wire.Contributor) func(string) bool {
	return func(key string) bool {
		return slices.ContainsFunc(list, func(c wire.Contributor) bool { return string(c.ID) == key && c.Signed })
	}
}

// declared returns who has signed the version that names an attribution record;
// nil when no version of its data does. For a statement its publisher signs.
func (e *evidence) declared(ctx context.Context, record cid.Cid) (func(string) bool, error) {
	for _, d := range e.versions {
		n, err := e.api.Node(ctx, d.Statement.Cid)
		if err != nil {
			return nil, err
		}
		if !n.Attribution.Equals(record) {
			continue
		}
		signed := signedBy(n.Contributors)
		return func(key string) bool {
			if id, err := cjson.ParseCID(key); err == nil {
				of, err := e.api.Node(ctx, id)
				return err == nil && (of.Publisher == n.Publisher || signed(string(of.Publisher)))
			}
			return key == string(n.Publisher) || signed(key)
		}, nil
	}
	return nil, nil
}

// usage gives the metered use of some versions from one index on and below
// another. More than an answer of the registry holds is fault.TooLarge.
func (e *evidence) usage(ctx context.Context, parents []string, meter string, from, below uint64) iter.Seq2[attribution.Usage, error] {
	return func(yield func(attribution.Usage, error) bool) {
		for q := (client.About{Limit: pageSize}); ; {
			page, err := e.api.Usages(ctx, q)
			if err != nil {
				yield(attribution.Usage{}, err)
				return
			}
			for _, u := range page.Usages {
				if u.Index < from || u.Index >= below || u.Meter != meter || !slices.Contains(parents, u.About.String()) {
					continue
				}
				qty, err := strconv.ParseUint(u.Qty, 10, 64)
				x := attribution.Usage{ID: u.Statement.String(), Statement: u.About.String(), Meter: u.Meter, Qty: qty, Payer: string(u.Payer)}
				if !yield(x, err) || err != nil {
					return
				}
			}
			if q.After = page.Next; q.After == 0 {
				return
			}
		}
	}
}

// sharesAt gives the shares of a work by party, as the first size entries of the
// log have them: those of the newest agreement in force, else its contributors.
func (e *evidence) sharesAt(ctx context.Context, size uint64) (func(string) (attribution.Vector, error), error) {
	calendar, err := e.api.Calendar(ctx)
	if err != nil {
		return nil, err
	}
	open := calendar.First
	for _, p := range calendar.Periods {
		if p.Opened < size {
			open = p.Period
		}
	}
	return func(statement string) (attribution.Vector, error) {
		id, err := cjson.ParseCID(statement)
		if err != nil {
			return attribution.Vector{}, err
		}
		n, err := e.api.Node(ctx, id)
		if err != nil {
			return attribution.Vector{}, err
		}
		list, err := e.api.Agreements(ctx, n.Work)
		if err != nil {
			return attribution.Vector{}, err
		}
		who, newest := n.Contributors, uint64(0)
		for _, a := range list.Agreements {
			if a.Completed == nil || *a.Completed >= size || a.From > open {
				continue
			}
			named := n.Agreement.Defined() && n.Agreement == a.Statement
			if at := *a.Completed; at >= newest && (named || at > n.Index) {
				who, newest = a.Shares, at
			}
		}
		entries, err := weights(who)
		if err != nil {
			return attribution.Vector{}, err
		}
		return attribution.NewVector(entries)
	}, nil
}

// points reads a points file.
func (e *evidence) points(ctx context.Context, c cid.Cid) ([]attribution.Point, error) {
	b, err := e.file(ctx, c, attribution.MaxPointsFile)
	if err != nil {
		return nil, err
	}
	return attribution.DecodePoints(b)
}

// gather fills in the inputs of a record's method, leaving out what is not at
// hand. record is the statement's CID, undefined for one that is being made.
func (e *evidence) gather(ctx context.Context, r attribution.Record, record cid.Cid) (in attribution.Inputs, err error) {
	switch r.Method {
	case attribution.DeclaredV1:
		switch {
		case r.Params.Agreement.Defined():
			in.Declared, in.Signed, err = e.shares(ctx, r.Params.Agreement.Cid)
		case record.Defined():
			in.Signed, err = e.declared(ctx, record)
		}
	case attribution.EqualV1:
		in.Parties = r.Parents
		if r.Params.Agreement.Defined() {
			var entries []attribution.Entry
			entries, _, err = e.shares(ctx, r.Params.Agreement.Cid)
			in.Parties = nil
			for _, x := range entries {
				in.Parties = append(in.Parties, x.Key)
			}
		}
	case attribution.BytesV1, attribution.RowsV1, attribution.TokensV1:
		var b []byte
		if b, err = e.file(ctx, r.Params.Parts.Cid, attribution.MaxPartsFile); err != nil {
			break
		}
		if in.Parts, err = attribution.DecodeParts(b); err == nil {
			in.Files, err = e.files(ctx)
		}
	case attribution.ChunkFirstSeenV1:
		if _, err = unixfs.Stat(ctx, e.blocks, e.data); err == nil {
			in.Child, in.Earlier = e.chunks(ctx), e.earlier(ctx, r.AtSize)
		}
	case attribution.UsageMeterV1:
		in.Usage = e.usage(ctx, r.Parents, r.Params.Meter, r.Params.From, r.AtSize)
		in.Shares, err = e.sharesAt(ctx, r.AtSize)
	case attribution.KNNShapleyV1:
		if in.Train, err = e.points(ctx, r.Params.Train.Cid); err == nil {
			in.Tests, err = e.points(ctx, r.Params.Tests.Cid)
		}
	case attribution.ExternalV1:
		if !r.Params.Uncapped.Defined() {
			break
		}
		var b []byte
		if b, err = e.file(ctx, r.Params.Uncapped.Cid, attribution.MaxVector); err != nil {
			break
		}
		var v attribution.Vector
		if v, err = attribution.Decode(b); err == nil {
			in.Uncapped = &v
		}
	}
	return in, err
}

// recordOf is what an attribution statement says, as far as checking needs it.
func recordOf(a *manifests.Attribution) (attribution.Record, error) {
	params, err := attribution.DecodeParams(a.Params)
	if err != nil {
		return attribution.Record{}, err
	}
	r := attribution.Record{
		Method: attribution.Method(a.Method), Class: attribution.Class(a.EvidenceClass), Params: params,
		AtSize: a.AtSize, N: int(a.N), Negatives: a.Negatives, CapPpm: uint32(a.CapPpm),
	}
	for _, p := range a.Parents {
		r.Parents = append(r.Parents, p.String())
	}
	if r.Total, err = strconv.ParseUint(a.Total, 10, 63); err != nil {
		return r, fault.Mark(fault.Invalid, err)
	}
	if r.Scale, err = strconv.ParseUint(a.Scale, 10, 63); err != nil {
		return r, fault.Mark(fault.Invalid, err)
	}
	return r, nil
}

// partyKey reads a key of a vector: self, a party, or the version that a REF
// names.
func (env *Env) partyKey(ctx context.Context, api *client.Client, text string) (string, error) {
	if text == "self" || text == attribution.Self {
		return attribution.Self, nil
	}
	if id, err := sign.ParseKeyID(text); err == nil {
		return string(id), nil
	}
	if n, err := env.node(ctx, api, text); err == nil {
		return n.Statement.String(), nil
	}
	return env.payeeNamed(ctx, api, text)
}
