package api

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/wire"
)

// maxQuestion bounds a question for missing blocks: wire.MaxMissing CIDs as text.
const maxQuestion = wire.MaxMissing * 128

// RegisterPrivate adds the routes for the owner of the home: statements and
// blocks come in here. They must be reachable through the home's socket only.
func (a *API) RegisterPrivate(mux *http.ServeMux, store *spaces.Store) {
	p := private{a, store}
	a.post(mux, "/v1/entries", sign.MaxEnvelope, p.submit)
	a.post(mux, "/v1/blocks/missing", maxQuestion, p.missing)
	a.post(mux, "/v1/blocks/adopt", 1<<10, p.adopt)
	a.post(mux, "/v1/check", 1<<10, p.check)
	a.post(mux, "/v1/credit/simulate", maxSimulation, a.simulate)
	mux.HandleFunc("GET /v1/credit/journal/{currency}", a.journal)
	a.post(mux, "/v1/agreements/parties", sign.MaxPayload, a.parties)
	a.get(mux, "/v1/entries/{index}/tombstone", p.tombstone)
}

func (a *API) post(mux *http.ServeMux, path string, limit int64, fn func(*http.Request, []byte) (any, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		b, err := ReadBody(w, r, limit)
		if err != nil {
			Problem(w, r, a.log, err)
			return
		}
		v, err := fn(r, b)
		if err != nil {
			Problem(w, r, a.log, err)
			return
		}
		a.send(w, r, v)
	})
}

type private struct {
	*API
	store *spaces.Store
}

func (p private) submit(r *http.Request, envelope []byte) (any, error) {
	s, err := p.reg.Submit(r.Context(), envelope)
	if err != nil {
		return nil, err
	}
	return wire.Submitted{
		Index: s.Index, Statement: cjson.CID{Cid: s.Statement}, Envelope: cjson.CID{Cid: s.Envelope},
		Verdict: string(s.Verdict), Code: string(s.Code), Receipt: string(s.Receipt),
		Warnings: s.Warnings,
	}, nil
}

func (p private) missing(r *http.Request, b []byte) (any, error) {
	var ask wire.Missing
	if err := json.Unmarshal(b, &ask); err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	if len(ask.CIDs) > wire.MaxMissing {
		return nil, fault.New(fault.TooLarge, "%d CIDs in one question; at most %d", len(ask.CIDs), wire.MaxMissing)
	}
	cids := make([]cid.Cid, len(ask.CIDs))
	for i, c := range ask.CIDs {
		cids[i] = c.Cid
	}
	missing, err := p.store.Missing(r.Context(), ask.Space.Cid, cids)
	if err != nil {
		return nil, err
	}
	var out wire.Missing
	for _, c := range missing {
		out.Missing = append(out.Missing, cjson.CID{Cid: c})
	}
	return out, nil
}

func (p private) adopt(r *http.Request, b []byte) (any, error) {
	var ask wire.Adopt
	if err := json.Unmarshal(b, &ask); err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	s, err := p.store.Adopt(r.Context(), ask.Space.Cid, ask.ID)
	return wire.Adopted{Blocks: s.Blocks, NewBlocks: s.NewBlocks, NewBytes: s.NewBytes}, err
}

// check checks the whole home: every byte of every pack, and everything that
// the log and the index say.
func (p private) check(r *http.Request, _ []byte) (any, error) {
	out := wire.CheckReport{Findings: []proof.Finding{}}
	read := func(done, total int64) { registry.Tell(r.Context(), registry.StageBlocks, uint64(done), uint64(total)) }
	sum, err := p.store.CheckAll(r.Context(), read, func(d pack.Damage) {
		out.Findings = append(out.Findings, proof.Finding{
			Check: "blocks", Status: proof.Fails, Subject: d.File, Detail: fmt.Sprintf("offset %d: %s", d.Offset, d.Msg), Code: string(fault.Unverified),
		})
	})
	if err != nil {
		return nil, err
	}
	c, err := p.reg.Check(r.Context(), nil)
	if err != nil {
		return nil, err
	}
	out.Blocks = sum.Blocks
	out.Size, out.Entries, out.Verdicts = c.Size, c.Size, c.Verdicts
	out.Root, out.Digest = base64.StdEncoding.EncodeToString(c.Root[:]), hex.EncodeToString(c.Digest[:])
	out.Findings = append(out.Findings, c.Findings...)
	return out, nil
}
