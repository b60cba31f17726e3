package api

import (
	"context"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// raw registers a handler that sends the bytes of a statement's evidence.
func (a *API) raw(mux *http.ServeMux, path, contentType, cache string, fn func(context.Context, cid.Cid) ([]byte, error)) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		c, err := pathCID(r)
		if err != nil {
			Problem(w, r, a.log, err)
			return
		}
		b, err := fn(r.Context(), c)
		if err != nil {
			Problem(w, r, a.log, err)
			return
		}
		body(w, contentType, cache, b)
	})
}

func wireEntry(e index.Entry) wire.Entry {
	return wire.Entry{
		Index: e.Index, Verdict: string(e.Verdict), Code: string(e.Code), Kind: e.Kind,
		Statement: e.Statement, Envelope: e.Envelope, Bytes: e.Size, Keys: e.Keys, Digest: e.Digest,
	}
}

func wireStatement(s index.Statement) wire.Statement {
	out := wire.Statement{
		Statement: s.Statement, Index: s.Index, Verdict: string(s.Verdict), Code: string(s.Code), Kind: s.Kind, Envelope: s.Envelope,
	}
	for _, x := range s.Signers {
		out.Signers = append(out.Signers, wire.Signer(x))
	}
	return out
}

func wireDataset(d index.Dataset) wire.Dataset {
	out := wire.Dataset{
		Kind: d.Kind, Index: d.Index, Statement: d.Statement, Envelope: d.Envelope, Work: d.Work, Seq: d.Seq,
		Publisher: d.Publisher, Name: d.Name, Version: d.Version, Title: d.Title,
		Root: d.Root, Manifest: d.Manifest, Terms: d.Terms, License: d.License,
		Keywords: d.Keywords, MediaTypes: d.MediaTypes, Bytes: d.Bytes, FileCount: d.FileCount,
		Total: d.Total, SelfWeight: d.SelfWeight, EdgeTotal: d.EdgeTotal, Supersedes: d.Supersedes, IssuedAt: d.IssuedAt, Rules: d.Rules,
		Withdrawn: d.Withdrawn, Erased: d.Erased, AfterWithdrawal: d.AfterWithdrawal,
	}
	for _, c := range d.Contributors {
		out.Contributors = append(out.Contributors, wire.Contributor(c))
	}
	for _, e := range d.Edges {
		out.Edges = append(out.Edges, wire.Edge(e))
	}
	for _, s := range d.Sources {
		out.Sources = append(out.Sources, wire.Source(s))
	}
	return out
}

func wirePage(p index.Page) wire.Page {
	out := wire.Page{Size: p.Applied, Next: p.Next, Datasets: []wire.Dataset{}}
	for _, d := range p.Datasets {
		out.Datasets = append(out.Datasets, wireDataset(d))
	}
	return out
}
